"""One batch of work: one trace, under many limits, knobs and schemes."""

from __future__ import annotations

import itertools
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from workbench import scenarios as stories
from workbench import schemes as rules
from workbench.trace.deal import redeal

from .points import ALL, KNOBS, Point, key_of

Row = tuple[str, str, float | None, str, str]  # container, metric, value, word, unit
UNITS = {"minor": "faults", "major": "faults", "failcnt": "refusals", "kills": "tasks",
         "lost": "tasks"}


def jobs_of(scenario: str, points: list[Point], names: list[str]) -> list[tuple[Point, str]]:
    """(point, scheme): all there is to do; of all stories, each under the schemes it is about."""
    if scenario != ALL:
        return list(itertools.product(points, names))
    about = {story: stories.schemes_of(story) or rules.names() for story in stories.names()}
    return [(point, name) for point in points for name in names
            if name.partition(":")[0] in about[point["scenario"]]]


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
                     **{n: point[n] for n in KNOBS if n in point})
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
