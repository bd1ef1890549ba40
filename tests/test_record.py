"""Recording real programs: the trace replays, and the program notices nothing (Linux only)."""

import contextlib
import os
import shutil
import signal
import struct
import subprocess
import sys
import tempfile
import textwrap
import time
from collections import Counter
from pathlib import Path

import pytest

from workbench.trace import Op, Trace
from workbench.trace.summary import TOUCHES, pages_used

ROOT = Path(__file__).parents[1]
pytestmark = [
    pytest.mark.linux,
    pytest.mark.skipif(sys.platform != "linux", reason="recording needs Linux"),
]
PYTHON = os.path.realpath(sys.executable)


def recorded(tmp_path, *command, options=(), code=0, **how):
    """Run `workbench record`; returns (its process, the trace)."""
    out = tmp_path / "out.zip"
    done = subprocess.run(
        [sys.executable, "-m", "workbench", "record", "-o", out, *options, "--", *command],
        cwd=ROOT, capture_output=True, text=True, timeout=60, **how,
    )
    if done.returncode == 3 and "refused here" in done.stderr:
        pytest.skip(done.stderr)
    assert done.returncode == code, done.stderr
    return done, Trace.load(out)


def program(tmp_path, text):
    """A Python program to record: its command."""
    file = tmp_path / "program.py"
    file.write_text(textwrap.dedent(text))
    return PYTHON, "-S", str(file)


def pages(trace, ops, task, kind):
    """Distinct (object, page) of one task's touches."""
    return {
        (target, p)
        for op, who, target, page, count in zip(
            trace.op, trace.task, trace.target, trace.page, trace.count, strict=True)
        if op in ops and who == task and trace.objects[target].kind == kind
        for p in range(page, page + count)
    }


def state(pid):
    """The state letter of a process, "" when it is gone."""
    with contextlib.suppress(OSError):
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
    return ""


def wait_until(true, seconds=10):
    end = time.monotonic() + seconds
    while not true() and time.monotonic() < end:
        time.sleep(0.02)
    return true()


def off(trace):
    """Skip where this kernel cannot switch fault-around off."""
    around = trace.header["provenance"]["fault_around"]
    if around != "off":
        pytest.skip(f"fault-around is {around}")
    return trace


def test_a_real_program_replays_under_every_scheme(tmp_path):
    from workbench.results import compare

    _, trace = recorded(tmp_path, "/bin/true")
    assert trace.header["provenance"]["lost_events"] == 0
    ops = Counter(map(Op, trace.op))
    assert ops[Op.exit] == ops[Op.reap] == len(trace.tasks) == 1
    assert trace.tasks[0].container == "A"
    files = {o.path.rpartition("/")[2] for o in trace.objects if o.kind == "file"}
    assert "true" in files and any(name.startswith("ld") for name in files)
    result = compare(trace, engine="interpreted")
    touched = len(pages_used(trace, TOUCHES)[1])
    for run in result.runs:
        if run.scheme.name in ("first_touch", "every_container", "fraction"):
            peak = {row[0]: row for row in run.summary().itertuples(index=False)}["A"].peak
            assert 0.9 * touched < peak <= touched + 20, run.scheme.name


def test_output_exit_code_and_descriptors_are_the_programs_own(tmp_path):
    command = program(tmp_path, """
        import os, sys
        print("out", sorted(map(int, os.listdir("/proc/self/fd")))[:-1], sys.stdin.read())
        print("err", os.environ["MARK"], file=sys.stderr)
        sys.exit(7)
    """)
    environ = os.environ | {"MARK": "x"}
    alone = subprocess.run(command, capture_output=True, text=True, input="in", env=environ)
    done, trace = recorded(tmp_path, *command, code=7, input="in", env=environ)
    assert alone.returncode == 7 and done.stdout == alone.stdout
    assert alone.stderr in done.stderr
    assert "slow-down at least" in done.stderr and " lost;" in done.stderr
    assert trace.header["provenance"]["complete"]


