"""The tables of a run: fixed columns, rows of plain values, a pandas table on demand.

Pages unless the `unit` column says otherwise. `time` counts events done: a row with time 12 tells
what was so after the 12th event of the trace.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from fractions import Fraction

from workbench.kernel import OUTCOMES
from workbench.kernel.names import HUGE, PARTITION, PRESENT, RESIDENT, SAMPLE_WIDTH, SAMPLED
from workbench.kernel.state import plain
from workbench.kernel.zones import copy_for
from workbench.trace import Op

# metrics of the tidy table, in the order of the engine's sample fields, with their units
METRICS = {
    "usage": "pages",
    "limit": "pages",
    "failcnt": "refusals",
    "mapped": "mappings",
    "procs": "tasks",
    "files": "files",
    "minor_faults": "faults",
    "major_faults": "faults",
    "css": "references",
    "bill": "pages",
    "vswap": "pages",
    "penalty": "ms",
    "unused": "pages",
    "swapped": "pages",
    "oom_failcnt": "kills",
    "cached": "pages",
    "cached_failcnt": "refusals",
}
# metrics that only some schemes count; in `summary` after the others
EXTRA = ("bill", "vswap", "penalty", "unused", "swapped", "oom_failcnt", "cached", "cached_failcnt")
FRAME_KINDS = ("anon", "file", "special", "kernel")
COLUMNS = {
    "table": ("scenario", "scheme", "container", "time", "metric", "value", "unit"),
    "summary": ("container", "usage", "limit", "failcnt", "peak", "rss", "pss", "uss", "minor",
                "major", "kills", "lost"),
    "events": ("time", "op", "task", "target", "page", "count", "value", "outcome"),
    "oom": ("scenario", "scheme", "kill", "time", "container", "usage", "current", "victim",
            "victim_container", "points", "freed", "helped"),
    "candidates": ("kill", "task", "container", "points", "chosen"),
    "nodes": ("scenario", "scheme", "time", "node", "zone", "kind", "frames", "capacity"),
    "numa": ("container", "node", "rss", "charged", "local", "remote"),
    "placed": ("container", "node", "time", "metric", "value"),
    "owners": ("object", "page", "payers", "holders", "mapped_by", "resident"),
    "life": ("time", "event", "what", "container", "pages"),
}
MACHINE = "machine"  # stands for the container where the whole machine is out of frames


def frame(name: str | tuple, rows: Iterable[tuple]):
    """A pandas table with the columns of `COLUMNS[name]` (or the names given)."""
    import pandas as pd

    table = pd.DataFrame.from_records(list(rows), columns=list(COLUMNS.get(name, name)))
    for column in ("limit", "points", "local", "remote"):
        if column in table:
            table[column] = table[column].astype("Int64")
    return table


def pages_of(units: int, unit: int) -> int | float:
    return int(units) if unit == 1 else float(Fraction(int(units), unit))


def shown(metric: str, value: int, unit: int) -> int | float:
    """A sampled number in the unit of `METRICS`."""
    if metric in ("usage", "bill"):
        return pages_of(value, unit)
    return value / 1e6 if metric == "penalty" else int(value)


def samples(run) -> Iterator[tuple[int, list[list[int]], list[list[int]]]]:
    """(time, fields per container, frames by kind per zone) of every sample and of the end."""
    k, last = run.state, 0
    n, zones = SAMPLE_WIDTH * k.containers, 4 * k.zones
    for row in chop(plain(k.sample[: k.sample_top]), k.sample_width):
        last = row[0]
        yield last, chop(row[1 : 1 + n], SAMPLE_WIDTH), chop(row[1 + n : 1 + n + zones], 4)
    if last != len(run.trace) or not k.sample_top:
        books = [getattr(k, name) for name in SAMPLED]
        frames = (k.zone_anon, k.zone_file, k.zone_special, k.zone_kernel)
        yield (
            len(run.trace),
            [[int(column[c]) for column in books] for c in range(k.containers)],
            [[int(column[z]) for column in frames] for z in range(k.zones)],
        )


def chop(row: list[int], width: int) -> list[list[int]]:
    return [row[i : i + width] for i in range(0, len(row), width)]


def tidy(run) -> Iterator[tuple]:
    """`table`: one row per sample, container and metric; no `limit` row where there is none.

    One more row per container, at the end: `peak`, the highest usage, between samples too.
    """
    label, unit, k = run.scheme.label, run.state.unit, run.state
    counts = run.scheme.parts.counted
    for time, books, _ in samples(run):
        for name, fields in zip(run.containers, books, strict=True):
            for (metric, what), value in zip(METRICS.items(), fields, strict=True):
                value = shown(metric, value, unit)
                told = metric not in EXTRA or metric in counts
                if told and (metric != "limit" or value < HUGE):
                    yield run.name, label, name, time, metric, float(value), what
    for name, peak in zip(run.containers, k.peak, strict=False):
        yield run.name, label, name, time, "peak", float(pages_of(peak, unit)), "pages"


def summary_columns(run) -> tuple[str, ...]:
    """The columns of `summary`: what every scheme counts, then what only this one does."""
    return (*COLUMNS["summary"], *run.scheme.parts.counted)


def summary(run) -> Iterator[tuple]:
    """`summary`: one row per container at the end of the run.

    usage, peak: what the scheme charged (peak: highest ever). rss, pss, uss: pages it really maps,
    shared pages divided among their containers, unshared pages. kills: tasks killed because this
    container was at its limit; lost: tasks of this container killed, whoever was at a limit. Last
    comes what only this scheme counts, such as the `bill` of dual_count, or under cache=joint and
    cache=separate `cached`: pages it pays for that lie in the caches, mapped by nobody.
    """
    k, kills = run.state, list(oom(run))
    rss, pss, uss = run.truth()
    for c, name in enumerate(run.containers):
        limit = int(k.limit[c])
        yield (
            name,
            pages_of(k.usage[c], k.unit),
            None if limit >= HUGE else limit,
            int(k.failcnt[c]),
            pages_of(k.peak[c], k.unit),
            rss[c],
            float(pss[c]),
            uss[c],
            int(k.minor_faults[c]),
            int(k.major_faults[c]),
            sum(row[4] == name for row in kills),
            sum(row[8] == name for row in kills),
            *(shown(what, getattr(k, what)[c], k.unit) for what in run.scheme.parts.counted),
        )


def events(run) -> Iterator[tuple]:
    """`events`: one row per event, with what it turned into."""
    outcomes = run.state.ev_outcome
    for i, e in enumerate(run.trace.events()):
        yield i + 1, e.op.name, e.task, e.target, e.page, e.count, e.value, OUTCOMES[outcomes[i]]


def steps(run) -> tuple[list[str], Iterator[tuple]]:
    """Columns and rows of `Run.steps()`: events, then every container's books after each."""
    names = run.containers
    columns = [*COLUMNS["events"], "owner", "victims"]
    columns += [f"{what} {c}" for c in names for what in ("usage", "failcnt")]

    def rows() -> Iterator[tuple]:
        base, killed, tasks = run.bases(), 0, run.trace.tasks
        for row, i, k in zip(events(run), range(len(run.trace)), run.walk(), strict=True):
            paged = run.trace.targets(run.trace.op[i]) is run.trace.objects
            at = base[run.trace.target[i]] + int(run.trace.page[i]) if paged else -1
            owner = "+".join(names[c] for c in payers(run, k, at)) if paged else ""
            victims = [tasks[k.kill_victim[j]].name for j in range(killed, run.kills_in(k))]
            killed = run.kills_in(k)
            books = [
                x
                for c in range(k.containers)
                for x in (pages_of(k.usage[c], k.unit), int(k.failcnt[c]))
            ]
            yield (*row, owner, ", ".join(victims), *books)

    return columns, rows()


