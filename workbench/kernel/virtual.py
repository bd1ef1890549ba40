"""Virtual swap: a page is gone for its guest, and stays in its frame while the host has room.

The charge record of a page that is virtually out stays, with no mapping counted, on the guest's
second list, oldest last. `entry_shift` 1: it holds a virtual slot. Source: Herbert Poetzl, 12 Mar
2007.
"""

from .hooks import del_entry, ring_remove
from .lists import entry_move
from .names import ANON, HALF_SLOTS, HEADS, KEPT_SLOTS, KIND, N_VIRTUAL_INS, N_VIRTUAL_OUTS

DISK = 5_000_000  # ns: what a swap I/O would have taken
TICK = 1_000  # ns an event takes, for the rate form of the penalty


def slots_of(k, c):
    """How many virtual slots a guest has: as many as its limit, unless that is said."""
    return k.vswap_limit[c] if k.vswap_limit[c] >= 0 else k.limit[c]


def penalise(k, c):
    """The guest's own clock: a disk time for each page, or as a disk that is busy that long."""
    wait = DISK
    if k.penalty_rate:
        now = k.clock * TICK + k.penalty[c]
        wait = max(0, k.busy[c] - now)
        k.busy[c] = now + wait + DISK
    k.penalty[c] += wait


def may_go(k, e, c):
    """A page of memory needs a slot; a file is its own."""
    page = k.entry_page[e]
    return k.page_flags[page] & KIND != ANON or k.entry_shift[e] or k.vswap[c] < slots_of(k, c)


def send_out(k, e, c):
    """The guest's last mapping has gone, by its limit."""
    if k.page_flags[k.entry_page[e]] & KIND == ANON and not k.entry_shift[e]:
        k.entry_shift[e] = 1
        k.vswap[c] += 1
    entry_move(k, e, 1)
    k.stat[N_VIRTUAL_OUTS] += 1
    penalise(k, c)


def bring_back(k, e, c):
    """The guest touches it again. The slot is kept, freed, or kept while few are taken."""
    entry_move(k, e, 0)
    k.stat[N_VIRTUAL_INS] += 1
    penalise(k, c)
    if k.entry_shift[e] and k.slots != KEPT_SLOTS:
        if k.slots != HALF_SLOTS or 2 * k.vswap[c] > slots_of(k, c):
            k.entry_shift[e] = 0
            k.vswap[c] -= 1


def forget(k, e):
    """The record ends, and its slot with it."""
    k.vswap[k.entry_owner[e]] -= k.entry_shift[e]
    ring_remove(k, k.entry_page[e], e)
    del_entry(k, e)


def forget_page(k, page):
    """A page that is out has lost its content, or a file's page its frame: nothing is out."""
    while k.page_entry[page]:
        forget(k, k.page_entry[page] - 1)


def forget_all(k, c):
    """The guest's last address space has gone."""
    head = HEADS * c + 1
    while k.entry_next[head] != head:
        forget(k, k.entry_next[head])
