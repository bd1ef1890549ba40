"""The explorer's sentences: what the picture shows at a moment, and why two schemes disagree."""

from __future__ import annotations

from fractions import Fraction

from workbench.results import explain
from workbench.results.units import amount, count

from .history import Film, History, Moment


def moment_text(film: Film, moments: list[Moment]) -> str:
    """What is so at a moment under every scheme: caption and alt text of the picture."""
    at = moments[0].at
    names = explain.join(h.label for h in film.histories)
    head = f"{film.story.name} under {names}, after event {at:,} of {film.events:,}"
    head += f" ({film.event_text(at)})" if at else ""
    return ". ".join([head, *(told(film, h, m) for h, m in zip(film.histories, moments,
                                                               strict=True))]) + "."


def told(film: Film, history: History, moment: Moment) -> str:
    """One scheme's books in one clause."""
    each = [f"{film.containers[c]} {amount(moment.usage[c])}"
            + (f" of {moment.limit[c]:,}" if moment.limit[c] is not None else "")
            + (f" ({count(moment.failcnt[c], 'refusal')})" if moment.failcnt[c] else "")
            for c in film.shown]
    said = f"{history.label}: charged {explain.join(each)} pages; {balance_text(moment)}"
    if moment.kills:
        said += f"; {count(moment.kills, 'task')} killed so far"
    hang = history.run.hang
    return said + (f"; the machine hangs at event {hang:,}" if hang and hang <= moment.at else "")


def balance_text(moment: Moment) -> str:
    """The charges against the frames they stand for."""
    charged, frames = moment.charged, moment.frames
    both = f"{count(charged, 'page')} charged, {count(frames, 'frame')} {moment.frames_are}"
    if charged == frames:
        return f"{both}: balanced"
    if not charged:
        return f"{both}: nobody pays"
    if not frames:
        return f"{both}: paid for and gone"
    if charged > frames:
        return f"{both}: each frame is counted {times(charged / frames)} on average"
    return f"{both}: {count(frames - charged, 'frame')} unpaid"


def times(ratio: Fraction) -> str:
    return "twice" if ratio == 2 else f"{amount(ratio)} times"


# -- why two schemes differ --------------------------------------------------------------------


def difference_text(film: Film, at: int, kind: str) -> str:
    """Why the schemes differ after event `at` (from 1), in a sentence for each of them."""
    head = f"Event {at:,} ({film.event_text(at)}): the schemes disagree about "
    head += {"charges": "who is charged", "refusals": "refusals", "kills": "who is killed"}[kind]
    reason = {"charges": charge_reason, "refusals": refusal_reason, "kills": kill_reason}[kind]
    lines: dict[str, list[str]] = {}
    for h in film.histories:
        lines.setdefault(reason(film, h, at), []).append(h.label)
    return head + ". " + " ".join(f"{explain.join(who)}: {why}." for why, who in lines.items())


def changes(film: Film, history: History, at: int) -> list[str]:
    """What an event changed in everybody's bill: `A +1`, `B -1/2`."""
    before, after = history.moment(at - 1).usage, history.moment(at).usage
    steps = [(name, new - old) for name, old, new in zip(film.containers, before, after,
                                                         strict=True)]
    return [f"{name} {'+' if step > 0 else '-'}{amount(abs(step))}" for name, step in steps if step]


def charge_reason(film: Film, history: History, at: int) -> str:
    """The change in the bills, and what the log of one page says of that event."""
    changed = explain.join(changes(film, history, at)) or "no bill changes"
    found = witness(film, at)
    if found is None:
        return changed
    obj, page = found
    marker = f"Event {at:,} ("
    story = explain.about_page(history.run, obj, page, 1 << 30)
    line = next((line for line in story if line.startswith(marker)), "")
    why = line.partition("): ")[2].rstrip(".")
    return f"{changed} ({obj}[{page}]: {why})" if why else changed


def witness(film: Film, at: int) -> tuple[str, int] | None:
    """A page in whose payers the schemes differ by event `at`: one it names, or one of the map."""
    named = film.pages_of_event(at)
    if named is not None:
        return named[:2]
    for row in film.rows:
        for h in film.histories:
            if h.paying(at - 1, row.number) != h.paying(at, row.number):
                return row.obj, row.page
    return None


def refusal_reason(film: Film, history: History, at: int) -> str:
    before, after = history.moment(at - 1), history.moment(at)
    found = []
    for c, name in enumerate(film.containers):
        if more := after.failcnt[c] - before.failcnt[c]:
            limit = after.limit[c]
            of = f" of {limit:,}" if limit is not None else ""
            found.append(f"{name}, charged {amount(before.usage[c])}{of} before, is refused "
                         f"{count(more, 'time')}")
    return explain.join(found) or "nobody is refused"


def kill_reason(film: Film, history: History, at: int) -> str:
    found = [explain.kill_text(history.run, *row).partition("): ")[2].rstrip(".")
             for row in history.kills if row[3] == at]
    return " ".join(found) or "nobody is killed"


# -- one page ----------------------------------------------------------------------------------


def page_story(history: History, obj: str, page: int, lines: int = 14) -> list[str]:
    """The life of a page under one scheme, a line per event. Cost: one replay.

    Raises ValueError for a page that is not there, with the nearest known object.
    """
    return explain.about_page(history.run, obj, page, lines)
