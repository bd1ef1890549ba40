"""What a golden example can expect: how each expectation is read, and how the machine is asked."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass
from fractions import Fraction
from typing import Any

from workbench.kernel import OUTCOMES, STATS, State, did_you_mean
from workbench.kernel.names import (
    ACTIVE,
    CHANGED,
    HUGE,
    ON_LRU,
    PRESENT,
    REFERENCED,
    RESIDENT,
    SLOT,
    WRITEBACK,
)
from workbench.kernel.tables import vpage_of
from workbench.schemes import Scheme
from workbench.trace.model import Trace

FLAGS = {
    "resident": RESIDENT, "active": ACTIVE, "referenced": REFERENCED, "dirty": CHANGED,
    "writeback": WRITEBACK, "slot": SLOT,
}
STOPPED = 2  # k.hung after an assertion, 1 after a plain hang
TASK_STATES = ("unborn", "alive", "zombie", "reaped")
PAGES = re.compile(r"([^\[\]]+)(?:\[(\d+)(?:\.\.(\d+))?\])?")


class GoldenError(ValueError):
    """A file that is not a golden example; says which file and where in it."""


def known(given: Any, allowed, what: str) -> None:
    if not isinstance(given, dict):
        raise GoldenError(f"{given!r}: a table of {what}s is expected")
    for key in given:
        if key not in allowed:
            raise GoldenError(f"unknown {what} {key!r}{did_you_mean(key, sorted(allowed))}")


def pages(text: str) -> tuple[str, int | None, int | None]:
    """`a`, `a[3]`, `a[3..7]` -> name, first page, page after the last."""
    match = PAGES.fullmatch(text)
    if not match:
        raise GoldenError(f"{text!r}: write name, name[page] or name[first..last]")
    if match[2] is None:
        return match[1], None, None
    start = int(match[2])
    stop = int(match[3] or start) + 1
    if stop <= start:
        raise GoldenError(f"{text!r}: the last page comes before the first")
    return match[1], start, stop


@dataclass(frozen=True)
class Words:
    """The names a step may use."""

    trace: Trace
    schemes: tuple[str, ...]

    def index(self, table: str, name: str) -> int:
        names = [row.name for row in getattr(self.trace, table)]
        if name not in names:
            raise GoldenError(f"unknown {table[:-1]} {name!r}{did_you_mean(name, names)}")
        return names.index(name)


def as_number(value: Any) -> int:
    if isinstance(value, bool) or not isinstance(value, int):
        raise GoldenError(f"{value!r} is not a whole number")
    return value


def as_flag(value: Any) -> bool:
    if not isinstance(value, bool):
        raise GoldenError(f"{value!r} is neither true nor false")
    return value


def as_pair(value: Any) -> tuple[Fraction, int | None]:
    """ "3/0" usage and failcnt; "1/2 f0" a usage that is a fraction; 3 usage alone."""
    if isinstance(value, int) and not isinstance(value, bool):
        return Fraction(value), None
    match = re.fullmatch(r"(\d+)/(\d+)|(\d+(?:/\d+)?) f(\d+)", str(value))
    if not match:
        raise GoldenError(f"{value!r}: write usage/failcnt ('3/0'), '1/2 f0' or a number")
    return Fraction(match[1] or match[3]), int(match[2] or match[4])


def as_usage(value: Any) -> Fraction:
    if not re.fullmatch(r"\d+(/\d+)?", str(value)):
        raise GoldenError(f"{value!r} is not a number of pages such as 3 or '1/2'")
    return Fraction(str(value))


def as_limit(value: Any) -> str:
    return "none" if value == "none" or as_number(value) >= HUGE else str(value)


def as_names(value: Any) -> tuple[str, ...]:
    if not isinstance(value, list) or not all(isinstance(v, str) for v in value):
        raise GoldenError(f"{value!r}: a list of names is expected")
    return tuple(value)


def as_outcomes(value: Any) -> tuple[str, ...]:
    found = (value,) if isinstance(value, str) else as_names(value)
    for outcome in found:
        known({outcome: 0}, OUTCOMES, "outcome")
    return found


def as_text(value: Any) -> str:
    if not isinstance(value, str):
        raise GoldenError(f"{value!r} is not a name")
    return value


class Look:
    """The machine after a step, read with names: one method per check."""

    def __init__(self, k: State, trace: Trace, scheme: Scheme, before: dict[str, int]):
        self.k, self.trace, self.scheme, self.before = k, trace, scheme, before
        self.words = Words(trace, ())

    def pages(self, subject: str) -> list[int]:
        """Page numbers of `F`, `F[0..3]`, or of what task P sees there: `P:F`; -1: nothing."""
        task, _, what = subject.rpartition(":")
        obj, start, stop = pages(what)
        o = self.words.index("objects", obj)
        row = self.trace.objects[o]
        start, stop = (0, row.pages) if start is None else (start, stop)
        base = int(self.k.obj_base[o])
        vpages = range(base + start, base + stop)
        if not task:
            return list(vpages)
        seen = self.seen_by(self.words.index("tasks", task))
        return [seen.get(v, -1) for v in vpages]

    def seen_by(self, t: int) -> dict[int, int]:
        k = self.k
        seen: dict[int, int] = {}
        mm = int(k.task_mm[t])
        pte = int(k.mm_ptes[mm]) - 1 if mm >= 0 else -1
        while pte >= 0:
            v = int(vpage_of(k, pte))
            if v < k.vpages and k.word[pte] & PRESENT:
                seen[v] = int(k.pte_page[pte])
            pte = int(k.pte_sibling[pte]) - 1
        return seen

    def names_on(self, page: int) -> tuple[str, ...]:
        """The containers that hold charges for a page, head of the ring first."""
        k, found = self.k, []
        e = first = int(k.page_entry[page]) - 1 if page >= 0 else -1
        while e >= 0:
            found.append(self.trace.containers[int(k.entry_owner[e])].name)
            e = int(k.entry_after[e]) if self.scheme.parts.per_pair else first
            if e == first:
                break
        return tuple(found)

    def container(self, column: str, subject: str) -> int:
        return int(getattr(self.k, column)[self.words.index("containers", subject)])

    def usage(self, subject: str) -> Fraction:
        return Fraction(self.container("usage", subject), self.scheme.unit)

    def pair(self, subject: str) -> tuple[Fraction, int]:
        return self.usage(subject), self.container("failcnt", subject)

    def counter(self, name: str, subject: str) -> tuple[Fraction, int]:
        usage, failcnt = (self.container(f"{name}{end}", subject) for end in ("", "_failcnt"))
        return Fraction(usage), failcnt

    def kills(self) -> range:
        return range(self.before["kills"], int(self.k.kills))

    def victims(self) -> tuple[str, ...]:
        k = self.k
        return tuple(
            f"{self.trace.tasks[int(k.kill_victim[i])].name}"
            f"@{Fraction(int(k.kill_usage[i]), self.scheme.unit)}"
            for i in self.kills()
        )

    def score(self, subject: str) -> int | str:
        """Points of a task when the first victim of the step was chosen."""
        k, t = self.k, self.words.index("tasks", subject)
        for i in range(int(k.cands)):
            if k.cand_kill[i] == self.before["kills"] and k.cand_task[i] == t:
                return int(k.cand_points[i])
        return "no candidate"

    def flags(self, page: int) -> tuple[str, ...]:
        word = int(self.k.page_flags[page]) if page >= 0 else 0
        return tuple(name for name, bit in FLAGS.items() if word & bit)

    def overcount(self) -> int:
        """How many pages more than there are the kernel believes to be on the zones' lists."""
        k = self.k
        believed = sum(map(int, k.zone_active)) + sum(map(int, k.zone_inactive))
        return believed - sum(bool(int(flags) & ON_LRU) for flags in k.page_flags)


