"""A process goes through the same few pages for ever: by read(), or by loads from a mapping."""

from __future__ import annotations

from dataclasses import replace
from random import Random
from typing import Annotated, Literal

from workbench.kernel import Machine
from workbench.trace import TraceBuilder

from .parts import Books, Nodes, Place, Scenario, Size, finish, frames_of, knobs, outcomes, settle

TITLE = "Ten pages, read or mapped"
SOURCE = "Dave Hansen, 16 Mar 2007 (re-reading 10 pages loads the VM as 10 mapped ones do)"
QUESTION = "Do pages that are read put less pressure on others than pages that are mapped?"
PLOT = "the pages' survival and the neighbour's faults, for both interfaces, under pressure"
PREDICTION = {
    "none": "The same while nobody presses; under pressure what is read goes first, and the "
    "neighbour loses less.",
    "first_touch": "As none: the limit does not bind.",
    "zone": "Each in its zone: the neighbour notices neither.",
}
SCHEMES = ("none", "first_touch", "every_container", "first_allocation", "zone")
CASES = [{}, {"interface": "map"}, {"pages": 1000}, {"pages": 1000, "interface": "map"}]


def expect(pages: int, pressure: int, fits: bool) -> dict[str, dict[str, object]]:
    if fits and not pressure:
        calm = {"survival": 1, "neighbour faults per 1000": 0}
        return {"none": calm, "first_touch": calm}
    few = {"survival": (0.9, 1)} if pages <= 10 else {}
    return {"none": few, "first_touch": few} if few else {}


def build(
    size: Size = "small",
    nodes: Nodes = 1,
    place: Place = None,
    interface: Literal["read", "map"] = "read",
    pages: Annotated[int, range(1, 1_101)] = 10,
    pressure: Annotated[int, range(0, 11)] = 1,
    seed: Annotated[int, range(0, 1 << 30)] = 0,
) -> Scenario:
    """2,000 frames a node; the neighbour touches 800 mapped pages (a node) uniformly, S goes
    through its `pages` 6 times (at least 2,000 accesses; full: ten times as often), and for each
    access of S a third party reads `pressure` new pages."""
    scale = 1 if size == "small" else 10
    frames, laps = 2_000, max(6, 2_000 // pages) * scale
    where = settle(place, ["S", "N", "T"], nodes)
    theirs, rng = 800 * nodes, Random(f"read or mapped {seed}")
    b = TraceBuilder()
    b.task("s", b.container("S", pages + 32), where["S"])
    b.task("n", b.container("N", 820), where["N"])
    b.task("t", b.container("T", 100), where["T"])
    b.file("own", pages, "/srv/own")
    b.file("data", theirs, "/srv/data")
    b.file("stream", max(1, laps * pages * pressure), "/srv/stream")
    b.touch_read("n", "data")
    use = b.read if interface == "read" else b.touch_read
    use("s", "own")
    b.mark("both have their pages")
    for i in range(laps * pages):
        use("s", "own", i % pages, 1)
        b.touch_read("n", "data", rng.randrange(theirs), 1)
        for page in range(i * pressure, (i + 1) * pressure):
            b.read("t", "stream", page, 1)
    b.mark("the end")
    notes = (
        "Limits, which do not bind: N 820, T 100, S 32 more than its pages.",
        "Linux 2.6.20 deactivates a cached page that nobody maps without asking whether it was "
        "used, and keeps mapped ones while few pages are mapped.",
    )
    fits = pages + 840 < frames
    return finish(__name__, b.build(), Machine(nodes=nodes, frames=frames + 64),
                  replace(knobs(size), swap_write="sync"), locals(),
                  expect(pages, pressure, fits), notes, O18="swappiness 60")


def measure(trace, k) -> dict[str, float]:
    """Of S: hits after the start. Of the neighbour: faults per 1,000 touches after its own."""
    s, n = (outcomes(trace, k, who, "both have their pages") for who in "sn")
    start, end = Books(trace, k, "both have their pages"), Books(trace, k, "the end")
    faults = end.faults("N") - start.faults("N")
    return {
        "survival": s["hit"] / s.total(),
        "neighbour faults per 1000": 1000 * faults / n.total(),
        "frames of S": frames_of(trace, k, "own"),
        "S charged": end.charge("S"),
    }
