"""Between the engine and hooks that a user wrote: a mistake stops the replay and is named.

Interpreted, a hook sees the machine through `View`, which looks at every index and every number.
Compiled, `compiled` makes the same tests and only notes that one failed (k.trouble); the
engine then goes back to just before that event and does it interpreted, for the words.
"""

from __future__ import annotations

import linecache
import os
from collections.abc import Callable

from .layout import COLUMNS, SCALARS
from .names import HEADS, PAGE_RECORD

BITS = {name: bits for table in COLUMNS.values() for name, bits in table.items()}
RESULTS = {"price": "number of units", "payer": "container"}  # hooks whose result counts


class HookError(ValueError):
    """A hook of a user's scheme did wrong: which scheme, hook and line, and what would be right."""


class Below(ValueError):
    """A charge below zero."""


def source_line(function: Callable, line: int) -> str:
    """`line 4 (k.usage[c] += 1)`, with the file where there is one."""
    file = function.__code__.co_filename
    text = linecache.getline(file, line).strip()
    name = f"{os.path.basename(file)} " if os.path.exists(file) else ""
    return f"{name}line {line}" + (f" ({text})" if text else "")


def mistake(scheme: str, hook: str, function: Callable, line: int, what: str) -> HookError:
    return HookError(f"scheme {scheme}, hook {hook}, {source_line(function, line)}: {what}")


class Column:
    """One column as a hook sees it: no negative index, no number that does not fit."""

    __iter__ = None  # k's columns are longer than what is used of them
    __slots__ = ("at", "high", "low", "name", "values")

    def __init__(self, name: str, values: list) -> None:
        bits = BITS[name]
        self.name, self.values, self.at = name, values, 0
        self.low, self.high = (0, 255) if bits == 8 else (-1 << bits - 1, (1 << bits - 1) - 1)

    def __getitem__(self, i: int) -> int:
        if type(i) is int and 0 <= i < len(self.values):
            self.at = i
            return self.values[i]
        raise self.no_row(i)

    def __setitem__(self, i: int, value: int) -> None:
        if not (type(i) is int and 0 <= i < len(self.values)):
            raise self.no_row(i)
        if not isinstance(value, int):
            raise TypeError(f"{self.name}[{i}] = {value!r}: a whole number is needed")
        if not self.low <= value <= self.high:
            raise OverflowError(f"{self.name}[{i}] = {value}: {self.low} to {self.high} fits")
        if value < 0 and self.name == "usage":
            raise Below(f"the charge of container {i} would be {value}")
        self.values[i] = int(value)

    def no_row(self, i) -> Exception:
        if type(i) is not int:
            return TypeError(f"{self.name}[{i!r}]: a whole number is needed")
        return IndexError(f"{self.name}[{i}]: it has rows 0 to {len(self.values) - 1}")


class View:
    """The machine as a hook sees it."""

    def __init__(self, k) -> None:
        vars(self).update({name: Column(name, getattr(k, name)) for name in BITS}, k=k)

    def __getattr__(self, name: str):
        return getattr(vars(self)["k"], name)

    def __setattr__(self, name: str, value: int) -> None:
        k = vars(self)["k"]
        if name == "warnings" and not k.has_broken:  # a failed swap read gives back twice (CH3)
            c = self.usage.at
            raise Below(f"container {c} is charged {k.usage[c]} units, less than is taken back")
        if name not in SCALARS:
            raise TypeError(f"{name} is a column; write k.{name}[...] = ...")
        if not isinstance(value, int):
            raise TypeError(f"k.{name} = {value!r}: a whole number is needed")
        setattr(k, name, int(value))


def view_of(k) -> View:
    view = vars(k).get("view")
    if view is None or view.k is not k:
        view = k.view = View(k)
    return view


def guarded(scheme: str, name: str, hook: Callable) -> Callable:
    """The hook, interpreted, with its mistakes caught. Raises HookError."""

    def call(k, page: int, c: int, paid: int) -> int:
        try:
            result = hook(view_of(k), page, c, paid)
        except Exception as problem:
            raise blame(scheme, name, hook, problem) from None
        if name not in RESULTS:
            return 0
        top = k.containers - 1 if RESULTS[name] == "container" else None
        if not isinstance(result, int) or result < 0 or (top is not None and result > top):
            right = "whole number of units, 0 or more" if top is None else f"container, 0 to {top}"
            what = f"returns {result!r}; it returns a {right}"
            raise mistake(scheme, name, hook, hook.__code__.co_firstlineno, what)
        return int(result)

    return call


def drift(k) -> list[int]:
    """Per container: units charged beyond what its charge records are worth."""
    beyond = [int(units) for units in k.usage]
    for e in range(HEADS * k.containers, k.entries_top):
        if k.entry_owner[e] >= 0:
            beyond[k.entry_owner[e]] -= int(k.worth(k, e))
    return beyond


def balanced(k) -> bool:
    """Whether the charges are what the records are worth, where that can be said of a scheme."""
    plain = not (k.has_broken or k.hung or k.tree or k.kernel_memory)
    return k.record < PAGE_RECORD or not plain or not any(drift(k))


def audited(scheme: str, name: str, hook: Callable) -> Callable:
    """The hook, interpreted; raises HookError where it changes a charge and no record."""
    call = guarded(scheme, name, hook)

    def look(k, page: int, c: int, paid: int) -> int:
        before = drift(k)
        result = call(k, page, c, paid)
        if name in ("mapped", "born"):
            before[c] -= paid
        for box, (due, there) in enumerate(zip(before, drift(k), strict=True)):
            if due != there:
                what = (
                    f"leaves container {box} charged {abs(there - due)} units "
                    f"{'more' if there > due else 'less'} than its records are worth; settle what "
                    "was paid (`pay_or_return`), uncharge what a record was worth, and give "
                    "`worth` where that is not one page"
                )
                raise mistake(scheme, name, hook, hook.__code__.co_firstlineno, what)
        return result

    return look


def blame(scheme: str, name: str, hook: Callable, problem: Exception) -> HookError:
    """The line of the user's own code that an exception came through last, and words for it."""
    line, own = hook.__code__.co_firstlineno, hook
    trace = problem.__traceback__
    while trace is not None:
        if "__own__" in trace.tb_frame.f_globals:
            line = trace.tb_lineno
            own = trace.tb_frame.f_globals["__own__"].get(trace.tb_frame.f_code, hook)
        trace = trace.tb_next
    said = str(problem)
    if isinstance(problem, Below):
        said += "; `uncharge` only what was charged, from whom it was charged"
    elif isinstance(problem, ZeroDivisionError):
        said = "division by zero; test the divisor first"
    elif isinstance(problem, AssertionError):
        said = f"the assertion fails: {said}" if said else "the assertion fails"
    elif isinstance(problem, IndexError):
        said += "; -1 stands for none, test for it first" * ("[-1]" in said)
    elif not isinstance(problem, TypeError | OverflowError):
        said = f"raises {type(problem).__name__}" + (f": {said}" if said else "")
    return mistake(scheme, name, own, line, said)
