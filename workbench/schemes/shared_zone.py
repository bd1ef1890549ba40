"""Zones of their own for what is private, and one zone for what a set of containers shares."""

from .parts import Parts

TITLE = "own zones and a shared zone"
SOURCE = (
    "by=flag: Mel Gorman, 14 and 20 Mar 2007; by=mount: Dave Hansen, 13 Mar 2007; by=directory: "
    "Paul Menage, 18 Mar 2007"
)
ASSUMED = (
    "by=flag: what is mapped MAP_SHARED goes to the set's zone, private mappings and read() or "
    "write() to the container's own (the mail's other wording is read as a slip). by=mount: all "
    "files of a file system that a set declares, whoever touches them; by=directory: all files "
    "below a directory. A file that two sets declare lies with whom touched it first. Nobody is "
    "charged for a shared zone; it is reclaimed by itself, then the toucher's container pays with "
    "a task. Zones are sized as under `zone`; sets and sizes are the machine's (`zone_sets`)."
)
UNIT = 1
PARTS = Parts(
    record="none", lists="none", reclaim="none", placement="shared_zone", by="flag", orphan="merge"
)
OPTIONS = {"by": ("flag", "mount", "directory")}
PROMISES = {
    "sum_is_mapped": False,  # counts frames of every kind, mapped or not
    "neighbour_proof": False,
    "own_action_only": False,
    "never_above_limit": True,  # in its own zone: what lies in the shared one is nobody's
    "shares_frames": True,
    "empty_owes_nothing": False,
}
