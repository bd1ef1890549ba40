"""`workbench explain`: why a container is charged, a task was killed, a page is on whose bill."""

from __future__ import annotations

from typing import Annotated, Any

import typer

from .options import Engine, Limits, Nodes, Params, Places, Scheme, Settings, What
from .source import Source, number
from .text import Mistake, Progress


def explain(
    what: What,
    container: Annotated[str | None, typer.Option(help="Why is it charged?")] = None,
    task: Annotated[str | None, typer.Option(help="Why was it killed?")] = None,
    page: Annotated[
        str | None, typer.Option(metavar="OBJECT:INDEX", help="Who pays for it, and why?")
    ] = None,
    scheme: Scheme = "first_touch",
    engine: Engine = "auto",
    limit: Limits = None,
    nodes: Nodes = None,
    place: Places = None,
    param: Params = None,
    set_: Settings = None,
) -> None:
    """Why was this charged, or killed? In sentences.

    Why a container is charged, a task was killed, a page is on somebody's bill.
    """
    from workbench.results import replay

    if sum(x is not None for x in (container, task, page)) > 1:
        raise Mistake("give one of --container, --task and --page")
    asked: dict[str, Any] = {"container": container, "task": task}
    if page is not None:
        name, colon, index = page.rpartition(":")
        if not colon:
            raise Mistake(f"--page {page}: write --page OBJECT:INDEX")
        asked |= {"object": name, "page": number(index, f"--page {name}:")}
    source = Source(what, param, nodes, place, limit, set_, engine)
    progress = Progress(f"replaying {source.thing.name}")
    result = replay(source.thing, scheme, progress=progress, **source.options)
    told = result.explain(**{key: value for key, value in asked.items() if value is not None})
    progress.close()
    print(told)
