"""Sentences built from what the engine noted: who was charged and why, who was killed and why."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator
from fractions import Fraction

from workbench.kernel import did_you_mean
from workbench.kernel.names import HUGE
from workbench.trace import Op

from . import tables
from .units import amount, count

LISTED = 6  # names or numbers in one sentence before "and n more"


def join(words: Iterable[str], last: str = "and") -> str:
    """`A, B and C`; the tail of a long list is counted."""
    found = list(words)
    if len(found) > LISTED:
        found = [*found[: LISTED - 1], f"{len(found) - LISTED + 1} more"]
    return f" {last} ".join([", ".join(found[:-1]), found[-1]] if len(found) > 1 else found)


def listed(words: list[str]) -> str:
    """The same for words with commas inside, between semicolons."""
    more = [f"and {len(words) - LISTED:,} more"] if len(words) > LISTED else []
    return "; ".join(words[:LISTED] + more)


# -- one sentence --------------------------------------------------------------------------------


def shown(run) -> list[int]:
    """Containers worth a word: all but a root that was never charged nor refused anything."""
    k = run.state
    return [c for c in range(k.containers) if c or k.peak[c] or k.failcnt[c]]


def sentence(run) -> str:
    """End, peak and limit of every container, refusals, kills, hang."""
    k, parts = run.state, []
    for c in shown(run):
        end, peak = (Fraction(int(x), k.unit) for x in (k.usage[c], k.peak[c]))
        words = f"{run.containers[c]} ends at {count(end, 'page')} (peak {amount(peak)}"
        words += f", limit {int(k.limit[c]):,}" if k.limit[c] < HUGE else ", no limit"
        words += f", {count(int(k.failcnt[c]), 'refusal')})" if k.failcnt[c] else ")"
        parts.append(words)
    said = f"{run.name} under {run.scheme.label}, {count(len(run.trace), 'event')}: "
    said += (join(parts) or "nothing is charged") + f"; {killed(run)}"
    return said + (f"; the machine hangs at event {run.hang:,}." if run.hung else ".")


def killed(run) -> str:
    names = [
        f"{victim} of {home} at event {time:,}"
        for _, _, _, time, _, _, _, victim, home, *_ in tables.oom(run)
    ]
    if not names:
        return "no task is killed"
    return f"{count(len(names), 'task')} {'is' if len(names) == 1 else 'are'} killed: {join(names)}"


def comparison(result) -> str:
    """Final charges, refusals and kills of every scheme."""
    parts, told = [], sorted({c for run in result.runs for c in shown(run)})
    for run in result.runs:
        k = run.state
        usage = [amount(Fraction(int(k.usage[c]), k.unit)) for c in told]
        failed, dead = sum(int(x) for x in k.failcnt[: k.containers]), run.kills_in(k)
        words = f"{run.scheme.label} {'/'.join(usage) or '0'}"
        words += f" ({count(failed, 'refusal')}, {count(dead, 'kill')})" if failed or dead else ""
        parts.append(words + (f", hangs at event {run.hang:,}" if run.hung else ""))
    names = "/".join(result.runs[0].containers[c] for c in told)
    many = f"{count(len(result.runs), 'scheme')}, {count(len(result.runs[0].trace), 'event')}"
    return f"{result.name} under {many}: pages charged at the end to {names}: {'; '.join(parts)}."


# -- why -----------------------------------------------------------------------------------------


def explain(run, container, task, obj, page, lines) -> str:
    """The text of `Run.explain`."""
    if sum(x is not None for x in (container, task, obj)) > 1:
        raise ValueError("explain one thing at a time: a container, a task, or an object and page")
    if container is not None:
        told = about_container(run, index(container, run.containers, "container"), lines)
    elif task is not None:
        told = about_task(run, index(task, [t.name for t in run.trace.tasks], "task"), lines)
    elif obj is not None:
        told = about_page(run, obj, page, lines)
    else:
        told = [run.sentence(), *cut([kill_text(run, *row) for row in tables.oom(run)], lines)]
    return "\n".join([*told, *hang_text(run)])


def index(name: str, known: list[str], what: str) -> int:
    if name not in known:
        raise ValueError(f"no {what} {name!r} in the trace{did_you_mean(name, known)}")
    return known.index(name)


def cut(told: list[str], lines: int) -> list[str]:
    """The first and the last lines of too long a story."""
    if len(told) <= lines:
        return told
    half = max(1, lines // 2)
    return [*told[:half], f"... {len(told) - 2 * half:,} more ...", *told[-half:]]


def hang_text(run) -> list[str]:
    """The sentence for a machine that hangs; [] for one that goes on."""
    if not run.hung:
        return []
    k, at = run.state, run.hang
    tasks = enumerate(run.trace.tasks)
    dying = [t.name for i, t in tasks if k.task_memdie[i] and k.task_mm[i] >= 0]
    if dying:
        why = f"the dying task {dying[0]} never ends and blocks the OOM killer of every container"
    else:
        why = "no killable task is left, and the task that asks tries again for ever"
    what = tables.event_text(run, at - 1)
    return [f"The machine hangs here: event {at:,} ({what}); {why}."]


def kill_text(run, *row) -> str:
    """One row of `tables.oom` in words."""
    _, _, number, time, box, _, asked, victim, home, points, freed, helped = row
    told = f"Event {time:,} ({tables.event_text(run, time - 1)}): "
    k, j = run.state, number - 1
    if box == tables.MACHINE:
        told += "the machine had no free frame left. "
    else:
        c = run.containers.index(box)
        limit = run.limit_at(c, time - 1)
        used = amount(Fraction(int(k.kill_usage[j]), k.unit))
        of = "" if limit is None else f" of {limit:,}"
        pages = "page" if (limit or used) in (1, "1") else "pages"
        told += f"{box} was at its limit ({used}{of} {pages}). "
    seen = sorted(tables.candidates(run, number), key=lambda row: -row[3])
    if points is None:
        told += f"Nobody chose: under {run.scheme.label} whoever asks above the limit is killed. "
    elif seen:
        each = (f"{t} of {c} with {count(p, 'point')}" for _, t, c, p, _ in seen)
        told += f"Considered: {join(each)}. "
    else:
        told += "Nobody could be considered, so the task that asked had to go. "
    told += f"{victim} was killed"
    odd = []
    if seen and seen[0][1] != victim and not seen[0][3] == points == 0:
        odd.append(f"in the place of its parent {seen[0][1]} (children die first)")
    if points == 0:
        odd.append("though it had 0 points")
    if box not in (tables.MACHINE, home):
        odd.append(f"though it belongs to {home}, not to {box}")
    if victim == asked:
        odd.append("being the task that asked")
    told += (", " + ", ".join(odd) if odd else "") + f"; that freed {count(freed, 'frame')}"
    return told + ("." if helped else ": it did not help.")


def about_task(run, t: int, lines: int) -> list[str]:
    name = run.trace.tasks[t].name
    rows = list(tables.oom(run))
    told = [kill_text(run, *row) for row in rows if row[7] == name]
    if not told:
        ends = [i for i in run.trace.rows(Op.exit) if run.trace.task[i] == t]
        end = f"; it ends at event {ends[0] + 1:,}" if ends else ""
        told = [f"{name} was not killed{end}."]
        near = {row[0]: max(row[3], 0) for row in tables.candidates(run) if row[1] == name}
        if near:
            told.append(
                f"It was considered at {count(len(near), 'kill')}, with up to "
                f"{count(max(near.values()), 'point')}."
            )
    return cut(told, lines)


def about_container(run, c: int, lines: int) -> list[str]:
    """State at the end (or, when that is 0, at the busiest moment), gains and losses, kills."""
    k, name, trace = run.state, run.containers[c], run.trace
    end, peak = (Fraction(int(x), k.unit) for x in (k.usage[c], k.peak[c]))
    limit = "no limit" if k.limit[c] >= HUGE else f"its limit is {int(k.limit[c]):,}"
    now = f"{name} is charged {count(end, 'page')} at the end"
    told = [f"{now}; its peak is {amount(peak)}; {limit}."]
    if k.failcnt[c]:
        told.append(f"{count(int(k.failcnt[c]), 'charge')} found it above its limit (failcnt).")
    at = len(trace) if k.usage[c] else run.busiest(name)
    told += holdings(run, c, at)
    changes, before = [], 0
    for i, now in enumerate(run.walk()):
        step = Fraction(int(now.usage[c]) - before, k.unit)
        before = int(now.usage[c])
        if step:
            actor = trace.task[i]
            others = actor >= 0 and run.home(actor, i) != c
            changes.append((i, step, others))
    largest = sorted(sorted(changes, key=lambda x: -abs(x[1]))[: max(1, lines)])
    if changes:
        told.append(f"Its charge changed at {count(len(changes), 'event')}; the largest changes:")
    for i, step, others in largest:
        whose = f", an event of {run.containers[run.home(trace.task[i], i)]}'s" if others else ""
        sign = "+" if step > 0 else "-"
        what = tables.event_text(run, i)
        told.append(f"Event {i + 1:,} ({what}{whose}): {sign}{count(abs(step), 'page')}.")
    foreign = sum(others for *_, others in changes)
    if foreign:
        told.append(f"{count(foreign, 'change')} came by events of other containers' tasks.")
    kills = [row for row in tables.oom(run) if name in (row[4], row[8])]
    return told + cut([kill_text(run, *row) for row in kills], lines)


def holdings(run, c: int, at: int) -> Iterator[str]:
    """Which objects' pages c pays for after `at` events, and which of them it does not map."""
    name, now = run.containers[c], run.state_at(at)
    mine, strange, shared, users = Counter(), Counter(), Counter(), Counter()
    for obj, _, paying, n, mapped, _ in tables.owners(run, now):
        if name in paying.split("+"):
            mine[obj] += 1
            shared[obj] += n > 1
            if name not in mapped.split("+"):
                strange[obj] += 1
                users.update(x for x in mapped.split("+") if x)
    if not mine:
        return
    parts = []
    for obj, n in mine.most_common():
        note = [f"{amount(shared[obj])} with others"] if shared[obj] else []
        note += [f"{amount(strange[obj])} that it does not map itself"] if strange[obj] else []
        parts.append(f"{count(n, 'page')} of {obj}" + (f" ({', '.join(note)})" if note else ""))
    tail = f"; those it does not map are mapped by {join(sorted(users))}" if users else ""
    yield f"After event {at:,} it pays for {join(parts)}{tail}."


