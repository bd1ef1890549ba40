"""`workbench` alone: two recorded compilations under every scheme, without and with a limit."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path
from typing import Annotated, Any

import typer

from workbench.trace.files import csv_text

from .source import Source, chosen_schemes
from .text import Progress, check_folder, grid, say, wrapped, writing

MAIN_JOB, MAIN_LIMIT = "gcc2", "24MiB"
# its chart shows these, its table every scheme
HEADLINES = ("first_touch", "hand_over", "fraction", "beancounter", "every_container",
             "every_mapping", "zone", "cgroup_v2")


def main_job(
    context: typer.Context,
    debug: Annotated[bool, typer.Option("--debug", help="Show tracebacks.")] = False,
) -> None:
    """Who pays for shared memory? Replays what programs did with memory under every rule for
    charging shared pages to containers.

    Without a command, the main job: two recorded compilations under every scheme, without limits
    and with a limit; one table on stdout, a chart and the tables in report/.
    """
    if context.invoked_subcommand is not None:
        return
    from workbench.charts.export import chart_files
    from workbench.results import compare, tables
    from workbench.results.comparison import part_of
    from workbench.results.export import write_files
    from workbench.results.units import pages

    check_folder(Path("report"))
    free, bound = Source(MAIN_JOB), Source(MAIN_JOB, limits=[f"{c}={MAIN_LIMIT}" for c in "AB"])
    schemes = chosen_schemes(None)
    progress = Progress(f"replaying {MAIN_JOB} under {len(schemes)} schemes, twice")
    loose = compare(free.thing, progress=part_of(progress, 0, 2), **free.options)
    tight = compare(bound.thing, progress=part_of(progress, 1, 2), **bound.options)
    progress.close()
    columns, rows = main_table(loose, tight)
    print(f"{free.thing.title}, in containers A and B ({MAIN_JOB}); pages of 4KiB.\n"
          "peak     the most that a container is ever charged, without limits\n"
          f"failcnt  refusals with a limit of {MAIN_LIMIT} ({pages(MAIN_LIMIT)} pages) on each\n"
          "reads    disk reads on top of those without limits\n")
    print(grid(columns, rows) + "\n")
    for sentence in main_sentences(rows):
        print(wrapped(sentence))
    sampled = (row for run in loose.runs for row in tables.tidy(run) if row[4] == "usage")
    headlines = type(tight)(tight[scheme] for scheme in HEADLINES)
    with writing("to report"):
        write_files("report", {
            "summary.csv": csv_text(columns, rows).encode(),
            "without_limits.csv": csv_text(tables.COLUMNS["table"], sampled).encode(),
            **chart_files(f"limit_{MAIN_LIMIT}", headlines.plot(), ("svg", "png")),
        })
    say(f"chart and tables are in {Path('report').resolve()}{os.sep}")


def main_table(loose: Any, tight: Any) -> tuple[list[str], list[list]]:
    """Per scheme: peaks without limits; refusals, disk reads and victims with them."""
    from workbench.results import tables

    columns = ["scheme", "peak A", "peak B", "B/A", "failcnt A", "failcnt B", "reads A", "reads B"]
    rows = []
    for free, bound in zip(loose.runs, tight.runs, strict=True):
        before, after = (
            {row[0]: dict(zip(tables.summary_columns(run), row, strict=True))
             for row in tables.summary(run)}
            for run in (free, bound)
        )
        a, b = before["A"]["peak"], before["B"]["peak"]
        rows.append([
            free.scheme.label, a, b, round(b / a, 2) if a else None,
            after["A"]["failcnt"], after["B"]["failcnt"],
            *(after[box]["major"] - before[box]["major"] for box in "AB"),
            " ".join(kill[7] for kill in tables.oom(bound)),
        ])
    return [*columns, "killed"], rows


def main_sentences(rows: list[list]) -> Iterator[str]:
    """What the table of the main job says, from its numbers."""
    charged = [row for row in rows if row[3]]
    low, high = (pick(charged, key=lambda row: row[3]) for pick in (min, max))
    yield (f"Without limits B's peak is {low[3]:.0%} of A's under {low[0]} and {high[3]:.0%} "
           f"under {high[0]}: the same work, another bill.")
    groups: dict[str, list[str]] = {}
    for row in charged:
        who = " and ".join(box for box, n in zip("AB", row[4:6], strict=True) if n) or "nobody"
        groups.setdefault(who, []).append(row[0])
    yield "With the limit: " + "; ".join(
        f"{who}{' alone' * (len(who) == 1)} refused under {', '.join(names)}"
        for who, names in groups.items()
    ) + "."
    for row in charged:
        if row[8]:
            yield f"Killed under {row[0]}: {row[8].replace(' ', ', ')}."
