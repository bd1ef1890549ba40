"""Every invariant of `kernel.check` is seen to fail, and damaged code is noticed.

A saboteur takes the state after a rich trace and damages exactly one thing; `check` must name it.
The last tests damage the kernel's functions instead, one at a time, and `check` or the twin of
tests/test_twin.py must object.
"""

import ast
import contextlib
import copy
import functools
import importlib
import re
import sys
from pathlib import Path

import pytest
from strategies import random_case
from test_twin import compare

from workbench import schemes
from workbench.kernel import CheckFailed, Knobs, Machine, check, simulate
from workbench.kernel.names import (
    ACTIVE,
    ANON,
    FILE,
    GIVEN_UP,
    HEADS,
    KIND,
    LISTED_ACTIVE,
    ON_LRU,
    PRESENT,
    REAPED,
    RESIDENT,
    SHM,
    SLOT,
    SPECIAL,
    SWAP,
    USED,
    ZOMBIE,
)
from workbench.kernel.tables import mm_of
from workbench.trace import TraceBuilder

SOURCE = Path(importlib.import_module("workbench.kernel.check").__file__)


def rich_trace():
    """Sharing, a fork's copies, swap, device and kernel pages, files, a zombie, an idle cache."""
    b = TraceBuilder()
    b.container("A", 16), b.container("B")
    b.file("f", 6), b.file("idle", 3), b.anon("a", 20), b.anon("b", 4), b.shm("s", 3)
    b.object("d", "special", 2), b.object("x", "kernel", 2), b.object("r", "ramfs", 2)
    b.task("P", "A"), b.task("Q", "B"), b.task("Z", "B"), b.task("init", init=True)
    b.touch_write("P", "a", range(12))
    b.age()
    b.touch_write("P", "a", range(12, 20))  # the oldest go to swap
    b.touch_write("Q", "b")
    b.fork("Q", "K")
    b.touch_write("K", "b", range(2))
    for task in "QZ":
        b.map(task, "f"), b.touch_read(task, "f"), b.touch_write(task, "s")
    b.map("P", "f"), b.touch_read("P", "f", range(1))
    b.map("Q", "d"), b.touch_read("Q", "d"), b.map("Q", "r"), b.touch_read("Q", "r")
    b.read("Q", "idle"), b.write("Q", "x"), b.open("P", "f"), b.open("Q", "f")
    b.exit("Z")
    return b.build()


@functools.cache
def rich(scheme: str, quirks: str):
    knobs = Knobs(cluster=4, swap_write="sync", quirks=quirks, granule=4)
    k = simulate(rich_trace(), schemes.get(scheme), Machine(frames=4096), knobs,
                 engine="interpreted")
    check(k)
    return k


def first(found):
    return next(iter(found))


def pages(k, *kinds):
    """Pages of some kinds that are in memory and mapped."""
    there = [p for p in range(k.pages_top) if k.page_maps[p] and k.page_flags[p] & RESIDENT]
    return [p for p in there if k.page_flags[p] & KIND in kinds]


def shared_page(k):
    return first(p for p in pages(k, FILE, SHM) if k.page_maps[p] > 1)


def swapped_page(k):
    return first(p for p in range(k.pages_top) if k.page_swaps[p])


def any_entry(k):
    return first(k.page_entry[p] - 1 for p in pages(k, FILE, ANON))


def two_entries(k):
    """Records of two containers, each in its list."""
    owners = {}
    for p in pages(k, FILE, ANON, SHM):
        e = k.page_entry[p] - 1
        owners.setdefault(k.entry_owner[e], e)
    return list(owners.values())[:2]


def cached(k):
    """A page of the idle file: in memory, on the inactive list, mapped by nobody."""
    files = [p for p in range(k.vpages) if k.page_flags[p] & KIND == FILE]
    return first(p for p in files if k.page_flags[p] & ON_LRU and not k.page_maps[p])


def listed(k, active):
    head = k.vpages + active
    return k.page_next[head]


# ---- the mappers ---------------------------------------------------------------------------------


def break_ring(k):
    """The page's ring of mappers runs into another one and never comes back."""
    page = shared_page(k)
    pte = k.page_rmap[page] - 1
    other = k.pte_next[pte]
    k.pte_next[other] = other


def forget_mapcount(k):
    k.page_maps[shared_page(k)] -= 1


