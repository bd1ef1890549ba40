"""The resource counter (patch 1/7): usage, limit, failcnt; of a container and those above it."""

from __future__ import annotations

from .names import HUGE, L_CHARGED, L_FORCED, L_UNCHARGED, N_COUNTERS, Q_LIMIT_ZERO, V1


def say(k, what, page, c, amount):
    """A line of the life story, when somebody asked for one."""
    if k.watch and k.lives < k.lives_end and (k.watch == 1 or k.watch == page + 3):
        i = k.lives
        k.life_event[i] = k.clock
        k.life_what[i] = what
        k.life_page[i] = page
        k.life_container[i] = c
        k.life_task[i] = k.task
        k.life_amount[i] = amount
        k.lives = i + 1


def fits(k, c, units):
    if k.ubc:  # there memory is only counted
        return True
    limit = k.limit[c]
    if limit == 0 and (k.zero_is_none or k.quirks & Q_LIMIT_ZERO):
        return True
    return limit >= HUGE or k.usage[c] + units <= limit * k.unit


def charge(k, c, units, page):
    used = k.usage[c] + units
    k.usage[c] = used
    k.stat[N_COUNTERS] += 1
    if used > k.peak[c]:
        k.peak[c] = used
    if k.tree:
        charge_above(k, c, units)
    if k.watch:
        say(k, L_CHARGED, page, c, units)


def charge_above(k, c, units):
    """The same for every ancestor."""
    a = k.parent[c]
    while a >= 0:
        k.usage[a] += units
        k.stat[N_COUNTERS] += 1
        if k.usage[a] > k.peak[a]:
            k.peak[a] = k.usage[a]
        a = k.parent[a]


def note(k, c, column):
    """An event of c, counted there and in every ancestor."""
    while c >= 0:
        column[c] += 1
        c = k.parent[c]


def count_swap(k, c, step):
    """A page of c goes to swap (+1) or its slot is free again (-1)."""
    while c >= 0:
        k.swapped[c] += step
        c = k.parent[c]


def refusing(k, c, units):
    """The first of c and its ancestors without room for so many units more, or -1."""
    if k.family == V1:
        k.swap_full = 1  # memory and swap together: swapping out would not help
        a = c
        while a >= 0:
            most = k.memsw_limit[a]
            if most < HUGE and k.usage[a] + k.swapped[a] * k.unit + units > most * k.unit:
                return a
            a = k.parent[a]
        k.swap_full = 0
    if not fits(k, c, units):
        return c
    if k.tree:
        a = k.parent[c]
        while a >= 0:
            if not fits(k, a, units):
                return a
            a = k.parent[a]
    return -1


def within(k, c, top):
    """Is c the container `top` or below it?"""
    while c != top and c >= 0:
        c = k.parent[c]
    return c == top


def uncharge(k, c, units, page):
    """Never below zero: an earlier double release shows only here (RC7)."""
    used = k.usage[c]
    if used < units:
        k.warnings += 1
        units = used
    k.usage[c] = used - units
    k.stat[N_COUNTERS] += 1
    if k.tree:
        a = k.parent[c]
        while a >= 0:
            k.usage[a] -= units
            k.stat[N_COUNTERS] += 1
            a = k.parent[a]
    if k.watch:
        say(k, L_UNCHARGED, page, c, units)


def force(k, c, units, page):
    """A charge that comes without c's own action: never refused, counted when above the limit."""
    charge(k, c, units, page)
    if not fits(k, c, 0):
        k.failcnt[c] += 1
        if k.watch:
            say(k, L_FORCED, page, c, units)
