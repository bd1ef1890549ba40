"""One access string, by read() or through a mapping, in a container of half the file's size."""

from __future__ import annotations

from random import Random
from typing import Annotated, Literal

from workbench.trace import TraceBuilder

from .parts import (
    Books,
    Nodes,
    Pattern,
    Place,
    Scenario,
    Size,
    faults_of,
    finish,
    frames_of,
    knobs,
    machine,
    order,
    outcomes,
    settle,
)

TITLE = "read() or mmap() under a limit"
SOURCE = "Dave Hansen, 20 Mar 2007 (an interface only); Balbir Singh, 28 Mar 2007 (drift to read)"
QUESTION = "Does a limit on mapped pages reward programs that read instead of mapping?"
PLOT = "time per pass, frames and charge for both interfaces"
PREDICTION = {
    "none": "The same for both.",
    "first_touch": "Reading is charged nothing and hits once the file is cached; mapping thrashes.",
    "first_allocation": "The same: both are charged for frames.",
    "zone": "The same: both take frames of the zone.",
}
SCHEMES = ("none", "first_touch", "every_container", "fraction", "first_allocation", "zone")
CASES = [{}, {"interface": "map"}, {"pattern": "cyclic"}, {"pattern": "cyclic", "interface": "map"}]
MINOR_US, MAJOR_US = 1, 5_000


def expect(interface: str, pattern: str, pages: int) -> dict[str, dict[str, object]]:
    free = {"disk reads per access": (0, 0.01), "frames": pages}
    out = {"none": free}
    if interface == "read":
        return out | {"first_touch": free | {"charged": 0}}
    low, high = (0.95, 1) if pattern == "cyclic" else (0.4, 0.6)
    return out | {"first_touch": {"disk reads per access": (low, high), "frames": (0, pages // 2)}}


def build(
    size: Size = "small",
    nodes: Nodes = 1,
    place: Place = None,
    interface: Literal["read", "map"] = "read",
    pattern: Pattern = "uniform",
    seed: Annotated[int, range(0, 1 << 30)] = 0,
) -> Scenario:
    """400 pages (full: 4,000), a limit of half of them, eight times as many accesses."""
    pages = 400 if size == "small" else 4_000
    where = settle(place, ["A"], nodes)
    b = TraceBuilder()
    b.task("a", b.container("A", pages // 2), where["A"])
    b.file("file", pages, "/srv/file")
    use = b.read if interface == "read" else b.touch_read
    for page in order(pattern, pages, 8 * pages, Random(f"read or mmap {pattern} {seed}")):
        use("a", "file", page, 1)
    b.mark("the end")
    notes = (
        "Time is that of faults and disk reads (1 us, 5 ms); the copy that read() makes and the "
        "system call are left out.",
        "Cached pages charged as well (+PC): first_touch:cache=joint.",
    )
    return finish(__name__, b.build(), machine(nodes, 2 * pages), knobs(size), locals(),
                  expect(interface, pattern, pages), notes)


def measure(trace, k) -> dict[str, float]:
    """Of the second half of the accesses; frames and charge at the end."""
    late, end = outcomes(trace, k, "a", half=True), Books(trace, k, "the end")
    disk, n = late["major"] + late["swapin"], late.total()
    return {
        "disk reads per access": disk / n,
        "us per access": (MAJOR_US * disk + MINOR_US * faults_of(late)) / n,
        "frames": frames_of(trace, k, "file"),
        "charged": end.charge("A"),
        "kills": int(k.kills),
    }
