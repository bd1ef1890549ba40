"""Traces on disk: a directory of CSV tables, the same as one zip, or Parquet.

CSV tables hold names, not numbers, so that a person can write them; blank cells take the default.
Reading is strict: every defect is named with table, row and column, and nothing is half-loaded.
Standard library only; Parquet is `parquet`.
"""

from __future__ import annotations

import csv
import io
import json
import os
import shutil
import tempfile
import zipfile
import zlib
from array import array
from collections.abc import Callable, Iterable
from dataclasses import MISSING, fields
from pathlib import Path
from typing import Any

from . import parquet
from .language import LANGUAGE, Op
from .model import COLUMNS, TABLES, Container, Defect, Trace, TraceError
from .validate import MOST, defects, did_you_mean

FILES = ("header.json", "objects.csv", "tasks.csv", "containers.csv", "events.csv")
_BOOLS = {"": False, "0": False, "false": False, "1": True, "true": True}


# -- save --------------------------------------------------------------------------------------


def save(trace: Trace, path: str | Path) -> None:
    """Validate, write under a temporary name in the same directory, then rename over `path`."""
    trace.validate()
    path = Path(path)
    writer = {".zip": _write_zip, ".parquet": parquet.write}.get(path.suffix, _write_directory)
    if writer is _write_directory and path.exists():
        if not path.is_dir() or {p.name for p in path.iterdir()} - set(FILES):
            raise FileExistsError(f"{path} exists and is not a trace directory; not replaced")
    elif writer is not _write_directory and path.is_dir():
        raise IsADirectoryError(f"{path} is a directory; not replaced")
    work = Path(tempfile.mkdtemp(prefix=f".{path.name}.", dir=path.parent))
    try:
        new = work / path.name
        writer(trace, new)
        if path.is_dir():
            os.replace(path, work / "old")
        os.replace(new, path)
    finally:
        shutil.rmtree(work, ignore_errors=True)


def _texts(trace: Trace) -> dict[str, str]:
    """The five files' texts, in the order of FILES."""
    texts = {"header.json": json.dumps(trace.header, indent=1, ensure_ascii=False) + "\n"}
    for table, row_type in TABLES.items():
        names = [f.name for f in fields(row_type)]
        rows = ([_cell(getattr(row, name)) for name in names] for row in getattr(trace, table))
        texts[f"{table}.csv"] = csv_text(names, rows)
    texts["events.csv"] = csv_text(
        [*COLUMNS] + ["time_ns"] * (trace.time_ns is not None), _event_rows(trace)
    )
    return texts


def _cell(value: Any) -> Any:
    return "" if value is None or value is False else "true" if value is True else value


def _event_rows(trace: Trace) -> Iterable[tuple]:
    ops = [op.name for op in Op]
    run = [LANGUAGE[op].run for op in Op]
    names = [[row.name for row in trace.targets(op)] + [""] for op in Op]
    tasks = [t.name for t in trace.tasks] + [""]
    rest = () if trace.time_ns is None else (trace.time_ns,)
    for o, t, g, p, n, v, *ns in zip(*(getattr(trace, c) for c in COLUMNS), *rest, strict=True):
        pages = (p, n) if run[o] else ("", "")
        yield (ops[o], tasks[t], names[o][g], *pages, trace.values[v], *ns)


def csv_text(names: Iterable[str], rows: Iterable[Iterable]) -> str:
    """A table as CSV."""
    out = io.StringIO()
    writer = csv.writer(out, lineterminator="\n")
    writer.writerow(names)
    writer.writerows(rows)
    return out.getvalue()


def _write_directory(trace: Trace, path: Path) -> None:
    path.mkdir()
    for name, text in _texts(trace).items():
        (path / name).write_bytes(text.encode())


def _write_zip(trace: Trace, path: Path) -> None:
    """Same trace, same bytes: fixed time stamps, order and mode."""
    with zipfile.ZipFile(path, "w") as archive:
        for name, text in sorted(_texts(trace).items()):
            entry = zipfile.ZipInfo(name)  # dated 1980-01-01
            entry.create_system, entry.external_attr = 3, 0o644 << 16
            archive.writestr(entry, text.encode(), zipfile.ZIP_DEFLATED, 9)


# -- load --------------------------------------------------------------------------------------


