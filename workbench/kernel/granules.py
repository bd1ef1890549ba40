"""Blocks of memory: what a zone grows and shrinks by, and the unmovable pages that pin them.

A zone is zone_frames // granule whole granules (the root's may have a rest). Pages that can be
moved or reclaimed have no place inside their zone: compaction is free, so only unmovable frames
(kernel objects, page tables, stacks, driver pages) tell one granule from another. A granule that
holds any is pinned, has a record, and stays with its zone; the others are a number.
"""

from .names import HUGE, Q_LIMIT_ZERO


def pin(k, z):
    """Where a new unmovable frame of zone z lies: its granule. Without zones, the zone.

    unmovable=spread: a granule without any while there is one, then one after the other;
    grouped: the pinned granule in use until it is full.
    """
    if k.granule == 0:
        return z
    g = k.zone_open[z] - 1
    if g < 0 or (k.spread and k.zone_pinned[z] < k.zone_frames[z] // k.granule):
        g = new_granule(k, z)
    k.gran_pins[g] += 1
    if k.gran_pins[g] == k.granule:
        close_granule(k, g)
    elif k.spread:
        k.zone_open[z] = k.gran_next[g] + 1
    return g


def unpin(k, g):
    """An unmovable frame goes. Returns the zone that its granule is in by now."""
    if k.granule == 0:
        return g
    z = k.gran_zone[g]
    if k.gran_pins[g] == k.granule:
        open_granule(k, g)
    k.gran_pins[g] -= 1
    if k.gran_pins[g] == 0:
        close_granule(k, g)
        k.zone_pinned[z] -= 1
        k.gran_next[g] = k.grans_free
        k.grans_free = g + 1
    return z


def zone_at(k, g):
    return k.gran_zone[g] if k.granule else g


def new_granule(k, z):
    """A record for a granule that becomes pinned; it is the next to be used."""
    if k.grans_free:
        g = k.grans_free - 1
        k.grans_free = k.gran_next[g]
    else:
        g = k.grans_top
        k.grans_top += 1
    k.gran_zone[g] = z
    k.gran_pins[g] = 0
    k.zone_pinned[z] += 1
    open_granule(k, g)
    return g


def open_granule(k, g):
    """Onto its zone's ring of pinned granules with room, as the last; returns nothing."""
    z = k.gran_zone[g]
    first = k.zone_open[z] - 1
    if first < 0:
        k.zone_open[z] = g + 1
        k.gran_next[g] = g
        k.gran_prev[g] = g
    else:
        last = k.gran_prev[first]
        k.gran_next[g] = first
        k.gran_prev[g] = last
        k.gran_next[last] = g
        k.gran_prev[first] = g


def close_granule(k, g):
    """Off the ring: full, or pinned no longer."""
    z = k.gran_zone[g]
    after = k.gran_next[g]
    if after == g:
        k.zone_open[z] = 0
        return
    before = k.gran_prev[g]
    k.gran_next[before] = after
    k.gran_prev[after] = before
    if k.zone_open[z] == g + 1:
        k.zone_open[z] = after + 1


def join_granules(k, z, to):
    """All pinned granules of zone z are zone `to`'s from now on."""
    while k.zone_open[z]:
        g = k.zone_open[z] - 1
        close_granule(k, g)
        k.gran_zone[g] = to
        open_granule(k, g)
    for g in range(k.grans_top):
        if k.gran_zone[g] == z:  # the full ones
            k.gran_zone[g] = to
    k.zone_pinned[to] += k.zone_pinned[z]
    k.zone_pinned[z] = 0


def granules(k, frames):
    """Whole granules that hold so many frames."""
    return (frames + k.granule - 1) // k.granule


def spare(k, z):
    """How many granules a zone can give away as it is: free frames, and no pin in them."""
    return max(0, min((k.zone_free[z] - k.zone_low[z]) // k.granule,
                      k.zone_frames[z] // k.granule - k.zone_pinned[z]))


def shift(k, z, to, n):
    """n free granules change zones."""
    k.zone_frames[z] -= n * k.granule
    k.zone_free[z] -= n * k.granule
    k.zone_frames[to] += n * k.granule
    k.zone_free[to] += n * k.granule


def endless(k, limit):
    return limit >= HUGE or (limit == 0 and k.quirks & Q_LIMIT_ZERO != 0)


def grow(k, z):
    """A full zone below its limit takes a granule that is free in its node or in a zone there."""
    c = k.zone_owner[z]
    if c <= 0 or (not endless(k, k.limit[c]) and k.zone_frames[z] >= k.limit[c]):
        return False
    giver = k.zone_node[z]
    for other in range(k.nodes, k.zones):
        if spare(k, giver) == 0 and k.zone_owner[other] > 0:
            if k.zone_node[other] == k.zone_node[z]:
                giver = other
    if giver == z or spare(k, giver) == 0:
        return False
    shift(k, giver, z, 1)
    return True
