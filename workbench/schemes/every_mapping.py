"""Every mapping in every task is charged: a container's usage is the sum of its processes' RSS."""

from workbench.kernel.hooks import charge_mapping, uncharge_mapping

from .parts import Parts

TITLE = "every mapping pays (sum of RSS)"
SOURCE = "Herbert Poetzl, 9 to 13 Mar 2007 (Linux-VServer)"
ASSUMED = (
    "At the limit nothing is reclaimed: the fault fails and the current task is killed. Fork "
    "checks the length of every range it copies, then charges what it really copied."
)
UNIT = 1
PARTS = Parts(
    record="mapping", lists="none", reclaim="none", at_limit="kill_current", move="rewalk",
    fork_check=True,
)
OPTIONS = {}
PROMISES = {
    "sum_is_mapped": False,  # counts mappings, not pages
    "neighbour_proof": True,
    "own_action_only": True,
    "never_above_limit": False,  # a move, or a fork of several ranges, is not refused
    "shares_frames": True,
    "empty_owes_nothing": True,
}


def price(k, page, c, _):
    return 1


def mapped(k, page, c, paid):
    return charge_mapping(k, c, paid, page)


def unmapped(k, page, c, _):
    return uncharge_mapping(k, c, page)
