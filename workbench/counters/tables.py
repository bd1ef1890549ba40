"""The larger cases as tables: races, scaling, per-CPU counts and reserves at a limit, limits."""

from __future__ import annotations

from collections.abc import Callable, Iterator

from .forms import WORD
from .simulate import (
    ATOMIC_NS,
    FAULT_NS,
    PLAIN_NS,
    TRANSFER_NS,
    accepted,
    fuzz,
    races,
    reserves,
    scaling,
)

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
                ])
    return (
        "X39: threads that want 150 pages at a limit of 100. away: us off the CPU after one step "
        "in ten; over: most held above the limit; time: % of it over the limit; spurious: % of "
        "charges refused though they fitted all the time",
        ["threads", "pages", "away", *(f"over {form}" for form in KINDS), "time K2", "spurious K1",
         *KINDS[1:]],
        rows,
    )


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
            )])
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
        ])
    return (
        "X41: per-CPU counts at a limit of 2560 pages. over: most held above the limit, busy and "
        "under an adversary; low, high: shown less held; MB: the limit from which the error is "
        "within 10%; locks per call",
        ["form", "CPUs", "batch", "over", "adversary", "low", "high", "error", "MB", "spurious",
         "locks"],
        rows,
    )


def table_reserves() -> Table:
    rows = []
    for tasks in (8, 64):
        for reserve in (0, 1, 8, 64):
            t = reserves(tasks, reserve, 2_560)
            rows.append([tasks, reserve, round(t.locks / t.calls, 2), t.stranded, t.most_held,
                         t.refused, t.spurious])
    return (
        "X41: per-task reserves at a limit of 2560 pages. stranded: most in reserves at once; "
        "spurious: refused, though it would have fitted all the time",
        ["tasks", "reserve", "locks", "stranded", "most held", "refused", "spurious"],
        rows,
    )


def table_limits() -> Table:
    limits = [("0", 0, 0), ("1", 1, 0), ("usage - 1", 2, 3), ("LONG_MAX", WORD // 2 - 1, 0),
              ("ULONG_MAX", WORD - 1, 0)]
    return (
        "X50: of five charges, granted (64-bit words)",
        ["limit", "K1 as posted", "K1 sane"],
        [[name, accepted("K1w", n, usage), accepted("K1", n, usage)] for name, n, usage in limits],
    )
