"""The command line: every command, every kind of mistake, exit codes, and no partial output."""
import csv
import io
import json
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from workbench import cli, schemes
from workbench.cli import source, text
from workbench.kernel import ZoneSet
from workbench.trace import Trace, TraceBuilder

ROOT = Path(__file__).resolve().parents[1]
SMALL = ["run", "shared_page"]
GOLDEN = """
title = "one page"
source = "made up"
schemes = ["first_touch"]
containers.A = {}
tasks.PA = { container = "A" }
objects.F = { kind = "file", pages = 1 }
steps = [
  { do = "PA touch_read F", A = "1/0", owner = { F = "A" } },
  { do = "PA unmap F", A = "0/0", why = "last mapping" },
]
"""


@pytest.fixture
def here(tmp_path, monkeypatch):
    """An empty current directory."""
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.fixture
def call(here, capsys):
    """call(*arguments, code=0) -> (stdout, stderr) of one command line."""

    def call(*arguments, code=0):
        capsys.readouterr()
        found = cli.main([str(a) for a in arguments])
        out, err = capsys.readouterr()
        assert found == code, f"exit {found}\n{out}\n{err}"
        assert "Traceback" not in err
        return out, err

    return call


@pytest.fixture
def trace(here):
    """A small trace that touches its limit, in a zip."""
    b = TraceBuilder()
    b.container("A", limit=7)
    b.container("B")
    b.file("lib", 6)
    b.anon("heap", 6)
    b.task("pa", "A")
    b.task("pb", "B")
    b.touch_read("pa", "lib")
    b.touch_write("pb", "heap")
    b.touch_read("pb", "lib")
    b.touch_write("pa", "heap", 0, 2)
    b.build().save(here / "small.zip")
    return "small.zip"


def rows_of(text: str) -> list[dict]:
    return list(csv.DictReader(io.StringIO(text)))


# ---- every command -------------------------------------------------------------------------------


def test_help_lists_the_commands_and_the_exit_codes(call):
    out, _ = call("--help")
    for word in ("list", "show", "run", "compare", "check", "trace", "schemes", "explain"):
        assert f"\n  {word} " in out
    for code in ("0 fine", "1 a check found", "2 bad input", "3 environment", "130"):
        assert code in " ".join(out.split())


@pytest.mark.parametrize("command", [
    "list", "show", "run", "compare", "check", "explain", "schemes", "trace info", "trace check",
    "trace convert", "trace ops",
])
def test_every_command_has_help(call, command):
    out, _ = call(*command.split(), "--help")
    assert f"workbench {command}" in out


def test_trace_alone_shows_its_commands(call):
    _, err = call("trace", code=2)
    assert "convert" in err and "info" in err


def test_list(call):
    out, err = call("list")
    assert "gcc2" in out and "first_touch" in out and "Pavel Emelianov" in out and not err
    data = json.loads(call("list", "--json")[0])
    assert [row["scheme"] for row in data["schemes"]] == schemes.names()
    assert all(row["title"] and row["source"] for row in data["scenarios"] + data["schemes"])


def test_show_every_scenario(call):
    for row in json.loads(call("list", "--json")[0])["scenarios"]:
        out, _ = call("show", row["scenario"])
        assert row["question"] in out and row["source"] in out
        data = json.loads(call("show", row["scenario"], "--json")[0])
        assert data["containers"] and data["machine"]["frames"] and data["prediction"]


def test_show_takes_parameters(call):
    data = json.loads(call("show", "shared_page", "--param", "pages=1MiB", "--json")[0])
    assert data["parameters"]["pages"] == 256
    data = json.loads(call("show", "shared_page", "--param", "third=FALSE", "--json")[0])
    assert list(data["containers"]) == ["A", "B"]


def test_schemes_shows_parts_and_promises(call):
    out, _ = call("schemes")
    assert "unmap_own" in out and "neighbour_proof" in out and out.count("\nhand_over ") == 6
    data = json.loads(call("schemes", "--json")[0])
    assert len(data["schemes"]) == len(schemes.names())
    assert {"feature", "measured", *schemes.names()} == set(data["features"][0])


def test_trace_ops_has_every_op(call):
    from workbench.trace import Op

    data = json.loads(call("trace", "ops", "--json")[0])
    assert [row["op"] for row in data] == [op.name for op in Op]
    assert "MADV_DONTNEED" in call("trace", "ops")[0]