def test_a_program_that_crashes(tmp_path):
    command = program(tmp_path, "import os; os.kill(os.getpid(), 11)")
    _, trace = recorded(tmp_path, *command, code=128 + 11)
    assert Op(trace.op[-1]) == Op.reap and len(trace) > 50


def test_a_static_program_of_a_hundred_bytes(tmp_path):
    code = b"\xbf\x03\0\0\0\xb8\x3c\0\0\0\x0f\x05"  # exit(3)
    if os.uname().machine != "x86_64":
        pytest.skip("machine code of x86-64")
    size = 120 + len(code)
    head = struct.pack("<16sHHIQQQIHHHHHH", b"\x7fELF\2\1\1", 2, 62, 1, 0x400000 + 120, 64, 0, 0,
                       64, 56, 1, 0, 0, 0)
    load = struct.pack("<IIQQQQQQ", 1, 5, 0, 0x400000, 0x400000, size, size, 4096)
    file = tmp_path / "static"
    file.write_bytes(head + load + code)
    file.chmod(0o755)
    _, trace = recorded(tmp_path, file, code=3)
    assert [(o.path, o.pages) for o in trace.objects if o.kind == "file"] == [(str(file), 1)]


def test_threads_share_their_leaders_map(tmp_path):
    command = program(tmp_path, """
        import mmap, threading
        def work():
            memory = mmap.mmap(-1, 40 * 4096)
            for at in range(0, len(memory), 4096):
                memory[at] = 1
            memory.close()
        threads = [threading.Thread(target=work) for _ in range(4)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    """)
    _, trace = recorded(tmp_path, *command)
    ops = Counter(map(Op, trace.op))
    assert ops[Op.thread] == 4 and ops[Op.fork] == 0 and ops[Op.exit] == 5
    assert sum(o.kind == "anon" for o in trace.objects) == 1
    assert trace.header["provenance"]["lost_events"] == 0


def test_a_child_of_a_fork_without_exec_copies_what_it_writes(tmp_path):
    command = program(tmp_path, """
        import mmap, os
        memory = mmap.mmap(-1, 200 * 4096, flags=mmap.MAP_PRIVATE)
        for at in range(0, len(memory), 4096):
            memory[at] = 1
        if os.fork() == 0:
            for at in range(0, 70 * 4096, 4096):
                memory[at] = 2
            os._exit(0)
        os.wait()
        os._exit(0)
    """)
    trace = off(recorded(tmp_path, *command)[1])
    mine, childs = (pages(trace, [Op.touch_write], task, "anon") for task in (0, 1))
    assert len(mine) >= 200
    assert 70 <= len(mine & childs) < 150  # and some of the interpreter's own
    libraries = pages(trace, TOUCHES, 1, "file")  # seen again in the child: fault-around is off
    assert 1 <= len(libraries) < 400


def test_vfork_exec_chains_and_an_exec_by_a_thread(tmp_path):
    command = program(tmp_path, """
        import os, subprocess, sys, threading, time
        if len(sys.argv) == 1:
            subprocess.run(["/bin/true"], close_fds=False)
            os.execv(sys.executable, [sys.executable, "-S", __file__, "1"])
        threading.Thread(target=os.execv, args=("/bin/echo", ["echo", "end"])).start()
        time.sleep(20)
    """)
    done, trace = recorded(tmp_path, *command)
    assert done.stdout == "end\n"
    execs = Counter(int(t) for op, t in zip(trace.op, trace.task, strict=True) if op == Op.exec)
    assert sorted(execs.values()) == [1, 3]  # true; python, python again, echo
    assert [t.name.partition(".")[0] for t in trace.tasks][:2] == ["echo", "true"]
    ops = Counter(map(Op, trace.op))
    assert ops[Op.exit] == len(trace.tasks) and trace.header["provenance"]["lost_events"] <= 2


