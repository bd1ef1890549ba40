"""Zones: where pages lie, who shares a zone, what it costs. Sources with the tests."""

import pytest

from workbench import replay, schemes
from workbench.kernel import Knobs, Machine, PlacementError, ZoneSet, check, simulate
from workbench.trace import TraceBuilder

KNOBS = Knobs(cluster=4, swap_write="sync", page_tables=False, task_frames=0, files_per_frame=0)


def run(b, scheme, machine=None, knobs=KNOBS, engine="interpreted"):
    k = simulate(b.build(), schemes.get(scheme), machine, knobs, engine=engine)
    check(k)
    return k


def files_in(k) -> dict[str, int]:
    """Frames of files by the name of the zone."""
    return {name: int(k.zone_file[z]) for z, name in enumerate(k.zone_names) if k.zone_file[z]}


def pair(*files, limit=50):
    b = TraceBuilder()
    for name in ("A", "B", "C"):
        b.container(name, limit)
        b.task(name.lower(), name)
    for name, pages, path in files:
        b.file(name, pages, path)
    return b


SET = Machine(zone_sets=(ZoneSet(("A", "B"), 40, ("/usr/lib", "nfs:/x")),))


def test_by_flag_only_shared_mappings_go_to_the_shared_zone():
    """Mel Gorman, 14 Mar 2007: MAP_SHARED tells at fault time; a read() is the reader's own. A
    library is mapped privately and lies with whoever came first (debate.md O15, C082)."""
    b = pair(("db", 3, ""), ("lib", 5, ""), ("log", 7, ""), ("c", 2, ""))
    for task in "ab":
        b.map(task, "db", shared=True)
        b.touch_read(task, "db")
    b.touch_read("b", "lib"), b.touch_read("a", "lib")
    b.read("a", "log")
    b.map("c", "c", shared=True), b.touch_read("c", "c")  # of no set
    assert files_in(run(b, "shared_zone", SET)) == {"A+B": 3, "B": 5, "A": 7, "C": 2}


PLACES = (("lib", 2, "/usr/lib/libc"), ("bin", 3, "/usr/bin/sh"), ("lookalike", 5, "/usr/library"),
          ("export", 7, "nfs:/y/z"), ("home", 11, "/home/x"))  # fmt: skip


@pytest.mark.parametrize(
    ("by", "shared"), [("directory", 2), ("mount", 2 + 3 + 5 + 7), ("flag", 0)]
)
def test_by_mount_or_directory_the_path_decides(by, shared):
    """Dave Hansen, 13 Mar 2007: the file system; Paul Menage, 18 Mar 2007: a directory, inherited.
    Whoever touches them, C too, which is in no set; everybody else's first toucher (C145)."""
    b = pair(*PLACES)
    for name, _, _ in PLACES:
        for task in "cab":
            b.touch_read(task, name)
    found = files_in(run(b, f"shared_zone:by={by}", SET))
    assert found.get("A+B", 0) == shared and found["C"] == 28 - shared


def test_two_sets_want_one_file():
    """Mel Gorman, 14 Mar 2007 (C146): it lies with the set that came first; a container of no set
    is served by the first set that declares it."""
    machine = Machine(zone_sets=(ZoneSet(("A",), 20), ZoneSet(("B",), 20)))
    for first, order in (("A", "abc"), ("B", "bca"), ("A", "cba")):
        b = pair(("lib", 4, "/usr/lib/libc"))
        for task in order:
            b.touch_read(task, "lib")
        assert files_in(run(b, "shared_zone:by=directory", machine)) == {first: 4}
        k = run(b, "shared_zone:by=directory", machine)
        assert int(k.zone_file[k.zones - 2 + "AB".index(first)]) == 4, "the set's, not its own"


