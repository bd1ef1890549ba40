"""The control files of a container, declared once: who has them, and what their bytes mean."""

from __future__ import annotations

from typing import NamedTuple

PAGE = 4096
WORD = (1 << 64) - 1
UNLIMITED = (1 << 62) - 1
PIDS_MAX = (1 << 22) + 1
SUFFIXES = {b"k": 10, b"m": 20, b"g": 30, b"t": 40, b"p": 50, b"e": 60}


class File(NamedTuple):
    """`of`: every scheme ("all"), or those of a family; `unit`: how the bytes are read."""

    of: tuple[str, ...]
    unit: str
    meaning: str


_ALL, _V1, _V2, _BOTH = ("2007", "v1", "v2"), ("v1",), ("v2",), ("v1", "v2")
# The index of a file is its number in the engine (`F_...` below).
FILES: dict[str, File] = {
    "rss_limit": File(_ALL, "digits", "limit, pages (patch 2/7); each scheme's own limit"),
    "numproc_limit": File(_ALL, "digits", "tasks (6/7)"),
    "numfiles_limit": File(_ALL, "digits", "open files (7/7)"),
    "memory.limit_in_bytes": File(_V1, "bytes or -1", "limit; reclaims down to it, or EBUSY"),
    "memory.memsw.limit_in_bytes": File(_V1, "bytes or -1", "limit on memory and swap together"),
    "memory.soft_limit_in_bytes": File(_V1, "bytes or -1", "reclaimed first when memory is short"),
    "memory.move_charge_at_immigrate": File(_V1, "0..3", "bit 0: anonymous, bit 1: file pages"),
    "memory.force_empty": File(_V1, "anything", "reclaim all that can be"),
    "memory.use_hierarchy": File(_V1, "0..1", "children's charges count here"),
    "memory.swappiness": File(_V1, "0..200", "anonymous against file pages at reclaim"),
    "memory.oom_control": File(_V1, "0..1", "1: tasks wait at the limit, nobody is killed"),
    "memory.max_usage_in_bytes": File(_V1, "anything", "reset the high-water mark"),
    "memory.failcnt": File(_V1, "anything", "reset the count of refusals"),
    "memory.max": File(_V2, "bytes or max", "limit; reclaims down to it, then kills"),
    "memory.high": File(_V2, "bytes or max", "above it tasks reclaim, nobody is refused"),
    "memory.low": File(_V2, "bytes or max", "spared while others have something to give"),
    "memory.min": File(_V2, "bytes or max", "never reclaimed"),
    "memory.swap.max": File(_V2, "bytes or max", "limit on swap"),
    "memory.oom.group": File(_V2, "0..1", "all tasks below die together"),
    "memory.reclaim": File(_V2, "bytes or", "reclaim so much, or EAGAIN"),
    "memory.peak": File(_V2, "anything", "reset the high-water mark"),
    "vswap_limit": File(_ALL, "digits", "virtual swap, pages (virtual_swap only)"),
    "privvmpages": File(_ALL, "barrier", "private address space, pages (openvz only)"),
    "vmguarpages": File(_ALL, "barrier", "so much of it is not refused (openvz only)"),
    "oomguarpages": File(_ALL, "barrier", "above it, killed first (openvz only)"),
    "pids.max": File(_BOTH, "tasks or max", "limit on tasks"),
    "pgcache_limit": File(_ALL, "digits", "unmapped cached pages (cache=separate only)"),
    "cpuset.mems": File(_ALL, "nodes", "where pages may lie: 0-1,3; no scheme with zones"),
    "cpuset.memory_migrate": File(_ALL, "0..1", "1: pages follow new mems, and tasks moved in"),
    "cpuset.memory_spread_page": File(_ALL, "0..1", "1: page cache on all allowed nodes in turn"),
}
NAMES = tuple(FILES)
(
    F_RSS, F_NUMPROC, F_NUMFILES, F_LIMIT, F_MEMSW, F_SOFT, F_MOVE_CHARGE, F_FORCE_EMPTY,
    F_HIERARCHY, F_SWAPPINESS, F_OOM_CONTROL, F_MAX_USAGE, F_FAILCNT, F_MAX, F_HIGH, F_LOW, F_MIN,
    F_SWAP_MAX, F_OOM_GROUP, F_RECLAIM, F_PEAK, F_VSWAP, F_PRIVVM, F_VMGUAR, F_OOMGUAR, F_PIDS,
    F_PGCACHE, F_MEMS, F_MIGRATE, F_SPREAD,
) = range(len(FILES))
LIMITS = (F_RSS, F_LIMIT, F_MAX, F_PRIVVM)  # all set the limit that charges are held against


