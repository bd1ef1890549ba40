"""`workbench sweep`: many points, one table, all cores."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated, Any

import typer

from .options import Schemes
from .source import chosen_schemes, guess, like, number, pairs, parameter
from .text import Mistake, Trouble, counted, grid, say, wrapped

What = Annotated[str, typer.Argument(metavar="SCENARIO_OR_TRACE", show_default=False,
                                     help="Or all: every scenario.")]
Over = Annotated[
    list[str] | None,
    typer.Option("--over", metavar="AXIS=V1,V2,...", help="A scenario's parameter, a knob, limit, "
                 "limit.CONTAINER, deal or spread; A..B counts. Repeatable: every combination."),
]


def sweep(
    what: What,
    over: Over = None,
    scheme: Schemes = None,
    output: Annotated[
        Path | None,
        typer.Option("--output", "-o", metavar="FILE.parquet", help="Or .csv; written whole at the "
                     "end. The same command after a crash goes on where it was."),
    ] = None,
    deals: Annotated[
        int, typer.Option(min=0, help="This many arrival orders besides the one written.")
    ] = 0,
    metric: Annotated[str, typer.Option(help="What the table on stdout shows.")] = "peak",
    chart: Annotated[
        Path | None, typer.Option(metavar="NAME", help="With --deals: NAME.svg, .pdf, .png, .csv.")
    ] = None,
    container: Annotated[str, typer.Option(help="Whose result the chart shows.")] = "A",
    workers: Annotated[
        int | None, typer.Option(min=1, help="Processes; one per core when not given.")
    ] = None,
    dask: Annotated[
        str | None, typer.Option(metavar="ADDRESS", help="A Dask scheduler: tcp://HOST:PORT.")
    ] = None,
    restart: Annotated[bool, typer.Option(help="Forget what is there; begin again.")] = False,
) -> None:
    """Replay at every point of a grid: limits, schemes, seeds, nodes, arrival orders.

    One tidy table, a number a row. Points already finished are never computed again.
    """
    axes = axes_of(what, over, deals)
    if chart and not deals:
        raise Mistake("--chart draws arrival orders: add --deals 200")
    names = chosen_schemes(scheme)
    if output is None and not sys.stdout.isatty():
        say("the table is not kept; -o FILE.parquet keeps it")
    table = watched(what, axes, names, output, workers=workers, dask=dask, restart=restart)
    if what == "all":
        library(table, list(axes))
    else:
        show(table, list(axes), metric)
    if output:
        say(f"{counted(len(table), 'row')} in {output}")
    if chart:
        from workbench.charts import figure_of_deals

        figure = figure_of_deals(table, metric, container)
        files = figure.save(chart)
        print(wrapped(figure.sentence))
        say(f"{counted(len(files), 'file')}: {chart}.*")


def axes_of(what: str, over: list[str] | None, deals: int) -> dict[str, list[Any]]:
    """The grid: what `--over` says, and the arrival orders."""
    given = pairs(over, "--over", "AXIS=V1,V2,...")
    axes = {name: values_of(what, name, text) for name, text in given.items()}
    if deals:
        if "deal" in axes:
            raise Mistake("--deals and --over deal=... say the same; give one of them")
        axes["deal"] = [None, *range(1, deals + 1)]
    return axes


def watched(what: str, axes: dict, names: list[str], output: Path | None, **options: Any) -> Any:
    """The sweep's table, with a bar while it is made."""
    from tqdm import tqdm

    from workbench.sweeps import sweep as run

    with tqdm(total=0, unit=" points", delay=1, leave=False, disable=None) as bar:

        def progress(done: int, total: int) -> None:
            bar.total = total
            bar.update(done - bar.n)

        try:
            return run(what, axes, names, file=output, progress=progress, **options)
        except (KeyboardInterrupt, ChildProcessError) as end:
            bar.close()
            kept = "nothing was written"
            if output:
                kept = f"what is done is kept in {output}.partial; the same command goes on"
            if isinstance(end, ChildProcessError):
                raise Trouble(f"{end}; {kept}") from None
            say(f"interrupted; {kept}")
            raise typer.Exit(130) from None


def values_of(what: str, axis: str, text: str) -> list[Any]:
    """The values of one axis, as their parameter, knob or limit takes them."""
    from dataclasses import fields

    from workbench import scenarios
    from workbench.kernel import Knobs

    knobs = {f.name: f.default for f in fields(Knobs)}
    story = scenarios.names()[0] if what == "all" else what  # size and nodes are everybody's
    parameters = scenarios.parameters(story) if story in scenarios.names() else {}
    low, dots, high = text.partition("..")
    words = text.split(",")
    if dots:
        words = [str(n) for n in range(number(low, axis), number(high, axis) + 1)]
    if axis in parameters:
        return [parameter(parameters[axis], word) for word in words]
    if axis in knobs:
        return [like(knobs[axis], word, f"--over {axis}") for word in words]
    if axis == "limit" or axis.startswith("limit."):
        return [None if word == "none" else word for word in words]
    if axis == "deal":
        return [None if word == "none" else number(word, axis) for word in words]
    if axis == "spread":
        try:
            return [float(word) for word in words]
        except ValueError:
            raise Mistake(f"--over spread={text}: numbers from 0 to 10 are expected") from None
    known = [*parameters, *knobs, "limit", "deal", "spread"]
    raise Mistake(f"--over: unknown axis {axis!r}{guess(axis, known)}")


def library(table: Any, axes: list[str]) -> None:
    """All stories on stdout: a line per story and point, how many predictions came true."""
    wide = table.pivot_table("value", ["scenario", *axes, "scheme"], "metric", dropna=False,
                             observed=True)[["predictions met", "predictions missed", "hang"]]
    wide["hang"] = wide["hang"] > 0
    rows = [
        (*(key if isinstance(key, tuple) else (key,)), len(part),
         *(int(part[name].sum()) for name in wide.columns))
        for key, part in wide.groupby(["scenario", *axes] if axes else "scenario", sort=False)
    ]
    print(grid(["scenario", *axes, "schemes", "as predicted", "not", "hangs"], rows))


def show(table: Any, axes: list[str], metric: str) -> None:
    """One metric on stdout: a line per point and scheme, a column per container."""
    mine = table[table["metric"] == metric]
    if not len(mine):
        known = sorted(set(table["metric"]))
        raise Mistake(f"--metric: no {metric!r} in the table{guess(metric, known)}")
    boxes = [b for b in dict.fromkeys(mine["container"]) if b != "root"]
    index = [name for name in axes if name != "deal"] + ["scheme"]
    rows = []
    for key, part in mine.groupby(index, sort=False, dropna=False):
        cells = []
        for box in boxes:
            values = part[part["container"] == box]["value"]
            one = len(values) == 1
            spread = f"{values.min():g} .. {values.median():g} .. {values.max():g}"
            cells.append(float(values.iloc[0]) if one else spread)
        rows.append([*(None if k != k else k for k in key), *cells])
    columns = [*index, *(f"{metric} {box}".strip() for box in boxes)]
    print(grid(columns, rows[:60]))
    if len(rows) > 60:
        print(f"... {len(rows) - 60} more rows in the table")
