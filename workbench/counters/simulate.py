"""Larger cases: many CPUs, one seeded order, simulated time.

Cost model (Eric Biederman, 15 March 2007: owning the cache line is what costs, not the number of
atomic operations): a line has one writer or many readers; fetching it costs a transfer, one at a
time per line; an atomic operation costs its own on top. Transfers and atomic operations are counted
apart, so that other costs can be put in. Left out: NUMA distances, write buffers, caches that are
too small. When a lock is released, all who wait for it try again (as in Linux 2.6.20 on x86), and
each try fetches the line; with `queue` they stand in line and one tries.
"""

from __future__ import annotations

import heapq
import random
from bisect import bisect_left, bisect_right
from collections.abc import Callable, Generator, Iterator
from dataclasses import dataclass, field
from itertools import accumulate
from typing import Any

from .forms import FORMS, WORD, Form
from .properties import Call, charge, set_limit, uncharge
from .steps import ATOMIC, BLOCKED, Step, apply

TRANSFER_NS, ATOMIC_NS, PLAIN_NS = 100, 5, 1
FAULT_NS = 1_000  # between two charges of a CPU, and while a page is obtained: a minor fault
Life = Generator[float | Call, Any, None]  # yields ns to wait, or a call; is sent its result


@dataclass
class Tally:
    """What happened; `held` is the truth, `shown` what a reader of the counter sees. Pages."""

    charges: int = 0
    refused: int = 0
    spurious: int = 0  # refused, though it would have fitted at every instant of the call, even if
    # pages were held from the beginning of their charge to the end of their uncharge
    calls: int = 0  # charges and uncharges
    call_ns: float = 0
    transfers: int = 0
    atomics: int = 0
    locks: int = 0
    retries: int = 0  # cmpxchg that found something else
    most_held: int = 0
    over_ns: float = 0  # time with more held than the limit
    low: int = 0  # most negative shown - held, and most positive
    high: int = 0
    stranded: int = 0  # most kept in reserves at once
    ns: float = 0


@dataclass
class Line:
    readers: set[int] = field(default_factory=set)
    writer: int = -1
    free_at: float = 0


@dataclass
class Actor:
    life: Life
    call: Call | None = None
    steps: Any = None
    step: Step | None = None
    answer: Any = None
    began: float = 0
    locked: int = 0


