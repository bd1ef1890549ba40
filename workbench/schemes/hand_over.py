"""Hand-over: the first mapper pays; when its own last mapping goes, a remaining mapper inherits."""

from workbench.kernel.hooks import disown, heir_of, own, owner, pass_to, pay_or_return
from workbench.kernel.names import Q_TRIAL

from .parts import Parts

TITLE = "hand over"
SOURCE = "Dave Hansen, 12 Mar 2007; called possible, later: Pavel Emelianov, 13 Mar 2007"
ASSUMED = (
    "All details. The heir (heir=...) is the container of the oldest remaining mapping; it is "
    "charged by force, and failcnt tells when that lifts it above its limit; its next own charge "
    "reclaims (forced=free: there the page is unmapped for everybody). "
    "A task's move is an unmap in the old container and a map in the new one."
)
UNIT = 1
PARTS = Parts(record="counted", lists="fifo", reclaim="free", references="all", move="rewalk")
OPTIONS = {
    "lists": ("fifo", "lru"),
    "oom_score": ("size", "charged", "distinct"),
    "heir": ("oldest", "largest", "random", "next"),
    "forced": ("charge", "free"),
}
PROMISES = {
    "sum_is_mapped": True,
    "neighbour_proof": False,
    "own_action_only": False,  # an heir is charged by somebody else's exit
    "never_above_limit": False,  # and not asked
    "shares_frames": True,
    "empty_owes_nothing": True,
}
PROMISES_WITH = {"heir=next": {"own_action_only": True}}  # who touches pays


def worth(k, e):
    return 1


def price(k, page, c, _):
    if k.quirks & Q_TRIAL or owner(k, page) < 0:
        return 1
    return 0


def mapped(k, page, c, paid):
    if owner(k, page) < 0:
        own(k, page, c, paid)
    else:
        pay_or_return(k, c, paid, 0, page)
    e = k.page_entry[page] - 1
    if k.entry_owner[e] == c:
        k.entry_count[e] += 1
    return 0


def unmapped(k, page, c, _):
    e = k.page_entry[page] - 1
    payer = k.entry_owner[e]
    if payer == c:
        k.entry_count[e] -= 1
    if k.page_maps[page] == 0:
        disown(k, page)
    elif payer == c and k.entry_count[e] == 0:
        heir = heir_of(k, page)
        if heir >= 0:
            pass_to(k, page, heir)
    return 0
