"""Giving pages back: the container's reclaim as posted, unmapping own mappings, and the zones'."""

from .counters import fits, say
from .hooks import mappers_of, maps, oldest_mapper, pass_to, prefetch
from .lists import entry_move, lru_add, lru_del, lru_isolate, lru_put
from .names import (
    ACTIVE, ANON, CHANGED, COPY, DIRTY, DISOWN, FILE, FREE_OWN, GIVEN_UP, GLOBAL, HEADS, JOINT,
    KIND, LEAVING, LOCKED, LRU, L_SWAPOUT, NEXT_HEIR, NO_RECLAIM, N_RMAP, N_SCANNED,
    N_SWAP_OUTS, N_UNMAPPED, N_WRITES, N_ZONE_SCANNED, ON_LRU, PRESENT, Q_CUTOFF, Q_ROTATION,
    Q_TWO_PAGES, REFERENCED, RESIDENT, SHARED, SHM, SLOT, STUCK, SWAP, UNMAP_ALL, UNMAP_OWN,
    VIRTUAL, WRITEBACK, YOUNG,
)
from .pages import (
    detach, finish_writing, free_if_unused, free_page, leave_frame, take_slot,
)
from .tables import is_copy, object_of, unlink
from .virtual import may_go

KEPT, FREED, ACTIVATED, UNMAPPED_ALL = range(4)
TRIES = 5


def page_referenced(k, page, only):
    """Clear and count PG_referenced and the young bits of all mappers, or of one container's."""
    count = 0
    if k.page_flags[page] & REFERENCED:
        k.page_flags[page] &= ~REFERENCED
        count = 1
    left = k.page_maps[page] + k.page_swaps[page]
    k.stat[N_RMAP] += left
    pte = k.page_rmap[page] - 1
    while left:
        w = k.word[pte]
        if w & PRESENT and (only < 0 or k.mm_container[(w >> 40) - 1] == only):
            if w & LOCKED and w & SHARED:
                count += 1
            if w & YOUNG:
                k.word[pte] = w & ~YOUNG
                count += 1
        left -= 1
        if left:
            pte = k.pte_next[pte]
    return count


def unmap_pte(k, pte, page):
    """One mapper loses the page to reclaim: a swap entry stays if it is anonymous."""
    w = k.word[pte]
    mm = (w >> 40) - 1
    if w & DIRTY:
        k.page_flags[page] |= CHANGED
    k.stat[N_UNMAPPED] += 1
    if k.page_flags[page] & KIND == ANON:
        k.word[pte] = (w & ~0xFF) | SWAP
        k.page_swaps[page] += 1
    else:
        k.word[pte] = w & ~0xFF
        unlink(k, pte, page)
    detach(k, pte, page, mm, k.mm_container[mm])


def try_to_unmap(k, page, only):
    """From every mapper, oldest first, or from one container's. False at the first that resists."""
    pte = k.page_rmap[page] - 1
    for _ in range(k.page_maps[page] + k.page_swaps[page]):
        after = k.pte_next[pte]
        w = k.word[pte]
        k.stat[N_RMAP] += 1
        if w & PRESENT and (only < 0 or k.mm_container[(w >> 40) - 1] == only):
            if w & LOCKED:
                return False
            if w & YOUNG and k.all_references:
                k.word[pte] = w & ~YOUNG
                return False
            unmap_pte(k, pte, page)
        pte = after
    return True


def activate(k, page):
    k.page_flags[page] |= ACTIVE
    return ACTIVATED


def reclaim_page(k, page, only, unmap_only):
    """One page of shrink_page_list: what Linux 2.6.20 does with an isolated inactive page.

    unmap_only  stop when nobody maps it any more: it stays in its cache
    """
    flags = k.page_flags[page]
    if flags & WRITEBACK:
        return KEPT
    kind = flags & KIND
    referenced = page_referenced(k, page, only)
    if referenced:
        if k.page_maps[page] or flags & SLOT:
            return activate(k, page)
        if kind != ANON and k.obj_vmas[object_of(k, page)]:
            return activate(k, page)
    return let_go(k, page, referenced, unmap_only)


