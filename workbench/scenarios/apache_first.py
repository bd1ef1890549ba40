"""Web containers that start one after another: whoever is first pays for the text of all."""

from __future__ import annotations

from typing import Annotated

from workbench.trace import TraceBuilder

from .parts import Books, Nodes, Place, Scenario, Size, finish, knobs, machine, settle

TITLE = "Apache starts first"
SOURCE = "Dave Hansen, 13 Mar 2007 (whoever starts Apache first pays for all)"
QUESTION = "What does it cost a container to start before its neighbours?"
PLOT = "charge of each container for the text; failcnt"
PREDICTION = {
    "none": "Nobody is charged or refused.",
    "first_touch": "The first pays for the whole text, the others nothing; it alone is refused.",
    "hand_over": "As first touch while nobody leaves.",
    "fraction": "Everybody pays 1/N of the text; nobody is refused.",
    "beancounter": "Shares within a factor of two of 1/N; nobody is refused.",
    "every_container": "Everybody pays for all of the text and is refused: text and own pages "
    "together are above every limit.",
    "zone": "The text lies in the first one's zone.",
}
CASES = [{}, {"containers": 3, "limit": 140}]
SOME = (1, 1 << 30)


def expect(n: int, text: int, own: int, limit: int) -> dict[str, dict[str, object]]:
    refused = SOME if text + own > limit else 0
    first = {"first charged for text": text, "last charged for text": 0,
             "first refused": refused, "others refused": 0}  # fmt: skip
    equal = {"first charged for text": text / n, "last charged for text": text / n,
             "first refused": 0, "others refused": 0}  # fmt: skip
    around = (text / n / 2, 2 * text / n)
    all_pay = {"first charged for text": text, "last charged for text": text,
               "first refused": refused, "others refused": refused}  # fmt: skip
    idle = dict.fromkeys(equal, 0)
    return {
        "none": idle, "first_touch": first, "hand_over": first, "fraction": equal,
        "beancounter": equal | {"first charged for text": around, "last charged for text": around},
        "every_container": all_pay, "zone": {"first charged for text": text,
                                             "last charged for text": 0},
    }  # fmt: skip


def build(
    size: Size = "small",
    nodes: Nodes = 1,
    place: Place = None,
    containers: Annotated[int, range(2, 101)] = 10,
    text: Annotated[int, range(1, 1 << 20)] | None = None,
    own: Annotated[int, range(1, 1 << 20)] | None = None,
    limit: Annotated[int, range(1, 1 << 30)] | None = None,
) -> Scenario:
    """`containers` touch the same `text` (60; full: 6 MB), then `own` pages (70), limits of 100
    (full: 64 MB of own pages beside the text, the limit 10 of 13 parts of both)."""
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
    for c in boxes:
        b.touch_write(c.lower(), f"{c} own")
    b.mark("all work")
    parameters = {"size": size, "nodes": nodes, "place": where, "containers": containers,
                  "text": text, "own": own, "limit": limit}  # fmt: skip
    notes = (
        "All start and touch the text, one after the other, before any touches its own pages.",
        "A container that is killed at its limit is refused no more: refusals count to then.",
    )
    return finish(__name__, b.build(), machine(nodes, containers * limit), knobs(size), parameters,
                  expect(containers, text, own, limit), notes)  # fmt: skip


def measure(trace, k) -> dict[str, float]:
    """Charges for the text when all have started; refusals when all work."""
    started = Books(trace, k, "all started")
    boxes = [c.name for c in trace.containers[1:]]
    failed = [int(n) for n in k.failcnt[1 : len(boxes) + 1]]
    return {
        "first charged for text": started.charge(boxes[0]),
        "last charged for text": started.charge(boxes[-1]),
        "first refused": failed[0],
        "others refused": sum(failed[1:]),
    }
