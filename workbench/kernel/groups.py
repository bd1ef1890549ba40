"""What the control files of later kernels do, and where charges go when tasks or groups leave."""

from .cgroup import TRIES, reclaim
from .charge import drain, settle_high
from .control import (
    F_FAILCNT, F_FORCE_EMPTY, F_HIERARCHY, F_HIGH, F_LIMIT, F_LOW, F_MAX, F_MAX_USAGE, F_MEMSW,
    F_MIN, F_MOVE_CHARGE, F_OOM_CONTROL, F_OOM_GROUP, F_PEAK, F_RECLAIM, F_RSS, F_SOFT, F_SWAP_MAX,
    F_SWAPPINESS, UNLIMITED,
)
from .counters import charge, count_swap, refusing, uncharge
from .hooks import give_entry, hand_to
from .lists import entry_move, entry_to_tail
from .names import (
    ANON, FILE, HEADS, HUGE, KERNEL, KIND, OK, PRESENT, REFUSED, RESIDENT, SHM, SPLIT, SWAP, V1,
    V2, ZERO,
)
from .oom import NOTHING, out_of_memory
from .tables import find, find_vma


def start_files(k, c):
    """A new directory: nothing limited, nothing protected, nothing counted."""
    a = k.folder[c]
    k.min[c] = 0
    k.low[c] = 0
    k.high[c] = UNLIMITED
    k.soft[c] = UNLIMITED
    k.memsw_limit[c] = UNLIMITED
    k.swap_limit[c] = UNLIMITED
    k.swappy[c] = k.swappy[a] if a else k.swappiness
    k.nested[c] = 1
    if a and k.family == V1:
        k.nested[c] = k.nested[a]
    k.move_mask[c] = 0
    k.oom_group[c] = 0
    k.oom_disabled[c] = 0
    # the root is nobody's parent: it counts its own pages only
    k.parent[c] = a if k.tree and a and k.nested[a] else -1


def write_file(k, c, which, value):
    """A control file of v1 or v2. Files of the other family are not there."""
    if c == 0 or (which != F_RSS and k.family != (V1 if which < F_MAX else V2)):
        return REFUSED
    if which == F_RSS or which == F_LIMIT or which == F_MAX:
        return set_hard_limit(k, c, value)
    if which == F_MEMSW:
        return set_memsw_limit(k, c, value)
    if which == F_SOFT:
        k.soft[c] = value
    elif which == F_MOVE_CHARGE:
        k.move_mask[c] = value
    elif which == F_FORCE_EMPTY:
        squeeze(k, c, 0)
    elif which == F_HIERARCHY:
        return set_hierarchy(k, c, value)
    elif which == F_SWAPPINESS:
        k.swappy[c] = value
    elif which == F_OOM_CONTROL:
        k.oom_disabled[c] = value
    elif which == F_MAX_USAGE or which == F_PEAK:
        k.peak[c] = k.usage[c]
    elif which == F_FAILCNT:
        k.failcnt[c] = 0
    elif which == F_HIGH:
        k.high[c] = value
        k.over_high = c + 1
        settle_high(k)
    elif which == F_LOW:
        k.low[c] = value
        k.protects = 1
    elif which == F_MIN:
        k.min[c] = value
        k.protects = 1
    elif which == F_SWAP_MAX:
        k.swap_limit[c] = value
    elif which == F_OOM_GROUP:
        k.oom_group[c] = value
    elif which == F_RECLAIM:
        return proactive(k, c, value)
    return OK


def squeeze(k, c, pages):
    """Reclaim until no more than `pages` are charged; gives up after 16 turns without success."""
    drain(k, c)
    tries = 0
    while k.usage[c] > pages * k.unit and tries < TRIES:
        if reclaim(k, c, k.cluster, True) == 0:
            tries += 1


