"""OpenVZ's page beancounters: the containers that map a page share it in powers of two."""

from workbench.kernel.counters import uncharge
from workbench.kernel.hooks import (
    del_entry,
    holds,
    inherit,
    join,
    part,
    pay_or_return,
    ring_append,
    ring_head,
    ring_remove,
)

from .parts import Parts

TITLE = "fractions in powers of two"
SOURCE = "Kirill Korotaev, 12 to 14 Mar 2007 (OpenVZ; the ring of kernel 2.6.18)"
ASSUMED = (
    "OpenVZ only counts these fractions; here the limit acts on them. A share that grows because "
    "somebody left is charged by force. At the limit the container unmaps its own mappings. "
    "A move walks every page. Pages of shared memory are on rings like all others."
)
UNIT = 1 << 24
PARTS = Parts(
    record="pair", note="share", lists="fifo", reclaim="unmap_own", references="own", move="rewalk"
)
OPTIONS = {"forced": ("charge", "free")}
PROMISES = {
    "sum_is_mapped": True,
    "neighbour_proof": False,
    "own_action_only": False,  # a neighbour's exit raises the bill
    "never_above_limit": False,
    "shares_frames": True,
    "empty_owes_nothing": True,
}


def worth(k, e):
    return UNIT >> int(k.entry_shift[e])


def price(k, page, c, _):
    head = ring_head(k, page)
    if head < 0:
        return UNIT
    if holds(k, page, c):
        return 0
    return UNIT >> (k.entry_shift[head] + 1)


def mapped(k, page, c, paid):
    e = join(k, page, c)
    if e < 0:
        pay_or_return(k, c, paid, 0, page)
        return 0
    head = ring_head(k, page)
    if head >= 0:
        # the newcomer takes half of the head's share; the head becomes the tail, then the newcomer
        k.entry_shift[head] += 1
        k.entry_shift[e] = k.entry_shift[head]
        uncharge(k, k.entry_owner[head], UNIT >> k.entry_shift[head], page)
        k.page_entry[page] = k.entry_after[head] + 1
    ring_append(k, page, e)
    pay_or_return(k, c, paid, UNIT >> k.entry_shift[e], page)
    return 0


def unmapped(k, page, c, _):
    e = part(k)
    if e < 0:
        return 0
    shift = k.entry_shift[e]
    uncharge(k, c, UNIT >> shift, page)
    ring_remove(k, page, e)
    del_entry(k, e)
    if ring_head(k, page) >= 0:
        before = double_tail(k, page)
        if before > shift:
            double_tail(k, page)
    return 0


def double_tail(k, page):
    """The tail becomes the head and pays twice its share. Returns the shift it had."""
    tail = k.entry_before[ring_head(k, page)]
    shift = k.entry_shift[tail]
    k.entry_shift[tail] = shift - 1
    k.page_entry[page] = tail + 1
    inherit(k, k.entry_owner[tail], UNIT >> shift, page)
    return shift
