"""The charge path (2/7, 4/7) and the frame behind it: pay before mapping, reclaim, then OOM."""

from .counters import charge, fits, refusing, say, uncharge
from .hooks import call_hook
from .names import (
    KERNEL, KIND, L_PAID, L_REFUSED, N_LIMIT_HITS, N_LOCAL, N_REMOTE, PAYER, PRICE, Q_HANG,
    Q_NO_RECHECK, SPECIAL, TO_KILL_CURRENT,
)  # fmt: skip
from .oom import CURRENT, NOTHING, kill_task, out_of_memory
from .pages import count_frame
from .reclaim import reclaim_zone, try_to_free


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
    units = call_hook(k, PRICE, page, c, 0)
    return take(k, c, units, page) if units else 0


def take(k, c, units, page):
    """Charge c and all above it; who lacks room reclaims, then kills. Units, or -1: refused."""
    while True:
        full = refusing(k, c, units)
        if full < 0:
            charge(k, c, units, page)
            if k.watch:
                say(k, L_PAID, page, c, units)
            return units
        k.failcnt[full] += 1
        k.stat[N_LIMIT_HITS] += 1
        if k.watch:
            say(k, L_REFUSED, page, full, units)
        if k.at_limit == TO_KILL_CURRENT:
            kill_task(k, k.task, full, -1)
            return -1
        enough = try_to_free(k, full)
        if k.hung:
            return -1
        if enough:
            continue
        if not k.quirks & Q_NO_RECHECK and fits(k, full, units):
            continue
        verdict = out_of_memory(k, full)
        if verdict == NOTHING:
            return give_up(k, full)
        if verdict == CURRENT:
            return -1


def pay_frame(k, c, page):
    """Under resident coverage: what the page's frame costs, by whoever pays (k.payer)."""
    k.payer = call_hook(k, PAYER, page, c, 0) if k.has_payer else c
    return pay(k, k.payer, page)


def give_back(k, c, paid, page):
    if paid > 0:
        uncharge(k, c, paid, page)


def zone_for(k, node, home, i):
    """The i-th zone to try for a task on a node whose page must lie in zone `home`, or -1."""
    if home >= 0:
        return home if i == 0 else -1
    return (node + i) % k.nodes if i < k.nodes else -1


def look_for_frame(k, node, home, mark):
    """A zone with more free frames than its low (1) or min (0) mark, or any free one (-1)."""
    i = 0
    z = zone_for(k, node, home, 0)
    while z >= 0:
        floor = k.zone_low[z] if mark == 1 else (k.zone_min[z] if mark == 0 else 0)
        if k.zone_free[z] > floor:
            return z
        i += 1
        z = zone_for(k, node, home, i)
    return -1


def take_frame(k, node, home, c, kind):
    """A frame for container c, from zone `home` or (-1) from any node, the nearest first. Returns
    its zone, -1 when the task must die for it.

    First fit above the low mark; else every zone allowed is reclaimed once; else OOM, of the
    container where there is a home, of the machine otherwise.
    """
    z = home if home >= 0 else node % k.nodes
    if k.zone_free[z] <= k.zone_low[z]:
        z = look_for_frame(k, node, home, 1)
    while z < 0:
        if home >= 0:
            k.failcnt[c] += 1
        freed = 0
        i = 0
        z = zone_for(k, node, home, 0)
        while z >= 0:
            freed += reclaim_zone(k, z)
            i += 1
            z = zone_for(k, node, home, i)
        z = look_for_frame(k, node, home, 0)
        if z < 0 and freed:
            z = look_for_frame(k, node, home, -1)
        if z >= 0:
            break
        verdict = out_of_memory(k, c if home >= 0 else -1)
        if verdict == NOTHING:
            return give_up(k, c)
        if verdict == CURRENT:
            return -1
        z = look_for_frame(k, node, home, 1)
    if kind != KERNEL:
        if k.zone_node[z] == node:
            k.stat[N_LOCAL] += 1
        else:
            k.stat[N_REMOTE] += 1
    count_frame(k, z, kind, 1)
    return z
