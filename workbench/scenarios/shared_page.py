"""One library that two containers map, unmapped in either order."""

from __future__ import annotations

from typing import Annotated, Literal

from workbench.trace import Op, TraceBuilder

from .parts import Books, Nodes, Place, Scenario, Size, finish, knobs, machine, settle

TITLE = "One library, two ways to leave"
SOURCE = "Kirill Korotaev, 12 Mar 2007 (a glibc page shared by two containers)"
QUESTION = "Whose books does a shared page stand in, as its sharers come and go?"
PLOT = "charge of each container after every event"
PREDICTION = {
    "none": "Nobody is charged.",
    "first_touch": "A pays from first to last, whoever leaves first, until the last has unmapped.",
    "hand_over": "A pays as long as it maps the library; then a remaining mapper inherits.",
    "fraction": "One; half and half; a third each; every leaver's share goes back to the others.",
    "beancounter": "As exact fractions for two; with three, one pays half and two a quarter each.",
    "every_container": "Everyone who maps the library pays all of it: the sum is 1, 2, 3 times it.",
    "every_mapping": "As every container here, because each has a single task.",
    "zone": "The frames lie in A's zone throughout, and stay there as cache when all have left.",
}
CASES = [
    {},
    {"order": "second_leaves"},
    {"third": False},
    {"pages": 100, "order": "second_leaves", "third": False},
]
PHASES = ("A maps", "B maps", "C maps", "one left", "two left", "all left")


def expect(p: int, first: bool, third: bool) -> dict[str, dict[str, float]]:
    """Shares of p pages after each phase, for A, B and C."""
    b = "B" if first else "A"  # who stays when the first has left
    full = [{"A"}, {"A", "B"}, {"A", "B", "C"}, {b, "C"}, {"C"}, set()]
    two = [{"A"}, {"A", "B"}, {"A", "B"}, {b}, set(), set()]
    users = full if third else two
    heirs = ["A", "A", "A", b, "C" if third else "", ""]
    ring = {"B": 1 / 2, "A": 1 / 4, "C": 1 / 4}  # C, the newcomer, took half of A's half

    def share(scheme: str, who: str, i: int) -> float:
        n = len(users[i])
        last = 4 if third else 3
        return {
            "none": 0,
            "first_touch": who == "A" and i <= last,
            "hand_over": who == heirs[i],
            "fraction": who in users[i] and 1 / n,
            "beancounter": who in users[i] and (ring[who] if n == 3 else 1 / n),
            "every_container": who in users[i],
            "every_mapping": who in users[i],
            "zone": who == "A",
        }[scheme]

    phases = [(i, phase) for i, phase in enumerate(PHASES) if third or i not in (2, 4)]
    return {
        scheme: {f"{phase}: {who}": p * share(scheme, who, i) for i, phase in phases
                 for who in ("ABC" if third else "AB")}
        for scheme in PREDICTION
    }


def build(
    size: Size = "small",
    nodes: Nodes = 1,
    place: Place = None,
    pages: Annotated[int, range(1, 100_001)] | None = None,
    order: Literal["first_leaves", "second_leaves"] = "first_leaves",
    third: bool = True,
) -> Scenario:
    """`pages` of a library (1; full: 300) mapped by A, B and, with `third`, C; then unmapped."""
    pages = pages or (1 if size == "small" else 300)
    boxes = list("ABC" if third else "AB")
    where = settle(place, boxes, nodes)
    b = TraceBuilder()
    limit = pages + pages // 256 + 16
    tasks = {c: b.task(c.lower(), b.container(c, limit), where[c]) for c in boxes}
    b.file("libc", pages, "/lib/libc.so.6")
    for c in boxes:
        b.touch_read(tasks[c], "libc")
        b.mark(f"{c} maps")
    leavers = ["A", "B"] if order == "first_leaves" else ["B", "A"]
    for c in leavers + boxes[2:]:
        b.unmap(tasks[c], "libc")
        left = leavers.index(c) + 1 if c in leavers else len(boxes)
        b.mark("all left" if left == len(boxes) else PHASES[2 + left])
    notes = (
        "C joins while A and B both map the library, and leaves last.",
        "Every limit is above all that can happen; a zone holds page tables and stacks as well.",
    )
    return finish(__name__, b.build(), machine(nodes, 3 * limit), knobs(size), locals(),
                  expect(pages, order == "first_leaves", third), notes)


def measure(trace, k) -> dict[str, float]:
    """Charges after each phase; how wrong counters without a record of the payer are at last."""
    boxes = [c.name for c in trace.containers[1:]]
    marks = [m for m in PHASES if m in trace.values]
    row = {f"{m}: {c}": Books(trace, k, m).charge(c) for m in marks for c in boxes}
    return row | {"wrong without a record": without_record(trace)}


def without_record(trace) -> int:
    """Whoever maps a page first is charged, whoever unmaps it last is given it back: the pages by
    which the counters, which should be 0 when all have left, are not."""
    users, counter = 0, dict.fromkeys(range(len(trace.tasks)), 0)
    for op, task, count in zip(trace.op, trace.task, trace.count, strict=True):
        if op == Op.touch_read:
            counter[task] += count * (users == 0)
            users += 1
        elif op == Op.unmap:
            users -= 1
            counter[task] -= count * (users == 0)
    return sum(map(abs, counter.values()))
