"""`TraceBuilder`: write a trace as a short Python program."""

from __future__ import annotations

from array import array

from .language import BIRTHS, CONTROL_FILES, LANGUAGE, SHARING, Op, control_value
from .model import COLUMNS, Container, Object, Task, Trace
from .validate import did_you_mean

Spans = tuple[tuple[int, int], ...]  # disjoint, sorted, half-open runs of pages


def without(spans: Spans, start: int, stop: int) -> Spans:
    """`spans` minus the run start..stop-1."""
    if start >= stop:
        return spans
    parts = ((p, q) for s, e in spans for p, q in ((s, min(e, start)), (max(s, stop), e)))
    return tuple((p, q) for p, q in parts if p < q)


def within(spans: Spans, start: int, stop: int) -> Spans:
    """`spans` plus the run start..stop-1, touching runs merged."""
    for s, e in spans:
        if s <= stop and start <= e:
            start, stop = min(s, start), max(e, stop)
    return tuple(sorted((*without(spans, start, stop), (start, stop))))


def gaps(spans: Spans, start: int, stop: int) -> Spans:
    """The parts of start..stop-1 that are not in `spans`."""
    left: Spans = ((start, stop),)
    for s, e in spans:
        left = without(left, s, e)
    return left


class TraceBuilder:
    """Declare containers, objects and tasks, then call one method per event; names are handles.

    Touches map what their task has not mapped yet. Raises ValueError (unknown name, name used
    twice) at once; everything else is found by `build`.
    """

    def __init__(self) -> None:
        self._rows = {"object": {}, "task": {}, "container": {"root": Container("root")}}
        self._index = {"object": {}, "task": {}, "container": {"root": 0}}
        self._values = {"": 0}
        self._columns = {name: array(code) for name, code in COLUMNS.items()}
        self._mm: dict[str, dict[str, Spans]] = {}  # task -> its mappings, shared by threads

    def __len__(self) -> int:
        """Events so far."""
        return len(self._columns["op"])

    # -- tables --------------------------------------------------------------------------------

    def _add(self, table: str, row) -> str:
        if row.name in self._index[table] and row.name != "root":
            raise ValueError(f"there is already a {table} named {row.name}")
        self._index[table].setdefault(row.name, len(self._index[table]))
        self._rows[table][row.name] = row
        return row.name

    def _find(self, table: str, name: str) -> int:
        try:
            return self._index[table][name]
        except (KeyError, TypeError):
            hint = did_you_mean(str(name), self._index[table])
            raise ValueError(f"no {table} named {name!r}{hint}") from None

    def container(
        self,
        name: str,
        limit: int | None = None,
        numproc_limit: int | None = None,
        numfiles_limit: int | None = None,
        parent: str = "",
    ) -> str:
        """Declare a container there from the start, or for `mkdir`; limits in pages and counts.

        `parent` is a container declared before (blank: root).
        """
        if parent:
            self._find("container", parent)
        row = Container(name, limit, numproc_limit, numfiles_limit, parent)
        return self._add("container", row)

    def object(self, name: str, kind: str, pages: int, path: str = "") -> str:
        """Declare an object of any kind."""
        return self._add("object", Object(name, kind, pages, path))

    def file(self, name: str, pages: int, path: str = "") -> str:
        """Declare a file."""
        return self.object(name, "file", pages, path)

    def anon(self, name: str, pages: int) -> str:
        """Declare anonymous memory."""
        return self.object(name, "anon", pages)

    def shm(self, name: str, pages: int) -> str:
        """Declare shared memory or a tmpfs file."""
        return self.object(name, "shm", pages)

    def task(self, name: str, container: str = "root", node: int = 0, **badness) -> str:
        """Declare a task there from the start; `badness` are the other fields of `Task`."""
        self._find("container", container)
        self._mm[name] = {}
        return self._add("task", Task(name, container, node, **badness))

    # -- events --------------------------------------------------------------------------------

    def _event(
        self,
        op: Op,
        task: str | None = None,
        target: str | None = None,
        page: int = 0,
        count: int = 1,
        value: str = "",
    ) -> None:
        if task is not None:
            who = self._find("task", task)
        row = (
            op,
            -1 if task is None else who,
            -1 if target is None else self._find(LANGUAGE[op].target, target),
            page,
            count,
            self._values.setdefault(value, len(self._values)),
        )
        length = len(self._columns["op"])
        try:
            for cells, cell in zip(self._columns.values(), row, strict=True):
                cells.append(cell)
        except (OverflowError, TypeError):
            for cells in self._columns.values():
                del cells[length:]
            raise ValueError(f"{op.name}: {cell!r} does not fit its column") from None

    def _run(self, obj: str, page: int | range, count: int | None) -> tuple[int, int]:
        """(first page, number of pages)."""
        self._find("object", obj)
        if isinstance(page, range):
            if page.step != 1 or count is not None:
                raise ValueError(f"{obj}: {page} is not a run of pages, or has a count besides")
            return page.start, len(page)
        return page, self._rows["object"][obj].pages - page if count is None else count

    def mapped(self, task: str) -> dict[str, Spans]:
        """Object -> runs of its pages that the task has mapped."""
        self._find("task", task)
        return self._mm[task]

    def _on_pages(self, op: Op, task: str, obj: str, page, count, value: str = "") -> None:
        first, n = self._run(obj, page, count)
        self._event(op, task, obj, first, n, value)

    def _touch(self, op: Op, task: str, obj: str, page: int | range, count: int | None) -> None:
        first, n = self._run(obj, page, count)
        if SHARING.get(self._rows["object"][obj].kind):
            for start, stop in gaps(self.mapped(task).get(obj, ()), first, first + n):
                self.map(task, obj, start, stop - start)
        self._event(op, task, obj, first, n)

    def touch(
        self,
        task: str,
        obj: str,
        page: int | range = 0,
        count: int | None = None,
        write: bool = False,
    ) -> None:
        """`touch_read` or, with `write`, `touch_write`."""
        self._touch(Op.touch_write if write else Op.touch_read, task, obj, page, count)

    def touch_read(
        self, task: str, obj: str, page: int | range = 0, count: int | None = None
    ) -> None:
        """Load from `count` pages (None: to the end of the object), mapping them when needed."""
        self._touch(Op.touch_read, task, obj, page, count)

    def touch_write(
        self, task: str, obj: str, page: int | range = 0, count: int | None = None
    ) -> None:
        """Store to `count` pages (None: to the end of the object), mapping them when needed."""
        self._touch(Op.touch_write, task, obj, page, count)

    def read(self, task: str, obj: str, page: int | range = 0, count: int | None = None) -> None:
        """read(2)."""
        self._on_pages(Op.read, task, obj, page, count)

    def write(self, task: str, obj: str, page: int | range = 0, count: int | None = None) -> None:
        """write(2)."""
        self._on_pages(Op.write, task, obj, page, count)

    def map(
        self,
        task: str,
        obj: str,
        page: int | range = 0,
        count: int | None = None,
        shared: bool | None = None,
    ) -> None:
        """Map a range; `shared` None takes shared for shm and private for the rest."""
        first, n = self._run(obj, page, count)
        usual = (SHARING.get(self._rows["object"][obj].kind) or ("private",))[0]
        value = usual if shared is None else "shared" if shared else "private"
        self._event(Op.map, task, obj, first, n, value)
        mapped = self.mapped(task)
        mapped[obj] = within(mapped.get(obj, ()), first, first + n)

    def unmap(self, task: str, obj: str, page: int | range = 0, count: int | None = None) -> None:
        """Remove the mapping of a range."""
        first, n = self._run(obj, page, count)
        self._event(Op.unmap, task, obj, first, n)
        mapped = self.mapped(task)
        mapped[obj] = without(mapped.get(obj, ()), first, first + n)

    def discard(self, task: str, obj: str, page: int | range = 0, count: int | None = None) -> None:
        """Drop page-table entries; the mapping stays."""
        self._on_pages(Op.discard, task, obj, page, count)

    def mlock(self, task: str, obj: str, page: int | range = 0, count: int | None = None) -> None:
        """Lock a range."""
        self._on_pages(Op.mlock, task, obj, page, count)

    def munlock(self, task: str, obj: str, page: int | range = 0, count: int | None = None) -> None:
        """Unlock a range."""
        self._on_pages(Op.munlock, task, obj, page, count)

    def open(self, task: str, obj: str) -> None:
        """Open a file object."""
        self._event(Op.open, task, obj)

    def close(self, task: str, obj: str) -> None:
        """Close it."""
        self._event(Op.close, task, obj)

    def _birth(self, op: Op, parent: str, child: str, badness: dict) -> str:
        mapped = self.mapped(parent)
        self._add("task", Task(child, **badness))
        self._event(op, parent, child)
        self._mm[child] = mapped if op == Op.thread else dict(mapped)
        return child

    def fork(self, parent: str, child: str, **badness) -> str:
        """A new task with a copy of the parent's mm; `badness` as in `task`."""
        return self._birth(BIRTHS[0], parent, child, badness)

    def thread(self, parent: str, child: str, **badness) -> str:
        """A new task sharing the parent's mm."""
        return self._birth(BIRTHS[1], parent, child, badness)

    def exec(self, task: str) -> None:
        """Replace the mm by an empty one."""
        self._event(Op.exec, task)
        self._mm[task] = {}

    def exit(self, task: str) -> None:
        """The task ends and is a zombie."""
        self._event(Op.exit, task)
        self._mm[task] = {}

    def reap(self, task: str) -> None:
        """The zombie is gone."""
        self._event(Op.reap, task)

    def move(self, task: str, container: str) -> None:
        """Attach the task to another container."""
        self._event(Op.move, task, container)

    def mkdir(self, container: str, **limits) -> None:
        """Create a container, declaring it when needed."""
        if container not in self._index["container"]:
            self.container(container, **limits)
        self._event(Op.mkdir, None, container)

    def rmdir(self, container: str) -> None:
        """Remove a container."""
        self._event(Op.rmdir, None, container)

    def set_limit(
        self, container: str, written: int | str | bytes, file: str = "rss_limit"
    ) -> None:
        """Write `written` (a number stands for its digits) to a control file.

        A text such as `rss_limit=100` names the control file itself and is taken as it is.
        """
        if not (isinstance(written, str) and written.partition("=")[0] in CONTROL_FILES):
            given = written if isinstance(written, bytes) else str(written).encode()
            written = control_value(file, given)
        self._event(Op.set_limit, None, container, value=written)

    def run_on(self, task: str, node: int) -> None:
        """Run on another node from now on."""
        self._event(Op.run_on, task, value=str(node))

    def migrate(self, task: str, node: int) -> None:
        """Move the task's pages to a node."""
        self._event(Op.migrate, task, value=str(node))

    def age(self) -> None:
        """A quiet period."""
        self._event(Op.age)

    def drop_caches(self) -> None:
        """Drop clean page cache nobody maps."""
        self._event(Op.drop_caches)

    def mark(self, label: str) -> None:
        """A label for charts."""
        self._event(Op.mark, value=label)

    def io_error(self, obj: str, page: int = 0) -> None:
        """The next disk read of that page fails."""
        self._event(Op.io_error, None, obj, page)

    def build(self, header: dict | None = None) -> Trace:
        """The trace so far, validated; raises TraceError."""
        tables = [list(self._rows[t].values()) for t in ("object", "task", "container")]
        columns = {name: cells[:] for name, cells in self._columns.items()}
        return Trace.from_columns(*tables, **columns, values=list(self._values), header=header)
