"""Page tables: finding, making and dropping entries; the ring of a page's mappers."""

from .names import GOLDEN

TOMB = 1


def find(k, mm, v):
    """Where the word of (mm, vpage) is, or -1. Cost: one probe, a few when the page is shared."""
    key = ((mm + 1) << 32) | v
    if k.word[v] >> 8 == key:
        return v
    return probe(k, key)


def slot_of(k, key):
    return (key * GOLDEN >> 32) & k.slot_mask


def probe(k, key):
    """Where a key of the hash has its word, or -1."""
    slot = slot_of(k, key)
    while True:
        w = k.word[k.vpages + slot]
        if w >> 8 == key:
            return k.vpages + slot
        if w == 0:
            return -1
        slot = (slot + 1) & k.slot_mask


def pte_at(k, at):
    return at if at < k.vpages else k.slot_pte[at - k.vpages]


def insert(k, key, value):
    """Put a key that is not there into the hash. Returns the place of its word."""
    slot = slot_of(k, key)
    while k.word[k.vpages + slot] > TOMB:
        slot = (slot + 1) & k.slot_mask
    if k.word[k.vpages + slot] == 0:
        k.slots_used += 1
    k.word[k.vpages + slot] = key << 8
    k.slot_pte[slot] = value
    return k.vpages + slot


def rehash(k, old_slots):
    """Move every key of the old hash into a new, larger one (called between events)."""
    for slot in range(old_slots):
        w = k.old_word[slot]
        if w > TOMB:
            value = k.old_pte[slot]
            at = insert(k, w >> 8, value)
            k.word[at] = w
            if (w >> 40) <= k.mms_end:
                k.pte_word[value] = at


def make_pte(k, mm, v):
    """A place for (mm, vpage) in the page table, empty. Returns where its word is."""
    key = ((mm + 1) << 32) | v
    if k.word[v] == 0:
        pte = v
        at = v
        k.word[v] = key << 8
    else:
        pte = take_pte(k, mm)
        at = insert(k, key, pte)
    if pte >= k.vpages:
        k.pte_word[pte] = at
    chain(k, mm, pte)
    return at


def take_pte(k, mm):
    if k.ptes_free:
        pte = k.ptes_free - 1
        k.ptes_free = k.pte_sibling[pte]
    else:
        pte = k.ptes_top
        k.ptes_top += 1
    return pte


def make_table(k, mm, key, place):
    """Note that mm has a page-table page for this block, in zone or granule `place`, paid for by
    its container."""
    pte = take_pte(k, mm)
    k.pte_word[pte] = insert(k, key, pte)
    k.pte_page[pte] = place
    k.pte_entry[pte] = k.mm_container[mm]
    chain(k, mm, pte)


def chain(k, mm, pte):
    k.pte_sibling[pte] = k.mm_ptes[mm]
    k.mm_ptes[mm] = pte + 1
    k.mm_count[mm] += 1


def drop_pte(k, pte):
    """Forget an empty place when its mm goes."""
    if pte < k.vpages:
        k.word[pte] = 0
    else:
        k.word[k.pte_word[pte]] = TOMB
        k.pte_sibling[pte] = k.ptes_free
        k.ptes_free = pte + 1


def sort_ptes(k, mm):
    """The places of an mm's page table in ascending order. Cost: linear where touches ran in order.

    A natural merge sort of the chain: runs up and runs down are taken as they are found.
    """
    chain = k.mm_ptes[mm]
    runs = 2
    while runs > 1:
        rest = chain
        chain = 0
        last = 0
        runs = 0
        while rest:
            rest = cut_run(k, rest)
            a = k.tmp
            b = 0
            if rest:
                rest = cut_run(k, rest)
                b = k.tmp
            key_a = key_of(k, a)
            key_b = key_of(k, b) if b else 0
            while a and b:
                if key_a < key_b:
                    least = a
                    a = k.pte_sibling[a - 1]
                    if a:
                        key_a = key_of(k, a)
                else:
                    least = b
                    b = k.pte_sibling[b - 1]
                    if b:
                        key_b = key_of(k, b)
                if last:
                    k.pte_sibling[last - 1] = least
                else:
                    chain = least
                last = least
            tail = a if a else b
            if last:
                k.pte_sibling[last - 1] = tail
            else:
                chain = tail
            if rest:
                while tail:
                    last = tail
                    tail = k.pte_sibling[tail - 1]
            runs += 1
    k.mm_ptes[mm] = chain


def key_of(k, pte_plus):
    pte = pte_plus - 1
    return k.word[pte if pte < k.vpages else k.pte_word[pte]] >> 8


def cut_run(k, start):
    """Take the run that begins a chain, turned upwards, into k.tmp; returns what follows it."""
    run = start
    after = k.pte_sibling[start - 1]
    key = key_of(k, start)
    if after and key_of(k, after) < key:
        k.pte_sibling[start - 1] = 0
        while after:
            next_key = key_of(k, after)
            if next_key > key:
                break
            beyond = k.pte_sibling[after - 1]
            k.pte_sibling[after - 1] = run
            run = after
            key = next_key
            after = beyond
    else:
        last = start
        while after:
            next_key = key_of(k, after)
            if next_key < key:
                break
            last = after
            key = next_key
            after = k.pte_sibling[after - 1]
        k.pte_sibling[last - 1] = 0
    k.tmp = run
    return after


def word_of(k, pte):
    """Where a pte has its word; a vpage's first mapping has it in place, nothing to look up."""
    return pte if pte < k.vpages else k.pte_word[pte]


def mm_of(k, pte):
    return (k.word[word_of(k, pte)] >> 40) - 1


def vpage_of(k, pte):
    return (k.word[word_of(k, pte)] >> 8) & 0xFFFFFFFF


def link(k, pte, page):
    """The page's newest mapper."""
    head = k.page_rmap[page] - 1
    if head < 0:
        k.page_rmap[page] = pte + 1
        k.pte_next[pte] = pte
        k.pte_prev[pte] = pte
    else:
        last = k.pte_prev[head]
        k.pte_next[pte] = head
        k.pte_prev[pte] = last
        k.pte_next[last] = pte
        k.pte_prev[head] = pte
    k.pte_page[pte] = page


def unlink(k, pte, page):
    after = k.pte_next[pte]
    if after == pte:
        k.page_rmap[page] = 0
        return
    before = k.pte_prev[pte]
    k.pte_next[before] = after
    k.pte_prev[after] = before
    if k.page_rmap[page] == pte + 1:
        k.page_rmap[page] = after + 1


def find_vma(k, mm, v):
    """The vma that covers a vpage, or -1; the one found moves to the front."""
    before = -1
    i = k.mm_vmas[mm] - 1
    while i >= 0:
        if k.vma_start[i] <= v < k.vma_end[i]:
            if before >= 0:
                k.vma_next[before] = k.vma_next[i]
                k.vma_next[i] = k.mm_vmas[mm]
                k.mm_vmas[mm] = i + 1
            return i
        before = i
        i = k.vma_next[i] - 1
    return -1
