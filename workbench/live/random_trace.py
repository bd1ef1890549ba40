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


class Walk:
    """Up to 6 tasks in 3 containers, doing one thing after another."""

    def __init__(self, seed: int, copies: bool) -> None:
        self.rng, self.copies, self.b = random.Random(seed), copies, TraceBuilder()
        b = self.b
        self.boxes = [b.container(c) for c in "ABC"]
        self.shm = b.shm("shm", PAGES)
        self.files = [b.file(f"file{n}", PAGES) for n in range(FILES)]
        # mapped in one way each, as programs do: text privately, data files shared
        self.shared = {name: n > 0 for n, name in enumerate(self.files)} | {self.shm: True}
        self.heap = b.anon("heap", PAGES)
        self.live = [b.task(f"t{n}", box) for n, box in enumerate(self.boxes)]
        self.threads: dict[str, str] = {}  # thread -> its leader
        self.locked: set[tuple[str, str]] = set()
        self.born = 0

    def run(self) -> tuple[int, int]:
        first = self.rng.randrange(PAGES)
        return first, min(self.rng.choice((1, 1, 1, 2, 5, 20)), PAGES - first)

    def touch(self, task: str, name: str, write: bool) -> None:
        first, count = self.run()
        if not self.b.mapped(task).get(name):
            self.b.map(task, name, shared=self.shared.get(name, False))
        self.b.touch(task, name, first, count, write)

    def step(self, what: str) -> None:
        """One thing, or nothing where it is not possible."""
        rng, b = self.rng, self.b
        task, file = rng.choice(self.live), rng.choice(self.files)
        mapped = [name for name, runs in b.mapped(task).items() if runs]
        if what == "anon":
            self.touch(task, self.heap, rng.random() < 0.8)
        elif what in ("file", "store"):
            self.touch(task, file, what == "store" and (self.copies or file != self.files[0]))
        elif what == "shm":
            self.touch(task, self.shm, rng.random() < 0.5)
        elif what in ("read", "write"):
            getattr(b, what)(task, file, *self.run())
        elif what in ("discard", "mlock", "munlock") and mapped:
            self.on_mapped(what, task, rng.choice(mapped))
        elif what == "unmap" and mapped and task not in self.threads.values():
            b.unmap(task, rng.choice(mapped))
        elif what == "drop":
            b.drop_caches()
        else:
            self.life(what, task)

    def on_mapped(self, what: str, task: str, name: str) -> None:
        key = (self.threads.get(task, task), name)
        if key in self.locked if what == "discard" else name == self.files[0]:
            return  # the kernel discards no locked page; locking splits private mappings
        if what == "mlock":
            self.locked.add(key)
        getattr(self.b, what)(task, name, *self.run())

    def life(self, what: str, task: str) -> None:
        """A fork, thread, exit, exec or move."""
        leads = task in self.threads.values()
        if what in ("fork", "thread") and len(self.live) < TASKS:
            self.born += 1
            self.live.append(getattr(self.b, what)(task, f"k{self.born}"))
            if what == "thread":
                self.threads[f"k{self.born}"] = self.threads.get(task, task)
        elif what == "exit" and len(self.live) > 2 and not leads:
            self.b.exit(task)
            self.b.reap(task)
            self.live.remove(task)
            self.threads.pop(task, None)
        elif what == "exec" and task not in self.threads and not leads:
            self.b.exec(task)
        elif what == "move" and task not in self.threads and not leads:
            self.b.move(task, self.rng.choice(self.boxes))


def random_trace(events: int, seed: int, copies: bool = True) -> Trace:
    """`events` events, or a few more; the same for a seed.

    copies  private file mappings are written to as well: what a fork then copies depends on
            whether the mapping is one area
    """
    walk, names, weights = Walk(seed, copies), list(WEIGHTS), list(WEIGHTS.values())
    while len(walk.b) < events:
        walk.step(walk.rng.choices(names, weights)[0])
    return walk.b.build({"name": f"random {seed}"})


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
