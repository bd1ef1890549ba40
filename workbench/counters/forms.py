"""The counter forms of the thread, K1 to K8: open two side by side to see what differs.

Each charges or uncharges `v` pages in atomic steps for actor `me`, which is a CPU or a task:
`charge` returns whether it was granted, `uncharge` and `set_limit` return nothing. Days are of
March 2007. A yield stands alone in its statement, so that a reader counts steps by counting yields.
"""

from __future__ import annotations

from collections.abc import Callable, Generator
from dataclasses import dataclass
from functools import partial
from typing import Any, ClassVar

from .steps import Step, add, cmpxchg, load, lock, sleep, store, swap, unlock

Steps = Generator[Step, Any, Any]
WORD = 2**64


@dataclass(frozen=True)
class Form:
    """What the forms share: the cells, how a limit is changed, what a reader is shown."""

    actors: int = 2
    batch: int = 2  # K6: pages a CPU counts by itself
    reserve: int = 1  # K7: pages a task takes in advance
    wrap: bool = False  # K1: unsigned subtraction, as posted
    listed: bool = False  # K1: a page list, on a line of its own, under the same lock
    stale: bool = False  # K5: limit read once, before usage
    margin: bool = False  # K6: exact sum as soon as the batches could matter

    SOURCE: ClassVar[str] = ""
    leave: ClassVar[Callable[..., Steps] | None] = None  # what an actor does when it ends

    def cells(self, limit: int) -> dict[str, int]:
        return {"usage": 0, "limit": limit, "failcnt": 0}

    def box(self, me: int) -> int:
        """The container that an actor belongs to: one for all, except in K8."""
        return 0

    def shown(self, cells: dict[str, int], box: int = 0) -> int:
        """Usage as one read of the counter shows it, pages."""
        return cells["usage"]

    def precise(self, cells: dict[str, int], box: int = 0) -> int:
        """Usage with all that is kept elsewhere; exact at rest if nothing was lost."""
        return self.shown(cells, box)

    def line(self, cell: str) -> str:
        """The cache line of a cell: what is an actor's own ends in its number and has its own."""
        return cell if cell[-1].isdigit() else "counter"

    def set_limit(self, me: int, new: int) -> Steps:
        yield store("limit", new)


class K1(Form):
    """Spinlock: usage, limit and failcnt together."""

    SOURCE = "Pavel Emelianov, 6 March, patch 1/7"

    def cells(self, limit: int) -> dict[str, int]:
        return super().cells(limit) | {"lock": 0} | ({"list0": 0} if self.listed else {})

    def charge(self, me: int, v: int) -> Steps:
        yield lock()
        usage = yield load("usage")
        limit = yield load("limit")
        granted = usage <= ((limit - v) % WORD if self.wrap else limit - v)
        if granted:
            yield store("usage", usage + v)
        else:
            failcnt = yield load("failcnt")
            yield store("failcnt", failcnt + 1)
        if self.listed:
            yield store("list0", me)
        yield unlock()
        return granted

    def uncharge(self, me: int, v: int) -> Steps:
        yield lock()
        usage = yield load("usage")
        yield store("usage", max(usage - v, 0))
        if self.listed:
            yield store("list0", me)
        yield unlock()


class K2(Form):
    """Atomics: check first, account when the page has been obtained."""

    SOURCE = "Herbert Poetzl, 9 March (Linux-VServer)"

    def charge(self, me: int, v: int) -> Steps:
        usage = yield load("usage")
        limit = yield load("limit")
        if usage + v > limit:
            yield add("failcnt", 1)
            return False
        yield sleep()
        yield add("usage", v)
        return True

    def uncharge(self, me: int, v: int) -> Steps:
        yield add("usage", -v)


class K3(Form):
    """Atomics on what is free: take, and give back if it was too much."""

    SOURCE = "Herbert Poetzl, 12 March"

    def cells(self, limit: int) -> dict[str, int]:
        return {"free": limit, "limit": limit, "failcnt": 0}

    def shown(self, cells: dict[str, int], box: int = 0) -> int:
        return cells["limit"] - cells["free"]

    def charge(self, me: int, v: int) -> Steps:
        free = yield add("free", -v)
        if free >= 0:
            return True
        yield add("free", v)
        yield add("failcnt", 1)
        return False

    def uncharge(self, me: int, v: int) -> Steps:
        yield add("free", v)

    def set_limit(self, me: int, new: int) -> Steps:
        old = yield swap("limit", new)
        yield add("free", new - old)


class K4(Form):
    """atomic_add_unless: add unless usage equals the limit."""

    SOURCE = "Herbert Poetzl, 12 March; Srivatsa Vaddagiri, 13 March"

    def charge(self, me: int, v: int) -> Steps:
        limit = yield load("limit")
        usage = yield load("usage")
        while usage != limit:
            found = yield cmpxchg("usage", usage, usage + v)
            if found == usage:
                return True
            usage = found
        yield add("failcnt", 1)
        return False

    def uncharge(self, me: int, v: int) -> Steps:
        yield add("usage", -v)


class K5(Form):
    """cmpxchg loop: add if it fits.

    Unstated: where the limit is read. In the loop, after usage; read before it, a limit may be cut
    between the two, and the charge compares yesterday's limit with today's usage (`stale`). Even
    so cmpxchg looks at usage only, not at whether the limit is still what it was.
    """

    SOURCE = "Pavel Emelianov, 7 March (who dislikes it)"

    def charge(self, me: int, v: int) -> Steps:
        limit = (yield load("limit")) if self.stale else 0
        while True:
            usage = yield load("usage")
            if not self.stale:
                limit = yield load("limit")
            if usage + v > limit:
                yield add("failcnt", 1)
                return False
            found = yield cmpxchg("usage", usage, usage + v)
            if found == usage:
                return True

    def uncharge(self, me: int, v: int) -> Steps:
        yield add("usage", -v)


