"""The stories of the debate: one short module each, found by looking, never listed by hand.

`scenarios.exit_attack(attackers=3)` and `scenarios.get("exit_attack", attackers=3)` are the same.
"""

from __future__ import annotations

import functools
import importlib
import inspect
import pkgutil
from collections.abc import Callable
from dataclasses import dataclass
from types import ModuleType, UnionType
from typing import Annotated, Literal, get_args, get_origin, get_type_hints

from workbench.kernel import did_you_mean

from .parts import Place, Scenario

_NOT_SCENARIOS = {"parts"}


@dataclass(frozen=True)
class Parameter:
    """One parameter of a story: its default and what it may be (choices, or low..high)."""

    name: str
    default: object
    choices: tuple = ()
    low: int | None = None
    high: int | None = None
    optional: bool = False  # None: the story decides, by its size

    def check(self, scenario: str, value: object) -> None:
        """Raise ValueError when the value is none of what it may be."""
        if value is None and self.optional:
            return
        if self.choices:
            if not any(value == c and type(value) is type(c) for c in self.choices):
                known = ", ".join(map(repr, self.choices))
                raise ValueError(f"{scenario}: {self.name}={value!r} is not one of {known}")
        elif self.low is not None and (
            isinstance(value, bool)
            or not isinstance(value, int)
            or not self.low <= value <= self.high
        ):
            raise ValueError(
                f"{scenario}: {self.name}={value!r} is not a whole number from {self.low} to "
                f"{self.high}" + (", or None" if self.optional else "")
            )


def _parameter(name: str, default: object, hint: object) -> Parameter:
    kinds = get_args(hint) if isinstance(hint, UnionType) or type(None) in get_args(hint) else ()
    optional = type(None) in kinds
    if hint == Place:
        return Parameter(name, default, optional=True)
    hint = next((kind for kind in kinds if kind is not type(None)), hint)
    if hint is bool:
        return Parameter(name, default, (False, True))
    if get_origin(hint) is Literal:
        return Parameter(name, default, get_args(hint), optional=optional)
    if get_origin(hint) is Annotated:
        _, allowed = get_args(hint)
        return Parameter(name, default, (), allowed[0], allowed[-1], optional)
    raise TypeError(f"{name}: {hint!r} says neither choices nor a range")


def _told(module: ModuleType, parameters: dict[str, Parameter]) -> Callable[..., Scenario]:
    @functools.wraps(module.build)
    def build(**given) -> Scenario:
        for name, value in given.items():
            if name not in parameters:
                raise ValueError(
                    f"{title}: unknown parameter {name!r}{did_you_mean(name, parameters)}"
                )
            parameters[name].check(title, value)
        return module.build(**given)

    title = module.__name__.rpartition(".")[2]
    build.__name__ = build.__qualname__ = title
    build.__doc__ = module.__doc__
    return build


_PARAMETERS: dict[str, dict[str, Parameter]] = {}
_BUILDS: dict[str, Callable[..., Scenario]] = {}
for _found in pkgutil.iter_modules(__path__):
    if _found.name not in _NOT_SCENARIOS:
        _module = importlib.import_module(f"{__name__}.{_found.name}")
        _hints = get_type_hints(_module.build, include_extras=True)
        _PARAMETERS[_found.name] = {
            p.name: _parameter(p.name, p.default, _hints[p.name])
            for p in inspect.signature(_module.build).parameters.values()
        }
        # the name stands for the story, not for its module: scenarios.shared_page(pages=100)
        globals()[_found.name] = _BUILDS[_found.name] = _told(_module, _PARAMETERS[_found.name])


def names() -> list[str]:
    """Names of all scenarios, in alphabetical order."""
    return sorted(_BUILDS)


def cases(name: str) -> list[dict[str, object]]:
    """The parameters under which a story is told, most telling first; the tests run them all."""
    return [dict(case) for case in importlib.import_module(f"{__name__}.{_known(name)}").CASES]


def schemes_of(name: str) -> tuple[str, ...] | None:
    """The schemes a story is about; None: every scheme."""
    return getattr(importlib.import_module(f"{__name__}.{_known(name)}"), "SCHEMES", None)


def _known(name: str) -> str:
    if name not in _BUILDS:
        raise ValueError(f"unknown scenario {name!r}{did_you_mean(name, names())}")
    return name


def get(name: str, **parameters) -> Scenario:
    """A scenario by name. Raises ValueError for a wrong name, parameter or value."""
    return _BUILDS[_known(name)](**parameters)


def parameters(name: str) -> dict[str, Parameter]:
    """The parameters of a story, in the order of its signature."""
    return dict(_PARAMETERS[_known(name)])


def table() -> list[dict[str, object]]:
    """One row per scenario: name, title, source, question, parameters; for printing."""
    return [
        {
            "scenario": name,
            "title": module.TITLE,
            "source": module.SOURCE,
            "question": module.QUESTION,
            "plot": module.PLOT,
            "parameters": ", ".join(f"{p.name}={p.default!r}" for p in parameters(name).values()),
        }
        for name in names()
        for module in (importlib.import_module(f"{__name__}.{name}"),)
    ]


def __getattr__(name: str) -> object:
    raise AttributeError(f"no scenario {name!r}{did_you_mean(name, names())}")


__all__ = ["Parameter", "Scenario", "cases", "get", "names", "parameters", "schemes_of", "table"]
