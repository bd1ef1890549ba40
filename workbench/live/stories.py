"""Small traces, one charging rule each, that a real kernel can be told (facts: the kernel's own
memory-controller documentation, and what Linux 6.1 and 6.18 did)."""

from __future__ import annotations

import inspect
import random
import sys
from collections.abc import Callable

from workbench.trace import Trace, TraceBuilder


def two(**objects: int) -> TraceBuilder:
    """Containers A and B with a task each; objects by name: f... a file, s... shm, h... anon."""
    b = TraceBuilder()
    for box in "AB":
        b.task(box.lower(), b.container(box))
    for name, pages in objects.items():
        {"f": b.file, "s": b.shm, "h": b.anon}[name[0]](name, pages)
    return b


def overlap(how: str, kind: str = "f") -> Trace:
    b = two(**{kind: 15})
    for task, first in (("a", 0), ("b", 5)):
        getattr(b, how)(task, kind, first, 10)
    for task in "ab":
        b.exit(task)
    return b.build()


def shared_mapping() -> Trace:
    """A maps pages 0 to 9 of a file, B 5 to 14: A pays for 10, B for 5, also when both are gone."""
    return overlap("touch_read")


def shared_read() -> Trace:
    """The same by read(2): page cache is charged as mappings are."""
    return overlap("read")


def shared_tmpfs() -> Trace:
    """The same in shared memory, which is freed with its last mapping."""
    return overlap("touch_write", "s")


def unmapped_stays() -> Trace:
    """A unmaps what B still maps, then maps it again: A pays throughout."""
    b = two(f=10)
    b.touch_read("a", "f")
    b.touch_read("b", "f")
    b.unmap("a", "f")
    b.touch_read("a", "f", 0, 3)
    b.unmap("a", "f")
    b.unmap("b", "f")
    b.drop_caches()
    b.touch_read("b", "f")
    return b.build()


def removed_group() -> Trace:
    """A's group is removed with pages charged to it: B, using them, is charged nothing."""
    b = two(f=10, f2=5)
    b.touch_read("a", "f")
    b.touch_read("b", "f", 5, 5)
    b.touch_read("b", "f2")
    b.exit("a")
    b.reap("a")
    b.rmdir("A")
    b.touch_read("b", "f")
    b.unmap("b", "f")
    b.touch_read("b", "f")
    return b.build()


def fork_and_copy() -> Trace:
    """A forks and the child writes: copies are the child's; pages it still maps stay A's."""
    b = two(h=40)
    b.touch_write("a", "h")
    b.fork("a", "child")
    b.touch_write("child", "h", 0, 10)
    b.touch_write("a", "h", 0, 10)
    b.move("child", "B")
    b.touch_write("child", "h", 10, 10)
    b.exit("a")
    b.touch_write("child", "h", 20, 10)
    b.exit("child")
    return b.build()


def zero_page() -> Trace:
    """Anonymous memory that was only read takes no frame; the first write does."""
    b = two(h=20)
    b.touch_read("a", "h")
    b.touch_write("a", "h", 0, 5)
    b.discard("a", "h", 0, 3)
    b.touch_read("a", "h", 0, 3)
    return b.build()


def private_write() -> Trace:
    """Writing to a private file mapping takes two frames: the cache's and the copy."""
    b = two(f=10)
    b.map("a", "f")
    b.touch_write("a", "f", 0, 4)
    b.touch_read("b", "f", 0, 8)
    b.touch_write("b", "f", 0, 8)
    b.exit("a")
    b.drop_caches()
    return b.build()


def moved_task() -> Trace:
    """A's task moves to B: its charges stay with A, what it takes from now on is B's."""
    b = two(h=50, f=20)
    b.touch_write("a", "h", 0, 30)
    b.touch_read("a", "f", 0, 10)
    b.move("a", "B")
    b.touch_write("a", "h", 30, 20)
    b.touch_read("a", "f", 10, 10)
    b.move("a", "A")
    b.exit("a")
    return b.build()


def locked() -> Trace:
    """mlock takes frames at once: anonymous memory's own, text without copying it."""
    b = two(h=20, f=20)
    b.map("a", "h")
    b.map("a", "f")
    b.mlock("a", "h", 0, 10)
    b.mlock("a", "f", 0, 10)
    b.touch_write("a", "f", 0, 2)
    b.munlock("a", "h", 0, 10)
    b.munlock("a", "f", 0, 10)
    b.exit("a")
    return b.build()


def threads() -> Trace:
    """A thread's frames are charged as its leader's, and outlive it until the leader ends."""
    b = two(h=20)
    b.touch_write("a", "h", 0, 5)
    b.thread("a", "t")
    b.touch_write("t", "h", 5, 5)
    b.exit("t")
    b.touch_write("a", "h", 10, 5)
    b.exit("a")
    return b.build()


