"""What the explorer knows of one experiment: every scheme's run over time, and any moment of it.

No widgets, no drawing. A `History` is one scheme's run with its samples as plain columns and a map
of who paid for which page when; `History.state(at)` is the machine after `at` events, exact, from
the nearest copy kept. Cost of `film` for 10,000 events, compiled: about 15 ms a scheme.
"""

from __future__ import annotations

import ast
import functools
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from fractions import Fraction

from workbench import scenarios
from workbench.kernel import AccessError, Knobs, State, choose
from workbench.kernel.engine import advance, prepare
from workbench.kernel.names import HUGE, SAMPLED
from workbench.results import Run, tables
from workbench.results.replaying import with_limits
from workbench.trace import Op

from .experiment import Experiment, scheme

SAMPLES = 600  # points on a line, at most about twice as many
COLUMNS = 48  # of the map
ROWS = 36  # of the map
KEPT = 48 << 20  # bytes of copies of the machine, all schemes together
COPIES = 12  # of them, at most, for a scheme
BUDGET = {"compiled": 500_000, "interpreted": 2_000}  # page accesses between two looks at `stop`
Stop = Callable[[], bool]


class Stopped(Exception):
    """The film was given up: somebody cancelled, or asked for another one."""


@dataclass(frozen=True)
class Row:
    """One row of the map: a page, and for how many of its object's pages it stands."""

    obj: str
    page: int
    stands_for: int
    number: int  # in the engine


@dataclass(frozen=True)
class Moment:
    """The books after `at` events: pages, exactly."""

    at: int
    usage: tuple[Fraction, ...]
    limit: tuple[int | None, ...]
    failcnt: tuple[int, ...]
    charged: Fraction  # to all together; what a parent pays for its children counts once
    frames: int  # those the scheme's charges are compared with
    frames_are: str  # what those are: mapped, resident, in use
    user: int  # frames with pages of files and tasks
    kernel: int
    nodes: tuple[int, ...]
    kills: int


@dataclass(eq=False)
class History:
    """One scheme's run; `times[i]` events were done at sample i of every column."""

    run: Run
    times: list[int]
    usage: list[list[float]]  # per container
    limit: list[list[int | None]]
    failcnt: list[list[int]]
    nodes: list[list[int]]  # frames in use per NUMA node
    map_times: list[int]
    payers: list[list[tuple[int, ...]]]  # [column][row] -> containers that pay
    kills: list[tuple]  # rows of `tables.oom`
    room: int  # bytes for copies of the machine
    kept: dict[int, State] = field(default_factory=dict)  # copies, after so many events
    cursor: tuple[int, State] | None = None

    @property
    def label(self) -> str:
        return self.run.scheme.label

    def state(self, at: int) -> State:
        """The machine after `at` events. It changes at the next call: read it at once."""
        n = len(self.run.trace)
        if at == n:
            return self.run.state
        done, k = self.cursor or (n, None)
        near = max((t for t in self.kept if t <= at), default=-1)
        if done > at or near > done:
            self.cursor = None
            done, k = (near, self.kept[near].copy()) if near >= 0 else (0, first(self.run, 1, 0))
        move, rehash = movers(self.run.engine)
        gap = 1 + n // max(1, min(COPIES, self.room // bytes_of(k)))
        while done < at:  # copies are made on the way, where the way is long
            goal = min(at, done - done % gap + gap)
            advance(k, self.run.trace, move, rehash, done, goal)
            done = goal
            if done % gap == 0 and gap > 64 and done not in self.kept:
                self.kept[done] = k.copy()
        self.cursor = (at, k)
        return k

    def moment(self, at: int) -> Moment:
        """The books after `at` events."""
        k = self.state(at)
        boxes = range(k.containers)
        columns = (k.zone_anon, k.zone_file, k.zone_special, k.zone_kernel)
        kinds = [[int(column[z]) for z in range(k.zones)] for column in columns]
        user, kernel = sum(map(sum, kinds[:3])), sum(kinds[3])
        usage = tuple(Fraction(int(k.usage[c]), int(k.unit)) for c in boxes)
        charged = sum((usage[c] for c in boxes if k.parent[c] < 0), Fraction(0))
        return Moment(
            at, usage,
            tuple(None if k.limit[c] >= HUGE else int(k.limit[c]) for c in boxes),
            tuple(int(k.failcnt[c]) for c in boxes), charged,
            *compared(self.run, k, user, kernel), user, kernel,
            tuple(per_node(k, [sum(zone) for zone in zip(*kinds, strict=True)])),
            self.run.kills_in(k),
        )

    def paying(self, at: int, number: int) -> tuple[int, ...]:
        """Containers that pay for a page of the engine after `at` events."""
        return tuple(tables.payers(self.run, self.state(at), number))


