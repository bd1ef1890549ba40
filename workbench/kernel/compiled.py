"""The compiled way to run: the same functions over numpy columns, through numba.

`functions()` links the plain functions of `kernel` into one compiled engine, once; `hooks_of`
compiles the three functions of a scheme, and the engine calls them by address, so a new scheme
never recompiles it. To numba the state is one number: the address of a table that holds the base
address of every column. Nothing is reference-counted, and the functions stay what they are.

Cost: about 10 s for the engine when its source has changed, then about 0.2 s from the disk cache.
"""

from __future__ import annotations

import contextlib
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
from llvmlite import ir
from llvmlite.binding import Linkage, create_pass_builder, create_pipeline_tuning_options
from numba import cfunc, njit, types
from numba.core import compiler, typed_passes, untyped_passes
from numba.core.codegen import JITCodeLibrary
from numba.core.compiler_lock import global_compiler_lock
from numba.core.compiler_machinery import PassManager
from numba.core.datamodel import models, register_default
from numba.core.imputils import lower_builtin, lower_getattr_generic, lower_setattr_generic
from numba.core.registry import CPUDispatcher, cpu_target
from numba.core.typing.templates import (
    AbstractTemplate,
    AttributeTemplate,
    infer_getattr,
    infer_global,
    signature,
)
from numba.extending import intrinsic

from . import hooks as hooks_module
from . import replay, tables
from .guard import RESULTS, mistake
from .layout import COLUMNS, CONSTANTS, SCALARS
from .names import TROUBLE
from .state import State, read_value

BITS = {name: bits for table in COLUMNS.values() for name, bits in table.items()}
COLUMN = {name: i for i, name in enumerate(BITS)}
SCALAR = {name: i for i, name in enumerate(SCALARS)}
DTYPES = {8: np.uint8, 16: np.int16, 32: np.int32, 64: np.int64}
RECORDS = {
    table: np.dtype([(name, DTYPES[bits]) for name, bits in columns.items()])
    for table, columns in COLUMNS.items()
}
STRIDE = {
    name: DTYPES[bits]().itemsize if table == "event" else RECORDS[table].itemsize
    for table, columns in COLUMNS.items()
    for name, bits in columns.items()
}
# the column whose address a column is reached from, and how far it is: the first of its record
BASE = {
    name: (name if table == "event" else next(iter(columns)))
    for table, columns in COLUMNS.items()
    for name in columns
}
OFFSET = {
    name: 0 if table == "event" else RECORDS[table].fields[name][1]
    for table, columns in COLUMNS.items()
    for name in columns
}
INLINE = 400  # LLVM's measure of how large a function may be to be copied into its caller
OPTIONS = {"nogil": True, "error_model": "numpy", "boundscheck": False}
LINKED = OPTIONS | {"nopython": True, "no_cpython_wrapper": True, "no_cfunc_wrapper": True}
I64, I32, BYTE = ir.IntType(64), ir.IntType(32), ir.IntType(8)
# the table: an address per column, then of the scalars, then the three hooks
SCALARS_AT = len(COLUMN)
HOOKS_AT = SCALARS_AT + 1
LENGTHS_AT = HOOKS_AT + 8  # every column's rows, for checked hooks alone; 8: room for hooks
SCALARS_OF = operator.attrgetter(*SCALARS)
LOOSE = tuple(COLUMNS["event"])  # columns that are no field of a record


# ---- what numba has to know about the state --------------------------------------------------


class StateType(types.Type):
    """The address of a state's table."""

    def __init__(self) -> None:
        super().__init__(name="State")


class ColumnType(types.Type):
    """One column: the address of its table."""

    def __init__(self, column: str) -> None:
        self.bits = BITS[column]
        self.stride, self.offset = STRIDE[column], OFFSET[column]
        super().__init__(name=f"Column({column})")


class CheckedType(StateType):
    """The same for hooks that a user wrote: every index and number is looked at (`guard`)."""

    def __init__(self) -> None:
        types.Type.__init__(self, name="Checked")


