"""A task fills one container, moves, and fills the next; then one with many shared pages moves."""

from __future__ import annotations

from dataclasses import replace
from typing import Annotated

from workbench.kernel import STATS
from workbench.trace import TraceBuilder

from .parts import Books, Nodes, Place, Scenario, Size, finish, killed_at, knobs, machine, settle

TITLE = "The moving hog"
SOURCE = "Balbir Singh, 7 Mar 2007; Kirill Korotaev, 12 Mar 2007 (what does a move cost?)"
QUESTION = "Do charges follow a task that moves, and what does it cost to make them?"
PLOT = "pages held by the hog; failcnt and kills in the container it left; steps of the move"
_STAYS = "One task holds the limits of two, and what it has left starves its old neighbours."
_FOLLOWS = "The charges follow: it never holds more than one limit."
PREDICTION = {
    "none": "Nothing is limited.",
    "first_touch": _STAYS,
    "zone": _STAYS,
    "every_container": _FOLLOWS + " Each page it maps is walked.",
    "hand_over": _FOLLOWS,
    "every_mapping": _FOLLOWS,
    "february_2007": _FOLLOWS,
    "fraction": _FOLLOWS,
    "beancounter": _FOLLOWS,
    "zone:move=migrate": _FOLLOWS + " Each page is copied.",
}
CASES = [{}, {"locked": False}, {"pages": 0}]
THRASHES = "its zone has a few frames left, and the other task goes on in them, page by page"
DISAGREES = [(case, "zone", "A's other killed", "no", THRASHES) for case in ({}, {"pages": 0})]
LIMIT, WANTED = 200, 50
TAKEN = {True: 190, False: 200}  # locked pages leave room for the kernel's frames
MOVED, ASKED = "the hog has filled B", "A's other task has asked"


def expect(unit: int, locked: bool) -> dict[str, dict[str, object]]:
    taken = TAKEN[locked] * unit
    follows = {"hog holds": (0, LIMIT * unit), "A's other killed": "no"}
    stays = {"hog holds": 2 * taken, "A's other killed": ASKED if locked else "no"}
    stays |= {"hog killed": "no", "charged to A": taken}
    table = dict.fromkeys(PREDICTION, follows) | {"first_touch": stays}
    table["none"] = {"hog holds": 2 * taken, "A's other killed": "no"}
    table["zone"] = stays if locked else stays | {
        "hog holds": (2 * taken - 16 * unit, 2 * taken),  # kernel frames take some
        "charged to A": (taken - 8 * unit, taken),
    }
    return table


def build(
    size: Size = "small",
    nodes: Nodes = 1,
    place: Place = None,
    locked: bool = True,
    pages: Annotated[int, range(0, 1 << 20)] | None = None,
) -> Scenario:
    """A and B have 200 pages each (full: 64 times as much). The hog writes 200 pages in A
    (`locked`: locks 190), moves to B and does so again; then another task in A wants 50. Then a
    process with so many `pages` (1,000), half shared with one that stays, moves from C to D."""
    unit = 1 if size == "small" else 64
    pages = 1_000 * unit if pages is None else pages
    boxes = ["A", "B", "C", "D"]
    where = settle(place, boxes, nodes)
    limit = LIMIT * unit
    b = TraceBuilder()
    for c in "AB":
        b.container(c, limit)
    for c in "CD":
        b.container(c, pages + 64)
    b.task("hog", "A", where["A"])
    b.task("other", "A", where["A"])
    b.task("resident", "B", where["B"])
    for task, c in (("sharer", "C"), ("peer", "C"), ("host", "D")):
        b.task(task, c, where[c])
    b.anon("loot", 2 * limit)
    b.anon("needs", WANTED * unit)
    for page in range(2 * TAKEN[locked]):
        if page == TAKEN[locked]:
            b.move("hog", "B")
        b.touch_write("hog", "loot", page * unit, unit)
        if locked:
            b.mlock("hog", "loot", page * unit, unit)
    b.mark(MOVED)
    for page in range(WANTED):
        b.touch_write("other", "needs", page * unit, unit)
    b.mark(ASKED)
    if pages:
        b.file("library", max(1, pages // 2), "/usr/lib/shared")
        b.anon("own", max(1, pages - pages // 2))
        b.touch_read("sharer", "library")
        b.touch_read("peer", "library")
        b.touch_write("sharer", "own")
    b.mark("C shares")
    b.move("sharer", "D")
    b.mark("the sharer has moved")
    notes = (
        "Whoever may move tasks is trusted with this; the patch leaves it to the administrator.",
        "Not locked, the pages that were left behind are A's to reclaim: its other task swaps them "
        "out, and the hog pays for them in B when it wants them back.",
        "Work of the move is found by telling the story with and without the sharer's pages.",
    )
    chosen = replace(knobs(size), swap_write="sync")
    return finish(__name__, b.build(), machine(nodes, 2 * limit + 2 * pages + 128), chosen,
                  locals(), expect(unit, locked), notes,
                  O9="re-walk where charges follow; every page counts as steps")


def measure(trace, k) -> dict[str, float | str]:
    """What the hog maps after its move, what A's other task got, and where the sharer's pages are
    charged before and after."""
    moved, asked = Books(trace, k, MOVED), Books(trace, k, ASKED)
    shares, last = Books(trace, k, "C shares"), Books(trace, k)
    count = {name: int(k.stat[i]) for i, name in enumerate(STATS)}
    return {
        "hog holds": moved.mapped("A") + moved.mapped("B"),
        "charged to A": moved.charge("A"),
        "failcnt of A": int(k.failcnt[asked.index["A"]]),
        "hog killed": killed_at(trace, k, {"hog"}),
        "A's other killed": killed_at(trace, k, {"other"}),
        "C before": shares.charge("C"),
        "C after": last.charge("C"),
        "D after": last.charge("D"),
        "counters touched": count["counters_touched"],
        "pages copied": count["pages_migrated"],
    }
