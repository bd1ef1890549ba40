"""Next toucher: as first touch, but what the payer does not map goes to whoever touches it next."""

from workbench.kernel.hooks import disown, own, owner, pay_or_return
from workbench.kernel.names import Q_TRIAL

from .parts import Parts

TITLE = "next toucher"
SOURCE = (
    "Dave Hansen, 13 Mar 2007: force the next toucher to take ownership; the test for an unfair "
    "charge is Mel Gorman's, 14 Mar 2007: the payer maps the page no more"
)
ASSUMED = (
    "At its limit a container first looks through its list, oldest first, for pages it pays for "
    "and does not map: up to a cluster of them are unmapped everywhere, used or not, unless one "
    "mapping is locked. They stay in their cache, charged to nobody, and whoever touches one "
    "next pays. Only when there is none does it reclaim as under first touch. The count of the "
    "payer's mappings is found by walking the page's mappers."
)
UNIT = 1
PARTS = Parts(record="page", lists="fifo", reclaim="disown", references="all", move="stay")
OPTIONS = {"lists": ("fifo", "lru"), "death": ("stay", "reparent")}
PROMISES = {
    "sum_is_mapped": True,
    "neighbour_proof": False,  # free when somebody else came first
    "own_action_only": False,  # the last unmapper may be a stranger
    "never_above_limit": True,
    "shares_frames": True,
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
