"""Who is charged: one short module per scheme, found by looking, never listed by hand."""

from __future__ import annotations

import importlib
import pkgutil
from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace
from functools import reduce
from pathlib import Path
from types import ModuleType

from workbench.kernel.config import did_you_mean

from . import own
from .parts import CHOICES, FIXED, PROMISES, Parts

SHARED = {"contract", "matrix", "own", "parts", "template"}  # modules here that are no schemes
HOOKS = ("price", "mapped", "unmapped", "born", "gone", "payer")  # in the order of `kernel.names`
_registered: dict[str, Scheme] = {}  # those that users wrote


def no_hook(k, page, c, paid):
    return 0


@dataclass(frozen=True)
class Scheme:
    """A scheme ready to run: its module's rule with its parts and options chosen."""

    name: str
    module: ModuleType
    parts: Parts
    options: tuple[tuple[str, str], ...] = ()
    own: bool = False  # a user's, made by `register`

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
        """What is promised with these options; a module's PROMISES_WITH says what they change."""
        made = self.module.PROMISES
        if self.parts.cache == "joint":  # usage has pages in it that nobody maps
            return {promise: made[promise] and promise == "shares_frames" for promise in made}
        with_options = getattr(self.module, "PROMISES_WITH", {})
        chosen = [f"{part}={choice}" for part, choice in self.options]
        return reduce(dict.__or__, (with_options.get(o, {}) for o in chosen), made)

    @property
    def hooks(self) -> dict[str, Callable]:
        """The hooks in the engine's order; one that the module does not define does nothing."""
        return {name: getattr(self.module, name, no_hook) for name in HOOKS}


def names() -> list[str]:
    """Names of all schemes: `none`, the others in alphabetical order, then those registered."""
    found = [m.name for m in pkgutil.iter_modules(__path__) if m.name not in SHARED]
    return sorted(found, key=lambda name: (name != "none", name)) + list(_registered)


def register(name: str, price=None, mapped=None, unmapped=None, *, base: str | Scheme | None = None,
             worth=None, unit: int | None = None, title: str = "", source: str = "",
             promises: Iterable[str] | dict[str, bool] = (), **parts) -> Scheme:
    """Make a scheme of your own hooks, under a name that everything that takes a scheme takes.

    price, mapped, unmapped, ...  plain functions of (k, page, c, paid): see `kernel.hooks`
    base      the scheme whose hooks, parts and unit hold where none are given
    unit      parts of a page to count in; worth(k, e): how many a charge record stands for
    promises  of `PROMISES`, for `check` to break
    parts     of `CHOICES`: lists="lru", move="rewalk", ...

    The hooks are taken as they are now; after a change register again, which replaces the scheme.
    Raises HookError (hook, line, what would be right) and ValueError. Cost: under a millisecond;
    the first compiled replay compiles the hooks, about 0.1 s each.
    """
    if not isinstance(name, str) or not name.isidentifier():
        raise ValueError(f"scheme {name!r}: letters, digits and _ make a name")
    if name in names() and name not in _registered:
        raise ValueError(f"scheme {name}: that is one of the workbench's own; take another name")
    given = {"price": price, "mapped": mapped, "unmapped": unmapped, "worth": worth, "UNIT": unit}
    given |= {hook: parts.pop(hook) for hook in HOOKS if hook in parts}
    given |= {"TITLE": title, "SOURCE": source, "PROMISES": promises}
    found = dict(vars(get(base).module)) if base else {}
    found |= {key: value for key, value in given.items() if value or (key == "UNIT" and value == 0)}
    if base and not promises:
        found["PROMISES"] = ()
    usual = get(base).parts if base else own.Parts()
    found["PARTS"] = own.parts_of(name, usual, parts)
    return _add(name, found)


def _add(name: str, found: dict) -> Scheme:
    module = own.make(name, found, HOOKS)
    _registered[name] = Scheme(name, module, module.PARTS, own=True)
    return _registered[name]


def forget(name: str) -> None:
    """Take a registered scheme off the list. Raises ValueError when it is not on it."""
    if name not in _registered:
        raise ValueError(f"no scheme {name!r} was registered{did_you_mean(name, _registered)}")
    del _registered[name]


def get(scheme: str | Scheme) -> Scheme:
    """A scheme by name, with other parts after colons: `first_touch:lists=lru:references=own`.

    `./mine.py` is a scheme in a file of yours: a module like those in this folder.

    Any part but the charge rule itself may be exchanged (`CHOICES`). Raises ValueError for an
    unknown name, part or choice, with the nearest known one, and for parts that do not go together,
    with the reason.
    """
    if isinstance(scheme, Scheme):
        return scheme
    file, dot_py, rest = str(scheme).rpartition(".py")
    name, *settings = (rest if dot_py else str(scheme)).split(":")
    if dot_py:
        name, found = own.load(file + dot_py)
        if name in names() and name not in _registered:
            raise ValueError(f"{file}{dot_py}: {name} is one of the workbench's own schemes; "
                             "name the file otherwise")
        return combine(_add(name, found), **as_parts(name, settings))
    if name in _registered:
        return combine(_registered[name], **as_parts(name, settings))
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
    own = scheme.module.OPTIONS
    options = [part for part in CHOICES if part not in FIXED or part in own]
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
               if getattr(chosen, part) != getattr(usual, part)]
    return replace(scheme, parts=chosen, options=tuple(changed))


def check(scheme: str | Scheme, seeds: Iterable[int] = range(60), engine: str = "interpreted"):
    """Try to break every promise of a scheme: a report, with the shortest trace that breaks each.

    Raises HookError where a hook of a user's scheme fails. Cost: under half a second.
    """
    from .contract import check

    return check(scheme, seeds, engine)


def template() -> str:
    """The text of a working scheme to begin from: a file `mine.py`, or cells of a notebook."""
    return (Path(__file__).parent / "template.py").read_text(encoding="utf-8")


def table() -> list[dict[str, object]]:
    """One row per scheme: name, title, source, parts, promises; for printing."""
    return [
        {"scheme": s.name, "title": s.title, "source": s.module.SOURCE} | vars(s.parts) | s.promises
        for s in map(get, names())
    ]


__all__ = [
    "CHOICES", "PROMISES", "Parts", "Scheme", "check", "combine", "forget", "get", "names",
    "register", "table", "template",
]
