"""The ledger: claims as data, one TOML file per big question, every defect of a file named."""

from __future__ import annotations

import re
import tomllib
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path

from workbench.kernel import did_you_mean

FOLDER = Path(__file__).parent
VERDICTS = ("holds", "fails", "depends", "not testable")
EXPECTED = (*VERDICTS, "open")
KINDS = ("proposal", "claim", "requirement", "objection", "question", "attack", "estimate")
CONFIDENCE = {"H": "high", "M": "medium", "L": "low", "?": "unknown"}
SOURCES = {  # what a case runs -> the other keys it must have
    "scenario": ("scheme", "quantity"), "arithmetic": (), "counter": ("property",), "simulated": (),
    "promise": ("scheme",), "feature": ("scheme",),
}
OPTIONAL = {"scenario": ("with",), "arithmetic": ("unit",), "counter": ("switch",),
            "simulated": ("unit",), "promise": (), "feature": ()}
REQUIRED = ("who", "day", "subject", "says", "kind", "expected", "confidence")
TEXTS = (*REQUIRED, "decides", "because", "on", "not_testable")
THRESHOLD = re.compile(
    r"(?P<op><=|>=|==|!=|<|>) *(?P<value>'[^']*'|-?[\d_.]+(e-?\d+)?)"
    r"|in (?P<low>-?[\d_.]+)\.\.(?P<high>-?[\d_.]+)"
)


class LedgerError(ValueError):
    """A file of the ledger is not as it should be: which file, which claim, what would be right."""


@dataclass(frozen=True)
class Case:
    """One comparison, with its threshold stated before the run."""

    source: str  # one of SOURCES
    what: str  # the scenario, the expression, the form, the promise or the feature
    holds: str  # "<= 1.5", "in 23..25", "== 'proved'"
    scheme: str = ""
    quantity: str = ""  # expression over the measures `m` and `run(...)`
    given: dict = field(default_factory=dict)  # the scenario's parameters
    property: str = ""
    switch: str = "anywhere"
    unit: str = ""

    def passes(self, value: float | int | str) -> bool:
        """Whether a value is as the claim says. Raises LedgerError when kinds do not match."""
        found = THRESHOLD.fullmatch(self.holds)
        if found["low"] is not None:
            wanted, word = (float(found["low"]), float(found["high"])), False
        else:
            word = found["value"].startswith("'")
            wanted = found["value"].strip("'") if word else float(found["value"])
        if isinstance(value, str) != word:
            raise LedgerError(f"{self}: {value!r} cannot be held against {self.holds!r}")
        if isinstance(wanted, tuple):
            return wanted[0] <= value <= wanted[1]
        near = not word and abs(value - wanted) <= 1e-9 * max(1.0, abs(wanted))
        same = value == wanted or near
        return {"==": same, "!=": not same, "<=": same or value < wanted,
                ">=": same or value > wanted, "<": not same and value < wanted,
                ">": not same and value > wanted}[found["op"]]

    def __str__(self) -> str:
        if self.source in ("arithmetic", "simulated"):
            return self.what
        if self.source == "counter":
            return f"{self.what} {self.property}" + f" ({self.switch})" * (
                self.switch != "anywhere")
        if self.source in ("promise", "feature"):
            return f"{self.scheme}: {self.what}"
        given = ", ".join(f"{k}={v}" for k, v in self.given.items())
        return f"{self.what}({given}) under {self.scheme}: {self.quantity}"

    def command(self) -> str:
        """What to type to see it."""
        if self.source == "scenario":
            params = "".join(f" --param {k}={v}" for k, v in self.given.items())
            return f"workbench run {self.what} --scheme {self.scheme}{params}"
        if self.source == "counter":
            return f"workbench counters {self.what} --switch {self.switch}"
        if self.source == "simulated":
            return "workbench counters --simulate"
        if self.source == "promise":
            return f"workbench schemes check {self.scheme}"
        return "workbench schemes" if self.source == "feature" else ""


@dataclass(frozen=True)
class Claim:
    """Who said what, what decides it, and the cases that try it."""

    id: str
    question: int  # which of the ten big questions
    who: str
    day: str
    subject: str  # the patch whose thread it was said in
    says: str
    kind: str
    expected: str
    confidence: str
    decides: str = ""
    because: str = ""
    on: str = ""
    not_testable: str = ""
    cases: tuple[Case, ...] = ()


