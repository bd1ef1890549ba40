"""Prediction held against measurement: each thing compared becomes a `Row`."""

from __future__ import annotations

from collections.abc import Iterator
from fractions import Fraction
from itertools import zip_longest

from workbench.results.tables import event_text
from workbench.trace import Op, Trace
from workbench.trace.language import BIRTHS, control_write

from .agreement import Row
from .capture import Capture
from .forecast import Forecast, mapped_by_node, pss_of_mms, walk
from .plan import pages_written

# Per cent: how far a real kernel's misses may be from the simulated ones. Linux 6.18 sometimes
# takes 10 % fewer: it activates pages that come back soon (workingset refaults), which the engine
# leaves out, and decides by statistics up to two seconds old. 6.1 stays within 1 %.
BAND = (-12, 5)


def compare_usage(capture: Capture, said: Forecast) -> list[Row]:
    """Every container after every event: usage, and under limits failcnt; and who was killed.

    failcnt is compared until a container first lacks room for a page (how often the kernel then
    tries is its secret), usage until the first page is taken or the first task killed: from then on
    only bounds hold (`compare_bounds`). Victims and refusals are compared throughout.
    """
    limited = has_limits(capture.trace)
    usage = Row(capture, f"usage under {said.scheme}", again=capture.again)
    failcnt = Row(capture, f"failcnt under {said.scheme}, batch model")
    ends = (len(capture.usage) if not limited or at is None else at
            for at in (said.reclaims, said.full))
    end, counted = ends
    for n in range(end):
        for c, real in enumerate(capture.usage[n]):
            if real is not None:
                usage.tell(n, c, real, said.usage[n][c], "pages charged")
                if limited and said.failcnt and n < counted:
                    failcnt.tell(n, c, capture.failcnt[n][c], said.failcnt[n][c], "in failcnt")
    rows = [usage, failcnt] if failcnt.compared else [usage] if usage.compared else []
    if said.victims or capture.died:
        rows.append(compare_victims(capture, said))
    if capture.both:
        rows.append(compare_both(capture, said))
    if said.refused or capture.refused:
        rows.append(compare_refused(capture, said))
    return rows


def compare_victims(capture: Capture, said: Forecast) -> Row:
    """Who is killed in the course of which event, in order."""
    row = Row(capture, f"OOM victims under {said.scheme}")
    names = [task.name for task in capture.trace.tasks]
    real = [(n, task) for n, task, _ in capture.died]
    row.compared = max(len(real), len(said.victims))
    row.wrong = sum(a != b for a, b in zip_longest(real, said.victims))
    if row.wrong:
        told = ("; ".join(f"{names[t]} at event {n + 1}" for n, t in some) or "nobody"
                for some in (real, said.victims))
        row.first = "{}: killed {}; predicted {}".format(capture.name, *told)
    return row


def compare_both(capture: Capture, said: Forecast) -> Row:
    """Memory and swap together are exact whoever is swapped out, until somebody is killed."""
    row = Row(capture, f"usage with swap under {said.scheme}")
    end = min((n for n, *_ in [*capture.died, *said.victims]), default=len(capture.trace))
    for n, boxes in capture.both.items():
        for c, numbers in boxes.items() if n < end else ():
            row.tell(n, c, numbers[0], said.both[n][c], "pages charged in memory and swap")
    return row


def compare_refused(capture: Capture, said: Forecast) -> Row:
    """Which events the kernel refuses: a fork above pids.max, an access of a task that waits."""
    row = Row(capture, f"refused under {said.scheme}")
    real = list(dict.fromkeys(n for n, _ in capture.refused))
    row.compared = max(len(real), len(said.refused))
    wrong = sorted({*real} ^ {*said.refused})
    row.wrong = len(wrong)
    if wrong:
        who = "the kernel" if wrong[0] in real else "the prediction"
        row.first = (f"{capture.name}, event {wrong[0] + 1}, {event_text(capture, wrong[0])}: "
                     f"refused by {who} alone")
    return row


def has_limits(trace: Trace) -> bool:
    return any(c.limit is not None for c in trace.containers) or bool(trace.rows(Op.set_limit))


