"""Tasks, mms, open files and containers: fork, exec, move, map, mkdir (2/7, 6/7, 7/7)."""

from .control import (
    F_MEMS, F_NUMFILES, F_NUMPROC, F_OOMGUAR, F_PGCACHE, F_PIDS, F_PRIVVM, F_RSS, F_VMGUAR,
    F_VSWAP,
)
from .cache import leave_to_root
from .charge import drain, give_back, look_for_frame, pay, take_kernel_frame
from .counters import charge, fits
from .faults import place
from .granules import grow, pin
from .hooks import first_user, index_entries
from .names import (
    ALIVE, HAS_ANON, HUGE, KERNEL, KILLED, KIND, LOCKED, OK, PARTITION, PRESENT, PRIVATE,
    Q_LIMIT_ZERO, REFERENCED, REFUSED, SEPARATE, SHM, SKIPPED, SPECIAL, SWAP, UNBORN,
    STAYS, TO_MAPPER, TO_PARENT, V2, WRITE, Y2007, YOUNG, ZERO, VIRTUAL,
)
from .groups import move_charges, start_files, to_mappers, to_parent, write_file
from .numa import allowed, change_nodes, follow_zone, write_cpuset
from .oom import count_procs, drop_file, drop_vma, reap_task, release_mm
from .pages import attach, count_frame, detach, rehouse, release_hold, remove
from .reclaim import push_back
from .tables import copy_of, find, find_vma, link, sort_ptes, unlink, vpage_of
from .zonelife import bury_zone, carry, found_zone, resize
from .ubc import child_unused, is_private, new_unused, private_area, refusing_space
from .virtual import forget_all
from .zones import start_anew


def new_mm(k, c):
    mm = k.mms_top
    k.mms_top += 1
    k.mm_users[mm] = 1
    k.mm_container[mm] = c
    k.mm_block[mm] = -1
    k.css[c] += 1
    k.mms[c] += 1
    if k.mms[c] > 1:
        index_entries(k, c)
    return mm


def below(limit, used, quirks):
    """One more fits: the counters of tasks and files obey the same wrap at zero as rss (RC1)."""
    return used < limit or (limit == 0 and quirks & Q_LIMIT_ZERO != 0)


def pay_task(k, t, child):
    """numproc: the forking task's container pays, until the child is reaped. pids: so do all above
    it, and the one whose limit is reached counts the failure."""
    c = k.task_container[t]
    full = c
    while full >= 0 and below(k.procs_limit[full], k.procs[full], k.quirks):
        full = k.folder[full] if k.tree and k.folder[full] else -1
    if full >= 0:
        k.procs_failcnt[full] += 1
        return False
    count_procs(k, c, 1)
    k.task_charged[child] = c
    return True


def take_stack(k, t, child, c):
    """The kernel frames of a task; False when none is to be had."""
    for i in range(k.task_frames):
        z = take_kernel_frame(k, k.task_node[t], k.own_zone[c], c)
        k.stack_payer[child * k.task_frames + i] = c
        if z < 0:
            for j in range(i, k.task_frames):
                k.task_stack[child * k.task_frames + j] = -1
            return False
        k.task_stack[child * k.task_frames + i] = pin(k, z)
    return True


def enroll(k, t):
    """A task that leads begins to exist."""
    k.task_state[t] = ALIVE
    k.task_leader[t] = t
    k.task_order[k.tasks_top] = t
    k.tasks_top += 1


def new_fileset(k):
    files = k.filesets_top
    k.filesets_top += 1
    k.fileset_users[files] = 1
    return files


def start_task(k, t):
    """A task that is there from the beginning: counted, never refused."""
    c = k.task_container[t]
    enroll(k, t)
    k.task_mm[t] = k.task_runs[t] = new_mm(k, c)
    k.task_files[t] = new_fileset(k)
    count_procs(k, c, 1)
    k.task_charged[t] = c
    for i in range(t * k.task_frames, (t + 1) * k.task_frames):
        # nobody is killed before the start
        z = look_for_frame(k, k.task_node[t], k.own_zone[c], c, -1)
        if z < 0 and k.grows and k.own_zone[c] >= 0 and grow(k, k.own_zone[c]):
            z = k.own_zone[c]
        k.task_stack[i] = -1
        k.stack_payer[i] = c
        if z >= 0:
            count_frame(k, z, KERNEL, 1)
            k.task_stack[i] = pin(k, z)
            if k.kernel_memory:
                charge(k, c, k.unit, -1)
                k.kernel[c] += 1


