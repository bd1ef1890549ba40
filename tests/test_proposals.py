"""The proposals since cgroups (common ancestor, memcg= mounts, recharging); an owner per file."""

import pytest
from test_kernel_suites import World

from workbench import schemes
from workbench.kernel import Machine, PlacementError, simulate
from workbench.trace import TraceBuilder


def family(scheme: str, **knobs) -> World:
    """top > A, B; a stranger C beside top. A file of ten pages."""
    w = World(scheme, **knobs)
    w.container("top"), w.container("A", parent="top"), w.container("B", parent="top")
    w.container("C")
    for name in "abc":
        w.task(name, name.upper())
    w.file("f", 10)
    return w


# ---- common_ancestor (Weiner, 22 Nov 2021) -------------------------------------------------------


def test_a_shared_page_goes_up_to_the_lowest_common_group():
    w = family("common_ancestor")
    w.touch_read("a", "f"), w.mark("alone")
    w.touch_read("b", "f", 0, 4), w.mark("siblings")
    w.touch_read("c", "f", 0, 1), w.mark("strangers")
    w.unmap("b", "f", 0, 4), w.unmap("c", "f", 0, 1)
    seen = w.run()
    assert (seen["alone"].A.usage, seen["alone"].top.usage) == (10, 10)
    assert [getattr(seen["siblings"], x).usage for x in ("A", "B", "top")] == [6, 0, 10]
    assert [getattr(seen["strangers"], x).usage for x in ("A", "top", "C", "root")] == [6, 9, 0, 1]
    assert seen["end"].top.usage == 9, "what has gone up stays up"


def test_order_does_not_matter_to_common_ancestors():
    """Nobody is billed for having come first: the sum over the two orders is the same."""
    books = []
    for order in ("ab", "ba"):
        w = family("common_ancestor")
        for task in order:
            w.touch_read(task, "f")
        seen = w.run()["end"]
        books.append((seen.A.usage, seen.B.usage, seen.top.usage))
    assert books == [(0, 0, 10)] * 2


def test_the_ancestors_limit_still_holds():
    w = family("common_ancestor", swap=0)
    w.write("top", "memory.max=40k"), w.anon("m", 1)
    w.touch_read("a", "f"), w.touch_read("b", "f"), w.touch_write("b", "m")
    seen = w.run()["end"]
    assert seen.top.usage == 10 and seen.top.max > 0 and w.victims == []


# ---- recharge (Ahmed, 20 Jul 2023) ---------------------------------------------------------------


def test_mapped_pages_of_a_removed_group_go_to_a_living_mapper():
    w = family("recharge")
    w.touch_read("a", "f"), w.touch_read("b", "f", 0, 4)
    w.exit("a"), w.rmdir("A"), w.mark("removed")
    w.touch_read("c", "f", 6, 2), w.mark("mapped later")
    seen = w.run()
    now = seen["removed"]
    assert (now.A.usage, now.B.usage, now.top.usage, now.dying) == (6, 4, 10, 1)
    now = seen["mapped later"]
    assert (now.A.usage, now.B.usage, now.C.usage, now.top.usage) == (4, 4, 2, 8)


def test_recharging_never_makes_room():
    """B has one page of room: it gets one; it is not reclaimed, and nobody is killed."""
    w = family("recharge", swap=0)
    w.write("B", "memory.max=12k"), w.anon("m", 2), w.touch_write("b", "m")
    w.touch_read("a", "f"), w.touch_read("b", "f", 0, 4)
    w.exit("a"), w.rmdir("A")
    seen = w.run()["end"]
    assert (seen.A.usage, seen.B.usage, seen.B.max, w.victims) == (9, 3, 0, [])


def test_recharged_pages_leave_no_shadow():
    w = family("recharge")
    w.touch_read("a", "f"), w.touch_read("b", "f"), w.exit("a"), w.rmdir("A")
    assert w.run()["end"].dying == 0


# ---- mount_charge (Almasry, 20 Nov 2021) ---------------------------------------------------------


def mounted(limit: int | None = None) -> World:
    w = World("mount_charge", swap=0)
    w.container("pool", limit), w.container("A"), w.container("B")
    w.task("a", "A"), w.task("b", "B"), w.task("inside", "pool")
    w.object("s", "shm", 20, "memcg=pool:/segment")
    return w


def test_the_mounts_group_pays_whoever_writes():
    w = mounted()
    w.touch_write("a", "s", 0, 5), w.write("b", "s", 5, 5), w.anon("m", 3), w.touch_write("a", "m")
    seen = w.run()["end"]
    assert (seen.pool.usage, seen.A.usage, seen.B.usage) == (10, 3, 0)


