"""Reports: everything of several scenarios in one folder, the same bytes every time, offline."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from html.parser import HTMLParser

import pandas as pd
import pytest

from workbench import charts, compare, scenarios
from workbench.charts import style
from workbench.report import browser, report

SCHEMES = ["first_touch", "hand_over", "every_container"]


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    folder = tmp_path_factory.mktemp("report") / "out"
    report([scenarios.exit_attack(), scenarios.charge_pinning()], SCHEMES, folder, pdf=False)
    return folder


def test_every_dress_and_format_is_there(made):
    found = {p.name for p in (made / "charts").iterdir()}
    assert found == {
        f"{name}.{theme}-{size}.{form}"
        for name in ("exit_attack", "charge_pinning") for theme in ("light", "dark")
        for size in ("paper", "slide") for form in ("svg", "pdf", "png")
    }


def test_tables_of_all_scenarios_are_combined_and_agree_with_their_runs(made):
    summary = pd.read_csv(made / "tables/summary.csv")
    assert set(summary.scenario) == {"exit_attack", "charge_pinning"}
    run = compare(scenarios.exit_attack(), SCHEMES)
    mine = summary[summary.scenario == "exit_attack"]
    assert mine.peak.tolist() == run.summary().peak.tolist()
    pd.testing.assert_frame_equal(pd.read_parquet(made / "tables/summary.parquet"), summary,
                                  check_dtype=False)
    measured = pd.read_csv(made / "tables/measured.csv")
    assert set(measured.agrees.dropna()) <= {"yes", "no"} and len(measured) > 10


def test_the_same_bytes_every_time(made, tmp_path):
    report([scenarios.exit_attack(), scenarios.charge_pinning()], SCHEMES, tmp_path / "again",
           pdf=False)
    files = sorted(p.relative_to(made) for p in made.rglob("*") if p.is_file())
    assert files == sorted(
        p.relative_to(tmp_path / "again") for p in (tmp_path / "again").rglob("*") if p.is_file()
    )
    for file in files:
        assert (made / file).read_bytes() == (tmp_path / "again" / file).read_bytes(), file


class Page(HTMLParser):
    def __init__(self, text: str):
        super().__init__()
        self.links, self.alts, self.open, self.captions = [], [], [], 0
        self.feed(text)

    def handle_starttag(self, tag, attrs):
        said = dict(attrs)
        self.links += [said[a] for a in ("src", "href", "srcset") if a in said]
        if tag == "img":
            self.alts.append(said.get("alt"))
        self.captions += tag == "caption"
        if tag not in ("meta", "img", "source", "br", "link"):
            self.open.append(tag)

    def handle_endtag(self, tag):
        assert self.open.pop() == tag


def test_the_page_needs_nothing_else(made):
    text = (made / "index.html").read_text()
    page = Page(text)
    assert not page.open and page.links
    assert all(link.startswith("data:image/svg+xml;base64,") for link in page.links)
    assert not re.search(r"https?://(?!www\.w3\.org)", re.sub(r'"data:[^"]*"', "", text))
    assert len(page.alts) == 2 and all("peaks at" in alt for alt in page.alts)
    assert page.captions >= 4
    for story in (scenarios.exit_attack(), scenarios.charge_pinning()):
        assert story.title in text and "Source:" in text
    assert json.loads((made / "provenance.json").read_text())["scenarios"][0]["versions"]


def test_a_failed_prediction_is_said_in_words(made):
    measured = pd.read_csv(made / "tables/measured.csv", keep_default_na=False)
    missed = measured[measured.agrees == "no"]
    text = (made / "index.html").read_text()
    for row in missed.itertuples():
        assert f"{row.measured} (not {row.predicted})" in text
    assert text.count("(not ") == len(missed)


def test_a_dress_changes_colours_and_sizes_and_goes_again():
    run = compare(scenarios.shared_page(), ["first_touch"])
    plain = run.plot()
    with charts.dressed("dark", "slide"):
        dark = run.plot()
        assert dark.get_facecolor() != plain.get_facecolor()
        assert dark.get_figwidth() > 1.5 * plain.get_figwidth()
        assert style.INK != "#333333"
    assert style.INK == "#333333"
    again = run.plot()
    assert charts.export.chart_bytes(again, "svg") == charts.export.chart_bytes(plain, "svg")
    with pytest.raises(ValueError, match="'blue' is not one of light, dark"):
        charts.dressed("blue").__enter__()


def test_the_command_names_its_mistakes(tmp_path):
    def run(*words):
        return subprocess.run([sys.executable, "-m", "workbench", "report", *words], text=True,
                              capture_output=True, cwd=tmp_path)

    wrong = run("gcc22", "-o", "x")
    assert wrong.returncode == 2 and "did you mean gcc2" in wrong.stderr
    ignored = run("shared_page", "-o", "x", "--set", "frames=9")
    assert ignored.returncode == 2 and "its own machine" in ignored.stderr
    (tmp_path / "file").write_text("")
    assert run("shared_page", "-o", "file").returncode == 3
    good = run("shared_page", "--schemes", "none,first_touch", "-o", "out", "--no-pdf")
    assert good.returncode == 0 and (tmp_path / "out/index.html").exists()
    assert sorted(p.name for p in tmp_path.iterdir()) == ["file", "out"]


@pytest.mark.browser
@pytest.mark.skipif(browser() is None, reason="NO CHROMIUM HERE: the printed report is not tested")
def test_chromium_prints_it(tmp_path):
    files = report([scenarios.shared_page()], ["first_touch"], tmp_path / "out")
    assert (tmp_path / "out/report.pdf") in files
    assert (tmp_path / "out/report.pdf").read_bytes().startswith(b"%PDF")
