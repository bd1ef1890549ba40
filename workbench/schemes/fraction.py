"""Exact fractions: n containers that map a page pay 1/n each, at any moment."""

from workbench.kernel.counters import uncharge
from workbench.kernel.hooks import (
    del_entry,
    holders,
    holds,
    join,
    part,
    pay_or_return,
    reprice_holders,
    ring_append,
    ring_remove,
)

from .parts import Parts

TITLE = "exact fractions"
SOURCE = "Kirill Korotaev, 14 Mar 2007 (a page over its users); proportional set size since"
ASSUMED = (
    "Shares are whole numbers of 1/2952069120 page: exact for up to 16 sharers and for any power "
    "of two up to 4,096; beyond, rounded down by less than one unit. A share that grows because "
    "somebody left is charged by force. At the limit the container unmaps its own mappings."
)
UNIT = 720720 << 12
PARTS = Parts(record="pair", lists="fifo", reclaim="unmap_own", references="own", move="rewalk")
OPTIONS = {"forced": ("charge", "free")}
PROMISES = {
    "sum_is_mapped": True,
    "neighbour_proof": False,
    "own_action_only": False,
    "never_above_limit": False,
    "shares_frames": True,
    "empty_owes_nothing": True,
}


def worth(k, e):
    return UNIT // int(holders(k, k.entry_page[e]))


def price(k, page, c, _):
    return 0 if holds(k, page, c) else UNIT // (holders(k, page) + 1)


def mapped(k, page, c, paid):
    e = join(k, page, c)
    if e < 0:
        pay_or_return(k, c, paid, 0, page)
        return 0
    n = holders(k, page)
    if n:
        reprice_holders(k, page, UNIT // (n + 1) - UNIT // n)
    ring_append(k, page, e)
    pay_or_return(k, c, paid, UNIT // (n + 1), page)
    return 0


def unmapped(k, page, c, _):
    e = part(k)
    if e >= 0:
        n = holders(k, page)
        uncharge(k, c, UNIT // n, page)
        ring_remove(k, page, e)
        del_entry(k, e)
        if n > 1:
            reprice_holders(k, page, UNIT // (n - 1) - UNIT // n)
    return 0
