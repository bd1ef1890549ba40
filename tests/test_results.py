"""Runs, comparisons, tables and sentences, against small traces worked out by hand."""

import json
import os
from fractions import Fraction
from pathlib import Path

import pytest

from workbench import Machine, Trace, TraceBuilder, compare, replay, scenarios, schemes
from workbench.results import units
from workbench.results.export import write_files

GCC2 = Path(__file__).parents[1] / "datasets" / "gcc2.zip"
SUM_IS_MAPPED = ["first_touch", "hand_over", "beancounter", "fraction"]


def run(trace, scheme="first_touch", **options):
    return replay(trace, scheme, engine="interpreted", **options)


@pytest.fixture(scope="module")
def shared() -> Trace:
    """PA maps 4 pages of libc, QB maps 6; PA goes, then PA2 writes 2 pages of its own."""
    b = TraceBuilder()
    b.container("A", 8)
    b.container("B", 16)
    b.file("libc", 6)
    b.anon("heap", 2)
    b.task("PA", container="A")
    b.task("PA2", container="A")
    b.task("QB", container="B")
    b.touch("PA", "libc", 0, 4)
    b.touch("QB", "libc")
    b.exit("PA")
    b.touch("PA2", "heap", write=True)
    return b.build({"name": "shared"})


def outsider() -> Trace:
    """A's only task may not be killed; B's task QB has 0 points and is killed for A (OO1)."""
    b = TraceBuilder()
    b.container("A", 2)
    b.container("B")
    b.anon("heap", 4)
    b.task("QB", container="B")
    b.task("PA", container="A", oom_adj=-17)
    b.touch("PA", "heap", write=True)
    return b.build({"name": "outsider"})


def hanging(stuck: bool) -> Trace:
    b = TraceBuilder()
    b.container("A", 2)
    b.anon("heap", 4)
    if stuck:
        b.anon("more", 2)
        b.task("dead", container="A", stuck=True, vm=1000)
        b.touch("dead", "more", write=True)
    b.task("PA", container="A", oom_adj=-17)
    b.touch("PA", "heap", write=True)
    b.exit("PA")
    return b.build({"name": "hanging"})


def final(run, metric):
    table = run.table()
    rows = table[(table["metric"] == metric) & (table["time"] == len(run.trace))]
    return dict(zip(rows["container"], rows["value"], strict=True))


# who pays at the end: A, B; by hand
FINAL = {
    "none": (0, 0),
    "first_touch": (6, 2),  # 4 of libc stay with A though PA is gone
    "hand_over": (2, 6),
    "beancounter": (2, 6),
    "fraction": (2, 6),
    "every_container": (2, 6),
    "every_mapping": (2, 6),
}


@pytest.mark.parametrize("scheme", FINAL)
def test_usage_by_hand(shared, scheme):
    got = run(shared, scheme)
    assert got.usage_exact() == dict(zip(("root", "A", "B"), (0, *FINAL[scheme]), strict=True))
    assert final(got, "usage") == {c: float(x) for c, x in got.usage_exact().items()}
    assert dict(zip(got.summary()["container"], got.summary()["usage"], strict=True)) == (
        got.usage_exact()
    )


def test_columns_and_times(shared):
    table = run(shared).table()
    assert list(table) == ["scenario", "scheme", "container", "time", "metric", "value", "unit"]
    assert sorted(set(table["time"])) == list(range(1, len(shared) + 1))
    assert set(table["scenario"]) == {"shared"} and set(table["scheme"]) == {"first_touch"}
    assert set(table.loc[table["metric"] == "limit", "container"]) == {"A", "B"}  # root has none
    assert set(table.loc[table["metric"] == "failcnt", "unit"]) == {"refusals"}


@pytest.mark.parametrize("samples, times", [(1, [7]), (2, [3, 6, 7]), (3, [2, 4, 6, 7])])
def test_sampling_keeps_the_end(shared, samples, times):
    assert len(shared) == 7
    assert sorted(set(run(shared, samples=samples).table()["time"])) == times


