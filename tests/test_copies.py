"""copy_on_reclaim (Mel Gorman, 14 Mar 2007; debate.md S05): who copies, when, and what goes."""

import importlib
import random
from dataclasses import dataclass

import pytest
from test_twin import case_fails, report

from workbench import replay, schemes
from workbench.kernel import Knobs, Machine, check, faults, reclaim, simulate
from workbench.kernel.names import LOCKED, N_COPIES, N_READS
from workbench.trace import Trace, TraceBuilder

USERS = ("A", "B", "C")
LABELS = ("copy_on_reclaim", "copy_on_reclaim:lists=lru", "copy_on_reclaim:kernel_memory=charged")


@dataclass
class Case:
    trace: Trace
    machine: dict
    knobs: dict
    seed: int = 0
    profile: str = "unfair"


def unfair_case(seed: int) -> Case:
    """A random trace of few pages: who has mapped a file first leaves it and needs room."""
    rng = random.Random(f"unfair {seed}")
    b = TraceBuilder()
    for c in USERS:
        b.container(c, rng.choice((6, 8, 12, 16)))
    files = {"F": 8, "G": 4}
    for name, pages in files.items():
        b.object(name, "file", pages)
    tasks = [f"{c}{n}" for c in USERS for n in range(2)]
    for task in tasks:
        b.object(f"own {task}", "anon", 10)
        b.task(task, task[0])
    for _ in range(100):
        task = rng.choice(tasks)
        f = rng.choice("FFFG")
        page = rng.randrange(files[f])
        span = range(page, rng.randint(page + 1, files[f]))
        what = rng.choices(("read", "own", "unmap", "cow", "shared", "read()", "write()", "move",
                            "age", "drop", "lock", "free", "fail", "migrate", "leave"),
                           (30, 14, 8, 2, 1, 1, 1, 2, 2, 1, 1, 5, 0.5, 1, 4))[0]
        if what == "read":
            b.touch_read(task, f, span)
        elif what == "own":
            first = rng.randrange(10)
            b.touch_write(task, f"own {task}", range(first, rng.randint(first + 1, 10)))
        elif what == "unmap" and f in b.mapped(task):
            b.unmap(task, f)
        elif what == "free" and b.mapped(task).get(f"own {task}"):
            b.discard(task, f"own {task}")
        elif what == "cow":
            b.touch_write(task, f, page)
        elif what == "shared":
            b.map(task, f, span, shared=True)
        elif what == "read()":
            b.read(task, f, span)
        elif what == "write()":
            b.write(task, f, page)
        elif what == "move":
            b.move(task, rng.choice(USERS))
        elif what == "age":
            b.age()
        elif what == "drop":
            b.drop_caches()
        elif what == "lock":
            b.touch_read(task, f, page)
            b.mlock(task, f, page)
        elif what == "fail":
            b.io_error(f, page)
        elif what == "migrate":
            b.migrate(task, rng.randrange(2))
        elif what == "leave":
            for other in tasks:
                if other[0] == task[0] and f in b.mapped(other):
                    b.unmap(other, f)
            b.touch_write(task, f"own {task}")
    knobs = {"cluster": 4, "swap_write": rng.choice(("sync", "async")), "task_frames": 0,
             "references": rng.choice(("all", "own"))}
    machine = {"nodes": 2, "frames": rng.choice((4096, 4096, 24)), "swap": rng.choice((4, 4096))}
    return Case(b.build(), machine, knobs, seed)


@pytest.mark.parametrize("label", LABELS)
def test_engine_agrees_with_twin(label, monkeypatch):
    """Event by event, every invariant looked at; and the traces do make copies."""
    made = []

    def counted(k, t, v, c, page, own_copy=faults.own_copy):
        copy = own_copy(k, t, v, c, page)
        made.extend([page < k.vpages] * (copy not in (page, -1)))
        return copy

    monkeypatch.setattr(faults, "own_copy", counted)
    for seed in range(15):
        case = unfair_case(seed)
        message = case_fails(case, label, "interpreted", True)
        if message:
            pytest.fail(report(case, label, "interpreted", message))
    assert made.count(True) >= 5 and made.count(False) >= 3, "of files' pages, of others' copies"


def test_compiled_engine_agrees_with_twin():
    for seed in range(15, 30):
        case = unfair_case(seed)
        message = case_fails(case, LABELS[0], "compiled", False)
        if message:
            pytest.fail(report(case, LABELS[0], "compiled", message))


