"""Schemes that users write: plain functions, in a notebook cell or in a file, under a name.

    from workbench import compare, scenarios, schemes
    from workbench.kernel.hooks import add_entry, del_entry, owner, pay_or_return, uncharge

    def mapped(k, page, c, paid): ...
    schemes.register("mine", mapped=mapped, unmapped=unmapped, move="stay")
    compare(scenarios.shared_page(), ["first_touch", "mine"])

`register` looks at every instruction of the hooks before anything runs: what the compiled engine
could not run is refused for the interpreted one, too. What only running shows is `kernel.guard`'s.
"""

from __future__ import annotations

import builtins
import dis
import importlib.util
import inspect
from collections.abc import Iterable
from dataclasses import fields
from difflib import get_close_matches
from pathlib import Path
from types import FunctionType, SimpleNamespace

from workbench.kernel import hooks as kit
from workbench.kernel.config import did_you_mean
from workbench.kernel.guard import BITS, RESULTS, HookError, mistake
from workbench.kernel.layout import CONSTANTS, SCALARS

from .parts import CHOICES, PROMISES, Parts

STATE = [*BITS, *SCALARS]
CALLS = ("abs", "bool", "int", "max", "min", "range")
NUMBERS = "hooks work on whole numbers and on the columns of k"
# beginnings of instructions' names -> what the user wrote, and what would be right
REFUSED = {
    "IMPORT": "an import in a hook; import above it",
    "MAKE_FUNCTION": "a function, lambda or comprehension in a hook; write a function beside it",
    "LOAD_CLOSURE": "a function, lambda or comprehension in a hook; write a function beside it",
    "LIST_APPEND": f"a comprehension; {NUMBERS}",
    "YIELD": "yield; a hook returns",
    "RETURN_GENERATOR": "yield or async; a hook returns",
    "LOAD_DEREF": "a variable of an enclosing function; use a global whole number",
    "COPY_FREE_VARS": "a variable of an enclosing function; use a global whole number",
    "STORE_GLOBAL": "global; what a scheme remembers is in the columns of k",
    "PUSH_EXC_INFO": "try or with; test before, with if",
    "BEFORE_WITH": "try or with; test before, with if",
    "BUILD_SLICE": f"a slice; {NUMBERS}",
    "BINARY_SLICE": f"a slice; {NUMBERS}",
    "BUILD_STRING": f"a formatted string; {NUMBERS}",
    "FORMAT_": f"a formatted string; {NUMBERS}",
    "BUILD_": f"a list, tuple, set or dict; {NUMBERS}",
    "UNPACK_": "several values at once; assign one by one",
    "CONTAINS_OP": "in; compare one by one",
    "CALL_FUNCTION_EX": "f(*args); write the arguments",
    "DELETE_": "del; nothing is deleted in a hook",
}
OPERATORS = {
    "/": "/ gives a fraction; use // and count in parts of a page (`unit=`)",
    "**": "** may give a fraction; use << for powers of two",
    "@": f"@; {NUMBERS}",
}


# what was frozen before: the same text with the same names is not compiled a second time
_frozen: dict[tuple, FunctionType] = {}


def check_signature(scheme: str, name: str, hook: object) -> None:
    """Raises HookError unless it is a plain function of four arguments."""
    right = f"write `def {name}(k, page, c, {'paid' if name == 'mapped' else '_'}):`"
    if not isinstance(hook, FunctionType):
        hint = "leave the decorator off" if hasattr(hook, "py_func") else right
        kind = type(hook).__name__
        raise HookError(
            f"scheme {scheme}, hook {name}: a plain function is needed, not {kind}; {hint}"
        )
    code = hook.__code__
    odd = code.co_flags & (inspect.CO_VARARGS | inspect.CO_VARKEYWORDS) or code.co_kwonlyargcount
    if odd or code.co_argcount != 4:
        takes = ", ".join(code.co_varnames[: code.co_argcount])
        what = f"takes ({takes}){' and more' * bool(odd)}; {right}"
        raise mistake(scheme, name, hook, code.co_firstlineno, what)


