"""A guest of 64 units uses 96 while half of the host is free: who swaps, who waits, who dies?"""

from __future__ import annotations

from dataclasses import replace
from random import Random
from typing import Annotated, Literal

from workbench.kernel import Machine
from workbench.kernel.names import N_READS, N_SWAP_INS, N_WRITES, SAMPLE_WIDTH, SAMPLED
from workbench.trace import Op, TraceBuilder

from .parts import (
    Books,
    Nodes,
    Pattern,
    Place,
    Scenario,
    Size,
    faults_of,
    finish,
    frames_of,
    knobs,
    order,
    outcomes,
    settle,
)

TITLE = "At the limit with room on the host: 64, 64 and 96"
SOURCE = (
    "Herbert Poetzl, 12 Mar 2007 (64 MB of memory and of virtual swap, 96 MB in use); Eric "
    "Biederman, 18 Mar 2007 (so little swap ends in death)"
)
QUESTION = "What should happen at a limit when the host has free memory?"
PLOT = "disk I/O, minor faults, penalty and frames of the guest"
PREDICTION = {
    "first_touch": "Every fault at the limit is I/O: all accesses of a loop, a third of uniform "
    "ones, 7% of skewed ones.",
    "every_container": "As many faults, all minor; no I/O, and 96 units stay in memory.",
    "virtual_swap": "No I/O and no effect on others; the guest waits a disk time for each page. "
    "With slots kept it dies at the 129th unit touched.",
    "zone": "I/O, as under first touch, and none for the neighbour.",
}
CASES = [
    {},
    {"pattern": "uniform"},
    {"pattern": "skewed"},
    {"newcomer": True},
    {"newcomer": True, "pin": "own"},
    {"newcomer": True, "pin": "partner"},
    {"write": "async"},
]
LAP = "what the scan passes over goes back to the head (RE6), out of the loop's order: 8% survive"
IDEAL = (
    "0.078 (1 - H64/H96, by Zipf's law) is what an oracle that keeps the 64 most used would reach; "
    "a clock keeps what was used of late"
)
DISAGREES = [
    ({}, "first_touch", "faults per access", 0.919271, LAP),
    ({"pattern": "skewed"}, "first_touch", "faults per access", 0.135417, IDEAL),
    ({"pattern": "skewed"}, "every_container", "faults per access", 0.119271, IDEAL),
    ({"pattern": "skewed"}, "virtual_swap", "faults per access", 0.116146, IDEAL),
]
FILLED, LOOPED = "the guest has touched all", "the loop is over"
N_PAGES = 32  # of the neighbour


def expect(pattern: str, newcomer: bool, write: str) -> dict[str, dict[str, object]]:
    if newcomer or write == "async":
        return {}
    low, high = {"cyclic": (0.95, 1), "uniform": (0.30, 0.40), "skewed": (0.05, 0.10)}[pattern]
    faults, quiet = {"faults per access": (low, high)}, {"I/O per access": 0, "neighbour faults": 0}
    alone = {"neighbour faults": 0}
    hard = {"I/O per access": (low, 3 * high)} | alone
    return {"first_touch": faults | hard, "zone": alone, "every_container": faults | quiet,
            "virtual_swap": faults | quiet}


