"""Traces on disk: three forms with one content, strict reading, atomic writing."""

import json
import os
import string
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from workbench.trace import KINDS, Op, Trace, TraceBuilder, TraceError

ROOT = Path(__file__).parents[1]
BY_HAND = {
    "header.json": '{"schema": "workbench-trace/1", "provenance": {"source": "by hand"}}',
    "objects.csv": "name,kind,pages\nlibc,file,300\nheap,anon,20\nseg,shm,4\nslab,kernel,5\n",
    "tasks.csv": "name,container,vm,root\nserver,A,,\nshell,,500,true\nchild,,,\n",
    "containers.csv": "name,limit\nA,64\nB,\n",
    "events.csv": """op,task,target,page,count,value
map,server,libc,0,300,private
touch_read,server,libc,10,,
map,server,heap,,20,private
touch_write,server,heap,0,20,
fork,server,child,,,
move,child,B,,,
set_limit,,B,,,rss_limit=100\\n
mark,,,,,half way
exit,child,,,,
reap,child,,,,
""",
}


def write(folder, files=BY_HAND, **changed):
    folder.mkdir(exist_ok=True)
    for name, text in files.items():
        if text is not None:
            data = text if isinstance(text, bytes) else text.encode()
            (folder / name).write_bytes(data)
    return folder


def broken(tmp_path, name, old, new):
    """The hand-written trace with one text replaced in one file, and the defects found in it."""
    text = BY_HAND[name].replace(old, new, 1)
    assert text != BY_HAND[name]
    with pytest.raises(TraceError) as caught:
        Trace.load(write(tmp_path / "t", BY_HAND | {name: text}))
    return caught.value


def test_a_trace_written_by_hand(tmp_path):
    trace = Trace.load(write(tmp_path / "t"))
    assert [c.name for c in trace.containers] == ["root", "A", "B"]
    assert trace.containers[1].limit == 64 and trace.containers[2].limit is None
    assert trace.tasks[1].vm == 500 and trace.tasks[1].root and not trace.tasks[0].root
    assert trace.tasks[1].container == "root" and trace.initial_tasks() == [0, 1]
    events = list(trace.events())
    assert events[1] == (Op.touch_read, "server", "libc", 10, 1, "", None)
    assert events[6] == (Op.set_limit, "", "B", 0, 1, "rss_limit=100\\n", None)
    assert trace.header["provenance"]["source"] == "by hand"


def test_columns_in_any_order_spreadsheet_line_ends_byte_order_mark_and_last_blank_lines(tmp_path):
    files = dict(BY_HAND)
    files["objects.csv"] = (
        "pages,name,kind\n300,libc,file\n 20 , heap ,anon\n4,seg,shm\n5,slab,kernel\n"
    )
    files["events.csv"] = "\ufeff" + files["events.csv"].replace("\n", "\r\n") + "\r\n\r\n"
    assert Trace.load(write(tmp_path / "a", files)) == Trace.load(write(tmp_path / "b"))


# -- round trips -------------------------------------------------------------------------------

names = st.text(string.ascii_letters + " ,\"'#;é/.-", min_size=1).filter(lambda s: s == s.strip())
numbers = st.integers(0, 2**40)


