"""The command line: `workbench COMMAND ...`; without a command the main job.

Data goes to stdout, talk to stderr; files appear whole or not at all. Exit codes:

    0    fine
    1    `check`, `validate`, `claims` or `schemes check` found a difference
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

import typer

from .check import check
from .claims import claims
from .compare import compare_command
from .counters import counters
from .explain import explain
from .main_job import main_job
from .record import record
from .report import report
from .run import run
from .schemes import schemes_app
from .show import list_command, show
from .snapshot import snapshot
from .sweep import sweep
from .text import Mistake, Progress, Trouble, say
from .trace import trace_app
from .validate import validate

CODES = (
    "Exit codes: 0 fine; 1 a check found a difference; 2 bad input (unknown name, bad option, "
    "malformed file); 3 environment (cannot write, package missing); 4 defect of the workbench; "
    "130 interrupted. Data goes to stdout, talk to stderr. --debug shows tracebacks."
)
app = typer.Typer(
    add_completion=False, rich_markup_mode=None, pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100},
)
app.callback(invoke_without_command=True, epilog=CODES)(main_job)
for name, function in {
    "list": list_command, "show": show, "sweep": sweep, "report": report, "run": run,
    "compare": compare_command, "explain": explain, "check": check, "record": record,
    "snapshot": snapshot, "validate": validate, "counters": counters, "claims": claims,
}.items():  # after `record --` words are another program's
    app.command(name, context_settings={"allow_interspersed_args": name != "record"})(function)
app.add_typer(trace_app, name="trace")
app.add_typer(schemes_app, name="schemes")


def main(argv: list[str] | None = None) -> int:
    """Run one command line; returns its exit code (table at the top). Prints, never raises."""
    given = list(sys.argv[1:] if argv is None else argv)
    debug = "--debug" in given
    given = [word for word in given if word != "--debug"]
    for i, word in enumerate(given if given[:1] == ["run"] else ()):  # --events may stand alone
        if word == "--events" and not (given[i + 1 :] or [""])[0].endswith((".csv", "-")):
            given[i] = "--events=-"
    try:
        try:
            code = command(given)
        finally:
            if Progress.running:
                Progress.running.close()
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
    if isinstance(problem, ModuleNotFoundError):
        say(f"workbench: the package {problem.name} is missing; `python3 -m workbench`, without a "
            "command, makes an environment that has all of them")
        return 3
    if isinstance(problem, Trouble | ImportError | OSError | MemoryError):
        say(f"workbench: {problem or 'out of memory'}")
        return 3
    import traceback

    traceback.print_exception(problem)
    say("workbench: this is a defect of the workbench, not of what you typed; please report it")
    return 4
