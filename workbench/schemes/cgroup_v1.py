"""Memory cgroups, version 1: the first allocator pays, cache included, until the page goes."""

from workbench.kernel.hooks import disown, own

from .parts import Parts

TITLE = "cgroup v1"
SOURCE = "Linux 2.6.25 (17 Apr 2008) to today; Balbir Singh, Pavel Emelianov, KAMEZAWA Hiroyuki"
ASSUMED = (
    "Rules of 6.x without huge pages, MGLRU and per-CPU batches (but see the knob failcnt). Pages "
    "of users only; kernel_memory=charged adds page tables and stacks. What a removed group is "
    "charged goes to its parent (death=zombie: stays with its shadow). With oom_control=1 a task "
    "waits: its access is left out. Pages come back from swap to the group they were charged to."
)
UNIT = 1
PARTS = Parts(
    lists="split", reclaim="subtree", references="own", move="stay", coverage="resident",
    hierarchy="tree", files="v1", death="reparent",
)
OPTIONS = {"death": ("reparent", "zombie"), "kernel_memory": ("free", "charged")}
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
