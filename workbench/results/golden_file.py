"""Worked examples as data: small TOML files that say what must be so after each step.

    title = "first touch, last unmap"
    source = "patch 2/7"
    schemes = ["first_touch"]
    containers.A = {}
    containers.B = { limit = 1 }
    tasks.PA = { container = "A" }
    objects.F = { kind = "file", pages = 1 }
    steps = [
      { do = "PA touch_read F", A = "1/0", B = "0/0", owner = { F = "A" } },
      { do = "PA unmap F; age", A = "0/0", outcome = ["ok", "ok"], why = "last mapping" },
    ]

`do` holds events, `;` between them: `task op target[first..last] key=value`, as in a trace. Touches
map by themselves. A container's name expects "usage/failcnt"; a usage that is a fraction is written
"1/2 f0" (failcnt 0). `golden_checks` has everything else; what is not named is not checked. A table
under a scheme's name holds for that scheme alone. `cases` are rows of parameters, one replay each;
"{N}" or "{N-1}" anywhere takes them.
"""

from __future__ import annotations

import re
import tomllib
from collections.abc import Callable, Iterator
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any

from workbench import schemes
from workbench.kernel import Knobs, Machine, did_you_mean
from workbench.trace import TraceBuilder, TraceError
from workbench.trace.language import CONTROL_FILES, LANGUAGE, Op
from workbench.trace.model import Container, Object, Task, Trace

from .golden_checks import (
    CHECKS,
    OF_CONTAINERS,
    STEP_WORDS,
    GoldenError,
    Words,
    as_names,
    as_pair,
    know_subject,
    known,
    pages,
)

TABLES = {  # table of the file -> what its rows may say
    "containers": {f.name for f in fields(Container)} - {"name"},
    "tasks": {f.name for f in fields(Task)} - {"name"},
    "objects": {f.name for f in fields(Object)} - {"name"},
}
KEYS = ("title", "source", "notes", "schemes", "machine", "knobs", *TABLES, "cases", "steps")
BADNESS = TABLES["tasks"] - {"container", "node"}


@dataclass(frozen=True)
class Step:
    """Events (text, number of the last trace event it became) and what must be so after them."""

    number: int
    do: str
    why: str
    events: tuple[tuple[str, int], ...]
    expected: dict[str, dict[tuple[str, str], Any]]  # scheme label -> (check, subject) -> value


@dataclass(frozen=True)
class Case:
    """One replay: parameters filled in, events built."""

    name: str
    schemes: tuple[schemes.Scheme, ...]
    machine: Machine
    knobs: Knobs
    trace: Trace
    steps: tuple[Step, ...]


@dataclass(frozen=True)
class Golden:
    """A golden file, read and found well-formed."""

    path: Path
    title: str
    source: str
    notes: str
    cases: tuple[Case, ...]


def load(path: str | Path) -> Golden:
    """Read one golden file. Raises GoldenError (file, place, what is wrong), OSError."""
    path = Path(path)
    try:
        raw = tomllib.loads(path.read_text(encoding="utf-8"))
        known(raw, KEYS, "key")
        for key in ("title", "source", "steps"):
            if not raw.get(key):
                raise GoldenError(f"{key} is missing")
        rows = raw.pop("cases", None) or [{}]
        if not isinstance(rows, list) or not all(isinstance(row, dict) for row in rows):
            raise GoldenError("cases: a list of tables is expected")
        cases = tuple(read_case(raw, row) for row in rows)
        names = [case.name for case in cases]
        if len(set(names)) < len(names):
            raise GoldenError(f"two cases have one name: {', '.join(names)}")
    except UnicodeDecodeError:
        raise GoldenError(f"{path}: not text; a golden example is a TOML file") from None
    except (GoldenError, tomllib.TOMLDecodeError) as error:
        raise GoldenError(f"{path}: {error}") from None
    return Golden(path, raw["title"], raw["source"], raw.get("notes", ""), cases)


PARAMETER = re.compile(r"\{(\w+)([+-]\d+)?\}")


def fill(value: Any, row: dict) -> Any:
    """Put a case's parameters in: a text that is only "{name}" takes the value as it is."""
    if isinstance(value, dict):
        return {fill(k, row): fill(v, row) for k, v in value.items()}
    if isinstance(value, list):
        return [fill(v, row) for v in value]
    if not isinstance(value, str):
        return value
    alone = PARAMETER.fullmatch(value)
    if alone:
        return parameter(row, alone)
    return PARAMETER.sub(lambda match: str(parameter(row, match)), value)