def count_mapping_twice(k):
    k.page_maps[shared_page(k)] += 1


def forget_swap_reference(k):
    k.page_swaps[swapped_page(k)] -= 1


def point_elsewhere(k):
    page = shared_page(k)
    k.pte_page[k.page_rmap[page] - 1] = page + 1


def swap_what_is_present(k):
    page = shared_page(k)
    k.word[k.page_rmap[page] - 1] |= SWAP
    k.page_swaps[page] += 1


def unmap_silently(k):
    k.word[k.page_rmap[shared_page(k)] - 1] &= ~PRESENT


def lose_the_frame(k):
    k.page_flags[shared_page(k)] &= ~RESIDENT


def mapped_pages_off(k):
    k.mapped_pages += 1


def rss_off(k):
    k.mm_rss[k.task_mm[0]] += 1


def container_mappings_off(k):
    k.mapped[1] -= 1


# ---- the zones' lists ----------------------------------------------------------------------------


def page_on_two_lists(k):
    """One page's list goes on into the other list's pages."""
    inactive, active = listed(k, 0), listed(k, 1)
    k.page_next[active] = inactive
    k.page_prev[inactive] = active
    k.page_flags[inactive] |= LISTED_ACTIVE


def page_twice(k):
    page = listed(k, 0)
    after = k.page_next[page]
    k.page_next[after] = page
    k.page_prev[page] = after


def wrong_list_flag(k):
    k.page_flags[listed(k, 0)] |= LISTED_ACTIVE


def wrong_zone(k):
    k.page_zone[listed(k, 0)] = 1


def flag_without_list(k):
    k.page_flags[k.vpages - 1] |= ON_LRU


def unlinked(k):
    page = cached(k)
    k.page_next[k.page_prev[page]] = k.page_next[page]
    k.page_prev[k.page_next[page]] = k.page_prev[page]
    k.zone_inactive[0] -= 1


def back_link(k):
    page = listed(k, 0)
    k.page_prev[k.page_next[page]] = page + 1


def zone_counter(k):
    k.zone_inactive[0] += 1


def zone_counter_low(k):
    k.zone_active[0] -= 1


# ---- frames --------------------------------------------------------------------------------------


def slot_leaked(k):
    k.swap_used += 1


def slot_forgotten(k):
    k.page_flags[first(p for p in range(k.pages_top) if k.page_flags[p] & SLOT)] &= ~SLOT


def slot_of_nothing(k):
    page = first(p for p in range(k.pages_top) if not k.page_flags[p] & USED
                 and not k.page_flags[p] & RESIDENT)
    k.page_flags[page] |= SLOT
    k.swap_used += 1


def frame_twice(k):
    k.zone_file[0] += 1
    k.zone_free[0] -= 1


def kernel_frame_lost(k):
    k.zone_kernel[0] -= 1
    k.zone_free[0] += 1


def device_frame_lost(k):
    k.zone_special[0] -= 1
    k.zone_free[0] += 1


def free_frames_off(k):
    k.zone_free[0] += 1


def anon_frame_leaked(k):
    k.zone_anon[0] += 1
    k.zone_free[0] -= 1


def anon_frame_short(k):
    k.zone_anon[0] -= 1
    k.zone_free[0] += 1


def stack_lost(k):
    k.task_stack[0] = -1


def nobodys_page(k):
    """An anonymous page outlives its last mapping."""
    page = k.pages_top
    k.page_flags[page] = ANON | USED | RESIDENT
    k.page_zone[page] = 0
    k.pages_top += 1
    k.zone_anon[0] += 1
    k.zone_free[0] -= 1


# ---- charges -------------------------------------------------------------------------------------


def entry_on_two_lists(k):
    """The list of one container runs into the other's."""
    one, two = two_entries(k)
    k.entry_next[HEADS * k.entry_owner[one]] = two


def entry_twice(k):
    newest = k.entry_next[HEADS * k.entry_owner[any_entry(k)]]
    second = k.entry_next[newest]
    k.entry_next[second] = newest
    k.entry_prev[newest] = second


def wrong_owner(k):
    e = any_entry(k)
    k.entry_owner[e] = 3 - k.entry_owner[e]


def charge_for_unmapped(k):
    k.entry_page[any_entry(k)] = cached(k)


