"""What one access turns into: hit, zero page, first fault, copy on write, swap-in (4/7)."""

from .cache import enter_cache
from .charge import give_back, pay, pay_cached, pay_frame, take_frame, take_kernel_frame
from .counters import count_swap, say
from .granules import pin
from .hooks import call_hook
from .lists import mark_accessed
from .names import (
    ANON, BORN, CHANGED, COPY, COW, DIRTY, ERROR, FILE, GIVEN_UP, HAS_ANON, HIT, KERNEL, KILLED,
    KIND, LOCKED, L_COPIED, L_READ, L_SWAPIN, MAJOR, MINOR, N_COPIES, N_MAJOR, N_MINOR, N_READS,
    N_SWAP_INS, PRESENT, PRIVATE, Q_DOUBLE_RELEASE, Q_LEAK, REFUSED, RESIDENT, SEGV, SHARED,
    SHM, SLOT, SPECIAL, SPLIT, STUCK, SWAP, SWAPIN, USED, V1, WRITE, YOUNG, ZERO, ZEROED,
)
from .numa import spread_node
from .oom import kill_task
from .pages import (
    attach, count_frame, drop_slot, free_if_unused, free_page, install, leave_frame, new_page,
    release_hold, remove, settle_in, swap_full,
)
from .tables import find, find_vma, is_copy, make_pte, make_table, probe
from .ubc import adopt
from .zones import copy_for, home_of, nearest_copy, page_of

PATIENCE = 8  # how often an access may start over


def access(k, t, v, write, pte):
    """One touch of one page by a live task. Returns the outcome; SEGV when it is not mapped.

    pte  that of (mm, v), or -1
    Each step of a fault leaves the page table nearer to what the access needs; the access is
    started over until it goes through, as the hardware does.
    """
    mm = k.task_mm[t]
    worst = HIT
    turns = 0
    while True:
        w = k.word[pte] if pte >= 0 else 0
        if w & PRESENT and (not write or w & WRITE):
            k.word[pte] = w | YOUNG | DIRTY if write else w | YOUNG
            if worst != HIT:
                count_fault(k, t, mm, worst)
            return worst
        i = find_vma(k, mm, v)
        if i < 0:
            return REFUSED if k.mm_denied[mm] else SEGV
        if w & PRESENT:
            outcome = copy_on_write(k, t, pte, i, v)
        elif w & SWAP:
            outcome = swap_in(k, t, pte, v, write)
        else:
            outcome = first_fault(k, t, pte, i, v, write)
        if k.held_page >= 0:
            release_hold(k)
        if outcome >= ERROR:
            return outcome
        if outcome == HIT:
            # its own reclaim took the page away; at a limit this small that may never end
            turns += 1
            if turns == PATIENCE:
                kill_task(k, t, k.mm_container[mm], -1)
                return KILLED
        elif w & SWAP == 0:
            # mapped as needed: nothing is left to look at
            if outcome > worst:
                worst = outcome
            count_fault(k, t, mm, worst)
            return worst
        if outcome > worst:
            worst = outcome


def count_fault(k, t, mm, outcome):
    c = k.mm_container[mm]
    if outcome == MAJOR or outcome == SWAPIN:
        k.stat[N_MAJOR] += 1
        k.task_major[t] += 1
        k.major_faults[c] += 1
    else:
        k.stat[N_MINOR] += 1
        k.task_minor[t] += 1
        k.minor_faults[c] += 1


def place(k, t, mm, v):
    """A pte of mm for a vpage; the first of a block costs a page-table frame.

    Returns its pte, or -1 when no frame is to be had.
    """
    block = v >> 9
    if k.page_tables and k.mm_block[mm] != block:
        key = ((mm + 1) << 32) | (k.vpages + block)
        if probe(k, key) < 0:
            c = k.mm_container[mm]
            z = take_kernel_frame(k, k.task_node[t], k.own_zone[c], c)
            if z < 0:
                return -1
            make_table(k, mm, key, pin(k, z))
        k.mm_block[mm] = block
    return make_pte(k, mm, v)


def make_new(k, t, i, v, leaks):
    """A paid but unmapped anonymous page for the current fault, or -1. Its zone and price wait in
    k.fresh_zone and k.paid."""
    c = k.mm_container[k.task_mm[t]]
    z = take_frame(k, k.task_node[t], k.own_zone[c], c, ANON)
    if z < 0:
        return -1
    page = new_page(k, v, k.obj_kind[k.vma_object[i]] == ANON)
    k.page_flags[page] = ANON | USED
    k.fresh_zone = z
    k.paid = pay_frame(k, c, page) if k.resident else pay(k, c, page)
    if k.paid < 0:
        drop_new(k, page, leaks and k.quirks & Q_LEAK != 0)
        return -1
    return page


def drop_new(k, page, leak):
    """The page was never mapped; the patch forgets to free it on two paths (CH4)."""
    if k.hung:
        return
    if leak:
        k.leaked_frames += 1
    else:
        count_frame(k, k.fresh_zone, ANON, -1)
    free_page(k, page)