def run(
    form: Form,
    lives: list[Life],
    limit: int,
    rng: random.Random,
    preempted: tuple[float, float] = (0, 0),
    queue: bool = False,
    warm: int = 0,
    transfer_ns: float = TRANSFER_NS,
    atomic_ns: float = ATOMIC_NS,
) -> Tally:
    """All lives to their end, each on a CPU of its own.

    `preempted` is (chance after each step taken without a lock, nanoseconds away); calls and their
    costs are counted after the first `warm` calls, without the time in which a page is obtained.
    Cost: about 5 us of real time per step.
    """
    cells, tally = form.cells(limit), Tally()
    lines: dict[str, Line] = {form.line(cell): Line() for cell in cells}
    actors = [Actor(life) for life in lives]
    waiting: list[int] = []
    taken: list[tuple[float, int]] = []  # when pages come and go, at the widest
    refusals: list[tuple[float, float, int]] = []
    held, last = 0, 0.0
    heap = [(0.0, i, i, False) for i in range(len(actors))]
    count = len(heap)
    heapq.heapify(heap)

    def later(time: float, who: int, fetched: bool = False) -> None:
        nonlocal count
        count += 1
        heapq.heappush(heap, (time, count, who, fetched))

    while heap:
        now, _, me, fetched = heapq.heappop(heap)
        actor = actors[me]
        if held > limit:
            tally.over_ns += now - last
        last = now
        if actor.call is None:  # between calls
            try:
                todo = actor.life.send(actor.answer)
            except StopIteration:
                continue
            actor.answer = None
            if not isinstance(todo, tuple):
                later(now + todo, me)
                continue
            verb, v = actor.call = todo
            actor.steps = getattr(form, verb)(*((me, v) if verb != "leave" else (me,)))
            actor.step = next(actor.steps)
            held -= v * (verb == "uncharge")
            actor.began = now
        step = actor.step
        cost = 0.0
        if step.kind == "sleep":
            cost = rng.uniform(0.5, 1.5) * FAULT_NS
            tally.call_ns -= cost
        else:
            line = lines[form.line(step.cell)]
            reads = step.kind == "load"
            if not (me in line.readers if reads else line.writer == me):
                if not fetched:
                    tally.transfers += 1
                    line.free_at = max(now, line.free_at) + transfer_ns
                    later(line.free_at, me, True)
                    continue
                line.readers = line.readers | {me} if reads else {me}
                line.writer = -1 if reads else me
            tally.atomics += step.kind in ATOMIC
            cost = atomic_ns if step.kind in ATOMIC else PLAIN_NS
        result = apply(step, cells)
        if result is BLOCKED:
            waiting.append(me)
            continue
        if step.kind == "lock":
            tally.locks += 1
            actor.locked = 1
        elif step.kind == "unlock":
            actor.locked = 0
            for who in waiting[: 1 if queue else None]:
                later(now + cost, who)
            del waiting[: 1 if queue else None]
        elif step.kind == "cmpxchg":
            tally.retries += result != step.expected
        try:
            actor.step = actor.steps.send(result)
        except StopIteration as end:
            verb, v = actor.call
            if verb == "charge":
                tally.charges += 1
                if end.value:
                    held += v
                    tally.most_held = max(tally.most_held, held)
                    taken.append((actor.began, v))
                else:
                    tally.refused += 1
                    refusals.append((actor.began, now, v))
            elif verb == "uncharge":
                taken.append((now, -v))
            tally.calls += verb != "leave"
            tally.call_ns += (now + cost - actor.began) * (verb != "leave")
            error = form.shown(cells) - held
            tally.low, tally.high = min(tally.low, error), max(tally.high, error)
            tally.stranded = max(tally.stranded, form.shown(cells) - form.precise(cells))
            actor.call, actor.answer = None, end.value
            if tally.calls == warm:
                tally.calls = tally.transfers = tally.atomics = tally.locks = tally.retries = 0
                tally.call_ns, warm = 0, -1
        if preempted[0] and not actor.locked and rng.random() < preempted[0]:
            cost += preempted[1]
        later(now + cost, me)
        tally.ns = max(tally.ns, now + cost)
    tally.spurious = fitted(taken, refusals, limit)
    return tally


def fitted(
    taken: list[tuple[float, int]], refusals: list[tuple[float, float, int]], limit: int
) -> int:
    """How many of the refusals would have fitted from their beginning to their end."""
    taken.sort(key=lambda change: (change[0], -change[1]))
    times = [time for time, _ in taken]
    held = [0, *accumulate(v for _, v in taken)]
    count = 0
    for began, ended, v in refusals:
        first, last = bisect_left(times, began), bisect_right(times, ended)
        count += max(held[first : last + 1]) + v <= limit
    return count


def busy(rng: random.Random, calls: int, first: float, grow: bool = False) -> Life:
    """After `first` ns charges a page, gives it back, again and again, a minor fault between."""
    yield first
    for _ in range(calls):
        yield rng.uniform(0.5, 1.5) * FAULT_NS
        if (yield charge()) and not grow:
            yield rng.uniform(0.5, 1.5) * FAULT_NS
            yield uncharge()


def hoards(
    rng: random.Random, calls: int, keep: float, pages: int = 1, every: float = FAULT_NS
) -> Life:
    """Charges again and again, and gives each back after `keep` ns or so: many held at once."""
    now, due = 0.0, []
    for _ in range(calls):
        wait = rng.uniform(0.5, 1.5) * every
        now += wait
        yield wait
        while due and due[0][0] <= now:
            yield uncharge(heapq.heappop(due)[1])
        v = rng.randint(1, pages)
        if (yield charge(v)):
            heapq.heappush(due, (now + rng.uniform(0.5, 1.5) * keep, v))


# ---- the scenarios X39, X40, X41, X50 ------------------------------------------------------------


