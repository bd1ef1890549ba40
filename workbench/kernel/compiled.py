"""The compiled way to run: the same functions over numpy columns, through numba.

`functions()` links the plain functions of `kernel` into one compiled engine, once; `hook_address`
compiles a hook of a scheme, and the engine calls it by its address, so a new scheme never
recompiles it. To numba the state is one number (`compiled_types`): nothing is reference-counted,
and the functions stay what they are. `linking` puts them together.

Cost: about 10 s for the engine when its source has changed, then about 0.2 s from the disk cache.
"""

from __future__ import annotations

import copy
import functools
import hashlib
import operator
import os
import sys
import tempfile
import threading
import types as python_types
from collections.abc import Callable
from concurrent.futures import Future
from pathlib import Path

import numba
import numpy as np
from numba import cfunc, njit, types
from numba.extending import intrinsic

from . import replay, tables
from .compiled_types import (
    CHECKED, COLUMN, DTYPES, I64, LENGTHS_AT, RECORDS, alone, checked_at, scalar_pointer, state_at,
)
from .guard import RESULTS, mistake
from .layout import COLUMNS, SCALARS
from .linking import OPTIONS, Whole, compile_plain, compiling
from .names import TROUBLE
from .state import State, read_value

SCALARS_OF = operator.attrgetter(*SCALARS)
LOOSE = tuple(COLUMNS["event"])  # columns that are no field of a record


def source_key(*files: Path) -> str:
    """What compiled code depends on: our sources, numba and numpy, Python, the processor.

    And, as numba's cache knows it by these, the path and the age of this file.
    """
    digest = hashlib.sha256(f"{numba.__version__} {np.__version__} {sys.version}".encode())
    digest.update(f"{__file__} {os.stat(__file__).st_mtime}".encode())
    digest.update(str(numba.core.codegen.get_host_cpu_features()).encode())
    for file in sorted(files):
        digest.update(file.read_bytes())
    return digest.hexdigest()[:16]


def kernel_sources() -> list[Path]:
    return sorted(Path(__file__).parent.glob("*.py"))


def cache_folder(key: str) -> Path:
    """Where compiled code is kept: the user's cache, or a private temporary folder."""
    uid = os.getuid() if hasattr(os, "getuid") else 0
    base = os.environ.get("XDG_CACHE_HOME") or os.path.expanduser("~/.cache")
    for root in (Path(base), Path(tempfile.gettempdir()) / f"workbench-{uid}"):
        folder = root / "workbench" / key
        try:
            folder.mkdir(parents=True, exist_ok=True, mode=0o700)
            ours = not hasattr(os, "getuid") or folder.stat().st_uid == uid
            if ours and os.access(folder, os.W_OK):
                return folder
        except OSError:
            continue
    return private_folder()


@functools.cache
def private_folder() -> Path:
    return Path(tempfile.mkdtemp(prefix="workbench-"))


def is_cached() -> bool:
    """Whether the engine is compiled on the disk."""
    return any(cache_folder(source_key(*kernel_sources())).rglob("*truth-*.nbc"))


def cached(key: str, decorate: Callable, function: Callable, signature_, **options):
    """Decorate with numba's disk cache in a folder of our own (it ignores edits of callees)."""
    before = numba.config.CACHE_DIR
    numba.config.CACHE_DIR = str(cache_folder(key))
    try:
        with compiling(Whole):
            return decorate(signature_, cache=True, **OPTIONS, **options)(function)
    finally:
        numba.config.CACHE_DIR = before


def named(template: Callable, name: str, **scope) -> Callable:
    """A copy of a template function with its own name (the cache's key) and globals."""
    copy = python_types.FunctionType(template.__code__, template.__globals__ | scope, name)
    copy.__qualname__, copy.__module__ = name, template.__module__
    return copy


def run_template(address, start, stop):
    return plain(state_at(address), start, stop)  # noqa: F821


def rehash_template(address, old_slots):
    return plain(state_at(address), old_slots)  # noqa: F821


def truth_template(address, unit):
    return plain(state_at(address), unit)  # noqa: F821


def hook_template(address, page, c, paid):
    return plain(state_at(address), page, c, paid)  # noqa: F821


