"""As cgroup v2; pages of a file system mounted with memcg=GROUP are charged to that group."""

from workbench.kernel.hooks import disown, object_of, own
from workbench.kernel.names import ANON, KIND

from .parts import Parts

TITLE = "mount option memcg="
SOURCE = "Mina Almasry, 20 Nov 2021 (v4, deterministic charging of shared memory)"
ASSUMED = (
    "Everything else as in cgroup_v2. The mount is in the path of the object: memcg=GROUP:/file. "
    "Where the paying group cannot make room, its tasks are not killed: write and read fail "
    "(ENOSPC), a fault ends the task that took it (SIGBUS). If the group is removed, whoever "
    "allocates pays again."
)
UNIT = 1
PARTS = Parts(
    lists="split", reclaim="subtree", references="own", move="stay", coverage="resident",
    hierarchy="tree", files="v2", death="zombie", at_limit="refuse_remote",
)
OPTIONS = {"death": ("zombie", "reparent"), "kernel_memory": ("free", "charged")}
PROMISES = {
    "sum_is_mapped": False,  # cache that nobody maps is charged too
    "neighbour_proof": False,  # free when somebody else came first
    "own_action_only": False,  # others fill the mount
    "never_above_limit": True,
    "shares_frames": True,
    "empty_owes_nothing": False,  # charges outlive the owner's mappings
}


def worth(k, e):
    return 1


def price(k, page, c, _):
    return 1


def payer(k, page, c, _):
    if k.page_flags[page] & KIND == ANON:
        return c
    group = k.obj_payer[object_of(k, page)] - 1
    if group < 0 or not k.alive[group]:
        return c
    return group


def born(k, page, c, paid):
    return own(k, page, c, paid)


def gone(k, page, c, _):
    return disown(k, page)