def begin_child(k, t, child, c):
    """What fork and thread share. Returns OK, or why there is no child."""
    if not pay_task(k, t, child):
        return REFUSED
    if not take_stack(k, t, child, c):
        undo_child(k, child)
        return KILLED
    k.task_container[child] = k.task_container[t]
    k.task_node[child] = k.task_node[t]
    k.task_rotor[child] = k.task_rotor[t]
    k.task_parent[child] = t
    return OK


def fork_fits(k, mm, c):
    """VServer checks the length of every range it is about to copy, not the pages in it."""
    i = k.mm_vmas[mm] - 1
    while i >= 0:
        if k.vma_flags[i] & PRIVATE and k.vma_flags[i] & HAS_ANON:
            if not fits(k, c, (k.vma_end[i] - k.vma_start[i] + 1) * k.unit):
                return False
        i = k.vma_next[i] - 1
    return True


def fork(k, t, child):
    """A new task with a copy of the address space: anonymous memory shared until written."""
    # the task's container, not its mm's: a thread may have been moved away from its mm (CA3)
    c = k.task_container[t]
    outcome = begin_child(k, t, child, c)
    if outcome != OK:
        return outcome
    parent = k.task_mm[t]
    full = -1
    if k.ubc:
        full = refusing_space(k, c, child_unused(k, parent))
    elif k.fork_check and not fork_fits(k, parent, c):
        full = c
    if full >= 0:
        k.failcnt[full] += 1
        undo_child(k, child)
        return REFUSED
    mm = new_mm(k, c)
    k.mm_denied[mm] = k.mm_denied[parent]
    if k.ubc:
        k.unused[c] += private_area(k, parent)
    i = k.mm_vmas[parent] - 1
    while i >= 0:
        add_vma(k, mm, k.vma_object[i], k.vma_start[i], k.vma_end[i], k.vma_flags[i])
        i = k.vma_next[i] - 1
    outcome = copy_ptes(k, t, parent, mm)
    if outcome != OK:
        if not k.hung:
            release_mm(k, mm)
        undo_child(k, child)
        return outcome
    k.task_mm[child] = k.task_runs[child] = mm
    copy_files(k, t, child)
    enroll(k, child)
    if k.task_last[t]:
        k.task_younger[k.task_last[t] - 1] = child + 1
    else:
        k.task_child[t] = child + 1
    k.task_last[t] = child + 1
    return OK


def undo_child(k, child):
    """A fork that failed half-way leaves nothing behind."""
    if not k.hung:
        reap_task(k, child)
    k.task_state[child] = UNBORN


def copy_ptes(k, t, parent, mm):
    """Entries of every private range that has anonymous pages; other ranges refault."""
    sort_ptes(k, parent)
    pte = k.mm_ptes[parent] - 1
    while pte >= 0:
        w = k.word[pte]
        v = vpage_of(k, pte)
        if w & (PRESENT | SWAP) and v < k.vpages:
            i = find_vma(k, parent, v)
            special = w & PRESENT and not w & ZERO
            special = special and k.page_flags[k.pte_page[pte]] & KIND == SPECIAL
            both = PRIVATE | HAS_ANON
            if i >= 0 and (k.vma_flags[i] & both == both or special):
                to = place(k, t, mm, v)
                if to < 0:
                    return KILLED
                w = k.word[pte]
                if not w & (PRESENT | SWAP):  # reclaimed for the child's page table
                    pte = k.pte_sibling[pte] - 1
                    continue
                if not special:
                    w &= ~WRITE
                    k.word[pte] = w
                copy_pte(k, pte, w, to)
        pte = k.pte_sibling[pte] - 1
    return OK


def copy_pte(k, pte, w, copy):
    k.word[copy] |= w & 0xFF & ~(YOUNG | LOCKED)
    if w & ZERO:
        return
    page = k.pte_page[pte]
    link(k, copy, page)
    if w & SWAP:
        k.page_swaps[page] += 1
    else:
        attach(k, copy, page, (k.word[copy] >> 40) - 1, 0)


