"""The shipped recordings hold what was published about them (counted from the traces)."""

from collections import Counter
from pathlib import Path

import pytest

from workbench.trace import Op, Trace
from workbench.trace.summary import CALLS, TOUCHES, located, pages_used

FOLDER = Path(__file__).parents[1] / "datasets"
NAMES = ["gcc1", "gcc2", "make", "pyjson", "web"]


@pytest.fixture(scope="module")
def traces():
    return {name: Trace.load(FOLDER / f"{name}.zip") for name in NAMES}


def private_pages(trace):
    """Task -> its distinct pages written: anonymous ones and copies of private file pages."""
    written = {}
    for op, task, _, target, page, count in located(trace):
        if op == Op.touch_write and trace.objects[target].kind in ("anon", "file"):
            written.setdefault(task, set()).update((target, p) for p in range(page, page + count))
    return {task: len(pages) for task, pages in written.items()}


def first_touches(trace, containers=None):
    """(object, page) -> the container, of all or of `containers`, whose task touched it first."""
    wanted = None if containers is None else frozenset(containers)
    first = {}
    for op, _, container, target, page, count in located(trace):
        if op in TOUCHES and (wanted is None or container in wanted):
            for p in range(page, page + count):
                first.setdefault((target, p), container)
    return first


def union(used):
    return set().union(*used.values())


def mapped(trace):
    return pages_used(trace, TOUCHES, "file")


@pytest.mark.parametrize(
    ("name", "tasks", "file_pages", "written"),
    [
        ("gcc1", 3, 3990, 5261),
        ("gcc2", 7, 4020, 10450),
        ("make", 31, 4307, 26212),
        ("pyjson", 1, 1088, 959),
        ("web", 22, 1871, 2564),
    ],
)
def test_published_counts(traces, name, tasks, file_pages, written):
    trace = traces[name]
    assert len(trace.tasks) == tasks
    assert len(union(mapped(trace))) == file_pages
    assert sum(private_pages(trace).values()) == written


def test_gcc1(traces):
    trace = traces["gcc1"]
    ops = Counter(map(Op, trace.op))
    assert (ops[Op.fork], ops[Op.exec]) == (2, 2)  # and the first task's own exec: 3
    assert len(union(pages_used(trace, TOUCHES + CALLS, "file"))) == 4212
    per_task = {}
    for op, task, _, target, page, count in located(trace):
        if op in TOUCHES and trace.objects[target].kind == "file":
            per_task.setdefault(task, set()).update((target, p) for p in range(page, page + count))
    written = private_pages(trace)
    found = {t.name: (len(per_task[i]), written[i]) for i, t in enumerate(trace.tasks)}
    assert found == {"gcc-12.1": (309, 40), "cc1.2": (3515, 4771), "as.3": (572, 450)}


def test_gcc2_who_shares_what(traces):
    trace = traces["gcc2"]
    assert [c.name for c in trace.containers] == ["root", "A", "B"]
    maps, reads = mapped(trace), pages_used(trace, [Op.read], "file")
    a, b = (maps[c] | reads[c] for c in (1, 2))
    assert (len(a), len(b), len(a & b), len(a - b), len(b - a)) == (4205, 4207, 4159, 46, 48)
    home = {task: container for _, task, container, *_ in located(trace)}
    written = Counter()
    for task, pages in private_pages(trace).items():
        written[home[task]] += pages
    assert (written[1], written[2]) == (5163, 5261)


def test_gcc2_one_container_touched_nearly_all_shared_pages_first(traces):
    trace = traces["gcc2"]
    maps = mapped(trace)
    shared = maps[1] & maps[2]
    assert len(shared) == 3987
    between_the_two, among_all = first_touches(trace, containers=(1, 2)), first_touches(trace)
    assert Counter(between_the_two[page] for page in shared) == {1: 3966, 2: 21}
    assert Counter(among_all[page] for page in shared) == {0: 142, 1: 3829, 2: 16}  # 0: the shell


def test_make(traces):
    trace = traces["make"]
    loads = sum(
        count
        for op, _, _, target, _, count in located(trace)
        if op == Op.touch_read and trace.objects[target].kind == "file"
    )
    assert loads == 38615


@pytest.mark.parametrize("name", NAMES)
def test_every_touch_is_mapped_and_no_page_is_mapped_twice(traces, name):
    trace = traces[name]
    mm = {task: {} for task in trace.initial_tasks()}
    for op, task, _, target, page, count in located(trace):
        pages = set(range(page, page + count))
        if op == Op.fork:
            mm[target] = {obj: set(old) for obj, old in mm[task].items()}
        elif op == Op.thread:
            mm[target] = mm[task]
        elif op == Op.exec:
            mm[task] = {}
        elif op == Op.map:
            assert not pages & mm[task].setdefault(target, set())
            mm[task][target] |= pages
        elif op == Op.unmap:
            assert pages <= mm[task][target]
            mm[task][target] -= pages
        elif op in (*TOUCHES, Op.discard):
            assert pages <= mm[task].get(target, set())


@pytest.mark.parametrize("name", NAMES)
def test_every_task_ends_and_open_files_are_named(traces, name):
    trace = traces[name]
    ops = Counter(map(Op, trace.op))
    assert ops[Op.exit] == ops[Op.reap] == len(trace.tasks)
    held = Counter()
    for op, task, _, target, *_ in located(trace):
        if op == Op.open:
            held[task, target] += 1
        elif op == Op.close:
            held[task, target] -= 1
            assert held[task, target] >= 0


@pytest.mark.parametrize("name", NAMES)
def test_headers_and_paths_tell_where_it_came_from_but_not_whose(traces, name):
    trace = traces[name]
    provenance = trace.header["provenance"]
    assert provenance["kernel"] == "6.18"
    assert provenance["fault_around"] == "off"
    assert provenance["lost_events"] == (1 if name == "gcc2" else 0)
    neutral = ("/usr/", "/etc/", "/tmp/cc", "src/")
    assert [o.path for o in trace.objects if o.path and not o.path.startswith(neutral)] == []


@pytest.mark.parametrize("name", NAMES)
def test_saving_again_gives_the_same_tables(traces, name, tmp_path):
    traces[name].save(tmp_path / "again.zip")
    assert Trace.load(tmp_path / "again.zip") == traces[name]


def test_the_folder_is_small():
    assert sum(file.stat().st_size for file in FOLDER.iterdir()) < 1_500_000
