"""The explorer's picture: a pure function from what was filmed, and a moment of it, to SVG.

One column per scheme, all on the same axes: usage against limits, failcnt, frames per node, and a
map of who pays for which page, over events; below, charges and frames on a balance, at the moment
the cursor marks. Standard library only. Cost: 5 to 20 ms for a new film, 1 ms for another moment.

Containers differ by colour, dash, marker and hatch. A click or a drag in the picture is passed on
to the labelled number fields of the explorer around it (`.wb-at`, `.wb-page`), if there is one.
"""

from __future__ import annotations

import functools
import json
import math
import textwrap
from dataclasses import dataclass
from fractions import Fraction
from html import escape

from workbench.results.units import amount

from . import words
from .history import Film, History, Moment

WIDTH, LEFT, RIGHT, GAP = 1120, 118, 8, 22
USAGE, FAILED, FRAMES, BALANCE = 132, 46, 56, 112  # heights
LINE = 15  # of a readout
THIN, THICK, MAP = 4.6, 18.0, 160  # a row of the map: at least, at most; all of them
# petroff6, as in `charts.style`, without matplotlib
COLOURS = ("#5790fc", "#e42536", "#f89c20", "#964a8b", "#7a21dd")
GREY, INK, SOFT, PALE = "#9c9ca1", "#333333", "#5c5c62", "#dedee2"
DASHES = ("", "7 3", "2 2", "9 3 2 3", "4 2 1 2 1 2")
MARKS = ("M-4 0a4 4 0 1 0 8 0a4 4 0 1 0 -8 0", "M-4 -4h8v8h-8z", "M0 -5L5 4H-5z",
         "M0 -5L5 0L0 5L-5 0z", "M-5 -4H5L0 5z")
HATCHES = ("", "M-1 1l2 -2M0 6l6 -6M5 7l2 -2", "M1 1h2v2h-2zM4 4h2v2h-2z", "M0 0l6 6",
           "M3 0v6M0 3h6")
BOXES = 5  # containers told one by one in the readouts

POINTER = escape(
    "(function(s,e){if(e.type=='pointermove'&&!(e.buttons&1))return;"
    "var r=s.closest('.wb-explorer');if(!r)return;"
    "var m=s.getScreenCTM().inverse(),x=m.a*e.clientX+m.e,y=m.d*e.clientY+m.f,"
    "g=JSON.parse(s.dataset.geometry);"
    "function put(c,v){var i=r.querySelector(c+' input');if(!i||i.disabled||i.value==v)return;"
    "i.value=v;i.dispatchEvent(new Event('input',{bubbles:true}));"
    "i.dispatchEvent(new Event('change',{bubbles:true}))}"
    "var k=-1;for(var i=0;i<g.x.length;i++)if(x>=g.x[i]-9&&x<=g.x[i]+g.w+9)k=i;"
    "if(k<0||y<g.top||y>g.axis)return;"
    "put('.wb-at',Math.max(0,Math.min(g.n,Math.round((x-g.x[k])/g.w*g.n))));"
    "var j=Math.floor((y-g.map)/g.row);"
    "if(e.type=='pointerdown'&&j>=0&&j<g.pages.length)put('.wb-page',g.pages[j]);"
    "e.preventDefault()})(this,event)"
)


@dataclass(frozen=True)
class Look:
    """How a container looks: colour, dashes, marker, fill."""

    colour: str
    dash: str
    mark: str
    fill: str
    width: float


