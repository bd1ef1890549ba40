"""Other tools' traces: what each reader makes of a small file, and what it says of a bad one."""

import gzip
import struct

import pytest

from workbench import cli
from workbench.trace import Op
from workbench.trace.foreign import (
    format_of,
    from_addresses,
    from_lackey,
    from_oracle,
    from_perf,
)

# `valgrind --tool=lackey --trace-mem=yes` of Valgrind 3.19, shortened
LACKEY = """\
==7== Lackey, an example Valgrind tool
==7== Command: /bin/true
==7==
I  0401ab70,3
I  0401ab73,5
 S 1fff000768,8
I  0401bffe,4
 L 1fff000760,8
 M 1fff001760,8
 L 0401ab70,8
"""
# `perf script --show-mmap-events --show-task-events` of perf 6.1, shortened
PERF = """\
 swapper     0 [000]  0.000000: PERF_RECORD_MMAP -1/0: [0xffff8000(0x12) @ 0xffff8000]: x [kernel]
      ls  1447 [001]  3236.049884: PERF_RECORD_COMM exec: ls:1447/1447
      ls  1447 [001]  3236.049923: PERF_RECORD_MMAP2 1447/1447: [0x564100000000(0x16000) @ 0x4000 \
fe:00 260601 0]: r-xp /usr/bin/ls
      ls  1447 [001]  3236.049964: PERF_RECORD_MMAP2 1447/1447: [0x7fb2ce365000(0x2000) @ 0 00:00 \
0 0]: r-xp [vdso]
      ls  1447 [001]  3236.050186: exceptions:page_fault_user: address=0x564100002b70 \
ip=0x564100002b70 error_code=0x14
            7fb2ce382a13 call chain (/usr/bin/ls)
      ls  1447 [001]  3236.050201: exceptions:page_fault_user: address=0x7fb2ce367d40 \
ip=0x7fb2ce382a13 error_code=0x6
      ls  1447 [001]  3236.050300: PERF_RECORD_FORK(1448:1448):(1447:1447)
      ls  1448 [001]  3236.050400: exceptions:page_fault_user: address=0x564100004000 \
ip=0x7fb2ce382a13 error_code=0x4
      ls  1448 [001]  3236.063564: PERF_RECORD_EXIT(1448:1448):(1447:1447)
"""


def accesses(trace):
    return [(e.op.name, e.task, e.target, e.page, e.count) for e in trace.events()
            if e.op in (Op.touch_read, Op.touch_write, Op.read)]


def test_lackey(tmp_path):
    (tmp_path / "t").write_text(LACKEY)
    assert format_of(tmp_path / "t") == "lackey"
    trace = from_lackey(tmp_path / "t")
    assert {(o.name, o.kind, o.pages) for o in trace.objects} == {
        ("program", "file", 3), ("data", "anon", 2)}
    assert accesses(trace) == [
        ("touch_read", "program.1", "program", 0, 1),
        ("touch_write", "program.1", "data", 0, 1),
        ("touch_read", "program.1", "program", 1, 1),  # four bytes on two pages
        ("touch_read", "program.1", "program", 2, 1),
        ("touch_write", "program.1", "data", 1, 1),
    ]


def test_lackey_repeats_a_page_that_was_not_used_lately(tmp_path):
    again = "".join(f" L {page:05x}000,4\n" for page in [1, *range(2, 12), 1])
    (tmp_path / "t").write_text(again)
    assert [row[3] for row in accesses(from_lackey(tmp_path / "t"))] == [*range(11), 0]


def test_perf(tmp_path):
    (tmp_path / "t").write_text(PERF)
    assert format_of(tmp_path / "t") == "perf"
    trace = from_perf(tmp_path / "t")
    assert [t.name for t in trace.tasks] == ["ls.1", "ls.2"]
    assert accesses(trace) == [
        ("touch_read", "ls.1", "/usr/bin/ls", 6, 1),
        ("touch_write", "ls.1", "ls.1:anon", 0, 1),
        ("touch_read", "ls.2", "/usr/bin/ls", 8, 1),
    ]
    assert trace.header["provenance"]["fault_around"] == "on"
    assert list(trace.time_ns)[-1] == 13_680_000


def test_perf_samples_with_an_address(tmp_path):
    (tmp_path / "t").write_text(" ls  13/14   3.547965: page-faults:     5616ca2ac5c0 ffffffff81\n")
    assert accesses(from_perf(tmp_path / "t")) == [("touch_write", "ls.1", "ls.1:anon", 0, 1)]


def requests(*rows):
    return b"".join(struct.pack("<IQIq", *row) for row in rows)