def test_truth_and_exact_fractions():
    b = TraceBuilder()
    for name in "ABC":
        b.container(name)
        b.task(f"T{name}", container=name)
    b.file("libc", 2)
    for name in "ABC":
        b.touch(f"T{name}", "libc", 0, 1)
    b.touch("TA", "libc", 1, 1)
    got = run(b.build(), "fraction")
    third = Fraction(1, 3)
    assert got.usage_exact() == {"root": 0, "A": 1 + third, "B": third, "C": third}
    summary = run(b.build(), "first_touch").summary().set_index("container")
    assert list(summary.loc["A", ["usage", "rss", "uss"]]) == [2, 2, 1]
    assert list(summary.loc["B", ["usage", "rss", "uss"]]) == [0, 1, 0]
    assert summary.loc["B", "pss"] == pytest.approx(1 / 3)
    assert summary["usage"].dtype == int


def test_steps_owners_and_life(shared):
    got = run(shared)
    steps = got.steps()
    assert list(steps["usage A"]) == [0, 4, 4, 4, 4, 4, 6]
    assert list(steps["usage B"]) == [0, 0, 0, 2, 2, 2, 2]
    assert list(steps["owner"]) == ["", "A", "A", "A", "", "", "A"]
    assert list(got.events()["op"])[:2] == ["map", "touch_read"]
    owners = got.owners().set_index(["object", "page"])
    assert list(owners.loc["libc", "payers"]) == ["A"] * 4 + ["B"] * 2
    assert list(owners.loc["libc", "mapped_by"]) == ["B"] * 6
    life = got.life("libc", 3)
    assert list(life[life["what"] == "mapped"]["container"]) == ["A", "B"]
    assert set(run(shared, "every_container").owners(at=4)["payers"]) == {"A+B", "B", ""}
    assert set(got.owners(at=2)["payers"]) == {"A", ""}


def test_nodes_count_every_frame(shared):
    got = run(shared, machine=Machine(nodes=2, frames=64))
    nodes = got.nodes()
    last = nodes[nodes["time"] == len(shared)].groupby("kind")["frames"].sum()
    assert (last["file"], last["anon"]) == (6, 2)
    assert set(nodes["capacity"]) == {64} and set(nodes["node"]) == {0, 1}


def test_limits(shared):
    assert run(shared, limits={"A": 5}).summary()["limit"].tolist()[1:] == [5, 16]
    assert run(shared, limits={"A": "20KiB"}).summary()["limit"].tolist()[1] == 5
    free = run(shared, limits={"A": None})
    assert free.summary()["limit"].isna().tolist() == [True, True, False]
    assert shared.containers[1].limit == 8  # the trace given is left alone
    tight = run(shared, limits={"B": 1}, cluster=1).summary().set_index("container")
    assert tight.loc["B", "failcnt"] > 0 and tight.loc["B", "peak"] == 1


@pytest.mark.parametrize(
    "options, words",
    [
        ({"limits": {"AA": 5}}, ["'AA'", "did you mean A?"]),
        ({"limits": {"A": "5MB5"}}, ["5MB5", "64MiB"]),
        ({"limits": {"A": "1000b"}}, ["whole pages"]),
        ({"clutser": 4}, ["clutser", "did you mean cluster?"]),
        ({"frames": 64}, ["machine=Machine(frames=...)"]),
        ({"cluster": 0}, ["cluster", "1 to 4096"]),
        ({"samples": 0}, ["samples"]),
        ({"scheme": "first_tuch"}, ["did you mean first_touch?"]),
    ],
)
def test_errors_say_what_would_be_right(shared, options, words):
    with pytest.raises(ValueError) as caught:
        replay(shared, **({"engine": "interpreted"} | options))
    assert all(word in str(caught.value) for word in words), caught.value


