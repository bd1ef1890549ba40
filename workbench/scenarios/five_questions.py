"""Guests in two zones use one file: five questions, answered by what happens."""

from __future__ import annotations

from dataclasses import replace
from typing import Annotated

from workbench.trace import TraceBuilder

from .parts import Books, Nodes, Place, Scenario, Size, finish, knobs, machine, settle

TITLE = "Five questions on a file in two zones"
SOURCE = "Herbert Poetzl, 13 Mar 2007 (asked); Nick Piggin, 14 Mar 2007 (existing pages are used)"
QUESTION = "Who is charged, is it copied, can A evict it from B, can B go on, is it read again?"
PLOT = "charges for the file, its frames, what B maps of it and reads, mark by mark"
_FIRST = (
    "The first toucher; no copies; yes; only after a fault, and from then on B is charged; read "
    "again."
)
PREDICTION = {
    "zone": _FIRST,
    "first_touch": _FIRST,
    "every_container": "Both; no copies; no, A gives up its own mappings only; B goes on; nothing.",
    "fraction": "Half each; no copies; no; B goes on; nothing.",
    "partition": "Each for its copy; one each; no; B goes on; nothing.",
}
CASES = [{}, {"file": 80}]
LIMIT, USED, GONE, LAST = 100, "B uses it, too", "A has filled up", "B uses it again"


def expect(file: int) -> dict[str, dict[str, object]]:
    evicted = {"charged to A": file, "charged to B": 0, "frames": file, "evicted from B": file,
               "read again by B": file, "charged to B at last": file}
    goes_on = {"evicted from B": 0, "read again by B": 0, "charged to B at last": file}
    return {
        "zone": evicted,
        "first_touch": evicted,
        "every_container": goes_on | {"charged to A": file, "charged to B": file, "frames": file},
        "fraction": goes_on | {"charged to A": file / 2, "charged to B": file / 2, "frames": file},
        "partition": goes_on | {"charged to A": file, "charged to B": file, "frames": 2 * file},
    }


def build(
    size: Size = "small",
    nodes: Nodes = 1,
    place: Place = None,
    file: Annotated[int, range(1, 90)] = 40,
) -> Scenario:
    """A and B have 100 pages each and map a `file` of 40 (full: 100 times as much); then A writes
    200 pages of its own, one by one, and B uses the file again."""
    unit = 1 if size == "small" else 100
    where = settle(place, ["A", "B"], nodes)
    b = TraceBuilder()
    for c in "AB":
        b.task(c.lower(), b.container(c, LIMIT * unit), where[c])
    b.file("file", file * unit, "/usr/share/file")
    b.anon("heap", 2 * LIMIT * unit)
    b.touch_read("a", "file")
    b.touch_read("b", "file")
    b.mark(USED)
    for page in range(2 * LIMIT):
        b.touch_write("a", "heap", page * unit, unit)
    b.mark(GONE)
    b.touch_read("b", "file")
    b.mark(LAST)
    notes = (
        "Nothing else wants memory: only A's limit takes pages away.",
        "What is charged is said of the moment when both use the file, and of the end.",
    )
    chosen = replace(knobs(size), swap_write="sync")
    return finish(__name__, b.build(), machine(nodes, 2 * LIMIT * unit), chosen, locals(),
                  expect(file * unit), notes)


def measure(trace, k) -> dict[str, float]:
    """The answers: charges, frames with the file, pages B lost, B's reads, B's charge at last."""
    used, gone, last = (Books(trace, k, mark) for mark in (USED, GONE, LAST))
    return {
        "charged to A": used.charge("A"),
        "charged to B": used.charge("B"),
        "frames": used.pages(),
        "evicted from B": used.mapped("B") - gone.mapped("B"),
        "read again by B": last.majors("B") - gone.majors("B"),
        "charged to B at last": last.charge("B"),
    }
