"""`Capture`: what a real kernel answered, event by event, with the trace it was asked."""

from __future__ import annotations

import csv
import io
import json
import tempfile
import zipfile
from collections import defaultdict
from dataclasses import dataclass, field
from pathlib import Path

from workbench.results.export import write_files
from workbench.trace import Trace

SCHEMA = "workbench-capture/1"
META = ("name", "host", "kernel", "cgroup", "step", "again", "swap")
Numbers = list[int | None]


class CaptureError(ValueError):
    """A runner's log that broke off, or a capture file that is not one."""


@dataclass
class Capture:
    """Numbers as measured: pages of users (charges less kernel memory), by event and container.

    usage, failcnt  one row per event, one cell per container; None: no such group then
    died            (event, task, signal): killed in the course of an event
    refused         (event, errno) of system calls
    missed          (event, pages) that were read and not in the cache
    mapped          event -> container -> frames it maps alone, with one other container, ...
    nodes           event -> container -> mapped frames per NUMA node
    pss             event -> task -> (KiB by smaps, areas each rounded down to a KiB)
    again           numbers that came right when measured once more
    swap            pages of the swap area that was made for it
    both            event -> container -> pages in memory and swap together, where there is swap
    """

    name: str
    host: str
    trace: Trace
    kernel: str = ""
    cgroup: int = 1
    step: int = 1
    again: int = 0
    swap: int = 0
    usage: list[Numbers] = field(default_factory=list)
    failcnt: list[Numbers] = field(default_factory=list)
    died: list[tuple[int, int, int]] = field(default_factory=list)
    refused: list[tuple[int, int]] = field(default_factory=list)
    missed: list[tuple[int, int]] = field(default_factory=list)
    mapped: dict[int, dict[int, list[int]]] = field(default_factory=dict)
    nodes: dict[int, dict[int, list[int]]] = field(default_factory=dict)
    pss: dict[int, dict[int, tuple[int, int]]] = field(default_factory=dict)
    both: dict[int, dict[int, list[int]]] = field(default_factory=dict)

    def lines(self) -> list[list[object]]:
        """The measurements as rows of text: only what changes."""
        found: list[tuple[int, list[object]]] = []
        before: object = None
        for n, pair in enumerate(zip(self.usage, self.failcnt, strict=True)):
            if pair != before:
                cells = ("-1:-1" if u is None else f"{u}:{f}" for u, f in zip(*pair, strict=True))
                found.append((n, ["at", n, *cells]))
            before = pair
        found += [(n, ["died", n, task, signal]) for n, task, signal in self.died]
        found += [(n, ["refused", n, errno]) for n, errno in self.refused]
        found += [(n, ["missed", n, pages]) for n, pages in self.missed]
        for word in ("mapped", "nodes", "pss", "both"):
            for n, rows in getattr(self, word).items():
                found += [(n, [word, n, who, *numbers]) for who, numbers in rows.items()]
        return [row for _, row in sorted(found, key=lambda pair: pair[0])]

    def save(self, path: str | Path) -> None:
        """One zip: capture.json, measured.csv, trace.zip. Appears whole or not at all."""
        text, whole, path = io.StringIO(), io.BytesIO(), Path(path)
        csv.writer(text, lineterminator="\n").writerows(self.lines())
        head = {"schema": SCHEMA} | {key: getattr(self, key) for key in META}
        with tempfile.TemporaryDirectory(prefix="workbench-") as folder:
            trace = Path(folder, "trace.zip")
            self.trace.save(trace)
            files = {"capture.json": json.dumps(head, indent=1).encode(),
                     "measured.csv": text.getvalue().encode(), "trace.zip": trace.read_bytes()}
        with zipfile.ZipFile(whole, "w") as out:
            for name, data in files.items():
                entry = zipfile.ZipInfo(name)  # a fixed date: same numbers, same bytes
                out.writestr(entry, data, zipfile.ZIP_DEFLATED)
        write_files(path.parent, {path.name: whole.getvalue()})

    @classmethod
    def load(cls, path: str | Path) -> Capture:
        """Raises CaptureError for what is not a capture."""
        try:
            with zipfile.ZipFile(path) as whole, tempfile.TemporaryDirectory() as folder:
                head = json.loads(whole.read("capture.json"))
                if head.pop("schema", None) != SCHEMA:
                    raise CaptureError(f"{path}: not a {SCHEMA}")
                trace = Path(folder, "trace.zip")
                trace.write_bytes(whole.read("trace.zip"))
                capture = cls(trace=Trace.load(trace), **head)
                rows = list(csv.reader(io.StringIO(whole.read("measured.csv").decode())))
        except (zipfile.BadZipFile, KeyError, TypeError, json.JSONDecodeError) as problem:
            raise CaptureError(f"{path}: not a capture ({problem})") from problem
        capture.read(rows)
        return capture

    def read(self, rows: list[list[str]]) -> None:
        """Take in the lines of a log, or of a saved capture."""
        at: dict[int, tuple[Numbers, Numbers]] = {}
        for word, *cells in rows:
            if word in ("at", "died", "refused", "missed", "mapped", "nodes", "pss", "both"):
                if word == "at":
                    pairs = [tuple(map(int, cell.split(":"))) for cell in cells[1:]]
                    usage, failcnt = zip(*pairs, strict=True)
                    at[int(cells[0])] = (
                        [None if n < 0 else n for n in usage],
                        [None if n < 0 else n for n in failcnt],
                    )
                    continue
                n, *numbers = map(int, cells)
                if word in ("died", "refused", "missed"):
                    getattr(self, word).append((n, *numbers))
                else:
                    rows_of = getattr(self, word).setdefault(n, {})
                    rows_of[numbers[0]] = (tuple(numbers[1:]) if word == "pss" else numbers[1:])
        last: tuple[Numbers, Numbers] | None = None
        for n in range(len(self.trace)):
            last = at.get(n, last)
            if last is None:
                raise CaptureError(f"{self.name}: nothing was measured after the first event")
            self.usage.append(last[0])
            self.failcnt.append(last[1])


def from_log(text: str, name: str, host: str, trace: Trace) -> Capture:
    """A runner's log as a capture. Raises CaptureError when the runner gave up, saying why."""
    capture = Capture(name, host, trace)
    said: dict[str, str] = defaultdict(str)
    rows = []
    for line in text.splitlines():
        word, _, rest = line.strip().partition(" ")
        said[word] = rest
        rows.append(["mapped" if word == "share" else word, *rest.split()])
    if said["error"]:
        event, _, why = said["error"].partition(" ")
        raise CaptureError(f"{name}: the runner gave up at event {int(event) + 1}: {why}")
    if "end" not in said:
        raise CaptureError(f"{name}: the runner's log breaks off:\n{text[-500:]}")
    capture.kernel, capture.cgroup = said["kernel"].partition("-")[0], int(said["cgroup"])
    capture.step, capture.again = int(said["step"]), int(said["again"])
    capture.swap = int(said["swap"] or 0)
    capture.read(rows)
    return capture
