"""A folder to hand on: combined tables, charts for page and screen, and one file that has it all.

    index.html            one self-contained page: charts, tables, sources, provenance; no network
    report.pdf            the same, printed by Chromium where there is one
    tables/               summary, samples, oom, measured of all scenarios (CSV, Parquet)
    charts/SCENARIO.*     the comparison as SVG, PDF and PNG: light and dark, paper and slide
    provenance.json       what made it

Everything but the PDF has the same bytes from run to run.
"""

from __future__ import annotations

import base64
import os
import shutil
import subprocess
import tempfile
from collections import Counter
from collections.abc import Iterable
from html import escape
from pathlib import Path
from typing import Any

from workbench.charts import dressed, figure_of
from workbench.charts.export import chart_bytes
from workbench.charts.style import SIZES, THEMES
from workbench.results import compare
from workbench.results.comparison import Comparison, Progress, part_of
from workbench.results.export import json_bytes, table_files, write_files

BROWSERS = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable", "chrome")
QUIET = ("--headless", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-sync",
         "--disable-background-networking", "--disable-component-update",
         "--no-pdf-header-footer")
STYLE = """
:root { color-scheme: light dark; --ink: #222; --paper: #fff; --pale: #ddd; --miss: #b3261e }
@media (prefers-color-scheme: dark) {
  :root { --ink: #e6e6ea; --paper: #1b1b20; --pale: #45454d; --miss: #ff8a80 } }
body { font: 16px/1.5 system-ui, sans-serif; color: var(--ink); background: var(--paper);
  max-width: 60rem; margin: 2rem auto; padding: 0 1rem }
img { max-width: 100%; height: auto } figure { margin: 1rem 0 } figcaption { font-size: .9rem }
.wide { overflow-x: auto } table { border-collapse: collapse; font-size: .85rem }
th, td { padding: .2rem .6rem; border-bottom: 1px solid var(--pale); text-align: right }
th:first-child, td:first-child { text-align: left } caption { text-align: left; font-weight: 600 }
.miss { color: var(--miss); font-weight: 600 } pre { white-space: pre-wrap; font-size: .8rem }
@media print { body { max-width: none; margin: 0 } h2 { break-before: page } }
"""
MEASURED = ("scenario", "scheme", "quantity", "predicted", "measured", "agrees")


def report(
    sources: Iterable[Any],
    schemes: Iterable[str] | None,
    folder: str | Path,
    *,
    progress: Progress | None = None,
    pdf: bool = True,
    **same: Any,
) -> list[Path]:
    """Compare every scenario (or trace) under the schemes and write all of it; returns the files.

    `same` goes to `compare` (limits, machine, knobs). The folder appears whole or not at all; in
    one that is there, files of the same names are replaced. Raises ValueError as `compare` does.
    """
    sources = list(sources)
    if not sources:
        raise ValueError("report: no scenario given")
    parts = [compare(source, schemes, progress=part_of(progress, i, 2 * len(sources)), **same)
             for i, source in enumerate(sources)]
    files = tables_of(parts)
    charts = {}
    for n, (name, part) in enumerate(zip(names_of(parts), parts, strict=True), len(parts)):
        charts[name] = drawn(part)
        if progress:
            progress(n + 1, 2 * len(parts))
        for (theme, size, form), data in charts[name].items():
            files[f"charts/{name}.{theme}-{size}.{form}"] = data
    about = {"scenarios": [part.provenance() for part in parts]}
    files["provenance.json"] = json_bytes(about)
    files["index.html"] = page(parts, charts).encode()
    written = write_files(folder, files)
    if pdf and (printed := printed_by_browser(Path(folder) / "index.html")):
        written += write_files(folder, {"report.pdf": printed})
    return written


def names_of(parts: list[Comparison]) -> list[str]:
    """A name per scenario; a number is added to one that comes twice."""
    seen: Counter[str] = Counter()
    found = []
    for part in parts:
        seen[part.name] += 1
        found.append(f"{part.name}-{seen[part.name]}" if seen[part.name] > 1 else part.name)
    return found


def drawn(part: Comparison) -> dict[tuple[str, str, str], bytes]:
    """(theme, size, format) -> file: every dress of one comparison."""
    found = {}
    for theme in THEMES:
        for size in SIZES:
            with dressed(theme, size):
                chart = figure_of(part, "multiples")
                for form in ("svg", "pdf", "png"):
                    found[theme, size, form] = chart_bytes(chart, form)
    return found


def measured(parts: list[Comparison]):
    """What every scenario measures under every scheme, beside the prediction."""
    import pandas as pd

    rows = [
        (part.name, run.scheme.label, row["quantity"], shown(row["predicted"]),
         shown(row["measured"]), {True: "yes", False: "no", None: ""}[row["agrees"]])
        for part in parts for run in part for row in run.verdicts()
    ]
    return pd.DataFrame.from_records(rows, columns=list(MEASURED))


def shown(value: Any) -> str:
    """A prediction or a measure as text."""
    if value is None:
        return ""
    if isinstance(value, tuple):
        return " to ".join(map(shown, value))
    return value if isinstance(value, str) else f"{value:.6g}"


def tables_of(parts: list[Comparison]) -> dict[str, bytes]:
    import pandas as pd

    about = {"scenarios": [part.provenance() for part in parts]}
    summary = [part.summary().assign(scenario=part.name) for part in parts]
    tables = {
        "summary": pd.concat([t[["scenario", *t.columns[:-1]]] for t in summary]),
        "samples": pd.concat([part.table() for part in parts]),
        "oom": pd.concat([part.oom() for part in parts]),
        "measured": measured(parts),
    }
    files: dict[str, bytes] = {}
    for name, table in tables.items():
        files |= table_files(f"tables/{name}", table.reset_index(drop=True), about)
    return files


