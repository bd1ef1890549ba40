"""Today's reclaim: four lists per container, scanned over a subtree, with protection.

The rules of Linux 6.x mm/vmscan.c and mm/memcontrol.c in one CPU's terms; what is left out is in
README section 7b. A page has one charge record, on the list of its owner that its kind and its
active flag name. `target` is the container that lacks room, -1 the whole machine.
"""

from .counters import note, within
from .lists import entry_move, list_of
from .names import (
    ACTIVE, CHANGED, FILE, HEADS, HUGE, INACTIVE_ANON, INACTIVE_FILE, KIND, LOCKED, N_RMAP,
    N_SCANNED, PRESENT, REFERENCED, SLOT, V1, WRITEBACK, YOUNG,
)
from .pages import drop_slot, finish_writing, swap_full
from .reclaim import ACTIVATED, FREED, KEPT, activate, let_go

TRIES = 16  # fruitless turns before somebody is killed (MAX_RECLAIM_RETRIES)


def reclaim(k, target, want, swap):
    """Free `want` pages of a subtree, or try to. What has to be written is waited for.

    Returns pages freed.
    """
    freed = 0
    for _ in range(TRIES):
        k.begun = 0
        freed += reclaim_turn(k, target, want - freed, swap)
        if freed >= want or k.writing_count == 0:
            break
        finish_writing(k)
    return freed


def reclaim_turn(k, target, want, swap):
    """Priorities 12..0; if nothing came, again with forced deactivation, then without low."""
    freed = 0
    for turn in range(3):
        if turn and (freed or not (k.balanced if turn == 1 else k.spared)):
            continue
        k.balanced = 0
        if turn != 1:
            k.spared = 0
        for p in range(priority(k, target), -1, -1):
            if freed + k.begun < want:
                freed += shrink_tree(k, target, p, want - freed, swap, turn, -1)
    return freed