def _case(where: str, data: object) -> Case:
    if not isinstance(data, dict):
        raise LedgerError(f"{where}: a case is a table, [[{where.split(': ')[-1]}.case]]")
    found = [source for source in SOURCES if source in data]
    if len(found) != 1:
        raise LedgerError(f"{where}: a case runs one of {', '.join(SOURCES)}; here: {found}")
    source = found[0]
    wanted = {source, "holds", *SOURCES[source]}
    allowed = wanted | {*OPTIONAL[source]}
    for key in data:
        if key not in allowed:
            raise LedgerError(f"{where}: unknown key {key!r} of a case with {source}"
                              f"{did_you_mean(key, sorted(allowed))}")
    if missing := sorted(wanted - data.keys()):
        raise LedgerError(f"{where}: a case with {source} also needs {', '.join(missing)}")
    for key, value in data.items():
        if key == "with":
            if not isinstance(value, dict):
                raise LedgerError(f"{where}: with = {{ parameter = value }} is wanted")
        elif not isinstance(value, str) or not value:
            raise LedgerError(f"{where}: {key} = {value!r} is no text")
    if not THRESHOLD.fullmatch(data["holds"]):
        raise LedgerError(f"{where}: holds = {data['holds']!r}: a comparison is wanted, such as "
                          "'<= 1.5', 'in 23..25' or \"== 'word'\"")
    return Case(source, data[source], data["holds"], data.get("scheme", ""),
                data.get("quantity", ""), data.get("with", {}), data.get("property", ""),
                data.get("switch", "anywhere"), data.get("unit", ""))


def _claim(file: str, number: int, name: str, data: object) -> Claim:
    where = f"{file}: {name}"
    if not re.fullmatch(r"C\d{3}", name) or not isinstance(data, dict):
        raise LedgerError(f"{where}: a claim is a table named C001 to C193")
    for key, value in data.items():
        if key != "case" and key not in TEXTS:
            raise LedgerError(f"{where}: unknown key {key!r}{did_you_mean(key, (*TEXTS, 'case'))}")
        if key in TEXTS and (not isinstance(value, str) or not value.strip()):
            raise LedgerError(f"{where}: {key} = {value!r} is no text")
    if missing := [key for key in REQUIRED if key not in data]:
        raise LedgerError(f"{where}: {', '.join(missing)} missing")
    if data["expected"] not in EXPECTED:
        raise LedgerError(f"{where}: expected = {data['expected']!r} is none of "
                          f"{', '.join(EXPECTED)}")
    if data["confidence"] not in CONFIDENCE:
        raise LedgerError(f"{where}: confidence = {data['confidence']!r} is none of "
                          f"{', '.join(CONFIDENCE)}")
    for kind in data["kind"].split(" / "):
        if kind not in KINDS:
            raise LedgerError(f"{where}: kind {kind!r}{did_you_mean(kind, KINDS)}: of "
                              f"{', '.join(KINDS)}, with ' / ' between")
    if not re.match(r"[A-Z][^ ]+ [A-Z]", data["who"]):
        raise LedgerError(f"{where}: who = {data['who']!r}: names and surnames are wanted")
    if not re.search(r"\b\d{1,2} (Feb|Mar) 2007$", data["day"]):
        raise LedgerError(f"{where}: day = {data['day']!r}: such as '13 Mar 2007'")
    cases = data.get("case", [])
    if bool(cases) == ("not_testable" in data):
        raise LedgerError(f"{where}: either cases or not_testable = \"why\", not both")
    if cases and "decides" not in data:
        raise LedgerError(f"{where}: decides missing: the deciding quantity, in words")
    cases = tuple(_case(f"{where}, case {i}", case) for i, case in enumerate(cases, 1))
    return Claim(name, number, cases=cases, **{k: v for k, v in data.items() if k in TEXTS})


def read(file: Path) -> tuple[str, str, list[Claim]]:
    """(question, sources, claims) of one file. Raises LedgerError: which claim, what is wrong."""
    try:
        data = tomllib.loads(file.read_text(encoding="utf-8"))
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as problem:
        raise LedgerError(f"{file.name}: no TOML: {problem}") from None
    question, sources = data.pop("question", ""), data.pop("sources", "")
    if not isinstance(question, str) or not question.endswith("?"):
        raise LedgerError(f"{file.name}: question = {question!r}: a question is wanted")
    number = int(file.name[:2])
    return question, sources, [_claim(file.name, number, *item) for item in data.items()]


@cache
def _ledger() -> tuple[dict[int, str], dict[str, Claim], dict[Path, list[Claim]]]:
    asked, found, files = {}, {}, {}
    for file in sorted(FOLDER.glob("[0-9][0-9]_*.toml")):
        question, _, claims = read(file)
        asked[int(file.name[:2])], files[file] = question, claims
        for claim in claims:
            if claim.id in found:
                other = found[claim.id].question
                raise LedgerError(f"{file.name}: {claim.id} is already in question {other}")
            found[claim.id] = claim
    return asked, dict(sorted(found.items())), files


def by_file() -> dict[Path, list[Claim]]:
    """Every file of the ledger with its claims."""
    return dict(_ledger()[2])


def questions() -> dict[int, str]:
    """The big questions by number."""
    return dict(_ledger()[0])


def load() -> list[Claim]:
    """Every claim, in order."""
    return list(_ledger()[1].values())


def get(claim: str) -> Claim:
    """A claim by its number. Raises ValueError with the nearest names."""
    known = _ledger()[1]
    name = claim.upper()
    if name not in known:
        raise ValueError(f"unknown claim {claim!r}{did_you_mean(name, known)}")
    return known[name]
