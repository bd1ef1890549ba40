"""OpenVZ's full set: memory is counted on the ring, and address space is what can be refused."""

from workbench.kernel.counters import charge, uncharge
from workbench.kernel.hooks import del_entry, join, part, ring_append, ring_head, ring_remove
from workbench.kernel.names import KIND, SHM

from .parts import Parts

TITLE = "beancounters with limits on address space"
SOURCE = "Pavel Emelianov, 11 Mar 2007, Kirill Korotaev, 12 to 14 Mar 2007 (OpenVZ, kernel 2.6.18)"
ASSUMED = (
    "The limit is the barrier of privvmpages (unused private address space and physpages): a map "
    "or fork above it is refused, a touch never is; a later touch of what was refused is refused. "
    "vmguarpages: up to it a map passes whatever privvmpages says. The trace knows no protection: "
    "every private range counts as writable. Shared memory is its first user's, whole, while in "
    "memory. When the machine is short, the container furthest above oomguarpages loses a task; "
    "without that file its barrier is 0, the root's is endless. All requests ask up to the barrier."
)
UNIT = 1 << 24
PARTS = Parts(
    record="pair", note="share", lists="fifo", reclaim="none", references="own", move="rewalk",
    ubc=True, counts=("unused", "swapped", "oom_failcnt"),
)  # fmt: skip
OPTIONS = {}
PROMISES = {
    "sum_is_mapped": False,  # shared memory counts unmapped, too
    "neighbour_proof": False,
    "own_action_only": False,  # a neighbour's exit raises the bill
    "never_above_limit": False,  # and nobody looks then
    "shares_frames": True,
    "empty_owes_nothing": False,  # shared memory stays its creator's
}


def worth(k, e):
    return UNIT >> int(k.entry_shift[e])


def price(k, page, c, _):
    return 0


def mapped(k, page, c, paid):
    if k.page_flags[page] & KIND == SHM:
        return 0
    e = join(k, page, c)
    if e < 0:
        return 0
    head = ring_head(k, page)
    if head >= 0:
        # the newcomer takes half of the head's share; the head becomes the tail, then the newcomer
        k.entry_shift[head] += 1
        k.entry_shift[e] = k.entry_shift[head]
        uncharge(k, k.entry_owner[head], UNIT >> k.entry_shift[head], page)
        k.page_entry[page] = k.entry_after[head] + 1
    ring_append(k, page, e)
    charge(k, c, UNIT >> k.entry_shift[e], page)
    return 0


def unmapped(k, page, c, _):
    e = part(k) if k.page_flags[page] & KIND != SHM else -1
    if e < 0:
        return 0
    shift = k.entry_shift[e]
    uncharge(k, c, UNIT >> shift, page)
    ring_remove(k, page, e)
    del_entry(k, e)
    if ring_head(k, page) >= 0:
        before = double_tail(k, page)
        if before > shift:
            double_tail(k, page)
    return 0


def double_tail(k, page):
    """The tail becomes the head and pays twice its share: no check. Returns the shift it had."""
    tail = k.entry_before[ring_head(k, page)]
    shift = k.entry_shift[tail]
    k.entry_shift[tail] = shift - 1
    k.page_entry[page] = tail + 1
    charge(k, k.entry_owner[tail], UNIT >> shift, page)
    return shift
