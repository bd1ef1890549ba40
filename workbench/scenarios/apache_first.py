"""Web containers that start one after another: whoever is first pays for the text of all."""

from __future__ import annotations

from typing import Annotated, Literal

from workbench.kernel.names import N_COPIES
from workbench.trace import TraceBuilder

from .parts import Books, Nodes, Place, Scenario, Size, finish, knobs, machine, settle

TITLE = "Apache starts first"
SOURCE = "Dave Hansen, 13 Mar 2007 (whoever starts Apache first pays for all)"
QUESTION = "What does it cost a container to start before its neighbours?"
PLOT = "charge of each container for the text; failcnt; copies of the text"
PREDICTION = {
    "none": "Nobody is charged or refused.",
    "first_touch": "The first pays for the whole text, the others nothing; it alone is refused. If "
    "it leaves the text, all of it is reclaimed, and the next pays for all and is refused.",
    "next_toucher": "As first touch; what the first no longer maps goes to the second.",
    "copy_on_reclaim": "As first touch; what the first no longer maps is copied by all others: a "
    "frame for each of them, and none of them reads from disk.",
    "hand_over": "As first touch while nobody leaves.",
    "fraction": "Everybody pays 1/N of the text; nobody is refused.",
    "beancounter": "Shares within a factor of two of 1/N; nobody is refused.",
    "every_container": "Everybody pays for all of the text and is refused: text and own pages "
    "together are above every limit.",
    "zone": "The text lies in the first one's zone.",
}
CASES = [{}, {"containers": 3, "limit": 140}, {"first": "leaves", "own": 50}]
SOME = (1, 1 << 30)


def expect(n: int, text: int, own: int, limit: int, leaves: bool,
           cluster: int) -> dict[str, dict[str, object]]:
    """One that leaves gives up a cluster each time it is refused, and leaves at most that much."""
    refused = SOME if text + own > limit else 0
    first = {"first charged for text": text, "last charged for text": 0,
             "first refused": refused, "others refused": 0}
    equal = {"first charged for text": text / n, "last charged for text": text / n,
             "first refused": 0, "others refused": 0}
    around = (text / n / 2, 2 * text / n)
    all_pay = {"first charged for text": text, "last charged for text": text,
               "first refused": refused, "others refused": refused}
    idle = dict.fromkeys(equal, 0)
    quiet = first | {"copies": 0, "frames with text": text}
    turns = -(-max(0, text + own - limit) // cluster)  # of reclaim
    if leaves and own + cluster * turns <= limit:  # the others have room for what is given up
        given, others = min(text, cluster * turns), n - 1
        gone = {"first refused": turns, "others refused": 0}
        copied = {"copies": others * given, "frames with text": text + (others - 1) * given}
        return {"none": idle, "first_touch": quiet | {"others refused": refused},
                "next_toucher": quiet | gone, "copy_on_reclaim": first | gone | copied}
    if leaves:
        return {"none": idle}
    return {
        "none": idle, "first_touch": first, "hand_over": first, "fraction": equal,
        "next_toucher": first, "copy_on_reclaim": first | {"copies": 0},
        "beancounter": equal | {"first charged for text": around, "last charged for text": around},
        "every_container": all_pay, "zone": {"first charged for text": text,
                                             "last charged for text": 0},
    }


def build(
    size: Size = "small",
    nodes: Nodes = 1,
    place: Place = None,
    containers: Annotated[int, range(2, 101)] = 10,
    text: Annotated[int, range(1, 1 << 20)] | None = None,
    own: Annotated[int, range(1, 1 << 20)] | None = None,
    limit: Annotated[int, range(1, 1 << 30)] | None = None,
    first: Literal["stays", "leaves"] = "stays",
) -> Scenario:
    """`containers` touch the same `text` (60; full: 6 MB), then `own` pages (70), limits of 100
    (full: 64 MB of own pages beside the text, the limit 10 of 13 parts of both).

    first  "leaves": the first unmaps the text before it works, and the others touch it again after
    """
    small = size == "small"
    text = text or (60 if small else 1_536)
    own = own or (70 if small else 16_384)
    limit = limit or (100 if small else (text + own) * 10 // 13)
    boxes = [f"W{i + 1}" for i in range(containers)]
    where = settle(place, boxes, nodes)
    b = TraceBuilder()
    b.file("httpd", text, "/usr/sbin/httpd")
    for c in boxes:
        b.task(c.lower(), b.container(c, limit), where[c])
        b.anon(f"{c} own", own)
    for c in boxes:
        b.touch_read(c.lower(), "httpd")
    b.mark("all started")
    if first == "leaves":
        b.unmap(boxes[0].lower(), "httpd")
    for c in boxes:
        b.touch_write(c.lower(), f"{c} own")
    b.mark("all work")
    for c in boxes[1:] if first == "leaves" else ():
        b.touch_read(c.lower(), "httpd")
    notes = (
        "All start and touch the text, one after the other, before any touches its own pages.",
        "A container that is killed at its limit is refused no more: refusals count to then.",
    )
    said = expect(containers, text, own, limit, first == "leaves", knobs(size).cluster)
    return finish(__name__, b.build(), machine(nodes, containers * limit), knobs(size), locals(),
                  said, notes)


def measure(trace, k) -> dict[str, float]:
    """Charges for the text when all have started; refusals when all work; at the end, copies made
    and frames with pages of the text."""
    started = Books(trace, k, "all started")
    boxes = [c.name for c in trace.containers[1:]]
    failed = [int(n) for n in k.failcnt[1 : len(boxes) + 1]]
    pays, text = [started.charge(c) for c in boxes], trace.objects[0].pages
    return {
        "first charged for text": started.charge(boxes[0]),
        "last charged for text": started.charge(boxes[-1]),
        "largest / fair": max(pays) * len(boxes) / text,
        "smallest / fair": min(pays) * len(boxes) / text,
        "charged / text": sum(pays) / text,
        "first refused": failed[0],
        "others refused": sum(failed[1:]),
        "copies": int(k.stat[N_COPIES]),
        "frames with text": sum(int(k.zone_file[z]) for z in range(k.zones)),
    }
