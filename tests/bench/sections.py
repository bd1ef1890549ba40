"""The measurements. Each function prints as it goes and returns plain data for JSON and README."""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from workbench import results, schemes
from workbench.kernel import Machine, simulate
from workbench.kernel.names import N_HOLDERS
from workbench.trace import Trace

from . import peers, traces
from .measure import Times, interleaved, table, times_of
from .same import Same
from .traces import SCHEMES, Replay

ROOT = Path(__file__).parents[2]
AT_ONCE = 6  # schemes measured in one round
SIZES = (10_000, 1_000_000)
# without a limit there is nothing to compare; a task killed at its limit does nothing any more
PAIRS = "C loop by pairs"  # of page and container
NO_HALF = {"none": "has no limit", "every_mapping": "kills at the limit"}


@dataclass(frozen=True)
class Target:
    """One number aimed at: `value` should be at most (or at least) `bound`."""

    what: str
    value: float
    bound: float
    least: bool = False
    unit: str = ""

    @property
    def met(self) -> bool:
        return self.value >= self.bound if self.least else self.value <= self.bound


@dataclass
class Bench:
    """Options, the folder for files made on the way, and what was found."""

    quick: bool
    runs: int
    cold: bool
    folder: Path
    library: object = None
    found: dict = field(default_factory=dict)
    targets: list[Target] = field(default_factory=list)

    def aim(self, what: str, value: float, bound: float, least: bool = False, unit: str = ""):
        self.targets.append(Target(what, value, bound, least, unit))

    def show(self, title: str, head: list[str], rows: list[list[str]]) -> None:
        load = os.getloadavg()[0]
        print(f"\n### {title} (load {load:.2f})\n\n{table(head, rows)}", flush=True)


def ratio(above: Times | float | None, below: Times | None) -> float:
    above = above.median if isinstance(above, Times) else above
    return above / below.median if above is not None and below and below.median else float("nan")


def times(value: float) -> str:
    return "-" if value != value else f"{value:.2f}x"


# ---- one container against libcachesim -------------------------------------------------------


