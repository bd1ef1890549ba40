"""One memory for all, or a zone for each: hits, idle frames, and what a neighbour can do."""

from __future__ import annotations

import random
from collections.abc import Iterator
from dataclasses import replace
from typing import Annotated, Literal

from workbench.kernel import Machine, ZoneSet
from workbench.kernel.names import MAJOR
from workbench.trace import Op, TraceBuilder

from .parts import Nodes, Place, Scenario, Size, finish, knobs, settle

TITLE = "Pool or partition"
SOURCE = "Kirill Korotaev, 14 Mar 2007; Balbir Singh, 15 Mar 2007; Eric Biederman, 16 Mar 2007"
QUESTION = "What does a zone for each container cost in hits, and what does it protect?"
PLOT = "hit ratio; idle frames; the scanner's neighbours"
_POOL = (
    "Even demand: as with zones. Skewed or rotating demand: 0.2 to 0.3 more hits. A scanner takes "
    "the memory of all others."
)
_SPLIT = "The same hits whatever the others do; frames of idle containers help nobody."
PREDICTION = {
    "none": _POOL,
    "first_touch": _SPLIT,
    "every_container": "Unmapping at the limit frees nothing: the frames are pooled after all.",
    "zone": _SPLIT,
    "partition": _SPLIT,
}
SCHEMES = ("none", "first_touch", "zone")  # full size of the accesses: these three answer it
CASES = [
    {},
    *({"demand": demand} for demand in ("even", "skewed", "rotating", "scanner")),
    {"demand": "rotating", "sets": 5},
]
TAIL = "more by 0.1 where the toy check had 0.2: the busiest three use more than the pool holds"
COLD = "more by 0.2 where the toy check had 0.3: whose turn it is finds nothing of its own there"
DISAGREES = [
    ({"demand": "skewed"}, "none", "hit ratio", 0.6286, TAIL),
    ({"demand": "rotating"}, "none", "hit ratio", 0.6853, COLD),
    ({"demand": "rotating", "sets": 5}, "none", "hit ratio", 0.6853, COLD),
]
BOXES, FRAMES, PAGES = 10, 1_000, 400
_TOY = {  # debate.md T8, toy check: (pool, zones)
    "even": (0.55, 0.55), "skewed": (0.75, 0.55), "rotating": (0.87, 0.55), "scanner": (0.28, 0.55),
}


def expect(demand: str, sets: int) -> dict[str, dict[str, tuple[float, float]]]:
    def near(x: float) -> dict[str, tuple[float, float]]:
        return {"hit ratio": (round(x - 0.1, 2), round(x + 0.1, 2))}

    pool, zones = _TOY[demand]
    table = {"none": near(pool), "first_touch": near(zones)}
    return table if sets else table | dict.fromkeys(("zone", "partition"), near(zones))


