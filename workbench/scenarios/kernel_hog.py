"""Kernel memory that no limit on RSS sees: page tables, objects of many kinds, shared slabs."""

from __future__ import annotations

from typing import Annotated, Literal

from workbench.kernel import Machine
from workbench.kernel.names import SAMPLE_WIDTH
from workbench.trace import TraceBuilder

from .parts import Nodes, Place, Scenario, Size, finish, killed_at, knobs, settle

TITLE = "The page-table bomb"
SOURCE = "Nick Piggin, 28 Mar 2007 (kernel objects; the page-table form is the workbench's)"
QUESTION = "Can a container with a limit on mapped memory still use up the machine?"
PLOT = "kernel frames, the hog's charge and free frames through time"
PREDICTION = {
    "none": "The machine runs out of frames.",
    "first_touch": "Charged nothing: the zero page is nobody's; the machine runs out of frames.",
    "every_container": "As first touch.",
    "fraction": "As first touch.",
    "zone": "Contained: page tables come from the hog's own zone.",
}
CASES = [{}, {"form": "kinds"}, {"form": "kinds", "counted": 10}, {"form": "slab"}]
BLOCK = 512  # pages that one page table maps
KINDS, FEW, SLAB = 10, 2, 16  # kinds of object; frames a count leaves; files in a frame


def expect(form: str, counted: int) -> dict[str, dict[str, object]]:
    if form == "slab" or counted == KINDS:
        return {scheme: {"machine ran out": "no"} for scheme in PREDICTION}
    out = {"hog charged at most": 0, "machine ran out": "yes"}
    return {"none": out, "first_touch": out, "every_container": out, "fraction": out,
            "zone": {"machine ran out": "no"}}


def build(
    size: Size = "small",
    nodes: Nodes = 1,
    place: Place = None,
    frames: Annotated[int, range(64, 1 << 16)] | None = None,
    tables: Annotated[int, range(8, 1 << 16)] | None = None,
    form: Literal["tables", "kinds", "slab"] = "tables",
    counted: Annotated[int, range(0, KINDS + 1)] = 0,
) -> Scenario:
    """The hog, with a limit of an eighth of a node's `frames` (256; full: 4,096), reads one page in
    each of `tables` blocks (as many as there are frames); a neighbour has a quarter of a node.

    kinds: instead it makes objects of ten kinds, of which `counted` have a count that stops them
    slab: hog and neighbour open files in turn, the hog the first of every 16 that share a frame
    """
    frames = frames or (256 if size == "small" else 4_096)
    tables = tables or frames * nodes
    where = settle(place, ["H", "N"], nodes)
    limit, used = frames // 8, frames // 4
    b = TraceBuilder()
    b.task("hog", b.container("H", limit), where["H"])
    b.task("neighbour", b.container("N", 2 * used), where["N"], vm=used)
    b.anon("untouched", tables * BLOCK)
    b.anon("own", used)
    b.touch_write("neighbour", "own")
    b.map("hog", "untouched")
    if form == "tables":
        for table in range(tables):
            b.touch_read("hog", "untouched", table * BLOCK, 1)
    for kind in range(KINDS if form == "kinds" else 0):
        b.object(f"kind {kind + 1}", "kernel", frames * nodes)
        b.write("hog", f"kind {kind + 1}", 0, FEW if kind < counted else None)
    if form == "slab":
        b.file("log", 1)
    for i in range(frames // 16 * SLAB if form == "slab" else 0):
        b.open("neighbour" if i % SLAB else "hog", "log")
    b.mark("the hog has read")
    notes = (
        "Reading untouched anonymous memory maps the zero page: no frame, no charge, but the page "
        "table that holds the entry is a frame of the kernel's.",
        "On 64 bit 262,144 such reads take 1 GiB of page tables.",
        "No swap, so that nothing but the hog's page tables moves.",
    )
    each = Machine(nodes=nodes, frames=frames + 16, swap=0)
    return finish(__name__, b.build(), each, knobs(size), locals(), expect(form, counted), notes)


def measure(trace, k) -> dict[str, float | str]:
    """What the hog was ever charged, kernel frames at their most, whether the machine's own OOM
    killer had to act; the hog's share of open files, and of kernel frames charged."""
    of_machine = [i for i in range(min(k.kills, k.kills_end)) if k.kill_container[i] < 0]
    first = 1 + SAMPLE_WIDTH * k.containers + 3  # kernel frames of the first zone in a sample
    most = max(
        sum(int(k.sample[at + first + 4 * z]) for z in range(k.zones))
        for at in range(0, k.sample_top, k.sample_width)
    )
    return {
        "hog charged at most": int(k.peak[1]) / k.unit if k.own_zone[1] < 0 else 0,
        "kernel frames at most": most,
        "machine ran out": "yes" if of_machine else "no",
        "hog killed": killed_at(trace, k, {"hog"}),
        "share of open files": k.files[1] / max(1, k.files[1] + k.files[2]),
        "share of frames charged": k.kernel[1] / max(1, k.kernel[1] + k.kernel[2]),
    }