@st.composite
def traces(draw):
    b = TraceBuilder()
    for name in draw(st.lists(names.filter(lambda n: n != "root"), max_size=3, unique=True)):
        b.container(name, draw(st.none() | numbers), draw(st.none() | numbers))
    homes = list(b._rows["container"])
    objects = draw(st.dictionaries(names, st.sampled_from(KINDS), min_size=1, max_size=4))
    for name, kind in objects.items():
        b.object(name, kind, draw(st.integers(1, 50)), draw(st.just("") | names))
    alive = draw(st.lists(names, min_size=1, max_size=3, unique=True))
    for name in alive:
        b.task(
            name,
            draw(st.sampled_from(homes)),
            vm=draw(st.none() | numbers),
            init=draw(st.booleans()),
        )
    for step in range(draw(st.integers(0, 15))):
        who, home = draw(st.sampled_from(alive)), draw(st.sampled_from(homes))
        obj = draw(st.sampled_from(list(objects)))
        match draw(st.sampled_from(["touch", "fork", "move", "mark", "limit", "exit", "node"])):
            case "touch":
                b.touch(who, obj, write=draw(st.booleans()))
            case "fork":
                alive.append(b.fork(who, f"task {step}", cpu=draw(numbers)))
            case "move":
                b.move(who, home)
            case "mark":
                b.mark(draw(st.text(string.printable[:95])))
            case "limit":
                b.set_limit(home, draw(st.binary(max_size=6)))
            case "node":
                b.run_on(who, draw(st.integers(0, 9)))
            case "exit" if len(alive) > 1:
                b.exit(who)
                b.reap(who)
                alive.remove(who)
    trace = b.build({"provenance": {"é": draw(st.integers())}})
    if draw(st.booleans()):
        trace.time_ns = sorted(draw(st.lists(numbers, min_size=len(trace), max_size=len(trace))))
        from array import array

        trace.time_ns = array("q", trace.time_ns)
    return trace


@settings(deadline=None, max_examples=60, suppress_health_check=list(HealthCheck))
@given(traces())
def test_directory_zip_and_parquet_hold_the_same(tmp_path_factory, trace):
    folder = tmp_path_factory.mktemp("t")
    forms = ["dir", "t.zip"]
    try:
        import pyarrow  # noqa: F401

        forms.append("t.parquet")
    except ImportError:
        pass
    for form in forms:
        trace.save(folder / form)
        assert Trace.load(folder / form) == trace
    assert sorted(p.name for p in folder.iterdir()) == sorted(forms)  # no temporary files left


def test_the_same_trace_gives_the_same_zip(tmp_path):
    trace = Trace.load(write(tmp_path / "t"))
    trace.save(tmp_path / "a.zip")
    trace.save(tmp_path / "b.zip")
    assert (tmp_path / "a.zip").read_bytes() == (tmp_path / "b.zip").read_bytes()


# -- one defect, one message with its place ----------------------------------------------------

