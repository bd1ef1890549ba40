"""`workbench validate`: predictions beside what a real kernel does."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from .options import Json
from .text import Progress, Trouble, grid, say, show_json, wrapped


def validate(
    scenario: Annotated[
        list[str] | None,
        typer.Argument(metavar="[SCENARIO_OR_TRACE ...]", show_default=False,
                       help="Stories of the live kernel, scenarios, traces; none: every story."),
    ] = None,
    host: Annotated[str, typer.Option(help="live, uml, qemu, qemu-v2, golden: as captured.")] = (
        "live"
    ),
    scheme: Annotated[str | None, typer.Option(help="What predicts; the kernel's own when not "
                                                "given.")] = None,
    events: Annotated[int, typer.Option(min=0, help="Also this many random events.")] = 0,
    seed: Annotated[int, typer.Option(min=0, help="Of the first thousand of them.")] = 0,
    save: Annotated[Path | None, typer.Option(metavar="FOLDER", help="Keep the captures.")] = None,
    swap: Annotated[
        bool, typer.Option("--swap", help="With a swap area of 16 MiB for the run (live, root).")
    ] = False,
    as_json: Json = False,
) -> None:
    """Run scenarios on a real kernel and compare.

    The same trace is executed by real processes in real control groups, event by event; usage,
    failcnt, OOM victims and mapped sets are compared with the scheme's after each. Only processes,
    groups and files of its own are touched, and removed again. Exit code 1 when something differs.
    """
    from workbench import live

    progress = Progress(f"running on {host}")
    options = {} if scheme is None else {"scheme": scheme}
    try:
        result = live.validate(
            scenario or None, host, events=events, seed=seed, save=save, swap=swap,
            progress=progress,
            **options,
        )
    except live.Unavailable as problem:
        raise Trouble(f"--host {host}: {problem}") from problem
    progress.close()
    if as_json:
        show_json({"sentence": result.sentence(), "rows": result.records()})
    else:
        print(grid(result.COLUMNS, (record.values() for record in result.records())))
        print()
        for text in result.differences():
            print(wrapped(f"first difference: {text}"))
        print(wrapped(result.sentence()))
    if save:
        say(f"{len(result.captures)} captures in {save}")
    if not result:
        raise typer.Exit(1)