def test_run_prints_summary_and_sentence(call):
    out, err = call(*SMALL)
    assert "container  usage" in out and "no task is killed" in out and not err


def test_run_json(call, trace):
    data = json.loads(call("run", trace, "--json")[0])
    assert data["scheme"] == "first_touch"
    assert {row["container"] for row in data["summary"]} == {"root", "A", "B"}
    assert data["provenance"]["trace"]["events"] == len(Trace.load(trace))


def test_run_counts_what_its_scenario_predicts(call):
    out, _ = call(*SMALL)
    assert "B maps: A" in out and "18 of 18 predictions came true" in out
    out, _ = call(*SMALL, "--limit", "A=2")  # another story: nothing is predicted
    assert "B maps: A" in out and "predictions" not in out


def test_run_options(call, trace):
    data = json.loads(call("run", trace, "--scheme", "first_touch:lists=lru", "--limit", "A=32KiB",
                           "--limit", "B=none", "--nodes", "2", "--place", "B=1", "--set",
                           "cluster=2", "--set", "page_tables=false", "--set", "frames=5000",
                           "--engine", "interpreted", "--json")[0])
    assert data["scheme"] == "first_touch:lists=lru"
    made = data["provenance"]
    assert made["limits_given"] == {"A": 8, "B": None}
    assert made["knobs_changed"] == {"cluster": 2, "page_tables": False}
    assert (made["machine"]["nodes"], made["machine"]["frames"]) == (2, 5000)


def test_run_scenario_on_nodes(call):
    places = [word for place in ("A=1", "B=2", "C=3") for word in ("--place", place)]
    out, _ = call(*SMALL, "--nodes", "4", *places, "--json")
    assert json.loads(out)["provenance"]["parameters"]["place"] == {"A": 1, "B": 2, "C": 3}


def test_run_saves_a_folder(call, here):
    _, err = call(*SMALL, "-o", "out")
    assert "out/" in err
    names = {path.name for path in (here / "out").iterdir()}
    assert {"summary.csv", "usage.svg", "usage.png", "provenance.json"} <= names
    before = (here / "out/usage.svg").read_bytes()
    (here / "out/mine.txt").write_text("kept")
    call(*SMALL, "-o", "out")
    assert (here / "out/usage.svg").read_bytes() == before
    assert (here / "out/mine.txt").read_text() == "kept"
    assert os.listdir(here) == ["out"]  # no work folder is left


@pytest.mark.parametrize("scheme", ["first_touch", "every_mapping", "beancounter"])
def test_events_agree_with_the_summary(call, here, trace, scheme):
    common = ("run", trace, "--scheme", scheme)
    out, err = call(*common, "--events", "events.csv")
    assert "container  usage" in out and "events.csv" in err
    text = (here / "events.csv").read_text()
    rows, last = rows_of(text), rows_of(text)[-1]
    assert len(rows) == len(Trace.load(trace)) and last["time"] == str(len(rows))
    data = json.loads(call(*common, "--json")[0])
    for box in data["summary"]:
        assert float(last[f"usage {box['container']}"]) == box["usage"]
        assert int(last[f"failcnt {box['container']}"]) == box["failcnt"]
    told = [name for row in rows for name in row["victims"].split(", ") if name]
    assert told == [kill["victim"] for kill in data["kills"]]
    assert {"op", "outcome", "owner"} <= set(last) and rows[1]["outcome"] == "major"
    assert call(*common, "--events")[0] == text  # alone: to stdout
    assert call("run", "--events", "--scheme", scheme, trace)[0] == text


def test_compare(call, trace):
    out, _ = call("compare", trace)
    for name in schemes.names():
        assert f"\n{name} " in out
    data = json.loads(call("compare", trace, "--scheme", "none", "--scheme", "zone", "--json")[0])
    assert [run["scheme"] for run in data["runs"]] == ["none", "zone"]
    every = json.loads(call("compare", trace, "--scheme", "all", "--json")[0])["runs"]
    assert [run["scheme"] for run in every] == schemes.names()
    assert "0" in call("compare", trace, "--scheme", "none")[0]