def set_hard_limit(k, c, value):
    """v1: reclaim down to it, EBUSY at the first turn that frees nothing. v2: kill, then."""
    if k.family == V1:
        if value > k.memsw_limit[c]:
            return REFUSED
        drain(k, c)
        while k.usage[c] > value * k.unit:
            if reclaim(k, c, k.cluster, True) == 0:
                return REFUSED
        k.limit[c] = value
        return OK
    k.limit[c] = value
    drain(k, c)
    tries = 0
    while k.usage[c] > value * k.unit and value < HUGE:
        if tries < TRIES:
            if reclaim(k, c, max(k.cluster, k.usage[c] // k.unit - value), True) == 0:
                tries += 1
        elif out_of_memory(k, c) == NOTHING:
            break
    return OK


def set_memsw_limit(k, c, value):
    """v1, memory and swap together: never below the limit on memory."""
    if value < k.limit[c] and k.limit[c] < HUGE:
        return REFUSED
    if value < HUGE <= k.limit[c]:
        return REFUSED
    drain(k, c)
    while k.usage[c] + k.swapped[c] * k.unit > value * k.unit and value < HUGE:
        if reclaim(k, c, k.cluster, False) == 0:
            return REFUSED
    k.memsw_limit[c] = value
    return OK


def set_hierarchy(k, c, value):
    """Only while nothing has been made in c, and not off below a directory where it is on."""
    if k.nested[c] == value:
        return OK
    a = k.folder[c]
    for child in range(1, k.containers):
        if k.folder[child] == c and k.alive[child]:
            return REFUSED
    if a and k.nested[a]:
        return REFUSED
    k.nested[c] = value
    return OK


def proactive(k, c, want):
    """memory.reclaim: EAGAIN when it could not free so much."""
    tries = 0
    while want > 0:
        freed = reclaim(k, c, max(k.cluster, want), True)
        if freed == 0:
            tries += 1
            if tries == TRIES:
                return REFUSED
        want -= freed
    return OK


# charges that change hands


def to_parent(k, c):
    """All that c is charged is its parent's from now on; the lists follow, at their old ends;
    those of 2007 at their new ones."""
    heir = k.parent[c] if k.parent[c] >= 0 else 0
    counted = k.parent[c] >= 0  # an ancestor has counted it all along
    for which in range(HEADS):
        head = HEADS * c + which
        e = k.entry_next[head] if k.lists == SPLIT else k.entry_prev[head]
        while e != head:
            after = k.entry_next[e] if k.lists == SPLIT else k.entry_prev[e]
            give_entry(k, e, heir)
            if k.lists == SPLIT:
                entry_to_tail(k, e)
            else:
                entry_move(k, e, which)
            e = after
    for t in range(k.tasks * k.task_frames):
        if k.task_stack[t] >= 0 and k.stack_payer[t] == c:
            k.stack_payer[t] = heir
    for i in range(k.file_frames):
        if k.file_payer[i] == c:
            k.file_payer[i] = heir
    for mm in range(k.mms_top):
        pte = k.mm_ptes[mm] - 1
        while pte >= 0:
            if (k.word[pte] >> 8) & 0xFFFFFFFF >= k.vpages:
                if k.pte_entry[pte] == c:
                    k.pte_entry[pte] = heir
            pte = k.pte_sibling[pte] - 1
    for page in range(k.pages_top):
        if k.page_payer[page] == c + 1:
            k.page_payer[page] = heir + 1
    units = k.usage[c]
    k.usage[c] = 0
    k.kernel[heir] += k.kernel[c]
    k.kernel[c] = 0
    swapped = k.swapped[c]
    k.swapped[c] = 0
    if not counted:
        charge(k, heir, units, -1)
        count_swap(k, heir, swapped)


def to_mappers(k, c):
    """Each page of a dead container that somebody maps goes to its oldest mapper who lives and has
    room for it; the rest stays with the shadow."""
    for head in range(HEADS * c, HEADS * (c + 1)):
        e = k.entry_prev[head]
        while e != head:
            before = k.entry_prev[e]
            page = k.entry_page[e]
            heir = living_mapper(k, page)
            if heir >= 0:
                hand_to(k, page, heir)
            e = before


def living_mapper(k, page):
    """The container of the oldest mapping that is there and has room for one page more, or -1."""
    pte = k.page_rmap[page] - 1
    for _ in range(k.page_maps[page] + k.page_swaps[page]):
        w = k.word[pte]
        c = k.mm_container[(w >> 40) - 1]
        if w & PRESENT and k.alive[c] and refusing(k, c, k.unit) < 0:
            return c
        pte = k.pte_next[pte]
    return -1


def move_charges(k, mm, left, c):
    """v1 move_charge_at_immigrate of the group moved to: bit 0 anonymous pages, bit 1 pages of
    files and shared memory in mapped ranges, mapped yet or not. Only what `left` pays for.

    Everything is charged to c first; False, and nothing has moved, when there is no room for it.
    """
    mask = k.move_mask[c]
    if k.family != V1 or mask == 0:
        return True
    count = 0
    for v in range(k.vpages):
        page = movable(k, mm, v, left, mask)
        if page >= 0 and k.page_flags[page] & RESIDENT:
            count += 1
    paid = 0
    while paid < count:
        if refusing(k, c, k.unit) >= 0 and reclaim(k, refusing(k, c, k.unit), k.cluster, True) == 0:
            uncharge(k, c, paid * k.unit, -1)
            return False
        if refusing(k, c, k.unit) < 0:
            charge(k, c, k.unit, -1)
            paid += 1
    for v in range(k.vpages):
        page = movable(k, mm, v, left, mask)
        if page < 0:
            continue
        if not k.page_flags[page] & RESIDENT:
            count_swap(k, left, -1)
            count_swap(k, c, 1)
            k.page_payer[page] = c + 1
        elif paid:
            give_entry(k, k.page_entry[page] - 1, c)
            uncharge(k, left, k.unit, page)
            paid -= 1
            if k.page_payer[page]:
                k.page_payer[page] = c + 1
    uncharge(k, c, paid * k.unit, -1)
    return True


def movable(k, mm, v, left, mask):
    """The page that mm has at v, or would find there, if it is of a kind to move; else -1."""
    i = find_vma(k, mm, v)
    if i < 0:
        return -1
    pte = find(k, mm, v)
    w = k.word[pte] if pte >= 0 else 0
    kind = k.obj_kind[k.vma_object[i]]
    page = -1
    if w & (PRESENT | SWAP):
        if not w & ZERO:
            page = k.pte_page[pte]
    elif kind == FILE or kind == SHM:
        page = v
    if page < 0:
        return -1
    kind = k.page_flags[page] & KIND
    if kind == KERNEL or not mask & (1 if kind == ANON else 2):
        return -1
    if k.page_flags[page] & RESIDENT:
        e = k.page_entry[page] - 1
        return page if e >= 0 and k.entry_owner[e] == left else -1
    return page if k.page_payer[page] == left + 1 else -1