def charge_without_frame(k):
    nowhere = first(p for p in range(k.vpages) if not k.page_flags[p] & RESIDENT)
    k.entry_page[any_entry(k)] = nowhere


def swap_miscounted(k):
    k.swapped[1] += 1


def swap_payer_without_slot(k):
    k.page_payer[pages(k, ANON)[0]] = 2


def kernel_frames_miscounted(k):
    k.kernel[1] += 1
    k.kernel[0] -= 1
    k.usage[1] += 1
    k.peak[1] += 1
    k.usage[0] -= 1


def wrong_split_list(k):
    """The page says it is active, its record is on the inactive list."""
    k.page_flags[pages(k, ANON)[0]] ^= ACTIVE


def split_list_miscounted(k):
    k.listed[HEADS] += 1


def entry_count_off(k):
    k.entry_count[any_entry(k)] += 1


def held_off(k):
    k.held[1] += 1


def drop_owner(k):
    """The page's record goes, its list and counters with it: the page is mapped for nothing."""
    page = pages(k, ANON)[0]
    e = k.page_entry[page] - 1
    c = k.entry_owner[e]
    before, after = k.entry_prev[e], k.entry_next[e]
    k.entry_next[before], k.entry_prev[after] = after, before
    k.held[c] -= 1
    k.css[c] -= 1
    k.usage[c] -= k.unit
    k.page_entry[page] = 0


def keep_owner(k):
    """A page nobody maps still names a record."""
    k.page_entry[cached(k)] = any_entry(k) + 1


# ---- containers ----------------------------------------------------------------------------------


def mms_off(k):
    k.mms[2] += 1


def move_without_counting(k):
    k.mm_container[k.task_mm[3]] = 1


def numproc_off(k):
    k.procs[1] += 1


def zombie_forgotten(k):
    k.task_state[first(t for t in range(k.tasks) if k.task_state[t] == ZOMBIE)] = 0


def reaped_with_mm(k):
    k.task_state[3] = REAPED
    k.procs[0] -= 1
    for i in range(3 * k.task_frames, 4 * k.task_frames):
        k.zone_kernel[k.task_stack[i]] -= 1
        k.zone_free[k.task_stack[i]] += 1


def negative_usage(k):
    k.usage[0] = -1


def css_off(k):
    k.css[1] += 1


def forget_uncharge(k):
    k.usage[1] += 1
    k.peak[1] += 1


def charge_twice(k):
    k.usage[2] += k.unit
    k.peak[2] += k.unit


def lose_a_share(k):
    k.usage[2] -= k.unit >> 3


def charge_the_wrong_one(k):
    k.usage[1] += k.unit // 2
    k.peak[1] += k.unit
    k.usage[2] -= k.unit // 2


def wrong_shift(k):
    """The ring's shares no longer make a page."""
    k.entry_shift[any_entry(k)] += 1


def wrong_shift_and_charge(k):
    """The same, and the container is charged accordingly."""
    e = any_entry(k)
    k.usage[k.entry_owner[e]] -= k.unit >> (k.entry_shift[e] + 1)
    k.entry_shift[e] += 1


def virtual_record_astray(k):
    """A page the guest maps is on the list of those that are out."""
    e = k.entry_next[HEADS]
    k.entry_next[HEADS], k.entry_prev[k.entry_next[e]] = k.entry_next[e], HEADS
    k.entry_next[e] = k.entry_next[HEADS + 1]
    k.entry_prev[e] = HEADS + 1
    k.entry_prev[k.entry_next[e]] = e
    k.entry_next[HEADS + 1] = e


def virtual_slot_lost(k):
    k.vswap[1] -= 1


def address_space_off(k):
    k.unused[1] += 1


def shared_memory_uncharged(k):
    """A page of shared memory is in memory and nobody's."""
    k.usage[2] -= k.unit
    k.css[2] -= 1


def shared_memory_on_a_ring(k):
    k.page_entry[pages(k, SHM)[0]] = any_entry(k) + 1


def cached_row(k):
    """The idle file's page: its row among the cached pages."""
    return k.containers + cached(k)


def cached_twice(k):
    """The ring goes round without its head."""
    row = k.cache_next[2]
    k.cache_next[row] = row
    k.cache_prev[row] = row


def cached_for_another(k):
    k.cache_owner[cached_row(k)] = 2


def cached_back_link(k):
    k.cache_prev[k.cache_next[cached_row(k)]] = -1


