"""A container loops over a little more than its limit; its neighbour uses the same disk."""

from __future__ import annotations

from dataclasses import replace
from heapq import heapreplace
from typing import Annotated

from workbench.kernel.names import MAJOR, N_SWAP_OUTS, SWAPIN
from workbench.trace import Op, TraceBuilder

from .parts import Nodes, Place, Scenario, Size, finish, knobs, machine, settle

TITLE = "Thrashing as denial of service"
SOURCE = "Herbert Poetzl, 12 Mar 2007 (swapping at a limit can be a denial of service of its own)"
QUESTION = "What does a container that swaps at its limit do to others who use the same disk?"
PLOT = "I/O per access of the loop; the neighbour's wait for a page; how busy the disk is"
PREDICTION = {
    "none": "No I/O after the start.",
    "first_touch": "A read and a write for nearly every access: the disk is busy all the time.",
    "every_container": "No I/O while memory lasts.",
    "virtual_swap": "No I/O while memory lasts.",
    "zone": "As first touch.",
}
CASES = [{}, {"hogs": 4}, {"over": 0}]
DISK, THINK, HIT = 5.0, 50.0, 0.001  # ms


def expect(over: int) -> dict[str, dict[str, object]]:
    calm = {"I/O per access": (0, 0.01), "disk busy": (0, 0.2), "wait / alone": (0.99, 1.05)}
    table = {"none": calm, "every_container": calm, "virtual_swap": calm}
    if not over:
        return {"none": calm}
    hard = {"I/O per access": (1.6, 2), "disk busy": (0.95, 1), "wait / alone": (1.2, 100)}
    return table | {"first_touch": hard, "zone": hard}


def build(
    size: Size = "small",
    nodes: Nodes = 1,
    place: Place = None,
    hogs: Annotated[int, range(1, 17)] = 1,
    over: Annotated[int, range(0, 65)] = 32,
) -> Scenario:
    """`hogs` containers with limits of 64 (full: 1,024) write in a loop over 64 + `over` pages, 20
    times; a neighbour reads a new page of a file for every 16 of a hog's accesses."""
    unit = 1 if size == "small" else 16
    limit, used = 64 * unit, (64 + over) * unit
    boxes = [f"H{i + 1}" for i in range(hogs)]
    where = settle(place, [*boxes, "N"], nodes)
    laps = 20
    b = TraceBuilder()
    for c in boxes:
        b.task(c.lower(), b.container(c, limit + (8 * unit if not over else 0)), where[c])
        b.anon(f"heap {c}", used)
    b.task("n", b.container("N", limit), where["N"])
    b.file("log", laps * used // 16 + 1, "/var/log")
    for i in range(laps * used):
        for c in boxes:
            b.touch_write(c.lower(), f"heap {c}", i % used, 1)
        if i % 16 == 0:
            b.read("n", "log", i // 16, 1)
    b.mark("the end")
    notes = (
        "One disk, first come first served, 5 ms a page; who reads waits, writes are queued behind "
        "the read that made them necessary. A hit takes 1 us; the neighbour thinks 50 ms.",
        "The hogs run as long as the neighbour does; what was read and written is the replay's, "
        "when it happens is worked out from it.",
        "Reclaim waits for its writes, so that they happen at all: as posted, the patch kills.",
    )
    need = (hogs + 1) * (used + limit)
    chosen = replace(knobs(size), swap_write="sync")
    return finish(__name__, b.build(), machine(nodes, need), chosen, locals(), expect(over), notes)


def measure(trace, k) -> dict[str, float]:
    """I/O of the hogs; then one disk and its queue, until the neighbour has read all."""
    does: dict[int, list[bool]] = {}
    for i in [*trace.rows(Op.touch_write), *trace.rows(Op.read)]:
        does.setdefault(trace.task[i], []).append(k.ev_outcome[i] in (MAJOR, SWAPIN))
    pages = len(does.pop(max(does)))  # of the neighbour: every read is of a new one
    reads, accesses = sum(map(sum, does.values())), sum(map(len, does.values()))
    behind = int(k.stat[N_SWAP_OUTS]) / reads if reads else 0
    # the loops go on and on: in their second half, so long from one read to the next
    late = [events[len(events) // 2 :] for events in does.values()]
    pauses = [HIT * len(events) / sum(events) for events in late if sum(events)]
    span, busy, waited = one_disk([*pauses, THINK], behind, pages)
    return {
        "I/O per access": (reads + int(k.stat[N_SWAP_OUTS])) / accesses,
        "disk busy": busy / span,
        "neighbour waits ms": waited / pages,
        "wait / alone": waited / pages / DISK,
        "kills": int(k.kills),
    }


def one_disk(pauses: list[float], behind: float, pages: int) -> tuple[float, float, float]:
    """Everybody reads, waits for it, pauses, and reads again, until the last has read its `pages`;
    behind each read of the others so many writes. (time, disk busy, time the last waited), ms."""
    now = [(0.0, who) for who in range(len(pauses))]
    free = busy = waited = owed = 0.0
    while pages:
        at, who = now[0]
        done = free = max(at, free) + DISK
        busy += DISK
        if who == len(pauses) - 1:
            waited, pages = waited + done - at, pages - 1
        else:
            owed += behind
            while owed >= 1:
                free, busy, owed = free + DISK, busy + DISK, owed - 1
        heapreplace(now, (done + pauses[who], who))
    return max(at, free), busy, waited
