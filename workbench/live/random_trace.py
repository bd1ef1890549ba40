"""Random traces that a real kernel can be told: every charging rule, no limits."""

from __future__ import annotations

import random

from workbench.trace import Trace, TraceBuilder

WEIGHTS = {
    "anon": 30, "file": 25, "store": 8, "shm": 6, "read": 6, "write": 4, "discard": 6, "unmap": 3,
    "fork": 3, "exit": 2.5, "exec": 0.5, "thread": 0.5, "move": 3, "mlock": 1, "munlock": 1,
    "drop": 1.5,
}
PAGES, TASKS, FILES = 64, 6, 3


def random_trace(events: int, seed: int, copies: bool = True) -> Trace:
    """`events` events, or a few more, of up to 6 tasks in 3 containers; the same for a seed.

    copies  private file mappings are written to as well: what a fork then copies depends on
            whether the mapping is one area
    """
    rng = random.Random(seed)
    b = TraceBuilder()
    boxes = [b.container(c) for c in "ABC"]
    shm = b.shm("shm", PAGES)
    files = [b.file(f"file{n}", PAGES) for n in range(FILES)]
    # mapped in one way each, as programs do: text privately, data files shared
    shared = {name: n > 0 for n, name in enumerate(files)}
    heap = b.anon("heap", PAGES)
    live = [b.task(f"t{n}", box) for n, box in enumerate(boxes)]
    threads: dict[str, str] = {}  # thread -> its leader
    locked: set[tuple[str, str]] = set()
    born = 0

    def run() -> tuple[int, int]:
        first = rng.randrange(PAGES)
        return first, min(rng.choice((1, 1, 1, 2, 5, 20)), PAGES - first)

    def touch(task: str, name: str, write: bool) -> None:
        first, count = run()
        if not b.mapped(task).get(name):
            b.map(task, name, shared=True if name == shm else shared.get(name, False))
        b.touch(task, name, first, count, write)

    names, weights = list(WEIGHTS), list(WEIGHTS.values())
    while len(b) < events:
        what, task, file = rng.choices(names, weights)[0], rng.choice(live), rng.choice(files)
        mapped = [name for name, runs in b.mapped(task).items() if runs]
        if what == "anon":
            touch(task, heap, rng.random() < 0.8)
        elif what in ("file", "store"):
            touch(task, file, what == "store" and (copies or file != files[0]))
        elif what == "shm":
            touch(task, shm, rng.random() < 0.5)
        elif what in ("read", "write"):
            getattr(b, what)(task, file, *run())
        elif what in ("discard", "mlock", "munlock") and mapped:
            name = rng.choice(mapped)
            if (threads.get(task, task), name) in locked if what == "discard" else name == files[0]:
                continue  # the kernel discards no locked page; locking splits private mappings
            if what == "mlock":
                locked.add((threads.get(task, task), name))
            getattr(b, what)(task, name, *run())
        elif what == "unmap" and mapped and task not in threads.values():
            b.unmap(task, rng.choice(mapped))
        elif what in ("fork", "thread") and len(live) < TASKS:
            born += 1
            live.append(getattr(b, what)(task, f"k{born}"))
            if what == "thread":
                threads[f"k{born}"] = threads.get(task, task)
        elif what == "exit" and len(live) > 2 and task not in threads.values():
            b.exit(task)
            b.reap(task)
            live.remove(task)
            threads.pop(task, None)
        elif what == "exec" and task not in threads and task not in threads.values():
            b.exec(task)
        elif what == "move" and task not in threads and task not in threads.values():
            b.move(task, rng.choice(boxes))
        elif what == "drop":
            b.drop_caches()
    return b.build({"name": f"random {seed}"})


def random_oom(seed: int) -> Trace:
    """Three or four tasks without swap at one limit, the largest by more than 64 pages per CPU of
    eight: the kernel's own counts of a task's pages are no more exact than that."""
    rng = random.Random(seed)
    names = [f"t{n}" for n in range(rng.choice((3, 4)))]
    while True:
        sizes = [rng.randrange(50, 1500) for _ in names]
        first, second = sorted(sizes)[:-3:-1]
        if first - second > 64 * 8:
            break
    b = TraceBuilder()
    for task in names:
        b.task(task)
        b.anon(f"heap {task}", 2500)
        b.map(task, f"heap {task}")
        b.touch_write(task, f"heap {task}", 2499, 1)  # page tables and such are root's
    b.container("A", sum(sizes) + 100)
    for task in names:
        b.move(task, "A")
    for task, size in zip(names, sizes, strict=True):
        b.touch_write(task, f"heap {task}", 0, size)
    last = rng.choice(names)
    b.touch_write(last, f"heap {last}", 1500, 200)  # 100 pages too many
    return b.build({"name": f"oom {seed}"})
