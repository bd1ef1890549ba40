"""Map and touch as much as the limit once, then read and write as much again: who notices?"""

from __future__ import annotations

from dataclasses import replace
from random import Random
from typing import Annotated, Literal

from workbench.kernel import Machine
from workbench.trace import TraceBuilder

from .parts import Books, Nodes, Place, Scenario, Size, finish, frames_of, knobs, outcomes, settle

TITLE = "Mapped once, and as much again by read and write"
SOURCE = "Dave Hansen, 23 Mar 2007 (1 GB mapped, 1 GB looped over); Herbert Poetzl, 23 Mar 2007"
QUESTION = "Does a limit on mapped memory hold a container to its size?"
PLOT = "frames by file; refaults of the neighbour; hits of the loop"
_TWICE = "Within its limit it holds twice as much while there is room."
PREDICTION = {
    "none": "It holds all it uses.",
    "first_touch": _TWICE,
    "every_container": _TWICE,
    "first_allocation": "The limit: its own idle pages go, nobody else's.",
    "zone": "The limit: its own idle pages go, nobody else's.",
}
CASES = [{}, {"host": "full"}, {"host": "full", "swappiness": 0}, {"cache_limit": 64}]


def expect(host: str, limit: int) -> dict[str, dict[str, object]]:
    within = {"A holds": (0, limit), "neighbour refaults": 0}
    table = {"first_allocation": within, "zone": within}
    if host == "full":
        return table
    twice = {"A holds": 2 * (limit - 16), "neighbour refaults": 0, "loop hits": 1}
    return table | dict.fromkeys(("none", "first_touch", "every_container"), twice)


def build(
    size: Size = "small",
    nodes: Nodes = 1,
    place: Place = None,
    host: Literal["half", "full"] = "half",
    swappiness: Annotated[int, range(0, 101)] = 60,
    cache_limit: Annotated[int, range(8, 1 << 20)] | None = None,
    seed: Annotated[int, range(0, 1 << 30)] = 0,
) -> Scenario:
    """Limit 256 pages (full: 256 MiB), a node of four times that; A touches its mapped file once,
    then loops over another as large, six times, every fourth page written. The neighbour's touches
    are uniform over as many pages (half) or all that A's limit leaves of the machine (full).

    cache_limit: control file pgcache_limit of A, for schemes with cache=separate
    """
    limit = 256 if size == "small" else 1 << 16
    frames = 4 * limit
    where = settle(place, ["A", "N"], nodes)
    theirs = limit if host == "half" else frames * nodes - limit - 48 * nodes
    most = theirs + 32 if nodes == 1 else None  # a zone does not reach over nodes
    rng = Random(f"mapped once {seed}")
    b = TraceBuilder()
    b.task("a", b.container("A", limit), where["A"])
    b.task("n", b.container("N", 2 * limit if host == "half" else most), where["N"])
    b.file("mapped", limit - 16, "/srv/mapped")
    b.file("loop", limit - 16, "/srv/loop")
    b.file("data", theirs, "/srv/data")
    if cache_limit:
        b.set_limit("A", cache_limit, "pgcache_limit")
    b.touch_read("n", "data")
    b.touch_read("a", "mapped")
    b.mark("it is mapped")
    for i in range(6 * (limit - 16)):
        (b.write if i % 4 == 3 else b.read)("a", "loop", i % (limit - 16), 1)
        for _ in range(2):
            b.touch_read("n", "data", rng.randrange(theirs), 1)
    b.mark("the end")
    notes = (
        "Full size is a quarter of the source's 1 GB, which replays in a quarter of the time.",
        "Both files are 16 pages smaller than the limit, which leaves room for page tables.",
        "Cached pages charged as well (+PC): first_touch:cache=joint or separate.",
    )
    chosen = replace(knobs(size), swappiness=swappiness, swap_write="sync")
    return finish(__name__, b.build(), Machine(nodes=nodes, frames=frames), chosen, locals(),
                  expect(host, limit), notes,
                  O17="first_touch:cache=joint or separate", O18=f"swappiness {swappiness}")


def measure(trace, k) -> dict[str, float]:
    """Frames of A's files; hits in the second half of the loop; faults of N after its start."""
    start, end = Books(trace, k, "it is mapped"), Books(trace, k, "the end")
    late = outcomes(trace, k, "a", "it is mapped", half=True)
    a = end.index["A"]
    mapped, loop = (frames_of(trace, k, name) for name in ("mapped", "loop"))
    return {
        "A holds": mapped + loop,
        "frames of the map": mapped,
        "frames of the loop": loop,
        "A holds / limit": (mapped + loop) / trace.containers[1].limit,
        "A charged": end.charge("A"),
        "loop hits": (late["hit"]) / late.total(),
        "neighbour refaults": end.faults("N") - start.faults("N"),
        "refused by the limit": int(k.failcnt[a]),
        "refused by the cache's": int(k.cached_failcnt[a]),
        "kills": int(k.kills),
    }