def parse(name: str, data: bytes, word: int = 64) -> int | None:
    """What the bytes written to a file mean, in pages, tasks, or as they are; None: EINVAL.

    2007: see `write_limit`. Later files are stripped of white space; sizes take a base prefix and
    a suffix K..E and are rounded down to pages, counts take a base prefix.
    Source: kernel 6.x mm/page_counter.c, lib/kstrtox.c, kernel/cgroup/pids.c.
    """
    kind, _, rest = FILES[name].unit.partition(" or")
    if kind == "digits":
        return write_limit(data, word)
    text = data.split(b"\0")[0].strip(b" \t\n\v\f\r")
    if kind == "anything":
        return 0
    if " or" in FILES[name].unit and text == rest.strip().encode():
        return UNLIMITED
    if kind == "barrier":
        return barrier(text)
    if kind == "nodes":
        return node_mask(text)
    number, end = leading_number(text)
    if kind == "bytes":
        if end[:1].lower() in SUFFIXES and number is not None:
            number, end = number << SUFFIXES[end[:1].lower()] & WORD, end[1:]
        return None if end else min((number or 0) // PAGE, UNLIMITED)
    if number is None or end:
        return None
    most = PIDS_MAX - 1 if kind == "tasks" else int(kind.partition("..")[2])
    return number if number <= most else None


def barrier(text: bytes) -> int | None:
    """The barrier in `barrier:limit`, or alone. The limit is for requests that no trace makes."""
    first, colon, second = text.partition(b":")
    if not first.isdigit() or (colon and not second.isdigit()):
        return None
    if colon and int(second) < int(first):
        return None
    return min(int(first), UNLIMITED)


def node_mask(text: bytes) -> int | None:
    """The set of nodes in a list such as 0-1,3, one bit each; None: EINVAL."""
    mask = 0
    for part in filter(None, text.split(b",")):
        first, dash, last = part.partition(b"-")
        if not (first.isdigit() and (last if dash else first).isdigit()):
            return None
        low, high = int(first), int(last if dash else first)
        if low > high or high > 61:
            return None
        mask |= (1 << high + 1) - (1 << low)
    return mask


def leading_number(text: bytes) -> tuple[int | None, bytes]:
    """The number a text begins with (0x: base 16, 0: base 8, else 10), and what follows it."""
    base, digits, hexadecimal = 10, b"0123456789", b"0123456789abcdefABCDEF"
    if text[:2].lower() == b"0x" and text[2:3] and text[2] in hexadecimal:
        base, digits, text = 16, hexadecimal, text[2:]
    elif text[:1] == b"0":
        base, digits = 8, b"01234567"
    end = 0
    while end < len(text) and text[end] in digits:
        end += 1
    return (int(text[:end], base) & WORD if end else None), text[end:]


def write_limit(data: bytes, word: int = 64) -> int | None:
    """Parse what was written to a limit file; None means EINVAL, and nothing changes.

    Leading decimal digits, then NUL or the end (the kernel appends one). No sign, blank, prefix
    or newline; overflow is silently modulo 2**word; a write of no bytes at all sets 0.
    Source: Emelianov, 6 Mar 2007, patch 1/7.
    """
    digits = 0
    while digits < len(data) and 48 <= data[digits] <= 57:
        digits += 1
    if data and (digits == 0 or (digits < len(data) and data[digits] != 0)):
        return None
    return int(data[:digits] or b"0") % (1 << word)