def test_compare_saves_a_chart(call, here):
    call("compare", "shared_page", "--scheme", "first_touch", "--scheme", "fraction", "-o", "a/b")
    assert (here / "a/b/comparison.svg").stat().st_size > 10_000


def test_compare_many_containers_is_long(call):
    out, _ = call("compare", "n_guests", "--scheme", "first_touch")
    assert out.count("\nfirst_touch ") >= 10


def test_explain(call, trace):
    common = ("explain", trace, "--scheme", "hand_over")
    assert "A pays" in call(*common, "--page", "lib:0")[0]
    assert "A is charged" in call(*common, "--container", "A")[0]
    assert call(*common, "--task", "pa")[0].strip()
    assert "hand_over" in call(*common)[0]


def test_check(call, here):
    (here / "good.toml").write_text(GOLDEN)
    (here / "bad.toml").write_text(GOLDEN.replace('A = "0/0"', 'A = "1/0"'))
    out, _ = call("check", "good.toml")
    assert out == "ok good.toml: one page (1 replay)\n"
    out, err = call("check", "good.toml", "bad.toml", code=1)
    assert "step 2: PA unmap F" in out and "expected" in out and "last mapping" in out
    assert "1 of 2" in err


def test_trace_info(call, trace):
    assert "pages touched" in call("trace", "info", trace)[0]
    data = json.loads(call("trace", "info", trace, "--json")[0])
    assert {"section": "trace", "name": "tasks", "number": 2} in data["counts"]


def test_trace_check(call, trace):
    out, _ = call("trace", "check", trace, ROOT / "datasets/pyjson.zip")
    assert out.count("ok ") == 2


def test_trace_convert_round_trip(call, here, trace):
    pytest.importorskip("pyarrow")
    call("trace", "convert", trace, "folder")
    call("trace", "convert", "folder", "t.parquet")
    call("trace", "convert", "t.parquet", "again.zip")
    assert (here / "again.zip").read_bytes() == (here / trace).read_bytes()


def test_the_main_job(call, here):
    out, err = call()
    assert "24MiB (6144 pages)" in out and "\nfirst_touch " in out and "cc1.4 cc1.5" in out
    assert str(here / "report") in err
    names = set(os.listdir(here / "report"))
    assert {"summary.csv", "without_limits.csv", "limit_24MiB.svg", "limit_24MiB.png"} <= names
    table = {row["scheme"]: row for row in rows_of((here / "report/summary.csv").read_text())}
    assert list(table) == schemes.names()
    assert (table["first_touch"]["peak A"], table["first_touch"]["peak B"]) == ("8121", "4790")
    assert table["first_touch"]["failcnt B"] == "0" < table["first_touch"]["failcnt A"]
    assert max(map(len, out.splitlines())) <= 100


# ---- every kind of mistake -----------------------------------------------------------------------