def load(path: str | Path) -> Trace:
    """The trace at `path`; TraceError for any defect, FileNotFoundError when nothing is there."""
    path = Path(path)
    if not path.exists():
        raise FileNotFoundError(f"no trace at {path}")
    if not path.is_dir() and path.suffix == ".parquet":
        return parquet.load(path)
    if path.is_dir():
        texts, found = _read(lambda name: (path / name).read_bytes(), OSError)
    else:
        try:
            with zipfile.ZipFile(path) as archive:
                broken = (KeyError, OSError, EOFError, RuntimeError, zipfile.BadZipFile, zlib.error)
                texts, found = _read(archive.read, broken)
        except (zipfile.BadZipFile, EOFError, ValueError, NotImplementedError) as why:
            expected = f"not a whole zip file: {why}"
            if path.suffix != ".zip":
                expected = ("not a trace, which is a folder of tables, *.zip or *.parquet, nor a "
                            "form that `workbench trace convert` knows")
            raise TraceError([Defect(path.name, None, "", None, expected)]) from None
    if found:
        raise TraceError(found, path)
    return _Reader(path, texts).trace()


def _read(
    fetch: Callable[[str], bytes], broken: type | tuple
) -> tuple[dict[str, str], list[Defect]]:
    texts, found = {}, []
    for name in FILES:
        try:
            data = fetch(name)
            texts[name] = data.decode("utf-8-sig")
            row = data[: data.find(b"\0")].count(b"\n") if b"\0" in data else None
            if row is not None:
                found.append(Defect(name, row or None, "", None, "NUL byte"))
            if not data.strip():
                found.append(Defect(name, None, "", None, "the file is empty"))
        except UnicodeDecodeError as why:
            row = data[: why.start].count(b"\n")
            found.append(
                Defect(name, row or None, "", data[why.start : why.start + 1], "is not UTF-8")
            )
        except (FileNotFoundError, KeyError):
            found.append(Defect(name, None, "", None, "missing file"))
        except broken as why:
            found.append(Defect(name, None, "", None, f"cannot be read: {why}"))
    return texts, found