def oom(run) -> Iterator[tuple]:
    """`oom`: one row per kill. container: the one at its limit ("machine": no frame left at all);
    current: the task that asked; points: of the task chosen (missing: nobody chose); freed: frames
    that came free; helped: at least one did."""
    k, tasks = run.state, run.trace.tasks
    for j in range(run.kills_in(k)):
        c, victim = int(k.kill_container[j]), int(k.kill_victim[j])
        at, points, freed = int(k.kill_event[j]), int(k.kill_points[j]), int(k.kill_freed[j])
        yield (
            run.name,
            run.scheme.label,
            j + 1,
            at + 1,
            run.containers[c] if c >= 0 else MACHINE,
            pages_of(k.kill_usage[j], k.unit),
            tasks[k.kill_current[j]].name,
            tasks[victim].name,
            run.containers[run.home(victim, at)],
            None if points < 0 else points,
            freed,
            freed > 0,
        )


def candidates(run, kill: int | None = None) -> Iterator[tuple]:
    """`candidates`: who was considered at each kill (or at the one given), with what points."""
    k, seen = run.state, {}
    for i in range(min(int(k.cands), int(k.cands_end))):
        seen[int(k.cand_kill[i]), int(k.cand_task[i])] = int(k.cand_points[i])
    for (j, t), points in seen.items():
        if j < run.kills_in(k) and kill in (None, j + 1):
            home = run.containers[run.home(t, int(k.kill_event[j]))]
            yield j + 1, run.trace.tasks[t].name, home, points, int(k.kill_victim[j]) == t


