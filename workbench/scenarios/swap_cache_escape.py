"""Anonymous pages that a limit has unmapped wait in the swap cache, where no limit on RSS looks."""

from __future__ import annotations

from dataclasses import replace
from typing import Annotated

from workbench.kernel import Machine
from workbench.kernel.names import N_SWAP_OUTS
from workbench.trace import TraceBuilder

from .parts import Books, Nodes, Place, Scenario, Size, finish, frames_of, knobs, settle

TITLE = "Escape through the swap cache"
SOURCE = "Balbir Singh, 28 Mar 2007 (unmapped anonymous pages are in the swap cache)"
QUESTION = "How much memory can a container hold whose limit only unmaps?"
PLOT = "pages mapped, in the swap cache, and frames, against the limit"
_ALL = "All it has ever touched stays in memory: mapped up to the limit, the rest in the cache."
PREDICTION = {
    "first_touch": "The limit: what is unmapped is written and freed.",
    "every_container": _ALL,
    "virtual_swap": _ALL,
    "first_allocation": "The limit: the swap cache is charged as well.",
    "zone": "The limit, in frames.",
}
CASES = [{}, {"laps": 2}]


def expect(limit: int, footprint: int) -> dict[str, dict[str, object]]:
    holds = {"frames held": (0, limit), "mapped": (0, limit)}
    leaks = {"frames held": footprint, "mapped": (limit - 8, limit), "swap-outs": 0}
    return {"first_touch": holds, "first_allocation": holds, "zone": holds,
            "every_container": leaks, "virtual_swap": leaks}


def build(
    size: Size = "small",
    nodes: Nodes = 1,
    place: Place = None,
    laps: Annotated[int, range(1, 9)] = 1,
    limit: Annotated[int, range(16, 1 << 18)] | None = None,
) -> Scenario:
    """A container with a `limit` of 64 (full: 1,024) writes to 16 times as many pages, one after
    another, `laps` times; the machine has 64 times as many frames."""
    limit = limit or (64 if size == "small" else 1_024)
    footprint, where = 16 * limit, settle(place, ["A"], nodes)
    b = TraceBuilder()
    b.task("a", b.container("A", limit), where["A"])
    b.anon("heap", footprint)
    b.set_limit("A", footprint, "vswap_limit")
    for _ in range(laps):
        for page in range(footprint):
            b.touch_write("a", "heap", page, 1)
    b.mark("the end")
    notes = (
        "Virtual swap has slots for all of it. Reclaim waits for its writes.",
        "Charged as well (+PC): every_container:cache=joint, first_touch:cache=joint.",
    )
    each = Machine(nodes=nodes, frames=max(64 * limit // nodes, 2 * footprint))
    return finish(__name__, b.build(), each, replace(knobs(size), swap_write="sync"), locals(),
                  expect(limit, footprint), notes)


def measure(trace, k) -> dict[str, float]:
    """Pages mapped, charged and held in frames at the end."""
    end, held = Books(trace, k, "the end"), frames_of(trace, k, "heap")
    limit = trace.containers[1].limit
    return {
        "mapped": end.mapped("A"),
        "charged": end.charge("A"),
        "frames held": held,
        "in the swap cache": held - end.mapped("A"),
        "frames held / limit": held / limit,
        "swap-outs": int(k.stat[N_SWAP_OUTS]),
        "kills": int(k.kills),
    }