def priority(k, target):
    """12, less where even the whole subtree is too small to be scanned at that priority."""
    size = max(k.usage[target] // k.unit, k.cluster)
    p = 12
    while p and size >> p == 0:
        p -= 1
    return p


def shrink_tree(k, target, p, want, swap, turn, z):
    """One pass at priority p over the subtree, parents first; pages of zone z, or of any (-1)."""
    freed = 0
    for c in range(max(target, 0), k.containers):
        if target >= 0 and not within(k, c, target):
            continue
        guard = 0
        if k.protects and c != target:
            protect(k, c, target)
            usage = k.usage[c] // k.unit
            if usage <= k.now_min[c]:
                continue
            guard = k.now_min[c]
            if turn < 2:
                if usage <= k.now_low[c]:
                    k.spared = 1
                    continue
                if k.now_low[c] > guard:
                    guard = k.now_low[c]
                    k.spared = 1
            elif usage <= k.now_low[c]:
                note(k, c, k.low_events)
        if k.held[c]:
            freed += shrink_group(k, c, target, p, guard, want, swap, turn == 1, z)
    return freed


def protect(k, c, target):
    """How much of c is safe from a reclaim by `target`: now_min and now_low, in pages."""
    a = k.parent[c]
    k.now_min[c] = k.min[c]
    k.now_low[c] = k.low[c]
    if a != target and a >= 0:
        k.now_min[c] = effective(k, c, a, k.min, k.now_min[a])
        k.now_low[c] = effective(k, c, a, k.low, k.now_low[a])


def effective(k, c, a, wish, top):
    """A child's part of its parent's protection `top`: what it uses of its own wish, scaled down
    where the children want too much; what nobody claims goes to those above their wish, by excess.
    """
    usage = k.usage[c] // k.unit
    above = k.usage[a] // k.unit
    wanted = 0
    for child in range(a + 1, k.containers):
        if k.parent[child] == a:
            wanted += min(k.usage[child] // k.unit, wish[child])
    safe = min(usage, wish[c])
    if wanted > top:
        return safe * top // wanted
    if top > wanted and above > wanted and usage > safe:
        safe += (top - wanted) * (usage - safe) // (above - wanted)
    return safe


def swap_room(k, c):
    """May an anonymous page of c go to swap?"""
    if k.swap_used >= k.swap_size:
        return False
    while c >= 0:
        if k.family != V1 and k.swapped[c] >= k.swap_limit[c]:
            return False
        c = k.parent[c]
    return True


def share(k, head, p, guard, usage, part):
    """Pages to scan on one list at priority p: what is not protected, and a kind's part of it."""
    n = k.listed[head]
    if guard and n:
        n = max(n - n * guard // (max(usage, guard) + 1), k.cluster)
    return (n >> p) * part // 200


def shrink_group(k, c, target, p, guard, want, swap, force, z):
    """Scan one container's lists in clusters, the four in turn, until enough is freed."""
    base = HEADS * c
    anon_part = k.swappy[c]
    age_anon = force or k.listed[base] < k.listed[base + 1]
    age_file = force or k.listed[base + 2] < k.listed[base + 3]
    swap = swap and anon_part > 0 and swap_room(k, c)
    file_part = 200 - anon_part
    if not swap or (p and k.listed[base + 2] >> p and not age_file):
        anon_part = 0  # file pages only: there is enough of them that nobody uses
        file_part = 200
    elif p == 0:
        anon_part = 200
        file_part = 200
    usage = k.usage[c] // k.unit
    n0 = share(k, base, p, guard, usage, anon_part)
    n1 = share(k, base + 1, p, guard, usage, anon_part)
    n2 = share(k, base + 2, p, guard, usage, file_part)
    n3 = share(k, base + 3, p, guard, usage, file_part)
    if (n1 and not age_anon) or (n3 and not age_file):
        k.balanced = 1
    if n0 + n1 + n2 + n3 == 0:
        return 0
    freed = 0
    before = k.begun
    while (n0 or n2 or n3) and freed + k.begun - before < want:
        freed += shrink_list(k, base + INACTIVE_ANON, min(n0, k.cluster), target, z)
        if age_anon:
            deactivate(k, base + 1, min(n1, k.cluster), target, z)
        freed += shrink_list(k, base + INACTIVE_FILE, min(n2, k.cluster), target, z)
        if age_file:
            deactivate(k, base + 3, min(n3, k.cluster), target, z)
        n0 -= min(n0, k.cluster)
        n1 -= min(n1, k.cluster)
        n2 -= min(n2, k.cluster)
        n3 -= min(n3, k.cluster)
    if swap and k.listed[base] < k.listed[base + 1]:
        deactivate(k, base + 1, k.cluster, target, z)
    return freed


def deactivate(k, head, n, target, z):
    """The oldest of an active list become inactive, used lately or not; locked pages stay."""
    for _ in range(min(n, k.listed[head])):
        e = k.entry_prev[head]
        page = k.entry_page[e]
        k.stat[N_SCANNED] += 1
        if (z < 0 or k.page_zone[page] == z) and references(k, page, target) >= 0:
            k.page_flags[page] &= ~ACTIVE
        entry_move(k, e, list_of(k, page))


def shrink_list(k, head, n, target, z):
    """Look at the oldest n of an inactive list: freed, kept at the head, or made active."""
    freed = 0
    for _ in range(min(n, k.listed[head])):
        e = k.entry_prev[head]
        page = k.entry_page[e]
        k.stat[N_SCANNED] += 1
        verdict = KEPT
        if z < 0 or k.page_zone[page] == z:
            verdict = judge(k, page, target)
        if verdict == FREED:
            freed += 1
        else:
            entry_move(k, e, list_of(k, page))
    return freed


def references(k, page, target):
    """Young bits of the mappers below `target`, counted and cleared; -1 when one is locked."""
    count = 0
    pte = k.page_rmap[page] - 1
    for _ in range(k.page_maps[page] + k.page_swaps[page]):
        w = k.word[pte]
        k.stat[N_RMAP] += 1
        mine = target < 0 or k.all_references or within(k, k.mm_container[(w >> 40) - 1], target)
        if w & PRESENT and w & LOCKED:
            return -1
        if w & PRESENT and w & YOUNG and mine:
            k.word[pte] = w & ~YOUNG
            count += 1
        pte = k.pte_next[pte]
    return count


def judge(k, page, target):
    """An inactive page: used twice lately it becomes active, used once it stays, else it goes."""
    flags = k.page_flags[page]
    if flags & WRITEBACK:
        return KEPT
    young = references(k, page, target)
    verdict = ACTIVATED
    if young >= 0:
        k.page_flags[page] &= ~REFERENCED
        if young:
            k.page_flags[page] |= REFERENCED
            if not flags & REFERENCED and young == 1:
                return KEPT
        else:
            verdict = let_go(k, page, flags & REFERENCED and flags & KIND == FILE, False)
    if verdict == ACTIVATED:
        activate(k, page)
        if k.page_flags[page] & SLOT and k.page_swaps[page] == 0 and swap_full(k, page):
            drop_slot(k, page)
            k.page_flags[page] |= CHANGED
    return verdict


# the whole machine is short of frames


def most_over_soft(k):
    """The container furthest above its soft limit, or -1."""
    worst = -1
    excess = 0
    for c in range(k.containers):
        over = k.usage[c] // k.unit - k.soft[c]
        if k.soft[c] < HUGE and over > excess:
            excess = over
            worst = c
    return worst


def reclaim_zone_today(k, z):
    """Whoever is above a soft limit first, then everybody, up to the zone's high mark."""
    freed = 0
    c = most_over_soft(k)
    if c >= 0:
        for p in range(priority(k, c), -1, -1):
            if freed < k.cluster:
                freed += shrink_tree(k, c, p, k.cluster - freed, True, 0, z)
    for turn in range(3):
        if turn and (freed or not (k.balanced if turn == 1 else k.spared)):
            continue
        k.balanced = 0
        if turn != 1:
            k.spared = 0
        for p in range(12, -1, -1):
            if k.zone_free[z] < k.zone_high[z]:
                freed += shrink_tree(k, -1, p, k.cluster, True, turn, z)
    if freed == 0 and k.writing_count:
        finish_writing(k)
        for p in range(12, -1, -1):
            if k.zone_free[z] < k.zone_high[z]:
                freed += shrink_tree(k, -1, p, k.cluster, True, 2, z)
    return freed
