"""Hold the simulator against a real kernel: the same trace, real processes, real control groups.

    from workbench import validate
    validate("gcc2", host="live").table()

Data flows `plan` (a trace in words the runner knows) -> `hosts` (where it runs; the runner is C,
in `native/`) -> `capture` (what was measured) -> `compare` (with the `forecast` of a scheme) ->
`agreement` (how much was right).
"""

from __future__ import annotations

from array import array
from collections.abc import Callable, Iterable, Iterator
from dataclasses import replace
from pathlib import Path

from workbench.kernel import did_you_mean
from workbench.trace import Op, Trace

from .agreement import Agreement, Row
from .capture import Capture, CaptureError, from_log
from .compare import (
    compare_bounds,
    compare_mapped,
    compare_nodes,
    compare_usage,
    has_limits,
)
from .forecast import LEDGER, SCHEMES, forecast
from .guests import Machine, MachineV2, UserMode
from .hosts import Live, Unavailable, clean
from .plan import Inexpressible, write_plan
from .random_trace import random_oom, random_trace
from .stories import SWAPPING, all_stories

HOSTS = {host.name: host for host in (Live, UserMode, Machine, MachineV2)}
GOLDEN = Path(__file__).parent / "golden"
CHUNK = 1000  # events of one random trace
OOMS = 20  # random traces that end in a kill
LOOKS = 40  # at the page maps, in the course of a trace

__all__ = [
    "HOSTS", "LEDGER", "Agreement", "Capture", "CaptureError", "Inexpressible", "Row",
    "Unavailable", "all_stories", "clean", "compared", "forecast", "golden", "has_limits",
    "measure", "random_trace", "sources", "validate",
]


