"""Who reclaims: the containers at their limits, or the machine that has run out of frames?"""

from __future__ import annotations

from dataclasses import replace
from random import Random
from typing import Annotated, Literal

from workbench.kernel import Machine
from workbench.kernel.names import N_LIMIT_HITS, N_SCANNED, N_ZONE_SCANNED
from workbench.trace import TraceBuilder

from .parts import Books, Nodes, Place, Scenario, Size, finish, knobs, settle

TITLE = "How often is a limit hit"
SOURCE = "Eric Biederman, 13 Mar 2007 (99% of reclaim is global); Kirill Korotaev, 13 Mar 2007"
QUESTION = "Is reclaim at a container's limit the rare case or the usual one?"
PLOT = "share of pages looked at on containers' own lists, over the sum of limits / memory"
PREDICTION = {
    "first_touch": "Limits below the memory there is: all reclaim is the containers'. Far above: "
    "nearly all is the machine's.",
    "fraction": "As first touch; but frames come free on the machine's own lists.",
    "every_container": "As fraction.",
}
SCHEMES = ("first_touch", "fraction", "every_container")
CASES = [
    {},
    {"percent": 100},
    {"percent": 400},
    {"tenants": "trusted"},
    {"tenants": "trusted", "percent": 400},
]
BOXES = 8


def expect(percent: int, tenants: str) -> dict[str, dict[str, object]]:
    name = "own share of reclaim"
    if percent <= 50 and tenants == "greedy":
        return {"first_touch": {name: 1}}
    if percent >= 400:
        return {scheme: {name: (0, 0.01)} for scheme in PREDICTION}
    return {}


def build(
    size: Size = "small",
    nodes: Nodes = 1,
    place: Place = None,
    tenants: Literal["greedy", "trusted"] = "greedy",
    percent: Annotated[int, range(10, 1001)] = 50,
    seed: Annotated[int, range(0, 1 << 30)] = 0,
) -> Scenario:
    """Eight containers whose limits add up to `percent` of 512 frames (full: 16 times as many)
    make 8,000 accesses to their files. greedy: each uses half as much again as its limit. trusted:
    six tenths of it, and in one access of 500 a burst of half the limit elsewhere."""
    unit = 1 if size == "small" else 16
    frames = 512 * unit
    limit = frames * percent // 100 // BOXES
    boxes = [f"C{i + 1}" for i in range(BOXES)]
    where, rng = settle(place, boxes, nodes), Random(f"how often {tenants} {seed}")
    used = limit * 3 // 2 if tenants == "greedy" else limit * 6 // 10
    b = TraceBuilder()
    for c in boxes:
        b.task(c.lower(), b.container(c, limit), where[c])
        b.file(f"file {c}", max(1, used) + limit, f"/srv/{c}")
    for _ in range(1_000 * unit):
        for c in boxes:
            b.touch_read(c.lower(), f"file {c}", rng.randrange(max(1, used)), 1)
            if tenants == "trusted" and rng.random() < 1 / 500:
                b.touch_read(c.lower(), f"file {c}", used + rng.randrange(limit // 2), limit // 2)
    b.mark("the end")
    notes = (
        "Reclaim is counted in pages looked at: on a container's list, or on a zone's.",
        "Schemes with zones do not fit: their limits are frames, and add up to less than all.",
        "Memory is that of the whole machine, over however many nodes.",
    )
    each = Machine(nodes=nodes, frames=frames // nodes)
    return finish(__name__, b.build(), each, replace(knobs(size), swap_write="sync"), locals(),
                  expect(percent, tenants), notes)


def measure(trace, k) -> dict[str, float]:
    """Pages looked at at limits and by the machine; how often a limit refused."""
    own, machine = int(k.stat[N_SCANNED]), int(k.stat[N_ZONE_SCANNED])
    end = Books(trace, k, "the end")
    faults = sum(end.faults(f"C{i + 1}") for i in range(BOXES))
    return {
        "own share of reclaim": own / (own + machine) if own + machine else 0,
        "limit hits per 1000 faults": 1000 * int(k.stat[N_LIMIT_HITS]) / faults,
        "looked at by containers": own,
        "looked at by the machine": machine,
        "kills": int(k.kills),
    }
