"""Prediction against a real kernel: this machine's where it allows that, captures anywhere."""
import ctypes
import os
import shutil
import signal
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path

import pytest

from workbench import TraceBuilder, live
from workbench.live import hosts, ledger, stories
from workbench.live.plan import write_plan

try:
    HOST = live.HOSTS["live"]()
    WHY = ""
except live.Unavailable as problem:
    HOST, WHY = None, str(problem)
on_kernel = pytest.mark.skipif(HOST is None, reason=f"no live kernel: {WHY}")
try:
    UML, WHY_NOT_UML = live.HOSTS["uml"](), ""
except live.Unavailable as problem:
    UML, WHY_NOT_UML = None, str(problem)
on_uml = pytest.mark.skipif(UML is None, reason=f"no guest: {WHY_NOT_UML}")
GOLDEN = live.golden()
UNLIMITED = [n for n, story in stories.all_stories().items() if not live.has_limits(story())]


def commands() -> dict[str, bytes]:
    """Process number -> command line, of everybody."""
    found = {}
    for path in Path("/proc").glob("[0-9]*/cmdline"):
        try:
            found[path.parent.name] = path.read_bytes()
        except OSError:
            continue
    return found


def someone_elses(pid: str) -> bool:
    """Is that process below another run of the workbench, which is at work beside this test?"""
    told = commands()
    while pid in told and pid not in ("0", "1", str(os.getpid())):
        if b"workbench\0validate" in told[pid]:
            return True
        try:
            pid = Path("/proc", pid, "stat").read_text().rpartition(")")[2].split()[1]
        except OSError:
            return False
    return False


def left_behind() -> list[str]:
    """Groups, files and processes of this test, or of the dead, that are still there."""
    made = list(hosts.disk_folder().glob(hosts.PREFIX + "*"))
    if HOST:
        for groups in filter(None, (HOST.groups, HOST.pids)):
            made += groups.glob(hosts.PREFIX + "*")
    swaps = Path("/proc/swaps").read_text().splitlines()[1:]
    made += [Path(line.split()[0]).parent for line in swaps if hosts.PREFIX in line]
    owners = {path: path.name.removeprefix(hosts.PREFIX).partition("-")[0] for path in made}
    found = [
        str(path) for path, pid in owners.items()
        if pid == str(os.getpid()) or not Path("/proc", pid).exists()
    ]
    ours = (b"/workbench/agent-", b"uml_dir=")
    return found + [
        f"{pid} {text}" for pid, text in commands().items()
        if (text.startswith(b"agent\0") or any(word in text for word in ours))
        and not someone_elses(pid)
    ]


def gone_within(seconds: float) -> list[str]:
    """What is still there after so long; asked again and again until nothing is."""
    end = time.monotonic() + seconds
    while (found := left_behind()) and time.monotonic() < end:
        time.sleep(0.05)
    return found


# ---- the plan ------------------------------------------------------------------------------------


def lines(b: TraceBuilder) -> list[str]:
    return [line for line in write_plan(b.build()).splitlines() if line.startswith("do")]


def test_a_plan_maps_what_is_not_mapped_yet():
    b = TraceBuilder()
    b.task("a", b.container("A"))
    b.file("f", 10)
    b.map("a", "f", 2, 3)
    b.map("a", "f")
    assert lines(b) == ["do 0 map 0 0 2 3 0", "do 1 map 0 0 0 2 0", "do 1 map 0 0 5 5 0"]


def test_a_plan_frees_nameless_shared_memory_with_its_last_mapping():
    b = TraceBuilder()
    for task in "ab":
        b.task(task, b.container(task.upper()))
    b.shm("s", 4)
    b.touch("a", "s")
    b.touch("b", "s")
    b.unmap("a", "s")
    b.exit("b")
    assert [line for line in lines(b) if "forget" in line] == ["do 5 forget -1 0"]


def test_a_plan_drops_around_what_was_written():
    b = TraceBuilder()
    b.task("a", b.container("A"))
    b.file("f", 10)
    b.write("a", "f", 3, 2)
    b.drop_caches()
    assert lines(b)[1:] == ["do 1 drop -1 0 0 3", "do 1 drop -1 0 5 5"]


@pytest.mark.parametrize("op, arguments, why", [
    ("io_error", ("f", 0), "no real disk"),
    ("migrate", ("a", 0), "moved between nodes"),
    ("set_limit", ("A", "12xx"), "neither a plain limit"),
    ("set_limit", ("A", "1", "memory.swappiness"), "nor a plain number to memory.oom_control"),
    ("map", ("a", "f", 0, 2, True), "mapped anew"),
])
def test_what_a_kernel_cannot_be_told_is_refused_by_name(op, arguments, why):
    b = TraceBuilder()
    b.task("a", b.container("A"))
    b.file("f", 10)
    b.map("a", "f")
    getattr(b, op)(*arguments)
    with pytest.raises(live.Inexpressible, match=f"event 2.*{why}"):
        write_plan(b.build())


