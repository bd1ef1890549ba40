"""One page more than the limit: a cliff for a loop, next to nothing for everything else."""

from __future__ import annotations

from dataclasses import replace
from random import Random
from typing import Annotated, Literal

from workbench.kernel.names import N_WRITES
from workbench.trace import TraceBuilder

from .parts import (
    Nodes,
    Pattern,
    Place,
    Scenario,
    Size,
    faults_of,
    finish,
    knobs,
    machine,
    order,
    outcomes,
    settle,
)

TITLE = "The limit and one page more"
SOURCE = "Dave Hansen, 12 Mar 2007 (limit + 1 always pays); Eric Biederman, 18 Mar 2007"
QUESTION = "What does a container pay that uses one page more than its limit?"
PLOT = "fault rate over footprint, for three patterns"
PREDICTION = {
    "first_touch": "All accesses of a loop fault, 1.5% of uniform ones, hardly any skewed one; "
    "each is a read from the disk.",
    "every_container": "As many faults, but minor ones.",
    "none": "None after the start.",
}
CASES = [
    {},
    {"pattern": "uniform"},
    {"pattern": "skewed"},
    {"footprint": 62},
    {"pattern": "uniform", "cluster": 1},
    {"pattern": "uniform", "cluster": 1, "quirks": "as_posted,-two_pages"},
    {"quirks": "as_posted,-rotation"},
]
LAP = "what the scan passes over goes back to the head (RE6), out of the loop's order; without: 1"
BATCH = (
    "a reclaim goes on until two pages or more are free (RE3), by clusters: on average so many of "
    "the 65 are out, not one"
)
CLUSTER = "a cluster of 4 goes for the one that is needed: 2.5 of 65 are out on average"
DISAGREES = [
    ({}, "first_touch", "faults", 0.763077, LAP),
    ({"pattern": "uniform"}, "first_touch", "faults", 0.12, BATCH),
    ({"pattern": "uniform", "cluster": 1}, "first_touch", "faults", 0.0730769, BATCH),
    ({"pattern": "uniform"}, "every_container", "faults", 0.0369231, CLUSTER),
]
LIMIT = 64


def expect(pattern: str, footprint: int) -> dict[str, dict[str, object]]:
    none = {"none": {"faults": 0}}
    if footprint <= LIMIT - 2:
        quiet = {"faults": 0, "disk reads": 0}
        return none | {"first_touch": quiet, "every_container": quiet}
    low, high = {"cyclic": (0.95, 1), "uniform": (0.005, 0.025), "skewed": (0, 0.01)}[pattern]
    faults = {"faults": (low, high)}
    return none | {"first_touch": faults | {"minor faults": 0},
                   "every_container": faults | {"disk reads": 0}}


def build(
    size: Size = "small",
    nodes: Nodes = 1,
    place: Place = None,
    pattern: Pattern = "cyclic",
    footprint: Annotated[int, range(8, 1025)] = LIMIT + 1,
    memory: Literal["file", "anon"] = "file",
    cluster: Annotated[int, range(1, 33)] | None = None,
    quirks: Literal["as_posted", "as_posted,-rotation", "as_posted,-two_pages"] = "as_posted",
    seed: Annotated[int, range(0, 1 << 30)] = 0,
) -> Scenario:
    """A limit of 64 pages; 2,600 (full: 52,000) accesses to `footprint` pages by the pattern:
    loads from a mapped file, or stores to anonymous memory. Reclaim by `cluster` (4; full: 32)."""
    accesses = 40 * (LIMIT + 1) * (1 if size == "small" else 20)
    where = settle(place, ["A"], nodes)
    b = TraceBuilder()
    b.task("a", b.container("A", LIMIT), where["A"])
    b.object("pages", memory, footprint)
    for page in order(pattern, footprint, accesses, Random(f"plus one {pattern} {seed}")):
        b.touch("a", "pages", page, 1, write=memory == "anon")
    b.mark("the end")
    notes = (
        "The first half of the accesses is the start and not measured.",
        "Skewed is Zipf's law with exponent 1. Reclaim waits for its writes.",
    )
    usual = knobs(size)
    chosen = replace(usual, cluster=cluster or usual.cluster, quirks=quirks, swap_write="sync",
                     task_frames=0, page_tables=False)
    return finish(__name__, b.build(), machine(nodes, 2 * footprint), chosen, locals(),
                  expect(pattern, footprint), notes)


def measure(trace, k) -> dict[str, float]:
    """Of the second half of the accesses: share that faulted, and that read from the disk."""
    late = outcomes(trace, k, "a", half=True)
    return {
        "faults": faults_of(late) / late.total(),
        "minor faults": (late["minor"] + late["cow"]) / late.total(),
        "disk reads": (late["major"] + late["swapin"]) / late.total(),
        "disk writes": int(k.stat[N_WRITES]) / (2 * late.total()),
        "kills": int(k.kills),
    }
