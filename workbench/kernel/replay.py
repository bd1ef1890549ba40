"""The one replay loop: an event goes in, the machine changes, the books are kept."""

from .charge import settle_high
from .faults import access, lock, system_call
from .hooks import prefetch
from .names import (
    ALIVE, ANON, CAP_STUCK, DIRTY, ERROR, FOLLOW, HANG, KILLED, N_FREED, OK, PRESENT, REFUSED,
    SAMPLE_WIDTH, SEGV, SKIPPED, WRITE, YOUNG, ZOMBIE,
)
from .numa import come_near, note_access, page_at
from .oom import exit_task, reap_task
from .pages import finish_writing
from .reclaim import settle_leaving
from .tables import find, find_vma, first_probe
from .tasks import (
    age, close_file, discard, execute, fork, make_container, map_range, migrate, move,
    open_file, remove_container, set_limit, start_task, thread, unlock, unmap,
)
from .zonelife import drop_clean
from .zones import page_of

# trace.Op, by number: the two packages share nothing else
(
    TOUCH_READ, TOUCH_WRITE, READ, WRITE_CALL, MAP, UNMAP, DISCARD, MLOCK, MUNLOCK, OPEN, CLOSE,
    FORK, THREAD, EXEC, EXIT, REAP, MOVE, MKDIR, RMDIR, SET_LIMIT, RUN_ON, MIGRATE, AGE,
    DROP_CACHES, MARK, IO_ERROR,
) = range(26)


def run(k, start, stop):
    """Replay events start..stop-1, sampling on the way. Returns the next event to do.

    Stops early where a table may be too small (k.need), or at an access outside every mapping
    (k.fault_at, with k.clock the event).
    """
    i = start
    while i < stop:
        if i == 0 and k.tasks_top == 0:
            boot(k)
        block = min(stop, k.sample_at)
        i = run_block(k, i, block)
        if i < block:
            return i
        if i == k.sample_at:
            take_sample(k, i)
            k.sample_at += k.sample_every
    return i


def boot(k):
    for t in range(k.tasks):
        if k.task_state[t] == ALIVE:
            start_task(k, t)


def run_block(k, start, stop):
    ahead = k.prefetch
    fast = -1 if k.counted else TOUCH_WRITE  # hits that are counted go the long way
    for i in range(start, stop):
        if ahead and i + ahead < stop:
            look_ahead(k, i + ahead, i + (ahead >> 1))
            if k.many_pairs:
                look_closer(k, i + (ahead >> 2), i + (ahead >> 3))
        op = k.ev_op[i]
        t = k.ev_task[i]
        v = k.ev_at[i]
        if op <= fast and k.ev_count[i] == 1 and k.task_runs[t] >= 0:
            at = find(k, k.task_runs[t], v)
            k.at = at
            if at >= 0:
                w = k.word[at]
                if w & PRESENT:
                    if op == TOUCH_READ:
                        k.word[at] = w | YOUNG
                        continue
                    if w & WRITE:
                        k.word[at] = w | YOUNG | DIRTY
                        continue
        if slow(k, i, op, t, v):
            return i
    return stop


def look_ahead(k, far, near):
    """Ask for the memory that coming events will need: first the word, then what hangs on it."""
    v = k.ev_at[far]
    op = k.ev_op[far]
    if op <= TOUCH_WRITE or op == DISCARD:
        prefetch(k.word, v)
        if k.many_pairs:
            pte = first_probe(k, ((k.task_runs[k.ev_task[far]] + 1) << 32) | v)
            prefetch(k.word, pte)
            prefetch(k.pte_page, pte)
    v = k.ev_at[near]
    op = k.ev_op[near]
    if op <= TOUCH_WRITE or op == DISCARD:
        pte = find(k, k.task_runs[k.ev_task[near]], v)
        if pte < 0 or op == DISCARD or not k.word[pte] & PRESENT:
            prefetch(k.page_flags, v)
            prefetch(k.pte_page, max(pte, v))


def look_closer(k, close, next):
    """The same for the page's record of a charge and its mappers: the oldest, then the newest."""
    v = k.ev_at[close]
    op = k.ev_op[close]
    if op <= TOUCH_WRITE or op == DISCARD:
        prefetch(k.entry_page, k.page_entry[v] - 1)
        prefetch(k.pte_page, k.page_rmap[v] - 1)
    v = k.ev_at[next]
    op = k.ev_op[next]
    if op <= TOUCH_WRITE or op == DISCARD:
        head = k.page_rmap[v] - 1
        if head >= 0:
            prefetch(k.pte_page, k.pte_prev[head])