class K6(Form):
    """Per-CPU counts in batches; exact sum where the shared count reaches the limit.

    The check is get_empty_filp's, the adding is percpu_counter's of Linux 2.6.20. With `margin` the
    exact sum is taken as soon as what the CPUs may be hiding could matter.
    """

    SOURCE = "Eric Biederman, Herbert Poetzl, Pavel Emelianov, 13 March"

    def cells(self, limit: int) -> dict[str, int]:
        return super().cells(limit) | {"lock": 0} | {f"cpu{i}": 0 for i in range(self.actors)}

    def precise(self, cells: dict[str, int], box: int = 0) -> int:
        return cells["usage"] + sum(cells[f"cpu{i}"] for i in range(self.actors))

    def charge(self, me: int, v: int) -> Steps:
        usage = yield load("usage")
        limit = yield load("limit")
        hidden = self.actors * (self.batch - 1) if self.margin else 0
        if usage + hidden + v > limit:
            yield lock()
            usage = yield load("usage")
            for cpu in range(self.actors):
                local = yield load(f"cpu{cpu}")
                usage += local
            yield unlock()
            if usage + v > limit:
                yield add("failcnt", 1)
                return False
        yield from self.count(me, v)
        return True

    def uncharge(self, me: int, v: int) -> Steps:
        yield from self.count(me, -v)

    def count(self, me: int, v: int) -> Steps:
        """percpu_counter_add."""
        local = yield load(f"cpu{me}")
        if abs(local + v) < self.batch:
            yield store(f"cpu{me}", local + v)
            return
        yield lock()
        usage = yield load("usage")
        yield store("usage", usage + local + v)
        yield store(f"cpu{me}", 0)
        yield unlock()


class K7(Form):
    """Per-task reserve: taken under the lock, used without it, given back when the task ends.

    Unstated: near the limit a task takes what it needs without a reserve; an uncharge keeps at most
    twice the reserve.
    """

    SOURCE = "Kirill Korotaev, 13 March (OpenVZ, for kmemsize and numfile)"

    def cells(self, limit: int) -> dict[str, int]:
        return super().cells(limit) | {"lock": 0} | {f"task{i}": 0 for i in range(self.actors)}

    def precise(self, cells: dict[str, int], box: int = 0) -> int:
        return cells["usage"] - sum(cells[f"task{i}"] for i in range(self.actors))

    def charge(self, me: int, v: int) -> Steps:
        mine = yield load(f"task{me}")
        if mine >= v:
            yield store(f"task{me}", mine - v)
            return True
        yield lock()
        usage = yield load("usage")
        limit = yield load("limit")
        need = v - mine
        granted = usage + need <= limit
        if granted:
            spare = self.reserve if usage + need + self.reserve <= limit else 0
            yield store("usage", usage + need + spare)
            yield store(f"task{me}", spare)
        else:
            failcnt = yield load("failcnt")
            yield store("failcnt", failcnt + 1)
        yield unlock()
        return granted

    def uncharge(self, me: int, v: int) -> Steps:
        mine = yield load(f"task{me}")
        if mine + v <= 2 * self.reserve:
            yield store(f"task{me}", mine + v)
            return
        yield from self.give_back(me, mine + v - self.reserve, self.reserve)

    def leave(self, me: int) -> Steps:
        mine = yield load(f"task{me}")
        yield from self.give_back(me, mine, 0)

    def give_back(self, me: int, v: int, kept: int) -> Steps:
        yield lock()
        usage = yield load("usage")
        yield store("usage", usage - v)
        yield store(f"task{me}", kept)
        yield unlock()


class K8(Form):
    """Lossy owner: who was charged for a page is remembered per hash bucket, not per page.

    Each actor is a container of its own here, its pages fall into one bucket, and the counters are
    K5's. An uncharge goes to whoever charged into the bucket last.
    """

    SOURCE = "Dave Hansen, 12 March"

    def cells(self, limit: int) -> dict[str, int]:
        usages = {f"usage{i}": 0 for i in range(self.actors)}
        return usages | {"limit": limit, "failcnt": 0, "owner": 0}

    def box(self, me: int) -> int:
        return me

    def shown(self, cells: dict[str, int], box: int = 0) -> int:
        return cells[f"usage{box}"]

    def charge(self, me: int, v: int) -> Steps:
        limit = yield load("limit")
        usage = yield load(f"usage{me}")
        while usage + v <= limit:
            found = yield cmpxchg(f"usage{me}", usage, usage + v)
            if found == usage:
                yield store("owner", me)
                return True
            usage = found
        yield add("failcnt", 1)
        return False

    def uncharge(self, me: int, v: int) -> Steps:
        owner = yield load("owner")
        yield add(f"usage{owner}", -v)


FORMS: dict[str, Callable[..., Form]] = {
    "K1": K1,
    "K1w": partial(K1, wrap=True),
    "K2": K2,
    "K3": K3,
    "K4": K4,
    "K5": K5,
    "K5s": partial(K5, stale=True),
    "K6": K6,
    "K6m": partial(K6, margin=True),
    "K7": K7,
    "K8": K8,
}


def title(name: str) -> str:
    """One line about a form."""
    extra = {"K1w": "The same with limit - v wrapping below zero, as posted.",
             "K5s": "The same, limit read once, before usage.",
             "K6m": "The same, exact sum within a margin of CPUs x (batch - 1)."}
    return extra.get(name) or (type(FORMS[name]()).__doc__ or "").splitlines()[0]
