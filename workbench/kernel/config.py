"""The hardware and the knobs: two frozen values that say everything a run depends on."""

from __future__ import annotations

import difflib
from dataclasses import dataclass, field, fields

from .names import NUMA, QUIRKS

# simulated time, nanoseconds per counted step (debate.md O19)
COSTS_NS = {
    "minor_faults": 1_000,
    "major_faults": 5_000_000,
    "cow_copies": 2_000,
    "pages_migrated": 2_000,
    "remote_accesses": 60,
    "swap_outs": 0,
    "entries_scanned": 50,
    "zone_scanned": 50,
    "rmap_steps": 5,
    "counters_touched": 100,
}


@dataclass(frozen=True)
class ZoneSet:
    """A zone for several containers, for the schemes that place pages in zones.

    containers  the members' names
    frames      the size of the zone (0: half of what the others leave on its node)
    paths       what lies in it under `shared_zone:by=directory` (`by=mount`: their file systems)
    pooled      the members have no zones of their own and take every frame from this one
    """

    containers: tuple[str, ...]
    frames: int = 0
    paths: tuple[str, ...] = ("/usr", "/lib", "/bin")
    pooled: bool = False

    def __post_init__(self) -> None:
        object.__setattr__(self, "containers", tuple(self.containers))
        object.__setattr__(self, "paths", tuple(self.paths))
        if not isinstance(self.frames, int) or self.frames < 0 or not self.containers:
            raise ValueError(f"{self!r}: a whole number of frames and names are expected")


@dataclass(frozen=True)
class Machine:
    """NUMA nodes, frames per node, swap (both in pages of 4 KiB) and the cost table (ns per step).

    The default is so large that only containers' limits bind. zone_sets: zones that several
    containers share, looked at by the schemes that place pages in zones only.
    """

    nodes: int = 1
    frames: int = 1 << 20
    swap: int = 65_536
    costs_ns: dict[str, int] = field(default_factory=lambda: dict(COSTS_NS))
    zone_sets: tuple[ZoneSet, ...] = ()

    def __post_init__(self) -> None:
        for name, low in (("nodes", 1), ("frames", 8), ("swap", 0)):
            value = getattr(self, name)
            if not isinstance(value, int) or value < low:
                raise ValueError(f"Machine.{name}: {value!r}; a whole number >= {low} is expected")


