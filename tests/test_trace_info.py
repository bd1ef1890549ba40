"""What is in a trace, as text and as a chart: counted again from the events."""

from pathlib import Path

import pytest

from workbench import cli
from workbench.trace import Trace, TraceBuilder
from workbench.trace.summary import USES, growth, pages_used, picture, sharing

DATASETS = Path(__file__).parents[1] / "datasets"


def small():
    b = TraceBuilder()
    for box in "AB":
        b.container(box)
        b.task(box.lower(), box)
    b.file("dir/libc", 30)
    b.file("other", 5)
    b.anon("heap", 8)
    b.touch_read("a", "dir/libc", 0, 20)
    b.touch_write("a", "heap")
    b.touch_read("b", "dir/libc", 10, 20)
    b.touch_read("b", "dir/libc", 10, 20)
    b.read("b", "other", 1, 2)
    return b.build()


def test_growth_and_sharing_count_every_page_once():
    ends = {row.group: row.pages for row in growth(small(), top=1)}
    assert ends == {"libc": 30, "anonymous memory": 8, "other files": 2}
    steps = [(row.event, row.pages) for row in growth(small(), top=1, points=99)
             if row.group == "libc"]
    assert [pages for _, pages in steps] == [0, 20, 20, 20, 20, 30, 30, 30]
    assert [(row.group, row.users, row.pages) for row in sharing(small(), top=1)] == [
        ("libc", "A", 10), ("libc", "B", 10), ("libc", "A+B", 10),
        ("anonymous memory", "A", 8), ("other files", "B", 2),
    ]


@pytest.mark.parametrize("name", ["gcc2", "web"])
def test_sums_are_those_of_the_trace(name):
    trace = Trace.load(DATASETS / f"{name}.zip")
    everything = len(set().union(*pages_used(trace, USES).values()))
    ends = {row.group: row.pages for row in growth(trace)}
    assert sum(ends.values()) == sum(row.pages for row in sharing(trace)) == everything


def test_the_picture_in_the_terminal():
    lines = picture(small(), width=20).splitlines()
    assert lines[0] == "pages used so far, over events"
    assert len(lines) == 1 + 3 + 2 + 3
    assert lines[1].startswith("libc ") and lines[1].endswith(" 30") and lines[1][25] == " "
    assert "█ A (18)   ▓ B (12)   ▒ A+B (10)" in lines[5]
    assert max(map(len, lines)) <= 100
    shared = next(line for line in lines[6:] if line.startswith("libc"))
    assert [shared.count(fill) for fill in "█▓▒"] == [7, 6, 7]


def test_nothing_used_is_no_error():
    b = TraceBuilder()
    b.task("a")
    b.mark("x")
    assert picture(b.build()) == "pages used so far, over events"


def test_the_chart_is_drawn_twice_the_same(tmp_path, capsys):
    small().save(tmp_path / "small.zip")
    for name in ("one.svg", "two.svg"):
        words = ["trace", "info", str(tmp_path / "small.zip"), "-o", str(tmp_path / name)]
        assert cli.main(words) == 0
    one, two = ((tmp_path / name).read_bytes() for name in ("one.svg", "two.svg"))
    assert one == two and b"small uses 40 different pages" in one and b"libc (30)" in one
    assert b"10 are used by more than one; 10 by A and B." in one
    assert (tmp_path / "one.csv").read_text().startswith("event,seconds,group,pages")
    assert cli.main(["trace", "info", str(tmp_path / "small.zip"), "-o", "x.gif"]) == 2
    assert "x.gif: FILE ends in .svg, .pdf, .png" in capsys.readouterr().err
