"""The memory of running processes as a trace: who maps which page now (/proc; Linux).

As root, physical page numbers (/proc/PID/pagemap) tell which anonymous pages processes still share
since a fork; an ordinary user sees his own processes only, and takes those pages for unshared.
"""

from __future__ import annotations

import os
import platform
from array import array
from bisect import bisect_left, bisect_right
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from fractions import Fraction

from workbench.trace import Op, Trace
from workbench.trace.assembler import Assembler
from workbench.trace.summary import TOUCHES, located

from . import ptrace
from .space import ABSENT, ANON, COMMON, FILE, ZERO, Files, Space

PFN, EXCLUSIVE = (1 << 55) - 1, 1 << 56  # of an entry of /proc/PID/pagemap
SHARED = "shared since a fork"
GROUPS = ("cgroup", "user", "command", "process")


@dataclass(frozen=True)
class Process:
    """One process as the kernel reports it; sizes in KiB."""

    pid: int
    command: str
    container: str
    rss: int
    pss: int
    uss: int


@dataclass
class Snapshot:
    """The processes, a trace that maps and touches what they have, and what could not be seen."""

    processes: list[Process]  # in the order of the trace's tasks
    trace: Trace
    unreadable: int  # processes whose memory may not be read
    exact: bool  # physical page numbers were to be had

    def fractions(self) -> list[Fraction]:
        """Each process's pages, in KiB, shared ones divided by the number of these processes that
        map them: what the kernel calls PSS, where no other process has them."""
        kib = ptrace.PAGE // 1024
        users: dict[tuple[int, int], set[int]] = {}
        found = [Fraction(0)] * len(self.processes)
        for op, task, _, target, page, count in located(self.trace):
            if op in TOUCHES and self.trace.objects[target].kind == "anon":
                found[task] += kib * count
            elif op in TOUCHES:
                for p in range(page, page + count):
                    users.setdefault((target, p), set()).add(task)
        for together, pages in Counter(map(frozenset, users.values())).items():
            for task in together:
                found[task] += Fraction(kib * pages, len(together))
        return found


def command_of(pid: int) -> str:
    with open(f"/proc/{pid}/comm", encoding="utf-8", errors="replace") as file:
        name = "".join(c if c.isprintable() else "?" for c in file.read().strip())
    return name or "?"


def cgroup_of(pid: int) -> str:
    """The process's memory cgroup (v1) or its only one (v2)."""
    unified = "/"
    with open(f"/proc/{pid}/cgroup", encoding="utf-8", errors="replace") as file:
        for line in file:
            _, controllers, path = line.rstrip("\n").split(":", 2)
            if "memory" in controllers.split(","):
                return path
            if not controllers:
                unified = path
    return unified


def user_of(pid: int) -> str:
    import pwd

    uid = os.stat(f"/proc/{pid}").st_uid
    try:
        return f"user {pwd.getpwuid(uid).pw_name}"
    except KeyError:
        return f"user {uid}"


GROUP_OF: dict[str, Callable[[int], str]] = {
    "cgroup": cgroup_of,
    "user": user_of,
    "command": command_of,
    "process": lambda pid: f"{command_of(pid)}.{pid}",
}


def running() -> list[int]:
    """Pids of all processes, in order."""
    return sorted(int(name) for name in os.listdir("/proc") if name.isdigit())


def reported(pid: int) -> tuple[int, int, int]:
    """RSS, PSS and USS (private pages) of a process in KiB, from smaps_rollup."""
    found = Counter()
    with open(f"/proc/{pid}/smaps_rollup", "rb") as file:
        for line in file:
            word, _, rest = line.partition(b":")
            if rest.endswith(b"kB\n"):
                found[word.decode()] += int(rest[:-3])
    return found["Rss"], found["Pss"], found["Private_Clean"] + found["Private_Dirty"]


