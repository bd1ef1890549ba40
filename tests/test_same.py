"""The benchmark's yardstick in C (tests/bench/same.c) decides what the engine decides."""

import numpy as np
import pytest

from tests.bench import peers, traces
from tests.bench.same import Same

PAGES = 900  # more than one page-table page


@pytest.fixture(scope="module")
def library(tmp_path_factory):
    found = peers.compiled(tmp_path_factory.mktemp("same"), "same")
    return found or pytest.skip("no C compiler")


def half(limit: int = 128):  # reclaim of a single page happens, which counts as failure
    page = traces.zipf(PAGES, 30_000)
    return traces.limited(traces.trace_of(PAGES, 0, 0, page, 1), limit)


def churn():
    return traces.churn(PAGES, 30_000, 20, 4)[0]


def replayed(trace):
    engine = traces.Replay(trace, "first_touch")
    engine.fresh()
    engine.go(0, len(trace))
    return engine


@pytest.mark.parametrize("case", ["half", "churn"])
def test_the_same_state_at_the_end(library, case):
    trace = half() if case == "half" else churn()
    engine = replayed(trace)
    program = Same(library, case, engine.start, PAGES)
    program.go(len(trace) // 3)  # in two parts, as the benchmark does
    program.go(len(trace))
    program.check(engine.state)
    assert np.sum(program.boxes["usage"]) > 0
    if case == "half":
        assert engine.state.failcnt[1] > 100 and program.machine["freed"][0] > 1000


@pytest.mark.parametrize("case", ["half", "churn"])
def test_another_state_is_noticed(library, case):
    trace = half() if case == "half" else churn()
    engine = replayed(trace)
    program = Same(library, case, engine.start, PAGES)
    program.go(len(trace) // 2)
    with pytest.raises(ValueError, match="and the engine part"):
        program.check(engine.state)


def test_another_victim_is_noticed(library):
    """Nothing but the order of the container's list differs."""
    trace = half()
    engine = replayed(trace)
    program = Same(library, "half", engine.start, PAGES)
    program.go(len(trace))
    program.queue["page"] = program.queue["page"][::-1].copy()
    with pytest.raises(ValueError, match="lists"):
        program.check(engine.state)


def test_what_it_cannot_do_is_refused(library):
    trace = half(limit=1)  # as posted, freeing one page is not enough: the OOM killer's turn
    program = Same(library, "half", traces.Replay(trace, "first_touch").start, PAGES)
    with pytest.raises(ValueError, match="cannot do event"):
        program.go(len(trace))
