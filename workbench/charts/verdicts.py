"""Verdicts counted: a bar per big question; colour and hatch tell them apart."""

from __future__ import annotations

import textwrap
from collections import Counter

from workbench.results.explain import listed

from . import style

VERDICTS = ("holds", "depends", "fails", "not testable")


def verdicts(table, ax=None):
    """Claims by verdict. table: a row per claim with `question` and `verdict`. Returns the Axes."""
    asked = list(dict.fromkeys(table["question"]))
    count = Counter(zip(table["question"], table["verdict"], strict=True))
    ax = style.axes(ax, 1.2 + 0.42 * max(1, len(asked)))
    left = [0] * len(asked)
    for verdict, look in style.looks(VERDICTS).items():
        width = [count[question, verdict] for question in asked]
        ax.barh(range(len(asked)), width, left=left, label=verdict, hatch=look.hatch,
                color=look.colour, edgecolor=style.PAPER, linewidth=0.5)
        left = [a + b for a, b in zip(left, width, strict=True)]
    style.finish(ax, "", "claims")
    ax.grid(axis="y", visible=False)
    ax.set_yticks(range(len(asked)), [textwrap.fill(str(q), 42) for q in asked])
    ax.invert_yaxis()
    return ax


def describe_verdicts(table) -> str:
    """The chart in one sentence."""
    count = Counter(table["verdict"])
    told = [f"{count[verdict]} {verdict}" for verdict in VERDICTS if count[verdict]]
    questions = table["question"].nunique()
    return f"{len(table)} claims on {questions} questions: {listed(told) or 'none settled'}."
