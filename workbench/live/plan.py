"""A trace as a plan for the native runner: lines of numbers, one operation each.

What a real kernel can be told is told as it stands. The rest is put into terms that it knows
(an overlapping `map` maps what is not mapped yet; the end of the last mapping of nameless shared
memory frees it) or refused, by name (`Inexpressible`).
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from workbench.trace import Op, Trace
from workbench.trace.builder import Spans, gaps, within, without
from workbench.trace.language import BIRTHS, control_write

Hints = Sequence[Sequence[int | None]]  # pages expected after every event, by container
NO_EFFECT = {Op.open, Op.close, Op.reap, Op.age, Op.mark, Op.run_on}
REFUSED = {
    Op.io_error: "no real disk fails when told to",
    Op.migrate: "pages are moved between nodes by the zone stories only",
}
# other files of a group that are written to as the trace has it
CONTROLS = ("memory.oom_control", "memory.memsw.limit_in_bytes", "pids.max")
KINDS = {"file": "file", "anon": "anon", "shm": "shm", "ramfs": "shm"}


class Inexpressible(ValueError):
    """A trace asks for something that cannot be done to a real kernel."""


class Planner:
    """Writes the lines of one trace; knows what every task has mapped."""

    def __init__(self, trace: Trace) -> None:
        self.trace = trace
        self.mm: dict[int, dict[tuple[int, bool], Spans]] = {}  # task -> (object, shared) -> runs
        self.dirty: dict[int, Spans] = {}  # object -> pages that a drop would have to write first
        later = trace.made(*BIRTHS)
        for number in range(len(trace.tasks)):
            if number not in later:
                self.mm[number] = {}

    def head(self) -> Iterator[str]:
        trace = self.trace
        later = trace.made(Op.mkdir)
        above = {c.name: i for i, c in enumerate(trace.containers)}
        for number, box in enumerate(trace.containers):
            parent = above.get(getattr(box, "parent", None) or "root", 0) or -1
            limit = -1 if box.limit is None else box.limit
            node = next((t.node for t in trace.tasks if t.container == box.name), 0)
            yield f"group {parent} {limit} {int(number not in later)} {node}"
        for thing in trace.objects:
            if thing.kind not in KINDS:
                raise Inexpressible(f"object {thing.name}: {thing.kind} pages are the kernel's own")
            yield f"object {KINDS[thing.kind]} {thing.pages}"
        for number, task in enumerate(trace.tasks):
            yield f"task {above[task.container]} {int(number in self.mm)}"

    def body(self, hints: Hints | None, look: int) -> Iterator[str]:
        for number, row in enumerate(self.trace.columns()["op"]):
            for line in self.event(number, Op(row)):
                yield f"do {number} {line}"
            expected = () if hints is None else hints[number]
            yield f"at {number} " + " ".join("-1" if n is None else str(n) for n in expected)
            if look and number % look == look - 1:
                yield from (f"do {number} share", f"do {number} pss")

    def event(self, number: int, op: Op) -> Iterator[str]:
        trace = self.trace
        task, target = int(trace.task[number]), int(trace.target[number])
        page, count = int(trace.page[number]), int(trace.count[number])
        if op in REFUSED:
            raise Inexpressible(f"event {number + 1}, {op.name}: {REFUSED[op]}")
        if op in NO_EFFECT:
            return
        if op == Op.set_limit:
            yield self.limit(number, target)
        elif op in (Op.mkdir, Op.rmdir):
            yield f"{op.name} -1 {target}"
        elif op == Op.drop_caches:
            for o, thing in enumerate(trace.objects):
                if thing.kind == "file":
                    for start, stop in gaps(self.dirty.get(o, ()), 0, thing.pages):
                        yield f"drop -1 {o} {start} {stop - start}"
        elif task not in self.mm:
            return  # a task that was never born, or has ended
        else:
            yield from self.of_task(op, task, target, page, count, number)

    def limit(self, number: int, box: int) -> str:
        file, written = control_write(self.trace.values[self.trace.value[number]])
        pages = pages_written(file, written)
        if pages is not None:
            return f"limit -1 {box} {pages}"
        text = written.decode("latin-1").strip()
        if file in CONTROLS and text.isascii() and (text.isdigit() or text == "max"):
            return f"control -1 {box} {file} {text}"
        raise Inexpressible(
            f"event {number + 1}: {file}={written!r} is neither a plain limit nor a plain number "
            f"to {' or '.join(CONTROLS)}"
        )

    def of_task(
        self, op: Op, task: int, target: int, page: int, count: int, number: int
    ) -> Iterator[str]:
        mine = self.mm[task]
        if op == Op.map:
            yield from self.map(task, target, page, count, number)
        elif op in (Op.fork, Op.thread):
            yield f"{op.name} {task} {target}"
            self.mm[target] = mine if op == Op.thread else dict(mine)
        elif op in (Op.exec, Op.exit):
            yield f"{op.name} {task}"
            last = op == Op.exec or sum(other is mine for other in self.mm.values()) == 1
            gone = {o for o, _ in mine} if last else set()
            if op == Op.exit:
                del self.mm[task]
            else:
                mine.clear()
            yield from self.forget(gone)
        elif op == Op.move:
            yield f"move {task} {target}"
        else:
            shared = bool(gaps_of(mine.get((target, True), ()), page, count))
            yield f"{op.name} {task} {target} {page} {count} {int(shared)}"
            if op == Op.write or (op == Op.touch_write and shared):
                known = self.dirty.get(target, ())
                self.dirty[target] = within(known, page, page + count)
            elif op == Op.unmap:
                for key in ((target, False), (target, True)):
                    mine[key] = without(mine.get(key, ()), page, page + count)
                    if not mine[key]:
                        del mine[key]
                yield from self.forget({target})

    def map(self, task: int, o: int, page: int, count: int, number: int) -> Iterator[str]:
        mine = self.mm[task]
        shared = self.trace.values[self.trace.value[number]] == "shared"
        if gaps_of(mine.get((o, not shared), ()), page, count):
            name = self.trace.objects[o].name
            raise Inexpressible(f"event {number + 1}: {name} is mapped anew in another way")
        known = mine.get((o, shared), ())
        for start, stop in gaps(known, page, page + count):
            yield f"map {task} {o} {start} {stop - start} {int(shared)}"
        mine[o, shared] = within(known, page, page + count)

    def forget(self, objects: set[int]) -> Iterator[str]:
        """Nameless shared memory is freed with its last mapping."""
        for o in sorted(objects):
            thing = self.trace.objects[o]
            runs = (spans for mm in self.mm.values() for (i, _), spans in mm.items() if i == o)
            if thing.kind == "shm" and not thing.path and not any(runs):
                yield f"forget -1 {o}"


def pages_written(file: str, written: bytes) -> int | None:
    """The limit on memory that a control write sets, in pages; -1: none; None: something else."""
    text = written.decode("latin-1").strip()
    if file not in ("rss_limit", "memory.limit_in_bytes", "memory.max"):
        return None
    if text in ("-1", "max"):
        return -1
    return int(text) // (1 if file == "rss_limit" else 4096) if text.isdigit() else None


def gaps_of(spans: Spans, page: int, count: int) -> list[tuple[int, int]]:
    """The parts of a run that are in `spans`."""
    found = ((max(start, page), min(stop, page + count)) for start, stop in spans)
    return [(start, stop) for start, stop in found if start < stop]


def write_plan(trace: Trace, hints: Hints | None = None, *, look: int = 0) -> str:
    """The lines between a host's own head and end. Raises Inexpressible.

    hints  pages expected after every event: a number that differs is measured again a little
           later (at most five times), because another CPU may be about to give pages back. Hints
           can delay a measurement, never change it.
    look   compare the mapped sets and PSS after every so many events (0: never)
    """
    planner = Planner(trace)
    return "\n".join([*planner.head(), *planner.body(hints, look)]) + "\n"
