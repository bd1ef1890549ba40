"""Rules the debate left open, as options: whom to kill, who inherits, what death leaves behind.

Numbers are worked out by hand from the scenarios (X...) and rules (O...) of the debate of March
2007.
"""

import pytest

from workbench import TraceBuilder, replay, schemes


def run(b: TraceBuilder, scheme: str, **knobs):
    return replay(b.build(), scheme, engine="interpreted", cluster=4, **knobs)


def victims_of(done) -> list[str]:
    k = done.state
    return [done.trace.tasks[k.kill_victim[i]].name for i in range(k.kills)]


# ---- O12: whom the container's OOM killer takes --------------------------------------------------


def ten_thousand_mappings() -> TraceBuilder:
    """X12 (Kirill Korotaev, 13 Mar 2007): X has 10,000 pages of addresses and maps one page, Y has
    200 of its own, locked; the container is full, and a small third task wants one page more."""
    b = TraceBuilder()
    b.container("C", 202)
    b.task("x", "C", vm=10_000), b.task("y", "C"), b.task("z", "C")
    b.file("library", 1), b.anon("own", 200), b.anon("more", 2)
    b.map("x", "library"), b.touch_read("x", "library"), b.mlock("x", "library")
    b.map("y", "own"), b.touch_write("y", "own"), b.mlock("y", "own")
    b.map("z", "more"), b.mlock("z", "more", 0, 1), b.touch_write("z", "more", 1)
    return b


@pytest.mark.parametrize("score, victims", [
    ("size", ["x"]), ("charged", ["y"]), ("distinct", ["y"]),
])  # fmt: skip
def test_ten_thousand_mappings_or_two_hundred_pages(score, victims):
    """By size the one with the addresses dies; by pages the one that holds memory."""
    done = run(ten_thousand_mappings(), f"first_touch:oom_score={score}", quirks="repaired")
    assert victims_of(done) == victims
    assert done.state.kill_points[0] == {"size": 10_000}.get(score, 200)


@pytest.mark.parametrize("score, victims", [
    ("size", ["hog", "daemon"]), ("charged", ["daemon"]), ("distinct", ["hog", "daemon"]),
])  # fmt: skip
def test_a_big_mapper_that_owns_nothing(score, victims):
    """X46, second part: B pays for the 50 pages that A's hog maps. To kill it uncharges nothing."""
    b = TraceBuilder()
    b.container("A", 12), b.container("B")
    b.task("other", "B"), b.task("hog", "A"), b.task("daemon", "A"), b.task("new", "A")
    b.file("f", 50), b.anon("m", 10), b.anon("n", 3)
    b.map("other", "f"), b.touch_read("other", "f")
    b.map("hog", "f"), b.touch_read("hog", "f")
    b.map("daemon", "m"), b.mlock("daemon", "m")
    b.map("new", "n"), b.mlock("new", "n")
    done = run(b, f"first_touch:oom_score={score}", quirks="repaired")
    assert victims_of(done) == victims


@pytest.mark.parametrize("label, said", [
    ("cgroup_v2:oom_score=charged", "has its own score"),
    ("every_mapping:oom_score=distinct", "at_limit=kill_current does not"),
    ("zone:oom_score=charged", "record=none charges none"),
])  # fmt: skip
def test_where_a_score_makes_no_sense(label, said):
    with pytest.raises(ValueError, match="oom_score") as caught:
        schemes.get(label)
    assert said in str(caught.value)
