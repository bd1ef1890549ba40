"""What is in a trace, counted without an engine, for `workbench trace info` and tests."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator
from typing import NamedTuple

from .language import BIRTHS, Op
from .model import Trace

TOUCHES = (Op.touch_read, Op.touch_write)
CALLS = (Op.read, Op.write)


class Row(NamedTuple):
    """One line of a description: section, what is counted, how many."""

    section: str
    name: str
    number: int


def located(trace: Trace) -> Iterator[tuple[int, int, int, int, int, int]]:
    """(op, task, container, target, page, count) per event; container is the task's at that time
    as the events say (a simulated kernel may refuse a move), -1 for events without a task."""
    numbers = {c.name: i for i, c in enumerate(trace.containers)}
    home = [numbers[t.container] for t in trace.tasks] + [-1]
    for op, task, target, page, count in zip(
        trace.op, trace.task, trace.target, trace.page, trace.count, strict=True
    ):
        if op in BIRTHS:
            home[target] = home[task]
        elif op == Op.move:
            home[task] = target
        yield op, task, home[task], target, page, count


def pages_used(trace: Trace, ops: Iterable[Op], kind: str | None = None) -> dict[int, set]:
    """Container -> the distinct (object, page) that its tasks' `ops` name, of one object kind."""
    ops, used = frozenset(ops), {}
    for op, _, container, target, page, count in located(trace):
        if op in ops and (kind is None or trace.objects[target].kind == kind):
            used.setdefault(container, set()).update((target, p) for p in range(page, page + count))
    return used


def private_pages(trace: Trace) -> dict[int, int]:
    """Task -> its distinct pages written: anonymous ones and copies of private file pages."""
    written: dict[int, set] = {}
    for op, task, _, target, page, count in located(trace):
        if op == Op.touch_write and trace.objects[target].kind in ("anon", "file"):
            written.setdefault(task, set()).update((target, p) for p in range(page, page + count))
    return {task: len(pages) for task, pages in written.items()}


def first_touches(trace: Trace, containers: Iterable[int] | None = None) -> dict:
    """(object, page) -> the container, of all or of `containers`, whose task touched it first."""
    wanted = None if containers is None else frozenset(containers)
    first: dict[tuple[int, int], int] = {}
    for op, _, container, target, page, count in located(trace):
        if op in TOUCHES and (wanted is None or container in wanted):
            for p in range(page, page + count):
                first.setdefault((target, p), container)
    return first


def describe(trace: Trace) -> list[Row]:
    """Events by op, objects by kind, pages used per container and shared between containers."""
    rows = [Row("trace", "events", len(trace)), Row("trace", "tasks", len(trace.tasks))]
    rows += [Row("events", Op(op).name, n) for op, n in sorted(Counter(map(int, trace.op)).items())]
    for kind, n in sorted(Counter(o.kind for o in trace.objects).items()):
        pages = sum(o.pages for o in trace.objects if o.kind == kind)
        rows += [Row("objects", kind, n), Row("objects", f"{kind} pages", pages)]
    touched, called = pages_used(trace, TOUCHES), pages_used(trace, CALLS)
    for number, container in enumerate(trace.containers):
        mine = touched.get(number, set())
        anon = {x for x in mine if trace.objects[x[0]].kind == "anon"}
        others = set().union(*(pages for c, pages in touched.items() if c != number))
        rows += [
            Row(container.name, "pages touched", len(mine)),
            Row(container.name, "of these anonymous", len(anon)),
            Row(container.name, "of these touched by other containers", len(mine & others)),
            Row(container.name, "pages read or written", len(called.get(number, ()))),
        ]
    return rows
