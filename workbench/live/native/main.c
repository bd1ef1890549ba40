#include "agent.h"
#include <ftw.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

static int forget(const char *path, const struct stat *s, int type, struct FTW *at) {
  (void)s; (void)type; (void)at;
  return remove(path);
}

/* Runs a guest in a session of its own; when we or our parent are to end, the guest ends and its
 * folder goes. */
static int leash(const char *folder, char **command) {
  pid_t parent = getppid(), guest = fork();
  if (!guest) {
    setsid();
    execvp(command[0], command);
    _exit(127);
  }
  int status;
  while (guest > 0 && waitpid(guest, &status, WNOHANG) == 0) {
    if (getppid() == parent) { usleep(20000); continue; }
    kill(-guest, SIGKILL);
    waitpid(guest, &status, 0);
    nftw(folder, forget, 16, FTW_DEPTH | FTW_PHYS);
    return 9;
  }
  kill(-guest, SIGKILL); /* what it may have left running */
  return 0;
}

int main(int n, char **words) {
  if (getpid() == 1) return boot(); /* a guest's first process */
  if (n == 4 && !strcmp(words[1], "task")) {
    mailboxes = mmap(NULL, sizeof *mailboxes * TASKS, PROT_READ | PROT_WRITE, MAP_SHARED, MAILBOXES, 0);
    return mailboxes == MAP_FAILED ? 2 : serve(atoi(words[2]), atoi(words[3]));
  }
  if (n == 2 && !strcmp(words[1], "probe")) return !faults_map_one_page();
  if (n > 3 && !strcmp(words[1], "leash")) return leash(words[2], words + 3);
  if (n != 3) { fprintf(stderr, "usage: agent PLAN LOG\n"); return 2; }
  prctl(PR_SET_PDEATHSIG, SIGKILL); /* the sweeper outlives us, nobody else does */
  return run_plan(words[1], words[2]);
}
