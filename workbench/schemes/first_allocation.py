"""First allocation: whoever makes a page take a frame pays until the frame is given back."""

from workbench.kernel.hooks import disown, own

from .parts import Parts

TITLE = "first allocation"
SOURCE = "Andrew Morton, 13 Mar 2007, patch 2/7"
ASSUMED = (
    "A page is paid for when a fault, a read or a write brings it in, mapped or not, and is free "
    "for everybody who comes later. What comes back from swap is paid for by who brings it back. "
    "Limit, reclaim, OOM, moves and container death as in first_touch."
)
UNIT = 1
PARTS = Parts(lists="fifo", reclaim="free", references="all", move="stay", coverage="resident")
OPTIONS = {"lists": ("fifo", "lru")}
PROMISES = {
    "sum_is_mapped": False,  # cache that nobody maps is charged too
    "neighbour_proof": False,  # free when somebody else came first
    "own_action_only": False,  # a neighbour's reclaim or unlink frees the frame
    "never_above_limit": True,
    "shares_frames": True,
    "empty_owes_nothing": False,  # charges outlive the owner's mappings
}


def worth(k, e):
    return 1


def price(k, page, c, _):
    return 1


def born(k, page, c, paid):
    return own(k, page, c, paid)


def gone(k, page, c, _):
    return disown(k, page)
