"""Stories of limits and of memory that nobody maps, against numbers worked out from the rules."""

import importlib
from collections import Counter
from random import Random

import pytest

from workbench import scenarios, schemes
from workbench.kernel import simulate
from workbench.scenarios.parts import faults_of, frames_of, order, outcomes

thrash = importlib.import_module("workbench.scenarios.thrash")
minimal_rss = importlib.import_module("workbench.scenarios.minimal_rss")


def replayed(name, scheme, **given):
    s = scenarios.get(name, **given)
    return s, simulate(s.trace, schemes.get(scheme), s.machine, s.knobs, engine="interpreted",
                       sample_every=s.sample_every)


def measured(name, scheme, **given):
    s, k = replayed(name, scheme, **given)
    return s.measure(k)


def test_64_64_96():
    """Poetzl: in the loop each access is a page out and a page in, 5 ms each; 32 are out at once.
    Biederman: with slots kept, 64 pages fill memory, 64 evictions the slots, and the 129th dies."""
    m = measured("room_on_the_host", "virtual_swap")
    assert m["penalty ms per access"] == pytest.approx((1920 * 10 + 32 * 5) / (1920 + 96))
    assert (m["virtual slots at most"], m["frames of G"], m["I/O per access"]) == (32, 96, 0)
    assert measured("room_on_the_host", "virtual_swap:slots=kept")["G dies at access"] == 129


def test_the_patch_on_a_disk_kills_at_the_first_page_too_many():
    """RE4: what is being written is not free, and the limit is not looked at again."""
    m = measured("room_on_the_host", "first_touch", write="async")
    assert (m["G dies at access"], m["kills"]) == (65, 1)
    assert measured("room_on_the_host", "first_touch")["kills"] == 0


def test_one_page_too_many():
    """65 pages, 64 stay: a loop in list order always misses, uniform accesses one time in 65."""
    loop = measured("limit_plus_one", "first_touch", quirks="as_posted,-rotation")
    assert loop["faults"] == loop["disk reads"] == 1
    one = measured("limit_plus_one", "every_container", pattern="uniform", cluster=1)
    assert one["faults"] == pytest.approx(1 / 65, abs=0.01) and one["disk reads"] == 0


def test_one_disk_by_hand():
    """Alone: 5 ms, 50 ms of thought, 5 ms. With one that reads and writes without a pause: its read
    and its write are before ours."""
    assert thrash.one_disk([50], 0, 2) == (60, 10, 10)
    assert thrash.one_disk([0, 50], 1, 1) == (15, 15, 15)
    assert thrash.one_disk([0, 50], 0, 1) == (10, 10, 10)


def test_swap_cache_escape_and_who_stops_it():
    for scheme, frames in (("every_container", 1024), ("virtual_swap", 1024),
                           ("every_container:cache=joint", 64)):
        m = measured("swap_cache_escape", scheme)
        assert (m["frames held"], m["mapped"]) == (frames, 64), scheme
    assert measured("swap_cache_escape", "first_touch")["frames held"] <= 64


def test_read_or_mmap():
    """Reading: 400 frames and no charge. Mapping half of them in a loop: never there."""
    m = measured("read_or_mmap", "first_touch", pattern="cyclic")
    assert (m["frames"], m["charged"], m["us per access"]) == (400, 0, 0)
    m = measured("read_or_mmap", "first_touch", pattern="cyclic", interface="map")
    assert m["us per access"] == 5_001


def test_mapped_once():
    """The loop has what the map leaves of the limit, 256 - 240; the idle map stays."""
    m = measured("mapped_once", "first_touch:cache=joint")
    assert (m["frames of the map"], m["frames of the loop"], m["loop hits"]) == (240, 16, 0)
    m = measured("mapped_once", "first_touch:cache=separate", cache_limit=64)
    assert (m["frames of the map"], m["frames of the loop"]) == (240, 64)


def test_ramfs_kills_the_neighbour_first():
    m = measured("ramfs", "first_touch")
    assert (m["first killed"], m["machine ran out"], m["writer charged"]) == ("N", "yes", 0)
    assert measured("ramfs", "first_touch", kind="tmpfs", mounts=4)["pages written"] == 4 * 64
    assert measured("ramfs", "first_allocation")["pages written"] == 64


def test_slabs_mix_owners():
    """The hog opens one file of 16 and pays for each of the 16 frames, besides its two of stack;
    the neighbour for two of stack and a page table."""
    m = measured("kernel_hog", "first_allocation:kernel_memory=charged", form="slab")
    assert m["share of open files"] == 1 / 16
    assert m["share of frames charged"] == 18 / 21


def test_innocent_pays_for_what_is_dirty():
    writes = [measured("innocent_pays", "virtual_swap", dirty=100, newcomer=n)["disk writes"]
              for n in (False, True)]
    assert writes[0] == 0 and writes[1] == pytest.approx(256, abs=8)


def test_moving_limits_add_up_and_keep_the_floor():
    rng = Random(1)
    strings = [minimal_rss.string("phases", 800, rng, turn) for turn in range(4)]
    plan = minimal_rss.moved(strings, 196, 8)
    assert len(plan) == 800 // minimal_rss.EVERY
    assert all(sum(limits) == 196 and min(limits) >= minimal_rss.FLOOR for limits in plan)
    assert max(map(max, plan)) > 49


def test_orders():
    assert order("cyclic", 3, 7, Random(0)) == [0, 1, 2, 0, 1, 2, 0]
    often = Counter(order("skewed", 50, 9_000, Random(0))).most_common()
    assert 1.6 < often[0][1] / often[1][1] < 2.4  # 1/1 against 1/2
    assert set(order("uniform", 5, 200, Random(0))) == set(range(5))


def test_outcomes_since_a_mark_and_frames_of_copies():
    s, k = replayed("read_or_mapped", "none")
    assert outcomes(s.trace, k, "s", "both have their pages") == {"hit": 2_000}
    assert faults_of(outcomes(s.trace, k, "t")) == 2_000
    assert outcomes(s.trace, k, "t", half=True)["major"] == 1_000
    s, k = replayed("n_guests", "partition", guests=3)
    assert frames_of(s.trace, k, "programs") == 3 * 200
