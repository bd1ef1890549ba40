"""A server of many forked processes, whose sum of sizes is far above what it holds."""

from __future__ import annotations

from typing import Annotated

from workbench.trace import Op, TraceBuilder

from .parts import Books, Limit, Nodes, Place, Scenario, Size, finish, knobs, machine, settle

TITLE = "Prefork server"
SOURCE = "Kirill Korotaev, 13 Mar 2007 (a page counts once per container); Nick Piggin, 14 Mar 2007"
QUESTION = "What does a container of 50 processes hold: the sum of their sizes, or the pages?"
PLOT = "charge at the peak beside distinct pages and the sum of the processes' maxima"
PREDICTION = {
    "none": "Nothing is charged.",
    "first_touch": "Every page is charged once: what is charged is what is held.",
    "hand_over": "As first touch.",
    "fraction": "One container holds every page, so its share is the whole: as first touch.",
    "beancounter": "As exact fractions.",
    "every_container": "A page counts once per container, however many processes map it.",
    "every_mapping": "Every process is counted in full: 16,000 pages charged for 1,300 held.",
    "february_2007": "As every mapping.",
    "virtual_swap": "Charged as every mapping.",
    "zone": "The frames of its zone are what it holds.",
}
CASES = [{}, {"staggered": True}, {"limit": 2000}]


def expect(children: int, s: int, p: int, staggered: bool) -> dict[str, dict[str, float]]:
    held = s + (1 if staggered else children) * p
    added = children * s + (1 if staggered else children) * p
    charged = dict.fromkeys(PREDICTION, held) | {"none": 0}
    charged |= dict.fromkeys(("every_mapping", "february_2007", "virtual_swap"), added)
    return {
        scheme: {"charged at the peak": n, "held at the peak": held,
                 "maxima added": children * (s + p)} for scheme, n in charged.items()
    }


def build(
    size: Size = "small",
    nodes: Nodes = 1,
    place: Place = None,
    children: Annotated[int, range(1, 1001)] = 50,
    shared: Annotated[int, range(1, 1 << 20)] | None = None,
    private: Annotated[int, range(1, 1 << 20)] | None = None,
    staggered: bool = False,
    limit: Limit = None,
) -> Scenario:
    """`children` map 300 `shared` pages (full: 3,000) and write 20 (200) `private` ones each; if
    `staggered`, each gives its private pages back before the next begins."""
    shared = shared or (300 if size == "small" else 3_000)
    private = private or (20 if size == "small" else 200)
    where = settle(place, ["W"], nodes)
    b = TraceBuilder()
    b.task("server", b.container("W", limit), where["W"])
    b.file("httpd", shared, "/usr/sbin/httpd")
    for i in range(children):
        b.anon(f"own {i + 1}", private)
        task = b.fork("server", f"child {i + 1}")
        b.touch_read(task, "httpd")
        b.touch_write(task, f"own {i + 1}")
        b.mark(f"{task} works")
        if staggered:
            b.discard(task, f"own {i + 1}")
    notes = (
        "The parent maps nothing itself, so that the numbers are those of the children alone.",
        "Held and the sum of maxima are counted from the trace, no scheme asked.",
    )
    expected = {} if limit else expect(children, shared, private, staggered)
    return finish(__name__, b.build(), machine(nodes, 2 * (shared + children * private)),
                  knobs(size), locals(), expected, notes)


def measure(trace, k) -> dict[str, float]:
    """Charged, held and added up at the peaks; refusals and kills."""
    have: dict[str, dict[str, int]] = {}  # task -> object -> pages
    most: dict[str, int] = {}
    peak = 0
    for e in trace.events():
        mine = have.setdefault(e.task or "", {})
        if e.op in (Op.touch_read, Op.touch_write):
            mine[e.target] = e.count
        elif e.op == Op.discard:
            del mine[e.target]
        most[e.task] = max(most.get(e.task, 0), sum(mine.values()))
        peak = max(peak, sum({o: n for held in have.values() for o, n in held.items()}.values()))
    marks = [trace.values[trace.value[i]] for i in trace.rows(Op.mark)]
    charged = max(Books(trace, k, mark).charge("W") for mark in marks)
    return {
        "charged at the peak": charged,
        "held at the peak": peak,
        "maxima added": sum(most.values()),
        "charged / held": charged / peak,
        "maxima added / held": sum(most.values()) / peak,
        "refused": int(k.failcnt[1]),
        "kills": int(k.kills),
    }
