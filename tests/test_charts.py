"""Charts through their public face: what is drawn, what is said, which bytes are written."""

import hashlib
import json
import os
import subprocess
import sys
import warnings
import xml.etree.ElementTree as ET
from pathlib import Path

import pytest

from workbench import Machine, TraceBuilder, charts, compare, replay
from workbench.charts import style

ROOT = Path(__file__).parents[1]
SVG = "{http://www.w3.org/2000/svg}"


def trace():
    b = TraceBuilder()
    b.container("A", 4)
    b.container("B", 4000)
    b.file("libc", 10)
    b.anon("heap", 6)
    b.task("QB", container="B")
    b.task("PA", container="A")
    b.touch("PA", "libc", 0, 4)
    b.touch("QB", "libc")
    b.touch("PA", "heap", write=True)
    b.exit("QB")
    return b.build({"name": "small"})


@pytest.fixture(scope="module")
def run():
    return replay(trace(), "every_mapping", engine="interpreted")


@pytest.fixture(scope="module")
def both():
    return compare(trace(), ["first_touch", "every_mapping"], engine="interpreted")


def line(ax, label):
    return next(x for x in ax.lines if str(x.get_label()).startswith(label))


def test_usage_draws_the_table(run):
    ax = charts.usage(run.table(), run.oom(), run.hang)
    assert (ax.get_xlabel(), ax.get_ylabel()) == ("events", "charged, pages")
    assert list(line(ax, "A").get_ydata()) == [0, 4, 4, 4, 4, 0, 0]
    assert list(line(ax, "B").get_ydata()) == [0, 0, 0, 10, 10, 10, 0]
    assert set(line(ax, "limit of A: 4").get_ydata()) == {4}
    assert "off the chart" in line(ax, "limit of B").get_label()
    assert len(line(ax, "limit of B").get_ydata()) == 0 and ax.get_ylim()[1] < 20
    kill = line(ax, "1 task killed")
    assert (list(kill.get_xdata()), list(kill.get_ydata())) == ([6], [4])
    assert kill.get_marker() == "X"
    assert line(ax, "A").get_drawstyle() == line(ax, "limit of A").get_drawstyle() == "steps-post"
    assert len(charts.failcnt(run.table()).lines) == 2


def test_lines_differ_without_colour():
    looks = style.looks(["root", *"ABCDEFGHIJ"]).values()
    grey = [(str(look.dash), look.marker) for look in looks]
    assert len(set(grey)) == len(grey)
    assert len({look.hatch for look in style.looks("ABCDEF").values()}) == 6


def test_thinning_keeps_extremes():
    y = [0] * 50_000
    y[31_313], y[40_001] = 7, -3
    x, thinned = style.thin(list(range(50_000)), y)
    assert len(x) <= style.MOST + 2 and (x[0], x[-1]) == (0, 49_999)
    assert {7, -3} <= set(thinned) and thinned[x.index(31_313)] == 7


def test_sentences_have_the_numbers(run, both):
    told = charts.describe_usage(run.table(), run.oom())
    assert "A peaks at 4 pages (event 2) and ends at 0, limit 4" in told
    assert "B peaks at 10 pages (event 4)" in told
    assert "1 task was killed: PA of A at event 6 for A." in told
    assert "A 1 and B 0" in charts.describe_failcnt(run.table())
    told = charts.describe_multiples(both.table(), both.oom(), both.hangs())
    assert "every_mapping: A peaks at 4 and ends at 0 with 1 refusal" in told
    assert "A: 4; B: 6" in charts.describe_owners(both["first_touch"].owners(at=4))
    assert "10 page cache" in charts.describe_nodes(run.nodes())
    chart = run.plot()
    assert chart.sentence in repr(chart) and "peaks at 10 pages" in chart.sentence
    png, metadata = chart._repr_png_()
    assert png.startswith(b"\x89PNG") and metadata == {"alt": chart.sentence}


