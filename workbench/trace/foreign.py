"""Other tools' traces: Valgrind's lackey, perf, libCacheSim, and lists of page numbers.

Each reader takes a path and returns a Trace; a malformed file is a ValueError that says where and
what was expected. `reader_of` tells the formats apart by what is in the file.
"""

from __future__ import annotations

import gzip
import lzma
import re
import struct
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import IO

from .assembler import SHIFT, Assembler
from .builder import TraceBuilder
from .language import Op
from .model import Trace

RECENT = 8  # lackey: references to the pages used last are one reference
_LACKEY = re.compile(r"(I | [LSM]) ?([0-9a-fA-F]+),(\d+)$")
_ORACLE = struct.Struct("<IQIq")  # time (s), object, size (bytes), index of its next request
_PERF = re.compile(
    r"\s*(?P<comm>.+?)\s+(?P<pid>\d+)(?:/(?P<tid>\d+))?(?:\s+\[\d+\])?\s+(?P<time>\d+\.\d+):\s+"
    r"(?P<period>\d+\s+)?(?P<event>[\w:-]+?)(?=\(|:?\s|:?$):?\s*(?P<rest>.*)$"
)
_MMAP = re.compile(
    r"(?P<pid>-?\d+)/-?\d+: \[0x(?P<start>[0-9a-f]+)\(0x(?P<size>[0-9a-f]+)\) @ (?:0x)?"
    r"(?P<offset>[0-9a-f]+)(?: (?P<device>\w+:\w+) (?P<inode>\d+) \d+)?\]: "
    r"(?P<how>\S+) (?P<path>.*)$"
)


def wrong(path: Path, line: int, text: str, expected: str) -> ValueError:
    shown = text if len(text) <= 60 else text[:57] + "..."
    return ValueError(f"{path} line {line}: {shown!r}: expected {expected}")


def opened(path: Path) -> IO[bytes]:
    """The bytes of a file, *.gz, *.xz or *.zst (Python 3.14)."""
    if path.suffix == ".zst":
        try:
            from compression import zstd
        except ImportError:
            raise ValueError(f"{path}: unpack it first (zstd -d), or use Python 3.14") from None
        return zstd.open(path)
    return {".gz": gzip.open, ".xz": lzma.open}.get(path.suffix, open)(path, "rb")


def lines(path: Path) -> Iterator[tuple[int, str]]:
    """(number, text) of lines that are not blank."""
    with opened(path) as file:
        for number, raw in enumerate(file, 1):
            try:
                text = raw.decode().rstrip()
            except UnicodeDecodeError:
                raise wrong(path, number, repr(raw[:20]), "text") from None
            if text:
                yield number, text


def provenance(path: Path, source: str, **more: object) -> dict:
    return {"provenance": {"source": path.name, "recorder": source, **more}}


# ---- Valgrind lackey -----------------------------------------------------------------------------


def from_lackey(path: str | Path) -> Trace:
    """`valgrind --tool=lackey --trace-mem=yes`: every load, store and fetch of one process.

    It names addresses, not files: pages that are never stored to are taken for those of a file,
    `program`, the others for anonymous memory, `data`, each in order of address. References to the
    last 8 different pages are not repeated, but for a page's first store.
    """
    path = Path(path)
    rows: list[tuple[int, bool]] = []
    recent: dict[int, bool] = {}
    stored: set[int] = set()
    for number, text in lines(path):
        if text.startswith("==") or text.startswith("--"):
            continue
        found = _LACKEY.match(text)
        if found is None:
            raise wrong(path, number, text, "I, L, S or M, then address,size")
        what, address, size = found.groups()
        start, write = int(address, 16), what in (" S", " M")
        for page in range(start >> SHIFT, ((start + max(int(size), 1) - 1) >> SHIFT) + 1):
            known = recent.pop(page, None)
            recent[page] = write or bool(known)
            if write:
                stored.add(page)
            if known is None or (write and not known):
                rows.append((page, write))
            if len(recent) > RECENT:
                del recent[next(iter(recent))]
    if not rows:
        raise ValueError(f"{path}: no reference; run valgrind with --trace-mem=yes")
    every = {page for page, _ in rows}
    place = {page: i for pages in (every - stored, stored) for i, page in enumerate(sorted(pages))}
    b = TraceBuilder()
    b.container("A")
    b.task("program.1", "A")
    sizes = {"program": len(every - stored), "data": len(stored)}
    for name, kind in (("program", "file"), ("data", "anon")):
        if sizes[name]:
            b.object(name, kind, sizes[name])
            b.map("program.1", name)
    for page, write in rows:
        b.touch("program.1", "data" if page in stored else "program", place[page], 1, write)
    return b.build(provenance(path, "Valgrind lackey", window=RECENT))


