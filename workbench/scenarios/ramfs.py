"""Write to a file system in memory until something gives: memory that nobody has to map."""

from __future__ import annotations

from dataclasses import replace
from typing import Annotated, Literal

from workbench.kernel import Machine
from workbench.trace import TraceBuilder

from .parts import Books, Nodes, Place, Scenario, Size, finish, frames_of, knobs, settle

TITLE = "Filling a ramfs"
SOURCE = "Dave Hansen, 23 Mar 2007; Herbert Poetzl, 23 Mar 2007 (tmpfs has a size, 16m)"
QUESTION = "What stops a container from filling the machine with files in memory?"
PLOT = "frames of the files, the writer's charge, free frames"
_NOTHING = "ramfs: nothing; tmpfs: the size of each mount, but not their sum."
PREDICTION = {
    "none": _NOTHING,
    "first_touch": _NOTHING,
    "every_container": _NOTHING,
    "fraction": _NOTHING,
    "first_allocation": "The limit: written pages are charged, and cannot be reclaimed.",
    "zone": "The writer's own zone.",
}
CASES = [{}, {"kind": "tmpfs", "mounts": 4}, {"kind": "tmpfs"}, {"kind": "tmpfs", "swap": True}]
SMALL_MOUNT = 64


def expect(kind: str, total: int, room: int, swap: bool) -> dict[str, dict[str, object]]:
    free, kept = ("none", "first_touch", "every_container", "fraction"), {"machine ran out": "no"}
    table = {"first_allocation": kept, "zone": kept}
    full = kind == "ramfs" or (total > room and not swap)
    some = {"machine ran out": "yes"} if full else kept | {"pages written": total}
    return table | dict.fromkeys(free, some | {"writer charged": 0})


def build(
    size: Size = "small",
    nodes: Nodes = 1,
    place: Place = None,
    kind: Literal["ramfs", "tmpfs"] = "ramfs",
    mounts: Annotated[int, range(1, 101)] = 10,
    swap: bool = False,
) -> Scenario:
    """W (limit 64) writes, by write(), twice the machine's 512 frames a node to ramfs, or fills
    `mounts` of 64 pages (a node) on tmpfs; a neighbour has 128 pages. Full: mounts of 16 MiB, 64
    times as much of all. `swap`: as large as the machine, or none."""
    unit = 1 if size == "small" else 64
    frames, limit, theirs = 512 * unit, 64 * unit, 128 * unit
    where = settle(place, ["W", "N"], nodes)
    each = 2 * frames * nodes if kind == "ramfs" else SMALL_MOUNT * unit * nodes
    names = ["file"] if kind == "ramfs" else [f"mount {i + 1}" for i in range(mounts)]
    b = TraceBuilder()
    b.task("w", b.container("W", limit), where["W"])
    b.task("n", b.container("N", 2 * theirs), where["N"], vm=theirs)
    b.file("data", theirs, "/srv/data")
    for name in names:
        b.object(name, "ramfs" if kind == "ramfs" else "shm", each, f"/mnt/{name}")
    b.touch_read("n", "data")
    b.mark("the neighbour has its pages")
    for i in range(each):
        for name in names:
            b.write("w", name, i, 1)
        if i % 8 == 0:
            b.touch_read("n", "data", i // 8 % theirs, 1)
    b.mark("the end")
    notes = (
        "The pages are never mapped. tmpfs pages go to swap if there is any, ramfs pages never.",
        "What a writer that was killed has written stays.",
    )
    chosen = replace(knobs(size), swap_write="sync")
    each_node = Machine(nodes=nodes, frames=frames + 16, swap=frames * nodes if swap else 0)
    room = frames * nodes - theirs
    return finish(__name__, b.build(), each_node, chosen, locals(),
                  expect(kind, each * len(names), room, swap), notes)


def measure(trace, k) -> dict[str, float | str]:
    """Frames the files hold, what was written, and whether the machine's OOM killer had to act."""
    start, end = Books(trace, k, "the neighbour has its pages"), Books(trace, k, "the end")
    files = [o.name for o in trace.objects if o.kind in ("ramfs", "shm")]
    of_machine = any(k.kill_container[i] < 0 for i in range(min(k.kills, k.kills_end)))
    swapped = int(k.swap_used)
    return {
        "frames of the files": frames_of(trace, k, *files),
        "pages written": frames_of(trace, k, *files) + swapped,
        "writer charged": end.charge("W") if k.own_zone[1] < 0 else 0,
        "machine ran out": "yes" if of_machine else "no",
        "first killed": trace.tasks[k.kill_victim[0]].container if k.kills else "nobody",
        "neighbour faults": end.faults("N") - start.faults("N"),
    }
