"""Lists by index: the zones' active and inactive lists, and the containers' lists of entries."""

from .names import (
    ACTIVE, FILE, HEADS, IN_PAGEVEC, INACTIVE_ANON, INACTIVE_FILE, KIND, LISTED_ACTIVE, LRU,
    ON_LRU, Q_ZONE_COUNTERS, RAMFS, REFERENCED, SPLIT, UNEVICTABLE,
)


def lru_add(k, page):
    """Put a page at the head of its zone's list, active or not as its flag says."""
    lru_put(k, page, k.page_flags[page] & ACTIVE != 0)


def lru_put(k, page, active):
    """Put a page at the head of one of its zone's lists."""
    z = k.page_zone[page]
    flags = k.page_flags[page]
    if active:
        flags |= LISTED_ACTIVE
        head = k.vpages + 2 * z + 1
        k.zone_active[z] += 1
    else:
        head = k.vpages + 2 * z
        k.zone_inactive[z] += 1
    first = k.page_next[head]
    k.page_next[page] = first
    k.page_prev[page] = head
    k.page_prev[first] = page
    k.page_next[head] = page
    k.page_flags[page] = flags | ON_LRU


def lru_unlink(k, page):
    before = k.page_prev[page]
    after = k.page_next[page]
    k.page_next[before] = after
    k.page_prev[after] = before
    k.page_flags[page] &= ~(ON_LRU | LISTED_ACTIVE)


def lru_del(k, page):
    """Take a page off its zone's list, if it is on one."""
    flags = k.page_flags[page]
    if flags & ON_LRU:
        lru_unlink(k, page)
        if flags & LISTED_ACTIVE:
            k.zone_active[k.page_zone[page]] -= 1
        else:
            k.zone_inactive[k.page_zone[page]] -= 1
    elif flags & IN_PAGEVEC:
        pagevec_forget(k, page)


def lru_isolate(k, page, by_container):
    """Take a page aside for reclaim; a container's reclaim forgets the zone's counter (RE10)."""
    if by_container and k.quirks & Q_ZONE_COUNTERS:
        lru_unlink(k, page)
    else:
        lru_del(k, page)


def lru_tail(k, page):
    """To the oldest place of the inactive list: its writeback has just ended."""
    head = k.vpages + 2 * k.page_zone[page]
    lru_unlink(k, page)
    last = k.page_prev[head]
    k.page_next[page] = head
    k.page_prev[page] = last
    k.page_next[last] = page
    k.page_prev[head] = page
    k.page_flags[page] |= ON_LRU


def lru_new(k, page):
    """A page enters the lists, at once or through the per-CPU pagevec of its kind (RE11)."""
    if k.pagevec == 0:
        lru_add(k, page)
        return
    base = 0
    if k.page_flags[page] & ACTIVE:
        base = k.pagevec + 1
    n = k.pages_waiting[base]
    k.page_flags[page] |= IN_PAGEVEC
    k.pages_waiting[base + 1 + n] = page
    k.pages_waiting[base] = n + 1
    if n + 1 == k.pagevec:
        for i in range(base + 1, base + 1 + k.pagevec):
            p = k.pages_waiting[i]
            k.page_flags[p] &= ~IN_PAGEVEC
            lru_add(k, p)
        k.pages_waiting[base] = 0


def pagevec_forget(k, page):
    base = 0
    if k.page_flags[page] & ACTIVE:
        base = k.pagevec + 1
    n = k.pages_waiting[base]
    for i in range(base + 1, base + 1 + n):
        if k.pages_waiting[i] == page:
            for j in range(i, base + n):
                k.pages_waiting[j] = k.pages_waiting[j + 1]
            k.pages_waiting[base] = n - 1
            break
    k.page_flags[page] &= ~IN_PAGEVEC


def mark_accessed(k, page):
    """Two touches make a page active; each call is one touch."""
    flags = k.page_flags[page]
    if flags & ACTIVE or not flags & REFERENCED:
        k.page_flags[page] = flags | REFERENCED
    elif flags & ON_LRU:
        lru_del(k, page)
        k.page_flags[page] = (flags | ACTIVE) & ~(REFERENCED | ON_LRU | LISTED_ACTIVE)
        lru_add(k, page)
        if k.lists == SPLIT and k.page_entry[page]:
            entry_move(k, k.page_entry[page] - 1, list_of(k, page))
        if k.lists == LRU and k.page_entry[page] and (k.page_maps[page] or k.resident):
            entry_move(k, k.page_entry[page] - 1, 1)


def list_of(k, page):
    """Which of its owner's split lists a page belongs on."""
    flags = k.page_flags[page]
    kind = flags & KIND
    if kind == RAMFS:
        return UNEVICTABLE
    which = INACTIVE_FILE if kind == FILE else INACTIVE_ANON
    return which + 1 if flags & ACTIVE else which


def first_list(k, page):
    """Where a new charge record goes."""
    if k.lists == SPLIT:
        return list_of(k, page)
    return 1 if k.lists == LRU else 0


def entry_link(k, e, which):
    head = HEADS * k.entry_owner[e] + which
    if k.lists == SPLIT:
        k.entry_shift[e] = which
        k.listed[head] += 1
    first = k.entry_next[head]
    k.entry_next[e] = first
    k.entry_prev[e] = head
    k.entry_prev[first] = e
    k.entry_next[head] = e


def entry_unlink(k, e):
    if k.lists == SPLIT:
        k.listed[HEADS * k.entry_owner[e] + k.entry_shift[e]] -= 1
    before = k.entry_prev[e]
    after = k.entry_next[e]
    k.entry_next[before] = after
    k.entry_prev[after] = before


def entry_move(k, e, which):
    """To the head of its container's inactive (0) or active (1) list; FIFO has only the first."""
    entry_unlink(k, e)
    entry_link(k, e, which)


def entry_to_tail(k, e):
    """To the oldest place of the split list it is on."""
    head = HEADS * k.entry_owner[e] + k.entry_shift[e]
    entry_unlink(k, e)
    k.listed[head] += 1
    last = k.entry_prev[head]
    k.entry_next[e] = head
    k.entry_prev[e] = last
    k.entry_next[last] = e
    k.entry_prev[head] = e
