"""Charts as files: SVG, PDF and PNG with the same bytes every time, their data beside them."""

from __future__ import annotations

import hashlib
import io
import json
from collections.abc import Iterable
from html import escape
from pathlib import Path
from threading import Lock

import matplotlib

from workbench.results.export import json_bytes, table_files, write_files

FORMATS = ("svg", "pdf", "png")
SETTINGS = {"svg.hashsalt": "workbench", "svg.fonttype": "none", "pdf.fonttype": 42}
_LOCK = Lock()  # settings are global to matplotlib while a file is written


def chart_bytes(chart, form: str) -> bytes:
    """One chart as svg, pdf or png: no dates, fixed ids; title, sentence and provenance inside."""
    if form not in FORMATS:
        raise ValueError(f"format {form!r} is not one of {', '.join(FORMATS)}")
    made = json.dumps(chart.provenance, sort_keys=True, default=str)
    metadata = {
        "svg": {"Title": chart.title, "Description": chart.sentence, "Source": made, "Date": None},
        "pdf": {"Title": chart.title, "Subject": chart.sentence, "Keywords": made,
                "CreationDate": None},
        "png": {"Title": chart.title, "Description": chart.sentence, "Source": made},
    }[form]
    out = io.BytesIO()
    with _LOCK, matplotlib.rc_context(SETTINGS):
        chart.savefig(out, format=form, metadata=metadata, dpi=150)
    return accessible(out.getvalue(), chart) if form == "svg" else out.getvalue()


def accessible(svg: bytes, chart) -> bytes:
    """An SVG that says what it shows: role, title and description."""
    key = hashlib.sha256(f"{chart.title} {chart.sentence}".encode()).hexdigest()[:12]
    names = f'role="img" aria-labelledby="title-{key} sentence-{key}"'
    text = svg.decode().replace("<svg ", f"<svg {names} ", 1)
    head, _, rest = text.partition(" <metadata>")
    start = head.index("<svg ")
    start = head.index(">", start) + 1
    said = f'\n <title id="title-{key}">{escape(chart.title, False)}</title>'
    said += f'\n <desc id="sentence-{key}">{escape(chart.sentence, False)}</desc>\n'
    return (head[:start] + said + " <metadata>" + rest).encode()


def chart_files(name: str, chart, formats: Iterable[str] = FORMATS) -> dict[str, bytes]:
    """name.svg, .pdf, .png, .csv and, where pyarrow is there, .parquet."""
    files = {f"{name}.{form}": chart_bytes(chart, form) for form in formats}
    if chart.data is not None:
        files |= table_files(name, chart.data, chart.provenance)
    return files


def save_chart(chart, path: str | Path, formats: Iterable[str] = FORMATS) -> list[Path]:
    """Write one chart's files beside each other; `path` names them without a suffix."""
    path = Path(path)
    if path.suffix[1:] in FORMATS:
        path, formats = path.with_suffix(""), [path.suffix[1:]]
    return write_files(path.parent, chart_files(path.name, chart, formats))


def save_result(folder: str | Path, charts: dict, tables: dict, provenance: dict) -> list[Path]:
    """A folder with every chart, every table, the charts' sentences and provenance.json."""
    files: dict[str, bytes] = {}
    for name, table in tables.items():
        files |= table_files(name, table, provenance)
    for name, chart in charts.items():
        files |= chart_files(name, chart)
    files["captions.json"] = json_bytes({name: chart.sentence for name, chart in charts.items()})
    files["provenance.json"] = json_bytes(provenance)
    return write_files(folder, files)
