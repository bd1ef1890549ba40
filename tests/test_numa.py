"""Nodes: local and remote accesses, pages that follow their task, and LTP's cpuset_memory rows.

LTP: linux-test-project testcases/kernel/controllers/cpuset/cpuset_memory_test (commit 695827725f4);
the rows and what they require are in kernel.md 5.3. One page stands for LTP's mapped region.
"""

import pytest

from workbench import replay, schemes
from workbench.kernel import STATS, Knobs, Machine, check, simulate
from workbench.trace import TraceBuilder

QUIET = {"cluster": 4, "page_tables": False, "task_frames": 0, "files_per_frame": 0}
SCHEMES = ["none", "first_touch", "every_container", "fraction"]  # cpusets are apart from charges


def run(b, scheme="none", nodes=2, frames=512, **knobs):
    k = simulate(b.build(), schemes.get(scheme), Machine(nodes=nodes, frames=frames),
                 Knobs(**QUIET | knobs), engine="interpreted")
    check(k)
    return k


def on_nodes(k, obj=0) -> list[int]:
    """Pages of an object on each node."""
    counts = [0] * k.nodes
    for v in range(k.obj_base[obj], k.obj_base[obj] + k.obj_pages[obj]):
        if k.page_flags[v] & 8:
            counts[k.zone_node[k.page_zone[v]]] += 1
    return counts


def stat(k, name):
    return int(k.stat[STATS.index(name)])


# ---- LTP cpuset_memory ---------------------------------------------------------------------------


def cpusets(pages=10):
    b = TraceBuilder()
    b.container("one"), b.container("two")
    b.task("t", "one")
    b.anon("old", pages), b.anon("new", pages), b.file("f", 2 * pages)
    return b


@pytest.mark.parametrize("scheme", SCHEMES)
@pytest.mark.parametrize(
    ("row", "op"), [(1, "anon"), (2, "mlock"), (3, "shared file"), (4, "shm"), (5, "read")]
)
@pytest.mark.parametrize("node", [0, 1])
def test_ltp_1_to_8_pages_land_on_an_allowed_node(scheme, row, op, node):
    """Rows 1 to 8 differ in how the memory is had: every way ends on the cpuset's only node,
    wherever the task runs."""
    b = cpusets()
    b.shm("segment", 10)
    b.set_limit("one", f"cpuset.mems={node}")
    b.run_on("t", 1 - node)
    obj = {"anon": 0, "mlock": 0, "shared file": 2, "shm": 3, "read": 2}[op]
    if op == "mlock":
        b.map("t", "old"), b.mlock("t", "old")
    elif op == "shared file":
        b.map("t", "f", shared=True), b.touch_write("t", "f")
    elif op == "read":
        b.read("t", "f")
    else:
        b.touch_write("t", ("old", "", "", "segment")[obj])
    k = run(b, scheme)
    there = on_nodes(k, obj)
    assert there[node] == k.obj_pages[obj] and there[1 - node] == 0


def moved(migrate):
    """A task with a page on node 0 goes to the cpuset of node 1 and touches another."""
    b = cpusets(1)
    b.set_limit("one", "cpuset.mems=0"), b.set_limit("two", "cpuset.mems=1")
    b.set_limit("two", f"cpuset.memory_migrate={migrate}")
    b.touch_write("t", "old")
    b.move("t", "two")
    b.touch_write("t", "new")
    return b


@pytest.mark.parametrize("scheme", SCHEMES)
def test_ltp_9_moved_without_memory_migrate(scheme):
    k = run(moved(0), scheme)
    assert (on_nodes(k, 0), on_nodes(k, 1)) == ([1, 0], [0, 1])
    assert stat(k, "pages_migrated") == 0


@pytest.mark.parametrize("scheme", SCHEMES)
def test_ltp_10_moved_with_memory_migrate(scheme):
    k = run(moved(1), scheme)
    assert (on_nodes(k, 0), on_nodes(k, 1)) == ([0, 1], [0, 1])
    assert stat(k, "pages_migrated") == 1


