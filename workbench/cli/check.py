"""`workbench check`: golden examples, replayed and compared."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from .options import Engine
from .text import Mistake, counted, say


def check(
    files: Annotated[list[Path], typer.Argument(metavar="FILE...", show_default=False)],
    engine: Engine = "interpreted",
) -> None:
    """Replay golden examples and compare.

    Explains the first difference of each file.
    """
    from workbench.results import golden

    different = 0
    for path in files:
        try:
            example = golden.load(path)
        except OSError as problem:
            raise Mistake(f"{path} cannot be read: {problem.strerror or problem}") from problem
        found = golden.run(example, engine=engine)
        if found:
            more = f"\n({len(found) - 1} more differences)" if len(found) > 1 else ""
            print(f"DIFFERENT {golden.explain(found[0])}{more}")
        else:
            replays = sum(len(case.schemes) for case in example.cases)
            print(f"ok {path}: {example.title} ({replays} replay{'s' * (replays > 1)})")
        different += bool(found)
    if different:
        say(f"{different} of {counted(len(files), 'file')} differ")
        raise typer.Exit(1)
