"""Every order in which two or three actors can take their steps: a proof, or the shortest story.

States are hashed; the search goes breadth first, so the first violation has the fewest steps. What
an actor knows is what its steps have given it since its call began, so a state is: cells, results
per actor, pages held, and what the specification still allows.

The specification is a counter whose calls happen whole, at some instant between their first and
last step (linearizability: Herlihy and Wing 1990). All orders that fit what has been seen so far
are carried along as a set; when a call returns what none of them allows, the form is refuted.
A property loosens the specification on one side: `limit` lets any charge fail, `fits` lets any
charge succeed.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from functools import lru_cache
from typing import Any, NamedTuple

from .forms import FORMS, Form
from .properties import LEAVE, PROPERTIES, Call, Case, Property
from .steps import BLOCKED, Step, apply

Maker = Callable[..., Form]


class Row(NamedTuple):
    """One step of a story."""

    actor: str
    call: str
    step: str
    gives: str
    cells: dict[str, int]


@dataclass
class Verdict:
    form: str
    property: str
    states: int  # looked at in all cases; of a refutation: until it was found
    case: Case | None = None
    story: list[Row] = field(default_factory=list)
    reason: str = ""

    @property
    def proved(self) -> bool:
        return self.case is None


# ---- the specification ---------------------------------------------------------------------------

PENDING = "pending"


class Spec(NamedTuple):
    """One order of whole calls that fits what was seen: its counter, and who has had their turn."""

    usage: tuple[int, ...]  # per container
    limit: int
    failcnt: int
    calls: tuple[Any, ...]  # per actor: None, PENDING, or (result,) of a call that took place


def happens(spec: Spec, actor: int, box: int, call: Call, rule: Property) -> Iterator[Spec]:
    """What may be so once the pending call of `actor` has taken place."""
    verb, v = call

    def after(result: Any, usage: int = 0, failcnt: int = 0, limit: int | None = None) -> Spec:
        return Spec(
            tuple(n + usage * (i == box) for i, n in enumerate(spec.usage)),
            spec.limit if limit is None else limit,
            spec.failcnt + failcnt * rule.watched,
            tuple((result,) if i == actor else c for i, c in enumerate(spec.calls)),
        )

    if verb == "charge":
        fits = spec.usage[box] + v <= spec.limit
        if fits or rule.may_exceed:
            yield after(True, usage=v)
        if not fits or rule.may_refuse:
            yield after(False, failcnt=1)
    elif verb == "uncharge":
        yield after(None, usage=-v)
    elif verb == "set_limit":
        yield after(None, limit=v)
    else:
        yield after(None)


@lru_cache(maxsize=200_000)
def closed(
    specs: frozenset[Spec], calls: tuple[Call, ...], boxes: tuple[int, ...], rule: Property
) -> frozenset[Spec]:
    """The orders, and all that they can become while no call begins or returns."""
    found, todo = set(specs), list(specs)
    while todo:
        spec = todo.pop()
        for actor, status in enumerate(spec.calls):
            if status == PENDING:
                for new in happens(spec, actor, boxes[actor], calls[actor], rule):
                    if new not in found:
                        found.add(new)
                        todo.append(new)
    return frozenset(found)


# ---- the search ----------------------------------------------------------------------------------


class State(NamedTuple):
    cells: tuple[int, ...]
    actors: tuple[tuple[int, tuple], ...]  # index of the call, results of its steps so far
    held: tuple[int, ...]  # pages, per actor
    refused: int
    running: int  # the actor that has the CPU and keeps it; -1: anybody may go on
    specs: frozenset[Spec]


class Explorer:
    """One form in one case under one property.

    `switch` says where another actor may come between: "anywhere" (several CPUs, or one with a
    preemptible kernel), "sleeping" (one CPU, not preempted, but obtaining a page may sleep), or
    "calls" (one CPU, nothing sleeps).
    """

    SWITCH = ("anywhere", "sleeping", "calls")

    def __init__(self, make: Maker, case: Case, rule: Property, switch: str = "anywhere"):
        if switch not in self.SWITCH:
            raise ValueError(f"switch={switch!r}: one of {', '.join(self.SWITCH)}")
        self.form = make(actors=len(case.programs))
        self.case, self.rule, self.switch = case, rule, switch
        self.programs = [
            [call for call in program if getattr(self.form, call[0])] for program in case.programs
        ]
        self.boxes = tuple(self.form.box(i) for i in range(len(case.programs)))
        self.names = list(self.form.cells(case.limit))
        self.known: dict[tuple, tuple[bool, Any]] = {}

    def next(self, actor: int, call: Call, results: tuple) -> tuple[bool, Any]:
        """(False, the next step) or (True, what the call returns) after these results."""
        key = (actor, call, results)
        if key not in self.known:
            verb, v = call
            steps = getattr(self.form, verb)(*((actor, v) if v or verb != "leave" else (actor,)))
            try:
                step = next(steps)
                for result in results:
                    step = steps.send(result)
                self.known[key] = (False, step)
            except StopIteration as end:
                self.known[key] = (True, end.value)
        return self.known[key]

    def call(self, state: State, actor: int) -> Call | None:
        """The call that an actor is in or begins next."""
        index = state.actors[actor][0]
        return self.programs[actor][index] if index < len(self.programs[actor]) else None

    def settle(self, actors: list, held: list) -> None:
        """Pass over uncharges of what was never granted."""
        for i, (index, results) in enumerate(actors):
            program = self.programs[i]
            while (not results and index < len(program) and program[index][0] == "uncharge"
                   and program[index][1] > held[i]):
                index += 1
            actors[i] = (index, results)

    def start(self) -> State | None:
        """The state after what comes before; None where that is refused."""
        cells = self.form.cells(self.case.limit)
        held = [0] * len(self.programs)
        for actor, call in self.case.before:
            results: tuple = ()
            while not (end := self.next(actor, call, results))[0]:
                results += (apply(end[1], cells),)
            if call[0] == "charge" and not end[1]:
                return None
            held[actor] += call[1] * (1 if end[1] else -1 if call[0] == "uncharge" else 0)
        actors = [(0, ())] * len(self.programs)
        self.settle(actors, held)
        usage = tuple(
            sum(n for n, b in zip(held, self.boxes, strict=True) if b == box)
            for box in range(max(self.boxes) + 1)
        )
        spec = Spec(usage, self.case.limit, cells["failcnt"], (None,) * len(self.programs))
        return State(tuple(cells.values()), tuple(actors), tuple(held), cells["failcnt"], -1,
                     frozenset([spec]))

    def step(self, state: State, actor: int) -> tuple[State, Row, str] | None:
        """The state after the actor's next step, the step, and what is wrong with it; or None."""
        call = self.call(state, actor)
        if call is None or state.running not in (-1, actor):
            return None
        index, results = state.actors[actor]
        step: Step = self.next(actor, call, results)[1]
        cells = dict(zip(self.names, state.cells, strict=True))
        result = apply(step, cells)
        if result is BLOCKED:
            return None
        specs, held, refused = state.specs, list(state.held), state.refused
        if not results:
            held[actor] -= call[1] * (call[0] == "uncharge")
            specs = frozenset(s._replace(calls=put(s.calls, actor, PENDING)) for s in specs)
        ended, value = self.next(actor, call, (*results, result))
        judged = not self.rule.rest
        if judged:
            calls = tuple(self.call(state, i) or LEAVE for i in range(len(state.actors)))
            specs = closed(specs, calls, self.boxes, self.rule)
        wrong = ""
        if ended:
            index, results = index + 1, ()
            if call[0] == "charge":
                held[actor] += call[1] * bool(value)
                refused += not value
            specs = frozenset(
                s._replace(calls=put(s.calls, actor, None))
                for s in specs if not judged or s.calls[actor] == (value,)
            )
            if not specs:
                wrong = self.accuse(actor, call, value, held, cells)
        else:
            results = (*results, result)
        if not wrong and self.rule.watched and not cells.get("lock"):
            shown = tuple(self.form.shown(cells, b) for b in range(max(self.boxes) + 1))
            specs = frozenset(s for s in specs if (s.usage, s.failcnt) == (shown, cells["failcnt"]))
            if not specs:
                wrong = (f"usage {' and '.join(map(str, shown))} with failcnt {cells['failcnt']}: "
                         "no order of whole calls shows that now")
        actors = list(state.actors)
        actors[actor] = (index, results)
        self.settle(actors, held)
        stays = {"anywhere": False, "sleeping": not ended and step.kind != "sleep",
                 "calls": not ended}[self.switch]
        new = State(tuple(cells.values()), tuple(actors), tuple(held), refused,
                    actor if stays else -1, specs)
        gives = "" if result is None else str(result)
        if ended:
            words = {"charge": "granted" if value else "refused", "leave": "ended"}
            gives += ("; " if gives else "") + words.get(call[0], "done")
        row = Row(letter(actor), " ".join(map(str, call if call[1] or call[0] != "leave"
                                              else call[:1])), str(step), gives, cells)
        return new, row, wrong or self.unrest(new, cells)

    def accuse(self, actor: int, call: Call, value: Any, held: list[int], cells: dict) -> str:
        box = self.boxes[actor]
        sum_held = sum(n for n, b in zip(held, self.boxes, strict=True) if b == box)
        if self.rule.watched:
            return (f"the {'grant' if value else 'refusal'} of {letter(actor)} shows too late: "
                    f"{sum_held} held, limit {cells['limit']}")
        if value:
            return (f"{letter(actor)} is granted {call[1]}: {sum_held} held, limit "
                    f"{cells['limit']}; at no instant of the call did it fit")
        return (f"{letter(actor)} is refused {call[1]}: {sum_held} held, limit {cells['limit']}; "
                "at every instant of the call it would have fitted")

    def unrest(self, state: State, cells: dict[str, int]) -> str:
        """What is wrong while no call is under way."""
        rule = self.rule.rest
        if not rule or any(results for _, results in state.actors):
            return ""
        if rule == "failcnt":
            if cells["failcnt"] != state.refused:
                return f"failcnt {cells['failcnt']} after {state.refused} refusals"
            return ""
        boxes = range(max(self.boxes) + 1)
        held = [sum(n for n, b in zip(state.held, self.boxes, strict=True) if b == box)
                for box in boxes]
        if rule == "drift":
            total = sum(self.form.precise(cells, box) for box in boxes)
            return f"{total} counted in all, {sum(held)} held" if total != sum(held) else ""
        for box in boxes:
            if (shown := self.form.shown(cells, box)) != held[box]:
                whose = f" by {letter(box)}" if len(boxes) > 1 else ""
                return f"usage shows {shown}, {held[box]} held{whose}"
        return ""

    def run(self) -> tuple[int, list[Row], str]:
        """(states seen, shortest story or nothing, what is wrong at its end)."""
        first = self.start()
        if first is None:
            return 0, [], ""
        came: dict[State, tuple[State, Row] | None] = {first: None}
        level = [first]
        while level:
            below = []
            for state in level:
                moved = False
                for actor in range(len(state.actors)):
                    done = self.step(state, actor)
                    if done is None:
                        continue
                    moved = True
                    new, row, wrong = done
                    if wrong:
                        return len(came), [*story(came, state), row], wrong
                    if new not in came:
                        came[new] = (state, row)
                        below.append(new)
                if not moved and any(self.call(state, i) for i in range(len(state.actors))):
                    return len(came), story(came, state), "nobody can go on"
            level = below
        return len(came), [], ""