def test_a_full_shared_zone_hits_the_whole_set_and_nobody_else():
    """Dave Hansen, 14 Mar 2007 (C080): the limit is evaded up to the size of the shared zone, and
    the set pays with its cache; the own zone stays untouched."""
    b = pair(("lib", 30, ""), ("loot", 60, ""), ("mine", 50, ""))
    for task in "ab":
        b.map(task, "lib", shared=True), b.touch_read(task, "lib")
    b.age()
    b.map("a", "loot", shared=True), b.touch_read("a", "loot")
    b.touch_read("a", "mine")
    k = run(b, "shared_zone", SET)
    assert k.usage[1] == 50 and k.kills == 0 and k.failcnt[1] > 0
    assert files_in(k) == {"A": 50, "A+B": int(k.zone_file[k.zones - 1])}
    assert sum(k.page_maps[p] > 0 for p in range(30)) < 30, "the library has lost pages"


def test_a_pool_is_shared_by_its_members():
    """Andrew Morton, 11 Mar 2007 (C128): overcommit by containers that share a zone: one may use
    what the other leaves, and the OOM killer looks at both."""
    machine = Machine(swap=0, zone_sets=(ZoneSet(("A", "B"), 60, pooled=True),))
    b = pair()
    b.anon("x", 60), b.anon("y", 9)
    b.touch_write("a", "x", range(55))
    k = run(b, "zone", machine)
    assert k.kills == 0 and list(k.usage) == [0, 0, 0, 0] and k.own_zone[1] == k.own_zone[2]
    b.touch_write("b", "y")
    k = run(b, "zone", machine)
    assert (k.kills, k.kill_victim[0]) == (1, 0), "a is the larger one"


@pytest.mark.parametrize(
    ("sets", "told"),
    [
        ((ZoneSet(("A", "X"), 5),), r"X is no container that can have a zone"),
        ((ZoneSet(("root",), 5),), r"root is no container"),
        ((ZoneSet(("A",), 5), ZoneSet(("B", "A"), 5)), r"\('B', 'A'\): A is in two sets"),
        ((ZoneSet(("A",), 1 << 30),), r"a zone of 1073741824 frames does not fit into the \d+"),
    ],
)
def test_sets_that_cannot_be(sets, told):
    with pytest.raises(PlacementError, match=told):
        run(pair(), "shared_zone", Machine(zone_sets=sets))


def test_a_set_needs_members_and_whole_frames():
    for wrong in ({"containers": ()}, {"containers": ("A",), "frames": -1}):
        with pytest.raises(ValueError, match="whole number of frames"):
            ZoneSet(**wrong)


def test_partition_shares_nothing():
    """Herbert Poetzl, 12 Mar 2007 (C154): N guests with P private and S shared pages take
    N (P + S) frames, and each has its own cache and reads the disk by itself."""
    b = pair(("lib", 20, ""))
    b.anon("heap", 5)
    for task in "abc":
        b.touch_read(task, "lib"), b.touch_write(task, "heap")
    k = run(b, "partition")
    assert list(k.usage) == [0, 25, 25, 25] and list(k.major_faults) == [0, 20, 20, 20]
    assert files_in(k) == {"A": 20, "B": 20, "C": 20}
    table = replay(b.build(), "partition", engine="interpreted").owners()
    lib = table[table["object"] == "lib"]
    assert set(lib["payers"]) == set(lib["mapped_by"]) == {"A+B+C"} and lib["resident"].all()


def test_a_move_into_another_machine_starts_anew():
    b = pair(("lib", 4, ""))
    b.anon("heap", 5), b.shm("seg", 3)
    b.touch_read("a", "lib"), b.touch_write("a", "heap"), b.touch_write("a", "seg")
    b.move("a", "B")
    k = run(b, "partition")
    assert list(k.usage) == [0, 4, 0, 0], "A's cache stays, the rest ends"
    assert list(k.mapped) == [0] * 4 and list(k.files) == [0, 0, 1, 0], "the segment is made anew"
    b.touch_read("a", "lib"), b.touch_write("a", "heap"), b.touch_write("a", "seg")
    k = run(b, "partition")
    assert list(k.usage) == [0, 4, 12, 0]
    b.thread("a", "t")
    b.move("t", "C")
    k = run(b, "partition")
    assert k.task_container[k.tasks - 1] == 2, "refused: its address space cannot be in two"
