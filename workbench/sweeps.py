"""Many runs, one table: a grid or a list of points, on all cores, nothing lost, nothing done twice.

    table = sweep("two_compiles", {"lag": [0, 5, 40], "limit": ["24MiB", None]}, ["first_touch"])

Every finished point is written to a small database beside the result (`FILE.partial`) at once; the
same call after a crash goes on from there. The table appears whole at the end.
"""

from __future__ import annotations

import contextlib
import hashlib
import itertools
import json
import os
import sqlite3
import threading
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from concurrent.futures import (
    FIRST_COMPLETED,
    BrokenExecutor,
    Future,
    ProcessPoolExecutor,
    wait,
)
from dataclasses import fields
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from workbench import scenarios as stories
from workbench import schemes as rules
from workbench.kernel import Knobs, did_you_mean
from workbench.results.units import pages
from workbench.trace.deal import redeal

Point = dict[str, Any]
Row = tuple[str, str, float | None, str, str]  # container, metric, value, word, unit
UNITS = {"minor": "faults", "major": "faults", "failcnt": "refusals", "kills": "tasks",
         "lost": "tasks"}  # fmt: skip
ALL = "all"  # in place of a scenario's name: every one
PATIENCE = 1.0  # seconds of work before other processes are worth starting
KNOBS = tuple(f.name for f in fields(Knobs))


# ---- points --------------------------------------------------------------------------------------


def grid(**axes: Iterable) -> list[Point]:
    """Every combination of the values, the last axis running fastest."""
    return [
        dict(zip(axes, values, strict=True))
        for values in itertools.product(*(list(axis) for axis in axes.values()))
    ]


def checked(scenario: str, over: Mapping[str, Iterable] | Iterable[Point]) -> list[Point]:
    """The points asked for, each with every name and value checked before anything runs.

    A name is a scenario's parameter, a knob, `limit` (every container but root, where the scenario
    has no parameter of that name), `limit.NAME`, `deal` (a seed of `redeal`; None: as written) or
    `spread`. Sizes such as 24MiB become pages. The scenario "all" makes a point of every story,
    named by the axis `scenario`. Raises ValueError.
    """
    points = grid(**over) if isinstance(over, Mapping) else [dict(point) for point in over]
    if not points:
        raise ValueError("sweep: no points; an axis of the grid is empty")
    if scenario == ALL:
        return [
            {"scenario": name, **point}
            for name in stories.names() for point in checked(name, points)
        ]  # fmt: skip
    story = scenario in stories.names()
    if not story and not Path(scenario).exists():
        hint = did_you_mean(scenario, stories.names())
        raise ValueError(f"sweep: {scenario!r} is neither a scenario nor a trace's file{hint}")
    parameters = stories.parameters(scenario) if story else {}
    known = [*parameters, *KNOBS, "limit", "deal", "spread"]
    for name in dict.fromkeys(name for point in points for name in point):
        if name not in known and not name.startswith("limit."):
            raise ValueError(f"sweep: unknown axis {name!r}{did_you_mean(name, known)}")
    if any(point.keys() != points[0].keys() for point in points):
        raise ValueError("sweep: every point must name the same axes")
    for point in points:
        for name, value in point.items():
            if name in parameters:
                known_as = parameters[name]
                if isinstance(value, str) and known_as.low is not None:
                    point[name] = value = size_of(name, value)
                known_as.check(scenario, value)
            elif name.startswith("limit") and value is not None:
                size_of(name, value)
            elif name == "deal" and not (value is None or type(value) is int):
                raise ValueError(f"sweep: deal={value!r}: a whole number (a seed) or None")
        Knobs(**{name: point[name] for name in KNOBS if name in point})
    return points


def size_of(name: str, value: Any) -> int:
    try:
        return pages(value)
    except ValueError as problem:
        raise ValueError(f"sweep: {name}={value!r}: {problem}") from None


def key_of(point: Point, scheme: str) -> str:
    return json.dumps({**point, "scheme": scheme}, sort_keys=True)


def sources() -> str:
    """Hash of the code that decides a result: points of other code are not taken over."""
    digest, package = hashlib.sha256(), Path(__file__).parent
    for part in ("trace", "kernel", "schemes", "scenarios"):
        for file in sorted((package / part).rglob("*.py")):
            digest.update(file.read_bytes())
    return digest.hexdigest()[:16]


# ---- one batch of work: one trace under many limits, knobs and schemes ---------------------------


