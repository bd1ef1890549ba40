"""The same programs, dealt again: every container's tasks keep their order, arrivals are drawn."""

from __future__ import annotations

import random
from copy import copy

from .language import BIRTHS, Op
from .model import COLUMNS, Trace


def strands(trace: Trace) -> list[list[int]]:
    """Rows of each container's tasks, in order; first the rows of root's, which happen first.

    A task counts where it starts, or is first moved to from root; a child counts with its parent
    unless the parent is root's. An event without a task follows the event it stood behind. Marks
    are left out: they name moments of the original order.
    """
    number = {box.name: c for c, box in enumerate(trace.containers)}
    target: dict[int, int] = {}  # task -> the first container that it is moved to
    for row in trace.rows(Op.move):
        target.setdefault(int(trace.task[row]), int(trace.target[row]))
    home = {t: number[trace.tasks[t].container] or target.get(t, 0) for t in trace.initial_tasks()}
    found: list[list[int]] = [[] for _ in trace.containers]
    births, current = set(map(int, BIRTHS)), 0
    for row, (op, task, to) in enumerate(zip(trace.op, trace.task, trace.target, strict=True)):
        if op == Op.mark:
            continue
        if task >= 0:
            current = home[int(task)]
            if op in births:
                home[int(to)] = current or target.get(int(to), 0)
        found[current].append(row)
    return [found[0], *filter(None, found[1:])]


def redeal(trace: Trace, seed: int, spread: float = 1.0) -> Trace:
    """The trace with other arrival times: each container's tasks start at a random moment, then do
    one event a tick, side by side with whoever else is there.

    spread  0: all start together, in random order; 1: up to the whole trace's length apart
    Same seed, same deal. Raises ValueError for a spread outside 0..10. Cost: n log n.
    """
    if not 0 <= spread <= 10:
        raise ValueError(f"spread={spread!r}: a number from 0 to 10 is expected")
    rng = random.Random(f"deal {seed}")
    first, *others = strands(trace)
    rank = rng.sample(range(len(others)), len(others))
    width = spread * sum(map(len, others))
    start = [rng.random() * width for _ in others]
    keyed = sorted(
        (start[s] + i, rank[s], row) for s, rows in enumerate(others) for i, row in enumerate(rows)
    )
    order = first + [row for *_, row in keyed]
    dealt = copy(trace)
    for name in COLUMNS:
        column = getattr(trace, name)
        if hasattr(column, "extend"):
            picked = copy(column[:0])
            picked.extend(column[row] for row in order)
        else:
            picked = column[order]
        setattr(dealt, name, picked)
    dealt.time_ns = None
    dealt.header = trace.header | {"deal": seed, "spread": spread}
    return dealt