class CheckedColumn(ColumnType):
    def __init__(self, column: str) -> None:
        super().__init__(column)
        self.column = column
        self.name = f"Checked({column})"


STATE, CHECKED = StateType(), CheckedType()


@register_default(StateType)
@register_default(CheckedType)
@register_default(ColumnType)
@register_default(CheckedColumn)
class AddressModel(models.PrimitiveModel):
    def __init__(self, manager, numba_type) -> None:
        super().__init__(manager, numba_type, I64)


@infer_getattr
class StateAttributes(AttributeTemplate):
    key = StateType

    def generic_resolve(self, state, name: str):
        if name in COLUMN:
            return CheckedColumn(name) if isinstance(state, CheckedType) else ColumnType(name)
        return types.int64 if name in SCALAR else None


def alone(builder, access, name: str):
    """Tell the optimiser (TBAA) that what bears this name never overlaps what bears another."""
    module = builder.module
    root = module.add_metadata(["workbench state"])
    kind = module.add_metadata([name, root, I64(0)])
    access.set_metadata("tbaa", module.add_metadata([kind, kind, I64(0)]))
    return access


def unchanging(builder, access):
    """Tell the optimiser that what is read never changes during a call."""
    access.set_metadata("invariant.load", builder.module.add_metadata([]))
    return access


def table_cell(builder, state, index: int):
    """The content of one cell of the table."""
    table = builder.inttoptr(state, I64.as_pointer())
    return unchanging(builder, builder.load(builder.gep(table, [I64(index)])))


def scalar_pointer(builder, state, name: str):
    base = builder.inttoptr(table_cell(builder, state, SCALARS_AT), I64.as_pointer())
    return builder.gep(base, [I64(SCALAR[name])])


@lower_getattr_generic(StateType)
def get_attribute(context, builder, state_type, state, name: str):
    if name in COLUMN:
        column = COLUMN[BASE[name]]
        if isinstance(state_type, CheckedType):  # its length is looked up when it is used
            return builder.add(state, I64(8 * column))
        return table_cell(builder, state, column)
    value = builder.load(scalar_pointer(builder, state, name))
    return unchanging(builder, value) if name in CONSTANTS else alone(builder, value, f"k.{name}")


@lower_setattr_generic(StateType)
def set_attribute(context, builder, sig, args, name: str) -> None:
    value = context.cast(builder, args[1], sig.args[1], types.int64)
    if name == "warnings" and isinstance(sig.args[0], CheckedType):
        broken = builder.load(scalar_pointer(builder, args[0], "has_broken"))
        refuse(context, builder, builder.icmp_signed("==", broken, I64(0)))
    alone(builder, builder.store(value, scalar_pointer(builder, args[0], name)), f"k.{name}")


@infer_global(operator.getitem)
class ColumnGet(AbstractTemplate):
    def generic(self, args, keywords):
        if isinstance(args[0], ColumnType):
            return signature(types.int64, args[0], types.int64)


@infer_global(operator.setitem)
class ColumnSet(AbstractTemplate):
    def generic(self, args, keywords):
        if isinstance(args[0], ColumnType):
            return signature(types.none, args[0], types.int64, types.int64)


def item_pointer(builder, column: ColumnType, base, index):
    """The address of one cell: rows are records, the base is where the first record begins."""
    byte = builder.mul(index, I64(column.stride), flags=("nsw",))
    row = builder.gep(builder.inttoptr(base, BYTE.as_pointer()), [byte])
    cell = builder.gep(row, [I64(column.offset)])
    return builder.bitcast(cell, ir.IntType(column.bits).as_pointer())


def refuse(context, builder, wrong) -> None:
    """Leave a hook where a test fails; what was wrong is found out when it is done again."""
    with builder.if_then(wrong, likely=False):
        context.call_conv.return_user_exc(builder, IndexError, ())


