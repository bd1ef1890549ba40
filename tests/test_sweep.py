"""Sweeps: the table asked for, whoever computes it; nothing lost or done twice after a crash."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path

import pandas as pd
import pytest

from workbench import charts, replay, scenarios, sweep
from workbench.sweeps import grid, partial
from workbench.trace import Op, Trace, TraceBuilder
from workbench.trace.deal import redeal, strands

# ---- dealing again -------------------------------------------------------------------------------


def rows(trace: Trace) -> list[tuple]:
    return [(int(o), int(t), int(p)) for o, t, p in zip(trace.op, trace.task, trace.page,
                                                        strict=True)]


def test_a_deal_keeps_every_containers_own_order():
    trace = scenarios.two_compiles(lag=5).trace
    dealt = redeal(trace, 7)
    dealt.validate()
    for c in ("A", "B"):
        mine = {t for t, task in enumerate(trace.tasks) if task.container == c}
        kept = [row for row in rows(trace) if row[1] in mine and row[0] != Op.mark]
        assert kept == [row for row in rows(dealt) if row[1] in mine]
        assert kept


def test_deals_differ_by_seed_and_only_by_seed():
    trace = scenarios.n_guests().trace
    assert rows(redeal(trace, 1)) == rows(redeal(trace, 1))
    assert len({tuple(rows(redeal(trace, seed))) for seed in range(20)}) > 15
    assert sorted(rows(redeal(trace, 3))) == sorted(r for r in rows(trace) if r[0] != Op.mark)


def test_root_acts_first_and_its_children_count_where_they_are_moved():
    trace = scenarios.gcc2().trace
    first, a, b = strands(trace)
    assert {trace.tasks[trace.task[row]].name for row in first} == {"dash.1"}
    names = [{trace.tasks[trace.task[row]].name for row in part} for part in (a, b)]
    assert {"gcc-12.2", "cc1.4"} <= names[0] | names[1] and not names[0] & names[1]
    redeal(trace, 1).validate()


def test_a_spread_of_zero_lets_all_start_together():
    b = TraceBuilder()
    for c in "AB":
        b.task(c.lower(), b.container(c))
        b.anon(f"heap{c}", 8)
    for c in "AB":
        for page in range(8):
            b.touch_write(c.lower(), f"heap{c}", page, 1)
    dealt = redeal(b.build(), 1, spread=0)
    turns = [int(t) for t in dealt.task]
    assert all(abs(turns[:n].count(0) - turns[:n].count(1)) <= 2 for n in range(len(turns)))
    with pytest.raises(ValueError, match="spread=11"):
        redeal(b.build(), 1, spread=11)


# ---- the table -----------------------------------------------------------------------------------


def test_a_sweep_says_what_single_runs_say():
    table = sweep("exit_attack", {"attackers": [1, 3], "nodes": [1, 4]},
                  ["hand_over", "dual_count"], workers=1)
    assert list(table.columns) == ["scenario", "scheme", "attackers", "nodes", "container",
                                   "metric", "value", "word", "unit"]
    for attackers in (1, 3):
        for scheme in ("hand_over", "dual_count"):
            story = scenarios.exit_attack(attackers=attackers, nodes=4)
            run = replay(story, scheme)
            mine = table[(table.attackers == attackers) & (table.nodes == 4)
                         & (table.scheme == scheme)]
            peaks = mine[mine.metric == "peak"].set_index("container").value
            assert dict(peaks) == dict(run.summary().set_index("container").peak)
            told = mine[mine.unit == "measured"]
            assert {
                row.metric: row.word or row.value for row in told.itertuples()
            } == story.measure(run.state)


def test_limits_apply_to_every_container_or_to_one():
    table = sweep("gcc2", [{"limit": "24MiB"}, {"limit": None}], ["first_touch"], workers=1)
    failcnt = table[(table.metric == "failcnt") & (table.container == "A")].value.tolist()
    assert failcnt[0] > 0 == failcnt[1]
    one = sweep("n_guests", {"limit.G1": [100, None]}, ["every_container"], workers=1)
    other = one[(one.metric == "limit")]
    assert set(other[other.container == "G1"].value) == {100.0}  # None: no row for it


@pytest.mark.parametrize(
    ("over", "said"),
    [
        ({"lagg": [1]}, "unknown axis 'lagg'; did you mean lag"),
        ({"lag": ["x"]}, "lag='x'"),
        ({"lag": []}, "no points"),
        ([{"lag": 1}, {"deal": 1}], "every point must name the same axes"),
        ({"deal": ["one"]}, "deal='one'"),
        ({"limit.A": ["3 apples"]}, "3 apples"),
        ({"cluster": [0]}, "cluster"),
    ],
)
def test_a_wrong_axis_or_value_is_told_before_anything_runs(over, said):
    with pytest.raises(ValueError, match=said):
        sweep("two_compiles", over, ["first_touch"])


def test_all_is_every_story_under_the_schemes_it_is_about(monkeypatch, tmp_path):
    some = ["exit_attack", "shared_page", "undeclared_sharing"]
    about = scenarios.schemes_of("undeclared_sharing")
    assert about and "hand_over" not in about and "fraction" in about
    monkeypatch.setattr(scenarios, "names", lambda: some)
    table = sweep("all", {"size": ["small"]}, ["hand_over", "fraction"], file=tmp_path / "a.csv")
    ran = set(zip(table["scenario"], table["scheme"], strict=True))
    assert ran == {(n, s) for n in some for s in ("hand_over", "fraction")} - {
        ("undeclared_sharing", "hand_over")}
    for story, scheme in sorted(ran):
        mine = table[(table["scenario"] == story) & (table["scheme"] == scheme)]
        alone = replay(scenarios.get(story), scheme).verdicts()
        measured = mine[mine["unit"] == "measured"]
        assert list(measured["metric"]) == [row["quantity"] for row in alone]
        met = mine[mine["metric"] == "predictions met"]["value"].item()
        assert met == sum(row["agrees"] is True for row in alone)
    with pytest.raises(ValueError, match="unknown axis 'guests'"):
        sweep("all", {"guests": [3]}, "none")


def test_wrong_names_and_files_are_told(tmp_path):
    with pytest.raises(ValueError, match="did you mean gcc2"):
        sweep("gcc22", {}, ["first_touch"])
    with pytest.raises(ValueError, match=r"\.parquet or \.csv"):
        sweep("shared_page", {}, ["first_touch"], file=tmp_path / "x.txt")
    (tmp_path / "x.csv").write_text("mine")
    with pytest.raises(ValueError, match="is there already"):
        sweep("shared_page", {}, ["first_touch"], file=tmp_path / "x.csv")
    assert (tmp_path / "x.csv").read_text() == "mine"
    (tmp_path / "y.csv.partial").write_text("not a database")
    with pytest.raises(ValueError, match="not an unfinished sweep"):
        sweep("shared_page", {}, ["first_touch"], file=tmp_path / "y.csv")


def test_a_sweep_of_a_traces_file(tmp_path):
    scenarios.shared_page().trace.save(tmp_path / "page.zip")
    table = sweep(str(tmp_path / "page.zip"), {"deal": [None, 1]}, ["first_touch"])
    assert set(table.scenario) == {"page"} and len(table)


def test_two_processes_find_what_one_finds(monkeypatch):
    monkeypatch.setattr(sys.modules["workbench.sweeps.workers"], "PATIENCE", 0.0)
    over = {"deal": [None, *range(1, 8)]}
    alone = sweep("n_guests", over, ["first_touch", "fraction"], workers=1)
    both = sweep("n_guests", over, ["first_touch", "fraction"], workers=2)
    pd.testing.assert_frame_equal(alone, both)


# ---- stopped, killed, resumed --------------------------------------------------------------------


def test_stopped_early_it_goes_on_later(tmp_path, monkeypatch):
    target, done = tmp_path / "t.csv", []
    over = {"deal": list(range(40))}
    assert sweep(
        "n_guests", over, ["first_touch"], file=target, workers=1,
        stop=lambda: len(done) > 3, progress=lambda n, _: done.append(n),
    ) is None
    assert not target.exists() and partial(target).exists()
    kept, again = done[-1], []
    module = sys.modules["workbench.sweeps.workers"]
    real = module.work
    monkeypatch.setattr(module, "work", lambda *job: again.extend(job[1]) or real(*job))
    table = sweep("n_guests", over, ["first_touch"], file=target, workers=1)
    assert 0 < kept < 40 and len(again) == 40 - kept  # nothing was computed twice
    assert target.exists() and not partial(target).exists()
    fresh = sweep("n_guests", over, ["first_touch"], workers=1)
    pd.testing.assert_frame_equal(table, fresh)


def test_a_partial_file_of_other_code_is_not_taken_over(tmp_path, monkeypatch):
    target = tmp_path / "t.csv"
    sweep("n_guests", {"deal": [1, 2, 3]}, ["none"], file=target, workers=1, stop=lambda: True)
    monkeypatch.setattr(sys.modules["workbench.sweeps"], "sources", lambda: "other code")
    with pytest.raises(ValueError, match="begun with code"):
        sweep("n_guests", {"deal": [1, 2, 3]}, ["none"], file=target, workers=1)
    assert len(sweep("n_guests", {"deal": [1]}, ["none"], file=target, workers=1, restart=True))


def test_a_killed_worker_is_trouble_and_what_is_done_is_kept(tmp_path, monkeypatch, capsys):
    """As the kernel's OOM killer does it."""
    import multiprocessing

    from workbench import cli

    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys.modules["workbench.sweeps.workers"], "PATIENCE", 0)
    words = ["sweep", "n_guests", "--over", "deal=1..16", "--scheme", "none", "-o", "t.csv",
             "--workers", "1"]

    def deadly(*args, progress, **options):
        def told(done, total):
            progress(done, total)
            for child in multiprocessing.active_children():
                child.kill()

        return sweep(*args, progress=told, **options)

    with monkeypatch.context() as patch:
        patch.setattr("workbench.sweeps.sweep", deadly)
        assert cli.main([*words[:-1], "2"]) == 3
    told = capsys.readouterr().err
    assert "a worker process was killed" in told and "kept in t.csv.partial; the same" in told
    assert cli.main(words) == 0 and not (tmp_path / "t.csv.partial").exists()


