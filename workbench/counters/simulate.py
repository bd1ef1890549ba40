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
from collections.abc import Generator
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


class Machine:
    """CPUs with an actor each, the cache lines they share, and the clock."""

    def __init__(
        self, form: Form, lives: list[Life], limit: int, rng: random.Random,
        preempted: tuple[float, float], queue: bool, warm: int,
        transfer_ns: float, atomic_ns: float,
    ):
        self.form, self.limit, self.rng = form, limit, rng
        self.preempted, self.queue, self.warm = preempted, queue, warm
        self.transfer_ns, self.atomic_ns = transfer_ns, atomic_ns
        self.cells, self.tally = form.cells(limit), Tally()
        self.lines: dict[str, Line] = {form.line(cell): Line() for cell in self.cells}
        self.actors = [Actor(life) for life in lives]
        self.waiting: list[int] = []  # for the lock
        self.taken: list[tuple[float, int]] = []  # when pages come and go, at the widest
        self.refusals: list[tuple[float, float, int]] = []
        self.held = 0
        self.heap = [(0.0, i, i, False) for i in range(len(lives))]
        self.count = len(lives)

    def later(self, time: float, who: int, fetched: bool = False) -> None:
        self.count += 1
        heapq.heappush(self.heap, (time, self.count, who, fetched))

    def run(self) -> Tally:
        heapq.heapify(self.heap)
        last = 0.0
        while self.heap:
            now, _, me, fetched = heapq.heappop(self.heap)
            if self.held > self.limit:
                self.tally.over_ns += now - last
            last = now
            if self.actors[me].call or self.begin(me, now):
                self.step(me, now, fetched)
        self.tally.spurious = fitted(self.taken, self.refusals, self.limit)
        return self.tally

    def begin(self, me: int, now: float) -> bool:
        """Whether the actor's life goes on with a call: else it waits, or is over."""
        actor = self.actors[me]
        try:
            todo = actor.life.send(actor.answer)
        except StopIteration:
            return False
        actor.answer = None
        if not isinstance(todo, tuple):
            self.later(now + todo, me)
            return False
        verb, v = actor.call = todo
        actor.steps = getattr(self.form, verb)(*((me, v) if verb != "leave" else (me,)))
        actor.step = next(actor.steps)
        self.held -= v * (verb == "uncharge")
        actor.began = now
        return True

    def step(self, me: int, now: float, fetched: bool) -> None:
        """The next step of a call, once its cache line is there and the lock is free."""
        actor = self.actors[me]
        step, cost = actor.step, self.cost(actor.step, me, now, fetched)
        if cost is None:
            return
        result = apply(step, self.cells)
        if result is BLOCKED:
            self.waiting.append(me)
            return
        if step.kind == "lock":
            self.tally.locks += 1
            actor.locked = 1
        elif step.kind == "unlock":
            actor.locked = 0
            woken = slice(1 if self.queue else None)
            for who in self.waiting[woken]:
                self.later(now + cost, who)
            del self.waiting[woken]
        elif step.kind == "cmpxchg":
            self.tally.retries += result != step.expected
        try:
            actor.step = actor.steps.send(result)
        except StopIteration as end:
            self.end(actor, end.value, now, now + cost)
        if self.preempted[0] and not actor.locked and self.rng.random() < self.preempted[0]:
            cost += self.preempted[1]
        self.later(now + cost, me)
        self.tally.ns = max(self.tally.ns, now + cost)

    def cost(self, step: Step, me: int, now: float, fetched: bool) -> float | None:
        """Of a step, ns; None: its cache line is elsewhere and has to be fetched before."""
        if step.kind == "sleep":
            cost = self.rng.uniform(0.5, 1.5) * FAULT_NS
            self.tally.call_ns -= cost
            return cost
        line = self.lines[self.form.line(step.cell)]
        reads = step.kind == "load"
        if not (me in line.readers if reads else line.writer == me):
            if not fetched:
                self.tally.transfers += 1
                line.free_at = max(now, line.free_at) + self.transfer_ns
                self.later(line.free_at, me, True)
                return None
            line.readers = line.readers | {me} if reads else {me}
            line.writer = -1 if reads else me
        self.tally.atomics += step.kind in ATOMIC
        return self.atomic_ns if step.kind in ATOMIC else PLAIN_NS

    def end(self, actor: Actor, result: Any, now: float, after: float) -> None:
        """A call returns: what was granted, and how far the counter is from the truth."""
        tally, (verb, v) = self.tally, actor.call
        if verb == "charge":
            tally.charges += 1
            if result:
                self.held += v
                tally.most_held = max(tally.most_held, self.held)
                self.taken.append((actor.began, v))
            else:
                tally.refused += 1
                self.refusals.append((actor.began, now, v))
        elif verb == "uncharge":
            self.taken.append((now, -v))
        tally.calls += verb != "leave"
        tally.call_ns += (after - actor.began) * (verb != "leave")
        shown = self.form.shown(self.cells)
        error = shown - self.held
        tally.low, tally.high = min(tally.low, error), max(tally.high, error)
        tally.stranded = max(tally.stranded, shown - self.form.precise(self.cells))
        actor.call, actor.answer = None, result
        if tally.calls == self.warm:
            tally.calls = tally.transfers = tally.atomics = tally.locks = tally.retries = 0
            tally.call_ns, self.warm = 0, -1


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
    return Machine(form, lives, limit, rng, preempted, queue, warm, transfer_ns, atomic_ns).run()


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
               transfer_ns=transfer_ns, atomic_ns=atomic_ns)


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
