"""The event language, traces in memory, the builder and the importer of recordings."""

import lzma
import sys
from array import array
from itertools import pairwise

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from workbench.trace import (
    LANGUAGE,
    Container,
    Object,
    Op,
    Task,
    Trace,
    TraceBuilder,
    TraceError,
    validate,
)
from workbench.trace.builder import gaps, within, without
from workbench.trace.importers import from_ptrec
from workbench.trace.language import control_value, control_write
from workbench.trace.summary import describe

OBJECTS = [Object("libc", "file", 30), Object("heap", "anon", 9), Object("slab", "kernel", 5)]
TASKS = [Task("p"), Task("q"), Task("child")]


def shown(trace, *columns):
    """Events as text, blanks left out."""
    return [
        " ".join(str(x) for x in (e.op.name, e.task, e.target, f"{e.page}+{e.count}", e.value) if x)
        for e in trace.events()
    ]


# -- language ----------------------------------------------------------------------------------


def test_op_numbers_are_frozen():
    names = (
        "touch_read touch_write read write map unmap discard mlock munlock open close fork thread "
        "exec exit reap move mkdir rmdir set_limit run_on migrate age drop_caches mark io_error"
    )
    assert " ".join(op.name for op in sorted(Op)) == names
    assert list(Op) == list(range(26)) and set(LANGUAGE) == set(Op)


@given(st.binary())
def test_control_writes_round_trip(written):
    assert control_write(control_value("rss_limit", written)) == ("rss_limit", written)


def test_control_writes():
    assert control_write(r"numproc_limit=10\n") == ("numproc_limit", b"10\n")
    assert control_write(r"rss_limit=\x00\'\377=") == ("rss_limit", b"\0'\xff=")
    for bad in ["", "rss_limit", "limit=1", r"rss_limit=\400", "rss_limit=\\", "rss_limit=é"]:
        with pytest.raises(ValueError):
            control_write(bad)


# -- columns -----------------------------------------------------------------------------------


def columns(*rows, **more):
    cells = list(zip(*rows, strict=True)) if rows else [()] * 5
    names = ["op", "task", "target", "page", "count", "value"]
    return dict(zip(names, map(list, cells), strict=False)) | more


def test_from_columns_adds_root_and_shifts_container_targets():
    given = columns((Op.move, 0, 1, 0, 1), (Op.mkdir, -1, 1, 0, 1), (Op.age, -1, -1, 0, 1))
    trace = Trace.from_columns([], TASKS, [Container("A"), Container("B")], **given)
    assert shown(trace) == ["move p B 0+1", "mkdir B 0+1", "age 0+1"]
    assert Trace.from_columns([], [], [], **columns()).containers == [Container("root")]


def test_from_columns_rejects_what_does_not_fit():
    def defect(*rows, **more):
        with pytest.raises(TraceError) as caught:
            Trace.from_columns(OBJECTS, TASKS, [], **columns(*rows, **more))
        return caught.value.defects[0]

    good = (Op.touch_read, 0, 0, 0, 1)
    assert defect(good, (Op.touch_read, 0, 0, 0, 2**31))[1:3] == (2, "count")
    assert defect((Op.touch_read, 0, 0, 2**63, 1))[1:3] == (1, "page")
    assert defect((Op.touch_read, 0, 0, 1.5, 1))[1:3] == (1, "page")
    assert defect((200, 0, 0, 0, 1))[1:3] == (1, "op")
    assert defect((26, 0, 0, 0, 1))[1:3] == (1, "op")
    assert defect((Op.touch_read, 7, 0, 0, 1))[1:3] == (1, "task")
    assert defect((Op.touch_read, 0, 3, 0, 1))[1:3] == (1, "target")
    assert defect(good, value=[4])[1:3] == (1, "value")
    assert defect(good, good, time_ns=[5, 4])[1:3] == (2, "time_ns")
    assert defect(good, time_ns=[-1])[1:3] == (1, "time_ns")
    assert defect(good, time_ns=[1, 2])[:3] == ("events", None, "time_ns")
    assert defect(good, header={"schema": "other"}).table == "header"
    assert defect(good, header={"x": {1}}).table == "header"
    assert defect(good, values=["", "a\nb"]).expected == "is not printable text"