def test_wrong_kinds_of_source(shared):
    with pytest.raises(TypeError, match="Scenario, a Trace"):
        run(42)
    with pytest.raises(ValueError, match="did you mean libc"):
        run(shared).life("lib", 0)
    with pytest.raises(ValueError, match="pages 0 to 5"):
        run(shared).life("libc", 6)
    with pytest.raises(ValueError, match="unknown scheme"):
        compare(shared, ["first_touch", "frist"])


@pytest.mark.parametrize(
    "text, pages", [(64, 64), ("64", 64), ("64 pages", 64), ("64MiB", 16384), ("8k", 2),
                    ("1.5 MiB", 384), ("4096B", 1), ("2g", 524288)]
)
def test_sizes(text, pages):
    assert units.pages(text) == pages
    assert units.pages(units.size(pages)) == pages


@pytest.mark.parametrize("bad", ["", "-4", -4, "4x", "4MiBB", "1.5", "3KiB", 2.0, True, None])
def test_sizes_refused(bad):
    with pytest.raises(ValueError):
        units.pages(bad)


def test_a_kill_of_an_outsider_is_told():
    got = run(outsider(), machine=Machine(swap=0))
    kills = got.oom()
    assert len(kills) >= 1
    first = kills.iloc[0]
    assert (first["container"], first["victim"], first["victim_container"]) == ("A", "QB", "B")
    assert (first["points"], first["helped"], first["usage"]) == (0, False, 2)
    told = got.explain(task="QB")
    for words in ("QB was killed", "though it had 0 points", "belongs to B, not to A",
                  "2 of 2 pages", "it did not help"):
        assert words in told, told
    summary = got.summary().set_index("container")
    assert (summary.loc["A", "kills"], summary.loc["A", "lost"]) == (1, 0)
    assert (summary.loc["B", "kills"], summary.loc["B", "lost"]) == (0, 1)
    assert list(got.oom_candidates(1)["task"]) == ["QB"]


def test_killing_whoever_asks(shared):
    got = run(shared, "every_mapping", limits={"B": 3})
    assert list(got.oom()["victim"]) == ["QB"] and got.oom()["points"].isna().all()
    assert "whoever asks above the limit is killed. QB was killed" in got.explain(task="QB")
    assert "PA was not killed; it ends at event 5" in got.explain(task="PA")


@pytest.mark.parametrize(
    "stuck, why", [(False, "no killable task is left"), (True, "the dying task dead never ends")]
)
def test_the_hang_is_told(stuck, why):
    got = run(hanging(stuck), machine=Machine(swap=0))
    at = len(got.trace) - 1
    assert got.hung and got.hang == at
    assert f"The machine hangs here: event {at} (PA touch_write heap[0-3]); {why}" in got.explain()
    assert f"the machine hangs at event {at}" in got.sentence()
    assert not run(shared_free()).hung and run(shared_free()).hang is None


def shared_free() -> Trace:
    b = TraceBuilder()
    b.task("P")
    b.anon("heap", 1)
    b.touch("P", "heap", write=True)
    return b.build()


def test_explain_a_page(shared):
    told = run(shared).explain(object="libc", page=2)
    assert "Event 2 (PA touch_read libc[0-3])" in told
    assert "A pays 1 page because nobody owned it (first touch)" in told
    assert "B mapped it; A already pays" in told
    assert "A still pays, though only B maps it" in told
    assert told.endswith("At the end libc[2] is paid for by A (1 page).")
    told = run(shared, "fraction").explain(object="libc", page=2)
    assert "A pays only 1/2 page now, before 1 page; B pays 1/2 page" in told
    assert "B pays 1 page now, before 1/2 page" in told
    b = TraceBuilder()
    b.task("P")
    b.file("libc", 2)
    b.touch("P", "libc", 0, 1)
    assert run(b.build()).explain(object="libc", page=1) == (
        "libc[1] was never mapped, read or charged."
    )


