"""The charge path (2/7, 4/7) and the frame behind it: pay before mapping, reclaim, then OOM."""

from .cache import cache_room, leave_cache
from .cgroup import TRIES, reclaim, reclaim_zone_today
from .counters import charge, note, refusing, say, uncharge, within
from .granules import grow
from .hooks import call_hook
from .names import (
    JOINT, KERNEL, KIND, L_PAID, L_REFUSED, N_LIMIT_HITS, N_LOCAL, N_REMOTE, PAYER, PRICE, Q_HANG,
    Q_NO_RECHECK, SPECIAL, SPLIT, SUBTREE, TO_KILL_CURRENT,
    TO_REFUSE_REMOTE, V1, V2, Y2007,
)
from .oom import CURRENT, NOTHING, kill_task, out_of_memory
from .pages import count_frame
from .reclaim import reclaim_zone, shrink_cache, try_to_free


def give_up(k, c):
    """No way on: the machine hangs here, or (repaired) the payment fails."""
    if k.quirks & Q_HANG:
        k.hung = 1
    if not k.hung:
        kill_task(k, k.task, c, -1)
    return -1


def pay(k, c, page):
    """Take from container c what mapping the page costs. Returns units paid, -1 when refused."""
    if k.page_flags[page] & KIND == SPECIAL:
        return 0
    if k.cache:
        leave_cache(k, page)  # its mapping will be paid for instead
    units = call_hook(k, PRICE, page, c, 0)
    return take(k, c, units, page) if units else 0


def take(k, c, units, page):
    """Charge c and all above it; who lacks room reclaims, then kills. Units, or -1: refused."""
    if k.charge_batch and from_stock(k, c, units):
        return units
    tries = 0
    while True:
        full = refusing(k, c, units)
        if full < 0:
            charge(k, c, units, page)
            if k.watch:
                say(k, L_PAID, page, c, units)
            if k.family == V2:
                look_at_high(k, c)
            return units
        count_refusal(k, full, page, units)
        if k.reclaim == SUBTREE:
            enough = reclaim(k, full, max(k.cluster, 1), not k.swap_full) > 0
        else:
            enough = try_to_free(k, full)
        if k.hung:
            return -1
        if enough:
            continue
        if not k.quirks & Q_NO_RECHECK and refusing(k, c, units) < 0:
            continue
        if k.at_limit == TO_KILL_CURRENT:
            kill_task(k, k.task, full, -1)
            return -1
        if k.family != Y2007:
            tries += 1
            if drain(k, full) or tries < TRIES:
                continue
            tries = 0
            if k.at_limit == TO_REFUSE_REMOTE and k.remote and not k.in_call:
                kill_task(k, k.task, full, -1)  # SIGBUS
                return -1
            if k.oom_disabled[full] or (k.at_limit == TO_REFUSE_REMOTE and k.remote):
                k.denied = 1
                return -1
        verdict = out_of_memory(k, full)
        if verdict == NOTHING:
            return give_up(k, full)
        if verdict == CURRENT:
            return -1


def count_refusal(k, c, page, units):
    """The limit of c has been hit."""
    if k.family == V1 and k.swap_full:
        k.memsw_failcnt[c] += 1
    else:
        k.failcnt[c] += 1
    k.stat[N_LIMIT_HITS] += 1
    if k.family == V2:
        note(k, c, k.max_events)
    if k.watch:
        say(k, L_REFUSED, page, c, units)


def from_stock(k, c, units):
    """The kernel's charge batch: 64 pages are asked for, 63 wait for the next ones.

    A batch that does not fit counts as a refusal, and one page is tried (recording.md 2.4).
    """
    if k.stock[c] >= units:
        k.stock[c] -= units
        return True
    batch = k.charge_batch * k.unit
    full = refusing(k, c, batch)
    if full < 0:
        charge(k, c, batch, -1)
        k.stock[c] += batch - units
        return True
    if k.family == V1 and not k.swap_full:
        k.failcnt[full] += 1
    return False


def drain(k, top):
    """Give back what the containers below `top` have charged in advance. True: there was some."""
    found = False
    for c in range(top, k.containers):
        if k.stock[c] and within(k, c, top):
            uncharge(k, c, k.stock[c], -1)
            k.stock[c] = 0
            found = True
    return found


def look_at_high(k, c):
    """Above memory.high nobody is refused; the task reclaims before it goes on."""
    a = c
    while a >= 0:
        if k.usage[a] > k.high[a] * k.unit:
            k.over_high = c + 1
        a = k.parent[a]


def settle_high(k):
    """On the way back to user mode: every container above its high mark gives pages back."""
    c = k.over_high - 1
    k.over_high = 0
    while c >= 0:
        tries = 0
        while k.usage[c] > k.high[c] * k.unit and tries < TRIES:
            note(k, c, k.high_events)
            tries = 0 if reclaim(k, c, k.cluster, True) else tries + 1
        c = k.parent[c]


