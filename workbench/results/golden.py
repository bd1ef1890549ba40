"""Golden examples replayed: what is so after each step, beside what must be.

`golden_file` says what they look like, `golden_checks` what can be expected.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from workbench.kernel import (
    OUTCOMES,
    STATS,
    AccessError,
    CheckFailed,
    PlacementError,
    State,
    check,
    stepped,
)

from .golden_checks import CHECKS, GoldenError, Look, show
from .golden_file import Case, Golden, load

__all__ = ["Difference", "Golden", "GoldenError", "explain", "load", "run"]


@dataclass(frozen=True)
class Difference:
    """A step after which something expected was not so, with the containers as they were then."""

    path: Path
    case: str
    scheme: str
    step: int
    events: str
    why: str
    wrong: tuple[tuple[str, str, str], ...]  # what, expected, got
    state: tuple[str, ...] = field(default=(), repr=False)


def run(golden: Golden, engine: str = "auto", books: bool = False) -> list[Difference]:
    """Replay every case under every scheme and compare after each step.

    books  also check the machine's invariants after every event (slow).
    Raises GoldenError when the events cannot be replayed at all.
    """
    found: list[Difference] = []
    for case in golden.cases:
        for scheme in case.schemes:
            try:
                found += run_case(golden, case, scheme, engine, books)
            except (AccessError, PlacementError) as error:
                raise GoldenError(f"{golden.path}: case {case.name}: {error}") from None
    return found


def run_case(golden: Golden, case: Case, scheme, engine: str, books: bool) -> list[Difference]:
    found: list[Difference] = []
    states = stepped(case.trace, scheme, case.machine, case.knobs, engine=engine)
    before = dict.fromkeys((*STATS, "kills"), 0)
    done = 0
    for step in case.steps:
        wrong: list[tuple[str, str, str]] = []
        outcomes = []
        for _, last in step.events:
            while done <= last:
                k = next(states)
                outcomes_now = OUTCOMES[int(k.ev_outcome[done])]
                done += 1
                if books:
                    wrong += unbalanced(k)
            outcomes.append(outcomes_now)
        look = Look(k, case.trace, scheme, before)
        wrong += compare(look, step.expected[scheme.label], tuple(outcomes))
        before = {s: int(n) for s, n in zip(STATS, k.stat, strict=True)} | {"kills": int(k.kills)}
        if wrong:
            where = (golden.path, case.name, scheme.label, step.number, step.do, step.why)
            found.append(Difference(*where, tuple(wrong), tuple(describe(look))))
    return found


def unbalanced(k: State) -> list[tuple[str, str, str]]:
    """What `check` finds; a machine that hangs does so in the middle of an event."""
    if k.hung:
        return []
    try:
        check(k)
    except CheckFailed as error:
        return [("the machine's books", "balanced", str(error))]
    return []


def compare(look: Look, expected: dict, outcomes: tuple[str, ...]) -> Iterator[tuple]:
    """(what, expected, got) of everything that differs."""
    for (key, subject), wanted in expected.items():
        if key == "pair":
            got: Any = look.pair(subject)
        elif key == "outcome":
            got = outcomes[-len(wanted) :]
        else:
            got = CHECKS[key][2](look, subject)
        if key in ("pair", "numproc", "numfiles") and wanted[1] is None:
            got = got[0], None
        if key == "victims":
            got = tuple(
                g if i < len(wanted) and "@" in wanted[i] else g.partition("@")[0]
                for i, g in enumerate(got)
            )
        if got != wanted:
            what = subject if key == "pair" else f"{key} {subject}".strip()
            yield what, show(wanted), show(got)


def describe(look: Look) -> Iterator[str]:
    """One line per container: everything it counts."""
    for box in look.trace.containers:
        line = f"{box.name}: {show(look.pair(box.name))}"
        for name in ("limit", "css", "mapped"):
            line += f", {name} {show(CHECKS[name][2](look, box.name))}"
        for name in ("numproc", "numfiles"):
            usage, failcnt = CHECKS[name][2](look, box.name)
            line += f", {name} {usage}/{failcnt}"
        yield line


def explain(difference: Difference) -> str:
    """A few lines for people: where, what was expected, what came, how the containers stood."""
    d = difference
    case = f", case {d.case}" if d.case else ""
    lines = [f"{d.path}{case}, scheme {d.scheme}, step {d.step}: {d.events}"]
    lines += [f"  {what}: expected {expected}; got {got}" for what, expected, got in d.wrong]
    if d.why:
        lines.append(f"  because: {d.why}")
    return "\n".join([*lines, "  the containers after this step:", *("    " + s for s in d.state)])
