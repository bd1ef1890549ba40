"""From processes to tasks: what was seen of pids, addresses and descriptors becomes a trace.

The recorder and the importers report what happened in the order in which it happened; `Assembler`
keeps every process's mappings and descriptors, so that an address becomes a page of an object.
"""

from __future__ import annotations

from array import array
from bisect import bisect_left, bisect_right
from collections.abc import Callable, Hashable, Iterator

from .builder import Spans, gaps, within, without
from .language import LANGUAGE, Op
from .model import Container, Object, Task, Trace

SHIFT = 12  # pages of 4096 bytes
TOUCHES = (Op.touch_read, Op.touch_write)
Piece = tuple[int, int, int, int, str]  # start, stop, first page, object, private|shared


class Memory:
    """One mm: which addresses (in pages) show which pages of which object."""

    def __init__(self, own: int):
        self.own = own  # the anonymous object of this mm
        self.pieces: list[Piece] = []  # disjoint
        self.spans: dict[int, Spans] = {}  # object -> pages mapped somewhere
        self.sorted: list[Piece] | None = None

    def copy(self, own: int) -> Memory:
        twin = Memory(own)
        twin.pieces, twin.spans = self.pieces[:], self.spans.copy()
        return twin

    def find(self, start: int, stop: int) -> Iterator[tuple[int, int, int]]:
        """(object, first page, number of pages) of what is mapped in a run of addresses."""
        if self.sorted is None:
            self.sorted = sorted(self.pieces)
        at = max(0, bisect_right(self.sorted, start, key=lambda piece: piece[0]) - 1)
        while at < len(self.sorted) and self.sorted[at][0] < stop:
            a, b, first, obj, _ = self.sorted[at]
            low, high = max(a, start), min(b, stop)
            if low < high:
                yield obj, first + low - a, high - low
            at += 1

    def replace(self, region: Spans, new: list[Piece]) -> Iterator[tuple]:
        """Put `new` pieces where `region` was; yields changes: op, object, page, count, how."""
        old, kept = [], []
        for start, stop, first, obj, how in self.pieces:
            outside: Spans = ((start, stop),)
            for a, b in region:
                outside = without(outside, a, b)
            kept += [(a, b, first + a - start, obj, how) for a, b in outside]
            inside = gaps(outside, start, stop)
            old += [(a, b, first + a - start, obj, how) for a, b in inside]
        self.pieces, self.sorted = kept + new, None
        how = {obj: how for _, _, _, obj, how in new}
        changed = list(dict.fromkeys(obj for _, _, _, obj, _ in old + new))
        cover: dict[int, Spans] = dict.fromkeys(changed, ())
        for start, stop, first, obj, _ in self.pieces:
            if obj in cover:
                cover[obj] = within(cover[obj], first, first + stop - start)
        for op, before, after in ((Op.unmap, self.spans, cover), (Op.map, cover, self.spans)):
            for obj in changed:
                for start, stop in before.get(obj, ()):
                    for a, b in gaps(after.get(obj, ()), start, stop):
                        yield op, obj, a, b - a, how.get(obj, "") if op == Op.map else ""
        self.spans.update(cover)

    def remap(self, region: Spans, new: list[tuple[int, int, int, int | None, str]]):
        """As `replace`, object None standing for anonymous memory: what was inherited at a fork is
        still the parent's pages, the rest this mm's own."""
        pieces = []
        for start, stop, first, obj, how in new:
            if obj is not None:
                pieces.append((start, stop, first, obj, how))
                continue
            mine: Spans = ((start, stop),)
            for a, b, _, other, _ in self.pieces:
                if other < 0 and other != self.own and max(a, start) < min(b, stop):
                    a, b = max(a, start), min(b, stop)
                    pieces.append((a, b, a, other, how))
                    mine = without(mine, a, b)
            pieces += [(a, b, a, self.own, how) for a, b in mine]
        return self.replace(region, pieces)