def cached_miscounted(k):
    k.cached[2] += 1


def cached_while_mapped(k):
    """A mapped page is among root's cached ones."""
    row = k.containers + shared_page(k)
    k.cache_next[0] = k.cache_prev[0] = row
    k.cache_next[row] = k.cache_prev[row] = 0
    k.cache_owner[row] = 1
    k.cached[0] += 1


def cached_and_forgotten(k):
    """A mapped page says that it is charged as a cached one."""
    k.cache_owner[k.containers + shared_page(k)] = 1


def cached_unpaid(k):
    k.usage[2] -= 1


def bill_off(k):
    k.bill[2] -= k.unit // 2


def peak_below_usage(k):
    k.peak[1] = 0


def css_of_mappings(k):
    k.css[1] += 1


def mapping_uncharged(k):
    k.usage[2] -= 1


def zone_miscounted(k):
    k.usage[1] -= 1


# ---- rings, links, files -------------------------------------------------------------------------


def rmap_back_link(k):
    pte = k.page_rmap[shared_page(k)] - 1
    k.pte_prev[pte] = pte


def entry_back_link(k):
    e = any_entry(k)
    k.entry_prev[k.entry_next[e]] = e + 1


def shared_ring(k):
    return k.page_entry[first(p for p in pages(k, FILE, SHM) if k.page_holders[p] > 1)] - 1


def holders_off(k):
    k.page_holders[k.entry_page[shared_ring(k)]] += 1


def stranger_on_ring(k):
    page = k.entry_page[shared_ring(k)]
    other = first(p for p in pages(k, FILE, SHM) if p != page)
    k.page_entry[page] = k.page_entry[other]


def ring_back_link(k):
    e = shared_ring(k)
    k.entry_before[k.entry_after[e]] = k.entry_after[e]


def owners_mappings_off(k):
    k.entry_count[any_entry(k)] += 1


def runs_elsewhere(k):
    k.task_runs[0] = k.task_mm[1]


def numfiles_off(k):
    k.files[1] += 1


def handle_uncounted(k):
    k.file_refs[0] += 1


def rebind(k, page):
    """The address space of the page's oldest mapper goes to the other container as it is."""
    mm = mm_of(k, k.page_rmap[page] - 1)
    c = k.mm_container[mm]
    k.mm_container[mm] = 3 - c
    k.mapped[c] -= k.mm_rss[mm]
    k.mapped[3 - c] += k.mm_rss[mm]


def two_machines(k):
    rebind(k, first(p for p in pages(k, ANON) if k.page_maps[p] > 1))


def copy_of_nobodys(k):
    k.page_flags[k.copies_at] = FILE | RESIDENT | USED


def given_up_and_mapped(k):
    k.page_flags[shared_page(k)] |= GIVEN_UP


def wrong_copy(k):
    rebind(k, first(p for p in pages(k, FILE) if p >= k.vpages and k.page_maps[p] == 1))


def pinned_granule(k):
    """A granule with room for more: kernel pages of several tasks are in it."""
    return first(g for g in range(k.grans_top) if 0 < k.gran_pins[g] < k.granule)


def forget_pin(k):
    k.gran_pins[pinned_granule(k)] -= 1


def forget_pinned(k):
    k.zone_pinned[k.gran_zone[pinned_granule(k)]] -= 1


def strange_granule(k):
    """A driver page's granule goes to another zone without it."""
    page = first(pages(k, SPECIAL))
    k.gran_zone[k.page_next[page]] = 0


def granule_off_ring(k):
    k.zone_open[k.gran_zone[pinned_granule(k)]] = 0


def full_granule_on_ring(k):
    g = pinned_granule(k)
    k.gran_prev[k.gran_next[g]] = -1


def broken_granule(k):
    k.zone_frames[1] += 1
    k.zone_free[1] += 1


def shrunk_too_far(k):
    z = k.gran_zone[pinned_granule(k)]
    k.zone_frames[z] = 0


