"""`workbench list` and `workbench show`: what there is to choose from."""

from __future__ import annotations

from typing import Annotated, Any

import typer

from .options import Json, Params
from .source import Source, guess
from .text import Mistake, counted, grid, show_json


def list_command(as_json: Json = False) -> None:
    """Scenarios and schemes, with title and source."""
    from workbench import scenarios, schemes

    stories = scenarios.table()
    rules = [
        {"scheme": s.name, "title": s.title, "source": s.module.SOURCE}
        for s in map(schemes.get, schemes.names())
    ]
    if as_json:
        show_json({"scenarios": stories, "schemes": rules})
        return
    for kind, rows in (("scenario", stories), ("scheme", rules)):
        print(grid([kind, "title", "source"], [(r[kind], r["title"], r["source"]) for r in rows]))
        print()


def show(
    scenario: Annotated[str, typer.Argument(show_default=False)],
    params: Params = None,
    as_json: Json = False,
) -> None:
    """The story of one scenario.

    Question, source, parameters, predictions, machine and containers with their limits.
    """
    from workbench import scenarios

    if scenario not in scenarios.names():
        raise Mistake(f"unknown scenario {scenario!r}{guess(scenario, scenarios.names())}")
    story = Source(scenario, params).thing
    known = scenarios.parameters(scenario)
    boxes = [c for c in story.trace.containers if c.name != "root"]
    machine = story.machine
    if as_json:
        show_json({
            "scenario": story.name, "title": story.title, "source": story.source,
            "question": story.question, "plot": story.plot, "parameters": story.parameters,
            "prediction": story.prediction, "rules": story.rules, "schemes": story.schemes,
            "machine": {k: getattr(machine, k) for k in ("nodes", "frames", "swap")},
            "knobs": story.knobs.changed(), "containers": {c.name: c.limit for c in boxes},
            "trace": {k: len(getattr(story.trace, k)) for k in ("op", "tasks", "objects")},
            "notes": story.notes,
        })
        return
    print(f"{story.name}: {story.title}\n  {story.question}\n  source: {story.source}\n"
          f"  look at: {story.plot}\n")
    print(grid(["parameter", "value", "may be"],
               [(k, str(story.parameters.get(k, p.default)), may_be(p)) for k, p in known.items()]))
    print("\n" + grid(["scheme", "prediction"], story.prediction.items()))
    if story.schemes:
        print(f"\nis about the schemes {', '.join(story.schemes)}")
    if story.rules:
        print("\n" + grid(["open rule", "is here"], story.rules.items()))
    print("\n" + grid(["container", "limit (pages)"], [(c.name, c.limit) for c in boxes]))
    knobs = ", ".join(f"{k}={v}" for k, v in story.knobs.changed().items())
    print(f"\nmachine: {counted(machine.nodes, 'node')} of {counted(machine.frames, 'frame')}, "
          f"{counted(machine.swap, 'page')} of swap" + (f"; knobs: {knobs}" if knobs else ""))
    print(f"trace: {counted(len(story.trace), 'event')} of "
          f"{counted(len(story.trace.tasks), 'task')} on "
          f"{counted(len(story.trace.objects), 'object')}")
    for note in story.notes:
        print(f"note: {note}")


def may_be(known: Any) -> str:
    if known.choices:
        allowed = ", ".join(map(str, known.choices))
    elif known.low is not None:
        allowed = f"{known.low} to {known.high}"
    else:
        return "spread, together, or --place"
    return allowed + (", none" if known.optional else "")