@intrinsic
def attempt(typing, hook, state, page, c, paid):
    """Call a user's hook; where it fails, or its result cannot be, the machine stops."""
    made = hook.dispatcher.overloads[CHECKED, types.int64, types.int64, types.int64]

    def generate(context, builder, sig, args):
        context.add_linking_libs([made.library])
        status, found = context.call_internal_no_propagate(
            builder, made.fndesc, made.signature, args[1:]
        )
        result, wrong = I64(0), status.is_error
        if hook.dispatcher.result:
            result = context.cast(builder, found, made.signature.return_type, types.int64)
            wrong = builder.or_(wrong, builder.icmp_signed("<", result, I64(0)))
        if hook.dispatcher.result == "container":
            there = builder.load(scalar_pointer(builder, args[1], "containers"))
            wrong = builder.or_(wrong, builder.icmp_signed(">=", result, there))
        with builder.if_then(wrong, likely=False):
            for name, value in (("trouble", 1), ("hung", TROUBLE)):
                pointer = scalar_pointer(builder, args[1], name)
                alone(builder, builder.store(I64(value), pointer), f"k.{name}")
        return builder.select(wrong, I64(0), result)

    return types.int64(hook, CHECKED, *[types.int64] * 3), generate


def own_template(address, page, c, paid):
    return attempt(plain, checked_at(address), page, c, paid)  # noqa: F821


@functools.cache
def functions() -> tuple[Callable, Callable, Callable]:
    """The compiled engine: run(k, start, stop), rehash(k, old_slots), truth(k, unit)."""
    key = source_key(*kernel_sources())
    if not is_cached() and sys.stderr.isatty():
        print("compiling the simulated kernel (once, about ten seconds) ...", file=sys.stderr)

    def entry(template, plain, name, *args, result=types.int64):
        function = named(template, name, plain=compile_plain(plain))
        done = cached(key, njit, function, result(*args))
        return lambda k, *rest: k.call(done, *rest)

    i64 = types.int64
    return (
        entry(run_template, replay.run, "run", i64, i64, i64),
        entry(rehash_template, tables.rehash, "rehash", i64, i64, result=types.none),
        entry(truth_template, replay.truth, "truth", i64, i64, result=types.none),
    )


@functools.cache
def hook_address(function: Callable, name: str) -> tuple[int, object]:
    """The machine address of a scheme's hook, and what keeps it alive.

    A user's hook (`__own__` among its globals) may come from a notebook cell: compiled in memory,
    every time, with checks. Ours are kept on disk.
    """
    own = "__own__" in function.__globals__
    i64 = types.int64
    file = Path(function.__code__.co_filename)
    whole = f"{function.__module__}.{function.__qualname__}".replace(".", "_")
    key = "" if own or not file.exists() else source_key(*kernel_sources(), file)
    part = compile_plain(function)
    if own:
        part.compile((CHECKED, i64, i64, i64))
        part.result = RESULTS.get(name)
        template = named(own_template, name, plain=part)
        done = cfunc(i64(i64, i64, i64, i64), **OPTIONS)(template)
        return done.address, done
    template = named(hook_template, whole, plain=part)
    if not key:
        done = cfunc(i64(i64, i64, i64, i64), **OPTIONS)(template)
    else:
        done = cached(key, cfunc, template, i64(i64, i64, i64, i64))
    return done.address, done


def interruptible(call: Callable[[], int], *memory: object) -> int:
    """The result of `call`, from a thread of its own: Ctrl-C leaves a hook that never ends, though
    it goes on, on memory that the thread holds, until the process ends."""
    result: Future = Future()

    def work(*_: object) -> None:
        try:
            result.set_result(call())
        except BaseException as problem:
            result.set_exception(problem)

    threading.Thread(target=work, args=memory, daemon=True).start()
    return result.result()


