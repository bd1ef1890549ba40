"""A program and seeded neighbours on one library: what each is charged, against what it uses."""

from __future__ import annotations

from random import Random
from typing import Annotated

from workbench.kernel import find_truth
from workbench.kernel.names import N_COUNTERS, N_ENTRIES, N_HOLDERS, N_RMAP, N_SCANNED, RESIDENT
from workbench.trace import Op, TraceBuilder

from .parts import Books, Nodes, Place, Scenario, Size, finish, knobs, machine, settle

TITLE = "Fair, fast, accurate"
SOURCE = "Dave Hansen, 23 Mar 2007 (quoting Alan Cox: pick two); Eric Biederman, 13 Mar 2007"
QUESTION = "How far is each charge from what its container uses, and what does a fault cost?"
PLOT = "Jain index of charge / use, error of the charges, steps per fault: one point a scheme"
PREDICTION = {
    "none": "Nothing is charged, at no cost.",
    "first_touch": "The charges add up to the mapped pages; single ones are luck.",
    "hand_over": "The charges add up to the mapped pages; single ones are luck.",
    "fraction": "Exact in every respect: everybody pays his share of each page, and it adds up.",
    "every_container": "Everybody is charged exactly the pages he maps, whoever else does; the sum "
    "is more than there is.",
}
CASES = [{}, {"neighbours": 0}, {"shared": 0}, {"seed": 3}]


def expect() -> dict[str, dict[str, object]]:
    adds_up = {"sum / mapped": 1}
    return {
        "none": {"sum / mapped": 0}, "first_touch": adds_up, "hand_over": adds_up,
        "fraction": {"error against 1/n": 0, "sum / mapped": 1, "Jain index": 1},
        "every_container": {"error against own use": 0},
    }