def test_explain_a_container(shared):
    told = run(shared).explain("A")
    assert "A is charged 6 pages at the end; its peak is 6; its limit is 8." in told
    assert "4 pages of libc (4 that it does not map itself)" in told
    assert "mapped by B" in told and "Event 7 (PA2 touch_write heap[0-1]): +2 pages." in told
    told = run(shared, "fraction").explain("B")
    assert "Event 5 (PA exit, an event of A's): +2 pages." in told
    with pytest.raises(ValueError, match="no container 'C'"):
        run(shared).explain("C")


def test_sentence_has_the_numbers(shared):
    assert run(shared).sentence() == (
        "shared under first_touch, 7 events: A ends at 6 pages (peak 6, limit 8) and B ends at "
        "2 pages (peak 2, limit 16); no task is killed."
    )


def test_comparison(shared):
    seen = []
    both = compare(shared, ["first_touch", "hand_over"], engine="interpreted",
                   progress=lambda done, total: seen.append((done, total)))
    assert both.schemes == ["first_touch", "hand_over"] and seen == [(7, 14), (14, 14)]
    assert both.pivot("usage").to_numpy().tolist() == [[0, 6, 2], [0, 2, 6]]
    assert both["hand_over"].usage_exact()["B"] == 6
    with pytest.raises(KeyError, match="did you mean first_touch"):
        both["first_tuch"]
    assert len(both.table()) == 2 * len(both["first_touch"].table())
    assert "root/A/B" not in both.sentence() and "first_touch 6/2; hand_over 2/6" in both.sentence()
    assert compare(shared, engine="interpreted").schemes == schemes.names()
    assert "<table" in both._repr_html_() and "first_touch" in both._repr_html_()


def test_provenance(shared):
    told = run(shared, "first_touch:lists=lru", cluster=4, limits={"A": 7}).provenance()
    assert told["scheme"] == "first_touch:lists=lru" and told["knobs_changed"] == {"cluster": 4}
    assert told["limits_given"] == {"A": 7} and told["trace"]["events"] == 7
    other = run(shared).provenance()
    assert told["trace"]["sha256"] != other["trace"]["sha256"]  # the limit is part of the trace
    assert other["trace"]["sha256"] == run(shared, "fraction").provenance()["trace"]["sha256"]
    assert str(Path.cwd()) not in json.dumps(told)


@pytest.mark.parametrize("scheme", SUM_IS_MAPPED)
def test_gcc2_charges_add_up_to_mapped_pages(scheme):
    got = run(GCC2, scheme, samples=40)
    assert got.name == "gcc2" and len(set(got.table()["time"])) in (40, 41)
    at = got.busiest()
    owners = got.owners(at)
    mapped = got.state_at(at).mapped_pages
    table = got.table()
    charged = table[(table["metric"] == "usage") & (table["time"] == at)]["value"].sum()
    assert charged == pytest.approx(mapped, abs=1e-3)
    assert ((owners["payers"] != "") == (owners["mapped_by"] != "")).all()
    assert all(usage == 0 for usage in got.usage_exact().values())  # all tasks are gone


def test_victims_are_counted_where_they_live():
    """A forked child that was moved belongs to where it moved; its sibling to the parent's."""
    b = TraceBuilder()
    b.container("A", 2)
    b.container("B", 2)
    b.anon("heap", 4)
    b.task("P", container="A")
    b.fork("P", "child")
    b.fork("P", "moved")
    b.move("moved", "B")
    b.touch("moved", "heap", write=True)
    b.touch("child", "heap", write=True)
    kills = run(b.build(), "every_mapping").oom()
    assert list(kills["victim"]) == ["moved", "child"]
    assert list(kills["victim_container"]) == list(kills["container"]) == ["B", "A"]


def test_a_limit_set_on_the_way_is_named():
    b = TraceBuilder()
    b.container("A", 100)
    b.anon("heap", 4)
    b.task("P", container="A")
    b.set_limit("A", 3)
    b.touch("P", "heap", write=True)
    got = run(b.build(), "every_mapping")
    assert "A was at its limit (3 of 3 pages)" in got.explain()
    assert got.limit_at(1, 0) == 100 and got.limit_at(1, 2) == 3


