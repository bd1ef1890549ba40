"""The add-on +PC (part `cache`): cached pages that nobody maps are charged, too (debate.md S16)."""

import pytest
from strategies import PROFILES, random_case
from test_twin import case_fails, report

from workbench import TraceBuilder, replay, schemes
from workbench.kernel import OUTCOMES, Knobs, Machine, check, simulate, stepped
from workbench.schemes import PROMISES, contract

RULES = ("first_touch", "hand_over", "every_container", "fraction", "beancounter", "every_mapping",
         "next_toucher", "dual_count", "february_2007")


def run(b: TraceBuilder, scheme: str, frames: int = 4096, **knobs):
    k = simulate(b.build(), schemes.get(scheme), Machine(frames=frames),
                 Knobs(**{"quirks": "repaired", "cluster": 4} | knobs), engine="interpreted")
    check(k)
    return k


def one(limit: int | None, file: int = 0, anon: int = 0) -> TraceBuilder:
    """Container A with a task a; container B with b; a file f and private memory m."""
    b = TraceBuilder()
    b.container("A", limit), b.container("B")
    b.task("a", "A"), b.task("b", "B")
    if file:
        b.file("f", file)
    if anon:
        b.anon("m", anon)
    return b


def pages_of(k, c: int) -> float:
    return k.usage[c] / k.unit


# ---- who pays ------------------------------------------------------------------------------------


@pytest.mark.parametrize("rule", RULES)
def test_reader_then_mapper_then_last_unmapper(rule):
    b = one(None, file=3)
    b.read("a", "f"), b.mark("read")
    b.map("b", "f"), b.touch_read("b", "f"), b.mark("mapped")
    b.unmap("b", "f", range(2)), b.mark("unmapped")
    b.drop_caches()
    seen = []
    trace, scheme = b.build(), schemes.get(f"{rule}:cache=joint")
    for i, k in enumerate(stepped(trace, scheme, Machine(), Knobs(), engine="interpreted")):
        check(k)
        if trace.values[trace.value[i]] in ("read", "mapped", "unmapped") or i + 1 == len(trace):
            seen.append(tuple(pages_of(k, c) for c in (1, 2)))
    assert seen == [(3, 0), (0, 3), (0, 3), (0, 1)]


def test_a_cache_of_its_own_leaves_usage_alone():
    b = one(None, file=3)
    b.read("a", "f"), b.write("b", "f", range(1))
    k = run(b, "first_touch:cache=separate")
    assert list(k.usage) == [0, 0, 0] and list(k.cached) == [0, 3, 0]
    assert run(b, "first_touch").cached[1] == 0


def test_a_removed_container_leaves_its_cached_pages_to_the_root():
    b = one(None, file=3)
    b.read("a", "f"), b.exit("a"), b.reap("a"), b.rmdir("A")
    k = run(b, "first_touch:cache=joint")
    assert [pages_of(k, c) for c in range(3)] == [3, 0, 0] and not k.alive[1]


# ---- the limits ----------------------------------------------------------------------------------


def test_own_cached_pages_go_first_the_oldest_first():
    b = one(10, file=10, anon=6)
    b.map("a", "m"), b.touch_write("a", "m"), b.read("a", "f")
    k = run(b, "first_touch:cache=joint", cluster=1)
    assert k.mapped[1] == 6 and k.usage[1] == 10 and k.cached[1] == 4
    assert [bool(k.cache_owner[k.containers + p]) for p in range(10)] == [False] * 6 + [True] * 4


def test_a_neighbours_cached_pages_are_left_alone():
    b = one(4, file=20)
    b.file("g", 20), b.read("b", "g"), b.read("a", "f")
    k = run(b, "first_touch:cache=joint")
    assert (k.cached[1], k.cached[2]) == (4, 20)


@pytest.mark.parametrize("swap_write", ["sync", "async"])
def test_dirty_pages_are_written_first(swap_write):
    b = one(8, file=40)
    b.write("a", "f")
    k = run(b, "first_touch:cache=joint", swap_write=swap_write)
    assert k.usage[1] <= 8 and k.kills == 0 and k.task_state[0] == k.task_state[1]


def test_the_separate_limit_binds_alone():
    """C135: page cache set apart from RSS."""
    b = one(100, file=40, anon=50)
    b.set_limit("A", "pgcache_limit=8"), b.map("a", "m"), b.touch_write("a", "m")
    b.read("a", "f")
    k = run(b, "first_touch:cache=separate")
    assert (k.usage[1], k.cached[1], k.failcnt[1]) == (50, 8, 0)
    assert k.cached_failcnt[1] > 0 and k.kills == 0


def test_what_cannot_go_is_somebodys_death():
    """X24: ramfs has no backing store, so a limit on the cache can only kill."""
    for label in ("first_touch:cache=joint", "first_touch:cache=separate"):
        b = one(8)
        b.object("r", "ramfs", 20), b.set_limit("A", "pgcache_limit=8"), b.write("a", "r")
        k = run(b, label)
        assert k.cached[1] == 8 and k.kills == 1, label


def test_the_file_pgcache_limit():
    b = one(None, file=2)
    b.set_limit("A", "pgcache_limit=7"), b.set_limit("A", "pgcache_limit=7\\n")
    for label, expected in (
        ("first_touch:cache=separate", ["ok", "refused"]),
        ("first_touch:cache=joint", ["refused"] * 2), ("first_touch", ["refused"] * 2),
        ("cgroup_v1", ["refused"] * 2),
    ):
        k = run(b, label)
        assert [OUTCOMES[n] for n in k.ev_outcome] == expected, label


