/* One simulated task: does one memory operation at a time and nothing that costs memory beside it. */
#include "agent.h"
#include <errno.h>
#include <fcntl.h>
#include <linux/futex.h>
#include <linux/userfaultfd.h>
#include <sched.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>
#ifndef UFFD_FEATURE_WP_ASYNC
#define UFFD_FEATURE_WP_ASYNC (1 << 15)
#endif

struct mailbox *mailboxes;
static int me, runner, watch_fd = -1;
static char buffer[PAGE], text[PAGE]; /* of read and write; of /proc/self/maps */

void futex_wait(volatile uint32_t *word, uint32_t seen, long milliseconds) {
  struct timespec limit = {milliseconds / 1000, milliseconds % 1000 * 1000000};
  syscall(SYS_futex, word, FUTEX_WAIT, seen, &limit, NULL, 0);
}

void futex_wake(volatile uint32_t *word) { syscall(SYS_futex, word, FUTEX_WAKE, 1, NULL, NULL, 0); }

/* A mapping registered for asynchronous write protection (Linux 6.7) has no fault-around. */
static int open_watch(void) {
  int fd = syscall(SYS_userfaultfd, O_CLOEXEC | O_NONBLOCK | 1 /* UFFD_USER_MODE_ONLY */);
  struct uffdio_api api = {.api = UFFD_API, .features = UFFD_FEATURE_WP_ASYNC | UFFD_FEATURE_PAGEFAULT_FLAG_WP};
  if (fd >= 0 && ioctl(fd, UFFDIO_API, &api) < 0) { close(fd); fd = -1; }
  return fd;
}

int faults_map_one_page(void) {
  int fd = open_watch();
  if (fd >= 0) close(fd);
  return fd >= 0;
}

static void watch(uint64_t start, uint64_t length) {
  struct uffdio_register range = {.range = {start, length}, .mode = UFFDIO_REGISTER_MODE_WP};
  if (watch_fd >= 0) ioctl(watch_fd, UFFDIO_REGISTER, &range);
}

/* Own every page that a copy on write could bring later, and watch inherited file mappings. */
static void settle_in(void) {
  volatile char stack[16 * PAGE];
  for (unsigned i = 0; i < sizeof stack; i += PAGE) stack[i] = 1;
  if (watch_fd < 0) watch_fd = open_watch();
  int maps = open("/proc/self/maps", O_RDONLY);
  uint64_t start = 0, end = 0, number = 0, inode = 0;
  int column = 0, writable = 0, private = 0;
  for (long n; (n = read(maps, text, sizeof text)) > 0;)
    for (long i = 0; i < n; i++) { /* a line: start-end rw-p offset device inode name */
      char c = text[i];
      int digit = c >= '0' && c <= '9' ? c - '0' : c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
      if (c == '\n') {
        if (start >= FIRST_ADDRESS && start < LAST_ADDRESS) {
          if (inode) watch(start, end - start);
        } else if (writable && private)
          for (volatile char *p = (char *)start; p < (char *)end; p += PAGE) *p = *p;
        column = writable = private = 0; number = inode = 0;
      } else if (c == '-' && column == 0) { start = number; number = 0; column = 1; }
      else if (c == ' ') { if (column == 1) end = number; column++; number = 0; }
      else if (column <= 1 && digit >= 0) number = number * 16 + digit;
      else if (column == 2) { writable |= c == 'w'; private |= c == 'p'; }
      else if (column == 5 && digit >= 0) inode = inode * 10 + digit;
    }
  close(maps);
}

static int map_run(struct mailbox *m) {
  int file = m->flags & FILE_PAGES, kind = m->flags & SHARED ? MAP_SHARED : MAP_PRIVATE;
  int whole = m->step == PAGE, pages = whole ? m->count : 1;
  if (m->flags & ANON) kind |= MAP_ANONYMOUS | MAP_NORESERVE;
  for (int i = 0; i < (whole ? 1 : m->count); i++) {
    char *at = (char *)(m->address + i * m->step);
    if (mmap(at, (uint64_t)pages * PAGE, PROT_READ | PROT_WRITE, kind | MAP_FIXED, m->flags & ANON ? -1 : m->fd, (m->page + i) * PAGE) == MAP_FAILED)
      return errno;
    madvise(at, (uint64_t)pages * PAGE, MADV_NOHUGEPAGE);
    if (file) madvise(at, (uint64_t)pages * PAGE, MADV_RANDOM); /* no readahead */
    if (file && whole) watch((uint64_t)at, (uint64_t)pages * PAGE);
  }
  return 0;
}

