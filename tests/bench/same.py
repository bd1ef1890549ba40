"""The engine's decisions made by hand-written C (same.c), and whether they are the same ones."""

from __future__ import annotations

import ctypes

import numpy as np

from workbench.kernel import names


def record(*fields: str, kind: str = "<i8") -> np.dtype:
    return np.dtype([(name, kind) for name in fields])


MEMORY = ("boxes", "page", "queue", "table")
MACHINE = record(*MEMORY, "room", "blocks", "zone_active", "zone_inactive", "tables", "counters",
                 "scanned", "rmap", "freed", "stamp", "charges")
STEPS = (names.N_SCANNED, names.N_RMAP, names.N_COUNTERS, names.N_FREED)
BOXED = ("usage", "peak", "failcnt", "mapped", "minor_faults", "major_faults")
BOX = record("limit", *BOXED, "first", "end")
HELD = record("page", "number", kind="<u4")
PAGE = np.dtype([("mapper", "<u4", 8), ("mappers", "<u4"), ("flags", "<u4"), ("stamp", "<u4"),
                 ("charge", "<u4"), ("payer", "<i8"), ("spare", "<i8")])


class Events(ctypes.Structure):
    _fields_ = [(name, ctypes.c_void_p) for name in ("op", "task", "at", "count", "outcome")]


class Same:
    """One of the two programs, over the engine's own event columns: "half" or "churn"."""

    def __init__(self, library: ctypes.CDLL, name: str, state, pages: int) -> None:
        self.run = getattr(library, name)
        self.run.argtypes = [ctypes.c_void_p, Events, ctypes.c_int64, ctypes.c_int64]
        self.run.restype = ctypes.c_int64
        self.columns = [state.ev_op, state.ev_task, state.ev_at, state.ev_count]
        self.state, self.pages, self.half = state, pages, name == "half"
        if self.half:
            self.room = 1 << (int(state.limit[1]) + 1).bit_length()
        else:
            self.room = int(np.bincount(state.ev_task).max())
        self.fresh()

    def fresh(self) -> tuple:
        """Before the first event, in memory of its own."""
        tasks, blocks = self.state.tasks, self.pages // 512 + 1
        self.machine, self.boxes = zeros(1, MACHINE), zeros(tasks, BOX)
        self.page = zeros(self.pages, np.uint8 if self.half else PAGE)
        self.queue = zeros(tasks * self.room, HELD)
        self.table = zeros(tasks * blocks, np.uint8)
        self.outcome = zeros(len(self.columns[0]), np.uint8)
        for name in MEMORY:
            self.machine[name] = getattr(self, name).ctypes.data
        self.machine["room"], self.machine["blocks"] = self.room, blocks
        self.boxes["limit"] = self.state.limit[1:]
        self.done = 0
        return ()

    def go(self, stop: int) -> None:
        """The events up to `stop`. Raises ValueError at one that the program cannot do."""
        events = Events(*(c.ctypes.data for c in (*self.columns, self.outcome)))
        self.done = self.run(self.machine.ctypes.data, events, self.done, stop)
        if self.done < stop:
            raise ValueError(f"same.c cannot do event {self.done + 1}")

    def check(self, k) -> None:
        """Raises ValueError where the engine's state after the same events is another one."""
        ours = self.found()
        for what, theirs in wanted(k, self.pages).items():
            if not np.array_equal(ours[what], theirs):
                raise ValueError(f"same.c and the engine part: {what}: {ours[what]}, not {theirs}")

    def found(self) -> dict[str, object]:
        m, page, numbers = self.machine[0], self.page, np.arange(self.pages)
        if self.half:
            queue = self.queue[np.arange(self.boxes["first"][0], self.boxes["end"][0]) % self.room]
            lists, here = [queue["page"][::-1]], page & 1 != 0
            newest = queue["page"][np.argsort(queue["number"])[::-1]]
            active, referenced = page[newest] & 8 != 0, page & 4 != 0
            mappers = np.where(page[here] & 2, names.YOUNG | names.PRESENT, names.PRESENT)
        else:
            lists = []
            for queue in self.queue.reshape(-1, self.room):
                alive = (page["charge"][queue["page"]] == queue["number"]) & (queue["number"] > 0)
                lists.append(queue["page"][alive][::-1])
            here, referenced = page["flags"] & 1 != 0, page["flags"] & 2 != 0
            newest = numbers[here][np.argsort(page["stamp"][here])[::-1]]
            active = page["flags"][newest] & 4 != 0
            there = np.arange(8) < page["mappers"][:, None]
            task, young = page["mapper"][there] >> 1, page["mapper"][there] & 1
            mappers = task << 8 | np.where(young, names.YOUNG | names.PRESENT, names.PRESENT)
        kernel = 2 * len(self.boxes) + m["tables"]
        return {column: self.boxes[column] for column in BOXED} | {
            "outcomes": self.outcome, "lists": lists_of(lists), "mappers": mappers,
            "resident": here, "referenced": referenced,
            "active pages": newest[active], "inactive pages": newest[~active],
            "zone": [m["zone_active"], m["zone_inactive"], np.sum(here), kernel],
            "steps": [m["scanned"], m["rmap"], m["counters"], m["freed"]],
        }


def wanted(k, pages: int) -> dict[str, object]:
    """The same of the engine's state."""
    after, word = k.pte_next.tolist(), k.word.tolist()
    zone, entry = k.page_next.tolist(), k.entry_next.tolist()
    mappers = []
    for first, maps in zip(k.page_rmap[:pages].tolist(), k.page_maps[:pages].tolist(), strict=True):
        pte = first - 1
        for _ in range(maps):
            w = word[pte]
            mappers.append(((w >> 40) - 1) << 8 | (w & 255))
            pte = after[pte]
    boxes = range(1, k.containers)
    return {column: getattr(k, column)[1:] for column in BOXED} | {
        "outcomes": k.ev_outcome, "mappers": mappers,
        "lists": lists_of([k.entry_page[walk(entry, names.HEADS * c)] for c in boxes]),
        "resident": k.page_flags[:pages] & names.RESIDENT != 0,
        "referenced": k.page_flags[:pages] & names.REFERENCED != 0,
        "active pages": walk(zone, k.vpages + 1), "inactive pages": walk(zone, k.vpages),
        "zone": [k.zone_active[0], k.zone_inactive[0], k.zone_file[0], k.zone_kernel[0]],
        "steps": [k.stat[i] for i in STEPS],
    }


def walk(following: list[int], head: int) -> list[int]:
    found, i = [], following[head]
    while i != head:
        found.append(i)
        i = following[i]
    return found


def lists_of(lists: list) -> np.ndarray:
    """Lists in one row, each behind its length."""
    return np.concatenate([part for one in lists for part in ([len(one)], one)]).astype(int)


def zeros(rows: int, kind) -> np.ndarray:
    """A table of zeros that begins with a cache line, in memory."""
    size = rows * np.dtype(kind).itemsize
    raw = np.empty(size + 64, np.uint8)
    raw[:] = 0
    start = -raw.ctypes.data % 64
    return raw[start : start + size].view(kind)
