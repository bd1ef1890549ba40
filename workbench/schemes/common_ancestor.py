"""A page that several groups map is charged to the lowest group that has all of them in it."""

from workbench.kernel.hooks import common_ancestor, disown, hand_to, own, owner

from .parts import Parts

TITLE = "common ancestor"
SOURCE = "Johannes Weiner, 22 Nov 2021, answering the memcg= mount option of Mina Almasry"
ASSUMED = (
    "Everything else as in cgroup_v2. Mapping counts as use, read() and write() do not. What has "
    "gone up stays up until the frame is free; groups without a common group share through the "
    "root, which counts only its own pages. The charge of a swap slot goes up too."
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
    "own_action_only": False,  # a neighbour that maps lifts the charge off
    "never_above_limit": True,
    "shares_frames": True,
    "empty_owes_nothing": False,  # charges outlive the owner's mappings
}


def worth(k, e):
    return 1


def price(k, page, c, _):
    return 1


def mapped(k, page, c, paid):
    payer = owner(k, page)
    if payer >= 0 and payer != c:
        shared = common_ancestor(k, payer, c)
        if shared != payer:
            hand_to(k, page, shared)
    return 0


def born(k, page, c, paid):
    return own(k, page, c, paid)


def gone(k, page, c, _):
    return disown(k, page)
