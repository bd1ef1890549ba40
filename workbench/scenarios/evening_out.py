"""Web containers go on after one of them started first: does its charge for the text spread?"""

from __future__ import annotations

from dataclasses import replace
from random import Random
from typing import Annotated, Literal

from workbench.kernel.names import MAJOR, MINOR, N_COPIES, N_SCANNED, RESIDENT
from workbench.trace import Op, TraceBuilder

from .parts import Books, Nodes, Place, Scenario, Size, finish, knobs, machine, settle

TITLE = "Does it even out?"
SOURCE = "Dave Hansen, 13 Mar 2007 (it spreads); Mel Gorman, 14 Mar 2007 (it must try hard)"
QUESTION = "Does the container that started first get rid of the charge for what all use?"
PLOT = "first container's charge for the text against a fair share; faults of each container"
PREDICTION = {
    "none": "Nobody is charged.",
    "first_touch": "With room everywhere the first keeps what just fits, 2.5 times its share; with "
    "all of them tight it evens out; with hot pages it stays stuck, unless foreign references "
    "do not count.",
    "fraction": "Everybody pays 1/N from the start.",
    "zone": "As first touch: the text lies in the first one's zone.",
}
CASES = [
    {},
    {"room": "none"},
    {"room": "none", "hot": 60},
    {"room": "none", "hot": 60, "references": "own"},
    {"room": "none", "hot": 60, "cutoff": True},
]
DISAGREES = [
    ({"room": "none", "hot": 60, "references": "own"}, "first_touch", "first pays / fair", 1.5833,
     "on its way down, but slowly; 1.12 at full size, where it is 2.01 with all references"),
    ({"room": "none", "hot": 60, "cutoff": True}, "first_touch", "first pays / fair", 0.1667,
     "swept whole at each limit hit, a container of 16 clusters forgets what is hot; 2.01 at full "
     "size, as posted"),
]


def expect(room: str, hot: int, references: str, uses: bool) -> dict[str, dict[str, object]]:
    table: dict[str, dict[str, object]] = {}
    if not uses:
        return table
    if room == "everybody":
        table["fraction"] = {"first pays / fair": 1}
        table["first_touch"] = {"first pays / fair": (2, 3)}
    elif room == "none" and (hot <= 30 or references == "own"):
        table["first_touch"] = {"first pays / fair": (0, 1.5)}
    elif room == "none":
        table["first_touch"] = {"first pays / fair": (2, 5)}
    return table


