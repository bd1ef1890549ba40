"""Where results are kept until all are there."""

from __future__ import annotations

import hashlib
import json
import sqlite3
from pathlib import Path

from .batch import Row


class Store:
    """Finished points in a database of one file: each is there wholly or not at all."""

    def __init__(self, path: str, about: dict[str, str]) -> None:
        self.path = path
        try:
            self.db = sqlite3.connect(path, timeout=5)
            self.db.execute("pragma locking_mode = exclusive")
            self.db.execute("begin exclusive")
            self.db.execute("create table if not exists about (name primary key, value)")
            self.db.execute("create table if not exists point (key primary key, rows)")
            said = dict(self.db.execute("select name, value from about"))
            self.db.executemany("insert or replace into about values (?, ?)", about.items())
            self.db.commit()
        except sqlite3.OperationalError as problem:
            if problem.sqlite_errorname != "SQLITE_BUSY":
                raise OSError(f"cannot write {path}: {problem}") from None
            raise ValueError(f"{path}: another sweep is writing to it ({problem})") from None
        except sqlite3.DatabaseError:
            raise ValueError(f"{path}: not an unfinished sweep; delete it") from None
        for name, value in said.items():
            if about.get(name) != value:
                self.close()
                raise ValueError(
                    f"{path}: begun with {name} {value}, this is {about.get(name)}; finish it with "
                    "that, or begin again (restart)"
                )

    def keys(self) -> set[str]:
        return {key for (key,) in self.db.execute("select key from point")}

    def add(self, found: list[tuple[str, list[Row]]]) -> None:
        try:
            with self.db:
                self.db.executemany(
                    "insert or ignore into point values (?, ?)",
                    [(key, json.dumps(rows)) for key, rows in found],
                )
        except sqlite3.OperationalError as problem:  # the disk is full
            raise OSError(f"cannot write {self.path}: {problem}") from None

    def get(self, key: str) -> list[Row]:
        return json.loads(
            self.db.execute("select rows from point where key = ?", (key,)).fetchone()[0]
        )

    def close(self) -> None:
        self.db.close()


def sources() -> str:
    """Hash of the code that decides a result: points of other code are not taken over."""
    digest, package = hashlib.sha256(), Path(__file__).parents[1]
    for part in ("trace", "kernel", "schemes", "scenarios"):
        for file in sorted((package / part).rglob("*.py")):
            digest.update(file.read_bytes())
    return digest.hexdigest()[:16]
