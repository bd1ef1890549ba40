"""OpenVZ's page beancounters: the containers that map a page share it in powers of two."""

from workbench.kernel.halves import join_halves, leave_halves, newcomers_share
from workbench.kernel.hooks import holds

from .parts import Parts

TITLE = "fractions in powers of two"
SOURCE = "Kirill Korotaev, 12 to 14 Mar 2007 (OpenVZ; the ring of kernel 2.6.18)"
ASSUMED = (
    "OpenVZ only counts these fractions; here the limit acts on them. A share that grows because "
    "somebody left is charged by force. At the limit the container unmaps its own mappings. "
    "A move walks every page. Pages of shared memory are on rings like all others."
)
UNIT = 1 << 24
PARTS = Parts(
    record="pair", note="share", lists="fifo", reclaim="unmap_own", references="own", move="rewalk"
)
OPTIONS = {"forced": ("charge", "free")}
PROMISES = {
    "sum_is_mapped": True,
    "neighbour_proof": False,
    "own_action_only": False,  # a neighbour's exit raises the bill
    "never_above_limit": False,
    "shares_frames": True,
    "empty_owes_nothing": True,
}


def worth(k, e):
    return UNIT >> int(k.entry_shift[e])


def price(k, page, c, _):
    return 0 if holds(k, page, c) else newcomers_share(k, page)


def mapped(k, page, c, paid):
    return join_halves(k, page, c, paid)


def unmapped(k, page, c, _):
    return leave_halves(k, page, c)