def test_signals_during_injection(tmp_path):
    """An interval timer of 0.3 ms hits system calls that the recorder makes in the program."""
    command = program(tmp_path, """
        import os, signal
        count = 0
        def ring(*_):
            global count
            count += 1
        signal.signal(signal.SIGALRM, ring)
        signal.setitimer(signal.ITIMER_REAL, 0.0003, 0.0003)
        for _ in range(15):
            if os.fork() == 0:
                os.execv("/bin/true", ["true"])
            assert os.wait()[1] == 0
        signal.setitimer(signal.ITIMER_REAL, 0)
        print(count > 10)
    """)
    done, trace = recorded(tmp_path, *command)
    assert done.stdout == "True\n" and Counter(map(Op, trace.op))[Op.exec] == 16


def test_a_stack_that_grows_between_two_looks(tmp_path):
    """No system call tells of it."""
    deep = "f() { if [ $1 -gt 0 ]; then f $(($1 - 1)); fi; }; f 900"
    _, trace = recorded(tmp_path, "/bin/sh", "-c", deep)
    assert trace.header["provenance"]["lost_events"] == 0
    assert len(pages(trace, [Op.touch_write], 0, "anon")) > 150


def test_job_control_reaches_the_program(tmp_path):
    command = program(tmp_path, """
        import os, signal
        child = os.fork()
        if child == 0:
            os.kill(os.getpid(), signal.SIGSTOP)
            os._exit(5)
        print(os.WIFSTOPPED(os.waitpid(child, os.WUNTRACED)[1]))
        os.kill(child, signal.SIGCONT)
        print(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]))
    """)
    assert recorded(tmp_path, *command)[0].stdout == "True\n5\n"


SLEEPERS = """
    import os, signal, sys, time
    if "deaf" in sys.argv:
        signal.signal(signal.SIGINT, signal.SIG_IGN)
    child = os.fork()
    if child:
        with open(sys.argv[1], "w") as file:
            print(os.getpid(), child, file=file)
    time.sleep(60)
"""


def sleeping(tmp_path, *more, **how):
    """A recorder of two sleeping processes: (it, their pids)."""
    pids, command = tmp_path / "pids", program(tmp_path, SLEEPERS)
    recorder = subprocess.Popen(
        [sys.executable, "-m", "workbench", "record", "-o", tmp_path / "out.zip", "--",
         *command, pids, *more], cwd=ROOT, stderr=subprocess.PIPE, text=True, **how,
    )
    ready = wait_until(lambda: recorder.poll() is not None or (pids.exists() and pids.read_text()))
    if recorder.poll() == 3:
        pytest.skip(recorder.stderr.read())
    assert ready
    return recorder, [int(pid) for pid in pids.read_text().split()]


@pytest.mark.parametrize("more", [(), ("deaf",)])
def test_an_interrupt_ends_the_program_and_keeps_the_trace(tmp_path, more):
    recorder, pids = sleeping(tmp_path, *more)
    recorder.send_signal(signal.SIGINT)
    assert recorder.wait(20) == 130 and "interrupted" in recorder.stderr.read()
    assert wait_until(lambda: all(state(pid) in ("", "Z") for pid in pids))
    trace = Trace.load(tmp_path / "out.zip")
    assert trace.header["provenance"]["interrupted"] and len(trace.tasks) == 2
    assert Counter(map(Op, trace.op))[Op.exit] == 2


def test_stop_and_continue_as_from_a_terminal(tmp_path):
    recorder, pids = sleeping(tmp_path, process_group=0)
    everybody = [recorder.pid, *pids]
    os.killpg(recorder.pid, signal.SIGTSTP)
    assert wait_until(lambda: all(state(pid) in ("T", "t") for pid in everybody))
    time.sleep(0.3)
    os.killpg(recorder.pid, signal.SIGCONT)
    assert wait_until(lambda: all(state(pid) in ("S", "R") for pid in everybody))
    os.killpg(recorder.pid, signal.SIGINT)
    assert recorder.wait(20) == 130
    recorder.stderr.close()