# ---- the third opinion ---------------------------------------------------------------------------


@pytest.mark.parametrize("seed", range(6))
def test_engine_and_ledger_agree_on_random_traces(seed):
    trace = live.random_trace(300, 1000 + seed)
    assert live.forecast(trace, "cgroup_v1").usage == live.forecast(trace, live.LEDGER).usage


@pytest.mark.parametrize("name", UNLIMITED)
def test_engine_and_ledger_agree_on_stories(name):
    trace = stories.all_stories()[name]()
    assert live.forecast(trace, "cgroup_v1").usage == live.forecast(trace, live.LEDGER).usage


def test_random_traces_have_everything_in_them():
    from workbench.trace import Op

    found = {Op(op).name for seed in range(4) for op in live.random_trace(1000, seed).op}
    unused = {"open", "close", "mkdir", "rmdir", "set_limit", "run_on", "migrate", "age", "mark"}
    assert found == {op.name for op in Op} - unused - {"io_error"}


# ---- captures ------------------------------------------------------------------------------------


@pytest.mark.parametrize("capture", GOLDEN, ids=lambda c: f"{c.name}-{c.host}")
def test_golden(capture):
    """Every number a kernel gave, when it was asked, is the one predicted now."""
    for row in live.compared(capture):
        assert row.compared and not row.wrong, row.first


def test_golden_captures_cover_every_story_and_the_recording():
    assert {c.name for c in GOLDEN} >= {*stories.all_stories(), "gcc2", "random 0"}


def capture_of(name: str) -> live.Capture:
    return next(c for c in GOLDEN if c.name == name)


def test_a_capture_is_read_back_as_it_was_saved(tmp_path):
    for name in ("random 0", "removed_group"):
        capture = capture_of(name)
        capture.save(tmp_path / "x.zip")
        again = live.Capture.load(tmp_path / "x.zip")
        assert vars(again) | {"trace": 0} == vars(capture) | {"trace": 0}
        first = (tmp_path / "x.zip").read_bytes()
        again.save(tmp_path / "x.zip")
        assert (tmp_path / "x.zip").read_bytes() == first


def test_a_wrong_number_is_found_and_explained():
    capture = capture_of("moved_task")
    usage = [list(row) for row in capture.usage]
    usage[6][2] += 1
    rows = live.compared(replace(capture, usage=usage))
    row = next(row for row in rows if row.what == "usage under cgroup_v1")
    assert row.wrong == 1
    assert "event 7, a touch_write h[30-49]: B has 21 pages charged, 20 predicted" in row.first


@pytest.mark.parametrize("name", ["limit_on_tasks", "waiting_at_the_limit"])
def test_a_refusal_that_did_not_happen_is_found(name):
    capture = capture_of(name)
    wrong = replace(capture, refused=[*capture.refused[1:], (0, 11)])
    row = next(row for row in live.compared(wrong) if row.what == "refused under cgroup_v1")
    assert row.wrong == 2 and "event 1" in row.first and "by the kernel alone" in row.first


def test_another_rule_is_refuted():
    """The patchset uncharges at the last unmapping; today's kernel does not."""
    rows = live.compared(capture_of("unmapped_stays"), "first_touch")
    assert next(row for row in rows if row.what == "usage under first_touch").wrong


def test_a_file_that_is_no_capture(tmp_path):
    (tmp_path / "x.zip").write_text("PK?")
    with pytest.raises(live.CaptureError, match=r"x\.zip: not a capture"):
        live.Capture.load(tmp_path / "x.zip")


@pytest.mark.parametrize("log, why", [
    ("kernel 6\nerror 4 cannot make the group\n", "gave up at event 5: cannot make the group"),
    ("kernel 6\ncgroup 1\n", "breaks off"),
])
def test_a_log_that_breaks_off(log, why):
    from workbench.live.capture import from_log

    with pytest.raises(live.CaptureError, match=why):
        from_log(log, "x", "live", stories.zero_page())


def test_no_compiler(monkeypatch, tmp_path):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.delenv("CC", raising=False)
    with pytest.raises(live.Unavailable, match="no C compiler"):
        hosts.agent()


# ---- this machine's kernel -----------------------------------------------------------------------