def parameter(row: dict, match: re.Match) -> Any:
    name, change = match.groups()
    if name not in row:
        raise GoldenError(f"{match[0]}: no such parameter in the case{did_you_mean(name, row)}")
    if not change:
        return row[name]
    if not isinstance(row[name], int):
        raise GoldenError(f"{match[0]}: {name} is {row[name]!r}, not a whole number")
    return row[name] + int(change)


def read_case(raw: dict, row: dict) -> Case:
    name = row.get("name") or "".join(f"{k}={row[k]}" for k in list(row)[:1])
    used = {"name"} | {match[1] for match in PARAMETER.finditer(str(raw))}
    try:
        known(row, used, "parameter, used nowhere in the file,")
        text = fill({k: v for k, v in raw.items() if k not in ("title", "source", "notes")}, row)
        return build_case(text, name)
    except GoldenError as error:
        raise GoldenError(f"case {name}: {error}" if name else str(error)) from None


def build_case(text: dict, name: str) -> Case:
    builder = TraceBuilder()
    try:
        ran = tuple(schemes.get(s) for s in as_names(text.get("schemes", ["first_touch"])))
        machine, knobs = settings(Machine, text, "machine"), settings(Knobs, text, "knobs")
        for table, add in (("containers", builder.container), ("objects", builder.object),
                           ("tasks", builder.task)):
            for key, row in named_rows(text, table):
                add(key, **row)
    except (TypeError, ValueError) as error:
        raise error if isinstance(error, GoldenError) else GoldenError(str(error)) from None
    if not isinstance(text["steps"], list):
        raise GoldenError("steps: a list of tables is expected")
    plays = [play(builder, n, step) for n, step in enumerate(text["steps"], 1)]
    try:
        trace = builder.build()
    except TraceError as error:
        raise GoldenError(f"{place(error, plays)}{error}") from None
    words = Words(trace, tuple(s.label for s in ran))
    steps = tuple(
        Step(n, step["do"], step.get("why", ""), events, read_expected(step, n, words, len(events)))
        for n, (step, events) in enumerate(zip(text["steps"], plays, strict=True), 1)
    )
    return Case(name, ran, machine, knobs, trace, steps)


def settings(kind: type, text: dict, table: str):
    given = text.get(table, {})
    known(given, {f.name for f in fields(kind)}, f"{table} setting")
    return kind(**given)


def named_rows(text: dict, table: str) -> Iterator[tuple[str, dict]]:
    rows = text.get(table, {})
    if not isinstance(rows, dict):
        raise GoldenError(f"{table}: write {table}.NAME = {{ ... }}")
    for key, row in rows.items():
        known(row, TABLES[table], f"field of {table}.{key},")
        if table == "containers" and (key in STEP_WORDS or key in schemes.names()):
            raise GoldenError(f"a container cannot be named {key}: steps use that word")
        yield key, row


def place(error: TraceError, plays: list) -> str:
    """The step a defect of the trace belongs to."""
    row = next((d.row for d in error.defects if d.table == "events" and d.row), None)
    for n, events in enumerate(plays, 1):
        if row is not None and row - 1 <= events[-1][1]:
            return f"step {n}: "
    return ""


# ---- events --------------------------------------------------------------------------------------

WORD = re.compile(r"""(?:[^\s'"]|'[^']*'|"[^"]*")+""")
EVENT = re.compile(r"""(?:[^;'"]|'[^']*'|"[^"]*")+""")


def play(builder: TraceBuilder, n: int, step: Any) -> tuple[tuple[str, int], ...]:
    """Add a step's events to the trace."""
    if not isinstance(step, dict) or not isinstance(step.get("do"), str):
        raise GoldenError(f"step {n}: do = 'task op target; ...' is missing")
    events = []
    for text in EVENT.findall(step["do"]):
        text = text.strip()
        if text:
            try:
                add_event(builder, WORD.findall(text))
            except (TypeError, ValueError) as error:
                raise GoldenError(f"step {n}: event {text!r}: {error}") from None
            events.append((text, len(builder) - 1))
    if not events:
        raise GoldenError(f"step {n}: no event in do = {step['do']!r}")
    return tuple(events)


