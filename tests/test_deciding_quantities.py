"""Quantities that decide claims, against numbers worked out by hand from what was said."""

import pytest

from workbench.claims import measured
from workbench.counters.simulate import scaling


@pytest.mark.parametrize(
    ("given", "wrong"),
    [
        # Kirill Korotaev, 12 Mar 2007: VE1 maps, VE2 maps, VE1 unmaps, VE2 unmaps: +1 and -1
        ({"third": False}, 2),
        ({"third": False, "pages": 7}, 14),
        # the first to map is the last to go: it is given back what it paid
        ({"third": False, "order": "second_leaves"}, 0),
        # C joins last and leaves last: A keeps +1, C has -1, in either order of A and B
        ({"third": True}, 2),
        ({"third": True, "order": "second_leaves"}, 2),
    ],
)
def test_counters_without_a_record_are_wrong_by(given, wrong):
    assert measured("shared_page", "first_touch", **given)["wrong without a record"] == wrong


@pytest.mark.parametrize(
    ("scheme", "order", "pages"),
    [
        # the reader is charged and maps nothing: what the mapper uses free can be seen
        ("first_allocation", "reader_first", 100),
        # the mapper is charged and maps it: that the reader uses it free cannot
        ("first_allocation", "mapper_first", 0),
        ("first_touch", "reader_first", 0),
    ],
)
def test_pages_whose_payer_does_not_map_them(scheme, order, pages):
    assert measured("reader_and_mapper", scheme, order=order)["payer maps it not"] == pages


def test_costs_of_lines_and_operations_are_put_in():
    """One CPU fetches no line; each atomic operation is dearer by the 15 ns put in."""
    alone = scaling("K1", 1, transfer_ns=1_000)
    assert alone.transfers == 0 and alone.call_ns == scaling("K1", 1).call_ns
    dearer = scaling("K1", 1, atomic_ns=20)
    assert dearer.call_ns - alone.call_ns == pytest.approx(15 * alone.atomics)
    assert scaling("K3", 2, transfer_ns=300).call_ns > 2 * scaling("K3", 2).call_ns