def jobs_of(scenario: str, points: list[Point], names: list[str]) -> list[tuple[Point, str]]:
    """(point, scheme): all there is to do; of all stories, each under the schemes it is about."""
    if scenario != ALL:
        return list(itertools.product(points, names))
    about = {story: stories.schemes_of(story) or rules.names() for story in stories.names()}
    return [(point, name) for point in points for name in names
            if name.partition(":")[0] in about[point["scenario"]]]  # fmt: skip


def batches(scenario: str, jobs: list[tuple[Point, str]], done: set[str]) -> Iterator:
    """(scenario, [(point, scheme), ...]): all that is left to do, one batch per trace to build."""
    made: dict[tuple[str, str], list] = {}
    for point, name in jobs:
        story = point["scenario"] if scenario == ALL else scenario
        known = stories.parameters(story) if story in stories.names() else {}
        built = {n: v for n, v in point.items() if n in known or n in ("deal", "spread")}
        if key_of(point, name) not in done:
            made.setdefault((story, json.dumps(built, sort_keys=True)), []).append((point, name))
    for (story, _), mine in made.items():
        for start in range(0, len(mine), 8):
            yield story, mine[start : start + 8]


def work(scenario: str, jobs: list[tuple[Point, str]]) -> list[tuple[str, list[Row]]]:
    """Build a scenario once and replay it for every job. Runs anywhere: here, in another process,
    on a worker of a cluster."""
    from workbench.results import replay

    source = build(scenario, jobs[0][0])
    boxes = [c.name for c in source.trace.containers if c.name != "root"]
    own = source.story is not None and "limit" in stories.parameters(scenario)
    found = []
    for point, scheme in jobs:
        limits = dict.fromkeys(boxes, point["limit"]) if "limit" in point and not own else {}
        limits |= {n[6:]: v for n, v in point.items() if n.startswith("limit.")}
        run = replay(source, scheme, limits=limits, samples=None if source.measured else 1,
                     **{n: point[n] for n in KNOBS if n in point})  # fmt: skip
        found.append((key_of(point, scheme), list(rows_of(run, source))))
    return found


class Source:
    """A scenario as it is or dealt again, or a trace; what `replay` takes."""

    def __init__(self, name: str, trace: Any, story: Any = None) -> None:
        self.name, self.trace, self.story = name, trace, story
        self.machine = getattr(story, "machine", None)
        self.knobs = getattr(story, "knobs", None)
        self.sample_every = getattr(story, "sample_every", None)

    @property
    def measured(self) -> bool:
        """Whether the scenario's own measures apply: not to events in another order."""
        return self.story is not None and self.trace is self.story.trace


def build(scenario: str, point: Point) -> Source:
    from workbench.trace import Trace

    if scenario in stories.names():
        own = {n: v for n, v in point.items() if n in stories.parameters(scenario)}
        story = stories.get(scenario, **own)
        source = Source(scenario, story.trace, story)
    else:
        source = Source(Path(scenario).stem, Trace.load(scenario))
    if point.get("deal") is not None:
        source.trace = redeal(source.trace, point["deal"], point.get("spread", 1.0))
    return source


def rows_of(run: Any, source: Source) -> Iterator[Row]:
    """The summary of a run and what its scenario measures, one row per number."""
    from workbench.results import tables

    names = tables.summary_columns(run)
    for box, *values in tables.summary(run):
        for metric, value in zip(names[1:], values, strict=True):
            if value is not None:
                yield box, metric, float(value), "", UNITS.get(metric, "pages")
    if source.measured:
        met = {True: 0, False: 0, None: 0}
        for row in source.story.verdict(run.scheme.label, run.state):
            value = row["measured"]
            word = value if isinstance(value, str) else ""
            yield "", row["quantity"], None if word else float(value), word, "measured"
            met[row["agrees"]] += 1
        yield "", "predictions met", float(met[True]), "", "quantities"
        yield "", "predictions missed", float(met[False]), "", "quantities"
    yield "", "hang", float(run.hang or 0), "", "event"


# ---- where results are kept until all are there --------------------------------------------------


