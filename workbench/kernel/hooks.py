"""The one call from the kernel into a scheme, and what a scheme's hooks may use.

worth(k, e)                units the charge record e stands for; not compiled, `check` asks
price(k, page, c, _)       units c must be able to pay before it may map the page
mapped(k, page, c, paid)   the page has a new mapper in c (k.pte); settle what was paid
unmapped(k, page, c, _)    a mapper in c has gone

and, called only where coverage is "resident" and payments are due where a frame is taken:

payer(k, page, c, _)       which container pays for a frame that c needs (without it, c)
born(k, page, c, paid)     the page has got its frame and place, c has paid
gone(k, page, _, _)        its frame is about to go back

A hook that a module leaves out does nothing.
"""

from .counters import (
    charge,
    count_swap,
    fits,
    force,
    refusing,  # noqa: F401  (for schemes)
    say,
    uncharge,
    within,
)
from .lists import entry_link, entry_unlink, first_list
from .names import (
    HEADS, L_RETURNED, LARGEST_HEIR, LEAVING, N_ENTRIES, N_HOLDERS, N_RMAP, NEXT_HEIR, PRESENT,
    RANDOM_HEIR, STALE, V1, WALKED,
)
from .tables import TOMB, insert, mm_of, object_of, probe  # noqa: F401  (object_of)


def call_hook(k, which, page, c, paid):
    """Interpreted form; `compiled` replaces it by a call through the hook's address."""
    return k.hooks[which](k, page, c, paid)


def prefetch(column, index):
    """A hint to the processor; interpreted, nothing."""


def owner(k, page):
    """The container that holds the page's only charge, or -1."""
    e = k.page_entry[page] - 1
    return k.entry_owner[e] if e >= 0 else -1


def pay_or_return(k, c, paid, units, page):
    """Settle a payment: what is missing is forced, what is too much goes back."""
    if paid > units:
        uncharge(k, c, paid - units, page)
        if k.watch:
            say(k, L_RETURNED, page, c, paid - units)
    elif paid < units:
        force(k, c, units - paid, page)
    return 0


def add_entry(k, page, c):
    """A new charge record at the head of c's list (the active one, where there are two)."""
    if k.entries_free:
        e = k.entries_free - 1
        k.entries_free = k.entry_next[e]
    else:
        e = k.entries_top
        k.entries_top += 1
    k.entry_page[e] = page
    k.entry_owner[e] = c
    k.entry_count[e] = 0
    k.entry_shift[e] = 0
    entry_link(k, e, first_list(k, page))
    k.held[c] += 1
    k.css[c] += 1
    k.stat[N_ENTRIES] += 1
    if k.per_pair and k.indexed[c]:
        k.pte_entry[insert(k, entry_key(k, page, c))] = e
    return e


def del_entry(k, e):
    c = k.entry_owner[e]
    entry_unlink(k, e)
    k.held[c] -= 1
    k.css[c] -= 1
    if k.has_special and not k.per_pair:
        k.page_flags[k.entry_page[e]] |= STALE
    if k.per_pair and k.indexed[c]:
        k.word[probe(k, entry_key(k, k.entry_page[e], c))] = TOMB
    k.entry_owner[e] = -1
    k.entry_next[e] = k.entries_free
    k.entries_free = e + 1


def give_entry(k, e, heir):
    """The charge record changes hands."""
    c = k.entry_owner[e]
    entry_unlink(k, e)
    k.held[c] -= 1
    k.css[c] -= 1
    k.entry_owner[e] = heir
    entry_link(k, e, first_list(k, k.entry_page[e]))
    k.held[heir] += 1
    k.css[heir] += 1


def own(k, page, c, paid):
    """c pays for the page from now on, with what it has paid already."""
    k.page_entry[page] = add_entry(k, page, c) + 1
    pay_or_return(k, c, paid, k.unit, page)
    return 0


def disown(k, page):
    """Nobody pays for the page any more."""
    e = k.page_entry[page] - 1
    uncharge(k, k.entry_owner[e], k.unit, page)
    k.page_entry[page] = 0
    del_entry(k, e)
    return 0


def hand_to(k, page, heir):
    """The page's only charge, and that of its swap slot, go to another container; not refused."""
    e = k.page_entry[page] - 1
    c = k.entry_owner[e]
    uncharge(k, c, k.unit, page)
    force(k, heir, k.unit, page)
    if k.page_payer[page]:
        k.page_payer[page] = heir + 1
        if k.family != V1:  # there a slot counts only while the page is out
            count_swap(k, c, -1)
            count_swap(k, heir, 1)
    give_entry(k, e, heir)


