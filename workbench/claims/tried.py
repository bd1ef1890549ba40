"""A claim tried: each case run and held against its threshold, the verdict drawn from all."""

from __future__ import annotations

import ast
import json
import math
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from functools import cache, lru_cache, partial
from pathlib import Path

from workbench import scenarios, schemes
from workbench.counters import judge
from workbench.counters import simulate as counting
from workbench.kernel import did_you_mean, simulate
from workbench.schemes import PROMISES, matrix

from .ledger import Case, Claim, LedgerError, by_file, load

Value = float | int | str
ALLOWED = (
    ast.Expression, ast.BinOp, ast.UnaryOp, ast.Constant, ast.Name, ast.Load, ast.Call, ast.keyword,
    ast.Subscript, ast.Compare, ast.BoolOp, ast.IfExp, ast.List, ast.Tuple, ast.GeneratorExp,
    ast.ListComp, ast.comprehension, ast.Store, ast.operator, ast.unaryop, ast.cmpop, ast.boolop,
)
NAMES = {
    "KiB": 1 << 10, "MiB": 1 << 20, "GiB": 1 << 30, "PAGE": 4096, "KB": 10**3, "MB": 10**6,
    "GB": 10**9, "abs": abs, "ceil": math.ceil, "floor": math.floor, "int": int, "len": len,
    "log2": math.log2, "max": max, "min": min, "range": range, "round": round, "sqrt": math.sqrt,
    "sum": sum, "comb": math.comb,
}


@dataclass(frozen=True)
class Found:
    """What a case came to."""

    case: Case
    value: Value
    holds: bool


@dataclass(frozen=True)
class Settled:
    """A claim with what was found, in its cases' order."""

    claim: Claim
    found: tuple[Found, ...]

    @property
    def verdict(self) -> str:
        """holds when every case does, fails when none does, else depends."""
        if not self.found:
            return "not testable"
        held = [f.holds for f in self.found]
        return "holds" if all(held) else "depends" if any(held) else "fails"

    @property
    def as_expected(self) -> bool | None:
        """None where nothing was expected: the thread, or the reading of it, left it open."""
        return None if self.claim.expected == "open" else self.verdict == self.claim.expected


@cache
def _compiled(expression: str):
    try:
        tree = ast.parse(expression.strip(), mode="eval")
    except SyntaxError as problem:
        raise LedgerError(f"{expression!r}: {problem.msg}") from None
    for node in ast.walk(tree):
        if not isinstance(node, ALLOWED) or (
            isinstance(node, ast.Name) and node.id.startswith("_")
        ):
            raise LedgerError(f"{expression!r}: {type(node).__name__} has no place in a quantity")
    return compile(tree, expression, "eval")


def evaluate(expression: str, **names: object) -> Value:
    """The value of an expression. Raises LedgerError: which expression, what is wrong."""
    try:
        value = eval(_compiled(expression), {"__builtins__": {}} | NAMES | names)
    except LedgerError:
        raise
    except KeyError as problem:
        known = names.get("m", {})
        raise LedgerError(f"{expression!r}: no quantity {problem}"
                          f"{did_you_mean(str(problem.args[0]), known)}: there are "
                          f"{', '.join(map(repr, known))}") from None
    except Exception as problem:
        raise LedgerError(f"{expression!r}: {type(problem).__name__}: {problem}") from None
    value = getattr(value, "item", lambda: value)()  # the compiled engine's numbers are numpy's
    if isinstance(value, bool):
        return int(value)
    if not isinstance(value, (int, float, str)):
        raise LedgerError(f"{expression!r} is {value!r}, neither a number nor a word")
    return value


@lru_cache(256)
def _measures(scenario: str, given: str, scheme: str) -> dict[str, Value]:
    story = scenarios.get(scenario, **json.loads(given))
    state = simulate(story.trace, schemes.get(scheme), story.machine, story.knobs,
                     sample_every=story.sample_every)
    return story.measure(state)


def measured(scenario: str, scheme: str, **given: object) -> dict[str, Value]:
    """What a scenario measures under a scheme. Raises ValueError for unknown names and values."""
    return _measures(scenario, json.dumps(given, sort_keys=True), schemes.get(scheme).label)


@cache
def _promises(scheme: str) -> dict[str, str]:
    found = schemes.check(scheme, range(20))
    return {v.promise: "broken" if v.complaint else "kept" for v in found}


@cache
def _features(scheme: str) -> dict[str, str]:
    return matrix.row(scheme)


def _counter(case: Case) -> Value:
    return "proved" if judge(case.what, case.property, case.switch).proved else "refuted"


@cache
def _counting(story: str, *given: object, **options: object) -> Value | dict[str, Value]:
    tally = getattr(counting, story)(*given, **options)
    return tally if isinstance(tally, int) else vars(tally)


