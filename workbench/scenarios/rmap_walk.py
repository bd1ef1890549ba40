"""Many processes map one library: how far a walk over its mappers goes, at each map and unmap."""

from __future__ import annotations

from random import Random
from typing import Annotated

from workbench.kernel.names import N_RMAP
from workbench.trace import Op, TraceBuilder

from .parts import Nodes, Place, Scenario, Size, finish, knobs, machine, settle

TITLE = "Walking the mappers"
SOURCE = "Dave Hansen, 12 Mar 2007 (too dear?); Eric Biederman, 13 Mar 2007 (usually found early)"
QUESTION = "What does it cost to find out whether a container maps a page already, or still?"
PLOT = "steps per map and unmap against groups and processes"
_KEPT = "Charge records answer it: no mapper is walked."
PREDICTION = {
    "none": "Nobody asks.",
    "first_touch": "Nobody asks whose the mappers are: only their number counts.",
    "fraction": _KEPT,
    "beancounter": _KEPT,
    "every_container": _KEPT,
    "every_container:record=walk:lists=global": "Nothing is kept: at each map, asked twice, and "
    "each unmap the mappers are walked to the first of the same container, or all of them.",
    "every_mapping": "Every mapping counts for itself: nobody asks.",
}
CASES = [{}, {"ends": False}]


def expect(comes: list[str], goes: list[str], pages: int) -> dict[str, dict[str, object]]:
    """`comes` and `goes`: tasks in their order, named for their containers."""
    row: list[tuple[str, str]] = []  # the mappers, oldest first: container, task
    steps = 0
    for task in comes:
        box = task.partition(".")[0]
        seen = first(row, box)
        steps += seen + (seen if any(c == box for c, _ in row) else seen + 1)
        row.append((box, task))
    for task in goes:
        box = task.partition(".")[0]
        row.remove((box, task))
        steps += first(row, box)
    table = {scheme: {"steps": 0} for scheme in PREDICTION}
    return table | {"every_container:record=walk:lists=global": {"steps": steps * pages}}


def first(row: list[tuple[str, str]], box: str) -> int:
    """Steps to the first mapper of a container; all of them where there is none."""
    return next((i for i, (c, _) in enumerate(row, 1) if c == box), len(row))


def build(
    size: Size = "small",
    nodes: Nodes = 1,
    place: Place = None,
    groups: Annotated[int, range(1, 101)] = 5,
    processes: Annotated[int, range(1, 1001)] | None = None,
    pages: Annotated[int, range(1, 1001)] | None = None,
    ends: bool = True,
    seed: Annotated[int, range(0, 1 << 30)] = 0,
) -> Scenario:
    """`groups` of 6 `processes` (full: 30) read a library of 30 `pages` (full: 300) in random order
    of arrival; with `ends`, they end in another random order."""
    processes = processes or (6 if size == "small" else 30)
    pages = pages or (30 if size == "small" else 300)
    boxes = [f"G{i + 1}" for i in range(groups)]
    where = settle(place, boxes, nodes)
    rng = Random(f"rmap walk {seed}")
    b = TraceBuilder()
    for c in boxes:
        b.container(c, 2 * processes * pages + 8 * processes + 64)
    b.file("library", pages, "/lib/libc.so")
    tasks = [f"{c.lower()}.{i + 1}" for c in boxes for i in range(processes)]
    for name in tasks:
        c = name.partition(".")[0].upper()
        b.task(name, c, where[c])
    comes = rng.sample(tasks, len(tasks))
    goes = rng.sample(tasks, len(tasks)) if ends else []
    for name in comes:
        b.touch_read(name, "library")
    b.mark("all run")
    if ends:
        for name in goes:
            b.unmap(name, "library")
        b.mark("all have ended")
    notes = (
        "A process ends its use by unmapping. Mappers are walked oldest first until one of the "
        "same container is found; the newcomer itself is met last.",
        "A kernel walks the areas that map the file, some of which never touched the page: here "
        "every one has, so real walks are not shorter.",
    )
    need = groups * (2 * processes * pages + 8 * processes + 64)
    return finish(__name__, b.build(), machine(nodes, need), knobs(size), locals(),
                  expect(comes, goes, pages), notes)


def measure(trace, k) -> dict[str, float]:
    """Steps from mapper to mapper, in all and per map or unmap of a page; and the longest walk that
    the order of arrival asks for."""
    steps = int(k.stat[N_RMAP])
    pages = trace.objects[0].pages
    boxes = [trace.tasks[int(trace.task[i])].container for i in trace.rows(Op.touch_read)]
    changes = pages * (len(boxes) + len(trace.rows(Op.unmap)))
    longest = max(len(boxes[:i]) for i, c in enumerate(boxes) if c not in boxes[:i])
    return {
        "steps": steps,
        "steps / change": steps / changes,
        "longest walk at a first map": longest,
        "mappers": len(boxes),
    }