# ---- perf script ---------------------------------------------------------------------------------


def from_perf(path: str | Path) -> Trace:
    """Page faults as `perf script` prints them, with the mappings that make files of addresses:

        perf record -d -e exceptions:page_fault_user,exceptions:page_fault_kernel -- CMD
        perf script --show-mmap-events --show-task-events

    `page-faults` samples are read too where they show the address (-F comm,tid,time,event,addr);
    they do not tell loads from stores. What no mapping names is anonymous memory. Faults are not
    touches: with fault-around on, many touched pages never fault. All processes are in A.
    """
    return _Perf(Path(path)).trace()


class _Perf:
    def __init__(self, path: Path):
        self.path, self.made, self.begun = path, Assembler(), None
        self.faults = 0

    def trace(self) -> Trace:
        for number, text in lines(self.path):
            found = _PERF.match(text)
            if found is None:
                if text.lstrip().startswith(("#", "[")) or re.match(r"\s+[0-9a-f]+ ", text):
                    continue  # comments, call chains
                raise wrong(self.path, number, text, "COMMAND PID TIME: EVENT: ...")
            time = round(float(found["time"]) * 1e9)
            if time:
                self.begun = time if self.begun is None else self.begun
                self.made.time = max(self.made.time, time - self.begun)
            self.line(number, text, found)
        if not self.faults:
            raise ValueError(f"{self.path}: no page fault with its address; {self.hint}")
        return self.made.trace({
            "source": self.path.name, "recorder": "perf script", "fault_around": "on",
            "clock": "perf, from the first event", "lost_events": 0,
        })

    hint = ("record exceptions:page_fault_user, or run perf script with "
            "-F comm,tid,time,event,addr")

    def line(self, number: int, text: str, found: re.Match) -> None:
        event, rest, pid = found["event"], found["rest"], found["pid"]
        if event in ("PERF_RECORD_MMAP", "PERF_RECORD_MMAP2"):
            mapping = _MMAP.match(rest)
            if mapping is None:
                raise wrong(self.path, number, rest, "PID/TID: [ADDRESS(SIZE) @ OFFSET ...]: PATH")
            if int(mapping["pid"]) >= 0:
                self.mapped(self.process(mapping["pid"], found["comm"]), mapping)
        elif event.startswith("PERF_RECORD_FORK"):
            self.fork(number, text)
        elif event.startswith("PERF_RECORD_EXIT"):
            child = re.search(r"EXIT\((\d+):(\d+)\)", text)
            if child and child[2] in self.made.number:
                self.made.exit(child[2])
        elif event == "PERF_RECORD_COMM" and rest.startswith("exec"):
            self.made.exec(self.process(pid, found["comm"]), found["comm"])
        elif event.startswith("exceptions:page_fault"):
            fault = re.search(r"address=(?:0x)?([0-9a-f]+) .*error_code=(?:0x)?([0-9a-f]+)", rest)
            if fault is None:
                raise wrong(self.path, number, rest, "address=... ip=... error_code=...")
            write = bool(int(fault[2], 16) & 2)
            self.fault(self.process(found["tid"] or pid, found["comm"]), int(fault[1], 16), write)
        elif event.startswith("page-faults") or event in ("minor-faults", "major-faults"):
            address = re.match(r"([0-9a-f]+)(?:\s|$)", rest)
            if address is None or found["period"] or "+0x" in rest.split("(")[0]:
                raise wrong(self.path, number, text, f"the address of the fault: {self.hint}")
            self.fault(self.process(found["tid"] or pid, found["comm"]), int(address[1], 16), None)

    def process(self, pid: str, comm: str) -> str:
        if pid not in self.made.number:
            self.made.begin(pid, comm, "A")
        return pid

    def fork(self, number: int, text: str) -> None:
        birth = re.search(r"FORK\((\d+):(\d+)\):\((\d+):(\d+)\)", text)
        if birth is None:
            raise wrong(self.path, number, text, "PERF_RECORD_FORK(PID:TID):(PARENT:TID)")
        process, task, parent, _ = birth.groups()
        if parent not in self.made.number:
            return  # who starts it is not recorded
        if process == task:
            self.made.fork(parent, task)
        else:
            self.made.thread(process, task)

    def mapped(self, pid: str, mapping: re.Match) -> None:
        start, path = int(mapping["start"], 16) >> SHIFT, mapping["path"]
        stop = start + -(-int(mapping["size"], 16) >> SHIFT)
        if path.startswith(("[v", "[kernel")):
            return
        file = None
        if path.startswith("/") and not path.startswith(("//", "/dev/zero")):
            file = self.made.file(path, path)
        page = start if file is None else int(mapping["offset"], 16) >> SHIFT
        how = "shared" if file is not None and mapping["how"].endswith("s") else "private"
        self.made.remap(pid, ((start, stop),), [(start, stop, page, file, how)])

    def fault(self, pid: str, address: int, write: bool | None) -> None:
        page = address >> SHIFT
        if page >> 35:  # the kernel's own
            return
        memory = self.made.mm[self.made.leader[self.made.number[pid]]]
        there = next(memory.find(page, page + 1), None)
        if there is None:
            self.made.remap(pid, ((page, page + 1),), [(page, page + 1, page, None, "private")])
        if write is None:
            write = there is None or there[0] < 0
        self.faults += 1
        self.made.touch(Op.touch_write if write else Op.touch_read, pid, page)