# what others' leaving brings: an heir, a larger share


def inherit(k, c, units, page):
    """A charge that c has done nothing for; forced=free: above its limit nobody keeps the page."""
    if not k.frees_forced:
        force(k, c, units, page)
        return
    charge(k, c, units, page)
    if not fits(k, c, 0):
        leave_soon(k, page)


def leave_soon(k, page):
    """At the end of the event everybody loses the page (`reclaim.settle_leaving`)."""
    if not k.page_flags[page] & LEAVING:
        k.page_flags[page] |= LEAVING
        k.leaving[k.leaving_count] = page
        k.leaving_count += 1


def pass_to(k, page, heir):
    """The page's charge, of which its payer maps nothing more, goes to a container that does."""
    e = k.page_entry[page] - 1
    uncharge(k, k.entry_owner[e], k.unit, page)
    inherit(k, heir, k.unit, page)
    give_entry(k, e, heir)
    k.entry_count[e] = mappers_of(k, page, heir)


def heir_of(k, page):
    """Who inherits a mapped page, or -1: whoever touches it next, for now everybody loses it."""
    if k.heir == NEXT_HEIR:
        leave_soon(k, page)
        return -1
    if k.heir == LARGEST_HEIR:
        return largest_mapper(k, page)
    if k.heir == RANDOM_HEIR:
        return random_mapper(k, page)
    return oldest_mapper(k, page)


def largest_mapper(k, page):
    """The container with most present mappings of a page; of several, that with the oldest."""
    best = -1
    most = 0
    pte = k.page_rmap[page] - 1
    for _ in range(k.page_maps[page] + k.page_swaps[page]):
        w = k.word[pte]
        c = k.mm_container[(w >> 40) - 1]
        if w & PRESENT and c != best:
            count = mappers_of(k, page, c)
            if count > most:
                most = count
                best = c
        pte = k.pte_next[pte]
    return best


def random_mapper(k, page):
    """The container of a present mapping drawn by chance (Knobs.seed)."""
    k.chance = (k.chance * 1103515245 + 12345) & 0x7FFFFFFF
    left = (k.chance >> 8) % k.page_maps[page]
    pte = k.page_rmap[page] - 1
    while left or not k.word[pte] & PRESENT:
        if k.word[pte] & PRESENT:
            left -= 1
        pte = k.pte_next[pte]
    return k.mm_container[mm_of(k, pte)]


def common_ancestor(k, c, other):
    """The lowest container that both are in or below; the root if there is no other."""
    while c >= 0 and not within(k, other, c):
        c = k.parent[c]
    return max(c, 0)


def first_user(k, o, c):
    """Who opened, mapped or read a file first, and is still there; else c, from now on."""
    if k.obj_owner[o] == 0 or not k.alive[k.obj_owner[o] - 1]:
        k.obj_owner[o] = c + 1
    return k.obj_owner[o] - 1


# one charge per mapping


def charge_mapping(k, c, paid, page):
    """c pays for one more mapping; not asked, where nothing was paid (at a fork)."""
    charge(k, c, k.unit - paid, page)
    k.css[c] += 1
    return 0


def uncharge_mapping(k, c, page):
    uncharge(k, c, k.unit, page)
    k.css[c] -= 1
    return 0


# one entry per (page, container): on a ring per page, oldest holder first


def entry_key(k, page, c):
    return ((k.mms_end + 1 + c) << 32) | page


def find_entry(k, page, c):
    """c's entry for the page, or -1. A container with one mm needs no look-up for a new pte."""
    head = k.page_entry[page] - 1
    if head < 0:
        return -1
    if k.entry_owner[head] == c:
        return head
    if not k.indexed[c]:
        return -1
    pte = probe(k, entry_key(k, page, c))
    return k.pte_entry[pte] if pte >= 0 else -1


def index_entries(k, c):
    """From its second mm on, a container's entries are found through the hash."""
    if k.per_pair and not k.indexed[c]:
        head = HEADS * c
        e = k.entry_next[head]
        while e != head:
            k.pte_entry[insert(k, entry_key(k, k.entry_page[e], c))] = e
            e = k.entry_next[e]
        k.indexed[c] = 1


