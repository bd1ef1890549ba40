"""`Trace`: what programs did with memory, columns of integers plus tables that name things."""

from __future__ import annotations

import re
from array import array
from collections.abc import Iterable, Iterator, Sequence
from copy import copy
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

from .language import BIRTHS, LANGUAGE, Op

SCHEMA = "workbench-trace/1"
# column -> array.array type code (8, 32 or 64 bit signed) and the value of a blank cell
COLUMNS = {"op": "b", "task": "i", "target": "i", "page": "q", "count": "i", "value": "i"}
BLANK = {"task": -1, "target": -1, "page": 0, "count": 1, "value": 0}
_HAPPENINGS = (Op.touch_read, Op.touch_write, Op.read, Op.write, Op.discard)
_HAPPENINGS += (Op.age, Op.drop_caches, Op.mark, Op.io_error)


@dataclass(frozen=True)
class Object:
    """Something with pages 0..pages-1; kind is one of `language.KINDS`."""

    name: str
    kind: str
    pages: int
    path: str = ""


@dataclass(frozen=True)
class Task:
    """A task and the inputs of badness(); `container`, `node` if there from the start."""

    name: str
    container: str = "root"
    node: int = 0
    vm: int | None = None  # total_vm in pages; None: computed from the mappings
    cpu: int = 0  # utime + stime, jiffies
    run: int = 0  # seconds since its start
    nice: int = 0
    oom_adj: int = 0  # -17 = never chosen
    root: bool = False  # CAP_SYS_ADMIN or uid 0
    rawio: bool = False
    init: bool = False
    stuck: bool = False  # never finishes exiting once killed


@dataclass(frozen=True)
class Container:
    """An accounting group of tasks; limits None = none (LONG_MAX)."""

    name: str
    limit: int | None = None  # pages
    numproc_limit: int | None = None
    numfiles_limit: int | None = None
    parent: str = ""  # blank: root


TABLES = {"objects": Object, "tasks": Task, "containers": Container}


class Event(NamedTuple):
    """One event with names in place of numbers, for people."""

    op: Op
    task: str
    target: str
    page: int
    count: int
    value: str
    time_ns: int | None


class Defect(NamedTuple):
    """One thing wrong: where (row counts data rows from 1), the value, what was expected."""

    table: str
    row: int | None
    column: str
    value: Any
    expected: str

    def __str__(self) -> str:
        place = self.table + (f" row {self.row}" if self.row else "")
        place += f", column {self.column}" if self.column else ""
        shown = self.value if isinstance(self.value, str) and self.value else repr(self.value)
        shown = shown if len(shown) <= 60 else shown[:57] + "..."
        return (
            f"{place}: {shown} {self.expected}"
            if self.value is not None
            else (f"{place}: {self.expected}")
        )


class TraceError(ValueError):
    """A trace that is not valid; `defects` holds the first 20."""

    LIMIT = 20

    def __init__(self, defects: Iterable[Defect], source: object = ""):
        self.defects = list(defects)[: self.LIMIT]
        more = ["... stopped after 20 defects"] if len(self.defects) == self.LIMIT else []
        head = [f"{source}: not a valid trace"] if source else []
        super().__init__("\n".join(head + [str(d) for d in self.defects] + more))


def rows_of(op: Any, wanted: Iterable[Op]) -> list[int]:
    """The rows of column `op` (8 bits wide) that hold one of `wanted`."""
    found = re.finditer(b"[" + re.escape(bytes(wanted)) + b"]", memoryview(op).tobytes())
    return [match.start() for match in found]


