"""All cached pages of a file are charged to its first user; anonymous pages to who touches them."""

from workbench.kernel.hooks import disown, first_user, object_of, own
from workbench.kernel.names import ANON, KIND

from .parts import Parts

TITLE = "owner per file"
SOURCE = "Vaidyanathan Srinivasan, 14 Mar 2007, patch 4/7"
ASSUMED = (
    "The owner of a file is the container that first opened, mapped or read it, for good; when "
    "that is gone, the next. Its pages are charged while they are in memory. Limit, reclaim, OOM "
    "and moves as in first_touch; who brings a page in may thereby reclaim and kill in another "
    "container."
)
UNIT = 1
PARTS = Parts(lists="fifo", reclaim="free", references="all", move="stay", coverage="resident")
OPTIONS = {"lists": ("fifo", "lru")}
PROMISES = {
    "sum_is_mapped": False,  # cache that nobody maps is charged too
    "neighbour_proof": False,  # free when somebody else came first
    "own_action_only": False,  # others bring in pages of one's files
    "never_above_limit": True,
    "shares_frames": True,
    "empty_owes_nothing": False,  # charges outlive the owner's mappings
}


def worth(k, e):
    return 1


def price(k, page, c, _):
    return 1


def payer(k, page, c, _):
    if k.page_flags[page] & KIND == ANON:
        return c
    return first_user(k, object_of(k, page), c)


def born(k, page, c, paid):
    return own(k, page, c, paid)


def gone(k, page, c, _):
    return disown(k, page)