def build(
    size: Size = "small",
    nodes: Nodes = 1,
    place: Place = None,
    neighbours: Annotated[int, range(0, 101)] | None = None,
    shared: Annotated[int, range(0, 91)] = 50,
    moves: bool = False,
    seed: Annotated[int, range(0, 1 << 31)] = 2007,
) -> Scenario:
    """A program in A of 100 pages (full: 2,500), `shared` percent of them of a library, and three
    `neighbours` (20) of seeded sizes that map parts of the library, fork, and come and go around
    it; with `moves`, a child of the first moves to the last at the end."""
    small = size == "small"
    neighbours = (3 if small else 20) if neighbours is None else neighbours
    pages = 100 if small else 2_500
    lib = pages * shared // 100
    boxes = ["A", *(f"N{i + 1}" for i in range(neighbours))]
    where = settle(place, boxes, nodes)
    b, random = TraceBuilder(), Random(f"fair fast accurate {seed}")
    b.file("library", max(lib, 1), "/usr/lib/library")
    b.file("data", pages, "/srv/data")
    b.task("init")
    b.anon("init own", pages // 5)
    for c in boxes:
        b.task(c.lower(), b.container(c), where[c])
        b.anon(f"{c} own", 2 * pages)
    b.touch_write("init", "init own")
    b.touch_read("init", "library", 0, max(1, lib // 5))
    todo = [(0.5 + i / 10, "A", str(i)) for i in range(5)]  # the program, whatever the seed
    for c in boxes[1:]:
        start = random.random()
        todo += [(start, c, "start"), (start + random.random() / 2, c, "fork")]
        if random.randrange(4) == 0:
            todo.append((start + 0.5 + random.random(), c, "end"))
    for _, c, what in sorted(todo):
        if c == "A":
            program(b, int(what), lib, pages - lib)
        else:
            neighbour(b, c, what, lib, pages, random)
        b.mark(f"after {len(b)}")
    if moves:
        b.fork("a", "mover")
        b.move("mover", boxes[-1])
    notes = (
        "The program: half of the library, its own pages, a child that writes a tenth of them, a "
        "file read and not mapped, the rest of the library. Its steps are the same in every run.",
        "No limit acts. Use is proportional set size (1/n of every page), own use the distinct "
        "pages mapped. Steps: counters, records made, records and list entries walked.",
        "The host's own task has pages too; its share counts in sums, not in the other measures.",
    )
    return finish(__name__, b.build(), machine(nodes, 6 * pages * (neighbours + 2)), knobs(size),
                  locals(), {} if moves else expect(), notes)


def program(b: TraceBuilder, step: int, lib: int, own: int) -> None:
    """One of the five steps of the program in A."""
    half = lib // 2
    if step == 0 and half:
        b.touch_read("a", "library", 0, half)
    elif step == 1:
        b.touch_write("a", "A own", 0, own)
    elif step == 2:
        b.fork("a", "a child")
        b.touch_write("a child", "A own", 0, max(1, own // 10))
    elif step == 3:
        b.exit("a child")
        b.reap("a child")
        b.read("a", "data")
    elif step == 4 and lib:
        b.touch_read("a", "library", half, lib - half)


def neighbour(b: TraceBuilder, c: str, what: str, lib: int, pages: int, random: Random) -> None:
    """A neighbour starts, forks a child that maps what it maps, or ends with its child."""
    task, child = c.lower(), f"{c.lower()} child"
    first = random.randrange(max(1, lib))
    count, own = random.randint(1, max(1, lib - first)), random.randint(pages // 5, 2 * pages)
    if what == "start":
        if lib:
            b.touch_read(task, "library", first, count)
        b.touch_write(task, f"{c} own", 0, own)
    elif what == "fork":
        b.fork(task, child)
        for start, stop in b.mapped(child).get("library", ()):
            b.touch_read(child, "library", start, stop - start)
    else:
        for each in (child, task):
            b.exit(each)
            b.reap(each)


def measure(trace, k) -> dict[str, float]:
    """Charges against use at the end; the program's peak; work per fault."""
    books = Books(trace, k)
    fine = 720_720
    find_truth(k, fine)
    boxes = [c.name for c in trace.containers[1:]]
    use = {c: int(k.true_pss[books.index[c]]) / fine for c in boxes}
    own = {c: int(k.true_rss[books.index[c]]) for c in boxes}
    charge = {c: float(books.charge(c)) for c in boxes}
    ratio = [charge[c] / use[c] for c in boxes if use[c]]
    squares = sum(x * x for x in ratio)
    mapped = sum(int(k.page_maps[p] > 0) for p in range(k.pages_top))
    frames = sum(int(k.page_flags[p]) & RESIDENT > 0 for p in range(k.pages_top)) + books.kernel()
    faults = sum(int(k.minor_faults[c] + k.major_faults[c]) for c in range(k.containers))
    work = (N_COUNTERS, N_ENTRIES, N_HOLDERS, N_RMAP, N_SCANNED)
    marks = [trace.values[trace.value[i]] for i in trace.rows(Op.mark)]
    return {
        "Jain index": sum(ratio) ** 2 / (len(ratio) * squares) if squares else 0.0,
        "error against 1/n": sum(abs(charge[c] - use[c]) for c in boxes) / sum(use.values()),
        "error against own use": sum(abs(charge[c] - own[c]) for c in boxes) / sum(own.values()),
        "sum / mapped": books.sum() / mapped,
        "sum without the host / mapped": sum(charge.values()) / mapped,
        "billed / mapped": sum(int(n) for n in k.bill[: k.containers]) / k.unit / mapped,
        "sum / frames": books.sum() / frames,
        "steps per fault": sum(int(k.stat[i]) for i in work) / faults,
        "records per mapped page": sum(int(k.held[c]) for c in range(k.containers)) / mapped,
        "peak of A": max(float(Books(trace, k, mark).charge("A")) for mark in marks),
        "charge of A": charge["A"],
        "major faults of A": int(k.major_faults[1]),
        "warnings": int(k.warnings),
    }
