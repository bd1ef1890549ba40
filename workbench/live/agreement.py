"""Prediction beside measurement: how many numbers were compared, how many were wrong, and where."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from fractions import Fraction
from itertools import zip_longest

from workbench import schemes
from workbench.kernel import Knobs, Machine, State, did_you_mean, stepped
from workbench.kernel.charge import drain
from workbench.kernel.names import (
    N_FREED,
    N_KILLS,
    N_LIMIT_HITS,
    N_READS,
    N_SWAP_OUTS,
    N_UNMAPPED,
    PRESENT,
    REFUSED,
)
from workbench.kernel.tables import word_of
from workbench.results.tables import event_text
from workbench.trace import Op, Trace
from workbench.trace.language import BIRTHS, control_write

from .capture import Capture
from .ledger import Ledger
from .plan import pages_written

# the kernel's own memory is measured apart and taken off, so the engine is asked for none
BARE = Knobs(page_tables=False, task_frames=0, files_per_frame=0, failcnt="linux-batch")
SCHEMES = {1: "cgroup_v1", 2: "cgroup_v2"}  # version of the groups -> the kernel's own rule
LEDGER = "ledger"
TAKEN = (N_FREED, N_UNMAPPED, N_SWAP_OUTS, N_KILLS)
# Per cent: how far a real kernel's misses may be from the simulated ones. Linux 6.18 sometimes
# takes 10 % fewer: it activates pages that come back soon (workingset refaults), which the engine
# leaves out, and decides by statistics up to two seconds old. 6.1 stays within 1 %.
BAND = (-12, 5)


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


@dataclass
class Forecast:
    """What a scheme says: rows after every event, in whole pages; victims by (event, task)."""

    scheme: str
    usage: list[list[int]] = field(default_factory=list)
    failcnt: list[list[int]] = field(default_factory=list)
    victims: list[tuple[int, int]] = field(default_factory=list)
    refused: list[int] = field(default_factory=list)  # events: a task waits, or there is no task
    full: int | None = None  # the event at which a container first lacks room for a page
    reclaims: int | None = None  # the event at which pages are first taken, or a task is killed
    both: list[list[int]] = field(default_factory=list)  # in memory and swap together
    reads: int = 0  # pages read from the disk


def forecast(
    trace: Trace, scheme: str, version: int = 1, swap: int = 0
) -> Forecast:
    """Replay event by event. Cost: a replay, and a row of numbers per event.

    swap     pages of a swap area
    version  of the groups, for the ledger: in 2 a removed group stays as a shadow
    """
    said = Forecast(scheme)
    if scheme == LEDGER:
        ledger = Ledger(trace, reparents=version == 1)
        said.usage = [ledger.after(n) for n in range(len(trace))]
        return said
    k, before = None, (0, [0] * len(TAKEN))
    for n, k in enumerate(walk(trace, scheme, swap=swap)):
        said.usage.append([int(u) // k.unit for u in k.usage[: k.containers]])
        said.both.append([int(k.usage[c]) // k.unit + int(k.swapped[c])
                          for c in range(k.containers)])  # fmt: skip
        said.failcnt.append([int(f) for f in k.failcnt[: k.containers]])
        hits, now = int(k.stat[N_LIMIT_HITS]), [int(k.stat[i]) for i in TAKEN]
        if said.full is None and hits:
            said.full = n
        if said.reclaims is None and hits > before[0] and now != before[1]:
            said.reclaims = n
        before = hits, now
    if k is not None:
        said.reads = int(k.stat[N_READS])
        kills = min(int(k.kills), int(k.kills_end))
        said.refused = [n for n in range(len(trace)) if k.ev_outcome[n] == REFUSED]
        said.victims = [(int(k.kill_event[i]), int(k.kill_victim[i])) for i in range(kills)]
    return said


def compare_usage(capture: Capture, said: Forecast) -> list[Row]:
    """Every container after every event: usage, and under limits failcnt; and who was killed.

    failcnt is compared until a container first lacks room for a page (how often the kernel then
    tries is its secret), usage until the first page is taken or the first task killed: from then on
    only bounds hold (`compare_bounds`). Victims and refusals are compared throughout.
    """
    limited = has_limits(capture.trace)
    usage = Row(capture, f"usage under {said.scheme}", again=capture.again)
    failcnt = Row(capture, f"failcnt under {said.scheme}, batch model")
    ends = (len(capture.usage) if not limited or at is None else at
            for at in (said.reclaims, said.full))  # fmt: skip
    end, counted = ends
    for n in range(end):
        for c, real in enumerate(capture.usage[n]):
            if real is not None:
                usage.tell(n, c, real, said.usage[n][c], "pages charged")
                if limited and said.failcnt and n < counted:
                    failcnt.tell(n, c, capture.failcnt[n][c], said.failcnt[n][c], "in failcnt")
    rows = [usage, failcnt] if failcnt.compared else [usage] if usage.compared else []
    if said.victims or capture.died:
        rows.append(compare_victims(capture, said))
    if capture.both:
        rows.append(compare_both(capture, said))
    if said.refused or capture.refused:
        rows.append(compare_refused(capture, said))
    return rows


def compare_victims(capture: Capture, said: Forecast) -> Row:
    """Who is killed in the course of which event, in order."""
    row = Row(capture, f"OOM victims under {said.scheme}")
    names = [task.name for task in capture.trace.tasks]
    real = [(n, task) for n, task, _ in capture.died]
    row.compared = max(len(real), len(said.victims))
    row.wrong = sum(a != b for a, b in zip_longest(real, said.victims))
    if row.wrong:
        told = ("; ".join(f"{names[t]} at event {n + 1}" for n, t in some) or "nobody"
                for some in (real, said.victims))  # fmt: skip
        row.first = "{}: killed {}; predicted {}".format(capture.name, *told)
    return row


def compare_both(capture: Capture, said: Forecast) -> Row:
    """Memory and swap together are exact whoever is swapped out, until somebody is killed."""
    row = Row(capture, f"usage with swap under {said.scheme}")
    end = min((n for n, *_ in [*capture.died, *said.victims]), default=len(capture.trace))
    for n, boxes in capture.both.items():
        for c, numbers in boxes.items() if n < end else ():
            row.tell(n, c, numbers[0], said.both[n][c], "pages charged in memory and swap")
    return row


def compare_refused(capture: Capture, said: Forecast) -> Row:
    """Which events the kernel refuses: a fork above pids.max, an access of a task that waits."""
    row = Row(capture, f"refused under {said.scheme}")
    real = list(dict.fromkeys(n for n, _ in capture.refused))
    row.compared = max(len(real), len(said.refused))
    wrong = sorted({*real} ^ {*said.refused})
    row.wrong = len(wrong)
    if wrong:
        who = "the kernel" if wrong[0] in real else "the prediction"
        row.first = (f"{capture.name}, event {wrong[0] + 1}, {event_text(capture, wrong[0])}: "
                     f"refused by {who} alone")  # fmt: skip
    return row


def has_limits(trace: Trace) -> bool:
    return any(c.limit is not None for c in trace.containers) or bool(trace.rows(Op.set_limit))


def compare_bounds(capture: Capture, said: Forecast) -> list[Row]:
    """What holds whatever is reclaimed: no charge above its limit; failcnt as the batch model has
    it from the usage before; misses within the band that is published, around the prediction."""
    trace, missed = capture.trace, dict(capture.missed)
    above = Row(capture, "usage within its limit")
    failcnt = Row(capture, "failcnt by the batch model, reclaiming")
    before: list[int | None] = [0] * len(trace.containers)
    counted = [0] * len(trace.containers)
    for n, (limits, homes) in enumerate(settings(trace)):
        for c, limit in limits.items():
            real = capture.usage[n][c]
            if real is None or before[c] is None:
                continue
            above.tell(n, c, max(real, limit), limit, "pages charged")
            reads = trace.op[n] == Op.read and trace.count[n] == 1
            if reads and homes.get(int(trace.task[n])) == c:
                wanted = refusals(before[c], limit, missed.get(n, 0))
                failcnt.tell(n, c, capture.failcnt[n][c] - counted[c], wanted, "refusals")
        before, counted = capture.usage[n], [f or 0 for f in capture.failcnt[n]]
    misses = Row(capture, f"misses, {BAND[0]:+d} to {BAND[1]:+d} % of {said.scheme}'s")
    if said.reads and failcnt.compared:
        real = sum(missed.values())
        low, high = (said.reads * (100 + side) / 100 for side in BAND)
        misses.compared, misses.wrong = 1, int(not low <= real <= high)
        misses.said = f"{real} of {said.reads}: {100 * real / said.reads - 100:+.1f} %"
        misses.first = misses.said if misses.wrong else ""
    return [row for row in (above, failcnt, misses) if row.compared]


def settings(trace: Trace) -> Iterator[tuple[dict[int, int], dict[int, int]]]:
    """After every event: limits in pages by container, and the container of each task."""
    boxes = {c.name: i for i, c in enumerate(trace.containers)}
    limits = {i: c.limit for i, c in enumerate(trace.containers) if c.limit is not None}
    homes = {i: boxes[task.container] for i, task in enumerate(trace.tasks)}
    for n, number in enumerate(trace.op):
        op, task, target = Op(number), int(trace.task[n]), int(trace.target[n])
        if op == Op.set_limit:
            pages = pages_written(*control_write(trace.values[trace.value[n]]))
            limits.pop(target, None)
            if pages is not None and pages >= 0:
                limits[target] = pages
        elif op == Op.move:
            homes[task] = target
        elif op in BIRTHS:
            homes[target] = homes[task]
        yield limits, homes


def refusals(usage: int, limit: int, charges: int) -> int:
    """failcnt's rise for one charge with no stock: 64 pages are asked for, then one, then room is
    made and one is asked for again (recording.md 2.4)."""
    if not charges or usage + 64 <= limit:
        return 0
    return 1 if usage + 1 <= limit else 2


def walk(trace: Trace, scheme: str, nodes: int = 0, swap: int = 0) -> Iterator[State]:
    """The state after every event, without kernel memory; interpreted: traces are small here.

    What was charged in advance is given back each time, as the runner has the kernel do.
    """
    nodes = nodes or 1 + max((task.node for task in trace.tasks), default=0)
    machine = Machine(nodes=nodes, swap=swap)
    for k in stepped(trace, schemes.get(scheme), machine, BARE, engine="interpreted"):
        for c in range(k.containers):
            drain(k, c)
        yield k


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


def compare_nodes(capture: Capture, scheme: str = "zone") -> Row:
    """Distinct mapped frames of each container by NUMA node, with a zone of its own for each."""
    row = Row(capture, f"mapped frames by node under {scheme}")
    nodes = len(next(iter(next(iter(capture.nodes.values())).values())))
    for n, k in enumerate(walk(capture.trace, scheme, nodes)):
        if n in capture.nodes:
            wanted = mapped_by_node(k, nodes)
            for c, real in capture.nodes[n].items():
                for node in range(nodes):
                    row.tell(n, c, real[node], wanted[c][node], f"pages mapped on node {node}")
    return row


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
                             (kernel, box, n + 1, real[node])]  # fmt: skip
    else:
        metric, unit = what, {"usage": "pages", "failcnt": "count"}[what]
        said = forecast(capture.trace, scheme)
        for n, real in enumerate(getattr(capture, what)):
            for c, name in enumerate(names):
                if real[c] is not None:
                    rows += [(scheme, name, n + 1, getattr(said, what)[n][c]),
                             (kernel, name, n + 1, real[c])]  # fmt: skip
        tasks = [task.name for task in capture.trace.tasks]
        kills = [(n + 1, scheme, tasks[t]) for n, t in said.victims]
        kills += [(n + 1, kernel, tasks[t]) for n, t, _ in capture.died]
    table = pd.DataFrame(
        [(capture.name, who, box, time, metric, value, unit) for who, box, time, value in rows],
        columns=["scenario", "scheme", "container", "time", "metric", "value", "unit"],
    )  # fmt: skip
    return table, pd.DataFrame(kills, columns=["time", "scheme", "victim"])


def any_on(capture: Capture, c: int, node: int) -> bool:
    return any(rows[c][node] for rows in capture.nodes.values())


def mapped_by_node(k: State, nodes: int) -> list[list[int]]:
    """Container -> node -> distinct pages mapped."""
    found = [[0] * nodes for _ in range(k.containers)]
    for page, mms in mappers(k):
        for c in {int(k.mm_container[mm]) for mm in mms}:
            found[c][int(k.zone_node[k.page_zone[page]])] += 1
    return found


def mappers(k: State) -> Iterator[tuple[int, list[int]]]:
    """Every mapped page with the mms that map it."""
    for page in range(k.pages_top):
        maps = int(k.page_maps[page])
        pte, mms = int(k.page_rmap[page]) - 1, []
        for _ in range(maps + int(k.page_swaps[page]) if maps else 0):
            word = int(k.word[word_of(k, pte)])
            if word & PRESENT:
                mms.append((word >> 40) - 1)
            pte = int(k.pte_next[pte])
        if mms:
            yield page, mms


def pss_of_mms(k: State) -> dict[int, Fraction]:
    """Pages of every mm, each divided by its number of mappings."""
    found: dict[int, Fraction] = {}
    for _, mms in mappers(k):
        for mm in mms:
            found[mm] = found.get(mm, Fraction(0)) + Fraction(1, len(mms))
    return found