def add_event(builder: TraceBuilder, words: list[str]) -> None:
    names = Op.__members__
    first = words[0] in names and not LANGUAGE[Op[words[0]]].task
    who, op, rest = ([], words[0], words[1:]) if first else (words[:1], *words[1:2], words[2:])
    if op not in names:
        raise GoldenError(f"unknown operation {op!r}{did_you_mean(op, names)}")
    spec = LANGUAGE[Op[op]]
    if bool(spec.task) != bool(who):
        raise GoldenError(f"{op} takes {'a task before it' if spec.task else 'no task'}")
    arguments: list = list(who)
    if spec.target == "object" and rest:
        obj, start, stop = pages(rest.pop(0))
        arguments.append(obj)
        if start is not None and not spec.run:
            raise GoldenError(f"{op} takes no pages")
        if op == "io_error":
            arguments.append(start or 0)
        elif start is not None:
            arguments += [start, stop - start]
    elif spec.target and rest:
        arguments.append(rest.pop(0))
    values, keys = read_values(op, rest)
    getattr(builder, op)(*arguments, *values, **keys)


def read_values(op: str, words: list[str]) -> tuple[list, dict]:
    """What follows the target: sharing, node, label, bytes to write, badness inputs."""
    if op == "mark":
        return [" ".join(words)], {}
    values, keys = [], {}
    for word in words:
        key, equals, value = word.partition("=")
        if op == "map" and word in ("private", "shared"):
            keys["shared"] = word == "shared"
        elif op == "set_limit" and equals and key in CONTROL_FILES:
            quoted = value[:1] == value[-1:] == "'" and len(value) > 1
            values.append(f"{key}={value[1:-1] if quoted else value}")
        elif op in ("run_on", "migrate") and word.isdigit():
            values.append(int(word))
        elif op in ("fork", "thread") and equals:
            known({key: 0}, BADNESS, "badness input")
            keys[key] = badness_input(key, value)
        else:
            raise GoldenError(f"{op}: cannot make sense of {word!r}")
    return values, keys


def badness_input(key: str, value: str) -> int | bool:
    if value in ("true", "false"):
        return value == "true"
    try:
        return int(value)
    except ValueError:
        raise GoldenError(f"{key}={value}: a whole number, true or false is expected") from None


# ---- expectations --------------------------------------------------------------------------------


def read_expected(step: dict, n: int, words: Words, events: int) -> dict:
    """What a step expects of each scheme: (check, subject) -> value."""
    try:
        own = {k: v for k, v in step.items() if k in words.schemes}
        common = {k: v for k, v in step.items() if k not in own and k not in ("do", "why")}
        shared = dict(read_checks(common, words, events, own_allowed=True))
        return {
            label: shared | dict(read_checks(own.get(label, {}), words, events))
            for label in words.schemes
        }
    except GoldenError as error:
        raise GoldenError(f"step {n}: {error}") from None


def read_checks(given: dict, words: Words, events: int, own_allowed: bool = False) -> Iterator:
    containers = [row.name for row in words.trace.containers]
    allowed = [*CHECKS, *containers, *(words.schemes if own_allowed else ())]
    known(given, allowed, "expectation")
    for key, value in given.items():
        if key in containers:
            yield from read_container(key, value)
            continue
        subjects, read, _ = CHECKS[key]
        if subjects:
            if not isinstance(value, dict):
                raise GoldenError(f"{key}: write {key} = {{ NAME = value }}")
            for subject, wanted in value.items():
                yield (key, know_subject(subjects, subject, words)), reading(key, read, wanted)
        else:
            wanted = reading(key, read, value)
            if key == "outcome" and isinstance(value, list) and len(wanted) != events:
                raise GoldenError(f"outcome: {len(wanted)} of them for {events} events")
            yield (key, ""), wanted


def read_container(name: str, value: Any) -> Iterator:
    if not isinstance(value, dict):
        yield ("pair", name), reading(name, as_pair, value)
        return
    known(value, OF_CONTAINERS, f"expectation of container {name},")
    for key, wanted in value.items():
        yield (key, name), reading(key, OF_CONTAINERS[key][1], wanted)


def reading(key: str, read: Callable, value: Any) -> Any:
    try:
        return read(value)
    except GoldenError as error:
        raise GoldenError(f"{key}: {error}") from None