def test_a_full_mount_is_enospc_for_a_write_and_sigbus_for_a_fault():
    w = mounted(8)
    w.write("a", "s", 0, 10), w.mark("written")
    w.touch_write("b", "s", 10, 1), w.mark("touched")
    seen = w.run()
    assert w.outcome(0) == "refused" and seen["written"].alive == ["a", "b", "inside"]
    assert w.victims == ["b"] and seen["end"].alive == ["a", "inside"], "nobody inside is killed"
    assert seen["end"].pool.usage == 8 and seen["end"].pool.oom == 0


def test_the_groups_own_memory_is_killed_for_as_usual():
    w = mounted(8)
    w.write("a", "s", 0, 8), w.anon("m", 1), w.touch_write("inside", "m")
    seen = w.run()["end"]
    assert w.victims == ["inside"] and seen.pool.oom == 1


def test_a_mount_without_its_group_is_a_mistake():
    b = TraceBuilder()
    b.container("pool"), b.object("s", "shm", 2, "memcg=pol:/x"), b.task("p")
    with pytest.raises(PlacementError, match="memcg=pol:/x names no container; did you mean pool"):
        simulate(b.build(), schemes.get("mount_charge"), Machine(), engine="interpreted")


# ---- file_owner (Srinivasan, 14 Mar 2007) --------------------------------------------------------


@pytest.mark.parametrize("first", ["open", "map", "read"])
def test_the_first_user_of_a_file_pays_for_all_of_it(first):
    """X52: A uses the first half, B the second; the whole file is A's."""
    w = World("file_owner")
    w.container("A"), w.container("B"), w.task("a", "A"), w.task("b", "B"), w.file("f", 100)
    if first == "read":
        w.read("a", "f", 0, 1)
    else:
        getattr(w, first)("a", "f")
    w.touch_read("b", "f", 50, 50), w.touch_read("a", "f", 0, 50)
    w.map("b", "f", shared=False), w.touch_write("b", "f", 60, 1)
    seen = w.run()["end"]
    assert (seen.A.usage, seen.B.usage) == (100, 1), "the private copy is the writer's"


# ---- kernel.md 5.4: the same trace under different schemes ---------------------------------------

FIRST = ("first_touch", "first_allocation", "cgroup_v1", "cgroup_v2")
TABLE = {  # row -> scheme -> usage of A, B
    "1": {**dict.fromkeys(FIRST, (10, 0)), "beancounter": (5, 5), "every_mapping": (10, 10)},
    "2": {**dict.fromkeys(FIRST, (20, 10)), "beancounter": (15, 15), "every_mapping": (20, 20)},
    "3": {**dict.fromkeys(FIRST, (10, 0)), "beancounter": (0, 10), "every_mapping": (0, 10)},
    "4": {**dict.fromkeys(FIRST, (10, 0)), "every_mapping": (0, 10)},
    "5": {"first_touch": (0, 0), "first_allocation": (10, 0), "cgroup_v1": (10, 0),
          "cgroup_v2": (10, 0), "beancounter": (0, 0), "every_mapping": (0, 0)},
    "7": {**dict.fromkeys(FIRST, (100, 0)), "beancounter": (100, 0), "every_mapping": (1000, 0)},
}


@pytest.mark.parametrize(("row", "scheme"), [(r, s) for r, found in TABLE.items() for s in found])
def test_kernel_md_5_4(row, scheme):
    """2: Nishimura 2010. 4: LTP subgroup_charge. 5: under the RFC of 03/2007 read() is free: the
    table's column "FT" holds for its mapped descendants only."""
    w = World(scheme)
    w.container("A"), w.container("B"), w.task("a", "A"), w.task("b", "B")
    w.file("f", 10), w.anon("m", 100)
    if row in "123":
        if row == "2":
            for task in "ab":
                w.touch_write(task, "m", 0, 10)
        w.touch_read("a", "f"), w.touch_read("b", "f")
        if row == "3":
            w.exit("a")
    elif row == "4":
        w.touch_write("a", "m", 0, 10), w.move("a", "B")
    elif row == "5":
        w.read("a", "f")
    else:
        w.touch_write("a", "m")
        for n in range(9):
            w.fork("a", f"k{n}")
    trace = w.build()
    k = simulate(trace, schemes.get(scheme), w.machine, w.knobs, engine="interpreted")
    assert tuple(k.usage[c] / k.unit for c in (1, 2)) == TABLE[row][scheme]