def about_page(run, obj: str, page: int, lines: int) -> list[str]:
    """The page's life: who mapped it, who paid and why, who still pays though it left."""
    k, names = run.state, run.containers
    rows = run.lives(obj, page)
    told, bill, maps = [], Counter(), Counter()
    for event in sorted({row[0] for row in rows}):
        before = Counter({c: n for c, n in bill.items() if n})
        happened, forced = [], set()
        for _, what, c, n in (row for row in rows if row[0] == event):
            bill[c] += {"charged": n, "uncharged": -n}.get(what, 0)
            maps[c] += {"mapped": 1, "unmapped": -1}.get(what, 0)
            forced |= {c} if what == "forced" else set()
            if what in ("charged", "uncharged", "paid", "returned", "forced", "killed"):
                continue
            happened.append(TOLD.get(what, "{} " + what + " it").format(names[c]))
        bill = Counter({c: n for c, n in bill.items() if n})
        verdict = settle(run, before, bill, maps, forced)
        steps = [f"{w} ({n} times)" if n > 1 else w for w, n in Counter(happened).items()]
        said = "; ".join([*steps, *verdict])
        told.append(f"Event {event + 1:,} ({tables.event_text(run, event)}): {said}.")
    if not told:
        return [f"{obj}[{page}] was never mapped, read or charged."]
    paying = [f"{names[c]} ({share(n, k.unit)})" for c, n in sorted(bill.items())]
    at = run.page_number(obj, page)
    if run.scheme.parts.placement != "any":
        paying = [f"{names[c]} (its zone holds the frame)" for c in tables.payers(run, k, at)]
    told = cut(told, lines)
    return [*told, f"At the end {obj}[{page}] is paid for by {join(paying) or 'nobody'}."]


