"""`workbench run`: one scenario under one scheme."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

from workbench.trace.files import csv_text

from .options import (
    Engine,
    Json,
    Limits,
    Nodes,
    Output,
    Params,
    Places,
    Samples,
    Scheme,
    Settings,
    What,
)
from .source import Source
from .text import (
    Mistake,
    Progress,
    cell,
    check_file,
    check_folder,
    counted,
    folded,
    grid,
    records,
    save,
    say,
    show_json,
    wrapped,
    write_file,
)


def run(
    what: What,
    scheme: Scheme = "first_touch",
    engine: Engine = "auto",
    limit: Limits = None,
    nodes: Nodes = None,
    place: Places = None,
    param: Params = None,
    set_: Settings = None,
    samples: Samples = None,
    events: Annotated[
        str | None,
        typer.Option(metavar="[FILE.csv]", help="One row per event, with everybody's usage and "
                     "failcnt after it: to a file, or to stdout instead of the summary."),
    ] = None,
    output: Output = None,
    as_json: Json = False,
) -> None:
    """Replay under one scheme."""
    from workbench.results import replay, tables

    if events == "-" and as_json:
        raise Mistake("--json and --events would both go to stdout; give --events a file")
    if events and events != "-":
        check_file(Path(events))
    source = Source(what, param, nodes, place, limit, set_, engine)
    if output:
        check_folder(output)
    progress = Progress(f"replaying {source.thing.name}")
    samples = source.samples(samples, output)
    result = replay(source.thing, scheme, samples=samples, progress=progress, **source.options)
    if events:
        text = csv_text(*tables.steps(result))
    progress.close()
    if events and events != "-":
        write_file(Path(events), text)
        say(f"{counted(len(result.trace), 'row')} in {events}")
    if output:
        save(result, output)
    if events == "-":
        print(text, end="")
    elif as_json:
        show_json(about(result) | {"provenance": result.provenance()})
    else:
        print(f"{result.name} under {result.scheme.label} ({result.scheme.title}), pages of 4KiB\n")
        print(grid(tables.summary_columns(result), tables.summary(result)))
        kills = list(tables.oom(result))
        if kills:
            print("\n" + grid(tables.COLUMNS["oom"][2:], [kill[2:] for kill in kills]))
        print()
        show_verdicts([result])
        print(wrapped(result.sentence()))


def about(run: Any) -> dict[str, Any]:
    """A run as JSON."""
    from workbench.results import tables

    return {
        "scheme": run.scheme.label,
        "sentence": run.sentence(),
        "hang": run.hang,
        "summary": records(tables.summary_columns(run), tables.summary(run)),
        "kills": records(tables.COLUMNS["oom"], tables.oom(run)),
        "measured": run.verdicts(),
    }


def said(row: dict[str, Any]) -> str:
    """A measured quantity; with the prediction when it came out otherwise."""
    if row["agrees"] is not False:
        return cell(row["measured"])
    low_high = row["predicted"]
    wanted = low_high if isinstance(low_high, tuple) else (low_high,)
    return f"{cell(row['measured'])} (not {' to '.join(map(cell, wanted))})"


def show_verdicts(runs: list[Any]) -> None:
    """Quantities down, schemes across; "(not 3)" where a prediction of 3 did not come true."""
    columns = [run.verdicts() for run in runs]
    if not any(columns):
        return
    rows = [[row[0]["quantity"], *map(said, row)] for row in zip(*columns, strict=True)]
    print(folded(["measured", *(run.scheme.label for run in runs)], rows))
    judged = [row["agrees"] for rows in columns for row in rows if row["agrees"] is not None]
    if judged:
        print(f"{sum(judged)} of {len(judged)} predictions came true")
    print()
