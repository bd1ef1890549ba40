"""The command line: `workbench COMMAND ...`; without a command the main job.

Data goes to stdout, talk to stderr; files appear whole or not at all. Exit codes:

    0    fine
    1    `check` or `validate` found a difference
    2    bad input: an unknown name, a bad option, a malformed file
    3    the environment: cannot write, a package or the memory is missing
    4    a defect of the workbench itself, with its traceback
    130  interrupted

Everything heavy is imported by the command that needs it, so that help and lists come at once.
"""

from __future__ import annotations

import contextlib
import os
import sys
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Annotated, Any

import typer

from . import claims, counters, record, snapshot, validate
from . import report as reports
from . import sweep as sweeps
from .schemes import schemes_app
from .source import Source, chosen_schemes, guess, number, read_trace, trace_name
from .text import (
    Mistake,
    Progress,
    Trouble,
    cell,
    counted,
    csv_text,
    folder_to,
    grid,
    save,
    say,
    show_json,
    wrapped,
    write_file,
)

MAIN_JOB, MAIN_LIMIT = "gcc2", "24MiB"
# its chart shows these, its table every scheme
HEADLINES = ("first_touch", "hand_over", "fraction", "beancounter", "every_container",
             "every_mapping", "zone", "cgroup_v2")  # fmt: skip
CODES = (
    "Exit codes: 0 fine; 1 check found a difference; 2 bad input (unknown name, bad option, "
    "malformed file); 3 environment (cannot write, package missing); 4 defect of the workbench; "
    "130 interrupted. Data goes to stdout, talk to stderr. --debug shows tracebacks."
)
app = typer.Typer(
    add_completion=False, rich_markup_mode=None, pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100},
)  # fmt: skip
trace_app = typer.Typer(help="Look at traces, check them, convert them.", no_args_is_help=True)
app.add_typer(trace_app, name="trace")
app.add_typer(schemes_app, name="schemes")


# ---- options that several commands take ----------------------------------------------------------

What = Annotated[str, typer.Argument(metavar="SCENARIO_OR_TRACE", show_default=False)]
Engine = Annotated[str, typer.Option(help="compiled, interpreted, or auto: by size of the trace.")]
LimitOption = Annotated[
    list[str] | None,
    typer.Option("--limit", metavar="CONTAINER=64MiB", help="Bytes, pages, or none; repeatable."),
]
NodesOption = Annotated[int | None, typer.Option("--nodes", min=1, help="NUMA nodes.")]
PlaceOption = Annotated[
    list[str] | None,
    typer.Option("--place", metavar="CONTAINER=NODE", help="Where its tasks run; repeatable."),
]
ParamOption = Annotated[
    list[str] | None,
    typer.Option("--param", metavar="KEY=VALUE", help="A scenario's parameter; see `show`."),
]
SetOption = Annotated[
    list[str] | None,
    typer.Option("--set", metavar="KNOB=VALUE", help="A knob; frames; swap; zone_sets."),
]
Output = Annotated[
    Path | None,
    typer.Option("--output", "-o", metavar="FOLDER", help="Save tables and charts there."),
]
Json = Annotated[bool, typer.Option("--json", help="Print JSON.")]
Scheme = Annotated[str, typer.Option("--scheme", help="first_touch, first_touch:lists=lru, ...")]
Samples = Annotated[
    int | None, typer.Option(min=1, help="Points in time in tables and charts, about (400).")
]


# ---- the main job --------------------------------------------------------------------------------


@app.callback(invoke_without_command=True, help=(
    "Who pays for shared memory? Replays what programs did with memory under every rule for "
    "charging shared pages to containers.\n\nWithout a command, the main job: two recorded "
    "compilations under every scheme, without limits and with a limit; one table on stdout, a "
    "chart and the tables in report/."), epilog=CODES)  # fmt: skip
