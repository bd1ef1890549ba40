"""`Run`: one scenario under one scheme, with everything known of it. Made by `replay`."""

from __future__ import annotations

import hashlib
import importlib
import json
from collections.abc import Iterator
from dataclasses import asdict, dataclass, field
from fractions import Fraction
from functools import cached_property
from pathlib import Path
from typing import Any

from workbench import schemes
from workbench.kernel import (
    STATS,
    Knobs,
    Machine,
    State,
    did_you_mean,
    find_truth,
    simulate,
    stepped,
)
from workbench.kernel.engine import advance, prepare
from workbench.kernel.names import HANG, HUGE, LIVES, REFUSED
from workbench.trace import Op, Trace

from . import explain, tables
from .units import FINE


@dataclass(eq=False, repr=False)
class Run:
    """One scenario under one scheme. Tables are pandas tables with the columns of
    `results.tables.COLUMNS`; `time` counts events done. Made by `replay`.

    name      of the scenario; scenario: the Scenario replayed, None for a bare trace
    state     the machine after the last event (`kernel.State`)
    limits    limits given to `replay`, in pages; seconds: the replay took
    """

    name: str
    scheme: schemes.Scheme
    machine: Machine
    knobs: Knobs
    trace: Trace
    engine: str
    state: State
    seconds: float
    limits: dict[str, int | None] = field(default_factory=dict)
    scenario: Any = None

    # -- numbers -------------------------------------------------------------------------------

    @property
    def containers(self) -> list[str]:
        return [c.name for c in self.trace.containers]

    def usage_exact(self) -> dict[str, Fraction]:
        """What each container is charged at the end, in pages, exactly."""
        k = self.state
        return {c: Fraction(int(k.usage[i]), k.unit) for i, c in enumerate(self.containers)}

    @cached_property
    def _truth(self) -> tuple[list[int], list[Fraction], list[int]]:
        k = self.state
        find_truth(k, FINE)
        n = k.containers
        pss = [Fraction(int(x), FINE) for x in k.true_pss[:n]]
        return [int(x) for x in k.true_rss[:n]], pss, [int(x) for x in k.true_uss[:n]]

    def truth(self) -> tuple[list[int], list[Fraction], list[int]]:
        """Per container at the end, whatever the scheme says: rss, pss, uss in pages."""
        return self._truth

    @property
    def hung(self) -> bool:
        """Did the simulated machine hang?"""
        return bool(self.state.hung)

    @property
    def hang(self) -> int | None:
        """The event (from 1) at which the machine hangs, or None."""
        if not self.hung:
            return None
        return next(i for i, o in enumerate(self.state.ev_outcome) if o == HANG) + 1

    @staticmethod
    def kills_in(k: State) -> int:
        return min(int(k.kills), int(k.kills_end))

    @cached_property
    def _moves(self) -> dict[int, list[tuple[int, int]]]:
        """Task -> (event, container) of its birth and moves, in order."""
        number = {name: i for i, name in enumerate(self.containers)}
        homes = {t: [(-1, number[task.container])] for t, task in enumerate(self.trace.tasks)}
        for i in self.trace.rows(Op.fork, Op.thread, Op.move):
            task, target = int(self.trace.task[i]), int(self.trace.target[i])
            if self.trace.op[i] != Op.move:
                homes[target] = [(i, homes[task][-1][1])]
            elif self.state.ev_outcome[i] < REFUSED:
                homes[task].append((i, target))
        return homes

    def home(self, task: int, event: int) -> int:
        """The container a task is in at an event (both from 0)."""
        homes = self._moves[task]
        return next((c for i, c in reversed(homes) if i <= event), homes[0][1])

    def limit_at(self, container: int, event: int) -> int | None:
        """The limit of a container just before an event (from 0), pages; None: no limit."""
        from workbench.kernel.control import LIMITS
        from workbench.kernel.state import as_limit, read_value

        limit = as_limit(self.trace.containers[container].limit, self.knobs)
        for i in self.trace.rows(Op.set_limit):
            if i < event and self.trace.target[i] == container:
                text = self.trace.values[self.trace.value[i]]
                which, value = read_value(Op.set_limit, text, 0, self.knobs)
                if which in LIMITS and value >= 0 and self.state.ev_outcome[i] < REFUSED:
                    limit = value
        return None if limit >= HUGE else limit

    def bases(self) -> list[int]:
        """The number of each object's first page in the engine."""
        return [int(x) for x in self.state.obj_base[: len(self.trace.objects)]]

    # -- once more -----------------------------------------------------------------------------

    def walk(self) -> Iterator[State]:
        """Replay once more: the state after each event (one state, which changes)."""
        return stepped(self.trace, self.scheme, self.machine, self.knobs, engine=self.engine)

    def state_at(self, event: int) -> State:
        """The machine after so many events. Cost: a replay up to there."""
        if not 0 <= event <= len(self.trace):
            raise ValueError(f"event {event}: the trace has events 0 to {len(self.trace)}")
        if event == len(self.trace):
            return self.state
        k, run, rehash = prepare(
            self.trace, self.scheme, self.machine, self.knobs, self.engine, 1, 0, 0
        )
        advance(k, self.trace, run, rehash, 0, event)
        return k

    def page_number(self, obj: str, page: int) -> int:
        """The engine's number of a page of an object. Raises ValueError for what is not there."""
        names = [o.name for o in self.trace.objects]
        if obj not in names:
            raise ValueError(f"no object {obj!r} in the trace{did_you_mean(obj, names)}")
        number = names.index(obj)
        if type(page) is not int or not 0 <= page < self.trace.objects[number].pages:
            last = self.trace.objects[number].pages - 1
            raise ValueError(f"{obj} has pages 0 to {last}, not {page!r}")
        return self.bases()[number] + page

    def lives(self, obj: str, page: int) -> list[tuple[int, str, int, int]]:
        """(event from 0, what, container or -1, units) of one page. Cost: one more replay."""
        watch = self.page_number(obj, page) + 3
        k = simulate(
            self.trace, self.scheme, self.machine, self.knobs, engine=self.engine, watch=watch
        )
        columns = (k.life_event, k.life_what, k.life_container, k.life_amount)
        rows = zip(*(column[: k.lives] for column in columns), strict=True)
        return [(int(e), LIVES[w], int(c), int(n)) for e, w, c, n in rows]

    # -- tables --------------------------------------------------------------------------------

    def table(self):
        """Tidy samples: scenario, scheme, container, time, metric, value, unit."""
        return tables.frame("table", tables.tidy(self))

    def summary(self):
        """One row per container at the end; columns explained at `tables.summary`."""
        return tables.frame(tables.summary_columns(self), tables.summary(self))

    def costs(self):
        """The work counted, and what it comes to in simulated time: step, count, ns_each, ms.

        One row per kind of step of `kernel.STATS`; the machine's cost table gives nanoseconds a
        step (0 where it names none), the last row is the total. Cost: nothing is replayed.
        """
        import pandas as pd

        each = self.machine.costs_ns
        rows = [(name, int(self.state.stat[i]), each.get(name, 0)) for i, name in enumerate(STATS)]
        table = pd.DataFrame(rows, columns=["step", "count", "ns_each"])
        table["ms"] = table["count"] * table["ns_each"] / 1e6
        total = {"step": "total", "count": 0, "ns_each": 0, "ms": table["ms"].sum()}
        return pd.concat([table, pd.DataFrame([total])], ignore_index=True)

    def events(self):
        """One row per event with its outcome."""
        return tables.frame("events", tables.events(self))

    def steps(self):
        """One row per event with every container's usage and failcnt after it, who pays for the
        (first) page, and who was killed. Cost: one more replay, event by event."""
        return tables.frame(*(tuple(x) for x in tables.steps(self)))

    def oom(self):
        """One row per kill."""
        return tables.frame("oom", tables.oom(self))

    def oom_candidates(self, kill: int | None = None):
        """Who was considered with what points, at every kill or at kill number `kill`."""
        return tables.frame("candidates", tables.candidates(self, kill))

    def nodes(self):
        """Frames in use over time, by node, zone and kind."""
        return tables.frame("nodes", tables.nodes(self))

    def numa(self):
        """Pages mapped and charged at the end, accesses if counted, by container and node."""
        return tables.frame("numa", tables.numa(self))

    def placed(self):
        """What each container pays for and is refused on every node, over time."""
        return tables.frame("placed", tables.placed(self)[0])

    def owners(self, at: int | None = None):
        """Who pays for every page of every object, at the end or after `at` events."""
        k = self.state if at is None else self.state_at(at)
        return tables.frame("owners", tables.owners(self, k))

    def life(self, obj: str, page: int = 0):
        """The story of one page: mapped, charged, freed ... Cost: one more replay."""
        unit, names = self.state.unit, [*self.containers, ""]
        return tables.frame(
            "life",
            (
                (
                    e + 1,
                    tables.event_text(self, e),
                    what,
                    names[c],
                    float("nan")
                    if what in ("mapped", "unmapped", "freed", "read in", "swapped out")
                    else tables.pages_of(n, unit),
                )
                for e, what, c, n in self.lives(obj, page)
            ),
        )

    def busiest(self, container: str | None = None) -> int:
        """The sampled time at which most was charged, in all or to a container; the first one."""
        mine = [container in (None, name) for name in self.containers]
        rows = (
            (t, sum(b[0] for b, m in zip(books, mine, strict=True) if m))
            for t, books, _ in tables.samples(self)
        )
        return max(rows, key=lambda row: (row[1], -row[0]))[0]

    # -- words ---------------------------------------------------------------------------------

    def sentence(self) -> str:
        """What happened, in one sentence."""
        return explain.sentence(self)

    def explain(
        self,
        container: str | None = None,
        *,
        task: str | None = None,
        object: str | None = None,
        page: int = 0,
        lines: int = 12,
    ) -> str:
        """Why was this container charged, this task killed, this page charged to whom it is?

        Without arguments: all that went wrong. At most about `lines` lines of events.
        """
        return explain.explain(self, container, task, object, page, lines)

    def __repr__(self) -> str:
        return f"<Run {self.sentence()}>"

    def _repr_html_(self) -> str:
        return html(self)

    # -- out -----------------------------------------------------------------------------------

    def verdicts(self) -> list[dict[str, Any]]:
        """What the scenario measures beside what its source predicts: quantity, predicted,
        measured, agrees. [] for a bare trace, and when the marks it needs were not sampled. With
        other limits, knobs or machine than the scenario's own nothing is predicted."""
        story = self.scenario
        if not hasattr(story, "verdict"):
            return []
        try:
            found = story.verdict(self.scheme.label, self.state)
        except ValueError:
            return []
        own = not self.limits and self.knobs == story.knobs and self.machine == story.machine
        return found if own else [row | {"predicted": None, "agrees": None} for row in found]

    def provenance(self) -> dict[str, Any]:
        """What made this run, without paths and times: enough to make it again."""
        return provenance(self) | {
            "scheme": self.scheme.label,
            "scheme_source": self.scheme.module.SOURCE,
        }

    def plot(self, kind: str = "run", **options):
        """A matplotlib Figure: "run" (usage and failcnt), "usage", "failcnt", "oom", "nodes",
        "owners"; "placed": usage, failcnt and kills by container and node."""
        return charts().figure_of(self, kind, **options)

    def save(self, folder: str | Path) -> list[Path]:
        """Write tables (CSV, Parquet where pyarrow is there), charts (SVG, PDF, PNG) and
        provenance.json into a folder; the same bytes every time. Returns the files."""
        return charts().save(self, folder)