@pytest.mark.parametrize("scheme", SCHEMES)
@pytest.mark.parametrize(("row", "migrate"), [(11, 0), (12, 1)])
def test_ltp_11_and_12_mems_of_a_live_set_change(scheme, row, migrate):
    b = cpusets(1)
    b.set_limit("one", "cpuset.mems=0")
    b.set_limit("one", f"cpuset.memory_migrate={migrate}")
    b.touch_write("t", "old")
    b.set_limit("one", "cpuset.mems=1")
    b.touch_write("t", "new")
    k = run(b, scheme)
    assert on_nodes(k, 1) == [0, 1]
    assert on_nodes(k, 0) == ([0, 1] if migrate else [1, 0])


@pytest.mark.parametrize("spread", [0, 1])
def test_ltp_memory_spread_page(spread):
    """Row memory_spread (T): page cache on both nodes, half each; without it all on the task's."""
    b = cpusets(50)
    b.set_limit("one", "cpuset.mems=0-1")
    b.set_limit("one", f"cpuset.memory_spread_page={spread}")
    b.read("t", "f"), b.touch_write("t", "old")
    k = run(b)
    assert on_nodes(k, 2) == ([50, 50] if spread else [100, 0])
    assert on_nodes(k, 0) == [50, 0], "anonymous memory stays local"


def test_pages_keep_their_place_among_the_nodes():
    """do_migrate_pages: the i-th node of the old mask to the i-th of the new."""
    b = cpusets(3)
    b.set_limit("one", "cpuset.mems=0-1"), b.set_limit("one", "cpuset.memory_migrate=1")
    b.touch_write("t", "old", range(2)), b.run_on("t", 1), b.touch_write("t", "old", range(2, 3))
    b.set_limit("one", "cpuset.mems=2-3")
    assert on_nodes(run(b, nodes=4)) == [0, 0, 2, 1]


@pytest.mark.parametrize("written", ["", "2", "0-2", "1-0", "a", "0-", "64"])
def test_a_cpuset_without_or_with_strange_nodes_is_refused(written):
    b = cpusets()
    b.set_limit("one", f"cpuset.mems={written}")
    k = run(b)
    assert k.ev_outcome[0] == 7 and k.mems[1] == 0b11


def test_zones_have_no_use_for_cpusets():
    b = cpusets()
    b.set_limit("one", "cpuset.mems=0")
    assert run(b, "zone").ev_outcome[0] == 7


def test_a_full_cpuset_kills_the_current_task():
    """CONSTRAINT_CPUSET of 2.6.20: who asks for the frame dies, however small it is."""
    b = cpusets(600)
    b.task("large", "two")
    b.touch_write("large", "new", range(300))
    b.set_limit("one", "cpuset.mems=1")
    b.touch_write("t", "old")
    k = simulate(b.build(), schemes.get("none"), Machine(nodes=2, frames=512, swap=0),
                 Knobs(**QUIET), engine="interpreted")
    assert (k.kills, k.kill_victim[0], k.task_state[1]) == (1, 0, 1)


def test_google_style_containers():
    """recording.md 3.1, measured in QEMU with eight fake nodes: containers with a node each; the
    second reads 50 of 100 file pages that the first has cached, which stay where they are."""
    b = TraceBuilder()
    b.container("A"), b.container("B")
    b.task("a", "A"), b.task("b", "B")
    b.anon("heap a", 500), b.anon("heap b", 300), b.file("shared", 100), b.file("own", 50)
    b.set_limit("A", "cpuset.mems=2"), b.set_limit("B", "cpuset.mems=3")
    b.touch_write("a", "heap a"), b.touch_read("a", "shared")
    b.touch_write("b", "heap b"), b.touch_read("b", "shared", range(50)), b.touch_read("b", "own")
    run_ = replay(b.build(), "none", machine=Machine(nodes=8, frames=4096), engine="interpreted")
    numa = run_.numa().set_index(["container", "node"])["rss"]
    assert dict(numa) == {("A", 2): 600, ("B", 2): 50, ("B", 3): 350}
    frames = run_.nodes().groupby(["node", "kind"])["frames"].last()
    assert frames[2, "anon"] == 500 and frames[2, "file"] == 100
    assert frames[3, "anon"] == 300 and frames[3, "file"] == 50


# ---- tasks that leave their node -----------------------------------------------------------------


