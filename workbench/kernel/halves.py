"""Shares in powers of two: OpenVZ's ring of page beancounters, constant work per join and leave.

An entry pays the unit >> entry_shift. Source: the ring of OpenVZ's kernel 2.6.18 (Kirill Korotaev,
Pavel Emelianov).
"""

from .counters import uncharge
from .hooks import (
    del_entry, inherit, join, part, pay_or_return, ring_append, ring_head, ring_remove,
)


def newcomers_share(k, page):
    head = ring_head(k, page)
    return k.unit >> (k.entry_shift[head] + 1) if head >= 0 else k.unit


def join_halves(k, page, c, paid):
    """The mapper k.pte is new: if it is c's first, c takes half of the head's share; the head
    becomes the tail, then the newcomer."""
    e = join(k, page, c)
    if e < 0:
        return pay_or_return(k, c, paid, 0, page)
    head = ring_head(k, page)
    if head >= 0:
        k.entry_shift[head] += 1
        k.entry_shift[e] = k.entry_shift[head]
        uncharge(k, k.entry_owner[head], k.unit >> k.entry_shift[head], page)
        k.page_entry[page] = k.entry_after[head] + 1
    ring_append(k, page, e)
    return pay_or_return(k, c, paid, k.unit >> k.entry_shift[e], page)


def leave_halves(k, page, c):
    """The mapper k.pte has gone: if it was c's last, one or two others take over c's share."""
    e = part(k)
    if e < 0:
        return 0
    shift = k.entry_shift[e]
    uncharge(k, c, k.unit >> shift, page)
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
    inherit(k, k.entry_owner[tail], k.unit >> shift, page)
    return shift