def let_go(k, page, referenced, unmap_only):
    """Unmapped everywhere, written if dirty (not if it was `referenced`), freed if it can be."""
    kind = k.page_flags[page] & KIND
    if kind == ANON and not k.page_flags[page] & SLOT:
        if not take_slot(k, page):
            return activate(k, page)
        k.page_flags[page] |= CHANGED
    if k.page_maps[page] and not try_to_unmap(k, page, -1):
        return activate(k, page)
    if unmap_only:
        return UNMAPPED_ALL
    held = page == k.held_page or k.page_flags[page] & STUCK != 0
    if k.page_flags[page] & CHANGED:
        if referenced or held:
            return KEPT
        if kind == SHM and not k.page_flags[page] & SLOT and not take_slot(k, page):
            return activate(k, page)
        k.page_flags[page] &= ~CHANGED
        k.stat[N_WRITES] += 1
        if kind == ANON or kind == SHM:
            k.stat[N_SWAP_OUTS] += 1
            if k.watch:
                say(k, L_SWAPOUT, page, -1, 0)
        if k.async_write:
            k.page_flags[page] |= WRITEBACK
            k.writing[k.writing_count] = page
            k.writing_count += 1
            k.begun += 1
            return KEPT
    if held:
        return KEPT
    if kind == ANON and k.page_swaps[page] == 0:
        free_page(k, page)
    else:
        leave_frame(k, page)
    return FREED


def scan(k, c, which, active, n, only):
    """Look at n entries from the tail of a container's list; deal with the pages that fit: active
    ones are aged, inactive ones reclaimed. Returns pages freed (or unmapped).

    Everything looked at goes to the head as a block, in its order (RE6); repaired, only what fits
    moves, and only that counts.
    """
    head = HEADS * c + which
    first = k.entry_next[head]
    rotate = k.quirks & Q_ROTATION
    seen = 0
    looked = 0
    freed = 0
    k.taken = 0
    e = k.entry_prev[head]
    ahead = look_back(k, look_back(k, look_back(k, look_back(k, e))))
    while looked < n and e != head:
        # what is dealt with may have gone in front of the newest: nothing is looked at twice
        before = head if e == first else k.entry_prev[e]
        ahead = look_back(k, ahead)
        page = k.entry_page[e]
        flags = k.page_flags[page]
        takes = flags & ON_LRU and (k.lists == LRU or (flags & ACTIVE != 0) == active)
        if takes:
            lru_isolate(k, page, True)
            k.taken += 1
            if not rotate:
                entry_move(k, e, which)
            if k.debug_vm and (flags & ACTIVE != 0) != active:
                k.hung = 2  # the assertions of CONFIG_DEBUG_VM (LR1, LR2)
                return 0
            if active:
                age(k, page, only)
            else:
                freed += shrink_page(k, page, only)
        if takes or rotate:
            looked += 1
        seen += 1
        e = before
    k.stat[N_SCANNED] += seen
    k.scanned = looked
    last = k.entry_prev[head]
    if rotate and e != head and last != e:
        # cut the block from the tail and put it in front of what was there: two links move
        start = k.entry_next[e]
        k.entry_next[e] = head
        k.entry_prev[head] = e
        before = k.entry_prev[first]
        k.entry_next[before] = start
        k.entry_prev[start] = before
        k.entry_next[last] = first
        k.entry_prev[first] = last
    return freed


def look_back(k, e):
    """Ask for what the look at an entry will need, some looks ahead. Returns the next."""
    prefetch(k.page_flags, k.entry_page[e])
    prefetch(k.word, k.entry_page[e])
    return k.entry_prev[e]


def to_list(k, page, which):
    """Two-list variant (Singh, 9 Mar 2007): the entry follows, if the page is still charged."""
    if k.lists == LRU and k.page_entry[page] and (k.page_maps[page] or k.resident):
        entry_move(k, k.page_entry[page] - 1, which)


