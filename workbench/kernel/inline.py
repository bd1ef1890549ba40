"""The interpreted engine in a hurry: what never changes is put in, small functions are written out.

A page fault goes through some fifty small functions. Interpreted, a third of the time is calls, and
questions whose answer is the same throughout a replay. So for longer replays each function of the
kernel and of the scheme is written anew, as text, when it is first called:

    k.lists, SPLIT, ...         the number; of an expression what is left, of an `if` the one branch
    call_hook(k, PRICE, ...)    a call of the scheme's own function
    z = home_of(k, o, c, True)  the statements of the function, with numbers after its names

There is no second source, and nothing that could come out otherwise is done: a function is written
out before its statement only where the statement has read nothing yet, and one that returns from
inside a loop stays a function. What the writer does not know stays as it is. `Inliner.texts` shows
what came out. WORKBENCH_INLINE=0 leaves everything as it stands, for a debugger; 1: nothing.
"""

from __future__ import annotations

import ast
import builtins
import functools
import linecache
import os
import threading
import time
from collections import Counter
from dataclasses import dataclass
from pathlib import Path
from types import FunctionType

from .hooks import call_hook
from .layout import COLUMNS, FIXED

LONGEST = 50  # lines that a call may become
LEAST = 5_000  # page accesses: a shorter replay is over before anything is written
WORTH = 100_000  # page accesses under the same choices after which writing, 0.1 s, pays off
COLUMN = {name for columns in COLUMNS.values() for name in columns}
LOADED = time.time()
SIGNS = {
    "Add": "+", "Sub": "-", "Mult": "*", "FloorDiv": "//", "Mod": "%", "LShift": "<<",
    "RShift": ">>", "BitAnd": "&", "BitOr": "|", "Eq": "==", "NotEq": "!=", "Lt": "<", "LtE": "<=",
    "Gt": ">", "GtE": ">=", "Not": "not", "USub": "-", "Invert": "~",
}


class Unknown(Exception):
    """The writer cannot write this out."""


@functools.cache
def parsed(function: FunctionType) -> ast.FunctionDef:
    """The function as it stands in its file, which must be as it was when it was loaded."""
    code = function.__code__
    file = Path(code.co_filename)
    if code.co_freevars or not file.is_file() or file.stat().st_mtime > LOADED:
        raise Unknown("source")
    lines = linecache.getlines(code.co_filename)
    start = end = code.co_firstlineno - 1
    while end + 1 < len(lines) and lines[end + 1][:1] in " )#\n":
        end += 1
    try:
        tree = ast.parse("".join(lines[start : end + 1])).body[0]
    except SyntaxError:  # it stands inside something
        tree = None
    if not isinstance(tree, ast.FunctionDef) or tree.decorator_list or tree.name != code.co_name:
        raise Unknown("source")
    if ast.unparse(tree.args) != ", ".join(code.co_varnames[: code.co_argcount]):
        raise Unknown("arguments")
    return tree


def arguments(function: FunctionType) -> list[str]:
    return [arg.arg for arg in parsed(function).args.args]


@functools.cache
def stored(function: FunctionType) -> set[str]:
    """The names that the function sets."""
    nodes = ast.walk(parsed(function))
    return {n.id for n in nodes if isinstance(n, ast.Name) and isinstance(n.ctx, ast.Store)}


@functools.cache
def has(node: ast.AST, kind: type) -> bool:
    return isinstance(node, kind) or any(has(n, kind) for n in ast.iter_child_nodes(node))


@functools.cache
def number(text: str) -> int:
    return eval(text)


def returns(stmts: list[ast.stmt]) -> bool:
    """Does every way through the statements end in a return?"""
    last = stmts[-1] if stmts else None
    both = isinstance(last, ast.If) and returns(last.body) and returns(last.orelse)
    return both or isinstance(last, ast.Return)


def split(choice: ast.IfExp, make) -> ast.If:
    """A statement of one of two values as one of two statements."""
    return ast.If(choice.test, [make(choice.body)], [make(choice.orelse)])


def indented(lines: list[str]) -> list[str]:
    return [" " + line for line in lines or ["pass"]]