def thread(k, t, child):
    outcome = begin_child(k, t, child, k.mm_container[k.task_mm[t]])
    if outcome != OK:
        return outcome
    k.task_state[child] = ALIVE
    leader = k.task_leader[t]
    k.task_leader[child] = leader
    last = leader
    while k.task_thread[last]:
        last = k.task_thread[last] - 1
    k.task_thread[last] = child + 1
    k.task_mm[child] = k.task_runs[child] = k.task_mm[t]
    k.mm_users[k.task_mm[t]] += 1
    k.task_files[child] = k.task_files[t]
    k.fileset_users[k.task_files[t]] += 1
    return OK


def execute(k, t):
    """A fresh mm bound to the task's container of now. Opening the program needs one file (NF2)."""
    c = k.task_container[t]
    if not below(k.files_limit[c], k.files[c], k.quirks):
        k.files_failcnt[c] += 1
        return REFUSED
    release_mm(k, k.task_mm[t])
    k.task_mm[t] = k.task_runs[t] = new_mm(k, c)
    return OK


def move(k, t, c):
    """The attach hook of 2/7: the mm follows whoever leaves the container it is bound to."""
    if not k.alive[c] or (k.leader_moves and k.task_leader[t] != t):
        return REFUSED
    left = k.task_container[t]
    mm = k.task_mm[t]
    if k.placement == PARTITION and left != c:
        if k.mm_users[mm] > 1:
            return REFUSED  # one address space cannot be in two machines
        start_anew(k, mm, left, c)
    if k.family != Y2007 and left != c:
        if k.mm_container[mm] == left and not move_charges(k, mm, left, c):
            return REFUSED
        for u in range(k.tasks):  # v2 moves whole processes; the count of tasks goes along
            if u == t or (k.family == V2 and k.task_mm[u] == mm):
                count_procs(k, k.task_charged[u], -1)
                count_procs(k, c, 1)
                k.task_charged[u] = c
                k.task_container[u] = c
    k.task_container[t] = c
    if left == c or k.mm_container[mm] != left:
        return OK
    k.mm_container[mm] = c
    if k.ubc:
        area = private_area(k, mm)
        k.unused[left] -= area
        k.unused[c] += area
    k.css[left] -= 1
    k.css[c] += 1
    k.mms[left] -= 1
    k.mms[c] += 1
    if k.mms[c] > 1:
        index_entries(k, c)
    if k.rewalk:
        change_container(k, mm, left)
        if k.reclaim == VIRTUAL and k.mms[left] == 0:
            forget_all(k, left)
    else:
        k.mapped[left] -= k.mm_rss[mm]
        k.mapped[c] += k.mm_rss[mm]
        if k.carries:
            carry(k, t, mm)
    if k.has_mems and k.moves_memory[c]:
        change_nodes(k, mm, k.mems[left], k.mems[c])
    return OK


def change_container(k, mm, left):
    """Every present page of mm leaves the old container and joins the new one, page by page."""
    sort_ptes(k, mm)
    pte = k.mm_ptes[mm] - 1
    while pte >= 0:
        w = k.word[pte]
        if w & PRESENT and not w & ZERO and vpage_of(k, pte) < k.vpages:
            page = k.pte_page[pte]
            unlink(k, pte, page)
            detach(k, pte, page, mm, left)
            link(k, pte, page)
            attach(k, pte, page, mm, 0)
        pte = k.pte_sibling[pte] - 1


def migrate(k, t, node):
    """Move the present pages of t's mm to a node: unmapped everywhere, then mapped again (CH8).

    A container's zone goes there itself, once all its tasks have.
    """
    k.task_node[t] = node
    mm = k.task_mm[t]
    if k.placement:
        follow_zone(k, k.mm_container[mm], node)
    sort_ptes(k, mm)
    pte = k.mm_ptes[mm] - 1
    while pte >= 0:
        w = k.word[pte]
        if w & PRESENT and not w & ZERO and vpage_of(k, pte) < k.vpages:
            page = k.pte_page[pte]
            z = k.page_zone[page]
            if k.page_flags[page] & KIND != SPECIAL and k.zone_node[z] != node:
                if not migrate_page(k, page, node, k.mm_container[mm]):
                    return KILLED
        pte = k.pte_sibling[pte] - 1
    return OK