class Store:
    """Finished points in a database of one file: each is there wholly or not at all."""

    def __init__(self, path: str, about: dict[str, str]) -> None:
        self.path = path
        try:
            self.db = sqlite3.connect(path, timeout=5)
            self.db.execute("pragma locking_mode = exclusive")
            self.db.execute("begin exclusive")
            self.db.execute("create table if not exists about (name primary key, value)")
            self.db.execute("create table if not exists point (key primary key, rows)")
            said = dict(self.db.execute("select name, value from about"))
            self.db.executemany("insert or replace into about values (?, ?)", about.items())
            self.db.commit()
        except sqlite3.OperationalError as problem:
            if problem.sqlite_errorname != "SQLITE_BUSY":
                raise OSError(f"cannot write {path}: {problem}") from None
            raise ValueError(f"{path}: another sweep is writing to it ({problem})") from None
        except sqlite3.DatabaseError:
            raise ValueError(f"{path}: not an unfinished sweep; delete it") from None
        for name, value in said.items():
            if about.get(name) != value:
                self.close()
                raise ValueError(
                    f"{path}: begun with {name} {value}, this is {about.get(name)}; finish it with "
                    "that, or begin again (restart)"
                )

    def keys(self) -> set[str]:
        return {key for (key,) in self.db.execute("select key from point")}

    def add(self, found: list[tuple[str, list[Row]]]) -> None:
        try:
            with self.db:
                self.db.executemany(
                    "insert or ignore into point values (?, ?)",
                    [(key, json.dumps(rows)) for key, rows in found],
                )
        except sqlite3.OperationalError as problem:  # the disk is full
            raise OSError(f"cannot write {self.path}: {problem}") from None

    def get(self, key: str) -> list[Row]:
        return json.loads(
            self.db.execute("select rows from point where key = ?", (key,)).fetchone()[0]
        )

    def close(self) -> None:
        self.db.close()


# ---- who does the work ---------------------------------------------------------------------------


def leave_with_parent() -> None:
    """In a worker: end when the process that started it does, however that ended."""
    import multiprocessing

    def watch() -> None:
        multiprocessing.parent_process().join()
        os._exit(1)

    threading.Thread(target=watch, daemon=True).start()


def windowed(submit: Callable[..., Future], todo: Iterator, width: int) -> Iterator[list]:
    """Results as they come, never more than `width` batches under way."""
    running = {submit(work, *batch) for batch in itertools.islice(todo, width)}
    while running:
        ended, running = wait(running, return_when=FIRST_COMPLETED)
        for future in ended:
            yield future.result()
        running |= {submit(work, *batch) for batch in itertools.islice(todo, len(ended))}


def here(todo: Iterator, workers: int) -> Iterator[list]:
    """In this process as long as that takes about a second, then on all cores."""
    begun = time.monotonic()
    for batch in todo:
        yield work(*batch)
        if workers > 1 and time.monotonic() - begun > PATIENCE:
            break
    todo = iter(todo)
    following = next(todo, None)
    if following is None:
        return
    import multiprocessing

    pool = ProcessPoolExecutor(
        workers, multiprocessing.get_context("spawn"), initializer=leave_with_parent
    )
    try:
        yield from windowed(pool.submit, itertools.chain([following], todo), workers + 1)
    except BrokenExecutor:
        raise ChildProcessError(
            "sweep: a worker process was killed, perhaps for want of memory (fewer need less)"
        ) from None
    finally:
        pool.shutdown(wait=False, cancel_futures=True)


def cluster(todo: Iterator, address: str) -> Iterator[list]:
    """On the workers of a Dask cluster, which must have the very same workbench."""
    try:
        from distributed import Client
    except ImportError:
        raise ImportError("dask: the package `distributed` is missing: pip install "
                          "'workbench[dask]'") from None
    try:
        client = Client(address, timeout=10, set_as_default=False)
    except (OSError, ValueError) as problem:
        raise ValueError(f"dask: no scheduler at {address} ({problem})") from None
    with client:
        theirs = client.run(sources)
        if not theirs:
            raise ValueError(f"dask: the scheduler at {address} has no workers")
        for worker, code in theirs.items():
            if code != sources():
                raise ValueError(f"dask: worker {worker} has another version of the workbench")
        executor = client.get_executor(pure=False)
        yield from windowed(executor.submit, todo, 2 * len(theirs))


# ---- the verb ------------------------------------------------------------------------------------


