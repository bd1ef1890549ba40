"""Memory cgroups, version 2: as v1, with protection, a soft ceiling and swap counted apart."""

from workbench.kernel.hooks import disown, own

from .parts import Parts

TITLE = "cgroup v2"
SOURCE = "Linux 4.5 (13 Mar 2016) to today; Johannes Weiner, Roman Gushchin, Chris Down"
ASSUMED = (
    "Rules of 6.x without huge pages, MGLRU, per-CPU batches and the delays of memory.high. Pages "
    "of users only; kernel_memory=charged adds page tables and stacks. memory.low and memory.min "
    "are shared out recursively. A removed group stays as a shadow while it is charged "
    "(death=reparent: its parent takes over, as since 2026). A process moves with its threads."
)
UNIT = 1
PARTS = Parts(
    lists="split", reclaim="subtree", references="own", move="stay", coverage="resident",
    hierarchy="tree", files="v2", death="zombie",
)
OPTIONS = {"death": ("zombie", "reparent"), "kernel_memory": ("free", "charged")}
PROMISES = {
    "sum_is_mapped": False,  # cache that nobody maps is charged too
    "neighbour_proof": False,  # free when somebody else came first
    "own_action_only": False,  # a neighbour's reclaim or unlink frees the frame
    "never_above_limit": True,
    "shares_frames": True,
    "empty_owes_nothing": False,  # charges outlive the owner's mappings
}


def worth(k, e):
    return 1


def price(k, page, c, _):
    return 1


def born(k, page, c, paid):
    return own(k, page, c, paid)


def gone(k, page, c, _):
    return disown(k, page)
