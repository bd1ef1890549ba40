"""Five containers load one library as loaders do, with private mappings: where does it lie?"""

from __future__ import annotations

from dataclasses import replace
from typing import Annotated, Literal

from workbench.kernel import STATS, ZoneSet
from workbench.kernel.names import RESIDENT
from workbench.trace import TraceBuilder

from .parts import Books, Nodes, Place, Scenario, Size, finish, knobs, machine, settle

TITLE = "Libraries are mapped private"
SOURCE = "Mel Gorman, 20 Mar 2007 (MAP_SHARED tells the zone); that loaders map privately, ours"
QUESTION = "Does the flag of a mapping tell that a library is shared?"
PLOT = "where the library's pages lie; the first user's charge"
_MISSED = "Mapped privately, all of it lies in the first user's zone, none in the shared one."
_FOUND = "All of it lies in the shared zone, whatever the flag, and nobody is charged."
PREDICTION = {
    "zone": "There is no shared zone: all of it lies in the first user's.",
    "shared_zone": _MISSED + " Mapped MAP_SHARED it would lie in the shared one.",
    "shared_zone:by=mount": _FOUND,
    "shared_zone:by=directory": _FOUND,
    "first_touch": "The first user is charged for all of it; where it lies has no meaning.",
    "fraction": "Each of the five is charged a fifth.",
    "every_container": "Each of the five is charged all of it.",
}
SCHEMES = tuple(name for name in PREDICTION if ":" not in name)
CASES = [{}, {"flag": "shared"}]
USERS = 5


def expect(library: int, flag: str) -> dict[str, dict[str, float]]:
    mine = {"share in the shared zone": 0, "share in the first user's zone": 1}
    ours = {"share in the shared zone": 1, "share in the first user's zone": 0,
            "first user's library charge": 0}
    paid = "first user's library charge"
    return {
        "zone": mine | {paid: library},
        "shared_zone": mine | {paid: library} if flag == "private" else ours,
        "shared_zone:by=mount": ours,
        "shared_zone:by=directory": ours,
        "first_touch": {paid: library},
        "fraction": {paid: library / USERS},
        "every_container": {paid: library},
    }


def build(
    size: Size = "small",
    nodes: Nodes = 1,
    place: Place = None,
    library: Annotated[int, range(10, 1 << 20)] | None = None,
    flag: Literal["private", "shared"] = "private",
) -> Scenario:
    """Five containers with 200 pages each and a zone of 300 in common (full: MB) load a `library`
    of 150 pages (full: MB, a C library with its locales) and use 20 pages of their own."""
    unit = 1 if size == "small" else 256
    limit, shared, library = 200 * unit, 300 * unit, library or 150 * unit
    boxes = [f"C{i + 1}" for i in range(USERS)]
    where = settle(place, boxes, nodes)
    b = TraceBuilder()
    b.file("library", library, "/usr/lib/libc.so")
    b.anon("heap", 20 * unit)
    for c in boxes:
        b.task(c.lower(), b.container(c, limit), where[c])
    for c in boxes:
        b.map(c.lower(), "library", shared=flag == "shared")
        b.touch_read(c.lower(), "library")
        b.touch_write(c.lower(), "heap")
    b.mark("all have it")
    notes = (
        "By what is the shared zone's: by=flag looks at the mapping (Gorman), by=mount and "
        "by=directory at /usr, where the library is (Hansen, Menage).",
        "The library is half the size of the shared zone, and fits into the first user's: one "
        "of 300 pages would not, and lie in parts in the zones of all five.",
    )
    whole = replace(machine(nodes, USERS * limit + shared),
                    zone_sets=(ZoneSet(tuple(boxes), shared),))
    return finish(__name__, b.build(), whole, knobs(size), locals(), expect(library, flag), notes,
                  O15="a private mapping goes to the mapper's own zone, text or not")


def measure(trace, k) -> dict[str, float]:
    """Where the library lies (under zones), what its first and last user are charged, reads."""
    books, pages = Books(trace, k), trace.objects[0].pages
    zones = [int(k.page_zone[v]) for v in range(pages) if k.page_flags[v] & RESIDENT]
    first = k.own_zone[books.index["C1"]]
    heap = trace.objects[1].pages
    place = {
        "share in the shared zone": sum(z == k.nodes + k.containers - 1 for z in zones) / pages,
        "share in the first user's zone": sum(z == first for z in zones) / pages,
    }
    return (place if first >= 0 else {}) | {
        "first user's library charge": books.charge("C1") - heap,
        "last user's library charge": books.charge(f"C{USERS}") - heap,
        "pages read": int(k.stat[STATS.index("disk_reads")]),
    }
