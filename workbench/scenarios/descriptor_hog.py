"""Open files until the count says stop; then make what nobody counts."""

from __future__ import annotations

from workbench.trace import TraceBuilder

from .parts import Books, Limit, Nodes, Place, Scenario, Size, finish, knobs, machine, settle

TITLE = "The descriptor hog"
SOURCE = "Pavel Emelianov, 6 Mar 2007 (patch 7/7); Eric Biederman, 18 Mar 2007 (limit counts)"
QUESTION = "Does a limit on one kind of kernel object limit kernel memory?"
PLOT = "frames of kernel objects, counted and uncounted"
_OPEN = (
    "Open files stop at the limit; pipes, sockets and inodes, which nobody counts, take as many "
    "frames as they like, whatever the RSS limit."
)
PREDICTION = {
    "none": _OPEN,
    "first_touch": _OPEN,
    "hand_over": _OPEN,
    "fraction": _OPEN,
    "beancounter": _OPEN,
    "every_container": _OPEN,
    "every_mapping": _OPEN,
    "zone": "Safe: kernel objects come from the container's own zone too, and end with it.",
}
CASES = [{}]
KINDS = ("pipes", "sockets", "inodes")
FULL = "files at the limit"


def expect(limit: int, objects: int, rss: int) -> dict[str, dict[str, object]]:
    files = {"files counted": limit, "opens refused": limit // 2, "hog killed": 0}
    return dict.fromkeys(PREDICTION, files | {"uncounted frames": 3 * objects}) | {
        "zone": {"opens refused": limit // 2, "uncounted frames": (0, rss), "hog killed": 1}
    }


def build(
    size: Size = "small",
    nodes: Nodes = 1,
    place: Place = None,
    files: Limit = None,
) -> Scenario:
    """The hog opens half as many again as its limit of `files` (64; full: 1024), then goes on."""
    files = files or (64 if size == "small" else 1024)
    objects, rss = (100, 128) if size == "small" else (4000, 8192)
    where = settle(place, ["Hog", "Other"], nodes)
    b = TraceBuilder()
    b.task("hog", b.container("Hog", rss, numfiles_limit=files), where["Hog"])
    b.task("other", b.container("Other", rss), where["Other"])
    b.file("log", 4, "/var/log/log")
    for kind in KINDS:
        b.object(kind, "kernel", objects)
    b.touch_read("other", "log")
    for _ in range(files + files // 2):
        b.open("hog", "log")
    b.mark(FULL)
    for kind in KINDS:
        b.write("hog", kind)
        b.mark(f"{kind} made")
    notes = (
        f"Three kinds of kernel object, {objects} frames of each; 16 open files share a frame.",
    )
    return finish(__name__, b.build(), machine(nodes, 3 * objects + files + 2 * rss), knobs(size),
                  locals(), expect(files, objects, rss), notes)


def measure(trace, k) -> dict[str, object]:
    """Files counted, and kernel frames that came after the count had said stop."""
    then, last = Books(trace, k, FULL), Books(trace, k)
    c = last.index["Hog"]
    return {
        "files counted": int(k.files[c]),
        "opens refused": int(k.files_failcnt[c]),
        "uncounted frames": last.kernel() - then.kernel(),
        "charge of the hog": last.charge("Hog"),
        "hog killed": int(any(trace.tasks[k.kill_victim[i]].name == "hog" for i in range(k.kills))),
    }