def pay_frame(k, c, page):
    """Under resident coverage: what the page's frame costs, by whoever pays (k.payer)."""
    if k.swap_books and k.page_payer[page] and k.alive[k.page_payer[page] - 1]:
        c = k.page_payer[page] - 1  # it comes back to where it was charged
    k.payer = call_hook(k, PAYER, page, c, 0) if k.has_payer else c
    k.remote = 1 if k.payer != c else 0
    paid = pay(k, k.payer, page)
    k.remote = 0
    return paid


def pay_cached(k, c, page):
    """+PC: room for one more cached page of c, in its usage or under their own limit; else as at
    any limit: own cached pages go, oldest first, then the scheme's way. False: refused."""
    if k.cache == JOINT:
        return take(k, c, k.unit, page) >= 0
    while not cache_room(k, c, 1):
        k.cached_failcnt[c] += 1
        if shrink_cache(k, c):
            continue
        if k.at_limit == TO_KILL_CURRENT:
            kill_task(k, k.task, c, -1)
            return False
        verdict = out_of_memory(k, c)
        if verdict == NOTHING:
            give_up(k, c)
            return False
        if verdict == CURRENT:
            return False
    return True


def give_back(k, c, paid, page):
    if paid > 0:
        uncharge(k, c, paid, page)


def zone_for(k, node, home, c, i):
    """The i-th zone to try for a task on a node whose page must lie in zone `home`, or -1."""
    if home >= 0:
        return home if i == 0 else -1
    if k.has_mems:
        for step in range(k.nodes):
            z = (node + step) % k.nodes
            if k.mems[c] >> z & 1:
                if i == 0:
                    return z
                i -= 1
        return -1
    return (node + i) % k.nodes if i < k.nodes else -1


def look_for_frame(k, node, home, c, mark):
    """A zone with more free frames than its low (1) or min (0) mark, or any free one (-1)."""
    i = 0
    z = zone_for(k, node, home, c, 0)
    while z >= 0:
        floor = k.zone_low[z] if mark == 1 else (k.zone_min[z] if mark == 0 else 0)
        if k.zone_free[z] > floor:
            return z
        i += 1
        z = zone_for(k, node, home, c, i)
    return -1


def take_frame(k, node, home, c, kind):
    """A frame for container c, from zone `home` or (-1) from any node, the nearest first. Returns
    its zone, -1 when the task must die for it.

    First fit above the low mark; else every zone allowed is reclaimed once; else OOM, of the
    container where there is a home, of the machine otherwise.
    """
    z = home if home >= 0 else node % k.nodes
    if k.has_mems and home < 0:
        z = zone_for(k, node, home, c, 0)
    if k.zone_free[z] <= k.zone_low[z]:
        z = look_for_frame(k, node, home, c, 1)
    idle = 0
    while z < 0:
        if home >= 0 and k.grows and grow(k, home):
            z = home
            break
        if home >= 0:
            k.failcnt[c] += 1
        freed = 0
        i = 0
        z = zone_for(k, node, home, c, 0)
        while z >= 0:
            freed += reclaim_zone_today(k, z) if k.lists == SPLIT else reclaim_zone(k, z)
            i += 1
            z = zone_for(k, node, home, c, i)
        z = look_for_frame(k, node, home, c, 0)
        if z < 0 and freed:
            z = look_for_frame(k, node, home, c, -1)
        if z >= 0:
            break
        if home >= 0 and freed == 0 and idle == 0:
            idle = 1  # a first pass over pages in use only ages them
            z = look_for_frame(k, node, home, c, 1)
            continue
        if home < 0 and k.has_mems and k.mems[c] != (1 << k.nodes) - 1:
            verdict = kill_task(k, k.task, c, -1)  # CONSTRAINT_CPUSET
        else:
            verdict = out_of_memory(k, c if home >= 0 else -1)
        if verdict == NOTHING:
            return give_up(k, c)
        if verdict == CURRENT:
            return -1
        z = look_for_frame(k, node, home, c, 1)
    if kind != KERNEL:
        if k.zone_node[z] == node:
            k.stat[N_LOCAL] += 1
        else:
            k.stat[N_REMOTE] += 1
    count_frame(k, z, kind, 1)
    return z


def take_kernel_frame(k, node, home, c):
    """A frame for a page table, a stack, open files or a kernel object; +KM: c pays for it."""
    z = take_frame(k, node, home, c, KERNEL)
    if z >= 0 and k.kernel_memory:
        if take(k, c, k.unit, -1) < 0:
            if not k.hung:
                count_frame(k, z, KERNEL, -1)
            return -1
        k.kernel[c] += 1
    return z
