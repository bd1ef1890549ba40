"""As cgroup v2; pages of a removed group go to a group that maps them, at once or when it does."""

from workbench.kernel.hooks import disown, hand_to, own, owner, refusing

from .parts import Parts

TITLE = "deferred recharge"
SOURCE = "Yosry Ahmed, 20 Jul 2023 (RFC, memory cgroup recharging)"
ASSUMED = (
    "Everything else as in cgroup_v2. When a group is removed each of its mapped pages goes to "
    "the group of its oldest mapping that has room; what nobody maps, or has room for, stays "
    "with the shadow until somebody with room maps it. Room is never made: no reclaim, no kill. "
    "read() does not recharge."
)
UNIT = 1
PARTS = Parts(
    lists="split", reclaim="subtree", references="own", move="stay", coverage="resident",
    hierarchy="tree", files="v2", death="recharge",
)
OPTIONS = {"death": ("recharge",), "kernel_memory": ("free", "charged")}
PROMISES = {
    "sum_is_mapped": False,  # cache that nobody maps is charged too
    "neighbour_proof": False,  # free when somebody else came first
    "own_action_only": False,  # a neighbour's reclaim or removal changes it
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
    if payer >= 0 and not k.alive[payer] and refusing(k, c, UNIT) < 0:
        hand_to(k, page, c)
    return 0


def born(k, page, c, paid):
    return own(k, page, c, paid)


def gone(k, page, c, _):
    return disown(k, page)
