"""Map private data MAP_SHARED and it lies in the zone that the whole set shares."""

from __future__ import annotations

from dataclasses import replace
from typing import Annotated

from workbench.kernel import STATS, ZoneSet
from workbench.kernel.names import RESIDENT
from workbench.trace import TraceBuilder

from .parts import Nodes, Place, Scenario, Size, finish, knobs, machine, settle

TITLE = "The MAP_SHARED escape"
SOURCE = "Dave Hansen, 14 Mar 2007; bounded by Mel Gorman, 20 Mar 2007"
QUESTION = "Can one evade a limit by a flag, and who pays for it?"
PLOT = "the attacker's frames by zone; refaults of the others"
PREDICTION = {
    "none": "Nothing is limited: the attacker has all it wants.",
    "first_touch": "A flag changes nothing: the attacker has at most its limit, the others lose "
    "nothing.",
    "hand_over": "As first touch.",
    "every_container": "It maps no more than its limit, but what it unmaps stays in the caches: it "
    "has all the frames it wants while the machine has some.",
    "zone": "A flag changes nothing: there is no zone to escape to.",
    "shared_zone": "It works up to the size of the shared zone, and all five containers lose their "
    "libraries to it: one against four.",
}
CASES = [{}, {"need": 180}]
ROUNDS = 4


def expect(limit: int, shared: int, need: int) -> dict[str, dict[str, object]]:
    held = {"attacker's frames / limit": (0.75, 1.0), "library pages read again": 0}
    all_of_it = {"attacker's frames / limit": need / limit, "library pages read again": 0}
    table = {
        "none": all_of_it, "first_touch": held, "hand_over": held, "zone": held,
        "every_container": all_of_it,
        "shared_zone": held,
    }
    if need > limit:
        table["shared_zone"] = {
            "attacker's frames / limit": (1.01, min(need, limit + shared) / limit),
            "library pages read again": (1, ROUNDS * shared),
        }
    return table


def build(
    size: Size = "small",
    nodes: Nodes = 1,
    place: Place = None,
    limit: Annotated[int, range(40, 1 << 20)] | None = None,
    shared: Annotated[int, range(10, 1 << 20)] | None = None,
    need: Annotated[int, range(40, 1 << 20)] | None = None,
) -> Scenario:
    """Five containers with `limit` pages each and `shared` more in common (200, 300; full: MB).

    All use a library of 5/6 of `shared`; the attacker `need`s 450 pages (full: MB): what does not
    fit into its own zone it maps MAP_SHARED.
    """
    unit = 1 if size == "small" else 256
    limit, shared, need = limit or 200 * unit, shared or 300 * unit, need or 450 * unit
    boxes = ["attacker", *(f"V{i}" for i in range(1, 5))]
    where = settle(place, boxes, nodes)
    library, private = shared * 5 // 6, min(need, limit - 20)
    b = TraceBuilder()
    b.file("library", library, "/usr/lib/big")
    for c in boxes:
        b.task(c.lower() if c != "attacker" else "mallory", b.container(c, limit), where[c])
    b.anon("data", private)
    if need > private:
        b.shm("segment", need - private)
    users = [name.lower() for name in boxes[1:]]
    for i, task in enumerate(users):  # each has a quarter of it first
        b.map(task, "library", shared=True)
        b.touch_read(task, "library", range(i * library // 4, (i + 1) * library // 4))
    b.mark("the library is in use")
    for _ in range(ROUNDS):
        for start in range(0, library, 10):
            for task in users:
                b.touch_read(task, "library", range(start, min(start + 10, library)))
        b.touch_write("mallory", "data")
        if need > private:
            b.touch_write("mallory", "segment")
    b.mark("the attacker has had its turn")
    notes = (
        "All map the library MAP_SHARED, so that it lies in the shared zone; loaders map libraries "
        "privately, and then it is the first user's (debate.md X26).",
        "Schemes without zones know nothing of the shared zone: there the limit is `limit`.",
        "Under every container the four users' limits are below the library: each unmaps and maps "
        "it again from the cache.",
    )
    whole = replace(machine(nodes, 5 * limit + shared), zone_sets=(ZoneSet(tuple(boxes), shared),))
    chosen = replace(knobs(size), swap_write="sync")
    return finish(__name__, b.build(), whole, chosen, locals(), expect(limit, shared, need), notes)


def measure(trace, k) -> dict[str, float]:
    """The attacker's frames after its last turn; how often library pages had to be read again."""
    base, frames = 0, 0
    for thing in trace.objects:
        if thing.name in ("data", "segment"):
            frames += sum(1 for p in range(base, base + thing.pages) if k.page_flags[p] & RESIDENT)
        base += thing.pages
    reads = int(k.stat[STATS.index("disk_reads")])
    return {
        "attacker's frames / limit": frames / trace.containers[1].limit,
        "library pages read again": reads - trace.objects[0].pages,
    }
