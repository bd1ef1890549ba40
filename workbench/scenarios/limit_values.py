"""Five charges under each odd limit: zero, one, one below usage, and the two "no limit"s."""

from __future__ import annotations

from typing import Annotated, Literal

from workbench.trace import TraceBuilder

from .parts import Nodes, Place, Scenario, Size, finish, machine, settle
from .parts import knobs as usual_knobs

TITLE = "No limit and a limit of zero"
SOURCE = "Balbir Singh, 7 Mar 2007 (how to say it); Herbert Poetzl, 9 Mar 2007 (-1 or ~0)"
QUESTION = "What do limits of zero, below usage, and the largest number mean?"
PLOT = "pages charged at most under each limit"
_ZERO = (
    "As posted the test `usage <= limit - 1` wraps for a limit of 0, which then is none; one below "
    "usage refuses, and so does 1 after the first page."
)
PREDICTION = {
    "none": "Limits mean nothing.",
    "first_touch": _ZERO,
    "hand_over": _ZERO,
    "fraction": _ZERO,
    "beancounter": _ZERO,
    "every_container": _ZERO,
    "every_mapping": _ZERO,
}
CASES = [{}, {"zero": "refuses"}]
WRITTEN = {"Zero": "0", "One": "1", "Below": "2", "Long": str((1 << 63) - 1),
           "Unsigned": str((1 << 64) - 1)}


def expect(pages: int, zero: str) -> dict[str, dict[str, object]]:
    most = {"most under 0": pages if zero == "wraps" else 0, "most under 1": 1,
            "most under 2 with 3 held": 3, "most under LONG_MAX": pages,
            "most under ULONG_MAX": pages}
    return {s: most for s in PREDICTION if s != "none"} | {"none": dict.fromkeys(most, 0)}


def build(
    size: Size = "small",
    nodes: Nodes = 1,
    place: Place = None,
    zero: Literal["wraps", "refuses"] = "wraps",
    pages: Annotated[int, range(4, 10_001)] | None = None,
) -> Scenario:
    """In each of five containers a limit is written, then a task reads 5 `pages` (full: 500); in
    one, 3 are there before. `zero`: a limit of 0 wraps as posted, or refuses everything."""
    pages = pages or (5 if size == "small" else 500)
    where = settle(place, list(WRITTEN), nodes)
    b = TraceBuilder()
    for c in WRITTEN:
        b.task(c.lower(), b.container(c), where[c])
        b.file(f"{c} file", pages)
        b.map(c.lower(), f"{c} file")
    b.touch_read("below", "Below file", 0, 3)
    for c, text in WRITTEN.items():
        b.set_limit(c, text)
    for c in WRITTEN:
        for page in range(pages):
            b.touch_read(c.lower(), f"{c} file", page, 1)
    b.mark("all have asked")
    knobs = usual_knobs(size)
    if zero == "refuses":
        knobs = type(knobs)(cluster=knobs.cluster, quirks="as_posted,-limit_zero")
    notes = (
        "Where usage is at its limit, pages are reclaimed or the task dies; what counts is the "
        "most that was ever charged at once.",
    )
    return finish(__name__, b.build(), machine(nodes, 5 * pages + 64), knobs, locals(),
                  expect(pages, zero), notes, O20=f"a limit of 0 {zero}")


def measure(trace, k) -> dict[str, float]:
    """The most charged at once under each limit, in pages."""
    said = ("0", "1", "2 with 3 held", "LONG_MAX", "ULONG_MAX")
    return {f"most under {text}": int(k.peak[c + 1]) / k.unit for c, text in enumerate(said)}
