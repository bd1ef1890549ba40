"""Finding every defect of a trace: which row and column, the value, and what was expected.

`_Checker` knows the rules of one event. Small traces run it on every row; with numpy at hand a
vectorised filter first picks the rows that may be wrong (a superset), so that millions of good rows
cost no Python loop and the messages have one source.
"""

from __future__ import annotations

import difflib
import json
from array import array
from collections.abc import Iterable, Iterator
from dataclasses import fields
from itertools import islice
from typing import Any

from .language import BIRTHS, KINDS, LANGUAGE, SHARING, Op, Spec, control_write
from .model import BLANK, COLUMNS, SCHEMA, Defect, Trace, TraceError

MOST = 2**31 - 1  # pages of an object, count, limits on counts
FILTER_FROM = 30_000  # events from which numpy's filter pays for its import
Problem = tuple[str, Any, str]  # column, the value there, what was expected
_SPAN = {"b": (-(2**7), 2**7 - 1), "i": (-(2**31), MOST), "q": (-(2**63), 2**63 - 1)}


def did_you_mean(name: str, names: Iterable[str]) -> str:
    """`, did you mean X?` for the nearest of `names`, or an empty string."""
    close = difflib.get_close_matches(name, list(names), 1)
    return f", did you mean {close[0]}?" if close else ""


def column(name: str, given: Any, code: str) -> Any:
    """`given` as a column of type `code`: numpy stays numpy, the rest becomes array.array."""
    low, high = _SPAN[code]
    if type(given).__module__.split(".")[0] == "numpy":
        if given.dtype.kind not in "iub" or given.ndim != 1:
            raise TraceError(
                [Defect("events", None, name, str(given.dtype), "is not a 1-d column of integers")]
            )
        size = 8 * array(code).itemsize
        if len(given) and not low <= int(given.min()) <= int(given.max()) <= high:
            row = int(((given < low) | (given > high)).argmax())
            raise TraceError(
                [Defect("events", row + 1, name, int(given[row]), f"does not fit {size} bits")]
            )
        return given.astype(f"int{size}", copy=False)
    if isinstance(given, array) and given.typecode == code:
        return given
    try:
        return array(code, given)
    except (OverflowError, TypeError):
        for row, cell in enumerate(given):
            try:
                array(code, [cell])
            except (OverflowError, TypeError):
                found = Defect("events", row + 1, name, cell, f"is not an integer in {low}..{high}")
                raise TraceError([found]) from None
        raise


def defects(trace: Trace, ext: str = "", skip: Iterable[int] = ()) -> list[Defect]:
    """Up to 20 defects of a trace; `ext` is added to table names, rows in `skip` are known bad."""
    found = list(islice(_tables(trace), TraceError.LIMIT))
    if not found:
        found = list(islice(_events(trace, frozenset(skip)), TraceError.LIMIT))
    end = {"header": ".json"}
    return [d._replace(table=d.table + (ext and end.get(d.table, ext))) for d in found]


def _text(text: Any) -> bool:
    return isinstance(text, str) and text.isprintable()


def _is_int(value: Any) -> bool:
    return isinstance(value, int) and not isinstance(value, bool)


def _tables(trace: Trace) -> Iterator[Defect]:
    """Defects of header, objects, tasks, containers, values and the shapes of columns."""
    yield from header_defects(trace.header)
    for table in ("objects", "tasks", "containers"):
        seen: dict[str, int] = {}
        for row, item in enumerate(getattr(trace, table), 1):
            name = item.name
            if not (_text(name) and name and name.strip() == name):
                yield Defect(table, row, "name", name, "is not a name (printable, not blank)")
            elif name in seen:
                yield Defect(table, row, "name", name, f"is already the name of row {seen[name]}")
            seen.setdefault(name, row)
            for field in fields(item)[1:]:
                yield from _field(table, row, field, getattr(item, field.name))
    homes = {c.name for c in trace.containers}
    if not trace.containers or trace.containers[0].name != "root":
        yield Defect("containers", 1, "name", None, "the first container must be root")
    for row, task in enumerate(trace.tasks, 1):
        if task.container not in homes:
            hint = did_you_mean(str(task.container), homes)
            yield Defect("tasks", row, "container", task.container, f"is not a container{hint}")
    yield from _parents(trace)
    if not trace.values or trace.values[0] != "":
        yield Defect("values", 1, "value", None, "the first value must be the empty text")
    for code, text in enumerate(trace.values):
        if not _text(text):
            used = next((i for i, v in enumerate(trace.value, 1) if v == code), None)
            yield Defect("events", used, "value", text, "is not printable text")
    for name, cells in trace.columns().items():
        if len(cells) != len(trace):
            yield Defect("events", None, name, len(cells), f"rows, but column op has {len(trace)}")