def compared(run: Run, k: State, user: int, kernel: int) -> tuple[int, str]:
    """The frames that charges would add up to if each were counted once, and what those are."""
    parts = run.scheme.parts
    if parts.placement != "any":
        return user + kernel, "in use"  # every frame of a zone is its owner's
    kernel = kernel if k.kernel_memory else 0
    if parts.coverage == "resident":
        return user + kernel, "resident"
    return int(k.mapped_pages) + kernel, "mapped"


def per_node(k: State, zones: list[int]) -> list[int]:
    found = [0] * int(k.nodes)
    for z, frames in enumerate(zones):
        found[int(k.zone_node[z])] += frames
    return found


def movers(engine: str):
    """The two functions that move a state on."""
    if engine == "compiled":
        from workbench.kernel.compiled import functions

        return functions()[:2]
    from workbench.kernel.replay import run
    from workbench.kernel.tables import rehash

    return run, rehash


def first(run: Run, samples: int, every: int) -> State:
    """The machine before the first event."""
    return prepare(run.trace, run.scheme, run.machine, run.knobs, run.engine, samples, every, 0)[0]


@dataclass(eq=False)
class Film:
    """All schemes' histories of one experiment, over the same events."""

    experiment: Experiment
    story: scenarios.Scenario
    histories: list[History]
    rows: list[Row]
    dropped: int  # objects without a row
    seconds: float

    @property
    def events(self) -> int:
        return len(self.histories[0].run.trace)

    @property
    def containers(self) -> list[str]:
        """Names, in the engine's order; root first."""
        return self.histories[0].run.containers

    @property
    def shown(self) -> list[int]:
        """Containers with a word to say: all but a root that is never charged nor refused."""
        states = [h.run.state for h in self.histories]
        return [c for c in range(len(self.containers))
                if c or any(k.peak[c] or k.failcnt[c] for k in states)]

    def event_text(self, at: int) -> str:
        """Event `at` (from 1) in words."""
        return tables.event_text(self.histories[0].run, at - 1)

    def pages_of_event(self, at: int) -> tuple[str, int, int] | None:
        """(object, first page, pages) that event `at` (from 1) names, or None."""
        trace, i = self.histories[0].run.trace, at - 1
        op = Op(trace.op[i])
        if trace.targets(op) is not trace.objects or op in (Op.open, Op.close):
            return None
        return trace.objects[trace.target[i]].name, int(trace.page[i]), int(trace.count[i])


@functools.lru_cache(maxsize=4)
def built(scenario: str, parameters: str) -> tuple[scenarios.Scenario, list[Row], int]:
    """The scenario and the rows of its map, built once for every set of parameters."""
    story = scenarios.get(scenario, **ast.literal_eval(parameters))
    return story, *rows_of(story.trace)


def story_of(experiment: Experiment) -> tuple[scenarios.Scenario, list[Row], int]:
    """The scenario, the rows of its map, and the number of objects without a row.

    Raises ValueError for wrong parameters.
    """
    return built(experiment.scenario, repr(dict(sorted(experiment.parameters.items()))))


