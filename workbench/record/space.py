"""One address space as it is watched: its mappings, and which of its pages are there."""

from __future__ import annotations

import contextlib
import errno
import os
import stat
from array import array
from bisect import bisect_right
from collections.abc import Iterable, Iterator
from itertools import groupby
from typing import NamedTuple

from . import ptrace

SHIFT = 12
PSEUDO = ("/proc/", "/sys/", "/dev/")  # no page cache behind these
MEMORY = ("/dev/zero", "/memfd:", "/SYSV", "/dev/shm/")  # shared memory without a file system
# what a page table entry shows; COMMON: anonymous, not written since a fork
ABSENT, FILE, ANON, ZERO, COMMON = range(5)
_LABELS = {
    categories: ZERO if categories & ptrace.IS_ZERO else
    FILE if categories & ptrace.IS_FILE else
    COMMON if categories & (ptrace.IS_PROTECTABLE | ptrace.IS_WRITTEN) == ptrace.IS_PROTECTABLE
    else ANON
    for categories in range(64)
}
_PRESENT, _SWAPPED, _FILE = 1 << 63, 1 << 62, 1 << 61  # bits of /proc/PID/pagemap
Run = tuple[int, int, int]  # start, stop, label


class FileId(NamedTuple):
    """A file of a disk, or shared memory."""

    device: int
    inode: int
    path: str
    kind: str  # "file", "shm" or "ramfs"


class Backing(NamedTuple):
    """What an address shows: page `address + shift` of a file, or anonymous memory."""

    file: FileId | None
    shift: int
    shared: bool


def differences(old: Iterable[tuple], new: Iterable[tuple], nothing: object) -> Iterator[tuple]:
    """(start, stop, before, after) where two lists of (start, stop, label) differ.

    Each list is sorted and disjoint. Only the parts that are not in both cost anything.
    """
    old, new = list(old), list(new)
    same = set(old).intersection(new)
    edges = sorted(
        [(run[0], 0, run[2]) for run in old if run not in same]
        + [(run[1], 0, nothing) for run in old if run not in same]
        + [(run[0], 1, run[2]) for run in new if run not in same]
        + [(run[1], 1, nothing) for run in new if run not in same],
        key=lambda edge: (edge[0], edge[1], edge[2] != nothing),
    )
    state, last = [nothing, nothing], None
    for at, (address, side, label) in enumerate(edges):
        state[side] = label
        if at + 1 < len(edges) and edges[at + 1][0] == address:
            continue
        if last is not None and last[1] != last[2]:
            yield last[0], address, last[1], last[2]
        last = address, *state


def without(runs: list[Run], start: int, stop: int) -> list[Run]:
    """`runs` minus the addresses start..stop-1."""
    left = []
    for a, b, label in runs:
        if b <= start or stop <= a:
            left.append((a, b, label))
        else:
            left += [(p, q, label) for p, q in ((a, start), (stop, b)) if p < q]
    return left


class Files:
    """Identities of files as mappings and descriptors name them."""

    def __init__(self) -> None:
        self.known: dict[tuple, FileId | None] = {}
        self.memory: dict[int, str] = {}  # device -> kind, for file systems in memory
        with open("/proc/self/mountinfo", encoding="utf-8", errors="replace") as table:
            for line in table:
                words, _, rest = line.partition(" - ")
                kind = {"tmpfs": "shm", "ramfs": "ramfs"}.get(rest.split(" ")[0])
                if kind:
                    major, minor = words.split(" ")[2].split(":")
                    self.memory[os.makedev(int(major), int(minor))] = kind

    def kind(self, device: int, path: str) -> str:
        return "shm" if path.startswith(MEMORY) else self.memory.get(device, "file")

    def of_mapping(self, device: str, inode: str, path: str) -> FileId | None:
        """A line of /proc/PID/maps; None for devices. stat(2) of the path knows the device best
        (overlay and btrfs show another one in maps)."""
        key = device, inode, path
        if key not in self.known:
            major, minor = (int(part, 16) for part in device.split(":"))
            number, regular = os.makedev(major, minor), True
            try:
                seen = os.stat(path)
                regular = stat.S_ISREG(seen.st_mode)
                number = seen.st_dev if seen.st_ino == int(inode) else number
            except OSError:  # deleted, or memory
                regular = not path.startswith(PSEUDO) or path.startswith(MEMORY)
            path = path.removesuffix(" (deleted)")
            kind = self.kind(number, path)
            self.known[key] = FileId(number, int(inode), path, kind) if regular else None
        return self.known[key]

    def of_descriptor(self, pid: int, fd: int) -> tuple[FileId, int] | None:
        """The regular file behind a descriptor, and its size in bytes; None for anything else."""
        link = f"/proc/{pid}/fd/{fd}"
        try:
            seen = os.stat(link)
            if not stat.S_ISREG(seen.st_mode):
                return None
            path = os.readlink(link).removesuffix(" (deleted)")
        except OSError:
            return None
        if path.startswith(PSEUDO) and not path.startswith(MEMORY):
            return None
        kind = self.kind(seen.st_dev, path)
        return FileId(seen.st_dev, seen.st_ino, path, kind), seen.st_size