def migrate_page(k, page, node, c):
    z = node if k.own_zone[c] < 0 else k.own_zone[c]
    if k.zone_node[z] != node or k.zone_free[z] <= k.zone_min[z] or not allowed(k, c, node):
        return True
    k.held_page = page
    n = k.page_maps[page] + k.page_swaps[page]
    pte = k.page_rmap[page] - 1
    for _ in range(n):
        w = k.word[pte]
        if w & PRESENT:
            # a migration entry: counted like a swap entry until the page is mapped again
            k.word[pte] = (w & ~PRESENT) | ZERO
            k.page_swaps[page] += 1
            mm = (w >> 40) - 1
            detach(k, pte, page, mm, k.mm_container[mm])
        pte = k.pte_next[pte]
    rehouse(k, page, z)
    paid = True
    pte = waiting(k, page)
    while pte >= 0:
        paid = restore(k, pte, page) and paid
        pte = waiting(k, page)
    release_hold(k)
    return paid


def waiting(k, page):
    """The oldest migration entry of a page, or -1. A payment may have ended the mm of others."""
    pte = k.page_rmap[page] - 1
    for _ in range(k.page_maps[page] + k.page_swaps[page]):
        w = k.word[pte]
        if w & ZERO and not w & PRESENT:
            return pte
        pte = k.pte_next[pte]
    return -1


def restore(k, pte, page):
    """A migration entry becomes a mapping again, if its container can pay."""
    w = k.word[pte]
    c = k.mm_container[(w >> 40) - 1]
    paid = 0 if k.resident else pay(k, c, page)
    if k.word[pte] & 0xFF != w & 0xFF:
        give_back(k, c, paid, page)  # the payment has killed this very mm
        return paid >= 0  # and, if it failed, the current task
    k.page_swaps[page] -= 1
    if paid < 0:
        unlink(k, pte, page)
        k.word[pte] = w & ~0xFF
        return False
    k.word[pte] = (w & ~ZERO) | PRESENT
    attach(k, pte, page, (w >> 40) - 1, paid)
    return True


# address ranges


def add_vma(k, mm, o, start, end, flags):
    if k.vmas_free:
        i = k.vmas_free - 1
        k.vmas_free = k.vma_next[i]
    else:
        i = k.vmas_top
        k.vmas_top += 1
    k.vma_object[i] = o
    k.vma_start[i] = start
    k.vma_end[i] = end
    k.vma_flags[i] = flags
    k.vma_next[i] = k.mm_vmas[mm]
    k.mm_vmas[mm] = i + 1
    k.mm_size[mm] += end - start
    k.obj_vmas[o] += 1
    return i


def cut_vmas(k, mm, start, end):
    """No vma of mm covers [start, end) afterwards; the rest of a cut one stays.

    Returns HAS_ANON if there may be anonymous pages in what was cut out.
    """
    lost = 0
    before = -1
    i = k.mm_vmas[mm] - 1
    while i >= 0:
        after = k.vma_next[i] - 1
        if k.vma_start[i] < end and start < k.vma_end[i]:
            low = max(start, k.vma_start[i])
            high = min(end, k.vma_end[i])
            lost |= k.vma_flags[i] & HAS_ANON
            k.mm_size[mm] -= high - low
            if k.vma_end[i] > high and k.vma_start[i] < low:
                k.mm_size[mm] -= k.vma_end[i] - high
                j = add_vma(k, mm, k.vma_object[i], high, k.vma_end[i], k.vma_flags[i])
                if before < 0:
                    before = j
                k.vma_end[i] = low
            elif k.vma_end[i] > high:
                k.vma_start[i] = high
            elif k.vma_start[i] < low:
                k.vma_end[i] = low
            else:
                if before < 0:
                    k.mm_vmas[mm] = after + 1
                else:
                    k.vma_next[before] = after + 1
                drop_vma(k, i)
                i = after
                continue
        before = i
        i = after
    return lost


