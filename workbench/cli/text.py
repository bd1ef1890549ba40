"""Words, tables, progress and files of the command line: whole or not at all."""

from __future__ import annotations

import contextlib
import json
import os
import sys
import tempfile
import textwrap
import threading
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


def folded(columns: Iterable[str], rows: Iterable[Iterable], width: int = 100) -> str:
    """A `grid` of so many letters: what does not fit beside comes below, with the first column."""
    columns, rows = list(columns), [list(row) for row in rows]
    wide = [max(len(cell(row[i])) for row in [columns, *rows]) for i in range(len(columns))]
    blocks, room = [[0]], width - wide[0]
    for i in range(1, len(columns)):
        if len(blocks[-1]) > 1 and room < wide[i] + 2:
            blocks.append([0])
            room = width - wide[0]
        blocks[-1].append(i)
        room -= wide[i] + 2
    return "\n\n".join(
        grid([columns[i] for i in block], [[row[i] for i in block] for row in rows])
        for block in blocks
    )


def counted(number: int, noun: str, plural: str = "") -> str:
    """`1 file`, `3 files`."""
    from workbench.kernel import counted

    return counted(number, noun, plural)


def wrapped(sentence: str) -> str:
    return textwrap.fill(sentence, 100, break_long_words=False, break_on_hyphens=False)


class Progress:
    """One line on stderr, once the work has taken a second; a counter where there is a terminal."""

    AFTER = 1.0  # seconds
    running: Progress | None = None

    def __init__(self, what: str):
        self.what, self.shown = what, False
        self.timer = threading.Timer(self.AFTER, self.show)  # one step may be long
        self.timer.daemon = True
        Progress.running = self
        self.timer.start()

    def show(self) -> None:
        end = "" if sys.stderr.isatty() else "\n"
        print(f"{self.what} ...", end=end, file=sys.stderr, flush=True)
        self.shown = True

    def __call__(self, done: int, total: int) -> None:
        if self.shown and done < total and sys.stderr.isatty():
            print(f"\r{self.what}: {done / total:4.0%}", end="", file=sys.stderr, flush=True)

    def close(self) -> None:
        self.timer.cancel()
        Progress.running = None
        if self.shown and sys.stderr.isatty():
            print("\r\033[K", end="", file=sys.stderr, flush=True)


def records(columns: Iterable[str], rows: Iterable[Iterable]) -> list[dict[str, Any]]:
    """The rows of a table, for JSON."""
    columns = list(columns)
    return [dict(zip(columns, row, strict=True)) for row in rows]


# ---- files ---------------------------------------------------------------------------------------


@contextlib.contextmanager
def writing(what: object) -> Iterator[None]:
    """Around what writes files: what the system refuses is said with what was to be written."""
    try:
        yield
    except OSError as problem:
        raise Trouble(f"cannot write {what}: {problem.strerror or problem}") from problem


def check_file(file: Path) -> None:
    """Find out before the work, not after it, that nothing can be written there."""
    folder = file.absolute().parent
    if file.is_dir():
        raise Trouble(f"cannot write {file}: it is a folder")
    if not folder.is_dir():
        raise Trouble(f"cannot write {file}: no folder {folder}")
    with writing(file), tempfile.TemporaryDirectory(prefix=".workbench-", dir=folder):
        pass


def check_folder(folder: Path) -> None:
    """The same for a folder, which need not be there."""
    if folder.exists() and not folder.is_dir():
        raise Trouble(f"cannot write to {folder}: it is a file, a folder is needed")
    place = folder.absolute()
    while not place.exists():
        place = place.parent
    with writing(f"to {folder}"), tempfile.TemporaryDirectory(prefix=".workbench-", dir=place):
        pass


def check_ending(trace: Path, word: str) -> None:
    if trace.name.endswith((".rec", ".xz", ".csv", ".json", ".toml")):
        raise Mistake(f"{trace}: {word} is *.zip, *.parquet, or a folder (no ending)")


def write_file(file: Path, text: str) -> None:
    from workbench.results.export import write_files

    check_file(file)
    with writing(file):
        write_files(file.parent, {file.name: text.encode()})


def save_trace(trace: Any, path: Path) -> None:
    with writing(path):
        try:
            trace.save(path)
        except (FileExistsError, IsADirectoryError) as problem:  # something else is there
            raise Mistake(str(problem)) from problem


def save(result: Any, folder: Path) -> None:
    """Tables, charts and provenance of a run or a comparison."""
    check_folder(folder)
    with writing(f"to {folder}"):
        files = len(result.save(folder))
    say(f"{counted(files, 'file')} in {folder}{os.sep}")
