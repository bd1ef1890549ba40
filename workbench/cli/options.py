"""Options that several commands take."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

What = Annotated[str, typer.Argument(metavar="SCENARIO_OR_TRACE", show_default=False)]
Engine = Annotated[str, typer.Option(help="compiled, interpreted, or auto: by size of the trace.")]
Limits = Annotated[
    list[str] | None,
    typer.Option("--limit", metavar="CONTAINER=64MiB", help="Bytes, pages, or none; repeatable."),
]
Nodes = Annotated[int | None, typer.Option("--nodes", min=1, help="NUMA nodes.")]
Places = Annotated[
    list[str] | None,
    typer.Option("--place", metavar="CONTAINER=NODE", help="Where its tasks run; repeatable."),
]
Params = Annotated[
    list[str] | None,
    typer.Option("--param", metavar="KEY=VALUE", help="A scenario's parameter; see `show`."),
]
Settings = Annotated[
    list[str] | None,
    typer.Option("--set", metavar="KNOB=VALUE", help="A knob; frames; swap; zone_sets."),
]
Output = Annotated[
    Path | None,
    typer.Option("--output", "-o", metavar="FOLDER", help="Save tables and charts there."),
]
Json = Annotated[bool, typer.Option("--json", help="Print JSON.")]
Schemes = Annotated[
    list[str] | None,
    typer.Option("--scheme", help="Repeatable; all of them when none is given."),
]
Scheme = Annotated[str, typer.Option("--scheme", help="first_touch, first_touch:lists=lru, ...")]
Samples = Annotated[
    int | None, typer.Option(min=1, help="Points in time in tables and charts, about (400).")
]