def map_new(k, pte, i, page, locked):
    move_in(k, page, k.fresh_zone, ANON, True)
    k.vma_flags[i] |= HAS_ANON
    install(k, pte, page, WRITE | DIRTY | YOUNG | locked, 0 if k.resident else k.paid)


def move_in(k, page, z, kind, active):
    """Into a frame; under resident coverage the scheme learns who has paid for it."""
    settle_in(k, page, z, kind, active and k.lists != SPLIT)
    if k.family == V1 and k.page_flags[page] & SLOT and k.page_payer[page]:
        count_swap(k, k.page_payer[page] - 1, -1)
    if k.ubc and kind == SHM:
        adopt(k, page)
    if k.resident and kind != SPECIAL and kind != KERNEL:
        call_hook(k, BORN, page, k.payer, k.paid)


def first_fault(k, t, pte, i, v, write):
    """Nothing is mapped here yet."""
    mm = k.task_mm[t]
    if pte < 0:
        pte = place(k, t, mm, v)
        if pte < 0:
            return KILLED
    kind = k.obj_kind[k.vma_object[i]]
    private = k.vma_flags[i] & PRIVATE != 0
    if kind == ANON and not write:
        k.word[pte] |= PRESENT | ZERO
        return ZEROED
    outcome = MINOR
    c = k.mm_container[mm]
    copies = k.reclaim == COPY and private and kind == FILE
    own = nearest_copy(k, v, c) if copies else page_of(k, v, c)
    if kind != ANON:
        home = home_of(k, k.vma_object[i], c, not private)
        outcome = get_page(k, t, v, own, kind, home, c, True)
        if outcome >= ERROR:
            return outcome
        if kind != SPECIAL:
            if k.lists != SPLIT:  # today only read() and the end of a mapping count
                mark_accessed(k, own)
            k.held_page = own
    if kind == ANON or (write and private and kind != SPECIAL):
        page = make_new(k, t, i, v, False)
        if page < 0:
            return KILLED
        map_new(k, pte, i, page, 0)
        if kind != ANON:
            note_copy(k, page, mm)
            return max(outcome, COW)
        return MINOR
    if copies:
        own = own_copy(k, t, v, c, own)
        if own < 0:
            return KILLED
    paid = 0 if k.resident else pay(k, c, own)
    if paid < 0:
        return KILLED
    flags = YOUNG | DIRTY if write else YOUNG
    if kind == SPECIAL:
        flags |= WRITE
    if not private:
        flags |= WRITE | SHARED
    if k.reclaim == COPY:
        k.page_flags[own] &= ~GIVEN_UP
    install(k, pte, own, flags, paid)
    return outcome


def own_copy(k, t, v, c, page):
    """Under reclaim=copy: the page itself or, where c must not map that, c's own copy of it; -1: no
    frame. The old frame goes when nobody maps it."""
    copy = copy_for(k, v, c)
    if page == copy or not (is_copy(k, page) or k.page_flags[page] & GIVEN_UP):
        return page
    z = take_frame(k, k.task_node[t], k.own_zone[c], c, FILE)
    if z < 0:
        return -1
    settle_in(k, copy, z, FILE, False)
    note_copy(k, v, k.task_mm[t])  # in the life of the page that is copied
    k.held_page = copy
    if page < k.vpages:
        leave_frame(k, page)
    else:
        free_if_unused(k, page)
    return copy


def get_page(k, t, v, page, kind, home, c, from_disk):
    """Bring an object's own page into memory. MINOR: it was there, or costs no disk read."""
    if k.page_flags[page] & RESIDENT:
        return MINOR
    if kind == KERNEL:
        z = take_kernel_frame(k, k.task_node[t], home, c)
        k.page_payer[page] = c + 1 if k.kernel_memory and z >= 0 else 0
    else:
        node = spread_node(k, t, c) if kind == FILE else k.task_node[t]
        z = take_frame(k, node, home, c, kind)
    pays = k.cache != 0 and kind != KERNEL and kind != SPECIAL
    if z < 0 or (k.resident and not paid_for(k, c, page, z, kind)):
        return KILLED
    if pays and not paid_to_cache(k, c, page, z, kind):
        return KILLED
    flags = k.page_flags[page]  # a kill on the way may have ended what was in the slot
    move_in(k, page, z, kind, False)
    if pays:
        enter_cache(k, page, c)
    from_disk = from_disk and kind == FILE
    if k.has_broken and k.broken[v] and (from_disk or flags & SLOT):
        k.broken[v] = 0
        leave_frame(k, page)
        return ERROR
    if flags & SLOT:
        drop_slot(k, page)
        k.page_flags[page] |= CHANGED
        k.stat[N_SWAP_INS] += 1
        return SWAPIN
    if from_disk:
        k.stat[N_READS] += 1
        if k.watch:
            say(k, L_READ, page, c, 0)
        return MAJOR
    if kind != FILE:
        k.page_flags[page] |= CHANGED
    return MINOR


def paid_for(k, c, page, z, kind):
    """Resident coverage: pay for the frame just taken, or give it back."""
    k.paid = 0
    if kind != SPECIAL and kind != KERNEL:
        k.paid = pay_frame(k, c, page)
        if k.paid < 0 and not k.hung:
            count_frame(k, z, kind, -1)
    return k.paid >= 0


