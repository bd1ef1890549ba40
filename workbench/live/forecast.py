"""What is predicted: a scheme's books after every event, without the kernel's own memory."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from fractions import Fraction

from workbench import schemes
from workbench.kernel import Knobs, Machine, State, stepped
from workbench.kernel.charge import drain
from workbench.kernel.names import (
    N_FREED,
    N_KILLS,
    N_LIMIT_HITS,
    N_READS,
    N_SWAP_OUTS,
    N_UNMAPPED,
    PRESENT,
    REFUSED,
)
from workbench.trace import Trace

from .ledger import Ledger

# the kernel's own memory is measured apart and taken off, so the engine is asked for none
BARE = Knobs(page_tables=False, task_frames=0, files_per_frame=0, failcnt="linux-batch")
SCHEMES = {1: "cgroup_v1", 2: "cgroup_v2"}  # version of the groups -> the kernel's own rule
LEDGER = "ledger"
TAKEN = (N_FREED, N_UNMAPPED, N_SWAP_OUTS, N_KILLS)


@dataclass
class Forecast:
    """What a scheme says: rows after every event, in whole pages; victims by (event, task)."""

    scheme: str
    usage: list[list[int]] = field(default_factory=list)
    failcnt: list[list[int]] = field(default_factory=list)
    victims: list[tuple[int, int]] = field(default_factory=list)
    refused: list[int] = field(default_factory=list)  # events: a task waits, or there is no task
    full: int | None = None  # the event at which a container first lacks room for a page
    reclaims: int | None = None  # the event at which pages are first taken, or a task is killed
    both: list[list[int]] = field(default_factory=list)  # in memory and swap together
    reads: int = 0  # pages read from the disk


def forecast(
    trace: Trace, scheme: str, version: int = 1, swap: int = 0
) -> Forecast:
    """Replay event by event. Cost: a replay, and a row of numbers per event.

    swap     pages of a swap area
    version  of the groups, for the ledger: in 2 a removed group stays as a shadow
    """
    said = Forecast(scheme)
    if scheme == LEDGER:
        ledger = Ledger(trace, reparents=version == 1)
        said.usage = [ledger.after(n) for n in range(len(trace))]
        return said
    k, before = None, (0, [0] * len(TAKEN))
    for n, k in enumerate(walk(trace, scheme, swap=swap)):
        said.usage.append([int(u) // k.unit for u in k.usage[: k.containers]])
        said.both.append([int(k.usage[c]) // k.unit + int(k.swapped[c])
                          for c in range(k.containers)])
        said.failcnt.append([int(f) for f in k.failcnt[: k.containers]])
        hits, now = int(k.stat[N_LIMIT_HITS]), [int(k.stat[i]) for i in TAKEN]
        if said.full is None and hits:
            said.full = n
        if said.reclaims is None and hits > before[0] and now != before[1]:
            said.reclaims = n
        before = hits, now
    if k is not None:
        said.reads = int(k.stat[N_READS])
        kills = min(int(k.kills), int(k.kills_end))
        said.refused = [n for n in range(len(trace)) if k.ev_outcome[n] == REFUSED]
        said.victims = [(int(k.kill_event[i]), int(k.kill_victim[i])) for i in range(kills)]
    return said


def walk(trace: Trace, scheme: str, nodes: int = 0, swap: int = 0) -> Iterator[State]:
    """The state after every event, without kernel memory; interpreted: traces are small here.

    What was charged in advance is given back each time, as the runner has the kernel do.
    """
    nodes = nodes or 1 + max((task.node for task in trace.tasks), default=0)
    machine = Machine(nodes=nodes, swap=swap)
    for k in stepped(trace, schemes.get(scheme), machine, BARE, engine="interpreted"):
        for c in range(k.containers):
            drain(k, c)
        yield k


def mapped_by_node(k: State, nodes: int) -> list[list[int]]:
    """Container -> node -> distinct pages mapped."""
    found = [[0] * nodes for _ in range(k.containers)]
    for page, mms in mappers(k):
        for c in {int(k.mm_container[mm]) for mm in mms}:
            found[c][int(k.zone_node[k.page_zone[page]])] += 1
    return found


def pss_of_mms(k: State) -> dict[int, Fraction]:
    """Pages of every mm, each divided by its number of mappings."""
    found: dict[int, Fraction] = {}
    for _, mms in mappers(k):
        for mm in mms:
            found[mm] = found.get(mm, Fraction(0)) + Fraction(1, len(mms))
    return found


def mappers(k: State) -> Iterator[tuple[int, list[int]]]:
    """Every mapped page with the mms that map it."""
    for page in range(k.pages_top):
        maps = int(k.page_maps[page])
        pte, mms = int(k.page_rmap[page]) - 1, []
        for _ in range(maps + int(k.page_swaps[page]) if maps else 0):
            word = int(k.word[pte])
            if word & PRESENT:
                mms.append((word >> 40) - 1)
            pte = int(k.pte_next[pte])
        if mms:
            yield page, mms
