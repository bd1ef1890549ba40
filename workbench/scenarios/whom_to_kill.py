"""An idle hog fills a container, and a small daemon asks for a few pages: who has to die?"""

from __future__ import annotations

from typing import Annotated, Literal

from workbench.trace import TraceBuilder

from .parts import Books, Nodes, Place, Scenario, Size, finish, knobs, settle
from .parts import machine as machine_of

TITLE = "Whom to kill"
SOURCE = "Pavel Emelianov, 11 Mar 2007; Herbert Poetzl, 13 Mar 2007 (it never matters)"
QUESTION = "Does killing whoever asks, the largest, or whoever is charged most bring a guest back?"
PLOT = "kills until the daemon is served again, and what was gained by each"
_LARGEST = "The hog dies at the first request; every request is served after one kill."
PREDICTION = {
    "none": "Nobody is at a limit: all are served.",
    "first_touch": "The largest address space dies: the hog, and all is served after one kill; but "
    "a larger one whose pages others pay for dies first, and that frees nothing.",
    "first_touch:oom_score=charged": "The hog is charged most and dies first, whoever is larger.",
    "hand_over": "As first touch.",
    "fraction": _LARGEST,
    "beancounter": _LARGEST,
    "every_container": _LARGEST,
    "every_mapping": "Whoever asks dies: every daemon, and the idle hog stays.",
    "zone": "As first touch; stacks and page tables are in the zone as well.",
}
CASES = [{}, {"large": "mapper"}]
REQUESTS = 5


def expect(large: str) -> dict[str, dict[str, object]]:
    served = {"requests served": REQUESTS, "kills": 1, "first killed": "hog", "daemons killed": 0,
              "kills in vain": 0}
    if large == "mapper":
        nothing = served | {"kills": 2, "first killed": "mapper", "kills in vain": 1}
        return {"first_touch": nothing, "hand_over": nothing,
                "first_touch:oom_score=charged": served,
                "none": served | {"kills": 0, "first killed": "nobody"}}
    special = {
        "none": served | {"kills": 0, "first killed": "nobody"},
        "every_mapping": {"requests served": 0, "kills": REQUESTS, "first killed": "daemon 1",
                          "daemons killed": REQUESTS},
    }
    return {scheme: special.get(scheme, served) for scheme in PREDICTION}


def build(
    size: Size = "small",
    nodes: Nodes = 1,
    place: Place = None,
    large: Literal["hog", "mapper"] = "hog",
    hog: Annotated[int, range(40, 1 << 18)] | None = None,
) -> Scenario:
    """The guest G has room for the `hog`'s 200 pages (full: 20,000) and 10 of a daemon's 20; five
    daemons come one after another. `large="mapper"`: G has a third task, which maps half as much
    again of a file that F pays for.
    """
    hog = hog or (200 if size == "small" else 20_000)
    daemon, file = hog // 10, hog * 3 // 2
    where = settle(place, ["G", "F"], nodes)
    b = TraceBuilder()
    b.container("G", hog + daemon // 2)
    b.container("F", 2 * file)
    b.task("keeper", "F", where["F"])
    b.task("hog", "G", where["G"])
    b.file("data", file, "/srv/data")
    b.anon("heap", hog)
    b.anon("request", daemon)
    if large == "mapper":
        b.task("mapper", "G", where["G"])
        b.touch_read("keeper", "data")
        b.touch_read("mapper", "data")
    b.touch_write("hog", "heap")
    step = -(-daemon // 20)
    b.mark("the guest is full")
    for i in range(1, REQUESTS + 1):
        b.task(f"daemon {i}", "G", where["G"])
        b.map(f"daemon {i}", "request")
        for page in range(0, daemon, step):
            b.touch_write(f"daemon {i}", "request", page, min(step, daemon - page))
        b.mark(f"request {i}")
        b.exit(f"daemon {i}")
        b.reap(f"daemon {i}")
    notes = (
        "No swap, so that nothing can be reclaimed; the hog never runs again.",
        "A daemon that dies is started anew for the next request; a random victim is not built.",
    )
    each = machine_of(nodes, hog + daemon + 2 * file, swap=0)
    return finish(__name__, b.build(), each, knobs(size), locals(), expect(large), notes)


def measure(trace, k) -> dict[str, object]:
    """Requests served to their end; kills, and whom; kills after which the same page still did not
    fit."""
    kills = min(k.kills, k.kills_end)
    victims = [trace.tasks[k.kill_victim[i]].name for i in range(kills)]
    size = next(o.pages for o in trace.objects if o.name == "request")
    asked = [Books(trace, k, f"request {i}") for i in range(1, REQUESTS + 1)]
    alive = [f"daemon {i}" not in victims for i in range(1, REQUESTS + 1)]
    return {
        "requests served": sum(
            books.mapped("G") >= size and lives for books, lives in zip(asked, alive, strict=True)
        ),
        "kills": int(k.kills),
        "first killed": victims[0] if victims else "nobody",
        "daemons killed": sum(name.startswith("daemon") for name in victims),
        "kills in vain": sum(
            int(k.kill_event[i] == k.kill_event[i + 1]) for i in range(kills - 1)
        ),
    }
