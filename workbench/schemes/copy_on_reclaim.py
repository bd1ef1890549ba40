"""Copy on reclaim: as first touch, but what the payer does not map is copied by who needs it."""

from workbench.kernel.hooks import disown, own, owner, pay_or_return
from workbench.kernel.names import Q_TRIAL

from .parts import Parts

TITLE = "unmap and copy"
SOURCE = (
    "Mel Gorman, 14 Mar 2007: unmap the shared page, and the next faulter must copy it; cheaper "
    "than reclaim, and it helps the accounting"
)
ASSUMED = (
    "What a container pays for and does not map is given up as in next_toucher, if it is a clean "
    "page of a file that is mapped private only; anything else of a file's is left to ordinary "
    "reclaim, and an anonymous page is the next toucher's, who need not copy it. From then on each "
    "container that maps the page private makes a copy of its own, from the old frame, which then "
    "goes, or from another's copy; it lives while it is mapped. read(), write() and shared "
    "mappings know nothing of copies: they see the file's page, from disk if need be, and where "
    "that is in memory and not given up, nobody copies it. So a copy may miss a later write, as a "
    "private mapping may."
)
UNIT = 1
PARTS = Parts(record="page", lists="fifo", reclaim="copy", references="all", move="stay")
OPTIONS = {"lists": ("fifo", "lru"), "death": ("stay", "reparent")}
PROMISES = {
    "sum_is_mapped": True,  # a copy is a page of its own
    "neighbour_proof": False,  # free when somebody else came first
    "own_action_only": False,  # the last unmapper may be a stranger
    "never_above_limit": True,
    "shares_frames": False,  # not where a copy was made
    "empty_owes_nothing": False,  # charges outlive the owner's mappings
}


def worth(k, e):
    return 1


def price(k, page, c, _):
    """As posted, every mapping pays first and asks later whether the page was paid for (CH1)."""
    if k.quirks & Q_TRIAL or owner(k, page) < 0:
        return 1
    return 0


def mapped(k, page, c, paid):
    if owner(k, page) < 0:
        return own(k, page, c, paid)
    return pay_or_return(k, c, paid, 0, page)


def unmapped(k, page, c, _):
    if k.page_maps[page] == 0:
        return disown(k, page)
    return 0