def races(
    form: str, threads: int, pages: int = 1, window_ns: float = 0, limit: int = 100, seed: int = 1,
    every: float = 100 * FAULT_NS,
) -> Tally:
    """X39: threads that want one and a half times the limit, a charge of each `every` ns.

    `window_ns` is how long a thread is off the CPU after one step in ten.
    """
    rng = random.Random(seed)
    keep = 1.5 * limit * every / threads / ((1 + pages) / 2)
    lives = [hoards(rng, 2_000 // threads + 10, keep, pages, every) for _ in range(threads)]
    return run(FORMS[form](actors=threads), lives, limit, rng, (0.1 * (window_ns > 0), window_ns))


def scaling(
    form: str, cpus: int, queue: bool = False, grow: bool = False, calls: int = 60, seed: int = 1,
    transfer_ns: float = TRANSFER_NS, atomic_ns: float = ATOMIC_NS, **options: Any,
) -> Tally:
    """X40: CPUs that charge one container, far from its limit; with `grow` they keep every page."""
    rng = random.Random(seed)
    made = FORMS[form](actors=cpus, batch=32, reserve=32, **options)
    lives = [busy(rng, calls, rng.uniform(0, cpus) * FAULT_NS, grow) for _ in range(cpus)]
    return run(made, lives, WORD >> 1, rng, queue=queue, warm=cpus * calls // 2,
               transfer_ns=transfer_ns, atomic_ns=atomic_ns)  # fmt: skip


def fuzz(form: str, cpus: int, batch: int, adversary: bool, limit: int, seed: int = 1) -> Tally:
    """X41: per-CPU counts at a limit, under busy CPUs or under one that knows the batch.

    The adversary leaves batch - 1 pages on every CPU but one, then charges there until refused.
    """
    rng = random.Random(seed)

    def hides() -> Life:
        for _ in range(batch - 1):
            yield charge()

    def fills() -> Life:
        yield 1_000_000.0 * batch
        while (yield charge()):
            pass

    if adversary:
        lives = [fills(), *(hides() for _ in range(cpus - 1))]
    else:
        keep = limit * 3 * FAULT_NS / cpus  # wants one and a half times the limit
        lives = [hoards(rng, 2 * limit // cpus + 50, keep) for _ in range(cpus)]
    return run(FORMS[form](actors=cpus, batch=batch), lives, limit, rng)


def reserves(tasks: int, reserve: int, limit: int, seed: int = 1) -> Tally:
    """X41: per-task reserves at a limit that the tasks together want one and a half times."""
    rng = random.Random(seed)
    keep = limit * 3 * FAULT_NS / tasks
    lives = [hoards(rng, 2 * limit // tasks + 50, keep) for _ in range(tasks)]
    return run(FORMS["K7"](actors=tasks, reserve=reserve), lives, limit, rng)


def accepted(form: str, limit: int, usage: int = 0, charges: int = 5) -> int:
    """X50: how many of some charges are granted once the limit is set, `usage` pages being held."""
    taken = Tally()

    def life() -> Life:
        for _ in range(usage):
            yield charge()
        yield set_limit(limit)
        for _ in range(charges):
            taken.charges += bool((yield charge()))

    run(FORMS[form](actors=1), [life()], WORD >> 1, random.Random(0))
    return taken.charges


# ---- tables --------------------------------------------------------------------------------------

Table = tuple[str, list[str], list[list]]
KINDS = ("K1", "K2", "K3", "K4", "K5")


def tables() -> Iterator[tuple[str, Callable[[], Table]]]:
    """(scenario, what computes it) of each table of larger cases. Cost: 15 s together."""
    yield "X39", table_races
    yield "X40", table_scaling
    yield "X41 batches", table_fuzz
    yield "X41 reserves", table_reserves
    yield "X50", table_limits


def table_races() -> Table:
    rows = []
    for threads in (2, 16, 256):
        for pages in (1, 20):
            for window in (0, 100_000, 1_000_000):
                found = {form: races(form, threads, pages, window) for form in KINDS}
                rows.append([
                    threads, pages, window // 1_000,
                    *(max(t.most_held - 100, 0) for t in found.values()),
                    round(100 * found["K2"].over_ns / found["K2"].ns),
                    *(round(100 * t.spurious / t.charges) for t in found.values()),
                ])  # fmt: skip
    return (
        "X39: threads that want 150 pages at a limit of 100. away: us off the CPU after one step "
        "in ten; over: most held above the limit; time: % of it over the limit; spurious: % of "
        "charges refused though they fitted all the time",
        ["threads", "pages", "away", *(f"over {form}" for form in KINDS), "time K2", "spurious K1",
         *KINDS[1:]],
        rows,
    )  # fmt: skip


def table_scaling() -> Table:
    forms: list[tuple[str, str, dict]] = [
        *((form, form, {}) for form in KINDS),
        ("K1 + list", "K1", {"listed": True}),
        ("K1 + list, queued", "K1", {"listed": True, "queue": True}),
        ("K6", "K6", {}),
        ("K6, only charges", "K6", {"grow": True}),
        ("K7", "K7", {}),
        ("K7, only charges", "K7", {"grow": True}),
    ]
    rows = []
    for name, form, options in forms:
        for cpus in (1, 2, 4, 16, 64):
            t = scaling(form, cpus, **options)
            rows.append([name, cpus, *(
                round(n / t.calls, 2) for n in (t.transfers, t.atomics, t.retries, t.call_ns)
            )])  # fmt: skip
    return (
        f"X40: per call (a charge or an uncharge), CPUs calling for one container every "
        f"{FAULT_NS} ns; line transfer {TRANSFER_NS} ns, atomic operation {ATOMIC_NS} ns, else "
        f"{PLAIN_NS} ns; batch and reserve 32; + list: a page list under the lock. One CPU is what "
        "containers of their own cost",
        ["form", "CPUs", "transfers", "atomics", "retries", "ns"],
        rows,
    )


def table_fuzz() -> Table:
    rows = []
    limit = 2_560
    points = [("K6", cpus, batch) for cpus in (2, 8, 64) for batch in (1, 8, 32, 64)]
    for form, cpus, batch in [*points, ("K6m", 2, 32), ("K6m", 8, 1), ("K6m", 8, 32)]:
        usual, worst = (fuzz(form, cpus, batch, a, limit) for a in (False, True))
        error = max(-worst.low, worst.high, -usual.low, usual.high)
        rows.append([
            form, cpus, batch, usual.most_held - limit, worst.most_held - limit,
            usual.low, usual.high, f"{100 * error / limit:.1f}%",
            round(10 * error * 4096 / 1e6, 1), usual.spurious,
            round(usual.locks / usual.calls, 2),
        ])  # fmt: skip
    return (
        "X41: per-CPU counts at a limit of 2560 pages. over: most held above the limit, busy and "
        "under an adversary; low, high: shown less held; MB: the limit from which the error is "
        "within 10%; locks per call",
        ["form", "CPUs", "batch", "over", "adversary", "low", "high", "error", "MB", "spurious",
         "locks"],
        rows,
    )  # fmt: skip


def table_reserves() -> Table:
    rows = []
    for tasks in (8, 64):
        for reserve in (0, 1, 8, 64):
            t = reserves(tasks, reserve, 2_560)
            rows.append([tasks, reserve, round(t.locks / t.calls, 2), t.stranded, t.most_held,
                         t.refused, t.spurious])  # fmt: skip
    return (
        "X41: per-task reserves at a limit of 2560 pages. stranded: most in reserves at once; "
        "spurious: refused, though it would have fitted all the time",
        ["tasks", "reserve", "locks", "stranded", "most held", "refused", "spurious"],
        rows,
    )


def table_limits() -> Table:
    limits = [("0", 0, 0), ("1", 1, 0), ("usage - 1", 2, 3), ("LONG_MAX", WORD // 2 - 1, 0),
              ("ULONG_MAX", WORD - 1, 0)]  # fmt: skip
    return (
        "X50: of five charges, granted (64-bit words)",
        ["limit", "K1 as posted", "K1 sane"],
        [[name, accepted("K1w", n, usage), accepted("K1", n, usage)] for name, n, usage in limits],
    )