def compare_bounds(capture: Capture, said: Forecast) -> list[Row]:
    """What holds whatever is reclaimed: no charge above its limit; failcnt as the batch model has
    it from the usage before; misses within the band that is published, around the prediction."""
    trace, missed = capture.trace, dict(capture.missed)
    above = Row(capture, "usage within its limit")
    failcnt = Row(capture, "failcnt by the batch model, reclaiming")
    before: list[int | None] = [0] * len(trace.containers)
    counted = [0] * len(trace.containers)
    for n, (limits, homes) in enumerate(settings(trace)):
        for c, limit in limits.items():
            real = capture.usage[n][c]
            if real is None or before[c] is None:
                continue
            above.tell(n, c, max(real, limit), limit, "pages charged")
            reads = trace.op[n] == Op.read and trace.count[n] == 1
            if reads and homes.get(int(trace.task[n])) == c:
                wanted = refusals(before[c], limit, missed.get(n, 0))
                failcnt.tell(n, c, capture.failcnt[n][c] - counted[c], wanted, "refusals")
        before, counted = capture.usage[n], [f or 0 for f in capture.failcnt[n]]
    misses = Row(capture, f"misses, {BAND[0]:+d} to {BAND[1]:+d} % of {said.scheme}'s")
    if said.reads and failcnt.compared:
        real = sum(missed.values())
        low, high = (said.reads * (100 + side) / 100 for side in BAND)
        misses.compared, misses.wrong = 1, int(not low <= real <= high)
        misses.said = f"{real} of {said.reads}: {100 * real / said.reads - 100:+.1f} %"
        misses.first = misses.said if misses.wrong else ""
    return [row for row in (above, failcnt, misses) if row.compared]


def settings(trace: Trace) -> Iterator[tuple[dict[int, int], dict[int, int]]]:
    """After every event: limits in pages by container, and the container of each task."""
    boxes = {c.name: i for i, c in enumerate(trace.containers)}
    limits = {i: c.limit for i, c in enumerate(trace.containers) if c.limit is not None}
    homes = {i: boxes[task.container] for i, task in enumerate(trace.tasks)}
    for n, number in enumerate(trace.op):
        op, task, target = Op(number), int(trace.task[n]), int(trace.target[n])
        if op == Op.set_limit:
            pages = pages_written(*control_write(trace.values[trace.value[n]]))
            limits.pop(target, None)
            if pages is not None and pages >= 0:
                limits[target] = pages
        elif op == Op.move:
            homes[task] = target
        elif op in BIRTHS:
            homes[target] = homes[task]
        yield limits, homes


def refusals(usage: int, limit: int, charges: int) -> int:
    """failcnt's rise for one charge with no stock: 64 pages are asked for, then one, then room is
    made and one is asked for again (recording.md 2.4)."""
    if not charges or usage + 64 <= limit:
        return 0
    return 1 if usage + 1 <= limit else 2


def compare_mapped(capture: Capture) -> list[Row]:
    """At every look: the frames each container maps, by how many share them, under two schemes;
    and every task's PSS by smaps, which rounds each area down to a KiB."""
    rows = []
    for scheme in ("every_container", "fraction"):
        rows.append(Row(capture, f"mapped frames under {scheme}"))
        pss = Row(capture, "PSS by smaps, exact fractions")
        for n, k in enumerate(walk(capture.trace, scheme)):
            for c, sharers in capture.mapped.get(n, {}).items():
                parts = (Fraction(f, m if scheme == "fraction" else 1)
                         for m, f in enumerate(sharers, 1))
                rows[-1].tell(n, c, sum(parts), Fraction(int(k.usage[c]), k.unit), "pages mapped")
            if scheme == "fraction" and capture.step == 1 and n in capture.pss:
                by_mm = pss_of_mms(k)
                for task, (kib, areas) in capture.pss[n].items():
                    exact = 4 * by_mm.get(int(k.task_mm[task]), Fraction(0))
                    pss.tell(n, task, kib, exact, "KiB of PSS", areas)
    return [*rows, pss] if pss.compared else rows


def compare_nodes(capture: Capture, scheme: str = "zone") -> Row:
    """Distinct mapped frames of each container by NUMA node, with a zone of its own for each."""
    row = Row(capture, f"mapped frames by node under {scheme}")
    nodes = len(next(iter(next(iter(capture.nodes.values())).values())))
    for n, k in enumerate(walk(capture.trace, scheme, nodes)):
        if n in capture.nodes:
            wanted = mapped_by_node(k, nodes)
            for c, real in capture.nodes[n].items():
                for node in range(nodes):
                    row.tell(n, c, real[node], wanted[c][node], f"pages mapped on node {node}")
    return row
