"""The contract suite: what a scheme promises, tried on small random worlds until it breaks.

    for verdict in contract.check("first_touch"):
        print(verdict)

takes any scheme, one from a notebook cell too. A broken promise ends as a few steps to read.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, replace
from functools import cache, lru_cache, partial
from html import escape
from itertools import product
from typing import NamedTuple

from workbench.kernel.config import Knobs, Machine, counted
from workbench.kernel.engine import stepped
from workbench.kernel.names import FILE, KIND, RESIDENT, SHM, SPECIAL
from workbench.kernel.state import State
from workbench.kernel.tables import shown_at
from workbench.trace import Trace, TraceBuilder

from . import PROMISES, Scheme, get

CONTAINERS = ("A", "B", "C")
TASKS = {"P": "A", "Q": "B", "R": "C", "S": "A"}
OBJECTS = {
    "f": ("file", 3), "g": ("file", 9), "a": ("anon", 9), "s": ("shm", 3), "d": ("special", 2),
}
MACHINE = Machine(nodes=2, frames=1 << 14)
KNOBS = Knobs(cluster=4, swap_write="sync")
ON_PAGES = ("touch", "read", "write", "unmap", "discard")
ALL = ("age", "drop_caches")  # of no task
WEIGHTS = {
    "touch": 24, "write": 2, "read": 1, "unmap": 5, "discard": 1, "fork": 2, "thread": 1, "exec": 1,
    "exit": 2, "reap": 1, "move": 3, "migrate": 1, "age": 2, "drop_caches": 1,
}


class Step(NamedTuple):
    """One thing a task does: a method of TraceBuilder; `to` is an object, child, place or node."""

    what: str
    task: str = ""
    to: str = ""
    pages: range = range(0)
    write: bool = False

    def __str__(self) -> str:
        first, last = self.pages[:1], self.pages[1:][-1:]
        pages = f"[{'..'.join(str(page) for page in (*first, *last))}]" if self.pages else ""
        mode = (" to read", " to write")[self.write] if self.what == "touch" else ""
        return " ".join(filter(None, (self.task, self.what, self.to + pages))) + mode


@dataclass(frozen=True)
class World:
    """One test: containers with limits (None: none) and the steps of their tasks."""

    limits: tuple[int | None, ...]
    steps: tuple[Step, ...]

    @lru_cache(maxsize=2000)  # noqa: B019  (worlds are few, and the same for every scheme)
    def build(self) -> tuple[Trace, list[int]]:
        """The trace, and the number of the step each event belongs to (-1: the start).

        Steps of tasks that are not there (left out, not born, gone) vanish; a touch maps first.
        """
        b, numbers = TraceBuilder(), [-1]
        for name, limit in zip(CONTAINERS, self.limits, strict=True):
            b.container(name, limit)
        for name, (kind, pages) in OBJECTS.items():
            b.object(name, kind, pages)
        for name, home in TASKS.items():
            b.task(name, home)
        b.mark("start")
        there, zombies = {"", *TASKS}, set()
        for n, (what, task, to, pages, write) in enumerate(self.steps):
            if not what or task not in (zombies if what == "reap" else there):
                continue
            if what == "touch":
                b.map(task, to, pages)
                numbers.append(n)
                b.touch(task, to, pages, write=write)
            else:
                args = [task] * (task != "") + [to] * (to != "") + [pages] * (what in ON_PAGES)
                getattr(b, what)(*args)
            numbers.append(n)
            if what in ("fork", "thread"):
                there.add(to)
            elif what == "exit":
                there.remove(task)
                zombies.add(task)
            elif what == "reap":
                zombies.remove(task)
        return b.build(), numbers

    def without_strangers(self, c: str) -> World:
        """Blank the steps of every family of tasks that never has a member in container c."""
        first = {name: name for name in TASKS}
        for step in self.steps:
            if step.what in ("fork", "thread"):
                first[step.to] = first.get(step.task, step.task)
        own = {name for name, home in TASKS.items() if home == c}
        own |= {first.get(step.task) for step in self.steps if step.what == "move" and step.to == c}
        gone = {task for task in first if first[task] not in own}
        return replace(self, steps=tuple(Step("") if s.task in gone else s for s in self.steps))


@cache
def random_world(seed: int, tight: bool) -> World:
    """A world by seed; `tight` ones have limits that bind."""
    rng = random.Random(f"contract {seed} {tight}")
    tasks, steps = list(TASKS), []
    for n in range(36):
        what = rng.choices(list(WEIGHTS), list(WEIGHTS.values()))[0]
        task = "" if what in ALL else rng.choice(tasks)
        to, pages = "", range(0)
        if what in ON_PAGES:
            to = rng.choice("fgs" if what in ("read", "write") else "ffgaasd")
            start = rng.randrange(OBJECTS[to][1])
            pages = range(start, min(OBJECTS[to][1], start + rng.choice((1, 1, 2, 4))))
        elif what in ("fork", "thread"):
            to = f"{task}{n}"
            tasks.append(to)
        elif what in ("move", "migrate"):
            to = rng.choice(("root", *CONTAINERS) if what == "move" else "01")
        steps.append(Step(what, task, to, pages, what == "touch" and rng.random() < 0.4))
    limits = tuple(rng.choice((1, 2, 3, 5, 9)) if tight else None for _ in CONTAINERS)
    return World(limits, tuple(steps))


PAGE = range(1)
UNFAIR = World((1, None, None), (  # what random steps hardly find: A pays for what others map
    Step("touch", "P", "f", PAGE), Step("touch", "Q", "f", PAGE), Step("unmap", "P", "f", PAGE),
    Step("touch", "P", "a", PAGE, True), Step("touch", "Q", "f", PAGE),
    Step("touch", "R", "f", PAGE),
))


# ---- what a promise means: each function says how it is broken, or "" ----------------------------


def sum_is_mapped(k: State) -> str:
    """Device pages and the zero page are nobody's; shares may be rounded down."""
    pages = [p for p in range(k.pages_top) if k.page_maps[p] and k.page_flags[p] & KIND != SPECIAL]
    missing = len(pages) * k.unit - sum(charges(k))
    if 0 <= missing <= (k.containers * len(pages) if k.unit > 1 else 0):
        return ""
    return f"{counted(len(pages), 'page')} mapped, {sum(charges(k)) / k.unit:g} charged"