SABOTEURS = {
    break_ring: "its ring of mappers does not close",
    forget_mapcount: r"page \d+: mapcount \d, but \d ptes",
    count_mapping_twice: r"page \d+: mapcount \d, but \d ptes",
    unmap_silently: r"page \d+: mapcount \d, but \d ptes",
    forget_swap_reference: r"page \d+: 0 swap references, but 1 swap ptes",
    point_elsewhere: r"pte \d+: on the ring of (\d+), points at \d+",
    swap_what_is_present: r"pte \d+: present and swapped",
    lose_the_frame: r"page \d+: mapped but not in memory",
    mapped_pages_off: r"\d+ mapped pages counted, \d+ there",
    rss_off: r"mm 0: rss \d+, \d+ ptes",
    container_mappings_off: r"container 1: \d+ mappings counted, \d+ there",
    page_on_two_lists: r"page \d+: (twice on the lists|on list)",
    page_twice: r"page \d+: twice on the lists",
    wrong_list_flag: r"page \d+: on list 0 of zone 0, flags",
    wrong_zone: r"page \d+: on list 0 of zone 0, flags",
    flag_without_list: r"page \d+: flag says on a list",
    unlinked: r"page \d+: flag says on a list",
    back_link: r"page \d+: links broken",
    zone_counter: r"zone 0 list 0: counter \d+, \d+ pages",
    zone_counter_low: r"zone 0 list 1: counter \d+, \d+ pages",
    slot_leaked: r"\d+ swap slots counted, \d+ held",
    slot_forgotten: r"\d+ swap slots counted, \d+ held",
    slot_of_nothing: r"page \d+: slot of nothing",
    frame_twice: r"zone 0: frames counted \[.*\], in use",
    kernel_frame_lost: r"zone 0: frames counted \[.*\], in use",
    device_frame_lost: r"zone 0: frames counted \[.*\], in use",
    stack_lost: r"zone 0: frames counted \[.*\], in use",
    free_frames_off: r"zone 0: \d+ free \+ .* used of 4096",
    anon_frame_leaked: r"1 anonymous frames belong to nothing, 0 were leaked",
    anon_frame_short: r"-1 anonymous frames belong to nothing",
    nobodys_page: r"page \d+: anonymous, nobody's, and still there",
    entry_on_two_lists: r"entry \d+: (twice on the lists|on the list of \d, owner \d)",
    entry_twice: r"entry \d+: twice on the lists",
    wrong_owner: r"entry \d+: on the list of \d, owner \d",
    charge_for_unmapped: r"entry \d+: charges page \d+ that nobody maps",
    charge_without_frame: r"entry \d+: page \d+ has no frame",
    swap_miscounted: r"container 1: \d+ swapped pages counted, \d+ there",
    swap_payer_without_slot: r"page \d+: container 1 pays for a swap slot that is not there",
    kernel_frames_miscounted: r"container \d: -?\d+ kernel frames charged, \d+ there",
    wrong_split_list: r"entry \d+: on list \d, belongs on \d",
    split_list_miscounted: r"list \d+: \d+ records counted, \d+ there",
    entry_count_off: r"entry \d+: counts \d mappings, \d there",
    held_off: r"container 1: \d+ records counted, \d+ there",
    drop_owner: r"page \d+: mapped, but nobody is charged",
    keep_owner: r"page \d+: unmapped, but charged",
    mms_off: r"container 2: \d mms counted, \d there",
    move_without_counting: r"container \d: \d mms counted, \d there",
    numproc_off: r"container 1: numproc 2, 1 tasks",
    zombie_forgotten: r"(container 2: numproc|zone 0: frames counted)",
    reaped_with_mm: r"task 3: state 3, mm 3",
    runs_elsewhere: r"task 0: runs in 1, mm 0",
    negative_usage: r"container 0: usage -1, peak 0",
    peak_below_usage: r"container 1: usage \d+, peak 0",
    css_off: r"container 1: css \d+, \d+ mms \+ \d+ charges",
    css_of_mappings: r"container 1: css \d+, \d+ mms \+ \d+ mappings",
    mapping_uncharged: r"container 2: usage \d+, \d+ owed",
    zone_miscounted: r"container 1: usage \d+, \d+ owed",
    forget_uncharge: r"container 1: usage 17, 16 owed",
    charge_twice: r"container 2: usage \d+, \d+ owed",
    lose_a_share: r"container 2: usage \d+, \d+ owed",
    charge_the_wrong_one: r"container 1: usage \d+, \d+ owed",
    wrong_shift: r"container \d: usage \d+, \d+ owed",
    wrong_shift_and_charge: r"shares add up to \d+ units less than \d+ pages",
    virtual_record_astray: r"entry \d+: on list 1 with \d mappings",
    virtual_slot_lost: r"container 1: -?\d+ virtual slots counted, \d+ held",
    address_space_off: r"container 1: \d+ unused private pages counted, \d+ there",
    shared_memory_uncharged: r"container 2: usage \d+, \d+ owed",
    shared_memory_on_a_ring: r"page \d+: unmapped, but charged",
    cached_twice: r"page \d+: twice on the lists of cached pages",
    cached_for_another: r"page \d+: cached for 1, on the list of 2",
    cached_back_link: r"page \d+: cached, links broken",
    cached_miscounted: r"container 2: \d+ cached pages counted, \d+ there",
    cached_while_mapped: r"page \d+: unmapped in a cache: False, charged: True",
    cached_and_forgotten: r"page \d+: cached for 0, unmapped in a cache: False",
    cached_unpaid: r"container 2: usage \d+, \d+ owed",
    bill_off: r"container 2: bill \d+, shares are worth \d+",
    rmap_back_link: r"pte \d+: links broken",
    entry_back_link: r"entry \d+: links broken",
    holders_off: r"page \d+: its ring does not close after \d",
    stranger_on_ring: r"page \d+: a stranger on its ring",
    ring_back_link: r"entry \d+: ring broken",
    owners_mappings_off: r"entry \d+: counts \d mappings, \d there",
    numfiles_off: r"container 1: numfiles 2, 1 files",
    forget_pin: r"granule \d+: \d+ pins counted, \d+ there",
    forget_pinned: r"zone \d: \d+ pinned granules counted, \d+ there",
    strange_granule: r"page \d+: in zone 2, its granule in 0",
    granule_off_ring: r"zone \d: 0 granules on the ring, \d with room",
    full_granule_on_ring: r"granule \d+: on the ring of zone \d",
    broken_granule: r"zone 1: 17 frames are not whole granules",
    shrunk_too_far: r"zone \d: \d granules pinned of 0 frames",
    copy_of_nobodys: r"page \d+: a copy with 0 mappings, flags 808",
    given_up_and_mapped: r"page \d+: given up with \d mappings, flags ",
    two_machines: r"page \d+: in the machines of \{1, 2\}",
    wrong_copy: r"page \d+: the copy of \d, mapped by \{\d\}",
    handle_uncounted: r"file 0: 2 references, 1 handles",
}
SCHEME = {  # where it takes a certain scheme to have what is damaged
    entry_count_off: "every_container", owners_mappings_off: "hand_over",
    lose_a_share: "fraction", bill_off: "dual_count",
    cached_twice: "first_touch:cache=joint", cached_for_another: "first_touch:cache=joint",
    cached_back_link: "first_touch:cache=separate", cached_miscounted: "first_touch:cache=separate",
    cached_while_mapped: "first_touch:cache=separate",
    cached_and_forgotten: "first_touch:cache=separate", cached_unpaid: "first_touch:cache=joint",
    virtual_record_astray: "virtual_swap", virtual_slot_lost: "virtual_swap",
    charge_the_wrong_one: "fraction",
    address_space_off: "openvz", shared_memory_uncharged: "openvz",
    shared_memory_on_a_ring: "openvz",
    wrong_shift: "beancounter", wrong_shift_and_charge: "beancounter",
    css_of_mappings: "every_mapping", mapping_uncharged: "every_mapping", zone_miscounted: "zone",
    charge_without_frame: "first_allocation", swap_miscounted: "cgroup_v1",
    swap_payer_without_slot: "cgroup_v2",
    kernel_frames_miscounted: "first_touch:kernel_memory=charged",
    wrong_split_list: "cgroup_v1", split_list_miscounted: "cgroup_v2",
    holders_off: "every_container", stranger_on_ring: "fraction", ring_back_link: "beancounter",
    forget_pin: "zone", forget_pinned: "zone", strange_granule: "zone", granule_off_ring: "zone",
    full_granule_on_ring: "zone", broken_granule: "zone", shrunk_too_far: "zone",
    copy_of_nobodys: "copy_on_reclaim", given_up_and_mapped: "copy_on_reclaim",
    two_machines: "partition", wrong_copy: "partition",
}


