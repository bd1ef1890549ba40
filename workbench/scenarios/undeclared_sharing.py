"""Ten containers share what was declared, and one network export that nobody knew of."""

from __future__ import annotations

from dataclasses import replace
from typing import Annotated

from workbench.kernel import STATS, ZoneSet
from workbench.kernel.names import RESIDENT
from workbench.trace import TraceBuilder

from .parts import Books, Nodes, Place, Scenario, Size, finish, knobs, machine, settle

TITLE = "Declared and undeclared sharing"
SOURCE = "Dave Hansen, 13 Mar 2007; Paul Menage, 18 Mar 2007; Eric Biederman, 19 Mar 2007 (NFS)"
QUESTION = "Can an administrator say beforehand what will be shared?"
PLOT = "pages of the export and of /usr by zone; the first user's charge; what it reads again"
_KNOWN = "Right for /usr, wrong for the export: all of it lies in the first user's zone."
PREDICTION = {
    "zone": "Both lie in the first user's zone.",
    "shared_zone": "By flag neither is found: both are mapped privately.",
    "shared_zone:by=mount": _KNOWN,
    "shared_zone:by=directory": _KNOWN,
    "first_touch": "The first user is charged for both, declared or not.",
    "fraction": "Each of the ten is charged a tenth of both, declared or not.",
    "every_container": "Each of the ten is charged for both, declared or not.",
}
SCHEMES = tuple(name for name in PREDICTION if ":" not in name)
CASES = [{}, {"declared": True}, {"limit": 400}]
USERS, USR, EXPORT, PRIVATE = 10, 100, 300, 60


def expect(unit: int, declared: bool, roomy: bool) -> dict[str, dict[str, float]]:
    usr, export, own = USR * unit, EXPORT * unit, PRIVATE * unit
    by_rule = {"usr misplaced": 0, "export misplaced": 0 if declared else 1}
    if roomy or declared:
        by_rule["first charged"] = own + (0 if declared else export)
        by_rule["last charged"] = own
    table = {
        "shared_zone:by=mount": by_rule,
        "shared_zone:by=directory": by_rule,
        "fraction": {"first charged": own + (usr + export) / USERS},
    }
    if roomy:
        table |= {
            "zone": {"first charged": own + usr + export, "last charged": own},
            "shared_zone": {"usr misplaced": 1, "export misplaced": 1,
                            "first charged": own + usr + export, "last charged": own},
            "first_touch": {"first charged": own + usr + export, "last charged": own},
            "every_container": {"first charged": own + usr + export},
        }
    return table


def build(
    size: Size = "small",
    nodes: Nodes = 1,
    place: Place = None,
    declared: bool = False,
    limit: Annotated[int, range(40, 1 << 20)] | None = None,
) -> Scenario:
    """Ten containers, each with a `limit` of 500 pages, use 100 pages of /usr, one export of 300
    pages that each has mounted for itself, and 60 of their own (full: 64 times as much).

    declared: the administrator has declared the export, too.
    """
    unit = 1 if size == "small" else 64
    limit = limit or 500 * unit
    boxes = [f"C{i + 1}" for i in range(USERS)]
    where = settle(place, boxes, nodes)
    b = TraceBuilder()
    b.file("usr", USR * unit, "/usr/lib/all")
    b.file("export", EXPORT * unit, "nfs:/export/data")
    b.anon("heap", PRIVATE * unit)
    for c in boxes:
        b.task(c.lower(), b.container(c, limit), where[c])
    for _ in range(3):
        for c in boxes:
            b.touch_read(c.lower(), "usr")
            b.touch_read(c.lower(), "export")
            b.touch_write(c.lower(), "heap")
    b.mark("all have all")
    notes = (
        "One file for all ten: the kernel merges what they mount each for itself, as it does with "
        "one NFS export.",
        "Declared is /usr, as a mount or as a directory; both are mapped privately.",
    )
    room = (USR + EXPORT if declared else USR) * unit
    paths = ("/usr", "nfs:/export") if declared else ("/usr",)
    whole = replace(machine(nodes, USERS * limit + room),
                    zone_sets=(ZoneSet(tuple(boxes), room, paths),))
    roomy = limit >= (USR + EXPORT + PRIVATE) * unit + 20
    return finish(__name__, b.build(), whole, knobs(size), locals(),
                  expect(unit, declared, roomy), notes,
                  O15="a private mapping goes to the mapper's own zone, text or not")


def measure(trace, k) -> dict[str, float]:
    """Shares of both outside the shared zone (where there are zones); charges; pages read again."""
    books, shared = Books(trace, k), k.nodes + k.containers - 1
    misplaced, base = {}, 0
    for thing in trace.objects[:2]:
        pages = [v for v in range(base, base + thing.pages) if k.page_flags[v] & RESIDENT]
        wrong = sum(k.page_zone[v] != shared for v in pages) / max(1, len(pages))
        if k.own_zone[1] >= 0:
            misplaced[f"{thing.name} misplaced"] = wrong
        base += thing.pages
    reads = int(k.stat[STATS.index("disk_reads")])
    return misplaced | {
        "first charged": books.charge("C1"),
        "last charged": books.charge(f"C{USERS}"),
        "first / last": books.charge("C1") / max(1, books.charge(f"C{USERS}")),
        "pages read again": reads - base,
    }