class Seen:
    """One process's pages in runs of addresses, and the frames of those that others map too."""

    def __init__(self, pid: int, files: Files, scanner: ptrace.Scanner | None):
        self.space = space = Space(pid, files)
        try:
            space.look()
            try:
                found = space.scan(scanner)
            except OSError as refused:
                if scanner is None or isinstance(refused, ProcessLookupError):
                    raise
                found = space.scan(None)
            self.runs = [(a, b, now) for a, b, _, now in found if now not in (ABSENT, ZERO)]
            self.frames: dict[int, int] = {}  # address -> frame, anonymous pages mapped elsewhere
            self.numbered = False  # frames are to be had
            for start, stop, label in self.runs:
                if label != FILE:
                    cells = array("Q", os.pread(space.pagemap, 8 * (stop - start), 8 * start))
                    self.numbered = self.numbered or any(cell & PFN for cell in cells[:1])
                    self.frames |= {
                        address: cell & PFN
                        for address, cell in enumerate(cells, start)
                        if not cell & EXCLUSIVE and cell >> 63 and cell & PFN
                    }
        finally:
            space.close()

    def pieces(self, shared: dict[int, int], common: int) -> Iterator[tuple]:
        """What to map: start, stop, page, FileId, None or `common`, whether shared."""
        still = sorted(address for address, frame in self.frames.items() if frame in shared)
        ends = [stop for _, stop, _ in self.runs]
        for start, stop, back in self.space.mappings:
            if back is None:
                continue
            at = start
            for a, b, label in self.runs[bisect_right(ends, start) :]:
                if a >= stop:
                    break
                if label == FILE and back.file is not None:
                    continue  # a page of the file itself
                a, b = max(a, start), min(b, stop)
                if at < a and back.file is not None:
                    yield at, a, at + back.shift, back.file, back.shared
                for address in still[bisect_left(still, a) : bisect_left(still, b)]:
                    if a < address:
                        yield a, address, a, None, False
                    yield address, address + 1, shared[self.frames[address]], common, True
                    a = address + 1
                if a < b:
                    yield a, b, a, None, False
                at = b
            if at < stop and back.file is not None:
                yield at, stop, at + back.shift, back.file, back.shared


def snapshot(pids: Iterable[int] | None = None, group_by: str = "cgroup") -> Snapshot:
    """What running processes have in memory now. None: all that may be read.

    The processes go on meanwhile: each is looked at once, in order of pid. Containers are the
    processes' cgroups, users, commands, or each process (`group_by`). Raises Missing where there is
    nothing to be read, ValueError for an unknown `group_by`, ProcessLookupError for a pid given
    that is not there.
    """
    if group_by not in GROUPS:
        raise ValueError(f"group_by={group_by!r}: one of {', '.join(GROUPS)}")
    ptrace.machine()
    files, scanner = Files(), ptrace.Scanner()
    seen: dict[int, Seen] = {}
    processes: list[Process] = []
    unreadable = 0
    for pid in running() if pids is None else sorted(set(pids)):
        try:
            sizes = reported(pid)
            if not sizes[0]:
                continue  # a kernel thread, or a zombie
            look = Seen(pid, files, scanner)
            name, container = command_of(pid), GROUP_OF[group_by](pid)
        except (ProcessLookupError, FileNotFoundError):
            if pids is not None:
                raise ProcessLookupError(f"no process {pid}") from None
            continue
        except PermissionError:
            unreadable += 1
            continue
        container = "root" if container == "/" else container
        seen[pid] = look
        processes.append(Process(pid, name, container, *sizes))
    if not processes:
        raise ptrace.Missing("there is no process whose smaps_rollup and pagemap may be read")
    exact = any(look.numbered for look in seen.values())
    return Snapshot(processes, assemble(processes, seen, group_by, exact), unreadable, exact)


def assemble(processes: list[Process], seen: dict[int, Seen], group_by: str, exact: bool) -> Trace:
    """Every process maps and touches what it has, one after the other."""
    made = Assembler()
    times = Counter(frame for look in seen.values() for frame in set(look.frames.values()))
    shared = {frame: i for i, frame in enumerate(sorted(f for f, n in times.items() if n > 1))}
    common = made.file(SHARED, SHARED, "shm")
    made.reaches(common, len(shared))
    for process in processes:
        made.begin(process.pid, process.command, process.container)
        look = seen[process.pid]
        region, pieces = (), []
        for start, stop, page, file, together in look.pieces(shared, common):
            if file is not None and file is not common:
                file = made.file((file.device, file.inode), file.path, file.kind, fresh=True)
            pieces.append((start, stop, page, file, "shared" if together else "private"))
            region = ((min(start, region[0][0]), stop),) if region else ((start, stop),)
        made.remap(process.pid, region, pieces)
        for start, stop, label in look.runs:
            how = Op.touch_write if label in (ANON, COMMON) else Op.touch_read
            made.touch(how, process.pid, start, stop - start)
    return made.trace({
        "recorder": "workbench snapshot: smaps_rollup, pagemap",
        "kernel": platform.release(),
        "grouped_by": group_by,
        "shared_after_fork": "exact" if exact else "not visible to this user",
        "lost_events": 0,
    })
