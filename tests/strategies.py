"""Random small machines and traces for property tests: plain `random`, a thin Hypothesis wrapper.

Every trace validates, and no live task touches pages it has not mapped. Tasks may be killed and
requests refused in a replay: their later events are then skipped, the generator need not know.
"""

import random
from collections.abc import Callable
from dataclasses import dataclass, field

from workbench.kernel import ZoneSet
from workbench.trace import Trace, TraceBuilder, TraceError
from workbench.trace.builder import gaps, without
from workbench.trace.language import BIRTHS

QUIRKS = (
    "limit_zero", "trial_charge", "double_release", "leak_frames", "scan_cutoff", "two_pages",
    "no_recheck", "rotation", "zone_counters", "outsiders", "hang", "coupling", "children_first",
)  # stale_pointer is not in the twin
WRITTEN = ("0", "1", "5", "12", "31", "33", "64", "80", "200", r"7\n", "", r"12\x00zz", "-1", "012",
           "18446744073709551615", "18446744073709551616", "4294967296", "+5", "0x10")
FILES = {  # of today's control groups: what may be written
    "memory.limit_in_bytes": ("0", "80k", "160k", "256k", "400k", "-1", "12288"),
    "memory.memsw.limit_in_bytes": ("160k", "256k", "400k", "1m", "-1"),
    "memory.soft_limit_in_bytes": ("40k", "160k", "-1"),
    "memory.move_charge_at_immigrate": ("0", "1", "2", "3", "4"),
    "memory.force_empty": ("", "0"), "memory.use_hierarchy": ("0", "1"),
    "memory.swappiness": ("0", "60", "200", "201"), "memory.oom_control": ("0", "1"),
    "memory.failcnt": ("0",),
    "memory.max": ("0", "80k", "160k", "256k", "400k", "max", r"200K\n"),
    "memory.high": ("0", "80k", "160k", "256k", "max"), "memory.low": ("40k", "120k", "max", "0"),
    "memory.min": ("0", "20k", "80k", "0x5000"), "memory.swap.max": ("0", "20k", "80k", "max"),
    "memory.oom.group": ("0", "1"), "memory.reclaim": ("8k", "40k", "1x"), "memory.peak": ("x",),
    "pids.max": ("0", "1", "3", "max", "-1"),
}
BARRIERS = ("0", "5", "20:30", "60", "100:50", "200", " 40\\n", "-1", "7:x", ":9", "")
PATHS = ("/usr", "/usr/lib/x", "/usr/local/x", "/lib", "srv:/lib", "srv:/home", "/home/x/y")
NODES = ("0", "1", "0-1", "1,0", "0,2-3", "1-3", "", "0-", "x", "2-1", "63")
SHARING = {"shm": (True,), "anon": (False,)}


@dataclass(frozen=True)
class Profile:
    """What a family of traces stresses: weights of ops, limits, and the machine's scarce things."""

    weights: dict
    limits: tuple = (None, None, None, 0, 1, 2, 5, 12, 20, 30, 31, 40, 64, 80)
    big: int = 40  # pages of the largest objects
    nodes: tuple = (1, 2)
    frames: tuple = (1 << 14,)  # per node
    swap: tuple = (1 << 12,)
    cluster: tuple = (32, 32, 4)
    counts: bool = False  # numproc and numfiles limits
    groups: bool = False  # containers in containers, control files of today
    cpusets: float = 0.4  # how often cpuset files are written, too