def main_job(
    context: typer.Context,
    debug: Annotated[bool, typer.Option("--debug", help="Show tracebacks.")] = False,
) -> None:
    if context.invoked_subcommand is not None:
        return
    from workbench.charts import save_chart
    from workbench.results import compare, tables
    from workbench.results.units import pages

    free, bound = Source(MAIN_JOB), Source(MAIN_JOB, limits=[f"{c}={MAIN_LIMIT}" for c in "AB"])
    schemes = chosen_schemes(None)
    progress = Progress(f"replaying {MAIN_JOB} under {len(schemes)} schemes, twice")
    loose = compare(free.thing, progress=lambda i, n: progress(i, 2 * n), **free.options)
    tight = compare(bound.thing, progress=lambda i, n: progress(i + n, 2 * n), **bound.options)
    progress.close()
    columns, rows = main_table(loose, tight)
    print(f"{free.thing.title}, in containers A and B ({MAIN_JOB}); pages of 4KiB.\n"
          "peak     the most that a container is ever charged, without limits\n"
          f"failcnt  refusals with a limit of {MAIN_LIMIT} ({pages(MAIN_LIMIT)} pages) on each\n"
          "reads    disk reads on top of those without limits\n")  # fmt: skip
    print(grid(columns, rows) + "\n")
    for sentence in main_sentences(rows):
        print(wrapped(sentence))
    sampled = (row for run in loose.runs for row in tables.tidy(run) if row[4] == "usage")
    with folder_to(Path("report")) as work:
        (work / "summary.csv").write_text(csv_text(columns, rows), encoding="utf-8")
        everything = csv_text(tables.COLUMNS["table"], sampled)
        (work / "without_limits.csv").write_text(everything, encoding="utf-8")
        headlines = type(tight)(tight[scheme] for scheme in HEADLINES)
        save_chart(headlines.plot(), work / f"limit_{MAIN_LIMIT}", ("svg", "png"))
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
        ])  # fmt: skip
    return [*columns, "killed"], rows


def main_sentences(rows: list[list]) -> Iterator[str]:
    """What the table of the main job says, from its numbers."""
    charged = [row for row in rows if row[3]]
    low, high = (pick(charged, key=lambda row: row[3]) for pick in (min, max))
    yield (f"Without limits B's peak is {low[3]:.0%} of A's under {low[0]} and {high[3]:.0%} "
           f"under {high[0]}: the same work, another bill.")  # fmt: skip
    groups: dict[str, list[str]] = {}
    for row in charged:
        who = " and ".join(box for box, n in zip("AB", row[4:6], strict=True) if n) or "nobody"
        groups.setdefault(who, []).append(row[0])
    yield "With the limit: " + "; ".join(
        f"{who}{' alone' * (len(who) == 1)} refused under {', '.join(names)}"
        for who, names in groups.items()
    ) + "."  # fmt: skip
    for row in charged:
        if row[8]:
            yield f"Killed under {row[0]}: {row[8].replace(' ', ', ')}."


# ---- looking around ------------------------------------------------------------------------------


@app.command("list")
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


@app.command()
def show(
    scenario: Annotated[str, typer.Argument(show_default=False)],
    params: ParamOption = None,
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
        })  # fmt: skip
        return
    print(f"{story.name}: {story.title}\n  {story.question}\n  source: {story.source}\n"
          f"  look at: {story.plot}\n")  # fmt: skip
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
          f"{counted(len(story.trace.objects), 'object')}")  # fmt: skip
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


app.command()(sweeps.sweep)
app.command()(reports.report)


# ---- replaying -----------------------------------------------------------------------------------


def about(run: Any) -> dict[str, Any]:
    """A run as JSON."""
    from workbench.results import tables

    def records(names: Iterable[str], rows: Iterable[tuple]) -> list[dict]:
        return [dict(zip(names, row, strict=True)) for row in rows]

    return {
        "scheme": run.scheme.label,
        "sentence": run.sentence(),
        "hang": run.hang,
        "summary": records(tables.summary_columns(run), tables.summary(run)),
        "kills": records(tables.COLUMNS["oom"], tables.oom(run)),
        "measured": run.verdicts(),
    }


