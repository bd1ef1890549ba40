"""Zones, moves and deaths: numbers worked out by hand, not by the stories' `expect`."""

from dataclasses import replace
from functools import cache

import pytest

from workbench import scenarios, schemes
from workbench.kernel import simulate


@cache
def measured(name, scheme, **given):
    s = scenarios.get(name, **given)
    k = simulate(s.trace, schemes.get(scheme), s.machine, s.knobs, engine="interpreted",
                 sample_every=s.sample_every)
    return s.measure(k)


def test_loaders_map_privately_so_the_flag_finds_nothing():
    """Gorman, 20 Mar 2007, taken literally; 150 pages, five users."""
    for scheme, flag, share in (
        ("shared_zone", "private", 0),
        ("shared_zone", "shared", 1),
        ("shared_zone:by=mount", "private", 1),
        ("shared_zone:by=directory", "shared", 1),
    ):
        assert measured("libraries_are_private", scheme, flag=flag)["share in the shared zone"] == (
            share
        )
    ring = measured("libraries_are_private", "fraction")
    assert ring["first user's library charge"] == ring["last user's library charge"] == 30


def test_an_export_nobody_declared_is_the_first_users():
    """Biederman, 19 Mar 2007: 60 own, 100 of /usr, 300 of the export."""
    by_mount = measured("undeclared_sharing", "shared_zone:by=mount")
    assert (by_mount["first charged"], by_mount["last charged"]) == (360, 60)
    assert measured("undeclared_sharing", "zone")["first charged"] == 460
    assert measured("undeclared_sharing", "fraction")["first charged"] == 100
    known = measured("undeclared_sharing", "shared_zone:by=mount", declared=True)
    assert known["first charged"] == known["last charged"] == 60


@pytest.mark.parametrize("first", ["A", "C", "E"])
def test_a_file_of_two_sets_lies_with_the_first(first):
    m = measured("two_sets", "shared_zone", first=first)
    zone = {"A": "A+B", "C": "C+D", "E": "E"}[first]
    assert {n: m[f"file in {n}"] for n in ("A+B", "C+D", "E")} == {
        n: 100 * (n == zone) for n in ("A+B", "C+D", "E")}
    assert (m["reads of C and D"] > 0) == (first == "A")


def test_a_pinned_page_holds_a_granule():
    """One page of each of 100 lives, 256 granules: 92 of the dead, 8 of the living."""
    m = measured("zone_life", "zone")
    assert m["granules pinned"] == m["frames left behind"] == 100
    none = measured("zone_life", "zone", left=0)
    assert none["granules pinned"] == none["births refused"] == 0
    assert measured("zone_life", "zone", left=2)["largest new zone"] == 80  # 200 of 256 are pinned
    full = measured("zone_life", "zone", left=8)
    assert full["granules pinned"] == 256 and full["largest new zone"] == 0


def test_grouping_leaves_one_granule_a_life():
    """Eight pages fit into one granule of 16, but two dead zones do not share one."""
    m = measured("zone_life", "zone", left=8, unmovable="grouped")
    assert (m["granules pinned"], m["births refused"]) == (100, 0)


def test_the_big_container():
    """Morton, 13 Mar 2007: 384 frames less 2 of the stack and 2 of page tables, and 150 of swap."""
    m = measured("big_container", "zone")
    assert (m["frames at most"], m["pages swapped out"]) == (380, 150)
    assert m["killed"] == "load 550"  # 380 + 150 = 530
    assert measured("big_container", "zone", swap=400)["killed"] == "no"  # 600 <= 780
    assert measured("big_container", "none")["neighbour's faults"] > 0


def test_five_questions():
    """Poetzl, 13 Mar 2007, and who answers otherwise."""
    for scheme, answers in {
        "zone": (40, 0, 40, 40, 40, 40),
        "first_touch": (40, 0, 40, 40, 40, 40),
        "every_container": (40, 40, 40, 0, 0, 40),
        "fraction": (20, 20, 40, 0, 0, 40),
        "partition": (40, 40, 80, 0, 0, 40),
    }.items():
        assert tuple(measured("five_questions", scheme).values()) == answers, scheme


def test_death_by_scheme():
    """500 pages, 200 dirty, 100 shared, five rounds."""
    ways = ("first_touch", "every_container", "zone", "zone:orphan=destroy", "zone:orphan=stay")
    dead = {s: measured("container_death", s) for s in ways}
    assert [m["rounds it stays"] for m in dead.values()] == [5, 0, 0, 0, 0]
    assert [m["charged to the dead"] for m in dead.values()] == [100, 0, 0, 0, 500]
    assert [m["pages written"] for m in dead.values()] == [0, 0, 0, 200, 0]
    assert [m["pages dropped"] for m in dead.values()] == [0, 0, 200, 500, 0]


def test_a_hog_that_moves():
    """Two limits of 200 for one task; half of 1,000 shared pages move with a sharer."""
    assert measured("moving_hog", "first_touch", locked=False)["hog holds"] == 400
    assert measured("moving_hog", "every_container", locked=False)["hog holds"] == 200
    stays = measured("moving_hog", "first_touch")
    assert (stays["C before"], stays["C after"], stays["D after"]) == (1000, 1000, 0)
    each = measured("moving_hog", "every_container")
    assert (each["C after"], each["D after"]) == (500, 1000)
    half = measured("moving_hog", "fraction")
    assert (half["C after"], half["D after"]) == (250, 750)
    assert measured("moving_hog", "zone:move=migrate", pages=0)["pages copied"] == 190


def test_resizing_at_the_pace_of_the_demand_is_worse_than_none():
    """Morton, 13 Mar 2007: resize the zones. Each of ten turns is 1,000 accesses long."""
    given = {"demand": "rotating"}
    fixed, fast, late = (
        measured("pool_or_partition", "zone", resize=period, **given)["hit ratio"]
        for period in (0, 100, 1000)
    )
    assert late < fixed < fast < measured("pool_or_partition", "none", **given)["hit ratio"]


def test_limits_that_leave_room_do_not_bind():
    given = {"demand": "skewed"}
    pool = measured("pool_or_partition", "none", **given)
    assert measured("pool_or_partition", "first_touch", overcommit=10, **given) == pool


def test_what_was_unmapped_goes_before_what_others_map():
    """Why a scanner takes less under the full charge for each; swappiness 100 sees no mappings."""
    s = scenarios.get("pool_or_partition", demand="scanner")
    kept = []
    for swappiness in (60, 100):
        k = simulate(s.trace, schemes.get("every_container"), s.machine,
                     replace(s.knobs, swappiness=swappiness), engine="interpreted")
        kept.append(s.measure(k)["hit ratio"])
    pool = measured("pool_or_partition", "none", demand="scanner")["hit ratio"]
    assert kept[0] > pool + 0.1 and abs(kept[1] - pool) < 0.01