class Space:
    """One mm. `pid` is a living task of it, `owner` the process that its touches are logged for."""

    def __init__(self, pid: int, files: Files, gate: int = 0):
        self.pid = self.owner = pid
        self.files = files
        self.users = {pid}
        self.gate = gate  # address of a system call instruction in the vdso
        self.uffd = self.pagemap = -1
        self.lines: dict[str, tuple] = {}
        self.mappings: list[tuple[int, int, Backing | None]] = []  # None: the kernel's, a device's
        self.runs: list[Run] = []
        self.raw: list | None = None
        self.forked = False  # on either side of a fork: copies are watched for
        self.foreign = False  # a 32-bit program: its system calls are not followed

    def copy(self, pid: int) -> Space:
        """The child's after a fork. Its descriptors are its own, and yet to be made."""
        twin = Space(pid, self.files, self.gate)
        twin.lines, twin.mappings, twin.runs = self.lines, self.mappings, self.runs
        return twin

    def close(self) -> None:
        """Give back the descriptors; with the userfaultfd its registrations go."""
        for fd in (self.uffd, self.pagemap):
            if fd >= 0:
                os.close(fd)
        self.uffd = self.pagemap = -1

    # -- mappings ------------------------------------------------------------------------------

    def parse(self, line: str) -> tuple[int, int, Backing | None]:
        words = line.split(maxsplit=5)
        start, _, stop = words[0].partition("-")
        a, b, path = int(start, 16) >> SHIFT, int(stop, 16) >> SHIFT, words[5:] and words[5]
        if words[4] == "0":
            if path and path.startswith("[v"):  # vdso, vvar, vsyscall: the kernel's own
                return a, b, None
            return a, b, Backing(None, 0, False)
        file = self.files.of_mapping(words[3], words[4], path or "")
        if file is None:
            return a, b, None
        return a, b, Backing(file, (int(words[2], 16) >> SHIFT) - a, words[1][3] == "s")

    def look(self) -> list[tuple[int, int, Backing | None]]:
        """Read the mappings; returns what changed: (start, stop, what is there now).

        Pages of what changed are forgotten. Raises OSError when the process is gone.
        """
        with open(f"/proc/{self.pid}/maps", encoding="utf-8", errors="replace") as file:
            lines = file.read().split("\n")[:-1]
        if not lines:
            return []
        known = self.lines
        self.lines = {line: known[line] if line in known else self.parse(line) for line in lines}
        before, self.mappings = self.mappings, list(self.lines.values())
        found = []
        for start, stop, _, after in differences(before, self.mappings, None):
            found.append((start, stop, after))
            self.runs = without(self.runs, start, stop)
            self.raw = None
        if self.uffd >= 0:  # also what looks as before: a new mapping is not registered
            self.register(self.lines[line] for line in self.lines if line not in known)
        return found

    def register(self, mappings: Iterable[tuple[int, int, Backing | None]]) -> None:
        """Switch fault-around off in file mappings; one that refuses (shared and read-only) has
        it on, and what it maps around a touch is recorded as touched."""
        for start, stop, back in mappings:
            if back is not None and back.file is not None:
                with contextlib.suppress(OSError):
                    ptrace.register(self.uffd, start << SHIFT, stop << SHIFT)

    def find_gate(self, insn: bytes) -> int:
        """The address of a system call instruction in the vdso, 0 when there is none."""
        with open(f"/proc/{self.pid}/maps", encoding="utf-8", errors="replace") as file:
            for line in file:
                if line.rstrip().endswith("[vdso]"):
                    start, stop = (int(part, 16) for part in line.split(" ")[0].split("-"))
                    with open(f"/proc/{self.pid}/mem", "rb", buffering=0) as memory:
                        code = os.pread(memory.fileno(), stop - start, start)
                    at = code.find(insn)
                    return start + at if at >= 0 else 0
        return 0

    # -- pages ---------------------------------------------------------------------------------

    def scan(self, scanner: ptrace.Scanner | None) -> list[tuple[int, int, int, int]]:
        """(start, stop, before, after) of pages that came, went or were copied since last time.

        Raises OSError when the process is gone or the kernel refuses.
        """
        if not self.mappings:
            return []
        pagemap = self.map_of_pages()
        if scanner:
            raw = scanner(pagemap, *self.bounds(), written=self.forked)
        else:
            raw = list(self.entries())
        if raw == self.raw:
            return []
        if not raw:
            raise ProcessLookupError(errno.ESRCH, "the mm is gone")
        self.raw = raw
        if scanner:
            raw = [(a >> SHIFT, b >> SHIFT, _LABELS[categories]) for a, b, categories in raw]
        before, self.runs = self.runs, raw
        return list(self.clipped(differences(before, raw, ABSENT)))

    def bounds(self) -> tuple[int, int]:
        """The first and the last address of its own (vsyscall lies beyond what may be asked)."""
        ends = [stop for _, stop, back in self.mappings if back is not None]
        return self.mappings[0][0] << SHIFT, max(ends, default=0) << SHIFT

    def fork(self, scanner: ptrace.Scanner | None) -> None:
        """After a fork, on both sides: anonymous pages are write-protected, and what is there now
        is no touch. Raises OSError."""
        if scanner and self.uffd >= 0:
            self.forked = True
            for start, stop, back in self.mappings:
                if back is not None and back.file is None:
                    with contextlib.suppress(OSError):
                        ptrace.register(self.uffd, start << SHIFT, stop << SHIFT)
            scanner(self.map_of_pages(), *self.bounds(), protect=True)
        self.scan(scanner)

    def map_of_pages(self) -> int:
        """A descriptor for its /proc/PID/pagemap."""
        if self.pagemap < 0:
            self.pagemap = os.open(f"/proc/{self.pid}/pagemap", os.O_RDONLY | os.O_CLOEXEC)
        return self.pagemap

    def clipped(self, found: Iterator[tuple]) -> Iterator[tuple]:
        """Without the kernel's own pages; what lies in no mapping at all is passed on."""
        for start, stop, before, after in found:
            at = bisect_right(self.mappings, start, key=lambda mapping: mapping[0]) - 1
            if at >= 0 and self.mappings[at][2] is None and stop <= self.mappings[at][1]:
                continue
            yield start, stop, before, after

    def covers(self, found: list[tuple[int, int, int, int]]) -> bool:
        """Whether what a scan found lies in known mappings. If not, it is as if not scanned."""
        for start, _, _, after in found:
            place = bisect_right(self.mappings, start, key=lambda mapping: mapping[0]) - 1
            if after != ABSENT and (place < 0 or self.mappings[place][1] <= start):
                for a, b, old, _ in found:
                    self.runs = without(self.runs, a, b)
                    self.runs += [(a, b, old)] if old != ABSENT else []
                self.runs.sort()
                self.raw = None
                return False
        return True

    def entries(self) -> Iterator[Run]:
        """As a scan, by reading every entry of every mapping (before Linux 6.7)."""
        for start, stop, _ in self.mappings:
            for at in range(start, stop, 1 << 16):
                data = os.pread(self.pagemap, 8 * (min(stop, at + (1 << 16)) - at), 8 * at)
                if not data.strip(b"\0"):
                    continue
                cells = array("Q", data)
                for there, run in groupby(enumerate(cells, at), key=lambda cell: label(cell[1])):
                    if there:
                        cells_of = list(run)
                        yield cells_of[0][0], cells_of[-1][0] + 1, there


def label(entry: int) -> int:
    """What one entry of /proc/PID/pagemap shows; it does not tell the zero page."""
    if not entry & (_PRESENT | _SWAPPED):
        return ABSENT
    return FILE if entry & _FILE else ANON