def freeze(scheme: str, name: str, function: FunctionType, frozen: dict) -> FunctionType:
    """The function as it is now, with only the names that it may use. Raises HookError.

    Later changes of a global number, or of a helper, need another `register`.
    """
    line = function.__code__.co_firstlineno
    if function.__code__ in frozen["open"]:
        raise mistake(scheme, name, function, line, "calls itself; write a loop")
    if function.__code__ in frozen["codes"]:
        return frozen["codes"][function.__code__]
    frozen["open"].append(function.__code__)
    scope = {"__builtins__": builtins.__dict__, "__name__": "own", "__own__": frozen["codes"]}
    copy = FunctionType(function.__code__, scope, function.__name__, function.__defaults__)
    copy.__kwdefaults__ = function.__kwdefaults__
    frozen["codes"][function.__code__] = copy
    steps = list(dis.get_instructions(function))
    for at, step in enumerate(steps):
        line = step.positions.lineno or line
        what = wrong_with(step, steps[at + 1 : at + 5], name)
        if step.opname == "GET_ITER" and not steps[at - 1].opname.startswith("CALL"):
            what = "for goes over range(...) alone; write `for i in range(n):`"
        if step.opname == "LOAD_GLOBAL" and not what:
            value, what = known(step.argval, function.__globals__)
            if isinstance(value, FunctionType) and not (value.__module__ or "").startswith(
                "workbench."
            ):
                value = freeze(scheme, name, value, frozen)
            scope[step.argval] = value
        if what:
            raise mistake(scheme, name, function, line, what)
    names = sorted(scope.keys() - {"__builtins__", "__name__", "__own__"})
    key = (function.__code__, name in RESULTS, *((n, type(scope[n]), scope[n]) for n in names))
    frozen["open"].remove(function.__code__)
    frozen["codes"][function.__code__] = _frozen.setdefault(key, copy)
    return frozen["codes"][function.__code__]


def known(name: str, scope: dict) -> tuple[object, str]:
    """What a global name stands for, or why a hook cannot use it."""
    if name not in scope:
        value = getattr(builtins, name, None)
        if name in CALLS or (isinstance(value, type) and issubclass(value, Exception)):
            return value, ""
        if value is not None:
            return None, f"{name}() cannot be compiled; a hook may call {', '.join(CALLS)}"
        if callable(getattr(kit, name, None)):
            return None, f"{name} is not defined; `from workbench.kernel.hooks import {name}`"
        near = did_you_mean(name, [*scope, *vars(kit)]) if len(name) > 2 else ""
        return None, f"{name} is not defined" + (near if near.startswith("; did") else "")
    value = scope[name]
    if isinstance(value, int | FunctionType):
        return value, ""
    if inspect.ismodule(value):
        return None, f"{name} is a module; import the function itself: `from ... import ...`"
    kind = type(value).__name__
    return None, f"{name} is a {kind}; a hook may use global whole numbers and functions"


def wrong_with(step: dis.Instruction, after: list[dis.Instruction], name: str) -> str:
    """Why the compiled engine could not run an instruction as Python does; "" when it can."""
    op = step.opname
    constant = op in ("LOAD_CONST", "RETURN_CONST")
    for begins, what in REFUSED.items():  # a constant is told by what is done with it
        if op.startswith(begins) or (constant and after and any(
            s.opname.startswith(begins) for s in after[:2]
        )):
            return what
    if op == "BINARY_OP":
        return next((w for sign, w in OPERATORS.items() if step.argrepr.rstrip("=") == sign), "")
    if op in ("LOAD_ATTR", "LOAD_METHOD", "STORE_ATTR") and step.argval not in STATE:
        return f"k has no {step.argval!r}{did_you_mean(step.argval, STATE) if close(step) else ''}"
    if op == "STORE_ATTR" and step.argval in BITS:
        return f"{step.argval} is a column; write k.{step.argval}[...] = ..."
    if op == "STORE_ATTR" and step.argval in CONSTANTS:
        return f"{step.argval} stays as it is while a replay runs; hooks change columns"
    if constant:
        value = step.argval
        if isinstance(value, float | complex):
            return f"{value!r} is no whole number; count in parts of a page (`unit=`)"
        if value is None:
            returned = op == "RETURN_CONST" or after[0].opname == "RETURN_VALUE"
            if returned and name in RESULTS:
                return f"{name} ends without a result; `return` a {RESULTS[name]} on every path"
            return "" if returned else "None is no number; use -1"
        if isinstance(value, str) and any(s.opname == "RAISE_VARARGS" for s in after):
            return ""
        if not isinstance(value, int):
            return f"{value!r}; {NUMBERS}"
    return ""