def replaced_program() -> Trace:
    """exec gives back what was mapped; files stay in the cache and on the bill."""
    b = two(h=20, f=10)
    b.touch_write("a", "h", 0, 5)
    b.touch_read("a", "f")
    b.exec("a")
    b.touch_write("a", "h", 0, 2)
    b.touch_read("b", "f")
    return b.build()


def fake_numa() -> Trace:
    """A on node 2 and B on node 3 share 50 pages of a file: they lie where A took them."""
    b = TraceBuilder()
    for box, node, pages in (("A", 2, 500), ("B", 3, 300)):
        b.task(box.lower(), b.container(box), node)
        b.anon(f"h_{box}", pages)
    b.file("f", 150)
    b.touch_write("a", "h_A")
    b.touch_read("a", "f", 0, 100)
    b.touch_write("b", "h_B")
    b.touch_read("b", "f", 50, 100)
    b.exit("a")
    b.touch_read("b", "f", 0, 50)
    return b.build()


# ---- at a limit ----------------------------------------------------------------------------------
# What the kernel needs for itself (page tables, the cache's own tree) is there before, and root's.


def begun(**heaps: int) -> TraceBuilder:
    """Tasks, each with a heap mapped and begun, in no container yet."""
    b = TraceBuilder()
    for task, pages in heaps.items():
        b.task(task)
        b.anon(f"h_{task}", pages + 1)
        b.map(task, f"h_{task}")
        b.touch_write(task, f"h_{task}", pages, 1)
    return b


def filling(limit: int, **heaps: int) -> TraceBuilder:
    """The same, and they move to A, which has a limit in pages."""
    b = begun(**heaps)
    b.container("A", limit)
    for task in heaps:
        b.move(task, "A")
    return b


def near_the_limit() -> Trace:
    """Anonymous memory up to a limit of 100 pages: failcnt rises in the last 63 of them."""
    b = filling(100, a=100)
    for page in range(100):
        b.touch_write("a", "h_a", page, 1)
    return b.build()


def batches_near_the_limit() -> Trace:
    """The same by runs of pages: within a run, what is left of a batch of 64 is used first."""
    b = filling(300, a=300)
    page = 0
    for n in (1, 3, 70, 2, 64, 65, 7, 30, 10, 40, 8):
        b.touch_write("a", "h_a", page, n)
        page += n
    return b.build()


def reading(limit: int, pages: int, order: list[int]) -> Trace:
    """A reads pages of a file in some order; one page in 64 is in the cache before, and root's."""
    b = TraceBuilder()
    b.task("a")
    b.file("f", pages)
    for page in range(63, pages, 64):
        b.read("a", "f", page, 1)
    b.move("a", b.container("A", limit))
    for page in order:
        b.read("a", "f", page, 1)
    return b.build()


def reads_at_the_limit() -> Trace:
    """A clean file of 448 pages, read once under a limit of 128 pages: reclaim makes room."""
    return reading(128, 448, [page for page in range(448) if page % 64 != 63])


def zipf_reads() -> Trace:
    """3,000 Zipf-like reads of 512 pages under a limit of 128: whom reclaim takes is a band."""
    weights = [1 / (n + 1) ** 0.9 for n in range(512)]
    return reading(128, 512, random.Random(1).choices(range(512), weights, k=3000))


def oom_largest() -> Trace:
    """Two tasks at a limit of 1,000 pages, no swap: the larger one is killed, the other goes on."""
    b = filling(1000, small=500, large=600)
    b.touch_write("small", "h_small", 0, 300)
    b.touch_write("large", "h_large", 0, 600)
    b.touch_write("small", "h_small", 300, 150)
    b.touch_write("small", "h_small", 450, 50)
    return b.build()


def oom_first_comer() -> Trace:
    """The one that asks for more is not the one that is killed, when it is the smaller."""
    b = filling(1000, early=700, late=400)
    b.touch_write("late", "h_late", 0, 200)
    b.touch_write("early", "h_early", 0, 700)
    b.touch_write("late", "h_late", 200, 200)
    b.exit("late")
    return b.build()


def oom_locked() -> Trace:
    """Locked memory cannot be reclaimed: who locks above the limit is killed."""
    b = filling(300, a=600)
    b.mlock("a", "h_a", 0, 250)
    b.mlock("a", "h_a", 250, 100)
    return b.build()