def checked_base(context, builder, address, index):
    """The base of a checked column, of which we hold the table cell; leaves if there is no row."""
    cell = builder.inttoptr(address, I64.as_pointer())
    rows = builder.load(builder.gep(cell, [I64(LENGTHS_AT)]))
    refuse(context, builder, builder.icmp_unsigned(">=", index, rows))
    return builder.load(cell)


@lower_builtin(operator.getitem, CheckedColumn, types.Integer)
def get_checked(context, builder, sig, args):
    column, kind = sig.args
    index = context.cast(builder, args[1], kind, types.int64)
    base = checked_base(context, builder, args[0], index)
    plain = types.int64(ColumnType(column.column), types.int64)
    return get_item(context, builder, plain, (base, index))


@lower_builtin(operator.setitem, CheckedColumn, types.Integer, types.Integer)
def set_checked(context, builder, sig, args):
    column, *kinds = sig.args
    index, value = (
        context.cast(builder, arg, kind, types.int64)
        for arg, kind in zip(args[1:], kinds, strict=True)
    )
    base = checked_base(context, builder, args[0], index)
    if column.bits < 64:
        narrow = builder.trunc(value, ir.IntType(column.bits))
        wide = builder.zext(narrow, I64) if column.bits == 8 else builder.sext(narrow, I64)
        refuse(context, builder, builder.icmp_signed("!=", wide, value))
    if column.column == "usage":
        refuse(context, builder, builder.icmp_signed("<", value, I64(0)))
    plain = types.none(ColumnType(column.column), types.int64, types.int64)
    return set_item(context, builder, plain, (base, index, value))


@lower_builtin(operator.getitem, ColumnType, types.Integer)
def get_item(context, builder, sig, args):
    bits = sig.args[0].bits
    column = sig.args[0]
    value = alone(builder, builder.load(item_pointer(builder, column, *args)), column.name)
    if bits == 64:
        return value
    return builder.zext(value, I64) if bits == 8 else builder.sext(value, I64)


@lower_builtin(operator.setitem, ColumnType, types.Integer, types.Integer)
def set_item(context, builder, sig, args):
    bits = sig.args[0].bits
    base, index, value = args
    if bits < 64:
        value = builder.trunc(value, ir.IntType(bits))
    column = sig.args[0]
    alone(builder, builder.store(value, item_pointer(builder, column, base, index)), column.name)
    return context.get_dummy_value()


@intrinsic
def state_at(typing, address):
    """Read a number as the address of a state's table."""
    return STATE(types.int64), lambda context, builder, sig, args: args[0]


@intrinsic
def checked_at(typing, address):
    """The same for hooks that a user wrote."""
    return CHECKED(types.int64), lambda context, builder, sig, args: args[0]


@intrinsic
def call_hook(typing, state, which, page, c, paid):
    """Call one of the scheme's hooks by its address."""

    def generate(context, builder, sig, args):
        state, which, *rest = args
        table = builder.inttoptr(state, I64.as_pointer())
        address = builder.load(builder.gep(table, [builder.add(I64(HOOKS_AT), which)]))
        kind = ir.FunctionType(I64, [I64] * 4)
        return builder.call(builder.inttoptr(address, kind.as_pointer()), [state, *rest])

    return types.int64(STATE, *[types.int64] * 4), generate


@intrinsic
def prefetch(typing, column, index):
    """Ask for the cache line of one cell."""

    def generate(context, builder, sig, args):
        pointer = builder.bitcast(item_pointer(builder, sig.args[0], *args), BYTE.as_pointer())
        kind = ir.FunctionType(ir.VoidType(), [BYTE.as_pointer(), I32, I32, I32])
        name = "llvm.prefetch.p0"
        function = builder.module.globals.get(name) or ir.Function(builder.module, kind, name)
        builder.call(function, [pointer, I32(1), I32(3), I32(1)])
        return context.get_dummy_value()

    return types.void(column, types.int64), generate


