"""perf tracepoints on top of a recording (root): when exactly each page was touched.

A look finds the pages that came since the last one; perf's page faults say when they came, and so
in which order. The page cache's additions and removals are counted.
"""

from __future__ import annotations

import contextlib
import os
import re
import shutil
import signal
import subprocess
import tempfile
from bisect import bisect_right
from collections import Counter
from collections.abc import Iterable
from pathlib import Path

from .ptrace import Missing

FAULTS = "exceptions:page_fault_user,exceptions:page_fault_kernel"
CACHE = "filemap:mm_filemap_add_to_page_cache,filemap:mm_filemap_delete_from_page_cache"
_FAULT = re.compile(r"\s*(\d+)\s+(\d+)\.(\d{9}):\s+exceptions:page_fault_\w+:\s+address=(\S+)")


class Perf:
    """`perf record` on some processes and all their descendants; Missing says what it lacks."""

    def __init__(self, pids: Iterable[int]):
        if shutil.which("perf") is None:
            raise Missing("--perf needs the program perf (Debian: linux-perf), which is not there")
        if os.geteuid():
            raise Missing("--perf needs root: tracepoints are not for ordinary users")
        self.folder = tempfile.TemporaryDirectory(prefix="workbench-perf-")
        self.data = Path(self.folder.name) / "perf.data"
        control, order = os.pipe()
        answer, acknowledge = os.pipe()
        self.pipes = order, answer  # open while perf lives: it does not like their ends
        self.process = subprocess.Popen(
            ["perf", "record", "-q", "-k", "CLOCK_MONOTONIC", "-m", "2048", "-o", str(self.data),
             "-D", "-1", f"--control=fd:{control},{acknowledge}", "-e", FAULTS, "-e", CACHE,
             "-p", ",".join(map(str, pids))],
            pass_fds=[control, acknowledge], start_new_session=True, stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL, stderr=subprocess.PIPE,
        )
        os.close(control)
        os.close(acknowledge)
        os.write(order, b"enable\n")
        ready = os.read(answer, 16)  # ends without a word when perf gives up
        if not ready.startswith(b"ack"):
            why = self.process.stderr.read().decode(errors="replace").strip().splitlines()
            self.process.wait()
            self.close()
            raise Missing(f"--perf: perf cannot trace here: {why[0] if why else 'no reason given'}")

    def stop(self) -> tuple[dict[int, dict[int, list[int]]], Counter]:
        """Faults as task -> page -> times (ns, ascending); cache events and lost ones, counted."""
        with contextlib.suppress(ProcessLookupError):
            self.process.send_signal(signal.SIGINT)
        self.process.communicate()
        script = subprocess.Popen(
            ["perf", "script", "-i", str(self.data), "--ns", "-F", "tid,time,event,trace",
             "--show-lost-events"],
            stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True, errors="replace",
        )
        faults: dict[int, dict[int, list[int]]] = {}
        cache: Counter = Counter()
        for line in script.stdout:
            found = _FAULT.match(line)
            if found:
                tid, seconds, ns, address = found.groups()
                page = int(address, 16) >> 12
                faults.setdefault(int(tid), {}).setdefault(page, []).append(int(seconds + ns))
            elif "PERF_RECORD_LOST" in line:
                cache["lost"] += int(re.findall(r"\d+", line)[-1])
            else:
                cache["added"] += "add_to_page_cache" in line
                cache["removed"] += "delete_from_page_cache" in line
        script.wait()
        self.close()
        return faults, cache

    def close(self) -> None:
        self.folder.cleanup()
        for end in self.pipes:
            os.close(end)


def in_order(
    log: list[tuple], faults: dict[int, dict[int, list[int]]]
) -> tuple[list[tuple], float]:
    """A recorder's log with every touch at the time of its fault, and the share that has one.

    A touch stays after what made it possible (the mapping, the exec, the fork) and before the look
    that found it.
    """
    owner: dict[int, int] = {}  # task -> the process its touches are logged for
    mine: dict[int, list[int]] = {}  # the reverse
    begun: dict[int, int] = {}
    mapped: dict[int, list[tuple[int, int, int]]] = {}  # process -> (start, stop, time)
    new: list[tuple] = []
    exact = total = 0
    for entry in log:
        time, what, *words = entry
        if what in ("thread", "fork", "begin"):
            child = words[0] if what == "begin" else words[1]
            owner[child] = owner.get(words[0], words[0]) if what == "thread" else child
            mine.setdefault(owner[child], []).append(child)
            begun[child] = time
            mapped[child] = list(mapped.get(words[0], ())) if what == "fork" else []
        elif what == "exec":
            begun[words[0]], mapped[words[0]] = time, []
        elif what == "remap":
            mapped.setdefault(words[0], []).extend((a, b, time) for a, b, _ in words[1])
        if what != "touch" or words[0] == "discard":
            new.append(entry)
            continue
        how, pid, start, count = words
        regions = [r for r in mapped.get(pid, ()) if r[0] < start + count and start < r[1]]
        for page in range(start, start + count):
            earliest = max([begun.get(pid, 0), *(t for a, b, t in regions if a <= page < b)])
            at = 0
            for tid in mine.get(pid, (pid,)):
                times = faults.get(tid, {}).get(page, ())
                place = bisect_right(times, time)
                at = max(at, times[place - 1]) if place else at
            exact += at > 0
            total += 1
            new.append((max(earliest, at) if at else time, "touch", how, pid, page, 1))
    new.sort(key=lambda entry: entry[0])
    return new, exact / max(total, 1)
