"""One short line that reproduces an experiment: scenario, schemes, limits, seed, version.

    workbench/0.1.0 two_compiles seed=7 limit.A=900 schemes=first_touch,fraction at=1200

Standard library only. Words are separated by blanks; a blank inside a word is written %20.
"""

from __future__ import annotations

import functools
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from urllib.parse import quote, unquote

import workbench
from workbench import scenarios, schemes
from workbench.kernel import did_you_mean
from workbench.results.units import pages

MOST = 4  # schemes side by side
KEYS = ("schemes", "at", "page", "hide")  # beside parameters and limit.CONTAINER
Limits = dict[str, int | None]


@functools.cache
def scheme(name: str) -> schemes.Scheme:
    """`schemes.get`, which looks through its folder every time, for every slider's step."""
    return schemes.get(name)


@dataclass(frozen=True)
class Experiment:
    """What is replayed and where one looks.

    parameters  of the scenario, those given; nodes, place and seed are among them
    limits      container -> pages, None for no limit; those not named keep the scenario's
    at          events done at the moment shown; None: all
    page        (object, index) of the page that is followed, or None
    hide        groups of controls that stay locked (`lab.controls.GROUPS`)
    version     of the workbench that wrote the line
    """

    scenario: str
    schemes: tuple[str, ...]
    parameters: Mapping[str, object] = field(default_factory=dict)
    limits: Mapping[str, int | None] = field(default_factory=dict)
    at: int | None = None
    page: tuple[str, int] | None = None
    hide: tuple[str, ...] = ()
    version: str = workbench.__version__

    def __post_init__(self) -> None:
        """Raises ValueError for unknown names, with the nearest known one."""
        known = scenarios.parameters(self.scenario)
        for name, value in self.parameters.items():
            if name not in known:
                hint = did_you_mean(name, known)
                raise ValueError(f"{self.scenario}: unknown parameter {name!r}{hint}")
            known[name].check(self.scenario, value)
        labels = tuple(dict.fromkeys(scheme(s).label for s in self.schemes))
        if not 1 <= len(labels) <= MOST:
            raise ValueError(f"{len(labels)} schemes: one to {MOST} can stand side by side")
        object.__setattr__(self, "schemes", labels)

    def rerun(self) -> tuple:
        """What the runs depend on: equal for two experiments with the same runs."""
        return (self.scenario, self.schemes, tuple(sorted(self.limits.items())),
                repr(sorted(self.parameters.items(), key=str)))

    def __str__(self) -> str:
        words = [f"workbench/{self.version}", self.scenario]
        words += [f"{name}={shown(value)}" for name, value in self.parameters.items()]
        words += [f"limit.{quoted(box)}={'none' if n is None else n}"
                  for box, n in self.limits.items()]
        words.append(f"schemes={','.join(self.schemes)}")
        words += [] if self.at is None else [f"at={self.at}"]
        words += [] if self.page is None else [f"page={quoted(self.page[0])}:{self.page[1]}"]
        words += [f"hide={','.join(self.hide)}"] if self.hide else []
        return " ".join(words)

    @classmethod
    def parse(cls, line: str) -> Experiment:
        """The experiment that a line describes. Raises ValueError naming the word that is wrong."""
        words = line.split()
        version = workbench.__version__
        if words and words[0].startswith("workbench/"):
            version = words.pop(0).partition("/")[2]
        if not words or "=" in words[0]:
            raise ValueError(f"experiment {line!r}: expected workbench/VERSION SCENARIO key=value")
        known = scenarios.parameters(words[0])
        found: dict[str, object] = {"parameters": {}, "limits": {}}
        for word in words[1:]:
            name, equals, text = word.partition("=")
            text = unquote(text)
            if not (equals and text):
                raise ValueError(f"experiment: {word!r} is not key=value")
            if name.startswith("limit."):
                limit = None if text == "none" else pages(text)
                found["limits"][unquote(name.removeprefix("limit."))] = limit
            elif name in ("schemes", "hide"):
                found[name] = tuple(text.split(","))
            elif name == "at":
                found["at"] = whole(text, "at")
            elif name == "page":
                obj, _, index = text.rpartition(":")
                found["page"] = (obj, whole(index, "page"))
            elif name in known:
                found["parameters"][name] = read(known[name], text)
            else:
                hint = did_you_mean(name, [*known, *KEYS])
                raise ValueError(f"experiment: unknown word {name!r}{hint}")
        if "schemes" not in found:
            raise ValueError(f"experiment: schemes=... is missing; for example {words[0]} "
                             "schemes=first_touch,fraction")
        return cls(words[0], version=version, **found)

    def but(self, **changes: object) -> Experiment:
        """The same with some fields changed, written by this version."""
        return replace(self, **({"version": workbench.__version__} | changes))

    def other_version(self) -> str:
        """A warning when another version wrote the line, else ""."""
        if self.version == workbench.__version__:
            return ""
        return (f"Written by workbench {self.version}; this is {workbench.__version__}: "
                "numbers may differ.")


def quoted(text: str) -> str:
    return quote(text, safe="/,:.+-_@")


def shown(value: object) -> str:
    """A parameter's value in the line: A:0,B:1 for a placement, none, true, 5."""
    if isinstance(value, Mapping):
        return quoted(",".join(f"{box}:{node}" for box, node in value.items()))
    if value is None or isinstance(value, bool):
        return str(value).lower()
    return quoted(str(value))


def whole(text: str, what: str) -> int:
    if not (text.isascii() and text.isdigit()):
        raise ValueError(f"experiment: {what}={text!r} is not a whole number")
    return int(text)


def read(known: scenarios.Parameter, text: str) -> object:
    """A parameter's value from the line; the scenario checks it later."""
    if text == "none" and known.optional:
        return None
    if known.name == "place" and ":" in text:
        pairs = [pair.rpartition(":") for pair in text.split(",")]
        return {box: whole(node, "place") for box, _, node in pairs}
    for choice in known.choices:
        if shown(choice) == text:
            return choice
    return pages(text) if known.low is not None and not known.choices else text


def experiment(scenario: str, chosen: Iterable[str] | None = None, **fields) -> Experiment:
    """From a line, or from a scenario's name and schemes."""
    if "=" in scenario or scenario.startswith("workbench/"):
        found = Experiment.parse(scenario)
        changes = fields | ({"schemes": tuple(chosen)} if chosen else {})
        return replace(found, **changes) if changes else found
    chosen = (chosen,) if isinstance(chosen, str) else chosen
    return Experiment(scenario, tuple(chosen or ("first_touch", "fraction")), **fields)