def test_numpy_columns_stay_numpy():
    np = pytest.importorskip("numpy")
    rows = [(Op.map, 0, 0, 0, 30, 1), (Op.touch_read, 0, 0, 3, 2, 0)]
    as_numpy = {k: np.array(v) for k, v in columns(*rows).items()}
    trace = Trace.from_columns(OBJECTS, TASKS, [], **as_numpy, values=["", "private"])
    assert isinstance(trace.page, np.ndarray) and trace.page.dtype == np.int64
    assert trace == Trace.from_columns(OBJECTS, TASKS, [], **columns(*rows), values=["", "private"])
    for name, cells in [("count", [2**31, 1]), ("op", [4, 300]), ("page", [0.0, 1.0])]:
        with pytest.raises(TraceError, match=f"column {name}"):
            given = as_numpy | {name: np.array(cells)}
            Trace.from_columns(OBJECTS, TASKS, [], **given, values=["", "private"])


likely = st.sampled_from(
    [
        (Op.touch_read, 0, 0, 28, 2, 0),
        (Op.map, 1, 1, 0, 9, 1),
        (Op.exit, 1, -1, 0, 1, 0),
        (Op.reap, 1, -1, 0, 1, 0),
        (Op.fork, 0, 2, 0, 1, 0),
        (Op.read, 2, 0, 0, 1, 0),
        (Op.run_on, 0, -1, 0, 1, 5),
        (Op.mkdir, -1, 1, 0, 1, 0),
    ]
)


@st.composite
def nearly(draw):
    """A likely row with one cell changed."""
    row = list(draw(likely))
    change = [(-1, 26), (-1, 3), (-1, 3), (-1, 31), (0, 12), (-1, 7)]
    column = draw(st.integers(0, 5))
    row[column] = draw(st.integers(*change[column]))
    return tuple(row)


@settings(max_examples=400)
@given(
    st.lists(nearly() | likely, max_size=8), st.none() | st.lists(st.integers(-1, 3), min_size=8)
)
def test_the_numpy_filter_changes_no_verdict(rows, times):
    np = pytest.importorskip("numpy")
    cells = list(zip(*rows, strict=True)) or [()] * 6
    made = [array(code, c) for code, c in zip("biiqii", cells, strict=True)]
    values = ["", "private", "shared", "rss_limit=7", "label", "3", "rss_limit=\\q"]
    boxes = [Container("root"), Container("A")]
    times = times and array("q", times[: len(rows)])
    trace = Trace(OBJECTS, TASKS, boxes, values, made, times, {"schema": "workbench-trace/1"})
    assert validate.FILTER_FROM > 10_000
    slow = validate.defects(trace)
    validate_numpy, validate._numpy = validate._numpy, lambda events: np
    try:
        assert validate.defects(trace) == slow
    finally:
        validate._numpy = validate_numpy


def test_millions_of_numpy_rows_need_no_python_loop():
    np = pytest.importorskip("numpy")
    n = 1_000_000
    op, page = np.zeros(n, np.int8), np.arange(n) % 30
    zeros = np.zeros(n, np.int64)
    given = {"op": op, "task": zeros, "target": zeros, "page": page, "count": zeros + 1}
    lines = 0

    def tracer(frame, event, arg):
        nonlocal lines
        lines += 1
        return tracer

    before = sys.gettrace()
    sys.settrace(tracer)
    try:
        trace = Trace.from_columns(OBJECTS, TASKS, [], **given)
    finally:
        sys.settrace(before)
    assert len(trace) == n and lines < 5000
    page[123_456] = 30
    with pytest.raises(TraceError, match="row 123457, column page: 30 is beyond object libc"):
        Trace.from_columns(OBJECTS, TASKS, [], **given)


# -- slices ------------------------------------------------------------------------------------


