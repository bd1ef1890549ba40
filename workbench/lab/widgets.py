"""The explorer: one widget app around the picture of `drawing.view`.

Callbacks only write down what is wanted; one worker thread per explorer makes it so, the newest
wish first, and sends the picture to an `ipywidgets.HTML`. Nothing here prints or uses pyplot or
Output. Where there are no threads (a kernel inside a web page) the wish is granted at once.
"""

from __future__ import annotations

import functools
import os
import sys
import threading
import time
from collections.abc import Callable, Iterable
from html import escape
from pathlib import Path

import ipywidgets as w

from workbench import scenarios
from workbench.results import Comparison
from workbench.results.units import count
from workbench.results.units import pages as pages_of_size

from . import words
from .controls import GROUPS, NOBODY, Controls, pages_label, scheme_labels
from .drawing import view
from .experiment import Experiment, experiment
from .history import Film, Stopped, differences, film

PATIENCE = 0.25  # seconds before progress is shown, and before a newer wish interrupts
FRAME = 0.08  # seconds between two pictures while playing
IDLE = 60  # seconds without a wish after which the worker ends


class Explorer(Controls):
    """Choose scenario, schemes and limits; see who pays; move through time.

    Use `lab.explorer(...)` to make one. `wait()` returns when all that was asked has been shown;
    then `film`, `sentence`, `note` and `line` tell in Python what the browser shows.
    """

    def __init__(self, wanted: Experiment, engine: str = "auto"):
        for name in wanted.hide:
            if name not in GROUPS:
                raise ValueError(f"hide={name!r}: one of {', '.join(GROUPS)}")
        self.engine, self.wanted, self.film, self.busy = engine, wanted, None, 0
        self.problem = ""
        self._lock = threading.RLock()
        self._wish = threading.Condition(self._lock)
        self._asked = self._done = 0
        self._quiet = False
        self._token: dict[str, bool] = {"stop": False}
        self._thread: threading.Thread | None = None
        self._chores: list[Callable[[], None]] = []
        super().__init__(wanted, self._safely(self._on_parameters), self._safely(self._on_limit))
        self._listen()
        self._ask()

    def _listen(self) -> None:
        self.scenario.observe(self._safely(self._on_scenario), "value")
        for choice in self.schemes:
            choice.observe(self._safely(self._on_schemes), "value")
        self.slider.observe(self._safely(lambda c: self._move(c["new"])), "value")
        self.at.observe(self._safely(lambda c: self._move(c["new"])), "value")
        self.page.observe(self._safely(self._on_page), "value")
        self.line.observe(self._safely(self._on_line), "value")
        self.play.observe(self._safely(self._on_play), "value")
        for pressed, action in (
            (self.back, lambda: self._move(self.at.value - 1)),
            (self.step, lambda: self._move(self.at.value + 1)),
            (self.jump, lambda: self._chore(lambda: self._find(0))),
            (self.next, lambda: self._chore(lambda: self._find(self.at.value))),
            (self.cancel, self._give_up),
            (self.save, lambda: self._chore(self._save)),
        ):
            pressed.on_click(self._safely(lambda _, action=action: action()))

    # -- callbacks: write down what is wanted --------------------------------------------------

    def _safely(self, action: Callable) -> Callable:
        """A callback that shows its mistakes, and that our own changes do not set off."""

        @functools.wraps(action)
        def heard(*given):
            if self._quiet:
                return
            try:
                action(*given)
            except Exception as problem:
                self._tell(problem)

        return heard

    def _want(self, **changes) -> None:
        with self._lock:
            self.wanted = self.wanted.but(**changes)
        self._ask()

    def _on_scenario(self, change) -> None:
        self.play.value = False
        with self._lock:
            self.wanted = Experiment(change["new"], self.wanted.schemes, hide=self.wanted.hide)
            self.limit_fields, self.place_fields = {}, {}
        self.show_story(self.wanted)
        self._ask()

    def _on_schemes(self, change) -> None:
        chosen = tuple(c.value for c in self.schemes if c.value != NOBODY)
        self._want(schemes=chosen)

    def _on_parameters(self, change) -> None:
        known = scenarios.parameters(self.wanted.scenario)
        found: dict[str, object] = {}
        for name, control in self.parameter_fields.items():
            value = control.value
            if isinstance(control, w.Text):
                value = number_of(name, value) if value.strip() else None
            if value != known[name].default:
                found[name] = value
        if "nodes" in known and self.node_count.value != known["nodes"].default:
            found["nodes"] = self.node_count.value
            if self.place_fields:
                found["place"] = {box: c.value for box, c in self.place_fields.items()}
        self._want(parameters=found, at=None)

    def _on_limit(self, box: str, slider: w.IntSlider, number: w.BoundedIntText, change) -> None:
        value = change["new"]
        self._set((slider, "value", value), (number, "value", value))
        limit = None if value == number.max else value
        self._set((number, "description", pages_label(box, value, number.max)))
        self._want(limits={**self.wanted.limits, box: limit})

    def _move(self, at: int) -> None:
        if self.film is not None:
            self._want(at=max(0, min(at, self.film.events)))

    def _on_play(self, change) -> None:
        if change["new"] and self.film and (self.wanted.at or self.film.events) >= self.film.events:
            self._want(at=0)
        with self._wish:
            self._wish.notify_all()

    def _on_page(self, change) -> None:
        name = change["new"].strip()
        if not name:
            self._want(page=None)
            return
        obj, _, index = name.rpartition(":")
        if not index.isdigit():
            raise ValueError(f"Follow page {name!r}: write OBJECT:NUMBER, for example "
                             f"{self.film.rows[0].obj if self.film else 'libc'}:0")
        if self.film:
            self.film.histories[0].run.page_number(obj, int(index))
        self._want(page=(obj, int(index)))

    def _on_line(self, change) -> None:
        found = Experiment.parse(change["new"]).but(hide=self.wanted.hide)
        self.load(found)

    def load(self, wanted: Experiment) -> None:
        """Show another experiment."""
        labels = scheme_labels(wanted.schemes)
        changes = [(self.scenario, "value", wanted.scenario)]
        for i, choice in enumerate(self.schemes):
            options = tuple(labels if i == 0 else [NOBODY, *labels])
            value = wanted.schemes[i] if i < len(wanted.schemes) else NOBODY
            changes += [(choice, "options", options), (choice, "value", value)]
        self._set(*changes)
        with self._lock:
            self.wanted, self.limit_fields, self.place_fields = wanted, {}, {}
        self.show_story(wanted)
        self._ask()

    def _set(self, *changes: tuple[w.Widget, str, object]) -> None:
        """Change controls without hearing ourselves."""
        with self._lock:
            before, self._quiet = self._quiet, True
            try:
                for widget, name, value in changes:
                    if getattr(widget, name) != value:
                        setattr(widget, name, value)
            finally:
                self._quiet = before

    # -- the worker: make it so ----------------------------------------------------------------

    def _ask(self) -> None:
        """Have the newest wish granted, soon."""
        with self._wish:
            self._asked += 1
            if sys.platform == "emscripten":  # no threads
                self._grant(self._token)
                return
            if self._thread is None:
                self._thread = threading.Thread(target=self._work, args=(self._token,),
                                                name="workbench explorer", daemon=True)
                self._thread.start()
            self._wish.notify_all()

    def _chore(self, chore: Callable[[], None]) -> None:
        """Have something done by the worker, after the picture."""
        with self._lock:
            self._chores.append(chore)
        self._ask()

    def _work(self, token: dict[str, bool]) -> None:
        while not token["stop"]:
            with self._wish:
                if self._asked == self._done:
                    if not self.play.value:
                        if not self._wish.wait(IDLE) and self._asked == self._done:
                            self._thread = None  # the next wish starts another
                            return
                    elif not self._wish.wait(FRAME) and self._asked == self._done:
                        self._advance()
                if self._asked == self._done:
                    continue
            self._grant(token)

    def _advance(self) -> None:
        """One picture further while playing."""
        n, at = self.film.events, self.wanted.at
        at = min(n, (n if at is None else at) + max(1, n // 250))
        self.wanted = self.wanted.but(at=at)
        self._asked += 1
        if at == n:
            self._set((self.play, "value", False))

    def _grant(self, token: dict[str, bool]) -> None:
        with self._lock:
            number, wanted, chores = self._asked, self.wanted, self._chores
            self._chores = []
        try:
            self._show(wanted, token, number)
            for chore in chores:
                chore()
        except Stopped:
            with self._lock:
                self._chores = chores + self._chores
        except Exception as problem:
            if not token["stop"]:
                self._tell(problem)
        finally:
            with self._wish:
                if not token["stop"]:
                    self._done = max(self._done, number)
                    self.running.layout.display = "none"
                self._wish.notify_all()

    def _show(self, wanted: Experiment, token: dict, number: int, note: str = "") -> None:
        made = self.film
        if made is None or made.experiment.rerun() != wanted.rerun():
            begun = time.monotonic()

            def stop() -> bool:
                late = time.monotonic() - begun > PATIENCE
                return token["stop"] or (late and self._asked != number)

            def progress(share: float) -> None:
                if time.monotonic() - begun > PATIENCE and not token["stop"]:
                    self.running.layout.display = "flex"
                    self.progress.value = share

            made = film(wanted, engine=self.engine, progress=progress, stop=stop)
            if token["stop"]:
                raise Stopped
        at = made.events if wanted.at is None else min(wanted.at, made.events)
        svg = view(made, at, wanted.page, f"wb{id(self) % 99991}")
        with self._lock:
            fresh, self.film, self.problem = made is not self.film, made, ""
            if fresh:
                before, self._quiet = self._quiet, True
                try:
                    self.show_run(made)
                finally:
                    self._quiet = before
            self.picture.value = svg
            page = "" if wanted.page is None else f"{wanted.page[0]}:{wanted.page[1]}"
            if self._asked == number:  # else a newer wish would be undone before it is granted
                self._set((self.slider, "value", at), (self.at, "value", at),
                          (self.page, "value", page), (self.line, "value", str(wanted)))
            self.sentence = words.moment_text(made, [h.moment(at) for h in made.histories])
            self._set((self.caption, "value", f"<p>{escape(self.sentence, False)}</p>"))
            self._note(note or wanted.other_version())
        if wanted.page is None:
            self.lives.value = ""
        elif fresh or wanted.page != getattr(self, "_told", None):
            self.lives.value = lives_html(made, *wanted.page)
        self._told = wanted.page

    def _note(self, note: str = "") -> None:
        """Say something above the picture: why schemes differ, what was saved."""
        self.note = note
        now = self.wanted.at
        if not note and self.film:
            now = self.film.events if now is None else min(now, self.film.events)
            note = f"Event {now:,}: {self.film.event_text(now)}." if now else "Before all events."
        self._set((self.said, "value", f"<p role='status'>{escape(note, False)}</p>"))

    def _tell(self, problem: Exception) -> None:
        """Show what was wrong; the picture stays."""
        self.problem = str(problem).strip("'\"") or type(problem).__name__
        self.said.value = f'<p role="alert" class="wb-problem">{escape(self.problem, False)}</p>'

    def _give_up(self) -> None:
        """Cancel: leave the worker to notice, and go back to what is shown."""
        with self._wish:
            self._token["stop"] = True
            self._token, self._thread, self._chores = {"stop": False}, None, []
            self._done = self._asked
            self.running.layout.display = "none"
            shown = self.film.experiment if self.film else None
            self._wish.notify_all()
        if shown is not None:
            self.load(shown.but(at=self.at.value, page=self.wanted.page))
        self._chore(lambda: self._note("Cancelled: this is what was shown before."))

    # -- what buttons do -----------------------------------------------------------------------

    def _find(self, after: int) -> None:
        kind, made = self.kind.value, self.film
        if len(made.histories) < 2:
            raise ValueError("One scheme cannot disagree: choose a second one.")
        at = next((at for at in differences(made, kind) if at > after), None)
        if at is None:
            more = f" after event {after:,}" if after else ""
            self._note(f"The schemes do not disagree on {kind}{more}.")
            return
        said = words.difference_text(made, at, kind)
        with self._lock:
            self.wanted = self.wanted.but(at=at)
        self._show(self.wanted, self._token, self._asked, said)

    def _save(self) -> None:
        files = self.write(Path(self.folder.value or "explorer"))
        self._note(f"{count(len(files), 'file')} in {self.folder.value}")

    def write(self, folder: str | Path) -> list[Path]:
        """Write picture.svg, experiment.txt, and the comparison's tables and charts."""
        from workbench.results.export import write_files

        made = self.film
        svg = view(made, self.wanted.at, self.wanted.page)
        own = {"picture.svg": svg.encode() + b"\n", "experiment.txt": f"{self.wanted}\n".encode()}
        saved = Comparison([h.run for h in made.histories]).save(folder)
        return [*write_files(Path(folder), own), *saved]

    # -- for notebooks and tests ---------------------------------------------------------------

    def wait(self, timeout: float = 60) -> Explorer:
        """Block until everything asked is shown. Raises TimeoutError, or ValueError for a mistake
        that the explorer shows."""
        with self._wish:
            if not self._wish.wait_for(lambda: self._done == self._asked, timeout):
                raise TimeoutError(f"the explorer was not ready after {timeout} s")
        if self.problem:
            raise ValueError(self.problem)
        return self

    def _repr_mimebundle_(self, **options):
        """The widget; with WORKBENCH_LAB=static what can be seen without a kernel."""
        if os.environ.get("WORKBENCH_LAB") != "static":
            return super()._repr_mimebundle_(**options)
        self.wait()
        shown = view(self.film, self.wanted.at, self.wanted.page)
        return {"image/svg+xml": shown, "text/plain": self.sentence}


def number_of(name: str, given: str) -> int:
    try:
        return pages_of_size(given)
    except ValueError as problem:
        raise ValueError(f"{name}: {problem}") from problem


def lives_html(made: Film, obj: str, page: int) -> str:
    """The life of a page under every scheme, side by side."""
    columns = []
    for h in made.histories:
        lines = "".join(f"<li>{escape(line, False)}</li>"
                        for line in words.page_story(h, obj, page))
        columns.append(f"<div><h4>{escape(obj)}[{page}] under {escape(h.label)}</h4>"
                       f"<ul>{lines}</ul></div>")
    return f'<div class="wb-lives">{"".join(columns)}</div>'


def explorer(
    scenario: str = "shared_page",
    chosen: Iterable[str] | str | None = None,
    *,
    hide: Iterable[str] = (),
    engine: str = "auto",
    **fields,
) -> Explorer:
    """The explorer on a scenario and one to four schemes, or on an experiment's line of text.

    hide     groups of controls that stay locked (`GROUPS`), for teaching
    fields   of `Experiment`: parameters, limits, at, page

    Raises ValueError for unknown names and values out of range.
    """
    hide = (hide,) if isinstance(hide, str) else tuple(hide)
    found = experiment(scenario, chosen, **fields)
    return Explorer(found.but(hide=hide or found.hide, version=found.version), engine)
