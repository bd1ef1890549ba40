"""The life of a container's zone: made with it, resized, left by its tasks, buried."""

from .counters import say
from .granules import endless, granules, join_granules, shift, spare
from .names import (
    ANON, CHANGED, FILE, KIND, L_NO_GRANULE, L_PINNED, L_RESIZED, L_STILL_USED, N_SWAP_OUTS,
    N_WRITES, ORPHAN_DESTROYED, ORPHAN_SHARED, ORPHAN_STAYS, PRESENT, RESIDENT, SHM, SLOT,
    SPECIAL, WRITEBACK, ZERO,
)
from .pages import free_page, leave_frame, rehouse, take_slot
from .reclaim import page_referenced, reclaim_zone, try_to_unmap
from .tables import sort_ptes, vpage_of


def has_own_zone(k, c):
    """Not the root, not a member of a pool."""
    return k.own_zone[c] >= 0 and k.zone_owner[k.own_zone[c]] == c


def found_zone(k, c):
    """A zone for a container that is made; what an earlier one of its name left is taken over.

    Without a limit it gets half of the granules that its node has free. False: too few are free.
    """
    if not has_own_zone(k, c):
        return True
    z = k.own_zone[c]
    limit = k.table_limit[c]
    if k.grows:
        want = 0 if limit == 0 and not endless(k, limit) else 1
    elif endless(k, limit):
        want = spare(k, k.zone_node[z]) // 2
    else:
        want = granules(k, limit)
    return set_size(k, c, z, want)


