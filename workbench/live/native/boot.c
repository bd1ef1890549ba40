/* As the first process of a guest: mounts what a plan needs, runs it, switches the machine off. */
#include "agent.h"
#include <dirent.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/reboot.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

static int named(const struct dirent *e) { return e->d_name[0] != '.'; }

static void load_modules(const char *folder) { /* in the order of their names */
  struct dirent **list;
  int n = scandir(folder, &list, named, alphasort);
  for (int i = 0; i < n; i++) {
    char path[512];
    snprintf(path, sizeof path, "%s/%s", folder, list[i]->d_name);
    int fd = open(path, O_RDONLY);
    if (syscall(SYS_finit_module, fd, "", strstr(path, ".ko.") ? 4 /* compressed */ : 0)) perror(path);
    close(fd);
  }
}

static void mount_groups(int version) {
  if (version == 2) {
    mount("groups", "/groups", "cgroup2", 0, NULL);
    int fd = open("/groups/cgroup.subtree_control", O_WRONLY);
    if (write(fd, "+memory", 7) < 0) perror("the memory controller");
    close(fd);
    return;
  }
  mount("groups", "/groups", "cgroup", 0, "memory");
  mount("sets", "/sets", "cgroup", 0, "cpuset"); /* User-Mode Linux has none */
  mount("pids", "/pids", "cgroup", 0, "pids");
}

int boot(void) {
  int version = 1;
  FILE *f = fopen("/plan", "r");
  if (!f || fscanf(f, "cgroup /groups %d", &version) != 1) puts("error 0 no plan in the guest");
  mount("proc", "/proc", "proc", 0, NULL);
  mount("sysfs", "/sys", "sysfs", 0, NULL);
  mount("dev", "/dev", "devtmpfs", 0, NULL);
  load_modules("/modules");
  int disk = 0; /* pages of files in memory are another thing: holes read take none, none is dropped */
  for (int i = 0; i < 50 && !disk; i++) { /* it takes a moment to appear */
    disk = !mount("/dev/ubda", "/disk", "ext4", 0, NULL) || !mount("/dev/vda", "/disk", "ext4", 0, NULL);
    if (!disk) usleep(20000);
  }
  mount_groups(version);
  pid_t runner = fork();
  if (!runner) {
    puts("guest begins");
    fflush(stdout);
    if (!disk) puts("error 0 the guest cannot mount its disk");
    exit(disk ? run_plan("/plan", "-") : 3);
  }
  waitpid(runner, NULL, 0);
  umount("/disk");
  sync();
  reboot(RB_POWER_OFF);
  return 0;
}
