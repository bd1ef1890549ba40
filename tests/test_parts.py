"""Every combination of parts replays with its books in order, or is refused with a reason."""

import itertools

import pytest
from strategies import random_case
from test_twin import as_knobs

from workbench import schemes
from workbench.kernel import Machine, check, stepped
from workbench.schemes.parts import CHOICES, FIXED, REFUSALS, Parts

OPTIONS = [part for part in CHOICES if part not in FIXED]
CASES = [random_case(20, profile) for profile in ("reclaim", "moves", "swap")]


NAMED = ("lists", "reclaim", "at_limit", "move", "death")  # those that issue 3 asks for by name


def choices(usual: dict[str, str], everything: bool):
    """Every combination of the parts named, and of any two parts; or of all parts."""
    if everything:
        groups = [OPTIONS]
    else:
        groups = [[p for p in NAMED if p in OPTIONS], *itertools.combinations(OPTIONS, 2)]
    for group in groups:
        for choice in itertools.product(*(CHOICES[part] for part in group)):
            yield usual | dict(zip(group, choice, strict=True))


def combinations(name: str, everything: bool = False):
    """Choices of parts: as a scheme, or as the reason why not."""
    usual = schemes.get(name)
    for chosen in choices({part: getattr(usual.parts, part) for part in OPTIONS}, everything):
        try:
            yield chosen, schemes.combine(usual, **chosen)
        except ValueError as problem:
            yield chosen, str(problem)


def pairs(chosen: dict[str, str]) -> set:
    return set(itertools.combinations(chosen.items(), 2))


def keeps_its_books(scheme, case) -> None:
    """What keeps the books in order is looked at now and then and at the end of the trace."""
    machine = Machine(**case.machine | {"frames": 1 << 15})
    for i, k in enumerate(
        stepped(case.trace, scheme, machine, as_knobs(case.knobs), engine="interpreted")
    ):
        if i % 50 == 0:
            check(k)
    check(k)


def walk(name: str, everything: bool) -> tuple[int, int]:
    """Combinations replayed and refused; of `choices`, as many as show every pair of them."""
    replayed = refused = 0
    seen: set = set()
    for chosen, found in combinations(name, everything):
        if isinstance(found, str):
            assert found.startswith(f"scheme {name}: ") and "=" in found
            refused += 1
        elif everything or not pairs(chosen) <= seen:
            seen |= pairs(chosen)
            keeps_its_books(found, CASES[replayed % len(CASES)])
            replayed += 1
    return replayed, refused


@pytest.mark.parametrize("name", schemes.names())
def test_every_combination_replays_or_says_why_not(name):
    """Accepted or refused with a reason; of those accepted, as many are replayed as show every pair
    of choices (`python -m tests.test_parts` walks and replays them all)."""
    replayed, refused = walk(name, False)
    assert replayed >= 2 and refused >= 2


@pytest.mark.parametrize("rule", REFUSALS, ids=lambda rule: rule.why[:30])
def test_every_refusal_is_needed(rule):
    """Some combination is refused by this rule alone: found by changing up to two parts of a
    scheme that exists."""

    def others(parts):
        return any(other.when(parts) for other in REFUSALS if other is not rule)

    for name in schemes.names():
        usual = vars(schemes.get(name).parts)
        for one, two in itertools.combinations(CHOICES, 2):
            for chosen in itertools.product(CHOICES[one], CHOICES[two]):
                parts = object.__new__(Parts)  # unchecked
                vars(parts).update(usual | dict(zip((one, two), chosen, strict=True)))
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
        ("first_touch:lists=lifo", "lists='lifo' is not one of none, fifo, lru"),
        ("fraction:move=stay", "the books would drift"),
        ("none:reclaim=free", "scans a list"),
    ):
        with pytest.raises(ValueError, match="scheme") as caught:
            schemes.get(label)
        assert said in str(caught.value)


if __name__ == "__main__":
    for name in schemes.names():
        replayed, refused = walk(name, True)
        print(f"{name}: {replayed} replayed, {refused} refused", flush=True)
