"""Two numbers: the limit counts every page a container maps in full, the bill shares pages out."""

from workbench.kernel.counters import uncharge
from workbench.kernel.hooks import (
    bill_holders,
    del_entry,
    holders,
    holds,
    join,
    part,
    pay_or_return,
    ring_append,
    ring_remove,
)

from .parts import Parts

TITLE = "limit on the full count, bill on the fraction"
SOURCE = "Ethan Solomita, 28 Mar 2007: both numbers come from the beancounters' list of users"
ASSUMED = (
    "The bill is in equal shares, 1/n each, in the units of `fraction`. Nothing is limited by it. "
    "At the limit, which counts in full, the container unmaps its own mappings, and a move walks "
    "every page, as under every_container."
)
UNIT = 720720 << 12
PARTS = Parts(
    record="pair", lists="fifo", reclaim="unmap_own", references="own", move="rewalk",
    counts=("bill",),
)
OPTIONS = {}
PROMISES = {
    "sum_is_mapped": False,  # of the full counts; the bills do add up
    "neighbour_proof": True,
    "own_action_only": True,  # the bill changes with every neighbour
    "never_above_limit": False,  # a move brings charges along, unasked
    "shares_frames": True,
    "empty_owes_nothing": True,
}


def worth(k, e):
    return UNIT


def price(k, page, c, _):
    return 0 if holds(k, page, c) else UNIT


def mapped(k, page, c, paid):
    e = join(k, page, c)
    if e < 0:
        pay_or_return(k, c, paid, 0, page)
        return 0
    n = holders(k, page)
    if n:
        bill_holders(k, page, UNIT // (n + 1) - UNIT // n)
    ring_append(k, page, e)
    pay_or_return(k, c, paid, UNIT, page)
    k.bill[c] += UNIT // (n + 1)
    return 0


def unmapped(k, page, c, _):
    e = part(k)
    if e >= 0:
        n = holders(k, page)
        uncharge(k, c, UNIT, page)
        k.bill[c] -= UNIT // n
        ring_remove(k, page, e)
        del_entry(k, e)
        if n > 1:
            bill_holders(k, page, UNIT // (n - 1) - UNIT // n)
    return 0
