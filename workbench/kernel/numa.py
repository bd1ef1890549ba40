"""Nodes: who reads from which, pages that follow their task, and cpusets (Linux 2.6.12 on)."""

from .control import F_MEMS, F_MIGRATE
from .granules import join_granules, shift, spare
from .names import (
    ALIVE, KERNEL, KIND, N_FAR, N_MIGRATED, N_NEAR, OK, ON_TOUCH,
    PRESENT, REFUSED, RESIDENT, SPECIAL, ZERO,
)
from .pages import rehouse
from .tables import sort_ptes, vpage_of
from .zonelife import charge_zone, has_own_zone


def note_access(k, t, page):
    """Count one access by task t to a page in memory, by its container and the page's node."""
    if not k.page_flags[page] & RESIDENT:
        return  # read of a kernel object that nobody has made
    node = k.zone_node[k.page_zone[page]]
    cell = k.mm_container[k.task_mm[t]] * k.nodes + node
    if node == k.task_node[t]:
        k.near[cell] += 1
        k.stat[N_NEAR] += 1
    else:
        k.far[cell] += 1
        k.stat[N_FAR] += 1


def page_at(k, pte):
    """The page that a pte shows, or -1 (nothing, the zero page, swapped)."""
    if pte < 0 or not k.word[pte] & PRESENT or k.word[pte] & ZERO:
        return -1
    return k.pte_page[pte]


def come_near(k, t, at):
    """Migration on touch: a page that nobody else maps comes to the toucher's node, if it may."""
    page = page_at(k, at)
    if k.numa != ON_TOUCH or page < 0 or k.page_flags[page] & KIND == SPECIAL:
        return
    node = k.task_node[t]
    c = k.mm_container[k.task_mm[t]]
    if k.zone_node[k.page_zone[page]] == node or k.own_zone[c] >= 0 or not allowed(k, c, node):
        return
    if k.page_maps[page] + k.page_swaps[page] == 1 and k.zone_free[node] > k.zone_min[node]:
        rehouse(k, page, node)


def follow_zone(k, c, node):
    """A container's zone moves to the node that all its tasks run on: new granules there, every
    page copied. What cannot be moved stays, and its granules go to the old node."""
    if not has_own_zone(k, c) or k.zone_node[k.own_zone[c]] == node:
        return
    z = k.own_zone[c]
    n = k.zone_frames[z] // k.granule
    for t in range(k.tasks):
        if k.task_state[t] == ALIVE and k.mm_container[k.task_mm[t]] == c:
            if k.task_node[t] != node:
                return
    if spare(k, node) < n:
        return
    old = k.zone_node[z]
    fixed = k.zone_special[z] + k.zone_kernel[z]
    for page in range(k.pages_top):
        kind = k.page_flags[page] & KIND
        if k.page_flags[page] & RESIDENT and k.page_zone[page] == z:
            if kind == SPECIAL or kind == KERNEL:
                k.page_zone[page] = old
    join_granules(k, z, old)
    k.zone_special[old] += k.zone_special[z]
    k.zone_kernel[old] += k.zone_kernel[z]
    k.zone_special[z] = 0
    k.zone_kernel[z] = 0
    charge_zone(k, z, -fixed)
    charge_zone(k, old, fixed)
    k.zone_free[z] += fixed
    k.zone_free[old] -= fixed
    shift(k, z, old, n)  # the frames of the pages that move are free again
    shift(k, node, z, n)
    k.zone_node[z] = node
    k.stat[N_MIGRATED] += k.zone_anon[z] + k.zone_file[z]


# cpusets


def allowed(k, c, node):
    return not k.has_mems or k.mems[c] >> node & 1 != 0


def spread_node(k, t, c):
    """memory_spread_page: the next allowed node in turn for a page of the cache."""
    if not k.has_mems or not k.spreads[c]:
        return k.task_node[t]
    node = (k.task_rotor[t] + 1) % k.nodes
    while not allowed(k, c, node):
        node = (node + 1) % k.nodes
    k.task_rotor[t] = node
    return node


def write_cpuset(k, c, which, value):
    """cpuset.mems, memory_migrate, memory_spread_page; zones have no use for them."""
    if k.placement or (which == F_MEMS and (value == 0 or value >> k.nodes)):
        return REFUSED
    if which == F_MEMS:
        before = k.mems[c]
        k.mems[c] = value
        if k.moves_memory[c]:
            for mm in range(k.mms_top):
                if k.mm_users[mm] and k.mm_container[mm] == c:
                    change_nodes(k, mm, before, value)
    elif which == F_MIGRATE:
        k.moves_memory[c] = value
    else:
        k.spreads[c] = value
    return OK


def change_nodes(k, mm, before, after):
    """Pages on the i-th node of one mask go to the i-th of another (counting on from its first)."""
    sort_ptes(k, mm)
    pte = k.mm_ptes[mm] - 1
    while pte >= 0:
        w = k.word[pte]
        if w & PRESENT and not w & ZERO and vpage_of(k, pte) < k.vpages:
            page = k.pte_page[pte]
            node = k.page_zone[page]
            if k.page_flags[page] & KIND != SPECIAL and before >> node & 1:
                to = counterpart(k, node, before, after)
                if to != node and k.zone_free[to] > k.zone_min[to]:
                    rehouse(k, page, to)
        pte = k.pte_sibling[pte] - 1


def counterpart(k, node, before, after):
    rank = 0
    for n in range(node):
        rank += before >> n & 1
    there = 0
    for n in range(k.nodes):
        there += after >> n & 1
    rank %= there
    for n in range(k.nodes):
        if after >> n & 1:
            if rank == 0:
                return n
            rank -= 1
    return node
