"""Short-lived containers that touched first, and one that goes on using what they paid for."""

from __future__ import annotations

from typing import Annotated

from workbench.kernel.names import OK
from workbench.trace import Op, TraceBuilder

from .parts import Books, Nodes, Place, Scenario, Size, finish, knobs, machine, settle

TITLE = "Zombie containers"
SOURCE = "Pavel Emelianov, 13 Mar 2007 (one page may keep a container for good); plot derived"
QUESTION = "Who pays for a page when everyone who was charged for it is dead?"
PLOT = "containers without tasks that are charged; the survivor's charge and what it maps"
PREDICTION = {
    "none": "Nobody is charged, and every container can be removed.",
    "first_touch": "Every short-lived container stays, charged for what it touched; the survivor "
    "uses all of it and pays nothing.",
    "first_allocation": "As first touch.",
    "hand_over": "The survivor inherits page by page; nothing is left of the dead.",
    "fraction": "The dead one's shares go to the survivor, who pays for all.",
    "beancounter": "As exact fractions.",
    "every_container": "The survivor always paid for all it maps; nothing is left of the dead.",
    "every_mapping": "As every container.",
}
CASES = [{}, {"removed": False}]


def expect(boxes: int, pages: int, removed: bool) -> dict[str, dict[str, float]]:
    whole = {"zombies": 0, "charged to zombies": 0, "survivor charged": boxes * pages,
             "survivor maps": boxes * pages, "removals refused": 0}
    stuck = whole | {"zombies": boxes, "charged to zombies": boxes * pages, "survivor charged": 0,
                     "removals refused": boxes * removed}
    return dict.fromkeys(PREDICTION, whole) | {
        "none": whole | {"survivor charged": 0}, "first_touch": stuck, "first_allocation": stuck
    }


def build(
    size: Size = "small",
    nodes: Nodes = 1,
    place: Place = None,
    containers: Annotated[int, range(1, 1001)] | None = None,
    pages: Annotated[int, range(1, 10_001)] | None = None,
    removed: bool = True,
) -> Scenario:
    """50 `containers` (full: 500) touch 20 `pages` (200) of a library each; the survivor maps them
    too; then they die and, with `removed`, somebody tries to remove them."""
    containers = containers or (50 if size == "small" else 500)
    pages = pages or (20 if size == "small" else 200)
    boxes = [f"Z{i + 1}" for i in range(containers)]
    where = settle(place, ["S", *boxes], nodes)
    b = TraceBuilder()
    total = containers * pages
    b.file("library", total, "/usr/lib/library")
    b.task("survivor", b.container("S", 2 * total + 64), where["S"])
    for c in boxes:
        b.task(c.lower(), b.container(c), where[c])
    for i, c in enumerate(boxes):
        run = range(i * pages, (i + 1) * pages)
        b.touch_read(c.lower(), "library", run)
        b.touch_read("survivor", "library", run)
        b.exit(c.lower())
        b.reap(c.lower())
        if removed:
            b.rmdir(c)
    notes = (
        "A zombie has no task and is charged. Only the survivor has a limit, never reached.",
        "Where zones go with their container, its pages are in the node's own zone afterwards.",
    )
    need = 4 * total + containers * (2 * pages + 64)
    return finish(__name__, b.build(), machine(nodes, need), knobs(size), locals(),
                  expect(containers, pages, removed), notes,
                  O5="zombies are kept and visible, as each scheme has it; death=... changes it",
                  )


def measure(trace, k) -> dict[str, float]:
    """What is charged to whom at the end; whether the dead could be removed."""
    books = Books(trace, k)
    dead = [c for c in books.index if c.startswith("Z") and not books.tasks(c) and books.charge(c)]
    return {
        "zombies": len(dead),
        "charged to zombies": sum(map(books.charge, dead)),
        "survivor charged": books.charge("S"),
        "survivor maps": books.mapped("S"),
        "removals refused": sum(int(k.ev_outcome[i] > OK) for i in trace.rows(Op.rmdir)),
    }
