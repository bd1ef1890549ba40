"""Leaving and being killed: exit, the OOM killer of patch 5/7, and who it may hit by mistake."""

from .counters import note, say, uncharge, within
from .granules import unpin
from .names import (
    ANYWHERE, BY_CHARGED, BY_SIZE, CAP_INIT, CAP_RAWIO, CAP_ROOT, CAP_STUCK, COUNTED_RECORD, KERNEL,
    KIND, L_KILLED, N_FREED, N_KILLS, PAGE_RECORD, PRESENT, Q_CHILDREN, Q_COUPLING, Q_HANG,
    Q_OUTSIDERS, REAPED, SPECIAL, SWAP, VIRTUAL, Y2007, ZERO, ZOMBIE,
)
from .pages import count_frame, remove
from .virtual import forget_all
from .tables import drop_pte, sort_ptes, vpage_of
from .ubc import private_size, worst_overdraft
from .zones import leave_object, lives_with

NOTHING, OTHER, CURRENT = range(3)
DISABLE = -17


def drop_kernel_frame(k, place, payer):
    """A page table, stack or file frame goes back; where kernel memory is charged, the charge too.
    """
    count_frame(k, unpin(k, place), KERNEL, -1)
    if k.kernel_memory:
        uncharge(k, payer, k.unit, -1)
        k.kernel[payer] -= 1


def count_procs(k, c, step):
    """Tasks are counted where they are, and under a tree in every directory above (pids)."""
    k.procs[c] += step
    if k.tree:
        c = k.folder[c]
        while c > 0:
            k.procs[c] += step
            c = k.folder[c]


def drop_vma(k, i):
    k.vma_next[i] = k.vmas_free
    k.vmas_free = i + 1
    leave_object(k, k.vma_object[i])


def release_mm(k, mm):
    """One user less; the last one unmaps everything and gives up the mm's hold on its container."""
    k.mm_users[mm] -= 1
    if k.mm_users[mm]:
        return
    sort_ptes(k, mm)
    pte = k.mm_ptes[mm] - 1
    while pte >= 0:
        after = k.pte_sibling[pte] - 1
        if vpage_of(k, pte) < k.vpages:
            remove(k, pte)
        else:
            drop_kernel_frame(k, k.pte_page[pte], k.pte_entry[pte])
        drop_pte(k, pte)
        pte = after
    k.mm_ptes[mm] = 0
    i = k.mm_vmas[mm] - 1
    while i >= 0:
        after = k.vma_next[i] - 1
        if k.ubc:
            k.unused[k.mm_container[mm]] -= private_size(k, i)
        drop_vma(k, i)
        i = after
    k.mm_vmas[mm] = 0
    c = k.mm_container[mm]
    k.css[c] -= 1
    k.mms[c] -= 1
    if k.reclaim == VIRTUAL and k.mms[c] == 0:
        forget_all(k, c)


def drop_file(k, f):
    """One reference less; the last close uncharges whoever opened it."""
    k.file_refs[f] -= 1
    if k.file_refs[f]:
        return
    k.files[k.file_container[f]] -= 1
    k.file_container[f] = k.files_free
    k.files_free = f + 1
    k.open_files -= 1
    if (k.file_frames - 1) * k.files_per_frame >= k.open_files and k.file_frames:
        k.file_frames -= 1
        drop_kernel_frame(k, k.filezone[k.file_frames], k.file_payer[k.file_frames])


def close_all(k, files):
    k.fileset_users[files] -= 1
    if k.fileset_users[files]:
        return
    fd = k.fileset_head[files] - 1
    while fd >= 0:
        after = k.fd_next[fd] - 1
        drop_file(k, k.fd_file[fd])
        k.fd_next[fd] = k.fds_free
        k.fds_free = fd + 1
        fd = after
    k.fileset_head[files] = 0


def exit_task(k, t):
    """The task is a zombie in the root container; its count stays charged until it is reaped."""
    k.task_state[t] = ZOMBIE
    close_all(k, k.task_files[t])
    mm = k.task_mm[t]
    k.task_mm[t] = -1
    k.task_runs[t] = -1
    k.task_container[t] = 0
    k.task_memdie[t] = 0
    release_mm(k, mm)


def reap_task(k, t):
    k.task_state[t] = REAPED
    count_procs(k, k.task_charged[t], -1)
    for i in range(t * k.task_frames, (t + 1) * k.task_frames):
        if k.task_stack[i] >= 0:
            drop_kernel_frame(k, k.task_stack[i], k.stack_payer[i])


def square_root(n):
    """Integer square root of a number below 2**32, rounded down."""
    root = 0
    bit = 1 << 30
    while bit > n:
        bit >>= 2
    while bit:
        if n >= root + bit:
            n -= root + bit
            root = (root >> 1) + bit
        else:
            root >>= 1
        bit >>= 2
    return root