def never_above_limit(k: State) -> str:
    for c, name in enumerate(CONTAINERS, 1):
        if k.usage[c] > k.limit[c] * k.unit:
            return f"{name} is charged {k.usage[c] / k.unit:g}, its limit is {k.limit[c]}"
    return ""


def shares_frames(k: State) -> str:
    """No page of a file or of shared memory is in two frames."""
    there = {
        shown_at(k, page) for page in range(k.pages_top)
        if k.page_flags[page] & RESIDENT and k.page_flags[page] & KIND in (FILE, SHM)
    }
    frames = sum(int(k.zone_file[z]) for z in range(k.zones))
    told = f"{counted(frames, 'frame')} hold {counted(len(there), 'page')}"
    return told if frames > len(there) else ""


def empty_owes_nothing(k: State) -> str:
    for c, name in enumerate(CONTAINERS, 1):
        if k.mapped[c] == 0 and k.usage[c]:
            return f"{name} maps nothing and is charged {k.usage[c] / k.unit:g}"
    return ""


def own_action_only(k: State, n: int, t: int, before: list[int], where: list[set[int]]) -> str:
    """An event is its task's container's, and its address space's, before and after it."""
    for c, (old, new) in enumerate(zip(before, charges(k), strict=bool(before))):
        if old != new and not (t >= 0 and c in where[t] | homes(k)[t]):
            changed = f"goes from {old / k.unit:g} to {new / k.unit:g} at step {n + 1}"
            return f"the charge of {('root', *CONTAINERS)[c]} {changed}, not by its own action"
    return ""