def map_range(k, t, o, start, end, flags):
    mm = k.task_mm[t]
    o = copy_of(k, o, k.mm_container[mm])
    more = new_unused(k, mm, start, end, is_private(k, o, flags)) if k.ubc else 0
    full = refusing_space(k, k.mm_container[mm], more) if more > 0 else -1
    if full >= 0:
        k.failcnt[full] += 1
        k.mm_denied[mm] = 1
        return REFUSED
    if k.obj_kind[o] == SHM and k.obj_path[o] == 0 and k.obj_vmas[o] == 0:
        c = k.task_container[t]
        if not below(k.files_limit[c], k.files[c], k.quirks):
            k.files_failcnt[c] += 1
            return REFUSED
        k.files[c] += 1
        k.obj_filed[o] = c + 1
    if k.has_payer:
        first_user(k, o, k.mm_container[mm])
    if k.ubc:
        k.unused[k.mm_container[mm]] += more
    i = add_vma(k, mm, o, start, end, flags)
    k.mm_vmas[mm] = k.vma_next[i]
    k.vma_flags[i] |= cut_vmas(k, mm, start, end)
    k.vma_next[i] = k.mm_vmas[mm]
    k.mm_vmas[mm] = i + 1
    return OK


def discard(k, t, start, end):
    mm = k.task_mm[t]
    for v in range(start, end):
        pte = find(k, mm, v)
        if pte >= 0:
            remove(k, pte)
    return OK


def unmap(k, t, start, end):
    discard(k, t, start, end)
    if k.ubc:
        mm = k.task_mm[t]
        k.unused[k.mm_container[mm]] += new_unused(k, mm, start, end, 0)
    cut_vmas(k, k.task_mm[t], start, end)
    return OK


def unlock(k, t, start, end):
    for v in range(start, end):
        at = find(k, k.task_mm[t], v)
        if at >= 0:
            k.word[at] &= ~LOCKED
    return OK


# open files


def open_file(k, t, o):
    """numfiles: the opener's container pays until the last close, by whomever."""
    c = k.task_container[t]
    if not below(k.files_limit[c], k.files[c], k.quirks):
        k.files_failcnt[c] += 1
        return REFUSED
    if k.files_per_frame and not take_file_frame(k, t):
        return KILLED
    if k.has_payer:
        first_user(k, o, c)
    k.open_files += 1
    k.files[c] += 1
    if k.files_free:
        f = k.files_free - 1
        k.files_free = k.file_container[f]
    else:
        f = k.files_top
        k.files_top += 1
    k.file_refs[f] = 0
    k.file_container[f] = c
    k.file_object[f] = o
    add_handle(k, k.task_files[t], f)
    return OK


def take_file_frame(k, t):
    if k.file_frames * k.files_per_frame > k.open_files:
        return True
    c = k.mm_container[k.task_mm[t]]
    z = take_kernel_frame(k, k.task_node[t], k.own_zone[c], c)
    if z < 0:
        return False
    k.filezone[k.file_frames] = pin(k, z)
    k.file_payer[k.file_frames] = c
    k.file_frames += 1
    return True


def add_handle(k, files, f):
    if k.fds_free:
        fd = k.fds_free - 1
        k.fds_free = k.fd_next[fd]
    else:
        fd = k.fds_top
        k.fds_top += 1
    k.fd_file[fd] = f
    k.fd_next[fd] = k.fileset_head[files]
    k.fileset_head[files] = fd + 1
    k.file_refs[f] += 1


def close_file(k, t, o):
    files = k.task_files[t]
    before = -1
    fd = k.fileset_head[files] - 1
    while fd >= 0:
        f = k.fd_file[fd]
        if k.file_object[f] == o:
            if before < 0:
                k.fileset_head[files] = k.fd_next[fd]
            else:
                k.fd_next[before] = k.fd_next[fd]
            k.fd_next[fd] = k.fds_free
            k.fds_free = fd + 1
            drop_file(k, f)
            return OK
        before = fd
        fd = k.fd_next[fd] - 1
    return SKIPPED


def copy_files(k, t, child):
    """The child shares every open file; newest stays newest."""
    files = new_fileset(k)
    k.task_files[child] = files
    fd = k.fileset_head[k.task_files[t]] - 1
    last = -1
    while fd >= 0:
        head = k.fileset_head[files]
        add_handle(k, files, k.fd_file[fd])
        new = k.fileset_head[files] - 1
        if last >= 0:
            k.fileset_head[files] = head
            k.fd_next[last] = new + 1
            k.fd_next[new] = 0
        last = new
        fd = k.fd_next[fd] - 1


