"""Zones: where pages lie, who shares a zone, what it costs. Sources with the tests."""

import pytest

from workbench import replay, schemes
from workbench.kernel import STATS, Knobs, Machine, PlacementError, ZoneSet, check, simulate
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
          ("export", 7, "nfs:/y/z"), ("home", 11, "/home/x"))


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
        ((ZoneSet(("A",), 1 << 30),), r"a zone of 1,073,741,824 frames does not fit into the \d+"),
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


# ---- granules ------------------------------------------------------------------------------------

BLOCKS = Knobs(cluster=4, swap_write="sync", granule=16, task_frames=0, page_tables=False,
               files_per_frame=0)


def resized(limit, *writes, pins=0, frames=4096, knobs=BLOCKS, fill=0):
    b = TraceBuilder()
    b.container("A", limit), b.container("B", 16)
    b.task("a", "A")
    b.object("dentries", "kernel", 64), b.file("cache", 64), b.anon("heap", 64)
    if pins:
        b.write("a", "dentries", range(pins))
    if fill:
        b.touch_write("a", "heap", range(fill))
    b.mark("the zone is made")
    for written in writes:
        b.set_limit("A", f"rss_limit={written}")
    k = run(b, "zone", Machine(frames=frames), knobs)
    outcomes = [int(o) for o in k.ev_outcome[len(k.ev_outcome) - len(writes) :]]
    return k, ["ok" if o == 1 else "refused" for o in outcomes]


