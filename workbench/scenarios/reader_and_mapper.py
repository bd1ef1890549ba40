"""One container reads a file, another maps it: which of them pays, and who came first?"""

from __future__ import annotations

from typing import Annotated, Literal

from workbench.kernel.hooks import maps
from workbench.kernel.names import MAJOR
from workbench.trace import Op, TraceBuilder

from .parts import Books, Nodes, Place, Scenario, Size, charged, finish, knobs, machine, settle

TITLE = "Reader and mapper"
SOURCE = "Dave Hansen, 13 Mar 2007 (read in by one, mapped by another); Mel Gorman, 14 Mar 2007"
QUESTION = "Does it matter whether a page was brought in by read() or by a fault?"
PLOT = "charge of the reader and of the mapper; under pressure, what each has to fetch again"
PREDICTION = {
    "none": "Nobody is charged.",
    "first_touch": "The mapper pays for all, in either order: read() charges nobody.",
    "hand_over": "As first touch: only mappings count.",
    "fraction": "The mapper is the only holder, so it pays for all.",
    "every_container": "The mapper pays for all.",
    "first_allocation": "Whoever comes first pays for all; the other uses it free of charge.",
    "file_owner": "The file belongs to whoever used it first, who pays for all.",
    "cgroup_v1": "As first allocation.",
    "cgroup_v2": "As first allocation.",
    "zone": "As first allocation, by place: the frames lie in the zone of whoever came first.",
}
CASES = [{}, {"order": "mapper_first"}, {"pressure": True}]


def expect(pages: int, reader_first: bool) -> dict[str, dict[str, float]]:
    mapper = {"reader charged": 0, "mapper charged": pages}
    first = {"reader charged": pages, "mapper charged": 0} if reader_first else mapper
    firsts = ("first_allocation", "file_owner", "cgroup_v1", "cgroup_v2", "zone")
    return {s: first if s in firsts else mapper for s in PREDICTION} | {
        "none": {"reader charged": 0, "mapper charged": 0}}


def build(
    size: Size = "small",
    nodes: Nodes = 1,
    place: Place = None,
    order: Literal["reader_first", "mapper_first"] = "reader_first",
    pressure: bool = False,
    pages: Annotated[int, range(4, 1 << 20)] | None = None,
) -> Scenario:
    """A file of 100 `pages` (full: 25,600); with `pressure` the reader, whose limit is half as much
    again, then fills as many pages of its own, and both go through the file once more."""
    pages = pages or (100 if size == "small" else 25_600)
    where = settle(place, ["R", "M"], nodes)
    b = TraceBuilder()
    b.task("reader", b.container("R", pages * 3 // 2), where["R"])
    b.task("mapper", b.container("M", 2 * pages + 64), where["M"])
    b.file("data", pages, "/srv/data")
    b.anon("own", pages)
    first, second = (b.read, b.touch_read) if order == "reader_first" else (b.touch_read, b.read)
    who = ("reader", "mapper") if order == "reader_first" else ("mapper", "reader")
    first(who[0], "data")
    second(who[1], "data")
    b.mark("both have used it")
    if pressure:
        b.touch_write("reader", "own")
        b.mark("the reader has filled its limit")
        for page in range(pages):
            b.read("reader", "data", page, 1)
            b.touch_read("mapper", "data", page, 1)
        b.mark("both have gone through it again")
    notes = (
        "Read-ahead is not simulated: pages come in as they are read or touched.",
        "Page by page the reader goes through the file again, and the mapper just behind it.",
    )
    return finish(__name__, b.build(), machine(nodes, 4 * pages + 128), knobs(size), locals(),
                  expect(pages, order == "reader_first"), notes,
                  O6="first touch is the first mapping; first allocation is a scheme of its own",
                  O16="no read-ahead")


def measure(trace, k) -> dict[str, float]:
    """Charges when both have used the file; what is fetched from disk again under pressure; at the
    end, pages whose payer maps them no more or never did."""
    both, full = Books(trace, k, "both have used it"), "the reader has filled its limit"
    row = {"reader charged": both.charge("R"), "mapper charged": both.charge("M")}
    row["payer maps it not"] = sum(not maps(k, page, payer, -1) for page, payer in charged(k))
    if full in trace.values:
        start = next(i for i in trace.rows(Op.mark) if trace.values[trace.value[i]] == full)
        for who, op in (("mapper", Op.touch_read), ("reader", Op.read)):
            again = (i for i in trace.rows(op) if i > start)
            row[f"{who} fetches again"] = sum(int(k.ev_outcome[i] == MAJOR) for i in again)
    return row
