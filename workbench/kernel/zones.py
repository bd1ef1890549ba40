"""Where a page must lie: the container's own zone, its set's, or a machine of its own.

The copy that container c has of vpage v is page copies_at + c * vpages + v. Under `partition` every
container c > 0 sees nothing else, and its copy of object o is o + c * objects; the root sees the
objects' own pages. Under reclaim=copy a container has copies of pages of files that were given up.
"""

from .counters import within
from .names import BY_FLAG, PARTITION, RESIDENT, SHARED_ZONE, SHM
from .pages import free_page, remove
from .tables import sort_ptes, vpage_of


def home_of(k, o, c, shared):
    """The zone in which container c must put a page of object o, -1: any node's.

    shared  whether it is reached through a MAP_SHARED mapping
    """
    if k.placement == SHARED_ZONE:
        if k.by == BY_FLAG:
            z = k.set_zone[c] if shared else 0
        else:
            z = k.bound[c * k.objects + o]
        if z:
            return z - 1
    return k.own_zone[c]


def lives_with(k, other, c):
    """Do two containers take their frames from one zone (or are they the same)? Of beancounters:
    is the one below the other?"""
    if k.ubc:
        return within(k, other, c)
    return other == c or (k.own_zone[c] >= 0 and k.own_zone[other] == k.own_zone[c])


def page_of(k, v, c):
    """The page that container c sees at a vpage of an object."""
    return copy_for(k, v, c) if k.placement == PARTITION and c else v


def copy_for(k, v, c):
    return k.copies_at + c * k.vpages + v


def nearest_copy(k, v, c):
    """Under reclaim=copy, where container c finds what is at vpage v of a file that it has mapped
    private: its own copy; the file's page, if that is in memory; somebody else's copy."""
    own = copy_for(k, v, c)
    if k.page_flags[own] & RESIDENT:
        return own
    if not k.page_flags[v] & RESIDENT:
        for other in range(k.containers):
            if k.page_flags[copy_for(k, v, other)] & RESIDENT:
                return copy_for(k, v, other)
    return v


def start_anew(k, mm, left, c):
    """A task enters another machine: its pages stay behind, its ranges show the copies there."""
    sort_ptes(k, mm)
    pte = k.mm_ptes[mm] - 1
    while pte >= 0:
        if vpage_of(k, pte) < k.vpages:
            remove(k, pte)
        pte = k.pte_sibling[pte] - 1
    i = k.mm_vmas[mm] - 1
    while i >= 0:
        o = k.vma_object[i]
        there = o + (c - left) * k.objects
        if k.obj_filed[o] and k.obj_vmas[there] == 0:
            k.obj_filed[there] = c + 1
            k.files[c] += 1
        k.obj_vmas[there] += 1
        k.vma_object[i] = there
        leave_object(k, o)
        i = k.vma_next[i] - 1


def leave_object(k, o):
    """A vma of an object has gone; with its last one an unnamed shared object ends too."""
    k.obj_vmas[o] -= 1
    if k.obj_vmas[o] == 0 and k.obj_filed[o]:
        k.files[k.obj_filed[o] - 1] -= 1
        k.obj_filed[o] = 0
        if k.obj_kind[o] == SHM:
            c = o // k.objects
            for v in range(k.obj_base[o], k.obj_base[o] + k.obj_pages[o]):
                free_page(k, page_of(k, v, c))
            if k.ubc:
                k.obj_owner[o] = 0  # who uses the name next creates it anew