def test_a_slice_keeps_what_set_up_its_state():
    b = TraceBuilder()
    b.container("A")
    libc, p = b.file("libc", 9), b.task("p")
    b.touch(p, libc)
    b.mark("one")
    b.fork(p, "q")
    b.mkdir("B")
    b.move("q", "B")
    b.touch("q", libc)
    b.fork("q", "r")
    trace = b.build()
    kept = ["map p libc 0+9 private", "fork p q 0+1", "mkdir B 0+1"]
    assert shown(trace.slice(5, 7)) == [*kept, "move q B 0+1", "touch_read q libc 0+9"]
    early = trace.slice(0, 2)
    assert [t.name for t in early.tasks] == ["p"]
    assert [c.name for c in early.containers] == ["root", "A"]
    assert shown(early) == shown(trace)[:2]
    assert trace.slice(0, len(trace)) == trace
    assert len(trace.slice(3, 2)) == 1 + 0


# -- builder -----------------------------------------------------------------------------------

pages = st.tuples(st.integers(0, 20), st.integers(0, 20)).map(sorted)


@given(st.lists(st.tuples(st.booleans(), pages)), pages)
def test_spans_are_sets_of_pages(changes, asked):
    spans, naive = (), set()
    for add, (start, stop) in changes:
        if add and start < stop:
            spans, naive = within(spans, start, stop), naive | set(range(start, stop))
        else:
            spans, naive = without(spans, start, stop), naive - set(range(start, stop))
    flat = [p for a, b in spans for p in range(a, b)]
    assert flat == sorted(naive)
    assert all(a[1] < b[0] for a, b in pairwise(spans))
    missing = {p for a, b in gaps(spans, *asked) for p in range(a, b)}
    assert missing == set(range(*asked)) - naive


def test_touches_map_what_is_not_mapped():
    b = TraceBuilder()
    p, libc, seg, slab = (
        b.task("p"),
        b.file("libc", 30),
        b.shm("seg", 4),
        b.object("slab", "kernel", 2),
    )
    b.touch(p, libc, range(5, 10))
    b.touch_write(p, libc, 0, 20)
    b.touch(p, seg)
    b.touch(p, slab, 1, write=True)
    b.thread(p, "t")
    b.fork(p, "c")
    b.unmap(p, libc, 0, 8)
    b.discard(p, libc, 8, 4)
    b.touch_read("t", libc, 7, 5)
    b.touch_read("c", libc, 0, 21)
    b.exec("c")
    b.map("c", libc, shared=True)
    b.touch("c", libc, 29)
    assert shown(b.build()) == [
        "map p libc 5+5 private", "touch_read p libc 5+5",
        "map p libc 0+5 private", "map p libc 10+10 private", "touch_write p libc 0+20",
        "map p seg 0+4 shared", "touch_read p seg 0+4", "touch_write p slab 1+1",
        "thread p t 0+1", "fork p c 0+1", "unmap p libc 0+8", "discard p libc 8+4",
        "map t libc 7+1 private", "touch_read t libc 7+5",
        "map c libc 20+1 private", "touch_read c libc 0+21",
        "exec c 0+1", "map c libc 0+30 shared", "touch_read c libc 29+1",
    ]


def test_every_op_has_a_method_that_writes_it():
    b = TraceBuilder()
    b.container("A", limit=5)
    p, f = b.task("p", container="A", oom_adj=-17), b.file("f", 3, "/lib/f")
    for op in (
        "touch_read",
        "touch_write",
        "read",
        "write",
        "map",
        "discard",
        "mlock",
        "munlock",
        "unmap",
    ):
        getattr(b, op)(p, f)
    for op in ("open", "close"):
        getattr(b, op)(p, f)
    b.fork(p, "c", vm=7)
    b.thread("c", "d")
    b.exec("c")
    b.exit("c")
    b.reap("c")
    b.mkdir("B", limit=3)
    b.move(p, "B")
    b.rmdir("A")
    b.set_limit("B", 100)
    b.set_limit("B", b"7\n", "numproc_limit")
    b.set_limit("B", "rss_limit=8")
    b.run_on(p, 1)
    b.migrate(p, 0)
    b.age()
    b.drop_caches()
    b.mark("end")
    b.io_error(f, 2)
    trace = b.build({"provenance": {"source": "test"}})
    assert {Op(o) for o in trace.op} == set(Op)
    assert trace.tasks[1] == Task("c", vm=7) and trace.tasks[0].oom_adj == -17
    assert trace.containers[2] == Container("B", 3)
    written = [e.value for e in trace.events() if e.op == Op.set_limit]
    assert written == ["rss_limit=100", r"numproc_limit=7\n", "rss_limit=8"]
    assert len(b.build()) == len(trace)  # build may be called again


