"""Traces as Parquet: the event columns, and header, tables and values as JSON in the metadata.

Needs pyarrow (`pip install workbench[parquet]`); the rest of `trace` does not.
"""

from __future__ import annotations

import json
from array import array
from dataclasses import asdict
from pathlib import Path
from typing import Any

from .model import COLUMNS, TABLES, Defect, Trace, TraceError
from .validate import defects, did_you_mean


def arrow() -> tuple[Any, Any]:
    """pyarrow and its Parquet module; ImportError saying how to get them."""
    try:
        import pyarrow
        import pyarrow.parquet
    except ImportError:
        raise ImportError(
            "Parquet needs pyarrow: pip install 'workbench[parquet]' (zip files need nothing)"
        ) from None
    return pyarrow, pyarrow.parquet


def types_of(pa: Any) -> dict[str, Any]:
    """The column types, by array.array's codes."""
    return {"b": pa.int8(), "i": pa.int32(), "q": pa.int64()}


def write(trace: Trace, path: Path) -> None:
    pa, parquet = arrow()
    names = trace.columns()
    types = types_of(pa)
    arrays = []
    for name, cells in names.items():
        data = pa.py_buffer(memoryview(cells).tobytes())
        kind = types[COLUMNS.get(name, "q")]
        arrays.append(pa.Array.from_buffers(kind, len(cells), [None, data]))
    tables = {t: [asdict(row) for row in getattr(trace, t)] for t in TABLES}
    meta = json.dumps({"header": trace.header, **tables, "values": trace.values})
    table = pa.Table.from_arrays(arrays, names=list(names)).replace_schema_metadata(
        {"workbench": meta}
    )
    parquet.write_table(table, path, compression="zstd")


def load(path: Path) -> Trace:
    pa, parquet = arrow()

    def fail(column: str, value: Any, expected: str) -> TraceError:
        return TraceError([Defect(path.name, None, column, value, expected)])

    try:
        table = parquet.read_table(path)
    except (pa.ArrowException, OSError) as why:
        raise fail("", None, f"not a whole Parquet file: {str(why).splitlines()[0]}") from None
    try:
        meta = json.loads((table.schema.metadata or {})[b"workbench"])
        tables = [[row_type(**row) for row in meta[name]] for name, row_type in TABLES.items()]
        values = list(meta["values"])
        for row in [asdict(row) for rows in tables for row in rows] + [dict(enumerate(values))]:
            if any(isinstance(cell, (dict, list, float)) for cell in row.values()):
                raise TypeError(f"{row} holds more than text and whole numbers")
        header = meta["header"]
    except (KeyError, TypeError, ValueError, RecursionError) as why:
        raise fail("", None, f"no or bad schema metadata 'workbench': {why!r}") from None
    columns = {}
    types = types_of(pa)
    for name in table.column_names:
        if name not in (*COLUMNS, "time_ns"):
            raise fail(name, None, f"extra column{did_you_mean(name, COLUMNS)}")
    for name in [*COLUMNS] + ["time_ns"] * ("time_ns" in table.column_names):
        if name not in table.column_names:
            raise fail(name, None, "missing column")
        cells, code = table.column(name), COLUMNS.get(name, "q")
        if not pa.types.is_integer(cells.type) or cells.null_count:
            raise fail(name, str(cells.type), "is not a column of integers without nulls")
        columns[name] = array(code)
        try:
            chunks = cells.cast(types[code]).chunks
        except pa.ArrowInvalid as why:
            raise fail(name, None, str(why)) from None
        for chunk in chunks:
            size = columns[name].itemsize
            first, last = size * chunk.offset, size * (chunk.offset + len(chunk))
            if last > first:
                columns[name].frombytes(memoryview(chunk.buffers()[1])[first:last])
    time_ns = columns.pop("time_ns", None)
    trace = Trace(*tables, values, list(columns.values()), time_ns, header)
    found = defects(trace)
    if found:
        raise TraceError(found, path)
    return trace
