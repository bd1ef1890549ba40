"""Steps counted and time per event, scheme by scheme: `python -m tests.bench.profile churn`."""

from __future__ import annotations

import argparse
import os
import sys
from pathlib import Path

if __package__ in (None, ""):
    sys.path[0] = str(Path(__file__).resolve().parents[2])
    __package__ = "tests.bench"
os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")


def main(arguments: list[str] | None = None) -> int:
    import numpy as np

    from workbench.kernel import STATS

    from . import traces
    from .measure import clock, table

    parser = argparse.ArgumentParser(prog="python -m tests.bench.profile", description=__doc__)
    parser.add_argument("kind", choices=("hits", "half", "churn"))
    parser.add_argument("--scheme", action="append", help="all, unless named; may be repeated")
    parser.add_argument("--pages", type=int, default=10_000)
    parser.add_argument("--events", type=int, default=1_000_000)
    parser.add_argument("--containers", type=int, default=1)
    chosen = parser.parse_args(arguments)
    first = 0
    if chosen.kind == "churn":
        sharers = min(4, chosen.containers)
        trace, first = traces.churn(chosen.pages, chosen.events, chosen.containers, sharers)
    else:
        trace = traces.hits(chosen.pages, chosen.events, chosen.containers)
    if chosen.kind == "half":
        distinct = len(np.unique(trace.page[chosen.containers :]))
        trace = traces.limited(trace, distinct // (2 * chosen.containers))
    schemes = chosen.scheme or traces.SCHEMES
    columns = []
    for scheme in schemes:
        replay, pairs = traces.Replay(trace, scheme).warm_up(first), []
        before = [replay.start.stat[i] for i in range(len(STATS))]
        for _ in range(3):
            replay.fresh()
            with clock(pairs):
                replay.go(first, len(trace))
        cpu = sorted(pair[0] for pair in pairs)[1] / (len(trace) - first)
        stats = [(replay.stat(i) - before[i]) / (len(trace) - first) for i in range(len(STATS))]
        columns.append([cpu, *stats])
    rows = []
    for i, name in enumerate(["CPU ns", *STATS]):
        values = [column[i] for column in columns]
        if any(values):
            rows.append([name, *(f"{value:.4g}" for value in values)])
    print(table(["per event", *schemes], rows))
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
