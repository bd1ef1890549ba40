"""Who pays for which page: a strip per object, a cell per page."""

from __future__ import annotations

from itertools import groupby

from workbench.results.explain import join
from workbench.results.units import count

from . import style

STRIPS = 20  # objects drawn, those with most charged pages first
SETS = 6  # more different sets of payers than this are shown by their number only
SINGLE = 200  # pages in all up to which every page has a box of its own
RATIO = 12  # objects whose sizes differ more are each drawn over the full width


def categories(table) -> tuple[list[str], dict[str, str]]:
    """What each page is coloured by, and the words for every category in the legend."""
    found = set(table["payers"]) - {""}
    if len(found) <= SETS:
        found = sorted(found, key=lambda p: (p.count("+"), p))
        return list(table["payers"]), {p: " and ".join(p.split("+")) for p in found}
    cells = [str(min(n, 4)) if n else "" for n in table["holders"]]
    words = {str(n): count(n, "payer") for n in (1, 2, 3)} | {"4": "4 payers or more"}
    return cells, {c: w for c, w in words.items() if c in set(cells)}


def strips(table) -> list[tuple[str, object]]:
    """(object, rows), those with most charged pages first."""
    parts = [(name, part) for name, part in table.groupby("object", sort=False)]
    return sorted(parts, key=lambda row: (-(row[1]["payers"] != "").sum(), -len(row[1])))


def owners(table, title: str = "Who pays for which page", containers: tuple = (), ax=None):
    """One strip per object (most charged first), one cell per page. Returns the Axes.

    table: `Run.owners()`. White: nobody pays; hatched grey: in memory, and nobody pays.
    containers: all of the run, in order, for the same colours as in its other charts.
    """
    chosen = strips(table)[:STRIPS]
    cells, words = categories(table)
    there = zip(cells, table["resident"], strict=True)
    table = table.assign(cell=[cell or ("free" if r else "") for cell, r in there])
    ax = style.axes(ax, 1.3 + 0.27 * max(1, len(chosen)))
    sizes = [len(part) for _, part in chosen] or [1]
    full = max(sizes) > RATIO * min(sizes)
    looks = style.looks([*containers, *words])
    faces = {c: (looks[c].colour, looks[c].hatch) for c in words}
    faces |= {"free": (style.FAINT, "////"), "": (style.PAPER, "")}
    drawn: dict[str, list] = {c: [] for c in faces}
    for y, (name, _) in enumerate(chosen):
        strip = table.loc[table["object"] == name, "cell"].tolist()
        scale, at = (1 / len(strip) if full else 1), 0
        for cell, run in groupby(strip):
            n = len(list(run))
            parts = n if len(table) <= SINGLE else 1  # a box per page while boxes can be seen
            drawn[cell] += [(y, (at + i * n / parts) * scale, n / parts * scale)
                            for i in range(parts)]
            at += n
    runs = sum(map(len, drawn.values()))
    for cell, spans in drawn.items():
        by_row = groupby(spans, key=lambda span: span[0])
        for i, (y, row) in enumerate(by_row):
            label = words.get(cell, "nobody, in memory" if cell == "free" else "nobody")
            ax.broken_barh(
                [(x, w) for _, x, w in row], (y - 0.38, 0.76), facecolors=faces[cell][0],
                hatch=faces[cell][1], edgecolor=style.INK, linewidth=0.4 if runs < 600 else 0.05,
                label="_" * bool(i) + label,
            )
    style.finish(ax, title, "pages of the object, first to last" if full else "page of the object")
    ends = [short(name) for name, _ in chosen]
    ends = ends if len(set(ends)) == len(ends) else [name[-30:] for name, _ in chosen]
    sized = zip(ends, chosen, strict=True)
    ax.set_yticks(range(len(chosen)), [f"{end} ({len(p):,})" for end, (_, p) in sized])
    ax.set_ylim(len(chosen) - 0.4, -0.6)
    ax.set_xlim(0, 1.003 * (1 if full else max(sizes)))
    if full:
        ax.set_xticks([])
    ax.grid(False)
    return ax


def short(name: str) -> str:
    """The last part of a path, not too long."""
    return name.rsplit("/", 1)[-1][-30:]


def describe_owners(table, when: str = "at the end") -> str:
    """How many pages each set of payers pays for."""
    cells, words = categories(table)
    parts = [f"{words[c]}: {cells.count(c):,}" for c in words]
    free = int(((table["payers"] == "") & table["resident"]).sum())
    parts += [f"in memory and paid for by nobody: {free:,}"] if free else []
    left = table["object"].nunique() - STRIPS
    pages, objects = count(len(table), "page"), count(table["object"].nunique(), "object")
    said = f"Who pays for the {pages} of {objects} {when}: {'; '.join(parts) or 'nobody for any'}."
    top = [f"{name} ({int((p['payers'] != '').sum()):,})" for name, p in strips(table)[:3]]
    said += f" Most are charged in {join(top)}." if words else ""
    return said + (f" {left} objects with fewer are not drawn." if left > 0 else "")