@dataclass(frozen=True)
class Knobs:
    """Everything the specification leaves to choose; the defaults are the patchset's.

    word            bits of a counter, 64 or 32
    swap_write      "async": a disk, writes end after the event; "sync": a ram disk
    pagevec         pages held back from the lists per kind (0 or up to 14)
    debug_vm        stop at the assertions of CONFIG_DEBUG_VM (the two-list variant trips one)
    cluster         SWAP_CLUSTER_MAX; 32 as in the kernel, 4 for notebook-sized containers
    quirks          "as_posted", "repaired", or either with changes: "as_posted,-trial_charge"
    references      whose young bits count at a container's limit: "all", "own", or "scheme"
    swappiness      0..100, for the machine's own reclaim
    page_tables     page-table pages occupy frames
    task_frames     kernel frames per task (stack and structures)
    files_per_frame open files that share one kernel frame (0: they need none)
    failcnt         "refused": refused charges; "linux-batch": as today's kernel counts, which asks
                    for 64 pages first (recording.md 2.4); only cgroup_v1 and cgroup_v2
    granule         frames of the blocks that zones are made of: 1024 is the largest block of 2.6.20
                    (MAX_ORDER), 16 scaled to a notebook; 1: zones of any size
    unmovable       where kernel pages lie in a zone: "spread" over its blocks, as without care, or
                    "grouped" into few (Mel Gorman's grouping of pages by mobility)
    numa            what pages do when their task runs on another node: "stay"; "follow", as by a
                    `migrate`; or come one by one, when it touches them ("touch")
    seed            where heir=random begins
    accesses        count local and remote accesses: hits then cost five times as much
    """

    word: int = 64
    swap_write: str = "async"
    pagevec: int = 0
    debug_vm: bool = False
    cluster: int = 32
    quirks: str = "as_posted"
    references: str = "scheme"
    swappiness: int = 60
    page_tables: bool = True
    task_frames: int = 2
    files_per_frame: int = 16
    failcnt: str = "refused"
    granule: int = 1
    unmovable: str = "spread"
    numa: str = "stay"
    accesses: bool = False
    seed: int = 0

    def __post_init__(self) -> None:
        one_of(self, "word", (32, 64))
        one_of(self, "swap_write", ("async", "sync"))
        one_of(self, "references", ("scheme", "all", "own"))
        one_of(self, "failcnt", ("refused", "linux-batch"))
        one_of(self, "debug_vm", (False, True))
        one_of(self, "page_tables", (False, True))
        in_range(self, "pagevec", 0, 14)
        in_range(self, "cluster", 1, 4096)
        in_range(self, "swappiness", 0, 100)
        in_range(self, "seed", 0, (1 << 31) - 1)
        in_range(self, "task_frames", 0, 16)
        in_range(self, "files_per_frame", 0, 1 << 20)
        in_range(self, "granule", 1, 1 << 20)
        one_of(self, "unmovable", ("spread", "grouped"))
        one_of(self, "numa", NUMA)
        one_of(self, "accesses", (False, True))
        self.quirk_bits()

    def quirk_names(self) -> frozenset[str]:
        """Names of the quirks that are on. Raises ValueError for an unknown one."""
        first, *changes = (part.strip() for part in self.quirks.split(","))
        if first not in ("as_posted", "repaired"):
            raise ValueError(
                f"quirks={self.quirks!r}: begin with as_posted or repaired, then ,-name or ,+name"
            )
        names = set(QUIRKS) if first == "as_posted" else set()
        for change in changes:
            sign, name = change[:1], change[1:]
            if name not in QUIRKS or sign not in ("+", "-"):
                raise ValueError(f"quirks: unknown change {change!r}{did_you_mean(name, QUIRKS)}")
            (names.add if sign == "+" else names.discard)(name)
        return frozenset(names)

    def quirk_bits(self) -> int:
        on = self.quirk_names()
        return sum(1 << i for i, name in enumerate(QUIRKS) if name in on)

    def changed(self) -> dict[str, object]:
        """The knobs that differ from their defaults."""
        return {
            f.name: getattr(self, f.name)
            for f in fields(self)
            if getattr(self, f.name) != f.default
        }

    @property
    def no_limit(self) -> int:
        """LONG_MAX of the word size: the patch's "no limit"."""
        return (1 << (self.word - 1)) - 1


SHOWN, MANY = 10, 90  # names in a hint, of many; so many are still listed whole


def did_you_mean(name: str, known) -> str:
    """`; did you mean X?`: the nearest of the known names, or those it is a part of; else all of
    them, or of very many the first."""
    known = [str(one) for one in known]
    close = difflib.get_close_matches(str(name), known, 1)
    close = close or [one for one in known if len(str(name)) > 2 and str(name) in one][:3]
    if close:
        return f"; did you mean {' or '.join(close)}?"
    more = f" and {len(known) - SHOWN} more" if len(known) > MANY else ""
    return f"; known: {', '.join(known[: SHOWN if more else MANY])}{more}"


def counted(number: int, noun: str, plural: str = "") -> str:
    """`1 page`, `1,000 pages`."""
    return f"{number:,} {noun if number == 1 else plural or noun + 's'}"


def one_of(knobs: Knobs, name: str, allowed: tuple) -> None:
    value = getattr(knobs, name)
    if value not in allowed:
        listed = ", ".join(map(str, allowed))
        raise ValueError(f"knob {name}: {value!r} is not one of {listed}")


def in_range(knobs: Knobs, name: str, low: int, high: int) -> None:
    value = getattr(knobs, name)
    if isinstance(value, bool) or not isinstance(value, int) or not low <= value <= high:
        raise ValueError(f"knob {name}: {value!r} is not a whole number from {low} to {high}")