def total_vm(k, t):
    return k.task_vm[t] if k.task_vm[t] >= 0 else k.mm_size[k.task_mm[t]]


def size_with_children(k, t, mm):
    """Pages of a task's address space, and half of its children's."""
    points = total_vm(k, t)
    child = k.task_child[t] - 1
    while child >= 0:
        if k.task_mm[child] >= 0 and k.task_mm[child] != mm:
            points += total_vm(k, child) // 2 + 1
        child = k.task_younger[child] - 1
    return points


def charged_pages(k, mm, c):
    """How many of the pages that mm maps are charged to c, or below it. Cost: one step a pte."""
    points = 0
    pte = k.mm_ptes[mm] - 1
    while pte >= 0:
        w = k.word[pte]
        if w & PRESENT and not w & ZERO and vpage_of(k, pte) < k.vpages:
            page = k.pte_page[pte]
            e = k.page_entry[page] - 1
            if k.record != PAGE_RECORD and k.record != COUNTED_RECORD:
                points += k.page_flags[page] & KIND != SPECIAL  # whoever maps it is charged
            elif e >= 0 and within(k, k.entry_owner[e], c):
                points += 1
        pte = k.pte_sibling[pte] - 1
    return points


def badness(k, t, c):
    """2.6.20's points of a task, 0 outside container c; c = -1 means the whole machine."""
    mm = k.task_mm[t]
    if mm < 0 or (c >= 0 and not lives_with(k, k.mm_container[mm], c)):
        return 0
    if k.oom_score == BY_SIZE or c < 0:
        points = size_with_children(k, t, mm)
    elif k.oom_score == BY_CHARGED:
        points = charged_pages(k, mm, c)
    else:
        points = k.mm_rss[mm]
    cpu = square_root(k.task_cpu[t] >> 13)
    if cpu >= 1:
        points = points // cpu
    run = square_root(square_root(k.task_run[t] >> 10))
    if run >= 1:
        points = points // run
    if k.task_nice[t] > 0:
        points *= 2
    if k.task_caps[t] & CAP_ROOT:
        points = points // 4
    if k.task_caps[t] & CAP_RAWIO:
        points = points // 4
    if k.task_adj[t] > 0:
        points <<= k.task_adj[t]
    elif k.task_adj[t] < 0:
        points >>= -k.task_adj[t]
    return points


def consider(k, t, c):
    """Note a task's points for the OOM table. Returns them."""
    points = badness(k, t, c)
    if k.cands < k.cands_end:
        k.cand_kill[k.cands] = k.kills
        k.cand_task[k.cands] = t
        k.cand_points[k.cands] = points
        k.cands += 1
    return points


def select_victim(k, c):
    """Tasks in creation order, each followed by its threads. -1: nobody; -2: one is dying."""
    chosen = -1
    k.best = -1
    for i in range(k.tasks_top):
        t = k.task_order[i]
        while t >= 0:
            dying = look_at(k, t, c)
            if dying:
                return -2
            if k.tmp > k.best or (k.tmp >= 0 and chosen < 0):
                chosen = t
                k.best = k.tmp
            t = k.task_thread[t] - 1
    return chosen


def look_at(k, t, c):
    """One task of the walk: its points into k.tmp (-1: out of question). True: it is dying."""
    k.tmp = -1
    mm = k.task_mm[t]
    if mm < 0 or k.task_caps[t] & CAP_INIT:
        return False
    if k.task_memdie[t]:
        return k.quirks & Q_COUPLING != 0
    if k.task_adj[t] == DISABLE:
        return False
    anybody = c < 0 or (k.quirks & Q_OUTSIDERS and k.placement == ANYWHERE)
    if anybody or lives_with(k, k.mm_container[mm], c):
        k.tmp = consider(k, t, c)
    return False


def doom(k, t):
    """A task exits at once, if it is not the current one (its fault fails first) or stuck."""
    k.task_memdie[t] = 1
    if k.task_caps[t] & CAP_STUCK:
        k.task_runs[t] = -1
    elif t != k.task:
        exit_task(k, t)


def kill_task(k, t, c, points):
    """Mark one task as dying and, unless it is current or stuck, let it exit at once."""
    i = k.kills
    before = k.usage[c] if c >= 0 else 0
    free = k.stat[N_FREED]
    k.stat[N_KILLS] += 1
    if k.watch:
        say(k, L_KILLED, -1, c, t)
    doom(k, t)
    if i < k.kills_end:
        k.kill_event[i] = k.clock
        k.kill_container[i] = c
        k.kill_current[i] = k.task
        k.kill_victim[i] = t
        k.kill_points[i] = points
        k.kill_usage[i] = before
        k.kill_freed[i] = k.stat[N_FREED] - free
    k.kills = i + 1
    return CURRENT if t == k.task else OTHER