@app.command()
def run(
    what: What,
    scheme: Scheme = "first_touch",
    engine: Engine = "auto",
    limit: LimitOption = None,
    nodes: NodesOption = None,
    place: PlaceOption = None,
    param: ParamOption = None,
    set_: SetOption = None,
    samples: Samples = None,
    events: Annotated[
        str | None,
        typer.Option(metavar="[FILE.csv]", help="One row per event, with everybody's usage and "
                     "failcnt after it: to a file, or to stdout instead of the summary."),
    ] = None,
    output: Output = None,
    as_json: Json = False,
) -> None:  # fmt: skip
    """Replay under one scheme."""
    from workbench.results import replay, tables

    if events == "-" and as_json:
        raise Mistake("--json and --events would both go to stdout; give --events a file")
    source = Source(what, param, nodes, place, limit, set_, engine)
    progress = Progress(f"replaying {source.thing.name}")
    samples = source.samples(samples, output)
    result = replay(source.thing, scheme, samples=samples, progress=progress, **source.options)
    if events:
        text = csv_text(*tables.steps(result))
    progress.close()
    if events and events != "-":
        write_file(Path(events), text)
        say(f"{counted(len(result.trace), 'row')} in {events}")
    if output:
        save(result, output)
    if events == "-":
        print(text, end="")
    elif as_json:
        show_json(about(result) | {"provenance": result.provenance()})
    else:
        print(f"{result.name} under {result.scheme.label} ({result.scheme.title}), pages of 4KiB\n")
        print(grid(tables.summary_columns(result), tables.summary(result)))
        kills = list(tables.oom(result))
        if kills:
            print("\n" + grid(tables.COLUMNS["oom"][2:], [kill[2:] for kill in kills]))
        print()
        show_verdicts([result])
        print(wrapped(result.sentence()))


@app.command("compare")
def compare_command(
    what: What,
    scheme: Annotated[
        list[str] | None, typer.Option(help="Repeatable; all of them when none is given.")
    ] = None,
    engine: Engine = "auto",
    limit: LimitOption = None,
    nodes: NodesOption = None,
    place: PlaceOption = None,
    param: ParamOption = None,
    set_: SetOption = None,
    samples: Samples = None,
    output: Output = None,
    as_json: Json = False,
) -> None:
    """Replay under several schemes, side by side."""
    from workbench.results import compare

    names = chosen_schemes(scheme)
    source = Source(what, param, nodes, place, limit, set_, engine)
    progress = Progress(f"replaying {source.thing.name} under {counted(len(names), 'scheme')}")
    samples = source.samples(samples, output)
    result = compare(source.thing, names, samples=samples, progress=progress, **source.options)
    progress.close()
    if output:
        save(result, output)
    if as_json:
        show_json({"scenario": result.name, "sentence": result.sentence(),
                   "runs": [about(run) for run in result.runs],
                   "provenance": result.provenance()})  # fmt: skip
        return
    print(f"{result.name} under {counted(len(names), 'scheme')}, pages of 4KiB\n")
    print(grid(*side_by_side(result)) + "\n")
    show_verdicts(result.runs)
    print(wrapped(result.sentence()))


def side_by_side(result: Any) -> tuple[list[str], list[list]]:
    """One row per scheme for up to three containers, else one per scheme and container."""
    from workbench.results import tables

    metrics = ("usage", "peak", "failcnt")
    at = [tables.COLUMNS["summary"].index(name) for name in (*metrics, "lost")]
    books = [(run, list(tables.summary(run))) for run in result.runs]
    every = [row for _, rows in books for row in rows]
    busy = {row[0] for row in every if row[0] != "root" or any(row[i] for i in at)}
    boxes = [c for c in result.runs[0].containers if c in busy]
    if len(boxes) > 3:
        return ["scheme", "container", *metrics, "killed"], [
            [run.scheme.label, row[0], *(row[i] for i in at)]
            for run, rows in books for row in rows if row[0] in boxes
        ]  # fmt: skip
    columns = ["scheme", *(f"{name} {box}" for box in boxes for name in metrics), "killed"]
    hangs = [run.hang for run, _ in books]
    lines = []
    for run, rows in books:
        mine = {row[0]: row for row in rows}
        lost = " ".join(kill[7] for kill in list(tables.oom(run))[:3])
        lost += " ..." if run.kills_in(run.state) > 3 else ""
        hang = [run.hang] if any(hangs) else []
        lines.append(
            [run.scheme.label, *(mine[box][i] for box in boxes for i in at[:-1]), lost, *hang]
        )
    return columns + ["hangs at"] * any(hangs), lines


def said(row: dict[str, Any]) -> str:
    """A measured quantity; with the prediction when it came out otherwise."""
    if row["agrees"] is not False:
        return cell(row["measured"])
    low_high = row["predicted"]
    wanted = low_high if isinstance(low_high, tuple) else (low_high,)
    return f"{cell(row['measured'])} (not {' to '.join(map(cell, wanted))})"


