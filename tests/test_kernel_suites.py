"""The kernel's own test suites as scenarios: kselftest cgroup, LTP controllers, real-kernel tables.

Sizes and requirements as in the suites (kernel.md sections 5.1 to 5.3, recording.md 2.3, 2.4); the
suite's name is in the test's id. A page is 1 MiB in kselftest rows and 4 KiB elsewhere. Rows that
the suites allow a tolerance hold exactly here unless the test says otherwise.
"""

from types import SimpleNamespace

import pytest

from workbench import schemes
from workbench.kernel import OUTCOMES, Knobs, Machine, check, memory_stat, simulate, stepped
from workbench.trace import TraceBuilder

P = 65  # pages of LTP's tests since 6.1: the charge batch and one
EVENTS = ("low", "high", "max", "oom", "kill", "group", "swap")


class World(TraceBuilder):
    """A trace that is run under one scheme; `look` at the books where a `mark` stands."""

    def __init__(self, scheme: str, frames: int = 1 << 16, swap: int = 1 << 16, **knobs):
        super().__init__()
        self.scheme = scheme
        self.machine = Machine(frames=frames, swap=swap)
        self.knobs = Knobs(**{"cluster": 1, "page_tables": False, "task_frames": 0} | knobs)

    def write(self, container, *files):
        """`write("A", "memory.max=8k", ...)`: control files; else write(2)."""
        if files and isinstance(files[0], str) and "=" in files[0]:
            for file in files:
                self.set_limit(container, file)
        else:
            super().write(container, *files)

    def run(self) -> dict[str, SimpleNamespace]:
        trace = self.build()
        self.labels, events = {}, list(trace.events())
        steps = stepped(trace, schemes.get(self.scheme), self.machine, self.knobs,
                        engine="interpreted")
        for event, k in zip(events, steps, strict=True):
            if event.op.name == "mark":
                self.labels[event.value] = self.look(trace, k)
        check(k)
        self.outcomes = [OUTCOMES[o] for o in k.ev_outcome]
        self.victims = [trace.tasks[k.kill_victim[i]].name for i in range(k.kills)]
        self.labels["end"] = self.look(trace, k)
        return self.labels

    def look(self, trace, k):
        found = SimpleNamespace(alive=[t.name for i, t in enumerate(trace.tasks)
                                       if k.task_state[i] == 1])
        for c, box in enumerate(trace.containers):
            books = {name: int(getattr(k, f"{name}_events")[c]) for name in EVENTS}
            for name in ("usage", "peak", "failcnt", "swapped", "procs", "procs_failcnt",
                         "memsw_failcnt", "mapped", "alive", "stock"):
                books[name] = int(getattr(k, name)[c])
            setattr(found, box.name, SimpleNamespace(**books, stat=memory_stat(k, c)))
        found.dying = sum(
            1 for c in range(k.containers) if not k.alive[c] and (k.usage[c] or k.held[c])
        )
        return found

    def outcome(self, row: int) -> str:
        return self.outcomes[row]


# ---- kselftest test_memcontrol.c (read at 00c010e1) ----------------------------------------------


def v2(**knobs) -> World:
    w = World("cgroup_v2", **knobs)
    w.container("A")
    w.task("p", "A")
    return w


def test_kselftest_current_peak():
    w = v2()
    w.mark("empty")
    w.anon("a", 50), w.file("f", 50)
    w.touch_write("p", "a"), w.mark("anon")
    w.unmap("p", "a"), w.write("A", "memory.peak=reset"), w.mark("reset")
    w.read("p", "f"), w.mark("file")
    seen = w.run()
    assert (seen["empty"].A.usage, seen["empty"].A.peak) == (0, 0)
    assert seen["anon"].A.usage == seen["anon"].A.stat["anon"] == seen["anon"].A.peak == 50
    assert (seen["reset"].A.usage, seen["reset"].A.peak) == (0, 0), "< 30M"
    assert seen["file"].A.usage == seen["file"].A.stat["file"] == seen["file"].A.peak == 50


UNIT = 256  # pages to 1 MiB


def protected_tree(file: str) -> World:
    """A (max 200M) > B (50M) > C 75M, D 25M, E 0, F 500M; page cache 50/50/50/0; A > G is the
    sibling that wants anonymous memory. 1 MiB is 16 pages here."""
    w = World("cgroup_v2", swap=0, cluster=8)
    w.container("A"), w.container("B", parent="A")
    for name in "CDEF":
        w.container(name, parent="B")
    w.container("G", parent="A")
    mib = 16
    w.write("A", f"memory.max={200 * mib * 4}k")
    sizes = {"B": 50, "C": 75, "D": 25, "E": 0, "F": 500}
    for name, size in sizes.items():
        w.write(name, f"memory.{file}={size * mib * 4}k")
    for name in "CDE":
        w.task(name.lower(), name), w.file(f"file{name}", 50 * mib)
        w.read(name.lower(), f"file{name}")
    w.task("g", "G"), w.anon("big", 170 * mib)
    w.touch_write("g", "big", 0, 148 * mib), w.mark("148")
    w.touch_write("g", "big", 148 * mib), w.mark("170")
    return w


def close(a: float, b: float, percent: float) -> bool:
    """kselftest's values_close: |a - b| <= (a + b) * percent / 100."""
    return abs(a - b) <= (a + b) * percent / 100


