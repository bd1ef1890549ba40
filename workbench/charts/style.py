"""How charts look: colours, dashes, markers and hatches that also differ in grey; axes and text."""

from __future__ import annotations

import io
import textwrap
from collections.abc import Iterable
from typing import Any, NamedTuple

from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator, StrMethodFormatter

# petroff6: told apart by colour-blind readers too; the grey one is kept for "root"
COLOURS = ("#5790fc", "#e42536", "#f89c20", "#964a8b", "#7a21dd")
GREY, INK, PALE = "#9c9ca1", "#333333", "#d9d9d9"
DASHES = ("-", (0, (4, 1.5)), (0, (1, 1)), (0, (6, 1.5, 1, 1.5)), (0, (3, 1, 1, 1, 1, 1)))
MARKERS = ("o", "s", "^", "D", "v", "p", "<")
HATCHES = ("", "///", "...", "\\\\\\", "xx", "--", "++")
LIMIT = (0, (7, 3))
WIDTH = 6.8  # inches: a text column
TITLE, TEXT, SMALL = 10, 9, 8  # points
MOST = 1000  # points on one line; longer ones are thinned


class Look(NamedTuple):
    """One container's (or kind's) colour, dashes, marker, hatch and line width."""

    colour: str
    dash: Any
    marker: str
    hatch: str
    width: float


def looks(names: Iterable[str]) -> dict[str, Look]:
    """The same look for the same container in every chart of a run: by place, root in grey."""
    found, i = {}, 0
    for name in dict.fromkeys(names):
        if name == "root":
            found[name] = Look(GREY, (0, (2, 2)), "x", "", 1.6)
            continue
        # later lines are thinner, so that an earlier one shows below
        width = max(1.2, 2.6 - 0.6 * i)
        found[name] = Look(
            COLOURS[i % len(COLOURS)], DASHES[i // 2 % 5 if i >= 5 else i], MARKERS[i % 7],
            HATCHES[i % 7], width,
        )  # fmt: skip
        i += 1
    return found


class Chart(Figure):
    """A figure that knows its sentence (caption and alt text), its data and where it came from.

    Notebooks show it as PNG with the sentence as text; `save` exports it.
    """

    def __init__(self, *args: Any, **kwargs: Any):
        super().__init__(*args, layout="constrained", **kwargs)
        self.title = ""
        self.sentence = ""
        self.data = None
        self.provenance: dict = {}

    def __repr__(self) -> str:
        return f"<Chart: {self.sentence or self.title or 'empty'}>"

    def _repr_png_(self) -> tuple[bytes, dict]:
        out = io.BytesIO()
        self.savefig(out, format="png", dpi=90)
        return out.getvalue(), {"alt": self.sentence}

    def save(self, path, formats: Iterable[str] = ("svg", "pdf", "png")):
        """Write path.svg, .pdf, .png and the data as .csv (.parquet); returns the files."""
        from .export import save_chart

        return save_chart(self, path, formats)


def axes(ax=None, height: float = 3.0):
    """The axes given, or the only axes of a new chart."""
    return Chart(figsize=(WIDTH, height)).add_subplot() if ax is None else ax


def finish(ax, title: str = "", x: str = "events", y: str = "", legend: bool = True):
    """Titles, units, whole numbers on the axes; the legend stands outside, to the right."""
    if title:
        ax.set_title(textwrap.fill(title, 60), fontsize=TITLE, loc="left")
    ax.set_xlabel(x, fontsize=TEXT)
    ax.set_ylabel(y, fontsize=TEXT)
    ax.tick_params(labelsize=SMALL)
    for axis in (ax.xaxis, ax.yaxis):
        axis.set_major_locator(MaxNLocator(5, integer=True))
        axis.set_major_formatter(StrMethodFormatter("{x:,.0f}"))
    ax.spines[["top", "right"]].set_visible(False)
    ax.grid(axis="y", color=PALE, linewidth=0.6)
    ax.set_axisbelow(True)
    if legend and ax.get_legend_handles_labels()[0]:
        ax.legend(
            loc="upper left", bbox_to_anchor=(1.01, 1), borderaxespad=0, frameon=False,
            fontsize=SMALL, handlelength=3.2,
        )  # fmt: skip
    return ax


def thin(x: list, y: list, most: int = MOST) -> tuple[list, list]:
    """At most about `most` points of a line; every bucket keeps its first, lowest and highest."""
    if len(x) <= most:
        return x, y
    keep = {0, len(x) - 1}
    step = -(-len(x) * 3 // most)
    for start in range(0, len(x), step):
        bucket = range(start, min(start + step, len(x)))
        keep |= {start, min(bucket, key=y.__getitem__), max(bucket, key=y.__getitem__)}
    kept = sorted(keep)
    return [x[i] for i in kept], [y[i] for i in kept]


def note(ax, text: str) -> None:
    """A remark in the middle of axes with nothing to show."""
    ax.text(0.5, 0.5, text, transform=ax.transAxes, ha="center", va="center",
            fontsize=TEXT, color=INK)  # fmt: skip