# ---- libCacheSim ---------------------------------------------------------------------------------


def owners(given: str, path: Path) -> Callable[[int, int], str]:
    """(request, object) -> container: `id % N`, `request % N`, or a file with a name a line."""
    rule = re.fullmatch(r"(id|request)\s*%\s*(\d+)", given.strip())
    if rule and int(rule[2]):
        by_id, n = rule[1] == "id", int(rule[2])
        return lambda request, obj: f"owner{(obj if by_id else request) % n}"
    table = Path(given)
    if not table.is_file():
        raise ValueError(f"--owner {given}: no such file; a file with a container's name for each "
                         "request, a line each, or 'id % 4', or 'request % 4'")
    names = [text.strip() for _, text in lines(table)]

    def of(request: int, obj: int) -> str:
        if request >= len(names):
            raise ValueError(f"{table}: {len(names)} lines, but {path} has more requests")
        return names[request]

    return of


def from_oracle(path: str | Path, owner: str | None = None) -> Trace:
    """libCacheSim's oracleGeneral: 24 bytes a request (u32 time, u64 object, u32 size, i64 next).

    Each object becomes a run of pages of one file, `objects`, as many as its largest size needs, in
    order of first request; each request a read(2) of its size. Times are kept; `next` is not used.
    There are no owners in it: `owner` says whose a request is (`owners`); else all are in A.
    """
    path = Path(path)
    with opened(path) as file:
        data = file.read()
    if len(data) % _ORACLE.size or not data:
        raise ValueError(f"{path}: {len(data):,} bytes are not a whole number of requests of "
                         f"{_ORACLE.size} bytes")
    sizes: dict[int, int] = {}
    last = 0
    for request, (time, obj, size, following) in enumerate(_ORACLE.iter_unpack(data)):
        if time < last or following < -1 or (0 <= following <= request):
            raise ValueError(
                f"{path} request {request + 1}: time {time} after {last}, next {following}: times "
                "go up, and next is -1 or a later request; is it oracleGeneral?"
            )
        last = time
        sizes[obj] = max(sizes.get(obj, 1), -(-size >> SHIFT))
    start, pages = {}, 0
    for obj, count in sizes.items():
        start[obj], pages = pages, pages + count
    whose = owners(owner, path) if owner else lambda request, obj: "A"
    made = Assembler()
    file_of = made.file("objects", "objects")
    made.reaches(file_of, pages)
    begun = None
    for request, (time, obj, size, _) in enumerate(_ORACLE.iter_unpack(data)):
        begun = time if begun is None else begun
        made.time = (time - begun) * 10**9
        name = whose(request, obj)
        if name not in made.number:
            made.begin(name, name, name)
        made.call(Op.read, name, file_of, start[obj] << SHIFT, max(1, size))
    return made.trace({"source": path.name, "recorder": "libCacheSim oracleGeneral",
                       "owner": owner or "none", "clock": "seconds of the trace",
                       "lost_events": 0})


