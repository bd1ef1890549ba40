"""From recordings to traces.

`python -m workbench.trace.importers SRC_DIR DST_DIR` converts the recordings that ship with the
workbench (`datasets/README.md`).
"""

from __future__ import annotations

import lzma
import re
import sys
from array import array
from bisect import bisect_left
from collections.abc import Callable, Iterable
from pathlib import Path

from .builder import Spans, gaps, within, without
from .language import LANGUAGE, Op
from .model import Container, Object, Task, Trace

SHIFT = 12  # pages of 4096 bytes
PSEUDO = ("/proc/", "/sys/", "/dev/")  # no page cache behind these
# names of the recording machine's working directories, made neutral
NEUTRAL = ((r"^/src/", "src/"), (r"/dist-packages/_\w+\.pth$", "/dist-packages/site.pth"))
SHIPPED = {"gcc1": "one", "gcc2": "subtrees", "make": "one", "pyjson": "one", "web": "one"}


def neutral(path: str) -> str:
    """A path without the recording machine's own names."""
    for pattern, put in NEUTRAL:
        path = re.sub(pattern, put, path)
    return path


class _Memory:
    """One mm while converting: which addresses (in pages) show which pages of which object."""

    def __init__(self, own: int):
        self.own = own  # the anonymous object of this mm
        self.extents: list[tuple[int, int]] = []  # the mappings as last reported
        self.pieces: list[
            tuple[int, int, int, int, str]
        ] = []  # start, stop, first page, object, how
        self.spans: dict[int, Spans] = {}  # object -> pages mapped somewhere

    def copy(self, own: int) -> _Memory:
        twin = _Memory(own)
        twin.extents, twin.pieces, twin.spans = self.extents[:], self.pieces[:], self.spans.copy()
        return twin

    def find(self, address: int) -> tuple[int, int] | None:
        """(object, page) at an address."""
        for start, stop, first, obj, _ in reversed(self.pieces):
            if start <= address < stop:
                return obj, first + address - start
        return None

    def replace(self, region: Spans, new: list[tuple[int, int, int, int, str]]):
        """Put `new` pieces where `region` was; yields changes: op, object, page, count, how."""
        old, kept = [], []
        for start, stop, first, obj, how in self.pieces:
            outside: Spans = ((start, stop),)
            for a, b in region:
                outside = without(outside, a, b)
            kept += [(a, b, first + a - start, obj, how) for a, b in outside]
            inside = gaps(outside, start, stop)
            old += [(a, b, first + a - start, obj, how) for a, b in inside]
        self.pieces = kept + new
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

    def report(self, new: list[tuple[int, int, int, int | None, str]]):
        """Mappings as one look at /proc/PID/maps reported them (object None: anonymous).

        Whatever of an overlapped older mapping is not reported again is gone (brk shrinking).
        """
        spans: Spans = ()
        for start, stop, *_ in new:
            spans = within(spans, start, stop)
        dead = [x for x in self.extents if gaps(spans, *x) != (x,)]
        self.extents = [x for x in self.extents if x not in dead] + [(n[0], n[1]) for n in new]
        pieces = []
        for start, stop, first, obj, how in new:
            if obj is not None:
                pieces.append((start, stop, first, obj, how))
                continue
            mine: Spans = ((start, stop),)
            for a, b, _, other, _ in self.pieces:  # inherited at fork: still the parent's pages
                if other < 0 and other != self.own and max(a, start) < min(b, stop):
                    a, b = max(a, start), min(b, stop)
                    pieces.append((a, b, a, other, how))
                    mine = without(mine, a, b)
            pieces += [(a, b, a, self.own, how) for a, b in mine]
        for x in dead:
            spans = within(spans, *x)
        return self.replace(spans, pieces)


def _lines(path: Path) -> Iterable[list[str]]:
    opener = lzma.open if path.suffix == ".xz" else open
    with opener(path, "rt", encoding="utf-8") as file:
        for line in file:
            words = line.rstrip("\n").split(" ")
            if words[0] != "#":
                yield words