def test_nothing_is_left_stopped_when_the_recorder_is_killed(tmp_path):
    recorder, pids = sleeping(tmp_path)
    recorder.kill()
    recorder.wait(20)
    recorder.stderr.close()
    assert wait_until(lambda: all(state(pid) in ("", "Z") for pid in pids))
    assert not (tmp_path / "out.zip").exists()


def test_the_limit_lets_the_program_go_on(tmp_path):
    command = program(tmp_path, "import os, json; print(os.wait4 and 'end'); os._exit(4)")
    done, trace = recorded(tmp_path, *command, options=["--limit-events", "40"], code=4)
    assert done.stdout == "end\n" and "limit reached" in done.stderr
    assert not trace.header["provenance"]["complete"] and 10 < len(trace) < 300


def test_one_touch_is_one_page_in_any_kind_of_mapping(tmp_path):
    """Fault-around would bring sixteen; two recordings are equal to the page."""
    (tmp_path / "data").write_bytes(bytes(256 * 4096))
    (tmp_path / "data").read_bytes()
    command = program(tmp_path, f"""
        import mmap
        for mode, access, first in (("rb", mmap.ACCESS_READ, 5), ("r+b", mmap.ACCESS_WRITE, 105),
                                    ("rb", mmap.ACCESS_COPY, 155)):
            with open({str(tmp_path / "data")!r}, mode) as file:
                memory = mmap.mmap(file.fileno(), 0, access=access)
                [memory[page * 4096] for page in (first, first + 20, first + 40)]
                memory.close()
    """)
    _, one = recorded(tmp_path, *command)
    _, two = recorded(tmp_path, *command)
    names = [
        {(t.objects[o].path, p) for o, p in pages_used(t, TOUCHES, "file")[1]}
        for t in (off(one), two)
    ]
    touched = {page for path, page in names[0] if path.endswith("data")}
    assert touched == {5, 25, 45, 105, 125, 145, 155, 175, 195}
    assert len(names[0] ^ names[1]) <= 0.01 * len(names[0])


def test_containers(tmp_path):
    command = ["/bin/echo", "a", "--container", "--container", "B", "--", "/bin/echo", "b"]
    done, trace = recorded(tmp_path, *command, options=["--container", "A"])
    assert sorted(done.stdout.splitlines()) == ["a --container", "b"]
    assert [c.name for c in trace.containers] == ["root", "A", "B"]
    assert [t.container for t in trace.tasks] == ["A", "B"]
    mapped = pages_used(trace, TOUCHES, "file")
    assert len(mapped[1] & mapped[2]) > 0.9 * len(mapped[1])
    command += ["--", "/bin/echo", "--", "c"]  # in no container, its own -- kept
    done, trace = recorded(tmp_path, *command, options=["--container", "A"])
    assert sorted(done.stdout.splitlines()) == ["-- c", "a --container", "b"]
    assert [t.container for t in trace.tasks] == ["A", "B", "root"]
    shell = ["/bin/sh", "-c", "/bin/true & /bin/true & wait"]
    _, trace = recorded(tmp_path, *shell, options=["--subtrees"])
    assert [c.name for c in trace.containers] == ["root", "A", "B"]
    assert trace.tasks[0].container == "root" and Counter(map(Op, trace.op))[Op.move] == 2


def test_paths_can_be_left_out(tmp_path):
    command = program(tmp_path, f"""
        import subprocess
        open(__file__).read()
        subprocess.run([{str(tmp_path / "secret")!r}])
    """)
    shutil.copy("/bin/true", tmp_path / "secret")
    _, trace = recorded(tmp_path, *command, options=["--anonymize"])
    paths = [o.path for o in trace.objects if o.path]
    said = [*paths, str(trace.header), *(row.name for row in [*trace.tasks, *trace.objects])]
    assert not any(str(tmp_path) in text or "secret" in text for text in said)
    assert any(path.startswith("private/") and path.endswith(".py") for path in paths)


