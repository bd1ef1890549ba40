"""The parts a scheme is made of, and the promises it can make."""

from __future__ import annotations

from dataclasses import dataclass

CHOICES = {
    "lists": ("none", "fifo", "lru"),
    "reclaim": ("none", "free", "unmap_own"),
    "at_limit": ("oom", "kill_current"),
    "move": ("stay", "rewalk"),
    "placement": ("any", "own_zone"),
    "references": ("all", "own"),
}


@dataclass(frozen=True)
class Parts:
    """What a scheme does, apart from its charging rule.

    lists       what is scanned at the limit: one list as posted, active and inactive, nothing
    reclaim     "free" the page for everybody, "unmap_own" mappings only, or nothing
    at_limit    reclaim, then the container's OOM killer; or kill the current task
    move        charges stay with the container, or every page is walked and follows
    placement   frames from any node, or from a zone of the container's own
    references  whose young bits protect a page from the container's reclaim
    per_pair    one charge record per (page, container) instead of one per page
    counts      what it counts of a container beside usage: names of `kernel.names.SAMPLED`
    """

    lists: str = "fifo"
    reclaim: str = "free"
    at_limit: str = "oom"
    move: str = "stay"
    placement: str = "any"
    references: str = "all"
    per_pair: bool = False
    counts: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        for name, allowed in CHOICES.items():
            if getattr(self, name) not in allowed:
                raise ValueError(f"part {name}: {getattr(self, name)!r} is not one of {allowed}")
        if self.reclaim == "free" and self.per_pair:
            raise ValueError("reclaim='free' scans pages with one owner; per_pair has several")
        if self.reclaim == "unmap_own" and not self.per_pair:
            raise ValueError("reclaim='unmap_own' needs one record per (page, container)")
        if self.reclaim != "none" and self.lists == "none":
            raise ValueError(f"reclaim={self.reclaim!r} needs a list to scan")


# What a scheme may promise; the contract tests try to break each one that is claimed.
PROMISES = {
    "sum_is_mapped": "charges add up to the distinct mapped pages",
    "neighbour_proof": "a container's charge depends only on what it has mapped itself",
    "own_action_only": "a container's charge changes only at its own tasks' events",
    "never_above_limit": "no charge ends above a limit that was never lowered",
    "shares_frames": "two containers may map one frame",
    "empty_owes_nothing": "a container with nothing mapped is charged nothing",
}