# containers


def make_container(k, c):
    if k.alive[c] or (k.tree and not k.alive[k.folder[c]]):
        return REFUSED
    if k.placement and not found_zone(k, c):
        return REFUSED
    if k.usage[c] and k.death != STAYS:
        to_parent(k, c)  # what its dead namesake still holds
    k.alive[c] = 1
    k.cached_limit[c] = HUGE  # no table has one
    k.cached_failcnt[c] = 0
    k.limit[c] = k.table_limit[c]
    k.procs_limit[c] = k.table_procs[c]
    k.files_limit[c] = k.table_files[c]
    k.failcnt[c] = 0
    k.procs_failcnt[c] = 0
    k.files_failcnt[c] = 0
    if k.ubc:
        k.vmguar[c] = 0
        k.oomguar[c] = 0
        k.oom_failcnt[c] = 0
    if k.has_mems:
        k.mems[c] = (1 << k.nodes) - 1
        k.moves_memory[c] = 0
        k.spreads[c] = 0
    start_files(k, c)
    return OK


def occupied(k, c):
    """Does a task, or under a tree a container, still live in c?"""
    for t in range(k.tasks):
        if k.task_state[t] == ALIVE and k.task_container[t] == c:
            return True
    for child in range(1, k.containers):
        if k.tree and k.folder[child] == c and k.alive[child]:
            return True
    return False


def remove_container(k, c):
    """EBUSY while tasks remain; in 2007 also while charges do (CA1), unless they go to the root."""
    if not k.alive[c] or c == 0 or occupied(k, c) or k.mms[c]:
        return REFUSED
    if k.family == Y2007 and (k.procs[c] or k.files[c]):
        return REFUSED
    if k.death == STAYS and (k.css[c] or k.procs[c] or k.files[c] or k.kernel[c]):
        return REFUSED
    k.alive[c] = 0
    if k.cache:
        leave_to_root(k, c)
    k.min[c] = 0
    k.low[c] = 0
    if k.family != Y2007:
        drain(k, c)
    if k.death == TO_PARENT:
        to_parent(k, c)
    elif k.death == TO_MAPPER:
        to_mappers(k, c)
    if k.placement:
        bury_zone(k, c)
    return OK


def set_limit(k, c, which, value):
    """Write to control file number `which`; value < 0: the bytes were no number (EINVAL).

    The files of 2007 are only stored: no comparison with usage, no reclaim; but the controller of
    Feb 2007 pushes back at once.
    """
    if value < 0 or not k.alive[c]:
        return REFUSED
    if which == F_RSS and k.own_zone[c] >= 0 and not resize(k, c, value):
        return REFUSED
    if which >= F_MEMS:
        return write_cpuset(k, c, which, value)
    if which == F_NUMPROC or (which == F_PIDS and k.family != Y2007):
        k.procs_limit[c] = value
    elif which == F_NUMFILES:
        k.files_limit[c] = value
    elif which == F_VSWAP and k.reclaim == VIRTUAL:
        k.vswap_limit[c] = value
    elif k.ubc and which == F_PRIVVM:
        k.limit[c] = value
    elif k.ubc and which == F_VMGUAR:
        k.vmguar[c] = value
    elif k.ubc and which == F_OOMGUAR:
        k.oomguar[c] = value
    elif F_VSWAP <= which <= F_OOMGUAR:
        return REFUSED  # of another scheme
    elif which == F_PGCACHE:
        if k.cache != SEPARATE:
            return REFUSED
        k.cached_limit[c] = value
    elif k.family != Y2007:
        return write_file(k, c, which, value)
    elif which == F_RSS:
        k.limit[c] = value
        if k.pushback and not fits(k, c, 0) and not push_back(k, c, 0):
            return REFUSED  # EAGAIN: the limit stands, and the container is above it
    else:
        return REFUSED
    return OK


def age(k):
    """A quiet period: nothing has been used lately."""
    for pte in range(k.ptes_end):
        k.word[pte] &= ~YOUNG
    for page in range(k.pages_top):
        k.page_flags[page] &= ~REFERENCED
    return OK
