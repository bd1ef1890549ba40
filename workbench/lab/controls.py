"""The explorer's controls: what there is to move, what stands where, what depends on the story.

Nothing is decided here; `widgets` hears what was moved.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterable
from html import escape

import ipywidgets as w

from workbench import scenarios, schemes

from .experiment import MOST, Experiment
from .history import Film

GROUPS = {  # what `hide` may name -> what disappears
    "scenario": "the choice of the scenario",
    "schemes": "the choice of the schemes",
    "parameters": "the scenario's parameters, its seed among them",
    "nodes": "NUMA nodes and placement",
    "limits": "limits of containers",
    "time": "moving through time",
    "differences": "the search for disagreements",
    "page": "following a page",
    "line": "the experiment as a line of text",
    "save": "saving",
}
NOBODY = "(none)"
# ipywidgets gives the handles of sliders no accessible name: they take it from their labels
NAMES = """<style onload="setTimeout(()=>{var r=this.closest('.wb-explorer');
if(r)r.querySelectorAll('.widget-slider').forEach(s=>{
var h=s.querySelector('.noUi-handle'),l=s.querySelector('label');
if(h&&l)h.setAttribute('aria-label',l.textContent+' slider')})},99)"> </style>"""
STYLE = NAMES + """<style>
.wb-explorer{max-width:1140px}
.wb-explorer .widget-label{min-width:0}
.wb-explorer .wb-row{gap:2px 12px}
.wb-explorer .wb-note{max-width:1120px}
.wb-explorer .wb-note .widget-html-content{line-height:1.45;width:100%}
.wb-explorer .wb-said .widget-html-content{min-height:42px;max-height:88px;overflow-y:auto}
.wb-explorer .wb-note p{margin:2px 0}
.wb-explorer .wb-lives{display:grid;grid-auto-flow:column;grid-auto-columns:1fr;gap:22px}
.wb-explorer .wb-lives h4{margin:0 0 2px}
.wb-explorer .wb-lives ul{margin:0;padding-left:16px}
.wb-explorer .wb-problem{color:#a3161f;font-weight:600}
.wb-explorer button:focus-visible,.wb-explorer select:focus-visible{outline:2px solid #333}
</style>"""
SMALL = {"description_width": "initial"}


def field(kind: Callable, label: str, width: str, **options) -> w.Widget:
    """A labelled control."""
    return kind(description=label, style=SMALL, layout=w.Layout(width=width), **options)


