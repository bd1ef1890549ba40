/* Executes a plan: makes groups, files and tasks, gives one command at a time, measures after each.
 *
 * Pages are exact only when nothing is in flight. So everything runs on one CPU; the pages that the
 * kernel parks on its way to and from the LRU lists are flushed; and the per-CPU stock of charges
 * (64 pages at a time) is drained: a `ballast` task takes some stock, then the limit of `guard`, the
 * parent of all groups, is set one page below its usage. The kernel's first try fails, it drains
 * every stock below guard, its second try succeeds, and nothing is reclaimed.
 *
 * A sweeper process outlives the runner: when the runner is gone, however it went, the sweeper ends
 * what is left in the groups and removes groups and files. */
#include "agent.h"
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/swap.h>
#include <sys/syscall.h>
#include <sys/utsname.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

enum { BALLAST = TASKS - 1, DEATHS_MS = 5000, ANSWER_MS = 60000, TRIES = 5 };

static struct { char dir[512], pids[512]; long limit, kmem; int parent, there, node, limited, nobody_killed, usage, kernel, failcnt, kills, both; } groups[GROUPS];
static struct { char kind[8]; long pages; int fd; uint64_t base, step; void *view; } objects[OBJECTS];
static struct { int process, group, refs, pid, alive, waits; } tasks[TASKS];
static long swap_pages;
static int n_groups, n_objects, n_tasks, version, event, quiet_fd, again;
static long deaths; /* by SIGKILL */
static char guard[400], sets[256], cpuset[330], pids_mount[256], counted[330], files[256], mount_point[256], name[64];
static int guard_usage, guard_limit, drain_flush;
static struct { const char *name; int usage, kernel; } own[] = {{"ballast", 0, 0}, {"overhead", 0, 0}, {"drain", 0, 0}};
static pid_t sweeper;
static FILE *out;
static uint64_t zero_frame;
static struct { int node; uint64_t first, frames; } zones[NODES * 4];
static int n_zones, n_nodes = 1;

static void fail(const char *form, ...) {
  va_list list;
  va_start(list, form);
  fprintf(out, "error %d ", event);
  vfprintf(out, form, list);
  fprintf(out, "\n");
  fflush(out);
  exit(3);
}

/* ---- files of the kernel ---- */

static int try_write(const char *path, const char *text) {
  int fd = open(path, O_WRONLY | O_CLOEXEC), failed = fd < 0 ? errno : 0;
  if (fd >= 0 && write(fd, text, strlen(text)) < 0) failed = errno;
  if (fd >= 0) close(fd);
  return failed;
}

static int write_to(const char *dir, const char *file, const char *form, ...) {
  char path[800], text[128];
  va_list list;
  va_start(list, form);
  vsnprintf(text, sizeof text, form, list);
  snprintf(path, sizeof path, "%s/%s", dir, file);
  return try_write(path, text);
}

static int open_in(const char *dir, const char *file, int how) {
  char path[512];
  snprintf(path, sizeof path, "%s/%s", dir, file);
  int fd = open(path, how | O_CLOEXEC);
  if (fd < 0) fail("cannot open %s: %s", path, strerror(errno));
  return fd;
}

/* The number in a file, or the one after `key` in it; 0 where there is none. */
static long number_in(int fd, const char *key) {
  static char text[8192];
  long n = fd < 0 ? 0 : pread(fd, text, sizeof text - 1, 0);
  if (n <= 0) return 0;
  text[n] = 0;
  if (!key) return atol(text);
  for (char *line = text; line; line = strchr(line, '\n') ? strchr(line, '\n') + 1 : NULL)
    if (!strncmp(line, key, strlen(key)) && line[strlen(key)] == ' ') return atol(line + strlen(key));
  return 0;
}

static void pause_ms(long milliseconds) {
  struct timespec t = {milliseconds / 1000, milliseconds % 1000 * 1000000};
  nanosleep(&t, NULL);
}

/* ---- what must not be left behind ---- */

static void end_all_in(const char *dir) { /* ends tasks below dir, removes the groups, deepest first */
  DIR *d = opendir(dir);
  if (!d) return;
  for (struct dirent *e; (e = readdir(d));)
    if (e->d_type == DT_DIR && e->d_name[0] != '.') {
      char below[800];
      snprintf(below, sizeof below, "%s/%s", dir, e->d_name);
      end_all_in(below);
    }
  closedir(d);
  char path[800];
  snprintf(path, sizeof path, "%s/cgroup.procs", dir);
  for (int i = 0; i < 500 && rmdir(dir) && errno != ENOENT; i++) {
    FILE *f = fopen(path, "r");
    for (int pid; f && fscanf(f, "%d", &pid) == 1;)
      if (pid > 1) kill(pid, SIGKILL);
    if (f) fclose(f);
    pause_ms(10);
  }
}

