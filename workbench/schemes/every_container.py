"""Every container that maps a page pays for all of it, once ("true RSS")."""

from workbench.kernel.counters import uncharge
from workbench.kernel.hooks import enter, holds, leave, pay_or_return

from .parts import Parts

TITLE = "every container pays in full"
SOURCE = "Eric Biederman, 11 to 20 Mar 2007"
ASSUMED = (
    "At the limit the container's own list is scanned, oldest first, skipping what it used itself; "
    "only its own mappings go, frames stay in the caches. A move walks every page. OOM picks by "
    "the usual badness among the container's tasks. record=walk:lists=global is the filter over "
    "the machine's lists that he thought normal: first and last mappings are found by walking "
    "the page's mappers, and no record is kept. There move=stay leaves the counters as they are, "
    "and they drift."
)
UNIT = 1
PARTS = Parts(record="pair", lists="fifo", reclaim="unmap_own", references="own", move="rewalk")
OPTIONS = {"record": ("pair", "walk")}
PROMISES = {
    "sum_is_mapped": False,  # a page shared by n containers counts n times
    "neighbour_proof": True,
    "own_action_only": True,
    "never_above_limit": False,  # a move brings charges along, unasked
    "shares_frames": True,
    "empty_owes_nothing": True,
}


def worth(k, e):
    return 1


def price(k, page, c, _):
    return 0 if holds(k, page, c) else 1


def mapped(k, page, c, paid):
    pay_or_return(k, c, paid, enter(k, page, c), page)
    return 0


def unmapped(k, page, c, _):
    if leave(k, page, c):
        uncharge(k, c, 1, page)
    return 0
