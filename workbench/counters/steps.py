"""What one processor does to shared memory in one indivisible step.

A counter form is a generator: it yields steps and is sent their results, so one text of a form
runs under the explorer (every order), the simulator (one order, with costs) and by itself. Memory
is sequentially consistent: weaker orders, which real machines have, are outside the model.
"""

from __future__ import annotations

from typing import Any, NamedTuple

BLOCKED = object()  # the result of taking a lock that somebody holds: the step did not happen


class Step(NamedTuple):
    """`kind` says what is done to `cell` with `value`; `expected` belongs to cmpxchg."""

    kind: str
    cell: str = ""
    value: int = 0
    expected: int = 0

    def __str__(self) -> str:
        words = {
            "load": f"load {self.cell}",
            "store": f"store {self.cell} = {self.value}",
            "add": f"atomic add {self.cell} {self.value:+d}",
            "swap": f"atomic swap {self.cell} = {self.value}",
            "cmpxchg": f"cmpxchg {self.cell} {self.expected} -> {self.value}",
            "sleep": "may sleep: obtains the page",
        }
        return words.get(self.kind, self.kind)


ATOMIC = {"add", "swap", "cmpxchg", "lock"}  # locked instructions; an unlock is a plain store


def load(cell: str) -> Step:
    """Gives the cell's value."""
    return Step("load", cell)


def store(cell: str, value: int) -> Step:
    return Step("store", cell, value)


def add(cell: str, value: int) -> Step:
    """atomic_add_return: gives the value after it."""
    return Step("add", cell, value)


def swap(cell: str, value: int) -> Step:
    """xchg: gives the value before it."""
    return Step("swap", cell, value)


def cmpxchg(cell: str, expected: int, value: int) -> Step:
    """Stores where it finds `expected`; gives what it found."""
    return Step("cmpxchg", cell, value, expected)


def lock(cell: str = "lock") -> Step:
    """spin_lock, interrupts off: its holder is not preempted."""
    return Step("lock", cell)


def unlock(cell: str = "lock") -> Step:
    return Step("unlock", cell)


def sleep() -> Step:
    """Nothing to the cells; the place where a page is allocated, which may let others run."""
    return Step("sleep")


def apply(step: Step, cells: dict[str, int]) -> Any:
    """Do one step to `cells` (changed in place); returns its result, or BLOCKED."""
    kind, cell, value, expected = step
    if kind == "sleep":
        return None
    before = cells[cell]
    if kind == "load":
        return before
    if kind == "store":
        cells[cell] = value
        return None
    if kind == "add":
        cells[cell] = before + value
        return before + value
    if kind == "swap":
        cells[cell] = value
        return before
    if kind == "cmpxchg":
        if before == expected:
            cells[cell] = value
        return before
    if kind == "lock":
        if before:
            return BLOCKED
        cells[cell] = 1
        return None
    if kind == "unlock":
        cells[cell] = 0
        return None
    raise ValueError(f"unknown step {kind!r}")