def test_in_zones_the_holder_of_the_frame_pays(shared):
    got = run(shared, "zone", limits={"A": 40, "B": 40})
    owners = got.owners(at=4).set_index(["object", "page"])["payers"]
    assert list(owners.loc["libc"]) == ["A"] * 4 + ["B"] * 2 and set(owners.loc["heap"]) == {""}
    assert set(got.nodes()["zone"]) == {"root", "A", "B"}


def test_both_engines_tell_the_same():
    pytest.importorskip("numba")
    one, other = (replay(GCC2, "fraction", engine=e, samples=20, limits={"A": 6000})
                  for e in ("interpreted", "compiled"))
    assert one.table().equals(other.table()) and one.summary().equals(other.summary())
    assert one.sentence() == other.sentence() and one.provenance() == other.provenance()
    assert one.owners(3000).equals(other.owners(3000)) and one.nodes().equals(other.nodes())


def test_costs_are_counts_times_the_published_table():
    trace = TraceBuilder()
    trace.task("t", trace.container("A"))
    trace.file("f", 3)
    trace.touch_read("t", "f")
    cheap = Machine(costs_ns={"major_faults": 2_000_000, "minor_faults": 1})
    costs = replay(trace.build(), "none", machine=cheap, engine="interpreted").costs()
    costs = costs.set_index("step")
    assert costs.loc["major_faults", "count"] == 3
    assert costs.loc["total", "ms"] == costs.loc["major_faults", "ms"] == 6.0


def test_dual_count_shows_both_numbers():
    """Full counts for the limit, fractions for the bill (Ethan Solomita, 28 Mar 2007)."""
    b = TraceBuilder()
    b.container("A"), b.container("B"), b.file("f", 12), b.task("P", "A"), b.task("Q", "B")
    for task in "PQ":
        b.map(task, "f"), b.touch_read(task, "f")
    result = compare(b.build(), ["dual_count", "first_touch"], engine="interpreted")
    rows = result.summary().set_index(["scheme", "container"])
    assert rows.loc[("dual_count", "A"), ["usage", "bill"]].tolist() == [12, 6]
    assert rows.loc[("dual_count", "B"), ["usage", "bill"]].tolist() == [12, 6]
    assert rows.loc["first_touch"]["bill"].isna().all(), "which has no bill"
    assert "bill" not in result["first_touch"].summary()
    bills = result["dual_count"].table().query("metric == 'bill' and container == 'A'")
    assert bills["value"].iloc[-1] == 6 and set(bills["unit"]) == {"pages"}
    assert "bill" not in set(result["first_touch"].table()["metric"])


@pytest.mark.skipif(not os.path.ismount("/dev/shm"), reason="no file system at /dev/shm")
def test_files_go_into_a_folder_that_is_a_file_system_of_its_own():
    name = f"workbench-test-{os.getpid()}.txt"
    try:
        assert write_files("/dev/shm", {name: b"here"})[0].read_bytes() == b"here"
    finally:
        Path("/dev/shm", name).unlink(missing_ok=True)


def test_values_of_the_wrong_type_are_told_what_is_right():
    story = scenarios.shared_page()
    for call, told in (
        (lambda: replay(story, limits=["A", 5]), "a dict is needed"),
        (lambda: replay(story, machine=4), r"such as Machine\(nodes=4\)"),
        (lambda: replay(story, samples="x"), "samples='x': a whole number"),
        (lambda: replay(story, samples=2.5), "samples=2.5: a whole number"),
        (lambda: compare(story, 5), "schemes=5: a list of names"),
        (lambda: replay(story).explain(object="libc", page="x"), "pages 0 to 0, not 'x'"),
    ):
        with pytest.raises((TypeError, ValueError), match=told):
            call()
