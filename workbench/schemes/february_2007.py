"""Sum of process RSS; at the limit own mappings go, found on the machine's list of all pages."""

from workbench.kernel.hooks import charge_mapping, uncharge_mapping

from .parts import Parts

TITLE = "controller of February 2007"
SOURCE = "Balbir Singh, 19 and 26 Feb 2007, patches 2/4 and 3/4 (memctlr, v1 and v2)"
ASSUMED = (
    "At the limit up to five tries of 20 percent of it: the zones' lists of all pages are walked, "
    "inactive before active, and the container's mappings of its pages not used lately go. Others' "
    "pages stay where they are; the patch put those it passed at the head, so that the machine's "
    "order was lost. Frames stay in the caches; reclaim=free_own gives up those that nobody else "
    "maps, as the patch does. As coded, an mm is spared again once its container is back at its "
    "limit, so the patch never gets 20 percent below it; here it does what its text says. Still no "
    "room: the task dies."
)
UNIT = 1
PARTS = Parts(
    record="mapping", lists="global", reclaim="unmap_own", references="all",
    at_limit="kill_current", move="rewalk", pushback=20, leader_moves=True, zero_is_none=True,
)
OPTIONS = {}
PROMISES = {
    "sum_is_mapped": False,  # counts mappings, not pages
    "neighbour_proof": True,
    "own_action_only": True,
    "never_above_limit": False,  # a fork or a move is not refused
    "shares_frames": True,
    "empty_owes_nothing": True,
}


def price(k, page, c, _):
    return 1


def mapped(k, page, c, paid):
    return charge_mapping(k, c, paid, page)


def unmapped(k, page, c, _):
    return uncharge_mapping(k, c, page)