class Controls(w.VBox):
    """Every control, in rows; those of hidden groups are left out.

    on_parameters(change) hears of the scenario's parameters and of places, on_limit(container,
    slider, number, change) of limits; what else is moved is listened to by who uses it.
    """

    def __init__(self, wanted: Experiment, on_parameters: Callable, on_limit: Callable):
        self.on_parameters, self.on_limit = on_parameters, on_limit
        self.limit_fields: dict[str, w.BoundedIntText] = {}
        self.parameter_fields: dict[str, w.Widget] = {}
        self.place_fields: dict[str, w.Dropdown] = {}
        self.make(wanted)
        super().__init__(self.rows(wanted.hide))
        self.add_class("wb-explorer")
        self.show_story(wanted)

    def make(self, wanted: Experiment) -> None:
        labels = scheme_labels(wanted.schemes)
        self.scenario = field(w.Dropdown, "Scenario", "214px", options=scenarios.names(),
                              value=wanted.scenario)
        self.schemes = [
            field(w.Dropdown, f"Scheme {i + 1}", "208px",
                  options=labels if i == 0 else [NOBODY, *labels],
                  value=wanted.schemes[i] if i < len(wanted.schemes) else NOBODY)
            for i in range(MOST)
        ]
        self.question = w.HTML(layout=w.Layout(margin="0"))
        self.parameters = w.HBox(layout=w.Layout(flex_flow="row wrap"))
        self.nodes = w.HBox(layout=w.Layout(flex_flow="row wrap"))
        self.limits = w.HBox(layout=w.Layout(flex_flow="row wrap"))
        self.slider = w.IntSlider(description="Event", min=0, max=1, value=1, readout=False,
                                  style=SMALL, layout=w.Layout(flex="1 1 240px"))
        self.at = field(w.BoundedIntText, "Events done", "170px", min=0, max=1, value=1)
        self.back = button("◀ Back", "one event back")
        self.play = w.ToggleButton(description="▶ Play", tooltip="play the events",
                                   layout=w.Layout(width="auto"))
        self.step = button("Step ▶", "one event on")
        self.kind = field(w.Dropdown, "Schemes disagree on", "auto",
                          options=["charges", "refusals", "kills"])
        self.jump = button("First disagreement", "go to the first event with different books")
        self.next = button("Next", "go to the next one after this moment")
        self.page = field(w.Text, "Follow page", "290px", placeholder="object:number",
                          continuous_update=False)
        self.line = field(w.Text, "Experiment", "auto", continuous_update=False)
        self.line.layout.flex = "1 1 420px"
        self.folder = field(w.Text, "Folder", "200px", value="explorer", continuous_update=False)
        self.save = button("Save files", "write picture, tables and charts into the folder")
        self.progress = w.FloatProgress(min=0, max=1, layout=w.Layout(width="180px"))
        self.cancel = button("Cancel", "keep what was shown before")
        self.running = w.HBox([w.HTML("Replaying"), self.progress, self.cancel],
                              layout=w.Layout(display="none"))
        self.picture = w.HTML(layout=w.Layout(margin="4px 0", min_height="200px"))
        self.said = w.HTML()
        self.caption = w.HTML()
        self.lives = w.HTML()
        for box in (self.parameters, self.nodes, self.limits):
            box.add_class("wb-row")
        self.at.add_class("wb-at")
        self.page.add_class("wb-page")
        self.said.add_class("wb-said")
        for widget in (self.said, self.caption, self.lives, self.question):
            widget.add_class("wb-note")

    def rows(self, hide: Iterable[str]) -> list[w.Widget]:
        def row(*children: w.Widget | None) -> w.HBox:
            layout = w.Layout(flex_flow="row wrap", align_items="center", margin="0")
            made = w.HBox([child for child in children if child is not None], layout=layout)
            made.add_class("wb-row")
            return made

        shown = {name: name not in hide for name in GROUPS}

        def only(name: str, *children: w.Widget) -> list[w.Widget | None]:
            return [child if shown[name] else None for child in children]

        rows = [
            w.HTML(STYLE, layout=w.Layout(display="contents")),
            row(*only("scenario", self.scenario), *only("schemes", *self.schemes)),
            self.question,
            row(*only("parameters", self.parameters), *only("nodes", self.nodes)),
            *only("limits", self.limits),
            row(*only("time", self.back, self.play, self.step, self.slider, self.at)),
            row(*only("differences", self.kind, self.jump, self.next), *only("page", self.page),
                self.running),
            self.said,
            self.picture,
            self.caption,
            self.lives,
            row(*only("line", self.line), *only("save", self.folder, self.save)),
        ]
        return [r for r in rows if r is not None]

    def show_story(self, wanted: Experiment) -> None:
        """Controls that depend on the scenario: its parameters and placement."""
        story = next(r for r in scenarios.table() if r["scenario"] == wanted.scenario)
        self.question.value = (f"<p><b>{escape(str(story['title']))}.</b> "
                               f"{escape(str(story['question']))} "
                               f"<small>{escape(str(story['source']))}</small></p>")
        self.parameter_fields = {
            name: self.parameter(known, wanted.parameters.get(name, known.default))
            for name, known in scenarios.parameters(wanted.scenario).items()
            if name not in ("nodes", "place")
        }
        self.parameters.children = tuple(self.parameter_fields.values())
        known = scenarios.parameters(wanted.scenario).get("nodes")
        if known is None:
            self.place_fields, self.nodes.children = {}, ()
            return
        value = wanted.parameters.get("nodes", known.default)
        count = field(w.Dropdown, "NUMA nodes", "auto", options=list(known.choices), value=value)
        count.observe(self.on_parameters, "value")
        self.node_count, self.place_fields = count, {}
        self.nodes.children = (count,)

    def parameter(self, known: scenarios.Parameter, value: object) -> w.Widget:
        label = known.name.replace("_", " ")
        if known.choices == (False, True):
            control = w.Checkbox(description=label, value=bool(value), indent=False,
                                 layout=w.Layout(width="auto", margin="2px 12px"))
        elif known.choices:
            options = [("as the story has it", None)] if known.optional else []
            options += [(str(choice), choice) for choice in known.choices]
            control = field(w.Dropdown, label, "auto", options=options, value=value)
        elif known.low is not None and not known.optional:
            control = field(w.BoundedIntText, label, "150px", min=known.low, max=known.high,
                            value=value, continuous_update=False)
        else:
            text = "" if value is None else str(value)
            control = field(w.Text, label, "150px", value=text, placeholder="own choice",
                            continuous_update=False)
        control.observe(self.on_parameters, "value")
        return control

    def show_run(self, made: Film) -> None:
        """Controls that depend on the run: limits, placement, the length of time."""
        n, trace = made.events, made.histories[0].run.trace
        self.slider.max = self.at.max = n
        boxes = [c for c in trace.containers if c.name != "root"]
        if [c.name for c in boxes] != list(self.limit_fields):
            self.limit_fields, rows = {}, []
            peaks = [int(x) // int(h.run.state.unit) for h in made.histories
                     for x in h.run.state.peak[: len(trace.containers)]]
            given = [c.limit for c in boxes if c.limit is not None and c.limit < 1 << 20]
            top = int(1.5 * max([16, *peaks, *given]))
            for box in boxes[:8]:
                value = top if box.limit is None else min(box.limit, top)
                slider = w.IntSlider(description=f"Limit of {box.name}", min=0, max=top,
                                     value=value, readout=False, style=SMALL,
                                     layout=w.Layout(width="250px"))
                number = field(w.BoundedIntText, pages_label(box.name, value, top), "190px",
                               min=0, max=top, value=value)
                number.tooltip = f"{top} pages (the right end): no limit"
                for control in (slider, number):
                    hear = functools.partial(self.on_limit, box.name, slider, number)
                    control.observe(hear, "value")
                self.limit_fields[box.name] = number
                rows.append(w.HBox([slider, number], layout=w.Layout(margin="0 14px 0 0")))
            names = w.HTML(NAMES, layout=w.Layout(display="contents"))
            self.limits.children = (*rows, names)
        where = made.story.parameters.get("place")
        many = int(made.story.machine.nodes)
        if isinstance(where, dict) and many > 1 and list(where) != list(self.place_fields):
            self.place_fields = {
                box: field(w.Dropdown, f"{box} on node", "auto", options=list(range(many)),
                           value=node)
                for box, node in where.items()
            }
            for choice in self.place_fields.values():
                choice.observe(self.on_parameters, "value")
            self.nodes.children = (self.node_count, *self.place_fields.values())
        elif many == 1 and self.place_fields:
            self.place_fields, self.nodes.children = {}, (self.node_count,)


def pages_label(box: str, value: int, top: int) -> str:
    """The label of a limit's number; the right end of the slider means no limit."""
    return f"{box}: no limit" if value == top else f"{box}: pages"


def button(label: str, tooltip: str) -> w.Button:
    return w.Button(description=label, tooltip=tooltip, layout=w.Layout(width="auto"))


def scheme_labels(chosen: Iterable[str]) -> list[str]:
    """All schemes, and those chosen with options."""
    return list(dict.fromkeys([*schemes.names(), *chosen]))