USUAL = {
    "touch": 40, "read": 3, "write": 3, "map": 3, "unmap": 4, "discard": 2, "mlock": 1,
    "munlock": 1, "open": 1, "close": 1, "fork": 4, "thread": 1, "exec": 1, "exit": 1, "reap": 1,
    "move": 2, "mkdir": 0.5, "rmdir": 0.5, "set_limit": 1.5, "run_on": 0.5, "migrate": 0.7,
    "age": 2, "drop_caches": 0.7, "mark": 0.2, "io_error": 1,
}
PROFILES = {
    "sharing": Profile(USUAL | {"touch": 30, "unmap": 8}, big=12),
    "reclaim": Profile(
        USUAL | {"touch": 60, "age": 4}, (31, 33, 40, 62, 64, 80, 100, 150, 200, None), 100
    ),
    "swap": Profile(
        USUAL | {"touch": 60, "age": 6}, (12, 31, 40, 64, 100, None), 60,
        swap=(0, 1, 5, 20, 40, 200),
    ),
    "memory": Profile(
        USUAL | {"touch": 60, "age": 4, "run_on": 2, "migrate": 2}, (None, None, 20, 40, 80), 60,
        nodes=(1, 2, 3, 4), frames=(40, 60, 90, 150), swap=(0, 10, 100, 1000),
    ),
    "fork": Profile(USUAL | {"fork": 10, "exit": 3, "reap": 3, "exec": 2, "discard": 4}, big=20),
    "moves": Profile(
        USUAL | {"move": 12, "thread": 5, "migrate": 3, "mkdir": 2, "rmdir": 2}, big=12
    ),
    "zones": Profile(
        USUAL | {"touch": 25, "write": 6, "set_limit": 8, "mkdir": 5, "rmdir": 6, "move": 6,
                 "exit": 4, "reap": 6, "migrate": 2, "run_on": 2},
        (None, 0, 8, 16, 20, 40), 30, nodes=(1, 2), frames=(150, 300), swap=(5, 1000), cluster=(4,),
    ),
    "nodes": Profile(
        USUAL | {"touch": 50, "run_on": 8, "migrate": 4, "set_limit": 14, "move": 6, "fork": 2},
        (None, None, None, 40, 80), 60, nodes=(2, 2, 3, 4), frames=(45, 80, 1 << 14),
        swap=(0, 0, 20, 1000), cpusets=1,
    ),
    "counts": Profile(USUAL | {"open": 8, "close": 6, "fork": 6, "exec": 3}, big=8, counts=True),
    "groups": Profile(
        USUAL | {"touch": 50, "read": 8, "set_limit": 9, "move": 5, "mkdir": 2, "rmdir": 2},
        (None, None, 20, 40, 64), 40, swap=(0, 5, 40, 400), frames=(1 << 14, 1 << 14, 120),
        groups=True,
    ),
}


@dataclass
class Case:
    """One random test: a trace, and the machine and knobs to replay it on (as dicts)."""

    trace: Trace
    machine: dict
    knobs: dict
    seed: int = 0
    profile: str = ""