def nodes(run) -> Iterator[tuple]:
    """`nodes`: frames in use by kind, per sample and zone; zone "" is the whole node's."""
    k, zone = run.state, run.state.zone_names
    for time, _, zones in samples(run):
        for z, kinds in enumerate(zones):
            for kind, frames in zip(FRAME_KINDS, kinds, strict=True):
                yield (
                    run.name, run.scheme.label, time, int(k.zone_node[z]), zone[z], kind, frames,
                    int(k.zone_frames[z]),
                )


def numa(run) -> Iterator[tuple]:
    """`numa`: one row per container and node where it has anything, at the end of the run.

    rss: pages it maps that lie on the node; charged: pages there that it pays for, alone or with
    others (a zone: the frames in it). local, remote: accesses to the node's pages by its tasks
    there and elsewhere; missing unless they were counted (knob `accesses`).
    """
    k = run.state
    rss, charged = lying(k, lambda page: users(k, page)), charged_by_node(run, k)
    for c, name in enumerate(run.containers):
        for node in range(k.nodes):
            near, far = int(k.near[c * k.nodes + node]), int(k.far[c * k.nodes + node])
            pages = rss.get((c, node), 0), charged.get((c, node), 0)
            if any(pages) or near or far:
                yield (name, node, *pages, *((near, far) if k.counted else (None, None)))


def lying(k, whose) -> dict[tuple[int, int], int]:
    """(container, node) -> frames there of pages that are its own by `whose(page)`."""
    found: dict[tuple[int, int], int] = {}
    for page in range(k.pages_top):
        if k.page_flags[page] & RESIDENT:
            node = int(k.zone_node[k.page_zone[page]])
            for c in whose(page):
                found[c, node] = found.get((c, node), 0) + 1
    return found


def charged_by_node(run, k) -> dict[tuple[int, int], int]:
    """(container, node) -> pages there that it pays for, alone or with others."""
    if run.scheme.parts.placement == "any":
        return lying(k, lambda page: holders(run, k, page))
    found: dict[tuple[int, int], int] = {}
    for z in range(k.zones):
        if k.zone_owner[z] >= 0:
            key = int(k.zone_owner[z]), int(k.zone_node[z])
            found[key] = found.get(key, 0) + int(k.zone_frames[z] - k.zone_free[z])
    return found