/* mlock, and mprotect on what is locked, copy every page of a writable private mapping; the locked
 * part of a library is its text, which is not writable. */
static int is_text(int flags) { return (flags & FILE_PAGES) && !(flags & SHARED); }

static int on_page(struct mailbox *m, char *at, int64_t page) {
  switch (m->command) {
  case UNMAP: return munmap(at, PAGE) ? errno : 0;
  case LOAD: (void)*(volatile char *)at; return 0;
  case STORE:
    if (is_text(m->flags) && mprotect(at, PAGE, PROT_READ | PROT_WRITE)) return errno;
    *(volatile char *)at = 1;
    return 0;
  case READ: return pread(m->fd, buffer, PAGE, page * PAGE) < 0 ? errno : 0;
  case WRITE: return pwrite(m->fd, buffer, PAGE, page * PAGE) < 0 ? errno : 0;
  case DISCARD: return madvise(at, PAGE, MADV_DONTNEED) ? errno : 0;
  case LOCK:
    if (is_text(m->flags) && mprotect(at, PAGE, PROT_READ)) return errno;
    return mlock(at, PAGE) ? errno : 0;
  case UNLOCK:
    if (munlock(at, PAGE)) return errno;
    return is_text(m->flags) && mprotect(at, PAGE, PROT_READ | PROT_WRITE) ? errno : 0;
  }
  return ENOSYS;
}

static int obey(struct mailbox *m) {
  switch (m->command) {
  case MAP: return map_run(m);
  case EXEC: return munmap((void *)FIRST_ADDRESS, LAST_ADDRESS - FIRST_ADDRESS) ? errno : 0;
  case SETTLE_IN: settle_in(); return 0;
  case NODE: { /* prefer this node from now on; -1: none */
    unsigned long mask = 1UL << (m->count & 63);
    return syscall(SYS_set_mempolicy, m->count < 0 ? 0 : 1, m->count < 0 ? NULL : &mask, 65) ? errno : 0; }
  case EXIT: _exit(0);
  case FORK: { /* the child is the runner's too, so that it hears of its end; m->count: its mailbox */
    long pid = syscall(SYS_clone, CLONE_PARENT | SIGCHLD, NULL, NULL, NULL, NULL);
    if (pid < 0) return errno;
    if (pid == 0) {
      me = m->count;
      prctl(PR_SET_PDEATHSIG, SIGKILL);
      close(watch_fd); /* the parent's: kept open here, it could not be renewed there */
      watch_fd = -1;
      return -1;
    }
    return 0; }
  }
  if (m->step == PAGE && m->command == UNMAP) return munmap((void *)m->address, (uint64_t)m->count * PAGE) ? errno : 0;
  if (m->step == PAGE && m->command == DISCARD) return madvise((void *)m->address, (uint64_t)m->count * PAGE, MADV_DONTNEED) ? errno : 0;
  for (int i = 0; i < m->count; i++) {
    int failed = on_page(m, (char *)m->address + i * m->step, m->page + i);
    if (failed) return failed;
  }
  return 0;
}

int serve(int number, int parent) {
  me = number;
  runner = parent;
  prctl(PR_SET_PDEATHSIG, SIGKILL);
  if (getppid() != runner) return 9; /* it was gone before we asked to hear of it */
  settle_in();
  for (;;) {
    struct mailbox *m = &mailboxes[me];
    m->pid = syscall(SYS_getpid);
    __sync_synchronize();
    uint32_t seen = m->done = m->asked;
    futex_wake(&m->done);
    while (m->asked == seen) { /* who has lost its runner goes */
      futex_wait(&m->asked, seen, 1000);
      if (m->asked == seen && getppid() != runner) _exit(9);
    }
    int failed = obey(m);
    if (failed >= 0) m->error = failed; /* else a child, whose own mailbox this is not */
  }
}