def test_a_hang_is_drawn_and_told():
    b = TraceBuilder()
    b.container("A", 2)
    b.anon("heap", 4)
    b.task("PA", container="A", oom_adj=-17)
    b.touch("PA", "heap", write=True)
    hung = replay(b.build(), engine="interpreted", machine=Machine(swap=0))
    ax = charts.usage(hung.table(), hung.oom(), hung.hang)
    assert list(line(ax, "hangs at event 2").get_xdata()) == [2, 2]
    assert "The machine hangs at event 2." in hung.plot("oom").sentence


def test_nodes_stack_up_to_the_frames_used(run):
    (ax,) = charts.nodes(run.nodes())
    top = max(c.get_datalim(ax.transData).y1 for c in ax.collections)
    nodes = run.nodes()
    assert top == nodes.groupby("time")["frames"].sum().max()
    two = replay(trace(), engine="interpreted", machine=Machine(nodes=2, frames=32))
    ax = charts.nodes(two.nodes())[0]
    assert "its capacity of 32 frames" in ax.get_title("left") and ax.get_ylim()[1] > 32


def test_usage_refusals_and_kills_by_node():
    """By hand: B (node 1) maps 5 pages of a file and, on its node, 3 of its own; then 7 more.
    Ten do not fit its limit of 9: b2 is killed there. The file lies on node 0, where A first read
    it, but under every_container B pays for it too."""
    b = TraceBuilder()
    a = b.task("a", b.container("A"), 0)
    b.container("B", 9)
    tasks = [b.task(name, "B", 1) for name in ("b1", "b2")]
    b.file("f", 5)
    b.touch_read(a, "f")
    b.touch_read(tasks[0], "f")
    b.anon("h", 20)
    b.touch_write(tasks[1], "h", 0, 3)
    b.touch_write(tasks[1], "h", 3, 7)
    story = b.build({"name": "two nodes"})
    run = replay(story, "every_container", machine=Machine(nodes=2, swap=0), engine="interpreted")
    rows = {(r.container, r.node, r.time, r.metric): r.value for r in run.placed().itertuples()}
    last = len(story)
    assert [rows["A", n, last, "usage"] for n in (0, 1)] == [5, 0]
    assert [rows["B", n, last - 1, "usage"] for n in (0, 1)] == [5, 3]
    refused = int(run.state.failcnt[2])
    assert refused and [rows["B", n, last, "failcnt"] for n in (0, 1)] == [0, refused]
    chart = run.plot("placed")
    assert [ax.get_title("left") for ax in chart.axes[:2]] == ["node 0\n", "node 1\n1 killed"]
    assert "b2 killed" in chart.sentence.partition("node 1:")[2]
    numa = {(r.container, r.node): r.charged for r in run.numa().itertuples()}
    assert numa["A", 0] == rows["A", 0, last, "usage"]


def test_owners_draw_a_cell_per_page(both):
    mine = both["first_touch"].owners(at=4)
    ax = charts.owners(mine, containers=("root", "A", "B"))
    boxes = {c.get_label(): len(c.get_paths()) for c in ax.collections}
    assert (boxes["A"], boxes["B"], boxes["nobody"]) == (4, 6, 6)
    assert [t.get_text() for t in ax.get_yticklabels()] == ["libc (10)", "heap (6)"]
    looks = {c.get_label(): c.get_hatch() for c in ax.collections}
    assert looks["A"] != looks["B"]


def test_multiples_share_axes_and_mark_kills(both):
    pairs = charts.multiples(both.table(), both.oom(), both.hangs())
    assert len({upper.get_ylim() for upper, _ in pairs}) == 1
    assert [upper.get_title("left").split("\n")[0] for upper, _ in pairs] == both.schemes
    assert "1 killed" in pairs[1][0].get_title("left")
    assert any(x.get_marker() == "X" for x in pairs[1][0].lines)


def test_unknown_chart(run, both):
    with pytest.raises(ValueError, match="did you mean usage"):
        run.plot("usgae")
    with pytest.raises(ValueError, match="multiples"):
        both.plot("owners")


