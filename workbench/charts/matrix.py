"""A table of words coloured by what they mean: attacks, or properties, against schemes."""

from __future__ import annotations

from workbench.results.explain import join, listed

from . import style

MEANINGS = ("holds", "fails", "depends")  # what a cell may be marked as
FACES = {"holds": (0, ""), "depends": (2, "..."), "fails": (1, "///")}  # colour, hatch


def matrix(table, title: str = "", words: dict[str, str] | None = None, ax=None):
    """Rows down, columns across, a word in every cell; colour and hatch tell what it means.

    table: columns row, column, word, meaning (one of MEANINGS, or "" for a plain cell)
    words: what the meanings are called in the legend. Raises ValueError for another meaning.
    """
    for meaning in table["meaning"]:
        if meaning not in ("", *MEANINGS):
            raise ValueError(f"meaning {meaning!r} is not one of {', '.join(MEANINGS)}")
    rows, columns = (list(dict.fromkeys(table[name])) for name in ("row", "column"))
    if ax is None:
        size = 0.9 + 0.34 * len(rows), max(4.1, 1.7 + 0.92 * len(columns))
        ax = style.sheet(*size).add_subplot()
    named = dict(zip(MEANINGS, MEANINGS, strict=True)) | (words or {})
    seen = set()
    for cell in table.itertuples():
        x, y = columns.index(cell.column), rows.index(cell.row)
        if cell.meaning:
            colour, hatch = FACES[cell.meaning]
            ax.bar(x, 0.9, 0.94, y - 0.45, color=style.COLOURS[colour], alpha=0.35, hatch=hatch,
                   edgecolor=style.INK, linewidth=0.3,
                   label=None if cell.meaning in seen else named[cell.meaning])
            seen.add(cell.meaning)
        ax.text(x, y, cell.word, ha="center", va="center", fontsize=style.SMALL, color=style.INK)
    style.finish(ax, title, x="", legend=False)
    heads = [name.replace("_", "\n", 1).replace(":", "\n") for name in columns]
    ax.set_xticks(range(len(columns)), heads)
    ax.set_yticks(range(len(rows)), rows)
    ax.xaxis.tick_top()
    ax.tick_params(length=0)
    ax.grid(visible=False)
    ax.spines[:].set_visible(False)
    ax.set_xlim(-0.5, len(columns) - 0.5)
    ax.set_ylim(len(rows) - 0.5, -0.5)
    if seen:
        handles, labels = ax.get_legend_handles_labels()
        ax.figure.legend(handles, labels, loc="outside lower center", ncols=3, frameon=False,
                         fontsize=style.SMALL)
    return ax


def describe_matrix(table, words: dict[str, str] | None = None) -> str:
    """Row by row: under which columns what holds and what fails."""
    named = dict(zip(MEANINGS, MEANINGS, strict=True)) | (words or {})
    told = []
    for row, part in table.groupby("row", sort=False):
        groups = [
            f"{named[meaning]} under {join(part[part['meaning'] == meaning]['column'])}"
            for meaning in MEANINGS if (part["meaning"] == meaning).any()
        ]
        told.append(f"{row}: {', '.join(groups) or 'nothing is said'}")
    return f"{listed(told)}."