def charts():
    """The drawing layer lies above this one and is fetched only when something is drawn."""
    return importlib.import_module("workbench.charts")


def html(result) -> str:
    """A small table under a sentence, for notebooks."""
    from html import escape

    table = result.summary().to_html(index=False, border=0, na_rep="", float_format="%.2f")
    return f"<p>{escape(result.sentence())}</p>{table}"


def digest(trace: Trace) -> str:
    """SHA-256 of a trace: header, tables and events."""
    found = hashlib.sha256(json.dumps(trace.header, sort_keys=True, default=str).encode())
    for table in (trace.objects, trace.tasks, trace.containers):
        found.update(json.dumps([asdict(row) for row in table]).encode())
    found.update(json.dumps(list(trace.values)).encode())
    for name, column in sorted(trace.columns().items()):
        found.update(name.encode() + memoryview(column).tobytes())
    return found.hexdigest()


def provenance(run: Run) -> dict[str, Any]:
    from importlib.metadata import PackageNotFoundError, version
    from platform import python_version

    import workbench

    versions = {"workbench": workbench.__version__, "python": python_version()}
    for package in ("numpy", "pandas", "matplotlib", "pyarrow"):
        try:
            versions[package] = version(package)
        except PackageNotFoundError:
            continue
    story = run.scenario
    found = {
        "scenario": run.name,
        "versions": versions,
        "machine": {k: v for k, v in asdict(run.machine).items() if k != "costs_ns"},
        "knobs_changed": run.knobs.changed(),
        "limits_given": run.limits,
        "trace": {"events": len(run.trace), "sha256": digest(run.trace)} | run.trace.header,
    }
    if story is not None:
        found["scenario_source"] = getattr(story, "source", "")
        found["parameters"] = getattr(story, "parameters", {})
    return found
