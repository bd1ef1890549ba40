"""Map what the victim will want, let it join, and leave: who is charged now?"""

from __future__ import annotations

from typing import Annotated

from workbench.trace import TraceBuilder

from .parts import Books, Nodes, Place, Scenario, Size, finish, killed_at, knobs, machine, settle

TITLE = "The exit attack"
SOURCE = "Eric Biederman, 16 Mar 2007 (GMT), answered by Dave Hansen, 16 Mar 2007"
QUESTION = "Can a container push another over its limit by going away?"
PLOT = "the victim's charge through time with its limit; OOM victims"
PREDICTION = {
    "none": "Nobody is charged, nobody dies.",
    "first_touch": "It misses: the dead first attacker keeps the charge, the victim's 50 stay 50.",
    "hand_over": "It hits: the victim inherits the library, 50 become 90, and its next page kills.",
    "fraction": "It hits: the victim's share grows to the whole, and its next page kills it.",
    "beancounter": "It hits as exact fractions do; before, the ring makes its share a power of 2.",
    "every_container": "Refused openly: the victim cannot map the library within its limit at all.",
    "every_mapping": "As every container: the victim's own mapping fails, nobody can push it.",
    "zone": "No charge moves; the library stays in the dead attacker's zone.",
}
CASES = [
    {},
    {"attackers": 3},
    {"attackers": 9},
    {"locked": False},
    {"locked": False, "attackers": 9},
]
JOINED, GONE, ASKED = "the victim maps it", "the attackers leave", "the victim asks for more"


def expect(n: int, locked: bool, s: int, p: int) -> dict[str, dict[str, object]]:
    ring = 1 << (n.bit_length())  # the victim, as newcomer, halves the largest share there is
    before = {"none": 0, "first_touch": p, "hand_over": p, "fraction": p + s / (n + 1), "zone": p,
              "beancounter": p + s / ring}
    after = before | {"hand_over": p + s, "fraction": p + s, "beancounter": p + s}
    dead = {"first_touch": s, "zone": s}
    table = {
        scheme: {
            "victim before": before[scheme],
            "victim after": after[scheme],
            "left with the dead": dead.get(scheme, 0),
            "victim killed": ASKED if locked and after[scheme] != before[scheme] else "no",
        }
        for scheme in before
    }
    if locked:
        return table | {x: {"victim killed": JOINED} for x in ("every_container", "every_mapping")}
    return table


def build(
    size: Size = "small",
    nodes: Nodes = 1,
    place: Place = None,
    attackers: Annotated[int, range(1, 100)] = 1,
    locked: bool = True,
) -> Scenario:
    """S=40, P=50, L=80 (full: 4000, 5000, 8000); `locked`: the victim has called mlockall."""
    shared, private, limit = (s * (1 if size == "small" else 100) for s in (40, 50, 80))
    boxes = [f"X{i + 1}" for i in range(attackers)] + ["V"]
    where = settle(place, boxes, nodes)
    b = TraceBuilder()
    b.file("library", shared, "/lib/library.so")
    b.anon("heap", private + 1)
    for c in boxes:
        b.task("victim" if c == "V" else f"attacker {c[1:]}", b.container(c, limit), where[c])
    for i in range(attackers):
        b.touch_read(f"attacker {i + 1}", "library")
    b.mark("the attackers map a library")
    b.touch_write("victim", "heap", 0, private)
    if locked:
        b.mlock("victim", "heap", 0, private)
        b.map("victim", "library")
        b.mlock("victim", "library")
    else:
        b.touch_read("victim", "library")
    b.mark(JOINED)
    for i in range(attackers):
        b.exit(f"attacker {i + 1}")
        b.reap(f"attacker {i + 1}")
    b.mark(GONE)
    b.touch_write("victim", "heap", private, 1)
    b.mark(ASKED)
    notes = (
        "mlockall(MCL_FUTURE) is said by locking each range: a page is locked when it is mapped.",
        "A page fault cannot be refused: where a mapping does not fit, the mapping task dies.",
    )
    return finish(__name__, b.build(), machine(nodes, len(boxes) * limit), knobs(size), locals(),
                  expect(attackers, locked, shared, private), notes)


def measure(trace, k) -> dict[str, object]:
    """The victim's charge before and after the attackers left, and when it died."""
    before, after = Books(trace, k, JOINED), Books(trace, k, GONE)
    dead = [c.name for c in trace.containers if c.name.startswith("X")]
    return {
        "victim before": before.charge("V"),
        "victim after": after.charge("V"),
        "left with the dead": sum(map(after.charge, dead)),
        "victim killed": killed_at(trace, k, {"victim"}),
    }