def neighbour_proof(world: World, scheme: Scheme, engine: str, full: dict[int, list[int]]) -> str:
    """Take away everybody who never had to do with a container: it must not notice."""
    for c, name in enumerate(CONTAINERS, 1):
        alone = {n: charges(k) for n, _, k in states(world.without_strangers(name), scheme, engine)}
        for n in sorted(full.keys() & alone.keys()):
            here, there = (books[n][c] / scheme.unit for books in (full, alone))
            if here != there:
                return f"{name} is charged {here:g} after step {n + 1}, {there:g} without others"
    return ""


MOMENTS = {  # promises about every single moment
    "sum_is_mapped": sum_is_mapped,
    "never_above_limit": never_above_limit,
    "shares_frames": shares_frames,
    "empty_owes_nothing": empty_owes_nothing,
}
BINDING = {  # whether limits bind while a promise is tried
    "sum_is_mapped": (False, True),
    "neighbour_proof": (False,),
    "own_action_only": (False,),
    "never_above_limit": (True,),
    "shares_frames": (False, True),
    "empty_owes_nothing": (False, True),
}


def states(world: World, scheme: Scheme, engine: str) -> Iterator[tuple[int, int, State]]:
    """(step, task of the event or -1, the machine after it), up to where the machine hangs."""
    trace, numbers = world.build()
    steps = stepped(trace, scheme, MACHINE, KNOBS, engine=engine)
    for n, t, k in zip(numbers, trace.task, steps, strict=True):
        if k.hung:
            return
        yield n, int(t), k


def charges(k: State) -> list[int]:
    return [int(units) for units in k.usage]


def homes(k: State) -> list[set[int]]:
    """Per task: its container and its address space's."""
    return [{k.task_container[i]} | {k.mm_container[mm] for mm in [k.task_mm[i]] if mm >= 0}
            for i in range(k.tasks)]


def broken(world: World, scheme: Scheme, engine: str, promises: Iterable[str]) -> dict[str, str]:
    """Those of the promises that the world breaks, and how. Cost: one replay, or four."""
    left, found = set(promises), {}
    books: dict[int, list[int]] = {}
    before: list[int] = []
    where: list[set[int]] = []
    for n, t, k in states(world, scheme, engine):
        said = {p: MOMENTS[p](k) for p in left if p in MOMENTS}
        if "own_action_only" in left:
            said["own_action_only"] = own_action_only(k, n, t, before, where)
            before, where = charges(k), homes(k)
        found |= {promise: complaint for promise, complaint in said.items() if complaint}
        left -= found.keys()
        books[n] = charges(k)
        if not left:
            break
    if "neighbour_proof" in left:
        found["neighbour_proof"] = neighbour_proof(world, scheme, engine, books)
    return {promise: complaint for promise, complaint in found.items() if complaint}


# ---- verdicts ------------------------------------------------------------------------------------


WORDS = ("kept", "broken", "not claimed, not broken", "not claimed")


@dataclass(frozen=True)
class Verdict:
    """What came of one promise: with a complaint, `world` is the shortest found that breaks it."""

    promise: str
    claimed: bool
    complaint: str = ""
    world: World | None = None

    @property
    def word(self) -> str:
        """One of WORDS."""
        return WORDS[2 * (not self.claimed) + bool(self.complaint)]

    @property
    def surprising(self) -> bool:
        """Claimed and broken, or not claimed although nothing breaks it."""
        return self.claimed == bool(self.complaint)

    def __str__(self) -> str:
        told = "".join(f"\n  {line}" for line in self.steps())
        return f"{self.promise} ({PROMISES[self.promise]}): {self.word}{told}"

    def steps(self) -> list[str]:
        """The shortest trace found that breaks it, and what is then wrong."""
        if not self.world:
            return []
        limits = dict(zip(CONTAINERS, self.world.limits, strict=True))
        told = self.complaint + f" (limits {limits})" * any(limits.values())
        return [*(f"{n}. {step}" for n, step in enumerate(self.world.steps, 1)), told]