def _parents(trace: Trace) -> Iterator[Defect]:
    """A container's parent is there, stands before it, and is made before it."""
    rows: dict[str, int] = {}
    names = [c.name for c in trace.containers]
    made: dict[str, int] = {}
    for i in trace.rows(Op.mkdir):
        if 0 <= trace.target[i] < len(names):
            made.setdefault(names[trace.target[i]], i + 1)
    for row, box in enumerate(trace.containers, 1):
        if box.parent and box.parent not in rows:
            if box.parent in names:
                expected = f"is row {names.index(box.parent) + 1}; a parent comes before its child"
            else:
                expected = f"is not a container{did_you_mean(str(box.parent), names)}"
            yield Defect("containers", row, "parent", box.parent, expected)
        elif box.parent in made and made.get(box.name, 0) < made[box.parent]:
            expected = f"is only made by mkdir in events row {made[box.parent]}"
            yield Defect("containers", row, "parent", box.parent, expected)
        if box.name == "root" and box.parent:
            yield Defect("containers", row, "parent", box.parent, "root has no parent")
        rows.setdefault(box.name, row)


def header_defects(header: Any) -> Iterator[Defect]:
    """Defects of a header: schema, provenance, and that it is JSON."""
    if not isinstance(header, dict):
        yield Defect("header", None, "", header, "is not a JSON object")
        return
    if header.get("schema") != SCHEMA:
        yield Defect("header", None, "schema", header.get("schema", "missing"), f"is not {SCHEMA}")
    if not isinstance(header.get("provenance", {}), dict):
        yield Defect("header", None, "provenance", header["provenance"], "is not a JSON object")
    try:
        if json.loads(json.dumps(header, allow_nan=False)) != header:
            raise ValueError("changes when written as JSON (keys must be text)")
        json.dumps(header, ensure_ascii=False).encode()
    except (TypeError, ValueError) as why:
        yield Defect("header", None, "", None, f"not JSON: {why}")


def _field(table: str, row: int, field: Any, value: Any) -> Iterator[Defect]:
    name, want = field.name, str(field.type)
    if name == "kind":
        if value not in KINDS:
            hint = did_you_mean(str(value), KINDS)
            yield Defect(table, row, name, value, f"is not one of {', '.join(KINDS)}{hint}")
    elif want == "str":
        if not _text(value):
            yield Defect(table, row, name, value, "is not printable text")
    elif want == "bool":
        if not isinstance(value, bool):
            yield Defect(table, row, name, value, "is not true or false")
    elif value is None and "None" in want:
        pass
    elif not _is_int(value):
        yield Defect(table, row, name, value, "is not a whole number")
    else:
        low, high = {"pages": (0, MOST), "nice": (-20, 19), "oom_adj": (-17, 15)}.get(
            name, (0, 2**63 - 1)
        )
        if name == "node":
            high = MOST
        if not low <= value <= high:
            yield Defect(table, row, name, value, f"is outside {low}..{high}")


def _events(trace: Trace, skip: frozenset[int]) -> Iterator[Defect]:
    op, target, task = trace.op, trace.target, trace.task
    life = trace.rows(*BIRTHS, Op.exit, Op.reap)
    born: dict[int, int] = {}  # task -> row of its (first) fork
    ended: dict[int, int] = {}  # task -> row of its first exit
    reaped: dict[int, int] = {}
    for i in life:
        which = target[i] if op[i] in BIRTHS else task[i]
        {Op.exit: ended, Op.reap: reaped}.get(op[i], born).setdefault(int(which), i)
    check = _Checker(trace, born, ended, reaped)
    homes: dict[str, int] = {}
    for i in trace.rows(Op.mkdir):
        if 0 <= target[i] < len(trace.containers):
            homes.setdefault(trace.containers[target[i]].name, i)
    for row, who in enumerate(trace.tasks):
        if row not in born and who.container in homes:
            when = f"is only made by mkdir in events row {homes[who.container] + 1}"
            yield Defect("tasks", row + 1, "container", who.container, when)
    if "root" in homes:
        yield Defect("events", homes["root"] + 1, "target", "root", "exists from the start")
    np = _numpy(len(trace))
    rows = range(len(trace)) if np is None else _suspects(np, trace, born, ended)
    for i in rows:
        if i not in skip:
            yield from check(int(i))


def value_problem(kind: str, text: str, sharing: tuple[str, ...] = ()) -> str:
    """What is wrong with an event's `value` column holding `text`, "" if nothing."""
    if kind == "":
        return "must be blank" if text else ""
    if kind == "sharing":
        return "" if text in sharing else f"is not {' or '.join(sharing) or 'possible here'}"
    if kind == "node":
        good = text.isascii() and text.isdigit() and len(text) < 11 and int(text) <= MOST
        return "" if good else "is not a node number"
    if kind == "control":
        try:
            control_write(text)
        except ValueError as why:
            return f"is not a write to a control file: {why}"
    return ""


