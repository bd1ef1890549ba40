"""User beancounters beside the ring: address space is what is limited, memory is only counted.

`unused` is private address space that nothing is mapped at; a container's privvmpages are that and
its physpages (`usage`). Swap slots are on `swapped`. Source: OpenVZ's kernel 2.6.18 (Pavel
Emelianov, Kirill Korotaev, 11 to 14 Mar 2007).
"""

from .counters import charge, uncharge, within
from .hooks import first_user
from .names import ANON, HAS_ANON, KERNEL, KIND, PRESENT, PRIVATE, SHM, SPECIAL, ZERO
from .tables import find, find_vma, object_of, vpage_of


def is_private(k, o, flags):
    """Address space that may need memory of its own; the trace knows no protection."""
    kind = k.obj_kind[o]
    if kind == ANON:
        return 1
    return 1 if flags & PRIVATE and kind != SPECIAL and kind != KERNEL else 0


def mapped_in(k, mm, i, start, end):
    """Pages of vma i in [start, end) at which a page is present. Cost: a look-up a page."""
    found = 0
    for v in range(max(start, k.vma_start[i]), min(end, k.vma_end[i])):
        at = find(k, mm, v)
        if at >= 0 and k.word[at] & PRESENT and not k.word[at] & ZERO:
            found += 1
    return found


def private_size(k, i):
    return k.vma_end[i] - k.vma_start[i] if is_private(k, k.vma_object[i], k.vma_flags[i]) else 0


def private_area(k, mm):
    total = 0
    i = k.mm_vmas[mm] - 1
    while i >= 0:
        total += private_size(k, i)
        i = k.vma_next[i] - 1
    return total


def new_unused(k, mm, start, end, private):
    """How many more unused private pages there are once [start, end) is mapped anew, as private
    (1), as shared, or not at all (0). May be negative."""
    before = 0
    present = 0
    i = k.mm_vmas[mm] - 1
    while i >= 0:
        if k.vma_start[i] < end and start < k.vma_end[i]:
            n = mapped_in(k, mm, i, start, end)
            present += n
            if is_private(k, k.vma_object[i], k.vma_flags[i]):
                before += min(end, k.vma_end[i]) - max(start, k.vma_start[i]) - n
        i = k.vma_next[i] - 1
    return (end - start - present if private else 0) - before


def child_unused(k, mm):
    """The unused private pages that a copy of mm has: entries are copied where anonymous pages may
    be, elsewhere the child has to touch anew."""
    total = 0
    i = k.mm_vmas[mm] - 1
    while i >= 0:
        total += private_size(k, i)
        both = PRIVATE | HAS_ANON
        if k.vma_flags[i] & both == both and private_size(k, i):
            total -= mapped_in(k, mm, i, k.vma_start[i], k.vma_end[i])
        i = k.vma_next[i] - 1
    return total


def refusing_space(k, c, pages):
    """The first of c and those above it that has no room for so many pages of private address
    space more, or -1. (HARD: up to the barrier of privvmpages; up to that of vmguarpages in any
    case.)"""
    while c >= 0 and pages > 0:
        held = private_held(k, c) + pages
        if held > k.limit[c] and held > k.vmguar[c]:
            return c
        c = k.parent[c]
    return -1


def private_held(k, c):
    """privvmpages of c and those below it, without kernel frames."""
    kernel = k.kernel[c]
    unused = k.unused[c]
    for other in range(k.containers if k.tree else 0):
        if other != c and within(k, other, c):
            kernel += k.kernel[other]
            unused += k.unused[other]
    return (k.usage[c] - kernel * k.unit) // k.unit + unused


def count_used(k, pte, mm, c, step):
    """A page is mapped (+1) where private address space was unused, or goes (-1)."""
    i = find_vma(k, mm, vpage_of(k, pte))
    if i >= 0 and is_private(k, k.vma_object[i], k.vma_flags[i]):
        k.unused[c] -= step


def creator(k, page):
    """Who pays for a page of shared memory: the container that used the object first."""
    return first_user(k, object_of(k, page), k.mm_container[k.task_mm[k.task]])


def adopt(k, page):
    """A page of shared memory gets a frame: whole, mapped or not."""
    c = creator(k, page)
    charge(k, c, k.unit, page)
    k.css[c] += 1


def abandon(k, page):
    c = k.obj_owner[object_of(k, page)] - 1
    uncharge(k, c, k.unit, page)
    k.css[c] -= 1


def slot_payer(k, page):
    """Whom a swap slot is charged to, by force: the ring's head, of shared memory its creator."""
    if k.page_flags[page] & KIND == SHM:
        return k.obj_owner[object_of(k, page)] - 1
    return k.entry_owner[k.page_entry[page] - 1] if k.page_entry[page] else -1


def worst_overdraft(k):
    """The container, of those that are below no other, furthest above its oomguarpages barrier, or
    -1: nobody is above it."""
    worst = -1
    most = 0
    for c in range(k.containers):
        over = k.usage[c] // k.unit + k.swapped[c] - k.oomguar[c]
        if over > most and k.parent[c] < 0:
            most = over
            worst = c
    return worst
