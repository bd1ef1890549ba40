"""Stories of cost, of who dies and of counting: numbers worked out by hand from the rules."""

import inspect
from functools import cache

import pytest

from workbench import scenarios, schemes
from workbench.kernel import simulate

WALK = "every_container:record=walk:lists=global"  # nothing kept but the mappings


@cache
def run(name, scheme, given=()):
    s = scenarios.get(name, **dict(given))
    k = simulate(s.trace, schemes.get(scheme), s.machine, s.knobs, engine="auto",
                 sample_every=s.sample_every)
    return s, k


def measured(name, scheme, **given):
    s, k = run(name, scheme, tuple(given.items()))
    return s.measure(k)


def test_records_grow_with_sharing_only_where_each_pair_has_one():
    # 1024 frames, 512 shared by 10 guests, 51 each of their own
    one, pair = (measured("bookkeeping", s) for s in ("first_touch", "fraction"))
    assert (one["records"], one["pages"]) == (512 + 510, 512 + 510)
    assert pair["records"] == 10 * (512 + 51)
    assert one["bytes / page, 32 bit"] == 4 + 16 and one["bytes / page, 64 bit"] == 8 + 32
    assert measured("bookkeeping", WALK)["records"] == 0


def test_a_walk_over_mappers_by_hand():
    """One group of 3 after another would be found at once; strangers must all be passed."""
    alone = measured("rmap_walk", WALK, groups=1, processes=3, pages=1,
                     ends=False)
    # price and settling walk once each: the first finds nobody (0 + itself), each later one its
    # elder in one step, twice
    assert alone["steps"] == (0 + 1) + (1 + 1) + (1 + 1)
    strangers = measured("rmap_walk", WALK, groups=3, processes=1,
                         pages=1, ends=False)
    assert strangers["steps"] == (0 + 1) + (1 + 2) + (2 + 3)
    assert strangers["longest walk at a first map"] == 2


def test_a_patch_does_not_walk_and_an_heir_is_looked_for():
    assert measured("rmap_walk", "first_touch")["steps"] == 0
    assert measured("rmap_walk", "hand_over")["steps"] > 0


def test_exact_lists():
    faults = inspect.getmodule(inspect.unwrap(scenarios.which_page)).list_faults
    assert faults([1, 2, 1, 3, 1], 2, lru=True) == 3
    assert faults([1, 2, 1, 3, 1], 2, lru=False) == 4


@pytest.mark.parametrize("n", [1, 10, 100])
def test_the_filter_passes_all_quiet_neighbours(n):
    m = measured("filter_or_list", "february_2007", **({} if n == 10 else {"containers": n}))
    # 8 pages a walk; (n - 1) x 40 others are older than any of its own
    own = measured("filter_or_list", "february_2007", containers=1)["looked at / given up"]
    assert m["looked at / given up"] == pytest.approx(own + (n - 1) * 40 / 8)
    assert m["faults of others"] == 0


def test_a_hog_and_a_daemon_by_hand():
    assert measured("whom_to_kill", "first_touch")["requests served"] == 5
    assert measured("whom_to_kill", "every_mapping")["kills"] == 5
    mapper = measured("whom_to_kill", "first_touch", large="mapper")
    assert (mapper["first killed"], mapper["kills in vain"], mapper["kills"]) == ("mapper", 1, 2)
    charged = measured("whom_to_kill", "first_touch:oom_score=charged", large="mapper")
    assert (charged["first killed"], charged["kills in vain"]) == ("hog", 0)


def test_many_mappings_by_hand():
    m = measured("many_mappings", "first_touch", family="chain")
    # 499 tasks forked after Y ran: two frames of stack and one page table each; and x1's table
    assert m["page tables and stacks of X"] == 499 * 3 + 1
    assert (m["X charged"], m["Y charged"], m["first killed"]) == (1, 200, "Y")
    assert measured("many_mappings", "first_touch")["first killed"] == "X"  # half of every child
    assert measured("many_mappings", "every_mapping")["tasks of X lost"] == 250


def test_a_thread_takes_the_memory_along():
    m = measured("threads_apart", "first_touch")
    assert (m["A charged"], m["B charged"], m["pages charged elsewhere"]) == (40, 160, 80)
    assert measured("threads_apart", "every_container")["A charged"] == 0  # charges follow


def test_limit_zero_is_none_as_posted():
    assert measured("limit_values", "first_touch")["most under 0"] == 5
    assert measured("limit_values", "first_touch", zero="refuses")["most under 0"] == 0


def test_one_page_at_a_time_is_refused_nearly_every_time():
    m = measured("batch", "every_container", batch=1)
    assert m["refused"] == m["faults"] - 200  # all but those that filled the container


def test_the_library_goes_and_comes_back():
    m = measured("leaks", "first_touch")
    assert (m["faults of B"], m["kills in B"], m["B charged for the library"]) == (100, 0, 100)
    assert measured("leaks", "february_2007")["faults of B"] == 0
    assert measured("leaks", "first_touch:references=own", busy=True)["faults of B"] >= 99


def test_two_lists_throw_out_a_whole_container_where_the_passes_add_up_to_it():
    """Passes at priorities 12 to 1 look at usage / 2^p + 1 pages each, if a cluster of 4 at least.

    100: 101 of them, so that one page is met twice and freed, which is no success (RE3); 200: 202,
    so that two are.
    """
    assert sum(n for p in range(1, 13) if (n := (100 >> p) + 1) >= 4) == 101
    assert sum(n for p in range(1, 13) if (n := (200 >> p) + 1) >= 4) == 202
    whole = measured("which_page", "first_touch:lists=lru")
    assert whole["refused"] == whole["faults"] // 100
    few = measured("which_page", "first_touch:lists=lru", limit=200)
    assert few["refused"] > few["faults"] / 5