def placed(run, rows: int = 60) -> tuple[list[tuple], list[int]]:
    """`placed`: about `rows` times, and at every kill, what each container has on every node:
    usage, the pages there that it pays for, alone or with others; failcnt, the refusals to it while
    a task on that node ran (node 0 where no task did). And the node of every victim. Cost: a replay
    event by event, and a walk over all pages for every row.
    """
    found, victims = [], []
    step = max(1, len(run.trace) // rows)
    refused: dict[tuple[int, int], int] = {}
    before = [0] * len(run.containers)
    for i, k in enumerate(run.walk()):
        task, kills = int(run.trace.task[i]), run.kills_in(k)
        node = max(0, int(k.task_node[task])) if task >= 0 else 0
        now = [int(k.failcnt[c]) for c in range(k.containers)]
        for c, (old, new) in enumerate(zip(before, now, strict=True)):
            if old != new:
                refused[c, node] = refused.get((c, node), 0) + new - old
        before = now
        killed = range(len(victims), kills)
        victims += [max(0, int(k.task_node[k.kill_victim[j]])) for j in killed]
        if killed or (i + 1) % step == 0 or i + 1 == len(run.trace):
            charged = charged_by_node(run, k)
            for n in range(k.nodes):
                for c, name in enumerate(run.containers):
                    found.append((name, n, i + 1, "usage", charged.get((c, n), 0)))
                    found.append((name, n, i + 1, "failcnt", refused.get((c, n), 0)))
    return found, victims


def payers(run, k, page: int) -> list[int]:
    """Containers that pay for a page just now, oldest charge first; [] where nobody does."""
    if run.scheme.parts.placement != "any":  # whose zone the frame lies in
        there = [p for p in copies(k, page) if k.page_flags[p] & RESIDENT]
        return [c for c in [int(k.zone_owner[k.page_zone[p]]) for p in there] if c >= 0]
    return list(dict.fromkeys(c for p in copies(k, page) for c in holders(run, k, p)))


def holders(run, k, page: int) -> list[int]:
    """Containers that are charged for this very page, oldest charge first."""
    if run.scheme.parts.record in ("mapping", "walk"):
        return users(k, page)
    entry, found = int(k.page_entry[page]) - 1, []
    head = entry
    while entry >= 0:
        found.append(int(k.entry_owner[entry]))
        entry = int(k.entry_after[entry]) if run.scheme.parts.per_pair else -1
        entry = -1 if entry == head else entry
    return found


def copies(k, page: int) -> list[int]:
    """The page and, under partition or reclaim=copy, the containers' copies of it."""
    others = range(int(k.placement == PARTITION), k.containers if k.copies_at else 0)
    return [page, *(copy_for(k, page, c) for c in others)]


def mappers(k, page: int) -> list[int]:
    """Containers with a present mapping of the page, or of a copy, oldest mapping first."""
    return list(dict.fromkeys(c for p in copies(k, page) for c in users(k, p)))


def users(k, page: int) -> list[int]:
    """Containers with a present mapping of this very page, oldest mapping first."""
    found: dict[int, None] = {}
    pte = int(k.page_rmap[page]) - 1
    for _ in range(int(k.page_maps[page]) + int(k.page_swaps[page])):
        word = int(k.word[pte])
        if word & PRESENT:
            found[int(k.mm_container[(word >> 40) - 1])] = None
        pte = int(k.pte_next[pte])
    return list(found)


def owners(run, k) -> Iterator[tuple]:
    """`owners`: one row per page of every object: who pays, how many, who maps it, in memory?

    payers: names joined by "+" ("" = nobody). Private copies of file pages, and of anonymous pages
    after a fork, are further pages without a place in an object: not listed.
    """
    names, at = run.containers, 0
    for obj in run.trace.objects:
        for page in range(obj.pages):
            paying = payers(run, k, at)
            yield (
                obj.name,
                page,
                "+".join(sorted(names[c] for c in paying)),
                len(paying),
                "+".join(sorted(names[c] for c in mappers(k, at))),
                any(k.page_flags[p] & RESIDENT for p in copies(k, at)),
            )
            at += 1


def event_text(run, i: int) -> str:
    """Event i (from 0) in words: `PA touch_write heap[3-5]`."""
    trace = run.trace
    op, targets = Op(trace.op[i]), trace.targets(trace.op[i])
    words = [trace.tasks[trace.task[i]].name] if trace.task[i] >= 0 else []
    words.append(op.name)
    if targets:
        name, first, n = targets[trace.target[i]].name, int(trace.page[i]), int(trace.count[i])
        span = f"[{first}-{first + n - 1}]" if n > 1 else f"[{first}]"
        paged = targets is trace.objects and op not in (Op.open, Op.close)
        words.append(name + span * paged)
    return " ".join([*words, trace.values[trace.value[i]]]).strip()
