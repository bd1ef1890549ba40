/* What the runner and its tasks share: one mailbox per task, in memory that the runner pays for. */
#pragma once
#define _GNU_SOURCE
#include <stdint.h>

enum { PAGE = 4096, TASKS = 4096, OBJECTS = 2048, GROUPS = 128, NODES = 64, MAILBOXES = 200 /* file */ };
#define FIRST_ADDRESS 0x1000000000UL /* objects are mapped from here on, one after another */
#define LAST_ADDRESS 0x4000000000UL

enum command { MAP, UNMAP, LOAD, STORE, READ, WRITE, DISCARD, LOCK, UNLOCK, FORK, EXEC, SETTLE_IN, NODE, EXIT };
enum { SHARED = 1, ANON = 2, FILE_PAGES = 4 };

/* The runner fills in a command and raises `asked`; the task answers and sets `done` to it.
 * Waiting is a futex on each, so that receiving a command takes no memory at all. */
struct mailbox {
  volatile uint32_t asked, done;
  int32_t command, fd, flags, count, pid, error;
  uint64_t address; /* of the first page */
  uint64_t step;    /* bytes from one page to the next: 2 pages where faults must not map around */
  int64_t page;     /* of the file */
};

extern struct mailbox *mailboxes;

void futex_wait(volatile uint32_t *word, uint32_t seen, long milliseconds);
void futex_wake(volatile uint32_t *word);
int faults_map_one_page(void); /* 1: this kernel can be asked not to map around a fault */
int serve(int number, int parent); /* a task: obey until told to exit, or the parent is gone */
int run_plan(const char *plan, const char *log);
int boot(void); /* as the first process of a guest: mounts, the plan, power off */
