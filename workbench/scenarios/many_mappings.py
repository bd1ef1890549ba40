"""One container maps one page thousands of times, another maps two hundred pages once."""

from __future__ import annotations

from typing import Annotated, Literal

from workbench.kernel import Machine
from workbench.trace import Op, TraceBuilder

from .parts import STANDARD, Books, Nodes, Place, Scenario, Size, finish, knobs, settle

TITLE = "Ten thousand mappings or two hundred pages"
SOURCE = "Kirill Korotaev, 13 Mar 2007 (many mappings of a page are no reason to be killed)"
QUESTION = "Is a container with many mappings of one page the one to kill?"
PLOT = "charge of X and Y; page tables and stacks of X; whom the machine kills"
_ONE = "X is charged one page and loses nobody; it is Y that the machine should kill."
PREDICTION = {
    "none": "Nobody is charged.",
    "first_touch": _ONE,
    "hand_over": _ONE,
    "fraction": _ONE,
    "beancounter": _ONE,
    "every_container": _ONE,
    "every_mapping": "X is charged every mapping and is refused at its limit; Y is not.",
    "zone": "One page, but stacks and page tables fill X's zone: X loses its tasks, and D's kernel "
    "objects are D's trouble.",
}
CASES = [{}, {"family": "chain"}]
HALF = "2.6.20 adds half of every child's size, and at least 1, to its parent's points: the parent "
HALF += "of many tasks that map one page each looks larger than a task that maps 200"
DISAGREES = [
    ({}, scheme, "first killed", "X", HALF)
    for scheme in ("first_touch", "hand_over", "fraction", "beancounter", "every_container")
]


def expect(pages: int) -> dict[str, dict[str, object]]:
    one = {"X charged": 1, "Y charged": pages, "tasks of X lost": 0, "first killed": "Y"}
    some = (1, 1 << 30)
    return dict.fromkeys(PREDICTION, one) | {
        "none": {"X charged": 0, "Y charged": 0, "tasks of X lost": 0},
        "every_mapping": {"Y charged": pages, "tasks of X lost": some},
        "zone": {"tasks of X lost": some, "first killed": "D"},
    }


def build(
    size: Size = "small",
    nodes: Nodes = 1,
    place: Place = None,
    mappings: Annotated[int, range(2, 20_001)] | None = None,
    family: Literal["star", "chain"] = "star",
) -> Scenario:
    """Y writes 200 pages; X's tasks map one page, once each, `mappings` times in all (500; full:
    10,000): one forks them all ("star"), or each the next ("chain"). Limits of 250. Then D makes
    kernel objects until the machine is short of frames.
    """
    mappings = mappings or (500 if size == "small" else 10_000)
    pages, limit = 200, 250
    used = 3 * mappings + pages + 16  # frames: stacks, page tables, Y's pages
    frames = -(-max(STANDARD, 2 * used) // nodes)
    where = settle(place, ["X", "Y", "D"], nodes)
    b = TraceBuilder()
    b.task("x1", b.container("X", limit), where["X"])
    b.task("y", b.container("Y", limit), where["Y"])
    b.task("d", b.container("D", limit), where["D"])
    b.file("page", 1, "/lib/libc.so")
    b.anon("heap", pages)
    b.object("slab", "kernel", nodes * frames - used + 32)
    b.touch_write("y", "heap")
    b.mark("Y runs")
    b.touch_read("x1", "page")
    for i in range(2, mappings + 1):
        b.fork("x1" if family == "star" else f"x{i - 1}", f"x{i}")
        b.touch_read(f"x{i}", "page")
    b.mark("X runs")
    b.write("d", "slab")
    b.mark("memory is short")
    notes = (
        "A page has one entry per address space here, so many mappings are many tasks; all of them "
        "in one address space would need a page table per 512 mappings, nobody's under any RSS "
        "scheme.",
        "No swap. What D makes is nobody's size, so the machine's killer has X and Y to choose.",
    )
    each = Machine(nodes=nodes, frames=frames, swap=0)
    return finish(__name__, b.build(), each, knobs(size), locals(), expect(pages), notes)


def measure(trace, k) -> dict[str, object]:
    """When X runs: charges, X's tasks refused or killed, its frames; then who is killed first
    for want of frames."""
    before, runs = Books(trace, k, "Y runs"), Books(trace, k, "X runs")
    procs = len([t for t in trace.tasks if t.name.startswith("x")])
    kills = range(min(k.kills, k.kills_end))
    short = next(i for i, task in enumerate(trace.tasks) if task.name == "d")
    event = next(e for e in trace.rows(Op.write) if trace.task[e] == short)
    victims = [trace.tasks[k.kill_victim[i]].name for i in kills if k.kill_event[i] >= event]
    return {
        "X charged": runs.charge("X"),
        "Y charged": runs.charge("Y"),
        "tasks of X lost": procs - runs.mapped("X"),
        "page tables and stacks of X": runs.kernel() - before.kernel(),
        "first killed": victims[0][0].upper() if victims else "nobody",
    }
