"""Synthetic traces, made by numpy from a seed, and compiled states that replay them."""

from __future__ import annotations

import copy
from dataclasses import replace

import numpy as np

from workbench import schemes
from workbench.kernel import Machine
from workbench.kernel.engine import advance, prepare
from workbench.kernel.layout import COLUMNS
from workbench.kernel.names import N_MAJOR, N_MINOR
from workbench.trace import Container, Object, Op, Task, Trace

SCHEMES = [*schemes.names(), "first_touch:lists=lru"]
# frames enough that only limits bind, also when half of them are dealt out in zones; no swap
MACHINE = Machine(frames=1 << 24, swap=0)


def zipf(pages: int, events: int, seed: int = 1) -> np.ndarray:
    """Page of each event: Zipf(1.0), popular pages scattered over the file."""
    weights = np.cumsum(1.0 / np.arange(1, pages + 1))
    rng = np.random.default_rng(seed)
    rank = np.searchsorted(weights / weights[-1], rng.random(events), side="right")
    where = np.random.default_rng(seed + 7).permutation(pages).astype(np.int32)
    return where[np.minimum(rank, pages - 1)]


def trace_of(pages: int, op: np.ndarray | int, task: np.ndarray | int, page: np.ndarray,
             containers: int, limit: int | None = None) -> Trace:
    """Events on one file that every task, one per container, maps privately at the start."""
    setup, events = containers, len(page)
    n = setup + events

    def column(first, rest, kind):
        values = np.empty(n, kind)
        values[:setup], values[setup:] = first, rest
        return values

    return Trace.from_columns(
        [Object("file", "file", pages)],
        [Task(f"t{i}", f"c{i}") for i in range(containers)],
        [Container("root"), *(Container(f"c{i}", limit) for i in range(containers))],
        op=column(Op.map, op, np.int8),
        task=column(np.arange(setup), task, np.int32),
        target=np.zeros(n, np.int32),
        page=column(0, page, np.int64),
        count=column(pages, 1, np.int32),
        value=column(1, 0, np.int32),
        values=["", "private"],
    )


def hits(pages: int, events: int, containers: int, shared: float = 1.0, seed: int = 1) -> Trace:
    """Zipf reads; `shared` of the pages are read by every container, the others by one each."""
    page = zipf(pages, events, seed)
    rng = np.random.default_rng(seed + 11)
    task = rng.integers(0, containers, pages, dtype=np.int32)[page]
    everyone = (rng.random(pages) < shared)[page]
    task[everyone] = rng.integers(0, containers, int(everyone.sum()), dtype=np.int32)
    return trace_of(pages, Op.touch_read, task, page, containers)


def churn(pages: int, events: int, containers: int, sharers: int, seed: int = 2):
    """Every event maps a page (a first touch) or unmaps it (a discard), never in vain.

    Each page has `sharers` containers, half of which, at random, map it at the start; each event
    picks one of them. Returns the trace and the number of events that only set this up.
    """
    rng = np.random.default_rng(seed)
    everybody = np.arange(pages * sharers, dtype=np.int64)
    there = rng.permutation(everybody[rng.random(len(everybody)) < 0.5])
    pair = np.concatenate([there, rng.integers(0, len(everybody), events)])
    page, pick = np.divmod(pair, sharers)
    task = pick
    if sharers < containers:
        task = (page * 2654435761 + pick * 40503) % containers
    order = np.argsort(pair, kind="stable")
    ranked = pair[order]
    starts = np.r_[True, ranked[1:] != ranked[:-1]]
    index = np.arange(len(pair))
    turn = index - np.maximum.accumulate(np.where(starts, index, 0))
    op = np.empty(len(pair), np.int8)
    op[order] = np.where(turn & 1, int(Op.discard), int(Op.touch_read))
    return trace_of(pages, op, task, page, containers), containers + len(there)


def limited(trace: Trace, limit: int | None) -> Trace:
    """The same events, another limit on every container but root."""
    changed = copy.copy(trace)
    root, *others = trace.containers
    changed.containers = [root, *(replace(box, limit=limit) for box in others)]
    return changed


class Replay:
    """A trace under a scheme, ready to be replayed again and again from the same start."""

    def __init__(self, trace: Trace, scheme: str, events_of: Replay | None = None) -> None:
        self.trace = trace
        self.start, self.do_run, self.do_rehash = prepare(
            trace, schemes.get(scheme), MACHINE, None, "compiled", 1, 0, 0
        )
        if events_of:
            for name in COLUMNS["event"]:
                setattr(self.start, name, getattr(events_of.start, name))
        self.state = None
        self.missed = self.walks = 0

    def fresh(self):
        """A state before the first event, its tables in memory of their own."""
        self.state = None
        state = copy.copy(self.start)
        state.records = {}
        for name, records in self.start.records.items():
            # by bytes: numpy copies records one by one
            state.set_records(name, records.view(np.uint8).copy().view(records.dtype))
        self.state = state
        return state

    def go(self, start: int, stop: int) -> None:
        """Events start..stop-1."""
        advance(self.state, self.trace, self.do_run, self.do_rehash, start, stop)

    def prepared(self) -> tuple:
        """For `interleaved`."""
        self.fresh()
        return ()

    def warm_up(self, events: int) -> Replay:
        """From now on `fresh` is the state after so many events."""
        self.fresh()
        self.go(0, events)
        self.start, self.state = self.state, None
        return self

    def misses(self) -> float:
        """Faults per event."""
        return float(self.state.stat[N_MINOR] + self.state.stat[N_MAJOR]) / len(self.trace)

    def stat(self, which: int) -> int:
        return int(self.state.stat[which])


def nbytes(state) -> tuple[int, int]:
    """Bytes of the state's tables, and of its event columns."""
    events = sum(getattr(state, name).nbytes for name in COLUMNS["event"])
    return sum(records.nbytes for records in state.records.values()), events
