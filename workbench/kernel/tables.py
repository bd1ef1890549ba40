"""Page tables: finding, making and dropping entries; the ring of a page's mappers."""

from .names import COPY, FILE, GOLDEN, KIND, PARTITION

TOMB = 1


def find(k, mm, v):
    """The pte of (mm, vpage), or -1. Cost: one probe, a few when the page is shared."""
    key = ((mm + 1) << 32) | v
    if k.word[v] >> 8 == key:
        return v
    return probe(k, key)


def first_probe(k, key):
    return k.vpages + ((key * GOLDEN >> 32 & 0xFFFFFFFF) * k.hash_slots >> 32)


def next_probe(k, pte):
    return pte + 1 if pte < k.ptes_end - 1 else k.vpages


def probe(k, key):
    """The pte of a key in the hash, or -1."""
    pte = first_probe(k, key)
    while True:
        w = k.word[pte]
        if w >> 8 == key:
            return pte
        if w == 0:
            return -1
        pte = next_probe(k, pte)


def insert(k, key):
    """Put a key that is not there into the hash. Returns its pte."""
    pte = first_probe(k, key)
    while k.word[pte] > TOMB:
        pte = next_probe(k, pte)
    if k.word[pte] == 0:
        k.slots_used += 1
    k.word[pte] = key << 8
    return pte


def rehash(k, old_slots):
    """Move every pte of the old hash, which lies behind the new one (called between events)."""
    for old in range(k.ptes_end, k.ptes_end + old_slots):
        w = k.word[old]
        if w > TOMB:
            pte = insert(k, w >> 8)
            k.word[pte] = w
            k.pte_page[pte] = k.pte_page[old]
            k.pte_next[pte] = k.pte_next[old]
            k.pte_prev[pte] = k.pte_prev[old]
            k.pte_sibling[pte] = k.pte_sibling[old]
            k.pte_entry[pte] = k.pte_entry[old]
            k.word[old] = pte
    for page in range(k.pages_top):
        if k.page_rmap[page] > k.vpages:
            k.page_rmap[page] = moved(k, k.page_rmap[page] - 1) + 1
    for mm in range(k.mms_top):
        k.mm_ptes[mm] = moved(k, k.mm_ptes[mm] - 1) + 1
    for pte in range(k.ptes_end):
        if k.word[pte] > TOMB:
            k.pte_next[pte] = moved(k, k.pte_next[pte])
            k.pte_prev[pte] = moved(k, k.pte_prev[pte])
            k.pte_sibling[pte] = moved(k, k.pte_sibling[pte] - 1) + 1


def moved(k, pte):
    """Where a pte of the old hash has gone: its old word says it."""
    return pte if pte < k.vpages else k.word[pte - k.vpages + k.ptes_end]


def make_pte(k, mm, v):
    """An empty pte for (mm, vpage)."""
    key = ((mm + 1) << 32) | v
    if k.word[v] == 0:
        pte = v
        k.word[v] = key << 8
    else:
        pte = insert(k, key)
    chain(k, mm, pte)
    return pte


def make_table(k, mm, key, place):
    """Note that mm has a page-table page for this block, in zone or granule `place`, paid for by
    its container."""
    pte = insert(k, key)
    k.pte_page[pte] = place
    k.pte_entry[pte] = k.mm_container[mm]
    chain(k, mm, pte)


def chain(k, mm, pte):
    k.pte_sibling[pte] = k.mm_ptes[mm]
    k.mm_ptes[mm] = pte + 1
    k.mm_count[mm] += 1


def drop_pte(k, pte):
    """Forget an empty pte when its mm goes."""
    k.word[pte] = 0 if pte < k.vpages else TOMB


def sort_ptes(k, mm):
    """The places of an mm's page table in ascending order: a radix sort of the chain. Cost: linear,
    with one pass per digit of the largest vpage number; the more places, the larger the digits.
    """
    if ascending(k, mm):
        return
    bits = 3
    while bits < 10 and k.mm_count[mm] >> (bits + 1):
        bits += 1
    digits = 1 << bits
    shift = 8
    largest = (k.vpages + (k.vpages >> 9)) << 8  # the tables' pages are numbered after the vpages
    while largest >> shift:
        for digit in range(digits):
            k.digit_first[digit] = 0
        pte = k.mm_ptes[mm]
        while pte:
            digit = k.word[pte - 1] >> shift & (digits - 1)
            if k.digit_first[digit]:
                k.pte_sibling[k.digit_last[digit] - 1] = pte
            else:
                k.digit_first[digit] = pte
            k.digit_last[digit] = pte
            pte = k.pte_sibling[pte - 1]
        last = 0
        for digit in range(digits):
            start = k.digit_first[digit]
            if start:
                if last:
                    k.pte_sibling[last - 1] = start
                else:
                    k.mm_ptes[mm] = start
                last = k.digit_last[digit]
        k.pte_sibling[last - 1] = 0
        shift += bits


def ascending(k, mm):
    before = 0
    pte = k.mm_ptes[mm]
    while pte:
        w = k.word[pte - 1] >> 8
        if w < before:
            return False
        before = w
        pte = k.pte_sibling[pte - 1]
    return True


def shown_at(k, page):
    """The vpage that an object's own page, or a container's copy, is seen at."""
    return page if page < k.vpages else (page - k.copies_at) % k.vpages


def is_copy(k, page):
    """Is this page of a file a container's own copy, which lives while it is mapped?"""
    return k.reclaim == COPY and page >= k.vpages and k.page_flags[page] & KIND == FILE


def copy_of(k, o, c):
    """The number of container c's copy of an object."""
    return o + c * k.objects if k.placement == PARTITION else o


def object_of(k, page):
    """The object that an object's own page, or a container's copy, is of. Cost: log2(objects)."""
    v = shown_at(k, page)
    low = 0
    high = k.objects
    while high - low > 1:
        middle = (low + high) >> 1
        if k.obj_base[middle] <= v:
            low = middle
        else:
            high = middle
    return low if page < k.vpages else copy_of(k, low, (page - k.copies_at) // k.vpages)


def mm_of(k, pte):
    return (k.word[pte] >> 40) - 1


def vpage_of(k, pte):
    return (k.word[pte] >> 8) & 0xFFFFFFFF


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
