"""Prediction beside measurement: how many numbers were compared, how many were wrong, and where."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from fractions import Fraction

from workbench import schemes
from workbench.kernel import Knobs, Machine, State, stepped
from workbench.kernel.names import PRESENT
from workbench.kernel.tables import word_of
from workbench.results.tables import event_text
from workbench.trace import Trace

from .capture import Capture
from .ledger import Ledger

# the kernel's own memory is measured apart and taken off, so the engine is asked for none
BARE = Knobs(page_tables=False, task_frames=0, files_per_frame=0)
LEDGER = "ledger"


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

    @property
    def scenario(self) -> str:
        name = self.capture.name
        return "random" if name.startswith("random ") else name

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
        words = [f"{self.again} measured again"] * bool(self.again)
        return ", ".join(words + [f"off by at most {self.off:.2f} KiB"] * bool(self.off))


@dataclass
class Agreement:
    """What `validate` returns; truth value: did everything agree?"""

    rows: list[Row] = field(default_factory=list)
    captures: list[Capture] = field(default_factory=list)

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

    def __repr__(self) -> str:
        return f"<Agreement {self.sentence()}>"


@dataclass
class Forecast:
    """What a scheme says after every event, in whole pages; victims by (event, task)."""

    usage: list[list[int]]
    failcnt: list[list[int]]
    victims: list[tuple[int, int]]


def forecast(trace: Trace, scheme: str, machine: Machine | None = None) -> Forecast:
    """Replay event by event. Cost: a replay, and a row of numbers per event."""
    if scheme == LEDGER:
        ledger = Ledger(trace)
        rows = [ledger.after(n) for n in range(len(trace))]
        return Forecast(rows, [], [])
    usage, failcnt = [], []
    k = None
    for k in walk(trace, scheme, machine):
        usage.append([int(n) // k.unit for n in k.usage[: k.containers]])
        failcnt.append([int(n) for n in k.failcnt[: k.containers]])
    kills = 0 if k is None else min(int(k.kills), int(k.kills_end))
    victims = [(int(k.kill_event[i]), int(k.kill_victim[i])) for i in range(kills)]
    return Forecast(usage, failcnt, victims)


def compare_usage(capture: Capture, scheme: str, said: Forecast) -> Row:
    """Every container after every event."""
    row = Row(capture, f"usage under {scheme}", again=capture.again)
    for n, (measured, wanted) in enumerate(zip(capture.usage, said.usage, strict=True)):
        for c, (real, simulated) in enumerate(zip(measured, wanted, strict=True)):
            if real is not None:
                row.tell(n, c, real, simulated, "pages charged")
    return row


def walk(trace: Trace, scheme: str, machine: Machine | None = None) -> Iterator[State]:
    """The state after every event, without kernel memory; interpreted: traces are small here."""
    return stepped(trace, schemes.get(scheme), machine, BARE, engine="interpreted")


def compare_mapped(capture: Capture) -> list[Row]:
    """At every look: the frames each container maps, by how many share them, under two schemes;
    and every task's PSS by smaps, which rounds each area down to a KiB."""
    rows = []
    for scheme in ("every_container", "fraction"):
        rows.append(Row(capture, f"mapped frames under {scheme}"))
        pss = Row(capture, "PSS by smaps, exact fractions")
        for n, k in enumerate(walk(capture.trace, scheme)):
            for c, sharers in capture.mapped.get(n, {}).items():
                parts = (Fraction(f, m if scheme == "fraction" else 1)
                         for m, f in enumerate(sharers, 1))  # fmt: skip
                rows[-1].tell(n, c, sum(parts), Fraction(int(k.usage[c]), k.unit), "pages mapped")
            if scheme == "fraction" and capture.step == 1 and n in capture.pss:
                by_mm = pss_of_mms(k)
                for task, (kib, areas) in capture.pss[n].items():
                    exact = 4 * by_mm.get(int(k.task_mm[task]), Fraction(0))
                    pss.tell(n, task, kib, exact, "KiB of PSS", areas)
    return [*rows, pss] if pss.compared else rows


def pss_of_mms(k) -> dict[int, Fraction]:
    """Pages of every mm, each divided by its number of mappings."""
    found: dict[int, Fraction] = {}
    for page in range(k.pages_top):
        maps = int(k.page_maps[page])
        pte = int(k.page_rmap[page]) - 1
        for _ in range(maps + int(k.page_swaps[page]) if maps else 0):
            word = int(k.word[word_of(k, pte)])
            if word & PRESENT:
                mm = (word >> 40) - 1
                found[mm] = found.get(mm, Fraction(0)) + Fraction(1, maps)
            pte = int(k.pte_next[pte])
    return found