@dataclass
class Author:
    """Writes one trace.

    A task counts on the mappings that it made itself or inherited: what another thread maps may be
    skipped in a replay (it may have been killed), what any thread unmaps is gone for all of them.
    """

    rng: random.Random
    profile: Profile
    nodes: int
    places: random.Random  # dice of their own, for what was added later: zones, nodes, cpusets
    cpusets: bool = False
    barriers: random.Random = None  # as places: for OpenVZ's files
    b: TraceBuilder = field(default_factory=TraceBuilder)
    live: list = field(default_factory=list)
    exited: list = field(default_factory=list)
    sharers: dict = field(default_factory=dict)  # task -> the tasks that may share its mm
    containers: list = field(default_factory=lambda: ["root"])
    made: list = field(default_factory=list)  # containers that mkdir makes
    objects: dict = field(default_factory=dict)  # name -> (kind, pages, ways to map it)
    born: int = 0

    # -- tables --------------------------------------------------------------------------------

    def tables(self) -> None:
        rng = self.rng
        for n in range(rng.randint(2, 4)):
            counts = {}
            if self.profile.counts:
                counts["numproc_limit"] = rng.choice((None, 0, 1, 2, 3, 5))
                counts["numfiles_limit"] = rng.choice((None, 0, 1, 2, 3, 17))
            if self.profile.groups and n and rng.random() < 0.6:
                counts["parent"] = rng.choice(self.containers[1:])
            self.b.container(f"C{n}", rng.choice(self.profile.limits), **counts)
            self.containers.append(f"C{n}")
        if rng.random() < 0.4:
            parent = rng.choice(self.containers[1:]) if self.profile.groups else ""
            self.b.container("late", rng.choice(self.profile.limits), parent=parent)
            self.made.append("late")
        kinds = ["file", "anon", rng.choice(("file", "anon"))]
        more = ("file", "anon", "shm", "ramfs", "special", "kernel")
        kinds += rng.choices(more, k=rng.randint(1, 5))
        for n, kind in enumerate(kinds):
            self.add_object(f"{kind}{n}", kind)
        for n in range(rng.randint(2, 5)):
            home = rng.choice(self.containers[1:] if rng.random() < 0.9 else self.containers)
            self.b.task(f"T{n}", home, rng.randrange(self.nodes), **self.badness())
            self.live.append(f"T{n}")
        if rng.random() < 0.8:  # somebody who survives and forks anew
            self.b.task("init", init=True)

    def add_object(self, name: str, kind: str) -> None:
        pages = self.rng.choice((1, 2, self.rng.randint(3, 9), self.profile.big, self.profile.big))
        named = kind == "shm" and (self.profile.counts or self.rng.random() < 0.5)
        path = "/dev/shm/x" if named else ""
        if kind in ("file", "ramfs"):
            path = self.places.choice(("", *PATHS))
        if self.profile.groups and kind in ("file", "shm") and self.places.random() < 0.4:
            path = f"memcg={self.places.choice(self.containers[1:])}:/x"
        self.b.object(name, kind, pages, path)
        ways = SHARING.get(kind) or self.rng.choice(((False,), (True,), (False, True)))
        self.objects[name] = (kind, pages, ways)

    def badness(self) -> dict:
        rng, found = self.rng, {}
        if rng.random() < 0.5:
            found["vm"] = rng.choice((0, 3, 10, 100, 500))
        if rng.random() < 0.3:
            found |= {"cpu": rng.choice((0, 9000, 900000)), "run": rng.choice((0, 20000, 10**6))}
        if rng.random() < 0.3:
            found |= {"nice": rng.choice((-5, 0, 5)), "oom_adj": rng.choice((-17, -2, -1, 3, 15))}
        if rng.random() < 0.2:
            found |= {"root": rng.random() < 0.5, "rawio": rng.random() < 0.5}
        if rng.random() < 0.005:
            found["stuck"] = True
        return found

    # -- choices -------------------------------------------------------------------------------

    def thing(self, kinds: tuple[str, ...]) -> str | None:
        names = [name for name, (kind, _, _) in self.objects.items() if kind in kinds]
        return self.rng.choice(names) if names else None

    def span(self, pages: int) -> tuple[int, int]:
        """A run of pages: one, some, or all."""
        first = self.rng.randrange(pages)
        count = self.rng.choice((1, 1, self.rng.randint(1, pages - first), pages - first))
        return (0, pages) if self.rng.random() < 0.25 else (first, count)

    def mapped_span(self, task: str) -> tuple[str, int, int] | None:
        """A run inside one mapping of the task."""
        spans = [(name, *span) for name, found in self.b._mm[task].items() for span in found]
        if not spans:
            return None
        name, start, end = self.rng.choice(spans)
        first, count = self.span(end - start)
        return name, start + first, count

    # -- one event -----------------------------------------------------------------------------

    def event(self) -> None:
        weights = self.profile.weights
        op = self.rng.choices(list(weights), list(weights.values()))[0]
        task = self.rng.choice(self.live) if self.live else None
        if op in ("reap", "mkdir", "rmdir", "set_limit", "age", "drop_caches", "mark", "io_error"):
            getattr(self, op)()
        elif task is not None:
            getattr(self, op)(task)

    def touch(self, task: str) -> None:
        name = self.thing(("file", "anon", "shm", "ramfs", "special"))
        kind, pages, _ = self.objects[name]
        first, count = self.span(pages)
        again = self.mapped_span(task)
        if again and self.rng.random() < 0.6:
            name, first, count = again
        for start, stop in gaps(self.b._mm[task].get(name, ()), first, first + count):
            self.b.map(task, name, start, stop - start, self.rng.choice(self.objects[name][2]))
        write = self.rng.random() < (0.8 if kind == "anon" else 0.3)
        self.b.touch(task, name, first, count, write)

    def map(self, task: str) -> None:
        """Map a run, over earlier mappings too where the object is always mapped in one way."""
        name = self.thing(("file", "anon", "shm", "ramfs", "special"))
        _, pages, ways = self.objects[name]
        first, count = self.span(pages)
        if len(ways) == 1 or gaps(self.b._mm[task].get(name, ()), first, first + count) == (
            (first, first + count),
        ):
            self.b.map(task, name, first, count, self.rng.choice(ways))

    def read(self, task: str) -> None:
        name = self.thing(("file", "shm", "ramfs", "kernel"))
        if name:
            self.b.read(task, name, *self.span(self.objects[name][1]))

    def write(self, task: str) -> None:
        name = self.thing(("file", "shm", "ramfs", "kernel"))
        if name:
            self.b.write(task, name, *self.span(self.objects[name][1]))

    def on_mapped(self, task: str, method: Callable) -> tuple[str, int, int] | None:
        found = self.mapped_span(task)
        if found:
            method(task, *found)
        return found

    def unmap(self, task: str) -> None:
        found = self.on_mapped(task, self.b.unmap)
        for other in self.sharers.get(task, ()) if found else ():
            name, first, count = found
            mapped = self.b._mm[other]
            mapped[name] = without(mapped.get(name, ()), first, first + count)

    def discard(self, task: str) -> None:
        self.on_mapped(task, self.b.discard)

    def mlock(self, task: str) -> None:
        self.on_mapped(task, self.b.mlock)

    def munlock(self, task: str) -> None:
        self.on_mapped(task, self.b.munlock)

    def open(self, task: str) -> None:
        self.b.open(task, self.rng.choice(list(self.objects)))

    def close(self, task: str) -> None:
        self.b.close(task, self.rng.choice(list(self.objects)))

    def bear(self, task: str, method: Callable) -> str:
        if len(self.live) >= 8:  # some of them were killed, perhaps: make room
            self.exit(self.rng.choice([name for name in self.live if name != task]))
        self.born += 1
        child = f"K{self.born}"
        method(task, child, **self.badness())
        self.live.append(child)
        return child

    def fork(self, task: str) -> None:
        if "init" in self.b._mm and (self.rng.random() < 0.5 or len(self.live) < 3):
            self.move(self.bear("init", self.b.fork))
        else:
            self.bear(task, self.b.fork)

    def thread(self, task: str) -> None:
        child = self.bear(task, self.b.thread)
        self.b._mm[child] = dict(self.b._mm[task])
        self.sharers.setdefault(task, [task]).append(child)
        self.sharers[child] = self.sharers[task]

    def exec(self, task: str) -> None:
        self.b.exec(task)

    def exit(self, task: str) -> None:
        if len(self.live) > 2:
            self.b.exit(task)
            self.live.remove(task)
            self.exited.append(task)

    def reap(self) -> None:
        if self.exited:
            self.b.reap(self.exited.pop(self.rng.randrange(len(self.exited))))

    def move(self, task: str) -> None:
        self.b.move(task, self.rng.choice(self.containers + self.made))

    def mkdir(self) -> None:
        if self.made:
            self.b.mkdir(self.rng.choice(self.made))

    def rmdir(self) -> None:
        self.b.rmdir(self.rng.choice(self.containers[1:] + self.made))

    def set_limit(self) -> None:
        files = ("rss_limit", "numproc_limit", "numfiles_limit") if self.profile.counts else ()
        file = self.rng.choice(("rss_limit", "rss_limit", *files))
        container = self.rng.choice(self.containers[1:] + self.made)
        if self.profile.groups and self.rng.random() < 0.8:
            file = self.rng.choice(list(FILES))
            return self.b.set_limit(container, f"{file}={self.rng.choice(FILES[file])}")
        self.b.set_limit(container, f"{file}={self.rng.choice(WRITTEN)}")
        if self.barriers.random() < 0.3:
            name = self.barriers.choice(("privvmpages", "vmguarpages", "oomguarpages"))
            self.b.set_limit(container, f"{name}={self.barriers.choice(BARRIERS)}")
        if self.cpusets:
            name = self.places.choice(("mems", "mems", "memory_migrate", "memory_spread_page"))
            texts = NODES if name == "mems" else ("0", "1", "1", "2")
            self.b.set_limit(container, f"cpuset.{name}={self.places.choice(texts)}")

    def run_on(self, task: str) -> None:
        self.b.run_on(task, self.rng.randrange(self.nodes))

    def migrate(self, task: str) -> None:
        self.b.migrate(task, self.rng.randrange(self.nodes))

    def age(self) -> None:
        self.b.age()

    def drop_caches(self) -> None:
        self.b.drop_caches()

    def mark(self) -> None:
        self.b.mark("here")

    def io_error(self) -> None:
        name = self.thing(("file", "anon", "shm"))
        self.b.io_error(name, self.rng.randrange(self.objects[name][1]))


