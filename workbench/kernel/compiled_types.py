"""What numba has to know about the state: it is one number, the address of a table of addresses.

The table holds the base address of every column, then of the scalars, then those of the hooks. An
attribute of the state is a column (its base is loaded) or a scalar; an item of a column is loaded
from where its record lies. Hooks that a user wrote see the same state, every index looked at.
"""

from __future__ import annotations

import operator

import numpy as np
from llvmlite import ir
from numba import types
from numba.core.datamodel import models, register_default
from numba.core.imputils import lower_builtin, lower_getattr_generic, lower_setattr_generic
from numba.core.typing.templates import (
    AbstractTemplate,
    AttributeTemplate,
    infer_getattr,
    infer_global,
    signature,
)
from numba.extending import intrinsic

from .layout import COLUMNS, CONSTANTS, SCALARS

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
I64, I32, BYTE = ir.IntType(64), ir.IntType(32), ir.IntType(8)
# the table: an address per column, then of the scalars, then the three hooks
SCALARS_AT = len(COLUMN)
HOOKS_AT = SCALARS_AT + 1
LENGTHS_AT = HOOKS_AT + 8  # every column's rows, for checked hooks alone; 8: room for hooks


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