@on_kernel
@pytest.mark.live
@pytest.mark.parametrize("name", [*stories.all_stories(), "random", "shared_page"])
def test_live(name):
    result = live.validate(name, "live", events=1000 if name == "random" else 0)
    assert result, list(result.differences())
    assert result.compared > 10
    assert not left_behind()


@on_kernel
@pytest.mark.live
def test_live_refutes_another_rule():
    """The comparison can fail: the patchset's rule is not this kernel's."""
    result = live.validate("unmapped_stays", "live", scheme="first_touch")
    assert not result and any("event" in text for text in result.differences())


def running(events: int = 20000, *options: str) -> subprocess.Popen:
    """`workbench validate` in a process of its own, once its tasks are at work."""
    started = subprocess.Popen(
        [sys.executable, "-m", "workbench", "validate", "--events", str(events), *options],
        stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
    )
    end = time.monotonic() + 30
    while time.monotonic() < end:
        mine = HOST.groups.glob(f"{hosts.PREFIX}{started.pid}-*/g1/cgroup.procs")
        if any(path.read_text() for path in mine):
            return started
        time.sleep(0.005)
    started.kill()
    raise AssertionError("it did not start")


def runner_of(pid: int) -> int:
    children = Path(f"/proc/{pid}/task/{pid}/children").read_text().split()
    return next(int(c) for c in children if b"agent-" in Path(f"/proc/{c}/cmdline").read_bytes())


def swapping() -> tuple[str, ...]:
    """The option that makes a swap area, where this user may make one."""
    return ("--swap",) if HOST.version == 1 and os.geteuid() == 0 else ()


@on_kernel
@pytest.mark.live
@pytest.mark.parametrize("name", stories.SWAPPING)
def test_live_with_swap(name):
    """Whoever is swapped out, memory and swap together are exact."""
    if not swapping():
        pytest.skip("a swap area needs root, and groups of version 1 to count it")
    with pytest.raises(live.Unavailable, match="needs a swap area"):
        live.validate(name, "live")
    result = live.validate(name, "live", swap=True)
    assert result, list(result.differences())
    row = next(row for row in result.rows if row.what == "usage with swap under cgroup_v1")
    assert row.compared >= 5 and not left_behind()


@on_kernel
@pytest.mark.live
@pytest.mark.parametrize("how", ["coordinator", "runner", "ctrl-c"])
def test_nothing_is_left_behind(how):
    started = running(20000, *swapping())
    try:
        if how == "runner":
            os.kill(runner_of(started.pid), signal.SIGKILL)
        else:
            started.send_signal(signal.SIGKILL if how == "coordinator" else signal.SIGINT)
        started.wait(30)
    finally:
        started.kill()
        started.wait()
    assert gone_within(10) == []


@on_kernel
@pytest.mark.live
def test_a_task_whose_runner_was_gone_before_it_looked_ends():
    """A runner killed just after it forked a task cannot be heard of: one such task once stayed."""
    memory = os.memfd_create("mailboxes")
    try:
        os.ftruncate(memory, 1 << 20)
        os.dup2(memory, 200)  # MAILBOXES, where a runner leaves it
        gone = str(os.getpid() + 1)  # not our number: the runner's, which is not our parent
        task = subprocess.Popen([HOST.agent, "task", "0", gone], pass_fds=(200,))
        assert task.wait(10) == 9
    finally:
        os.close(memory)
        os.close(200)
        task.kill()


@on_uml
@pytest.mark.parametrize("name", ["shared_tmpfs", "oom_largest"])
def test_user_mode_linux(name):
    result = live.validate(name, "uml")
    assert result, list(result.differences())
    assert result.compared > 10 and result.captures[0].kernel
    assert not left_behind()


@on_uml
@pytest.mark.parametrize("how", [signal.SIGKILL, signal.SIGINT])
def test_no_guest_is_left_behind(how):
    started = subprocess.Popen(
        [sys.executable, "-m", "workbench", "validate", "random", "--host", "uml"],
        stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
    )
    try:
        end = time.monotonic() + 30
        while time.monotonic() < end and b"uml_dir=" not in b"".join(commands().values()):
            time.sleep(0.02)
        assert started.poll() is None
        started.send_signal(how)
        started.wait(30)
    finally:
        started.kill()
        started.wait()
    assert gone_within(10) == []