def close(step: dis.Instruction) -> bool:
    return did_you_mean(step.argval, STATE).startswith("; did")


class Module(SimpleNamespace):
    """What a scheme's module has, for one that is none; equal to itself alone."""

    __eq__, __hash__ = object.__eq__, object.__hash__


def make(name: str, found: dict, hooks: Iterable[str]) -> Module:
    """A module of a user's scheme, from the names that a scheme's module may define.

    Raises HookError for a hook, ValueError for anything else that is wrong.
    """
    frozen: dict = {"codes": {}, "open": []}
    module = Module(
        TITLE=found.get("TITLE") or name,
        SOURCE=found.get("SOURCE") or "yours",
        ASSUMED=found.get("ASSUMED") or "",
        UNIT=found.get("UNIT", 1),
        PARTS=found.get("PARTS") or Parts(),
        OPTIONS=found.get("OPTIONS") or {},
        PROMISES=claims(name, found.get("PROMISES") or {}),
    )
    if type(module.UNIT) is not int or not 1 <= module.UNIT <= 1 << 40:
        raise ValueError(f"scheme {name}: unit={module.UNIT!r}; a whole number from 1 to 2**40 "
                         "is expected: the parts of a page that you count in")
    given = [hook for hook in hooks if found.get(hook) is not None]
    if not given:
        raise ValueError(f"scheme {name}: no hook is given; give {', '.join(hooks)}, or some")
    for other in misspelt(found, given, hooks):
        raise ValueError(f"scheme {name}: {other} is no hook{did_you_mean(other, hooks)}")
    for hook in given:
        check_signature(name, hook, found[hook])
        setattr(module, hook, freeze(name, hook, found[hook], frozen))
    if module.PARTS.record in ("page", "counted", "pair"):
        module.worth = found.get("worth") or whole_page
    return module


def misspelt(found: dict, given: list[str], hooks: Iterable[str]) -> list[str]:
    """Functions of the file that look like a hook that is not there."""
    missing = [hook for hook in hooks if hook not in given]
    return [
        name for name, value in found.items()
        if name not in given and get_close_matches(name, missing, 1, 0.8)
        and isinstance(value, FunctionType) and value.__module__.startswith("own_")
        and value.__code__.co_argcount == 4
    ]


def whole_page(k, e):
    """What a charge record is worth unless the scheme says otherwise."""
    return k.unit


def claims(name: str, promises: Iterable[str] | dict[str, bool]) -> dict[str, bool]:
    given = promises if isinstance(promises, dict) else dict.fromkeys(promises, True)
    for promise in given:
        if promise not in PROMISES:
            raise ValueError(f"scheme {name}: unknown promise {promise!r}"
                             f"{did_you_mean(promise, PROMISES)}")
    return {promise: bool(given.get(promise)) for promise in PROMISES}


def parts_of(name: str, base: Parts, given: dict[str, str]) -> Parts:
    """`base` with the parts given. Raises ValueError."""
    values = {f.name: getattr(base, f.name) for f in fields(Parts)}
    for part, choice in given.items():
        if part not in values:
            known = [*CHOICES, "unit", "title", "source", "promises", "worth", "base"]
            raise ValueError(f"scheme {name}: unknown part {part!r}{did_you_mean(part, known)}")
        values[part] = choice
    try:
        return Parts(**values)
    except ValueError as problem:
        raise ValueError(f"scheme {name}: {problem}") from None


def load(path: str | Path) -> tuple[str, dict]:
    """Name and contents of a scheme in a file: a module like those in this folder."""
    path = Path(path)
    name = path.stem
    if not name.isidentifier():
        raise ValueError(f"{path}: the file's name is the scheme's; letters, digits and _ only")
    if not path.exists():
        raise ValueError(f"no file {path}; `workbench schemes template > {path}` writes one")
    spec = importlib.util.spec_from_file_location(f"own_{name}", path)
    module = importlib.util.module_from_spec(spec)
    try:
        spec.loader.exec_module(module)
    except SyntaxError as problem:
        raise ValueError(f"{path}, line {problem.lineno}: {problem.msg}") from None
    except Exception as problem:
        raise ValueError(f"{path}: {type(problem).__name__}: {problem}") from problem
    found = dict(vars(module))
    found["TITLE"] = found.get("TITLE") or (module.__doc__ or "").strip().partition("\n")[0]
    return name, found
