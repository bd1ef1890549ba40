"""A zone of its own for every container: placement is the limit, nothing is counted."""

from .parts import Parts

TITLE = "one zone per container (fake NUMA)"
SOURCE = "Andrew Morton, 6 to 13 Mar 2007; Nick Piggin, 14 and 15 Mar 2007"
ASSUMED = (
    "A container's zone has as many frames as its limit says, rounded up to whole granules (knob "
    "`granule`), carved from the node its first task runs on; without a limit, an equal share of "
    "half of what is left. It never borrows a frame. Pages already in memory are used where they "
    "lie. A move leaves pages behind (move=migrate: those that nobody else maps go along). A new "
    "limit moves free granules; refused where too few are free or pages pin them. full=grow: the "
    "limit is what a zone may grow to; it takes granules as it needs them. A dead container's zone "
    "drops its clean cache and is merged into the node's."
)
UNIT = 1
PARTS = Parts(record="none", lists="none", reclaim="none", placement="own_zone", orphan="merge")
OPTIONS = {}
PROMISES = {
    "sum_is_mapped": False,  # counts frames of every kind, mapped or not
    "neighbour_proof": False,  # uses what lies in others' zones for nothing
    "own_action_only": False,
    "never_above_limit": True,
    "shares_frames": True,
    "empty_owes_nothing": False,
}