@pytest.mark.skipif(not hasattr(os, "geteuid") or os.geteuid() != 0, reason="needs root")
def test_an_ordinary_user_records_and_is_refused_set_uid():
    """The recorder itself needs the standard library only, so any Python 3.11 will do."""
    nobody = {"user": 65534, "group": 65534, "extra_groups": [], "cwd": ROOT}
    text = """
        import os, sys
        from workbench.record import Command, Refused, record
        assert os.geteuid() == 65534 and sys.version_info >= (3, 11)
        try:
            record([Command("A", [sys.argv[1] + "/special"])])
        except Refused as problem:
            print(problem)
        record([Command("A", ["/bin/true"])]).trace.save(sys.argv[1] + "/out.zip")
    """
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        folder.chmod(0o777)
        shutil.copy("/bin/true", folder / "special")
        (folder / "special").chmod(0o4755)
        for python in (PYTHON, "/usr/bin/python3"):
            with contextlib.suppress(OSError):
                done = subprocess.run(
                    [python, "-c", textwrap.dedent(text), name],
                    capture_output=True, text=True, timeout=60, **nobody,
                )
                break
        else:
            pytest.skip("an ordinary user cannot run this Python, nor one in /usr/bin")
        assert done.returncode == 0, done.stderr
        trace = off(Trace.load(folder / "out.zip"))
    assert "set-uid" in done.stdout and "as root" in done.stdout
    assert len(pages_used(trace, TOUCHES)[1]) > 50


def test_the_dashes_may_be_left_out(tmp_path, capfd):
    from workbench import cli

    out = tmp_path / "out.zip"
    assert cli.main(["record", "-o", str(out), "/bin/sh", "-c", "echo $0 --container; exit 3"]) == 3
    assert capfd.readouterr().out == "/bin/sh --container\n"
    assert Trace.load(out).header["provenance"]["commands"][0][:2] == ["/bin/sh", "-c"]


def test_the_datasets_are_recorded_by_one_command(tmp_path):
    def run(*words):
        return subprocess.run([sys.executable, "-m", "datasets.record", tmp_path / "new", *words],
                              cwd=ROOT, capture_output=True, text=True, timeout=60)

    if not os.access("/usr/bin/python3", os.X_OK):
        pytest.skip("it records /usr/bin/python3")
    done = run("pyjson")
    if "refused here" in done.stderr:
        pytest.skip(done.stderr)
    assert done.returncode == 0 and ", 0 lost" in done.stdout, done.stderr
    trace = off(Trace.load(tmp_path / "new/pyjson.zip"))
    assert 700 < len(pages(trace, TOUCHES, 0, "file")) < 1700  # shipped: 1,088
    assert not any("workbench-" in o.path for o in trace.objects)
    assert run("pyjason").returncode == 2


@pytest.mark.parametrize("words, said", [
    (["--", "no-such-program"], "cannot run no-such-program: not found in PATH"),
    (["--", "/"], "cannot run /: a folder"),
    (["-o", "x.csv", "--", "true"], "FILE is *.zip"),
    (["--container", "A", "--", "true", "--container", "B", "--"], "B: no command after --"),
    (["--container", "A", "--", "true", "--"], "root: no command after --"),
    (["-o", "no/such/folder.zip", "--", "true"], "no folder"),
])
def test_mistakes(tmp_path, monkeypatch, capsys, words, said):
    from workbench import cli

    monkeypatch.chdir(tmp_path)
    assert cli.main(["record", *words]) in (2, 3)
    heard = capsys.readouterr()
    assert said in heard.err and not heard.out and not list(tmp_path.iterdir())