@pytest.mark.parametrize("words, hint", [
    ("nonsense", "No such command 'nonsense'"),
    ("run", "Missing argument"),
    ("run shared_page --shceme none", "No such option: --shceme"),
    ("run sharedpage", "did you mean shared_page?"),
    ("run missing.zip", "no trace at missing.zip"),
    ("show gcc", "did you mean gcc"),
    ("run shared_page --scheme firsttouch", "did you mean first_touch?"),
    ("run shared_page --scheme first_touch:lists=fast", "not one of none, fifo, lru"),
    ("compare shared_page --scheme none --scheme frction", "did you mean fraction?"),
    ("run shared_page --engine fast", "compiled, interpreted"),
    ("run shared_page --limit Z=4", "no container 'Z'"),
    ("run shared_page --set zone_sets=A+Z:60", "no container 'Z'"),
    ("run shared_page --set zone_sets=A+B:many", "'many' is no number of frames"),
    ("run shared_page --scheme zone --set zone_sets=A+B,B+C", "B is in two sets"),
    ("run shared_page --limit A", "write --limit CONTAINER=64MiB"),
    ("run shared_page --limit A=4 --limit A=5", "given twice"),
    ("run shared_page --limit A=4q", "size '4q'"),
    ("run shared_page --limit A=-4", "size '-4'"),
    ("run shared_page --limit A=5000b", "whole pages"),
    ("run shared_page --set clutser=4", "did you mean cluster?"),
    ("run shared_page --set cluster=x", "a whole number is expected"),
    ("run shared_page --set cluster=0", "cluster"),
    ("run shared_page --set page_tables=maybe", "true or false"),
    ("run shared_page --set quirks=as_posted,-hagn", "did you mean hang?"),
    ("run shared_page --set frames=1", "frames"),
    ("run shared_page --param pgaes=4", "did you mean pages?"),
    ("run shared_page --param pages=0", "pages=0"),
    ("run shared_page --param order=sideways", "order='sideways'"),
    ("run shared_page --nodes 3", "nodes=3"),
    ("run shared_page --nodes 0", "nodes"),
    ("run shared_page --place Z=0", "Z"),
    ("run shared_page --place A=9", "9"),
    ("run shared_page --samples 0", "samples"),
    ("run shared_page --json --events", "both go to stdout"),
    ("run small.zip --param pages=4", "--param is for scenarios"),
    ("run small.zip --place Z=0", "no container 'Z'"),
    ("run small.zip --place A=1", "nodes are 0 to 0"),
    ("explain shared_page --container Z", "no container 'Z'"),
    ("explain shared_page --task Z", "no task 'Z'"),
    ("explain shared_page --page libc", "OBJECT:INDEX"),
    ("explain shared_page --page libc:one", "whole number"),
    ("explain shared_page --page libc:7", "7"),
    ("explain shared_page --page lib:0", "libc"),
    ("explain shared_page --page libc:0 --task a", "one of"),
    ("check missing.toml", "missing.toml cannot be read"),
    ("trace info missing", "no trace at missing"),
    ("trace convert small.zip out.csv", "OUT is *.zip"),
    ("trace convert small.zip out --containers two", "subtrees or one"),
])
def test_bad_input_is_2_and_says_what_would_be_right(call, trace, here, words, hint):
    before = set(os.listdir(here))
    output = ["-o", "out"] if words.startswith(("run ", "compare ")) else []
    out, err = call(*words.split(), *output, code=2)
    assert hint in err and not out
    assert set(os.listdir(here)) == before  # nothing was written


@pytest.mark.parametrize("text, hint", [
    ("title = ", "Invalid value"),
    (GOLDEN.replace("touch_read", "tuoch_read"), "did you mean touch_read?"),
    (GOLDEN.replace("PA unmap", "PB unmap"), "PB"),
    (GOLDEN.replace("owner =", "onwer ="), "did you mean owner?"),
    ("", "missing"),
])
def test_golden_files_that_are_none(call, here, text, hint):
    (here / "bad.toml").write_text(text)
    _, err = call("check", "bad.toml", code=2)
    assert hint in err and "bad.toml" in err


def folder(here, trace, file, change):
    """The trace as a folder `broken`, one of its files changed."""
    Trace.load(trace).save(here / "broken")
    path = here / "broken" / file
    path.write_bytes(change(path.read_bytes()))
    return "broken"


@pytest.mark.parametrize("file, change, hint", [
    ("header.json", lambda data: b"{", "not JSON"),
    ("header.json", lambda data: data.replace(b"trace/1", b"trace/9"), "schema"),
    ("events.csv", lambda data: data.replace(b"touch_read", b"touchread", 1), "touch_read"),
    ("events.csv", lambda data: data.replace(b",lib,", b",lbi,", 1), "lib"),
    ("events.csv", lambda data: data.replace(b",lib,0,6", b",lib,3,6", 1), "beyond"),
    ("events.csv", lambda data: data.replace(b"op,task", b"op,tsak", 1), "task"),
    ("events.csv", lambda data: data[:-9] + b"\0", "NUL"),
    ("events.csv", lambda data: b"", "empty"),
    ("tasks.csv", lambda data: data.replace(b"pa,A", b"pa,Q", 1), "container"),
    ("objects.csv", lambda data: data.replace(b"file", b"fiel", 1), "file"),
    ("containers.csv", lambda data: b"\xff" + data, "UTF-8"),
])
def test_broken_folders(call, here, trace, file, change, hint):
    name = folder(here, trace, file, change)
    for command in (("run", name), ("compare", name), ("trace", "info", name)):
        out, err = call(*command, code=2)
        assert hint in err and file in err and not out
    out, _ = call("trace", "check", name, trace, code=2)
    assert "BAD " in out and hint in out and f"ok {trace}" in out