def resize(k, c, frames):
    """A new limit under zones. False: not to be had, nothing has changed but what was reclaimed."""
    if not has_own_zone(k, c) or endless(k, frames):
        return False
    z = k.own_zone[c]
    want = granules(k, frames)
    if k.grows:  # what is missing comes on demand
        want = min(want, k.zone_frames[z] // k.granule)
    return set_size(k, c, z, want)


def set_size(k, c, z, want):
    """Take free granules from the node, or give some back after reclaiming what is in them."""
    node = k.zone_node[z]
    more = want - k.zone_frames[z] // k.granule
    if more > spare(k, node):
        return refuse(k, c, L_NO_GRANULE, more - spare(k, node))
    if more < 0:
        pinned = k.zone_pinned[z] - want
        if pinned > 0:
            return refuse(k, c, L_PINNED, pinned)
        high = k.zone_high[z]
        k.zone_high[z] = -more * k.granule
        idle = 0  # passes that freed nothing: the first only ages
        while k.zone_free[z] < k.zone_high[z] and idle < 2:
            idle = 0 if reclaim_zone(k, z) else idle + 1
        missing = k.zone_high[z] - k.zone_free[z]
        k.zone_high[z] = high
        if missing > 0:
            return refuse(k, c, L_STILL_USED, missing)
    shift(k, node, z, more)
    if k.watch:
        say(k, L_RESIZED, -1, c, k.zone_frames[z])
    return True


def refuse(k, c, why, amount):
    if k.watch:
        say(k, why, -1, c, amount)
    return False


def bury_zone(k, c):
    """The container is gone. Its zone stays; or it is emptied, or its clean cache dropped, and the
    rest goes with its granules to the node, or to the zone that its set shares on that node."""
    if not has_own_zone(k, c) or k.orphan == ORPHAN_STAYS:
        return
    z = k.own_zone[c]
    if k.orphan == ORPHAN_DESTROYED:
        for head in range(k.vpages + 2 * z, k.vpages + 2 * z + 2):
            page = k.page_prev[head]
            while page != head:
                before = k.page_prev[page]
                throw_out(k, page)
                page = before
    else:
        drop_clean(k, z)
    to = k.zone_node[z]
    shared = k.set_zone[c] - 1
    if k.orphan == ORPHAN_SHARED and shared >= 0 and k.zone_node[shared] == to:
        to = shared
    merge(k, z, to)


def drop_clean(k, z):
    """Free every clean, unmapped page of a file, in one zone or (-1) in all."""
    for page in range(k.pages_top):
        flags = k.page_flags[page]
        if flags & KIND == FILE and flags & RESIDENT and not flags & (CHANGED | WRITEBACK):
            if k.page_maps[page] == 0 and (z < 0 or k.page_zone[page] == z):
                leave_frame(k, page)


def throw_out(k, page):
    """Out of memory, whoever uses it, written back if dirty. Locked or without a slot: it stays."""
    kind = k.page_flags[page] & KIND
    page_referenced(k, page, -1)  # young or not
    if kind == ANON and not k.page_flags[page] & SLOT:
        if not take_slot(k, page):
            return
        k.page_flags[page] |= CHANGED
    if k.page_maps[page] and not try_to_unmap(k, page, -1):
        return
    if k.page_flags[page] & CHANGED:
        if kind == SHM and not k.page_flags[page] & SLOT and not take_slot(k, page):
            return
        k.page_flags[page] &= ~CHANGED
        k.stat[N_WRITES] += 1
        if kind != FILE:
            k.stat[N_SWAP_OUTS] += 1
    if kind == ANON and k.page_swaps[page] == 0:
        free_page(k, page)
    else:
        leave_frame(k, page)


def merge(k, z, to):
    """Everything zone z is and has becomes zone `to`'s; its pages are the oldest there."""
    for page in range(k.pages_top):
        if k.page_flags[page] & RESIDENT and k.page_zone[page] == z:
            k.page_zone[page] = to
    for active in range(2):
        splice(k, k.vpages + 2 * z + active, k.vpages + 2 * to + active)
    k.zone_active[to] += k.zone_active[z]
    k.zone_inactive[to] += k.zone_inactive[z]
    k.zone_active[z] = 0
    k.zone_inactive[z] = 0
    join_granules(k, z, to)
    used = k.zone_frames[z] - k.zone_free[z]
    hand_over_counts(k, z, to)
    charge_zone(k, z, -used)
    charge_zone(k, to, used)


def hand_over_counts(k, z, to):
    k.zone_frames[to] += k.zone_frames[z]
    k.zone_free[to] += k.zone_free[z]
    k.zone_anon[to] += k.zone_anon[z]
    k.zone_file[to] += k.zone_file[z]
    k.zone_special[to] += k.zone_special[z]
    k.zone_kernel[to] += k.zone_kernel[z]
    k.zone_frames[z] = 0
    k.zone_free[z] = 0
    k.zone_anon[z] = 0
    k.zone_file[z] = 0
    k.zone_special[z] = 0
    k.zone_kernel[z] = 0


def charge_zone(k, z, frames):
    c = k.zone_owner[z]
    if c >= 0:
        k.usage[c] += frames
        k.peak[c] = max(k.peak[c], k.usage[c])


def splice(k, head, to):
    """What is on one list of pages goes to the tail of another."""
    first = k.page_next[head]
    if first == head:
        return
    last = k.page_prev[head]
    before = k.page_prev[to]
    k.page_next[before] = first
    k.page_prev[first] = before
    k.page_next[last] = to
    k.page_prev[to] = last
    k.page_next[head] = head
    k.page_prev[head] = head


def carry(k, t, mm):
    """Pages that mm alone maps go along into the zone of its new container, while there is room."""
    z = k.own_zone[k.mm_container[mm]]
    if z < 0:
        z = k.task_node[t]
    sort_ptes(k, mm)
    pte = k.mm_ptes[mm] - 1
    while pte >= 0:
        w = k.word[pte]
        if w & PRESENT and not w & ZERO and vpage_of(k, pte) < k.vpages:
            page = k.pte_page[pte]
            alone = k.page_maps[page] + k.page_swaps[page] == 1
            if alone and k.page_flags[page] & KIND != SPECIAL and k.page_zone[page] != z:
                if k.zone_free[z] > k.zone_min[z]:
                    rehouse(k, page, z)
        pte = k.pte_sibling[pte] - 1
