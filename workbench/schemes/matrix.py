"""The feature matrix of the debate, computed: from a scheme's parts, its promises, and tiny traces.

Every row is a function of a scheme. What can be measured is: a trace of a few events is replayed
and the machine is asked. Source of the rows: the thread of March 2007, as tabulated in section D.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import lru_cache

from workbench.kernel.config import Knobs, Machine
from workbench.kernel.engine import simulate
from workbench.kernel.layout import COLUMNS
from workbench.kernel.names import (
    KIND,
    N_HOLDERS,
    N_KILLS,
    N_RMAP,
    N_SWAP_OUTS,
    N_WRITES,
    RESIDENT,
    SPECIAL,
)
from workbench.kernel.state import PlacementError
from workbench.trace import TraceBuilder

from . import Scheme, check, get, names

MACHINE = Machine(frames=1 << 12)
KNOBS = Knobs(cluster=4, swap_write="sync", quirks="repaired")
SHARED = 24  # pages of the library in most probes


@dataclass(frozen=True)
class Feature:
    """One row: what is asked, how it is answered, and from where."""

    name: str
    cell: Callable[[Scheme], str]
    measured: bool  # by a probe trace or the contract suite; otherwise read off the parts


FEATURES: list[Feature] = []


def feature(name: str, measured: bool = True) -> Callable:
    """Declare a row."""

    def keep(cell: Callable[[Scheme], str]) -> Callable:
        FEATURES.append(Feature(name, cell, measured))
        return cell

    return keep


def world(**limits: int | None) -> TraceBuilder:
    """Tasks a, b in containers A, B with these limits, a library, memory of each."""
    b = TraceBuilder()
    for name in "AB":
        b.container(name, limits.get(name))
        b.task(name.lower(), name)
        b.anon(f"heap {name}", 1200)
    b.file("lib", SHARED)
    b.file("data", 40)
    return b


def touch(b: TraceBuilder, task: str, name: str, pages: int, write: bool = False) -> None:
    b.map(task, name, range(pages), shared=name == "lib")
    b.touch(task, name, range(pages), write=write)


def after(b: TraceBuilder, scheme: Scheme, machine: Machine = MACHINE):
    return simulate(b.build(), scheme, machine, KNOBS, engine="interpreted")


def paid(k, c: int) -> float:
    return int(k.usage[c]) / k.unit


def counts(scheme: Scheme) -> bool:
    """Whether anything is charged at all."""
    return scheme.parts.record != "none" or scheme.parts.placement != "any"


def zoned(scheme: Scheme) -> bool:
    return scheme.parts.placement != "any"


# ---- what the charge is --------------------------------------------------------------------------


@feature("charges add up to RAM")
def adds_up(scheme: Scheme) -> str:
    b = world()
    for task in "ab":
        touch(b, task, "lib", SHARED)
        touch(b, task, f"heap {task.upper()}", 7, write=True)
        b.fork(task, f"{task}2")
        b.map(f"{task}2", "lib", shared=True), b.touch(f"{task}2", "lib")
    b.read("a", "data")
    k = after(b, scheme)
    total = sum(paid(k, c) for c in range(k.containers))
    pages = [p for p in range(k.pages_top) if k.page_flags[p] & KIND != SPECIAL]
    mapped = sum(1 for p in pages if k.page_maps[p])
    resident = sum(1 for p in pages if k.page_flags[p] & RESIDENT)
    frames = sum(int(k.zone_frames[z] - k.zone_free[z]) for z in range(k.zones))
    found = {mapped: "mapped pages", resident: "pages in memory", frames: "all frames"}
    if round(total) in found:
        return found[round(total)]
    return "no" if counts(scheme) else "-"


@lru_cache(maxsize=64)
def held(scheme: Scheme) -> dict[str, bool]:
    """Which promises hold. Of the workbench's own, as they stand, the tests know; else we try."""
    if scheme.own or scheme.options:
        return {verdict.promise: not verdict.complaint for verdict in check(scheme)}
    return scheme.promises


def promise(name: str) -> Callable[[Scheme], str]:
    def cell(scheme: Scheme) -> str:
        if not counts(scheme):
            return "-"
        return "yes" if held(scheme)[name] else "no"

    return cell


feature("own number independent of neighbours")(promise("neighbour_proof"))
feature("number changes only by own action")(promise("own_action_only"))
@feature("sharing of frames")
def shares(scheme: Scheme) -> str:
    if held(scheme)["shares_frames"]:
        return "yes"
    b = world()
    touch(b, "a", "lib", SHARED), touch(b, "b", "lib", SHARED)
    k = after(b, scheme)
    frames = sum(int(k.zone_file[z]) for z in range(k.zones))
    return "at first" if frames == SHARED else "no"


