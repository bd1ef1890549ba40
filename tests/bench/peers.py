"""What the workbench is measured against: libcachesim's LRU, in C, and a bare C loop."""

from __future__ import annotations

import ctypes
import importlib.util
import math
import subprocess
import sys
from pathlib import Path

import numpy as np

from .measure import Times, clock, compiler, times_of

HERE = Path(__file__).parent
RECORD = np.dtype([("time", "<u4"), ("id", "<u8"), ("size", "<u4"), ("next", "<i8")])


def compiled(folder: Path, name: str) -> ctypes.CDLL | None:
    """A C file from here, compiled into a folder; None without a compiler."""
    cc = compiler()
    if not cc:
        return None
    target = folder / f"{name}.so"
    subprocess.run(
        [cc, "-O2", "-shared", "-fPIC", "-o", str(target), str(HERE / f"{name}.c")], check=True
    )
    return ctypes.CDLL(str(target))


def build(folder: Path) -> ctypes.CDLL | None:
    """limit.c, ready to be called."""
    library = compiled(folder, "limit")
    if library:
        library.limit.argtypes = [ctypes.c_int64] + [ctypes.c_void_p] * 5
        library.limit.restype = ctypes.c_int64
    return library


class Limit:
    """One random 8-byte read-modify-write per event, over the engine's own event columns.

    At the event's page, or (`by_pair`) at its pair of page and task: pairs have cells without gaps,
    numbered beforehand, as a hash that costs nothing would do it.
    """

    def __init__(self, library: ctypes.CDLL, state, pages: int, by_pair: bool = False) -> None:
        self.run = library.limit
        at = state.ev_at
        if by_pair:
            pair = state.ev_task.astype(np.int64) * pages + at
            found, at = np.unique(pair, return_inverse=True)
            pages, at = len(found), at.astype(np.int32)
        self.cells = np.zeros(pages, np.uint64)
        self.cells += 1  # in memory
        self.columns = [state.ev_op, state.ev_task, at, state.ev_count]

    def go(self, start: int, stop: int) -> None:
        at = [c.ctypes.data + start * c.itemsize for c in self.columns]
        self.run(stop - start, *at, self.cells.ctypes.data)


def has_libcachesim() -> bool:
    return importlib.util.find_spec("libcachesim") is not None


def write_oracle(page: np.ndarray, path: Path) -> None:
    """The events as an oracleGeneral file, the fastest format libcachesim reads."""
    rows = np.zeros(len(page), RECORD)
    rows["time"] = np.arange(len(page)) // 1000
    rows["id"] = page.astype(np.uint64) + 1
    rows["size"] = 1
    rows["next"] = -2
    rows.tofile(path)


def reader(path: Path):
    import libcachesim as lcs

    kind = lcs.TraceType.ORACLE_GENERAL_TRACE
    return lcs.TraceReader(str(path), kind, lcs.ReaderInitParam(ignore_obj_size=True))


class Cache:
    """libcachesim's LRU with a hash table that fits, replaying a file in bulk."""

    def __init__(self, path: Path, capacity: int) -> None:
        self.path, self.capacity = path, capacity
        self.misses = math.nan

    def prepare(self) -> tuple:
        import libcachesim as lcs

        power = max(16, math.ceil(math.log2(self.capacity)) + 1)
        return lcs.LRU(self.capacity, hashpower=power), reader(self.path)

    def go(self, cache, events) -> None:
        self.misses = float(cache.process_trace(events)[0])


def reader_alone(path: Path, library: Path, events: int, runs: int) -> Times | None:
    """Cost of libcachesim's reader without a cache, or None if it could not be had.

    Its Python interface cannot do that: the C functions are called through addresses found in its
    objects, which may crash with another version; hence the process of its own.
    """
    command = [sys.executable, "-m", "tests.bench.peers", str(path), str(library), str(runs)]
    done = subprocess.run(command, capture_output=True, text=True, check=False, cwd=HERE.parents[1])
    if done.returncode:
        return None
    rows = [tuple(map(int, line.split())) for line in done.stdout.splitlines()]
    if any(n != events for n, _, _ in rows):
        return None
    return times_of([(cpu, wall) for _, cpu, wall in rows], events)


def stream_reader(path: str, library: str, runs: str) -> None:
    """In the process of `reader_alone`: print events, CPU and wall of every run."""
    import libcachesim as lcs
    from libcachesim import libcachesim_python

    def held(thing) -> int:
        # a pybind11 object: what it holds comes right after the object header
        return ctypes.c_void_p.from_address(id(thing) + object.__basicsize__).value

    read = ctypes.cast(ctypes.CDLL(libcachesim_python.__file__).read_one_req, ctypes.c_void_p)
    stream = ctypes.CDLL(library).stream
    stream.argtypes, stream.restype = [ctypes.c_void_p] * 3, ctypes.c_int64
    for _ in range(int(runs)):
        events, request, pairs = reader(Path(path)), lcs.Request(), []
        with clock(pairs):
            n = stream(read, held(events._reader), held(request))
        print(n, *pairs[0])


if __name__ == "__main__":
    stream_reader(*sys.argv[1:])