def traveller(passes=3, tasks=1):
    """A task touches 20 pages on node 0, goes to node 1, touches them `passes` times more."""
    b = TraceBuilder()
    b.container("A", 64), b.container("B", 64)
    b.task("a", "A"), b.task("b", "B")
    b.anon("heap", 20), b.file("lib", 5), b.anon("more", 4)
    b.touch_write("a", "heap"), b.touch_read("a", "lib"), b.touch_read("b", "lib")
    b.run_on("a", 1)
    for _ in range(passes):
        b.touch_read("a", "heap"), b.touch_read("a", "lib")
    b.touch_write("a", "more")
    return b


@pytest.mark.parametrize(
    ("numa", "heap", "lib", "local", "copies"),
    [
        ("stay", [20, 0], [5, 0], 25 + 4, 0),
        ("follow", [0, 20], [0, 5], 25 + 3 * 25 + 4, 25),
        ("touch", [0, 20], [5, 0], 25 + 3 * 20 + 4, 20),  # what b maps too stays
    ],
)
@pytest.mark.parametrize("scheme", SCHEMES)
def test_pages_stay_follow_or_come_when_touched(scheme, numa, heap, lib, local, copies):
    """Dave Hansen, 13 Mar (home nodes), Paul Menage, 18 Mar 2007 (move_pages): C151 to C153."""
    k = run(traveller(), scheme, numa=numa, accesses=True)
    assert (on_nodes(k, 0), on_nodes(k, 1), on_nodes(k, 2)) == (heap, lib, [0, 4])
    total = 25 + 3 * 25 + 4
    near, far = [sum(column[2:4]) for column in (k.near, k.far)]  # of A
    assert (near, far) == (local, total - local) and stat(k, "pages_migrated") == copies
    assert stat(k, "local_accesses") == local + 0 + k.near[4] + k.near[5]


@pytest.mark.parametrize("numa", ["stay", "follow"])
def test_a_zone_is_a_home_node(numa):
    """Dave Hansen, 13 Mar 2007 (C151): elsewhere, every access is remote, new pages too; Mel
    Gorman, 14 Mar 2007 (C152): moving takes a new zone there and a copy of everything."""
    k = run(traveller(), "zone", numa=numa, accesses=True)
    z = k.own_zone[1]
    after = sum(k.far[2:4]), sum(k.near[2:4]) - 25
    if numa == "stay":
        assert k.zone_node[z] == 0 and after == (3 * 25 + 4, 0) and stat(k, "pages_migrated") == 0
    else:
        assert k.zone_node[z] == 1 and after == (0, 3 * 25 + 4)
        assert stat(k, "pages_migrated") == 20 + 5
    assert k.zone_frames[0] + k.zone_frames[k.own_zone[2]] + (numa == "stay") * 64 == 512


def test_a_zone_follows_its_last_task():
    b = traveller()
    b.task("c", "A")
    assert run(b, "zone", numa="follow").zone_node[2] == 0, "c is still at home"
    b.run_on("c", 1)
    k = run(b, "zone", numa="follow")
    assert k.zone_node[k.own_zone[1]] == 1


def test_what_cannot_move_stays_behind():
    """Kernel pages keep their granules on the old node, where nobody pays for them."""
    b = traveller()
    k = run(b, "zone", numa="follow", task_frames=2, granule=16)
    z = k.own_zone[1]
    assert (k.zone_kernel[z], k.zone_kernel[0], k.zone_pinned[0]) == (0, 2, 2)
    assert k.usage[1] == 29 and k.usage[0] == 2


def test_counting_changes_nothing_else():
    case = traveller()
    plain, counted = run(case, "first_touch"), run(case, "first_touch", accesses=True)
    assert list(plain.ev_outcome) == list(counted.ev_outcome)
    assert list(plain.usage) == list(counted.usage) and not any(plain.near)


@pytest.mark.parametrize("event", ["run_on", "migrate"])
@pytest.mark.parametrize("engine", ["interpreted", "compiled"])
def test_a_node_that_is_not_there_is_refused_before_the_replay(event, engine):
    b = TraceBuilder()
    b.task("t", b.container("A"))
    b.file("lib", 3)
    b.touch_read("t", "lib")
    getattr(b, event)("t", 2)
    with pytest.raises(ValueError, match="event 3: node 2 is not there; the machine has 2 nodes"):
        replay(b.build(), "first_touch", machine=Machine(nodes=2), engine=engine)
    assert replay(b.build(), "zone", machine=Machine(nodes=3), engine=engine).state.hung == 0
