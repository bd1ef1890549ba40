"""One container at its limit frees one page at a time, or many at once."""

from __future__ import annotations

from typing import Annotated

from workbench.kernel import Knobs
from workbench.kernel.names import N_SCANNED
from workbench.trace import Op

from .parts import Books, Nodes, Place, Scenario, Size, finish, machine, settle
from .which_page import Load, accesses, list_faults, reader

TITLE = "How much to free at the limit"
SOURCE = "Balbir Singh, 7 Mar 2007 (a knob); Pavel Emelianov, 7 Mar 2007 (one page is enough)"
QUESTION = "Is it better to free one page at the limit, or many?"
PLOT = "refusals, pages looked at and extra faults against the batch"
PREDICTION = {
    "none": "There is no limit.",
    "first_touch": "One at a time: refused at nearly every fault. Large batches: refused seldom, "
    "but pages come back that need not have gone.",
    "hand_over": "As first touch.",
    "every_container": "As first touch; the pages come back by minor faults.",
}
CASES = [{}, {"batch": 1}, {"batch": 80}]
AGES = "passes at falling priorities clear young bits first; when one frees at last, it frees more "
AGES += "than a batch"
DISAGREES = [
    ({"batch": 1}, scheme, "refused / fault", 0.34329632792485054, AGES)
    for scheme in ("first_touch", "hand_over")
]


def expect(batch: int) -> dict[str, dict[str, object]]:
    often = (0.5, 1.5) if batch == 1 else (0, 0.2)
    return {"none": {"refused": 0}} | {
        s: {"refused / fault": often} for s in ("first_touch", "hand_over", "every_container")
    }


def build(
    size: Size = "small",
    nodes: Nodes = 1,
    place: Place = None,
    batch: Annotated[int, range(1, 4097)] | None = None,
    load: Load = "zipf",
    limit: Annotated[int, range(16, 1 << 16)] | None = None,
    seed: Annotated[int, range(0, 1 << 30)] = 0,
) -> Scenario:
    """C reads pages of a file, 40 times as many accesses as its `limit` of 200 (full: 4,096);
    `batch` (8; full: 32) is the kernel's cluster: what is isolated, unmapped and freed at once."""
    batch = batch or (8 if size == "small" else 32)
    limit = limit or (200 if size == "small" else 4_096)
    string = accesses(load, limit, 40 * limit, seed)
    where = settle(place, ["C"], nodes)
    trace = reader(string, limit, where["C"])
    notes = (
        "The patch has two knobs here: SWAP_CLUSTER_MAX pages are looked at, and freeing must "
        "bring more than one page (`two_pages`); the batch is the first.",
        "The accesses are those of which_page.",
    )
    return finish(__name__, trace, machine(nodes, 2 * limit), Knobs(cluster=batch), locals(),
                  expect(batch), notes, O13=f"clusters of {batch}")


def measure(trace, k) -> dict[str, float]:
    """Refusals, pages looked at, and faults beyond those of an exact LRU list."""
    string = [int(trace.page[i]) for i in trace.rows(Op.touch_read)]
    faults = max(1, Books(trace, k).faults("C"))
    least = list_faults(string, trace.containers[1].limit, True)
    scanned = int(k.stat[N_SCANNED])
    return {
        "refused": int(k.failcnt[1]),
        "faults": faults,
        "extra faults": faults - least,
        "refused / fault": int(k.failcnt[1]) / faults,
        "looked at / fault": scanned / faults,
        "refused + extra faults": int(k.failcnt[1]) + faults - least,
    }
