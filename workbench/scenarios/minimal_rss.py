"""How little memory does a program need, and can limits that follow the paging give it to all?"""

from __future__ import annotations

from dataclasses import replace
from random import Random
from typing import Annotated, Literal

from workbench.trace import TraceBuilder

from .parts import Nodes, Place, Scenario, Size, faults_of, finish, knobs, machine, outcomes, settle

TITLE = "Minimal RSS, and limits that follow the paging"
SOURCE = "Eric Biederman, 20 Mar 2007 (one page is never enough; watch the paging, move limits)"
QUESTION = "Is there a size below which a program only waits for the disk?"
PLOT = "fault rate over the limit, for four loads; progress with equal and with moving limits"
PREDICTION = {
    "first_touch": "A knee at the working set, a flat line for a loop; at tiny limits it is "
    "OOM-killed, because the patch does not scan them. Moving limits beat equal ones.",
    "every_container": "The same knee, in minor faults; a limit of one page never gets on.",
}
SCHEMES = ("none", "first_touch", "every_container", "cgroup_v2", "zone")
CASES = [
    {},
    {"limit": 48},
    {"load": "loop", "limit": 64},
    {"limit": 1},
    {"load": "phases", "limits": "equal"},
    {"load": "phases", "limits": "moving"},
]
PAGES, HOT, BOXES, EVERY = 128, 40, 4, 50  # of a load; its working set; containers; accesses
FLOOR = 24  # of a moving limit, above the small phase's 20 pages


def expect(load: str, limits: str, limit: int) -> dict[str, dict[str, object]]:
    if limits != "one":
        return {}
    both = ("first_touch", "every_container")
    if limit == 1:
        return {"first_touch": {"killed": 1}}
    if load == "loop":
        return {scheme: {"faults per access": (0.95, 1)} for scheme in both}
    if load == "working set":
        below = (0, 0.15) if limit > HOT else (0.25, 1)
        return {scheme: {"faults per access": below} for scheme in both}
    return {}


def string(load: str, n: int, rng: Random, turn: int = 0) -> list[int]:
    """Which page each of n accesses goes to. `phases`: one of four turns is large, others small."""
    if load == "loop":
        return [i % PAGES for i in range(n)]
    if load == "zipf":
        return rng.choices(range(PAGES), [1 / (r + 1) for r in range(PAGES)], k=n)
    if load == "working set":
        return [rng.randrange(HOT if rng.random() < 0.95 else PAGES) for _ in range(n)]
    large = [i * BOXES // n == turn for i in range(n)]
    return [rng.randrange(PAGES - 8 if big else HOT // 2) for big in large]


def moved(strings: list[list[int]], total: int, step: int) -> list[list[int]]:
    """Limits after every 50 accesses: who faults most, and above a tenth, gets a step of everybody
    who faults half as much, down to a floor. What it sees are the faults of an exact LRU."""
    limits, out = [total // BOXES] * BOXES, []
    stacks: list[dict[int, None]] = [{} for _ in strings]  # page -> nothing, oldest first
    for start in range(0, len(strings[0]), EVERY):
        faults = []
        for c, stack in enumerate(stacks):
            missed = 0
            for page in strings[c][start : start + EVERY]:
                missed += page not in stack
                stack.pop(page, None)
                stack[page] = None
                while len(stack) > limits[c]:
                    del stack[next(iter(stack))]
            faults.append(missed / EVERY)
        hungry = faults.index(max(faults))
        for c in range(BOXES):
            if 0.1 < faults[hungry] > 2 * faults[c] and limits[c] - step >= FLOOR:
                limits[c], limits[hungry] = limits[c] - step, limits[hungry] + step
        out.append(list(limits))
    return out


def build(
    size: Size = "small",
    nodes: Nodes = 1,
    place: Place = None,
    load: Literal["working set", "zipf", "loop", "phases"] = "working set",
    limits: Literal["one", "equal", "moving"] = "one",
    limit: Annotated[int, range(1, 1025)] = 32,
    step: Annotated[int, range(1, 65)] = 8,
    seed: Annotated[int, range(0, 1 << 30)] = 0,
) -> Scenario:
    """128 pages of a file, 1,600 (full: 32,000) accesses. working set: 95% to 40 pages; phases: to
    120 in a quarter of the time, else to 20. one: one container with this `limit`; equal, moving:
    four, each large in its turn, with 1.1 times what they need together."""
    n = 1_600 * (1 if size == "small" else 20)
    boxes = ["A"] if limits == "one" else ["A", "B", "C", "D"]
    total = (PAGES - 8 + 3 * HOT // 2) * 11 // 10
    where = settle(place, boxes, nodes)
    rngs = [Random(f"minimal {load} {seed} {c}") for c in boxes]
    strings = [string(load, n, rng, turn) for turn, rng in enumerate(rngs)]
    plan = moved(strings, total, step) if limits == "moving" else []
    b = TraceBuilder()
    for c in boxes:
        b.task(c.lower(), b.container(c, limit if limits == "one" else total // BOXES), where[c])
        b.file(f"file {c}", PAGES, f"/srv/{c}")
    now = [total // BOXES] * BOXES
    for i in range(n):
        if plan and i and i % EVERY == 0:
            for c, old, new in zip(boxes, now, plan[i // EVERY - 1], strict=True):
                if old != new:
                    b.set_limit(c, new)
            now = plan[i // EVERY - 1]
        for c, pages in zip(boxes, strings, strict=True):
            b.touch_read(c.lower(), f"file {c}", pages[i], 1)
    b.mark("the end")
    notes = (
        "Progress is accesses a second of simulated time: 1 us an access, 5 ms a disk read.",
        "An instruction needs its own page and its datum's at once; here an access needs one.",
    )
    chosen = replace(knobs(size), swap_write="sync", task_frames=0, page_tables=False)
    return finish(__name__, b.build(), machine(nodes, 2 * total), chosen, locals(),
                  expect(load, limits, limit), notes)


def measure(trace, k) -> dict[str, float]:
    """Of all containers together, one alone in its second half: faults, disk reads, progress."""
    late = [outcomes(trace, k, t.name, half=len(trace.tasks) == 1) for t in trace.tasks]
    n = sum(count.total() - count["skipped"] for count in late)
    disk = sum(count["major"] + count["swapin"] for count in late)
    each = [(c["major"] * 5e-3 + c.total() * 1e-6) for c in late]
    return {
        "faults per access": sum(map(faults_of, late)) / n if n else 1,
        "disk reads per access": disk / n if n else 1,
        "accesses per second": sum(c.total() for c in late) / sum(each) if n else 0,
        "killed": int(k.kills),
    }
