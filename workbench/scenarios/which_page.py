"""One container touches more pages than its limit: which page its reclaim takes away."""

from __future__ import annotations

from collections import OrderedDict
from random import Random
from typing import Annotated, Literal

from workbench.trace import Op, Trace, TraceBuilder

from .parts import Books, Nodes, Place, Scenario, Size, finish, machine, settle
from .parts import knobs as usual_knobs

TITLE = "Which page goes"
SOURCE = "Balbir Singh, 7 Mar 2007 (one list is FIFO); Pavel Emelianov, 7 Mar 2007 (it is not)"
QUESTION = "How near to the least recently used page is the one that goes?"
PLOT = "faults of the container beside those of a FIFO and of an LRU list of the same length"
_CLOCK = "A second-chance clock: nearer to LRU than to FIFO where some pages are used more."
PREDICTION = {
    "none": "Nothing is taken away: each page faults once.",
    "first_touch": _CLOCK,
    "first_touch:lists=lru": "Active and inactive pages apart: the nearest to LRU of all.",
    "hand_over": _CLOCK,
    "every_container": _CLOCK,
    "fraction": _CLOCK,
    "beancounter": _CLOCK,
}
CASES = [{}, {"load": "loop"}, {"load": "scan"}, {"load": "phase"}, {"splice": "tail"},
         {"limit": 200}]
ALL = "new pages are active and young, and the passes at falling priorities together look at 101 "
ALL += "of 100 pages and free one, which is not enough (two_pages): priority 0 then takes all"
DISAGREES = [
    (case, "first_touch:lists=lru", "faults", faults, ALL)
    for case, faults in (({}, 1764), ({"load": "scan"}, 2464), ({"splice": "tail"}, 1764))
]
Load = Literal["zipf", "loop", "scan", "phase"]


def accesses(load: str, limit: int, count: int, seed: int) -> list[int]:
    """Pages touched, by number: a loop over 6/5 of the limit; Zipf over four times the limit; the
    same with every fifth access of a scan; or a working set of 4/5 of the limit that moves on."""
    rng = Random(f"which page {seed}")
    if load == "loop":
        return [i % (limit * 6 // 5) for i in range(count)]
    if load == "phase":
        each, size = max(1, count // 8), max(1, limit * 4 // 5)
        return [i // each * size // 2 + rng.randrange(size) for i in range(count)]
    pages = range(4 * limit)
    drawn = rng.choices(pages, [1 / (1 + i) for i in pages], k=count)
    if load == "scan":
        drawn = [4 * limit + i // 5 % (4 * limit) if i % 5 == 0 else p for i, p in enumerate(drawn)]
    return drawn


def reader(string: list[int], limit: int, node: int) -> Trace:
    """C, limited, maps a file and reads its pages in that order."""
    b = TraceBuilder()
    b.task("c", b.container("C", limit), node)
    b.file("data", max(string) + 1, "/srv/data")
    b.map("c", "data")
    for page in string:
        b.touch_read("c", "data", page, 1)
    b.mark("all read")
    return b.build()


def list_faults(string: list[int], room: int, lru: bool) -> int:
    """Faults of a list of `room` pages; `lru`: a page that is used becomes the newest."""
    kept: OrderedDict[int, None] = OrderedDict()
    faults = 0
    for page in string:
        if page in kept:
            if lru:
                kept.move_to_end(page)
            continue
        faults += 1
        if len(kept) == room:
            kept.popitem(last=False)
        kept[page] = None
    return faults


def expect(string: list[int], limit: int, load: str) -> dict[str, dict[str, object]]:
    distinct = len(set(string))
    none = {"none": {"faults": distinct}}
    if load in ("loop", "phase"):  # there neither list is nearer to the best than the other
        return none
    fifo, lru = list_faults(string, limit, False), list_faults(string, limit, True)
    near = {"faults": (0, (fifo + lru) / 2)}
    return none | {s: near for s in PREDICTION if s != "none"}


def build(
    size: Size = "small",
    nodes: Nodes = 1,
    place: Place = None,
    load: Load = "zipf",
    splice: Literal["head", "tail"] = "head",
    limit: Annotated[int, range(16, 1 << 16)] | None = None,
    seed: Annotated[int, range(0, 1 << 30)] = 0,
) -> Scenario:
    """C reads pages of a file, 40 times as many accesses as its `limit` of 100 (full: 4,096).

    `splice`: what was looked at goes to the head of the list, as posted, or stays at its tail.
    """
    limit = limit or (100 if size == "small" else 4_096)
    string = accesses(load, limit, 40 * limit, seed)
    where = settle(place, ["C"], nodes)
    trace = reader(string, limit, where["C"])
    knobs = usual_knobs(size)
    if splice == "tail":
        knobs = type(knobs)(cluster=knobs.cluster, quirks="as_posted,-rotation")
    notes = (
        "FIFO and LRU are exact lists of `limit` pages, worked out from the accesses.",
        "Clean file pages, so that no disk write delays a page's going.",
    )
    return finish(__name__, trace, machine(nodes, 2 * limit), knobs, locals(),
                  expect(string, limit, load), notes)


def measure(trace, k) -> dict[str, float]:
    """Faults, and what exact lists of the container's limit would have had."""
    string = [int(trace.page[i]) for i in trace.rows(Op.touch_read)]
    limit = trace.containers[1].limit
    faults = Books(trace, k).faults("C")
    fifo, lru = list_faults(string, limit, False), list_faults(string, limit, True)
    return {
        "faults": faults,
        "faults of FIFO": fifo,
        "faults of LRU": lru,
        "faults / LRU": faults / lru,
        "refused": int(k.failcnt[1]),
    }