class _Reader:
    """CSV texts to a trace, collecting defects on the way."""

    def __init__(self, path: Path, texts: dict[str, str]):
        self.path, self.texts = path, texts
        self.found: list[Defect] = []
        self.bad_rows: set[int] = set()  # 0-based rows of events.csv with defects found here

    def bad(self, *defect: Any) -> None:
        self.found.append(Defect(*defect))
        if len(self.found) >= TraceError.LIMIT:
            raise TraceError(self.found, self.path)

    def trace(self) -> Trace:
        """The validated trace; raises TraceError with everything found."""
        try:
            header = json.loads(self.texts["header.json"])
        except (ValueError, RecursionError) as why:
            self.bad("header.json", None, "", None, f"not JSON: {why}")
        tables = {name: self.table(name, row_type) for name, row_type in TABLES.items()}
        if self.found:
            raise TraceError(self.found, self.path)
        implied = all(c.name != "root" for c in tables["containers"])
        if implied:
            tables["containers"].insert(0, Container("root"))
        columns, values, times = self.events(tables)
        trace = Trace(*tables.values(), values, columns, times, header)
        for d in defects(trace, ".csv", self.bad_rows):
            shift = implied and d.table == "containers.csv" and d.row
            self.found.append(d._replace(row=d.row - 1) if shift else d)
        if self.found:
            self.found.sort(key=lambda d: (FILES.index(d.table), d.row or 0))
            raise TraceError(self.found, self.path)
        return trace

    def rows(self, file: str, needed: list[str], known: list[str]) -> list[dict | list[str]]:
        """Column names, then the data rows; defects in the shape of the table are collected."""
        try:
            lines = list(csv.reader(io.StringIO(self.texts[file], newline=""), strict=True))
        except csv.Error as why:
            self.bad(file, None, "", None, f"not CSV: {why}")
            return [[]]
        while lines and not lines[-1]:
            lines.pop()
        names = [name.strip() for name in lines[0]]
        for name in needed:
            if name not in names:
                self.bad(file, None, name, None, "missing column")
        for i, name in enumerate(names):
            if name not in known:
                self.bad(file, None, name, None, f"extra column{did_you_mean(name, known)}")
            elif name in names[:i]:
                self.bad(file, None, name, None, "column named twice")
        if self.found and self.found[-1].table == file:
            return [[]]
        for i, cells in enumerate(lines[1:]):
            if len(cells) != len(names):
                self.bad(
                    file,
                    i + 1,
                    "",
                    ",".join(cells) or "(blank line)",
                    f"has {len(cells)} cells, expected {len(names)}",
                )
                lines[i + 1] = []
                if file == "events.csv":
                    self.bad_rows.add(i)
        return [names, *lines[1:]]

    def number(
        self, file: str, row: int, name: str, cell: str, high: int = 2**63 - 1, blank: int = 0
    ) -> int:
        """The integer in a cell, `blank` for an empty one, 0 after reporting a defect."""
        if not cell:
            return blank
        digits = cell.removeprefix("-")
        if not (digits.isascii() and digits.isdigit()):
            self.bad(file, row, name, cell, "is not a whole number")
        elif len(digits) > 20 or not -high - 1 <= int(cell) <= high:
            self.bad(file, row, name, cell, f"is beyond {-high - 1}..{high}")
        else:
            return int(cell)
        return 0

    def table(self, table: str, row_type: type) -> list:
        file = f"{table}.csv"
        known = {f.name: f for f in fields(row_type)}
        needed = [f.name for f in known.values() if f.default is MISSING]
        names, *lines = self.rows(file, needed, list(known))
        rows = []
        for i, cells in enumerate(lines, 1):
            given = {}
            for name, cell in zip(names, cells, strict=False):
                want = str(known[name].type)
                cell = cell if name == "path" else cell.strip()
                if want == "str":
                    if cell or name in needed:
                        given[name] = cell
                elif want == "bool":
                    if cell.lower() not in _BOOLS:
                        self.bad(file, i, name, cell, "is not true, false or blank")
                    given[name] = _BOOLS.get(cell.lower(), False)
                elif cell:
                    given[name] = self.number(file, i, name, cell)
                elif name in needed:
                    self.bad(file, i, name, None, "missing number")
                    given[name] = 0
            if not given.get("name"):
                if cells:
                    self.bad(file, i, "name", None, "missing name")
                continue
            rows.append(row_type(**given))
        return rows

    def events(self, tables: dict[str, list]) -> tuple[list, list[str], array | None]:
        """The event columns, the values table and the times."""
        file = "events.csv"
        names, *lines = self.rows(file, list(COLUMNS), [*COLUMNS, "time_ns"])
        if not names:
            raise TraceError(self.found, self.path)
        ops = {op.name: int(op) for op in Op}
        numbered = {
            t[:-1]: {row.name: i for i, row in enumerate(rows)} for t, rows in tables.items()
        }
        places = {op: numbered.get(LANGUAGE[op].target, {}) for op in Op}
        tasks, values = numbered["task"], {"": 0}
        columns = {name: array(COLUMNS.get(name, "q")) for name in [*COLUMNS, "time_ns"]}
        order = [names.index(name) for name in COLUMNS]
        timed = names.index("time_ns") if "time_ns" in names else None
        time_ns = 0
        blank = [""] * len(names)
        for row, cells in enumerate(lines, 1):
            before = len(self.found)
            op, task, target, page, count, value = [
                (cells or blank)[k].strip() for k in order[:5]
            ] + [(cells or blank)[order[5]]]
            o = ops.get(op)
            if o is None:
                o = Op.age
                if cells:
                    self.bad(
                        file,
                        row,
                        "op",
                        op or None,
                        f"is not an op{did_you_mean(op, ops)}" if op else "missing op",
                    )
            t = tasks.get(task, -1)
            if t < 0 and task:
                self.bad(file, row, "task", task, f"is not a task{did_you_mean(task, tasks)}")
            g = places[o].get(target, -1)
            if g < 0 and target and op in ops:
                kind = LANGUAGE[o].target
                known = f"is not a known {kind}{did_you_mean(target, places[o])}"
                self.bad(file, row, "target", target, known if kind else f"must be blank for {op}")
            p = self.number(file, row, "page", page)
            n = self.number(file, row, "count", count, MOST, 1)
            when = "" if timed is None or not cells else cells[timed].strip()
            time_ns = self.number(file, row, "time_ns", when, blank=time_ns)
            v = values.setdefault(value, len(values))
            for column, cell in zip(columns.values(), (o, t, g, p, n, v, time_ns), strict=True):
                column.append(cell)
            if len(self.found) > before:
                self.bad_rows.add(row - 1)
        times = columns.pop("time_ns")
        return list(columns.values()), list(values), None if timed is None else times