class _Checker:
    """Finds the defects of one event, column by column: each names its column, the value there,
    and what was expected. The rows at which tasks are born, end and are reaped are known."""

    def __init__(self, trace: Trace, born: dict, ended: dict, reaped: dict) -> None:
        self.trace, self.born, self.ended, self.reaped = trace, born, ended, reaped
        self.specs = {int(o): (o, spec, trace.targets(o)) for o, spec in LANGUAGE.items()}

    def __call__(self, i: int) -> Iterator[Defect]:
        """Event i (0-based)."""
        number = self.trace.op[i]
        if number not in self.specs:
            found = [("op", int(number), f"is not an op (0..{len(Op) - 1})")]
        else:
            op, spec, table = self.specs[number]
            found = [*self.task(i, op, spec), *self.target(i, op, spec, table)]
            whole = None
            if spec.target == "object" and 0 <= self.trace.target[i] < len(table):
                whole = table[self.trace.target[i]]
            found += [*self.run(i, op, spec, whole), *self.value(i, op, spec, whole)]
            if self.trace.time_ns is not None:
                found += self.time(i)
        for name, cell, expected in found:
            yield Defect("events", i + 1, name, cell, expected)

    def task(self, i: int, op: Op, spec: Spec) -> Iterator[Problem]:
        t, tasks = self.trace.task[i], self.trace.tasks
        known = 0 <= t < len(tasks)
        if not spec.task:
            if t != -1:
                yield "task", tasks[t].name if known else int(t), f"must be blank for {op.name}"
        elif t == -1:
            yield "task", None, f"missing, {op.name} needs a task"
        elif not known:
            yield "task", int(t), f"is not a task (0..{len(tasks) - 1})"
        elif self.born.get(t, -1) >= i:
            born = self.born[t] + 1
            yield "task", tasks[t].name, f"does not exist before its fork in row {born}"
        elif op == Op.reap:
            # a task that never exits in the trace may have been killed: the engine knows
            if i < self.ended.get(t, -1):
                yield "task", tasks[t].name, f"only exits in row {self.ended[t] + 1}"
            elif self.reaped[t] < i:
                yield "task", tasks[t].name, f"was already reaped in row {self.reaped[t] + 1}"
        elif self.ended.get(t, i) < i:
            yield "task", tasks[t].name, f"already exited in row {self.ended[t] + 1}"

    def target(self, i: int, op: Op, spec: Spec, table: list) -> Iterator[Problem]:
        g = self.trace.target[i]
        if not spec.target:
            if g != -1:
                yield "target", int(g), f"must be blank for {op.name}"
        elif g == -1:
            a = "an" if spec.target[0] == "o" else "a"
            yield "target", None, f"missing, {op.name} needs {a} {spec.target}"
        elif not 0 <= g < len(table):
            yield "target", int(g), f"is not {spec.target} 0..{len(table) - 1}"
        elif spec.target == "object" and table[g].kind not in spec.kinds:
            takes = f"is of kind {table[g].kind}; {op.name} takes {', '.join(spec.kinds)}"
            yield "target", table[g].name, takes
        elif spec.target == "task" and self.born[g] < i:
            yield "target", table[g].name, f"was already created in row {self.born[g] + 1}"

    def run(self, i: int, op: Op, spec: Spec, whole: Any) -> Iterator[Problem]:
        """Columns page and count: a run of pages that the object has, or blank."""
        p, n = int(self.trace.page[i]), int(self.trace.count[i])
        if not spec.run:
            if p != 0:
                yield "page", p, f"must be blank for {op.name}"
            if n != 1:
                yield "count", n, f"must be blank for {op.name}"
            return
        if p < 0:
            yield "page", p, "is negative"
        if n < 1:
            yield "count", n, "is below 1"
        elif op == Op.io_error and n != 1:
            yield "count", n, "must be 1 for io_error"
        if whole and p >= whole.pages and p >= 0:
            yield "page", p, f"is beyond object {whole.name} ({_range(whole.pages)})"
        elif whole and p >= 0 and n >= 1 and p + n > whole.pages:
            beyond = f"runs beyond object {whole.name} ({_range(whole.pages)})"
            yield "count", n, f"from page {p} {beyond}"

    def value(self, i: int, op: Op, spec: Spec, whole: Any) -> Iterator[Problem]:
        v, values = self.trace.value[i], self.trace.values
        if not 0 <= v < len(values):
            yield "value", int(v), f"is not value 0..{len(values) - 1}"
        elif spec.value != "sharing" or (whole and whole.kind in spec.kinds):
            problem = value_problem(spec.value, values[v], SHARING[whole.kind] if whole else ())
            if problem:
                where = "" if spec.value else f" for {op.name}"
                yield "value", values[v] or "(blank)", problem + where

    def time(self, i: int) -> Iterator[Problem]:
        times = self.trace.time_ns
        if times[i] < 0:
            yield "time_ns", int(times[i]), "is negative"
        elif i and times[i] < times[i - 1]:
            yield "time_ns", int(times[i]), "is before the previous event"


