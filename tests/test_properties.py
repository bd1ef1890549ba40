"""Laws of the schemes and counters, on whatever Hypothesis comes up with.

The ring's are kernel.md 1.3 of the specification, the charges' patchset.md 9.
"""

from fractions import Fraction
from types import SimpleNamespace

import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from strategies import cases
from test_twin import as_knobs

from workbench import schemes
from workbench.kernel import Knobs, Machine, PlacementError, check, simulate, stepped
from workbench.kernel.control import write_limit
from workbench.kernel.counters import charge, fits, force, uncharge
from workbench.kernel.names import (
    HANG,
    HEADS,
    KIND,
    OUTCOMES,
    Q_LIMIT_ZERO,
    SPECIAL,
)
from workbench.kernel.oom import badness, square_root
from workbench.trace import TraceBuilder
from workbench.trace.language import Op

WHOLE = ("first_touch", "hand_over", "first_touch:lists=lru", "hand_over:lists=lru")
BOUND = ("first_touch", "first_touch:lists=lru", "every_container")  # keep to limits
LINES = 20  # containers that may share a page below


# ---- one page and who joins and leaves -----------------------------------------------------------


@st.composite
def visits(draw, most: int = LINES):
    """Containers that map (True) and unmap (False) one page, each in turn with itself."""
    there: set[int] = set()
    steps = []
    for c in draw(st.lists(st.integers(0, most - 1), min_size=1, max_size=60)):
        steps.append((c, c not in there))
        there ^= {c}
    return steps


def visited(scheme: str, steps, most: int = LINES):
    """The machine after each visit to the page."""
    b = TraceBuilder()
    b.file("f", 1)
    for c in range(most):
        b.container(f"C{c}")
        b.task(f"T{c}", f"C{c}")
    for c in range(most):
        b.map(f"T{c}", "f", shared=True)
    for c, comes in steps:
        (b.touch_read if comes else b.discard)(f"T{c}", "f")
    there: set[int] = set()
    for n, k in enumerate(stepped(b.build(), schemes.get(scheme), engine="interpreted")):
        if n >= most:
            c, comes = steps[n - most]
            there = there | {c} if comes else there - {c}
            yield k, [int(units) for units in k.usage[1:]], set(there)


def ring_of(k) -> list[tuple[int, int]]:
    """(container, shift) from head to tail."""
    head = k.page_entry[0] - 1
    found, e = [], head
    while e >= 0:
        found.append((int(k.entry_owner[e]) - 1, int(k.entry_shift[e])))
        e = k.entry_after[e]
        if e == head:
            break
    return found


@given(visits())
@example([(c, True) for c in range(20)] + [(c, False) for c in range(20)])
def test_ring(steps):
    """One page exactly, in powers of two; biggest payers first; 2^(k+1) - n of them pay double."""
    unit = schemes.get("beancounter").unit
    for k, usage, there in visited("beancounter", steps):
        n = len(there)
        assert sum(usage) == (unit if n else 0)
        assert {c for c, units in enumerate(usage) if units} == there
        shifts = [shift for _, shift in ring_of(k)]
        assert {c for c, _ in ring_of(k)} == there and len(shifts) == n
        assert all(usage[c] == unit >> shift for c, shift in ring_of(k))
        assert shifts == sorted(shifts) and (not shifts or shifts[-1] - shifts[0] <= 1)
        if n:
            low = n.bit_length() - 1
            assert shifts.count(low) == 2 ** (low + 1) - n
            assert shifts.count(low + 1) == 2 * (n - 2**low)
            half, double = Fraction(unit, 2 * n), Fraction(2 * unit, n)
            assert all(half < usage[c] < double for c in there)
            assert (len(set(shifts)) == 1) == (n & (n - 1) == 0)
        assert k.page_holders[0] == n


@given(visits(16))
@example([(c, True) for c in range(16)] + [(c, False) for c in (7, 0, 15)])
def test_fractions_are_exact_up_to_sixteen(steps):
    """n sharers pay 1/n each, without remainder, whatever came before."""
    unit = schemes.get("fraction").unit
    for _, usage, there in visited("fraction", steps, 16):
        shares = {Fraction(units, unit) for units in usage if units}
        assert shares == ({Fraction(1, len(there))} if there else set())
        assert {c for c, units in enumerate(usage) if units} == there


