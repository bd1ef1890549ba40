"""Move into a container whose task count is full, and fork there."""

from __future__ import annotations

from typing import Annotated

from workbench.trace import TraceBuilder

from .parts import Books, Nodes, Place, Scenario, Size, finish, knobs, machine, settle

TITLE = "Escaping the task count"
SOURCE = "Paul Menage, 8 Mar 2007 (accepted by Pavel Emelianov, 11 Mar 2007)"
QUESTION = "Does a limit on tasks hold when tasks move?"
PLOT = "tasks counted and tasks there, per container"
PREDICTION = dict.fromkeys(
    ("none", "first_touch", "hand_over", "fraction", "beancounter", "every_container",
     "every_mapping", "zone"),
    "Forks are counted, not members: k tasks move into A (limit 1) uncounted and one may fork "
    "there, so A has k + 1 tasks and counts 1, while B, empty, still counts k.",
)
CASES = [{}, {"moves": 7}]


def expect(k: int) -> dict[str, dict[str, int]]:
    row = {"tasks in A": k + 1, "counted in A": 1, "forks refused": k - 1, "tasks in B": 0,
           "counted in B": k}
    return dict.fromkeys(PREDICTION, row)


def build(
    size: Size = "small",
    nodes: Nodes = 1,
    place: Place = None,
    moves: Annotated[int, range(1, 10_001)] | None = None,
) -> Scenario:
    """`moves` tasks (1; full: 400) move from B to A, whose numproc limit is 1, and each forks."""
    moves = moves or (1 if size == "small" else 400)
    where = settle(place, ["A", "B"], nodes)
    b = TraceBuilder()
    b.container("A", numproc_limit=1)
    b.container("B")
    for i in range(1, moves + 1):
        b.task(f"p{i}", "B", where["B"])
    for i in range(1, moves + 1):
        b.move(f"p{i}", "A")
        b.run_on(f"p{i}", where["A"])
        b.fork(f"p{i}", f"child of p{i}")
        b.mark(f"p{i} has moved and forked")
    notes = (
        "Every scheme has the patch's task count (6/7); the rule that counts members (Menage), "
        "under which the first fork is refused, is not built.",
    )
    return finish(__name__, b.build(), machine(nodes, 16 * moves), knobs(size), locals(),
                  expect(moves), notes)


def measure(trace, k) -> dict[str, int]:
    """Tasks there, and tasks counted."""
    books = Books(trace, k)
    a, b = books.index["A"], books.index["B"]
    return {
        "tasks in A": books.tasks("A"),
        "counted in A": int(k.procs[a]),
        "forks refused": int(k.procs_failcnt[a]),
        "tasks in B": books.tasks("B"),
        "counted in B": int(k.procs[b]),
    }