def build(
    size: Size = "small",
    nodes: Nodes = 1,
    place: Place = None,
    demand: Literal["even", "skewed", "rotating", "scanner"] = "even",
    sets: Literal[0, 2, 5] = 0,
    overcommit: Annotated[int, range(1, BOXES + 1)] = 1,
    granule: Annotated[int, range(1, 101)] = 1,
    resize: Annotated[int, range(0, 1_000_001)] = 0,
    accesses: Annotated[int, range(1_000, 10_000_001)] | None = None,
    seed: Annotated[int, range(0, 1 << 20)] = 1,
) -> Scenario:
    """Ten containers use files of 400 pages each, Zipf(0.8), on 1,000 frames (full: 20 times as
    much); limits are a tenth each. `accesses` (10,000; full: 200,000) by demand:

    even: everybody equally often; skewed: the i-th 1/i as often as the first; rotating: nine of ten
    by one, a tenth of the time each; scanner: half by the tenth, which reads page after page.
    sets: pools of so many containers (schemes with zones only; 0: none)
    overcommit: limits are so many tenths each (schemes without zones only)
    granule: frames of the blocks that zones are made of
    resize: after so many accesses limits become as large as the shares in them (0: never)
    """
    scale = 1 if size == "small" else 20
    accesses = accesses or 10_000 * scale
    boxes = [f"C{i + 1}" for i in range(BOXES)]
    where = settle(place, boxes, nodes)
    rng = random.Random(f"pool {demand} {seed}")
    frames, pages = FRAMES * scale, PAGES * scale
    b = TraceBuilder()
    for c in boxes:
        b.task(c.lower(), b.container(c, overcommit * frames // BOXES), where[c])
        b.file(f"file {c}", pages * (10 if demand == "scanner" and c == "C10" else 1))
        b.map(c.lower(), f"file {c}")
    limits, least, used = dict.fromkeys(boxes, frames // BOXES), frames // 50, [0] * BOXES
    for n, (i, page) in enumerate(played(demand, pages, accesses, rng), 1):
        b.touch_read(boxes[i].lower(), f"file {boxes[i]}", page, 1)
        used[i] += 1
        if resize and not n % resize:
            share = {c: least + (frames - BOXES * least) * u // resize
                     for c, u in zip(boxes, used, strict=True)}
            for c in sorted(boxes, key=lambda c: share[c] - limits[c]):  # who shrinks, first
                b.set_limit(c, share[c])
            limits, used = share, [0] * BOXES
    b.mark("end")
    notes = (
        "Loads are invented, as those of the toy check that the prediction is from; only the even "
        "one is made to fit. The second half of the accesses is measured, without the scanner's.",
        "Kernel frames of the tasks are left out, so that a tenth is a tenth.",
        "With 4 nodes each has room for its containers' limits.",
    )
    fullest = max(list(where.values()).count(node) for node in where.values())
    most = frames if nodes == 1 else fullest * frames // BOXES
    whole = Machine(
        nodes, most + (most >> 7) * 3 // 2 + 3,  # and what the node's marks keep free
        zone_sets=tuple(ZoneSet(tuple(boxes[i : i + sets]), sets * frames // BOXES, pooled=True)
                        for i in (range(0, BOXES, sets) if sets else ())),
    )
    chosen = replace(knobs(size), task_frames=0, page_tables=False, granule=granule)
    said = expect(demand, sets) if overcommit == 1 and not resize else {}
    return finish(__name__, b.build(), whole, chosen, locals(), said, notes)


def played(demand: str, pages: int, accesses: int, rng: random.Random) -> Iterator[tuple[int, int]]:
    """Container (0 to 9) and page of every access."""
    weights = [(i + 1) ** -0.8 for i in range(pages)]
    order = [rng.sample(range(pages), pages) for _ in range(BOXES)]
    shares = [1 / (i + 1) if demand == "skewed" else 1 for i in range(BOXES)]
    at = 0
    for n, rank in enumerate(rng.choices(range(pages), weights, k=accesses)):
        i = rng.choices(range(BOXES), shares)[0]
        if demand == "rotating" and rng.random() < 0.9:
            i = n * BOXES // accesses
        elif demand == "scanner" and rng.random() < 0.5:
            i = BOXES - 1
        page = order[i][rank]
        if demand == "scanner" and i == BOXES - 1:
            page, at = at, (at + 1) % (10 * pages)
        yield i, page


def measure(trace, k) -> dict[str, float]:
    """Hits in the second half, of all but a scanner; which of its misses one LRU list of all memory
    would have spared; frames that are free at the end."""
    half, wide = len(trace) // 2, max(o.pages for o in trace.objects)
    scanner = {t for t, o in enumerate(trace.objects) if o.pages == wide > trace.objects[0].pages}
    size = sum(int(k.zone_frames[z]) for z in range(k.zones))
    kept: dict[tuple[int, int], None] = {}  # what that list would hold, oldest first
    seen = missed = spared = 0
    for i in trace.rows(Op.touch_read):
        page = (trace.target[i], trace.page[i])
        young = kept.pop(page, 0) is None
        kept[page] = None
        if len(kept) > size:
            del kept[next(iter(kept))]
        if i >= half and trace.task[i] not in scanner:
            seen += 1
            missed += int(k.ev_outcome[i] == MAJOR)
            spared += int(k.ev_outcome[i] == MAJOR and young)
    return {
        "hit ratio": 1 - missed / seen,
        "misses one LRU had spared": spared / missed,
        "idle frames": sum(int(k.zone_free[z]) for z in range(k.zones)),
    }
