"""Words, tables, progress and files of the command line: whole or not at all."""

from __future__ import annotations

import contextlib
import csv
import io
import json
import os
import shutil
import sys
import tempfile
import textwrap
import time
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any


class Mistake(Exception):
    """Something the person at the keyboard can put right (exit code 2)."""


class Trouble(Exception):
    """Something about the machine they work on (exit code 3)."""


def say(text: str) -> None:
    print(text, file=sys.stderr, flush=True)


def show_json(data: Any) -> None:
    print(json.dumps(data, indent=1, ensure_ascii=False, default=str))


def cell(value: Any) -> str:
    """A value in a table: whole numbers as they are, others with two decimals, nothing as "-"."""
    if isinstance(value, bool):
        return "yes" if value else "no"
    if value is None or value == "":
        return "-"
    if isinstance(value, float):
        return f"{value:.0f}" if value == int(value) else f"{value:.2f}"
    return str(value)


def grid(columns: Iterable[str], rows: Iterable[Iterable]) -> str:
    """A table as text: names to the left, numbers to the right."""
    rows = [list(row) for row in rows]
    text = [list(columns), *([cell(value) for value in row] for row in rows)]
    number = [
        any(isinstance(row[i], int | float) and not isinstance(row[i], bool) for row in rows)
        for i in range(len(text[0]))
    ]
    widths = [max(len(line[i]) for line in text) for i in range(len(text[0]))]
    return "\n".join(
        "  ".join(
            word.rjust(width) if right else word.ljust(width)
            for word, width, right in zip(line, widths, number, strict=True)
        ).rstrip()
        for line in text
    )


def counted(number: int, noun: str, plural: str = "") -> str:
    """`1 file`, `3 files`."""
    from workbench.kernel import counted

    return counted(number, noun, plural)


def wrapped(sentence: str) -> str:
    return textwrap.fill(sentence, 100, break_long_words=False, break_on_hyphens=False)


def csv_text(columns: Iterable[str], rows: Iterable[Iterable]) -> str:
    out = io.StringIO()
    writer = csv.writer(out, lineterminator="\n")
    writer.writerow(columns)
    writer.writerows(rows)
    return out.getvalue()


class Progress:
    """One line on stderr, once the work has taken a second; a counter where there is a terminal."""

    def __init__(self, what: str):
        self.what, self.begun, self.shown = what, time.monotonic(), False

    def __call__(self, done: int, total: int) -> None:
        if time.monotonic() - self.begun < 1 or done >= total:
            return
        if sys.stderr.isatty():
            print(f"\r{self.what}: {done / total:4.0%}", end="", file=sys.stderr, flush=True)
        elif not self.shown:
            say(f"{self.what} ...")
        self.shown = True

    def close(self) -> None:
        if self.shown and sys.stderr.isatty():
            print("\r\033[K", end="", file=sys.stderr, flush=True)


# ---- files ---------------------------------------------------------------------------------------


@contextlib.contextmanager
def folder_to(target: Path) -> Iterator[Path]:
    """A new folder to fill; its files move to `target` when all of them are there."""
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        if target.exists() and not target.is_dir():
            raise Trouble(f"cannot write to {target}: it is a file, a folder is needed")
        work = Path(tempfile.mkdtemp(prefix=f".{target.name}.", dir=target.parent))
    except OSError as problem:
        raise Trouble(f"cannot write to {target}: {problem.strerror}") from problem
    try:
        yield work
        if not target.exists():
            work.chmod(0o777 & ~umask())
            os.replace(work, target)
        else:
            for path in sorted(work.rglob("*")):
                place = target / path.relative_to(work)
                if path.is_dir():
                    place.mkdir(exist_ok=True)
                else:
                    os.replace(path, place)
    except OSError as problem:
        raise Trouble(f"cannot write to {target}: {problem.strerror or problem}") from problem
    finally:
        shutil.rmtree(work, ignore_errors=True)


def umask() -> int:
    mask = os.umask(0)
    os.umask(mask)
    return mask


def write_file(target: Path, text: str) -> None:
    """Write beside the target, then rename."""
    if target.is_dir():
        raise Trouble(f"cannot write {target}: it is a folder")
    try:
        handle, name = tempfile.mkstemp(prefix=f".{target.name}.", dir=target.parent)
    except OSError as problem:
        raise Trouble(f"cannot write {target}: {problem.strerror}") from problem
    try:
        with os.fdopen(handle, "w", encoding="utf-8", newline="") as out:
            out.write(text)
        Path(name).chmod(0o666 & ~umask())
        os.replace(name, target)
    except OSError as problem:
        raise Trouble(f"cannot write {target}: {problem.strerror}") from problem
    finally:
        Path(name).unlink(missing_ok=True)


def save(result: Any, folder: Path) -> None:
    """Tables, charts and provenance of a run or a comparison."""
    with folder_to(folder) as work:
        files = len(result.save(work))
    say(f"{counted(files, 'file')} in {folder}{os.sep}")
