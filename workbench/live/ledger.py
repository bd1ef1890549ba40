"""A third opinion on today's charging rule, page by page, in dictionaries (no limits, no reclaim).

Whoever's task makes the kernel take a frame for a page pays for it until the frame is freed:
anonymous memory at its last unmapping, nameless shared memory with its last mapping, pages of
files when the cache drops them. Shares no code with the engine.
"""

from __future__ import annotations

from collections import Counter

from workbench.trace import Op, Trace
from workbench.trace.language import BIRTHS


class Ledger:
    """`after(event)`, in order, says the pages that each container is charged then."""

    def __init__(self, trace: Trace, reparents: bool = True) -> None:
        self.trace, self.reparents = trace, reparents
        born = trace.made(*BIRTHS)
        boxes = {c.name: i for i, c in enumerate(trace.containers)}
        self.alive = {i: {} for i in range(len(trace.tasks)) if i not in born}  # task -> its mm
        self.home = {i: boxes[trace.tasks[i].container] for i in self.alive}
        self.shared: dict[tuple, bool] = {}  # (mm, object, page) -> mapped shared
        self.payer: dict[tuple, int] = {}  # page -> container
        self.owed = [0] * len(trace.containers)
        self.parent = [boxes.get(c.parent or "root", 0) for c in trace.containers]
        self.mappers: Counter[tuple] = Counter()  # page -> mms that map it
        self.dirty: set[tuple] = set()
        self.broken: set[tuple[int, int]] = set()  # (mm, object): a private mapping has copies
        self.made = 0

    def charge(self, page: tuple, task: int) -> tuple:
        """To the task's container, unless somebody pays already."""
        if page not in self.payer:
            self.payer[page] = self.home[task]
            self.owed[self.home[task]] += 1
        return page

    def free(self, page: tuple) -> None:
        if page in self.payer:
            self.owed[self.payer.pop(page)] -= 1

    def new(self, task: int) -> tuple:
        self.made += 1
        return self.charge(("anon", self.made), task)

    def put(self, mm: dict, key: tuple, page: tuple | None) -> None:
        mm[key] = page
        if page:
            self.mappers[page] += 1

    def let_go(self, page: tuple | None) -> None:
        if page:
            self.mappers[page] -= 1
            if page[0] == "anon" and not self.mappers[page]:
                self.free(page)

    def touch(self, task: int, o: int, i: int, write: bool) -> None:
        mm, anon = self.alive[task], self.trace.objects[o].kind == "anon"
        shared = self.shared.get((id(mm), o, i), False)
        old = mm.get((o, i))
        if shared and write:
            self.dirty.add((o, i))
        if (o, i) in mm and (not write or shared):
            return
        if write and not shared:
            if old and old[0] == "anon" and self.mappers[old] == 1:
                return
            if not anon and old is None:
                self.charge((o, i), task)
            self.put(mm, (o, i), self.new(task))
            self.broken.add((id(mm), o))
            self.let_go(old)
        else:
            self.put(mm, (o, i), None if anon else self.charge((o, i), task))  # None: zero page

    def books(self) -> list[int]:
        """What each container is charged, those below it included; the root's is its own alone."""
        total = list(self.owed)
        for box, own in enumerate(self.owed):
            above = self.parent[box]
            while above:
                total[above] += own
                above = self.parent[above]
        return total

    def withdraw(self, mm: dict, o: int, run: range, unmapped: bool) -> None:
        """The pages of a run go from an mm; with an unmap the mapping goes, too."""
        for i in run:
            self.let_go(mm.pop((o, i), None))
        if unmapped:
            for i in run:
                self.shared.pop((id(mm), o, i), None)
            if all(key[:2] != (id(mm), o) for key in self.shared):
                self.broken.discard((id(mm), o))
            self.nameless({o})

    def bear(self, task: int, child: int, thread: bool) -> None:
        """A child with its parent's mm, or with a copy: pages of files come along where something
        in the same mapping was copied before."""
        mm, self.home[child] = self.alive[task], self.home[task]
        self.alive[child] = new = mm if thread else {}
        if thread:
            return
        for key, page in mm.items():
            copied = (id(mm), key[0]) in self.broken and not self.shared[(id(mm), *key)]
            if page is None or page[0] == "anon" or copied:
                self.put(new, key, page)
        for (owner, *key), way in list(self.shared.items()):
            if owner == id(mm):
                self.shared[(id(new), *key)] = way
        self.broken |= {(id(new), thing) for owner, thing in self.broken if owner == id(mm)}

    def end(self, mm: dict) -> None:
        """All that an mm maps goes."""
        pages = list(mm.values())
        mm.clear()
        gone = {key for key in self.shared if key[0] == id(mm)}
        for key in gone:
            del self.shared[key]
        self.broken = {key for key in self.broken if key[0] != id(mm)}
        for page in pages:
            self.let_go(page)
        self.nameless({key[1] for key in gone})

    def hand_up(self, box: int) -> None:
        """What a removed group leaves is its parent's."""
        for page in [page for page, payer in self.payer.items() if payer == box]:
            self.free(page)
            self.payer[page] = self.parent[box]
            self.owed[self.parent[box]] += 1

    def after(self, n: int) -> list[int]:
        trace = self.trace
        op, task, o = Op(trace.op[n]), int(trace.task[n]), int(trace.target[n])
        run = range(int(trace.page[n]), int(trace.page[n]) + int(trace.count[n]))
        if task >= 0 and task not in self.alive:
            return self.books()
        mm = self.alive.get(task)
        if op in (Op.touch_read, Op.touch_write, Op.mlock):
            anon = trace.objects[o].kind == "anon"
            for i in run:
                self.touch(task, o, i, op == Op.touch_write or (op == Op.mlock and anon))
        elif op in (Op.read, Op.write):
            for i in run:
                self.charge((o, i), task)
                if op == Op.write:
                    self.dirty.add((o, i))
        elif op == Op.map:
            way = trace.values[trace.value[n]] == "shared"
            self.shared.update(dict.fromkeys(((id(mm), o, i) for i in run), way))
        elif op in (Op.unmap, Op.discard):
            self.withdraw(mm, o, run, op == Op.unmap)
        elif op in (Op.fork, Op.thread):
            self.bear(task, o, op == Op.thread)
        elif op == Op.exec:
            self.end(mm)
        elif op == Op.exit:
            del self.alive[task]
            if all(other is not mm for other in self.alive.values()):
                self.end(mm)
        elif op == Op.move:
            self.home[task] = o
        elif op == Op.rmdir and self.reparents:
            self.hand_up(o)
        elif op == Op.drop_caches:
            for page in [p for p in self.payer if p[0] != "anon" and not self.mappers[p]]:
                if trace.objects[page[0]].kind == "file" and page not in self.dirty:
                    self.free(page)
        return self.books()

    def nameless(self, objects: set[int]) -> None:
        for o in objects:
            thing = self.trace.objects[o]
            if thing.kind == "shm" and not thing.path and all(k[1] != o for k in self.shared):
                for page in [p for p in self.payer if p[0] == o]:
                    self.free(page)