static void swap_area(char *path, size_t n) { snprintf(path, n, "%s/swap", files); }

/* A swap file of ours, as mkswap(8) would make it. */
static void begin_swap(void) {
  static char page[PAGE];
  char path[320];
  swap_area(path, sizeof path);
  int fd = open(path, O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
  for (long i = 0; i < swap_pages; i++) {
    uint32_t head[3] = {1, swap_pages - 1, 0};
    memset(page, 0, sizeof page);
    if (!i) { memcpy(page + 1024, head, sizeof head); memcpy(page + PAGE - 10, "SWAPSPACE2", 10); }
    if (write(fd, page, PAGE) != PAGE) fail("writing the swap area: %s", strerror(errno));
  }
  fsync(fd);
  close(fd);
  if (swapon(path, 0)) fail("swapon %s: %s", path, strerror(errno));
}

static void remove_files(void) {
  char path[320];
  swap_area(path, sizeof path);
  if (swap_pages) swapoff(path);
  DIR *d = opendir(files);
  for (struct dirent *e; d && (e = readdir(d));)
    if (e->d_name[0] != '.') unlinkat(dirfd(d), e->d_name, 0);
  if (d) closedir(d);
  rmdir(files);
}

static void sweep(int reader) {
  char end;
  setsid();
  for (int s = 1; s < 32; s++) if (s != SIGKILL && s != SIGSTOP && s != SIGCHLD) signal(s, SIG_IGN);
  prctl(PR_SET_NAME, "wb-sweeper");
  while (read(reader, &end, 1) < 0 && errno == EINTR) ;
  end_all_in(guard);
  if (cpuset[0]) end_all_in(cpuset);
  if (counted[0]) end_all_in(counted);
  remove_files();
  _exit(0);
}

static void begin_sweeper(void) {
  int ends[2];
  if (pipe2(ends, O_CLOEXEC)) fail("pipe: %s", strerror(errno));
  sweeper = fork();
  if (sweeper < 0) fail("fork: %s", strerror(errno));
  if (!sweeper) { close(ends[1]); sweep(ends[0]); }
  close(ends[0]); /* ends[1] stays open, in this process alone, as long as it lives */
}

/* ---- tasks ---- */

static void reap(void) {
  int status;
  for (pid_t pid; (pid = waitpid(-1, &status, WNOHANG)) > 0;)
    for (int t = 0; t < TASKS; t++)
      if (tasks[t].pid == pid && tasks[t].alive) {
        tasks[t].alive = 0;
        deaths += WIFSIGNALED(status) && WTERMSIG(status) == SIGKILL;
        if (WIFSIGNALED(status)) fprintf(out, "died %d %d %d\n", event, t, WTERMSIG(status));
      }
}

/* Is there a group above the task that is full and in which nobody is to be killed? */
static int held_up(int t) {
  for (int g = tasks[t].group; g > 0; g = groups[g].parent)
    if (groups[g].nobody_killed && number_in(groups[g].kills, "under_oom")) return 1;
  return 0;
}

static int wait_for(int t, uint32_t was) { /* 0; -1: it has died instead; -2: it waits at a limit */
  struct mailbox *m = &mailboxes[t];
  for (long waited = 0; m->done == was; waited += 5) {
    futex_wait(&m->done, was, 5);
    if (m->done != was) break;
    reap();
    if (!tasks[t].alive) return -1;
    if (waited >= 20 && held_up(t)) { /* stopped before it could go on, until it is asked again */
      kill(tasks[t].pid, SIGSTOP);
      tasks[t].waits = 1;
      fprintf(out, "refused %d %d\n", event, EBUSY);
      return -2;
    }
    if (waited > ANSWER_MS) fail("task %d does not answer command %d", t, m->command);
  }
  return 0;
}

/* Has process t do it; returns its errno, -1 when it dies of it. */
static int ask(int t, enum command command, int o, int64_t page, int count, int flags) {
  struct mailbox *m = &mailboxes[t];
  if (!tasks[t].alive) return -1;
  if (tasks[t].waits) {
    tasks[t].waits = 0;
    kill(tasks[t].pid, SIGCONT);
    int still = wait_for(t, m->asked - 1);
    if (still) return still;
  }
  m->command = command; m->count = count; m->page = page; m->flags = flags; m->error = 0;
  if (o >= 0) {
    m->fd = objects[o].fd; m->step = objects[o].step; m->address = objects[o].base + page * m->step;
  }
  uint32_t was = m->done;
  __sync_synchronize();
  m->asked = was + 1;
  futex_wake(&m->asked);
  int failed = wait_for(t, was);
  return failed ? failed : m->error;
}

static int attach(int t, const char *dir) { return write_to(dir, "cgroup.procs", "%d", tasks[t].pid); }

/* Into the group's memory group and, where tasks are counted, into the group that counts them. */
static int attach_to(int t, int g) {
  int failed = attach(t, groups[g].dir);
  return failed || !counted[0] ? failed : attach(t, groups[g].pids);
}

/* On a machine with NUMA nodes a group is also a set of its own node, where such sets are. */
static int attach_to_node(int t, int g) {
  char dir[400];
  if (!cpuset[0] || g <= 0) return 0;
  snprintf(dir, sizeof dir, "%s/g%d", cpuset, g);
  return attach(t, dir);
}

static void make_node_set(int g) {
  char dir[400];
  if (!cpuset[0] || g <= 0) return;
  snprintf(dir, sizeof dir, "%s/g%d", cpuset, g);
  if (mkdir(dir, 0755) && errno != EEXIST) fail("cannot make the set %s: %s", dir, strerror(errno));
  if (write_to(dir, "cpuset.cpus", "0") || write_to(dir, "cpuset.mems", "%d", groups[g].node))
    fail("cannot put %s on node %d", dir, groups[g].node);
}

static void begin_process(int t, int group) {
  char number[16], parent[16];
  snprintf(number, sizeof number, "%d", t);
  snprintf(parent, sizeof parent, "%d", getpid());
  pid_t pid = fork();
  if (pid < 0) fail("fork: %s", strerror(errno));
  if (!pid) {
    execl("/proc/self/exe", "agent", "task", number, parent, NULL);
    _exit(127);
  }
  tasks[t].process = t; tasks[t].pid = pid; tasks[t].alive = 1; tasks[t].refs = 1; tasks[t].group = group;
  for (int i = 0; !mailboxes[t].pid; i++) {
    reap();
    if (!tasks[t].alive || i > 5000) fail("task %d does not start", t);
    pause_ms(1);
  }
}

/* ---- groups ---- */

static void set_limit(int g) { /* the limit is meant for pages of users: those of the kernel go on top */
  long kmem = groups[g].kernel < 0 ? 0 : version == 1 ? number_in(groups[g].kernel, NULL) : number_in(groups[g].kernel, "kernel");
  groups[g].kmem = kmem;
  groups[g].limited = groups[g].limit >= 0;
  const char *file = version == 1 ? "memory.limit_in_bytes" : "memory.max";
  int failed = groups[g].limit < 0 ? write_to(groups[g].dir, file, version == 1 ? "-1" : "max")
                                   : write_to(groups[g].dir, file, "%ld", groups[g].limit * PAGE + kmem);
  if (failed) fprintf(out, "refused %d %d\n", event, failed);
}

static void open_files(int g) {
  int v1 = version == 1;
  groups[g].usage = open_in(groups[g].dir, v1 ? "memory.usage_in_bytes" : "memory.current", O_RDONLY);
  groups[g].kernel = open_in(groups[g].dir, v1 ? "memory.kmem.usage_in_bytes" : "memory.stat", O_RDONLY);
  groups[g].failcnt = open_in(groups[g].dir, v1 ? "memory.failcnt" : "memory.events.local", O_RDONLY);
  groups[g].kills = open_in(groups[g].dir, v1 ? "memory.oom_control" : "memory.events.local", O_RDONLY);
  groups[g].both = v1 && swap_pages ? open_in(groups[g].dir, "memory.memsw.usage_in_bytes", O_RDONLY) : -1;
  groups[g].there = 1;
}

/* Container 0, the root, is guard itself in version 1: what others leave behind comes to it. */
static int is_guard(int g) { return g == 0 && version == 1; }

static void make_group(int g) {
  int above = groups[g].parent;
  const char *folder = above < 0 ? guard : groups[above].dir, *pids = above < 0 ? counted : groups[above].pids;
  char dir[512];
  snprintf(dir, sizeof dir, "%.400s/g%d", folder, g);
  strcpy(groups[g].dir, dir);
  if (version == 2 && above >= 0) write_to(groups[above].dir, "cgroup.subtree_control", "+memory");
  if (mkdir(groups[g].dir, 0755)) { fprintf(out, "refused %d %d\n", event, errno); return; }
  if (counted[0]) {
    snprintf(dir, sizeof dir, "%.400s/g%d", pids, g);
    strcpy(groups[g].pids, dir);
    if (mkdir(groups[g].pids, 0755)) fail("cannot make the group %s: %s", groups[g].pids, strerror(errno));
  }
  open_files(g);
  if (version == 1 && !swap_pages) write_to(groups[g].dir, "memory.swappiness", "0");
  make_node_set(g);
  if (groups[g].limit >= 0) set_limit(g);
}

static void remove_group(int g) {
  if (rmdir(groups[g].dir)) { fprintf(out, "refused %d %d\n", event, errno); return; }
  if (counted[0]) rmdir(groups[g].pids);
  int *fds[] = {&groups[g].usage, &groups[g].kernel, &groups[g].failcnt, &groups[g].kills};
  for (int i = 0; i < 4; i++) { close(*fds[i]); *fds[i] = -1; }
  if (groups[g].both >= 0) close(groups[g].both);
  groups[g].there = groups[g].limited = 0;
}

/* Any other file of a group: what it is told, it is told as it stands. */
static void control(int g, const char *file, const char *text) {
  int failed = write_to(strncmp(file, "pids.", 5) ? groups[g].dir : groups[g].pids, file, "%s", text);
  if (failed) fprintf(out, "refused %d %d\n", event, failed);
  else if (!strcmp(file, "memory.oom_control")) groups[g].nobody_killed = text[0] == '1';
}

static void flush_lists(void) { posix_fadvise(quiet_fd, 0, 0, POSIX_FADV_DONTNEED); } /* this CPU's */

static void flush_everywhere(void) { /* an empty group: its pages are looked for on every CPU */
  if (write(drain_flush, version == 1 ? "0" : "4096", version == 1 ? 1 : 4) < 0 && errno != EAGAIN)
    fail("flushing through an empty group: %s", strerror(errno));
}

static void drain_stock(void) {
  static long next;
  for (int i = 0; i < 70; i++) { /* until ballast has taken a batch: without stock pages would be reclaimed */
    long before = number_in(own[0].usage, NULL);
    ask(BALLAST, STORE, OBJECTS - 1, next++ % objects[OBJECTS - 1].pages, 1, ANON);
    if (number_in(own[0].usage, NULL) - before > PAGE) break;
  }
  char text[32];
  int n = snprintf(text, sizeof text, "%ld", number_in(guard_usage, NULL) - PAGE);
  if (pwrite(guard_limit, text, n, 0) < 0) fail("draining the stock of charges: %s", strerror(errno));
  const char *none = version == 1 ? "-1" : "max";
  if (pwrite(guard_limit, none, strlen(none), 0) < 0) fail("draining the stock of charges: %s", strerror(errno));
}

/* ---- measuring ---- */

static void look(long *usage, long *failcnt) {
  long below = 0; /* in the groups directly below guard */
  for (int i = 0; i < 3; i++) below += (number_in(own[i].usage, NULL) - number_in(own[i].kernel, NULL)) / PAGE;
  for (int g = n_groups - 1; g >= 0; g--) {
    usage[g] = failcnt[g] = -1;
    if (!groups[g].there) continue;
    long kernel = version == 1 ? number_in(groups[g].kernel, NULL) : number_in(groups[g].kernel, "kernel");
    usage[g] = (number_in(groups[g].usage, NULL) - kernel) / PAGE;
    if (is_guard(g)) usage[g] -= below; else if (groups[g].parent < 0) below += usage[g];
    if (is_guard(g)) { failcnt[g] = 0; continue; } /* its limit is the runner's tool */
    failcnt[g] = version == 1 ? number_in(groups[g].failcnt, NULL) : number_in(groups[g].failcnt, "max");
    if (groups[g].limited && kernel != groups[g].kmem) set_limit(g);
  }
}

static void await_kills(void) { /* the kernel says how many it killed: wait until they are gone */
  long killed = 0, limited = 0;
  for (int g = 0; g < n_groups; g++) {
    limited += groups[g].limited;
    if (groups[g].there) killed += number_in(groups[g].kills, "oom_kill");
  }
  if (!limited || killed <= deaths) return;
  for (int i = 0; deaths < killed && i < DEATHS_MS; i++) { pause_ms(1); reap(); }
  if (deaths < killed) fail("the kernel says it killed %ld tasks, %ld have died", killed, deaths);
  pause_ms(20);
  flush_everywhere();
}

static void measure(const char *expected) {
  static long usage[GROUPS], failcnt[GROUPS], last_usage[GROUPS], last_failcnt[GROUPS], off[GROUPS], gave_up;
  long wanted[GROUPS];
  int known = 0;
  for (char *at = (char *)expected, *next; at && known < n_groups; at = next, known++) {
    wanted[known] = strtol(at, &next, 10);
    if (next == at) break;
  }
  reap();
  await_kills();
  for (int i = 0; i <= TRIES; i++) {
    flush_lists();
    drain_stock();
    look(usage, failcnt);
    int same = 1; /* as expected, or as far off as it was found to be before */
    for (int g = 0; g < known; g++) same &= wanted[g] < 0 || usage[g] < 0 || usage[g] == wanted[g] || usage[g] - wanted[g] == off[g];
    if (same || i == TRIES || gave_up > 20) { gave_up += !same; break; }
    again++;
    pause_ms(2 << i); /* what another CPU is about to give back */
    flush_everywhere();
  }
  for (int g = 1; swap_pages && g < n_groups; g++)
    if (groups[g].there)
      fprintf(out, "both %d %d %ld\n", event, g, (number_in(groups[g].both, NULL) - number_in(groups[g].kernel, NULL)) / PAGE);
  static int printed;
  if (printed++ && !memcmp(usage, last_usage, sizeof usage) && !memcmp(failcnt, last_failcnt, sizeof failcnt)) return;
  memcpy(last_usage, usage, sizeof usage);
  memcpy(last_failcnt, failcnt, sizeof failcnt);
  fprintf(out, "at %d", event);
  for (int g = 0; g < n_groups; g++) fprintf(out, " %ld:%ld", usage[g], failcnt[g]);
  fprintf(out, "\n");
}

struct mapped { uint64_t frame; int group; };

static int by_frame(const void *a, const void *b) {
  const struct mapped *x = a, *y = b;
  return x->frame != y->frame ? (x->frame > y->frame) - (x->frame < y->frame) : x->group - y->group;
}

static long frames_of(int pid, uint64_t address, long pages, uint64_t *frames) {
  char path[64];
  snprintf(path, sizeof path, "/proc/%d/pagemap", pid);
  int fd = open(path, O_RDONLY | O_CLOEXEC);
  long n = fd < 0 ? -1 : pread(fd, frames, pages * 8, address / PAGE * 8);
  if (fd >= 0) close(fd);
  return n < 0 ? -1 : n / 8;
}

static int node_of(uint64_t frame) {
  for (int z = 0; z < n_zones; z++)
    if (frame >= zones[z].first && frame < zones[z].first + zones[z].frames) return zones[z].node;
  return 0;
}

/* Which frames every group maps: how many alone, with one other group, ...; and on which node. */
static void share(void) {
  static struct mapped *list;
  static long room;
  long top = 0;
  for (int t = 0; t < TASKS; t++) {
    if (!tasks[t].alive || t == BALLAST) continue;
    for (int o = 0; o < n_objects; o++) {
      long cells = objects[o].pages * (objects[o].step / PAGE);
      uint64_t *frames = malloc(cells * 8);
      long n = frames_of(tasks[t].pid, objects[o].base, cells, frames);
      if (n < 0) fail("reading the page map: %s", strerror(errno));
      for (long i = 0; i < n; i++) {
        uint64_t frame = frames[i] & ((1UL << 55) - 1);
        if (!(frames[i] >> 63) || frame == zero_frame) continue;
        if (!frame) fail("the page map hides its frames from this user");
        if (top == room) list = realloc(list, (room = room * 2 + 1024) * sizeof *list);
        list[top++] = (struct mapped){frame, tasks[t].group};
      }
      free(frames);
    }
  }
  qsort(list, top, sizeof *list, by_frame);
  static long with[GROUPS][GROUPS + 1], nodes[GROUPS][NODES];
  memset(with, 0, sizeof with);
  memset(nodes, 0, sizeof nodes);
  for (long i = 0, next; i < top; i = next) {
    int sharers = 0, who[GROUPS];
    for (next = i; next < top && list[next].frame == list[i].frame; next++)
      if (!sharers || who[sharers - 1] != list[next].group) who[sharers++] = list[next].group;
    for (int s = 0; s < sharers; s++) { with[who[s]][sharers]++; nodes[who[s]][node_of(list[i].frame)]++; }
  }
  for (int g = 0; g < n_groups; g++) {
    fprintf(out, "share %d %d", event, g);
    for (int s = 1; s <= n_groups; s++) fprintf(out, " %ld", with[g][s]);
    fprintf(out, "\n");
    if (n_nodes > 1) {
      fprintf(out, "nodes %d %d", event, g);
      for (int node = 0; node < n_nodes; node++) fprintf(out, " %ld", nodes[g][node]);
      fprintf(out, "\n");
    }
  }
}

static void proportional(void) { /* the kernel's own PSS of the objects' mappings, in KiB */
  char path[64], line[512];
  for (int t = 0; t < TASKS; t++) {
    if (!tasks[t].alive || t == BALLAST) continue;
    snprintf(path, sizeof path, "/proc/%d/smaps", tasks[t].pid);
    FILE *f = fopen(path, "re");
    long total = 0, areas = 0, amount;
    int ours = 0;
    unsigned long start, end;
    while (f && fgets(line, sizeof line, f))
      if (sscanf(line, "%lx-%lx ", &start, &end) == 2) ours = start >= FIRST_ADDRESS && start < LAST_ADDRESS;
      else if (ours && sscanf(line, "Pss: %ld", &amount) == 1) { total += amount; areas++; }
    if (f) fclose(f);
    fprintf(out, "pss %d %d %ld %ld\n", event, t, total, areas);
  }
}

/* ---- one event ---- */

static void fork_task(int parent, int child) {
  int p = tasks[parent].process, group = tasks[p].group;
  char overhead[512];
  snprintf(overhead, sizeof overhead, "%s/overhead", guard);
  memset(&mailboxes[child], 0, sizeof *mailboxes);
  attach(p, overhead); /* page tables and the task's own memory are not the question */
  int failed = ask(p, FORK, -1, 0, child, 0);
  if (failed) { attach(p, groups[group].dir); fprintf(out, "refused %d %d\n", event, failed); return; }
  for (int i = 0; !mailboxes[child].pid; i++) {
    if (i > 5000) fail("the child of task %d does not start", parent);
    pause_ms(i > 20);
    sched_yield();
  }
  tasks[child].process = child; tasks[child].pid = mailboxes[child].pid; tasks[child].alive = 1;
  tasks[child].refs = 1; tasks[child].group = group;
  if (ask(p, SETTLE_IN, -1, 0, 0, 0) || ask(child, SETTLE_IN, -1, 0, 0, 0)) fail("a fork went wrong");
  attach(p, groups[group].dir);
  attach(child, groups[group].dir);
}

static int flags_of(int o) {
  return !strcmp(objects[o].kind, "anon") ? ANON : FILE_PAGES;
}

static void map_run(int t, int o, long page, long count, int shared) {
  int failed = ask(t, MAP, o, page, count, flags_of(o) | (shared ? SHARED : 0));
  if (failed > 0) fail("mapping object %d: %s", o, strerror(failed));
}

static void count_misses(int o, long page, long count) { /* pages about to be read that the cache lacks */
  static unsigned char in[4096];
  long missing = 0;
  for (long done = 0, n; done < count; done += n) {
    n = count - done < (long)sizeof in ? count - done : (long)sizeof in;
    if (mincore((char *)objects[o].view + (page + done) * PAGE, n * PAGE, in)) return;
    for (long i = 0; i < n; i++) missing += !(in[i] & 1);
  }
  if (missing) fprintf(out, "missed %d %ld\n", event, missing);
}

static void one(const char *op, long *a) {
  static const struct { const char *op; enum command command; } on_pages[] = {
    {"touch_read", LOAD}, {"touch_write", STORE}, {"read", READ}, {"write", WRITE}, {"discard", DISCARD},
    {"mlock", LOCK}, {"munlock", UNLOCK}, {"unmap", UNMAP}};
  int t = a[0], p = t >= 0 && t < TASKS ? tasks[t].process : -1;
  for (unsigned i = 0; i < sizeof on_pages / sizeof *on_pages; i++)
    if (!strcmp(op, on_pages[i].op)) {
      if (on_pages[i].command == READ && p >= 0 && tasks[p].alive) count_misses(a[1], a[2], a[3]);
      int failed = ask(p, on_pages[i].command, a[1], a[2], a[3], flags_of(a[1]) | (a[4] ? SHARED : 0));
      if (failed > 0) fprintf(out, "refused %d %d\n", event, failed);
      return;
    }
  if (!strcmp(op, "nop")) return;
  if (!strcmp(op, "map")) { map_run(p, a[1], a[2], a[3], a[4]); return; }
  if (!strcmp(op, "drop")) { posix_fadvise(objects[a[1]].fd, a[2] * PAGE, a[3] * PAGE, POSIX_FADV_DONTNEED); return; }
  if (!strcmp(op, "forget")) { /* nobody maps this shared memory any more */
    if (ftruncate(objects[a[1]].fd, 0) || ftruncate(objects[a[1]].fd, objects[a[1]].pages * PAGE)) fail("ftruncate: %s", strerror(errno));
    return;
  }
  if (!strcmp(op, "mkdir")) { make_group(a[1]); return; }
  if (!strcmp(op, "rmdir")) { remove_group(a[1]); return; }
  if (!strcmp(op, "limit")) { groups[a[1]].limit = a[2]; set_limit(a[1]); return; }
  if (!strcmp(op, "share")) { share(); return; }
  if (!strcmp(op, "pss")) { proportional(); return; }
  if (p < 0 || !tasks[p].alive) return;
  if (!strcmp(op, "fork")) fork_task(t, a[1]);
  else if (!strcmp(op, "thread")) { tasks[a[1]].process = p; tasks[p].refs++; }
  else if (!strcmp(op, "exec")) ask(p, EXEC, -1, 0, 0, 0);
  else if (!strcmp(op, "node")) ask(p, NODE, -1, 0, a[1], 0);
  else if (!strcmp(op, "move")) {
    if (t != p) return; /* memory follows the thread group's leader */
    int failed = attach_to(p, a[1]);
    if (!failed) failed = attach_to_node(p, a[1]);
    if (failed) fprintf(out, "refused %d %d\n", event, failed); else tasks[p].group = a[1];
  } else if (!strcmp(op, "exit")) {
    if (--tasks[p].refs) return;
    ask(p, EXIT, -1, 0, 0, 0);
  } else fail("unknown operation %s", op);
}

/* ---- the plan ---- */

static void find_zones(void) {
  FILE *f = fopen("/proc/zoneinfo", "re");
  char line[256];
  int node = 0;
  unsigned long n, spanned = 0;
  while (f && fgets(line, sizeof line, f))
    if (sscanf(line, "Node %d, zone", &node) == 1) spanned = 0;
    else if (sscanf(line, " spanned %lu", &n) == 1) spanned = n;
    else if (sscanf(line, " start_pfn: %lu", &n) == 1 && spanned && n_zones < NODES * 4) {
      zones[n_zones].node = node; zones[n_zones].first = n; zones[n_zones++].frames = spanned;
    }
  if (f) fclose(f);
}

static void find_zero_frame(void) {
  char *at = mmap(NULL, PAGE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  uint64_t cell = 0;
  madvise(at, PAGE, MADV_NOHUGEPAGE);
  (void)*(volatile char *)at;
  frames_of(getpid(), (uint64_t)at, 1, &cell);
  zero_frame = cell & ((1UL << 55) - 1);
  munmap(at, PAGE);
}

static void make_object(int o, int step) {
  static uint64_t next = FIRST_ADDRESS;
  int anon = !strcmp(objects[o].kind, "anon");
  objects[o].step = anon ? PAGE : step;
  objects[o].base = next;
  next += ((objects[o].pages * objects[o].step >> 21) + 2) << 21; /* no two in one page table */
  if (next >= LAST_ADDRESS) fail("the objects do not fit the address space");
  objects[o].fd = -1;
  if (anon) return;
  char path[320];
  snprintf(path, sizeof path, "%s/o%d", files, o);
  int fd = strcmp(objects[o].kind, "file") ? (int)syscall(SYS_memfd_create, "object", 0) : open(path, O_RDWR | O_CREAT | O_EXCL, 0600);
  if (fd < 0 || ftruncate(fd, objects[o].pages * PAGE)) fail("making object %d: %s", o, strerror(errno));
  posix_fadvise(fd, 0, 0, POSIX_FADV_RANDOM); /* no readahead */
  objects[o].fd = fd;
  objects[o].view = mmap(NULL, objects[o].pages * PAGE, PROT_READ, MAP_SHARED, fd, 0); /* never touched */
}

static void prepare(int step) {
  struct rlimit many;
  char path[512];
  getrlimit(RLIMIT_NOFILE, &many);
  many.rlim_cur = many.rlim_max;
  setrlimit(RLIMIT_NOFILE, &many);
  snprintf(guard, sizeof guard, "%s/%s", mount_point, name);
  if (sets[0]) snprintf(cpuset, sizeof cpuset, "%s/%s", sets, name);
  begin_sweeper();
  if (cpuset[0] && (mkdir(cpuset, 0755) || write_to(cpuset, "cpuset.cpus", "0") || write_to(cpuset, "cpuset.mems", "0-%d", n_nodes - 1)))
    fail("cannot make the set %s", cpuset);
  if (pids_mount[0]) snprintf(counted, sizeof counted, "%s/%s", pids_mount, name);
  if (mkdir(files, 0700)) fail("cannot make %s: %s", files, strerror(errno));
  if (swap_pages) begin_swap();
  if (mkdir(guard, 0755)) fail("cannot make the group %s: %s", guard, strerror(errno));
  if (counted[0] && mkdir(counted, 0755)) fail("cannot make the group %s: %s", counted, strerror(errno));
  if (version == 2) write_to(guard, "cgroup.subtree_control", "+memory");
  for (int i = 0; i < 3; i++) {
    snprintf(path, sizeof path, "%s/%s", guard, own[i].name);
    if (mkdir(path, 0755)) fail("cannot make the group %s: %s", path, strerror(errno));
    own[i].usage = open_in(path, version == 1 ? "memory.usage_in_bytes" : "memory.current", O_RDONLY);
    own[i].kernel = version == 1 ? open_in(path, "memory.kmem.usage_in_bytes", O_RDONLY) : -1;
  }
  drain_flush = open_in(path, version == 1 ? "memory.force_empty" : "memory.reclaim", O_WRONLY);
  guard_usage = open_in(guard, version == 1 ? "memory.usage_in_bytes" : "memory.current", O_RDONLY);
  guard_limit = open_in(guard, version == 1 ? "memory.limit_in_bytes" : "memory.high", O_WRONLY);
  snprintf(path, sizeof path, "%s/quiet", files);
  quiet_fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0600);
  int memory = syscall(SYS_memfd_create, "mailboxes", 0);
  if (memory < 0 || dup2(memory, MAILBOXES) < 0 || ftruncate(MAILBOXES, sizeof *mailboxes * TASKS)) fail("memfd: %s", strerror(errno));
  mailboxes = mmap(NULL, sizeof *mailboxes * TASKS, PROT_READ | PROT_WRITE, MAP_SHARED, MAILBOXES, 0);
  if (mailboxes == MAP_FAILED) fail("mmap: %s", strerror(errno));
  memset(mailboxes, 0, sizeof *mailboxes * TASKS);
  for (int o = 0; o < n_objects; o++) make_object(o, step);
  strcpy(objects[OBJECTS - 1].kind, "anon");
  objects[OBJECTS - 1].pages = 1 << 20;
  make_object(OBJECTS - 1, step);
  find_zero_frame();
  find_zones();
  begin_process(BALLAST, -1);
  map_run(BALLAST, OBJECTS - 1, 0, objects[OBJECTS - 1].pages, 0);
  snprintf(path, sizeof path, "%s/ballast", guard);
  if (attach(BALLAST, path)) fail("cannot move a task into %s", path);
  for (int g = 0; g < n_groups; g++)
    if (is_guard(g)) {
      snprintf(groups[g].dir, sizeof groups[g].dir, "%s", guard);
      snprintf(groups[g].pids, sizeof groups[g].pids, "%s", counted);
      open_files(g);
    }
    else if (groups[g].there) { groups[g].there = 0; make_group(g); }
  drain_stock();
}

/* Returns the exit code: 0; 3 with a line `error ...` in the log. */
int run_plan(const char *plan, const char *log) {
  char line[8192], op[32];
  int cpu = 0, step = 0;
  out = strcmp(log, "-") ? fopen(log, "we") : stdout;
  FILE *in = fopen(plan, "re");
  if (!in || !out) { fprintf(stderr, "cannot open %s\n", in ? log : plan); return 2; }
  signal(SIGPIPE, SIG_IGN);
  signal(SIGINT, SIG_IGN); /* the caller decides */
  setvbuf(out, NULL, _IOFBF, 1 << 16);
  struct utsname host;
  uname(&host);
  while (fgets(line, sizeof line, in)) {
    long a[6] = {0};
    char word[256], text[64];
    int at = 0;
    if (sscanf(line, "cgroup %255s %d", mount_point, &version) == 2) continue;
    if (sscanf(line, "name %63s", name) == 1 || sscanf(line, "files %255s", files) == 1) continue;
    if (sscanf(line, "cpu %d", &cpu) == 1 || sscanf(line, "step %d", &step) == 1 || sscanf(line, "nodes %d", &n_nodes) == 1) continue;
    if (sscanf(line, "sets %255s", sets) == 1 || sscanf(line, "pids %255s", pids_mount) == 1) continue;
    if (sscanf(line, "swap %ld", &swap_pages) == 1) continue;
    if (sscanf(line, "group %ld %ld %ld %ld", a, a + 1, a + 2, a + 3) == 4 && n_groups < GROUPS) {
      groups[n_groups].parent = a[0]; groups[n_groups].limit = a[1];
      groups[n_groups].there = a[2]; groups[n_groups++].node = a[3];
    } else if (sscanf(line, "object %7s %ld", word, a) == 2 && n_objects < OBJECTS - 1) {
      strcpy(objects[n_objects].kind, word); objects[n_objects++].pages = a[0];
    } else if (sscanf(line, "task %ld %ld", a, a + 1) == 2 && n_tasks < BALLAST) {
      if (!n_tasks) {
        cpu_set_t one_cpu;
        CPU_ZERO(&one_cpu);
        CPU_SET(cpu, &one_cpu);
        sched_setaffinity(0, sizeof one_cpu, &one_cpu);
        if (!step) step = faults_map_one_page() ? 1 : 2;
        fprintf(out, "kernel %s\ncgroup %d\nstep %d\nswap %ld\n", host.release, version, step, swap_pages);
        prepare(step * PAGE);
      }
      if (a[1]) {
        begin_process(n_tasks, a[0]);
        int failed = attach_to(n_tasks, a[0]);
        if (!failed) failed = attach_to_node(n_tasks, a[0]);
        if (failed) fail("cannot move a task into %s: %s", groups[a[0]].dir, strerror(failed));
      }
      n_tasks++;
    } else if (sscanf(line, "do %d control -1 %ld %63s %63s", &event, a, word, text) == 4)
      control(a[0], word, text);
    else if (sscanf(line, "do %d %31s %n%ld %ld %ld %ld %ld", &event, op, &at, a, a + 1, a + 2, a + 3, a + 4) >= 2)
      one(op, a);
    else if (sscanf(line, "at %d %n", &event, &at) == 1) measure(line + at);
    else fail("line not understood: %s", line);
  }
  fprintf(out, "again %d\nend\n", again);
  fclose(out);
  for (int t = 0; t < TASKS; t++) if (tasks[t].alive) kill(tasks[t].pid, SIGKILL);
  return 0;
}
