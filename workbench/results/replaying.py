"""`replay`: one scenario (or trace) under one scheme."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from copy import copy
from dataclasses import fields, replace
from pathlib import Path
from typing import Any

from workbench import schemes
from workbench.kernel import Knobs, Machine, choose, did_you_mean, simulate
from workbench.trace import Trace

from .run import Run
from .units import pages

Limits = dict[str, "int | str | None"]


def every(scenario, trace, samples: int | None) -> int:
    """Events between two samples: as asked, as the scenario's own measures need it, or 400."""
    own = getattr(scenario, "sample_every", None)
    if samples is None and own:
        return own
    return max(1, len(trace) // (samples or 400))


def replay(
    source,
    scheme: str | schemes.Scheme = "first_touch",
    *,
    machine: Machine | None = None,
    engine: str = "auto",
    limits: Limits | None = None,
    samples: int | None = None,
    progress: Callable[[int, int], None] | None = None,
    **knobs: Any,
) -> Run:
    """Replay a scenario, a trace or a trace's file under a scheme.

    limits   container -> pages (64), a size ("64MiB") or None for no limit; a `set_limit` event of
             the trace still changes it later
    samples  rows of the tables over time, about (long traces are sampled, short ones are not)
    progress called with (events done, events in all) now and then
    knobs    fields of `Knobs` by name (`cluster=4`), on top of the scenario's own

    Raises ValueError for unknown names (with the nearest known one) and values out of range.
    """
    scenario = source if hasattr(source, "trace") else None
    trace = source.trace if scenario else source
    name = getattr(scenario, "name", "")
    if isinstance(trace, (str, Path)):
        name, trace = name or Path(trace).stem, Trace.load(trace)
    if not isinstance(trace, Trace):
        kind = type(source).__name__
        raise TypeError(f"replay takes a Scenario, a Trace or the path of a trace, not {kind}")
    if samples is not None and not (type(samples) is int and samples > 0):
        raise ValueError(f"samples={samples!r}: a whole number, at least 1, is needed")
    if not isinstance(limits, Mapping | None):
        raise TypeError(f"limits={limits!r}: a dict is needed, such as {{'A': '64MiB'}}")
    if not isinstance(machine, Machine | None):
        raise TypeError(f"machine={machine!r}: a Machine is needed, such as Machine(nodes=4)")
    scheme = schemes.get(scheme)
    machine = machine or getattr(scenario, "machine", None) or Machine()
    chosen = with_knobs(getattr(scenario, "knobs", None) or Knobs(), knobs)
    given = {c: limit_in_pages(c, size) for c, size in (limits or {}).items()}
    trace = with_limits(trace, given)
    engine = choose(engine, trace)
    started = time.perf_counter()
    state = simulate(
        trace, scheme, machine, chosen, engine=engine,
        sample_every=every(scenario, trace, samples), progress=progress,
    )
    seconds = time.perf_counter() - started
    return Run(
        name or name_of(trace), scheme, machine, chosen, trace, engine, state, seconds, given,
        scenario,
    )


def limit_in_pages(container: str, size: int | str | None) -> int | None:
    try:
        return None if size is None else pages(size)
    except ValueError as problem:
        raise ValueError(f"limit of {container}: {problem}") from None


def with_knobs(base: Knobs, changes: dict[str, Any]) -> Knobs:
    known = [f.name for f in fields(Knobs)]
    for name in changes:
        if name in {f.name for f in fields(Machine)}:
            raise ValueError(f"{name} is the machine's: machine=Machine({name}=...)")
        if name not in known:
            raise ValueError(f"unknown knob {name!r}{did_you_mean(name, known)}")
    return replace(base, **changes)


def with_limits(trace: Trace, limits: dict[str, int | None]) -> Trace:
    """The same events with other limits on containers. Raises ValueError for an unknown one."""
    names = [c.name for c in trace.containers]
    for name in limits:
        if name not in names:
            hint = did_you_mean(name, names)
            raise ValueError(f"limits: no container {name!r} in the trace{hint}")
    if not limits:
        return trace
    changed = copy(trace)
    changed.containers = [
        replace(c, limit=limits[c.name]) if c.name in limits else c for c in trace.containers
    ]
    return changed


def name_of(trace: Trace) -> str:
    found = trace.header.get("name") or trace.header.get("provenance", {}).get("source") or "trace"
    return Path(str(found)).stem
