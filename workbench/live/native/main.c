#include "agent.h"
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

int main(int n, char **words) {
  if (getpid() == 1) return boot();
  if (n == 3 && !strcmp(words[1], "task")) {
    mailboxes = mmap(NULL, sizeof *mailboxes * TASKS, PROT_READ | PROT_WRITE, MAP_SHARED, MAILBOXES, 0);
    return mailboxes == MAP_FAILED ? 2 : serve(atoi(words[2]));
  }
  if (n != 3) { fprintf(stderr, "usage: agent PLAN LOG\n"); return 2; }
  prctl(PR_SET_PDEATHSIG, SIGKILL); /* the sweeper outlives us, nobody else does */
  return run_plan(words[1], words[2]);
}
