"""`workbench record`: run programs and write down what they do with memory (Linux)."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

from .text import (
    Mistake,
    Trouble,
    check_ending,
    check_file,
    check_folder,
    counted,
    save_trace,
    say,
)


def commands_of(container: str | None, words: list[str]) -> list[Any]:
    """The words after the first `--`. With a container named, `--container NAME --` begins another
    one's command, and a `--` alone the last command, which is in no container (root)."""
    from workbench.record import Command

    groups, box = [], container or "A"
    while True:
        cut = words.index("--") if container and "--" in words else len(words)
        named = 2 <= cut < len(words) and words[cut - 2] == "--container"
        groups.append(Command(box, words[: cut - 2 * named]))
        if cut == len(words):
            break
        box, words, container = (
            words[cut - 1] if named else "root", words[cut + 1 :], container if named else None,
        )
    for command in groups:
        if not command.argv:
            raise Mistake(f"container {command.container}: no command after --")
        if not command.container.isprintable() or command.container.strip() != command.container:
            raise Mistake(f"--container {command.container!r}: not a name")
    return groups


def record(
    command: Annotated[
        list[str], typer.Argument(metavar="-- CMD...", show_default=False, help="What to run.")
    ],
    output: Annotated[
        Path, typer.Option("--output", "-o", metavar="FILE", help="*.zip, *.parquet, or a folder.")
    ] = Path("recording.zip"),
    container: Annotated[
        str | None,
        typer.Option(metavar="NAME", help="Container of the command (A). For several side by "
                     "side: --container X -- CMD... --container Y -- CMD... [-- CMD...], the last "
                     "in no container."),
    ] = None,
    subtrees: Annotated[
        bool, typer.Option("--subtrees", help="Each direct child of CMD is a container, A, B, ...")
    ] = False,
    anonymize: Annotated[
        bool, typer.Option("--anonymize", help="Number the paths outside the system's folders.")
    ] = False,
    limit_events: Annotated[
        int | None,
        typer.Option(min=1, help="Stop recording after so many reports; CMD goes on."),
    ] = None,
    perf: Annotated[
        bool, typer.Option("--perf", help="Exact times of touches from perf's tracepoints (root).")
    ] = False,
    fault_around: Annotated[
        bool, typer.Option("--fault-around", help="Leave the kernel's fault-around on.")
    ] = False,
) -> None:
    """Run a program and record its memory, page by page, as a trace.

    Needs Linux, neither root nor a compiler. The program's output and exit code are its own;
    Ctrl-C ends it, and what was recorded so far is written.
    """
    from workbench.record import Missing, Refused
    from workbench.record import record as run

    groups = commands_of(container, command)
    if subtrees and len(groups) > 1:
        raise Mistake("--subtrees is for one command; --container is for several")
    check_ending(output, "FILE")
    (check_folder if output.is_dir() else check_file)(output)
    try:
        made = run(
            groups, limit=limit_events, subtrees=subtrees, anonymize=anonymize,
            fault_around=fault_around, perf=perf, say=lambda text: say(f"workbench: {text}"),
        )
    except Refused as problem:
        raise Mistake(str(problem)) from problem
    except Missing as problem:
        raise Trouble(str(problem)) from problem
    save_trace(made.trace, output)
    say(summary(made, output))
    if made.interrupted:
        raise typer.Exit(130)
    raise typer.Exit(next((code for code in made.codes if code), 0))


def summary(made: Any, output: Path) -> str:
    """What was recorded and how well, in two lines."""
    trace = made.trace
    lost = trace.header["provenance"]["lost_events"]
    ended = "interrupted; " if made.interrupted else "limit reached; " if made.full else ""
    return (
        f"workbench: {ended}{counted(len(trace), 'event')} of {counted(len(trace.tasks), 'task')} "
        f"in {output}\n"
        f"workbench: {made.wall:.2f} s, {made.waited:.2f} s of it waiting for the recorder "
        f"(slow-down at least {made.slowdown:.1f}x); {made.stops:,} stops, {made.looks:,} looks; "
        f"{lost} lost; fault-around {made.fault_around}"
    )