def test_other_broken_traces(call, here, trace):
    data = (here / trace).read_bytes()
    (here / "half.zip").write_bytes(data[: len(data) // 2])
    (here / "empty.zip").write_bytes(b"")
    (here / "noise.parquet").write_bytes(b"PAR1 noise")
    (here / "noise.rec").write_bytes(b"noise\n")
    (here / "noise.rec.xz").write_bytes(b"noise")
    (here / "nothing").mkdir()
    for name in ("half.zip", "empty.zip", "noise.parquet", "noise.rec", "noise.rec.xz", "nothing"):
        _, err = call("run", name, "-o", "out", code=2)
        assert err.startswith("workbench: ")
        call("trace", "convert", name, "out", code=2)
        call("trace", "check", name, code=2)
    assert not (here / "out").exists()


def test_a_touch_outside_every_mapping(call, here, trace):
    text = (b"map,", b"mlock,")
    name = folder(here, trace, "events.csv",
                  lambda data: b"\n".join(line for line in data.split(b"\n")
                                          if not line.startswith(text[0])))
    _, err = call("run", name, code=2)
    assert "event 1: task pa touches page 0 of lib, which it has not mapped" in err
    assert "has not mapped" in call("trace", "check", name, code=2)[0]


def test_zone_sets():
    """Sizes, paths (of a server, too) and pools, as `Machine` takes them."""
    found = source.zone_sets("A+B:60,C:srv:/export:/usr:9,D:pooled", list("ABCD"))
    usual = ZoneSet(("D",)).paths
    assert [(s.containers, s.frames, s.paths, s.pooled) for s in found] == [
        (("A", "B"), 60, usual, False), (("C",), 9, ("srv:/export", "/usr"), False),
        (("D",), 0, usual, True),
    ]


def test_a_pool_from_the_command_line(call):
    """Members of a pool have no zone of their own, so nothing is charged to them."""
    apart = call(*SMALL, "--scheme", "zone", "--set", "zone_sets=A+B:60")[0]
    pooled = call(*SMALL, "--scheme", "zone", "--set", "zone_sets=A+B:60:pooled")[0]
    assert "A ends at 0 pages" in pooled and "A ends at 0 pages" not in apart


def test_output_that_cannot_be_written_is_3(call, here, trace):
    (here / "file").write_text("mine")
    for words in (
        f"run {trace} -o file", f"run {trace} -o file/sub", f"compare {trace} -o file",
        f"run {trace} --events missing/events.csv", f"trace convert {trace} missing/t.zip",
        f"report {trace} --schemes none --no-pdf -o file/sub",
    ):
        _, err = call(*words.split(), code=3)
        assert "cannot write" in err
    assert (here / "file").read_text() == "mine"
    assert sorted(os.listdir(here)) == ["file", trace]


def test_a_folder_is_not_replaced_by_a_trace(call, here, trace):
    (here / "work").mkdir()
    (here / "work/mine.txt").write_text("mine")
    call("trace", "convert", trace, "work", code=2)
    assert os.listdir(here / "work") == ["mine.txt"]


def test_a_missing_package_is_3(call, here, trace, monkeypatch):
    monkeypatch.setitem(sys.modules, "pyarrow", None)
    _, err = call("trace", "convert", trace, "t.parquet", code=3)
    assert "workbench[parquet]" in err and not (here / "t.parquet").exists()


def test_a_missing_core_package_is_3_and_named(call, monkeypatch):
    def missing(*_, **__):
        raise ModuleNotFoundError("No module named 'pandas'", name="pandas")

    monkeypatch.setattr("workbench.results.replay", missing)
    _, err = call("run", "shared_page", code=3)
    assert "the package pandas is missing; `python3 -m workbench`" in err


def interrupt(*_, **__):
    raise KeyboardInterrupt


@pytest.mark.parametrize("where, words", [
    ("workbench.results.replaying.simulate", "run small.zip -o out"),
    ("workbench.results.replaying.simulate", ""),
    ("workbench.charts.export.chart_bytes", "run small.zip -o out"),
    ("workbench.charts.export.chart_bytes", ""),
    ("os.replace", "run small.zip --events events.csv"),
    ("os.replace", "trace convert small.zip t.zip"),
])
def test_ctrl_c_is_130_and_leaves_nothing(call, here, trace, monkeypatch, where, words):
    import workbench.charts  # noqa: F401  (what is replaced below has to be there)

    monkeypatch.setattr(where, interrupt)
    _, err = call(*words.split(), code=130)
    assert "interrupted" in err and os.listdir(here) == [trace]


def test_ctrl_c_in_a_sweep_says_where_the_rest_is(call, here, monkeypatch):
    monkeypatch.setattr("workbench.results.replay", interrupt)
    _, err = call("sweep", "shared_page", "-o", "s.csv", code=130)
    assert "kept in s.csv.partial" in err and "nothing was written" not in err


def test_ctrl_c_while_it_is_starting_is_130(monkeypatch, capsys):
    from workbench import __main__ as start

    monkeypatch.setattr(start, "usable", interrupt)
    with pytest.raises(SystemExit) as end:
        start.main()
    assert end.value.code == 130 and "interrupted" in capsys.readouterr().err


def test_a_defect_of_the_workbench_is_4_with_its_traceback(here, capsys, monkeypatch):
    def broken(*_, **__):
        raise KeyError("inside")

    monkeypatch.setattr("workbench.results.replaying.simulate", broken)
    assert cli.main(SMALL) == 4
    err = capsys.readouterr().err
    assert "Traceback" in err and "defect of the workbench" in err


def test_debug_shows_the_traceback_of_a_mistake(here):
    with pytest.raises(ValueError, match="did you mean"):
        cli.main(["run", "shared_page", "--scheme", "frction", "--debug"])


# ---- as a process --------------------------------------------------------------------------------


def process(*words, **options):
    code = "import sys; from workbench.cli import main; sys.exit(main())"
    env = os.environ | {"PYTHONPATH": str(ROOT)}
    return subprocess.run([sys.executable, "-c", code, *words], text=True, env=env, **options)


def test_stdout_is_data_and_stderr_is_talk(here):
    done = process("run", "shared_page", "--json", "-o", "out", capture_output=True)
    assert done.returncode == 0 and json.loads(done.stdout) and "out" in done.stderr


def test_a_reader_that_leaves_is_no_error(here):
    read, write = os.pipe()
    os.close(read)
    done = process("trace", "ops", stdout=write, stderr=subprocess.PIPE)
    os.close(write)
    assert done.returncode == 0 and "Traceback" not in done.stderr and not done.stderr


@pytest.mark.skipif(not os.path.exists("/dev/full"), reason="needs /dev/full")
@pytest.mark.parametrize("words", ["list", "run shared_page --json", "trace ops --json"])
def test_a_full_disk_is_3(here, words):
    with open("/dev/full", "w") as full:
        done = process(*words.split(), stdout=full, stderr=subprocess.PIPE)
    assert done.returncode == 3 and "No space" in done.stderr and "Traceback" not in done.stderr


@pytest.mark.parametrize("words, heavy", [
    (["--help"], {"workbench.scenarios", "workbench.results"}), (["list"], {"workbench.results"}),
])
def test_help_and_list_import_nothing_heavy(here, words, heavy):
    code = ("import sys, time; t = time.perf_counter(); from workbench.cli import main; main();"
            "print(time.perf_counter() - t, *sys.modules, file=sys.stderr)")
    done = subprocess.run([sys.executable, "-c", code, *words], capture_output=True, text=True,
                          env=os.environ | {"PYTHONPATH": str(ROOT)}, check=True)
    seconds, *modules = done.stderr.split()
    heavy = heavy | {"numpy", "numba", "pandas", "matplotlib", "pyarrow", "rich"}
    assert not heavy & set(modules)
    print(f"workbench {' '.join(words)}: {float(seconds):.2f} s")


def test_progress_is_one_line_where_nobody_watches(capsys, monkeypatch):
    monkeypatch.setattr(text.Progress, "AFTER", 0.01)
    progress = text.Progress("replaying")
    progress.timer.join()  # one long step: nobody has called yet
    for done in range(1, 11):
        progress(done, 10)
    progress.close()
    assert capsys.readouterr().err == "replaying ...\n"


def test_auto_chooses_the_engine_by_size(monkeypatch, here, trace):
    from workbench.kernel import engine

    class Large(list):
        count = ()

        def __len__(self):
            return engine.LARGE

    for warm in (True, False):
        monkeypatch.setattr(engine, "compiled_before", lambda warm=warm: warm)
        middling = TraceBuilder()
        middling.task("t", middling.container("A"))
        middling.file("f", engine.SMALL)
        middling.touch_read("t", "f")
        wanted = "compiled" if warm else "interpreted"
        assert engine.choose("auto", middling.build()) == wanted
        assert engine.choose("auto", Trace.load(trace)) == "interpreted"
        assert engine.choose("auto", Large()) == "compiled"
        assert engine.choose("interpreted", Large()) == "interpreted"


def test_one_thing_is_not_called_several(here, capsys):
    assert cli.main(["show", "shared_page"]) == 0
    assert "on 1 object\n" in capsys.readouterr().out
    assert cli.main(["compare", "shared_page", "--scheme", "none"]) == 0
    assert "under 1 scheme," in capsys.readouterr().out


def test_what_cannot_be_written_is_found_out_before_the_work(here, capsys, monkeypatch):
    from workbench.results import comparison

    monkeypatch.setattr(comparison, "replay", lambda *args, **more: pytest.fail("replayed"))
    (here / "file").write_text("")
    for words in (["compare", "gcc2"], ["report", "gcc2"]):
        for folder in ("file", "file/below", "/proc/nowhere"):
            assert cli.main([*words, "-o", folder]) == 3
            assert f"cannot write to {folder}" in capsys.readouterr().err
    for words in (["sweep", "shared_page", "-o"], ["run", "shared_page", "--events"],
                  ["claims", "--report"]):
        assert cli.main([*words, "/proc/nowhere.csv"]) == 3, words
        assert "cannot write /proc/nowhere.csv" in capsys.readouterr().err
    monkeypatch.setattr("workbench.sweeps.find_spec", lambda name: None)
    assert cli.main(["sweep", "shared_page", "-o", "x.parquet"]) == 3
    assert "pip install 'workbench[parquet]'" in capsys.readouterr().err
    assert sorted(path.name for path in here.iterdir()) == ["file"]


def test_a_limit_that_is_no_size_is_named_with_its_container(here, capsys):
    assert cli.main(["run", "shared_page", "--limit", "A=4", "--limit", "B=-5"]) == 2
    assert "limit of B: size '-5': expected pages" in capsys.readouterr().err


def test_an_object_is_found_by_a_part_of_its_path(here, capsys):
    assert cli.main(["explain", "gcc2", "--page", "libc.so:0"]) == 2
    assert "did you mean /usr/lib/x86_64-linux-gnu/libc.so.6?" in capsys.readouterr().err
    assert cli.main(["explain", "gcc2", "--page", "nothing like it:0"]) == 2
    assert re.search(r"/usr/bin/dash, .* and 110 more$", capsys.readouterr().err.strip())


def test_a_trace_given_as_a_golden_example_is_no_text(here, trace, capsys):
    assert cli.main(["check", str(trace)]) == 2
    assert "not text; a golden example is a TOML file" in capsys.readouterr().err


def test_wide_tables_are_folded(here, capsys):
    assert cli.main(["compare", "shared_page"]) == 0
    out = capsys.readouterr().out
    assert out.count("\nmeasured ") > 1
    assert max(map(len, out.partition("\nmeasured ")[2].splitlines())) <= 100
    rows = [["a", 1, 2.5], ["b", 3, None]]
    assert text.folded(["x", "first", "second"], rows, 12) == (
        "x  first\na      1\nb      3\n\nx  second\na    2.50\nb       -"
    )


def test_a_trace_brings_the_nodes_that_its_events_name(here, call):
    b = TraceBuilder()
    b.task("t", b.container("A"))
    b.file("lib", 3)
    b.touch_read("t", "lib")
    b.migrate("t", 2)
    b.build().save(here / "away.zip")
    assert json.loads(call("run", "away.zip", "--json")[0])["summary"][1]["usage"] == 3
    assert "has 1 node" in call("run", "away.zip", "--nodes", "1", code=2)[1]


def test_what_is_no_trace_is_told_what_one_is(here, call):
    (here / "notes.md").write_text("hello")
    assert "a folder of tables, *.zip or *.parquet" in call("run", "notes.md", code=2)[1]