@dataclass
class Frame:
    """A function being written: what its names are in the text, where its result goes."""

    function: FunctionType
    names: dict[str, str | int]
    result: str = "return"  # or a name; "": nobody wants it

    def give(self, value: str | int | None) -> str:
        return f"return {value}" if self.result == "return" else f"{self.result} = {value}"


class Inliner:
    """The kernel under one scheme and one set of choices."""

    def __init__(self, fixed: dict[str, int], hooks: tuple[FunctionType, ...]) -> None:
        self.fixed, self.hooks = fixed | {"prefetch": 0}, hooks  # hints are for processors
        self.names: dict[FunctionType, str] = {}  # in the text
        self.scope: dict[str, object] = {}  # the text's globals
        self.texts: dict[str, str] = {}
        self.found: dict[tuple[int, str], tuple] = {}  # what a name stood for in which module
        self.never: set[tuple[FunctionType, bool]] = set()  # written out
        self.inside: list[FunctionType] = []  # being written, the innermost last
        self.count = 0
        # of the statement at hand: the lines to go before it (None: none may), and whether it has
        # read memory or called something yet
        self.before: list[str] | None = None
        self.touched = False
        self.lock = threading.Lock()

    def name(self, function) -> str:
        """The function's name in the text, where it is written when it is first called."""
        if getattr(builtins, function.__name__, None) is function:
            return function.__name__
        if function not in self.names:
            name = self.names[function] = f"{function.__name__.strip('<>')}__{len(self.names)}"

            def first(*args):
                with self.lock:
                    if self.scope[name] is first:
                        self.scope[name] = self.written(function, name)
                return self.scope[name](*args)

            self.scope[name] = first
        return self.names[function]

    def written(self, function, name: str):
        self.inside = [function]
        try:
            names = {name: name for name in function.__code__.co_varnames}
            lines = self.block(parsed(function).body, Frame(function, names), True)
        except Unknown:
            return function
        head = f"def {name}({', '.join(arguments(function))}):"
        self.texts[name] = "\n".join([head, *indented(lines)])
        exec(compile(self.texts[name], f"<{name}>", "exec"), self.scope)
        return self.scope[name]

    def current(self) -> bool:
        """Are the functions still those that were read?"""
        return all(scope.get(name) is was for (_, name), (scope, was) in self.found.items())

    # expressions: a number where it is known, else text

    def expr(self, e, f: Frame) -> str | int | None:
        return getattr(self, "on_" + type(e).__name__, self.unknown)(e, f)

    def unknown(self, node, *rest):
        raise Unknown(type(node).__name__)

    def on_Constant(self, e, f):
        return self.unknown(e) if isinstance(e.value, str) else e.value

    def on_Name(self, e, f):
        if e.id in f.names:
            return f.names[e.id]
        value = f.function.__globals__.get(e.id)
        return value if type(value) in (int, bool) else self.unknown(e)

    def on_Attribute(self, e, f):
        if e.attr in self.fixed:
            return self.fixed[e.attr]
        self.touched |= e.attr not in COLUMN  # a column is always the same, what is in it is not
        return f"{self.expr(e.value, f)}.{e.attr}"

    def on_Subscript(self, e, f):
        text = f"{self.expr(e.value, f)}[{self.expr(e.slice, f)}]"
        self.touched = True
        return text

    def on_Compare(self, e, f):
        return self.operation(e.ops, f, e.left, *e.comparators)

    def on_BinOp(self, e, f):
        return self.operation([e.op], f, e.left, e.right)

    def on_UnaryOp(self, e, f):
        return self.operation([e.op], f, e.operand)

    def operation(self, ops, f, *operands):
        values = [self.expr(operand, f) for operand in operands]
        text = "" if len(values) == len(ops) else str(values[0])
        for op, value in zip(ops, values[-len(ops) :], strict=True):
            text += f" {SIGNS.get(type(op).__name__) or self.unknown(op)} {value}"
        return f"({text})" if any(isinstance(value, str) for value in values) else number(text)

    def sometimes(self, e, f):
        """What may not be evaluated at all, or later: nothing of it goes before the statement."""
        before, self.before = self.before, None
        value = self.expr(e, f)
        self.before = before
        return value

    def on_BoolOp(self, e, f):
        settles, found = isinstance(e.op, ast.Or), []
        for operand in e.values:
            value = self.sometimes(operand, f) if found else self.expr(operand, f)
            known = not isinstance(value, str)
            if not known or bool(value) == settles or operand is e.values[-1]:
                found.append(value)
            if known and bool(value) == settles:
                break
        word = " or " if settles else " and "
        return found[0] if len(found) == 1 else f"({word.join(map(str, found))})"

    def on_IfExp(self, e, f):
        test = self.expr(e.test, f)
        if not isinstance(test, str):
            return self.expr(e.body if test else e.orelse, f)
        return f"({self.sometimes(e.body, f)} if {test} else {self.sometimes(e.orelse, f)})"

    # calls

    def called(self, e, f):
        """The function that is called, and its arguments."""
        if not isinstance(e.func, ast.Name) or e.keywords:
            raise Unknown("call")
        scope, name, args = f.function.__globals__, e.func.id, e.args
        function = scope.get(name) or getattr(builtins, name, None)
        self.found[id(scope), name] = scope, scope.get(name)
        if not hasattr(function, "__name__"):
            raise Unknown("call")
        if function is call_hook:
            return self.hooks[self.expr(args[1], f)], [args[0], *args[2:]]
        return function, args

    def on_Call(self, e, f):
        function, args = self.called(e, f)
        try:
            return self.inline(function, args, f, None)
        except Unknown:
            values = [str(self.expr(arg, f)) for arg in args]
        self.touched = True
        return f"{self.name(function)}({', '.join(values)})"

    def inline(self, function, args, f, result: str | None) -> str:
        """What a call's value is; what has to be done for it goes before the statement at hand."""
        if not isinstance(function, FunctionType) or function in self.inside:
            raise Unknown("call")
        if (function, result == "return") in self.never:
            raise Unknown("never")
        self.count += 1
        wanted = f"_{self.count}" if result is None else result
        names = {name: f"{name}_{self.count}" for name in function.__code__.co_varnames}
        outer, touched, inside = self.before, self.touched, self.inside
        may, lines = outer is not None, []
        try:
            self.before = lines if may else None
            for name, arg in zip(arguments(function), args, strict=True):
                self.bind(name, arg, function, names, f)
            if (not may or touched) and len(parsed(function).body) > 3:
                raise Unknown("order")
            self.inside = [*inside, function]
            try:
                body = self.block(parsed(function).body, Frame(function, names, wanted), True)
            except Unknown:
                self.never.add((function, wanted == "return"))
                raise
            if result is None and len(body) == 1 and body[0].startswith(f"{wanted} = "):
                wanted = body.pop().partition(" = ")[2]  # an expression, which stays in its place
                touched = True
            elif len(body) > LONGEST:
                self.never |= {(function, True), (function, False)}
                raise Unknown("large")
            elif body and (not may or touched):
                raise Unknown("order")
            if may:
                outer += lines + body
            return wanted
        finally:
            self.before, self.touched, self.inside = outer, touched, inside

    def bind(self, name, arg, function, names, f) -> None:
        """What a parameter is: the argument itself where that does no harm, else a variable."""
        touched = self.touched
        value = self.expr(arg, f)
        if name not in stored(function) and (not isinstance(value, str) or value.isidentifier()):
            names[name] = value
        elif self.before is not None and not touched:
            self.before.append(f"{names[name]} = {value}")
            self.touched = False
        else:
            raise Unknown("argument")

    # statements: lines of text, and whether their function ends with them

    def block(self, stmts, f: Frame, last: bool) -> list[str]:
        """last: after the statements their function ends."""
        lines, stmts, done = [], list(stmts), False
        while stmts and not done:
            s = stmts.pop(0)
            self.before, self.touched = [], False
            more, done = getattr(self, "do_" + type(s).__name__, self.unknown)(s, f, stmts, last)
            lines += more
        return lines if done or not last or not f.result else [*lines, f.give(None)]

    def put(self, *lines: str):
        return [*self.before, *lines], False

    def whole(self, e, f, result: str) -> bool:
        """Is it a call that can be written out, with its result where it is wanted?"""
        if isinstance(e, ast.Call):
            try:
                self.inline(*self.called(e, f), f, result)
                return True
            except Unknown:
                pass
        return False

    def do_Pass(self, s, f, rest, last):
        return self.put(ast.unparse(s))

    do_Break = do_Continue = do_Pass

    def do_Expr(self, s, f, rest, last):
        if isinstance(s.value, ast.Constant) or self.whole(s.value, f, ""):
            return self.put()
        value = str(self.expr(s.value, f))  # which may change self.before
        return self.put(value)

    def do_Assign(self, s, f, rest, last):
        target = s.targets[0]
        if len(s.targets) > 1:
            return self.unknown(s)
        if isinstance(s.value, ast.IfExp) and has(s.value, ast.Call):
            rest.insert(0, split(s.value, lambda value: ast.Assign([target], value)))
            return self.put()
        if isinstance(target, ast.Name) and self.whole(s.value, f, f.names[target.id]):
            return self.put()
        value = self.expr(s.value, f)
        return self.put(f"{self.sometimes(target, f)} = {value}")

    def do_AugAssign(self, s, f, rest, last):
        target = self.sometimes(s.target, f)
        value = self.expr(s.value, f)
        return self.put(f"{target} {SIGNS.get(type(s.op).__name__) or self.unknown(s)}= {value}")

    def do_Return(self, s, f, rest, last):
        if not last and f.result != "return":
            raise Unknown("a return on the way, or from inside a loop")
        if isinstance(s.value, ast.IfExp) and has(s.value, ast.Call):
            rest[:] = [split(s.value, ast.Return)]
            return self.put()
        if self.whole(s.value, f, f.result):
            return self.before, True
        value = self.expr(s.value, f) if s.value else None
        if f.result:
            return [*self.before, f.give(value)], True
        return [*self.before, *[str(value)] * has(s, ast.Call)], True

    def do_If(self, s, f, rest, last):
        test = self.expr(s.test, f)
        lines, body, orelse = self.before, s.body, s.orelse
        if not isinstance(test, str):
            rest[:0] = body if test else orelse
            return lines, False
        if f.result != "return" and has(s, ast.Return) and rest:
            # what follows goes into the branch that does not return
            if not returns(body) and not returns(orelse):
                raise Unknown("a return on the way")
            body, orelse = (body, orelse + rest) if returns(body) else (body + rest, orelse)
            rest.clear()
        last = last and not rest
        lines += [f"if {test}:", *indented(self.block(body, f, last))]
        other = self.block(orelse, f, last)
        return lines + (["else:", *indented(other)] if other else []), last

    def do_While(self, s, f, rest, last):
        if s.orelse:
            self.unknown(s)
        test = self.sometimes(s.test, f)
        return [f"while {test}:", *indented(self.block(s.body, f, False))], False

    def do_For(self, s, f, rest, last):
        if s.orelse:
            self.unknown(s)
        line = f"for {f.names[s.target.id]} in {self.expr(s.iter, f)}:"
        return [*self.before, line, *indented(self.block(s.body, f, False))], False


_accesses: Counter[tuple] = Counter()  # replayed under each set of choices
_made: dict[tuple, Inliner] = {}


def chosen(k, *entries: FunctionType) -> tuple:
    """What to replay with: entry points of the kernel as they stand, or written anew.

    A replay of fewer than LEAST page accesses runs as it stands, and so do hooks that a user wrote.
    """
    mode = os.environ.get("WORKBENCH_INLINE", "")
    accesses = sum(k.ev_count)
    if mode == "0" or any(hook.__closure__ for hook in k.hooks) or (not mode and accesses < LEAST):
        return entries
    key = tuple(getattr(k, name) for name in FIXED), tuple(k.hooks)
    _accesses[key] += accesses
    if not mode and _accesses[key] < WORTH:
        return entries
    if key not in _made or not _made[key].current():
        _made[key] = Inliner(dict(zip(FIXED, key[0], strict=True)), key[1])
    return tuple(_made[key].scope[_made[key].name(entry)] for entry in entries)