def test_builder_mistakes_are_told_at_once():
    b = TraceBuilder()
    p, f = b.task("server"), b.file("libc", 3)
    for mistake, says in [
        (lambda: b.touch("sevrer", f), "did you mean server?"),
        (lambda: b.touch(p, "libd"), "did you mean libc?"),
        (lambda: b.move(p, "A"), "no container named 'A'"),
        (lambda: b.task("server"), "already a task named server"),
        (lambda: b.fork(p, "server"), "already a task"),
        (lambda: b.task("x", container="B"), "no container"),
        (lambda: b.touch(p, f, range(0, 3, 2)), "not a run"),
        (lambda: b.touch(p, f, 0, 2**31), "does not fit"),
    ]:
        with pytest.raises(ValueError, match=says):
            mistake()
    b.read(p, f, 2, 5)
    with pytest.raises(TraceError, match="runs beyond object libc"):
        b.build()


def test_a_refused_event_leaves_no_half_row():
    b = TraceBuilder()
    p, f = b.task("p"), b.file("f", 3)
    with pytest.raises(ValueError):
        b.read(p, f, 0, 2**31)
    b.read(p, f)
    assert shown(b.build()) == ["read p f 0+3"]


def test_describe():
    b = TraceBuilder()
    b.container("A")
    b.container("B")
    f, h = b.file("f", 10), b.anon("h", 4)
    p, q = b.task("p", container="A"), b.task("q", container="B")
    b.touch(p, f, 0, 6)
    b.touch(q, f, 4, 6)
    b.touch(p, h, write=True)
    b.read(q, f, 0, 1)
    rows = {(r.section, r.name): r.number for r in describe(b.build())}
    assert rows["A", "pages touched"] == 10 and rows["A", "of these anonymous"] == 4
    assert rows["A", "of these touched by other containers"] == 2
    assert rows["B", "pages read or written"] == 1 and rows["events", "touch_read"] == 2
    assert rows["objects", "anon pages"] == 4


# -- recordings --------------------------------------------------------------------------------

RECORDING = """\
E 1000 1 /usr/bin/sh
M 1010 1 400 10 r-xp 0 fe 7 /usr/bin/sh
M 1010 1 410 4 rw-p 0 0 0 -
M 1010 1 7000 10 rw-p 0 0 0 -
F 1020 1 402 2
F 1020 1 403 3
A 1020 1 700f 0
A 1020 1 7000 0
A 1020 1 411 0
O 1030 1 3 fe 9 5000 /tmp/data
R 1040 1 fe 9 0 5000
c 1050 1 3
c 1050 1 9
O 1051 1 4 5 2 0 /dev/null
P 1060 1 2 1
A 1070 2 700f 0
M 1080 2 410 8 rw-p 0 0 0 -
A 1090 2 415 0
Z 1095 2 415
M 1100 2 410 2 rw-p 0 0 0 -
M 1105 2 410 8 rw-p 0 0 0 -
E 1110 2 /usr/lib/cc1
M 1120 2 400 20 r-xp 0 fe 8 /usr/lib/cc1
F 1130 2 401 1
T 1140 2 3 3
R 1150 3 fe 9 4096 1
U 1160 3 401 4
F 1170 2 9999 0
X 1180 3 0
X 1190 2 0
P 1200 1 4 2
O 1205 4 3 fe 9 0 /tmp/other
W 1206 4 fe 9 0 10
X 1210 4 0
X 1220 1 0
# events 30
"""


