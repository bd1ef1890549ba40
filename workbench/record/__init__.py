"""Record what real programs do with memory, page by page (Linux; no root, no compiler).

    recording = record([Command("A", ["gcc", "-c", "big.c"])])
    recording.trace.save("gcc.zip")

ptrace follows the tasks; a userfaultfd, opened from inside each of them, switches the kernel's
fault-around off (Linux 6.7), so that a page is mapped only when it is touched; PAGEMAP_SCAN shows
which pages have come. First touches are exact to the page; a page touched again while it stays
mapped is not seen again.
"""

from __future__ import annotations

import os
import platform
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from workbench.trace import Op, Trace
from workbench.trace.assembler import SHIFT, Assembler

from .launch import Command, Refused
from .perf import in_order
from .ptrace import Missing
from .tracer import TICK, Tracer

SYSTEM = ("/usr/", "/lib", "/bin/", "/sbin/", "/etc/ld.so", "/etc/locale", "/opt/")


@dataclass
class Recording:
    """A trace, and how the recording went."""

    trace: Trace
    codes: list[int]  # exit code per command; 128 + signal when one killed it
    interrupted: bool
    full: bool  # `limit` was reached, and the rest not recorded
    wall: float  # seconds from the first fork to the last exit
    waited: float  # of these, with a task standing still while the recorder worked
    stops: int
    looks: int
    fault_around: str  # "off"; or "on: " and why

    @property
    def slowdown(self) -> float:
        """How much longer the program took than alone, at least (task switches not counted)."""
        return self.wall / max(self.wall - self.waited, 1e-9)


def record(
    commands: Sequence[Command],
    *,
    tick: float = TICK,
    limit: int | None = None,
    subtrees: bool = False,
    anonymize: bool = False,
    fault_around: bool = False,
    perf: bool = False,
    rename: Callable[[str], str] | None = None,
    say: Callable[[str], None] = lambda text: None,
) -> Recording:
    """Run commands to their end, side by side, and return what they did with memory.

    tick: seconds between looks at the pages; limit: stop recording after so many reports, the
    programs go on; subtrees: each direct child of a command is a container of its own (A, B, ...),
    the command itself in root; anonymize: paths outside the system's folders are numbered, rename:
    or changed so; fault_around: leave it on; perf: exact times of touches from perf's tracepoints
    (root); say: called with remarks on the way.

    It must run in the main thread of a process without children of its own (`workbench record`
    is one). Raises Refused (no such program, set-uid) and Missing (what this system lacks).
    """
    if subtrees:
        commands = [command._replace(container="root") for command in commands]
    tracer = Tracer(commands, tick, limit, fault_around, perf, say)
    tracer.run()
    more: dict = {}
    if tracer.perf is not None:
        faults, cache = tracer.perf.stop()
        tracer.log, share = in_order(tracer.log, faults)
        lost = cache.pop("lost", 0)
        more = {"exact_times": round(share, 4), "perf_lost": lost, "page_cache": dict(cache)}
    around = "off" if tracer.uffd else f"on: {tracer.why_not}"
    trace = assemble(tracer, subtrees, Neutral() if anonymize else rename or str, around, more)
    return Recording(
        trace, [exit_code(status) for status in tracer.heads.values()], tracer.interrupted,
        tracer.full, tracer.wall, tracer.waited, tracer.stops, tracer.looks, around,
    )


def exit_code(status: int | None) -> int:
    """As a shell would say it."""
    if status is None:
        return 0
    return os.WEXITSTATUS(status) if os.WIFEXITED(status) else 128 + os.WTERMSIG(status)


class Neutral:
    """Paths outside the system's folders become numbers; the ending stays."""

    def __init__(self) -> None:
        self.known: dict[str, str] = {}

    def __call__(self, path: str) -> str:
        if not path.startswith("/") or path.startswith(SYSTEM):
            return path
        ending = os.path.splitext(path)[1]
        ending = ending if len(ending) <= 5 else ""
        return self.known.setdefault(path, f"private/{len(self.known) + 1}{ending}")


def assemble(
    tracer: Tracer, subtrees: bool, rename: Callable[[str], str], around: str, more: dict
) -> Trace:
    """The log as a trace; `more` goes into its provenance."""
    made = Assembler(rename)
    begun = tracer.log[0][0] if tracer.log else 0

    def file(identity) -> int:
        key = identity.device, identity.inode
        return made.file(key, identity.path, identity.kind, fresh=True)

    for time, what, *words in tracer.log:
        made.time = time - begun
        if what == "touch":
            made.touch(Op[words[0]], *words[1:])
        elif what == "remap":
            region, pieces = (), []
            for start, stop, back in words[1]:
                region += ((start, stop),)
                if back is not None:
                    obj = None if back.file is None else file(back.file)
                    page = start if obj is None else start + back.shift
                    how = "shared" if back.shared else "private"
                    pieces.append((start, stop, page, obj, how))
            made.remap(words[0], region, pieces)
        elif what == "open":
            pid, fd, identity, size = words
            obj = file(identity)
            made.reaches(obj, -(-size >> SHIFT))
            made.open(pid, fd, obj)
        elif what == "call":
            how, pid, identity, size, place, n = words
            obj = file(identity)
            made.reaches(obj, -(-size >> SHIFT))
            made.call(Op[how], pid, obj, place, n)
        elif what == "fork":
            heads = subtrees and words[0] in tracer.heads
            made.fork(*words, into="subtree" if heads else "")
        else:  # begin, thread, exec, keep, exit, close
            getattr(made, what)(*words)
    made.lost += tracer.lost
    provenance = {
        "recorder": "workbench record: ptrace, userfaultfd, pagemap",
        "kernel": platform.release(),
        "machine": platform.machine(),
        "fault_around": around,
        "clock": "CLOCK_MONOTONIC from the first event",
        "tick_ms": 1000 * tracer.tick,
        "interrupted": tracer.interrupted,
        "complete": not tracer.full,
    }
    if rename is str:
        provenance["commands"] = [list(command.argv) for command in tracer.commands]
    return made.trace(provenance | more)


__all__ = ["Command", "Missing", "Recording", "Refused", "record"]