@feature("fair for shared pages")
def fair(scheme: Scheme) -> str:
    bills = []
    for pages in (1, SHARED):
        b = world()
        touch(b, "a", "lib", pages), touch(b, "b", "lib", pages)
        k = after(b, scheme)
        bills.append((paid(k, 1), paid(k, 2)))
    one, two = ((more - less) / (SHARED - 1) for less, more in zip(*bills, strict=True))
    words = {(0.5, 0.5): "yes, 1/n each", (1, 1): "each pays in full", (0, 0): "nobody pays",
             (1, 0): "no, one pays all"}
    return words.get((one, two), f"{one:g} and {two:g}")


# ---- what happens at the limit -------------------------------------------------------------------


def at_limit(scheme: Scheme, hold: bool = False):
    """A maps the library; B does, too; then A maps more than its limit; `hold`: all locked."""
    b = world(A=40)
    touch(b, "a", "lib", SHARED)
    touch(b, "b", "lib", SHARED)
    touch(b, "b", "heap B", 300, write=True)
    b.age()
    if hold:
        b.map("a", "heap A", range(60))
        b.mlock("a", "heap A", range(60))
    else:
        for start in range(0, 60, 4):
            b.map("a", "heap A", range(start, start + 4))
            b.touch("a", "heap A", range(start, start + 4), write=True)
            b.age()
    return after(b, scheme)


@feature("kills stay inside")
def inside(scheme: Scheme) -> str:
    k = at_limit(scheme, hold=True)
    if not k.stat[N_KILLS]:
        return "no kill"
    victims = {int(k.kill_victim[i]) for i in range(k.kills)}
    return "yes" if victims == {0} else "no"


@feature("reclaim leaves neighbours alone")
def gentle(scheme: Scheme) -> str:
    k = at_limit(scheme)
    if k.stat[N_KILLS]:
        return "kills instead"
    if not k.failcnt[1]:
        return "no limit"
    return "yes" if k.mapped[2] == SHARED + 300 else "no"


@feature("no I/O at limit while host has room")
def no_io(scheme: Scheme) -> str:
    k = at_limit(scheme)
    if k.stat[N_KILLS]:
        return "kills instead"
    if not k.failcnt[1]:
        return "no limit"
    return "no" if k.stat[N_SWAP_OUTS] + k.stat[N_WRITES] else "yes"


@feature("overcommit")
def overcommit(scheme: Scheme) -> str:
    b = world(A=3000, B=3000)
    try:
        after(b, scheme)
    except PlacementError:
        return "no"
    return "yes"


@feature("idle memory usable by others")
def idle(scheme: Scheme) -> str:
    b = world(A=600)
    touch(b, "b", "heap B", 600, write=True)
    k = after(b, scheme, Machine(frames=1000, swap=0))
    return "yes" if k.mapped[2] == 600 else "no"


feature("global LRU kept", False)(lambda scheme: "no" if zoned(scheme) else "yes")


@feature("reclaim code unchanged", False)
def unchanged(scheme: Scheme) -> str:
    return "yes" if scheme.parts.reclaim == "none" else "no"


# ---- what it costs -------------------------------------------------------------------------------


@feature("page pointer needed", False)
def pointer(scheme: Scheme) -> str:
    words = dict.fromkeys(("none", "mapping", "walk"), "no")
    words |= {"page": "yes", "counted": "yes, with a count"}
    return words.get(scheme.parts.record, "yes, with a list")


@feature("bytes per page", False)
def size(scheme: Scheme) -> str:
    here = COLUMNS["page"]["page_entry"] // 8
    record = sum(COLUMNS["entry"].values()) // 8
    if scheme.parts.record in ("none", "mapping", "walk"):
        return "0"
    return f"{here} + {record}" + " per container" * (scheme.parts.record == "pair")


@feature("walk per map/unmap")
def walk(scheme: Scheme) -> str:
    b = world()
    for task in "ab":
        touch(b, task, "lib", SHARED)
    b.unmap("a", "lib"), b.unmap("b", "lib")
    k = after(b, scheme)
    return {0: "no"}.get(k.stat[N_RMAP] + k.stat[N_HOLDERS], "yes")


@feature("scan at container limit", False)
def scan(scheme: Scheme) -> str:
    if scheme.parts.reclaim != "none":
        words = {"fifo": "own list", "lru": "own two lists"}
        return words.get(scheme.parts.lists, scheme.parts.lists)
    return "own zone" if zoned(scheme) else "-"


# ---- what is covered -----------------------------------------------------------------------------


def charged_for(scheme: Scheme, act: Callable[[TraceBuilder], None]) -> str:
    """Whether A's charge grows by an act."""
    b = world()
    act(b)
    more = paid(after(b, scheme), 1) - paid(after(world(), scheme), 1)
    return "yes" if more > 0 else "no"


@feature("unmapped page cache")
def cache(scheme: Scheme) -> str:
    return charged_for(scheme, lambda b: b.read("a", "data"))


@feature("kernel memory")
def kernel(scheme: Scheme) -> str:
    return charged_for(scheme, lambda b: [b.fork("a", f"a{n}") for n in range(3)])


