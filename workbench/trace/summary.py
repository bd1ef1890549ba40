"""What is in a trace, counted without an engine, for `workbench trace info`."""

from __future__ import annotations

from bisect import bisect_right
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


# ---- pictures: what there is over time, and who shares it ----------------------------------------

USES = TOUCHES + CALLS
BLOCKS = " ▁▂▃▄▅▆▇█"


class Growth(NamedTuple):
    """How many different pages of a group were used up to an event (and its time, if known)."""

    event: int
    seconds: float | None
    group: str
    pages: int


class Sharing(NamedTuple):
    """How many pages of a group exactly these use."""

    group: str
    users: str
    pages: int


def groups_of(trace: Trace, top: int) -> list[str]:
    """A group per object: files with most pages used by themselves, the rest by kind."""
    used: dict[int, bytearray] = {}
    for op, _, _, target, page, count in located(trace):
        if op in USES:
            pages = used.setdefault(target, bytearray(trace.objects[target].pages))
            pages[page : page + count] = b"\1" * count
    kinds = {"file": "other files", "anon": "anonymous memory", "shm": "shared memory"}
    sizes = {obj: sum(pages) for obj, pages in used.items() if trace.objects[obj].kind == "file"}
    alone = sorted(sizes, key=lambda obj: (-sizes[obj], obj))[:top]
    names = [trace.objects[obj].name for obj in alone]
    groups = [kinds.get(obj.kind, f"{obj.kind} pages") for obj in trace.objects]
    for obj, name in zip(alone, names, strict=True):
        short = name.rpartition("/")[2] or name
        clash = sum(other.rpartition("/")[2] == short for other in names) > 1
        groups[obj] = name if clash else short
    return groups


def growth(trace: Trace, top: int = 6, points: int = 200) -> list[Growth]:
    """Different pages used so far, per group, at `points` moments spread evenly over the time (over
    the events where a trace has none); groups in the order of their first use."""
    groups, total = groups_of(trace, top), len(trace)
    times = None if trace.time_ns is None else [int(ns) for ns in trace.time_ns]
    span = (times[-1] if times else total) or 1
    used: dict[int, bytearray] = {}
    pages: dict[str, int] = {}
    rows: list[tuple] = []
    due = 1
    for event, (op, _, _, target, page, count) in enumerate(located(trace), 1):
        if op in USES:
            seen = used.setdefault(target, bytearray(trace.objects[target].pages))
            group = groups[target]
            pages[group] = pages.get(group, 0) + seen.count(0, page, page + count)
            seen[page : page + count] = b"\1" * count
        at = times[event - 1] if times else event
        if at * points >= due * span or event == total:
            due = at * points // span + 1
            rows.append((event, at / 1e9 if times else None, dict(pages)))
    return [Growth(event, seconds, group, found.get(group, 0))
            for group in pages for event, seconds, found in rows]


def sharing(trace: Trace, top: int = 6) -> list[Sharing]:
    """Per group: pages by who uses them: sets of containers; with one container, numbers of tasks.

    Anonymous pages that a fork shares and nobody touches again count for their first user."""
    groups = groups_of(trace, top)
    users: dict[tuple[int, int], int] = {}
    tasks: dict[tuple[int, int], set[int]] = {}
    for op, task, container, target, page, count in located(trace):
        if op in USES:
            for p in range(page, page + count):
                users[target, p] = users.get((target, p), 0) | 1 << container
                tasks.setdefault((target, p), set()).add(task)
    names = [c.name for c in trace.containers]
    alone = len(set(users.values())) <= 1
    found: dict[tuple[str, str], int] = {}
    for (target, page), mask in users.items():
        if alone:
            n = len(tasks[target, page])
            label = "1 task" if n == 1 else f"{n} tasks" if n < 4 else "4 tasks or more"
        else:
            here = [name for i, name in enumerate(names) if mask >> i & 1]
            label = "+".join(here) if len(here) < 4 else f"{len(here)} containers"
        key = groups[target], label
        found[key] = found.get(key, 0) + 1
    sizes: dict[str, int] = {}
    for (group, _), pages in found.items():
        sizes[group] = sizes.get(group, 0) + pages
    order = sorted(found, key=lambda key: (-sizes[key[0]], key[0], key[1].count("+"), key[1]))
    return [Sharing(*key, found[key]) for key in order]


def who(labels: Iterable[str]) -> list[str]:
    """Sets of users in order: one alone, two, more."""
    return sorted(labels, key=lambda label: (label.count("+"), "root" not in label, label))


def picture(trace: Trace, width: int = 60) -> str:
    """Growth and sharing as text of about 100 columns."""
    rows: dict[str, list[Growth]] = {}
    for row in growth(trace, points=4 * width):
        rows.setdefault(row.group, []).append(row)
    lines = [f"pages used so far, over {'events' if trace.time_ns is None else 'time'}"]
    for group, mine in sorted(rows.items(), key=lambda item: -item[1][-1].pages):
        at = [row.event if row.seconds is None else row.seconds for row in mine]
        line, most = "", mine[-1].pages
        for column in range(1, width + 1):
            place = bisect_right(at, at[-1] * column / width) - 1
            line += BLOCKS[-(-8 * mine[place].pages // most)] if place >= 0 else BLOCKS[0]
        lines.append(f"{group[-24:]:24} {line} {most:9,}")
    shares = sharing(trace)
    labels = who({row.users for row in shares})
    if len(labels) > 1:
        fills = dict(zip(labels, "█▓▒░:." + "·" * len(labels), strict=False))
        totals = {label: sum(r.pages for r in shares if r.users == label) for label in labels}
        lines += ["", "who uses them: " + "   ".join(
            f"{fills[label]} {label} ({totals[label]:,})" for label in labels)]
        for group in dict.fromkeys(row.group for row in shares):
            pages = {row.users: row.pages for row in shares if row.group == group}
            size, bar, so_far = sum(pages.values()), "", 0
            for label in labels:
                so_far += pages.get(label, 0)
                bar += fills[label] * (round(so_far / size * width) - len(bar))
            lines.append(f"{group[-24:]:24} {bar} {size:9,}")
    return "\n".join(lines)
