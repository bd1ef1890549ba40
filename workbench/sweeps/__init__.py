"""Many runs, one table: a grid or a list of points, on all cores, nothing lost, nothing done twice.

    table = sweep("two_compiles", {"lag": [0, 5, 40], "limit": ["24MiB", None]}, ["first_touch"])

Every finished point is written to a small database beside the result (`FILE.partial`) at once; the
same call after a crash goes on from there. The table appears whole at the end.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
from collections.abc import Callable, Iterable, Iterator, Mapping
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from workbench import schemes as rules

from .batch import batches, jobs_of
from .points import ALL, Point, checked, grid, key_of
from .store import Store, sources
from .workers import cluster, here

__all__ = ["grid", "partial", "sweep"]


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
    ]
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