def show_verdicts(runs: list[Any]) -> None:
    """Quantities down, schemes across; "(not 3)" where a prediction of 3 did not come true."""
    columns = [run.verdicts() for run in runs]
    if not any(columns):
        return
    print(grid(["measured", *(run.scheme.label for run in runs)],
               [[rows[0]["quantity"], *map(said, rows)] for rows in zip(*columns, strict=True)]))
    judged = [row["agrees"] for rows in columns for row in rows if row["agrees"] is not None]
    if judged:
        print(f"{sum(judged)} of {len(judged)} predictions came true")
    print()


@app.command()
def explain(
    what: What,
    container: Annotated[str | None, typer.Option(help="Why is it charged?")] = None,
    task: Annotated[str | None, typer.Option(help="Why was it killed?")] = None,
    page: Annotated[
        str | None, typer.Option(metavar="OBJECT:INDEX", help="Who pays for it, and why?")
    ] = None,
    scheme: Scheme = "first_touch",
    engine: Engine = "auto",
    limit: LimitOption = None,
    nodes: NodesOption = None,
    place: PlaceOption = None,
    param: ParamOption = None,
    set_: SetOption = None,
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
    result = replay(source.thing, scheme, **source.options)
    print(result.explain(**{key: value for key, value in asked.items() if value is not None}))


@app.command()
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


# ---- recording -----------------------------------------------------------------------------------

app.command(context_settings={"allow_interspersed_args": False})(record.record)  # CMD has its own
app.command()(snapshot.snapshot)
app.command()(validate.validate)
app.command()(counters.counters)
app.command()(claims.claims)


# ---- traces --------------------------------------------------------------------------------------

TraceFile = Annotated[Path, typer.Argument(metavar="FILE", show_default=False)]
Containers = Annotated[
    str, typer.Option(help="For recordings: subtrees (a container each) or one (all in A).")
]


@trace_app.command("info")
def trace_info(
    file: TraceFile,
    output: Annotated[
        Path | None,
        typer.Option("--output", "-o", metavar="FILE.svg", help="Draw it: .svg, .png or .pdf."),
    ] = None,
    as_json: Json = False,
) -> None:
    """What is in a trace, and where it comes from.

    Pages used over time by file and kind, who shares them, counts of events and objects.
    """
    from workbench.trace.summary import describe, picture

    trace = read_trace(str(file))
    if output:
        draw_contents(trace, trace_name(str(file)), output)
    rows = [(row.section, row.name, row.number) for row in describe(trace)]
    if as_json:
        show_json({"header": trace.header, "counts": [
            dict(zip(("section", "name", "number"), row, strict=True)) for row in rows]})
        return
    print(picture(trace) + "\n")
    print(grid(["section", "what", "number"], rows))
    for key, value in trace.header.get("provenance", {}).items():
        print(f"{key}: {value}")


def draw_contents(trace: Any, name: str, output: Path) -> None:
    """The chart of `trace info`, its data beside it."""
    import pandas

    from workbench import charts
    from workbench.charts.export import FORMATS
    from workbench.trace import summary

    if output.suffix[1:] not in FORMATS:
        raise Mistake(f"{output}: FILE ends in {', '.join(f'.{form}' for form in FORMATS)}")
    grown = pandas.DataFrame(summary.growth(trace), columns=summary.Growth._fields)
    shared = pandas.DataFrame(summary.sharing(trace), columns=summary.Sharing._fields)
    shared.attrs["order"] = summary.who(set(shared["users"]))
    chart = charts.contents(grown, shared, name)
    chart.provenance = trace.header.get("provenance", {})
    try:
        files = charts.save_chart(chart, output)
    except OSError as problem:
        raise Trouble(f"cannot write {output}: {problem.strerror or problem}") from problem
    say(f"{counted(len(files), 'file')}: {', '.join(map(str, files))}")


@trace_app.command("check")
def trace_check(files: Annotated[list[Path], typer.Argument(metavar="FILE...")]) -> None:
    """Validate traces.

    Then replay under `none`, which finds touches outside every mapping.
    """
    from workbench.kernel import AccessError
    from workbench.results import replay
    from workbench.trace import TraceError

    bad = 0
    for file in files:
        try:
            source = Source(str(file))
            run = replay(source.thing, "none", **source.options)
            print(f"ok {file}: {counted(len(run.trace), 'event')}")
        except (TraceError, AccessError, Mistake) as problem:
            bad += 1
            text = str(problem)
            print(f"BAD {text if str(file) in text else f'{file}: {text}'}")
    if bad:
        say(f"{bad} of {counted(len(files), 'trace')} cannot be used")
        raise typer.Exit(2)


@trace_app.command("convert")
def trace_convert(
    file: TraceFile,
    out: Annotated[Path, typer.Argument(metavar="OUT", show_default=False)],
    containers: Containers = "subtrees",
    form: Annotated[
        str | None,
        typer.Option("--from", help="lackey, perf, oracleGeneral, addresses; else by its content."),
    ] = None,
    owner: Annotated[
        str | None,
        typer.Option(help="For oracleGeneral, whose a request is: 'id % 4', 'request % 4', or a "
                     "file with a container's name for each request, a line each."),
    ] = None,
) -> None:  # fmt: skip
    """Write a trace in another form, or another tool's trace as one.

    By OUT's ending: a folder of CSV tables, a .zip of them, or .parquet. Reads these, *.rec,
    *.rec.xz, Valgrind lackey's text, `perf script` page faults, libCacheSim's oracleGeneral, and
    lists of page numbers.
    """
    if containers not in ("subtrees", "one"):
        raise Mistake(f"--containers {containers}: subtrees or one")
    if out.name.endswith((".rec", ".xz", ".csv", ".json", ".toml")):
        raise Mistake(f"{out}: OUT is a folder (no ending), *.zip or *.parquet")
    trace = read_trace(str(file), containers=containers, form=form, owner=owner)
    try:
        trace.save(out)
    except (FileExistsError, IsADirectoryError) as problem:
        raise Mistake(str(problem)) from problem
    except OSError as problem:
        raise Trouble(f"cannot write {out}: {problem.strerror or problem}") from problem
    say(f"{counted(len(trace), 'event')} in {out}")


@trace_app.command("ops")
def trace_ops(as_json: Json = False) -> None:
    """The event language."""
    from workbench.trace.language import LANGUAGE

    columns = ["op", "task", "target", "page,count", "value", "meaning"]
    rows = [(op.name, spec.task, spec.target, "run" if spec.run else "", spec.value, spec.meaning)
            for op, spec in LANGUAGE.items()]  # fmt: skip
    if as_json:
        show_json([dict(zip(columns, row, strict=True)) for row in rows])
        return
    print(grid(columns, rows))


# ---- start ---------------------------------------------------------------------------------------


def main(argv: list[str] | None = None) -> int:
    """Run one command line; returns its exit code (table at the top). Prints, never raises."""
    given = list(sys.argv[1:] if argv is None else argv)
    debug = "--debug" in given
    given = [word for word in given if word != "--debug"]
    for i, word in enumerate(given if given[:1] == ["run"] else ()):  # --events may stand alone
        if word == "--events" and not (given[i + 1 :] or [""])[0].endswith((".csv", "-")):
            given[i] = "--events=-"
    try:
        code = command(given)
        flush()
        return code
    except (KeyboardInterrupt, typer.Abort):
        say("\n" * sys.stderr.isatty() + "interrupted; nothing was written")
        return 130
    except Exception as problem:
        with contextlib.suppress(OSError):
            flush()
        if isinstance(problem, BrokenPipeError):  # the reader of our output has left
            return 0
        if debug:
            raise
        return explained(problem)


def flush() -> None:
    """Write what is left; what cannot be written goes nowhere, so that Python ends in silence."""
    try:
        sys.stdout.flush()
    except OSError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        raise


def command(given: list[str]) -> int:
    """Run it without typer's own handling of interrupts and broken pipes."""
    found = typer.main.get_command(app)
    try:
        with found.make_context("workbench", given) as context:
            found.invoke(context)
    except typer.Exit as end:
        return end.exit_code
    return 0


def explained(problem: Exception) -> int:
    """Say what was wrong; returns the exit code."""
    if hasattr(problem, "format_message"):  # a usage error of the command line itself
        context, text = getattr(problem, "ctx", None), problem.format_message()
        if text.startswith("Usage:"):  # `trace` alone
            say(text)
            return 2
        say(f"workbench: {text}")
        say(f"try: {context.command_path if context else 'workbench'} --help")
        return 2
    if isinstance(problem, Mistake | ValueError | FileNotFoundError):
        say(f"workbench: {problem}")
        return 2
    if isinstance(problem, Trouble | ImportError | OSError | MemoryError):
        say(f"workbench: {problem or 'out of memory'}")
        return 3
    import traceback

    traceback.print_exception(problem)
    say("workbench: this is a defect of the workbench, not of what you typed; please report it")
    return 4
