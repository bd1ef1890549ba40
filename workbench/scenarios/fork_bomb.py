"""A task that forks for ever, under a limit on tasks, on each task's own size, or on RSS only."""

from __future__ import annotations

from typing import Annotated, Literal

from workbench.trace import TraceBuilder

from .parts import Books, Nodes, Place, Scenario, Size, finish, knobs, machine, settle

TITLE = "The fork bomb"
SOURCE = "Pavel Emelianov, 6 Mar 2007 (patch 6/7); Eric Biederman, 23 Mar 2007 (limits per process)"
QUESTION = "Which limit stops a bomb of many small tasks?"
PLOT = "tasks, frames and page tables through time; OOM victims"
PREDICTION = {
    "none": "A limit on tasks stops it; nothing else does.",
    "first_touch": "RSS only: it kills its own tasks for ever and nobody else's. A task count "
    "stops it; a limit per process does not: the total is n times the limit.",
    "hand_over": "As first touch: nothing is shared with others.",
    "fraction": "As first touch: nothing is shared with others.",
    "beancounter": "As first touch: nothing is shared with others.",
    "every_container": "As first touch: nothing is shared with others.",
    "every_mapping": "As first touch with a task count or limits per process.",
    "zone": "As first touch, and kernel stacks and page tables count as well.",
}
CASES = [{}, {"control": "numtasks"}, {"control": "rlimit"}]
TOUCHED = 10  # pages each task writes


def expect(control: str, tasks: int, most: int, limit: int) -> dict[str, dict[str, object]]:
    free = {"tasks alive": tasks, "pages": TOUCHED * tasks, "kills": 0, "kills outside": 0}
    if control == "rlimit":
        return dict.fromkeys(PREDICTION, free)
    if control == "numtasks":
        row = free | {"tasks alive": most, "pages": TOUCHED * most}
        return dict.fromkeys(PREDICTION, row)
    room = limit // TOUCHED
    row = {"tasks alive": room, "pages": TOUCHED * room, "kills": tasks - room, "kills outside": 0}
    kept = ("every_mapping", "zone")
    return {x: {"kills outside": 0} if x in kept else row for x in PREDICTION} | {"none": free}


def build(
    size: Size = "small",
    nodes: Nodes = 1,
    place: Place = None,
    control: Literal["numtasks", "rlimit", "rss"] = "rss",
    tasks: Annotated[int, range(20, 5001)] | None = None,
) -> Scenario:
    """One task forks `tasks` - 1 others (64; full: 1000); each writes 10 pages of its own."""
    tasks = tasks or (64 if size == "small" else 1000)
    most = 16 if size == "small" else 100
    limit = 128 if size == "small" else 4096
    where = settle(place, ["Bomb", "Bystander"], nodes)
    b = TraceBuilder()
    rss, count = control == "rss", control == "numtasks"
    b.container("Bomb", limit if rss else None, most if count else None)
    b.container("Bystander", 64 if rss else None)
    b.task("bystander", "Bystander", where["Bystander"])
    b.task("bomb", "Bomb", where["Bomb"])
    b.anon("quiet heap", 20)
    b.anon("heap", TOUCHED)
    b.touch_write("bystander", "quiet heap")
    b.touch_write("bomb", "heap")
    for i in range(1, tasks):
        b.fork("bomb", f"splinter {i}")
        b.touch_write(f"splinter {i}", "heap")
    b.mark("the bomb has gone off")
    notes = (
        "Limits per process are no event: each task stays within 10 pages, which is all they ask.",
        "No swap, so that a full container must kill; nobody waits for the dead.",
    )
    return finish(__name__, b.build(), machine(nodes, 40 * tasks, swap=0), knobs(size), locals(),
                  expect(control, tasks, most, min(limit, tasks * TOUCHED)), notes)


def measure(trace, k) -> dict[str, int]:
    """What the bomb holds at the end, and whom it killed."""
    books = Books(trace, k)
    kills = min(k.kills, k.kills_end)
    victims = [trace.tasks[k.kill_victim[i]].name for i in range(kills)]
    return {
        "tasks alive": books.tasks("Bomb"),
        "pages": books.pages() - 20 * books.tasks("Bystander"),
        "kills": int(k.kills),
        "kills outside": victims.count("bystander"),
        "kernel frames": books.kernel(),
    }
