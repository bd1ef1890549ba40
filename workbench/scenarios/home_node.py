"""Tasks leave the node that their memory is on: it stays, follows, or comes page by page."""

from __future__ import annotations

from dataclasses import replace
from typing import Annotated, Literal

from workbench.kernel import STATS
from workbench.kernel.config import COSTS_NS
from workbench.trace import TraceBuilder

from .parts import GRANULE, Nodes, Place, Scenario, Size, finish, knobs, machine, settle

TITLE = "Away from the home node"
SOURCE = "Dave Hansen, 13 Mar 2007; Mel Gorman, 14 Mar 2007; Paul Menage, 18 Mar 2007"
QUESTION = "If a container's processors are busy, can its tasks ever run elsewhere?"
PLOT = "share of remote accesses; pages copied; frames per node"
_LOCAL = (
    "What was there stays remote, new pages are local; pages that follow are copied once, page by "
    "page, and nothing has to be rebuilt."
)
PREDICTION = dict.fromkeys(
    ("none", "first_touch", "hand_over", "fraction", "beancounter", "every_container"), _LOCAL
) | {
    "zone": "Every access is remote, to new pages too, until the last task has left; then a new "
    "zone is made there and everything copied.",
}
CASES = [
    {},
    *(
        {"nodes": 4, "moved": moved, "policy": policy}
        for moved in (4, 8)
        for policy in ("stay", "follow", "touch")
    ),
]
TASKS, HEAP, LIBRARY, NEW = 8, 40, 60, 8


def expect(nodes: int, moved: int, policy: str, passes: int) -> dict[str, dict[str, float]]:
    if nodes == 1:
        still = {"remote share": 0, "pages copied": 0}
        return dict.fromkeys(PREDICTION, still)
    each, movers = HEAP + LIBRARY, moved / TASKS
    total = passes * (each + NEW)
    share = {
        "stay": movers * passes * each / total,
        "follow": (1 - movers) * passes * LIBRARY / total,
        "touch": movers * passes * LIBRARY / total,  # mapped by others too: it stays
    }[policy]
    copies = {"stay": 0, "follow": moved * HEAP + LIBRARY, "touch": moved * HEAP}[policy]
    table = {scheme: {"remote share": share, "pages copied": copies} for scheme in PREDICTION}
    rebuilt = policy == "follow" and moved == TASKS
    table["zone"] = {
        "remote share": 0 if rebuilt else movers,
        "pages copied": TASKS * HEAP + LIBRARY if rebuilt else 0,
    }
    return table


def build(
    size: Size = "small",
    nodes: Nodes = 1,
    place: Place = None,
    moved: Annotated[int, range(0, 9)] = 8,
    policy: Literal["stay", "follow", "touch"] = "stay",
    passes: Annotated[int, range(1, 10_001)] | None = None,
) -> Scenario:
    """Eight tasks of 40 pages each and 60 in common, in a container of 512 frames; `moved` of them
    go to the next node and all make some `passes` over their pages (10; full: 1,000).

    policy: what pages do (knob `numa`). With one node nothing can move.
    """
    passes = passes or (10 if size == "small" else 1_000)
    where = settle(place, ["A"], nodes)
    b = TraceBuilder()
    b.container("A", 512)
    b.file("library", LIBRARY, "/usr/lib/a")
    tasks = [f"t{i}" for i in range(1, TASKS + 1)]
    for task in tasks:
        b.task(task, "A", where["A"])
        b.anon(f"{task} heap", HEAP + NEW)
    for task in tasks:
        b.touch_write(task, f"{task} heap", range(HEAP))
        b.touch_read(task, "library")
    b.mark("all at home")
    for task in tasks[:moved]:
        b.run_on(task, (where["A"] + 1) % nodes)
    for _ in range(passes):
        for task in tasks:
            b.touch_write(task, f"{task} heap")
            b.touch_read(task, "library")
    b.mark("after some passes")
    notes = (
        "A copy costs as much as 33 remote accesses (2,000 and 60 ns): with fewer passes over a "
        "page it is better left where it is.",
        "Pages that are touched by a task elsewhere come only if nobody else maps them.",
        "Accesses are counted, so hits take the long way through the engine.",
    )
    chosen = replace(knobs(size), numa=policy, accesses=True, granule=GRANULE)
    return finish(__name__, b.build(), machine(nodes, 512), chosen, locals(),
                  expect(nodes, moved, policy, passes), notes)


def measure(trace, k) -> dict[str, float]:
    """Share of remote accesses after the move, pages copied, and what both cost."""
    before = TASKS * (HEAP + LIBRARY)
    count = {name: int(k.stat[i]) for i, name in enumerate(STATS)}
    after = count["local_accesses"] + count["remote_accesses"] - before
    lost = sum(count[name] * COSTS_NS[name] for name in ("remote_accesses", "pages_migrated"))
    return {
        "remote share": count["remote_accesses"] / after,
        "pages copied": count["pages_migrated"],
        "ms lost to distance": lost / 1e6,
    }
