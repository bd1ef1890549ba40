"""Containers are born, resized and die, and each leaves a few pages that nothing can move."""

from __future__ import annotations

from dataclasses import replace
from random import Random
from typing import Annotated, Literal

from workbench.kernel import Machine
from workbench.kernel.names import REFUSED
from workbench.trace import Op, TraceBuilder

from .parts import Nodes, Place, Scenario, Size, finish, knobs, settle

TITLE = "The life of a zone"
SOURCE = "Dave Hansen, 13 Mar 2007; Kirill Korotaev, 14 Mar 2007; Mel Gorman, 14 and 20 Mar 2007"
QUESTION = "How much memory can still become a zone after many containers have come and gone?"
PLOT = "granules pinned, frames that can still become a zone, births refused"
_LEFT = (
    "Every page that cannot be moved holds a whole granule of the dead zone, which is the node's "
    "from then on: d pages bind up to d granules, until no new zone finds enough."
)
PREDICTION = {
    "zone": _LEFT,
    "first_touch": "There are no zones: the pages cost their own frames and nothing else.",
    "every_container": "As first touch.",
}
SCHEMES = ("first_touch", "every_container", "zone")
CASES = [{}, {"left": 0}, {"left": 8}, {"left": 8, "unmovable": "grouped"}]
BOXES = 8


def expect(lives: int, left: int, unmovable: str, granules: int) -> dict[str, dict[str, object]]:
    none = {"births refused": 0, "frames left behind": lives * left}
    most = lives * left
    if unmovable == "grouped":  # a granule of 16 takes two lives' eight pages
        zoned = {"granules pinned": (most // 16, lives)}
    elif most < granules // 2:
        zoned = {"granules pinned": most, "births refused": 0, "frames left behind": most}
    else:
        zoned = {"granules pinned": (granules // 2, granules), "births refused": (1, lives)}
    return {"zone": zoned, "first_touch": none, "every_container": none}


def build(
    size: Size = "small",
    nodes: Nodes = 1,
    place: Place = None,
    lives: Annotated[int, range(BOXES, 10_001)] | None = None,
    left: Annotated[int, range(0, 17)] = 1,
    unmovable: Literal["spread", "grouped"] = "spread",
    granule: Annotated[int, range(1, 1 << 14)] | None = None,
    seed: Annotated[int, range(0, 1 << 30)] = 0,
) -> Scenario:
    """`lives` containers (100; full: 200), eight at a time, of 4 to 12 granules of 16 frames (full:
    1,024), resized once, on 256 granules; each leaves `left` dentries behind. The last eight live.

    unmovable: dentries lie in all granules of a zone alike, or in as few as possible (the knob).
    """
    small = size == "small"
    lives, granule = lives or (100 if small else 200), granule or (16 if small else 1_024)
    boxes = [f"C{i + 1}" for i in range(BOXES)]
    where = settle(place, boxes, nodes)
    rng = Random(f"zone life {seed}")
    b = TraceBuilder()
    b.task("init")
    b.anon("heap", 12 * granule)
    if left:
        b.object("dentries", "kernel", lives * left)
    for c in boxes:
        b.container(c, 8 * granule)
    for i in range(lives):
        c, task = boxes[i % BOXES], f"life {i + 1}"
        if i >= BOXES:
            b.exit(f"life {i + 1 - BOXES}")
            b.reap(f"life {i + 1 - BOXES}")
            b.rmdir(c)
        first, then = (rng.randint(4 * granule, 12 * granule) for _ in range(2))
        b.mkdir(c)
        b.set_limit(c, first)
        b.fork("init", task)
        b.run_on(task, where[c])
        b.move(task, c)
        b.touch_write(task, "heap", 0, min(first, then) - 2 * granule)
        if left:
            b.write(task, "dentries", i * left, left)
        b.set_limit(c, then)
        b.mark(f"{task} is settled")
    notes = (
        "A dentry that is left is a kernel page in the dead container's zone; none is ever freed.",
        "A container that finds no room for its zone is not made, and its task stays in the root.",
        "Compaction is free: pages that can be moved never stand in the way.",
        "A zone begins with the table's 8 granules; a new limit that cannot be had is refused.",
        "Stacks and page tables take no frames here.",
    )
    chosen = replace(knobs(size), granule=granule, unmovable=unmovable, task_frames=0,
                     page_tables=False)
    each = Machine(nodes=nodes, frames=256 * granule, swap=0)
    return finish(__name__, b.build(), each, chosen, locals(),
                  expect(lives, left, unmovable, 256), notes,
                  O14=f"granule {granule}; dead zones merge into the node's")


def measure(trace, k) -> dict[str, float]:
    """Births refused; frames of dentries, and free ones; under zones: granules pinned, frames that
    can still become one zone, and what rounding to granules wastes per living zone, in granules."""
    refused = sum(int(k.ev_outcome[i]) == REFUSED for i in trace.rows(Op.mkdir))
    found = {
        "births refused": refused,
        "frames left behind": sum(int(k.zone_kernel[z]) for z in range(k.zones)),
        "frames free": sum(int(k.zone_free[z]) for z in range(k.zones)),
    }
    if k.own_zone[1] < 0:
        return found
    g, nodes = k.granule, range(k.nodes)
    fit = [min(int(k.zone_free[n] - k.zone_low[n]) // g,
               int(k.zone_frames[n]) // g - int(k.zone_pinned[n])) for n in nodes]
    waste = [int(k.zone_frames[k.own_zone[c]] - k.limit[c]) / g
             for c in range(1, k.containers) if k.alive[c]]
    return found | {
        "granules pinned": sum(int(k.zone_pinned[z]) for z in range(k.zones)),
        "largest new zone": max(0, *fit) * g,
        "rounding waste": sum(waste) / max(1, len(waste)),
    }
