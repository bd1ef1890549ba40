"""Table in, matplotlib Axes out; nothing here simulates. `Run.plot` and `Run.save` come here.

`usage`, `failcnt`, `oom`, `nodes`, `owners`, `multiples`, `deals`, `verdicts` take tables and give
Axes; for each a `describe_` function returns the sentence that serves as caption and alt text.
"""

from __future__ import annotations

from pathlib import Path

from workbench.kernel import counted, did_you_mean
from workbench.results import tables

from .beside import beside, describe_beside
from .contents import contents, describe_contents
from .deals import deals, describe_deals
from .export import save_chart, save_result
from .matrix import describe_matrix, matrix
from .multiples import describe_multiples, multiples
from .nodes import describe_nodes, nodes
from .owners import describe_owners, owners
from .placed import describe_placed, placed
from .style import Chart, dressed, sheet
from .usage import describe_failcnt, describe_oom, describe_usage, failcnt, oom, usage
from .verdicts import describe_verdicts, verdicts

RUN = ("run", "usage", "failcnt", "oom", "nodes", "owners", "placed")


def figure_of(result, kind: str, **options) -> Chart:
    """A chart of a Run (see RUN) or of a Comparison ("multiples"), with sentence and provenance."""
    known = ("multiples",) if hasattr(result, "runs") else RUN
    if kind not in known:
        raise ValueError(f"no chart {kind!r} of this result{did_you_mean(kind, known)}")
    if kind == "multiples":
        chart = _compared(result, **options)
    else:
        chart = _of_run(result, kind, **options)
    chart.provenance = result.provenance()
    return chart


def _compared(result) -> Chart:
    table, kills, hangs = result.table(), result.oom(), result.hangs()
    title = f"{result.name} under {counted(len(result), 'scheme')}"
    return _filled(
        multiples(table, kills, hangs)[0][0], title, describe_multiples(table, kills, hangs),
        _metrics(table, "usage", "limit", "failcnt", "peak"),
    )


def _of_run(run, kind: str, at: int | None = None) -> Chart:
    table, kills, hang = run.table(), run.oom(), run.hang
    name = f"{run.name} under {run.scheme.label}"
    if kind == "nodes":
        data = run.nodes()
        ax, words = nodes(data)[0], describe_nodes(data)
    elif kind == "placed":
        rows, where = tables.placed(run)
        data = tables.frame("placed", rows)
        ax = placed(data, kills, where)[0][0]
        words = f"{name}, by node. {describe_placed(data, kills, where)}"
    elif kind == "owners":
        # at the end everything may be gone: then the busiest moment
        over = not any(run.usage_exact().values())
        at = (run.busiest() if over else len(run.trace)) if at is None else at
        data, when = run.owners(at), f"after event {at:,}"
        ax = owners(data, f"Who pays for which page {when}: {name}", tuple(run.containers))
        words = describe_owners(data, f"of {name} {when}")
    elif kind == "oom":
        data = kills
        ax, words = oom(kills, len(run.trace), hang), describe_oom(kills, hang)
    elif kind == "failcnt":
        data = _metrics(table, "failcnt")
        ax, words = failcnt(table, kills, hang), describe_failcnt(table, hang)
    elif kind == "usage":
        data = _metrics(table, "usage", "limit", "peak")
        ax, words = usage(table, kills, hang), describe_usage(table, kills, hang)
    else:
        data = _metrics(table, "usage", "limit", "failcnt", "peak")
        ax, lower = sheet(4.8).subplots(2, 1, sharex=True, height_ratios=[3, 2])
        usage(table, kills, hang, ax).set_xlabel("")
        failcnt(table, kills, hang, lower).set_title("", loc="left")
        words = f"{describe_usage(table, kills, hang)} {describe_failcnt(table)}"
    return _filled(ax, f"{kind} of {name}", words, data)


def figure_of_deals(table, metric: str = "peak", container: str = "A") -> Chart:
    """The chart of a sweep over arrival orders, with sentence and data."""
    mine = (table["metric"] == metric) & (table["container"] == container)
    return _filled(deals(table, metric, container), f"{metric} of {container} over arrival orders",
                   describe_deals(table, metric, container), table[mine].reset_index(drop=True))


def figure_beside(table, kills=None) -> Chart:
    """The chart of prediction beside measurement, with sentence and data."""
    title = f"{table.iloc[0]['metric']} in {table.iloc[0]['scenario']}"
    return _filled(beside(table, kills), title, describe_beside(table, kills), table)


def figure_of_matrix(table, title: str = "", words: dict[str, str] | None = None) -> Chart:
    """The chart of a table of words (see `matrix`), with sentence and data."""
    return _filled(matrix(table, title, words), title, describe_matrix(table, words), table)


def figure_of_verdicts(table) -> Chart:
    """The chart of claims by verdict, with sentence and data."""
    return _filled(verdicts(table), "Claims by verdict", describe_verdicts(table), table)


def _filled(ax, title: str, sentence: str, data) -> Chart:
    chart = ax.figure
    chart.title, chart.sentence, chart.data = title, sentence, data
    return chart


def _metrics(table, *metrics: str):
    return table[table["metric"].isin(metrics)].reset_index(drop=True)


def save(result, folder: str | Path) -> list[Path]:
    """Everything about a Run or a Comparison as files; see `Run.save`."""
    if hasattr(result, "runs"):
        charts = {"comparison": figure_of(result, "multiples")}
        tables = {"samples": result.table(), "summary": result.summary(), "oom": result.oom()}
    else:
        charts = {kind: figure_of(result, kind) for kind in RUN[1:-1]}
        tables = {"samples": result.table(), "summary": result.summary(),
                  "oom_candidates": result.oom_candidates()}
    return save_result(folder, charts, tables, result.provenance())


__all__ = [
    "Chart", "beside", "contents", "deals", "describe_beside", "describe_contents",
    "describe_deals", "describe_failcnt", "describe_matrix", "describe_multiples",
    "describe_nodes", "describe_oom", "describe_owners", "describe_usage", "describe_verdicts",
    "dressed", "failcnt", "figure_beside", "figure_of", "figure_of_deals", "figure_of_matrix",
    "figure_of_verdicts", "matrix", "multiples", "nodes", "oom", "owners", "save", "save_chart",
    "usage", "verdicts",
]
