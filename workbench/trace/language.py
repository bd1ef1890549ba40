"""The event language: what a trace can say, and what the columns of one event mean per op.

`LANGUAGE` is the single table behind validation, the builder's methods and the printed help
(`python -m workbench trace ops`). Op numbers are frozen: they are stored in Parquet files and
switched on by the engine.
"""

import re
from difflib import get_close_matches
from enum import IntEnum
from typing import NamedTuple


class Op(IntEnum):
    """One kind of event. The value is its number in Parquet files and in the engine."""

    touch_read = 0
    touch_write = 1
    read = 2
    write = 3
    map = 4
    unmap = 5
    discard = 6
    mlock = 7
    munlock = 8
    open = 9
    close = 10
    fork = 11
    thread = 12
    exec = 13
    exit = 14
    reap = 15
    move = 16
    mkdir = 17
    rmdir = 18
    set_limit = 19
    run_on = 20
    migrate = 21
    age = 22
    drop_caches = 23
    mark = 24
    io_error = 25


KINDS = ("file", "anon", "shm", "ramfs", "special", "kernel")
# what each means, and which schemes obey it, is declared in kernel.control
CONTROL_FILES = (
    "rss_limit", "numproc_limit", "numfiles_limit",
    "memory.limit_in_bytes", "memory.memsw.limit_in_bytes", "memory.soft_limit_in_bytes",
    "memory.move_charge_at_immigrate", "memory.force_empty", "memory.use_hierarchy",
    "memory.swappiness", "memory.oom_control", "memory.max_usage_in_bytes", "memory.failcnt",
    "memory.max", "memory.high", "memory.low", "memory.min", "memory.swap.max",
    "memory.oom.group", "memory.reclaim", "memory.peak", "vswap_limit",
    "privvmpages", "vmguarpages", "oomguarpages", "pids.max",
    "pgcache_limit", "cpuset.mems", "cpuset.memory_migrate", "cpuset.memory_spread_page",
)
# who may be mapped how (`value` of map); the first is what the builder takes by itself
SHARING = {
    "file": ("private", "shared"),
    "anon": ("private",),
    "shm": ("shared",),
    "ramfs": ("private", "shared"),
    "special": ("private", "shared"),
    "kernel": (),
}


class Spec(NamedTuple):
    """What one op's columns hold; an empty string means the column must stay blank."""

    task: str  # who: "who", "parent", "zombie"
    target: str  # "object", "task", "container"
    run: bool  # page and count name a run of the target's pages
    value: str  # "sharing", "control", "node", "label"
    kinds: tuple[str, ...]  # object kinds the op applies to
    meaning: str


_NOT_ANON = tuple(k for k in KINDS if k != "anon")
_MAPPABLE = tuple(k for k in KINDS if SHARING[k])


def _pages(meaning: str, value: str = "", kinds: tuple[str, ...] = KINDS) -> Spec:
    return Spec("who", "object", True, value, kinds, meaning)


LANGUAGE: dict[Op, Spec] = {
    Op.touch_read: _pages("load from mapped pages, in order"),
    Op.touch_write: _pages("store to mapped pages, in order"),
    Op.read: _pages("read(2): page cache without a mapping", kinds=_NOT_ANON),
    Op.write: _pages("write(2): page cache without a mapping", kinds=_NOT_ANON),
    Op.map: _pages("map a range, private or shared", "sharing", _MAPPABLE),
    Op.unmap: _pages("remove the mapping of a range"),
    Op.discard: _pages("drop page-table entries, the mapping stays (MADV_DONTNEED)"),
    Op.mlock: _pages("lock a range in memory"),
    Op.munlock: _pages("unlock a range"),
    Op.open: Spec("who", "object", False, "", KINDS, "open a file object (numfiles)"),
    Op.close: Spec("who", "object", False, "", KINDS, "close it again"),
    Op.fork: Spec("parent", "task", False, "", (), "new task with a copy of the mm"),
    Op.thread: Spec("parent", "task", False, "", (), "new task sharing the mm"),
    Op.exec: Spec("who", "", False, "", (), "replace the mm by an empty one"),
    Op.exit: Spec("who", "", False, "", (), "end; a zombie until reaped"),
    Op.reap: Spec("zombie", "", False, "", (), "its parent waits for it; the task is gone"),
    Op.move: Spec("who", "container", False, "", (), "attach to another container"),
    Op.mkdir: Spec("", "container", False, "", (), "create a container"),
    Op.rmdir: Spec("", "container", False, "", (), "remove a container"),
    Op.set_limit: Spec("", "container", False, "control", (), "write bytes to a control file"),
    Op.run_on: Spec("who", "", False, "node", (), "run on another node from now on"),
    Op.migrate: Spec("who", "", False, "node", (), "move the task's pages to a node"),
    Op.age: Spec("", "", False, "", (), "a quiet period: clear all young and referenced bits"),
    Op.drop_caches: Spec("", "", False, "", (), "drop clean page cache that nobody maps"),
    Op.mark: Spec("", "", False, "label", (), "a label for charts"),
    Op.io_error: Spec("", "object", True, "", KINDS, "the next disk read of that page fails"),
}
BIRTHS = (Op.fork, Op.thread)  # the ops that create their target task

_ESCAPED = re.compile(
    r"""([ -\[\]-~]|\\([abfnrtv\\'"]|x[0-9a-fA-F]{2}|(?![4-7][0-7]{2})[0-7]{1,3}))*"""
)


def control_write(value: str) -> tuple[str, bytes]:
    r"""Split a `set_limit` value such as `rss_limit=100\n` into control file and bytes written.

    Raises ValueError for an unknown control file or a bad escape; whether the bytes are a number
    is the kernel's business (EINVAL), not checked here.
    """
    file, equals, text = value.partition("=")
    if not equals or file not in CONTROL_FILES:
        close = get_close_matches(file, CONTROL_FILES, 1)
        meant = f" (did you mean {close[0]}?)" if close and equals else ""
        some = ", ".join(CONTROL_FILES)
        raise ValueError(f"one of {some}, then = and the bytes written{meant}")
    if not _ESCAPED.fullmatch(text):
        raise ValueError(r"printable ASCII and backslash escapes such as \n or \x00 after the =")
    return file, text.encode().decode("unicode_escape").encode("latin-1")


def control_value(file: str, written: bytes) -> str:
    """The inverse of `control_write`."""
    return f"{file}={repr(bytes(written))[2:-1]}"
