"""Frames and pages: where content lies, who maps it, when it goes. No choice is made here."""

from .cache import fall_to, leave_cache
from .counters import count_swap, note, say
from .granules import pin, unpin
from .hooks import call_hook
from .lists import entry_to_tail, lru_del, lru_new, lru_put, lru_tail, mark_accessed
from .names import (
    ACTIVE, ANON, CHANGED, DIRTY, FILE, GONE, KERNEL, KIND, L_FREED, L_MAPPED, L_UNMAPPED,
    LISTED_ACTIVE, MAPPED, N_FREED, N_MIGRATED, ON_LRU, PRESENT, Q_STALE, RAMFS, RESIDENT, SHM,
    SLOT, SPECIAL, SPLIT, STALE, STUCK, SWAP, UNMAPPED, USED, V1, VIRTUAL, WRITEBACK, YOUNG, ZERO,
)
from .tables import is_copy, link, unlink
from .ubc import abandon, count_used, slot_payer
from .virtual import forget_page


def count_frame(k, z, kind, step):
    k.zone_free[z] -= step
    if step == 1 and k.has_special:
        # frames come and go last in, first out; a frame keeps the mark of its last charge
        k.fresh_stale = k.stale[k.zone_stale[z] + k.zone_free[z]]
    if kind == ANON:
        k.zone_anon[z] += step
    elif kind == SPECIAL:
        k.zone_special[z] += step
    elif kind == KERNEL:
        k.zone_kernel[z] += step
    else:
        k.zone_file[z] += step
    c = k.zone_owner[z]
    if c >= 0:
        k.usage[c] += step
        if k.usage[c] > k.peak[c]:
            k.peak[c] = k.usage[c]


def settle_in(k, page, z, kind, active):
    """A page moves into a frame of zone z (already counted) and onto the lists."""
    flags = (k.page_flags[page] & SLOT) | kind | RESIDENT | USED
    if active:
        flags |= ACTIVE
    if k.has_special and k.fresh_stale:
        flags |= STALE
    k.page_flags[page] = flags
    k.page_zone[page] = z
    if kind == SPECIAL or kind == KERNEL:
        k.page_next[page] = pin(k, z)
    elif kind != RAMFS:
        if k.pagevec:
            lru_new(k, page)
        else:
            lru_put(k, page, active)


def new_page(k, v, own):
    """Number for an anonymous page: the vpage's own (of an anonymous object) if free, or a copy."""
    if own and not k.page_flags[v] & USED:
        return v
    if k.pages_free:
        page = k.pages_free - 1
        k.pages_free = k.page_next[page]
    else:
        page = k.pages_top
        k.pages_top += 1
    return page


def leave_frame(k, page):
    """The page gives its frame back; its content is gone or in its swap slot."""
    if k.resident and k.page_entry[page]:
        call_hook(k, GONE, page, -1, 0)
    if k.cache:
        leave_cache(k, page)
    flags = k.page_flags[page]
    lru_del(k, page)
    z = k.page_zone[page]
    if k.has_special:
        stale = 1 if flags & STALE else 0
        k.stale[k.zone_stale[z] + k.zone_free[z]] = stale
    kind = flags & KIND
    if kind == SPECIAL or kind == KERNEL:
        unpin(k, k.page_next[page])
    count_frame(k, z, kind, -1)
    if k.ubc and kind == SHM:
        abandon(k, page)
    k.page_flags[page] = flags & (KIND | SLOT | USED)
    if k.family == V1 and flags & SLOT and k.page_payer[page]:
        count_swap(k, k.page_payer[page] - 1, 1)
    if flags & WRITEBACK:
        stop_writing(k, page)
    if k.reclaim == VIRTUAL and kind != ANON:
        forget_page(k, page)
    k.stat[N_FREED] += 1
    if k.watch:
        say(k, L_FREED, page, -1, 0)


def rehouse(k, page, z):
    """The page is copied into a frame of zone z; it goes to the head of the same list there."""
    on_lru = k.page_flags[page] & ON_LRU
    active = k.page_flags[page] & LISTED_ACTIVE != 0
    if on_lru:
        lru_del(k, page)
    kind = k.page_flags[page] & KIND
    count_frame(k, k.page_zone[page], kind, -1)
    count_frame(k, z, kind, 1)
    k.page_zone[page] = z
    if on_lru:
        lru_put(k, page, active)
    k.stat[N_MIGRATED] += 1


def stop_writing(k, page):
    for i in range(k.writing_count):
        if k.writing[i] == page:
            k.writing[i] = -1


def drop_slot(k, page):
    flags = k.page_flags[page]
    if flags & SLOT:
        k.page_flags[page] = flags & ~SLOT
        k.swap_used -= 1
        if k.page_payer[page]:
            if k.family != V1 or not flags & RESIDENT:
                count_swap(k, k.page_payer[page] - 1, -1)
            k.page_payer[page] = 0


def swap_full(k, page):
    """Is more than half of the swap in use, or (v2) half of what its payer or one above may use?"""
    if 2 * k.swap_used > k.swap_size:
        return True
    c = k.page_payer[page] - 1
    while c >= 0 and k.family != V1:
        if 2 * k.swapped[c] >= k.swap_limit[c]:
            return True
        c = k.parent[c]
    return False


