"""Three guests over their limits fill the host; a fourth, within its own, needs frames."""

from __future__ import annotations

from dataclasses import replace
from typing import Annotated

from workbench.kernel import Machine
from workbench.kernel.names import N_SWAP_OUTS, N_WRITES
from workbench.trace import TraceBuilder

from .parts import Books, Nodes, Place, Scenario, Size, finish, frames_of, knobs, settle

TITLE = "The innocent one pays"
SOURCE = "Pavel Emelianov, 13 Mar 2007 (then what is the limit for?); Herbert Poetzl, 13 Mar 2007"
QUESTION = "Who waits when pages beyond a limit were left in memory, and the memory is needed?"
PLOT = "writes that the newcomer waits for, by share of dirty pages"
PREDICTION = {
    "first_touch": "Nobody waits: the guests gave everything back when they were over the limit.",
    "every_container": "V waits for a write per frame if what is left over is dirty, not if clean.",
    "virtual_swap": "As every container: the host takes what is out first, and writes it.",
    "zone": "Nobody waits: V's frames are its own.",
}
CASES = [{}, {"dirty": 50}, {"dirty": 100}, {"dirty": 100, "newcomer": False}]
FIRST = "a clean page of a file that is still mapped stays another turn: dirty ones go first"
DISAGREES = [({"dirty": 50}, "every_container", "disk writes", 257, FIRST)]
GUESTS = ("G1", "G2", "G3")
FULL = "the guests have filled the host"


def expect(dirty: int, newcomer: bool, need: int) -> dict[str, dict[str, object]]:
    if not newcomer:
        return {scheme: {"disk writes": 0} for scheme in ("every_container", "virtual_swap")}
    low, high = need * dirty // 100 * 6 // 10, max(need * dirty // 100 * 14 // 10, need // 50)
    all_of_it = {"V gets": (need - need // 50, need), "kills": 0}
    waits = all_of_it | {"disk writes": (low, high)}
    calm = all_of_it | {"frames of the guests": (0, 384 * (need // 256))}
    return {"first_touch": calm, "every_container": waits, "virtual_swap": waits, "zone": calm}


def build(
    size: Size = "small",
    nodes: Nodes = 1,
    place: Place = None,
    dirty: Annotated[int, range(0, 101)] = 0,
    newcomer: bool = True,
) -> Scenario:
    """Three guests with limits of 128 fill 1,024 frames a node (full: 16 times as much), `dirty`
    percent of it by writing anonymous memory, the rest by mapping files; then V touches 256."""
    unit = 1 if size == "small" else 16
    frames, limit, need = 1024 * unit, 128 * unit, 256 * unit
    where = settle(place, [*GUESTS, "V"], nodes)
    each = (frames * nodes - 24 * unit * nodes) // len(GUESTS)
    written = each * dirty // 100
    b = TraceBuilder()
    for g in GUESTS:
        b.task(g.lower(), b.container(g, limit), where[g])
        b.set_limit(g, each, "vswap_limit")
        if written:
            b.anon(f"heap {g}", written)
        if each > written:
            b.file(f"file {g}", each - written, f"/srv/{g}")
    b.task("v", b.container("V", need + 16 * unit), where["V"])
    b.anon("heap V", need)
    for page in range(each):
        old = page * written // each  # dirty ones so far: evenly among the others
        for g in GUESTS:
            if (page + 1) * written // each > old:
                b.touch_write(g.lower(), f"heap {g}", old, 1)
            else:
                b.touch_read(g.lower(), f"file {g}", page - old, 1)
    b.mark(FULL)
    for page in range(need if newcomer else 0):
        b.touch_write("v", "heap V", page, 1)
    b.mark("the end")
    notes = (
        "Nothing writes dirty pages in the background; a machine with a cleaner that keeps up is "
        "the one with dirty=0.",
        "Writes that V waits for: those of the run less those of newcomer=False.",
        "Reclaim waits for its writes. Virtual swap has slots for all that a guest uses.",
    )
    return finish(__name__, b.build(), Machine(nodes=nodes, frames=frames),
                  replace(knobs(size), swap_write="sync"), locals(),
                  expect(dirty, newcomer, need), notes)


def measure(trace, k) -> dict[str, float]:
    """Writes of the run, what V got, and frames that the guests still hold."""
    end = Books(trace, k, "the end")
    theirs = [o.name for o in trace.objects if o.name != "heap V"]
    return {
        "disk writes": int(k.stat[N_WRITES]),
        "swap-outs": int(k.stat[N_SWAP_OUTS]),
        "V gets": end.mapped("V"),
        "V faults": end.faults("V"),
        "frames of the guests": frames_of(trace, k, *theirs),
        "guests mapped": sum(end.mapped(g) for g in GUESTS),
        "kills": int(k.kills),
    }