SIMULATIONS = {name: partial(_counting, name)
               for name in ("races", "scaling", "fuzz", "reserves", "accepted")}


def _scenario(case: Case) -> Value:
    def run(scenario: str = case.what, scheme: str = case.scheme, **given: object) -> dict:
        return measured(scenario, scheme, **((case.given if scenario == case.what else {}) | given))

    return evaluate(case.quantity, m=run(), run=run)


def _looked_up(table: Callable[[str], dict], known: Iterable[str], case: Case) -> Value:
    schemes.get(case.scheme)
    found = table(case.scheme)
    if case.what not in found:
        raise LedgerError(f"unknown {case.source} {case.what!r}{did_you_mean(case.what, known)}")
    return found[case.what]


RUN: dict[str, Callable[[Case], Value]] = {
    "scenario": _scenario,
    "arithmetic": lambda case: evaluate(case.what),
    "counter": _counter,
    "simulated": lambda case: evaluate(case.what, **SIMULATIONS),
    "promise": lambda case: _looked_up(_promises, PROMISES, case),
    "feature": lambda case: _looked_up(_features, [f.name for f in matrix.FEATURES], case),
}


def settle(claim: Claim) -> Settled:
    """Run every case of a claim. Raises LedgerError, naming claim and case, when one cannot run.

    Cost: a replay or a few per case, tenths of a second; a promise takes seconds per scheme once.
    """
    found = []
    for n, case in enumerate(claim.cases, 1):
        try:
            value = RUN[case.source](case)
            found.append(Found(case, value, case.passes(value)))
        except ValueError as problem:
            raise LedgerError(f"{claim.id}, case {n}: {problem}") from None
    return Settled(claim, tuple(found))


def settle_all(
    claims: Iterable[Claim] | None = None, progress: Callable[[int, int], None] | None = None
) -> list[Settled]:
    """Settle claims (None: all), one after the other."""
    todo, done = list(load() if claims is None else claims), []
    for n, claim in enumerate(todo):
        if progress:
            progress(n, len(todo))
        done.append(settle(claim))
    return done


# ---- what came out, kept ------------------------------------------------------------------------


def _plain(value: Value) -> Value:
    return float(f"{value:.6g}") if isinstance(value, float) else value


def record(done: Iterable[Settled]) -> dict[Path, str]:
    """File -> text of the measured part: what is there, with these results put in; a claim a line.

    The file stands beside the claims', 04_evening_out.json beside 04_evening_out.toml.
    """
    fresh = {s.claim.id: s for s in done}
    texts = {}
    for file, claims in by_file().items():
        if not fresh.keys() & {c.id for c in claims}:
            continue
        rows = _rows(file)
        for c in claims:
            if c.id in fresh:
                s = fresh[c.id]
                rows[c.id] = {
                    "verdict": s.verdict, "measured": [_plain(f.value) for f in s.found],
                    "holds": [f.holds for f in s.found],
                }
        known = [c.id for c in claims if c.id in rows]
        lines = [f" {json.dumps(name)}: {json.dumps(rows[name])}" for name in known]
        texts[file.with_suffix(".json")] = "{\n" + ",\n".join(lines) + "\n}\n"
    return texts


def _rows(file: Path) -> dict[str, dict]:
    written = file.with_suffix(".json")
    return json.loads(written.read_text(encoding="utf-8")) if written.exists() else {}


def stored(claims: Iterable[Claim] | None = None) -> list[Settled]:
    """Claims (None: all) as they came out when the ledger was last written; others are left out.

    Raises LedgerError when the measured part does not fit a claim: write it again.
    """
    rows, done = {}, []
    for file in by_file():
        rows |= _rows(file)
    for claim in load() if claims is None else claims:
        if claim.id not in rows:
            continue
        row = rows[claim.id]
        if not len(claim.cases) == len(row["measured"]) == len(row["holds"]):
            raise LedgerError(f"{claim.id} has changed since it was measured: "
                              f"workbench claims {claim.id} --write")
        done.append(Settled(claim, tuple(map(Found, claim.cases, row["measured"], row["holds"]))))
    return done


def table(question: int | None = None, who: str | None = None, verdict: str | None = None):
    """The stored verdicts as a pandas table: claim, who, day, says, expected, verdict, why."""
    import pandas as pd

    rows = [
        (s.claim.id, s.claim.who, s.claim.day, s.claim.says, s.claim.expected, s.verdict,
         s.claim.because or s.claim.on or s.claim.not_testable)
        for s in stored()
        if question in (None, s.claim.question) and (who or "") in s.claim.who
        and verdict in (None, s.verdict)
    ]
    columns = ["claim", "who", "day", "says", "expected", "verdict", "why"]
    return pd.DataFrame(rows, columns=columns)