E = "events.csv"
DEFECTS = [  # file, old text, new text, row, column, in the message
    (E, "fork,server,child", "fork,child,child", 5, "task", "before its fork in row 5"),
    (E, "touch_read,", "touch_raed,", 2, "op", "did you mean touch_read?"),
    (E, "touch_read,", ",", 2, "op", "missing op"),
    (E, "touch_read,server", "touch_read,sevrer", 2, "task", "did you mean server?"),
    (E, "touch_read,server,libc", "touch_read,server,libd", 2, "target", "did you mean libc?"),
    (E, "move,child,B", "move,child,C", 6, "target", "not a known container"),
    (E, "touch_read,server,libc", "touch_read,server,", 2, "target", "needs an object"),
    (E, "touch_read,server", "touch_read,", 2, "task", "needs a task"),
    (E, "exit,child,", "exit,child,libc", 9, "target", "must be blank for exit"),
    (E, "mark,,", "mark,server,", 8, "task", "must be blank for mark"),
    (E, "exit,child,,", "exit,child,,7", 9, "page", "must be blank"),
    (E, "exit,child,,,", "exit,child,,,7", 9, "count", "must be blank"),
    (E, "exit,child,,,,", "exit,child,,,,x", 9, "value", "must be blank"),
    (E, "touch_read,server,libc,10", "touch_read,server,libc,-1", 2, "page", "negative"),
    (E, "libc,10,", "libc,300,", 2, "page", "300 is beyond object libc (pages 0..299)"),
    (E, "libc,10,", "libc,10,291", 2, "count", "runs beyond object libc"),
    (E, "libc,10,", "libc,10,0", 2, "count", "below 1"),
    (E, "libc,10,", "libc,10,2147483648", 2, "count", "beyond"),
    (E, "libc,10,", "libc,9223372036854775808,", 2, "page", "beyond"),
    (E, "libc,10,", "libc," + "9" * 5000 + ",", 2, "page", "beyond"),
    (E, "libc,10,", "libc,ten,", 2, "page", "not a whole number"),
    (E, "libc,10,", "libc,1.5,", 2, "page", "not a whole number"),
    (E, "libc,10,", "libc,١,", 2, "page", "not a whole number"),
    (E, "touch_read,server", "touch_read,child", 2, "task", "before its fork in row 5"),
    (E, "mark,,,,,half way", "mark,,,,,x\nexit,child,,,,", 10, "task", "already exited in row 9"),
    (
        E,
        "reap,child",
        "touch_read,child,heap,,,\nreap,child",
        10,
        "task",
        "already exited in row 9",
    ),
    (E, "reap,child", "reap,child,,,,\nreap,child", 11, "task", "already reaped in row 10"),
    (E, "exit,child", "fork,server,child,,,\nexit,child", 9, "target", "already created in row 5"),
    (E, "exit,child", "thread,shell,server,,,\nexit,child", 1, "task", "before its fork"),
    (E, "touch_write,server,heap", "read,server,heap", 4, "target", "is of kind anon"),
    (E, "map,server,heap,,20", "map,server,slab,,5", 3, "target", "is of kind kernel"),
    (E, "heap,,20,private", "heap,,20,shared", 3, "value", "is not private"),
    (E, "heap,,20,private", "heap,,20,", 3, "value", "is not private"),
    (E, "heap,,20,private", "seg,,4,private", 3, "value", "is not shared"),
    (E, "300,private", "300,both", 1, "value", "private or shared"),
    (E, "rss_limit=100", "rss_limits=100", 7, "value", "rss_limit, numproc_limit"),
    (E, "rss_limit=100\\n", "rss_limit", 7, "value", "control file"),
    (E, "100\\n", "100\\q", 7, "value", "backslash"),
    (E, "100\\n", "100\\xg0", 7, "value", "backslash"),
    (E, "mark,,,,,half way", "run_on,server,,,,-1", 8, "value", "node number"),
    (E, "mark,,,,,half way", "migrate,server,,,,one", 8, "value", "node number"),
    (E, "mark,,,,,half way", "run_on,server,,,,4294967296", 8, "value", "node number"),
    (E, "mark,,,,,half way", "io_error,,libc,3,2,", 8, "count", "must be 1"),
    (E, "mark,,,,,half way", "mkdir,,A,,,", None, "container", "mkdir in events row 8"),
    (E, "mark,,,,,half way", "mkdir,,root,,,", 8, "target", "exists from the start"),
    (E, "mark,,,,,half way", "mark,,,,half way", 8, "", "has 5 cells, expected 6"),
    (E, "mark,,,,,half way", "", 8, "", "blank line"),
    (E, "op,task", "op,tsak", None, "task", "missing column"),
    (E, "value\n", "value,colour\n", None, "colour", "extra column"),
    (E, "value\n", "value,op\n", None, "op", "named twice"),
    (E, "half way", '"half way', None, "", "not CSV"),
    (E, "half way", "half\0way", 8, "", "NUL"),
    ("objects.csv", "heap,anon", "heap,anno", 2, "kind", "did you mean anon?"),
    ("objects.csv", "anon,20", "anon,", 2, "pages", "missing number"),
    ("objects.csv", "anon,20", "anon,-20", 2, "pages", "outside"),
    ("objects.csv", "anon,20", "anon,2147483648", 2, "pages", "outside"),
    ("objects.csv", "slab,", "heap,", 4, "name", "already the name of row 2"),
    ("objects.csv", "slab,", ",", 4, "name", "missing name"),
    ("objects.csv", "pages", "size", None, "pages", "missing column"),
    ("tasks.csv", "shell", "server", 2, "name", "already the name of row 1"),
    ("tasks.csv", "server,A", "server,AA", 1, "container", "did you mean A?"),
    ("tasks.csv", "500,true", "500,yes", 2, "root", "not true, false or blank"),
    ("tasks.csv", "500,true", "lots,true", 2, "vm", "not a whole number"),
    ("tasks.csv", "root\n", "roots\n", None, "roots", "did you mean root?"),
    ("containers.csv", "A,64", "A,much", 1, "limit", "not a whole number"),
    ("containers.csv", "A,64", "A,-1", 1, "limit", "outside"),
    ("containers.csv", "B,", "A,", 2, "name", "already the name of row"),
    ("containers.csv", "B,", "root,", 1, "name", "first container must be root"),
    ("header.json", "workbench-trace/1", "workbench-trace/2", None, "schema", "workbench-trace/1"),
    ("header.json", '"schema": "workbench-trace/1", ', "", None, "schema", "missing"),
    ("header.json", "{", "", None, "", "not JSON"),
    ("header.json", '"by hand"', "NaN", None, "", "not JSON"),
]