TOLD = {
    "read in": "{} read it from disk",
    "unmapped": "a mapping of {}'s ended",
    "refused": "{} was refused the charge",
    "freed": "its frame was freed",
    "swapped out": "it was swapped out",
}


def share(units: int, unit: int) -> str:
    return count(Fraction(units, unit), "page")


def settle(run, before: Counter, bill: Counter, maps: Counter, forced: set[int]) -> list[str]:
    """What an event changed in who pays for a page, with the reason."""
    names, unit, told = run.containers, run.state.unit, []
    single = run.scheme.parts.record in ("page", "counted")
    for c in sorted({*before, *bill}):
        old, new = before[c], bill[c]
        if new > old == 0:
            why = " because nobody owned it (first touch)" if single else " as the only one so far"
            told.append(f"{names[c]} pays {share(new, unit)}{'' if before else why}")
        elif new > old:
            told.append(f"{names[c]} pays {share(new, unit)} now, before {share(old, unit)}")
        elif old > new > 0:
            told.append(f"{names[c]} pays only {share(new, unit)} now, before {share(old, unit)}")
        elif old > new:
            told.append(f"{names[c]} no longer pays")
        elif single and maps[c] > 0:
            told.append(f"{names[c]} already pays")
        elif single:
            left = join(names[o] for o in sorted(maps) if maps[o] > 0)
            left = f"only {left}" if left else "nobody"
            told.append(f"{names[c]} still pays, though {left} maps it")
    told += [f"that put {names[c]} above its limit" for c in sorted(forced)]
    return told
