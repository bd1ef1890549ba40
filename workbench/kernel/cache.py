"""The add-on +PC: who pays for pages in page cache and swap cache that nobody maps (part `cache`).

A ring per container, newest first, by row: row c is the head of container c, row containers + page
is the page's. Every step stands behind one test of `k.cache`.
"""

from .counters import force, uncharge
from .names import ANON, JOINT, KERNEL, KIND, Q_LIMIT_ZERO, RESIDENT, SPECIAL


def lies_idle(k, page):
    """In memory, in a cache, and mapped by nobody."""
    flags = k.page_flags[page]
    kind = flags & KIND
    if not flags & RESIDENT or k.page_maps[page] or kind == SPECIAL or kind == KERNEL:
        return False
    return kind != ANON or k.page_swaps[page] > 0


def cache_room(k, c, pages):
    """May c have so many pages more in the caches, by their own limit?"""
    limit = k.cached_limit[c]
    if limit == 0 and (k.zero_is_none or k.quirks & Q_LIMIT_ZERO):
        return True
    return k.cached[c] + pages <= limit


def enter_cache(k, page, c):
    """The page, whose charge is paid, is c's newest."""
    row = k.containers + page
    first = k.cache_next[c]
    k.cache_owner[row] = c + 1
    k.cache_next[row] = first
    k.cache_prev[row] = c
    k.cache_prev[first] = row
    k.cache_next[c] = row
    k.cached[c] += 1


def fall_to(k, page, c):
    """A page that nobody maps any more is charged to c, which is not asked."""
    if k.cache_owner[k.containers + page] or not lies_idle(k, page):
        return
    enter_cache(k, page, c)
    if k.cache == JOINT:
        force(k, c, k.unit, page)
    elif not cache_room(k, c, 0):
        k.cached_failcnt[c] += 1


def leave_cache(k, page):
    """It is mapped, or gone: the charge ends."""
    row = k.containers + page
    c = k.cache_owner[row] - 1
    if c < 0:
        return
    before = k.cache_prev[row]
    after = k.cache_next[row]
    k.cache_next[before] = after
    k.cache_prev[after] = before
    k.cache_owner[row] = 0
    k.cached[c] -= 1
    if k.cache == JOINT:
        uncharge(k, c, k.unit, page)


def leave_to_root(k, c):
    """A removed container's cached pages are the root's, the oldest first."""
    while k.cached[c]:
        page = k.cache_prev[c] - k.containers
        leave_cache(k, page)
        fall_to(k, page, 0)