def kill_one(k, t, c, points):
    """2.6.20: a child with its own mm dies instead, whatever its container (OO4)."""
    mm = k.task_mm[t]
    child = k.task_child[t] - 1
    while child >= 0:
        other = k.task_mm[child]
        if other >= 0 and other != mm and k.task_adj[child] != DISABLE:
            if not k.task_caps[child] & CAP_INIT and not k.task_memdie[child]:
                if k.quirks & Q_CHILDREN or k.mm_container[other] == k.mm_container[mm]:
                    return kill_task(k, child, c, points)
        child = k.task_younger[child] - 1
    if k.quirks & Q_HANG and (k.task_adj[t] == DISABLE or k.task_caps[t] & CAP_INIT):
        return NOTHING
    return kill_task(k, t, c, points)


def out_of_memory(k, c):
    """Somebody has to die for container c (or the machine, -1). NOTHING: no one can.

    CURRENT also where the current task was dying before: the MEMDIE test comes after it all (2/7).
    """
    verdict = out_of_memory_2007(k, c) if k.family == Y2007 else out_of_memory_today(k, c)
    return CURRENT if dying(k) else verdict


def dying(k):
    """Is the current task, if there is one, to be killed?"""
    return k.task >= 0 and k.task_memdie[k.task] != 0


def out_of_memory_2007(k, c):
    if k.ubc and c < 0:
        worst = worst_overdraft(k)
        victim = select_victim(k, worst) if worst >= 0 else -1
        if victim >= 0:
            k.oom_failcnt[worst] += 1
            return kill_one(k, victim, worst, k.best)
    victim = select_victim(k, c)
    if victim == -2:
        # the caller spins until the dying task is gone, and it never is (OO3); or it is that task
        k.hung = 0 if dying(k) else 1
        return NOTHING
    if victim >= 0:
        return kill_one(k, victim, c, k.best)
    return kill_one(k, k.task, c, 0)


# today's killer: by size, of the container and those below it; one process, or a whole group


def killable(k, t, c):
    """May the leader t die for container c?"""
    mm = k.task_mm[t]
    if mm < 0 or k.task_caps[t] & CAP_INIT or k.task_adj[t] == DISABLE or k.task_memdie[t]:
        return False
    return c < 0 or within(k, k.mm_container[mm], c)


def score(k, t, c):
    """Pages mapped, in swap and in page tables; oom_adj as the 1/17 of what is allowed it means."""
    mm = k.task_mm[t]
    points = k.mm_rss[mm]
    pte = k.mm_ptes[mm] - 1
    while pte >= 0:
        w = k.word[pte]
        if w & SWAP or vpage_of(k, pte) >= k.vpages:
            points += 1
        pte = k.pte_sibling[pte] - 1
    allowed = k.total_frames + k.swap_size
    if c >= 0 and k.limit[c] < allowed:
        allowed = min(allowed, k.limit[c] + min(k.swap_limit[c], k.swap_size))
    adj = k.task_adj[t] * 1000
    adj = 1000 if adj == 15_000 else (adj // 17 if adj >= 0 else -(-adj // 17))
    return points + adj * (allowed // 1000)


def out_of_memory_today(k, c):
    if c >= 0:
        note(k, c, k.oom_events)
    victim = -1
    k.best = 0
    for i in range(k.tasks_top):
        t = k.task_order[i]
        if killable(k, t, c):
            points = score(k, t, c)
            if k.cands < k.cands_end:
                k.cand_kill[k.cands] = k.kills
                k.cand_task[k.cands] = t
                k.cand_points[k.cands] = points
                k.cands += 1
            if victim < 0 or points >= k.best:
                k.best = points
                victim = t
    if victim < 0:
        return NOTHING
    group = -1
    a = k.mm_container[k.task_mm[victim]]
    while a >= 0:
        if k.oom_group[a]:
            group = a
        a = -1 if a == c else k.parent[a]
    if group < 0:
        return kill_process(k, victim, c, k.best)
    note(k, group, k.group_events)
    verdict = OTHER
    for i in range(k.tasks_top):
        t = k.task_order[i]
        if killable(k, t, group):
            verdict = max(verdict, kill_process(k, t, c, score(k, t, c)))
    return verdict


def kill_process(k, t, c, points):
    """Everybody who shares the address space dies. CURRENT if the current task does."""
    mm = k.task_mm[t]
    note(k, k.mm_container[mm], k.kill_events)
    verdict = OTHER
    for u in range(k.tasks):
        if u != t and k.task_mm[u] == mm:
            doom(k, u)
            if u == k.task:
                verdict = CURRENT
    return max(verdict, kill_task(k, t, c, points))
