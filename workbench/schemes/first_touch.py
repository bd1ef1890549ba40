"""First touch: whoever maps a page first pays for it until its last mapping anywhere goes."""

from workbench.kernel.hooks import disown, own, owner, pay_or_return
from workbench.kernel.names import Q_TRIAL

from .parts import Parts

TITLE = "first touch"
SOURCE = "Pavel Emelianov, 6 Mar 2007, patches 2/7 to 5/7; lists=lru: Balbir Singh, 9 Mar 2007"
ASSUMED = (
    "A refault after reclaim makes the new first mapper the owner. A container without tasks keeps "
    "its charges (death=reparent: they are the root's once it is removed). The tail of the "
    "container's reclaim that is lost from the archive does nothing."
)
UNIT = 1
PARTS = Parts(record="page", lists="fifo", reclaim="free", references="all", move="stay")
OPTIONS = {
    "lists": ("fifo", "lru"),
    "oom_score": ("size", "charged", "distinct"),
    "death": ("stay", "reparent"),
}
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