def same_for_all(values: list) -> Any:
    """One value when all pages agree, else how often each occurs."""
    if len(set(values)) == 1:
        return values[0]
    return ", ".join(f"{show(v)} x {values.count(v)}" for v in dict.fromkeys(values))


def container_checks() -> dict[str, tuple[str, Callable, Callable]]:
    columns = {"failcnt": "failcnt", "css": "css", "mapped": "mapped", "listed": "held"}
    columns |= {name: name for name in ("unused", "swapped", "oom_failcnt", "cached")}
    found: dict[str, tuple[str, Callable, Callable]] = {
        name: ("containers", as_number, lambda look, s, column=column: look.container(column, s))
        for name, column in columns.items()
    }
    found["usage"] = ("containers", as_usage, Look.usage)
    found["peak"] = ("containers", as_usage, lambda look, s: Fraction(
        look.container("peak", s), look.scheme.unit))
    found["limit"] = ("containers", as_limit, lambda look, s: as_limit(look.container("limit", s)))
    found["numproc"] = ("containers", as_pair, lambda look, s: look.counter("procs", s))
    found["numfiles"] = ("containers", as_pair, lambda look, s: look.counter("files", s))
    return found


OF_CONTAINERS = container_checks()
# check -> (what its subjects are, how its value is read, how the machine is asked)
CHECKS: dict[str, tuple[str, Callable, Callable]] = {
    **OF_CONTAINERS,
    "owner": ("pages", as_text, lambda look, s: same_for_all(
        [(look.names_on(p) or ("none",))[0] for p in look.pages(s)])),
    "holders": ("pages", as_names, lambda look, s: same_for_all(
        [look.names_on(p) for p in look.pages(s)])),
    "mapcount": ("pages", as_number, lambda look, s: same_for_all(
        [int(look.k.page_maps[p]) for p in look.pages(s) if p >= 0] or [0])),
    "flags": ("pages", as_names, lambda look, s: same_for_all(
        [look.flags(p) for p in look.pages(s)])),
    "scores": ("tasks", as_number, Look.score),
    "state": ("tasks", as_text, lambda look, s: TASK_STATES[
        int(look.k.task_state[look.words.index("tasks", s)])]),
    "stat": ("stats", as_number, lambda look, s: int(
        look.k.stat[STATS.index(s)]) - look.before[s]),
    "outcome": ("", as_outcomes, lambda look, s: ()),  # read while the step runs
    "victims": ("", as_names, lambda look, s: look.victims()),
    "hang": ("", as_flag, lambda look, s: bool(look.k.hung)),
    "assertion": ("", as_flag, lambda look, s: int(look.k.hung) == STOPPED),
    "freed": ("", as_number, lambda look, s: CHECKS["stat"][2](look, "pages_freed")),
    "swap_used": ("", as_number, lambda look, s: int(look.k.swap_used)),
    "overcount": ("", as_number, lambda look, s: look.overcount()),
    "leaked_frames": ("", as_number, lambda look, s: int(look.k.leaked_frames)),
    "warnings": ("", as_number, lambda look, s: int(look.k.warnings)),
    "used_after_free": ("", as_number, lambda look, s: int(look.k.used_after_free)),
}
STEP_WORDS = {"do", "why", *CHECKS}


def know_subject(kind: str, subject: str, words: Words) -> str:
    if kind == "pages":
        task, _, what = subject.rpartition(":")
        if task:
            words.index("tasks", task)
        obj, _, stop = pages(what)
        row = words.trace.objects[words.index("objects", obj)]
        if stop is not None and stop > row.pages:
            raise GoldenError(f"{subject}: {obj} has {row.pages} pages")
    elif kind == "stats":
        known({subject: 0}, STATS, "statistic")
    else:
        words.index(kind, subject)
    return subject


def show(value: Any) -> str:
    if isinstance(value, tuple) and len(value) == 2 and isinstance(value[0], Fraction):
        usage, failcnt = value
        return f"usage {usage}" + ("" if failcnt is None else f", failcnt {failcnt}")
    if isinstance(value, tuple):
        return " ".join(value) or "nobody"
    return str(value).lower() if isinstance(value, bool) else str(value)
