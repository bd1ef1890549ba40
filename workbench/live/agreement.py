"""How many numbers were compared, how many were wrong, and where: a table, a sentence, a chart."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field

from workbench.kernel import did_you_mean
from workbench.results.tables import event_text

from .capture import Capture
from .forecast import SCHEMES, forecast, mapped_by_node, walk


@dataclass
class Row:
    """One line of the agreement table: one thing compared, in one capture or a family of them."""

    capture: Capture
    what: str  # "usage under cgroup_v1", "mapped frames under fraction", ...
    compared: int = 0
    wrong: int = 0
    first: str = ""  # the first difference, explained
    again: int = 0  # numbers that came right when measured once more
    off: float = 0.0  # the largest distance, where rounding allows one
    said: str = ""  # what came out, where that is not one number

    @property
    def scenario(self) -> str:
        family, _, number = self.capture.name.partition(" ")
        return family if number.isdigit() else self.capture.name

    @property
    def host(self) -> str:
        return self.capture.host

    @property
    def kernel(self) -> str:
        return self.capture.kernel

    def tell(self, n: int, who: int, real, simulated, unit: str, slack: int = 0) -> None:
        """Take in one number: measured; predicted, up to `slack` above it."""
        self.compared += 1
        if slack:
            self.off = max(self.off, float(abs(simulated - real)))
        if real <= simulated <= real + slack:
            return
        self.wrong += 1
        if not self.first:
            trace = self.capture.trace
            name = (trace.tasks if slack else trace.containers)[who].name
            self.first = (
                f"{self.capture.name}, event {n + 1}, {event_text(self.capture, n)}: {name} has "
                f"{real} {unit}, {simulated} predicted"
            )

    def key(self) -> tuple[str, ...]:
        return self.scenario, self.host, self.kernel, self.what

    @property
    def note(self) -> str:
        words = [f"{self.again} measured again"] * bool(self.again) + [self.said] * bool(self.said)
        return ", ".join(words + [f"off by at most {self.off:.2f} KiB"] * bool(self.off))


@dataclass
class Agreement:
    """What `validate` returns; truth value: did everything agree?"""

    rows: list[Row] = field(default_factory=list)
    captures: list[Capture] = field(default_factory=list)
    scheme: str | None = None  # None: the kernel's own

    COLUMNS = ("scenario", "host", "kernel", "what", "compared", "wrong", "note")

    def add(self, found: Capture, rows: list[Row]) -> None:
        """Take in a capture's rows; random traces share one line per thing compared."""
        self.captures.append(found)
        for row in rows:
            old = next((other for other in self.rows if other.key() == row.key()), None)
            if old is None:
                self.rows.append(row)
            else:
                old.compared, old.wrong = old.compared + row.compared, old.wrong + row.wrong
                old.first, old.again = old.first or row.first, old.again + row.again
                old.off = max(old.off, row.off)

    def __bool__(self) -> bool:
        return bool(self.rows) and all(row.wrong == 0 for row in self.rows)

    @property
    def compared(self) -> int:
        return sum(row.compared for row in self.rows)

    @property
    def wrong(self) -> int:
        return sum(row.wrong for row in self.rows)

    def table(self):
        """One row per scenario and thing compared, as a pandas table."""
        import pandas as pd

        return pd.DataFrame(self.records(), columns=list(self.COLUMNS))

    def records(self) -> list[dict[str, object]]:
        """The rows of `table`."""
        return [{name: getattr(row, name) for name in self.COLUMNS} for row in self.rows]

    def sentence(self) -> str:
        """What came out, in one sentence."""
        hosts = sorted({f"{c.host} ({c.kernel}, cgroup v{c.cgroup})" for c in self.captures})
        return (
            f"{self.compared:,} numbers of {', '.join(hosts) or 'no kernel'} compared, "
            f"{self.wrong:,} wrong."
        )

    def differences(self) -> Iterator[str]:
        """The first difference of each row that has one."""
        for row in self.rows:
            if row.first:
                yield f"{row.what}: {row.first}"

    def plot(self, name: str, what: str = "usage"):
        """Prediction and measurement of one scenario on one chart: usage, failcnt or nodes.

        Raises ValueError for a scenario that was not captured, or not on a machine with nodes.
        """
        from workbench import charts

        found = [c for c in self.captures if c.name == name and (what != "nodes" or c.nodes)]
        if not found:
            where = " on a machine with NUMA nodes (host qemu)" * (what == "nodes")
            hint = did_you_mean(name, [c.name for c in self.captures]) * (not where)
            raise ValueError(f"no capture of {name!r}{where}{hint}")
        scheme = "zone" if what == "nodes" else self.scheme or SCHEMES[found[0].cgroup]
        return charts.figure_beside(*beside(found[0], scheme, what))

    def __repr__(self) -> str:
        return f"<Agreement {self.sentence()}>"


def beside(capture: Capture, scheme: str, what: str):
    """Tidy tables of prediction and measurement (`Run.table`'s columns), and of victims."""
    import pandas as pd

    names, kernel = [c.name for c in capture.trace.containers], f"Linux {capture.kernel}"
    rows, kills = [], []
    if what == "nodes":
        metric, unit = "mapped", "pages"
        nodes = len(next(iter(next(iter(capture.nodes.values())).values())))
        walked = enumerate(walk(capture.trace, scheme, nodes))
        for n, k in walked:
            wanted = mapped_by_node(k, nodes)
            for c, real in capture.nodes.get(n, {}).items():
                for node in (i for i in range(nodes) if any_on(capture, c, i)):
                    box = f"{names[c]} on node {node}"
                    rows += [(scheme, box, n + 1, wanted[c][node]),
                             (kernel, box, n + 1, real[node])]
    else:
        metric, unit = what, {"usage": "pages", "failcnt": "count"}[what]
        said = forecast(capture.trace, scheme)
        for n, real in enumerate(getattr(capture, what)):
            for c, name in enumerate(names):
                if real[c] is not None:
                    rows += [(scheme, name, n + 1, getattr(said, what)[n][c]),
                             (kernel, name, n + 1, real[c])]
        tasks = [task.name for task in capture.trace.tasks]
        kills = [(n + 1, scheme, tasks[t]) for n, t in said.victims]
        kills += [(n + 1, kernel, tasks[t]) for n, t, _ in capture.died]
    table = pd.DataFrame(
        [(capture.name, who, box, time, metric, value, unit) for who, box, time, value in rows],
        columns=["scenario", "scheme", "container", "time", "metric", "value", "unit"],
    )
    return table, pd.DataFrame(kills, columns=["time", "scheme", "victim"])


def any_on(capture: Capture, c: int, node: int) -> bool:
    return any(rows[c][node] for rows in capture.nodes.values())
