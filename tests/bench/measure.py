"""Clocks, medians, the machine they were taken on, and tables of them."""

from __future__ import annotations

import contextlib
import gc
import importlib.metadata
import os
import platform
import shutil
import statistics
import subprocess
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path


@dataclass(frozen=True)
class Times:
    """Several runs of one thing: median, least and most, in `unit` (CPU time of the thread)."""

    median: float
    least: float
    most: float
    wall: float
    runs: int
    unit: str = "ns/event"

    def __str__(self) -> str:
        return f"{self.median:.4g} ({self.least:.4g}..{self.most:.4g})"

    def less(self, amount: float) -> Times:
        """The same without a part that takes `amount`."""
        values = asdict(self)
        for name in ("median", "least", "most", "wall"):
            values[name] = max(0.0, values[name] - amount)
        return Times(**values)


def times_of(pairs: list[tuple[int, int]], events: int, unit: str = "ns/event") -> Times:
    """From (CPU, wall) in nanoseconds."""
    scale = {"ns/event": events, "ms": 1e6, "s": 1e9}[unit]
    cpu = [pair[0] / scale for pair in pairs]
    wall = statistics.median(pair[1] for pair in pairs) / scale
    return Times(statistics.median(cpu), min(cpu), max(cpu), wall, len(cpu), unit)


@contextlib.contextmanager
def clock(pairs: list[tuple[int, int]]):
    """Append (thread CPU, wall) of the block, with garbage collection off."""
    gc.collect()
    gc.disable()
    cpu, wall = time.thread_time_ns(), time.perf_counter_ns()
    try:
        yield
    finally:
        wall, cpu = time.perf_counter_ns() - wall, time.thread_time_ns() - cpu
        gc.enable()
        pairs.append((cpu, wall))


def interleaved(
    work: dict[str, tuple[Callable[[], tuple], Callable]],
    runs: int,
    events: int | dict[str, int],
    unit: str = "ns/event",
) -> dict[str, Times]:
    """Run A B C A B C ...: name -> (prepare, run); only run(*prepare()) is timed."""
    found: dict[str, list[tuple[int, int]]] = {name: [] for name in work}
    for _ in range(runs):
        for name, (prepare, run) in work.items():
            ready = prepare()
            with clock(found[name]):
                run(*ready)
            del ready
    return {
        name: times_of(pairs, events[name] if isinstance(events, dict) else events, unit)
        for name, pairs in found.items()
    }


def version(package: str) -> str:
    try:
        return importlib.metadata.version(package)
    except importlib.metadata.PackageNotFoundError:
        return "not installed"


def compiler() -> str | None:
    return shutil.which("gcc") or shutil.which("cc")


def machine() -> dict[str, str]:
    """What the numbers depend on."""
    model = platform.processor() or platform.machine()
    with contextlib.suppress(OSError):
        lines = Path("/proc/cpuinfo").read_text().splitlines()
        names = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
        model = names[0] if names else model
    cc = compiler()
    built_by = "none: the C loop is left out"
    if cc:
        output = subprocess.run([cc, "--version"], capture_output=True, text=True, check=False)
        built_by = output.stdout.splitlines()[0]
    load = ", ".join(f"{x:.2f}" for x in os.getloadavg())
    return {
        "CPU": f"{model}, {os.cpu_count()} cores, load {load}",
        "Python": platform.python_version(),
        "numba": version("numba"),
        "numpy": version("numpy"),
        "C compiler": built_by,
        "libcachesim": version("libcachesim"),
    }


def table(head: list[str], rows: list[list[str]]) -> str:
    """A Markdown table, padded so that it can be read as it stands."""
    cells = [head, *rows]
    widths = [max(len(row[i]) for row in cells) for i in range(len(head))]
    lines = [
        "| " + " | ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)) + " |"
        for row in cells
    ]
    lines.insert(1, "| " + " | ".join("-" * width for width in widths) + " |")
    return "\n".join(lines)
