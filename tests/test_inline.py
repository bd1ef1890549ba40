"""The kernel written out for long interpreted replays is the kernel, to the last number."""

import ast
import random
import sys
from pathlib import Path
from types import SimpleNamespace

import pytest
from strategies import PROFILES, random_case
from test_twin import SCHEMES, as_knobs

from workbench import schemes
from workbench.kernel import Machine, PlacementError, faults, inline, pages, replay, simulate
from workbench.kernel.inline import Inliner, chosen
from workbench.kernel.layout import COLUMNS, CONSTANTS, FIXED, SCALARS
from workbench.results import golden
from workbench.trace import TraceBuilder

ROOT = Path(__file__).resolve().parents[1]
EVERYTHING = [*SCALARS, *(name for columns in COLUMNS.values() for name in columns)]


@pytest.fixture(autouse=True)
def fresh(monkeypatch):
    """Nothing written before, nothing left behind."""
    monkeypatch.setattr(inline, "_made", {})
    monkeypatch.setattr(inline, "_accesses", inline.Counter())


def replayed(monkeypatch, mode: str, trace, scheme, *args, **options):
    monkeypatch.setenv("WORKBENCH_INLINE", mode)
    return simulate(trace, schemes.get(scheme), *args, engine="interpreted", **options)


def differences(one, two) -> list[str]:
    return [name for name in EVERYTHING if getattr(one, name) != getattr(two, name)]


@pytest.mark.parametrize("scheme", SCHEMES)
def test_every_column_and_scalar_is_the_same(scheme, monkeypatch):
    """Random machines and traces, half of them with every line of the life story."""
    for seed, profile in enumerate(PROFILES, 500):
        case = random_case(seed, profile)
        machine, knobs = Machine(**case.machine), as_knobs(case.knobs)
        try:
            plain, written = (
                replayed(monkeypatch, mode, case.trace, scheme, machine, knobs, sample_every=7,
                         watch=seed % 2) for mode in "01"
            )
        except PlacementError:
            continue
        assert differences(plain, written) == [], f"{profile}, seed {seed}"
    assert inline._made, "something was written"
    assert all("access__" in " ".join(made.texts) for made in inline._made.values())


def test_every_golden_example(monkeypatch):
    monkeypatch.setenv("WORKBENCH_INLINE", "1")
    for path in sorted((ROOT / "tests" / "golden").glob("*.toml")):
        found = golden.run(golden.load(path), "interpreted", books=True)
        assert not found, "\n".join(map(golden.explain, found))
    assert len(inline._made) > 20


def stores() -> dict[str, set[str]]:
    """Attributes of k that the kernel or a scheme sets while events are replayed."""
    found: dict[str, set[str]] = {}
    for folder in ("kernel", "schemes"):
        for path in sorted((ROOT / "workbench" / folder).glob("*.py")):
            for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
                stored = isinstance(node, ast.Attribute) and isinstance(node.ctx, ast.Store)
                if stored and isinstance(node.value, ast.Name) and node.value.id == "k":
                    found.setdefault(node.attr, set()).add(path.name)
    return found


def test_what_is_put_in_never_changes():
    found = stores()
    assert {"held_page", "hung", "over_high"} <= found.keys(), "the search finds what is set"
    assert not found.keys() & set(CONSTANTS), "nobody sets these while the engine runs"
    assert set(FIXED) <= set(CONSTANTS) <= set(SCALARS)


# ---- the writer, on functions made to be difficult -----------------------------------------------


def leaf(k, a):
    k.usage[k.n] = a
    k.n += 1
    return a * 2


def pure(k, a, b):
    return a + b if a < b else a - b


def early(k, a, x):
    if a < 3:
        if x:
            x = leaf(k, a)
        return x
    if a == 5:
        return leaf(k, 7)
    y = a + x
    return y


def falling(k, a):
    """Falls off its end for some."""
    if a & 2:
        return a
    k.usage[2] += a


def middle(k, a):
    """The same, and returns from between for others."""
    if a & 1:
        k.n += 1
        if a & 2:
            return 4
        k.usage[0] += a
    k.usage[1] += 1


def searching(k, a):
    for i in range(10):
        if k.usage[i] == a:
            return i
    return -1


def again(k, a):
    return again(k, a - 1) + 1 if a > 0 else leaf(k, a)


def nothing(k):
    pass


def order(k, a):
    """Reads before a call that changes what was read."""
    k.n = a & 3
    b = k.n + leaf(k, a)
    c = leaf(k, a) + k.n
    k.usage[k.n] += leaf(k, b & 7)
    d = k.usage[leaf(k, 1)] - pure(k, k.n, leaf(k, 2))
    e = k.usage[2] * 7 + bump(k)
    return b + 10 * c + 100 * d + 1000 * e


def bump(k):
    k.usage[2] += 1
    k.usage[3] += k.usage[2]
    return k.usage[3]