# ---- linking the plain functions -------------------------------------------------------------
#
# numba optimises every function with all it calls, then its caller with all that, and so on up:
# two thirds of the time go into code that nobody runs. Here only the entry point is optimised.


class Part(JITCodeLibrary):
    """The code of a linked function: only ever a part of an entry point, not to be run itself."""

    def _optimize_final_module(self) -> None:
        pass

    def _finalize_final_module(self) -> None:
        self._finalized = True

    def get_pointer_to_function(self, name: str) -> int:
        return 0


class Whole(JITCodeLibrary):
    """An entry point with its parts: nobody else's, so that most are inlined and forgotten."""

    def _optimize_final_module(self) -> None:
        for function in self._final_module.functions:
            if function.linkage == Linkage.linkonce_odr and not function.is_declaration:
                function.linkage = Linkage.internal
        options = create_pipeline_tuning_options(speed_level=3)
        options.inlining_threshold = INLINE
        options.loop_vectorization = options.slp_vectorization = False  # there is nothing to win
        builder = create_pass_builder(self._codegen._tm, options)
        builder.getModulePassManager().run(self._final_module, builder)


class Lean(compiler.CompilerBase):
    """The passes of numba's pipeline that the compiled subset of Python needs."""

    rewrites: tuple = ()

    def define_pipelines(self) -> list[PassManager]:
        passes = PassManager("workbench")
        for step in (
            untyped_passes.TranslateByteCode, untyped_passes.FixupArgs,
            untyped_passes.IRProcessing, *self.rewrites, untyped_passes.ReconstructSSA,
            typed_passes.NopythonTypeInference, typed_passes.PreLowerStripPhis,
            typed_passes.IRLegalization, typed_passes.NativeLowering,
            typed_passes.NoPythonBackend,
        ):  # fmt: skip
            passes.add_pass(step, step._name)
        passes.finalize()
        return [passes]


class LeanOwn(Lean):
    """And what `raise` and `assert` in a user's hook need."""

    rewrites = (untyped_passes.GenericRewrites,)


class Linked(CPUDispatcher):
    """A linked function: a part of whatever entry point asks for it. A constant among its
    arguments makes no copy of its own."""

    def compile(self, sig):
        with compiling(Part):
            return super().compile(sig)

    def get_call_template(self, args, kws):
        return super().get_call_template(tuple(types.unliteral(arg) for arg in args), kws)


@contextlib.contextmanager
def compiling(library: type):
    """What numba compiles in here becomes such a library."""
    codegen = cpu_target.target_context.codegen()
    with global_compiler_lock:
        outer = codegen._library_class, codegen.set_env
        codegen._library_class = library
        if library is Part:
            codegen.set_env = lambda name, env: None
        try:
            yield
        finally:
            codegen._library_class, codegen.set_env = outer


linked: dict[Callable, object] = {
    hooks_module.call_hook: call_hook,
    hooks_module.prefetch: prefetch,
}


def compile_plain(function: Callable):
    """The numba twin of a plain function and, with it, of every function of ours it calls."""
    if function not in linked:
        scope = {"__builtins__": __builtins__, "__name__": function.__module__}
        for name in function.__code__.co_names:
            value = function.__globals__.get(name)
            if isinstance(value, python_types.FunctionType) or value in linked_callables():
                scope[name] = compile_plain(value)
            elif name in function.__globals__:
                scope[name] = value
        twin = python_types.FunctionType(function.__code__, scope, function.__name__)
        if "__own__" in function.__globals__:
            options = LINKED | {"error_model": "python"}  # division by zero is a mistake
            linked[function] = Linked(twin, targetoptions=options, pipeline_class=LeanOwn)
        else:
            linked[function] = Linked(twin, targetoptions=LINKED, pipeline_class=Lean)
    return linked[function]


def linked_callables() -> set:
    return {f for f in linked if callable(f)}


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


# ---- the state as arrays ---------------------------------------------------------------------


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
