"""Two sets of containers, each with a shared zone, and a loner use one file."""

from __future__ import annotations

from dataclasses import replace
from typing import Annotated, Literal

from workbench.kernel import ZoneSet
from workbench.trace import TraceBuilder

from .parts import Books, Nodes, Place, Scenario, Size, finish, knobs, machine, settle

TITLE = "Two sets, one file"
SOURCE = "Mel Gorman, 14 Mar 2007 (no fair accounting seen; shared data always interferes)"
QUESTION = "In which shared zone does a file lie that two sets want, and who can push it out?"
PLOT = "zone that holds the file; reads of the set that does not hold it, before and after"
_FIRST = (
    "The file lies with the set that was first, which alone has less room; when that set fills its "
    "shared zone, the other set has to read the file again."
)
PREDICTION = {
    "shared_zone": _FIRST + " A loner that is first keeps it in its own zone.",
    "shared_zone:by=directory": _FIRST + " A loner that is first lays it with the first set.",
    "zone": "The file lies with the first container, which can push it out at its own limit.",
    "first_touch": "The file is charged to the first container; it, too, can push it out.",
}
SCHEMES = tuple(name for name in PREDICTION if ":" not in name)
CASES = [{}, {"first": "C"}, {"first": "E"}]
BOXES, SHARED, FILE, LIMIT = "ABCDE", 150, 100, 150
ZONES = ("A+B", "C+D", "E")


def expect(first: str, unit: int) -> dict[str, dict[str, object]]:
    def lies(home: str) -> dict[str, object]:
        found = {f"file in {zone}": FILE * unit if zone == home else 0 for zone in ZONES}
        return found | {"reads of C and D": (1, FILE * unit) if home == "A+B" else 0}

    home = {"A": "A+B", "C": "C+D", "E": "E"}[first]
    declared = "A+B" if first == "E" else home
    first_pays = {"first charged": FILE * unit}
    return {
        "shared_zone": lies(home),
        "shared_zone:by=directory": lies(declared),
        "zone": first_pays,
        "first_touch": first_pays,
    }


def build(
    size: Size = "small",
    nodes: Nodes = 1,
    place: Place = None,
    first: Literal["A", "C", "E"] = "A",
    fill: Annotated[int, range(1, 1 << 20)] | None = None,
) -> Scenario:
    """A and B share a zone of 150 pages, C and D another, E has only its own (150 each; full: 64
    times as much). All five map a file of 100 pages MAP_SHARED, one of them `first`; then A and B
    `fill` their zone with as many pages of a file of their own, and C and D use the file again."""
    unit = 1 if size == "small" else 64
    fill = fill or SHARED * unit
    where = settle(place, list(BOXES), nodes)
    b = TraceBuilder()
    b.file("file", FILE * unit, "/srv/data/file")
    b.file("filler", fill, "/srv/data/filler")
    for c in BOXES:
        b.task(c.lower(), b.container(c, LIMIT * unit), where[c])
    for c in sorted(BOXES, key=lambda c: c != first):
        b.map(c.lower(), "file", shared=True)
        b.touch_read(c.lower(), "file")
    b.mark("all use the file")
    for c in "AB":
        b.map(c.lower(), "filler", shared=True)
    for _ in range(3):
        for c in "AB":
            b.touch_read(c.lower(), "filler")
    b.mark("A and B have filled their zone")
    for c in "CD":
        b.touch_read(c.lower(), "file")
    b.mark("C and D use it again")
    notes = (
        "Both sets have declared /srv/data, so that by=directory has to choose, too.",
        "Reads of C and D are their major faults after all five have used the file once.",
    )
    total = (len(BOXES) * LIMIT + 2 * SHARED) * unit
    sets = tuple(ZoneSet(tuple(pair), SHARED * unit, ("/srv/data",)) for pair in ("AB", "CD"))
    whole = replace(machine(nodes, total), zone_sets=sets)
    return finish(__name__, b.build(), whole, knobs(size), locals(), expect(first, unit), notes)


def measure(trace, k) -> dict[str, float]:
    """Where the file lay when all had used it first, and what C and D had to read again."""
    then, last = Books(trace, k, "all use the file"), Books(trace, k)
    found, first = {}, next(e.task for e in trace.events()).upper()
    sets = k.nodes + k.containers - 1  # the zones of sets come after those of containers
    if k.zones > sets:
        zones = (sets, sets + 1, int(k.own_zone[then.index["E"]]))
        found = {f"file in {name}": then.files_in(z) for name, z in zip(ZONES, zones, strict=True)}
    return found | {
        "first charged": then.charge(first),
        "reads of C and D": sum(last.majors(c) - then.majors(c) for c in "CD"),
    }
