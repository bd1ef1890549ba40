"""Recording real programs: the trace replays, and the program notices nothing (Linux only)."""

import os
import subprocess
import sys
from collections import Counter
from pathlib import Path

import pytest

from workbench.trace import Op, Trace
from workbench.trace.summary import TOUCHES, pages_used

ROOT = Path(__file__).parents[1]
pytestmark = [
    pytest.mark.linux,
    pytest.mark.skipif(sys.platform != "linux", reason="recording needs Linux"),
]
PYTHON = os.path.realpath(sys.executable)


def recorded(tmp_path, *command, options=(), code=0, **how):
    """Run `workbench record`; returns (its process, the trace)."""
    out = tmp_path / "out.zip"
    done = subprocess.run(
        [sys.executable, "-m", "workbench", "record", "-o", out, *options, "--", *command],
        cwd=ROOT, capture_output=True, text=True, timeout=60, **how,
    )  # fmt: skip
    if done.returncode == 3 and "refused here" in done.stderr:
        pytest.skip(done.stderr)
    assert done.returncode == code, done.stderr
    return done, Trace.load(out)


def off(trace):
    """Skip where this kernel cannot switch fault-around off."""
    around = trace.header["provenance"]["fault_around"]
    if around != "off":
        pytest.skip(f"fault-around is {around}")
    return trace


def test_a_real_program_replays_under_every_scheme(tmp_path):
    from workbench.results import compare

    _, trace = recorded(tmp_path, "/bin/true")
    assert trace.header["provenance"]["lost_events"] == 0
    ops = Counter(map(Op, trace.op))
    assert ops[Op.exit] == ops[Op.reap] == len(trace.tasks) == 1
    assert trace.tasks[0].container == "A"
    files = {o.path.rpartition("/")[2] for o in trace.objects if o.kind == "file"}
    assert "true" in files and any(name.startswith("ld") for name in files)
    result = compare(trace)
    touched = len(pages_used(trace, TOUCHES)[1])
    for run in result.runs:
        if run.scheme.name in ("first_touch", "every_container", "fraction"):
            peak = {row[0]: row for row in run.summary().itertuples(index=False)}["A"].peak
            assert 0.9 * touched < peak <= touched + 20, run.scheme.name
