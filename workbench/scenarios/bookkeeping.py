"""A machine full of pages, half of them shared by all guests: how many charge records it takes."""

from __future__ import annotations

from typing import Annotated

from workbench.kernel.names import COUNTED_RECORD, PAGE_RECORD
from workbench.trace import TraceBuilder

from .parts import STANDARD, Nodes, Place, Scenario, Size, finish, knobs, machine, settle

TITLE = "Bookkeeping"
SOURCE = "Herbert Poetzl, 9 Mar 2007 (25 MB wasted); Pavel Emelianov, 11 Mar 2007 (one a page)"
QUESTION = "What does it take to write down who pays for every page?"
PLOT = "records and bytes per page against the number of guests"
_ONE = "One record per page, however many share it."
_PAIR = "One record per page and guest that maps it: it grows with sharing."
PREDICTION = {
    "none": "Nothing is written down.",
    "first_touch": _ONE,
    "hand_over": _ONE,
    "fraction": _PAIR,
    "beancounter": _PAIR,
    "every_container:record=walk:lists=global": "Nothing is written down: mappers are walked.",
    "every_mapping": "Nothing is written down: a mapping is its own record.",
    "zone": "Nothing is written down: the frame's place says it.",
}
CASES = [{}, {"guests": 1}, {"guests": 20}]
# bytes of a pointer in struct page, and of a record: the patch's page_container, OpenVZ's
# page_beancounter; as declared, and as the slab of 2.6.20 rounds them (32 bytes at least)
POINTER = {32: 4, 64: 8}
OF_PAGE = {32: (16, 32), 64: (32, 32)}
OF_PAIR = {32: (28, 32), 64: (56, 64)}


def expect(guests: int, shared: int, private: int) -> dict[str, dict[str, object]]:
    frames, pairs = shared + guests * private, guests * (shared + private)
    one, pair, none = ({"records": n, "records / page": n / frames} for n in (frames, pairs, 0))
    return {"none": none, "first_touch": one, "hand_over": one, "fraction": pair,
            "beancounter": pair, "every_mapping": none, "zone": none,
            "every_container:record=walk:lists=global": none}


def build(
    size: Size = "small",
    nodes: Nodes = 1,
    place: Place = None,
    guests: Annotated[int, range(1, 101)] = 10,
    frames: Annotated[int, range(256, 1 << 21)] | None = None,
) -> Scenario:
    """`guests` that share half of all `frames` (1024; full: 65,536) and have the rest of their own.
    """
    frames = frames or (STANDARD // 4 if size == "small" else 65_536)
    shared = frames // 2
    private = max(1, shared // guests)
    boxes = [f"G{i + 1}" for i in range(guests)]
    where = settle(place, boxes, nodes)
    room = shared + private + frames // 128 + 64
    b = TraceBuilder()
    b.file("programs", shared, "/usr")
    for c in boxes:
        b.task(c.lower(), b.container(c, room), where[c])
        b.anon(f"{c} own", private)
    for c in boxes:
        b.touch_read(c.lower(), "programs")
        b.touch_write(c.lower(), f"{c} own")
    b.mark("all run")
    notes = (
        "Bytes are those of the structures of 2007, for the records counted here; this engine's "
        "own are of no interest.",
        "every_container keeps records for its list of pages; the walk that it was proposed with "
        "(record=walk) keeps none.",
    )
    return finish(__name__, b.build(), machine(nodes, guests * room), knobs(size), locals(),
                  expect(guests, shared, private), notes)


def measure(trace, k) -> dict[str, float]:
    """Records in use when all run, pages mapped, and bytes for both, a pointer per page included.
    """
    records = sum(int(n) for n in k.held)
    mapped = int(k.mapped_pages)
    per_page = k.record in (PAGE_RECORD, COUNTED_RECORD)
    found: dict[str, float] = {"records": records, "pages": mapped,
                               "records / page": records / mapped}
    for bits in (32, 64):
        kinds = OF_PAGE if per_page else OF_PAIR
        for said, each in zip(("", ", in slabs"), kinds[bits], strict=True):
            pointer = POINTER[bits] if records else 0
            found[f"bytes / page, {bits} bit{said}"] = pointer + each * records / mapped
    return found
