"""An attacker holds on to every page the victim ever used, and the victim keeps paying."""

from __future__ import annotations

from typing import Annotated, Literal

from workbench.trace import TraceBuilder

from .parts import Books, Nodes, Place, Scenario, Size, finish, killed_at, knobs, machine, settle

TITLE = "Charge pinning"
SOURCE = "Mel Gorman, 14 Mar 2007, who thought it very hard to do; the attack is the workbench's"
QUESTION = "Can another container make one pay for pages it no longer uses?"
PLOT = "the victim's charge against the pages it maps; failcnt; OOM victims"
PREDICTION = {
    "none": "Nobody is charged.",
    "first_touch": "The victim pays for all it ever ran and uses none of it; at the 13th program "
    "it is over its limit, reclaim fails and a kill frees nothing. The attacker pays 0.",
    "hand_over": "The attacker inherits each program as the victim leaves it.",
    "fraction": "Half while both map it; the whole is the attacker's when the victim leaves.",
    "beancounter": "As exact fractions: the attacker pays.",
    "every_container": "The attacker pays for all it maps, the victim for what it maps now.",
    "every_mapping": "The attacker pays for all it maps, the victim for what it maps now.",
    "zone": "As first touch: the frames stay in the victim's zone.",
}
CASES = [{}, {"pin": "touch"}, {"watch": "program"}]
KERNEL = "a zone holds kernel frames too: 4 of stacks and 1 of page tables leave 95 of the 100"
AGES = "one reclaim passes at several priorities: the first clears young bits, a later one frees"
EATS = "the program gives up its own first pages before the attacker has looked, and finishes"
DISAGREES = [
    ({}, "zone", "victim charged", 95, KERNEL),
    ({}, "zone", "attacker charged", 1, KERNEL),
    ({}, "zone", "first killed", "program 12 ends", KERNEL),
    ({}, "zone", "victim charged at last", 95, KERNEL),
    ({"pin": "touch"}, "first_touch", "first killed", "no", AGES),
    ({"pin": "touch"}, "first_touch", "victim charged at last", 84, AGES),
    ({"pin": "touch"}, "zone", "victim charged", 92, KERNEL + "; and " + AGES),
    ({"pin": "touch"}, "zone", "attacker charged", 4, KERNEL + "; and " + AGES),
    ({"pin": "touch"}, "zone", "first killed", "no", AGES),
    ({"pin": "touch"}, "zone", "victim charged at last", 94, KERNEL),
    ({"watch": "program"}, "first_touch", "first killed", "program 14 ends", EATS),
    ({"watch": "program"}, "zone", "victim charged", 90, KERNEL + "; and " + EATS),
    ({"watch": "program"}, "zone", "attacker charged", 6, KERNEL + "; and " + EATS),
    ({"watch": "program"}, "zone", "first killed", "program 15 ends", EATS),
    ({"watch": "program"}, "zone", "victim charged at last", 95, KERNEL),
]


def expect(programs: int, pages: int, limit: int) -> dict[str, dict[str, object]]:
    full = limit // pages  # programs that fit
    held = full * pages
    over = f"program {full + 1} ends"
    sticky = {"victim charged": held, "victim maps": 0, "attacker charged": 0, "first killed": over,
              "victim charged at last": limit}
    clean = {"victim charged": 0, "victim maps": 0, "attacker charged": held, "first killed": "no",
             "victim charged at last": 0, "attacker charged at last": programs * pages}
    free = clean | {"attacker charged": 0, "attacker charged at last": 0}
    special = {"none": free, "first_touch": sticky, "zone": sticky}
    return {scheme: special.get(scheme, clean) for scheme in PREDICTION}


def build(
    size: Size = "small",
    nodes: Nodes = 1,
    place: Place = None,
    programs: Annotated[int, range(2, 1001)] | None = None,
    pin: Literal["lock", "touch"] = "lock",
    watch: Literal["page", "program"] = "page",
) -> Scenario:
    """20 `programs` of 8 pages, L=100 (full: 800 of 64, L=32,000).

    The attacker locks what it finds, or only touches all of it again after each program; it looks
    for every page, or after each program only.
    """
    programs = programs or (20 if size == "small" else 800)
    pages = 8 if size == "small" else 64
    limit = max(programs * pages * 5 // 8, pages)
    where = settle(place, ["V", "T"], nodes)
    b = TraceBuilder()
    b.task("shell", b.container("V", limit), where["V"])
    b.task("attacker", b.container("T", 2 * programs * pages + 64), where["T"])
    b.file("programs", programs * pages, "/usr/bin")
    if pin == "lock":
        b.map("attacker", "programs")
    find = b.mlock if pin == "lock" else b.touch_read
    step = 1 if watch == "page" else pages
    for i in range(programs):
        task = f"program {i + 1}"
        b.fork("shell", task)
        b.map(task, "programs", i * pages, pages)
        for page in range(i * pages, (i + 1) * pages, step):
            b.touch_read(task, "programs", page, step)
            find("attacker", "programs", page, step)
        b.exit(task)
        b.reap(task)
        if pin == "touch":
            b.touch_read("attacker", "programs", 0, (i + 1) * pages)
        b.mark(f"{task} ends")
    notes = (
        "The victim is a shell that forks a task per program, so a kill takes one program only.",
        "The limit is 5/8 of all programs together; `victim charged` and `attacker charged` are "
        "said of the moment when as many programs have run as fit into it.",
        "A trace cannot look before it maps: what the victim failed to run is read in, and paid "
        "for, by the attacker; so its charge at last is not predicted for first touch.",
    )
    return finish(__name__, b.build(), machine(nodes, 4 * programs * pages), knobs(size),
                  locals(), expect(programs, pages, limit), notes)


def measure(trace, k) -> dict[str, object]:
    """Charges when as many programs have run as fit, and at the end; the first kill."""
    programs = {t.name for t in trace.tasks if t.name.startswith("program ")}
    fit = trace.containers[1].limit * len(programs) // trace.objects[0].pages
    then, last = Books(trace, k, f"program {min(fit, len(programs))} ends"), Books(trace, k)
    return {
        "victim charged": then.charge("V"),
        "victim maps": then.mapped("V"),
        "attacker charged": then.charge("T"),
        "first killed": killed_at(trace, k, programs | {"shell"}),
        "victim charged at last": last.charge("V"),
        "attacker charged at last": last.charge("T"),
    }
