"""`workbench report`: scenarios under schemes, as a folder to hand on."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from .options import Limits, Nodes
from .source import OF_MACHINE, Source, chosen_schemes, pairs
from .text import Mistake, Progress, check_folder, counted, say, writing

Sources = Annotated[list[str], typer.Argument(metavar="SCENARIO_OR_TRACE...", show_default=False)]


def report(
    what: Sources,
    output: Annotated[Path, typer.Option("--output", "-o", metavar="FOLDER")],
    scheme: Annotated[
        list[str] | None,
        typer.Option("--scheme", "--schemes", help="Repeatable, or names with commas between; all "
                     "of them when none is given."),
    ] = None,
    limit: Limits = None,
    nodes: Nodes = None,
    set_: Annotated[
        list[str] | None, typer.Option("--set", metavar="KNOB=VALUE", help="A knob of the kernel.")
    ] = None,
    pdf: Annotated[bool, typer.Option(help="Print it too, where there is a Chromium.")] = True,
) -> None:
    """Tables, charts and one self-contained page of several scenarios.

    Charts as SVG, PDF and PNG, light and dark, for paper and slides; the same bytes every time.
    """
    from workbench.report import browser
    from workbench.report import report as make

    check_folder(output)
    for key in pairs(set_, "--set", "knob=value"):
        if key in OF_MACHINE:
            raise Mistake(f"--set {key}: each scenario of a report has its own machine; `compare` "
                          "takes another one")
    names = chosen_schemes([n for given in scheme or [] for n in given.split(",")] or None)
    sources = [Source(name, None, nodes, None, limit, set_) for name in what]
    same = {k: v for k, v in sources[0].options.items() if k not in ("machine", "engine")}
    progress = Progress(f"replaying and drawing {counted(len(sources), 'scenario')} under "
                        f"{counted(len(names), 'scheme')}")
    with writing(f"to {output}"):
        files = make([s.thing for s in sources], names, output, progress=progress, pdf=pdf, **same)
    progress.close()
    if pdf and browser() is None:
        say("no Chromium here, so no report.pdf; open index.html and print it")
    say(f"{counted(len(files), 'file')} in {output}; begin with {output / 'index.html'}")
