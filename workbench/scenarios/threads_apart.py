"""Threads of one address space in two containers: tasks are counted in both, memory in one."""

from __future__ import annotations

from itertools import pairwise
from typing import Annotated, Literal

from workbench.trace import TraceBuilder

from .parts import Books, Nodes, Place, Scenario, Size, finish, knobs, machine, settle

TITLE = "Threads in two containers"
SOURCE = "Balbir Singh, 7 Mar 2007; Dave Hansen, 12 Mar 2007 (is an mm in one container?)"
QUESTION = "Where is memory charged when the threads of a process are in two containers?"
PLOT = "charge and tasks of both containers; pages charged where their thread is not"
_MM = "All new pages are charged where the address space is; threads elsewhere use it unpaid."
PREDICTION = {
    "none": "Nobody is charged.",
    "first_touch": _MM,
    "hand_over": _MM,
    "fraction": _MM,
    "beancounter": _MM,
    "every_container": _MM,
    "every_mapping": _MM,
    "february_2007": "Only a leader may move, and takes the memory along; other threads stay.",
    "zone": "All new pages lie in the zone of the address space's container.",
}
CASES = [{}, {"mover": "leader"}]


def expect(threads: int, pages: int) -> dict[str, dict[str, object]]:
    half = threads // 2
    apart = {"pages charged elsewhere": half * pages, "containers that new pages went to": 1,
             "tasks in A": threads - half, "tasks in B": half}
    none = {"pages charged elsewhere": 0, "containers that new pages went to": 0}
    return dict.fromkeys(PREDICTION, apart) | {"none": none, "february_2007": {}}


def build(
    size: Size = "small",
    nodes: Nodes = 1,
    place: Place = None,
    threads: Annotated[int, range(2, 1001)] = 4,
    mover: Literal["threads", "leader"] = "threads",
    pages: Annotated[int, range(1, 1 << 16)] | None = None,
) -> Scenario:
    """A process of `threads` in A writes 40 `pages` (full: 4,000); half of its threads move to B,
    the leader with them or not; then each thread writes as many again."""
    pages = pages or (40 if size == "small" else 4_000)
    where = settle(place, ["A", "B"], nodes)
    room = 2 * (threads + 2) * pages + 4 * threads + 64
    b = TraceBuilder()
    b.task("t1", b.container("A", room), where["A"])
    b.task("other", b.container("B", room), where["B"])
    b.anon("first", pages)
    b.anon("heap", threads * pages)
    for i in range(2, threads + 1):
        b.thread("t1", f"t{i}")
    b.touch_write("t1", "first")
    half = threads // 2
    moved = range(1, half + 1) if mover == "leader" else range(threads - half + 1, threads + 1)
    for i in moved:
        b.move(f"t{i}", "B")
    b.mark("half have moved")
    for i in range(1, threads + 1):
        b.touch_write(f"t{i}", "heap", (i - 1) * pages, pages)
        b.mark(f"t{i} has written")
    notes = (
        "The patch ties an address space to the container that the last task left together with "
        "it: the first thread to move takes the address space along, whoever leads.",
        "Limits are far away. B has a task of its own, idle.",
    )
    return finish(__name__, b.build(), machine(nodes, 2 * room), knobs(size), locals(),
                  expect(threads, pages), notes)


def measure(trace, k) -> dict[str, float]:
    """By container; and, thread by thread, what its new pages added to the container it is not in.
    """
    books = [Books(trace, k, "half have moved")]
    tasks = [t.name for t in trace.tasks if t.name.startswith("t")]
    books += [Books(trace, k, f"{name} has written") for name in tasks]
    last = books[-1]
    at = {t.name: int(k.task_container[i]) for i, t in enumerate(trace.tasks)}
    grown = [{c: b.charge(c) - a.charge(c) for c in "AB"} for a, b in pairwise(books)]
    elsewhere = sum(
        n for name, g in zip(tasks, grown, strict=True) for c, n in g.items()
        if last.index[c] != at[name]
    )
    return {
        "A charged": last.charge("A"),
        "B charged": last.charge("B"),
        "tasks in A": last.tasks("A"),
        "tasks in B": last.tasks("B") - 1,
        "pages charged elsewhere": elsewhere,
        "containers that new pages went to": sum(any(g[c] for g in grown) for c in "AB"),
    }
