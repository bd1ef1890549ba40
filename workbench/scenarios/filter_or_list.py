"""One container of many is at its limit: its pages are on a list of its own, or among everybody's.
"""

from __future__ import annotations

from random import Random
from typing import Annotated

from workbench.kernel.names import N_SCANNED, N_UNMAPPED, N_ZONE_SCANNED
from workbench.trace import TraceBuilder

from .parts import Books, Nodes, Place, Scenario, Size, finish, knobs, machine, settle

TITLE = "Filter the machine's list, or keep one's own"
SOURCE = "Kirill Korotaev, 12 Mar 2007 (a list); Eric Biederman, 13 Mar 2007 (a filter will do)"
QUESTION = "How many pages must be looked at to find one of the container's?"
PLOT = "pages looked at per page given up against the number of containers"
_OWN = "A few looks per page given up, however many neighbours there are."
PREDICTION = {
    "none": "There is no limit.",
    "first_touch": _OWN,
    "hand_over": _OWN,
    "fraction": _OWN,
    "beancounter": _OWN,
    "every_container": _OWN,
    "every_container:record=walk:lists=global": "As february_2007.",
    "february_2007": "About as many looks per page given up as there are containers.",
}
CASES = [{}, {"containers": 1}, {"containers": 100}]
WALK = "every_container:record=walk:lists=global"
BOTH = "its active and inactive passes go over one and the same list, and a page is met young first"
OLDEST = "quiet neighbours' pages are the oldest of all: each walk passes every one of them, for "
OLDEST += "the pages that it wants, 8 (20% of the limit) or 4 (a cluster): 40 / 8 or 40 / 4 looks "
OLDEST += "a neighbour and page, and its own"
ITSELF = "a file of twice the limit, read in order: a walk meets all 40 own pages young before the "
ITSELF += "second round takes any"
DISAGREES = [
    *((case, scheme, "looked at / given up", 4.884375, BOTH)
      for case in CASES for scheme in ("first_touch", "hand_over")),
    ({}, "february_2007", "looked at / given up", 55.75625, OLDEST),
    ({}, WALK, "looked at / given up", 109.55, OLDEST),
    ({"containers": 1}, WALK, "looked at / given up", 19.55, ITSELF),
    ({"containers": 100}, WALK, "looked at / given up", 1009.55, OLDEST),
    ({"containers": 1}, "february_2007", "looked at / given up", 10.75625, ITSELF),
    ({"containers": 100}, "february_2007", "looked at / given up", 505.75625, OLDEST),
]


def expect(n: int) -> dict[str, dict[str, object]]:
    own = {"looked at / given up": (1, 4)}
    walk = {"looked at / given up": (n / 2, 2 * n)}
    return dict.fromkeys(PREDICTION, own) | {
        "none": {"given up": 0}, "february_2007": walk,
        WALK: walk,
    }


def build(
    size: Size = "small",
    nodes: Nodes = 1,
    place: Place = None,
    containers: Annotated[int, range(1, 1001)] = 10,
    pages: Annotated[int, range(16, 1 << 16)] | None = None,
    rounds: Annotated[int, range(1, 101)] = 4,
    seed: Annotated[int, range(0, 1 << 30)] = 0,
) -> Scenario:
    """`containers` of 40 `pages` each (full: 4,000), touched in random order; then the first, whose
    limit is 40, reads a file of 80 pages from end to end, `rounds` times."""
    pages = pages or (40 if size == "small" else 4_000)
    boxes = [f"C{i + 1}" for i in range(containers)]
    where = settle(place, boxes, nodes)
    rng = Random(f"filter or list {seed}")
    b = TraceBuilder()
    for i, c in enumerate(boxes):
        b.task(c.lower(), b.container(c, pages if i == 0 else 2 * pages + 16), where[c])
        b.file(f"{c} file", pages, f"/srv/{c}")
        b.map(c.lower(), f"{c} file")
    b.file("long file", 2 * pages, "/srv/long")
    step = max(1, pages // 40)
    runs = [(c, page) for c in boxes for page in range(0, pages, step)]
    rng.shuffle(runs)
    for c, page in runs:
        b.touch_read(c.lower(), f"{c} file", page, min(step, pages - page))
    b.mark("all run")
    for _ in range(rounds):
        b.touch_read("c1", "long file")
    b.mark("one has read")
    notes = (
        "Only the first container is ever at its limit; the others' pages are quiet.",
        "A walk over the machine's list leaves others' pages where they are. The patch of February "
        "2007 put them at the head: no fewer looks, since own pages are met young first and a walk "
        "goes round in any case, but the others' order is lost, which is not counted.",
    )
    return finish(__name__, b.build(), machine(nodes, containers * (2 * pages + 16)), knobs(size),
                  locals(), expect(containers), notes)


def measure(trace, k) -> dict[str, float]:
    """Pages looked at and given up (freed or unmapped) at the limit; faults of everybody else."""
    looked = int(k.stat[N_SCANNED]) + int(k.stat[N_ZONE_SCANNED])
    given = int(k.stat[N_UNMAPPED])
    run, last = Books(trace, k, "all run"), Books(trace, k)
    others = [c.name for c in trace.containers[2:]]
    return {
        "looked at": looked,
        "given up": given,
        "looked at / given up": looked / given if given else 0.0,
        "faults of others": sum(last.faults(c) - run.faults(c) for c in others),
    }