def test_a_full_disk_is_trouble(tmp_path, monkeypatch):
    module = sys.modules["workbench.sweeps"]
    real = module.Store.add

    def full(store, found):
        store.db.execute("pragma max_page_count = 4")
        real(store, [(key, rows * 1000) for key, rows in found])

    monkeypatch.setattr(module.Store, "add", full)
    with pytest.raises(OSError, match=r"cannot write .*t.csv.partial: database or disk is full"):
        sweep("n_guests", {"deal": [1, 2]}, ["none"], file=tmp_path / "t.csv", workers=1)


KILLED = """
import sys
from workbench.sweeps import sweep
if __name__ == "__main__":
    sweep("two_compiles", {"deal": list(range(60))}, ["first_touch"], file=sys.argv[1], workers=2)
"""


@pytest.mark.linux
@pytest.mark.skipif(sys.platform != "linux", reason="looks for processes in /proc")
def test_after_kill_9_nothing_is_lost_and_nobody_is_left(tmp_path):
    target, script = tmp_path / "t.csv", tmp_path / "killed_sweep.py"
    script.write_text(KILLED)
    run = subprocess.Popen([sys.executable, script, target])
    try:
        deadline = time.monotonic() + 60
        while run.poll() is None and time.monotonic() < deadline and points_in(target) < 6:
            time.sleep(0.05)
        children = [pid for pid in os.listdir("/proc") if pid.isdigit() and parent(pid) == run.pid]
    finally:
        run.send_signal(signal.SIGKILL)
        run.wait()
    kept = points_in(target)
    assert 6 <= kept < 60 and children and not target.exists()
    deadline = time.monotonic() + 20
    while any(parent(pid) is not None for pid in children) and time.monotonic() < deadline:
        time.sleep(0.05)
    assert not [pid for pid in children if parent(pid) is not None]
    seen = []
    over = {"deal": list(range(kept + 2))}
    table = sweep("two_compiles", over, ["first_touch"], file=target, workers=1,
                  progress=lambda n, total: seen.append((n, total)))
    assert seen[0][0] >= min(kept, kept + 2) - 8 and table.deal.nunique() == kept + 2


