"""Every combination of parts replays with its books in order, or is refused with a reason."""

import itertools

import pytest
from strategies import random_case
from test_twin import as_knobs

from workbench import schemes
from workbench.kernel import Machine, check, stepped
from workbench.schemes.parts import CHOICES, FIXED, REFUSALS, Parts

OPTIONS = [part for part in CHOICES if part not in FIXED]
MOST = 24  # combinations replayed of a scheme
CASES = [random_case(20, profile) for profile in ("reclaim", "moves", "swap")]


def combinations(name: str):
    """Every choice of every part: as a scheme, or as the reason why not."""
    for choice in itertools.product(*(CHOICES[part] for part in OPTIONS)):
        chosen = dict(zip(OPTIONS, choice, strict=True))
        try:
            yield chosen, schemes.combine(name, **chosen)
        except ValueError as problem:
            yield chosen, str(problem)


@pytest.mark.parametrize("name", schemes.names())
def test_every_combination_replays_or_says_why_not(name):
    """What keeps the books in order is looked at now and then and at the end of each trace.

    About MOST combinations a scheme, spread over all there are; choices only multiply.
    """
    replayed = refused = 0
    possible = [found for _, found in combinations(name) if not isinstance(found, str)]
    taken = possible[:: len(possible) // MOST + 1]
    for n, (chosen, found) in enumerate(combinations(name)):
        if isinstance(found, str):
            assert found.startswith(f"scheme {name}: ") and any(
                f"{p}={chosen.get(p)}" in found for p in OPTIONS
            )
            refused += 1
            continue
        if found not in taken:
            continue
        case = CASES[n % len(CASES)]
        for i, k in enumerate(
            stepped(
                case.trace,
                found,
                Machine(**case.machine | {"frames": 1 << 15}),
                as_knobs(case.knobs),
                engine="interpreted",
            )
        ):
            if i % 50 == 0:
                check(k)
        check(k)
        replayed += 1
    assert replayed >= 2 and refused >= 2


@pytest.mark.parametrize("rule", REFUSALS, ids=lambda rule: rule.why[:30])
def test_every_refusal_is_needed(rule):
    """Some combination is refused by this rule alone."""

    def others(parts):
        return any(other.when(parts) for other in REFUSALS if other is not rule)

    for choice in itertools.product(*CHOICES.values()):
        parts = object.__new__(Parts)  # unchecked
        for part, value in zip(CHOICES, choice, strict=True):
            object.__setattr__(parts, part, value)
        if rule.when(parts) and not others(parts):
            return
    pytest.fail(f"nothing is refused by it alone: {rule.why}")


def test_unmapping_own_mappings_changes_who_suffers():
    """debate.md O2: the same charge rule, another scope of unmapping, another neighbour's fate."""
    from workbench import TraceBuilder, replay

    b = TraceBuilder()
    b.container("A", 20), b.container("B")
    b.task("a", "A"), b.task("b", "B")
    b.file("f", 20), b.anon("m", 10)
    for task in "ab":
        b.map(task, "f"), b.touch_read(task, "f")
    b.age(), b.map("a", "m")
    b.age(), b.touch_write("a", "m")
    rss = {}
    for label in ("first_touch", "first_touch:reclaim=unmap_own:references=own"):
        run = replay(b.build(), label, engine="interpreted", cluster=4)
        rss[label] = [int(x) for x in run.truth()[0]]
    assert rss["first_touch"][2] < 20, "freed for everybody: B loses pages"
    assert rss["first_touch:reclaim=unmap_own:references=own"][2] == 20, "only A's mappings go"


def test_labels_and_mistakes():
    scheme = schemes.get("first_touch:references=own:lists=lru")
    assert scheme.label == "first_touch:lists=lru:references=own"
    assert schemes.get(scheme.label) == scheme
    assert schemes.get("first_touch:lists=fifo") == schemes.get("first_touch")
    assert schemes.combine(scheme, lists="fifo").label == "first_touch:references=own"
    for label, said in (
        ("first_touch:list=lru", "unknown option 'list'; did you mean lists?"),
        ("first_touch:record=pair", "unknown option 'record'; it is the charge rule's own"),
        ("first_touch:lists", "'lists'; part=choice is expected"),
        ("first_touch:lists=lifo", "lists='lifo' is not one of none, fifo, lru, global"),
        ("fraction:move=stay", "the books would drift"),
        ("none:reclaim=free", "scans a list"),
    ):
        with pytest.raises(ValueError, match="scheme") as caught:
            schemes.get(label)
        assert said in str(caught.value)