# a seccomp filter of this process and its children: refuse one system call (of ioctl: one command)
SECCOMP = """
    import ctypes, struct, sys
    def refuse(number, code, command=None):
        load, equal, end = 0x20, 0x15, 0x06
        program = [(load, 0, 0, 0), (equal, 0, 1 if command is None else 3, number)]
        if command is not None:
            program += [(load, 0, 0, 24), (equal, 0, 1, command)]
        program += [(end, 0, 0, 0x50000 | code), (end, 0, 0, 0x7FFF0000)]
        rows = ctypes.create_string_buffer(b"".join(struct.pack("HBBI", *row) for row in program))
        head = struct.pack("HxxxxxxQ", len(program), ctypes.addressof(rows))
        libc = ctypes.CDLL(None)
        assert libc.prctl(38, 1, 0, 0, 0) == 0  # PR_SET_NO_NEW_PRIVS
        assert libc.prctl(22, 2, head, 0, 0) == 0  # PR_SET_SECCOMP, SECCOMP_MODE_FILTER
"""
UFFD, PTRACE, PIDFD_GETFD, IOCTL, SCAN = 323, 101, 438, 16, 0xC0606610  # on x86-64


def sandboxed(tmp_path, *refusals):
    """Record /bin/true in a sandbox that refuses some system calls."""
    if os.uname().machine != "x86_64":
        pytest.skip("system call numbers of x86-64")
    text = textwrap.dedent(SECCOMP) + "".join(f"refuse{call}\n" for call in refusals)
    text += textwrap.dedent("""
        from workbench.record import Command, Missing, record
        try:
            made = record([Command("A", ["/bin/true"])], say=print)
        except Missing as problem:
            sys.exit(f"missing: {problem}")
        made.trace.save(sys.argv[1])
    """)
    return subprocess.run([sys.executable, "-c", text, tmp_path / "out.zip"],
                          cwd=ROOT, capture_output=True, text=True, timeout=60)


@pytest.mark.parametrize("refusals", [
    [(UFFD, 1)],
    [(PIDFD_GETFD, 1)],
    [(UFFD, 38), (IOCTL, 25, SCAN)],  # as before Linux 6.7
])
def test_where_fault_around_cannot_be_switched_off_the_trace_says_so(tmp_path, refusals):
    _, exact = recorded(tmp_path, "/bin/true")
    done = sandboxed(tmp_path, *refusals)
    assert done.returncode == 0, done.stderr
    assert "fault-around stays on" in done.stdout
    trace = Trace.load(tmp_path / "out.zip")
    assert trace.header["provenance"]["fault_around"].startswith("on: ")
    assert trace.header["provenance"]["lost_events"] == 0
    around, touched = (
        {(t.objects[o].path, p) for o, p in pages_used(t, TOUCHES, "file")[1]}
        for t in (trace, off(exact))
    )
    assert touched <= around and len(around) > 1.3 * len(touched)


def test_where_ptrace_is_refused_it_says_so(tmp_path):
    done = sandboxed(tmp_path, (PTRACE, 1))
    assert done.returncode == 1 and done.stderr.startswith("missing: recording needs ptrace")
    assert len(done.stderr.splitlines()) == 1


@pytest.mark.parametrize("system", ["darwin", "win32"])
def test_elsewhere_it_says_that_it_needs_linux(system):
    text = f"""
        import sys, types
        sys.modules["fcntl"] = None  # as on Windows
        from workbench import cli
        from workbench.record import ptrace
        ptrace.sys = types.SimpleNamespace(platform={system!r})
        assert cli.main(["record", "--", "true"]) == cli.main(["snapshot"]) == 3
    """
    done = subprocess.run([sys.executable, "-c", textwrap.dedent(text)], cwd=ROOT,
                          capture_output=True, text=True)
    said = f"workbench: recording needs Linux (ptrace, /proc/PID/pagemap); this is {system}"
    assert done.returncode == 0 and done.stderr.splitlines() == [said, said], done.stderr