def holds(k, page, c):
    if k.record == WALKED:
        return maps(k, page, c, -1)
    return find_entry(k, page, c) >= 0


def join(k, page, c):
    """Count the new mapper k.pte with c's entry. Returns the entry when c is a new holder, else -1.

    The new entry is not on the ring yet: the scheme puts it where its rule says.
    """
    e = find_entry(k, page, c)
    new = -1
    if e < 0:
        e = add_entry(k, page, c)
        new = e
    k.entry_count[e] += 1
    k.pte_entry[k.pte] = e
    return new


def part(k):
    """The mapper k.pte has gone. Returns its entry when it was the container's last, else -1."""
    e = k.pte_entry[k.pte]
    k.entry_count[e] -= 1
    return e if k.entry_count[e] == 0 else -1


def enter(k, page, c):
    """1 when the new mapper k.pte is c's first: by its record, or a walk where none is kept."""
    if k.record == WALKED:
        if maps(k, page, c, k.pte):
            return 0
        k.css[c] += 1
        return 1
    e = join(k, page, c)
    if e < 0:
        return 0
    ring_append(k, page, e)
    return 1


def leave(k, page, c):
    """1 when the mapper k.pte, which has gone, was c's last."""
    if k.record == WALKED:
        if maps(k, page, c, -1):
            return 0
        k.css[c] -= 1
        return 1
    e = part(k)
    if e < 0:
        return 0
    ring_remove(k, page, e)
    del_entry(k, e)
    return 1


def ring_append(k, page, e):
    """At the tail: before the head."""
    head = k.page_entry[page] - 1
    if head < 0:
        k.page_entry[page] = e + 1
        k.entry_after[e] = e
        k.entry_before[e] = e
    else:
        last = k.entry_before[head]
        k.entry_after[e] = head
        k.entry_before[e] = last
        k.entry_after[last] = e
        k.entry_before[head] = e
    k.page_holders[page] += 1


def ring_remove(k, page, e):
    after = k.entry_after[e]
    if after == e:
        k.page_entry[page] = 0
    else:
        before = k.entry_before[e]
        k.entry_after[before] = after
        k.entry_before[after] = before
        if k.page_entry[page] == e + 1:
            k.page_entry[page] = after + 1
    k.page_holders[page] -= 1


def holders(k, page):
    return k.page_holders[page]


def ring_head(k, page):
    return k.page_entry[page] - 1


def reprice_holders(k, page, units):
    """Every holder is charged `units` more (`inherit`) or less. Cost: one step a holder."""
    e = k.page_entry[page] - 1
    for _ in range(k.page_holders[page]):
        k.stat[N_HOLDERS] += 1
        if units > 0:
            inherit(k, k.entry_owner[e], units, page)
        else:
            uncharge(k, k.entry_owner[e], -units, page)
        e = k.entry_after[e]


def bill_holders(k, page, units):
    """Every holder's bill changes, nobody's usage. Cost: one step a holder."""
    e = k.page_entry[page] - 1
    for _ in range(k.page_holders[page]):
        k.stat[N_HOLDERS] += 1
        k.bill[k.entry_owner[e]] += units
        e = k.entry_after[e]


def oldest_mapper(k, page):
    """The container of the oldest present mapping of a mapped page. Cost: swap entries skipped."""
    pte = k.page_rmap[page] - 1
    while not k.word[pte] & PRESENT:
        pte = k.pte_next[pte]
    return k.mm_container[mm_of(k, pte)]


def maps(k, page, c, but):
    """Whether c has a present mapping of the page other than pte `but` (-1: any). Cost: one step a
    mapper, the oldest first, until one is found."""
    pte = k.page_rmap[page] - 1
    for _ in range(k.page_maps[page] + k.page_swaps[page]):
        k.stat[N_RMAP] += 1
        w = k.word[pte]
        if w & PRESENT and pte != but and k.mm_container[(w >> 40) - 1] == c:
            return True
        pte = k.pte_next[pte]
    return False


def mappers_of(k, page, c):
    """How many present mappings c has. Cost: one step a mapper."""
    count = 0
    pte = k.page_rmap[page] - 1
    for _ in range(k.page_maps[page] + k.page_swaps[page]):
        k.stat[N_RMAP] += 1
        if k.word[pte] & PRESENT and k.mm_container[mm_of(k, pte)] == c:
            count += 1
        pte = k.pte_next[pte]
    return count
