"""Who is charged: one short module per scheme, found by looking, never listed by hand."""

from __future__ import annotations

import importlib
import pkgutil
from dataclasses import dataclass, replace
from types import ModuleType

from workbench.kernel.config import did_you_mean

from .parts import CHOICES, FIXED, PROMISES, Parts

SHARED = {"contract", "parts"}  # modules here that are no schemes
HOOKS = ("price", "mapped", "unmapped", "born", "gone", "payer")  # in the order of `kernel.names`


def no_hook(k, page, c, paid):
    return 0


@dataclass(frozen=True)
class Scheme:
    """A scheme ready to run: its module's rule with its parts and options chosen."""

    name: str
    module: ModuleType
    parts: Parts
    options: tuple[tuple[str, str], ...] = ()

    @property
    def label(self) -> str:
        """The name with its non-default options, as `get` takes it."""
        return ":".join([self.name, *(f"{key}={value}" for key, value in self.options)])

    @property
    def title(self) -> str:
        return self.module.TITLE

    @property
    def unit(self) -> int:
        """Parts of a page the scheme counts in."""
        return self.module.UNIT

    @property
    def promises(self) -> dict[str, bool]:
        return self.module.PROMISES

    @property
    def hooks(self) -> list:
        """The hooks in the engine's order; one that the module does not define does nothing."""
        return [getattr(self.module, name, no_hook) for name in HOOKS]


def names() -> list[str]:
    """Names of all schemes, `none` first, then in alphabetical order."""
    found = [m.name for m in pkgutil.iter_modules(__path__) if m.name not in SHARED]
    return sorted(found, key=lambda name: (name != "none", name))


def get(scheme: str | Scheme) -> Scheme:
    """A scheme by name, with other parts after colons: `first_touch:lists=lru:references=own`.

    Any part but the charge rule itself may be exchanged (`CHOICES`). Raises ValueError for an
    unknown name, part or choice, with the nearest known one, and for parts that do not go together,
    with the reason.
    """
    if isinstance(scheme, Scheme):
        return scheme
    name, *settings = str(scheme).split(":")
    if name not in names():
        raise ValueError(f"unknown scheme {name!r}{did_you_mean(name, names())}")
    module = importlib.import_module(f"{__name__}.{name}")
    return combine(Scheme(name, module, module.PARTS), **as_parts(name, settings))


def as_parts(name: str, settings: list[str]) -> dict[str, str]:
    """The parts named by `part=choice` texts."""
    given = {}
    for setting in settings:
        key, equals, value = setting.partition("=")
        if not equals:
            raise ValueError(f"scheme {name}: {setting!r}; part=choice is expected")
        given[key] = value
    return given


def combine(scheme: str | Scheme, **parts: str) -> Scheme:
    """A scheme's charge rule with other parts: `combine("first_touch", reclaim="unmap_own")`.

    Raises ValueError as `get` does.
    """
    scheme = get(scheme)
    options = [part for part in CHOICES if part not in FIXED]
    for key, value in parts.items():
        if key not in options:
            hint = "; it is the charge rule's own" if key in FIXED else did_you_mean(key, options)
            raise ValueError(f"scheme {scheme.name}: unknown option {key!r}{hint}")
        if value not in CHOICES[key]:
            known = ", ".join(CHOICES[key])
            raise ValueError(f"scheme {scheme.name}: {key}={value!r} is not one of {known}")
    try:
        chosen = replace(scheme.parts, **parts)
    except ValueError as problem:
        raise ValueError(f"scheme {scheme.name}: {problem}") from None
    usual = scheme.module.PARTS
    changed = [(part, getattr(chosen, part)) for part in options
               if getattr(chosen, part) != getattr(usual, part)]  # fmt: skip
    return replace(scheme, parts=chosen, options=tuple(changed))


def table() -> list[dict[str, object]]:
    """One row per scheme: name, title, source, parts, promises; for printing."""
    return [
        {"scheme": s.name, "title": s.title, "source": s.module.SOURCE} | vars(s.parts) | s.promises
        for s in map(get, names())
    ]


__all__ = ["CHOICES", "PROMISES", "Parts", "Scheme", "combine", "get", "names", "table"]