def age(k, page, only):
    """An active page stays so if it is mapped and in use."""
    keep = False
    if k.page_maps[page]:
        if k.swap_size == 0 and k.page_flags[page] & KIND == ANON:
            keep = True
        elif page_referenced(k, page, only):
            keep = True
    if not keep:
        k.page_flags[page] &= ~ACTIVE
    lru_put(k, page, keep)
    to_list(k, page, 1 if keep else 0)


def shrink_page(k, page, only):
    """1: freed, or unmapped where that is all."""
    verdict = reclaim_page(k, page, only, k.reclaim == UNMAP_ALL)
    if verdict == FREED:
        return 1
    lru_add(k, page)
    to_list(k, page, 0)
    return 1 if verdict == UNMAPPED_ALL else 0


def shrink_active(k, c, n, only):
    scan(k, c, 1 if k.lists == LRU else 0, True, n, only)


def shrink_inactive(k, c, most, only):
    """In whole clusters whatever the quota (RE5). Returns pages freed (or unmapped)."""
    freed = 0
    scanned = 0
    while scanned < most:
        freed += scan(k, c, 0, False, k.cluster, only)
        scanned += k.scanned
        if k.taken == 0 or k.hung:
            break
    return freed


def quota(k, c, p):
    """Pages to scan at priority p; below one cluster nothing is scanned (RE1)."""
    n = (k.usage[c] // k.unit >> p) + 1
    return 0 if n < k.cluster and k.quirks & Q_CUTOFF else n


def shrink_container(k, c, p, only):
    n = quota(k, c, p)
    while n > 0:
        shrink_active(k, c, min(n, k.cluster), only)
        n -= k.cluster
    if k.hung:
        return 0
    freed = 0
    n = quota(k, c, p)
    while n > 0:
        freed += shrink_inactive(k, c, min(n, k.cluster), only)
        n -= k.cluster
    return freed


def unmap_own(k, c):
    """Unmap c's own mappings of its oldest quiet pages; frames stay in the caches. How many."""
    unmapped = 0
    head = HEADS * c
    for _ in range(2 * k.held[c]):
        e = k.entry_prev[head]
        if unmapped >= k.cluster or e == head:
            break
        page = k.entry_page[e]
        k.stat[N_SCANNED] += 1
        if may_unmap_own(k, page, c) and unmap_for(k, page, c):
            unmapped += 1
            if k.reclaim == FREE_OWN:
                free_unmapped(k, page)
        if k.entry_owner[e] == c:
            entry_move(k, e, 0)  # kept; or gone from c, which still pays while others map it
    return unmapped


def may_unmap_own(k, page, c):
    used = used_lately(k, page, -1 if k.all_references else c)
    if used or resists(k, page, c, LOCKED) or page == k.held_page:
        return False
    return has_slot(k, page)


def has_slot(k, page):
    """An anonymous page can only be unmapped when it has, or gets, a swap slot."""
    flags = k.page_flags[page]
    if flags & KIND == ANON and not flags & SLOT:
        if not take_slot(k, page):
            return False
        k.page_flags[page] |= CHANGED
    return True


def free_unmapped(k, page):
    """The last mapping went with the container's: the frame goes too, as from the zone's list."""
    flags = k.page_flags[page]
    if k.page_maps[page] == 0 and flags & ON_LRU:
        lru_del(k, page)
        k.page_flags[page] &= ~(REFERENCED | ACTIVE)
        if reclaim_page(k, page, -1, False) != FREED:
            lru_add(k, page)


def used_lately(k, page, only):
    """Clear the young bits of all mappers and PG_referenced, or of one container's mappers only."""
    young = only < 0 and k.page_flags[page] & REFERENCED != 0
    if young:
        k.page_flags[page] &= ~REFERENCED
    pte = k.page_rmap[page] - 1
    for _ in range(k.page_maps[page] + k.page_swaps[page]):
        w = k.word[pte]
        k.stat[N_RMAP] += 1
        mine = only < 0 or k.mm_container[(w >> 40) - 1] == only
        if w & PRESENT and w & YOUNG and mine:
            k.word[pte] = w & ~YOUNG
            young = True
        pte = k.pte_next[pte]
    return young


def resists(k, page, c, flags):
    """Whether one of c's mappings, or any (-1), has one of the flags."""
    pte = k.page_rmap[page] - 1
    for _ in range(k.page_maps[page] + k.page_swaps[page]):
        w = k.word[pte]
        if w & PRESENT and w & flags and (c < 0 or k.mm_container[(w >> 40) - 1] == c):
            return True
        pte = k.pte_next[pte]
    return False


def unmap_for(k, page, c):
    """c's mappings go, or everybody's (-1). Returns how many."""
    unmapped = 0
    pte = k.page_rmap[page] - 1
    for _ in range(k.page_maps[page] + k.page_swaps[page]):
        after = k.pte_next[pte]
        w = k.word[pte]
        k.stat[N_RMAP] += 1
        if w & PRESENT and (c < 0 or k.mm_container[(w >> 40) - 1] == c):
            unmap_pte(k, pte, page)
            unmapped += 1
        pte = after
    return unmapped


def unmap_global(k, c, want):
    """Unmap c's mappings of up to `want` pages, found by walking the zones' lists, oldest first.

    Others' pages are looked at and stay where they are; c's own in use become the newest. A second
    round finds what the first has seen in use and nobody has used since. Returns pages unmapped.
    """
    unmapped = 0
    for turn in range(4 * k.zones):
        head = k.vpages + turn % (2 * k.zones)
        page = k.page_prev[head]
        last = k.page_next[head]
        while page != head and unmapped < want:
            before = k.page_prev[page]
            k.stat[N_ZONE_SCANNED] += 1
            if maps(k, page, c, -1):
                unmapped += unmap_or_renew(k, page, c)
            if page == last:
                break
            page = before
    return unmapped


def unmap_or_renew(k, page, c):
    if not may_unmap_own(k, page, c):
        lru_del(k, page)
        k.page_flags[page] |= ACTIVE
        lru_add(k, page)
        return 0
    unmap_for(k, page, c)
    if k.reclaim == FREE_OWN:
        free_unmapped(k, page)
    return 1


def put_out(k, c):
    """The guest's oldest quiet page goes, for it; the frame stays. Returns pages: one, or none
    where nothing is quiet or that page finds no virtual slot."""
    head = HEADS * c
    for _ in range(2 * k.held[c]):
        e = k.entry_prev[head]
        if e == head:
            break
        page = k.entry_page[e]
        k.stat[N_SCANNED] += 1
        if may_unmap_own(k, page, c):
            if not may_go(k, e, c):
                break
            k.evicting = 1
            gone = unmap_for(k, page, c)
            k.evicting = 0
            return min(gone, 1)
        entry_move(k, e, 0)
    return 0


def take_gone(k, z):
    """The host is short: pages that are gone for their guests go first. Returns pages freed."""
    freed = 0
    for c in range(k.containers):
        head = HEADS * c + 1
        e = k.entry_prev[head]
        while e != head and k.zone_free[z] < k.zone_high[z]:
            before = k.entry_prev[e]
            page = k.entry_page[e]
            flags = k.page_flags[page]
            if flags & ON_LRU and k.page_zone[page] == z and k.page_maps[page] == 0:
                k.stat[N_ZONE_SCANNED] += 1
                lru_del(k, page)
                k.page_flags[page] &= ~(REFERENCED | ACTIVE)
                if reclaim_page(k, page, -1, False) == FREED:
                    freed += 1
                else:
                    lru_add(k, page)
            e = before
    return freed


def push_back(k, c, units):
    """Five tries to make room for a charge, each for a share of the limit (Singh, Feb 2007)."""
    for _ in range(TRIES):
        unmap_global(k, c, max(1, k.limit[c] * k.pushback // 100))
        if fits(k, c, units):
            return True
    return False


def disown(k, c):
    """Pages c pays for and does not map are unmapped for all, and stay in their cache: whoever
    touches one next pays for it, or for a copy. Returns how many; at most a cluster."""
    given = 0
    for which in range(2):
        head = HEADS * c + which
        e = k.entry_prev[head]
        while e != head and given < k.cluster:
            before = k.entry_prev[e]
            page = k.entry_page[e]
            k.stat[N_SCANNED] += 1
            if mappers_of(k, page, c) == 0 and may_give_up(k, page) and has_slot(k, page):
                unmap_for(k, page, -1)
                if k.reclaim == COPY:
                    to_be_copied(k, page)
                given += 1
            e = before
    return given


def may_give_up(k, page):
    """Nobody has locked the page; and where it will be copied, nobody sees others' writes to it."""
    if k.reclaim != COPY:
        return not resists(k, page, -1, LOCKED)
    flags = k.page_flags[page]
    clean = flags & KIND == FILE and not flags & (CHANGED | WRITEBACK)
    return (clean or flags & KIND == ANON) and not resists(k, page, -1, LOCKED | SHARED)


def to_be_copied(k, page):
    """A page of a file that nobody maps any more: the next to touch it makes a copy of his own."""
    if is_copy(k, page):
        free_if_unused(k, page)
    elif k.page_flags[page] & KIND == FILE:
        k.page_flags[page] |= GIVEN_UP


def settle_leaving(k):
    """At the end of an event: pages whose payer has left them (heir=next), or that put a container
    above its limit without its doing (forced=free), are unmapped for all; unless they cannot go."""
    for i in range(k.leaving_count):
        page = k.leaving[i]
        if k.page_flags[page] & LEAVING and k.page_maps[page] and unpaid(k, page, 0):
            if not resists(k, page, -1, LOCKED) and has_slot(k, page):
                unmap_for(k, page, -1)
            else:
                if k.heir == NEXT_HEIR and deserted(k, page):
                    pass_to(k, page, oldest_mapper(k, page))
                if k.frees_forced:
                    unpaid(k, page, 1)
        k.page_flags[page] &= ~LEAVING
    k.leaving_count = 0


def deserted(k, page):
    """Does its payer map the page no more?"""
    return k.entry_count[k.page_entry[page] - 1] == 0


def unpaid(k, page, failures):
    """Is the page's payer without a mapping of it, or one of its payers above the limit? Each of
    those counts so many failures."""
    e = k.page_entry[page] - 1
    found = k.heir == NEXT_HEIR and deserted(k, page)
    for _ in range(k.page_holders[page] if k.per_pair else 1):
        c = k.entry_owner[e]
        if k.frees_forced and not fits(k, c, 0):
            k.failcnt[c] += failures
            found = True
        e = k.entry_after[e]
    return found


def try_to_free(k, c):
    """What a container does at its limit. True: worth trying the charge again.

    Where cached pages count too, they go first; and last, what the rest has left in the caches.
    """
    if k.cache != JOINT:
        return reclaim_mapped(k, c)
    if shrink_cache(k, c):
        return True
    return reclaim_mapped(k, c) or shrink_cache(k, c) > 0


def shrink_cache(k, c):
    """The cached pages c pays for go, oldest first, until a cluster is freed or being written.

    If none was freed and the disk is busy, it waits for it and tries again. Returns pages freed.
    """
    freed = drop_cached(k, c)
    if freed == 0 and k.writing_count:
        finish_writing(k)
        freed = drop_cached(k, c)
    return freed


def drop_cached(k, c):
    freed = 0
    enough = k.begun + k.cluster
    row = k.cache_prev[c]
    while row != c and freed + k.begun < enough:
        before = k.cache_prev[row]
        page = row - k.containers
        k.stat[N_SCANNED] += 1
        if page != k.held_page and not k.page_flags[page] & (STUCK | WRITEBACK):
            free_unmapped(k, page)
            if not k.page_flags[page] & RESIDENT:
                freed += 1
        row = before
    return freed


def reclaim_mapped(k, c):
    if k.reclaim == NO_RECLAIM:
        return False
    if k.pushback:
        return push_back(k, c, k.unit)
    if k.reclaim == VIRTUAL:
        return put_out(k, c) > 0
    if k.lists == GLOBAL:
        return unmap_global(k, c, k.cluster) > 0
    if k.reclaim == UNMAP_OWN or k.reclaim == FREE_OWN:
        return unmap_own(k, c) > 0
    if (k.reclaim == DISOWN or k.reclaim == COPY) and disown(k, c):
        return True
    only = -1 if k.all_references else c
    freed = 0
    for p in range(12, -1, -1):
        freed += shrink_container(k, c, p, only)
        if freed > 1 or (freed == 1 and not k.quirks & Q_TWO_PAGES):
            return True
    return False


# the machine's own reclaim, zone by zone


def isolate_zone(k, z, which, n):
    head = k.vpages + 2 * z + which
    taken = 0
    while taken < n:
        page = k.page_prev[head]
        if page == head:
            break
        lru_isolate(k, page, False)
        k.batch[taken] = page
        taken += 1
    k.stat[N_ZONE_SCANNED] += taken
    return taken


def shrink_zone_active(k, z, n, p):
    """Mapped pages are spared until memory is mostly mapped or priority p has risen; asked anew
    for every batch, as 2.6.20 does."""
    mapped_ratio = 100 * k.mapped_pages // k.total_frames
    reclaim_mapped = mapped_ratio // 2 + (100 >> p) + k.swappiness >= 100
    taken = isolate_zone(k, z, 1, n)
    for i in range(taken):
        page = k.batch[i]
        flags = k.page_flags[page]
        keep = False
        if k.page_maps[page]:
            if not reclaim_mapped or (k.swap_size == 0 and flags & KIND == ANON):
                keep = True
            elif page_referenced(k, page, -1):
                keep = True
        if not keep:
            k.page_flags[page] &= ~ACTIVE
        lru_put(k, page, keep)


def shrink_zone_inactive(k, z, n):
    freed = 0
    taken = isolate_zone(k, z, 0, n)
    for i in range(taken):
        if reclaim_page(k, k.batch[i], -1, False) == FREED:
            freed += 1
            k.batch[i] = -1
    for i in range(taken):
        page = k.batch[i]
        if page >= 0:
            lru_add(k, page)
    return freed


def shrink_zone(k, z, p):
    """One pass over a zone at priority p, with 2.6.20's amounts. Returns pages freed."""
    active = k.zone_scan_active[z] + (k.zone_active[z] >> p) + 1
    inactive = k.zone_scan_inactive[z] + (k.zone_inactive[z] >> p) + 1
    k.zone_scan_active[z] = 0
    k.zone_scan_inactive[z] = 0
    if active < k.cluster:
        k.zone_scan_active[z] = active
        active = 0
    if inactive < k.cluster:
        k.zone_scan_inactive[z] = inactive
        inactive = 0
    freed = 0
    while active > 0 or inactive > 0:
        if active > 0:
            shrink_zone_active(k, z, min(active, k.cluster), p)
            active -= k.cluster
        if inactive > 0:
            freed += shrink_zone_inactive(k, z, min(inactive, k.cluster))
            inactive -= k.cluster
    return freed


def reclaim_zone(k, z):
    """Until the zone's high mark is reached or the last priority is done. Returns pages freed."""
    freed = take_gone(k, z) if k.reclaim == VIRTUAL else 0
    for p in range(12, -1, -1):
        if k.zone_free[z] >= k.zone_high[z]:
            break
        freed += shrink_zone(k, z, p)
    return freed