# ---- the page ------------------------------------------------------------------------------------


def page(parts: list[Comparison], charts: dict[str, dict]) -> str:
    """One HTML file without any other file: pictures inside, both themes, all text selectable."""
    title = ", ".join(dict.fromkeys(part.name for part in parts))
    body = [f"<h1>Who pays for shared memory? {escape(title)}</h1>"]
    for (name, files), part in zip(charts.items(), parts, strict=True):
        body.append(section(name, part, files))
    return (
        '<!doctype html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n'
        '<meta name="viewport" content="width=device-width, initial-scale=1">\n'
        f"<title>{escape(title)}: container memory workbench</title>\n<style>{STYLE}</style>\n"
        "</head>\n<body>\n<main>\n" + "\n".join(body) + "\n</main>\n</body>\n</html>\n"
    )


def section(name: str, part: Comparison, files: dict) -> str:
    story = part.runs[0].scenario
    story = story if hasattr(story, "question") else None  # a trace from a file has no more to say
    out = [f'<section id="{escape(name)}">', f"<h2>{escape(getattr(story, 'title', name))}</h2>"]
    if story is not None:
        out.append(f"<p>{escape(story.question)}</p><p>Source: {escape(story.source)}.</p>")
    light, dark = (inline(files[theme, "paper", "svg"]) for theme in ("light", "dark"))
    out.append(
        f'<figure><picture><source media="(prefers-color-scheme: dark)" srcset="{dark}">'
        f'<img src="{light}" alt="{escape(alt(part))}"></picture>'
        f"<figcaption>{escape(part.sentence())}</figcaption></figure>"
    )
    out.append(html_table("Per scheme and container, in pages", part.summary()))
    found = measured([part])
    if len(found):
        out.append(html_table("Measured; where a prediction failed, also what was predicted",
                              side_by_side(found)))
    kills = part.oom()
    if len(kills):
        out.append(html_table("Tasks killed", kills.drop(columns="scenario")))
    if story is not None and story.notes:
        out.append("<ul>" + "".join(f"<li>{escape(n)}</li>" for n in story.notes) + "</ul>")
    about = json_bytes(part.provenance()).decode()
    out.append(f"<details><summary>What made this</summary><pre>{escape(about)}</pre></details>")
    return "\n".join([*out, "</section>"])


def side_by_side(found: Any):
    """Quantities down, schemes across; `3 (not 4)` where 4 was predicted."""
    cells = found["measured"].where(
        found["agrees"] != "no", found["measured"] + " (not " + found["predicted"] + ")"
    )
    wide = found.assign(cell=cells).pivot(index="quantity", columns="scheme", values="cell")
    wide = wide.loc[found["quantity"].unique(), found["scheme"].unique()].fillna("")
    return wide.rename_axis(None, axis=1).reset_index()


def alt(part: Comparison) -> str:
    """The chart's own sentence, scheme by scheme."""
    from workbench.charts import describe_multiples

    return describe_multiples(part.table(), part.oom(), part.hangs())


def inline(svg: bytes) -> str:
    return "data:image/svg+xml;base64," + base64.b64encode(svg).decode()


def html_table(caption: str, table: Any) -> str:
    """A table; a failed prediction stands out, in words as well as in colour."""
    head = "".join(f'<th scope="col">{escape(str(c))}</th>' for c in table.columns)
    rows = []
    for row in table.itertuples(index=False):
        words = [escape(text(value)) for value in row]
        cells = "".join(f"<td{' class=miss' * ('(not ' in word)}>{word}</td>" for word in words)
        rows.append(f"<tr>{cells}</tr>")
    return (
        f'<div class="wide" tabindex="0" role="region" aria-label="{escape(caption)}"><table>'
        f"<caption>{escape(caption)}</caption><thead><tr>{head}</tr></thead>\n<tbody>"
        + "\n".join(rows) + "</tbody></table></div>"
    )


def text(value: Any) -> str:
    import pandas as pd

    if value is None or value is pd.NA or value != value:
        return ""
    if isinstance(value, bool | str):
        return {True: "yes", False: "no"}.get(value, value) if isinstance(value, bool) else value
    return f"{value:,.0f}" if value == int(value) else f"{value:,.2f}"


# ---- on paper ------------------------------------------------------------------------------------


def browser() -> str | None:
    """A Chromium on this machine, or None."""
    return next(filter(None, map(shutil.which, BROWSERS)), None)


def printed_by_browser(html: Path) -> bytes | None:
    """The page as PDF; None where there is no Chromium or it does not print."""
    program = browser()
    if program is None:
        return None
    root = ["--no-sandbox"] if hasattr(os, "geteuid") and os.geteuid() == 0 else []
    with tempfile.TemporaryDirectory(prefix="workbench-") as work:
        out = Path(work) / "report.pdf"
        command = [program, *QUIET, *root, f"--user-data-dir={work}/profile",
                   f"--print-to-pdf={out}", html.resolve().as_uri()]
        try:
            subprocess.run(command, check=True, timeout=60, stdin=subprocess.DEVNULL,
                           stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
            return out.read_bytes()
        except (OSError, subprocess.SubprocessError):
            return None