def test_nothing_to_draw_is_said():
    b = TraceBuilder()
    b.task("P")
    b.age()
    idle = replay(b.build(), "none", engine="interpreted")
    for kind in charts.RUN:
        assert idle.plot(kind).sentence
    assert "No task was killed." in idle.plot("oom").sentence


LAZY = """
import sys
from workbench import Trace, charts, compare, replay, scenarios, schemes
assert "matplotlib" not in sys.modules and "pandas" not in sys.modules
run = replay(Trace.load(sys.argv[1]), engine="interpreted")
run.summary()
assert "matplotlib" not in sys.modules
run.plot()
assert "matplotlib.pyplot" not in sys.modules
"""


def test_no_global_state():
    gcc2 = ROOT / "datasets" / "gcc2.zip"
    subprocess.run([sys.executable, "-c", LAZY, gcc2], check=True)


SAVE = """
import sys
from workbench import Trace, compare
both = compare(Trace.load(sys.argv[1]), ["first_touch", "fraction"], engine="interpreted")
both.save(sys.argv[2] + "/both")
both["first_touch"].save(sys.argv[2] + "/one")
"""


def test_files_are_the_same_bytes_every_time(tmp_path):
    trace().save(tmp_path / "small.zip")
    digests = []
    for i, (seed, zone, locale) in enumerate([("1", "UTC", "C"), ("77", "Asia/Tokyo", "C.UTF-8")]):
        out = tmp_path / f"out{i}"
        env = os.environ | {"PYTHONHASHSEED": seed, "TZ": zone, "LC_ALL": locale}
        env |= {"SOURCE_DATE_EPOCH": str(i * 10**9)}
        subprocess.run(
            [sys.executable, "-c", SAVE, tmp_path / "small.zip", out], check=True, env=env
        )
        files = sorted(p for p in out.rglob("*") if p.is_file())
        digests.append({str(p.relative_to(out)): hashlib.sha256(p.read_bytes()).hexdigest()
                        for p in files})
    assert digests[0] == digests[1]
    names = set(digests[0])
    for chart in ("one/usage", "one/failcnt", "one/oom", "one/nodes", "one/owners",
                  "both/comparison"):
        assert {f"{chart}.{end}" for end in ("svg", "pdf", "png", "csv")} <= names
    assert {"one/provenance.json", "one/captions.json", "both/summary.csv"} <= names
    for path in (tmp_path / "out0").rglob("*.*"):
        assert str(tmp_path).encode() not in path.read_bytes(), path
    look_inside(tmp_path / "out0" / "one")


def look_inside(folder: Path) -> None:
    captions = json.loads((folder / "captions.json").read_text())
    made = json.loads((folder / "provenance.json").read_text())
    assert made["scheme"] == "first_touch" and made["trace"]["events"] == 7
    svg = ET.parse(folder / "usage.svg").getroot()
    assert svg.get("role") == "img"
    title, desc = svg.find(f"{SVG}title"), svg.find(f"{SVG}desc")
    assert svg.get("aria-labelledby").split() == [title.get("id"), desc.get("id")]
    assert desc.text == captions["usage"] and "A peaks at" in desc.text
    text = (folder / "usage.svg").read_text()
    assert made["trace"]["sha256"] in text and "charged, pages" in text
    assert made["trace"]["sha256"].encode() in (folder / "usage.png").read_bytes()
    assert b"\r" not in (folder / "usage.csv").read_bytes()
    head, first = (folder / "usage.csv").read_text().splitlines()[:2]
    assert head == "scenario,scheme,container,time,metric,value,unit"
    assert first == "small,first_touch,root,1,usage,0.000000,pages"


def test_saving_again_replaces_and_leaves_no_rubbish(tmp_path, run):
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "mine.txt").write_text("kept")
    files = run.save(tmp_path / "out")
    again = run.save(tmp_path / "out")
    assert files == again and all(path.exists() for path in files)
    assert (tmp_path / "out" / "mine.txt").read_text() == "kept"
    assert [p.name for p in tmp_path.iterdir()] == ["out"]
    (tmp_path / "taken").write_text("")
    with pytest.raises(ValueError, match="is a file"):
        run.save(tmp_path / "taken")