@pytest.mark.parametrize(("name", "old", "new", "row", "column", "says"), DEFECTS)
def test_defect(tmp_path, name, old, new, row, column, says):
    error = broken(tmp_path, name, old, new)
    found = [d for d in error.defects if d.column == column and (row is None or d.row == row)]
    assert found, error
    assert says in str(found[0])
    place = name if column != "container" or "mkdir" not in says else "tasks.csv"
    assert str(found[0]).startswith(place + (f" row {found[0].row}" if found[0].row else ""))
    assert len(error.defects) <= 5, error  # the one mistake, not a flood of consequences


def test_the_message_reads_as_in_the_manual(tmp_path):
    error = broken(tmp_path, E, "libc,10,", "libc,300,")
    line = "events.csv row 2, column page: 300 is beyond object libc (pages 0..299)"
    assert line in str(error).splitlines()


def test_all_defects_of_a_file_at_once_but_twenty_at_most(tmp_path):
    text = BY_HAND[E].replace("libc,10,", "libc,300,").replace("move,child,B", "move,chidl,B")
    with pytest.raises(TraceError) as caught:
        Trace.load(write(tmp_path / "t", BY_HAND | {E: text}))
    assert [(d.row, d.column) for d in caught.value.defects] == [(2, "page"), (6, "task")]
    many = BY_HAND[E] + "touch_read,server,libc,300,,\n" * 50
    with pytest.raises(TraceError, match="stopped after 20") as caught:
        Trace.load(write(tmp_path / "t", BY_HAND | {E: many}))
    assert len(caught.value.defects) == 20


@pytest.mark.parametrize("name", BY_HAND)
def test_missing_empty_and_undecodable_files(tmp_path, name):
    for i, (data, says) in enumerate(
        [(None, "missing file"), (b"", "empty"), (b"a\n\xff", "UTF-8")]
    ):
        with pytest.raises(TraceError) as caught:
            Trace.load(write(tmp_path / str(i), BY_HAND | {name: data}))
        assert [says in str(d) and d.table == name for d in caught.value.defects] == [True]


def test_nothing_there(tmp_path):
    with pytest.raises(FileNotFoundError):
        Trace.load(tmp_path / "none.zip")