def zone_sets(rng: random.Random, containers: list[str]) -> tuple[ZoneSet, ...]:
    """None declared, or one or two sets of one to three containers."""
    names, found = rng.sample(containers, len(containers)), []
    for _ in range(rng.choice((0, 0, 1, 1, 2))):
        members = [names.pop() for _ in range(rng.choice((1, 2, 3))) if names]
        if members:
            paths = rng.sample(PATHS, rng.randint(1, 3))
            frames = rng.choice((0, 5, 12, 40, 200))
            found.append(ZoneSet(tuple(members), frames, tuple(paths), rng.random() < 0.3))
    return tuple(found)


def random_quirks(rng: random.Random) -> frozenset:
    """All on, all off, or any set."""
    some = frozenset(name for name in QUIRKS if rng.random() < 0.5)
    return rng.choice((frozenset(QUIRKS), frozenset(QUIRKS), frozenset(), some))


def random_case(seed: int, profile: str | None = None, events: int = 120) -> Case:
    """A case by seed, the same for the same arguments; about `events` events."""
    rng = random.Random(f"{seed} {profile} {events}")
    name = profile or rng.choice(sorted(PROFILES))
    chosen = PROFILES[name]
    machine = {
        "nodes": rng.choice(chosen.nodes),
        "frames": rng.choice(chosen.frames),
        "swap": rng.choice(chosen.swap),
    }
    knobs = {
        "swap_write": rng.choice(("async", "sync", "sync")),
        "cluster": rng.choice(chosen.cluster),
        "quirks": random_quirks(rng),
        "references": rng.choice((None, None, "all", "own")),
        "swappiness": rng.choice((60, 60, 0, 100)),
        "word": rng.choice((64, 64, 32)),
        "page_tables": rng.random() < 0.8,
        "task_frames": rng.choice((2, 2, 0)),
        "files_per_frame": rng.choice((16, 16, 2, 0)),
    }
    if chosen.groups:
        knobs["failcnt"] = rng.choice(("refused", "refused", "linux-batch"))
    places = random.Random(f"places {seed} {profile}")
    knobs["granule"] = places.choice((1, 1, 4, 16))
    knobs["unmovable"] = places.choice(("spread", "grouped"))
    knobs["numa"] = places.choice(("stay", "stay", "follow", "touch"))
    knobs["accesses"] = places.random() < 0.3
    author = Author(rng, chosen, machine["nodes"], places, places.random() < chosen.cpusets,
                    random.Random(f"barriers {seed} {profile}"))
    author.tables()
    machine["zone_sets"] = zone_sets(places, author.containers[1:] + author.made)
    for _ in range(events):
        author.event()
    if author.made:
        author.b.mkdir(author.made[0])  # so that it is one that mkdir makes
    return Case(author.b.build(), machine, knobs, seed, name)