def waiting_at_the_limit() -> Trace:
    """With memory.oom_control=1 nobody is killed: who asks for more waits until there is room."""
    b = filling(60, a=100, b=100)
    b.set_limit("A", 1, "memory.oom_control")
    b.touch_write("a", "h_a", 0, 20)
    b.touch_write("b", "h_b", 0, 40)
    b.touch_write("a", "h_a", 20, 1)
    b.touch_write("a", "h_a", 20, 1)
    b.discard("b", "h_b", 0, 5)
    b.touch_write("a", "h_a", 20, 3)
    b.touch_write("b", "h_b", 0, 3)
    b.set_limit("A", 200 * 4096, "memory.limit_in_bytes")
    b.touch_write("b", "h_b", 0, 10)
    b.touch_write("a", "h_a", 20, 10)
    return b.build()


def limit_on_tasks() -> Trace:
    """pids.max of 3 in A and 5 above it: forks are refused there alone, and an end makes room."""
    b = TraceBuilder()
    b.container("P")
    for box in "AB":
        b.task(box.lower(), b.container(box, parent="P"))
    b.set_limit("P", 5, "pids.max")
    b.set_limit("A", 3, "pids.max")
    for n in range(4):
        b.fork("a", f"a{n}")
    b.fork("b", "b0")
    b.fork("b", "b1")
    b.exit("a1")
    b.reap("a1")
    b.fork("b", "b2")
    b.set_limit("P", 20, "pids.max")
    b.set_limit("A", 20, "pids.max")
    for n in range(4, 8):
        b.fork("a", f"a{n}")
    return b.build()


# ---- groups in groups ----------------------------------------------------------------------------


def nested_sharing() -> Trace:
    """A parent is charged for all below it; what a removed child leaves comes to its parent."""
    b = TraceBuilder()
    b.container("P")
    for box, parent in (("A", "P"), ("B", "P"), ("C", "")):
        b.task(box.lower(), b.container(box, parent=parent))
    b.file("f", 40)
    b.anon("h", 30)
    for task, first in (("a", 0), ("b", 10), ("c", 20)):
        b.touch_read(task, "f", first, 20)
    b.touch_write("a", "h", 0, 10)
    b.fork("a", "child")
    b.touch_write("child", "h", 0, 5)
    b.move("child", "C")
    b.touch_write("child", "h", 5, 5)
    b.exit("a")
    b.reap("a")
    b.rmdir("A")
    b.touch_read("b", "f", 0, 10)
    b.exit("child")
    b.exit("b")
    b.drop_caches()
    return b.build()


def nested(limit: int) -> TraceBuilder:
    """Tasks a and b in A and B with 500 pages each, below P with `limit` pages for both."""
    b = begun(a=510, b=510)
    b.container("P", limit)
    for task in "ab":
        b.move(task, b.container(task.upper(), 500, parent="P"))
    return b


def parent_at_its_limit() -> Trace:
    """A and B may have 500 pages each, but the parent 600 for both: the parent refuses."""
    b = nested(600)
    b.touch_write("a", "h_a", 0, 200)
    b.touch_write("b", "h_b", 0, 300)
    for page in range(300, 400):
        b.touch_write("b", "h_b", page, 1)
    return b.build()


def parent_kills() -> Trace:
    """At the parent's limit the largest task below it is killed, in whichever child it is."""
    b = nested(700)
    b.touch_write("a", "h_a", 0, 480)
    b.touch_write("b", "h_b", 0, 200)
    b.touch_write("b", "h_b", 200, 40)
    b.touch_write("b", "h_b", 240, 50)
    return b.build()


# ---- with swap: only on request, because a swap area is the whole machine's ----------------------


def swapped_out() -> Trace:
    """500 pages under a limit of 200: what does not fit is swapped, and memory and swap together
    are charged for every page that was written, wherever it is."""
    b = filling(200, a=505)
    for page in range(0, 500, 20):
        b.touch_write("a", "h_a", page, 20)
    b.discard("a", "h_a", 0, 100)
    b.touch_write("a", "h_a", 0, 50)
    return b.build()


def memory_and_swap_at_their_limit() -> Trace:
    """With a limit on both together, swapping makes no room for ever: the task is killed."""
    b = filling(200, a=505)
    b.set_limit("A", 400 * 4096, "memory.memsw.limit_in_bytes")
    b.touch_write("a", "h_a", 0, 300)
    b.touch_write("a", "h_a", 300, 200)
    return b.build()


SWAPPING = {story.__name__: story for story in (swapped_out, memory_and_swap_at_their_limit)}


def all_stories() -> dict[str, Callable[[], Trace]]:
    """Name -> function, in the order of this file; those of SWAPPING apart."""
    found = inspect.getmembers(sys.modules[__name__], inspect.isfunction)
    own = (f for _, f in found if inspect.get_annotations(f) == {"return": "Trace"})
    found = sorted(own, key=lambda f: f.__code__.co_firstlineno)
    return {f.__name__: f for f in found if f.__name__ not in SWAPPING}