def shortest(world: World, breaks: Callable[[World], str]) -> World:
    """Leave out steps, in ever smaller blocks, then pages, while the world still breaks."""
    size = len(world.steps) // 2
    while size:
        start = 0
        while start < len(world.steps):
            less = replace(world, steps=world.steps[:start] + world.steps[start + size :])
            if breaks(less):
                world = less
            else:
                start += size
        size //= 2
    for n, step in enumerate(world.steps):
        for page in step.pages[:-1]:
            one = step._replace(pages=range(page, page + 1))
            less = replace(world, steps=(*world.steps[:n], one, *world.steps[n + 1 :]))
            if breaks(less):
                world = less
                break
    return world


class Report(list):
    """The verdicts of one scheme; prints as text, in a notebook as a table."""

    def __init__(self, scheme: Scheme, worlds: int, verdicts: Iterable[Verdict]) -> None:
        super().__init__(verdicts)
        self.scheme, self.worlds = scheme, worlds

    def __getitem__(self, promise):
        """A verdict by its number, or by the promise's name."""
        if isinstance(promise, str):
            return {v.promise: v for v in self}[promise]
        return super().__getitem__(promise)

    @property
    def lies(self) -> list[Verdict]:
        """Promises made and broken."""
        return [v for v in self if v.claimed and v.complaint]

    def title(self) -> str:
        words = [v.word for v in self]
        counted = ", ".join(f"{words.count(w)} {w}" for w in WORDS if w in words)
        return f"{self.scheme.label}: {self.scheme.title}\n{self.worlds} random worlds: {counted}"

    def __str__(self) -> str:
        return "\n".join([self.title(), *map(str, self)])

    __repr__ = __str__

    def _repr_html_(self) -> str:
        rows = [
            f"<tr><td><code>{v.promise}</code></td><td>{escape(PROMISES[v.promise])}</td>"
            f"<td><b>{v.word}</b></td><td style='text-align:left'>"
            f"{'<br>'.join(map(escape, v.steps()))}</td></tr>"
            for v in self
        ]
        head = "<tr><th>promise</th><th>means</th><th></th><th>shortest trace found</th></tr>"
        return f"<p>{escape(self.title())}</p><table>{head}{''.join(rows)}</table>"


def check(
    scheme: str | Scheme, seeds: Iterable[int] = range(60), engine: str = "interpreted"
) -> Report:
    """Try to break every promise, claimed or not, in two random worlds per seed and one told.

    Deterministic. Raises HookError where a user's hook fails. Cost: under half a second.
    """
    scheme, seeds = get(scheme), list(seeds)
    found: dict[str, list[World]] = {promise: [] for promise in PROMISES}
    for seed, tight in product(seeds, (False, True)):
        wanted = [p for p in PROMISES if tight in BINDING[p] and len(found[p]) < 3]
        if not wanted:
            continue
        world = random_world(seed, tight)
        for promise in broken(world, scheme, engine, wanted):
            found[promise].append(shortest(world, partial(breaks, scheme, engine, promise)))
    missing = [p for p in PROMISES if True in BINDING[p] and not found[p]]
    for promise in broken(UNFAIR, scheme, engine, missing) if missing else ():
        found[promise].append(shortest(UNFAIR, partial(breaks, scheme, engine, promise)))
    verdicts = []
    for promise, worlds in found.items():
        claimed = scheme.promises[promise]
        if worlds:
            world = min(worlds, key=lambda w: sum(len(s.pages) + 1 for s in w.steps))
            complaint = breaks(scheme, engine, promise, world)
            verdicts.append(Verdict(promise, claimed, complaint, world))
        else:
            verdicts.append(Verdict(promise, claimed))
    return Report(scheme, 2 * len(seeds), verdicts)


def breaks(scheme: Scheme, engine: str, promise: str, world: World) -> str:
    """How a world breaks a promise, or ""."""
    return broken(world, scheme, engine, [promise]).get(promise, "")