def cases(profile: str | None = None, events: int = 60):
    """A Hypothesis strategy of cases."""
    from hypothesis import strategies as st

    return st.builds(random_case, st.integers(0, 2**32 - 1), st.just(profile), st.just(events))


def shortest(trace: Trace, fails: Callable[[Trace], bool]) -> Trace:
    """Leave out events, in ever smaller blocks, while `fails` holds: a trace to look at."""
    size = max(1, len(trace) // 2)
    while True:
        start = 0
        while start < len(trace):
            try:
                shorter = leave_out(trace, start, start + size)
                smaller = fails(shorter)
            except TraceError:
                smaller = False
            if smaller:
                trace = shorter
            else:
                start += size
        if size == 1:
            return trace
        size = max(1, size // 2)


def leave_out(trace: Trace, start: int, stop: int) -> Trace:
    """The trace without events start..stop-1, nor the tasks they create and theirs."""
    born, rows = set(trace.initial_tasks()), []
    for i in range(len(trace)):
        if not start <= i < stop and (trace.task[i] < 0 or trace.task[i] in born):
            rows.append(i)
            if trace.op[i] in BIRTHS:
                born.add(trace.target[i])
    columns = {name: [cells[i] for i in rows] for name, cells in trace.columns().items()}
    number = {old: new for new, old in enumerate(sorted(born))} | {-1: -1}
    columns["task"] = [number[task] for task in columns["task"]]
    columns["target"] = [
        number[target] if op in BIRTHS else target
        for op, target in zip(columns["op"], columns["target"], strict=True)
    ]
    tasks = [task for n, task in enumerate(trace.tasks) if n in born]
    return Trace.from_columns(
        trace.objects, tasks, trace.containers, **columns, values=trace.values, header=trace.header
    )