def sources(
    names: str | Trace | Iterable[str | Trace] | None = None,
    events: int = 0,
    seed: int = 0,
    copies: bool = True,
) -> dict[str, Trace]:
    """Name -> trace: stories of this package, scenarios, files of traces; None: all stories.

    Scenarios go without their limits: who pays is then exact, and no reclaim interferes.
    `oom`: twenty random kills. `random`, or `events` alone, adds random traces of a thousand
    events each; `copies` as there.
    Raises ValueError for an unknown name.
    """
    from workbench import scenarios

    if isinstance(names, (str, Path, Trace)) or hasattr(names, "trace"):
        names = [names]
    stories = all_stories() | SWAPPING
    wanted = list(names) if names is not None else [] if events else list(all_stories())
    found: dict[str, Trace] = {}
    for name in wanted:
        if isinstance(name, Trace) or hasattr(name, "trace"):
            trace = getattr(name, "trace", name)
            found[getattr(name, "name", "") or f"trace {len(found) + 1}"] = trace
        elif name in stories:
            found[name] = stories[name]()
        elif name in scenarios.names():
            found[name] = without_limits(scenarios.get(name).trace)
        elif name == "random":
            events = events or CHUNK
        elif name == "oom":
            found |= {f"oom {n}": random_oom(n) for n in range(seed, seed + OOMS)}
        elif Path(name).exists():
            found[Path(name).stem] = Trace.load(name)
        else:
            known = [*stories, *scenarios.names(), "random", "oom"]
            raise ValueError(f"unknown scenario {name!r}{did_you_mean(str(name), known)}")
    for chunk in range(-(-events // CHUNK)):
        size = min(CHUNK, events - chunk * CHUNK)
        found[f"random {seed + chunk}"] = random_trace(size, seed + chunk, copies)
    return found


def without_limits(trace: Trace) -> Trace:
    """The same events with no limit on anybody's memory."""
    rows = sorted(set(range(len(trace))) - set(trace.rows(Op.set_limit)))
    columns = {
        name: array("q", (int(cells[row]) for row in rows))
        for name, cells in trace.columns().items()
    }
    boxes = [replace(box, limit=None) for box in trace.containers]
    return Trace.from_columns(
        trace.objects, trace.tasks, boxes, **columns, values=trace.values, header=trace.header
    )


def measure(name: str, trace: Trace, host, swap: bool = False) -> Capture:
    """Run a trace on a host and return what was measured. swap: with a swap area of its own.

    Raises Inexpressible, CaptureError.
    """
    look = max(1, len(trace) // LOOKS)
    # reclaim is no charging rule: nothing is expected of what happens at limits
    hints = None if has_limits(trace) else forecast(trace, LEDGER, version=host.version).usage
    text = host.run(write_plan(trace, hints, look=look), swap=swap)
    return from_log(text, name, host.name, trace)


def validate(
    source: str | Trace | Iterable[str | Trace] | None = None,
    host: str = "live",
    *,
    scheme: str | None = None,
    events: int = 0,
    seed: int = 0,
    save: str | Path | None = None,
    swap: bool = False,
    progress: Callable[[int, int], None] | None = None,
) -> Agreement:
    """Execute scenarios on a real kernel and compare with what a scheme predicts, event by event.

    source  stories (`workbench.live.stories`), scenarios, traces or their files; None: all stories
    host    "live": this machine; "uml": User-Mode Linux; "qemu", "qemu-v2": eight fake NUMA
            nodes, groups of version 1 or 2; "golden": captures shipped with the package
    scheme  what predicts (None: cgroup_v1 or cgroup_v2, as the kernel's groups are)
    events  that many random events (in traces of 1,000), from `seed` on
    save    a folder that takes a capture of each
    swap    make a swap area (16 MiB) for the run, and the stories of SWAPPING possible: it is the
            whole machine's as long as it is there

    Raises ValueError for unknown names, Unavailable where the host cannot be used (and why).
    """
    if host != "golden" and host not in HOSTS:
        raise ValueError(f"unknown host {host!r}{did_you_mean(host, [*HOSTS, 'golden'])}")
    result = Agreement(scheme=scheme)
    for done, (found, total) in enumerate(captures(source, host, events, seed, swap)):
        result.add(found, compared(found, scheme))
        if save:
            found.save(Path(save, f"{found.name.replace(' ', '_')}.{found.host}.zip"))
        if progress:
            progress(done + 1, total)
    return result


def captures(
    source: str | Trace | Iterable[str | Trace] | None, host: str, events: int, seed: int,
    swap: bool = False,
) -> Iterator[tuple[Capture, int]]:
    """Each capture, and how many there will be: from a kernel, or as shipped."""
    if host == "golden":
        names = {source} if isinstance(source, str) else None if source is None else set(source)
        shipped = golden()
        known = {c.name for c in shipped}
        for name in names or ():
            if name not in known:
                raise ValueError(f"no capture of {name!r} is shipped{did_you_mean(name, known)}")
        chosen = [c for c in shipped if names is None or c.name in names]
        yield from ((c, len(chosen)) for c in chosen)
        return
    traces = sources(source, events, seed)  # wrong names are said before the host is looked at
    if not swap and (asked := [name for name in traces if name in SWAPPING]):
        raise Unavailable(f"{asked[0]} needs a swap area, which is made only on request: --swap")
    machine = HOSTS[host]()
    if not machine.whole_areas:
        traces = sources(source, events, seed, copies=False)
    for name, trace in traces.items():
        yield measure(name, trace, machine, swap), len(traces)


def golden() -> list[Capture]:
    """The captures that come with the package, by name and host."""
    return [Capture.load(path) for path in sorted(GOLDEN.glob("*.zip"))]


def compared(found: Capture, scheme: str | None = None) -> list[Row]:
    """Every comparison that a capture allows; the scheme is the kernel's own by default."""
    said = forecast(found.trace, scheme or SCHEMES[found.cgroup], swap=found.swap)
    rows = compare_usage(found, said)
    if has_limits(found.trace):
        rows += compare_bounds(found, said)
    else:
        rows += compare_usage(found, forecast(found.trace, LEDGER, version=found.cgroup))
    if found.mapped and not has_limits(found.trace):
        rows += compare_mapped(found)
    if found.nodes:
        rows.append(compare_nodes(found))
    return rows