def test_sizes_are_whole_granules():
    """Mel Gorman, 14 Mar 2007 (C148): a zone is made of MAX_ORDER blocks; half a block is wasted
    on average."""
    wasted = []
    for limit in range(1, 65):
        k, _ = resized(limit)
        assert k.zone_frames[1] == -(-limit // 16) * 16
        wasted.append(k.zone_frames[1] - limit)
    assert sum(wasted) / len(wasted) == (16 - 1) / 2


def test_a_zone_grows_by_free_granules_only():
    """Of 160 frames A has 32, B 16, the root 112, of which it keeps its low mark: 6 granules."""
    k, said = resized(32, "33", "128", "129", frames=160)
    assert said == ["ok", "ok", "refused"] and (k.zone_frames[1], k.limit[1]) == (128, 128)


def test_a_zone_shrinks_by_reclaim():
    """48 anonymous pages in use; 16 frames less are swapped out; nobody is killed."""
    k, said = resized(48, "32", fill=48)
    assert said == ["ok"] and k.zone_frames[1] == 32 and 32 - 4 < k.usage[1] <= 32
    assert k.kills == 0 and k.swap_used == 48 - k.usage[1] and k.zone_frames[0] == 4096 - 32 - 16


def test_a_zone_does_not_shrink_below_what_cannot_go():
    k = simulate(locked(), schemes.get("zone"), None, BLOCKS, engine="interpreted")
    assert k.zone_frames[1] == 48 and k.limit[1] == 48, "locked pages stay where they are"


def locked():
    b = TraceBuilder()
    b.container("A", 48), b.task("a", "A"), b.anon("heap", 40)
    b.map("a", "heap"), b.mlock("a", "heap")
    b.set_limit("A", "rss_limit=32")
    return b.build()


@pytest.mark.parametrize(
    ("unmovable", "pins", "possible"),
    [("spread", 1, 32), ("spread", 3, None), ("grouped", 3, 32), ("grouped", 17, 32),
     ("grouped", 16, 32)],
)
def test_pinned_granules_stay(unmovable, pins, possible):
    """Dave Hansen, 13 Mar 2007 (C150): dentries pin the zone they lie in. Three kernel pages in
    three granules bind all of a zone of 48 frames; grouped they bind one."""
    knobs = Knobs(cluster=4, granule=16, unmovable=unmovable, task_frames=0, page_tables=False)
    k, said = resized(48, "32", pins=pins, knobs=knobs)
    assert said == ["ok" if possible else "refused"]
    assert k.zone_frames[1] == (possible or 48)
    assert k.zone_pinned[1] == (-(-pins // 16) if unmovable == "grouped" else min(3, pins))


@pytest.mark.parametrize("written", ["0", "4294967296", "-1", ""])
def test_a_zone_cannot_be_endless(written):
    """No limit (or 0, which as posted means none) is no size; garbage is EINVAL as everywhere."""
    k, said = resized(48, written)
    assert said == ["refused"] and k.zone_frames[1] == 48


def test_growing_on_demand_overcommits():
    """Nick Piggin, 14 Mar 2007 (C139): give out free nodes on demand. Three limits of 64 on 96
    frames: whoever asks gets granules, also such as others have left free."""
    b = TraceBuilder()
    for name in "ABC":
        b.container(name, 64), b.task(name.lower(), name), b.anon(f"heap {name}", 64)
    b.touch_write("a", "heap A", range(60))
    k = run(b, "zone:full=grow", Machine(frames=128), BLOCKS)
    assert [int(k.zone_frames[z]) for z in (1, 2, 3)] == [64, 16, 16] and k.failcnt[1] == 0
    b.discard("a", "heap A", range(60))
    b.touch_write("b", "heap B", range(60))
    k = run(b, "zone:full=grow", Machine(frames=128), BLOCKS)
    assert [int(k.zone_frames[z]) for z in (1, 2, 3)] == [32, 64, 16], "the last free, then A's"
    with pytest.raises(PlacementError):
        run(b, "zone", Machine(frames=128), BLOCKS)


# ---- what becomes of a zone ----------------------------------------------------------------------


def dead(scheme, dentries=0, reborn=None, machine=None):
    """A writes 6 pages and reads 10, Q of B maps 4 of them; then A ends and is removed."""
    b = TraceBuilder()
    b.container("A", 64), b.container("B", 64)
    if reborn:
        b.container("late", reborn)
    b.task("a", "A"), b.task("q", "B")
    b.file("f", 16), b.object("dentries", "kernel", 8), b.anon("heap", 5)
    b.touch_write("a", "heap")
    b.write("a", "f", range(6)), b.read("a", "f", range(6, 16))
    if dentries:
        b.write("a", "dentries", range(dentries))
    b.touch_read("q", "f", range(12, 16))
    b.exit("a"), b.reap("a"), b.rmdir("A")
    if reborn:
        b.mkdir("late")
    return run(b, scheme, machine or Machine(frames=256), BLOCKS)


def test_an_orphan_may_stay():
    """Nick Piggin, 14 Mar 2007: let the zone stay; nobody is served by its frames (C137)."""
    k = dead("zone:orphan=stay")
    assert (k.zone_frames[1], k.zone_file[1], k.usage[1]) == (64, 16, 16)


def test_an_orphan_may_be_destroyed():
    """Kirill Korotaev, 14 Mar 2007 (C137): dirty data must be written, and everybody loses it."""
    k = dead("zone:orphan=destroy")
    assert k.zone_frames[1] == 0 and k.usage[1] == 0 and sum(k.zone_file) == 0
    assert k.stat[STATS.index("disk_writes")] == 6 and not any(k.mapped)
    assert k.zone_frames[0] == 256 - 64


def test_an_orphan_may_be_merged():
    """Dave Hansen, 13 Mar, Mel Gorman, 20 Mar 2007: into the main zone; clean cache is dropped,
    what is dirty or mapped goes along, pinned granules too (debate.md S11)."""
    k = dead("zone", dentries=2)
    assert k.zone_frames[1] == 0 and k.usage[1] == 0 and k.zone_frames[0] == 256 - 64
    assert (k.zone_file[0], k.zone_kernel[0], k.zone_pinned[0]) == (6 + 4, 2, 2)
    assert k.stat[STATS.index("disk_writes")] == 0 and k.mapped[2] == 4


def test_an_orphan_may_go_to_the_set():
    machine = Machine(frames=256, zone_sets=(ZoneSet(("A", "B"), 32),))
    k = dead("shared_zone:orphan=merge_shared", machine=machine)
    shared = k.zones - 1
    assert (k.zone_file[shared], k.zone_frames[shared]) == (10, 32 + 64)


@pytest.mark.parametrize(("dentries", "size", "made"), [(0, 176, 1), (3, 176, 0), (3, 128, 1)])
def test_pins_of_the_dead_bind_granules(dentries, size, made):
    """256 frames less B's 64 are 12 granules; one is below the root's low mark; each dentry of the
    dead binds one more (C150)."""
    k = dead("zone", dentries, reborn=size)
    assert k.alive[3] == made and k.zone_frames[3] == size * made


def test_pages_go_along_only_if_asked():
    """Mel Gorman, 14 Mar (migration) and Paul Menage, 18 Mar 2007 (move_pages): what the task
    alone maps is copied into the new zone; the rest stays (C152, C153)."""
    for scheme, usage in (("zone", [0, 25, 0, 0]), ("zone:move=migrate", [0, 20, 5, 0])):
        b = pair(("lib", 20, ""))
        b.anon("heap", 5)
        b.task("other", "A")
        b.touch_read("a", "lib"), b.touch_read("other", "lib"), b.touch_write("a", "heap")
        b.move("a", "B")
        k = run(b, scheme)
        assert list(k.usage) == usage
        assert k.stat[STATS.index("pages_migrated")] == usage[2]


@pytest.mark.parametrize(
    ("scheme", "why"),
    [
        ("first_touch:full=grow", "placement=any gives none"),
        ("none:orphan=merge", "placement=any gives none"),
        ("none:move=migrate", "there is no way"),
        ("partition:orphan=merge", "who cannot see them"),
        ("zone:orphan=merge_shared", "needs a zone that a set shares"),
        ("zone:by=mount", "has none"),
    ],
)
def test_parts_that_do_not_go_together(scheme, why):
    with pytest.raises(ValueError, match=why):
        schemes.get(scheme)


# ---- Andrew Morton's container and Herbert Poetzl's five questions -------------------------------


def test_the_container_of_1_5_gb():
    """Andrew Morton, 13 Mar 2007 (C129, X31): a zone of 384 frames on a host of 1,024; the load
    grows from 100 to 600 pages: it reclaims, swaps, is killed when swap ends; the host has all of
    its own memory throughout. The same with a cpuset over fake nodes of 64 frames, today's way."""
    for swap, grown, kills in ((1_000, 600, 0), (100, 600, 1)):
        b = TraceBuilder()
        b.container("A", 384), b.task("a", "A"), b.anon("heap", grown)
        b.task("host"), b.anon("host's", 500)
        b.touch_write("host", "host's")
        for top in range(100, grown + 1, 100):
            b.touch_write("a", "heap", range(top - 100, top))
        k = run(b, "zone", Machine(frames=1024, swap=swap))
        assert (k.kills, k.usage[0]) == (kills, 500)
        assert k.peak[1] == 384 and k.kill_victim[0] == 0
        assert k.swap_used == (0 if kills else 600 - k.usage[1])


def test_the_container_of_1_5_gb_by_fake_nodes():
    """The same as it could be had in 2007: a cpuset of 6 of 16 fake nodes of 64 frames, and no
    accounting at all."""
    b = TraceBuilder()
    b.container("A"), b.task("a", "A"), b.anon("heap", 600)
    b.task("host", node=8), b.anon("host's", 400)
    b.set_limit("A", "cpuset.mems=0-5")
    b.touch_write("host", "host's")
    for top in range(100, 601, 100):
        b.touch_write("a", "heap", range(top - 100, top))
    k = run(b, "none", Machine(nodes=16, frames=64, swap=1_000))
    used = [int(k.zone_anon[node]) for node in range(16)]
    assert k.kills == 0 and 300 < sum(used[:6]) <= 384 and sum(used[6:]) == 400
    assert k.swap_used == 600 - sum(used[:6])


def herbert(*more):
    """Guests A and B in two zones use one file: A reads it first, then B."""
    b = TraceBuilder()
    b.container("A", 20), b.container("B", 20)
    b.task("a", "A"), b.task("b", "B")
    b.file("f", 10), b.anon("big", 40)
    b.touch_read("a", "f"), b.touch_read("b", "f")
    for what in more:
        what(b)
    return run(b, "zone")


def crowd_out(b):
    """A needs its zone for something else."""
    b.age()
    for page in range(40):
        b.touch_write("a", "big", range(page, page + 1))


def test_herberts_five_questions():
    """Herbert Poetzl, 13 Mar 2007 (C131): a file used by guests in two zones."""
    k = herbert()
    assert list(k.usage) == [0, 10, 0], "1. who is charged? the first toucher"
    assert sum(k.zone_file) == 10 and list(k.major_faults) == [0, 10, 0], "2. extra copies? none"
    k = herbert(crowd_out)
    assert k.zone_file[1] == 0 and k.mapped[2] == 0, "3. can A evict B's page? yes"
    k = herbert(crowd_out, lambda b: b.touch_read("b", "f"))
    assert (k.zone_file[2], k.mapped[2]) == (10, 10), "4. can B use it? yes, in its zone"
    assert k.major_faults[2] == 10, "5. is it read again? yes, it had left the cache"
    k = herbert(lambda b: b.unmap("b", "f"), lambda b: b.touch_read("b", "f"))
    assert k.major_faults[2] == 0, "   not while it is still there"