def test_a_recording_becomes_a_trace(tmp_path):
    (tmp_path / "r.rec").write_text(RECORDING)
    trace = from_ptrec(tmp_path / "r.rec")
    assert shown(trace) == [
        "map sh.1 /usr/bin/sh 0+4 private", "map sh.1 sh.1:anon 0+1 private",
        "map sh.1 sh.1:anon 1+2 private", "touch_read sh.1 /usr/bin/sh 2+2",
        "touch_write sh.1 sh.1:anon 2+1", "touch_write sh.1 sh.1:anon 1+1",
        "touch_write sh.1 sh.1:anon 0+1",
        "open sh.1 /tmp/data 0+1", "read sh.1 /tmp/data 0+2", "close sh.1 /tmp/data 0+1",
        "fork sh.1 cc1.2 0+1", "move cc1.2 A 0+1",
        "touch_write cc1.2 sh.1:anon 2+1",  # the page inherited from the parent
        "map cc1.2 cc1.2:anon 0+1 private", "touch_write cc1.2 cc1.2:anon 0+1",
        "discard cc1.2 cc1.2:anon 0+1", "unmap cc1.2 cc1.2:anon 0+1",  # brk shrinks ...
        "map cc1.2 cc1.2:anon 0+1 private",  # ... and grows
        "exec cc1.2 0+1", "map cc1.2 /usr/lib/cc1 0+2 private", "touch_read cc1.2 /usr/lib/cc1 1+1",
        "thread cc1.2 cc1.3 0+1", "read cc1.3 /tmp/data 1+1", "unmap cc1.2 /usr/lib/cc1 1+1",
        "exit cc1.3 0+1", "reap cc1.3 0+1", "exit cc1.2 0+1", "reap cc1.2 0+1",
        "fork sh.1 sh.4 0+1", "move sh.4 B 0+1", "open sh.4 /tmp/other 0+1",
        "write sh.4 /tmp/other 0+1",  # the inode number of a deleted file
        "exit sh.4 0+1", "reap sh.4 0+1", "exit sh.1 0+1", "reap sh.1 0+1",
    ]
    assert trace.header["provenance"]["lost_events"] == 1
    assert trace.time_ns[0] == 10 and trace.time_ns[-1] == 220
    assert [(c.name) for c in trace.containers] == ["root", "A", "B"]
    with lzma.open(tmp_path / "r.rec.xz", "wt") as file:
        file.write(RECORDING)
    one = from_ptrec(tmp_path / "r.rec.xz", containers="one")
    assert one.tasks[0].container == "A" and Op.move not in set(one.op)
    with pytest.raises(ValueError, match="'subtrees' or 'one'"):
        from_ptrec(tmp_path / "r.rec", containers="each")


# ---- containers in containers --------------------------------------------------------------------


def families(*boxes, events=()):
    b = TraceBuilder()
    for box in boxes:
        b._rows["container"][box.name] = box
        b._index["container"].setdefault(box.name, len(b._index["container"]))
    for name in events:
        b.mkdir(name)
    return b.build()


def test_a_parent_is_kept_in_every_form(tmp_path):
    trace = families(Container("A"), Container("B", parent="A"), Container("C", parent="B"))
    assert [c.parent for c in trace.containers] == ["", "", "A", "B"]
    for form in ("folder", "one.zip"):
        trace.save(tmp_path / form)
        assert Trace.load(tmp_path / form) == trace
    assert "C,,,,B" in (tmp_path / "folder/containers.csv").read_text()


@pytest.mark.parametrize(
    ("boxes", "events", "said"),
    [
        ([Container("A", parent="X")], [], "parent: X is not a container"),
        ([Container("A", parent="A")], [], "parent: A is row 2; a parent comes before its child"),
        ([Container("A", parent="B"), Container("B")], [], "B is row 3; a parent comes before"),
        ([Container("A"), Container("B", parent="A")], ["A"], "only made by mkdir in events row 1"),
        ([Container("A"), Container("B", parent="A")], ["B", "A"], "mkdir in events row 2"),
    ],
)
def test_impossible_families(boxes, events, said):
    with pytest.raises(TraceError, match=said):
        families(*boxes, events=events)


def test_a_child_is_made_after_its_parent():
    families(Container("A"), Container("B", parent="A"), events=["A", "B"])


def test_the_builder_wants_the_parent_first():
    with pytest.raises(ValueError, match="no container named 'A'"):
        TraceBuilder().container("B", parent="A")