def sabotaged(saboteur, scheme=None, quirks="repaired"):
    k = copy.deepcopy(rich(scheme or SCHEME.get(saboteur, "first_touch"), quirks))
    saboteur(k)
    return k


@pytest.mark.parametrize("saboteur", SABOTEURS, ids=lambda s: s.__name__)
def test_check_names_the_damage(saboteur):
    with pytest.raises(CheckFailed, match=SABOTEURS[saboteur]):
        check(sabotaged(saboteur))


def needs() -> list[str]:
    """The text of every invariant in kernel/check.py."""
    calls = [node for node in ast.walk(ast.parse(SOURCE.read_text())) if isinstance(node, ast.Call)]
    calls = [call for call in calls if getattr(call.func, "id", "") == "need"]
    return [call.args[1].value for call in calls]


@pytest.mark.parametrize("text", needs())
def test_every_invariant_has_a_saboteur(text):
    """`need(..., "page %d: mapcount %d")` is the message of at least one failure above."""
    pattern = re.escape(text).replace("%d", r"-?\d+").replace("%s", ".*").replace("%x", ".*")
    for saboteur in SABOTEURS:
        try:
            check(sabotaged(saboteur))
        except CheckFailed as error:
            if re.fullmatch(pattern, str(error)):
                return
    pytest.fail(f"no saboteur breaks: {text}")


