"""One read in every two megabytes of untouched memory: page tables that no limit on RSS sees."""

from __future__ import annotations

from typing import Annotated

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
CASES = [{}]
BLOCK = 512  # pages that one page table maps


def expect() -> dict[str, dict[str, object]]:
    out = {"hog charged at most": 0, "machine ran out": "yes"}
    return {"none": out, "first_touch": out, "every_container": out, "fraction": out,
            "zone": {"machine ran out": "no"}}  # fmt: skip


def build(
    size: Size = "small",
    nodes: Nodes = 1,
    place: Place = None,
    frames: Annotated[int, range(64, 1 << 16)] | None = None,
    tables: Annotated[int, range(8, 1 << 16)] | None = None,
) -> Scenario:
    """The hog, with a limit of an eighth of a node's `frames` (256; full: 4,096), reads one page in
    each of `tables` blocks (as many as there are frames); a neighbour has a quarter of a node."""
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
    for table in range(tables):
        b.touch_read("hog", "untouched", table * BLOCK, 1)
    b.mark("the hog has read")
    parameters = {"size": size, "nodes": nodes, "place": where, "frames": frames,
                  "tables": tables}  # fmt: skip
    notes = (
        "Reading untouched anonymous memory maps the zero page: no frame, no charge, but the page "
        "table that holds the entry is a frame of the kernel's.",
        "On 64 bit 262,144 such reads take 1 GiB of page tables.",
        "No swap, so that nothing but the hog's page tables moves.",
    )
    each = Machine(nodes=nodes, frames=frames + 16, swap=0)
    return finish(__name__, b.build(), each, knobs(size), parameters, expect(), notes)


def measure(trace, k) -> dict[str, float | str]:
    """What the hog was ever charged, kernel frames at their most, and whether the machine's own OOM
    killer had to act."""
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
    }
