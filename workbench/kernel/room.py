"""How much memory this computer has left: asked before a large state is built."""

from __future__ import annotations

import os
import re
from pathlib import Path

SMALL = 256 << 20  # bytes: less is never asked about
MOST_ROWS = (1 << 31) - 1  # pages, ptes and entries have numbers of 32 bits
OVERRIDE = "WORKBENCH_MEMORY"  # bytes to be taken as free instead: 64GiB
UNITS = {"k": 10, "m": 20, "g": 30, "t": 40}


class TooLarge(ValueError):
    """The state of the simulated machine would not fit into this computer's memory."""


def need_room(rows: int, needed: int, why: str, right: str) -> None:
    """Raises TooLarge if a table has too many rows, or so many bytes are not free here."""
    free = free_bytes() if needed >= SMALL else None
    if rows > MOST_ROWS:
        bound = f"more than the {MOST_ROWS:,} rows that a table can have"
    elif free is not None and needed > free:
        bound = f"that takes {gib(needed)} of memory, and {gib(free)} are free here " \
                f"(another bound: {OVERRIDE}=64GiB in the environment)"
    else:
        return
    raise TooLarge(f"{why}: {bound}. Take {right}")


def free_bytes(root: str = "/") -> int | None:
    """Bytes that can still be taken without swapping; None where the system does not say.

    The least of /proc/meminfo's MemAvailable and what is left in the control groups that this
    process is in: their limit, less what they use, cached files not counted.
    """
    if given := os.environ.get(OVERRIDE):
        return size(given)
    top = Path(root)
    found = re.search(r"MemAvailable: *(\d+)", text(top / "proc/meminfo"))
    room = [int(found[1]) << 10] if found else []
    for line in text(top / "proc/self/cgroup").splitlines():
        _, controllers, path = line.split(":", 2)
        names = ("memory.max", "memory.current", "")
        base = top / "sys/fs/cgroup"
        if controllers:
            names = ("memory.limit_in_bytes", "memory.usage_in_bytes", "total_")
            base /= "memory"
        if controllers.split(",") in ([""], ["memory"]):
            group = base / path.lstrip("/")
            room += [left(place, *names) for place in (group, *group.parents)
                     if place.is_relative_to(base)]
    return min((n for n in room if n is not None), default=None)


def left(group: Path, limit: str, used: str, prefix: str) -> int | None:
    """What one control group still allows; None: it has no limit, or is not to be seen here."""
    most, now = text(group / limit).strip(), text(group / used).strip()
    if not (most.isdigit() and now.isdigit()):
        return None
    lines = rf"^{prefix}(?:in)?active_file (\d+)$"
    cached = sum(map(int, re.findall(lines, text(group / "memory.stat"), re.MULTILINE)))
    return max(0, int(most) - int(now) + cached)


def text(file: Path) -> str:
    try:
        return file.read_text(encoding="utf-8")
    except OSError:
        return ""


def size(given: str) -> int:
    found = re.fullmatch(r"(\d+) *([kmgt]?)(?:i?b)?", given.strip().lower())
    if not found:
        raise ValueError(f"{OVERRIDE}={given}: a number of bytes is expected, such as 64GiB")
    return int(found[1]) << UNITS.get(found[2], 0)


def gib(count: int) -> str:
    return f"{count / (1 << 30):,.1f} GiB"
