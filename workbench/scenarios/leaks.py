"""A full container takes pages away that a neighbour is using; then it kills, inside only."""

from __future__ import annotations

from typing import Annotated

from workbench.trace import TraceBuilder

from .parts import Books, Nodes, Place, Scenario, Size, finish, knobs, machine, settle

TITLE = "What leaks out of a full container"
SOURCE = "Herbert Poetzl, 12 Mar 2007 (the requirement); Pavel Emelianov, 12 Mar 2007 (it is met)"
QUESTION = "Does a container that is out of memory leave its neighbours alone?"
PLOT = "B's faults while A is at its limit; OOM victims by container; who pays for the library"
_FREES = (
    "A's reclaim frees the library for everybody: B reads it in again and pays for it from then "
    "on. Nobody in B is killed."
)
_OWN = "Only A's own mappings go: B notices nothing, and nobody in B is killed."
PREDICTION = {
    "none": "Nobody is at a limit.",
    "first_touch": _FREES,
    "hand_over": _FREES,
    "zone": "As first touch: the library lies in A's zone, which is reclaimed for everybody.",
    "every_container": _OWN,
    "february_2007": _OWN,
    "fraction": _OWN,
    "beancounter": _OWN,
    "every_mapping": "A is killed at its limit; B notices nothing.",
}
CASES = [{}, {"busy": True}]
HEAD = "what was looked at goes to the head of the list (rotation): A's last scan passes over the "
HEAD += "last page of the library, and A dies with it; without that quirk all 100 go"
DISAGREES = [
    ({"busy": True}, "first_touch", "faults of B", 99, HEAD),
    ({"busy": True}, "first_touch", "B charged for the library", 99, HEAD),
    ({"busy": True}, "hand_over", "faults of B", 99, HEAD),
]


def expect(shared: int, own: int, busy: bool) -> dict[str, dict[str, object]]:
    freed = {"faults of B": (shared, shared * own) if busy else shared, "kills in B": 0}
    frees = freed | {"B charged for the library": shared}
    quiet = {"faults of B": 0, "kills in B": 0}
    special = {"first_touch": frees, "hand_over": frees, "zone": freed}
    return {scheme: special.get(scheme, quiet) for scheme in PREDICTION}


def build(
    size: Size = "small",
    nodes: Nodes = 1,
    place: Place = None,
    busy: bool = False,
    shared: Annotated[int, range(8, 1 << 18)] | None = None,
) -> Scenario:
    """A (limit: 6/5 of `shared`) and B read a library of 100 pages (full: 10,000), A first; A then
    writes half as many own pages again, without swap. `busy`: B uses its library after each.
    """
    shared = shared or (100 if size == "small" else 10_000)
    limit, own = shared * 6 // 5, shared * 3 // 2
    where = settle(place, ["A", "B"], nodes)
    b = TraceBuilder()
    b.task("a", b.container("A", limit), where["A"])
    b.task("b", b.container("B", 2 * shared + 64), where["B"])
    b.file("library", shared, "/lib/libc.so")
    b.anon("own", own)
    b.touch_read("a", "library")
    b.touch_read("b", "library")
    b.mark("both run")
    step = 1 if size == "small" else 100
    for page in range(0, own, step):
        b.touch_write("a", "own", page, min(step, own - page))
        if busy:
            b.touch_read("b", "library")
    b.mark("A has asked for all")
    b.touch_read("b", "library")
    b.mark("B goes on")
    notes = (
        "A's own pages cannot leave (no swap), so it gives up the library first, then kills.",
        "B is far below its limit all the time.",
    )
    return finish(__name__, b.build(), machine(nodes, 5 * shared + 64, swap=0), knobs(size),
                  locals(), expect(shared, own, busy), notes)


def measure(trace, k) -> dict[str, float]:
    """What happened to B after both ran: faults, kills; and its charge at the end."""
    ran, last = Books(trace, k, "both run"), Books(trace, k)
    victims = [trace.tasks[k.kill_victim[i]].name for i in range(min(k.kills, k.kills_end))]
    return {
        "faults of B": last.faults("B") - ran.faults("B"),
        "kills in A": victims.count("a"),
        "kills in B": victims.count("b"),
        "B charged for the library": last.charge("B"),
    }