def looks(names: list[str], key: str) -> list[Look]:
    """The same look for the same container everywhere; root in grey."""
    found, i = [], 0
    for name in names:
        if name == "root":
            found.append(Look(GREY, "3 3", MARKS[4], GREY, 1.6))
            continue
        kind = (i % 5 + i // 5) % 5
        fill = f"url(#{key}h{i % 5})" if i % 5 else COLOURS[0]
        found.append(Look(COLOURS[i % 5], DASHES[kind], MARKS[kind], fill, max(1.5, 2.6 - 0.4 * i)))
        i += 1
    return found


def n1(value: float) -> str:
    """A coordinate: one decimal at most."""
    return f"{value:.1f}".removesuffix(".0")


def text(x: float, y: float, said: str, *, size: float = 12, anchor: str = "", **more: str) -> str:
    more = {"fill": INK} | ({"font-size": n1(size)} if size != 12 else {}) | more
    more |= {"text-anchor": anchor} if anchor else {}
    shown = "".join(f' {name.replace("_", "-")}="{value}"' for name, value in more.items())
    return f'<text x="{n1(x)}" y="{n1(y)}"{shown}>{escape(said, False)}</text>'


def rule(h: History, most: int) -> list[str]:
    """The scheme's rule in at most two lines: the first sentence of its module."""
    said = (h.run.scheme.module.__doc__ or h.run.scheme.title).partition("\n")[0]
    lines = textwrap.wrap(said, max(20, most))
    return lines if len(lines) <= 2 else [lines[0], clipped(" ".join(lines[1:]), max(20, most))]


def clipped(said: str, most: int) -> str:
    return said if len(said) <= most else said[: most - 1] + "…"


def stairs(times: list[int], values: list, x0: float, scale: float, y0: float, high: float) -> str:
    """A step line as path data; None leaves a gap. high: pixels per unit, upwards from y0."""
    out, last, open_ = [], None, False
    for t, value in zip(times, values, strict=True):
        if value is None:
            if open_:
                out.append(f"H{n1(x0 + t * scale)}")
            last, open_ = None, False
            continue
        if value == last:
            continue
        x, y = n1(x0 + t * scale), n1(y0 - value * high)
        out.append(f"H{x}V{y}" if open_ else f"M{x} {y}")
        last, open_ = value, True
    if open_:
        out.append(f"H{n1(x0 + times[-1] * scale)}")
    return "".join(out)


def ceiling(value: float) -> float:
    """A round number not below: 1, 2, 2.5 or 5 times a power of ten."""
    if value <= 0:
        return 1
    power = 10 ** math.floor(math.log10(value))
    return next(step * power for step in (1, 1.2, 1.5, 2, 2.5, 3, 4, 5, 6, 8, 10)
                if step * power >= value * 0.999)


class Stage:
    """The part of the picture that does not depend on the moment, and where everything lies."""

    def __init__(self, film: Film, key: str):
        self.film, self.key = film, key
        n = len(film.histories)
        self.wide = (WIDTH - LEFT - RIGHT - GAP * (n - 1)) / n
        self.lefts = [LEFT + i * (self.wide + GAP) for i in range(n)]
        self.scale = self.wide / film.events
        self.looks = looks(film.containers, key)
        self.told = film.shown[:BOXES]
        lines = len(self.told) + (len(film.shown) > BOXES)
        self.rules = [rule(h, int(self.wide / 6.3)) for h in film.histories]
        self.row = max(THIN, min(THICK, MAP / max(1, len(film.rows))))
        self.readouts = 40 + 14 * max(map(len, self.rules))
        self.usage = self.readouts + LINE * lines + 14
        self.failed = self.usage + USAGE + 22
        self.frames = self.failed + FAILED + 22
        self.map = self.frames + FRAMES + 22
        self.axis = self.map + self.row * len(film.rows)
        self.balance = self.axis + 40
        self.high = self.balance + BALANCE
        self.top = self.tallest()
        self.refused = ceiling(max(max(c) for h in film.histories for c in h.failcnt))
        self.in_use = ceiling(max(max(c) for h in film.histories for c in h.nodes))
        self.heaviest = max(1.0, *(max(map(sum, zip(*h.usage, strict=True)))
                                   for h in film.histories))
        self.below = self.patterns() + self.labels()
        self.below += "".join(self.panels(h, x) for h, x in zip(film.histories, self.lefts,
                                                                strict=True))
        pages = [f"{row.obj}:{row.page}" for row in film.rows]
        self.geometry = escape(json.dumps({
            "x": [round(x, 1) for x in self.lefts], "w": round(self.wide, 1), "n": film.events,
            "top": self.usage, "axis": round(self.axis, 1), "map": self.map,
            "row": round(self.row, 2),
            "pages": pages}, separators=(",", ":")))

    def tallest(self) -> float:
        """The top of the usage axis: every charge, and limits not far above."""
        film = self.film
        peak = max(int(x) / int(h.run.state.unit) for h in film.histories
                   for x in h.run.state.peak[: len(film.containers)])
        near = [x for h in film.histories for c in h.limit for x in c
                if x is not None and x <= 3 * max(peak, 1)]
        return ceiling(max([peak, 1, *near]))

    def patterns(self) -> str:
        cells = "".join(
            f'<pattern id="{self.key}h{i}" width="6" height="6" patternUnits="userSpaceOnUse">'
            f'<path d="M0 0h6v6h-6z" fill="{COLOURS[i]}"/><path d="{HATCHES[i]}" stroke="#fff" '
            f'stroke-width="1.1" fill="{"#fff" if i == 2 else "none"}"/></pattern>'
            for i in range(1, 5)
        )
        return f"<defs>{cells}</defs>"

    def labels(self) -> str:
        """What the rows of panels are, and their numbers, left of the first column."""
        film, x = self.film, LEFT - 8
        told = [(self.usage, USAGE, "charged", "pages", self.top),
                (self.failed, FAILED, "refused", "failcnt", self.refused),
                (self.frames, FRAMES, "in use", "frames", self.in_use)]
        out = []
        for y, high, what, unit, top in told:
            out.append(text(4, y + 11, what, font_weight="600"))
            out.append(text(4, y + 25, unit, size=11, fill=SOFT))
            out.append(text(x, y + 10, amount(Fraction(top).limit_denominator(1000)), size=11,
                            anchor="end", fill=SOFT))
            out.append(text(x, y + high, "0", size=11, anchor="end", fill=SOFT))
        out += self.node_key() if len(film.histories[0].nodes) > 1 else []
        out.append(text(4, self.map - 7, "who pays for which page", font_weight="600"))
        blocks: dict[str, list[int]] = {}
        for i, row in enumerate(film.rows):
            blocks.setdefault(row.obj, []).append(i)
        free = 0.0
        for name, rows in blocks.items():
            y = self.map + self.row * (rows[0] + len(rows) / 2) + 4
            if y >= free:
                short = clipped(name.rsplit("/", 1)[-1], 17)
                label = text(x - 7, y, short, size=10.5, anchor="end", fill=SOFT)
                out.append(f"<g><title>{escape(name)}</title>{label}</g>")
                free = y + 11
        out.append(text(4, self.axis + 17, "events", font_weight="600"))
        out.append(text(4, self.balance + 40, "balance", font_weight="600"))
        out.append(text(4, self.balance + 54, "at the cursor", size=11, fill=SOFT))
        return "".join(out)

    def panels(self, h: History, x0: float) -> str:
        """One scheme's column."""
        said = self.rules[self.film.histories.index(h)]
        out = [text(x0, 18, clipped(h.label, int(self.wide / 8.6)), size=15, font_weight="700")]
        out += [text(x0, 34 + 14 * i, line, size=11.5, fill=SOFT) for i, line in enumerate(said)]
        for y, high in ((self.usage, USAGE), (self.failed, FAILED), (self.frames, FRAMES)):
            out.append(f'<path d="M{n1(x0)} {y + high}h{n1(self.wide)}" stroke="{GREY}"/>'
                       f'<path d="M{n1(x0)} {y}h{n1(self.wide)}" stroke="{PALE}"/>')
        out += [self.lines(h, x0), self.nodes(h, x0), self.payers(h, x0), self.dead(h, x0)]
        return "".join(out)

    def lines(self, h: History, x0: float) -> str:
        """Usage, limits and failcnt."""
        out, high = [], USAGE / self.top
        limits: dict[str, list[int]] = {}
        for c in self.film.shown:
            near = [x if x is not None and x <= self.top else None for x in h.limit[c]]
            path = stairs(h.times, near, x0, self.scale, self.usage + USAGE, high)
            limits.setdefault(path, []).append(c)
        for path, who in limits.items():
            if path:
                colour = self.looks[who[0]].colour if len(who) == 1 else INK
                out.append(f'<path d="{path}" stroke="{INK}" stroke-width="2.2" opacity=".25"/>')
                out.append(f'<path d="{path}" stroke="{colour}" stroke-dasharray="7 3"/>')
        for c in self.film.shown:
            look = self.looks[c]
            dash = f' stroke-dasharray="{look.dash}"' if look.dash else ""
            style = f'stroke="{look.colour}" stroke-width="{look.width:.1f}"{dash}'
            usage = stairs(h.times, h.usage[c], x0, self.scale, self.usage + USAGE, high)
            out.append(f'<path d="{usage}" {style}/>')
            failed = stairs(h.times, h.failcnt[c], x0, self.scale, self.failed + FAILED,
                            FAILED / self.refused)
            out.append(f'<path d="{failed}" {style}/>')
        if not any(column[-1] for column in h.failcnt):
            out.append(text(x0 + self.wide / 2, self.failed + FAILED - 8, "nobody is refused",
                            size=11, anchor="middle", fill=SOFT))
        return "".join(out)

    def nodes(self, h: History, x0: float) -> str:
        out = []
        for i, frames in enumerate(h.nodes):
            path = stairs(h.times, frames, x0, self.scale, self.frames + FRAMES,
                          FRAMES / self.in_use)
            out.append(f'<path d="{path}" {self.node_style(i)}/>')
        return "".join(out)

    @staticmethod
    def node_style(i: int) -> str:
        dash = f' stroke-dasharray="{DASHES[i % 5]}"' if i else ""
        return f'stroke="{INK}" stroke-width="1.5"{dash}'

    def node_key(self) -> list[str]:
        """Which dashes are which node, under the label of the frames."""
        out = []
        for i in range(min(4, len(self.film.histories[0].nodes))):
            x, y = 4 + 46 * (i % 2), self.frames + 39 + 14 * (i // 2)
            out.append(f'<path d="M{x} {y - 4}h22" {self.node_style(i)}/>'
                       + text(x + 26, y, str(i), size=11, fill=SOFT))
        return out

    def payers(self, h: History, x0: float) -> str:
        """The map: a stripe per payer; several payers share the height of their page's row."""
        high = self.row * len(self.film.rows)
        out = [f'<path d="M{n1(x0)} {self.map}h{n1(self.wide)}v{n1(high)}h{n1(-self.wide)}z" '
               f'fill="#fafafa" stroke="{PALE}"/>']
        paths: dict[tuple[int, int], list[str]] = {}
        edges = [*h.map_times, self.film.events]  # what was so at a time holds until the next
        for r in range(len(self.film.rows)):
            begun, paying = 0, None
            for i in range(len(h.payers) + 1):
                now = h.payers[i][r] if i < len(h.payers) else None
                if now != paying:
                    for j, c in enumerate(paying or ()):
                        y = self.map + self.row * (r + (j + 0.5) / len(paying))
                        x, end = x0 + edges[begun] * self.scale, x0 + edges[i] * self.scale
                        path = paths.setdefault((c, len(paying)), [])
                        path.append(f"M{n1(x)} {y:.2f}h{n1(end - x)}")
                    begun, paying = i, now
        for (c, n), parts in paths.items():
            out.append(f'<path d="{"".join(parts)}" stroke="{self.looks[c].fill}" '
                       f'stroke-width="{(self.row - 0.4) / n:.2f}"/>')
        for i, row in enumerate(self.film.rows[1:], 1):
            if row.obj != self.film.rows[i - 1].obj:
                out.append(f'<path d="M{n1(x0)} {n1(self.map + self.row * i)}h{n1(self.wide)}" '
                           f'stroke="#fff" stroke-width="1.2"/>')
        return "".join(out)

    def dead(self, h: History, x0: float) -> str:
        """A cross for every kill, at the usage it found; the first victims by name."""
        out, free = [], x0 - 99.0
        for row in h.kills[:200]:
            time, box, usage, victim = row[3], row[4], row[5], row[7]
            x = x0 + time * self.scale
            y = self.usage + 8 if box == "machine" else (
                self.usage + USAGE - min(usage, self.top) * USAGE / self.top)
            out.append(f'<path d="M{n1(x - 4)} {n1(y - 4)}l8 8m0 -8l-8 8" stroke="#fff" '
                       f'stroke-width="5"/><path d="M{n1(x - 4)} {n1(y - 4)}l8 8m0 -8l-8 8" '
                       f'stroke="{INK}" stroke-width="2.4"/>')
            if x > free:
                said = clipped(victim, 18)
                end = x + 6.2 * len(said) > x0 + self.wide
                out.append(text(x - 8 if end else x + 8, y + 14, said, size=10.5,
                                anchor="end" if end else "", paint_order="stroke", stroke="#fff",
                                stroke_width="3"))
                free = x + 6.5 * len(said) + 8
        if h.run.hung:
            x = n1(x0 + h.run.hang * self.scale)
            out.append(f'<path d="M{x} {self.usage}V{n1(self.axis)}" stroke="{INK}" '
                       f'stroke-dasharray="1 3" stroke-width="2"/>')
            out.append(text(float(x) - 5, self.usage + 12, "hangs", size=11, anchor="end"))
        return "".join(out)

    # -- what depends on the moment ------------------------------------------------------------

    def now(self, moment: Moment, x0: float) -> str:
        """The cursor in one column: line, markers, readouts, balance."""
        x = x0 + moment.at * self.scale
        out = [f'<path d="M{n1(x)} {self.usage - 4}V{n1(self.axis)}" stroke="{INK}" '
               f'stroke-width="1.2"/>']
        label, n = f"{moment.at:,}", self.film.events
        half = 4.2 * len(label) + 5
        near = min(max(x, x0 + half), x0 + self.wide - half)
        parts = max(1, round(self.wide / 130))
        for i in range(parts + 1):
            tick, anchor = n * i // parts, ("start", "middle", "end")[(i > 0) + (i == parts)]
            at = x0 + tick * self.scale
            left = at - 7 * len(f"{tick:,}") * (0, 0.5, 1)[(i > 0) + (i == parts)]
            if left > near + half or left + 7 * len(f"{tick:,}") < near - half:
                out.append(text(at, self.axis + 16, f"{tick:,}", size=11, anchor=anchor, fill=SOFT))
        out.append(f'<rect x="{n1(near - half)}" y="{n1(self.axis + 3)}" width="{n1(2 * half)}" '
                   f'height="17" rx="3" fill="{INK}"/>')
        out.append(text(near, self.axis + 16, label, size=12, anchor="middle", fill="#fff"))
        y = self.readouts
        for c in self.told:
            look, usage = self.looks[c], moment.usage[c]
            tall = self.usage + USAGE - float(usage) * USAGE / self.top
            out.append(self.mark(look, x, tall))
            out.append(self.mark(look, x0 + 5, y - 4))
            said = amount(usage)
            if moment.limit[c] is not None:
                said += f" of {moment.limit[c]:,}"
            failed = f", refused {moment.failcnt[c]:,}" if moment.failcnt[c] else ""
            out.append(f'<text x="{n1(x0 + 16)}" y="{n1(y)}" fill="{INK}"><tspan font-weight="600">'
                       f"{escape(clipped(self.film.containers[c], 12))}</tspan> {said}{failed}"
                       "</text>")
            y += LINE
        if len(self.film.shown) > BOXES:
            rest = self.film.shown[BOXES:]
            total = sum((moment.usage[c] for c in rest), Fraction(0))
            out.append(text(x0 + 16, y, f"{len(rest)} more: {amount(total)}", fill=SOFT))
        out.append(self.scales(moment, x0))
        return "".join(out)

    @staticmethod
    def mark(look: Look, x: float, y: float) -> str:
        return (f'<path d="{look.mark}" transform="translate({n1(x)} {n1(y)})" '
                f'fill="{look.colour}" stroke="{INK}" stroke-width=".8"/>')

    def scales(self, moment: Moment, x0: float) -> str:
        """A balance: charges in the left pan, the frames they stand for in the right one."""
        arm = min(self.wide * 0.32, 108)
        cx, cy, box = x0 + self.wide / 2, self.balance + 42, min(64.0, arm * 0.9)
        charged, frames = float(moment.charged), moment.frames
        lean = math.log2(charged / frames) if charged and frames else (charged > 0) - (frames > 0)
        angle = max(-1.0, min(1.0, lean / 1.6)) * 15  # degrees; left side down when positive
        dx, dy = arm * math.cos(math.radians(angle)), arm * math.sin(math.radians(angle))
        out = [f'<path d="M{n1(cx - 9)} {n1(cy + 40)}l9 -40l9 40z" '
               f'fill="{PALE}" stroke="{SOFT}"/><path d="M{n1(cx - dx)} {n1(cy + dy)}'
               f'L{n1(cx + dx)} {n1(cy - dy)}" stroke="{INK}" stroke-width="4" '
               'stroke-linecap="round"/>']
        high = 34 / max(self.heaviest, 1)
        for x, y, blocks in (
            (cx - dx, cy + dy, [(float(moment.usage[c]), self.looks[c].fill)
                                for c in self.film.shown]),
            (cx + dx, cy - dy, [(float(frames), "#c9c9cf")]),
        ):
            y -= 3
            for size, fill in blocks:
                if size > 0:
                    tall = min(size * high, 34)
                    y -= tall
                    out.append(f'<rect x="{n1(x - box / 2)}" y="{n1(y)}" width="{n1(box)}" '
                               f'height="{tall:.2f}" fill="{fill}" stroke="{INK}" '
                               'stroke-width=".6"/>')
        for x, said in ((cx - arm, f"{amount(moment.charged)} charged"),
                        (cx + arm, f"{frames:,} {moment.frames_are}")):
            out.append(text(x, self.balance + 88, said, size=11.5, anchor="middle"))
        verdict = words.balance_text(moment).rpartition(": ")[2]
        weight = "400" if verdict == "balanced" else "700"
        out.append(text(cx, self.balance + BALANCE - 6, verdict, anchor="middle",
                        font_weight=weight))
        return "".join(out)


stage = functools.lru_cache(maxsize=4)(Stage)


def view(film: Film, at: int | None = None, page: tuple[str, int] | None = None,
         key: str = "wb") -> str:
    """The picture after `at` events (None: at the end) as one SVG element that describes itself.

    page: followed; its row of the map is marked, where it has one. key: begins the ids inside, so
    that two pictures on one page do not take each other's hatches.
    """
    at = film.events if at is None else max(0, min(at, film.events))
    scene = stage(film, key)
    moments = [h.moment(at) for h in film.histories]
    now = "".join(map(scene.now, moments, scene.lefts))
    rows = [i for i, row in enumerate(film.rows)
            if page and row.obj == page[0] and row.page <= page[1] < row.page + row.stands_for]
    for i in rows:
        y = n1(scene.map + scene.row * (i + 0.5))
        now += f'<path d="M{LEFT - 6} {y}l-7 -5v10z" fill="{INK}" stroke="none"/>'
        now += "".join(f'<path d="M{n1(x - 1)} {n1(scene.map + scene.row * i - 0.6)}'
                       f'h{n1(scene.wide + 2)}v{n1(scene.row + 0.8)}h{n1(-scene.wide - 2)}z" '
                       f'stroke="{INK}"/>' for x in scene.lefts)
    said = escape(words.moment_text(film, moments))
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {n1(scene.high)}" '
        f'class="wb-picture" role="img" aria-label="{said}" fill="none" stroke-linejoin="round" '
        f'data-geometry="{scene.geometry}" onpointerdown="{POINTER}" onpointermove="{POINTER}" '
        'style="width:100%;max-width:1120px;height:auto;display:block;background:#fff;'
        'touch-action:none;user-select:none;cursor:crosshair" '
        'font-family="system-ui,Segoe UI,Helvetica,Arial,sans-serif" font-size="12">'
        f"<desc>{said}</desc>{scene.below}{now}</svg>"
    )
