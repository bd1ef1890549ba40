"""The parts a scheme is made of, which of them go together, and the promises it can make."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, fields
from typing import NamedTuple

CHOICES = {
    "record": ("none", "mapping", "walk", "page", "counted", "pair"),
    "note": ("none", "share"),
    "lists": ("none", "fifo", "lru", "split", "global"),
    "reclaim": ("none", "free", "unmap_all", "disown", "copy", "unmap_own", "free_own", "subtree",
                "virtual"),
    "slots": ("half", "kept", "freed"),
    "penalty": ("delay", "rate"),
    "at_limit": ("oom", "kill_current", "refuse_remote"),
    "oom_score": ("size", "charged", "distinct"),
    "heir": ("oldest", "largest", "random", "next"),
    "forced": ("charge", "free"),
    "move": ("stay", "rewalk", "migrate"),
    "placement": ("any", "own_zone", "shared_zone", "partition"),
    "by": ("flag", "mount", "directory"),
    "full": ("reclaim", "grow"),
    "orphan": ("stay", "destroy", "merge", "merge_shared"),
    "references": ("all", "own"),
    "coverage": ("mapped", "resident"),
    "cache": ("free", "joint", "separate"),
    "hierarchy": ("flat", "tree"),
    "files": ("2007", "v1", "v2"),
    "death": ("stay", "zombie", "reparent", "recharge"),
    "kernel_memory": ("free", "charged"),
}
# the charge rule itself; everything else may be exchanged: see REFUSALS
FIXED = {"record", "note", "coverage", "files", "slots", "penalty"}


@dataclass(frozen=True)
class Parts:
    """What a scheme does, apart from its charging rule.

    record      what the rule writes a charge down on: nothing; the mapping itself; nothing, and
                the page's mappers are walked; a record per page; one per page that counts its
                owner's mappings; one per (page, container)
    note        what the rule writes on a record beside that: nothing, or the share it stands for
    lists       what is scanned at the limit: one list as posted, active and inactive, both again
                for anonymous and file pages ("split"), the zones' lists of all pages with others'
                passed over ("global"), nothing
    reclaim     "free" the page for everybody; "unmap_all" likewise, but it stays in its cache;
                "disown" first what the container does not map, then free; "copy" likewise, and who
                touches a file's page next copies it for his container; "unmap_own" mappings only;
                "free_own" likewise, and the frame goes with the last mapping; today's over
                the "subtree" of whoever lacks room; "virtual": own mappings go one by one, out
                into virtual slots; or nothing
    slots       a virtual slot is kept when its page comes back; or kept while not half are taken
    penalty     what virtual swapping costs a guest: a disk time a page, or a disk that busy
    at_limit    reclaim, then the container's OOM killer; or then kill the current task; or the
                killer only for own memory, and an error for what another pays
    oom_score   whom the container's OOM killer takes: the largest address space, as posted; who
                maps most pages that are charged to the container; who maps most pages
    heir        who inherits a page that its payer maps no more: the container of the oldest mapping
                left, that with most, that of one drawn by chance; or everybody loses it, and it
                is the next toucher's
    forced      a charge that others' leaving brings is made, above the limit too; or there the page
                is unmapped for everybody
    move        charges stay with the container, or every page is walked and follows
    placement   frames from any node; from a zone of the container's own; from that or a zone
                shared by a set of containers; or a machine of its own, with copies of all files
    by          what tells that a page belongs into the shared zone
    full        a full zone is reclaimed, or first takes free granules from the node and from others
    orphan      a dead container's zone stays; is emptied and given back; or goes with what is in it
                to the node's own, or to the zone its set shares
    references  whose young bits protect a page from the container's reclaim
    coverage    pages are charged while mapped, or as long as they have a frame, mapped or not
    cache       +PC: cached pages that nobody maps are nobody's; or are charged to whoever read them
                in or unmapped them last, in its usage ("joint") or beside it, with a limit of their
                own ("separate": control file pgcache_limit)
    hierarchy   containers are independent, or each is charged for those below it as well
    files       whose control files and whose habits: the patch's, or those of cgroup v1 or v2
    death       what keeps charges when a container goes: it cannot go; its shadow; its parent;
                whoever maps the page, if there is room, else the shadow
    kernel_memory  page tables, stacks, file and kernel objects are charged for whom they are made
    fork_check  fork needs room for the ranges it copies
    pushback    percent of the limit to unmap at the limit, five times at most
    leader_moves  only the leader of a thread group may move
    zero_is_none  a limit of 0 means no limit
    ubc         user beancounters: memory is only counted, map and fork ask for address space
    counts      what it counts of a container beside usage: names of `kernel.names.SAMPLED`

    Raises ValueError for an unknown choice, and for choices that do not go together.
    """

    record: str = "page"
    note: str = "none"
    lists: str = "fifo"
    reclaim: str = "free"
    at_limit: str = "oom"
    oom_score: str = "size"
    heir: str = "oldest"
    forced: str = "charge"
    move: str = "stay"
    placement: str = "any"
    by: str = "flag"
    full: str = "reclaim"
    orphan: str = "stay"
    references: str = "all"
    coverage: str = "mapped"
    cache: str = "free"
    hierarchy: str = "flat"
    files: str = "2007"
    death: str = "stay"
    kernel_memory: str = "free"
    counts: tuple[str, ...] = ()
    slots: str = "half"
    penalty: str = "delay"
    fork_check: bool = False
    pushback: int = 0
    leader_moves: bool = False
    zero_is_none: bool = False
    ubc: bool = False

    def __post_init__(self) -> None:
        for name, allowed in CHOICES.items():
            if getattr(self, name) not in allowed:
                raise ValueError(
                    f"part {name}: {getattr(self, name)!r} is not one of {', '.join(allowed)}"
                )
        reason = refusal(self)
        if reason:
            raise ValueError(reason)

    @property
    def counted(self) -> tuple[str, ...]:
        """`counts`, and what the add-on +PC counts."""
        own = {"joint": ("cached",), "separate": ("cached", "cached_failcnt")}
        return self.counts + own.get(self.cache, ())

    @property
    def per_pair(self) -> bool:
        """One charge record per (page, container) instead of one per page."""
        return self.record == "pair"


class Refusal(NamedTuple):
    """Parts that do not go together: when, and why."""

    when: Callable[[Parts], bool]
    why: str  # a sentence; {name} stands for a part


REFUSALS = (
    Refusal(
        lambda p: p.reclaim != "none" and p.lists == "none",
        "reclaim={reclaim} scans a list, and lists=none keeps none",
    ),
    Refusal(
        lambda p: p.lists in ("fifo", "lru") and p.record in ("none", "mapping", "walk"),
        "lists={lists} links charge records; record={record} has none to link",
    ),
    Refusal(
        lambda p: p.lists == "global" and p.record not in ("mapping", "walk"),
        "lists=global finds pages by their mappers; record={record} has lists of its own "
        "(every_container:record=walk has none)",
    ),
    Refusal(
        lambda p: p.lists == "global" and p.reclaim not in ("none", "unmap_own", "free_own"),
        "lists=global passes over others' pages; reclaim={reclaim} would take them, too",
    ),
    Refusal(
        lambda p: p.reclaim == "virtual" and p.note == "share",
        "reclaim=virtual marks virtual slots where note=share has the record's share",
    ),
    Refusal(
        lambda p: p.reclaim == "virtual" and (p.record, p.lists) != ("pair", "fifo"),
        "reclaim=virtual keeps a record of what is out: record=pair with lists=fifo, "
        "not record={record} with lists={lists}",
    ),
    Refusal(
        lambda p: p.reclaim == "disown" and p.record == "pair",
        "reclaim=disown is about pages a container pays for and does not map; record=pair has none",
    ),
    Refusal(
        lambda p: p.reclaim == "copy" and p.record != "page",
        "reclaim=copy is about pages that a container pays for and does not map: record=page, not "
        "{record}",
    ),
    Refusal(
        lambda p: p.lists == "lru" and p.record == "pair",
        "lists=lru moves the one record of a page between its lists; record=pair has several",
    ),
    Refusal(
        lambda p: p.reclaim in ("unmap_own", "free_own") and p.lists == "lru",
        "reclaim={reclaim} scans one list from its tail; lists=lru has two",
    ),
    Refusal(
        lambda p: p.move == "stay" and p.record in ("mapping", "counted", "pair"),
        "move=stay leaves charges behind, but record={record} finds whom to uncharge through the "
        "mapping's container, which a move changes: the books would drift",
    ),
    Refusal(
        lambda p: p.coverage == "resident" and p.reclaim in ("unmap_all", "disown", "copy"),
        "coverage=resident charges frames; reclaim={reclaim} leaves them where they are",
    ),
    Refusal(
        lambda p: p.cache != "free" and p.reclaim == "copy",
        "cache={cache} charges pages in the cache; a copy (reclaim=copy) is in none",
    ),
    Refusal(
        lambda p: p.cache != "free" and p.coverage == "resident",
        "cache={cache} charges cached pages that nobody maps; coverage=resident does already",
    ),
    Refusal(
        lambda p: p.cache != "free" and p.record == "none",
        "cache={cache} adds cached pages to a count of mapped ones; record=none has no such count, "
        "and one of frames, as with zones, has them in it",
    ),
    Refusal(
        lambda p: p.cache != "free" and p.ubc,
        "cache={cache} charges shared memory that nobody maps; user beancounters do already",
    ),
    Refusal(
        lambda p: p.cache != "free" and p.reclaim == "virtual",
        "reclaim=virtual leaves frames to the host; cache={cache} would charge them to the guest",
    ),
    Refusal(
        lambda p: p.cache == "separate" and p.hierarchy == "tree",
        "cache=separate keeps a limit of its own, which hierarchy=tree does not pass on",
    ),
    Refusal(
        lambda p: p.coverage == "resident" and p.record != "page",
        "coverage=resident has one owner per frame, recorded on the page; record={record} has not",
    ),
    Refusal(
        lambda p: len({p.lists == "split", p.reclaim == "subtree", p.files != "2007"}) > 1,
        "lists=split, reclaim=subtree and the files of v1 or v2 belong together; here "
        "lists={lists}, reclaim={reclaim}, files={files}",
    ),
    Refusal(
        lambda p: p.lists == "split" and p.coverage != "resident",
        "lists=split keeps pages that nobody maps; coverage={coverage} does not charge them",
    ),
    Refusal(
        lambda p: p.death in ("zombie", "recharge") and p.files == "2007",
        "death={death} is about containers removed while they are charged; those of 2007 cannot "
        "be, unless what they owe goes to the root (death=reparent)",
    ),
    Refusal(
        lambda p: p.death == "reparent" and p.files == "2007" and p.record != "page",
        "death=reparent is about charges left when all tasks are gone; record={record} has none",
    ),
    Refusal(
        lambda p: p.at_limit == "refuse_remote" and p.coverage != "resident",
        "at_limit=refuse_remote is for frames that another container pays for; under "
        "coverage={coverage} nobody does",
    ),
    Refusal(
        lambda p: p.oom_score != "size" and p.files != "2007",
        "oom_score={oom_score} changes the killer of 2007; that of files={files} has its own score",
    ),
    Refusal(
        lambda p: p.oom_score != "size" and p.at_limit != "oom",
        "oom_score={oom_score} chooses a task; at_limit={at_limit} does not",
    ),
    Refusal(
        lambda p: p.oom_score == "charged" and p.record == "none",
        "oom_score=charged counts pages charged to the container; record=none charges none",
    ),
    Refusal(
        lambda p: p.heir != "oldest" and p.record != "counted",
        "heir={heir} needs a payer that stops mapping its page: record=counted, not {record}",
    ),
    Refusal(
        lambda p: p.cache == "joint" and (p.forced, p.heir == "next") != ("charge", False),
        "forced={forced} and heir={heir} unmap what nobody has asked for; cache=joint charges "
        "whoever unmaps last",
    ),
    Refusal(
        lambda p: p.forced == "free" and p.ubc,
        "forced=free is about the limit of memory; user beancounters have none",
    ),
    Refusal(
        lambda p: p.forced == "free" and p.record not in ("counted", "pair"),
        "forced=free is about charges that others' leaving brings; record={record} brings none",
    ),
    Refusal(
        lambda p: p.kernel_memory == "charged" and p.record == "none",
        "kernel_memory=charged adds frames to a count of pages; record=none has no such count",
    ),
    Refusal(
        lambda p: p.placement != "any" and p.record != "none",
        "placement={placement} charges the frames of the zone; record={record} would charge its "
        "pages a second time",
    ),
    Refusal(
        lambda p: p.by != "flag" and p.placement != "shared_zone",
        "by={by} tells what lies in a shared zone, and placement={placement} has none",
    ),
    Refusal(
        lambda p: p.placement == "any" and (p.full, p.orphan) != ("reclaim", "stay"),
        "full={full} and orphan={orphan} are about a container's zone; placement=any gives none",
    ),
    Refusal(
        lambda p: p.move == "migrate" and p.placement in ("any", "partition"),
        "move=migrate carries pages from zone to zone; with placement={placement} there is no way",
    ),
    Refusal(
        lambda p: p.placement == "partition" and p.orphan.startswith("merge"),
        "orphan={orphan} leaves pages to others, who cannot see them under placement=partition",
    ),
    Refusal(
        lambda p: p.orphan == "merge_shared" and p.placement != "shared_zone",
        "orphan=merge_shared needs a zone that a set shares; placement={placement} has none",
    ),
)


def refusal(parts: Parts) -> str:
    """Why these parts cannot be one scheme; "" when they can."""
    chosen = {f.name: getattr(parts, f.name) for f in fields(parts)}
    return next((why.format(**chosen) for when, why in REFUSALS if when(parts)), "")


# What a scheme may promise; the contract tests try to break each one that is claimed.
PROMISES = {
    "sum_is_mapped": "charges add up to the distinct mapped pages",
    "neighbour_proof": "a container's charge depends only on what it has mapped itself",
    "own_action_only": "a container's charge changes only at its own tasks' events",
    "never_above_limit": "no charge ends above a limit that was never lowered",
    "shares_frames": "two containers may map one frame",
    "empty_owes_nothing": "a container with nothing mapped is charged nothing",
}
