"""Two real compilations at once, recorded page by page: a thought experiment, measured."""

from __future__ import annotations

from array import array
from dataclasses import replace
from pathlib import Path

from workbench.kernel import Machine
from workbench.trace import Op, Trace

from .parts import Limit, Nodes, Place, Scenario, Size, finish, knobs, settle

TITLE = "Two recorded compilations"
SOURCE = "Eric Biederman, 13 Mar 2007; recorded with gcc 12 in place of the kernel compiles"
QUESTION = "How far does the second of two real compilations ride on the first?"
PLOT = "usage of A and B with their limits; failcnt; OOM victims"
PREDICTION = {
    "none": "No limit acts.",
    "first_touch": "The follower, B, rides: its peak is 28 to 40% below what it needs alone.",
    "hand_over": "B rides while A lives, and inherits what it still maps when A is done first.",
    "fraction": "Both peaks are lower than alone, while both run.",
    "beancounter": "As exact fractions: two sharers halve.",
    "every_container": "Neighbours change nothing: B, the same program, peaks where A does.",
}
CASES = [{}, {"limit": 6000}, {"limit_a": 6000, "limit_b": 9000}]
MORE = "compilers share more than the invented load of the prediction: 98.9 % of file pages"
DISAGREES = [({}, "first_touch", "peak of B / peak of A", 0.5898, MORE)]
DATASET = Path(__file__).resolve().parents[2] / "datasets" / "gcc2.zip"


def build(
    size: Size = "small",
    nodes: Nodes = 1,
    place: Place = None,
    limit: Limit = None,
    limit_a: Limit = None,
    limit_b: Limit = None,
) -> Scenario:
    """Limits in pages, for both (`limit`) or each; `size` changes nothing: it is as recorded."""
    where = settle(place, ["A", "B"], nodes)
    limits = {"A": limit_a or limit, "B": limit_b or limit}
    trace = recorded(where, limits)
    free = limits == {"A": None, "B": None}
    expected = {
        "first_touch": {"peak of B / peak of A": (0.60, 0.72)},
        "every_container": {"peak of B / peak of A": (0.95, 1.05)},
    } if free else {}
    notes = (
        "The shell that starts both stays in root. A is the compilation that touched first.",
        "A task runs on its container's node from its move into it. Under `zone` both zones are "
        "on node 0: a container's home is where its first task was when the trace began.",
        "The recording knows first touches only. The machine is larger than both together.",
        "The share B saves is said of its peak alone; A's peak stands in for that.",
    )
    return finish(__name__, trace, Machine(nodes=nodes, frames=1 << 16), knobs("full"), locals(),
                  expected, notes)


def recorded(where: dict[str, int], limits: dict[str, int | None]) -> Trace:
    """The dataset with limits set, and a `run_on` after each move into a container."""
    if not DATASET.exists():
        raise FileNotFoundError(
            f"{DATASET} is not there: the recordings are in the repository's datasets/ folder, "
            "beside workbench/; run from a checkout"
        )
    trace = Trace.load(DATASET)
    values = [*trace.values, *(str(node) for node in where.values())]
    number = {box: len(trace.values) + i for i, box in enumerate(where)}
    rows = []
    for row in zip(*trace.columns().values(), strict=True):
        rows.append(row)
        op, task, target, *_ = row
        if op == Op.move:
            box = trace.containers[target].name
            rows.append((Op.run_on, task, -1, 0, 1, number[box], *row[6:]))
    cells = [array("q", column) for column in zip(*rows, strict=True)]
    columns = dict(zip(trace.columns(), cells, strict=True))
    boxes = [replace(c, limit=limits.get(c.name)) for c in trace.containers]
    return Trace.from_columns(trace.objects, trace.tasks, boxes, values=values,
                              header=trace.header, **columns)


def measure(trace, k) -> dict[str, float]:
    """Peaks, faults and kills."""
    peak = {c.name: int(k.peak[i]) / k.unit for i, c in enumerate(trace.containers)}
    row = {"peak of A": peak["A"], "peak of B": peak["B"]}
    row["peak of B / peak of A"] = peak["B"] / peak["A"] if peak["A"] else 0
    for i, c in enumerate(trace.containers):
        if c.name != "root":
            row[f"minor faults of {c.name}"] = int(k.minor_faults[i])
            row[f"major faults of {c.name}"] = int(k.major_faults[i])
    return row | {"kills": int(k.kills)}
