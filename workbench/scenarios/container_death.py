"""A container ends: what must be written or moved, what is still charged, and when is it gone?"""

from __future__ import annotations

from typing import Annotated

from workbench.kernel import STATS
from workbench.kernel.names import REFUSED, RESIDENT
from workbench.trace import Op, TraceBuilder

from .parts import Books, Nodes, Place, Scenario, Size, finish, knobs, machine, settle

TITLE = "The death of a container"
SOURCE = "Kirill Korotaev, 14 Mar 2007; Nick Piggin, 14 Mar 2007 (let the zone stay)"
QUESTION = "What does it cost to remove a container, and when is it gone?"
PLOT = "pages written at once, charges of the dead, rounds until it can be removed"
_AT_ONCE = "Nothing is left with it: what the survivor maps is the survivor's; removed at once."
PREDICTION = {
    "first_touch": "It stays, with the shared pages charged to it, until the survivor unmaps them.",
    "hand_over": _AT_ONCE,
    "fraction": _AT_ONCE,
    "beancounter": _AT_ONCE,
    "every_container": _AT_ONCE,
    "every_mapping": _AT_ONCE,
    "zone": "Removed at once; its clean cache is dropped, what is dirty or in use is the node's.",
    "zone:orphan=destroy": "Removed at once; every dirty page is written first.",
    "zone:orphan=stay": "Removed at once; its zone stays, and nobody can have the frames.",
}
CASES = [{}, {"dirty": 0}, {"shared": 0}]
ALL, ROUNDS, LIMIT = 500, 5, 600


def expect(dirty: int, shared: int, unit: int) -> dict[str, dict[str, float]]:
    gone = {"rounds it stays": 0, "charged to the dead": 0, "pages written": 0}
    stays = gone | {"rounds it stays": ROUNDS if shared else 0, "charged to the dead": shared}
    table = dict.fromkeys(PREDICTION, gone) | {
        "first_touch": stays,
        "zone": gone | {"pages dropped": ALL * unit - dirty - shared, "frames in its zone": 0},
        "zone:orphan=destroy": gone
        | {"pages written": dirty, "pages dropped": ALL * unit, "frames in its zone": 0},
        "zone:orphan=stay": gone
        | {"charged to the dead": ALL * unit, "frames in its zone": LIMIT * unit},
    }
    return table


def build(
    size: Size = "small",
    nodes: Nodes = 1,
    place: Place = None,
    dirty: Annotated[int, range(0, 401)] = 200,
    shared: Annotated[int, range(0, 101)] = 100,
) -> Scenario:
    """The owner maps 500 pages of files: `dirty` ones it has written to, `shared` ones that the
    survivor maps, too, and clean ones (full: 64 times as many). Its task ends, it is to be removed,
    again after each of five rounds in which the survivor works, and when that has ended."""
    unit = 1 if size == "small" else 64
    dirty, shared = dirty * unit, shared * unit
    where = settle(place, ["O", "S"], nodes)
    b = TraceBuilder()
    b.task("owner", b.container("O", LIMIT * unit), where["O"])
    b.task("survivor", b.container("S", LIMIT * unit), where["S"])
    b.anon("heap", 50 * unit)
    b.file("clean", ALL * unit - dirty - shared, "/srv/clean")
    b.touch_read("owner", "clean")
    if dirty:
        b.file("dirty", dirty, "/srv/dirty")
        b.map("owner", "dirty", shared=True)
        b.touch_write("owner", "dirty")
    if shared:
        b.file("library", shared, "/usr/lib/shared")
        b.touch_read("owner", "library")
        b.touch_read("survivor", "library")
    b.touch_write("survivor", "heap")
    b.exit("owner")
    b.reap("owner")
    b.mark("the owner has ended")
    b.rmdir("O")
    b.mark("removed?")
    for _ in range(ROUNDS - 1):
        b.touch_write("survivor", "heap")
        b.rmdir("O")
    b.mark("the survivor has worked")
    b.exit("survivor")
    b.reap("survivor")
    b.rmdir("O")
    b.mark("the survivor has ended")
    notes = (
        "The dirty pages are of a file, so they outlive the task; with enough memory nothing "
        "writes them but the end of a zone.",
        "A removal that finds the container gone already is refused, too, and not counted.",
        "What is merged into the node's zone is renamed, not copied.",
    )
    return finish(__name__, b.build(), machine(nodes, 2 * LIMIT * unit), knobs(size),
                  locals() | {"dirty": dirty // unit, "shared": shared // unit},
                  expect(dirty, shared, unit), notes,
                  O5="kept and visible, until the last charge goes",
                  O14="merged; orphan=destroy and orphan=stay beside it")


def measure(trace, k) -> dict[str, float]:
    """Refused removals before it went, its charge after the first, pages written, files' pages
    that left memory, and (under zones) frames that still are its zone's."""
    books = Books(trace, k, "removed?")
    tries = [int(k.ev_outcome[i]) == REFUSED for i in trace.rows(Op.rmdir)]
    base, there = 0, 0
    for thing in trace.objects:
        if thing.kind == "file":
            there += sum(
                int(k.page_flags[v]) & RESIDENT != 0 for v in range(base, base + thing.pages)
            )
        base += thing.pages
    zone = int(k.own_zone[books.index["O"]])
    found = {
        "rounds it stays": tries.index(False) if False in tries else len(tries),
        "charged to the dead": books.charge("O"),
        "pages written": int(k.stat[STATS.index("disk_writes")]),
        "pages dropped": base - trace.objects[0].pages - there,
    }
    return found if zone < 0 else found | {"frames in its zone": int(k.zone_frames[zone])}