@on_kernel
@pytest.mark.live
def test_leftovers_of_dead_runs_are_removed_by_the_next():
    """Runner, sweeper and coordinator may all be killed at once; the next run cleans up."""
    dead = subprocess.Popen(["true"])
    dead.wait()
    group = HOST.groups / f"{hosts.PREFIX}{dead.pid}-abc"
    folder = hosts.disk_folder() / group.name
    (group / "g0").mkdir(parents=True)
    folder.mkdir()
    (folder / "o0").write_text("x")
    if swapping():  # an area that nobody is left to switch off
        area = folder / "swap"
        area.write_bytes(bytes(64 * 4096))
        area.chmod(0o600)
        subprocess.run(["mkswap", area], check=True, capture_output=True)
        assert ctypes.CDLL(None).swapon(os.fsencode(area), 0) == 0
    sleeper = subprocess.Popen(["sleep", "60"])
    (group / "g0" / "cgroup.procs").write_text(str(sleeper.pid))
    try:
        assert set(live.clean()) >= {str(group), str(folder)}
        assert sleeper.wait(5) == -signal.SIGKILL
    finally:
        sleeper.kill()
        shutil.rmtree(folder, ignore_errors=True)
        hosts.remove_group(group)
    assert not left_behind()


def test_ledger_knows_the_rules_it_is_asked_about():
    """Hand-computed: a private write takes the cache's frame and a copy; exit leaves the cache."""
    b = TraceBuilder()
    b.task("a", b.container("A"))
    b.file("f", 4)
    b.map("a", "f")
    b.touch_write("a", "f", 0, 2)
    b.exit("a")
    books = ledger.Ledger(b.build())
    assert [books.after(n)[1] for n in range(3)] == [0, 4, 2]


# ---- prediction and measurement on one chart -----------------------------------------------------


@pytest.fixture(scope="module")
def shown():
    return live.validate(["shared_mapping", "oom_first_comer", "near_the_limit", "fake_numa"],
                         "golden")


@pytest.mark.parametrize("name, what, words", [
    ("shared_mapping", "usage", "all 18 numbers are as predicted; A ends at 10; B ends at 5."),
    ("oom_first_comer", "usage", "Killed on Linux 6.18.44: early at event 9."),
    ("near_the_limit", "failcnt", "A ends at 63."),
    ("fake_numa", "nodes", "B on node 2 ends at 100; B on node 3 ends at 350."),
])
def test_chart_of_prediction_and_measurement(shown, name, what, words):
    chart = shown.plot(name, what)
    assert words in chart.sentence
    assert {*chart.data["scheme"]} >= {"zone" if what == "nodes" else "cgroup_v1"}
    assert len(chart.axes[0].lines) >= 2


def test_a_chart_tells_a_difference():
    from workbench.charts import describe_beside

    capture = capture_of("shared_mapping")
    wrong = live.Agreement(captures=[capture], scheme="first_touch").plot("shared_mapping")
    assert "3 of 18 numbers differ, the first at event 5" in wrong.sentence
    assert describe_beside(wrong.data) == wrong.sentence


@pytest.mark.parametrize("name, what, why", [
    ("shared_maping", "usage", "did you mean shared_mapping"),
    ("shared_mapping", "nodes", "NUMA nodes"),
])
def test_no_chart_of_what_was_not_captured(shown, name, what, why):
    with pytest.raises(ValueError, match=why):
        shown.plot(name, what)


# ---- the command line ----------------------------------------------------------------------------


def run_command(capsys, *words: str) -> tuple[int, str, str]:
    from workbench.cli import main

    code = main(["validate", *words])
    said = capsys.readouterr()
    return code, said.out, said.err


def test_command(capsys):
    code, out, _ = run_command(capsys, "zero_page", "--host", "golden")
    assert code == 0 and "0 wrong" in out and "usage under cgroup_v1" in out


def test_command_finds_a_difference(capsys):
    code, out, _ = run_command(capsys, "unmapped_stays", "--host", "golden", "--scheme",
                               "first_touch")
    assert code == 1 and "first difference: usage under first_touch: unmapped_stays, event 9" in out


@pytest.mark.parametrize("words, why", [
    (("zero_pag", "--host", "golden"), "did you mean zero_page?"),
    (("zero_pag",), "did you mean zero_page?"),
    (("--host", "liv"), "did you mean live?"),
    (("zero_page", "--host", "golden", "--scheme", "cgroup_v3"), "did you mean cgroup_v"),
])
def test_command_explains_mistakes(capsys, words, why):
    code, out, err = run_command(capsys, *words)
    assert (code, out) == (2, "") and why in err


def test_command_without_a_host(capsys, monkeypatch):
    monkeypatch.setenv("PATH", "")
    code, _, err = run_command(capsys, "zero_page", "--host", "qemu")
    assert code == 3 and "apt install qemu-system-x86" in err
