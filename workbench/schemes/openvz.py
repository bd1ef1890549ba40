"""OpenVZ's full set: memory is counted on the ring, and address space is what can be refused."""

from workbench.kernel.halves import join_halves, leave_halves
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
)
OPTIONS = {"hierarchy": ("flat", "tree")}
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


def mapped(k, page, c, paid):
    return 0 if k.page_flags[page] & KIND == SHM else join_halves(k, page, c, paid)


def unmapped(k, page, c, _):
    return 0 if k.page_flags[page] & KIND == SHM else leave_halves(k, page, c)
