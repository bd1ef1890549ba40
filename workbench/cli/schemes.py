"""`workbench schemes`: what each scheme does and promises; checking one; beginning your own."""

from __future__ import annotations

from typing import Annotated

import typer

from .options import Json
from .text import Progress, cell, counted, folded, grid, say, show_json, wrapped

schemes_app = typer.Typer(help="What each scheme does and promises; check one; write your own.")


@schemes_app.callback(invoke_without_command=True)
def schemes_command(context: typer.Context, as_json: Json = False) -> None:
    """What each scheme does and promises.

    Computed from its declared parts and promises; the tests try to break each promise.
    """
    if context.invoked_subcommand is not None:
        return
    from dataclasses import fields as fields_of

    from workbench import schemes
    from workbench.schemes import matrix

    rows = schemes.table()
    features = matrix.matrix()
    if as_json:
        show_json({"schemes": rows, "features": features})
        return
    parts = [f.name for f in fields_of(schemes.Parts)]
    promises = list(schemes.PROMISES)
    said = [{n: "+".join(row[n]) if n == "counts" else row[n] for n in row} for row in rows]
    alike = [n for n in parts if len({row[n] for row in said}) == 1]
    for names in (["title", "source"], [n for n in parts if n not in alike], promises):
        table = [[row["scheme"], *(row[n] for n in names)] for row in said]
        print((grid if "title" in names else folded)(["scheme", *names], table) + "\n")
    print(wrapped("The same in all of them, unless an option says otherwise: "
                  + ", ".join(f"{n}={cell(said[0][n])}" for n in alike) + ".") + "\n")
    print(grid(["promise", "means"], schemes.PROMISES.items()) + "\n")
    print(matrix.text(features))


@schemes_app.command("check")
def check_command(
    scheme: Annotated[str, typer.Argument(metavar="NAME_OR_FILE", show_default=False)],
    seeds: Annotated[int, typer.Option(min=1, help="Random worlds to try, twice this many.")] = 60,
) -> None:
    """Try to break each promise of a scheme.

    Prints the shortest trace that breaks it. Exit code 1 when a promise that is made is broken.
    """
    from workbench import schemes

    progress = Progress(f"trying to break the promises of {scheme}")
    report = schemes.check(scheme, range(seeds))
    progress.close()
    print(report)
    if report.lies:
        say(f"{counted(len(report.lies), 'promise')} made and broken")
        raise typer.Exit(1)


@schemes_app.command("template")
def template_command() -> None:
    """A working scheme to begin from.

    workbench schemes template > mine.py; then use --scheme ./mine.py
    """
    from workbench import schemes

    print(schemes.template(), end="")