def slow(k, i, op, t, v):
    """Any event that is not a plain hit. Returns True when the replay cannot go on by itself."""
    k.clock = i
    if not room(k, i, op, t):
        return True
    if k.writing_count:
        finish_writing(k)
    k.task = t
    if k.hung or (t >= 0 and op != REAP and k.task_runs[t] < 0):
        outcome = SKIPPED
    elif op <= MUNLOCK:
        outcome = memory_event(k, i, op, t, v, k.ev_count[i])
    else:
        outcome = other_event(k, i, op, t, v)
    if outcome == SEGV:
        return True
    if k.hung and outcome != SKIPPED:
        outcome = HANG
        for other in range(k.tasks):
            k.task_runs[other] = -1
    elif outcome == KILLED:
        if k.denied:  # nobody dies: the access waits at the limit, or is refused
            k.denied = 0
            outcome = REFUSED
        else:
            die(k, t)
    if k.over_high:
        settle_high(k)
    if k.leaving_count and not k.hung:
        settle_leaving(k)
    k.ev_outcome[i] = outcome
    return False


def die(k, t):
    """The current task was refused a page: it goes, and what it frees is noted with the kill."""
    if k.task_caps[t] & CAP_STUCK:
        return
    before = k.stat[N_FREED]
    exit_task(k, t)
    last = k.kills - 1
    if 0 <= last < k.kills_end and k.kill_victim[last] == t and k.kill_event[last] == k.clock:
        k.kill_freed[last] = k.stat[N_FREED] - before


def room(k, i, op, t):
    """Are the growing tables large enough for the worst this event can do?"""
    need = 3
    if op <= WRITE_CALL or op == MLOCK:
        need += k.ev_count[i] + (k.ev_count[i] >> 9)
        if k.resident:
            need += k.ev_count[i]  # a file's page and the private copy of it are two charges
    elif op == FORK and k.task_mm[t] >= 0:
        need += 2 * k.mm_count[k.task_mm[t]] + k.held[k.task_container[t]]
    elif op == MOVE or op == EXEC:
        need += k.held[k.ev_at[i] if op == MOVE else k.task_container[t]]
        if t >= 0 and k.task_mm[t] >= 0:
            need += k.mm_count[k.task_mm[t]]
    if need <= k.spare and op <= MUNLOCK and k.vmas_top + 2 <= k.vmas_end:
        k.spare -= need
        return True
    k.need = need
    k.spare = min(k.pages_end - k.pages_top, k.entries_end - k.entries_top)
    k.spare = min(k.spare, k.grans_end - k.grans_top, (3 * k.hash_slots >> 2) - k.slots_used >> 1)
    k.spare -= need
    forks = op == FORK
    return (
        k.spare >= 0
        and k.vmas_top + 2 + (k.vmas_top if forks else 0) <= k.vmas_end
        and k.fds_top + 1 + (k.fds_top if forks else 0) <= k.fds_end
        and k.files_top + 1 <= k.files_end
    )


def memory_event(k, i, op, t, v, n):
    o = k.ev_arg[i]
    if op <= TOUCH_WRITE:
        if k.counted:
            return counted_touch(k, t, v, n, op == TOUCH_WRITE)
        return touch(k, t, v, n, op == TOUCH_WRITE)
    if op <= WRITE_CALL:
        worst = 0
        for p in range(v, v + n):
            k.in_call = 1
            outcome = system_call(k, t, p, op == WRITE_CALL, o)
            k.in_call = 0
            if k.counted and outcome < ERROR:
                note_access(k, t, page_of(k, p, k.mm_container[k.task_mm[t]]))
            if k.over_high and outcome <= ERROR:
                settle_high(k)
            worst = max(worst, outcome)
            if outcome > ERROR:
                break
        return worst
    if op == MAP:
        return map_range(k, t, o, v, v + n, k.ev_value[i])
    if op == UNMAP:
        return unmap(k, t, v, v + n)
    if op == DISCARD:
        return discard(k, t, v, v + n)
    if op == MLOCK:
        return lock_range(k, t, v, n)
    return unlock(k, t, v, v + n)


def touch(k, t, v, n, write):
    if n == 1:
        outcome = access(k, t, v, write, k.at)
        if outcome == SEGV:
            k.fault_at = v + 1
        return outcome
    worst = 0
    mm = k.task_mm[t]
    for p in range(v, v + n):
        at = find(k, mm, p)
        if at >= 0 and not write and k.word[at] & PRESENT:
            k.word[at] |= YOUNG
            continue
        outcome = access(k, t, p, write, at)
        if outcome:
            if k.over_high and outcome <= ERROR:
                settle_high(k)
            if outcome > worst:
                worst = outcome
            if outcome >= ERROR:
                if outcome == SEGV:
                    k.fault_at = p + 1
                if outcome != ERROR:
                    break
    return worst