def _range(pages: int) -> str:
    return f"pages 0..{pages - 1}" if pages else "no pages"


def _numpy(events: int) -> Any:
    if events < FILTER_FROM:
        return None
    try:
        import numpy
    except ImportError:
        return None
    return numpy


def _suspects(np: Any, trace: Trace, born: dict, ended: dict) -> list[int]:
    """Rows that may have a defect: all that do, and every life-cycle row."""
    op, task, target, page, count, _ = (np.asarray(getattr(trace, name)) for name in COLUMNS)
    n = len(op)
    wrong = (op < 0) | (op >= len(Op))
    op = np.where(wrong, Op.age, op)
    needs_task = np.array([bool(s.task) for s in LANGUAGE.values()])[op]
    n_tasks = len(trace.tasks)
    inside = (task >= 0) & (task < n_tasks)
    wrong |= np.where(needs_task, ~inside, task != BLANK["task"])
    first, last = np.full(n_tasks + 1, -1, np.int64), np.full(n_tasks + 1, n, np.int64)
    for rows, at in ((born, first), (ended, last)):
        for who, row in rows.items():
            if 0 <= who < n_tasks:
                at[who] = row
    who = np.where(inside & needs_task, task, n_tasks)
    rows = np.arange(n)
    wrong |= (first[who] >= rows) | (last[who] < rows)
    wrong |= (op >= Op.fork) & (op <= Op.reap) & (op != Op.exec)

    sizes = np.array([len(trace.targets(o)) if s.target else -1 for o, s in LANGUAGE.items()])[op]
    good_target = np.where(sizes < 0, target == BLANK["target"], (target >= 0) & (target < sizes))
    wrong |= ~good_target
    on_object = np.array([s.target == "object" for s in LANGUAGE.values()])[op] & good_target
    kinds = np.array([KINDS.index(o.kind) for o in trace.objects] + [len(KINDS)])
    pages = np.array([o.pages for o in trace.objects] + [1], np.int64)
    thing = np.where(on_object, target, len(trace.objects))
    allowed = np.array(
        [[k in s.kinds or s.target != "object" for k in KINDS] + [True] for s in LANGUAGE.values()]
    )
    wrong |= ~allowed[op, kinds[thing]]
    wrong |= (page < 0) | (count < 1) | (page > pages[thing] - count)
    runs = np.array([s.run and o != Op.io_error for o, s in LANGUAGE.items()])[op]
    wrong |= ~runs & (count != 1)
    wrong |= ~np.array([s.run for s in LANGUAGE.values()])[op] & (page != 0)

    wrong |= _bad_values(np, trace, op, kinds[thing])
    if trace.time_ns is not None and n:
        times = np.asarray(trace.time_ns)
        wrong[0] |= times[0] < 0
        wrong[1:] |= (times[1:] < times[:-1]) | (times[1:] < 0)
    return np.flatnonzero(wrong).tolist()


def _bad_values(np: Any, trace: Trace, op: Any, kind: Any) -> Any:
    """Which rows hold a value that their op, on an object of this kind, does not take. Asked once
    for every combination there is."""
    value, n_values = np.asarray(trace.value), len(trace.values)
    has_value = (value >= 0) & (value < n_values)
    wrong = ~has_value
    wants = sorted({s.value for s in LANGUAGE.values()})
    want = np.array([wants.index(s.value) for s in LANGUAGE.values()])[op]
    used = np.flatnonzero((value != 0) | (want != wants.index("")))
    sharing = [SHARING[k] for k in KINDS] + [()]
    key = (want[used] * len(sharing) + kind[used]) * (n_values + 1)
    key += np.where(has_value[used], value[used], n_values)
    found, where = np.unique(key, return_inverse=True)
    verdict = []
    for k in found.tolist():
        k, text = divmod(k, n_values + 1)
        w, of_kind = divmod(k, len(sharing))
        verdict.append(
            text == n_values or bool(value_problem(wants[w], trace.values[text], sharing[of_kind]))
        )
    wrong[used] |= np.array(verdict, bool)[where]
    return wrong
