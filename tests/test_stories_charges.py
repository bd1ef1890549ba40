"""Stories of who is charged (X05, X08, X11, X13, X51): numbers worked out by hand."""

import pytest

from workbench import scenarios, schemes
from workbench.claims.tried import evaluate
from workbench.kernel import simulate


def measured(name, scheme, **parameters):
    story = scenarios.get(name, **parameters)
    state = simulate(story.trace, schemes.get(scheme), story.machine, story.knobs,
                     engine="interpreted", sample_every=story.sample_every)
    return story.measure(state)


@pytest.mark.parametrize(
    ("scheme", "order", "reader", "mapper"),
    [
        ("first_touch", "reader_first", 0, 100),  # read() charges nobody
        ("first_touch", "mapper_first", 0, 100),
        ("first_allocation", "reader_first", 100, 0),
        ("first_allocation", "mapper_first", 0, 100),
        ("zone", "reader_first", 100, 0),
        ("partition", "reader_first", 100, 100),  # a copy each
        ("none", "reader_first", 0, 0),
    ],
)
def test_reader_and_mapper(scheme, order, reader, mapper):
    m = measured("reader_and_mapper", scheme, order=order)
    assert (m["reader charged"], m["mapper charged"]) == (reader, mapper)


def test_a_squeezed_reader_costs_only_those_whose_pages_it_pays_for():
    """100 pages read and 100 of its own, limit 150: under first touch the file is the mapper's."""
    again = ("reader fetches again", "mapper fetches again")
    m = measured("reader_and_mapper", "first_touch", pressure=True)
    assert [m[q] for q in again] == [0, 0]
    m = measured("reader_and_mapper", "first_allocation", pressure=True)
    assert sum(m[q] for q in again) >= 50


@pytest.mark.parametrize(
    ("scheme", "together", "staggered"),
    [
        ("first_touch", 300 + 50 * 20, 300 + 20),
        ("every_container", 300 + 50 * 20, 300 + 20),
        ("fraction", 300 + 50 * 20, 300 + 20),
        ("every_mapping", 50 * (300 + 20), 50 * 300 + 20),
    ],
)
def test_prefork_server(scheme, together, staggered):
    m = measured("prefork_server", scheme)
    assert (m["charged at the peak"], m["held at the peak"]) == (together, 1300)
    m = measured("prefork_server", scheme, staggered=True)
    assert (m["charged at the peak"], m["maxima added"]) == (staggered, 50 * 320)


def test_a_sum_of_sizes_kills_a_server_that_fits():
    """Limit 2000: six children of 320 fit by their sizes, all 50 by the pages they hold."""
    m = measured("prefork_server", "every_mapping", limit=2000)
    assert (m["kills"], m["charged at the peak"]) == (44, 6 * 320)
    assert measured("prefork_server", "first_touch", limit=2000)["kills"] == 0


@pytest.mark.parametrize(
    ("scheme", "zombies", "owed", "survivor", "refused"),
    [
        ("first_touch", 50, 1000, 0, 50),
        ("first_touch:death=reparent", 0, 0, 0, 0),  # the root pays
        ("cgroup_v2", 50, 1000, 0, 0),  # removed, and still charged
        ("hand_over", 0, 0, 1000, 0),
        ("every_container", 0, 0, 1000, 0),
    ],
)
def test_zombies(scheme, zombies, owed, survivor, refused):
    assert measured("zombies", scheme) == {
        "zombies": zombies, "charged to zombies": owed, "survivor charged": survivor,
        "survivor maps": 1000, "removals refused": refused}


def test_before_the_first_step_nothing_has_evened_out():
    m = measured("evening_out", "first_touch", steps=0)
    assert (m["first pays for text"], m["first pays / fair"], m["Gini"]) == (60, 5, 0.8)
    m = measured("evening_out", "every_container", steps=0)
    assert (m["first pays for text"], m["Gini"]) == (60, 0)
    m = measured("evening_out", "fraction", steps=0)
    assert (m["first pays for text"], m["Gini"]) == (12, pytest.approx(0))


def test_without_pressure_a_charge_never_moves():
    """Nothing but reclaim gives a page another owner, and 60 pages fit into every limit."""
    m = measured("evening_out", "first_touch", steps=31, hot=100)
    assert (m["first pays for text"], m["faults of another"]) == (60, 0)


def test_a_program_alone_and_what_the_host_already_maps():
    """100 pages, 50 of them of a library; the host maps 10 of those before."""
    alone = {"first_touch": 90, "fraction": 95, "every_container": 100, "hand_over": 90}
    for scheme, charge in alone.items():
        m = measured("fair_fast_accurate", scheme, neighbours=0)
        assert (m["peak of A"], m["charge of A"]) == (charge, charge)
    m = measured("fair_fast_accurate", "first_touch", neighbours=0)
    assert m["sum without the host / mapped"] == 90 / 120  # 20 of its own, and these 10
    bills = measured("fair_fast_accurate", "dual_count", seed=5)
    assert bills["billed / mapped"] == pytest.approx(1) and bills["sum / mapped"] > 1


def test_no_scheme_is_exact_neighbour_proof_and_sharing_at_once():
    """Alone, a mapper pays 1; nothing of a neighbour's may change that; so two pay 2 for one."""
    three = ("sum_is_mapped", "neighbour_proof", "shares_frames")
    assert not [s for s in schemes.names() if all(schemes.get(s).promises[p] for p in three)]


def test_runs_inside_a_generator():
    assert evaluate("max(run(seed=s) for s in range(3))", run=lambda seed: seed) == 2