class Trace:
    """Events of tasks on objects, in order. Make one with `TraceBuilder`, `load` or `from_columns`.

    `op, task, target, page, count, value` hold one integer per event (array.array, or numpy arrays
    when given); `task` and `target` index the tables `tasks` and objects|tasks|containers (by op),
    -1 = none; `value` indexes `values`. `time_ns` is a column or None; `header` a JSON-able dict.
    """

    def __init__(self, objects, tasks, containers, values, columns, time_ns, header):
        self.objects: list[Object] = objects
        self.tasks: list[Task] = tasks
        self.containers: list[Container] = containers
        self.values: list[str] = values
        self.op, self.task, self.target, self.page, self.count, self.value = columns
        self.time_ns = time_ns
        self.header: dict = header

    @classmethod
    def from_columns(
        cls,
        objects: Iterable[Object],
        tasks: Iterable[Task],
        containers: Iterable[Container],
        op: Sequence[int],
        task: Sequence[int],
        target: Sequence[int],
        page: Sequence[int],
        count: Sequence[int],
        value: Sequence[int] | None = None,
        values: Iterable[str] | None = None,
        time_ns: Sequence[int] | None = None,
        header: dict | None = None,
    ) -> Trace:
        """A validated trace from columns of equal length; raises TraceError.

        A container table without "root" gets it in front, and container targets are shifted
        along. numpy columns are checked without a Python loop (10 million events: 1 to 3 s).
        """
        from .validate import column

        containers = list(containers)
        if value is None:
            value = array("i", bytes(4 * len(op)))
        given = {
            "op": op,
            "task": task,
            "target": target,
            "page": page,
            "count": count,
            "value": value,
        }
        columns = [column(name, given[name], code) for name, code in COLUMNS.items()]
        if time_ns is not None:
            time_ns = column("time_ns", time_ns, "q")
        if all(c.name != "root" for c in containers):
            columns[2] = copy(columns[2])
            for i in rows_of(
                columns[0], [o for o, s in LANGUAGE.items() if s.target == "container"]
            ):
                if containers and i < len(columns[2]) and columns[2][i] >= 0:
                    columns[2][i] += 1
            containers.insert(0, Container("root"))
        header = {"schema": SCHEMA, "provenance": {}} | (header or {})
        trace = cls(
            list(objects), list(tasks), containers, list(values or [""]), columns, time_ns, header
        )
        trace.validate()
        return trace

    def columns(self) -> dict[str, Any]:
        """The event columns by name, `time_ns` included when there."""
        found = {name: getattr(self, name) for name in COLUMNS}
        return found if self.time_ns is None else found | {"time_ns": self.time_ns}

    def __len__(self) -> int:
        return len(self.op)

    def __repr__(self) -> str:
        return (
            f"<Trace {len(self)} events, {len(self.tasks)} tasks, {len(self.objects)} objects, "
            f"{len(self.containers)} containers>"
        )

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, Trace):
            return NotImplemented
        mine, theirs = self.columns(), other.columns()
        return (
            (self.objects, self.tasks, self.containers)
            == (other.objects, other.tasks, other.containers)
            and self.header == other.header
            and mine.keys() == theirs.keys()
            and all(list(mine[c]) == list(theirs[c]) for c in mine if c != "value")
            and [self.values[v] for v in self.value] == [other.values[v] for v in other.value]
        )

    __hash__ = None

    def targets(self, op: int) -> list:
        """The table that `target` indexes for this op (empty for ops without a target)."""
        tables = {"object": self.objects, "task": self.tasks, "container": self.containers}
        return tables.get(LANGUAGE[op].target, [])

    def events(self) -> Iterator[Event]:
        """Every event in order, with names ("" where a column is blank)."""
        names = {op: [row.name for row in self.targets(op)] + [""] for op in Op}
        tasks = [t.name for t in self.tasks] + [""]
        times = self.time_ns if self.time_ns is not None else [None] * len(self)
        rows = zip(
            self.op, self.task, self.target, self.page, self.count, self.value, times, strict=True
        )
        for o, t, g, p, c, v, ns in rows:
            yield Event(
                Op(o),
                tasks[t],
                names[o][g],
                int(p),
                int(c),
                self.values[v],
                None if ns is None else int(ns),
            )

    def rows(self, *ops: Op) -> list[int]:
        """The rows of these ops, in order (a byte search: fast on millions of events)."""
        return rows_of(self.op, ops)

    def made(self, *ops: Op) -> set[int]:
        """Indices of the targets that events of these ops create."""
        return {int(self.target[row]) for row in self.rows(*ops)}

    def initial_tasks(self) -> list[int]:
        """Tasks there from the start, in table order: no fork or thread event creates them."""
        return sorted(set(range(len(self.tasks))) - self.made(*BIRTHS))

    def slice(self, start: int, stop: int) -> Trace:
        """Events start..stop-1, after the earlier events that set up their state.

        Of the events before `start`, all but touches, reads, writes, discards, marks and test
        aids are kept (so tasks, mappings and containers are there); tasks and containers that
        only later events create are left out.
        """
        start, stop, _ = slice(start, stop).indices(len(self))
        rows = [i for i in range(start) if self.op[i] not in _HAPPENINGS] + list(range(start, stop))
        columns = {
            n: array(COLUMNS.get(n, "q"), [int(c[i]) for i in rows])
            for n, c in self.columns().items()
        }
        cut = Trace(
            self.objects,
            self.tasks,
            self.containers,
            self.values,
            [columns[n] for n in COLUMNS],
            columns.get("time_ns"),
            self.header,
        )
        tables = {}
        for kind, ops, table in (
            ("task", BIRTHS, self.tasks),
            ("container", [Op.mkdir], self.containers),
        ):
            gone = self.made(*ops) - cut.made(*ops)
            kept = [i for i in range(len(table)) if i not in gone]
            number = {old: new for new, old in enumerate(kept)} | {-1: -1}
            tables[kind] = [table[i] for i in kept]
            if gone:
                mine = [LANGUAGE[o].target == kind for o in cut.op]
                cut.target = array(
                    "i", (number[t] if m else t for t, m in zip(cut.target, mine, strict=True))
                )
                if kind == "task":
                    cut.task = array("i", (number[t] for t in cut.task))
        cut.tasks, cut.containers = tables["task"], tables["container"]
        cut.validate()
        return cut

    def validate(self) -> None:
        """Raise TraceError naming the first 20 defects, or return None."""
        from .validate import defects

        found = defects(self)
        if found:
            raise TraceError(found)

    def save(self, path: str | Path) -> None:
        """Write a directory of CSV tables, a .zip of the same, or a .parquet file, by suffix.

        Atomic: written under a temporary name beside `path`, then renamed.
        """
        from .files import save

        save(self, path)

    @classmethod
    def load(cls, path: str | Path) -> Trace:
        """Read what `save` or a person wrote; TraceError for any defect, with row and column."""
        from .files import load

        return load(path)