@pytest.mark.parametrize("form", ["t.zip", "t.parquet"])
def test_truncated_or_garbled_archives(tmp_path, form):
    if form.endswith("parquet"):
        pytest.importorskip("pyarrow")
    Trace.load(write(tmp_path / "t")).save(tmp_path / form)
    whole = (tmp_path / form).read_bytes()
    for cut in [0, 1, 10, len(whole) // 2, len(whole) - 30, len(whole) - 1]:
        (tmp_path / form).write_bytes(whole[:cut])
        with pytest.raises(TraceError):
            Trace.load(tmp_path / form)
    start = whole.index(b"events.csv") + 15 if form == "t.zip" else 6
    (tmp_path / form).write_bytes(whole[:start] + b"\x5a" * 20 + whole[start + 20 :])
    with pytest.raises(TraceError):
        Trace.load(tmp_path / form)


def test_a_zip_without_one_table(tmp_path):
    with zipfile.ZipFile(tmp_path / "t.zip", "w") as archive:
        for name, text in BY_HAND.items():
            if name != "tasks.csv":
                archive.writestr(name, text)
    with pytest.raises(TraceError, match=r"tasks\.csv: missing file"):
        Trace.load(tmp_path / "t.zip")


def test_parquet_defects(tmp_path):
    pa = pytest.importorskip("pyarrow")
    parquet = pytest.importorskip("pyarrow.parquet")
    trace = Trace.load(write(tmp_path / "t"))
    trace.save(tmp_path / "t.parquet")
    table = parquet.read_table(tmp_path / "t.parquet")
    meta = json.loads(table.schema.metadata[b"workbench"])

    def says(table, text, **changed):
        packed = {"workbench": json.dumps(meta | changed)}
        parquet.write_table(table.replace_schema_metadata(packed), tmp_path / "x.parquet")
        with pytest.raises(TraceError, match=text):
            Trace.load(tmp_path / "x.parquet")

    def with_op(cells, kind=None):
        return table.set_column(0, "op", pa.array(cells, kind))

    says(table.drop_columns(["page"]), "page: missing column")
    says(table.append_column("colour", table["op"]), "extra column")
    says(with_op([0.5] * len(trace)), "column of integers")
    says(with_op([None] * len(trace), pa.int8()), "without nulls")
    says(with_op([300] * len(trace), pa.int32()), "op")
    says(with_op([77] * len(trace), pa.int8()), r"events row 1, column op: 77 is not an op")
    says(table, "header, column schema", header={"schema": "other"})
    says(table, "bad schema metadata", objects=[{"name": "x"}])
    says(table, "bad schema metadata", tasks=[{"name": "x", "colour": 1}])
    says(table, "bad schema metadata", objects=[{"name": ["x"], "kind": "file", "pages": 1}])
    says(table, "is not a whole number", objects=[{"name": "x", "kind": "file", "pages": "1"}])
    says(table, "must be the empty text", values=["x"])
    parquet.write_table(table.replace_schema_metadata({}), tmp_path / "x.parquet")
    with pytest.raises(TraceError, match="metadata 'workbench'"):
        Trace.load(tmp_path / "x.parquet")


# -- saving ------------------------------------------------------------------------------------


@pytest.mark.parametrize("form", ["t.d", "t.zip", "t.parquet"])
def test_a_failed_save_leaves_what_was_there(tmp_path, monkeypatch, form):
    if form.endswith("parquet"):
        pytest.importorskip("pyarrow")
    trace = Trace.load(write(tmp_path / "source"))
    trace.save(tmp_path / form)
    before = sorted(p.relative_to(tmp_path) for p in tmp_path.rglob("*"))
    target = tmp_path / form
    content = (target / E if target.is_dir() else target).read_bytes()

    def fails(*_):
        raise OSError("disk full")

    monkeypatch.setattr(os, "replace", fails)
    with pytest.raises(OSError, match="disk full"):
        trace.save(target)
    trace.op[0] = 99
    with pytest.raises(TraceError):
        trace.save(tmp_path / f"new-{form}")
    assert sorted(p.relative_to(tmp_path) for p in tmp_path.rglob("*")) == before
    assert (target / E if target.is_dir() else target).read_bytes() == content


def test_only_traces_are_replaced(tmp_path):
    trace = Trace.load(write(tmp_path / "t"))
    trace.save(tmp_path / "t")
    (tmp_path / "t" / "thesis.txt").write_text("years of work")
    with pytest.raises(FileExistsError):
        trace.save(tmp_path / "t")
    (tmp_path / "d.zip").mkdir()
    with pytest.raises(IsADirectoryError):
        trace.save(tmp_path / "d.zip")
    assert (tmp_path / "t" / "thesis.txt").read_text() == "years of work"


def test_the_standard_library_is_enough(tmp_path):
    write(tmp_path / "t")
    code = """
import sys
from workbench.trace import Trace
trace = Trace.load("t")
trace.save("t.zip")
assert Trace.load("t.zip") == trace
try:
    trace.save("t.parquet")
except ImportError as why:
    print(why)
"""
    command = [sys.executable, "-S", "-c", code]  # -S: no site-packages
    done = subprocess.run(
        command, cwd=tmp_path, env={"PYTHONPATH": str(ROOT)}, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr
    assert "workbench[parquet]" in done.stdout
    assert sorted(p.name for p in tmp_path.iterdir()) == ["t", "t.zip"]
