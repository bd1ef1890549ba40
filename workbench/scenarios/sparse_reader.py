"""A container reads file after file and maps nothing: page cache that no limit on mappings sees."""

from __future__ import annotations

from random import Random
from typing import Annotated, Literal

from workbench.kernel import Machine
from workbench.kernel.names import RESIDENT
from workbench.trace import TraceBuilder

from .parts import Books, Nodes, Place, Scenario, Size, finish, knobs, settle

TITLE = "The sparse-file reader"
SOURCE = "Nick Piggin, 28 Mar 2007 (reading sparse files needs neither I/O nor swap)"
QUESTION = "Does a limit on mapped pages protect the neighbours of somebody who only reads?"
PLOT = "the hog's frames; the neighbour's faults"
PREDICTION = {
    "none": "The hog's cache grows into all that is free and the neighbours fault more.",
    "first_touch": "No: the hog is charged nothing; its neighbours fault more, by far more when it "
    "reads each page twice.",
    "every_container": "No: unmapped cache is outside its limit on purpose.",
    "zone": "Yes: the hog's cache stays in its own zone.",
}
CASES = [{}, {"reads": 2}, {"hog": 80}, {"hog": 0}]


def expect(frames: int, nodes: int, hog: int) -> dict[str, dict[str, object]]:
    if not hog:
        return {}
    free = {"hog charged": 0, "frames of the hog": (frames // 5 + 1, frames * nodes)}
    return {"none": free, "first_touch": free, "every_container": free,
            "zone": {"frames of the hog": (0, frames // 5)}}


def build(
    size: Size = "small",
    nodes: Nodes = 1,
    place: Place = None,
    hog: Annotated[int, range(0, 91)] = 20,
    reads: Literal[1, 2] = 1,
    frames: Annotated[int, range(500, 1 << 22)] | None = None,
    seed: Annotated[int, range(0, 1 << 30)] = 0,
) -> Scenario:
    """A neighbour touches 8 tenths of a node's frames (1,000; full: 5,000), some far more often
    than others; `hog` percent of all accesses read new pages, each `reads` times. Limits: 8 tenths
    of the frames and 2."""
    frames = frames or (1_000 if size == "small" else 5_000)
    where = settle(place, ["H", "N"], nodes)
    used, rng = frames * 8 // 10, Random(f"sparse {seed}")
    accesses, share = 12 * frames * nodes, hog / 100
    new = int(accesses * share) // reads + 1
    b = TraceBuilder()
    b.task("hog", b.container("H", frames * 2 // 10), where["H"])
    b.task("neighbour", b.container("N", used), where["N"])
    b.file("sparse", new, "/tmp/sparse")
    b.file("data", used, "/srv/data")
    b.touch_read("neighbour", "data")
    b.mark("the neighbour has its pages")
    at = 0
    for _ in range(accesses):
        if rng.random() < share:
            b.read("hog", "sparse", at // reads, 1)
            at = min(at + 1, new * reads - 1)
        else:
            b.touch_read("neighbour", "data", int(used * rng.random() ** 2), 1)
    b.mark("the end")
    notes = (
        "A node has 32 frames more, for stacks and page tables.",
        "A page read from a hole costs no disk; here it is counted among the hog's reads like any "
        "other page of a file, the neighbours' faults are what counts.",
        "A toy model gave 67 faults in 1000 touches without a hog, 180 when it reads each page "
        "once, 590 when twice, 67 when cache is charged.",
    )
    each = Machine(nodes=nodes, frames=frames + 32, swap=0)
    return finish(__name__, b.build(), each, knobs(size), locals(),
                  expect(frames, nodes, hog), notes)


def measure(trace, k) -> dict[str, float]:
    """The hog's charge and frames at the end; the neighbour's faults after its start."""
    start, end = Books(trace, k, "the neighbour has its pages"), Books(trace, k, "the end")
    faults = end.faults("N") - start.faults("N")
    touches = sum(1 for op, t in zip(trace.op, trace.task, strict=True) if (op, t) == (0, 1)) - 1
    base, pages = k.obj_base[0], k.obj_pages[0]
    return {
        "hog charged": end.charge("H"),
        "frames of the hog": sum(
            int(k.page_flags[v]) & RESIDENT != 0 for v in range(base, base + pages)
        ),
        "neighbour faults per 1000 touches": 1000 * faults / touches,
    }
