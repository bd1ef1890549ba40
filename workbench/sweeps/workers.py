"""Who does the work: this process, all cores, or a cluster."""

from __future__ import annotations

import itertools
import os
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import (
    FIRST_COMPLETED,
    BrokenExecutor,
    Future,
    ProcessPoolExecutor,
    wait,
)

from .batch import work
from .store import sources

PATIENCE = 1.0  # seconds of work before other processes are worth starting


def leave_with_parent() -> None:
    """In a worker: end when the process that started it does, however that ended."""
    import multiprocessing

    def watch() -> None:
        multiprocessing.parent_process().join()
        os._exit(1)

    threading.Thread(target=watch, daemon=True).start()


def windowed(submit: Callable[..., Future], todo: Iterator, width: int) -> Iterator[list]:
    """Results as they come, never more than `width` batches under way."""
    running = {submit(work, *batch) for batch in itertools.islice(todo, width)}
    while running:
        ended, running = wait(running, return_when=FIRST_COMPLETED)
        for future in ended:
            yield future.result()
        running |= {submit(work, *batch) for batch in itertools.islice(todo, len(ended))}


def here(todo: Iterator, workers: int) -> Iterator[list]:
    """In this process as long as that takes about a second, then on all cores."""
    begun = time.monotonic()
    for batch in todo:
        yield work(*batch)
        if workers > 1 and time.monotonic() - begun > PATIENCE:
            break
    todo = iter(todo)
    following = next(todo, None)
    if following is None:
        return
    import multiprocessing

    pool = ProcessPoolExecutor(
        workers, multiprocessing.get_context("spawn"), initializer=leave_with_parent
    )
    try:
        yield from windowed(pool.submit, itertools.chain([following], todo), workers + 1)
    except BrokenExecutor:
        raise ChildProcessError(
            "sweep: a worker process was killed, perhaps for want of memory (fewer need less)"
        ) from None
    finally:
        pool.shutdown(wait=False, cancel_futures=True)


def cluster(todo: Iterator, address: str) -> Iterator[list]:
    """On the workers of a Dask cluster, which must have the very same workbench."""
    try:
        from distributed import Client
    except ImportError:
        raise ImportError("dask: the package `distributed` is missing: pip install "
                          "'workbench[dask]'") from None
    try:
        client = Client(address, timeout=10, set_as_default=False)
    except (OSError, ValueError) as problem:
        raise ValueError(f"dask: no scheduler at {address} ({problem})") from None
    with client:
        theirs = client.run(sources)
        if not theirs:
            raise ValueError(f"dask: the scheduler at {address} has no workers")
        for worker, code in theirs.items():
            if code != sources():
                raise ValueError(f"dask: worker {worker} has another version of the workbench")
        executor = client.get_executor(pure=False)
        yield from windowed(executor.submit, todo, 2 * len(theirs))
