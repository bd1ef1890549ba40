"""Identical guests that share their programs: what sharing saves, and who is billed for it."""

from __future__ import annotations

from typing import Annotated

from workbench.trace import TraceBuilder

from .parts import Books, Nodes, Place, Scenario, Size, finish, knobs, machine, settle

TITLE = "N identical guests"
SOURCE = "Herbert Poetzl, 12 Mar 2007 (80 MB own, 400 MB shared); Dave Hansen, 12 Mar 2007 (sizes)"
QUESTION = "Do the charges add up to the memory in use, or to what N machines would need?"
PLOT = "frames in use, sum of charges and their ratio, by number of guests"
PREDICTION = {
    "none": "Nothing is charged; the frames in use are f(N) = S + N P.",
    "first_touch": "The charges add up to f(N): the first guest pays S + P, every other P.",
    "hand_over": "As first touch, as long as nobody leaves: the sum is f(N).",
    "fraction": "The sum is f(N), and every guest pays the same P + S / N.",
    "beancounter": "The sum is f(N); the shares differ by up to a factor of two.",
    "every_container": "Every guest pays S + P: the sum is g(N) = N (S + P), the frames are f(N).",
    "every_mapping": "As every container here: one task each, so the sum is g(N).",
    "zone": "The frames in use are f(N), but the first guest's zone holds all of S.",
}
CASES = [{}, {"guests": 1}, {"guests": 100}]


def expect(n: int, p: int, s: int) -> dict[str, dict[str, float]]:
    f, g = s + n * p, n * (s + p)
    first, last = {}, {}
    for scheme, shared in {"first_touch": (s, 0), "hand_over": (s, 0), "zone": (s, 0),
                           "fraction": (s / n, s / n), "every_container": (s, s),
                           "every_mapping": (s, s), "none": (-p, -p)}.items():
        first[scheme], last[scheme] = p + shared[0], p + (shared[1] if n > 1 else shared[0])
    sums = {"every_container": g, "every_mapping": g, "none": 0}
    table = {}
    for scheme in PREDICTION:
        total = sums.get(scheme, f)
        table[scheme] = {"frames": f, "sum of charges": total, "sum / frames": total / f}
        if scheme in first:
            table[scheme] |= {"first guest": first[scheme], "last guest": last[scheme]}
    return table


def build(
    size: Size = "small",
    nodes: Nodes = 1,
    place: Place = None,
    guests: Annotated[int, range(1, 1001)] = 10,
    private: Annotated[int, range(1, 1 << 20)] | None = None,
    shared: Annotated[int, range(1, 1 << 20)] | None = None,
) -> Scenario:
    """`guests` with `private` pages each and the same `shared` ones (40, 200; full: 80, 400 MB)."""
    private = private or (40 if size == "small" else 20_480)
    shared = shared or (200 if size == "small" else 102_400)
    boxes = [f"G{i + 1}" for i in range(guests)]
    where = settle(place, boxes, nodes)
    limit = private + shared + (private + shared) // 128 + 16
    b = TraceBuilder()
    b.file("programs", shared, "/usr")
    for c in boxes:
        b.task(c.lower(), b.container(c, limit), where[c])
        b.anon(f"{c} own", private)
    for c in boxes:
        b.touch_read(c.lower(), "programs")
        b.touch_write(c.lower(), f"{c} own")
        b.mark(f"{c} runs")
    notes = (
        "Every limit lets a guest run alone, so no scheme reclaims; the machine holds all of it.",
        "Dave Hansen's measured libraries at full size: shared=28460 (laptop), 9792 (server).",
    )
    return finish(__name__, b.build(), machine(nodes, guests * limit), knobs(size), locals(),
                  expect(guests, private, shared), notes)


def measure(trace, k) -> dict[str, float]:
    """Frames, charges and their ratio when all guests run."""
    books = Books(trace, k)
    boxes = [c.name for c in trace.containers[1:]]
    return {
        "frames": books.pages(),
        "sum of charges": books.sum(),
        "sum / frames": books.sum() / books.pages(),
        "first guest": books.charge(boxes[0]),
        "last guest": books.charge(boxes[-1]),
    }