def test_damage_to_a_machine_that_hangs_is_not_looked_for():
    k = sabotaged(forget_mapcount)
    k.hung = 1
    check(k)


def test_inflated_zone_counters_are_allowed_where_the_quirk_is_on():
    check(sabotaged(zone_counter, quirks="as_posted"))
    with pytest.raises(CheckFailed, match="zone 0 list 1"):
        k = copy.deepcopy(rich("first_touch", "as_posted"))
        k.zone_active[0] = 0
        check(k)


# ---- damaged code --------------------------------------------------------------------------------


def nothing(*args):
    return 0


def twice(function):
    def run(*args):
        function(*args)
        return function(*args)

    return run


def sometimes(change, every=5):
    """Only each fifth call is damaged: rare mistakes must not slip through."""

    def damage(function):
        changed, calls = change(function), [0]

        def run(*args):
            calls[0] += 1
            return (function if calls[0] % every else changed)(*args)

        return run

    return damage


def upside_down(function):
    return lambda *args: (1 << 20) - function(*args)


def forget(function):
    return nothing


def always_yes(function):
    return lambda *args: True


def newest_mapper(function):
    from workbench.kernel.tables import mm_of

    def newest(k, page):
        pte = k.pte_prev[k.page_rmap[page] - 1]
        while not k.word[pte] & PRESENT:
            pte = k.pte_prev[pte]
        return k.mm_container[mm_of(k, pte)]

    return newest


def add_in_front(function):
    """The newcomer on the ring becomes its head."""

    def append(k, page, e):
        function(k, page, e)
        k.page_entry[page] = e + 1

    return append


