"""How charts look: colours, dashes, markers and hatches that also differ in grey; axes and text."""

from __future__ import annotations

import contextlib
import io
import textwrap
from collections.abc import Iterable, Iterator
from contextvars import ContextVar
from typing import Any, NamedTuple

import matplotlib
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator, StrMethodFormatter

DASHES = ("-", (0, (4, 1.5)), (0, (1, 1)), (0, (6, 1.5, 1, 1.5)), (0, (3, 1, 1, 1, 1, 1)))
MARKERS = ("o", "s", "^", "D", "v", "p", "<")
HATCHES = ("", "///", "...", "\\\\\\", "xx", "--", "++")
LIMIT = (0, (7, 3))
MOST = 1000  # points on one line; longer ones are thinned


class Dress(NamedTuple):
    """What differs between light and dark, paper and slide; `style.INK` is the dress's worn now."""

    colours: tuple[str, ...]
    grey: str
    ink: str
    pale: str
    faint: str
    paper: str
    width: float  # inches
    title: float  # points, as are the next two
    text: float
    small: float


# petroff6: told apart by colour-blind readers too; the grey one is kept for "root"
THEMES = {
    "light": (("#5790fc", "#e42536", "#f89c20", "#964a8b", "#7a21dd"),
              "#9c9ca1", "#333333", "#d9d9d9", "#eeeeee", "#ffffff"),
    "dark": (("#7fb0ff", "#ff6b6b", "#ffb454", "#d68fd0", "#a98bff"),
             "#9c9ca1", "#e6e6ea", "#45454d", "#2d2d34", "#1b1b20"),
}
SIZES = {"paper": (6.8, 10, 9, 8), "slide": (11.0, 17, 15, 13)}
PLAIN = Dress(*THEMES["light"], *SIZES["paper"])
_worn: ContextVar[Dress] = ContextVar("dress", default=PLAIN)


def __getattr__(name: str) -> Any:
    """INK, PALE, FAINT, GREY, PAPER, COLOURS, WIDTH, TITLE, TEXT, SMALL of the dress worn now."""
    if name.isupper() and name.lower() in Dress._fields:
        return getattr(_worn.get(), name.lower())
    raise AttributeError(f"module {__name__} has no {name}")


@contextlib.contextmanager
def dressed(theme: str = "light", size: str = "paper") -> Iterator[None]:
    """Charts made in this block are light or dark, for paper or for a slide.

    Raises ValueError for another word.
    """
    for word, known in ((theme, THEMES), (size, SIZES)):
        if word not in known:
            raise ValueError(f"{word!r} is not one of {', '.join(known)}")
    dress = Dress(*THEMES[theme], *SIZES[size])
    ink = ("text.color", "axes.edgecolor", "axes.labelcolor", "xtick.color", "ytick.color")
    paper = ("figure.facecolor", "axes.facecolor", "savefig.facecolor")
    before = _worn.set(dress)
    try:
        colours = {} if theme == "light" else dict.fromkeys(ink, dress.ink)
        with matplotlib.rc_context(colours | dict.fromkeys(paper, dress.paper)):
            yield
    finally:
        _worn.reset(before)


class Look(NamedTuple):
    """One container's (or kind's) colour, dashes, marker, hatch and line width."""

    colour: str
    dash: Any
    marker: str
    hatch: str
    width: float


def looks(names: Iterable[str]) -> dict[str, Look]:
    """The same look for the same container in every chart of a run: by place, root in grey."""
    found, i, dress = {}, 0, _worn.get()
    for name in dict.fromkeys(names):
        if name == "root":
            found[name] = Look(dress.grey, (0, (2, 2)), "x", "", 1.6)
            continue
        # later lines are thinner, so that an earlier one shows below
        width = max(1.2, 2.6 - 0.6 * i)
        found[name] = Look(
            dress.colours[i % len(dress.colours)], DASHES[i // 2 % 5 if i >= 5 else i],
            MARKERS[i % 7], HATCHES[i % 7], width,
        )
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
    return sheet(height).add_subplot() if ax is None else ax


def sheet(height: float, width: float = SIZES["paper"][0]) -> Chart:
    """An empty chart; its size, in inches on paper, grows with the dress."""
    scale = _worn.get().width / SIZES["paper"][0]
    return Chart(figsize=(width * scale, height * scale))


def finish(ax, title: str = "", x: str = "events", y: str = "", legend: bool = True):
    """Titles, units, whole numbers on the axes; the legend stands outside, to the right."""
    dress = _worn.get()
    if title:
        ax.set_title(textwrap.fill(title, 60), fontsize=dress.title, loc="left")
    ax.set_xlabel(x, fontsize=dress.text)
    ax.set_ylabel(y, fontsize=dress.text)
    ax.tick_params(labelsize=dress.small)
    for axis in (ax.xaxis, ax.yaxis):
        axis.set_major_locator(MaxNLocator(5, integer=True))
        axis.set_major_formatter(StrMethodFormatter("{x:,.0f}"))
    ax.spines[["top", "right"]].set_visible(False)
    ax.grid(axis="y", color=dress.pale, linewidth=0.6)
    ax.set_axisbelow(True)
    if legend and ax.get_legend_handles_labels()[0]:
        ax.legend(
            loc="upper left", bbox_to_anchor=(1.01, 1), borderaxespad=0, frameon=False,
            fontsize=dress.small, handlelength=3.2,
        )
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
            fontsize=_worn.get().text, color=_worn.get().ink)