def paid_to_cache(k, c, page, z, kind):
    """+PC: c has room for one more cached page, or the frame just taken goes back."""
    paid = pay_cached(k, c, page)
    if not paid and not k.hung:
        count_frame(k, z, kind, -1)
    return paid


def note_copy(k, page, mm):
    k.stat[N_COPIES] += 1
    if k.watch:
        say(k, L_COPIED, page, k.mm_container[mm], 0)


def copy_on_write(k, t, pte, i, v):
    """A write to a present, read-only, private page: reuse it when nobody else has it, or copy."""
    w = k.word[pte]
    old = -1 if w & ZERO else k.pte_page[pte]
    if old >= 0 and k.page_flags[old] & KIND == ANON:
        if k.page_maps[old] + k.page_swaps[old] == 1:
            k.word[pte] = w | WRITE | DIRTY | YOUNG
            return MINOR
    k.held_page = old
    page = make_new(k, t, i, v, True)
    if page < 0:
        return KILLED
    now = k.word[pte]
    if not now & PRESENT:
        # own reclaim has taken the page we were about to copy
        c = k.payer if k.resident else k.mm_container[k.task_mm[t]]
        give_back(k, c, k.paid, page)
        drop_new(k, page, False)
        return HIT
    remove(k, pte)
    map_new(k, pte, i, page, w & LOCKED)
    note_copy(k, page, k.task_mm[t])
    return COW


def swap_in(k, t, pte, v, write):
    """Back from swap, or only from the swap cache. The slot is kept until swap runs half full."""
    page = k.pte_page[pte]
    c = k.mm_container[k.task_mm[t]]
    outcome = MINOR
    if not k.page_flags[page] & RESIDENT:
        z = take_frame(k, k.task_node[t], k.own_zone[c], c, ANON)
        if z < 0 or (k.resident and not paid_for(k, c, page, z, ANON)):
            return KILLED
        if k.cache and not paid_to_cache(k, c, page, z, ANON):
            return KILLED
        move_in(k, page, z, ANON, True)
        if k.cache:
            enter_cache(k, page, c)
        if k.has_broken and k.broken[v]:
            k.broken[v] = 0
            return failed_swap_in(k, c, page)
        k.stat[N_SWAP_INS] += 1
        if k.watch:
            say(k, L_SWAPIN, page, c, 0)
        outcome = SWAPIN
    k.held_page = page
    paid = 0 if k.resident else pay(k, c, page)
    if paid < 0:
        lose(k, page)
        return KILLED
    if k.lists != SPLIT:
        mark_accessed(k, page)
    flags = PRESENT | YOUNG
    if write and k.page_maps[page] + k.page_swaps[page] == 1:
        flags |= WRITE | DIRTY
    k.page_swaps[page] -= 1
    k.word[pte] = (k.word[pte] & ~0xFF) | flags
    attach(k, pte, page, k.task_mm[t], paid)
    if k.page_maps[page] == 1 and k.page_swaps[page] == 0 and swap_full(k, page):
        drop_slot(k, page)
        k.page_flags[page] |= CHANGED
    return outcome


def lose(k, page):
    """A refused swap-in never drops its reference: the page stays in its frame for good (CH4)."""
    if k.quirks & Q_LEAK and not k.hung and not k.page_flags[page] & STUCK:
        k.leaked_frames += 1
        k.page_flags[page] |= STUCK


def failed_swap_in(k, c, page):
    """What was read is only looked at after the payment: a refusal is like any other. As posted,
    both error branches give it back (CH3)."""
    k.held_page = page
    paid = 0 if k.resident else pay(k, c, page)
    if paid < 0:
        lose(k, page)
        if not k.hung and not k.page_flags[page] & STUCK:
            leave_frame(k, page)
        return KILLED
    give_back(k, c, paid, page)
    if k.quirks & Q_DOUBLE_RELEASE and paid:
        give_back(k, c, paid, page)
        k.css[c] -= 1
    leave_frame(k, page)
    return ERROR


def system_call(k, t, v, write, o):
    """read() or write() of one page of a file: page cache without mapping."""
    kind = k.obj_kind[o]
    c = k.mm_container[k.task_mm[t]]
    page = page_of(k, v, c)
    there = k.page_flags[page] & RESIDENT
    if kind == KERNEL and not write:
        return HIT
    outcome = get_page(k, t, v, page, kind, home_of(k, o, c, False), c, not write)
    if outcome >= ERROR:
        return outcome
    if kind != KERNEL and kind != SPECIAL:
        mark_accessed(k, page)
        if write:
            k.page_flags[page] |= CHANGED
            if k.reclaim == COPY:
                k.page_flags[page] &= ~GIVEN_UP
    return HIT if there else outcome


def lock(k, t, v, private_anon):
    """mlock of one page: faulted in, then kept."""
    outcome = access(k, t, v, private_anon, find(k, k.task_mm[t], v))
    if outcome < ERROR:
        k.word[find(k, k.task_mm[t], v)] |= LOCKED
    return outcome