# module, function, damage, scheme, profile -> who objects, and to what
CODE = {
    "uncharge forgets": ("counters", "uncharge", forget, "first_touch", "sharing", "usage"),
    "uncharge forgets one in five": (
        "counters", "uncharge", sometimes(forget), "every_container", "sharing", "usage"),
    "uncharge takes twice": ("counters", "uncharge", twice, "hand_over", "sharing", "usage"),
    "force charges nothing": ("counters", "force", forget, "hand_over", "sharing", "usage"),
    "everything fits": ("counters", "fits", always_yes, "first_touch", "reclaim", "usage"),
    "records are never deleted": (
        "hooks", "del_entry", forget, "first_touch", "sharing", "entry"),
    "a ring starts at its newcomer": (
        "hooks", "ring_append", add_in_front, "beancounter", "sharing", "usage"),
    "others are not repriced": (
        "hooks", "reprice_holders", forget, "fraction", "sharing", "usage|shares add up"),
    "the newest mapper inherits": (
        "hooks", "oldest_mapper", newest_mapper, "hand_over", "sharing", "usage"),
    "a slot is not given back": ("pages", "drop_slot", forget, "first_touch", "swap", "slot"),
    "frames are counted twice": (
        "pages", "count_frame", twice, "none", "sharing", "frames counted|belong to nothing"),
    "a page table entry is not unlinked": (
        "tables", "unlink", sometimes(forget), "none", "sharing", "page|pte"),
    "touches do not activate": (
        "lists", "mark_accessed", forget, "first_touch", "reclaim", "usage|outcome|frames|fail"),
    "lists are not left": ("lists", "lru_del", sometimes(forget), "none", "sharing", "page|zone"),
    "records do not rotate": (
        "lists", "entry_move", forget, "every_container", "reclaim", "mapped|usage|outcome"),
    "nothing is disowned": (
        "reclaim", "disown", forget, "next_toucher", "reclaim", "usage|outcome|frames|fail|mapped"),
    "nothing is pushed back": (
        "reclaim", "unmap_global", forget, "february_2007", "reclaim", "usage|outcome|victims"),
    "the walk finds nobody": (
        "hooks", "maps", forget, "every_container:record=walk:lists=global", "sharing",
        "usage|css|mapped"),
    "a mapped page stays charged to its cache": (
        "cache", "leave_cache", forget, "first_touch:cache=joint", "sharing", "cache|usage"),
    "unmapped pages are nobody's again": (
        "cache", "fall_to", forget, "fraction:cache=joint", "sharing", "cache|usage"),
    "the whole cache goes at once": (
        "reclaim", "drop_cached", twice, "first_touch:cache=joint", "swap", "usage|cache|frames"),
    "nobody is held up": (
        "virtual", "penalise", forget, "virtual_swap", "reclaim", "penalty"),
    "slots are not counted": (
        "virtual", "send_out", forget, "virtual_swap", "reclaim", "list|vswap|css|usage"),
    "used address space is not counted": (
        "ubc", "count_used", sometimes(forget), "openvz", "sharing", "unused"),
    "every map is granted": (
        "ubc", "refusing_space", lambda f: lambda k, c, pages: -1, "openvz", "reclaim",
        "outcome|failcnt|unused"),
    "swap entries are nobody's": (
        "ubc", "slot_payer", lambda f: lambda k, page: -1, "openvz", "memory", "swapped"),
    "shared memory is free": ("ubc", "adopt", forget, "openvz", "sharing", "usage|css"),
    "nobody is above a promise": (
        "ubc", "worst_overdraft", lambda f: lambda k: -1, "openvz", "memory",
        "usage|victims|oom_failcnt"),
    "bills are not shared out": (
        "hooks", "bill_holders", forget, "dual_count", "sharing", "bill"),
    "the least bad dies": ("oom", "badness", upside_down, "first_touch", "swap", "victims|failcnt"),
}


def damage(monkeypatch, module: str, name: str, change) -> None:
    """Replace a function of the kernel wherever it has been imported to."""
    original = getattr(importlib.import_module(f"workbench.kernel.{module}"), name)
    changed = change(original)
    ours = ("workbench.kernel", "workbench.schemes")
    homes = [home for path, home in sys.modules.items() if path.startswith(ours)]
    for home in homes:
        if getattr(home, name, None) is original:
            monkeypatch.setattr(home, name, changed)


def first_objection(scheme: str, profile: str) -> str:
    for seed in range(40):
        case = random_case(seed, profile)
        try:
            compare(case.trace, scheme, case.machine, case.knobs, "interpreted", True)
        except AssertionError as error:  # CheckFailed and Differs are both
            return str(error)
    return ""


@pytest.mark.parametrize("what", CODE)
def test_damaged_code_is_noticed(what, monkeypatch):
    module, name, change, scheme, profile, said = CODE[what]
    damage(monkeypatch, module, name, change)
    objection = first_objection(scheme, profile)
    assert objection, "nobody noticed"
    assert re.search(said, objection), objection


def charging_hooks():
    """The hooks of every scheme that do something."""
    for name in schemes.names():
        module, resident = schemes.get(name).module, schemes.get(name).parts.coverage == "resident"
        for hook in ("born", "gone") if resident else ("mapped", "unmapped"):
            if module.PARTS.lists != "none" or module.PARTS.at_limit != "oom":
                yield name, hook


@pytest.mark.parametrize(("scheme", "hook"), list(charging_hooks()))
def test_a_hook_called_twice_is_noticed(scheme, hook, monkeypatch):
    module = schemes.get(scheme).module
    monkeypatch.setattr(module, hook, twice(getattr(module, hook)))
    with contextlib.suppress(IndexError):  # or the engine stumbles over it: noticed, too
        assert first_objection(scheme, "sharing")


def test_undamaged_code_is_not_objected_to():
    assert not first_objection("first_touch", "sharing")