def build(
    size: Size = "small",
    nodes: Nodes = 1,
    place: Place = None,
    containers: Annotated[int, range(2, 101)] = 5,
    steps: Annotated[int, range(0, 1_000_001)] | None = None,
    scale: Annotated[int, range(1, 1001)] | None = None,
    hot: Annotated[int, range(0, 101)] = 20,
    room: Literal["everybody", "none", "first", "others"] = "everybody",
    references: Literal["scheme", "all", "own"] = "scheme",
    owner_uses: bool = True,
    cutoff: bool | None = None,
    seed: Annotated[int, range(0, 1 << 31)] = 2007,
) -> Scenario:
    """Five `containers` with 60 pages of text and 70 of their own, times `scale` (1; full: 25),
    take 800 `steps` each, times `scale`, `hot` percent of them into the text.

    Who has `room` can hold its own pages and 30 more (limit 100); who has none cannot hold even its
    own (63). `references`: whose young bits count at a limit. The first goes on using the text
    (`owner_uses`) or never does again. `cutoff`: less than a cluster is not scanned, as posted
    (None: at full size only).
    """
    cutoff = size == "full" if cutoff is None else cutoff
    scale = scale or (1 if size == "small" else 25)
    steps = 800 * scale if steps is None else steps
    text, own = 60 * scale, 70 * scale
    boxes = [f"W{i + 1}" for i in range(containers)]
    where = settle(place, boxes, nodes)
    roomy, tight = own + text // 2, own * 9 // 10
    b, random = TraceBuilder(), Random(f"evening out {seed}")
    b.file("httpd", text, "/usr/sbin/httpd")
    for i, c in enumerate(boxes):
        some = room == "everybody" or room == ("others" if i else "first")
        b.task(c.lower(), b.container(c, roomy if some else tight), where[c])
        b.file(f"{c} own", own, f"/srv/{c}")
        b.map(c.lower(), "httpd")
    for c in boxes:
        b.touch_read(c.lower(), "httpd")
    b.mark("all started")
    for _ in range(steps):
        for i, c in enumerate(boxes):
            if random.randrange(100) < hot and (i or owner_uses):
                b.touch_read(c.lower(), "httpd", random.randrange(text), 1)
            else:
                b.touch_read(c.lower(), f"{c} own", random.randrange(own), 1)
    b.mark("all have worked")
    notes = (
        "A fair share is the text divided by the containers. A container's charge for the text is "
        "its charge without its own pages. Steps are rounds: one access by everybody in each.",
        "As posted, less than a cluster is not scanned (RE1): a container of 16 clusters is then "
        "swept whole, where one of 16,000 pages is not. So small containers do without.",
        "More steps of one seed go on where fewer end: sweep `steps` to see the charge spread.",
    )
    quirks = "as_posted" if cutoff else "as_posted,-scan_cutoff"
    chosen = replace(knobs(size), references=references, quirks=quirks)
    rule = "as the scheme has it" if references == "scheme" else f"{references} mappers'"
    return finish(__name__, b.build(), machine(nodes, containers * roomy + 64 * containers), chosen,
                  locals(), expect(room, hot, references, owner_uses), notes,
                  O1=f"whose references count: {rule}")


def measure(trace, k) -> dict[str, float]:
    """Charges for the text at the end, and the faults since all have started."""
    books = Books(trace, k)
    boxes = [c.name for c in trace.containers[1:]]
    text = trace.objects[0].pages
    pays = [books.charge(c) - own_held(k, i + 1) for i, c in enumerate(boxes)]
    faults = dict.fromkeys(boxes, 0)
    for_text = dict.fromkeys(boxes, 0)
    start = trace.rows(Op.mark)[0]
    for i in trace.rows(Op.touch_read):
        if i > start and int(k.ev_outcome[i]) in (MINOR, MAJOR):
            c = boxes[trace.task[i]]
            faults[c] += 1
            for_text[c] += int(trace.target[i] == 0)
    others = len(boxes) - 1
    fair = text / len(boxes)
    spread = sum(abs(x - y) for x in pays for y in pays)
    mean = sum(map(faults.get, boxes[1:])) / others
    return {
        "first pays for text": pays[0],
        "first pays / fair": pays[0] / fair,
        "most paid / fair": max(pays) / fair,
        "Gini": spread / (2 * len(boxes) * sum(pays)) if sum(pays) > 0 else 0.0,
        "faults of the first": faults[boxes[0]],
        "faults of another": mean,
        "faults, first / another": faults[boxes[0]] / mean if mean else float(faults[boxes[0]] > 0),
        "others' faults on text": sum(map(for_text.get, boxes[1:])) / others,
        "copies": int(k.stat[N_COPIES]),
        "frames": books.pages(),
        "kills": int(k.kills),
        "looked at": int(k.stat[N_SCANNED]),
        "above the limit": sum(max(0.0, books.charge(c) - trace.containers[i + 1].limit)
                               for i, c in enumerate(boxes)),
    }


def own_held(k, c: int) -> int:
    """Pages of its own it is charged for: mapped ones, or those in memory where that counts."""
    frames = k.resident or k.own_zone[c] >= 0
    pages = range(int(k.obj_base[c]), int(k.obj_base[c]) + int(k.obj_pages[c]))
    return sum(int(k.page_flags[p]) & RESIDENT > 0 if frames else int(k.page_maps[p]) > 0
               for p in pages)
