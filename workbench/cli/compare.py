"""`workbench compare`: one scenario under several schemes, side by side."""

from __future__ import annotations

from typing import Any

from .options import (
    Engine,
    Json,
    Limits,
    Nodes,
    Output,
    Params,
    Places,
    Samples,
    Schemes,
    Settings,
    What,
)
from .run import about, show_verdicts
from .source import Source, chosen_schemes
from .text import Progress, check_folder, counted, grid, save, show_json, wrapped


def compare_command(
    what: What,
    scheme: Schemes = None,
    engine: Engine = "auto",
    limit: Limits = None,
    nodes: Nodes = None,
    place: Places = None,
    param: Params = None,
    set_: Settings = None,
    samples: Samples = None,
    output: Output = None,
    as_json: Json = False,
) -> None:
    """Replay under several schemes, side by side."""
    from workbench.results import compare

    names = chosen_schemes(scheme)
    source = Source(what, param, nodes, place, limit, set_, engine)
    if output:
        check_folder(output)
    progress = Progress(f"replaying {source.thing.name} under {counted(len(names), 'scheme')}")
    samples = source.samples(samples, output)
    result = compare(source.thing, names, samples=samples, progress=progress, **source.options)
    progress.close()
    if output:
        save(result, output)
    if as_json:
        show_json({"scenario": result.name, "sentence": result.sentence(),
                   "runs": [about(run) for run in result.runs],
                   "provenance": result.provenance()})
        return
    print(f"{result.name} under {counted(len(names), 'scheme')}, pages of 4KiB\n")
    print(grid(*side_by_side(result)) + "\n")
    show_verdicts(result.runs)
    print(wrapped(result.sentence()))


def side_by_side(result: Any) -> tuple[list[str], list[list]]:
    """One row per scheme for up to three containers, else one per scheme and container."""
    from workbench.results import tables

    metrics = ("usage", "peak", "failcnt")
    at = [tables.COLUMNS["summary"].index(name) for name in (*metrics, "lost")]
    books = [(run, list(tables.summary(run))) for run in result.runs]
    every = [row for _, rows in books for row in rows]
    busy = {row[0] for row in every if row[0] != "root" or any(row[i] for i in at)}
    boxes = [c for c in result.runs[0].containers if c in busy]
    if len(boxes) > 3:
        return ["scheme", "container", *metrics, "killed"], [
            [run.scheme.label, row[0], *(row[i] for i in at)]
            for run, rows in books for row in rows if row[0] in boxes
        ]
    columns = ["scheme", *(f"{name} {box}" for box in boxes for name in metrics), "killed"]
    hangs = [run.hang for run, _ in books]
    lines = []
    for run, rows in books:
        mine = {row[0]: row for row in rows}
        lost = " ".join(kill[7] for kill in list(tables.oom(run))[:3])
        lost += " ..." if run.kills_in(run.state) > 3 else ""
        hang = [run.hang] if any(hangs) else []
        lines.append(
            [run.scheme.label, *(mine[box][i] for box in boxes for i in at[:-1]), lost, *hang]
        )
    return columns + ["hangs at"] * any(hangs), lines