def counted_touch(k, t, v, n, write):
    """As `touch`, page by page: pages may come near first, and every access is counted."""
    worst = 0
    mm = k.task_mm[t]
    for p in range(v, v + n):
        come_near(k, t, find(k, mm, p))
        k.at = find(k, mm, p)
        outcome = touch(k, t, p, 1, write)
        if k.over_high and outcome <= ERROR:
            settle_high(k)
        worst = max(worst, outcome)
        if outcome > ERROR:
            break
        page = page_at(k, find(k, mm, p))
        if page >= 0 and outcome < ERROR:
            note_access(k, t, page)
    return worst


def lock_range(k, t, v, n):
    worst = OK
    for p in range(v, v + n):
        i = find_vma(k, k.task_mm[t], p)
        if i < 0 and k.mm_denied[k.task_mm[t]]:
            worst = max(worst, REFUSED)
            continue
        if i < 0:
            k.fault_at = p + 1
            return SEGV
        anon = k.obj_kind[k.vma_object[i]] == ANON
        outcome = lock(k, t, p, anon)
        if k.over_high and outcome <= ERROR:
            settle_high(k)
        worst = max(worst, outcome)
        if outcome > ERROR:
            break
    return worst


def other_event(k, i, op, t, v):
    arg = k.ev_arg[i]
    if op == OPEN:
        return open_file(k, t, v)
    if op == CLOSE:
        return close_file(k, t, v)
    if op == FORK:
        return fork(k, t, v)
    if op == THREAD:
        return thread(k, t, v)
    if op == EXEC:
        return execute(k, t)
    if op == EXIT:
        exit_task(k, t)
    elif op == REAP:
        if k.task_state[t] != ZOMBIE:
            return SKIPPED
        reap_task(k, t)
    elif op == MOVE:
        return move(k, t, v)
    elif op == MKDIR:
        return make_container(k, v)
    elif op == RMDIR:
        return remove_container(k, v)
    elif op == SET_LIMIT:
        return set_limit(k, v, arg, k.ev_value[i])
    elif op == RUN_ON:
        if k.numa == FOLLOW:
            return migrate(k, t, arg)
        k.task_node[t] = arg
    elif op == MIGRATE:
        return migrate(k, t, arg)
    elif op == AGE:
        return age(k)
    elif op == DROP_CACHES:
        drop_clean(k, -1)
    elif op == IO_ERROR:
        k.broken[v] = 1
    return OK


def take_sample(k, i):
    """One row: per container its books, per zone its frames by kind."""
    at = k.sample_top
    k.sample[at] = i
    at += 1
    for c in range(k.containers):
        k.sample[at] = k.usage[c]
        k.sample[at + 1] = k.limit[c]
        k.sample[at + 2] = k.failcnt[c]
        k.sample[at + 3] = k.mapped[c]
        k.sample[at + 4] = k.procs[c]
        k.sample[at + 5] = k.files[c]
        k.sample[at + 6] = k.minor_faults[c]
        k.sample[at + 7] = k.major_faults[c]
        k.sample[at + 8] = k.css[c]
        k.sample[at + 9] = k.bill[c]
        k.sample[at + 10] = k.vswap[c]
        k.sample[at + 11] = k.penalty[c]
        k.sample[at + 12] = k.unused[c]
        k.sample[at + 13] = k.swapped[c]
        k.sample[at + 14] = k.oom_failcnt[c]
        k.sample[at + 15] = k.cached[c]
        k.sample[at + 16] = k.cached_failcnt[c]
        at += SAMPLE_WIDTH
    for z in range(k.zones):
        k.sample[at] = k.zone_anon[z]
        k.sample[at + 1] = k.zone_file[z]
        k.sample[at + 2] = k.zone_special[z]
        k.sample[at + 3] = k.zone_kernel[z]
        at += 4
    k.sample_top = at


def truth(k, unit):
    """Who really uses what, whatever the scheme. Fills pss (in 1/unit pages), rss and uss.

    Cost: one step per present pte. A page mapped by n containers counts unit // n for each.
    """
    for c in range(k.containers):
        k.true_rss[c] = 0
        k.true_pss[c] = 0
        k.true_uss[c] = 0
        k.stamp[c] = -1
    for page in range(k.pages_top):
        if k.page_maps[page]:
            n = sharers(k, page, -1, 0, 0)
            sharers(k, page, n, unit // n, 1 if n == 1 else 0)


def sharers(k, page, n, share, alone):
    """Count the containers that map a page; on the second call (n >= 0) credit each once."""
    found = 0
    mark = 2 * page + (1 if n >= 0 else 0)
    pte = k.page_rmap[page] - 1
    for _ in range(k.page_maps[page] + k.page_swaps[page]):
        w = k.word[pte]
        if w & PRESENT:
            c = k.mm_container[(w >> 40) - 1]
            if k.stamp[c] != mark:
                k.stamp[c] = mark
                found += 1
                if n >= 0:
                    k.true_rss[c] += 1
                    k.true_pss[c] += share
                    k.true_uss[c] += alone
        pte = k.pte_next[pte]
    return found
