"""Nobody is charged: the machine before the patch, and the yardstick for its costs."""

from .parts import Parts

TITLE = "no accounting"
SOURCE = "Linux 2.6.20, 4 Feb 2007"
ASSUMED = "Limits on memory are ignored; the counts of tasks and files still bind."
UNIT = 1
PARTS = Parts(record="none", lists="none", reclaim="none")
OPTIONS = {}
PROMISES = {
    "sum_is_mapped": False,
    "neighbour_proof": True,
    "own_action_only": True,
    "never_above_limit": True,
    "shares_frames": True,
    "empty_owes_nothing": True,
}