def names(k, a, x):
    """The same names everywhere; an argument that changes while it is used."""
    y = a
    x = early(k, y, x)
    y = early(k, x & 7, y)
    for i in range(3):
        a = pure(k, a, i)
        x = x + early(k, i, a)
        if i == 1 and leaf(k, x & 1) == 0:
            continue
        y += 1
    while y > 100:
        y -= leaf(k, 40)
    return x + y + a


def choices(k, a):
    """With what is FIXED: only one branch of each is left."""
    if k.lists == 2 and a:
        a += 1
    elif k.lists == 1:
        a += 2
    else:
        a += leaf(k, 3)
    b = a if k.cache else leaf(k, a)
    if (k.cache or a > 2) and not (k.lists > 3 or k.cache):
        b = -b
    return b if 0 <= a < 3 <= b or k.watch else ~b


def everything(k, a):
    b = early(k, a, a & 1)
    middle(k, a)
    nothing(k)
    c = a
    c = middle(k, falling(k, a) or 3)
    c = falling(k, a) if c else falling(k, a + 1)
    found = searching(k, a)
    if early(k, found & 7, 1) > 4:
        b += 1
    again(k, a & 3)
    b += names(k, a, b) + order(k, a)
    if not c:
        return b + choices(k, a)
    return leaf(k, b + c) if a & 4 else max(b, searching(k, 0))


@pytest.mark.parametrize("lists, cache", [(0, 0), (1, 0), (2, 1), (4, 1)])
def test_difficult_functions(lists, cache):
    """Values, order of writes, shadowed names, early ends, recursion: as the plain functions."""
    fixed = {"lists": lists, "cache": cache, "watch": 0}
    made = Inliner(fixed, ())
    written = made.name(everything)
    for a in range(40):
        plain, other = (SimpleNamespace(usage=[0] * 400, n=0, **fixed) for _ in range(2))
        assert made.scope[written](other, a) == everything(plain, a)
        assert vars(other) == vars(plain)
    text = made.texts[written]
    for gone in ("early", "pure", "falling", "cache"):
        assert gone not in text, text
    assert "searching__" in text, "a return from inside a loop is not written out"


def test_a_function_whose_source_is_unknown_stays_as_it_is(monkeypatch):
    made = Inliner({}, ())
    monkeypatch.setattr(sys.modules[__name__], "leaf", lambda k, a: 11)
    plain, other = (SimpleNamespace(usage=[0] * 400, n=0) for _ in range(2))
    assert made.scope[made.name(early)](other, 5, 0) == early(plain, 5, 0) == 11
    monkeypatch.setattr(inline, "LOADED", 0)  # every file has been written to since
    inline.parsed.cache_clear()
    made = Inliner({}, ())
    made.scope[made.name(early)](other, 5, 0)
    assert not made.texts
    inline.parsed.cache_clear()


# ---- when it is done -----------------------------------------------------------------------------


def long_trace(accesses: int = 6_000):
    b, rng = TraceBuilder(), random.Random(1)
    b.container("A", 40), b.file("f", 60), b.task("P", "A"), b.map("P", "f")
    for _ in range(accesses // 6):
        b.touch_read("P", "f", range(start := rng.randrange(55), start + 6))
    return b.build()


def test_short_replays_and_hooks_of_users_run_as_they_stand(monkeypatch):
    monkeypatch.delenv("WORKBENCH_INLINE", raising=False)
    k = replayed(monkeypatch, "", long_trace(600), "first_touch")
    assert not inline._accesses
    for _ in range(1, inline.WORTH // 6_000 + 1):
        replayed(monkeypatch, "", long_trace(), "first_touch")
        assert not inline._made, "not worth it yet"
    replayed(monkeypatch, "", long_trace(), "first_touch")
    assert len(inline._made) == 1
    replayed(monkeypatch, "", long_trace(), "fraction")
    assert len(inline._made) == 1, "other hooks, other texts"
    monkeypatch.setenv("WORKBENCH_INLINE", "0")
    assert chosen(k, replay.run) == (replay.run,)
    schemes.register("mine", mapped=lambda k, page, c, paid: 0)
    try:
        replayed(monkeypatch, "1", long_trace(600), "mine")
    finally:
        schemes.forget("mine")
    assert len(inline._made) == 1


def test_a_changed_function_is_written_anew(monkeypatch):
    """As long as a breakpoint, a fix or a saboteur is in the module, it is in the text."""
    trace = long_trace(600)
    before = replayed(monkeypatch, "1", trace, "first_touch")
    calls = []
    real = pages.install

    def watched(k, pte, page, flags, paid):
        calls.append(page)
        real(k, pte, page, flags, paid)

    with monkeypatch.context() as change:
        change.setattr(faults, "install", watched)
        assert differences(before, replayed(change, "1", trace, "first_touch")) == []
        assert calls
    calls.clear()
    replayed(monkeypatch, "1", trace, "first_touch")
    assert not calls