def put(values: tuple, index: int, value: Any) -> tuple:
    return (*values[:index], value, *values[index + 1 :])


def letter(actor: int) -> str:
    return "ABCDEFGH"[actor]


def story(came: dict, state: State) -> list[Row]:
    rows = []
    while came[state]:
        state, row = came[state]
        rows.append(row)
    return rows[::-1]


# ---- verdicts ------------------------------------------------------------------------------------


def judge(
    form: str | Maker, name: str, switch: str = "anywhere", cases: Iterable[Case] | None = None
) -> Verdict:
    """Prove or refute one property of one form in all its cases.

    `form` is a name of `FORMS` or anything that makes a `Form` from `actors=n`. Raises ValueError
    for unknown names. A proof covers these cases, no others. Cost: milliseconds to a second.
    """
    if isinstance(form, str) and form not in FORMS:
        raise ValueError(f"unknown form {form!r}: one of {', '.join(FORMS)}")
    if name not in PROPERTIES:
        raise ValueError(f"unknown property {name!r}: one of {', '.join(PROPERTIES)}")
    rule = PROPERTIES[name]
    make = FORMS[form] if isinstance(form, str) else form
    verdict = Verdict(form if isinstance(form, str) else "own form", name, 0)
    for case in rule.cases if cases is None else cases:
        states, rows, wrong = Explorer(make, case, rule._replace(cases=()), switch).run()
        verdict.states += states
        if wrong and (verdict.proved or len(rows) < len(verdict.story)):
            verdict.case, verdict.story, verdict.reason = case, rows, wrong
    return verdict


def narrate(verdict: Verdict) -> list[str]:
    """A refutation as lines of text: what came before, each step with the cells after it, the end.

    Raises ValueError for a proof, which has no story.
    """
    if verdict.case is None:
        raise ValueError(f"{verdict.property} is proved for {verdict.form}: there is no story")
    case = verdict.case
    lines = [f"{case.title}; limit {case.limit}"]
    lines += [f"before: {letter(i)} {verb} {v}" for i, (verb, v) in case.before]
    rows = [
        (str(i), row.actor, row.call, row.step, row.gives or "-",
         " ".join(f"{cell}={value}" for cell, value in row.cells.items()))
        for i, row in enumerate(verdict.story, 1)
    ]
    rows.insert(0, ("", "who", "call", "step", "gives", "cells after it"))
    widths = [max(len(row[i]) for row in rows) for i in range(len(rows[0]))]
    lines += ["  ".join(w.ljust(n) for w, n in zip(row, widths, strict=True)).rstrip()
              for row in rows]
    return [*lines, verdict.reason]
