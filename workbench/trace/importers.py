"""From recordings to traces.

`python -m workbench.trace.importers SRC_DIR DST_DIR` converts the recordings that ship with the
workbench (`datasets/README.md`).
"""

from __future__ import annotations

import lzma
import re
import sys
from collections.abc import Callable, Iterable
from pathlib import Path

from .assembler import SHIFT, Assembler
from .builder import Spans, gaps, within, without
from .language import Op
from .model import Trace

PSEUDO = ("/proc/", "/sys/", "/dev/")  # no page cache behind these
# names of the recording machine's working directories, made neutral
NEUTRAL = ((r"^/src/", "src/"), (r"/dist-packages/_\w+\.pth$", "/dist-packages/site.pth"))
SHIPPED = {"gcc1": "one", "gcc2": "subtrees", "make": "one", "pyjson": "one", "web": "one"}


def neutral(path: str) -> str:
    """A path without the recording machine's own names."""
    for pattern, put in NEUTRAL:
        path = re.sub(pattern, put, path)
    return path


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
    root); "one" puts all into A. What a recording cannot say is decided as `Assembler` says, and:

    - vfork is taken for fork (no page is touched between vfork and exec in the recordings' eyes);
    - descriptors closed by exec are closed when their number is next used;
    - mappings that mremap(2) moved away stay until exec or exit;
    - a file deleted and another made with its inode number are two objects.

    Raises ValueError (TraceError) when the result is not a valid trace.
    """
    if containers not in ("subtrees", "one"):
        raise ValueError(f"containers={containers!r}: expected 'subtrees' or 'one'")
    path = Path(path)
    reader = _Ptrec(list(_lines(path)), containers == "subtrees", rename)
    reader.read()
    return reader.made.trace({
        "source": path.name.removesuffix(".xz"),
        "recorder": "ptrec: ptrace, pagemap differences",
        "kernel": kernel,
        "fault_around": "off",
        "lost_events": 0,
        "clock": "CLOCK_MONOTONIC from the first event",
    })


class _Ptrec:
    """The lines of one recording, reported to an `Assembler`."""

    def __init__(self, lines: list[list[str]], subtrees: bool, rename: Callable[[str], str]):
        self.lines, self.subtrees, self.made = lines, subtrees, Assembler(rename)
        self.extents: dict[str, list[tuple[int, int]]] = {}  # pid -> mappings as last reported
        paths = {w[-1] for w in lines if w[0] in "OM" and w[-1].startswith("/")}
        self.folders = {str(parent) for p in paths for parent in Path(p).parents}
        paged = {tuple(w[7:9]) for w in lines if w[0] == "M"}
        paged |= {tuple(w[3:5]) for w in lines if w[0] in "RW"}
        for w in lines:  # opened, whole blocks long, never used by page: a directory
            if w[0] == "O" and tuple(w[4:6]) not in paged and w[6] != "0" and int(w[6]) % 4096 == 0:
                self.folders.add(w[7])

    def read(self) -> None:
        t0 = int(self.lines[0][1])
        maps: list[list[str]] = []  # one look at /proc/PID/maps, in order of address
        for words in self.lines:
            if maps and (
                words[0] != "M"
                or words[2] != maps[0][2]
                or int(words[3], 16) <= int(maps[-1][3], 16)
            ):
                self.look(maps)
                maps = []
            self.made.time = int(words[1]) - t0
            if words[0] == "M":
                maps.append(words)
            elif words[0] == "E" and not self.made.exe:
                self.first = words[2]
                self.made.begin(words[2], words[3], "root" if self.subtrees else "A")
            elif words[2] not in self.made.number:
                self.made.lost += 1
            else:
                getattr(self, f"on_{words[0]}")(*words[2:])

    def process(self, pid: str) -> int:
        """The task whose mm a pid uses."""
        return self.made.leader[self.made.number[pid]]

    def look(self, maps: list[list[str]]) -> None:
        """Whatever of an overlapped older mapping is not reported again is gone (brk shrinking)."""
        pid = maps[0][2]
        if pid not in self.made.number:
            self.made.lost += len(maps)
            return
        new, spans = [], ()
        for _, _, _, start, n, how, first, device, inode, *path in maps:
            a, n = int(start, 16), int(n, 16)
            obj = None if inode == "0" else self.file(device, inode, *path)
            page = a if obj is None else int(first, 16)
            shared = obj is not None and how[3] == "s"
            new.append((a, a + n, page, obj, "shared" if shared else "private"))
            spans = within(spans, a, a + n)
        old = self.extents.get(self.process(pid), [])
        dead = [x for x in old if gaps(spans, *x) != (x,)]
        self.extents[self.process(pid)] = [x for x in old if x not in dead] + [n[:2] for n in new]
        for x in dead:
            spans = within(spans, *x)
        self.made.remap(pid, spans, new)

    def file(self, device: str, inode: str, path: str = "", fresh: bool = False) -> int:
        return self.made.file((device, inode), path or f"inode-{inode}", fresh=fresh)

    def on_F(self, pid: str, address: str, *_: str) -> None:
        self.made.touch(Op.touch_read, pid, int(address, 16))

    def on_A(self, pid: str, address: str, *_: str) -> None:
        self.made.touch(Op.touch_write, pid, int(address, 16))

    def on_Z(self, pid: str, address: str) -> None:
        self.made.touch(Op.discard, pid, int(address, 16))

    def on_S(self, *_) -> None:
        """Swapped out: the simulated kernel decides that by itself."""

    def on_U(self, pid: str, start: str, n: str) -> None:
        a = int(start, 16)
        b, process = a + int(n, 16), self.process(pid)
        region: Spans = ((a, b),)
        self.extents[process] = [
            y for x in self.extents.get(process, []) for y in without((x,), a, b)
        ]
        self.made.remap(pid, region, [])

    def on_E(self, pid: str, exe: str) -> None:
        self.made.exec(pid, exe)
        self.extents[self.process(pid)] = []

    def on_P(self, pid: str, child: str, *_: str) -> None:
        heads = self.subtrees and pid == self.first
        self.made.fork(pid, child, "subtree" if heads else "")
        self.extents[self.process(child)] = self.extents.get(self.process(pid), [])[:]

    def on_T(self, pid: str, child: str, *_: str) -> None:
        self.made.thread(pid, child)

    def on_X(self, pid: str, *_: str) -> None:
        self.made.exit(pid)

    def on_O(self, pid: str, fd: str, device: str, inode: str, size: str, path: str) -> None:
        self.on_c(pid, fd)
        if path.startswith("/") and not path.startswith(PSEUDO) and path not in self.folders:
            obj = self.file(device, inode, path, fresh=True)
            self.made.reaches(obj, -(-int(size) >> SHIFT))
            self.made.open(pid, fd, obj)

    def on_c(self, pid: str, fd: str) -> None:
        self.made.close(pid, fd)

    def on_R(self, pid: str, *words: str) -> None:
        self.system_call(Op.read, pid, *words)

    def on_W(self, pid: str, *words: str) -> None:
        self.system_call(Op.write, pid, *words)

    def system_call(self, op: Op, pid: str, device: str, inode: str, at: str, n: str) -> None:
        obj = self.made.find_file((device, inode))
        if obj is not None:  # else not a file of a disk
            self.made.call(op, pid, obj, max(0, int(at)), int(n))


def main(source: str, target: str) -> None:
    """Convert the recordings of `SHIPPED` in directory `source` to zip files in `target`."""
    for name, containers in SHIPPED.items():
        trace = from_ptrec(Path(source) / f"{name}.rec.xz", containers)
        trace.save(Path(target) / f"{name}.zip")
        print(f"{name}: {trace!r}")


if __name__ == "__main__":
    main(*sys.argv[1:3])