def sweep(
    scenario: str,
    over: Mapping[str, Iterable] | Iterable[Point] = (),
    schemes: str | Iterable[str] | None = None,
    *,
    file: str | Path | None = None,
    workers: int | None = None,
    dask: str | None = None,
    restart: bool = False,
    progress: Callable[[int, int], None] | None = None,
    stop: Callable[[], bool] | None = None,
):
    """Replay a scenario (or a trace's file) at every point under every scheme (None: all).

    scenario a name, a trace's file, or "all": every story, under the schemes it is about
    over     axis -> values for every combination, or a list of points; see `checked` for the names
    file     FILE.parquet (or .csv), written whole at the end; FILE.parquet.partial meanwhile, from
             which the same call goes on after a crash. None: only the table
    workers  processes (None: one per core); dask: address of a Dask scheduler, instead
    progress called with (points done, points in all); stop: asked now and then, True ends it early
             with what is done kept in the partial file and None returned

    Returns a pandas table, one number a row: scenario, scheme, the axes, container ("" for the
    whole machine), metric, value, word (where the measure is a word), unit. Raises ValueError for a
    wrong name or value before anything runs, and for a file that is there already.
    """
    points = checked(str(scenario), over or [{}])
    names = labels_of(schemes)
    if workers is not None and (isinstance(workers, bool) or workers < 1):
        raise ValueError(f"sweep: workers={workers!r}; at least 1 is needed")
    target = Path(file) if file else None
    if target:
        check_target(target, restart)
    with contextlib.ExitStack() as stack:
        store = stack.enter_context(kept(target, str(scenario), restart))
        jobs = jobs_of(str(scenario), points, names)
        keys = [key_of(*job) for job in jobs]
        done, wanted = store.keys(), len(set(keys))
        have = len(done & set(keys))
        todo = batches(str(scenario), jobs, done)
        results = cluster(todo, dask) if dask else here(todo, workers or os.cpu_count() or 1)
        stack.callback(results.close)
        if progress:
            progress(have, wanted)
        for found in results:
            store.add(found)
            have += len(found)
            if progress:
                progress(have, wanted)
            if stop and stop() and have < wanted:
                return None
        table = table_of(str(scenario), jobs, store)
        if target:
            write(table, target, str(scenario))
    if target:
        partial(target).unlink(missing_ok=True)
    return table


def labels_of(schemes: str | Iterable[str] | None) -> list[str]:
    listed = rules.names() if schemes is None else schemes
    listed = [listed] if isinstance(listed, str) else listed
    names = list(dict.fromkeys(rules.get(name).label for name in listed))
    if not names:
        raise ValueError("sweep: no scheme given")
    return names


def check_target(target: Path, restart: bool) -> None:
    if target.suffix not in (".parquet", ".csv"):
        raise ValueError(f"sweep: {target.name}: a name ending in .parquet or .csv is expected")
    if target.suffix == ".parquet" and find_spec("pyarrow") is None:
        raise ImportError(f"{target.name}: Parquet needs pyarrow: pip install 'workbench[parquet]' "
                          "(.csv files need nothing)")
    if target.exists() and not restart:
        raise ValueError(f"sweep: {target} is there already; take another name, or --restart "
                         "(restart=True)")


def partial(target: Path) -> Path:
    return target.with_name(target.name + ".partial")


@contextlib.contextmanager
def kept(target: Path | None, scenario: str, restart: bool) -> Iterator[Store]:
    """The store: beside the target, or in memory when there is none."""
    trace = Path(scenario)
    content = hashlib.sha256(trace.read_bytes()).hexdigest()[:16] if trace.is_file() else ""
    about = {"scenario": trace.stem, "content": content, "code": sources()}
    if target:
        target.parent.mkdir(parents=True, exist_ok=True)
        if restart:
            partial(target).unlink(missing_ok=True)
    store = Store(str(partial(target)) if target else ":memory:", about)
    try:
        yield store
    finally:
        store.close()


def table_of(scenario: str, jobs: list[tuple[Point, str]], store: Store):
    """All rows in the order of the points, as a pandas table."""
    import pandas as pd

    axes = [axis for axis in jobs[0][0] if (scenario, axis) != (ALL, "scenario")]
    columns = ["scenario", "scheme", *axes, "container", "metric", "value", "word", "unit"]
    rows = [
        (point["scenario"] if scenario == ALL else Path(scenario).stem, name,
         *(plain(point[axis]) for axis in axes), *row)
        for point, name in jobs for row in store.get(key_of(point, name))
    ]  # fmt: skip
    return pd.DataFrame.from_records(rows, columns=columns)


def plain(value: Any) -> Any:
    """A point's value as a cell: a placement (a dict) as text."""
    return json.dumps(value, sort_keys=True) if isinstance(value, dict) else value


def write(table: Any, target: Path, scenario: str) -> None:
    """Whole or not at all."""
    from workbench.results.export import csv_bytes, parquet_bytes, write_files

    about = {"scenario": scenario, "code": sources()}
    data = csv_bytes(table) if target.suffix == ".csv" else parquet_bytes(table, about)
    write_files(target.parent, {target.name: data})
