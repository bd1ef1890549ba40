"""Counters on this machine: one lock for all processes, against batches per process.

    python -m tests.bench.counters [PROCESSES ...]

Each process charges one page, again and again. "lock" takes a shared lock for each; "batch 32"
counts by itself and takes the lock once in 32; "own lock" is the same work as "lock" on a lock that
nobody else wants. Python's own cost, about a microsecond, is in all of them, and its lock is a
semaphore, not a spinlock: this shows the order of things, not a kernel's nanoseconds, and on a
machine with other work (see the load) not even that. No time is asserted; that no count is lost is.
"""

from __future__ import annotations

import multiprocessing
import os
import platform
import statistics
import sys
import time

CALLS, BATCH, ROUNDS = 40_000, 32, 5


def charge_under_lock(counter, calls):
    for _ in range(calls):
        with counter.get_lock():
            counter.value += 1


def charge_in_batches(counter, calls):
    local = 0
    for i in range(calls):
        local += 1
        if local == BATCH or i == calls - 1:
            with counter.get_lock():
                counter.value += local
            local = 0


def work(kind, counter, start, times):
    counter = multiprocessing.Value("q", 0) if kind == "own lock" else counter
    start.wait()
    begun = time.perf_counter()
    (charge_in_batches if kind.startswith("batch") else charge_under_lock)(counter, CALLS)
    times.put((time.perf_counter() - begun) * 1e9 / CALLS)


def measure(kind: str, processes: int) -> float:
    """Nanoseconds of elapsed time per charge, mean over the processes."""
    counter, times = multiprocessing.Value("q", 0), multiprocessing.Queue()
    start = multiprocessing.Barrier(processes)
    running = [multiprocessing.Process(target=work, args=(kind, counter, start, times))
               for _ in range(processes)]
    for process in running:
        process.start()
    found = [times.get(timeout=60) for _ in running]
    for process in running:
        process.join()
    assert counter.value == (0 if kind == "own lock" else processes * CALLS)
    return statistics.mean(found)


def cpu() -> str:
    try:
        with open("/proc/cpuinfo") as info:
            return next(line.split(":")[1].strip() for line in info if "model name" in line)
    except (OSError, StopIteration):
        return platform.processor() or "unknown CPU"


def main() -> None:
    counts = [int(word) for word in sys.argv[1:]] or [1, 2]
    print(f"{cpu()}, {os.cpu_count()} CPUs, load {os.getloadavg()[0]:.1f}; Python "
          f"{platform.python_version()}; ns per charge, median of {ROUNDS} rounds "
          "(lowest to highest)\n")
    for kind in ("own lock", "lock", f"batch {BATCH}"):
        for n in counts:
            found = sorted(measure(kind, n) for _ in range(ROUNDS))
            print(f"{kind:9}  {n:3} processes  {statistics.median(found):8.0f}  "
                  f"({found[0]:.0f} to {found[-1]:.0f})", flush=True)


if __name__ == "__main__":
    main()
