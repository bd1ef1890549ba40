"""A machine of its own for every container: no frame is shared, files are cached once for each."""

from .parts import Parts

TITLE = "full partition (Xen-like)"
SOURCE = "Herbert Poetzl, 12 Mar 2007 (as the other extreme)"
ASSUMED = (
    "A container's machine has as many frames as its limit says, and lists and page cache of its "
    "own. A task that is moved starts anew there: its pages stay behind and are touched again; an "
    "address space with several threads cannot move. The root is a machine as well."
)
UNIT = 1
PARTS = Parts(record="none", lists="none", reclaim="none", placement="partition", orphan="destroy")
OPTIONS = {}
PROMISES = {
    "sum_is_mapped": False,  # counts frames of every kind, mapped or not
    "neighbour_proof": True,
    "own_action_only": False,  # the trace's own test aids drop caches everywhere
    "never_above_limit": True,
    "shares_frames": False,
    "empty_owes_nothing": False,
}
