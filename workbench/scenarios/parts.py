"""What every story is made of: the noun, its parameters, its machine, and a look at the books."""

from __future__ import annotations

import sys
from collections import Counter
from dataclasses import dataclass, field, replace
from inspect import signature
from random import Random
from types import ModuleType
from typing import Annotated, Literal

from workbench.kernel import Knobs, Machine, State, did_you_mean
from workbench.kernel.names import OUTCOMES, PARTITION, RESIDENT, SAMPLE_WIDTH, SAMPLED
from workbench.trace import Op, Trace

Size = Literal["small", "full"]
Nodes = Literal[1, 4]
Place = dict[str, int] | str | None
Limit = Annotated[int, range(1, 1 << 30)] | None  # pages
Pattern = Literal["cyclic", "uniform", "skewed"]
Number = float | int | str
PLACES = ("spread", "together")
GRANULE = 16  # frames (O14)
STANDARD = 4096  # frames of the whole machine, on however many nodes


@dataclass(frozen=True)
class Scenario:
    """A story ready to replay, what its source predicts, and how to see whether it came true.

    prediction  scheme -> one sentence; a scheme the source says nothing about is left out; one
                with other parts ("zone:orphan=destroy") only where the source says otherwise of it
    expected    scheme -> quantity -> the number, the (low, high) range or the word predicted
    rules       open rule of the debate -> what is chosen here, where that is not the default
    """

    name: str
    title: str
    source: str
    question: str
    trace: Trace
    machine: Machine
    knobs: Knobs
    parameters: dict[str, object]
    prediction: dict[str, str]
    expected: dict[str, dict[str, Number | tuple[float, float]]]
    notes: tuple[str, ...] = ()
    rules: dict[str, str] = field(default_factory=dict)

    @property
    def plot(self) -> str:
        """What to look at, in words."""
        return _module(self.name).PLOT

    @property
    def schemes(self) -> tuple[str, ...] | None:
        """The schemes the story is about; None: all."""
        return getattr(_module(self.name), "SCHEMES", None)

    @property
    def sample_every(self) -> int:
        """Events between two samples: 1 where `measure` looks at marks, else about 400 samples."""
        cells = len(self.trace) * (10 + SAMPLE_WIDTH * len(self.trace.containers))
        marked = len(self.trace.rows(Op.mark)) > 0 and cells <= 8_000_000
        return 1 if marked else max(1, len(self.trace) // 400)

    def measure(self, state: State) -> dict[str, Number]:
        """The deciding quantities, in pages unless the name says otherwise, as they came out.

        Raises ValueError when a mark it needs was not sampled (replay with `sample_every`).
        """
        return _module(self.name).measure(self.trace, state)

    def verdict(self, scheme: str, state: State) -> list[dict[str, object]]:
        """Prediction beside result: quantity, predicted and agrees (None: not said), measured, and
        because: why it is not as predicted, where that is known."""
        label, scheme = str(scheme), str(scheme).partition(":")[0]
        scheme = label if label in self.expected else scheme
        said = self.expected.get(scheme, {})
        rows: list[dict[str, object]] = []
        for name, value in self.measure(state).items():
            right = agrees(said[name], value) if name in said else None
            why = self._because(scheme, name, value) if right is False else None
            rows.append({"quantity": name, "predicted": said.get(name), "measured": value,
                         "agrees": right, "because": why})
        return rows

    def _because(self, scheme: str, quantity: str, value: Number) -> str | None:
        for given, who, what, measured, why in getattr(_module(self.name), "DISAGREES", ()):
            told = (who, what) == (scheme, quantity) and given.items() <= self.parameters.items()
            if told and agrees(measured, value, 1e-4):
                return why
        return None


def _module(name: str) -> ModuleType:
    return sys.modules[f"{__package__}.{name}"]


def agrees(predicted: object, measured: Number, slack: float = 1e-6) -> bool:
    """Equal (numbers: to a millionth), or inside the predicted range."""
    if isinstance(predicted, str) or isinstance(measured, str):
        return predicted == measured
    low, high = predicted if isinstance(predicted, tuple) else (predicted, predicted)
    slack *= max(1.0, abs(high))
    return bool(low - slack <= measured <= high + slack)


def finish(module: str, trace: Trace, machine: Machine, knobs: Knobs, known: dict,
           expected: dict, notes: tuple[str, ...] = (), **rules: str) -> Scenario:
    """The scenario of a story module: its names, and what `build` made.

    `known` is what `build` knows at its end, `locals()`: its own parameters as they came out, and
    `where` the containers are. `rules` are the open rules it turns, `O14="..."`; O1 and O13 are
    seen in the knobs. At full size zones are made of granules of 16 frames, where all of them can.
    """
    told = sys.modules[module]
    parameters = {name: known[name] for name in signature(told.build).parameters}
    parameters["place"] = known["where"]
    zones = [box.limit for box in trace.containers if box.limit is not None]
    zones += [one.frames for one in machine.zone_sets]
    if parameters["size"] == "full" and knobs.granule == 1 and not any(n % GRANULE for n in zones):
        knobs = replace(knobs, granule=GRANULE)
    if machine.zone_sets and knobs.granule == 1:
        rules.setdefault("O14", f"zones of any size, not of whole granules of {GRANULE} frames")
    if knobs.cluster != Knobs().cluster:
        rules.setdefault("O13", f"reclaim in clusters of {knobs.cluster}, for small containers")
    return Scenario(
        module.rpartition(".")[2], told.TITLE, told.SOURCE, told.QUESTION, trace, machine, knobs,
        parameters, told.PREDICTION, expected, notes, rules,
    )


def machine(nodes: int, need: int = 0, swap: int = 65_536) -> Machine:
    """4096 frames over the nodes (the debate's 4 x 1024), more when `need` has to fit on any one.

    Twice the need, because zones without a limit share half of their node.
    """
    return Machine(nodes=nodes, frames=max(STANDARD // nodes, 2 * need), swap=swap)


def knobs(size: str) -> Knobs:
    """The kernel's own cluster of 32 pages at full size, 4 for notebook-sized containers."""
    return Knobs(cluster=4) if size == "small" else Knobs()


def settle(place: Place, containers: list[str], nodes: int) -> dict[str, int]:
    """Container -> node. Containers a dict does not name are on node 0; None means "spread"."""
    if place is None or place in PLACES:
        step = 0 if place == "together" else 1
        return {name: step * i % nodes for i, name in enumerate(containers)}
    if not isinstance(place, dict):
        hint = did_you_mean(str(place), PLACES)
        raise ValueError(f"place={place!r}: spread, together or a dict container -> node{hint}")
    for name, node in place.items():
        if name not in containers:
            raise ValueError(f"place: no container {name!r}{did_you_mean(str(name), containers)}")
        if isinstance(node, bool) or not isinstance(node, int) or not 0 <= node < nodes:
            raise ValueError(f"place: {name} on node {node!r}; the nodes are 0 to {nodes - 1}")
    return {name: place.get(name, 0) for name in containers}


class Books:
    """What the machine's books say at a mark, or (no mark) at the end. Everything is in pages."""

    def __init__(self, trace: Trace, k: State, mark: str | None = None) -> None:
        self.trace, self.k = trace, k
        self.index = {box.name: c for c, box in enumerate(trace.containers)}
        self.row = None
        if mark is not None:
            done = 1 + next(i for i in trace.rows(Op.mark) if trace.values[trace.value[i]] == mark)
            rows = range(0, k.sample_top, k.sample_width)
            at = next((at for at in rows if k.sample[at] == done), None)
            if at is None:
                raise ValueError(f"mark {mark!r} was not sampled: replay with sample_every=1")
            self.row = [int(cell) for cell in k.sample[at + 1 : at + k.sample_width]]

    def _count(self, name: str, container: str) -> int:
        """One of `SAMPLED`."""
        c = self.index[container]
        if self.row is None:
            return int(getattr(self.k, name)[c])
        return self.row[SAMPLE_WIDTH * c + SAMPLED.index(name)]

    def _frames(self, zone: int) -> tuple[int, int, int, int]:
        """anon, file, special, kernel"""
        k = self.k
        if self.row is not None:
            at = SAMPLE_WIDTH * k.containers + 4 * zone
            return tuple(self.row[at : at + 4])
        columns = (k.zone_anon, k.zone_file, k.zone_special, k.zone_kernel)
        return tuple(int(column[zone]) for column in columns)

    def charge(self, container: str) -> float:
        """Its charge; under a scheme with zones, the pages of files and tasks in its zone."""
        zone = self.k.own_zone[self.index[container]]
        if zone >= 0:
            return sum(self._frames(zone)[:2])
        return self._count("usage", container) / self.k.unit

    def mapped(self, container: str) -> int:
        """Page-table entries of its tasks: the sum of their RSS."""
        return self._count("mapped", container)

    def majors(self, container: str) -> int:
        """Faults of its tasks that waited for the disk."""
        return self._count("major_faults", container)

    def faults(self, container: str) -> int:
        """Minor and major faults of its tasks so far."""
        return self._count("minor_faults", container) + self.majors(container)

    def files_in(self, zone: int) -> int:
        """Frames with pages of files in a zone, by its number."""
        return self._frames(zone)[1]

    def sum(self) -> float:
        """All charges together."""
        return sum(map(self.charge, self.index))

    def pages(self) -> int:
        """Frames with pages of files and tasks, on the whole machine."""
        return sum(sum(self._frames(z)[:2]) for z in range(self.k.zones))

    def kernel(self) -> int:
        """Frames with kernel objects and page tables."""
        return sum(self._frames(z)[3] for z in range(self.k.zones))

    def tasks(self, container: str) -> int:
        """Tasks alive and attached to it."""
        c, k = self.index[container], self.k
        return sum(int(k.task_state[t] == 1 and k.task_container[t] == c) for t in range(k.tasks))


def killed_at(trace: Trace, k: State, tasks: set[str]) -> str:
    """The mark before which the first of these tasks was killed; "no" when none was."""
    for i in range(min(k.kills, k.kills_end)):
        if trace.tasks[k.kill_victim[i]].name in tasks:
            marks = [m for m in trace.rows(Op.mark) if m > k.kill_event[i]]
            return trace.values[trace.value[marks[0]]]
    return "no"


def order(pattern: Pattern, pages: int, accesses: int, rng: Random) -> list[int]:
    """Which page each access goes to: one after another, any, or by Zipf's law (1/rank)."""
    if pattern == "cyclic":
        return [i % pages for i in range(accesses)]
    weights = [1 / (rank + 1) for rank in range(pages)] if pattern == "skewed" else None
    shuffled = rng.sample(range(pages), pages)
    return rng.choices(shuffled, weights, k=accesses)


def outcomes(trace: Trace, k: State, task: str, since: str = "", half: bool = False) -> Counter:
    """How often the task's accesses were a hit, minor, major, ... after a mark; `half`: of what
    is left, the later half."""
    who = next(i for i, t in enumerate(trace.tasks) if t.name == task)
    marks = [i for i in trace.rows(Op.mark) if trace.values[trace.value[i]] == since]
    start, counts = marks[0] if marks else 0, (Op.touch_read, Op.touch_write, Op.read, Op.write)
    rows = sorted(i for op in counts for i in trace.rows(op) if i > start and trace.task[i] == who)
    rows = rows[len(rows) // 2 :] if half else rows
    return Counter(OUTCOMES[k.ev_outcome[i]] for i in rows)


def faults_of(count: Counter) -> int:
    """Of `outcomes`: those that were no hit."""
    return sum(count[name] for name in ("minor", "cow", "major", "swapin"))


def frames_of(trace: Trace, k: State, *names: str) -> int:
    """Frames that hold pages of these objects at the end, each container's copies included."""
    copies = range(1, k.containers) if k.placement == PARTITION else ()
    starts = [0, *(k.copies_at + c * k.vpages for c in copies)]
    found = 0
    for i, o in enumerate(trace.objects):
        if o.name in names:
            for start in starts:
                first = start + k.obj_base[i]
                flags = (int(k.page_flags[p]) for p in range(first, first + o.pages))
                found += sum(flag & RESIDENT != 0 for flag in flags)
    return found


def charged(k) -> list[tuple[int, int]]:
    """(page, payer) of every charge, in the order of their records."""
    found = []
    for page in range(k.vpages):
        e = first = int(k.page_entry[page]) - 1
        while e >= 0:
            found.append((e, page, int(k.entry_owner[e])))
            e = int(k.entry_after[e]) if k.per_pair else first
            e = -1 if e == first else e
    return [(page, payer) for _, page, payer in sorted(found)]
