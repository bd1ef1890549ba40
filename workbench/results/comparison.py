"""`compare`: one scenario under several schemes, side by side."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from workbench import schemes as all_schemes
from workbench.kernel import did_you_mean

from . import explain, tables
from .replaying import replay
from .run import Run, charts, html, provenance

Progress = Callable[[int, int], None]  # (done, in all)


def compare(
    source,
    schemes: str | Iterable[str] | None = None,
    *,
    progress: Progress | None = None,
    **same: Any,
) -> Comparison:
    """Replay one scenario (or trace) under several schemes (None: under all).

    Everything else is as in `replay` and the same for all runs. Raises ValueError for an unknown
    scheme before anything runs.
    """
    if schemes is None:
        schemes = all_schemes.names()
    elif isinstance(schemes, (str, all_schemes.Scheme)):
        schemes = [schemes]
    elif not isinstance(schemes, Iterable):
        raise TypeError(f"compare: schemes={schemes!r}: a list of names is needed")
    found = {s.label: s for s in map(all_schemes.get, schemes)}
    if not found:
        raise ValueError("compare: no scheme given")
    if isinstance(source, (str, Path)):
        source = NamedTrace.load(source)
    return Comparison([
        replay(source, scheme, progress=part_of(progress, i, len(found)), **same)
        for i, scheme in enumerate(found.values())
    ])


def part_of(progress: Progress | None, i: int, parts: int) -> Progress | None:
    """What part `i` of so many equal parts of the work tells its progress to."""
    return progress and (lambda done, total: progress(i * total + done, parts * total))


@dataclass(frozen=True)
class NamedTrace:
    """A trace read once from a file, with the file's name."""

    name: str
    trace: Any

    @classmethod
    def load(cls, path: str | Path) -> NamedTrace:
        from workbench.trace import Trace

        return cls(Path(path).stem, Trace.load(path))


class Comparison:
    """One scenario under several schemes; `comparison["first_touch"]` is that scheme's Run."""

    def __init__(self, runs: Iterable[Run]):
        self.runs = list(runs)

    @property
    def name(self) -> str:
        return self.runs[0].name

    @property
    def schemes(self) -> list[str]:
        return [run.scheme.label for run in self.runs]

    def __len__(self) -> int:
        return len(self.runs)

    def __iter__(self) -> Iterator[Run]:
        return iter(self.runs)

    def __getitem__(self, scheme: str) -> Run:
        for run in self.runs:
            if run.scheme.label == scheme:
                return run
        hint = did_you_mean(scheme, self.schemes)
        raise KeyError(f"no run under {scheme!r}{hint}")

    def table(self):
        """Tidy samples of all runs: scenario, scheme, container, time, metric, value, unit."""
        return tables.frame("table", (row for run in self.runs for row in tables.tidy(run)))

    def summary(self):
        """One row per scheme and container: `scheme`, then the columns of `Run.summary`."""
        extra = list(dict.fromkeys(c for r in self.runs for c in r.scheme.parts.counted))
        columns = ("scheme", *tables.COLUMNS["summary"], *extra)
        plain = len(columns) - len(extra)

        def rows():
            for run in self.runs:
                for row in tables.summary(run):
                    cells = (run.scheme.label, *row)
                    own = dict(zip(run.scheme.parts.counted, cells[plain:], strict=True))
                    yield (*cells[:plain], *(own.get(name) for name in extra))

        return tables.frame(columns, rows())

    def oom(self):
        """Every kill under every scheme."""
        return tables.frame("oom", (row for run in self.runs for row in tables.oom(run)))

    def pivot(self, metric: str = "usage"):
        """One number per scheme (rows) and container (columns) from `summary`."""
        wide = self.summary().pivot(index="scheme", columns="container", values=metric)
        return wide.loc[self.schemes, self.runs[0].containers]

    def hangs(self) -> dict[str, int]:
        """Scheme -> the event at which its machine hangs; those that go on are left out."""
        return {run.scheme.label: run.hang for run in self.runs if run.hung}

    def sentence(self) -> str:
        """What differs between the schemes, in one sentence."""
        return explain.comparison(self)

    def __repr__(self) -> str:
        return f"<Comparison {self.sentence()}>"

    def _repr_html_(self) -> str:
        return html(self)

    def provenance(self) -> dict[str, Any]:
        """What made these runs, without paths and times."""
        return provenance(self.runs[0]) | {"schemes": self.schemes}

    def plot(self, kind: str = "multiples", **options):
        """A matplotlib Figure: one column per scheme, usage above failcnt."""
        return charts().figure_of(self, kind, **options)

    def save(self, folder: str | Path) -> list[Path]:
        """As `Run.save`."""
        return charts().save(self, folder)
