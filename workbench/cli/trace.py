"""`workbench trace`: look at traces, check them, convert them."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

from .options import Json
from .source import Source, read_trace, trace_name
from .text import (
    Mistake,
    check_ending,
    counted,
    grid,
    records,
    save_trace,
    say,
    show_json,
    writing,
)

trace_app = typer.Typer(help="Look at traces, check them, convert them.", no_args_is_help=True)
TraceFile = Annotated[Path, typer.Argument(metavar="FILE", show_default=False)]
Containers = Annotated[
    str, typer.Option(help="For recordings: subtrees (a container each) or one (all in A).")
]


@trace_app.command("info")
def trace_info(
    file: TraceFile,
    output: Annotated[
        Path | None,
        typer.Option("--output", "-o", metavar="FILE.svg", help="Draw it: .svg, .png or .pdf."),
    ] = None,
    as_json: Json = False,
) -> None:
    """What is in a trace, and where it comes from.

    Pages used over time by file and kind, who shares them, counts of events and objects.
    """
    from workbench.trace.summary import describe, picture

    trace = read_trace(str(file))
    if output:
        draw_contents(trace, trace_name(str(file)), output)
    rows = [(row.section, row.name, row.number) for row in describe(trace)]
    if as_json:
        counts = records(("section", "name", "number"), rows)
        show_json({"header": trace.header, "counts": counts})
        return
    print(picture(trace) + "\n")
    print(grid(["section", "what", "number"], rows))
    for key, value in trace.header.get("provenance", {}).items():
        print(f"{key}: {value}")


def draw_contents(trace: Any, name: str, output: Path) -> None:
    """The chart of `trace info`, its data beside it."""
    import pandas

    from workbench import charts
    from workbench.charts.export import FORMATS
    from workbench.trace import summary

    if output.suffix[1:] not in FORMATS:
        raise Mistake(f"{output}: FILE ends in {', '.join(f'.{form}' for form in FORMATS)}")
    grown = pandas.DataFrame(summary.growth(trace), columns=summary.Growth._fields)
    shared = pandas.DataFrame(summary.sharing(trace), columns=summary.Sharing._fields)
    shared.attrs["order"] = summary.who(set(shared["users"]))
    chart = charts.contents(grown, shared, name)
    chart.provenance = trace.header.get("provenance", {})
    with writing(output):
        files = charts.save_chart(chart, output)
    say(f"{counted(len(files), 'file')}: {', '.join(map(str, files))}")


@trace_app.command("check")
def trace_check(files: Annotated[list[Path], typer.Argument(metavar="FILE...")]) -> None:
    """Validate traces.

    Then replay under `none`, which finds touches outside every mapping.
    """
    from workbench.kernel import AccessError
    from workbench.results import replay
    from workbench.trace import TraceError

    bad = 0
    for file in files:
        try:
            source = Source(str(file))
            run = replay(source.thing, "none", **source.options)
            print(f"ok {file}: {counted(len(run.trace), 'event')}")
        except (TraceError, AccessError, Mistake) as problem:
            bad += 1
            text = str(problem)
            print(f"BAD {text if str(file) in text else f'{file}: {text}'}")
    if bad:
        say(f"{bad} of {counted(len(files), 'trace')} cannot be used")
        raise typer.Exit(2)


@trace_app.command("convert")
def trace_convert(
    file: TraceFile,
    out: Annotated[Path, typer.Argument(metavar="OUT", show_default=False)],
    containers: Containers = "subtrees",
    form: Annotated[
        str | None,
        typer.Option("--from", help="lackey, perf, oracleGeneral, addresses; else by its content."),
    ] = None,
    owner: Annotated[
        str | None,
        typer.Option(help="For oracleGeneral, whose a request is: 'id % 4', 'request % 4', or a "
                     "file with a container's name for each request, a line each."),
    ] = None,
) -> None:
    """Write a trace in another form, or another tool's trace as one.

    By OUT's ending: a folder of CSV tables, a .zip of them, or .parquet. Reads these, *.rec,
    *.rec.xz, Valgrind lackey's text, `perf script` page faults, libCacheSim's oracleGeneral, and
    lists of page numbers.
    """
    if containers not in ("subtrees", "one"):
        raise Mistake(f"--containers {containers}: subtrees or one")
    check_ending(out, "OUT")
    trace = read_trace(str(file), containers=containers, form=form, owner=owner)
    save_trace(trace, out)
    say(f"{counted(len(trace), 'event')} in {out}")


@trace_app.command("ops")
def trace_ops(as_json: Json = False) -> None:
    """The event language."""
    from workbench.trace.language import LANGUAGE

    columns = ["op", "task", "target", "page,count", "value", "meaning"]
    rows = [(op.name, spec.task, spec.target, "run" if spec.run else "", spec.value, spec.meaning)
            for op, spec in LANGUAGE.items()]
    if as_json:
        show_json(records(columns, rows))
        return
    print(grid(columns, rows))