def test_one_chart_to_one_file(tmp_path, run):
    made = run.plot("usage").save(tmp_path / "chart.svg")
    assert {p.suffix for p in made} >= {".svg", ".csv"} and not (tmp_path / "chart.png").exists()
    with pytest.raises(ValueError, match="format 'gif'"):
        run.plot("usage").save(tmp_path / "chart", formats=["gif"])


def test_parquet_carries_data_and_provenance(tmp_path, run):
    parquet = pytest.importorskip("pyarrow.parquet")
    run.save(tmp_path / "out")
    table = parquet.read_table(tmp_path / "out" / "samples.parquet")
    assert table.num_rows == len(run.table())
    assert json.loads(table.schema.metadata[b"workbench"])["scheme"] == "every_mapping"


def test_notebooks_show_pictures_with_words(run):
    formatters = pytest.importorskip("IPython.core.formatters")
    data, metadata = formatters.DisplayFormatter().format(run.plot("usage"))
    assert "image/png" in data and "peaks at 4 pages" in data["text/plain"]
    assert "peaks at 4 pages" in metadata["image/png"]["alt"]
    assert "every_mapping" in formatters.DisplayFormatter().format(run)[0]["text/html"]


def test_many_containers_stay_readable():
    b = TraceBuilder()
    b.file("libc", 4)
    for i in range(12):
        b.container(f"guest{i}", 20)
        b.task(f"T{i}", container=f"guest{i}")
        b.touch(f"T{i}", "libc")
    many = compare(b.build(), ["first_touch", "fraction"], engine="interpreted")
    chart = many.plot()
    with warnings.catch_warnings():
        warnings.simplefilter("error")  # matplotlib says so when the axes have no room left
        chart.draw_without_rendering()
        many["fraction"].plot().draw_without_rendering()
    for ax in chart.axes:
        assert ax.get_position().width > 0.25
    assert "first_touch: guest0 peaks at 4" in chart.sentence and "and 6 more" in chart.sentence


def test_a_matrix_says_its_cells_in_words_and_colours():
    import pandas as pd

    from workbench import charts

    cells = [
        ("exit", "first_touch", "+0", "holds"), ("exit", "fraction", "+20", "fails"),
        ("pinning", "first_touch", "96 for 0", "fails"), ("pinning", "fraction", "0", ""),
    ]
    table = pd.DataFrame(cells, columns=["row", "column", "word", "meaning"])
    chart = charts.figure_of_matrix(table, "Attacks", {"holds": "safe", "fails": "open"})
    assert [t.get_text() for t in chart.axes[0].texts] == ["+0", "+20", "96 for 0", "0"]
    assert len(chart.axes[0].patches) == 3  # the plain cell has no colour
    assert chart.axes[0].patches[0].get_hatch() != chart.axes[0].patches[1].get_hatch()
    said = "exit: safe under first_touch, open under fraction; pinning: open under first_touch."
    assert chart.sentence == said
    with pytest.raises(ValueError, match="'maybe' is not one of holds"):
        charts.matrix(table.assign(meaning="maybe"))


def test_a_peak_between_two_samples_is_said_where_it_goes_above_the_limit():
    b = TraceBuilder()
    for box, limit in (("A", None), ("B", 8)):
        b.container(box, limit)
        b.task(box.lower(), box)
    b.file("lib", 20)
    b.touch_read("a", "lib")
    b.touch_read("b", "lib")
    b.exit("a")  # B inherits 20 pages, and gives up 13 of them when it needs one more
    b.anon("heap", 1)
    b.touch_write("b", "heap")
    for _ in range(40):
        b.mark("later")
    result = compare(b.build(), ["hand_over", "first_touch"], samples=2)
    heads = [ax.get_title(loc="left") for ax in result.plot().axes]
    assert "hand_over\n1 killed, B peaks at 20" in heads and "first_touch\n" in heads
    whole = compare(b.build(), ["hand_over"]).plot()
    assert "hand_over\n1 killed" in [ax.get_title(loc="left") for ax in whole.axes]