def film(
    experiment: Experiment,
    *,
    engine: str = "auto",
    progress: Callable[[float], None] | None = None,
    stop: Stop | None = None,
) -> Film:
    """Replay an experiment under its schemes, in slices.

    progress is called with the share done (0 to 1); `stop` is asked between slices, Stopped is
    raised when it says yes. Raises ValueError for wrong names, values and placements.
    """
    begun = time.perf_counter()
    story, rows, dropped = story_of(experiment)
    trace = with_limits(story.trace, dict(experiment.limits))
    if not len(trace):
        raise ValueError(f"{experiment.scenario}: there are no events to replay")
    engine = choose(engine, trace)
    found = []
    for i, label in enumerate(experiment.schemes):
        def told(share: float, i: int = i) -> None:
            if stop and stop():
                raise Stopped
            if progress:
                progress((i + share) / len(experiment.schemes))

        run = Run(story.name, scheme(label), story.machine, story.knobs or Knobs(), trace,
                  engine, None, 0.0, dict(experiment.limits), story)
        found.append(shoot(run, rows, told, KEPT // len(experiment.schemes), experiment.at))
    return Film(experiment, story, found, rows, dropped, time.perf_counter() - begun)


def shoot(run: Run, rows: list[Row], told: Callable[[float], None], room: int,
          looked_at: int | None) -> History:
    """One run in slices: samples, the map between them, a copy at the moment looked at."""
    n = len(run.trace)
    every = max(1, n // SAMPLES)
    told(0)
    k = run.state = first(run, n // every, every)
    move, rehash = movers(run.engine)
    stops = sorted({*cuts(n, COLUMNS), min(n, looked_at or n)})
    step = max(1, BUDGET[run.engine] * n // max(1, sum(run.trace.count)))
    at, map_times, payers, cursor = 0, [], [], None
    for end in stops:
        while at < end:
            goal = min(end, at + step)
            advance(k, run.trace, move, rehash, at, goal)
            at = goal
            told(at / n)
        if at == looked_at:
            cursor = (at, k.copy())
        map_times.append(at)
        payers.append([tuple(tables.payers(run, k, row.number)) for row in rows])
    return History(run, *columns(run), map_times, payers, list(tables.oom(run)), room,
                   cursor=cursor)


def bytes_of(k: State) -> int:
    """About how much a copy of a state takes."""
    records = getattr(k, "records", None)
    if records is not None:
        return sum(table.nbytes for table in records.values()) + 64 * len(k.ev_op)
    return 400 * k.pages_end + 100 * len(k.ev_op)


def cuts(n: int, most: int) -> list[int]:
    """Ends of at most `most` slices of n events."""
    parts = min(n, most)
    return [n * (i + 1) // parts for i in range(parts)]


def columns(run: Run) -> tuple[list, list, list, list, list]:
    """times, usage, limit, failcnt per container, frames per node: the samples, and the start."""
    k, told = run.state, [SAMPLED.index(name) for name in ("usage", "limit", "failcnt")]
    times, books, frames = zip(*tables.samples(run), strict=True)
    usage, limit, failed = (
        [[row[c][i] for row in books] for c in range(k.containers)] for i in told
    )
    nodes = zip(*(per_node(k, list(map(sum, zones))) for zones in frames), strict=True)
    limit = [[None if x >= HUGE else x for x in column] for column in limit]
    # before the first event nothing is charged; its limits are those of the first sample
    return ([0, *times], [[0.0, *(u / k.unit for u in column)] for column in usage],
            [[x[0], *x] for x in limit], [[0, *x] for x in failed], [[0, *x] for x in nodes])


def rows_of(trace) -> tuple[list[Row], int]:
    """The pages that get a row of the map, and how many objects got none.

    Every page while there are few; else the objects touched most, each with rows by its size.
    """
    bases, base = {}, 0
    for obj in trace.objects:
        bases[obj.name] = base
        base += obj.pages
    touched = dict.fromkeys(range(len(trace.objects)), 0)
    paged = {int(op) for op in Op if trace.targets(op) is trace.objects}
    for op, target, count in zip(trace.op, trace.target, trace.count, strict=True):
        if op in paged:
            touched[int(target)] += int(count)
    ranked = sorted(touched, key=lambda o: -touched[o])[: ROWS // 3]
    chosen = [trace.objects[o] for o in sorted(ranked) if touched[o]]
    total = sum(obj.pages for obj in chosen)
    found = []
    for obj in chosen:
        share = obj.pages if total <= ROWS else max(1, ROWS * obj.pages // total)
        share = min(share, obj.pages)
        for i in range(share):
            page = obj.pages * i // share
            next_page = obj.pages * (i + 1) // share
            found.append(Row(obj.name, page, next_page - page, bases[obj.name] + page))
    return found, sum(1 for n in touched.values() if n) - len(chosen)


def differences(film: Film, kind: str) -> Iterator[int]:
    """The events (from 1) after which the schemes begin to differ in something new.

    kind: "charges" (what each container is charged), "refusals" (failcnt), "kills". An event counts
    when the schemes differ after it and did not before, or differ otherwise than before.
    """
    first, *rest = film.histories
    before = 0
    agreed = True
    for i, at in enumerate(first.times):
        same = all(sampled(h, i, kind) == sampled(first, i, kind) for h in rest)
        if agreed and not same:
            yield next(t for t in range(before + 1, at + 1)
                       if len({exact(h, t, kind) for h in film.histories}) > 1)
        agreed, before = same, at


def sampled(h: History, i: int, kind: str) -> tuple:
    if kind == "kills":
        return tuple((kill[3], kill[7]) for kill in h.kills if kill[3] <= h.times[i])
    columns = h.usage if kind == "charges" else h.failcnt
    return tuple(column[i] for column in columns)


def exact(h: History, at: int, kind: str) -> tuple:
    if kind == "kills":
        return tuple((kill[3], kill[7]) for kill in h.kills if kill[3] <= at)
    k = h.state(at)
    if kind == "charges":
        return tuple(int(k.usage[c]) / int(k.unit) for c in range(k.containers))
    return tuple(int(k.failcnt[c]) for c in range(k.containers))


__all__ = ["AccessError", "Film", "History", "Moment", "Row", "Stopped", "differences", "film"]