class CompiledState(State):
    """A state whose columns are numpy arrays; scalars travel through one array at every call."""

    def new_column(self, bits: int, size: int) -> np.ndarray:
        return np.zeros(size, DTYPES[bits])

    def from_values(self, bits: int, values) -> np.ndarray:
        return np.ascontiguousarray(values, DTYPES[bits])

    def new_table(self, table: str, size: int) -> None:
        self.set_records(table, np.zeros(size, RECORDS[table]))

    def row_bytes(self, table: str) -> int:
        return RECORDS[table].itemsize

    def resize_table(self, table: str, size: int) -> None:
        larger = np.zeros(size, RECORDS[table])
        old = self.records[table]
        copied = min(old.nbytes, larger.nbytes)
        larger.view(np.uint8)[:copied] = old.view(np.uint8)[:copied]  # as bytes: ten times faster
        self.set_records(table, larger)

    def insert_rows(self, table: str, at: int, rows: int) -> None:
        old = self.records[table]
        larger = np.zeros(len(old) + rows, old.dtype)
        first, last = at * old.itemsize, (at + rows) * old.itemsize
        larger.view(np.uint8)[:first] = old.view(np.uint8)[:first]
        larger.view(np.uint8)[last:] = old.view(np.uint8)[first:]
        self.set_records(table, larger)

    def set_records(self, table: str, records: np.ndarray) -> None:
        self.records[table] = records
        base = records.ctypes.data
        for name in COLUMNS[table]:
            setattr(self, name, records[name])
            self.bases[COLUMN[name]] = base + records.dtype.fields[name][1]

    def copy(self) -> CompiledState:
        """As in `State`: the records are copied, and every column is a field of the new ones."""
        other = copy.copy(self)
        other.records, other.bases = {}, self.bases.copy()
        for table, records in self.records.items():
            other.set_records(table, records.copy())
        other.ev_outcome = self.ev_outcome.copy()
        return other

    def fill(self, column, start: int, stop: int, value: int) -> None:
        column[start:stop] = value

    def __init__(self, trace, machine, knobs, scheme, *rest) -> None:
        self.records: dict[str, np.ndarray] = {}
        self.bases = [0] * len(COLUMN)  # the address of every column
        super().__init__(trace, machine, knobs, scheme, *rest)
        self.addresses = []
        for name, hook in scheme.hooks.items():
            try:
                self.addresses.append(hook_address(hook, name)[0])
            except numba.core.errors.NumbaError as problem:
                line = getattr(problem.loc, "line", hook.__code__.co_firstlineno)
                words = str(problem).partition("\n")[2].partition("\n")[0]
                words = "never comes to a `return`" if "none to int64" in words else (
                    f"cannot be compiled: {words}")
                raise mistake(scheme.label, name, hook, line, words) from problem
        if scheme.own:
            room = LENGTHS_AT - len(COLUMN) - 1 - len(self.addresses)
            self.addresses += [0] * room

    def load_events(self, trace, knobs) -> None:
        """As in `State`, without a loop over the events that carry no value."""
        op, target = np.asarray(trace.op), np.asarray(trace.target)
        value = np.asarray(trace.value)
        bases = np.append(self.obj_base[: self.objects], 0)
        pages = (op < 9) | (op == 25)
        at = np.where(pages, bases[np.where(pages, target, -1)] + np.asarray(trace.page), target)
        arg = np.where(pages, target, 0).astype(np.int32)
        amount = np.zeros(len(op), np.int64)
        for i in np.flatnonzero(value):
            arg[i], amount[i] = read_value(op[i], trace.values[value[i]], arg[i], knobs)
        self.ev_op = self.from_values(8, op)
        self.ev_task = self.from_values(32, np.asarray(trace.task))
        self.ev_at = self.from_values(32, at)
        self.ev_count = self.from_values(32, np.asarray(trace.count))
        self.ev_arg = arg
        self.ev_value = amount
        self.ev_outcome = self.new_column(8, len(op))

    def call(self, function: Callable, *args):
        """Run a compiled function on this state."""
        scalars = np.array(SCALARS_OF(self), np.int64)
        for name in LOOSE:
            self.bases[COLUMN[name]] = getattr(self, name).ctypes.data
        cells = [*self.bases, scalars.ctypes.data, *self.addresses]
        if len(cells) == LENGTHS_AT:  # hooks that look before they leap
            cells += [len(getattr(self, name)) for name in COLUMN]
        table = np.array(cells, np.int64)
        if len(cells) > LENGTHS_AT:
            result = interruptible(lambda: function(table.ctypes.data, *args), self, scalars)
        else:
            result = function(table.ctypes.data, *args)
        for name, value in zip(SCALARS, scalars.tolist(), strict=True):
            setattr(self, name, value)
        return result

    def as_plain(self) -> State:
        """The same machine at this moment, to go on interpreted."""
        k = object.__new__(State)
        for name in [*COLUMN, *SCALARS, *vars(self)]:
            if name not in ("records", "addresses", "bases"):
                value = getattr(self, name)
                setattr(k, name, value.tolist() if isinstance(value, np.ndarray) else value)
        return k
