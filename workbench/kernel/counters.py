"""The resource counter (patch 1/7): usage, limit, failcnt; and the bytes its control files take."""

from __future__ import annotations

from .names import HUGE, L_CHARGED, L_FORCED, L_UNCHARGED, N_COUNTERS, Q_LIMIT_ZERO


def write_limit(data: bytes, word: int = 64) -> int | None:
    """Parse what was written to a limit file; None means EINVAL, and nothing changes.

    Leading decimal digits, then NUL or the end (the kernel appends one). No sign, blank, prefix
    or newline; overflow is silently modulo 2**word; a write of no bytes at all sets 0.
    Source: Emelianov, 6 Mar 2007, patch 1/7.
    """
    digits = 0
    while digits < len(data) and 48 <= data[digits] <= 57:
        digits += 1
    if data and (digits == 0 or (digits < len(data) and data[digits] != 0)):
        return None
    return int(data[:digits] or b"0") % (1 << word)


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
    limit = k.limit[c]
    if limit == 0 and k.quirks & Q_LIMIT_ZERO:
        return True
    return limit >= HUGE or k.usage[c] + units <= limit * k.unit


def charge(k, c, units, page):
    k.usage[c] += units
    k.stat[N_COUNTERS] += 1
    if k.usage[c] > k.peak[c]:
        k.peak[c] = k.usage[c]
    if k.watch:
        say(k, L_CHARGED, page, c, units)


def uncharge(k, c, units, page):
    """Never below zero: an earlier double release shows only here (RC7)."""
    if k.usage[c] < units:
        k.warnings += 1
        units = k.usage[c]
    k.usage[c] -= units
    k.stat[N_COUNTERS] += 1
    if k.watch:
        say(k, L_UNCHARGED, page, c, units)


def force(k, c, units, page):
    """A charge that comes without c's own action: never refused, counted when above the limit."""
    charge(k, c, units, page)
    if not fits(k, c, 0):
        k.failcnt[c] += 1
        if k.watch:
            say(k, L_FORCED, page, c, units)