def test_the_unit_of_fractions_divides():
    unit = schemes.get("fraction").unit
    assert all(unit % n == 0 for n in (*range(1, 17), *(1 << k for k in range(13))))


@given(visits())
def test_fractions_beyond_lose_less_than_a_unit_each(steps):
    unit = schemes.get("fraction").unit
    for _, usage, there in visited("fraction", steps):
        assert len({usage[c] for c in there}) <= 1
        assert 0 <= (unit if there else 0) - sum(usage) < max(1, len(there))


@given(st.permutations(range(8)), st.sets(st.integers(0, 7), max_size=7), st.randoms())
def test_fractions_do_not_depend_on_the_order(order, leave, rng):
    """Who is there decides; OpenVZ's ring, in contrast, remembers who came when."""
    leaving = sorted(leave)
    rng.shuffle(leaving)
    steps = [(c, True) for c in order] + [(c, False) for c in leaving]
    straight = [(c, True) for c in range(8) if c not in leave]
    *_, (_, usage, _) = visited("fraction", steps, 8)
    *_, (_, plain, _) = visited("fraction", straight, 8)
    assert usage == plain


def test_the_ring_depends_on_the_order():
    *_, (_, one, _) = visited("beancounter", [(0, True), (1, True), (2, True)], 3)
    *_, (_, two, _) = visited("beancounter", [(1, True), (0, True), (2, True)], 3)
    assert one != two and sorted(one) == sorted(two)


@given(visits())
def test_who_holds_a_page(steps):
    """First touch: the first of the present crowd, until nobody is left. Hand over: an heir."""
    payer = None
    for _, usage, there in visited("first_touch", steps):
        payer = payer if there and payer is not None else min(there, default=None)
        assert usage == [int(c == payer) for c in range(LINES)]
    heirs: list[int] = []
    for (_, usage, _), (c, comes) in zip(visited("hand_over", steps), steps, strict=True):
        heirs = [*heirs, c] if comes else [h for h in heirs if h != c]
        assert sum(usage) == bool(heirs)
        assert not heirs or usage[heirs[0]] == 1, "the longest there pays"
    for _, usage, there in visited("every_container", steps):
        assert usage == [int(c in there) for c in range(LINES)]


# ---- whole machines ------------------------------------------------------------------------------


def run(case, scheme: str):
    try:
        yield from stepped(case.trace, schemes.get(scheme), Machine(**case.machine),
                           as_knobs(case.knobs), engine="interpreted")
    except PlacementError:
        return


def unlimited(case) -> bool:
    return all(e.op != Op.set_limit for e in case.trace.events())


def owned(k, page: int):
    return k.page_entry[page] - 1 if k.page_entry[page] else None