@feature("page tables")
def page_tables(scheme: Scheme) -> str:
    """Two pages far apart need two page-table pages, two neighbours one."""
    used = []
    for second in (1, 1100):
        b = world()
        b.map("a", "heap A")
        for page in (0, second):
            b.touch("a", "heap A", range(page, page + 1), write=True)
        used.append(paid(after(b, scheme), 1))
    return "yes" if used[1] > used[0] else "no"


# ---- what neighbours can do to each other --------------------------------------------------------


@feature("exit attack")
def exit_attack(scheme: Scheme) -> str:
    """A passive sharer's charge when the other one leaves."""
    b = world()
    touch(b, "a", "lib", SHARED), touch(b, "b", "lib", SHARED)
    before = paid(after(b, scheme), 2)
    b.exit("a")
    return "open" if paid(after(b, scheme), 2) > before else "safe"


@feature("charge pinning")
def pinning(scheme: Scheme) -> str:
    """Whether A still pays for what only B uses."""
    b = world()
    before = paid(after(b, scheme), 1)
    touch(b, "a", "lib", SHARED), touch(b, "b", "lib", SHARED)
    b.unmap("a", "lib")
    b.drop_caches()
    return "open" if paid(after(b, scheme), 1) >= before + SHARED else "safe"


@feature("patient free rider")
def free_rider(scheme: Scheme) -> str:
    """B waits until A has mapped everything: does it use it for nothing?"""
    if not counts(scheme):
        return "-"
    b = world()
    touch(b, "a", "lib", SHARED)
    before = paid(after(b, scheme), 2)
    touch(b, "b", "lib", SHARED)
    return "open" if paid(after(b, scheme), 2) - before <= 1 else "safe"


@feature("limit evasion by flags")
def evasion(scheme: Scheme) -> str:
    """The same file mapped shared or private: is another charge the result?"""
    used = []
    for shared in (False, True):
        b = world()
        b.map("a", "lib", shared=shared), b.touch("a", "lib")
        used.append(paid(after(b, scheme), 1))
    return "yes" if used[0] != used[1] else "no"


@feature("uncharged memory")
def uncharged(scheme: Scheme) -> str:
    """Cache, kernel objects, page tables that nobody is charged for: a way to fill the machine."""
    missing = [cell(scheme) for cell in (cache, kernel, page_tables)].count("no")
    return {0: "safe", 3: "open"}.get(missing, "part")


# ---- what happens to tasks and containers --------------------------------------------------------


@feature("task move")
def move(scheme: Scheme) -> str:
    b = world()
    touch(b, "a", "heap A", 20, write=True)
    b.move("a", "B")
    k = after(b, scheme)
    if not counts(scheme):
        return "-"
    return "follows" if paid(k, 2) >= 20 else "charges stay"


@feature("container death")
def death(scheme: Scheme) -> str:
    """A's last task goes while B still maps what A paid for."""
    b = world()
    touch(b, "a", "lib", SHARED), touch(b, "b", "lib", SHARED)
    before = paid(after(b, scheme), 2)
    b.exit("a"), b.reap("a"), b.drop_caches()
    k = after(b, scheme)
    if not counts(scheme):
        return "-"
    if paid(k, 1) > 0:
        return "pages stay with it"
    return "sharers pay" if paid(k, 2) > before else "nothing left"


@feature("NUMA task moves", False)
def numa(scheme: Scheme) -> str:
    return "zone is elsewhere" if zoned(scheme) else "free"


def row(scheme: str | Scheme) -> dict[str, str]:
    """Every feature of one scheme. Cost: about 30 tiny replays, a tenth of a second."""
    scheme = get(scheme)
    return {f.name: f.cell(scheme) for f in FEATURES}


def matrix(schemes: list[str] | None = None) -> list[dict[str, str]]:
    """One row per feature, one column per scheme (None: all). `measured`: not only declared."""
    columns = {get(s).label: row(s) for s in (schemes or names())}
    return [
        {"feature": f.name, "measured": "yes" if f.measured else "no"}
        | {label: cells[f.name] for label, cells in columns.items()}
        for f in FEATURES
    ]


def text(rows: list[dict[str, str]], width: int = 100) -> str:
    """The matrix for a terminal: features down, as many schemes as fit side by side."""
    labels = [key for key in rows[0] if key not in ("feature", "measured")]
    first = max(len(r["feature"]) for r in rows)
    blocks = []
    while labels:
        taken, room = [], width - first
        while labels and (not taken or room >= wide(rows, labels[0]) + 2):
            room -= wide(rows, labels[0]) + 2
            taken.append(labels.pop(0))
        head = dict.fromkeys(["feature"], "feature") | {label: label for label in taken}
        lines = [
            "  ".join([r["feature"].ljust(first), *(r[n].ljust(wide(rows, n)) for n in taken)])
            for r in [head, *rows]
        ]
        blocks.append("\n".join(line.rstrip() for line in lines))
    return "\n\n".join(blocks)


def wide(rows: list[dict[str, str]], label: str) -> int:
    return max(len(label), *(len(r[label]) for r in rows))