def test_oracle_general(tmp_path):
    data = requests((10, 7, 100, 2), (10, 9, 9000, -1), (12, 7, 5000, -1))
    (tmp_path / "t.oracleGeneral").write_bytes(data)
    trace = from_oracle(tmp_path / "t.oracleGeneral")
    assert [(o.kind, o.pages) for o in trace.objects] == [("file", 5)]  # 2 for object 7, 3 for 9
    assert accesses(trace) == [("read", "A.1", "objects", 0, 1), ("read", "A.1", "objects", 2, 3),
                               ("read", "A.1", "objects", 0, 2)]
    assert list(trace.time_ns) == [0, 0, 2_000_000_000]
    with gzip.open(tmp_path / "t.oracleGeneral.gz", "wb") as file:
        file.write(data)
    assert accesses(from_oracle(tmp_path / "t.oracleGeneral.gz")) == accesses(trace)


@pytest.mark.parametrize("owner, homes", [
    ("request % 2", ["owner0", "owner1", "owner0"]),
    ("id%3", ["owner1", "owner0", "owner1"]),
    ("names", ["x", "y", "y"]),
])
def test_whose_requests_they_are(tmp_path, monkeypatch, owner, homes):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "names").write_text("x\ny\ny\n")
    (tmp_path / "t.oracleGeneral").write_bytes(requests((0, 7, 1, 2), (0, 9, 1, -1), (0, 7, 1, -1)))
    out = tmp_path / "out.zip"
    assert cli.main(["trace", "convert", "t.oracleGeneral", str(out), "--owner", owner]) == 0
    from workbench.trace import Trace

    trace = Trace.load(out)
    assert [trace.tasks[task].container for task in trace.task] == homes


def test_page_numbers(tmp_path):
    (tmp_path / "t").write_text("# by hand\n8\n0x7\n\n8\n")
    assert format_of(tmp_path / "t") == "addresses"
    trace = from_addresses(tmp_path / "t")
    assert [row[3] for row in accesses(trace)] == [8, 7, 8] and trace.objects[0].pages == 9


@pytest.mark.parametrize("text, form, said", [
    (LACKEY + "I  04zz,3\n", None, "t line 11: 'I  04zz,3': expected I, L, S or M"),
    ("==7== Lackey\n", None, "no reference; run valgrind with --trace-mem=yes"),
    (PERF + "what is this\n", None, "t line 11: 'what is this': expected COMMAND PID TIME"),
    (PERF.replace("error_code", "code"), None, "t line 5: "),
    ("ls 1 3.5:  1 page-faults:  fff0 f+0x28a ([k])\n", None, "expected the address of the fault"),
    (PERF.replace("page_fault_user", "other"), None, "no page fault with its address"),
    ("1\n2\nx\n", None, "t line 3: 'x': expected one page number"),
    ("1\n-2\n", None, "t line 2: '-2': expected a page number from 0"),
    ("12345", "oracleGeneral", "5 bytes are not a whole number of requests of 24 bytes"),
    ("\0" * 48, "oracleGeneral", "t request 1: time"),
    ("1\n", "lacky", "--from lacky: lackey, perf, oracleGeneral, addresses; did you mean lackey?"),
    ("hello\n", None, "t"),
])
def test_malformed_files_say_where(tmp_path, monkeypatch, capsys, text, form, said):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "t").write_text(text)
    words = ["trace", "convert", "t", "out.zip", *(["--from", form] if form else [])]
    assert cli.main(words) == 2
    assert said in capsys.readouterr().err and not (tmp_path / "out.zip").exists()


@pytest.mark.parametrize("owner, said", [
    ("names", "names: 1 lines, but t.oracleGeneral has more requests"),
    ("nobody", "--owner nobody: no such file; a file with"),
])
def test_wrong_owners(tmp_path, monkeypatch, capsys, owner, said):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "names").write_text("x\n")
    (tmp_path / "t.oracleGeneral").write_bytes(requests((0, 7, 1, -1), (0, 9, 1, -1)))
    assert cli.main(["trace", "convert", "t.oracleGeneral", "out.zip", "--owner", owner]) == 2
    assert said in capsys.readouterr().err
    assert cli.main(["trace", "convert", "names", "out.zip", "--owner", owner]) == 2


def test_every_command_reads_them(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "t.txt").write_text(LACKEY)
    assert cli.main(["compare", "t.txt", "--scheme", "first_touch"]) == 0
    assert cli.main(["trace", "info", "t.txt"]) == 0
    assert "recorder: Valgrind lackey" in capsys.readouterr().out