def take_slot(k, page):
    if k.swap_used >= k.swap_size or (k.swap_books and not pay_slot(k, page)):
        return False
    k.swap_used += 1
    k.page_flags[page] |= SLOT
    return True


def pay_slot(k, page):
    """The owner of a page pays for its swap slot: in v2 at once, in v1 when the page has left."""
    e = k.page_entry[page] - 1
    c = slot_payer(k, page) if k.ubc else (k.entry_owner[e] if e >= 0 else -1)
    if c < 0:
        return True
    if k.family != V1:
        a = c
        while a >= 0:
            if k.swapped[a] >= k.swap_limit[a]:
                note(k, a, k.swap_events)
                return False
            a = k.parent[a]
        count_swap(k, c, 1)
    k.page_payer[page] = c + 1
    return True


def free_page(k, page):
    """The content is gone for good."""
    drop_slot(k, page)
    flags = k.page_flags[page]
    if flags & RESIDENT:
        leave_frame(k, page)
    if k.reclaim == VIRTUAL:
        forget_page(k, page)
    kind = flags & KIND
    k.page_flags[page] = kind
    if kind == ANON and page >= k.vpages:
        k.page_next[page] = k.pages_free
        k.pages_free = page + 1


def free_if_unused(k, page):
    """An anonymous page, or a container's own copy of a file's, goes with its last reference."""
    if k.page_maps[page] or k.page_swaps[page]:
        return
    flags = k.page_flags[page]
    if flags & KIND != ANON and not is_copy(k, page):
        return
    if k.cache:
        leave_cache(k, page)
    if page != k.held_page and not flags & STUCK and flags & USED:
        free_page(k, page)


def release_hold(k):
    page = k.held_page
    k.held_page = -1
    if page >= 0:
        free_if_unused(k, page)
        if k.cache:
            fall_to(k, page, k.mm_container[k.task_mm[k.task]])


def finish_writing(k):
    """Between two events the disk catches up: every page under writeback is clean now."""
    for i in range(k.writing_count):
        page = k.writing[i]
        if page >= 0:
            flags = k.page_flags[page] & ~WRITEBACK
            k.page_flags[page] = flags
            if flags & ON_LRU and not flags & LISTED_ACTIVE:
                lru_tail(k, page)
            if k.lists == SPLIT and k.page_entry[page] and not flags & ACTIVE:
                entry_to_tail(k, k.page_entry[page] - 1)
    k.writing_count = 0


def install(k, pte, page, flags, paid):
    """A page-table entry starts pointing at a page; the scheme learns of it."""
    w = k.word[pte]
    k.word[pte] = (w & ~0xFF) | flags | PRESENT
    link(k, pte, page)
    attach(k, pte, page, (w >> 40) - 1, paid)


def attach(k, pte, page, mm, paid):
    """Count a present mapper and settle its payment."""
    c = k.mm_container[mm]
    maps = k.page_maps[page] + 1
    if maps == 1:
        k.mapped_pages += 1
        if k.cache:
            leave_cache(k, page)
    k.page_maps[page] = maps
    k.mm_rss[mm] += 1
    k.mapped[c] += 1
    if k.watch:
        say(k, L_MAPPED, page, c, maps)
    if k.page_flags[page] & KIND == SPECIAL:
        return
    k.pte = pte
    if k.ubc:
        count_used(k, pte, mm, c, 1)
    call_hook(k, MAPPED, page, c, paid)


def detach(k, pte, page, mm, c):
    """Uncount a present mapper in mm, charged to container c; the scheme learns of it."""
    maps = k.page_maps[page] - 1
    k.page_maps[page] = maps
    if maps == 0:
        k.mapped_pages -= 1
    k.mm_rss[mm] -= 1
    k.mapped[c] -= 1
    if k.watch:
        say(k, L_UNMAPPED, page, c, maps)
    flags = k.page_flags[page]
    if flags & KIND == SPECIAL:
        if flags & STALE and maps == 0 and k.quirks & Q_STALE:
            k.used_after_free += 1
        return
    k.pte = pte
    if k.ubc:
        count_used(k, pte, mm, c, -1)
    call_hook(k, UNMAPPED, page, c, 0)
    if k.cache and page != k.held_page:
        fall_to(k, page, c)


def remove(k, pte):
    """Clear a page-table entry, whatever is in it (zap)."""
    w = k.word[pte]
    k.word[pte] = w & ~0xFF
    if w & PRESENT:
        if w & ZERO:
            return
        page = k.pte_page[pte]
        kind = k.page_flags[page] & KIND
        if w & YOUNG and (kind == FILE or kind == SHM or kind == RAMFS):
            mark_accessed(k, page)
        if w & DIRTY:
            k.page_flags[page] |= CHANGED
        unlink(k, pte, page)
        mm = (w >> 40) - 1
        detach(k, pte, page, mm, k.mm_container[mm])
        free_if_unused(k, page)
    elif w & (SWAP | ZERO):  # in swap, or on its way to another node
        page = k.pte_page[pte]
        unlink(k, pte, page)
        k.page_swaps[page] -= 1
        free_if_unused(k, page)
