"""`workbench snapshot`: who would be charged for what the running processes have (Linux)."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

from .options import Engine, Json
from .source import chosen_schemes
from .text import (
    Mistake,
    Progress,
    Trouble,
    counted,
    grid,
    records,
    save_trace,
    say,
    show_json,
    wrapped,
)

USUAL = ("cgroup_v2", "first_touch", "fraction", "every_container", "every_mapping")


def snapshot(
    group_by: Annotated[
        str, typer.Option(help="What a container is: cgroup, user, command, or process.")
    ] = "cgroup",
    pid: Annotated[
        list[int] | None, typer.Option(help="Only this process; repeatable. Else all.")
    ] = None,
    scheme: Annotated[
        list[str] | None, typer.Option(help="Repeatable, or all; a few when none is given.")
    ] = None,
    engine: Engine = "auto",
    output: Annotated[
        Path | None,
        typer.Option("--output", "-o", metavar="FILE", help="Save it as a trace, for `compare`."),
    ] = None,
    as_json: Json = False,
) -> None:
    """Who would be charged for what runs on this machine now?

    RSS, PSS and USS of the running processes as the kernel reports them, beside what each scheme
    would charge their containers. Nothing is changed; as root it sees all processes.
    """
    from workbench import schemes
    from workbench.record import snapshot as taken

    names = chosen_schemes(scheme or [name for name in USUAL if name in schemes.names()])
    try:
        found = taken.snapshot(pid, group_by)
    except (ValueError, ProcessLookupError) as problem:
        raise Mistake(str(problem)) from problem
    except taken.ptrace.Missing as problem:
        raise Trouble(str(problem)) from problem
    if output:
        save_trace(found.trace, output)
        say(f"{counted(len(found.trace), 'event')} in {output}")
    columns, rows = table(found, names, engine)
    if as_json:
        show_json({"grouped_by": group_by, "unit": "KiB", "unreadable": found.unreadable,
                   "containers": records(columns, rows),
                   "processes": [vars(process) for process in found.processes],
                   "provenance": found.trace.header["provenance"]})
        return
    print(f"{counted(len(found.processes), 'process', 'processes')} by {group_by}; KiB\n"
          "rss, pss, uss  as the kernel reports them, added up over processes\n"
          "1/n            the same pages, divided exactly among the processes that map them\n"
          "schemes        what the container would be charged\n")
    print(grid(columns, rows) + "\n")
    print(wrapped(sentence(found, rows, columns)))


def table(found: Any, names: list[str], engine: str) -> tuple[list[str], list[list]]:
    """One row per container, largest PSS first, and their sum."""
    from dataclasses import replace

    from workbench.kernel import Machine, choose
    from workbench.results import compare

    pages = sum(process.rss for process in found.processes) // 4
    machine = replace(Machine(), frames=max(Machine().frames, 2 * pages))
    progress = Progress(f"replaying under {counted(len(names), 'scheme')}")
    result = compare(found.trace, names, machine=machine, progress=progress,
                     engine=choose(engine, found.trace))
    progress.close()
    sums: dict[str, list] = {}
    for process, exact in zip(found.processes, found.fractions(), strict=True):
        row = sums.setdefault(process.container, [0, 0, 0, 0, 0])
        for i, value in enumerate((1, process.rss, process.pss, process.uss, exact)):
            row[i] += value
    usage = [
        {name: 4 * float(value) for name, value in run.usage_exact().items()}
        for run in result.runs
    ]
    rows = [
        [box, *row[:4], round(float(row[4]), 1), *(round(charged.get(box, 0)) for charged in usage)]
        for box, row in sorted(sums.items(), key=lambda item: -item[1][2])
    ]
    rows.append(["sum", *(round(sum(row[i] for row in rows), 1) for i in range(1, len(rows[0])))])
    return ["container", "processes", "rss", "pss", "uss", "1/n", *names], rows


def sentence(found: Any, rows: list[list], columns: list[str]) -> str:
    """What the table says of the sums, and of the kernel's numbers against ours."""
    total = dict(zip(columns, rows[-1], strict=True))
    gaps = [abs(float(exact) - process.pss)
            for process, exact in zip(found.processes, found.fractions(), strict=True)]
    near = sum(gap <= 2 for gap in gaps)
    said = (f"The processes' RSS adds up to {total['rss'] / max(total['pss'], 1):.2f} times the "
            f"memory they have. The kernel's PSS is our exact fraction within 2 KiB for {near} of "
            f"{counted(len(gaps), 'process', 'processes')}")
    if near < len(gaps):
        said += (": the others share pages with processes that are not looked at, or changed "
                 "meanwhile")
    said += "."
    if found.unreadable:
        said += f" Processes that may not be read: {found.unreadable}."
    if not found.exact:
        said += " Anonymous pages still shared since a fork are not visible to this user."
    return said