class Assembler:
    """Builds one trace; `time` (ns) is set before each report, addresses are page numbers.

    Pids name processes while they live and may be used again. One anonymous object per mm holds
    the pages that were ever touched, in order of address; only those are mapped, so total_vm is
    smaller than it was. Touches of threads are their leader's, as are open and close. A descriptor
    that a child inherited is the parent's. First touches of shared memory are taken for stores.
    `lost` counts reports that fit nothing known.
    """

    def __init__(self, rename: Callable[[str], str] = str) -> None:
        self.rename = rename
        self.number: dict[Hashable, int] = {}  # live pid -> task
        self.exe: list[str] = []
        self.leader: list[int] = []
        self.home: list[str] = []  # container of a task there from the start, else ""
        self.subtree: list[int] = []  # task that heads the subtree it belongs to, -1 for none
        self.boxes: dict[int, int] = {}  # subtree -> rank by its first touch
        self.mm: dict[int, Memory] = {}  # leader -> its mm
        self.fds: dict[tuple[int, Hashable], int] = {}  # (leader, descriptor) -> file
        self.files: dict[Hashable, int] = {}  # device and inode, or other identity -> file
        self.file_paths: list[str] = []
        self.file_pages: list[int] = []
        self.file_kinds: list[str] = []
        self.anon_of: list[int] = []  # anonymous object -2-i belongs to task anon_of[i]
        self.rows: list[list] = []  # op, task, target, page, count, value, time
        self.time = 0
        self.lost = 0

    def row(
        self, op: Op, task: int, target: int = -1, page: int = 0, count: int = 1, value: str = ""
    ) -> None:
        self.rows.append([op, task, target, page, count, value, self.time])

    # -- tables on the way ---------------------------------------------------------------------

    def _task(self, pid: Hashable, exe: str, leader: int | None, home: str, subtree: int) -> int:
        task = self.number[pid] = len(self.exe)
        self.exe.append(exe)
        self.leader.append(task if leader is None else leader)
        self.home.append(home)
        self.subtree.append(subtree)
        return task

    def _anon(self, task: int) -> int:
        self.anon_of.append(task)
        return -1 - len(self.anon_of)  # -1 stays "no target"

    def find_file(self, key: Hashable) -> int | None:
        """The file known by `key`, if any."""
        return self.files.get(key)

    def file(self, key: Hashable, path: str, kind: str = "file", fresh: bool = False) -> int:
        """The file known by `key`; with `fresh`, another path means that the key is used again."""
        known = self.files.get(key)
        if known is None or (fresh and path != self.file_paths[known]):
            known = self.files[key] = len(self.file_paths)
            self.file_paths.append(path)
            self.file_pages.append(0)
            self.file_kinds.append(kind)
        return known

    def reaches(self, file: int, pages: int) -> None:
        """The file has at least so many pages."""
        self.file_pages[file] = max(self.file_pages[file], pages)

    def _known(self, pid: Hashable) -> int:
        task = self.number.get(pid, -1)
        self.lost += task < 0
        return task

    # -- what happened -------------------------------------------------------------------------

    def begin(self, pid: Hashable, exe: str, container: str) -> None:
        """A process that is there from the start, with an empty mm."""
        task = self._task(pid, exe, None, container, -1)
        self.mm[task] = Memory(self._anon(task))

    def fork(self, pid: Hashable, child: Hashable, into: str = "") -> None:
        """A child; `into` "subtree": it heads a container of its own."""
        if (task := self._known(pid)) < 0:
            return
        new = self._task(child, self.exe[task], None, "", self.subtree[task])
        self.mm[new] = self.mm[self.leader[task]].copy(self._anon(new))
        self.row(Op.fork, task, new)
        if into:
            self.subtree[new] = new
            self.row(Op.move, new, new)

    def thread(self, pid: Hashable, child: Hashable) -> None:
        """A task that shares the mm."""
        if (task := self._known(pid)) >= 0:
            new = self._task(child, self.exe[task], self.leader[task], "", self.subtree[task])
            self.row(Op.thread, task, new)

    def exec(self, pid: Hashable, exe: str) -> None:
        """A new, empty mm."""
        if (task := self._known(pid)) >= 0:
            self.exe[task] = exe
            self.leader[task] = task
            self.mm[task] = Memory(self._anon(task))
            self.row(Op.exec, task)

    def exit(self, pid: Hashable) -> None:
        """The end of a task, reaped at once."""
        if (task := self._known(pid)) >= 0:
            del self.number[pid]
            self.fds = {key: obj for key, obj in self.fds.items() if key[0] != task}
            self.row(Op.exit, task)
            self.row(Op.reap, task)

    def remap(self, pid: Hashable, region: Spans, pieces: list) -> None:
        """In `region` there is now what `pieces` say: start, stop, page, file or None, how."""
        if (task := self._known(pid)) < 0:
            return
        for *_, obj, how in pieces:
            if obj is not None and how == "private" and self.file_kinds[obj] == "shm":
                self.file_kinds[obj] = "ramfs"  # a tmpfs file as a program's: copied when written
        leader = self.leader[task]
        for op, obj, page, count, how in self.mm[leader].remap(region, pieces):
            self.row(op, leader, obj, page, count, how)

    def touch(self, op: Op, pid: Hashable, address: int, count: int = 1) -> None:
        """`touch_read`, `touch_write` or `discard` of a run of addresses."""
        if (task := self._known(pid)) < 0:
            return
        if op in TOUCHES and self.subtree[task] >= 0:
            self.boxes.setdefault(self.subtree[task], len(self.boxes))
        leader = self.leader[task]
        for obj, page, n in self.mm[leader].find(address, address + count):
            count -= n
            how = op
            if obj >= 0:
                self.reaches(obj, page + n)
                if op == Op.touch_read and self.file_kinds[obj] == "shm":
                    how = Op.touch_write
            self.row(how, leader, obj, page, n)
        self.lost += count

    def open(self, pid: Hashable, fd: Hashable, file: int) -> None:
        """A descriptor for a file."""
        if (task := self._known(pid)) >= 0:
            self.close(pid, fd)
            self.fds[self.leader[task], fd] = file
            self.row(Op.open, self.leader[task], file)

    def close(self, pid: Hashable, fd: Hashable) -> None:
        """Nothing happens when the descriptor is none of a file's."""
        if (task := self._known(pid)) >= 0:
            obj = self.fds.pop((self.leader[task], fd), None)
            if obj is not None:
                self.row(Op.close, self.leader[task], obj)

    def keep(self, pid: Hashable, fds: frozenset) -> None:
        """Only these descriptors are still open (after exec)."""
        if (task := self._known(pid)) >= 0:
            for leader, fd in list(self.fds):
                if leader == self.leader[task] and fd not in fds:
                    self.close(pid, fd)

    def call(self, op: Op, pid: Hashable, file: int, start: int, size: int) -> None:
        """`read` or `write` of bytes start..start+size-1 of a file."""
        if (task := self._known(pid)) >= 0 and size > 0:
            first, last = start >> SHIFT, (start + size - 1) >> SHIFT
            self.reaches(file, last + 1)
            self.row(op, task, file, first, last - first + 1)

    # -- the trace -----------------------------------------------------------------------------

    def _resolve(self) -> dict[int, list[int]]:
        """Anonymous addresses become page numbers, mappings end where objects do, and touches of
        consecutive pages at one time become one row; returns the touched addresses per object."""
        runs = (Op.map, Op.unmap, Op.discard)
        seen: dict[int, set[int]] = {}
        for op, _, target, page, count, *_ in self.rows:
            if op in TOUCHES and target < -1:
                seen.setdefault(target, set()).update(range(page, page + count))
        touched = {obj: sorted(pages) for obj, pages in seen.items()}
        rows: list[list] = []
        for row in self.rows:
            op, _, obj, page, count = row[:5]
            if op in TOUCHES or op in runs:
                if obj < -1:
                    addresses = touched.get(obj, [])
                    row[3] = bisect_left(addresses, page)
                    row[4] = bisect_left(addresses, page + count) - row[3]
                else:
                    row[4] = min(page + count, self.file_pages[obj]) - page
                if row[4] < 1:
                    continue
                last = rows[-1] if rows else [None]
                alike = op in TOUCHES and last[:3] == row[:3] and last[6] == row[6]
                if alike and last[3] + last[4] == row[3]:
                    last[4] += row[4]
                    continue
            rows.append(row)
        self.rows = rows
        return touched

    def _containers(self) -> tuple[list[Container], dict[int, int]]:
        """The table, and each subtree's place in it."""
        named = [home for home in dict.fromkeys(self.home) if home not in ("", "root")]
        for top in self.subtree:
            if top >= 0:
                self.boxes.setdefault(top, len(self.boxes))
        named += [f"{chr(65 + i % 26)}{i // 26 or ''}" for i in range(len(self.boxes))]
        place = {top: len(named) - len(self.boxes) + 1 + rank for top, rank in self.boxes.items()}
        return [Container("root"), *map(Container, named)], place

    def _tasks(self) -> list[Task]:
        tasks = []
        for number, (exe, home) in enumerate(zip(self.exe, self.home, strict=True), 1):
            base = self.rename(exe).rpartition("/")[2].removeprefix("x86_64-linux-gnu-")
            tasks.append(Task(f"{base or 'task'}.{number}", home or "root"))
        return tasks

    def trace(self, provenance: dict) -> Trace:
        """Put the tables together; raises TraceError when the result is not valid."""
        touched = self._resolve()
        containers, place = self._containers()
        tasks = self._tasks()
        objects: list[Object] = []
        index: dict[int, int] = {}
        taken: dict[str, int] = {}
        values = {"": 0}
        columns = [array(code) for code in "biiqiiq"]
        for op, task, target, page, count, value, time in self.rows:
            if op == Op.move:
                target = place[target]
            elif LANGUAGE[op].target == "object":
                if target not in index:
                    index[target] = len(objects)
                    if target < 0:
                        kind, path, pages = "anon", "", len(touched[target])
                        name = f"{tasks[self.anon_of[-2 - target]].name}:anon"
                    else:
                        kind, pages = self.file_kinds[target], self.file_pages[target]
                        path = name = self.rename(self.file_paths[target])
                    taken[name] = taken.get(name, 0) + 1
                    unique = name if taken[name] == 1 else f"{name}#{taken[name]}"
                    objects.append(Object(unique, kind, pages, path))
                target = index[target]
            code = values.setdefault(value, len(values))
            for column, cell in zip(
                columns, (op, task, target, page, count, code, time), strict=True
            ):
                column.append(cell)
        return Trace.from_columns(
            objects, tasks, containers, *columns[:6], list(values), columns[6],
            {"provenance": provenance | {"lost_events": self.lost}},
        )