def points_in(target) -> int:
    import sqlite3

    if not partial(target).exists():
        return 0
    # the sweep holds the database; a copy can be read at any moment
    copied = target.with_name("copy.db")
    copied.write_bytes(partial(target).read_bytes())
    try:
        with sqlite3.connect(copied) as db:
            return db.execute("select count(*) from point").fetchone()[0]
    except sqlite3.DatabaseError:
        return 0


def parent(pid: str) -> int | None:
    """A process's parent; None when there is no such process, or only its zombie."""
    try:
        state, ppid = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[:2]
    except OSError:
        return None
    return None if state == "Z" else int(ppid)


# ---- a cluster -----------------------------------------------------------------------------------


@pytest.fixture
def dask_cluster(tmp_path):
    """A real scheduler and two workers on this machine, ended by their own process ids."""
    pytest.importorskip("distributed")
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    address = f"tcp://127.0.0.1:{port}"
    quiet = {"stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL, "cwd": tmp_path}
    python = [sys.executable, "-m"]
    commands = [[*python, "distributed.cli.dask_scheduler", "--host", "127.0.0.1", "--port",
                 str(port), "--no-dashboard", "--no-show"]]
    commands += [[*python, "distributed.cli.dask_worker", address, "--nthreads", "1", "--no-nanny",
                  "--no-dashboard", "--death-timeout", "60"]] * 2
    running = [subprocess.Popen(command, **quiet) for command in commands]
    try:
        from distributed import Client

        with Client(address, timeout=60, set_as_default=False) as client:
            client.wait_for_workers(2, timeout=60)
        yield address
    finally:
        for process in reversed(running):  # a worker without its scheduler would wait for it
            process.kill()
            process.wait(timeout=20)


@pytest.mark.slow
def test_a_dask_cluster_finds_what_this_process_finds(dask_cluster):
    over = {"deal": [None, *range(1, 6)]}
    there = sweep("n_guests", over, ["first_touch", "fraction"], dask=dask_cluster)
    here = sweep("n_guests", over, ["first_touch", "fraction"], workers=1)
    pd.testing.assert_frame_equal(here, there)


def test_no_cluster_there_is_told():
    pytest.importorskip("distributed")
    with pytest.raises(ValueError, match="no scheduler at"):
        sweep("n_guests", {}, ["none"], dask="tcp://127.0.0.1:9")


# ---- the chart -----------------------------------------------------------------------------------


def test_the_redeal_chart_marks_this_run_among_its_deals():
    table = sweep("n_guests", {"deal": [None, *range(1, 31)]}, ["first_touch", "every_container"],
                  workers=1)
    figure = charts.figure_of_deals(table, "peak", "G1")
    mine = table[(table.metric == "peak") & (table.container == "G1")]
    own = mine[mine.deal.isna()].set_index("scheme").value
    diamonds = [line for line in figure.axes[0].lines if line.get_marker() == "D"]
    assert [line.get_xdata()[0] for line in diamonds] == list(own)
    dots = [line for line in figure.axes[0].lines if line.get_marker() == "."]
    assert [len(line.get_xdata()) for line in dots] == [30, 30]
    assert "above" in figure.sentence and "of 30" in figure.sentence


def test_a_grid_runs_its_last_axis_fastest():
    assert grid(a=[1, 2], b="xy") == [
        {"a": 1, "b": "x"}, {"a": 1, "b": "y"}, {"a": 2, "b": "x"}, {"a": 2, "b": "y"},
    ]