@pytest.mark.parametrize(("label", "why"), [
    ("cgroup_v2:cache=joint", "coverage=resident does already"),
    ("zone:cache=joint", "one of frames, as with zones"),
    ("none:cache=separate", "record=none has no such count"),
    ("virtual_swap:cache=joint", "leaves frames to the host"),
    ("first_touch:hierarchy=tree:cache=separate", "which hierarchy=tree does not pass on"),
])
def test_refused_where_it_makes_no_sense(label, why):
    with pytest.raises(ValueError, match=why):
        schemes.get(label)


# ---- what the thread expected --------------------------------------------------------------------


def frames_held(k) -> int:
    return int(sum(k.zone_anon) + sum(k.zone_file))


@pytest.mark.parametrize("rule", ["first_touch", "every_container"])
def test_x18_escape_through_swap_cache(rule):
    """Balbir Singh, 28 Mar 2007: L = 64, footprint 1024 on 4096 frames."""
    b = one(64, anon=1024)
    b.map("a", "m")
    for i in range(1024):
        b.touch_write("a", "m", range(i, i + 1))
    most = {}
    for label in (rule, f"{rule}:cache=joint"):
        steps = stepped(b.build(), schemes.get(label), Machine(frames=4096),
                        Knobs(cluster=4, swap_write="sync", quirks="repaired", references="own"),
                        engine="interpreted")
        most[label] = max(frames_held(k) for k in steps)
        assert k_mapped(b, label) <= 64
    assert most[f"{rule}:cache=joint"] <= 64
    assert most[rule] == (1024 if rule == "every_container" else 64)


def k_mapped(b: TraceBuilder, label: str) -> int:
    return int(run(b, label, swap_write="sync").mapped[1])


@pytest.mark.parametrize("n", [10, 1000])
def test_x20_pages_read_or_mapped(n):
    """Dave Hansen, 16 Mar 2007: n pages used over and over are the same burden, either way."""
    for label, same in (("first_touch:cache=joint", True), ("first_touch", False)):
        charged = []
        for how in ("read", "map"):
            b = one(None, file=n)
            b.map("a", "f")
            for _ in range(2):
                (b.read if how == "read" else b.touch_read)("a", "f")
            charged.append(int(run(b, label).usage[1]))
        assert (charged[0] == charged[1] == n) == same, label


def test_x21_read_or_mmap_under_a_limit():
    """Hansen 20, Singh 28 Mar 2007: 400 pages, L = 200. Disk reads in three passes: equal under
    +PC; without it, reading is free of the limit and mapping thrashes."""
    reads = {}
    for label in ("first_touch", "first_touch:cache=joint"):
        for how in ("read", "map"):
            b = one(200, file=400)
            b.map("a", "f")
            for _ in range(3):
                (b.read if how == "read" else b.touch_read)("a", "f"), b.age()
            k = run(b, label)
            reads[label, how] = int(k.stat[9])
            assert label == "first_touch" or frames_held(k) <= 200
    assert reads["first_touch", "read"] == 400 < reads["first_touch", "map"]
    assert reads["first_touch:cache=joint", "read"] == reads["first_touch:cache=joint", "map"]


# ---- contract and twin ---------------------------------------------------------------------------


@pytest.mark.parametrize("label", ["first_touch:cache=joint", "fraction:cache=joint",
                                   "every_container:cache=separate", "hand_over:cache=separate"])
def test_contract(label):
    """Joint: usage is about more than what is mapped, so most are off. Separate: as ever."""
    verdicts = {v.promise: v for v in contract.check(label)}
    for promise in PROMISES:
        assert not verdicts[promise].surprising, f"{label}: {verdicts[promise]}"
    made = schemes.get(label).promises
    usual = schemes.get(label.split(":")[0]).promises
    if "joint" in label:
        assert [p for p in made if made[p]] == ["shares_frames"]
        assert verdicts["sum_is_mapped"].complaint and verdicts["empty_owes_nothing"].complaint
    else:
        assert made == usual


@pytest.mark.parametrize("profile", PROFILES)
@pytest.mark.parametrize("rule", ["first_touch", "beancounter"])
def test_twin_agrees_about_the_separate_limit(rule, profile):
    """Every second write to rss_limit goes to pgcache_limit instead."""
    for seed in range(3):
        case = random_case(seed, profile)
        for i, text in enumerate(case.trace.values):
            if i % 2 and text.startswith("rss_limit="):
                case.trace.values[i] = text.replace("rss_limit", "pgcache_limit")
        message = case_fails(case, f"{rule}:cache=separate", "interpreted", True)
        assert not message, report(case, f"{rule}:cache=separate", "interpreted", message)


# ---- in the tables -------------------------------------------------------------------------------


@pytest.mark.parametrize("label, told", [
    ("first_touch", {}), ("first_touch:cache=joint", {"cached": [0, 3, 3, 1]}),
    ("first_touch:cache=separate", {"cached": [0, 1, 1, 1], "cached_failcnt": [0, 1, 1, 1]}),
])
def test_tables_tell_what_is_cached(label, told):
    """A reads three pages, B maps two of them; two pages are A's separate limit."""
    b = one(None, file=3)
    b.set_limit("A", "pgcache_limit=2")
    b.read("a", "f"), b.map("b", "f"), b.touch_read("b", "f", range(2))
    done = replay(b.build(), label, engine="interpreted", samples=4)
    table, summary = done.table(), done.summary().set_index("container")
    assert list(summary.columns)[11:] == list(told)
    found = {}
    for row in table[table.container == "A"].itertuples():
        if row.metric.startswith("cached"):
            found.setdefault(row.metric, []).append(row.value)
    assert found == told and all(summary[name]["A"] == told[name][-1] for name in told)
