"""A container that waits until a page is in memory, and only then maps it."""

from __future__ import annotations

from random import Random
from typing import Annotated

from workbench.trace import TraceBuilder

from .parts import Books, Nodes, Place, Scenario, Size, finish, knobs, machine, settle

TITLE = "The patient free rider"
SOURCE = "Dave Hansen, 13 Mar 2007 (mincore() and patience); Alan Cox, 13 Mar 2007 (can it be used)"
QUESTION = "How much can a container use that others pay for, by waiting?"
PLOT = "the rider's mapped and charged pages"
PREDICTION = {
    "none": "Nobody is charged.",
    "first_touch": "It maps the whole pool and is charged nothing; one page of room is enough.",
    "hand_over": "Free while the owners stay; as they leave it inherits the pool, above its limit.",
    "fraction": "It pays its share of every page, so it cannot hold the pool within its limit.",
    "beancounter": "As exact fractions.",
    "every_container": "No gain: it maps no more than its limit.",
    "every_mapping": "No gain: it is killed at its limit.",
    "zone": "It maps the whole pool: the frames lie in the victims' zones.",
}
CASES = [{}, {"victims": 1, "seed": 7}]


def expect(pool: int, limit: int, victims: int) -> dict[str, dict[str, object]]:
    free = {"rider maps": pool, "rider charged": 0, "rider maps alone": pool,
            "rider charged alone": 0}
    within = {"rider maps": limit, "rider charged": limit}
    return {
        "none": free,
        "first_touch": free,
        "hand_over": free | {"rider charged alone": pool},
        "zone": free,
        "every_container": within | {"rider maps alone": limit, "rider charged alone": limit},
        "every_mapping": dict.fromkeys(free, 0),
        # all victims map all of the pool by then: 1/(n+1) of each page
        "fraction": {"rider charged": (0, limit)},
    }


def build(
    size: Size = "small",
    nodes: Nodes = 1,
    place: Place = None,
    pool: Annotated[int, range(10, 1 << 20)] | None = None,
    victims: Annotated[int, range(1, 51)] = 3,
    limit: Annotated[int, range(2, 1 << 20)] | None = None,
    seed: Annotated[int, range(0, 1 << 30)] = 0,
) -> Scenario:
    """`victims` touch a `pool` of 300 pages (full: 30,000) in random order; the rider, with a limit
    of 20 (2,000), maps what it finds resident after each of ten rounds; then the victims leave."""
    small = size == "small"
    pool = pool or (300 if small else 30_000)
    limit = limit or max(2, pool // 15)
    boxes = [f"V{i + 1}" for i in range(victims)]
    where = settle(place, [*boxes, "R"], nodes)
    rng = Random(f"free rider {seed}")
    b = TraceBuilder()
    b.file("pool", pool, "/usr/lib")
    for c in boxes:
        b.task(c.lower(), b.container(c, 2 * pool + 64), where[c])
        b.map(c.lower(), "pool")
    b.task("rider", b.container("R", limit), where["R"])
    b.map("rider", "pool")
    orders = [rng.sample(range(pool), pool) for _ in boxes]
    ridden: set[int] = set()
    step = -(-pool // 10)
    for start in range(0, pool, step):
        for c, order in zip(boxes, orders, strict=True):
            for page in order[start : start + step]:
                b.touch_read(c.lower(), "pool", page, 1)
        resident = {page for order in orders for page in order[: start + step]}
        for page in sorted(resident - ridden):
            b.touch_read("rider", "pool", page, 1)
        ridden |= resident
    b.mark("the rider has it all")
    for c in boxes:
        b.exit(c.lower())
        b.reap(c.lower())
    b.mark("the victims are gone")
    notes = (
        "mincore() is not simulated: the rider touches exactly the pages that victims have touched "
        "before, which is what it would be told.",
        "A page that some reclaim has taken away meanwhile is read in again, and then paid for, by "
        "the rider.",
    )
    return finish(__name__, b.build(), machine(nodes, (victims + 1) * (2 * pool + 64)), knobs(size),
                  locals(), expect(pool, limit, victims), notes)


def measure(trace, k) -> dict[str, float]:
    """What the rider maps and is charged, with the victims there and after they have gone."""
    there, alone = Books(trace, k, "the rider has it all"), Books(trace, k, "the victims are gone")
    return {
        "rider maps": there.mapped("R"),
        "rider charged": there.charge("R"),
        "rider maps alone": alone.mapped("R"),
        "rider charged alone": alone.charge("R"),
    }