def from_ptrec(
    path: str | Path,
    containers: str = "subtrees",
    rename: Callable[[str], str] = neutral,
    kernel: str = "6.18",
) -> Trace:
    """A recording of `ptrec` (.rec or .rec.xz) as a trace.

    `containers`: "subtrees" puts each direct child of the first task, with its descendants, into a
    container of its own, A, B, ... in the order of their first page event (the first task stays in
    root); "one" puts all into A. What a recording cannot say is decided so:

    - vfork is taken for fork (no page is touched between vfork and exec in the recordings' eyes);
    - one anonymous object per mm holds the pages that were ever touched, in order of address, and
      only those are mapped: total_vm is therefore smaller than it was;
    - threads' touches are recorded (and kept) as their leader's; so are open and close;
    - a file descriptor that a child inherited is the parent's; descriptors closed by exec are
      closed when their number is next used;
    - mappings that mremap(2) moved away stay until exec or exit;
    - a file deleted and another made with its inode number are two objects.

    Raises ValueError (TraceError) when the result is not a valid trace.
    """
    return _Converter(Path(path), containers, rename).trace(kernel)


class _Converter:
    def __init__(self, path: Path, containers: str, rename: Callable[[str], str]):
        if containers not in ("subtrees", "one"):
            raise ValueError(f"containers={containers!r}: expected 'subtrees' or 'one'")
        self.lines = list(_lines(path))
        self.source, self.subtrees, self.rename = path.name, containers == "subtrees", rename
        paths = {w[-1] for w in self.lines if w[0] in "OM" and w[-1].startswith("/")}
        self.folders = {str(parent) for p in paths for parent in Path(p).parents}
        paged = {tuple(w[7:9]) for w in self.lines if w[0] == "M"}
        paged |= {tuple(w[3:5]) for w in self.lines if w[0] in "RW"}
        for w in self.lines:  # opened, whole blocks long, never used by page: a directory
            if w[0] == "O" and tuple(w[4:6]) not in paged and w[6] != "0" and int(w[6]) % 4096 == 0:
                self.folders.add(w[7])
        self.number: dict[str, int] = {}  # live pid -> task
        self.exe: list[str] = []
        self.leader: list[int] = []
        self.mm: dict[int, _Memory] = {}  # leader -> its mm
        self.fds: dict[tuple[int, str], int] = {}  # (leader, descriptor) -> file object
        self.files: dict[tuple[str, str], int] = {}  # (device, inode) -> file object
        self.file_paths: list[str] = []
        self.file_pages: list[int] = []
        self.anon_of: list[int] = []  # anonymous object -2-i belongs to task anon_of[i]
        self.rows: list[list] = []  # op, task, target, page, count, value, time
        self.time = 0
        self.lost = 0

    def row(
        self, op: Op, task: int, target: int = -1, page: int = 0, count: int = 1, value: str = ""
    ):
        self.rows.append([op, task, target, page, count, value, self.time])

    # -- tables on the way ---------------------------------------------------------------------

    def new_task(self, pid: str, exe: str, leader: int | None = None) -> int:
        task = self.number[pid] = len(self.exe)
        self.exe.append(exe)
        self.leader.append(task if leader is None else leader)
        return task

    def new_anon(self, task: int) -> int:
        self.anon_of.append(task)
        return -1 - len(self.anon_of)  # -1 stays "no target"

    def file(self, device: str, inode: str, path: str = "", fresh: bool = False) -> int:
        key = device, inode
        known = self.files.get(key)
        if known is not None and fresh and path != self.file_paths[known]:
            known = None  # an inode number used again
        if known is None:
            known = self.files[key] = len(self.file_paths)
            self.file_paths.append(path or f"inode-{inode}")
            self.file_pages.append(0)
        return known

    def reaches(self, obj: int, pages: int) -> None:
        if obj >= 0:
            self.file_pages[obj] = max(self.file_pages[obj], pages)

    def order_subtrees(self) -> dict[str, int]:
        """Direct children of the first task -> rank by their subtree's first page event."""
        root = self.lines[0][2]
        top: dict[str, str] = {}
        rank: dict[str, int] = {}
        for op, _, pid, *rest in self.lines:
            if op in "PT":
                top[rest[0]] = rest[0] if pid == root and op == "P" else top.get(pid, "")
            elif op in "FA" and top.get(pid):
                rank.setdefault(top[pid], len(rank))
        for child in top.values():
            if child:
                rank.setdefault(child, len(rank))
        return rank

    # -- the events ----------------------------------------------------------------------------

    def convert(self) -> None:
        t0 = int(self.lines[0][1])
        self.rank = self.order_subtrees() if self.subtrees else {}
        maps: list[list[str]] = []  # one look at /proc/PID/maps, in order of address
        for words in self.lines:
            if maps and (
                words[0] != "M"
                or words[2] != maps[0][2]
                or int(words[3], 16) <= int(maps[-1][3], 16)
            ):
                self.look(maps)
                maps = []
            self.time = int(words[1]) - t0
            if words[0] == "M":
                maps.append(words)
            elif words[0] == "E" and not self.exe:
                task = self.new_task(words[2], words[3])
                self.mm[task] = _Memory(self.new_anon(task))
            elif words[2] not in self.number:
                self.lost += 1
            else:
                getattr(self, f"on_{words[0]}")(self.number[words[2]], *words[3:])

    def look(self, maps: list[list[str]]) -> None:
        if maps[0][2] not in self.number:
            self.lost += len(maps)
            return
        task = self.leader[self.number[maps[0][2]]]
        new = []
        for _, _, _, start, n, how, first, device, inode, *path in maps:
            a, n = int(start, 16), int(n, 16)
            obj = None if inode == "0" else self.file(device, inode, *path)
            page = a if obj is None else int(first, 16)
            new.append(
                (a, a + n, page, obj, "shared" if obj is not None and how[3] == "s" else "private")
            )
        for op, obj, page, count, how in self.mm[task].report(new):
            self.row(op, task, obj, page, count, how)

    def touch(self, op: Op, task: int, address: str) -> None:
        found = self.mm[self.leader[task]].find(int(address, 16))
        if found is None:
            self.lost += 1
            return
        self.reaches(found[0], found[1] + 1)
        self.row(op, self.leader[task], *found)

    def on_F(self, task: int, address: str, *_: str) -> None:
        self.touch(Op.touch_read, task, address)

    def on_A(self, task: int, address: str, *_: str) -> None:
        self.touch(Op.touch_write, task, address)

    def on_Z(self, task: int, address: str) -> None:
        self.touch(Op.discard, task, address)

    def on_S(self, *_) -> None:
        """Swapped out: the simulated kernel decides that by itself."""

    def on_U(self, task: int, start: str, n: str) -> None:
        task, a = self.leader[task], int(start, 16)
        mm, b = self.mm[task], a + int(n, 16)
        mm.extents = [y for x in mm.extents for y in without((x,), a, b)]
        for op, obj, page, count, how in mm.replace(((a, b),), []):
            self.row(op, task, obj, page, count, how)

    def on_E(self, task: int, exe: str) -> None:
        self.exe[task] = exe
        self.mm[task] = _Memory(self.new_anon(task))
        self.row(Op.exec, task)

    def on_P(self, task: int, child: str, *_: str) -> None:
        new = self.new_task(child, self.exe[task])
        self.mm[new] = self.mm[self.leader[task]].copy(self.new_anon(new))
        self.row(Op.fork, task, new)
        if task == 0 and self.subtrees:
            self.row(Op.move, new, 1 + self.rank[child])

    def on_T(self, task: int, child: str, *_: str) -> None:
        self.row(Op.thread, task, self.new_task(child, self.exe[task], self.leader[task]))

    def on_X(self, task: int, *_: str) -> None:
        self.number = {pid: t for pid, t in self.number.items() if t != task}
        self.fds = {key: obj for key, obj in self.fds.items() if key[0] != task}
        self.row(Op.exit, task)
        self.row(Op.reap, task)

    def on_O(self, task: int, fd: str, device: str, inode: str, size: str, path: str) -> None:
        self.on_c(task, fd)
        if path.startswith("/") and not path.startswith(PSEUDO) and path not in self.folders:
            obj = self.fds[self.leader[task], fd] = self.file(device, inode, path, fresh=True)
            self.reaches(obj, -(-int(size) >> SHIFT))
            self.row(Op.open, self.leader[task], obj)

    def on_c(self, task: int, fd: str) -> None:
        obj = self.fds.pop((self.leader[task], fd), None)
        if obj is not None:
            self.row(Op.close, self.leader[task], obj)

    def system_call(self, op: Op, task: int, device: str, inode: str, at: str, n: str) -> None:
        obj, start = self.files.get((device, inode)), max(0, int(at))
        if obj is not None:  # else not a file of a disk
            first, last = start >> SHIFT, (start + int(n) - 1) >> SHIFT
            self.reaches(obj, last + 1)
            self.row(op, task, obj, first, last - first + 1)

    def on_R(self, task: int, *words: str) -> None:
        self.system_call(Op.read, task, *words)

    def on_W(self, task: int, *words: str) -> None:
        self.system_call(Op.write, task, *words)

    # -- the trace -----------------------------------------------------------------------------

    def resolve(self) -> dict[int, list[int]]:
        """Anonymous addresses become page numbers, mappings end where objects do, and touches of
        consecutive pages at one time become one row; returns the touched addresses per object."""
        touches, runs = (Op.touch_read, Op.touch_write), (Op.map, Op.unmap, Op.discard)
        seen: dict[int, set[int]] = {}
        for op, _, target, page, *_ in self.rows:
            if op in touches and target < -1:
                seen.setdefault(target, set()).add(page)
        touched = {obj: sorted(pages) for obj, pages in seen.items()}
        rows: list[list] = []
        for row in self.rows:
            op, _, obj, page, count = row[:5]
            if op in touches or op in runs:
                if obj < -1:
                    addresses = touched.get(obj, [])
                    row[3] = bisect_left(addresses, page)
                    row[4] = bisect_left(addresses, page + count) - row[3]
                else:
                    row[4] = min(page + count, self.file_pages[obj]) - page
                if row[4] < 1:
                    continue
                last = rows[-1] if rows else [None]
                alike = op in touches and last[:3] == row[:3] and last[6] == row[6]
                if alike and last[3] + last[4] == row[3]:
                    last[4] += row[4]
                    continue
            rows.append(row)
        self.rows = rows
        return touched

    def trace(self, kernel: str) -> Trace:
        """Convert and put the tables together."""
        self.convert()
        touched = self.resolve()
        tasks, home = [], "root" if self.subtrees else "A"
        for number, exe in enumerate(self.exe, 1):
            base = exe.rpartition("/")[2].removeprefix("x86_64-linux-gnu-")
            tasks.append(Task(f"{base}.{number}", home if number == 1 else "root"))
        names = (
            [f"{chr(65 + i % 26)}{i // 26 or ''}" for i in range(len(self.rank))]
            if self.subtrees
            else ["A"]
        )
        objects: list[Object] = []
        index: dict[int, int] = {}
        taken: dict[str, int] = {}
        values = {"": 0}
        columns = [array(code) for code in "biiqiiq"]
        for op, task, target, page, count, value, time in self.rows:
            if LANGUAGE[op].target == "object":
                if target not in index:
                    index[target] = len(objects)
                    if target < 0:
                        kind, path, pages = "anon", "", len(touched[target])
                        name = f"{tasks[self.anon_of[-2 - target]].name}:anon"
                    else:
                        kind, pages = "file", self.file_pages[target]
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
        provenance = {
            "source": self.source.removesuffix(".xz"),
            "recorder": "ptrec: ptrace, pagemap differences",
            "kernel": kernel,
            "fault_around": "off",
            "lost_events": self.lost,
            "clock": "CLOCK_MONOTONIC from the first event",
        }
        return Trace.from_columns(
            objects,
            tasks,
            [Container("root"), *map(Container, names)],
            *columns[:6],
            list(values),
            columns[6],
            {"provenance": provenance},
        )


def main(source: str, target: str) -> None:
    """Convert the recordings of `SHIPPED` in directory `source` to zip files in `target`."""
    for name, containers in SHIPPED.items():
        trace = from_ptrec(Path(source) / f"{name}.rec.xz", containers)
        trace.save(Path(target) / f"{name}.zip")
        print(f"{name}: {trace!r}")


if __name__ == "__main__":
    main(*sys.argv[1:3])