# ---- lists of page numbers -----------------------------------------------------------------------


def from_addresses(path: str | Path) -> Trace:
    """One page number a line, decimal or 0x..., as OSTEP's paging-policy.py -f reads them.

    All are loads by one task in A, from a file that is as large as the largest number asks for.
    """
    path = Path(path)
    pages = []
    for number, text in lines(path):
        if text.lstrip().startswith("#"):
            continue
        try:
            pages.append(int(text, 0 if "x" in text.lower() else 10))
        except ValueError:
            raise wrong(path, number, text, "one page number, such as 7 or 0x7") from None
        if not 0 <= pages[-1] < 1 << 30:
            raise wrong(path, number, text, f"a page number from 0 to {(1 << 30) - 1}")
    if not pages:
        raise ValueError(f"{path}: no page number")
    b = TraceBuilder()
    b.container("A")
    b.task("a", "A")
    b.file("memory", max(pages) + 1)
    b.map("a", "memory")
    for page in pages:
        b.touch_read("a", "memory", page, 1)
    return b.build(provenance(path, "list of page numbers"))


# ---- which is it? --------------------------------------------------------------------------------

FORMATS: dict[str, Callable[..., Trace]] = {
    "lackey": from_lackey,
    "perf": from_perf,
    "oracleGeneral": from_oracle,
    "addresses": from_addresses,
}


def format_of(path: str | Path) -> str | None:
    """The name in FORMATS of what is in a file, by its name or its first lines; None if unknown."""
    path = Path(path)
    if "oracleGeneral" in path.name:
        return "oracleGeneral"
    try:
        with opened(path) as file:
            head = file.read(1 << 14)
    except (OSError, EOFError, ValueError, lzma.LZMAError):
        return None
    try:
        text = head[: head.rfind(b"\n") + 1 or None].decode().splitlines()
    except UnicodeDecodeError:
        return None
    text = [line for line in text if line.strip() and not line.lstrip().startswith("#")]
    if not text:
        return None
    if any(_LACKEY.match(line.rstrip()) for line in text[:50]) or "Lackey" in text[0]:
        return "lackey"
    if any("PERF_RECORD_" in line or "page_fault" in line or "page-faults" in line
           for line in text[:200]):
        return "perf"
    first = text[0].strip()
    return "addresses" if re.fullmatch(r"\d+|0[xX][0-9a-fA-F]+", first) else None