def build(
    size: Size = "small",
    nodes: Nodes = 1,
    place: Place = None,
    pattern: Pattern = "cyclic",
    newcomer: bool = False,
    pin: Literal["no", "own", "partner"] = "no",
    write: Literal["sync", "async"] = "sync",
    vswap: Annotated[int, range(1, 1 << 20)] | None = None,
    seed: Annotated[int, range(0, 1 << 30)] = 0,
) -> Scenario:
    """A unit is a page (full: 1 MiB). G writes its 96 units once, then 20 times as often by the
    pattern; a neighbour touches its own pages. `vswap`: virtual slots, pages (64 units).

    newcomer: R then needs all frames but those that the limits of the others leave them
    write: reclaim waits for each write to swap; or, as the patch does, goes on at once
    pin: G locks its memory; or a partner with the same limit locks the third above G's
    """
    unit = 1 if size == "small" else 256
    limit, used, frames = 64 * unit, 96 * unit, 256 * unit
    vswap = vswap or limit
    where = settle(place, ["G", "N", "P", "R"], nodes)
    rng = Random(f"room {pattern} {seed}")
    b = TraceBuilder()
    for c, most in (("G", limit), ("N", 2 * N_PAGES), ("P", limit)):
        b.task(c.lower(), b.container(c, most), where[c])
    b.task("r", b.container("R"), where["R"])
    b.object("memory", "shm" if pin == "partner" else "anon", used)
    b.file("data", N_PAGES, "/srv/data")
    need = frames * nodes - limit - N_PAGES
    b.anon("heap", need)
    b.set_limit("G", vswap, "vswap_limit")
    b.touch_read("n", "data")
    for page in range(used):
        b.touch_write("g", "memory", page, 1)
    if pin == "partner":
        b.map("p", "memory", limit, used - limit)
        for page in range(limit, used):
            b.mlock("p", "memory", page, 1)
    for page in range(used if pin == "own" else 0):
        b.mlock("g", "memory", page, 1)
    b.mark(FILLED)
    for i, page in enumerate(order(pattern, used, 20 * used // (1 if unit == 1 else 4), rng)):
        b.touch_write("g", "memory", page, 1)
        if i % 8 == 0:
            b.touch_read("n", "data", i // 8 % N_PAGES, 1)
    b.mark(LOOPED)
    for page in range(need if newcomer else 0):
        b.touch_write("r", "heap", page, 1)
    b.mark("the end")
    notes = (
        "Virtual slots are looked at by virtual_swap only; the control file is refused elsewhere.",
        "What the guest unmaps needs a slot in the host's swap, which is large, but no I/O.",
        "I/O is that of the whole machine and run, but for the neighbour's start.",
    )
    host, chosen = Machine(nodes=nodes, frames=frames + 16), replace(knobs(size), swap_write=write)
    return finish(__name__, b.build(), host, chosen, locals(),
                  expect(pattern, newcomer, write), notes, O10="virtual_swap:slots=kept or freed",
                  O11="virtual_swap:penalty=delay or rate")


def measure(trace, k) -> dict[str, float]:
    """Faults of the loop; I/O (both directions) and penalty of the run; frames at the end."""
    g, start = Books(trace, k).index["G"], Books(trace, k, FILLED)
    loop = outcomes(trace, k, "g", FILLED)
    n = max(1, loop.total() - loop["skipped"])
    io = int(k.stat[N_READS] + k.stat[N_SWAP_INS] + k.stat[N_WRITES]) - N_PAGES
    column = 1 + SAMPLE_WIDTH * g + SAMPLED.index("vswap")
    slots = max(int(k.sample[at + column]) for at in range(0, k.sample_top, k.sample_width))
    dead = [k.kill_event[i] for i in range(k.kills) if trace.tasks[k.kill_victim[i]].name == "g"]
    touches = [i for i in trace.rows(Op.touch_write) if trace.tasks[trace.task[i]].name == "g"]
    return {
        "faults per access": faults_of(loop) / n,
        "minor per access": (loop["minor"] + loop["cow"]) / n,
        "major per access": (loop["major"] + loop["swapin"]) / n,
        "I/O per access": io / len(touches),
        "penalty ms per access": int(k.penalty[g]) / 1e6 / len(touches),
        "virtual slots at most": slots,
        "frames of G": frames_of(trace, k, "memory"),
        "neighbour faults": Books(trace, k, LOOPED).faults("N") - start.faults("N"),
        "G dies at access": sum(1 for i in touches if i <= dead[0]) if dead else 0,
        "R gets": Books(trace, k).mapped("R"),
        "kills": int(k.kills),
    }
