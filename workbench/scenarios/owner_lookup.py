"""Where to write down who pays for a page: bytes, steps and errors of six answers."""

from __future__ import annotations

import random
from collections import Counter
from math import prod, sqrt
from typing import Annotated

from workbench.kernel.hooks import maps
from workbench.trace import Op, TraceBuilder

from .parts import Nodes, Place, Scenario, Size, charged, finish, knobs, machine, settle

TITLE = "Whose page is this?"
SOURCE = (
    "Kirill Korotaev, 12 Mar 2007 (a pointer or a hash); Pavel Emelianov, 12 Mar 2007 (or a "
    "mirrored array); Dave Hansen, 12 Mar 2007 (the mappings tell; a hash may be imprecise); "
    "Vaidyanathan Srinivasan, 14 Mar 2007 (the file)"
)
QUESTION = "What must be remembered to know whom to uncharge, and what does it cost?"
PLOT = "bytes, probes per look-up and wrong payers of each way to find the payer"
PREDICTION = {
    "first_touch": "Pages that their payer has left need a reference; the mappings cannot tell.",
    "hand_over": "Whoever pays maps the page: the mappings tell.",
    "every_container": "Whoever pays maps the page: the mappings tell.",
    "file_owner": "One word for a file; but the half of it that another uses is billed to its "
    "first user.",
}
SCHEMES = ("none", "first_touch", "hand_over", "every_container", "file_owner")
CASES = [{}, {"half": 128}, {"half": 1_500}]
WORD = 8  # bytes of a pointer
SPARSE = 4  # frames for one slot of a hash table


def expect(half: int, frames: int) -> dict[str, dict[str, object]]:
    """Frames are handed out at random, so that each has SPARSE - 1 rivals for its slot."""
    n, rivals = 2 * half, SPARSE - 1
    pairs = n * (n - 1) / 2 * rivals / (frames - 1)  # of pages that share a slot
    taken = 1 - prod((frames - 1 - half - j) / (frames - 1 - j) for j in range(rivals))
    spread = 5 * sqrt(pairs)
    both = {
        "bytes: pointer": WORD * frames, "bytes: mirrored array": WORD * frames,
        "bytes: hash": WORD * frames // SPARSE + 2 * WORD * n,
        "bytes: lossy hash": WORD * frames // SPARSE, "bytes: file": WORD,
        "probes: hash": (1 + (pairs - spread) / n, 1 + (pairs + spread) / n),
        "wrong: lossy hash": (half * taken - 5 * sqrt(half), half * taken + 5 * sqrt(half)),
        "wrong: file": half, "unknown: mappings": half // 2,
    }
    found = {"unknown: mappings": 0}
    return {"first_touch": both | {"billed to another": 0}, "hand_over": found,
            "every_container": found, "file_owner": {"billed to another": half}}


def build(
    size: Size = "small",
    nodes: Nodes = 1,
    place: Place = None,
    half: Annotated[int, range(4, 1 << 20)] | None = None,
) -> Scenario:
    """A touches the first `half` (512; full: 32,768 pages, 128 MB) of a file, B the second; C maps
    what A then leaves, half of A's pages."""
    half = half or (512 if size == "small" else 32_768)
    where = settle(place, ["A", "B", "C"], nodes)
    b = TraceBuilder()
    b.file("data", 2 * half)
    for c in "ABC":
        b.task(c.lower(), b.container(c), where[c])
    b.touch_read("a", "data", range(half))
    b.touch_read("b", "data", range(half, 2 * half))
    b.touch_read("c", "data", range(half // 2))
    b.unmap("a", "data", range(half // 2))
    notes = (
        f"Words are {WORD} bytes; a hash has a slot for every {SPARSE} frames, the exact one two "
        "words more for each charged page. What every way needs (lists, counters) is left out.",
        "Frames are handed out at random, the same for every scheme; a slot is frame mod slots.",
        "The lossy hash keeps no page: who finds a slot empty pays for all that falls into it, "
        "until it is empty again. Charges and uncharges agree; the payer may be wrong.",
        "Under file_owner memory of tasks would need words of its own; here there is none.",
    )
    hardware = machine(nodes, 2 * half)
    return finish(__name__, b.build(), hardware, knobs(size), locals(),
                  expect(half, nodes * hardware.frames), notes)


def measure(trace, k) -> dict[str, float]:
    """What each way takes, from the charges at the end; a probe is a record or slot looked at.

    wrong     pages for which it names another than the scheme charges
    unknown   pages whose payer maps them no more
    tries     pages a container must touch to get one that A pays for, under the lossy hash
    """
    pages = charged(k)
    frames = int(k.total_frames)
    slots = frames // SPARSE
    lots = random.Random(0).sample(range(frames), len(pages))
    chains = Counter(lot % slots for lot in lots)
    holder: dict[int, int] = {}
    for lot, (_, payer) in zip(lots, pages, strict=True):
        holder.setdefault(lot % slots, payer)
    lossy = sum(holder[lot % slots] != who for lot, (_, who) in zip(lots, pages, strict=True))
    firsts = first_users(trace)
    files = {o for o, _ in firsts}
    base = [int(k.obj_base[o]) for o in range(len(trace.objects))]
    of_file = {base[o] + i: (o, i) for o, i in firsts}
    owner_of = {o: next(c for (file, _), c in firsts.items() if file == o) for o in files}
    held = sum(c == 1 for c in holder.values())
    return {
        "charged": len(pages),
        "billed to another": sum(firsts[of_file[p]] != who for p, who in pages),
        "unknown: mappings": sum(not maps(k, p, who, -1) for p, who in pages),
        "bytes: pointer": WORD * frames,
        "bytes: mirrored array": WORD * frames,
        "bytes: hash": WORD * slots + 2 * WORD * len(pages),
        "bytes: lossy hash": WORD * slots,
        "bytes: file": WORD * len(files),
        "probes: hash": sum(n * (n + 1) // 2 for n in chains.values()) / max(1, len(pages)),
        "wrong: lossy hash": lossy,
        "wrong: file": sum(owner_of[of_file[p][0]] != who for p, who in pages),
        "tries: lossy hash": slots / held if held else 0,
    }


def first_users(trace) -> dict[tuple[int, int], int]:
    """(object, page) -> the container that touched it first."""
    found: dict[tuple[int, int], int] = {}
    number = {box.name: c for c, box in enumerate(trace.containers)}
    home = [number[task.container] for task in trace.tasks]
    for i in range(len(trace)):
        if trace.op[i] == Op.touch_read:
            o, first = int(trace.target[i]), int(trace.page[i])
            for page in range(first, first + int(trace.count[i])):
                found.setdefault((o, page), home[trace.task[i]])
    return found