@pytest.mark.parametrize("file", ["min", "low"])
def test_kselftest_memcg_protection(file):
    """Tolerances as in the suite: B 3 %, C 15 %, D 20 %. min ends in OOM, low lets go."""
    w = protected_tree(file)
    seen = w.run()
    now = {c: getattr(seen["148"], c).usage / 16 for c in "BCDEF"}
    assert close(now["B"], 50, 3) and close(now["C"], 29, 15) and close(now["D"], 21, 20), now
    assert close(now["E"], 0, 3) or now["E"] <= 2, now
    assert now["F"] == 0
    if file == "min":
        assert w.victims == ["g"]
        assert close(seen["end"].B.usage / 16, 50, 3)
    else:
        assert w.victims == [] and seen["end"].A.oom == 0
        assert close(seen["end"].B.usage / 16, 30, 3)
        assert seen["end"].C.low and seen["end"].D.low and not seen["end"].F.low


def test_kselftest_memcg_protection_fixed_point():
    """memcg_protection.m: E=50, n=[75 25 0 500], c=[50 50 50 0], alpha=0.1 ends at 29 / 21 / 0.

    The loop is the model's; what is protected is asked of the engine's own function.
    """
    from workbench.kernel.cgroup import effective

    cluster = 32
    k = SimpleNamespace(unit=1, containers=6, parent=[-1, -1, 1, 1, 1, 1])
    wish = [0, 0, *(n * UNIT for n in (75, 25, 0, 500))]
    k.usage = [0, 150 * UNIT, 50 * UNIT, 50 * UNIT, 50 * UNIT, 0]
    for _ in range(1000):
        safe = {c: effective(k, c, 1, wish, 50 * UNIT) for c in range(2, 6)}
        before = list(k.usage)
        for c in range(2, 6):
            usage = before[c]
            if usage > safe[c]:
                give = max((usage - safe[c]) // 10, min(cluster, usage - safe[c]))
                k.usage[c] -= give
        k.usage[1] = sum(k.usage[2:])
        if k.usage == before:
            break
    assert [round(n / UNIT) for n in k.usage[2:]] == [29, 21, 0, 0]
    assert k.usage[1] == 50 * UNIT, "exactly what the parent has protected"


def test_kselftest_high():
    w = v2(swap=0)
    w.write("A", "memory.high=120k")  # 30 pages
    w.anon("a", 31), w.file("f", 50)
    w.touch_write("p", "a", 0, 31), w.mark("anon")
    w.unmap("p", "a")
    w.read("p", "f"), w.mark("file")
    seen = w.run()
    assert w.victims == [] and seen["anon"].A.usage == 31
    assert close(seen["file"].A.usage, 30, 5)
    assert seen["end"].A.high > 0 and seen["end"].A.max == 0


def test_kselftest_high_sync():
    """high 30M, max 140M, 200M locked: high events come at once, the limit only at its own time."""
    w = v2(swap=0)
    w.write("A", "memory.high=120k", "memory.max=560k")
    w.anon("a", 200), w.map("p", "a")
    w.mlock("p", "a", 0, 100), w.mark("100")
    w.mlock("p", "a", 100)
    seen = w.run()
    assert seen["100"].A.high > 0 and seen["100"].A.max == 0
    assert w.victims == ["p"]


def test_kselftest_max():
    w = v2(swap=0)
    w.write("A", "memory.max=120k")
    w.task("q", "A")
    w.anon("a", 100), w.file("f", 50)
    w.touch_write("p", "a"), w.mark("anon")
    w.read("q", "f"), w.mark("file")
    seen = w.run()
    assert w.victims[:1] == ["p"] or "p" in w.victims
    assert 0 < seen["file"].A.usage <= 30 and close(seen["file"].A.usage, 30, 5)
    assert seen["end"].A.max > 0


@pytest.mark.parametrize("anon", [0, 50])
def test_kselftest_reclaim(anon):
    """50M of file, with swap 50M of anonymous memory: reclaim down to about 30M."""
    w = v2(swap=1000 if anon else 0)
    w.file("f", 50), w.read("p", "f")
    if anon:
        w.anon("a", anon), w.touch_write("p", "a")
    w.write("A", f"memory.reclaim={(50 + anon - 30) * 4}k"), w.mark("30")
    w.write("A", "memory.reclaim=4m")
    seen = w.run()
    assert close(seen["30"].A.usage, 30, 3)
    assert w.outcomes[-2:] == ["ok", "refused"], "EAGAIN when there is not so much"


def test_kselftest_oom_events():
    w = v2(swap=0)
    w.write("A", "memory.max=120k")
    w.anon("a", 100), w.touch_write("p", "a")
    seen = w.run()["end"]
    assert (seen.A.oom, seen.A.kill) == (1, 1) and seen.alive == [] and w.victims == ["p"]


def test_kselftest_swap_max_peak():
    """max 30M and swap 30M: 100M are killed, 50M leave 30 in memory and 20 in swap."""
    w = v2()
    w.write("A", "memory.max=120k", "memory.swap.max=120k")
    w.task("q", "A")
    w.anon("a", 100), w.anon("b", 50)
    w.touch_write("p", "a"), w.mark("killed")
    w.write("A", "memory.peak=reset")
    w.touch_write("q", "b"), w.mark("50")
    seen = w.run()
    assert w.victims == ["p"] and (seen["killed"].A.oom, seen["killed"].A.kill) == (1, 1)
    assert seen["killed"].A.peak == 30
    now = seen["50"].A
    assert (now.usage, now.usage + now.swapped, now.peak) == (30, 50, 30)


def group_world(leaf: bool):
    """parent > child: a task of 60M (10M) in the parent; three of 1M and a hog in the child."""
    w = World("cgroup_v2", swap=0)
    w.container("parent"), w.container("child", parent="parent")
    w.task("bystander", "parent"), w.anon("by", 60 if leaf else 10)
    w.touch_write("bystander", "by")
    for n in range(3):
        w.task(f"small{n}", "child"), w.anon(f"s{n}", 1), w.touch_write(f"small{n}", f"s{n}")
    w.task("hog", "child"), w.anon("h", 100)
    return w


def test_kselftest_oom_group_leaf():
    w = group_world(True)
    w.write("child", "memory.max=200k", "memory.oom.group=1")
    w.touch_write("hog", "h")
    seen = w.run()["end"]
    assert seen.alive == ["bystander"] and seen.child.kill == 4 and seen.child.group == 1
    assert seen.parent.usage == 60, "what is left is the parent's own"


def test_kselftest_oom_group_parent():
    w = group_world(False)
    w.write("parent", "memory.max=320k", "memory.oom.group=1")  # 80 pages
    w.touch_write("hog", "h")
    seen = w.run()["end"]
    assert seen.alive == [] and seen.parent.kill == 5 and seen.child.kill == 4


def test_kselftest_oom_group_score_events():
    """Three are killed and counted; the one with oom_score_adj -1000 survives."""
    w = World("cgroup_v2", swap=0)
    w.container("A"), w.write("A", "memory.max=200k", "memory.oom.group=1")
    w.task("safe", "A", oom_adj=-17), w.anon("s", 1), w.touch_write("safe", "s")
    for n in range(2):
        w.task(f"p{n}", "A"), w.anon(f"a{n}", 1), w.touch_write(f"p{n}", f"a{n}")
    w.task("hog", "A"), w.anon("h", 75), w.touch_write("hog", "h")
    seen = w.run()["end"]
    assert seen.alive == ["safe"] and seen.A.kill == 3


# ---- kselftest test_kmem.c, test_hugetlb_memcg.c, test_pids.c ------------------------------------


def many_groups(scheme, n):
    w = World(scheme, task_frames=2, page_tables=True)
    w.container("parent")
    for i in range(n):
        w.container(f"c{i}", parent="parent")
        w.task(f"t{i}", f"c{i}"), w.file(f"f{i}", 3), w.anon(f"a{i}", 2)
    for i in range(n):
        w.read(f"t{i}", f"f{i}"), w.touch_write(f"t{i}", f"a{i}")
    w.mark("full")
    for i in range(n):
        w.exit(f"t{i}"), w.reap(f"t{i}")
    w.mark("exited")
    for i in range(n):
        w.rmdir(f"c{i}")
    w.mark("removed")
    return w


@pytest.mark.parametrize("death", ["zombie", "reparent"])
def test_kselftest_memcg_deletion(death):
    """parent.current = anon + file + kernel, to the page (the suite allows 64 pages a CPU)."""
    w = many_groups(f"cgroup_v2:death={death}:kernel_memory=charged", 100)
    seen = w.run()
    for label in ("full", "exited", "removed"):
        books = seen[label].parent
        parts = books.stat
        assert books.usage == parts["anon"] + parts["file"] + parts["shmem"] + parts["kernel"]
    assert seen["exited"].parent.usage == seen["removed"].parent.usage == 300, "rmdir is invisible"


@pytest.mark.parametrize(("death", "dying"), [("zombie", 30), ("reparent", 0)])
def test_kselftest_memcg_dead_cgroups(death, dying):
    """nr_dying: 30 shadows while their cache is there; with reparenting none at once."""
    w = many_groups(f"cgroup_v2:death={death}", 30)
    w.drop_caches(), w.mark("dropped")
    seen = w.run()
    assert seen["removed"].dying == dying and seen["removed"].parent.usage == 90
    assert seen["dropped"].dying == 0 and seen["dropped"].parent.usage == 0


def test_kselftest_hugetlb_memcg():
    """A page is 2 MiB: mmap charges nothing, a touch one, all touched 8M, unmap gives back."""
    w = v2()
    w.anon("huge", 4), w.map("p", "huge"), w.mark("mapped")
    w.touch_write("p", "huge", 0, 1), w.mark("one")
    w.touch_write("p", "huge"), w.mark("all")
    w.unmap("p", "huge"), w.mark("none")
    seen = w.run()
    assert [seen[x].A.usage for x in ("mapped", "one", "all", "none")] == [0, 1, 4, 0]


def test_kselftest_pids_max():
    w = World("cgroup_v2")
    w.container("A"), w.write("A", "pids.max=2"), w.task("self", "A")
    w.fork("self", "one"), w.fork("self", "two")
    seen = w.run()["end"]
    assert w.outcomes[-2:] == ["ok", "refused"] and seen.A.procs == 2


def test_kselftest_pids_events():
    """The event is counted where the limit is: at the parent 1, at the child 0."""
    w = World("cgroup_v2")
    w.container("parent"), w.container("child", parent="parent")
    w.write("parent", "pids.max=2"), w.task("self", "child")
    w.fork("self", "one"), w.fork("self", "two")
    seen = w.run()["end"]
    assert (seen.parent.procs_failcnt, seen.child.procs_failcnt) == (1, 0)


# ---- LTP memcg, functional -----------------------------------------------------------------------

KINDS = {  # LTP's option -> what is used
    "mmap-anon": "anon", "mmap-file": "nameless", "shm": "named", "mmap-lock1": "locked",
    "mmap-lock2": "locked",
}


def v1(limit=None, **knobs) -> World:
    w = World("cgroup_v1", **{"cluster": 32} | knobs)
    w.container("A", limit)
    w.task("p", "A")
    return w


def use(w: World, kind: str, pages: int, name: str = "m", task: str = "p") -> None:
    """Allocate as memcg_process does with --mmap-anon, --mmap-file (which is /dev/zero, shared:
    shmem), --shm, --mmap-lock1 or 2."""
    what = KINDS[kind]
    if what in ("anon", "locked"):
        w.anon(name, pages)
    else:
        w.object(name, "shm", pages, "/dev/shm/x" if what == "named" else "")
    w.map(task, name)
    if what == "locked":
        w.mlock(task, name)
    else:
        w.touch_write(task, name)


@pytest.mark.parametrize("kind", ["mmap-anon", "mmap-file", "shm"])
def test_ltp_memcg_failcnt(kind):
    w = v1(swap=0)
    w.write("A", "memory.limit_in_bytes=4096")
    use(w, kind, 2)
    assert w.run()["end"].A.failcnt > 0


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize(("limit", "pages"), [(1, 2), (0, 1)])
@pytest.mark.parametrize("file", ["limit_in_bytes", "memsw.limit_in_bytes"])
def test_ltp_memcg_limit_in_bytes_is_killed(kind, limit, pages, file):
    """limit_in_bytes and memsw_limit_in_bytes: 1 page and 2 used, 0 and 1 used."""
    w = v1(swap=0 if file == "limit_in_bytes" else 1000)
    w.write("A", f"memory.limit_in_bytes={limit * 4096}")
    if file != "limit_in_bytes":
        w.write("A", f"memory.memsw.limit_in_bytes={limit * 4096}")
    use(w, kind, pages)
    w.run()
    assert w.victims == ["p"]


@pytest.mark.parametrize(
    ("written", "result"),
    [(f"{P * 4096 + 1}", P), (f"{P * 4096 - 1}", P - 1), ("-1", None), ("1.0", EOFError),
     ("1xx", EOFError), ("xx", EOFError)],
)
def test_ltp_memcg_limit_in_bytes_rounds(written, result):
    """Since 3.19 down to whole pages; -1 is no limit; what is no number is refused."""
    w = v1(50)
    w.write("A", f"memory.limit_in_bytes={written}")
    w.mark("x")
    use(w, "mmap-anon", 80)
    trace_limit = w.run()["end"].A.peak
    refused = w.outcomes[0] == "refused"
    assert refused == (result is EOFError)
    expected = {None: 80, EOFError: 50}.get(result, result)
    assert trace_limit == expected, "as far as it got (swap makes room)"


@pytest.mark.parametrize("batch", ["refused", "linux-batch"])
@pytest.mark.parametrize("memsw", [False, True])
@pytest.mark.parametrize("reset", [False, True])
def test_ltp_memcg_max_usage_in_bytes(batch, memsw, reset):
    """1024 pages used and freed: max in [1024, 1024+P], after a reset 0..P; no slack without."""
    w = v1(failcnt=batch)
    if memsw:
        w.write("A", "memory.limit_in_bytes=8m", "memory.memsw.limit_in_bytes=8m")
    use(w, "mmap-anon", 1024), w.unmap("p", "m")
    if reset:
        w.write("A", "memory.max_usage_in_bytes=0")
    peak = w.run()["end"].A.peak
    slack = 0 if batch == "refused" else P
    assert (0 if reset else 1024) <= peak <= (0 if reset else 1024) + slack


@pytest.mark.parametrize("batch", ["refused", "linux-batch"])
@pytest.mark.parametrize("memsw", [False, True])
def test_ltp_memcg_usage_in_bytes(batch, memsw):
    w = v1(failcnt=batch)
    if memsw:
        w.write("A", "memory.limit_in_bytes=8m", "memory.memsw.limit_in_bytes=8m")
    use(w, "mmap-anon", 1024)
    usage = w.run()["end"].A.usage
    assert 1024 <= usage <= 1024 + (0 if batch == "refused" else P)


@pytest.mark.parametrize(
    ("kinds", "rss"),
    [(["mmap-anon"], P), (["mmap-file"], 0), (["shm"], 0), (["mmap-anon", "mmap-file", "shm"], P),
     (["mmap-lock1"], P), (["mmap-lock2"], P)],
)
def test_ltp_memcg_stat_rss(kinds, rss):
    w = v1()
    for n, kind in enumerate(kinds):
        use(w, kind, P, f"m{n}")
    w.mark("used")
    for n, _ in enumerate(kinds):
        w.unmap("p", f"m{n}")
    seen = w.run()
    assert seen["used"].A.stat["anon"] == rss and seen["end"].A.stat["anon"] == 0


@pytest.mark.parametrize(
    ("kind", "field", "pages"),
    [("shm", "cache", P), ("mmap-file", "mapped_file", P), ("mmap-lock1", "unevictable", P),
     ("mmap-lock2", "unevictable", P)],
)
def test_ltp_memcg_stat(kind, field, pages):
    w = v1()
    use(w, kind, pages)
    stat = w.run()["end"].A.stat
    stat["cache"] = stat["file"] + stat["shmem"]
    assert stat[field] == pages


@pytest.mark.parametrize(("hierarchy", "limit"), [(1, P), (0, 2 * P)])
def test_ltp_memcg_stat_hierarchical_limit(hierarchy, limit):
    """What binds a child: the least limit above it; its own where hierarchy is off."""
    w = World("cgroup_v1", swap=0)
    w.container("A"), w.container("C", parent="A")
    w.write("A", f"memory.use_hierarchy={hierarchy}", f"memory.limit_in_bytes={P * 4}k")
    w.mkdir("C"), w.write("C", f"memory.limit_in_bytes={2 * P * 4}k")
    w.task("p", "root"), w.move("p", "C")
    use(w, "mmap-anon", 3 * P)
    seen = w.run()["end"]
    assert w.victims == ["p"] and seen.C.peak == limit


@pytest.mark.parametrize("limit", [2, 1, 0])
def test_ltp_memcg_subgroup_charge(limit):
    """130 pages in the parent, the task goes to a child of any limit: nothing is charged there."""
    w = World("cgroup_v1")
    w.container("A", 260), w.container("C", limit * 130, parent="A")
    w.task("p", "A")
    use(w, "mmap-anon", 130)
    w.move("p", "C")
    seen = w.run()["end"]
    assert w.outcomes[-1] == "ok" and seen.C.stat["anon"] == 0 and seen.A.usage == 130


@pytest.mark.parametrize(
    ("mask", "there", "left"),
    [(0, (0, 0), (P, 2 * P)), (1, (P, 0), (0, 2 * P)), (2, (0, 2 * P), (P, 0)),
     (3, (P, 2 * P), (0, 0))],
)
def test_ltp_memcg_move_charge(mask, there, left):
    """anon + shm + mmap-file, (rss, cache) in B and A. For mask 0 kernel.md gives A's rss only, and
    for mask 3 one kind of cache (B P/P): here there are two, as in the other rows."""
    w = World("cgroup_v1")
    w.container("A"), w.container("B")
    w.write("B", f"memory.move_charge_at_immigrate={mask}")
    w.task("p", "A")
    for n, kind in enumerate(("mmap-anon", "shm", "mmap-file")):
        use(w, kind, P, f"m{n}")
    w.move("p", "B")
    seen = w.run()["end"]
    for box, expected in ((seen.B, there), (seen.A, left)):
        assert (box.stat["anon"], box.stat["file"] + box.stat["shmem"]) == expected
        assert box.usage == sum(expected)


def test_move_charge_that_does_not_fit_is_refused():
    w = World("cgroup_v1", swap=0)
    w.container("A"), w.container("B", P - 1)
    w.write("B", "memory.move_charge_at_immigrate=1")
    w.task("p", "A"), use(w, "mmap-anon", P)
    w.move("p", "B")
    seen = w.run()["end"]
    assert w.outcomes[-1] == "refused" and (seen.A.usage, seen.B.usage) == (P, 0)
    assert seen.A.procs == 1


@pytest.mark.parametrize("written", ["0", "1", "1.0", "1xx", "xx", ""])
def test_ltp_memcg_force_empty(written):
    """After the task has left, whatever is written; refused at the root."""
    w = v1()
    use(w, "mmap-file", P), w.file("f", 9), w.read("p", "f")
    w.move("p", "root")
    w.write("A", f"memory.force_empty={written}")
    w.write("root", f"memory.force_empty={written}")
    seen = w.run()["end"]
    assert w.outcomes[-2:] == ["ok", "refused"] and seen.A.usage == 0


@pytest.mark.parametrize("depth", [1, 2, 3])
def test_ltp_memcg_use_hierarchy(depth):
    """An ancestor's limit kills a descendant's allocator."""
    w = World("cgroup_v1", swap=0)
    names = [f"g{n}" for n in range(depth + 1)]
    for parent, name in zip(["", *names], names, strict=False):
        w.container(name, parent=parent)
    w.write("g0", f"memory.limit_in_bytes={P * 4}k")
    w.task("p", names[-1]), use(w, "mmap-anon", P + 1)
    seen = w.run()["end"]
    assert w.victims == ["p"] and seen.g0.failcnt > 0 and getattr(seen, names[-1]).failcnt == 0


def test_ltp_memcg_use_hierarchy_is_fixed_by_children():
    w = World("cgroup_v1")
    w.container("A"), w.container("B", parent="A")
    w.write("A", "memory.use_hierarchy=0")  # while it is empty
    w.mkdir("B")
    w.write("A", "memory.use_hierarchy=1")
    w.write("B", "memory.use_hierarchy=1")
    w.run()
    assert w.outcomes == ["ok", "ok", "refused", "ok"]


def test_ltp_memcg_control():
    w = v1(1, swap=0)
    use(w, "mmap-file", 2)
    w.run()
    assert w.victims == ["p"]


def test_ltp_memcg_regression_2():
    """Shrinking the limit below two locked pages: an error, no hang, and the old limit stays."""
    w = v1()
    use(w, "mmap-lock1", 2)
    w.write("A", "memory.limit_in_bytes=4096")
    use(w, "mmap-anon", 10, "more")
    seen = w.run()["end"]
    assert w.outcomes[2] == "refused" and seen.A.usage == 12 and w.victims == []
    assert seen.A.failcnt == 0


def test_ltp_memctl():
    """Ten tasks of 6 MB go from group_1 (100M) to group_2 (132M): only new memory counts there."""
    w = World("cgroup_v1", cluster=32)
    w.container("group_1", 25_600), w.container("group_2", 33_792)
    for n in range(10):
        w.task(f"t{n}", "group_1"), w.anon(f"m{n}", 1536), w.touch_write(f"t{n}", f"m{n}")
    for n in range(10):
        w.move(f"t{n}", "group_2")
    w.mark("moved")
    for n in range(10):
        w.unmap(f"t{n}", f"m{n}"), w.touch_write(f"t{n}", f"m{n}")
    w.mark("again")
    seen = w.run()
    assert (seen["moved"].group_1.usage, seen["moved"].group_2.usage) == (15_360, 0)
    assert (seen["again"].group_1.usage, seen["again"].group_2.usage) == (0, 15_360)


def test_memcg_test_rst_9_swap():
    """malloc 100M under 40M: 60M are in swap (a page is 1 MiB)."""
    w = v1(40, cluster=1)
    use(w, "mmap-anon", 100)
    seen = w.run()["end"]
    assert (seen.A.usage, seen.A.swapped) == (40, 60)


def test_memcg_test_rst_9_oom():
    """51M under 50M without swap: killed."""
    w = v1(50, swap=0)
    use(w, "mmap-anon", 51)
    w.run()
    assert w.victims == ["p"]


# ---- LTP pids ------------------------------------------------------------------------------------

PIDS = ("cgroup_v1", "cgroup_v2")


def pids(scheme, **limits):
    w = World(scheme)
    for name, limit in limits.items():
        w.container(name)
        w.write(name, f"pids.max={limit}")
    w.task("shell")
    return w


def forks(w: World, parent: str, n: int, tag: str) -> None:
    for i in range(n):
        w.fork(parent, f"{tag}{i}")


@pytest.mark.parametrize("scheme", PIDS)
@pytest.mark.parametrize(("limit", "succeed"), [("max", 9), ("10", 9), ("5", 4)])
def test_ltp_pids_1_to_3(scheme, limit, succeed):
    """Tasks are counted; at the limit a fork is refused and nothing else happens."""
    w = pids(scheme, A=limit)
    w.move("shell", "A"), forks(w, "shell", 9, "k")
    seen = w.run()["end"]
    assert seen.A.procs == succeed + 1 and w.outcomes.count("refused") == 9 - succeed
    assert seen.root.procs == 0


@pytest.mark.parametrize("scheme", PIDS)
def test_ltp_pids_4_attach_is_never_refused(scheme):
    w = pids(scheme, A="0")
    w.move("shell", "A"), w.fork("shell", "k")
    seen = w.run()["end"]
    assert seen.A.procs == 1 and w.outcomes[-2:] == ["ok", "refused"]


@pytest.mark.parametrize("scheme", PIDS)
def test_ltp_pids_6_lowered_below_current(scheme):
    w = pids(scheme, A="10")
    w.move("shell", "A"), forks(w, "shell", 4, "k")
    w.write("A", "pids.max=2"), w.fork("shell", "more")
    seen = w.run()["end"]
    assert w.outcomes[-2:] == ["ok", "refused"] and seen.A.procs == 5 and len(seen.alive) == 5


@pytest.mark.parametrize("scheme", PIDS)
@pytest.mark.parametrize(("parent", "child", "at"), [("4", "max", "P"), ("max", "4", "C")])
def test_ltp_pids_7_8_who_binds(scheme, parent, child, at):
    """7: the parent's sum; 8: the stricter child."""
    w = World(scheme)
    w.container("P"), w.container("C", parent="P"), w.container("D", parent="P")
    w.write("P", f"pids.max={parent}"), w.write("C", f"pids.max={child}")
    w.task("shell"), w.task("other")
    w.move("other", "D"), w.move("shell", "C"), forks(w, "shell", 4, "k")
    seen = w.run()["end"]
    assert getattr(seen, at).procs == 4 and getattr(seen, at).procs_failcnt > 0
    assert seen.P.procs == seen.C.procs + 1


@pytest.mark.parametrize("scheme", [*PIDS, "first_touch"])
def test_ltp_pids_9_the_count_migrates(scheme):
    """Two children of limit 4 holding 3 each, one task goes over: 2 and 4; then a fork works in the
    first and fails in the second. With 2007's numproc no count moves: 3 and 3, both forks work."""
    w = World(scheme)
    files = "pids.max=4" if scheme in PIDS else "numproc_limit=4"
    for name in "CD":
        w.container(name), w.write(name, files)
    for name in "CD":
        w.task(f"lead{name}", name), forks(w, f"lead{name}", 2, name)
    w.move("C1", "D"), w.mark("moved")
    w.fork("leadC", "c"), w.fork("leadD", "d")
    seen = w.run()
    today = scheme in PIDS
    assert (seen["moved"].C.procs, seen["moved"].D.procs) == ((2, 4) if today else (3, 3))
    assert w.outcomes[-2:] == ["ok", "refused" if today else "ok"]


# ---- recording.md 2.3: a real kernel, to the page ------------------------------------------------

BOTH = pytest.mark.parametrize("scheme", ["cgroup_v1", "cgroup_v2"])


def two(scheme, kind="file", pages=15, **knobs):
    w = World(scheme, **knobs)
    w.container("parent"), w.container("A", parent="parent"), w.container("B", parent="parent")
    w.task("a", "A"), w.task("b", "B")
    w.object("f", kind, pages, "/x")
    return w


@BOTH
@pytest.mark.parametrize(("kind", "how"), [("file", "touch_read"), ("file", "read"),
                                           ("shm", "touch_write"), ("shm", "write")])
def test_kernel_first_toucher_pays(scheme, kind, how):
    """A uses 0-9, B 5-14: A 10, B 5 exactly, mapping, read(), tmpfs alike."""
    w = two(scheme, kind)
    call = TraceBuilder.write if how == "write" else getattr(World, how)
    call(w, "a", "f", range(10)), call(w, "b", "f", range(5, 15))
    seen = w.run()["end"]
    assert (seen.A.usage, seen.B.usage, seen.parent.usage) == (10, 5, 15)


@BOTH
def test_kernel_unmap_and_exit_leave_the_charge(scheme):
    w = two(scheme)
    w.touch_read("a", "f", range(10)), w.unmap("a", "f", range(10)), w.mark("unmapped")
    w.exit("a")
    seen = w.run()
    assert seen["unmapped"].A.usage == seen["end"].A.usage == 10


@BOTH
def test_kernel_unlinked_tmpfs_goes_with_its_last_mapping(scheme):
    w = World(scheme)
    w.container("A"), w.container("B"), w.task("a", "A"), w.task("b", "B"), w.shm("s", 10)
    w.touch_write("a", "s"), w.touch_read("b", "s"), w.unmap("a", "s"), w.mark("held")
    w.unmap("b", "s")
    seen = w.run()
    assert (seen["held"].A.usage, seen["held"].B.usage) == (10, 0)
    assert seen["end"].A.usage == 0


@BOTH
@pytest.mark.parametrize("death", ["zombie", "reparent"])
def test_kernel_rmdir(scheme, death):
    """Allowed; B still 5, the parent keeps 15; B re-touching A's pages is charged nothing."""
    w = two(f"{scheme}:death={death}")
    w.touch_read("a", "f", range(10)), w.touch_read("b", "f", range(5, 15))
    w.exit("a"), w.rmdir("A"), w.mark("removed")
    w.touch_read("b", "f", range(10))
    seen = w.run()
    for label in ("removed", "end"):
        assert seen[label].A.alive == 0
        assert (seen[label].B.usage, seen[label].parent.usage) == (5, 15)


def test_kernel_force_empty_after_unmap():
    w = two("cgroup_v1")
    w.touch_read("b", "f", range(5, 15)), w.unmap("b", "f", range(5, 15))
    w.write("B", "memory.force_empty=0")
    assert w.run()["end"].B.usage == 0


@BOTH
def test_kernel_fork_and_copy_on_write(scheme):
    """Parent 40; the child writes 10: +10 in its current group; the parent rewriting: no copy."""
    w = World(scheme)
    w.container("A"), w.container("B"), w.task("a", "A"), w.anon("m", 40)
    w.touch_write("a", "m"), w.mark("parent")
    w.fork("a", "child"), w.move("child", "B")
    w.touch_write("child", "m", range(10)), w.mark("child")
    w.touch_write("a", "m", range(10)), w.mark("again")
    w.exit("a"), w.mark("gone")
    seen = w.run()
    assert seen["parent"].A.usage == 40
    assert (seen["child"].A.usage, seen["child"].B.usage) == (40, 10)
    assert (seen["again"].A.usage, seen["again"].B.usage) == (40, 10)
    assert (seen["gone"].A.usage, seen["gone"].B.usage) == (30, 10), "while the child maps them"


@BOTH
def test_kernel_read_of_untouched_memory_is_free(scheme):
    w = World(scheme)
    w.container("A"), w.task("a", "A"), w.anon("m", 10), w.touch_read("a", "m")
    assert w.run()["end"].A.usage == 0


@BOTH
def test_kernel_private_file_write_costs_cache_and_copy(scheme):
    w = two(scheme)
    w.map("a", "f", shared=False), w.touch_write("a", "f", 3, 1)
    assert w.run()["end"].A.usage == 2


@BOTH
def test_kernel_move_leaves_charges(scheme):
    w = two(scheme)
    w.anon("m", 30), w.touch_write("a", "m"), w.touch_read("a", "f", range(10)), w.move("a", "B")
    seen = w.run()["end"]
    assert (seen.A.usage, seen.B.usage) == (40, 0)


@pytest.mark.parametrize(("mask", "moved"), [(1, 30), (3, 50)])
def test_kernel_6_1_move_charge(mask, moved):
    """Flag 1 moves the 30 anonymous, flag 3 all 50, ten of them mapped by another task too; and
    back again."""
    w = two("cgroup_v1", pages=20)
    for box in "AB":
        w.write(box, f"memory.move_charge_at_immigrate={mask}")
    w.task("other", "A")
    w.anon("m", 30), w.touch_write("a", "m")
    w.touch_read("a", "f"), w.touch_read("other", "f", 0, 10)
    w.move("a", "B"), w.mark("there"), w.move("a", "A")
    seen = w.run()
    assert (seen["there"].A.usage, seen["there"].B.usage) == (50 - moved, moved)
    assert (seen["end"].A.usage, seen["end"].B.usage) == (50, 0)


def test_kernel_clean_file_limit_is_fifo():
    """128 pages, 400 reads: what is left are the newest (the kernel frees about 50 at a time)."""
    w = v1(128)
    w.file("f", 400), w.read("p", "f")
    k = simulate(w.build(), schemes.get("cgroup_v1"), w.machine, w.knobs, engine="interpreted")
    there = [v for v in range(400) if k.page_entry[v]]
    assert there == list(range(400 - len(there), 400)) and 128 - 64 <= len(there) <= 128


def test_kernel_limit_below_a_locked_set():
    """EBUSY, failcnt 0; locked pages survive all reclaim."""
    w = v1()
    use(w, "mmap-lock1", 60), w.write("A", "memory.limit_in_bytes=200k")
    w.write("A", "memory.force_empty=0")
    seen = w.run()["end"]
    assert w.outcomes[-2:] == ["refused", "ok"] and (seen.A.usage, seen.A.failcnt) == (60, 0)


def test_kernel_lowering_the_limit():
    """200 to 100 pages of clean cache: falls below it (75 measured), a cluster at a time."""
    w = v1()
    w.file("f", 200), w.read("p", "f"), w.write("A", "memory.limit_in_bytes=400k")
    seen = w.run()["end"]
    assert 68 <= seen.A.usage <= 100 and seen.A.failcnt == 0 and w.outcomes[-1] == "ok"


@BOTH
def test_kernel_anon_oom_without_swap(scheme):
    """At exactly the limit's page (0 to 3 pages early measured; User-Mode Linux 20 of 20 exact)."""
    w = World(scheme, swap=0)
    w.container("A", 60), w.task("a", "A"), w.anon("m", 61)
    w.touch_write("a", "m", 0, 60), w.mark("full"), w.touch_write("a", "m", 60, 1)
    seen = w.run()
    assert seen["full"].A.usage == 60 and seen["full"].alive == ["a"] and w.victims == ["a"]


def test_kernel_oom_kill_disable():
    """Blocks at exactly page 60, goes on when the limit is raised."""
    w = v1(60, swap=0)
    w.write("A", "memory.oom_control=1")
    use(w, "mmap-anon", 80), w.mark("blocked")
    w.write("A", "memory.limit_in_bytes=400k"), w.touch_write("p", "m")
    seen = w.run()
    assert seen["blocked"].A.usage == 60 and seen["blocked"].alive == ["p"]
    assert seen["end"].A.usage == 80 and w.victims == []


def test_kernel_swap():
    """memory+swap = touched exactly (300), usage within the limit; exit: nothing is left."""
    w = v1(128)
    use(w, "mmap-anon", 300), w.mark("used"), w.exit("p")
    seen = w.run()
    assert seen["used"].A.usage + seen["used"].A.swapped == 300 and seen["used"].A.usage <= 128
    assert (seen["end"].A.usage, seen["end"].A.swapped) == (0, 0)


@BOTH
def test_kernel_swapped_pages_come_back_to_who_was_charged(scheme):
    """A forks a child, which goes to B; the child brings A's pages back from swap: A pays."""
    w = World(scheme)
    w.container("A", 10), w.container("B"), w.task("a", "A"), w.anon("m", 10), w.anon("n", 10)
    w.touch_write("a", "m"), w.fork("a", "child"), w.move("child", "B")
    w.touch_write("a", "n"), w.mark("out"), w.unmap("a", "n")
    w.touch_read("child", "m"), w.mark("back")
    seen = w.run()
    assert (seen["out"].A.usage, seen["out"].A.swapped >= 10, seen["out"].B.usage) == (10, True, 0)
    assert (seen["back"].A.usage, seen["back"].B.usage) == (10, 0)


def test_kernel_pids_max_20():
    w = pids("cgroup_v1", A="20")
    w.move("shell", "A"), forks(w, "shell", 25, "k")
    w.run()
    assert w.outcomes.count("ok") - 2 == 19 and w.outcomes.count("refused") == 6


@pytest.mark.parametrize("limit", [1, 17, 63, 64, 65, 127, 128, 200, 300])
def test_kernel_failcnt_of_the_charge_batch(limit):
    """recording.md 2.4, step by step: usage and failcnt of clean reads under a limit."""
    w = v1(limit, failcnt="linux-batch")
    w.file("f", 400)
    marks = range(0, 400, 7)
    for page in range(400):
        w.read("p", "f", page, 1)
        if page in marks:
            w.mark(str(page))
    seen = w.run()
    usage = stock = failcnt = 0
    for page in range(400):
        if stock:
            stock -= 1
        elif usage + 64 <= limit:
            usage, stock = usage + 64, 63
        else:
            failcnt += 1
            if usage + 1 > limit:
                failcnt += 1
                break  # from here on it depends on what reclaim frees
            usage += 1
        if page in marks:
            assert (seen[str(page)].A.usage, seen[str(page)].A.failcnt) == (usage, failcnt)
    assert seen["end"].A.failcnt >= failcnt


def test_usage_minus_inactive_file():
    """kubernetes' working set: a file read twice goes from inactive to active, usage stays."""
    w = v1()
    w.file("f", 40), w.read("p", "f"), w.mark("once"), w.read("p", "f")
    seen = w.run()
    once, twice = seen["once"].A, seen["end"].A
    assert once.usage == twice.usage == 40
    assert (once.stat["inactive_file"], once.stat["active_file"]) == (40, 0)
    assert (twice.stat["inactive_file"], twice.stat["active_file"]) == (0, 40)
