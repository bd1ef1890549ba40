"""A container with a zone of 1.5 GB on a host of 4 GB asks for ever more."""

from __future__ import annotations

from dataclasses import replace
from typing import Annotated, Literal

from workbench.kernel import STATS, Machine
from workbench.trace import TraceBuilder

from .parts import Books, Nodes, Place, Scenario, Size, finish, killed_at, knobs, settle

TITLE = "The 1.5 GB container"
SOURCE = "Andrew Morton, 13 Mar 2007 (works today with fake NUMA nodes and cpusets)"
QUESTION = "Does a zone alone, without any accounting, do what a container needs?"
PLOT = "the container's frames by load, what it swaps, who is killed; the neighbour's faults"
_INSIDE = (
    "It grows to its size, reclaims its own, swaps, and at last one of its tasks is killed; the "
    "host does not notice."
)
PREDICTION = {
    "none": "The host reclaims from everybody: the neighbour faults.",
    "zone": _INSIDE,
    "partition": _INSIDE,
    "first_touch": "As with a zone, but only what is mapped: the files it reads stay outside its "
    "limit.",
}
CASES = [{}, {"swap": 400}, {"disk": "async"}]
DISK = (
    "one reclaim asks for all pages to be written, all of swap, before the disk has written any, "
    "and finds nothing free: the killer comes while the writes are on their way"
)
DISAGREES = [
    ({"disk": "async"}, scheme, "killed", "load 400", DISK)
    for scheme in ("zone", "partition", "first_touch")
]
FIRST, LAST, STEP, BIG, CACHE, NEIGHBOUR, HOST = 100, 600, 50, 384, 100, 500, 1_024
START = "the neighbour has its pages"


def expect(nodes: int, swap: int, unit: int) -> dict[str, dict[str, object]]:
    fits = BIG + swap  # pages of its load, but for what its kernel frames take
    fatal = next((load for load in range(FIRST, LAST + 1, STEP) if load > fits), 0)
    inside = {
        "killed": f"load {fatal}" if fatal else "no",
        "killed outside": 0,
        "frames at most": ((BIG - 8) * unit, BIG * unit),
        "neighbour's faults": 0,
    }
    shared = {"neighbour's faults": (1, 10 * NEIGHBOUR * unit)} if nodes == 1 else {}
    mapped = {
        "killed outside": 0,
        "frames at most": (BIG * unit, (BIG + CACHE) * unit),
        "killed": inside["killed"],
    }
    return {"none": shared, "zone": inside, "partition": inside, "first_touch": mapped}


def build(
    size: Size = "small",
    nodes: Nodes = 1,
    place: Place = None,
    swap: Annotated[int, range(0, 1 << 16)] = 150,
    disk: Literal["sync", "async"] = "sync",
) -> Scenario:
    """384 of 1,024 frames; a load that reads a file of 100 pages, then grows from 100 to 600 in
    steps of 50, and a neighbour that uses its 500 again and again; `swap` pages (full: 1,024 times
    as much).

    disk: reclaim waits for what it writes, or (async, the knob's default) goes on at once.
    """
    unit = 1 if size == "small" else 1_024
    where = settle(place, ["A", "N"], nodes)
    b = TraceBuilder()
    b.task("job", b.container("A", BIG * unit), where["A"])
    b.task("neighbour", b.container("N", (NEIGHBOUR + 20) * unit), where["N"])
    b.file("log", CACHE * unit, "/var/log")
    b.anon("load", LAST * unit)
    b.file("data", NEIGHBOUR * unit, "/srv/data")
    for _ in range(2):
        b.touch_read("neighbour", "data")
    b.mark(START)
    b.read("job", "log")
    for load in range(0, LAST, STEP):
        for page in range(load, load + STEP):
            b.touch_write("job", "load", page * unit, unit)
        b.touch_read("neighbour", "data")
        b.mark(f"load {load + STEP}")
    notes = (
        "Stacks and page tables are in the zone as well: its last pages hold less than the load.",
        "The load is written page by page, once: what is swapped stays in swap.",
        "Morton's stray pages, thrown out as a set grows, are not simulated.",
    )
    chosen = replace(knobs(size), swap_write=disk)
    return finish(__name__, b.build(), Machine(nodes, HOST * unit, swap * unit), chosen,
                  locals(), expect(nodes, swap, unit), notes,
                  O14="a full zone never borrows a frame")


def measure(trace, k) -> dict[str, float | str]:
    """Frames beyond the neighbour's at their most, swap, kills, and what the neighbour notices."""
    marks = [f"load {load}" for load in range(STEP, LAST + 1, STEP)]
    start, last = Books(trace, k, START), Books(trace, k)
    victims = [trace.tasks[k.kill_victim[i]].name for i in range(min(k.kills, k.kills_end))]
    frames = [Books(trace, k, mark).pages() - start.pages() for mark in marks]
    return {
        "frames at most": max(frames),
        "pages swapped out": int(k.stat[STATS.index("swap_outs")]),
        "killed": killed_at(trace, k, {"job"}),
        "killed outside": len(victims) - victims.count("job"),
        "neighbour's faults": last.faults("N") - start.faults("N"),
    }
