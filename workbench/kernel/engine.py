"""Two ways to run the one source: compiled through numba, or interpreted, as it stands or (long
replays) as `inline` writes it out.

`simulate` builds the state and replays a trace; everything else about the two ways is in `State`
(lists) and `compiled.CompiledState` (arrays).
"""

from __future__ import annotations

import importlib.util
from collections.abc import Callable, Iterator
from itertools import islice

from .config import Knobs, Machine
from .guard import HookError, audited, balanced
from .inline import chosen
from .names import HANG
from .replay import run, truth
from .state import State
from .tables import rehash

BLOCK = 1 << 20  # events between two looks at the clock
SMALL, LARGE = 5_000, 300_000  # page accesses


class AccessError(ValueError):
    """An event touches a page its task has not mapped: the trace is wrong, not the machine."""


def choose(engine: str, trace=None) -> str:
    """What `auto` means for a trace: whichever way shows the result sooner.

    Interpreted below 5,000 page accesses; up to 300,000 compiled only if that was done before
    (compiling takes about ten seconds, once); above, or without a trace, compiled.
    Raises ValueError for an unknown name.
    """
    if engine not in ("auto", "compiled", "interpreted"):
        raise ValueError(
            f"engine {engine!r} is not one of auto, compiled, interpreted"
        )
    if engine != "auto":
        return engine
    if importlib.util.find_spec("numba") is None:
        return "interpreted"
    if trace is not None and len(trace) < LARGE:
        accesses = sum(trace.count)
        if accesses < SMALL or (accesses < LARGE and not compiled_before()):
            return "interpreted"
    return "compiled"


def compiled_before() -> bool:
    """Whether the compiled engine is in its disk cache, so that it starts at once."""
    from .compiled import is_cached

    return is_cached()


def prepare(trace, scheme, machine, knobs, engine, samples, sample_every, watch):
    """The state before the first event, with the two functions that move it on."""
    machine, knobs = machine or Machine(), knobs or Knobs()
    if choose(engine, trace) == "compiled":
        from .compiled import CompiledState, functions

        k = CompiledState(trace, machine, knobs, scheme, samples, sample_every, watch)
        return k, *functions()[:2]
    k = State(trace, machine, knobs, scheme, samples, sample_every, watch)
    return k, *chosen(k, run, rehash)


def advance(k: State, trace, do_run, do_rehash, start: int, stop: int) -> None:
    """Replay events start..stop-1, growing tables on the way."""
    while start < stop:
        done = do_run(k, start, stop)
        if k.fault_at:
            raise AccessError(where(trace, k))
        if done < stop:
            k.grow(do_rehash)
        start = done


def explain_trouble(trace, scheme, machine, knobs, i: int) -> None:
    """A compiled hook failed in event i: do that event again, interpreted, which raises HookError.

    Cost: the replay up to there, compiled, and one state copied.
    """
    k, do_run, do_rehash = prepare(trace, scheme, machine, knobs, "compiled", 1, 0, 0)
    advance(k, trace, do_run, do_rehash, 0, i)
    advance(k.as_plain(), trace, run, rehash, i, i + 1)
    raise HookError(f"scheme {scheme.label}: a hook fails at event {i + 1}, compiled only")


def balance(k: State, trace, scheme, machine, knobs, engine: str) -> None:
    """Where a user's charges are not what the records are worth, find the hook, by bisection.

    Raises HookError. Cost: one look at every record; log2(events) replays where they do not agree.
    """
    if balanced(k):
        return

    def after(events: int) -> State:
        k, do_run, do_rehash = prepare(trace, scheme, machine, knobs, engine, 1, 0, 0)
        advance(k, trace, do_run, do_rehash, 0, events)
        return k

    good, bad = 0, len(trace)
    while bad - good > 1:
        middle = (good + bad) // 2
        good, bad = (middle, bad) if balanced(after(middle)) else (good, middle)
    k = after(good)
    k = k if isinstance(k.usage, list) else k.as_plain()
    k.hooks = [audited(scheme.label, *hook) for hook in scheme.hooks.items()]
    try:
        advance(k, trace, run, rehash, good, bad)
    except HookError as error:
        raise named(trace, error, good) from None
    raise named(trace, HookError(f"scheme {scheme.label}: charges and records part"), good)


def named(trace, error: HookError, i: int) -> HookError:
    """The error with the event it happened in."""
    event = next(islice(trace.events(), i, None))
    words = (event.task, event.op.name, event.target)
    return HookError(f"{error}\n  at event {i + 1}: {' '.join(filter(None, words))}")


def advance_named(k: State, trace, scheme, machine, knobs, do_run, do_rehash, start, stop) -> None:
    """`advance` for a user's scheme: a failing hook ends as a HookError that says where."""
    try:
        advance(k, trace, do_run, do_rehash, start, stop)
        if k.trouble:
            i = next(i for i in range(start, stop) if k.ev_outcome[i] == HANG)
            k.clock = i
            explain_trouble(trace, scheme, machine, knobs, i)
    except HookError as error:
        raise named(trace, error, k.clock) from None


def simulate(
    trace,
    scheme,
    machine: Machine | None = None,
    knobs: Knobs | None = None,
    *,
    engine: str = "auto",
    sample_every: int = 0,
    watch: int = 0,
    progress: Callable[[int, int], None] | None = None,
) -> State:
    """Replay a trace under a scheme and return the machine as it is afterwards.

    sample_every  events between two samples (0: one at the end); watch  1: note every life-story
    line, page + 3: of one page. progress(done, total) is called every million events.
    Raises AccessError for a touch outside every mapping, PlacementError when zones do not fit.
    """
    n = len(trace)
    samples = n // sample_every if sample_every else 1
    k, do_run, do_rehash = prepare(
        trace, scheme, machine, knobs, engine, samples, sample_every, watch
    )
    for start in range(0, n, BLOCK):
        stop = min(n, start + BLOCK)
        advance_named(k, trace, scheme, machine, knobs, do_run, do_rehash, start, stop)
        if progress:
            progress(stop, n)
    if scheme.own:
        balance(k, trace, scheme, machine, knobs, engine)
    return k


def stepped(
    trace,
    scheme,
    machine: Machine | None = None,
    knobs: Knobs | None = None,
    *,
    engine: str = "auto",
    watch: int = 0,
) -> Iterator[State]:
    """The same machine after every event: yields one state, which changes under you."""
    k, do_run, do_rehash = prepare(trace, scheme, machine, knobs, engine, 1, 0, watch)
    for i in range(len(trace)):
        advance_named(k, trace, scheme, machine, knobs, do_run, do_rehash, i, i + 1)
        yield k


def where(trace, k: State) -> str:
    """Say which event of which task touched which page that is not mapped."""
    i, v = k.clock, k.fault_at - 1
    o = max(o for o in range(k.objects) if k.obj_base[o] <= v)
    task = trace.tasks[trace.task[i]].name
    return (
        f"event {i + 1}: task {task} touches page {v - k.obj_base[o]} of {trace.objects[o].name}, "
        f"which it has not mapped; add a `map` of it before"
    )


def find_truth(k: State, unit: int) -> None:
    """Fill k.true_rss, true_pss (in 1/unit pages) and true_uss: who really uses what, by now."""
    if isinstance(k.usage, list):
        truth(k, unit)
    else:
        from .compiled import functions

        functions()[2](k, unit)


def hung(k: State) -> bool:
    return any(o == HANG for o in k.ev_outcome)
