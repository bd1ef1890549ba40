"""Predict, then reveal: questions without end, the same for the same seed on every machine.

    questions = lab.quiz(seed=7)
    questions[1]                  # shows the first question, with fields where widgets can be had
    questions[1].check("1/2")     # right or not, and why

A question draws a small story, replays it under a scheme, and asks for what came out; the answer
and the reasons are the engine's, never written down beforehand. Nothing here knows a scheme's rule.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from dataclasses import dataclass
from fractions import Fraction
from html import escape
from random import Random

from workbench import schemes
from workbench.kernel import Machine, did_you_mean
from workbench.results import Run, explain, replay, tables
from workbench.results.units import amount, count
from workbench.trace import TraceBuilder

KINDS = {  # kind -> what it asks
    "bill": "how much is one container charged?",
    "scheme": "which scheme wrote these bills?",
    "balance": "do the charges add up to the frames mapped?",
    "refused": "who is refused first?",
    "killed": "who is killed?",
}
SCHEMES = ("first_touch", "hand_over", "fraction", "every_container", "every_mapping")
STYLE = "<style>.wb-quiz .widget-html-content{line-height:1.45}</style>"
TRIES = 400  # stories drawn before a question is given up


@dataclass(frozen=True)
class Verdict:
    """Whether an answer was right, what is right, and why."""

    right: bool
    given: str
    answer: str
    why: tuple[str, ...]

    def __bool__(self) -> bool:
        return self.right

    def __str__(self) -> str:
        head = (f"Right: {self.answer}." if self.right
                else f"Not so: the answer is {self.answer}, you said {self.given}.")
        return "\n".join([head, *self.why])

    __repr__ = __str__


@dataclass(frozen=True)
class Question:
    """One question about a story; `check(answer)` reveals.

    choices: what may be answered; () where the answer is a number of pages.
    """

    number: int
    kind: str
    story: tuple[str, ...]
    asked: str
    choices: tuple[str, ...]
    answer: str
    why: tuple[str, ...]

    def check(self, given: object) -> Verdict:
        """Compare an answer. Raises ValueError for one that is none of the choices, no number."""
        said = str(given).strip()
        if self.choices:
            if said not in self.choices:
                known = ", ".join(self.choices)
                hint = did_you_mean(said, self.choices)
                raise ValueError(f"{said!r} is not one of {known}{hint}")
            return Verdict(said == self.answer, said, self.answer, self.why)
        try:
            number = Fraction(said)
        except (ValueError, ZeroDivisionError):
            raise ValueError(f"{said!r} is not a number of pages: write 2, 1/2 or 0.5") from None
        near = abs(number - Fraction(self.answer)) <= Fraction(1, 200)
        return Verdict(near, said, self.answer, self.why)

    def __str__(self) -> str:
        steps = [f"  {step}" for step in self.story]
        offered = [f"  ( ) {choice}" for choice in self.choices] or ["  ____ pages"]
        return "\n".join([f"Question {self.number}", *steps, self.asked, *offered])

    __repr__ = __str__

    def _repr_mimebundle_(self, **options):
        """Fields and a button; with WORKBENCH_LAB=static the question in words."""
        if os.environ.get("WORKBENCH_LAB") == "static":
            return {"text/plain": str(self)}
        return form(self)._repr_mimebundle_(**options)


class Quiz:
    """Questions 1, 2, 3 ... without end; `quiz[n]` is always the same one for a seed."""

    def __init__(self, seed: int, kinds: tuple[str, ...], chosen: tuple[str, ...]):
        self.seed, self.kinds, self.schemes = seed, kinds, chosen

    def __getitem__(self, number: int) -> Question:
        """Question `number`, from 1. Cost: a few replays of a dozen events."""
        if number < 1:
            raise IndexError(f"question {number}: they are numbered from 1")
        random = Random(f"workbench quiz {self.seed} {number}")
        kind = self.kinds[(number - 1) % len(self.kinds)]
        for _ in range(TRIES):
            if found := MAKERS[kind](random, self.schemes):
                return Question(number, kind, *found)
        raise ValueError(f"quiz: no question of kind {kind} about {', '.join(self.schemes)}")

    def __iter__(self) -> Iterator[Question]:
        number = 0
        while True:
            yield self[number := number + 1]

    def __repr__(self) -> str:
        return f"<Quiz seed={self.seed}: {', '.join(self.kinds)}>"

    def _repr_mimebundle_(self, **options):
        if os.environ.get("WORKBENCH_LAB") == "static":
            return {"text/plain": str(self[1])}
        return form(self[1], self)._repr_mimebundle_(**options)


def quiz(seed: int = 1, kinds: str | tuple[str, ...] | None = None,
         chosen: tuple[str, ...] = SCHEMES) -> Quiz:
    """Questions of some kinds (`KINDS`, None: all in turn) about some schemes.

    Raises ValueError for an unknown kind or scheme, with the nearest known one.
    """
    kinds = (kinds,) if isinstance(kinds, str) else tuple(kinds or KINDS)
    for kind in kinds:
        if kind not in KINDS:
            raise ValueError(f"quiz: unknown kind {kind!r}{did_you_mean(kind, KINDS)}")
    return Quiz(seed, kinds, tuple(schemes.get(name).label for name in chosen))


# -- stories -------------------------------------------------------------------------------------


def sharing(random: Random) -> TraceBuilder:
    """Two or three containers map a library, then some leave, fork or move."""
    b, boxes = TraceBuilder(), list("ABC"[: random.choice((2, 2, 3))])
    b.file("libc", random.choice((1, 2, 4, 12)), "/lib/libc.so.6")
    for box in boxes:
        b.task(box.lower(), b.container(box))
    order = random.sample(boxes, len(boxes))
    for box in order:
        b.touch_read(box.lower(), "libc")
    here = [box.lower() for box in boxes]
    for _ in range(random.choice((1, 1, 2))):
        task = random.choice(here)
        what = random.choice(("unmap", "exit", "fork", "move"))
        if what == "fork":
            child = b.fork(task, f"{task}{len(here)}")
            b.touch_read(child, "libc")
            here.append(child)
        elif what == "move":
            b.move(task, random.choice(boxes))
        else:
            getattr(b, what)(*(task, "libc")[: 1 + (what == "unmap")])
            here.remove(task)
        if not here:
            break
    return b


def pressing(random: Random) -> TraceBuilder:
    """Containers with limits: a shared library, and heaps that grow until a limit is met."""
    b, size = TraceBuilder(), random.choice((20, 40))
    b.file("libc", size, "/lib/libc.so.6")
    tasks = []
    for box in "AB":
        b.container(box, size + random.choice((10, 20, 30)))
        for i in range(random.choice((1, 2)) if box == "A" else 1):
            task = b.task(f"{box.lower()}{i + 1}", box)
            b.anon(f"heap {task}", 60)
            tasks.append(task)
    for task in random.sample(tasks, len(tasks)):
        if random.random() < 0.8:
            b.touch_read(task, "libc")
            if random.random() < 0.5:
                b.mlock(task, "libc")
        b.touch_write(task, f"heap {task}", 0, random.choice((5, 10, 20)))
    for _ in range(random.choice((1, 2))):
        task = random.choice(tasks)
        b.touch_write(task, f"heap {task}", 0, random.choice((30, 45, 60)))
    return b


def run_of(b: TraceBuilder, scheme: str) -> Run:
    """Replayed on a small machine without swap, reclaiming four pages at a time."""
    return replay(b.build(), scheme, engine="interpreted", machine=Machine(frames=1024, swap=0),
                  cluster=4)


def told(run: Run) -> tuple[str, ...]:
    """The containers with their limits, then every event in words."""
    boxes = [c for c in run.trace.containers if c.name != "root"]
    limits = [f"{c.name} has a limit of {count(c.limit, 'page')}"
              for c in boxes if c.limit is not None]
    first = [f"{explain.join(limits)}; there is no swap"] if limits else []
    files = [o for o in run.trace.objects if o.kind == "file"]
    sizes = [f"{o.name} has {count(o.pages, 'page')}" for o in files]
    homes: dict[str, list[str]] = {}
    said = [tables.event_text(run, i) for i in range(len(run.trace))]
    born = {text.split()[-1] for text in said if " fork " in text}
    for task in run.trace.tasks:
        if task.name not in born:
            homes.setdefault(task.container, []).append(task.name)
    where = [f"{explain.join(names)} in {box}" for box, names in homes.items()]
    events = [f"event {i}: {text}" for i, text in enumerate(said, 1) if " map " not in text]
    return ("; ".join([*sizes, f"tasks: {explain.join(where)}"]), *first, *events)


def names_of(run: Run) -> list[str]:
    return [name for name in run.containers if name != "root"]


def page_reasons(run: Run) -> tuple[str, ...]:
    return tuple(explain.about_page(run, "libc", 0, 1 << 30))


# -- kinds: each returns (story, question, choices, answer, why), or None for a dull draw ---------


def ask_bill(random: Random, chosen: tuple[str, ...]):
    b, scheme = sharing(random), random.choice(chosen)
    run = run_of(b, scheme)
    bills, rss = run.usage_exact(), dict(zip(run.containers, run.truth()[0], strict=True))
    surprising = [c for c in names_of(run) if bills[c] != rss[c]]
    if not surprising and random.random() < 0.8:
        return None
    box = random.choice(surprising or names_of(run))
    asked = f"Under {scheme}, how many pages is {box} charged now?"
    return told(run), asked, (), str(bills[box]), page_reasons(run)


def ask_scheme(random: Random, chosen: tuple[str, ...]):
    if len(chosen) < 2:
        return None
    b = sharing(random)
    runs = {scheme: run_of(b, scheme) for scheme in chosen}
    bills = {scheme: tuple(run.usage_exact().values()) for scheme, run in runs.items()}
    unlike = [s for s in chosen if list(bills.values()).count(bills[s]) == 1]
    if not unlike:
        return None
    answer = random.choice(unlike)
    run = runs[answer]
    shown = explain.join(f"{c} {amount(u)}" for c, u in run.usage_exact().items() if c != "root")
    asked = f"The bills are now, in pages: {shown}. Which scheme wrote them?"
    return told(run), asked, tuple(chosen), answer, page_reasons(run)


def ask_balance(random: Random, chosen: tuple[str, ...]):
    b, scheme = sharing(random), random.choice(chosen)
    run = run_of(b, scheme)
    charged, frames = sum(run.usage_exact().values()), int(run.state.mapped_pages)
    if not frames:
        return None
    choices = ("more", "as many", "fewer")
    answer = choices[1 + (charged < frames) - (charged > frames)]
    if answer == "as many" and random.random() < 0.6:
        return None
    asked = f"Under {scheme}: are more, as many or fewer pages charged than frames are mapped?"
    both = f"{count(charged, 'page')} charged, {count(frames, 'frame')} mapped."
    return told(run), asked, choices, answer, (both, *page_reasons(run))


def ask_refused(random: Random, chosen: tuple[str, ...]):
    b, scheme = pressing(random), random.choice(chosen)
    run = run_of(b, scheme)
    answer, why = "nobody", ("No charge ever met a limit.",)
    for i, k in enumerate(run.walk()):
        hit = [c for c in range(k.containers) if k.failcnt[c]]
        if len(hit) > 1:
            return None
        if hit:
            answer = run.containers[hit[0]]
            text = tables.event_text(run, i)
            why = (f"Event {i + 1} ({text}): {answer}, with a limit of "
                   f"{count(run.limit_at(hit[0], i), 'page')}, is refused "
                   f"{count(int(k.failcnt[hit[0]]), 'time')}.", run.sentence())
            break
    if answer == "nobody" and random.random() < 0.8:
        return None
    asked = f"Under {scheme}, which container is refused a charge first?"
    return told(run), asked, (*names_of(run), "nobody"), answer, why


def ask_killed(random: Random, chosen: tuple[str, ...]):
    b, scheme = pressing(random), random.choice(chosen)
    run = run_of(b, scheme)
    if run.hung:
        return None
    kills = list(tables.oom(run))
    if not kills and random.random() < 0.85:
        return None
    answer = kills[0][7] if kills else "nobody"
    asked = f"Under {scheme}, which task is killed first?"
    choices = (*(task.name for task in run.trace.tasks), "nobody")
    why = explain.kill_text(run, *kills[0]) if kills else run.sentence()
    return told(run), asked, choices, answer, (why,)


MAKERS = {"bill": ask_bill, "scheme": ask_scheme, "balance": ask_balance, "refused": ask_refused,
          "killed": ask_killed}


# -- the form ------------------------------------------------------------------------------------


def form(question: Question, more: Quiz | None = None):
    """A question as widgets: choices or a number, a button, the verdict, the next question."""
    import ipywidgets as w

    wide = w.Layout(width="auto")
    text, reply = w.HTML(), w.HTML()
    said = w.Text(description="Answer", placeholder="pages: 2, 1/2", continuous_update=False)
    offered = w.ToggleButtons(description="Answer")
    check = w.Button(description="Check", layout=wide)
    following = w.Button(description="Another question", layout=wide)
    tally, now = {"asked": 0, "right": 0}, [question]

    def show() -> None:
        steps = "".join(f"<li>{escape(step, False)}</li>" for step in now[0].story)
        text.value = (f"{STYLE}<b>Question {now[0].number}</b><ul>{steps}</ul>"
                      f"<p>{escape(now[0].asked, False)}</p>")
        if now[0].choices:
            offered.options, offered.value = now[0].choices, None
        said.value, reply.value = "", ""
        box.children = [text, offered if now[0].choices else said, buttons, reply]

    def answer(_) -> None:
        given = offered.value if now[0].choices else said.value
        try:
            if given is None or not str(given).strip():
                raise ValueError("Answer first, then check.")
            verdict = now[0].check(given)
        except ValueError as problem:
            reply.value = f"<p role='alert'>{escape(str(problem), False)}</p>"
            return
        tally["asked"] += 1
        tally["right"] += verdict.right
        lines = str(verdict).splitlines()
        why = "".join(f"<li>{escape(line, False)}</li>" for line in lines[1:])
        reply.value = (f"<p role='status'><b>{escape(lines[0], False)}</b> "
                       f"({tally['right']} of {tally['asked']} right)</p><ul>{why}</ul>")

    def go_on(_) -> None:
        now[0] = more[now[0].number + 1]
        show()

    check.on_click(answer)
    following.on_click(go_on)
    buttons = w.HBox([check, following] if more else [check])
    box = w.VBox()
    box.add_class("wb-quiz")
    show()
    return box