def single(bench: Bench) -> None:
    """One container, one task, one private file mapping, Zipf(1.0) reads."""
    events = 1_000_000 if bench.quick else 10_000_000
    for pages in SIZES:
        page = traces.zipf(pages, events)
        distinct = len(np.unique(page))
        file = bench.folder / f"zipf{pages}.oracleGeneral"
        alone = None
        if peers.has_libcachesim():
            peers.write_oracle(page, file)
            if bench.library:
                library = bench.folder / "limit.so"
                alone = peers.reader_alone(file, library, events, bench.runs)
        free = traces.trace_of(pages, 0, 0, page, 1)
        for case, limit in (("hits", None), ("half", distinct // 2)):
            single_case(bench, traces.limited(free, limit), case, pages, distinct, file, alone)
        file.unlink(missing_ok=True)


def single_case(bench: Bench, trace, case: str, pages: int, distinct: int, file: Path, alone):
    n = len(trace)
    begun = time.process_time()
    replays: dict[str, Replay] = {}
    for name in SCHEMES:
        if case == "hits" or name not in NO_HALF:
            replays[name] = Replay(trace, name, next(iter(replays.values()), None))
    built = (time.process_time() - begun) / len(replays)
    work = {name: (r.prepared, lambda r=r: finish(r, n)) for name, r in replays.items()}
    any_state = next(iter(replays.values())).start
    if bench.library:
        limit = peers.Limit(bench.library, any_state, pages)
        work["C loop"] = (tuple, lambda: limit.go(0, n))
    cache = None
    if file.exists():
        cache = peers.Cache(file, distinct if case == "hits" else distinct // 2)
        work["libcachesim LRU"] = (cache.prepare, cache.go)
    took = interleaved(work, bench.runs, n)
    gross = took.get("libcachesim LRU")
    net = gross.less(alone.median) if gross and alone else gross
    misses = {name: r.missed for name, r in replays.items()}
    rows = []
    for name, t in took.items():
        miss = cache.misses if name == "libcachesim LRU" else misses.get(name)
        rows.append([
            name, str(t), f"{t.wall:.4g}", f"{miss:.4f}" if miss is not None else "-",
            times(ratio(net, t)) if name in replays else "-",
            times(ratio(t, took.get("C loop"))),
        ])
    bench.show(
        f"{case}: {n:,} events, {pages:,} pages ({distinct:,} distinct), one container",
        ["", "CPU ns/event", "wall", "misses", "faster than libcachesim", "C loop takes"],
        rows,
    )
    if alone:
        print(f"libcachesim's reader alone takes {alone} ns/event, subtracted: {net} is left.")
    elif gross:
        print("libcachesim's reader could not be measured alone; it is in its number.")
    print(f"Building the state, not in the numbers above: {built:.2f} s = {built / n * 1e9:.0f} "
          "ns/event.")
    if net:
        for name in replays:
            bound = (4 if case == "hits" else 2) / (1 if name == "first_touch" else 2)
            bench.aim(f"{case}, {pages:,} pages, {name}: times as fast as libcachesim",
                      ratio(net, took[name]), bound, least=True)
    bench.found[f"{case} {pages}"] = {
        "events": n, "distinct": distinct, "times": took, "misses": misses, "reader": alone,
        "libcachesim net": net, "libcachesim misses": cache.misses if cache else None,
        "build ns/event": built / n * 1e9,
    }


def finish(replay: Replay, events: int) -> None:
    """Replay and note the miss ratio."""
    replay.go(0, events)
    replay.missed = replay.misses()


# ---- containers that share -------------------------------------------------------------------


def shared(bench: Bench) -> None:
    """100 containers on the same pages: reads that hit, and mapping and unmapping."""
    events = 400_000 if bench.quick else 2_000_000
    for pages in SIZES:
        for case, part in (("hits, all pages shared", 1.0), ("hits, 30 % shared", 0.3)):
            trace = traces.hits(pages, events, 100, part)
            # the reads are replayed once before, untimed
            shared_case(bench, trace, case, pages, 100, len(trace), 12)
        trace, setup = traces.churn(pages, events // 2, 100, 4)
        shared_case(bench, trace, "churn, 4 sharers a page", pages, setup, setup, 25)


def shared_case(
    bench: Bench, trace, case: str, pages: int, first: int, warm: int, bound: float
) -> None:
    """Time the events from `first` on, in the state after `warm` events."""
    n, took = len(trace), {}
    # a few at a time: a state of a million pages and 100 containers takes a gigabyte
    names = [s for s in SCHEMES if s != "none"]
    for at in range(0, len(names), AT_ONCE):
        replays: dict[str, Replay] = {}
        for name in ("none", *names[at : at + AT_ONCE]):
            replays[name] = Replay(trace, name, next(iter(replays.values()), None)).warm_up(warm)
        work = {name: (r.prepared, lambda r=r: r.go(first, n)) for name, r in replays.items()}
        for name in ("C loop", PAIRS) if bench.library else ():
            limit = peers.Limit(bench.library, replays["none"].start, pages, name == PAIRS)
            work[name] = (tuple, lambda limit=limit: limit.go(first, n))
        took = interleaved(work, bench.runs, n - first) | took
        del replays, work
    loop = took.get("C loop")
    rows = [[name, str(t), f"{t.wall:.4g}", times(ratio(t, loop)), times(ratio(t, took.get(PAIRS)))]
            for name, t in took.items()]
    title = f"{case}: {n - first:,} events, {pages:,} pages, 100 containers"
    bench.show(title, ["", "CPU ns/event", "wall", "C loop takes", f"{PAIRS} takes"], rows)
    bench.found[f"{case} {pages}"] = {"events": n - first, "times": took}
    if loop:
        for name in SCHEMES:
            bench.aim(f"{case}, {pages:,} pages, {name}: C loops", ratio(took[name], loop), bound)


def flat(bench: Bench) -> None:
    """The same mapping and unmapping, by 2 to 1,000 containers that share every page."""
    pairs, n = 200_000, 100_000 if bench.quick else 200_000
    counts = (2, 10, 100, 1000)
    work, replays = {}, {}
    for count in counts:
        trace, first = traces.churn(pairs // count, n, count, count)
        for name in SCHEMES:
            r = replays[name, count] = Replay(trace, name).warm_up(first)
            work[name, count] = (r.prepared, lambda r=r, first=first: walked(r, first))
    took = interleaved(work, bench.runs, n)
    rows = []
    for name in SCHEMES:
        cells = [f"{took[name, c].median:.0f}" for c in counts]
        walks = [f"{replays[name, c].walks / n:.3g}" for c in counts]
        growth = took[name, 1000].median / took[name, 2].median
        rows.append([name, *cells, times(growth), " ".join(walks)])
    bench.show(
        f"flatness: {n:,} events that map or unmap, {pairs:,} pairs of page and container",
        ["ns/event at", *(f"{c:,} containers" for c in counts), "1,000 / 2",
         "holders walked per event"], rows,
    )
    bench.found["flatness"] = {
        name: {"times": {c: took[name, c] for c in counts},
               "holders walked": {c: replays[name, c].walks / n for c in counts}}
        for name in SCHEMES
    }


def walked(replay: Replay, first: int) -> None:
    """Replay the rest and note how many holders that walked."""
    before = replay.stat(N_HOLDERS)
    replay.go(first, len(replay.trace))
    replay.walks = replay.stat(N_HOLDERS) - before


# ---- the same decisions in C -----------------------------------------------------------------


def same(bench: Bench) -> None:
    """What first_touch decides, decided by C programs that can do one case each and no more."""
    library = peers.compiled(bench.folder, "same")
    if library is None:
        print("\nNo C compiler: the same decisions in C are left out.")
        return
    events = 1_000_000 if bench.quick else 10_000_000
    rows = []
    for pages in SIZES:
        page = traces.zipf(pages, events)
        limit = len(np.unique(page)) // 2
        half = traces.limited(traces.trace_of(pages, 0, 0, page, 1), limit)
        rows.append(same_case(bench, library, "half", half, pages, 0, page, limit))
        trace, setup = traces.churn(pages, events // 10, 100, 4)
        rows.append(same_case(bench, library, "churn", trace, pages, setup))
    bench.show(
        "the same decisions, by first_touch and by hand-written C (checked: same state at the end)",
        ["CPU ns/event", "first_touch", "in C", "first_touch takes", "libcachesim", "C is faster"],
        rows,
    )


def same_case(
    bench: Bench, library, case: str, trace, pages: int, first: int, page=None, limit: int = 0
) -> list[str]:
    """One row; with `page`, libcachesim replays that at the same capacity beside it."""
    n = len(trace)
    replay = Replay(trace, "first_touch").warm_up(first)
    program = Same(library, case, replay.start, pages)

    def ready() -> tuple:
        program.fresh()
        program.go(first)
        return ()

    work = {"first_touch": (replay.prepared, lambda: replay.go(first, n)),
            "in C": (ready, lambda: program.go(n))}
    alone = None
    if page is not None and peers.has_libcachesim():
        file = bench.folder / "same.oracleGeneral"
        peers.write_oracle(page, file)
        alone = peers.reader_alone(file, bench.folder / "limit.so", n - 1, bench.runs)
        cache = peers.Cache(file, limit)
        work["libcachesim LRU"] = (cache.prepare, cache.go)
    took = interleaved(work, bench.runs, n - first)
    program.check(replay.state)
    gross = took.get("libcachesim LRU")
    net = gross.less(alone.median) if gross and alone else gross
    bench.found[f"same {case} {pages}"] = {"events": n - first, "times": took}
    return [f"{case}, {pages:,} pages", str(took["first_touch"]), str(took["in C"]),
            times(ratio(took["first_touch"], took["in C"])), str(net or "-"),
            times(ratio(net, took["in C"]))]


# ---- what a user waits for -------------------------------------------------------------------

FIRST_RESULT = """
import time
begun = time.perf_counter()
from workbench import replay, scenarios
run = replay(scenarios.gcc2(), "first_touch", engine="compiled")
run.summary()
print(time.perf_counter() - begun)
"""
IMPORT = """
import time
begun = time.perf_counter()
import workbench
bare = time.perf_counter() - begun
from workbench import charts, compare, replay, scenarios, schemes
print(bare, time.perf_counter() - begun)
"""


def in_process(code: str, *arguments: str, **environment: str) -> list[float]:
    """Run a script in a new Python; the numbers it prints, then the wall time of the process."""
    env = os.environ | {"PYTHONPATH": str(ROOT)} | environment
    begun = time.perf_counter()
    done = subprocess.run(
        [sys.executable, "-c", code, *arguments], env=env, cwd=ROOT, capture_output=True, text=True,
        check=True,
    )
    return [*map(float, done.stdout.split()), time.perf_counter() - begun]


def user(bench: Bench) -> None:
    """A small replay, the first result of a new process, imports, the interpreted engine."""
    warm_replay(bench)
    new_process(bench)
    interpreted(bench)


def warm_replay(bench: Bench) -> None:
    recorded = Trace.load(ROOT / "datasets" / "make.zip").slice(0, 20_000)
    synthetic = traces.hits(5_000, 20_000 - 4, 4)
    work = {}
    for label, trace in (("recorded", recorded), ("Zipf", synthetic)):
        for name in ("first_touch", "fraction"):
            scheme = schemes.get(name)
            work[f"{label}, {name}, results.replay"] = (
                tuple,
                lambda t=trace, s=scheme: results.replay(t, s, engine="compiled"),
            )
            work[f"{label}, {name}, kernel.simulate"] = (
                tuple, lambda t=trace, s=scheme: simulate(t, s, engine="compiled"))
    for _, run in work.values():
        run()
    took = interleaved(work, max(bench.runs, 9), 1, "ms")
    rows = [[name, str(t), f"{t.wall:.4g}"] for name, t in took.items()]
    pages = int(np.sum(recorded.count))
    print(f"\nThe recorded events are the first 20,000 of make.zip; they name {pages:,} pages.")
    bench.show("20,000 events, warm, state and all", ["", "CPU ms", "wall ms"], rows)
    bench.found["20,000 events"] = took
    for name, t in took.items():
        bench.aim(f"20,000 events: {name}", t.median, 10, unit="ms")


def new_process(bench: Bench) -> None:
    in_process(FIRST_RESULT)
    found: dict[str, list[float]] = {}
    for _ in range(bench.runs):
        for label, code, at in (
            ("first result", FIRST_RESULT, 0), ("first result, whole process", FIRST_RESULT, 1),
            ("import workbench", IMPORT, 0), ("import of all its names", IMPORT, 1),
        ):
            found.setdefault(label, []).append(in_process(code)[at])
    if bench.cold:
        with tempfile.TemporaryDirectory() as cache:
            found["first result, compiling"] = in_process(FIRST_RESULT, XDG_CACHE_HOME=cache)[:1]
    took = {name: times_of([(int(x * 1e9),) * 2 for x in xs], 1, "s") for name, xs in found.items()}
    bench.show("a new process", ["", "wall s"], [[name, str(t)] for name, t in took.items()])
    bench.found["new process"] = took
    bench.aim("first result, whole process", took["first result, whole process"].median, 1.5,
              unit="s")
    bench.aim("import workbench", took["import workbench"].median, 0.3, unit="s")
    bench.aim("import workbench and all its names", took["import of all its names"].median, 0.3,
              unit="s")


def interpreted(bench: Bench) -> None:
    inputs = {
        name: Trace.load(ROOT / "datasets" / f"{name}.zip")
        for name in ("gcc1", "gcc2", "make", "pyjson", "web")
    }
    inputs["Zipf, hits"] = traces.hits(1_000, 50_000, 2)
    scheme, machine = schemes.get("first_touch"), Machine(frames=1 << 16)
    work = {
        name: (tuple, lambda t=t: simulate(t, scheme, machine, engine="interpreted"))
        for name, t in inputs.items()
    }
    sizes = {name: len(t) for name, t in inputs.items()}
    took = interleaved(work, bench.runs, sizes)
    rates = {name: 1e9 / t.median for name, t in took.items()}
    rows = [[name, f"{sizes[name]:,}", str(t), f"{rates[name]:,.0f}"] for name, t in took.items()]
    head = ["", "events", "CPU ns/event", "events/s"]
    bench.show("interpreted, first_touch, state and all", head, rows)
    bench.found["interpreted"] = rates
    for name, rate in rates.items():
        bench.aim(f"interpreted, {name}", rate, 50_000, least=True, unit="events/s")


# ---- memory ----------------------------------------------------------------------------------


def memory(bench: Bench) -> None:
    """Every container maps every page: what the state takes then."""
    cases = [(10_000, 100), (1_000_000, 1), (1_000_000, 10)]
    rows, found = [], {}
    for pages, containers in cases:
        step = 1000
        starts = np.tile(np.arange(0, pages, step), containers)
        task = np.repeat(np.arange(containers), pages // step)
        trace = traces.trace_of(pages, 0, task, starts, containers)
        trace.count[containers:] = step
        for scheme in ("first_touch", "fraction"):
            before = resident()
            replay = Replay(trace, scheme)
            replay.state = replay.start
            replay.go(0, len(trace))
            held, events = traces.nbytes(replay.state)
            grown = resident() - before
            pairs = pages * containers
            budget = 64 * (pages + pairs)
            rows.append([
                f"{pages:,} x {containers}, {scheme}", f"{held / 1e6:.0f}", f"{grown / 1e6:.0f}",
                f"{held / pages:.0f}", f"{held / pairs:.0f}", f"{held / budget:.2f}",
                f"{events / 1e3:.0f}",
            ])
            largest = sorted(replay.state.records.items(), key=lambda item: -item[1].nbytes)[:5]
            found[f"{pages} x {containers} {scheme}"] = {
                "bytes": held, "resident": grown, "budget": budget,
                "largest": {name: int(records.nbytes) for name, records in largest},
            }
            bench.aim(f"memory, {pages:,} pages x {containers}, {scheme}: of 64 B per page and "
                      "per pair", held / budget, 1)
            del replay
    bench.show(
        "memory: every page mapped by every container",
        ["", "MB of tables", "MB resident", "B/page", "B/pair", "of 64 B per page and pair",
         "kB of events"], rows,
    )
    for name, case in found.items():
        sizes = ", ".join(f"{table} {size / 1e6:.0f} MB" for table, size in case["largest"].items())
        print(f"{name}: {sizes}")
    bench.found["memory"] = found


def resident() -> int:
    try:
        return int(Path("/proc/self/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")
    except OSError:
        return 0


# ---- schemes that users write ----------------------------------------------------------------

COMPILE = """
import sys, time
from workbench import schemes
from workbench.kernel import compiled
begun = time.process_time()
compiled.functions()
engine = time.process_time() - begun
took = []
for name in sys.argv[1:]:
    begun = time.process_time()
    for hook, function in schemes.get(name).hooks.items():
        compiled.hook_address(function, hook)
    took.append(time.process_time() - begun)
print(engine, *took)
"""


def own(bench: Bench) -> None:
    """A user's scheme against the same hooks built in; what one more scheme costs."""
    events = 200_000 if bench.quick else 1_000_000
    own_names = {"first_touch": "own_first_touch", "fraction": "own_fraction"}
    try:
        for built_in, name in own_names.items():
            schemes.register(name, base=built_in)
        own_speed(bench, events, own_names)
        others_speed(bench, events, list(own_names.values()))
    finally:
        for name in own_names.values():
            schemes.forget(name)
    own_compile(bench)


def own_speed(bench: Bench, events: int, own_names: dict[str, str]) -> None:
    """Churn (a hook at every event), hits, and a limit that binds; ratios of medians."""
    pages = SIZES[0]
    churn, first = traces.churn(pages, events, 100, 4)
    page = traces.zipf(pages, events)
    half = traces.limited(traces.trace_of(pages, 0, 0, page, 1), len(np.unique(page)) // 2)
    cases = {"churn": (churn, first), "hits": (traces.hits(pages, events, 100), 100),
             "limit at half": (half, 1)}
    rows = []
    for case, (trace, first) in cases.items():
        names = [n for pair in own_names.items() for n in pair]
        replays = {n: Replay(trace, n).warm_up(first) for n in names}
        work = {
            n: (r.prepared, lambda r=r, first=first, trace=trace: r.go(first, len(trace)))
            for n, r in replays.items()
        }
        took = interleaved(work, max(bench.runs, 5), len(trace) - first)
        for built_in, name in own_names.items():
            speed = took[built_in].median / took[name].median
            rows.append([f"{case}, {built_in}", str(took[built_in]), str(took[name]), times(speed)])
            bench.aim(f"own scheme, {case}, {built_in}: share of the built-in's speed", speed, 0.7,
                      least=True)
            bench.found[f"own {case} {built_in}"] = {"times": took, "speed": speed}
    head = ["", "built in, CPU ns/event", "the same hooks, a user's", "speed"]
    bench.show(f"own schemes: {events:,} events, {pages:,} pages", head, rows)


def others_speed(bench: Bench, events: int, own_names: list[str]) -> None:
    """first_touch, before and after other schemes have been compiled and used."""
    trace, first = traces.churn(SIZES[0], events, 100, 4)
    replay = Replay(trace, "first_touch").warm_up(first)
    work = {"first_touch": (replay.prepared, lambda: replay.go(first, len(trace)))}
    before = interleaved(work, max(bench.runs, 5), len(trace) - first)["first_touch"]
    for name in own_names:
        schemes.register(f"{name}_more", base=name, references="all")
        Replay(trace, f"{name}_more").warm_up(len(trace))
        schemes.forget(f"{name}_more")
    later = interleaved(work, max(bench.runs, 5), len(trace) - first)["first_touch"]
    bench.show("first_touch beside other schemes", ["", "CPU ns/event"],
               [["before", str(before)], ["after two more were compiled and used", str(later)]])
    slower = later.median / before.median
    bench.aim("first_touch after two more schemes: times as slow", slower, 1.1)
    bench.found["beside"] = {"before": before, "later": later}


def own_compile(bench: Bench) -> None:
    """CPU seconds from an empty cache: the engine, then every scheme's hooks."""
    every = schemes.names()
    with tempfile.TemporaryDirectory() as cache:
        engine, *hooks = in_process(COMPILE, *every, XDG_CACHE_HOME=cache)[: 1 + len(every)]
    worst = max(hooks)
    bench.show("compiling from nothing", ["", "CPU s", "of the engine"],
               [["engine", f"{engine:.2f}", ""],
                *([n, f"{t:.2f}", f"{t / engine:.1%}"] for n, t in zip(every, hooks, strict=True))])
    bench.found["compile"] = {"engine": engine, "hooks": dict(zip(every, hooks, strict=True))}
    bench.aim("one more scheme: share of the engine's compile time, median",
              float(np.median(hooks)) / engine, 0.05)
    bench.aim("one more scheme: share of the engine's compile time, dearest", worst / engine, 0.05)


SECTIONS = {
    "single": single, "shared": shared, "same": same, "flat": flat, "user": user, "memory": memory,
    "own": own,
}
