"""Who is charged: one short module per scheme, found by looking, never listed by hand."""

from __future__ import annotations

import importlib
import pkgutil
from dataclasses import dataclass, replace
from types import ModuleType

from workbench.kernel.config import did_you_mean

from .parts import PROMISES, Parts

_NOT_SCHEMES = {"contract", "parts"}


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
    def price(self):
        return self.module.price

    @property
    def mapped(self):
        return self.module.mapped

    @property
    def unmapped(self):
        return self.module.unmapped


def names() -> list[str]:
    """Names of all schemes, `none` first, then in alphabetical order."""
    found = [m.name for m in pkgutil.iter_modules(__path__) if m.name not in _NOT_SCHEMES]
    return sorted(found, key=lambda name: (name != "none", name))


def get(scheme: str | Scheme) -> Scheme:
    """A scheme by name, with options after colons: `first_touch:lists=lru`.

    Raises ValueError for an unknown name or option, with the nearest known one.
    """
    if isinstance(scheme, Scheme):
        return scheme
    name, *settings = str(scheme).split(":")
    if name not in names():
        raise ValueError(f"unknown scheme {name!r}{did_you_mean(name, names())}")
    module = importlib.import_module(f"{__name__}.{name}")
    parts, chosen = module.PARTS, []
    for setting in settings:
        key, _, value = setting.partition("=")
        if key not in module.OPTIONS:
            raise ValueError(
                f"scheme {name}: unknown option {key!r}"
                + (did_you_mean(key, module.OPTIONS) if module.OPTIONS else "; it has none")
            )
        if value not in module.OPTIONS[key]:
            raise ValueError(
                f"scheme {name}: {key}={value!r} is not one of {', '.join(module.OPTIONS[key])}"
            )
        if value != getattr(parts, key):
            parts = replace(parts, **{key: value})
            chosen.append((key, value))
    return Scheme(name, module, parts, tuple(chosen))


def table() -> list[dict[str, object]]:
    """One row per scheme: name, title, source, parts, promises; for printing."""
    return [
        {"scheme": s.name, "title": s.title, "source": s.module.SOURCE} | vars(s.parts) | s.promises
        for s in map(get, names())
    ]


__all__ = ["PROMISES", "Parts", "Scheme", "get", "names", "table"]