def balance_whole_pages(k, exact: bool) -> None:
    """Lists, css, owners and usage are four views of one thing; not `exact` after CH3."""
    lists = [set() for _ in range(k.containers)]
    for head in range(HEADS * k.containers):
        e = k.entry_next[head]
        while e != head:
            lists[head // HEADS].add(e)
            e = k.entry_next[e]
    mapped = {p for p in range(k.pages_top) if k.page_maps[p] and k.page_flags[p] & KIND != SPECIAL}
    on_lists = [k.entry_page[e] for c in lists for e in c]
    assert sorted(on_lists) == sorted(mapped), "on exactly one list while mapped"
    if exact:
        for c in range(k.containers):
            bound = sum(k.mm_users[m] > 0 and k.mm_container[m] == c for m in range(k.mms_top))
            assert k.usage[c] == len(lists[c])
            assert k.css[c] == bound + k.usage[c]
        assert sum(k.usage) == len(mapped)
    assert all(owned(k, p) in lists[k.entry_owner[owned(k, p)]] for p in mapped)


@given(cases(events=50), st.sampled_from(WHOLE))
def test_whole_page_books(case, scheme):
    broken = any(e.op == Op.io_error for e in case.trace.events())
    for k in run(case, scheme):
        if k.hung:
            return
        balance_whole_pages(k, not broken or "double_release" not in case.knobs["quirks"])


@given(cases(profile="sharing", events=50).filter(unlimited))
def test_the_owner_stays_from_first_map_to_last_unmap(case):
    """first_touch without reclaim: whoever maps a page, its owner changes only when it was free."""
    free = [type(c)(c.name) for c in case.trace.containers]
    trace = type(case.trace).from_columns(
        case.trace.objects, case.trace.tasks, free, **case.trace.columns(), values=case.trace.values
    )
    migrates = {i for i, e in enumerate(trace.events()) if e.op == Op.migrate}
    before: dict = {}
    for i, k in enumerate(stepped(trace, schemes.get("first_touch"), Machine(nodes=2),
                                  engine="interpreted")):
        if k.hung:
            return
        now = {p: (k.entry_owner[owned(k, p)], owned(k, p)) for p in range(k.pages_top)
               if owned(k, p) is not None}
        for page, (owner, entry) in now.items():
            # ends and begins within one event at a migration, or when the page's number is reused
            if i not in migrates and page < k.vpages and before.get(page, (0, -1))[1] == entry:
                assert before[page][0] == owner
        before = now


@given(cases(events=50), st.sampled_from(BOUND))
def test_a_charge_never_ends_above_the_limit(case, scheme):
    """Usage may only be above a limit that was written, or is zero, or after a move came in."""
    fixed = {c.name for c in case.trace.containers if c.limit is not None}
    written = {e.target for e in case.trace.events() if e.op == Op.set_limit}
    moves = scheme == "every_container" and any(e.op == Op.move for e in case.trace.events())
    for k in run(case, scheme):
        for c, box in enumerate(case.trace.containers):
            if box.name in fixed - written and box.limit and not moves and not k.hung:
                assert k.usage[c] <= box.limit


@given(cases(events=60), st.sampled_from([*schemes.names(), *WHOLE]))
def test_books_balance_whatever_happens(case, scheme):
    for k in run(case, scheme):
        if not k.hung:
            check(k)
        assert all(units >= 0 for units in k.usage)
        assert all(peak >= units for peak, units in zip(k.peak, k.usage, strict=True))


@given(cases(events=60), st.sampled_from(schemes.names()))
def test_failcnt_peak_and_outcomes_only_grow(case, scheme):
    made = {e.target for e in case.trace.events() if e.op == Op.mkdir}
    names = [c.name for c in case.trace.containers]
    before, peaks, stats = [0] * len(names), [0] * len(names), []
    hung = False
    for n, k in enumerate(run(case, scheme)):
        for c, name in enumerate(names):
            assert k.failcnt[c] >= before[c] or name in made
            assert k.peak[c] >= peaks[c] or name in made
        assert not stats or all(a >= b for a, b in zip(k.stat, stats, strict=True))
        assert not hung or OUTCOMES[k.ev_outcome[n]] == "skipped"
        hung = hung or k.ev_outcome[n] == HANG
        before, peaks, stats = list(k.failcnt), list(k.peak), list(k.stat)


@pytest.mark.parametrize("scheme", ["beancounter", "fraction", "every_container", "first_touch"])
def test_a_migration_that_kills_a_sharer(scheme):
    """T moves a page it shares with K, who must pay for it anew and dies of that."""
    b = TraceBuilder()
    b.container("A")
    b.file("f", 1), b.anon("a", 40)
    b.task("T", "A", oom_adj=-17), b.task("K", "A")
    for task in "KT":
        b.map(task, "f"), b.touch_read(task, "f")
    b.touch_write("K", "a")
    b.set_limit("A", 12)
    b.migrate("T", 1)
    b.exit("T")
    knobs = Knobs(quirks="as_posted,-rotation")
    k = simulate(b.build(), schemes.get(scheme), Machine(nodes=2, frames=4096, swap=0), knobs,
                 engine="interpreted")
    assert k.kills and not k.hung
    check(k)
    assert k.usage[1] == 0 and k.mapped[1] == 0


# ---- counters ------------------------------------------------------------------------------------


def counter(limit: int, usage: int = 0, quirks: int = 0, unit: int = 1):
    """Just the fields a counter has."""
    return SimpleNamespace(
        tree=0, ubc=0, zero_is_none=0, usage=[usage], limit=[limit], failcnt=[0], peak=[usage],
        stat=[0] * 32, watch=0, warnings=0, quirks=quirks, unit=unit)


@given(
    st.integers(0, 50),
    st.lists(st.tuples(st.sampled_from(("charge", "force", "uncharge")), st.integers(0, 40))),
    st.sampled_from((0, Q_LIMIT_ZERO)),
)
def test_counter(limit, steps, quirks):
    """What fits is charged; usage never goes below zero, and every attempt to is a warning."""
    k, model, peak, warnings, failures = counter(limit, quirks=quirks), 0, 0, 0, 0
    free = limit == 0 and quirks
    for what, units in steps:
        if what == "charge":
            room = bool(fits(k, 0, units))
            assert room == (free != 0 or model + units <= limit)
            if room:
                charge(k, 0, units, -1)
                model += units
        elif what == "force":
            force(k, 0, units, -1)
            model += units
            failures += not free and model > limit
        else:
            uncharge(k, 0, units, -1)
            warnings += units > model
            model = max(0, model - units)
        peak = max(peak, model)
        books = (k.usage[0], k.peak[0], k.warnings, k.failcnt[0])
        assert books == (model, peak, warnings, failures)


@given(st.binary(max_size=30), st.sampled_from((32, 64)))
def test_any_bytes_may_be_written_to_a_limit(data, word):
    """Never an exception: a number below 2**word, or EINVAL."""
    found = write_limit(data, word)
    assert found is None or 0 <= found < 1 << word


@given(st.integers(0, 1 << 70), st.sampled_from((32, 64)), st.binary(max_size=4))
def test_written_numbers(n, word, tail):
    assert write_limit(str(n).encode(), word) == n % (1 << word)
    assert write_limit(str(n).encode() + b"\0" + tail, word) == n % (1 << word)
    assert write_limit(b"-" + str(n).encode(), word) is None
    assert write_limit(str(n).encode() + b"\n", word) is None
    assert write_limit(b"", word) == 0


# ---- the OOM killer's score ----------------------------------------------------------------------


@given(st.integers(0, (1 << 32) - 1))
def test_square_root(n):
    """As in 2.6.20, for 32-bit numbers only; seconds and minutes are."""
    root = square_root(n)
    assert root * root <= n < (root + 1) * (root + 1)


def scored(**task) -> int:
    b = TraceBuilder()
    b.container("A")
    b.task("P", "A", **task)
    b.mark("start")
    k = simulate(b.build(), schemes.get("none"), engine="interpreted")
    return badness(k, 0, 1)


ages = st.fixed_dictionaries({
    "cpu": st.integers(0, 10**7), "run": st.integers(0, 10**7), "nice": st.integers(-20, 19),
    "oom_adj": st.integers(-16, 15), "root": st.booleans(), "rawio": st.booleans(),
})


@given(st.integers(0, 1 << 30), st.integers(0, 1 << 20), ages)
def test_a_larger_task_is_never_less_bad(vm, more, task):
    assert 0 <= scored(vm=vm, **task) <= scored(vm=vm + more, **task)


@given(st.integers(1, 1 << 30), ages)
def test_what_protects_a_task(vm, task):
    """Time used, privileges and a lower oom_adj never make a task a worse one; nice does."""
    score = scored(vm=vm, **task)
    assert scored(vm=vm, **task | {"cpu": task["cpu"] * 4}) <= score
    assert scored(vm=vm, **task | {"root": True}) <= score
    assert scored(vm=vm, **task | {"oom_adj": task["oom_adj"] - 1}) <= score
    assert scored(vm=vm, **task | {"nice": 0}) <= scored(vm=vm, **task | {"nice": 5})