def three_sharers() -> TraceBuilder:
    """A has mapped a library first and left it to B and C; then it needs room."""
    b = TraceBuilder()
    b.container("A", 4), b.container("B"), b.container("C")
    b.file("lib", 4), b.anon("a", 4)
    for c in "ABC":
        b.task(c.lower(), c)
        b.touch_read(c.lower(), "lib")
    b.unmap("a", "lib")
    b.touch_write("a", "a")
    return b


def after(b: TraceBuilder, scheme: str = "copy_on_reclaim"):
    knobs = Knobs(cluster=4, swap_write="sync", quirks="repaired")
    k = simulate(b.build(), schemes.get(scheme), Machine(frames=4096), knobs, engine="interpreted")
    check(k)
    return k, int(k.zone_file[0]), [int(k.usage[c]) for c in (1, 2, 3)]


def test_each_container_has_a_copy_and_no_more():
    """RAM grows to one copy a container (C030); next_toucher keeps one frame, and one payer."""
    b = three_sharers()
    assert after(b)[1:] == (4, [4, 0, 0])
    b.touch_read("b", "lib"), b.touch_read("c", "lib")
    assert after(b)[1:] == (8, [4, 4, 4])
    assert after(b, "next_toucher")[1:] == (4, [4, 4, 0])
    b.fork("b", "b2"), b.map("b2", "lib"), b.touch_read("b2", "lib")
    assert after(b)[1:] == (8, [4, 4, 4]), "a second task maps its container's"


def test_a_pages_life_tells_who_copied_it():
    b = three_sharers()
    b.touch_read("b", "lib"), b.touch_read("c", "lib")
    life = replay(b.build(), "copy_on_reclaim", engine="interpreted", cluster=4).life("lib", 2)
    copied = life[life.what == "copied"]
    assert list(copied.container) == ["B", "C"] and "freed" in set(life.what)


def test_copying_saves_the_disk():
    """Cheaper than reclaim: four reads from disk in all, where first touch reads again."""
    b = three_sharers()
    b.touch_read("b", "lib"), b.touch_read("c", "lib")
    assert after(b)[0].stat[N_READS] == 4
    assert after(b, "first_touch")[0].stat[N_READS] == 8


def test_copies_end_with_their_mappings():
    b = three_sharers()
    b.touch_read("b", "lib"), b.touch_read("c", "lib")
    b.unmap("b", "lib"), b.exit("c")
    _, frames, usage = after(b)
    assert (frames, usage) == (0, [4, 0, 0]), "and what was given up has gone with the first copy"
    b.touch_read("b", "lib"), b.touch_read("a", "lib", range(1))
    assert after(b)[1:] == (4, [4, 4, 0]), "from then on it is shared again"


@pytest.mark.parametrize("what", ["write", "map"])
def test_a_page_that_is_written_is_shared_again(what):
    """write(), and a shared mapping, find the page before anybody has copied it."""
    b = three_sharers()
    if what == "write":
        b.write("b", "lib")
    else:
        b.map("b", "lib", shared=True), b.touch_read("b", "lib")
    b.unmap("c", "lib"), b.map("c", "lib"), b.touch_read("c", "lib")
    k, frames, _ = after(b)
    assert frames == 4 and k.stat[N_COPIES] == 0


@pytest.mark.parametrize("label, why", [
    ("fraction:reclaim=copy", "record=page, not pair"), ("hand_over:reclaim=copy", "not counted"),
    ("copy_on_reclaim:cache=joint", "a copy .* is in none"),
    ("first_allocation:reclaim=copy", "leaves them where they are"),
])
def test_what_cannot_be_combined(label, why):
    with pytest.raises(ValueError, match=why):
        schemes.get(label)


@pytest.mark.parametrize("module, name", [
    ("reclaim", "to_be_copied"), ("faults", "own_copy"), ("faults", "nearest_copy"),
    ("reclaim", "may_give_up"),
])
def test_damaged_code_is_noticed(module, name, monkeypatch):
    home = importlib.import_module(f"workbench.kernel.{module}")
    alike = {"own_copy": lambda k, t, v, c, page: page, "nearest_copy": lambda k, v, c: v,
             "may_give_up": lambda k, page: not reclaim.resists(k, page, -1, LOCKED)}
    monkeypatch.setattr(home, name, alike.get(name, lambda *args: 0))
    assert any(case_fails(unfair_case(seed), LABELS[0], "interpreted", True) for seed in range(60))
