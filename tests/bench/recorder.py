"""The recorder against an instruction-level tracer: which file pages does a program touch?

    python -m tests.bench.recorder [COMMAND...]

Truth is Valgrind's lackey (every load, store and instruction fetch; Debian package `valgrind`);
addresses become pages of files through /proc/PID/maps of the traced process. The default command,
`python3 -c 'import json'`, takes lackey some minutes. Valgrind's own files are left out; it shows
the program a CPU without AVX-512, so libc is told to do without it in both.
"""

from __future__ import annotations

import contextlib
import os
import re
import shutil
import subprocess
import sys
import time

from workbench.record import Command, record
from workbench.trace.summary import TOUCHES, pages_used

DEFAULT = (os.path.realpath("/usr/bin/python3"), "-c", "import json")
REFERENCE = re.compile(rb"^(?:I | [LSM]) ?([0-9a-f]+)[0-9a-f]{3},", re.M)
ENVIRON = os.environ | {
    "PYTHONHASHSEED": "0",
    "PYTHONDONTWRITEBYTECODE": "1",
    "GLIBC_TUNABLES": "glibc.cpu.hwcaps=-AVX512F,-AVX512VL,-AVX512BW,-AVX512DQ,-AVX512CD",
}


def file_pages(pid: int) -> list[tuple[int, int, int, str]]:
    """(first page, end, page of the file, path) of a process's file mappings."""
    found = []
    with open(f"/proc/{pid}/maps") as maps:
        for line in maps:
            words = line.split(maxsplit=5)
            if words[4] != "0" and len(words) == 6:
                start, stop = (int(part, 16) >> 12 for part in words[0].split("-"))
                found.append((start, stop, int(words[2], 16) >> 12, words[5].rstrip("\n")))
    return found


def lackey(command: tuple[str, ...]) -> tuple[set[tuple[str, int]], float]:
    """File pages that are loaded, stored or fetched, and the seconds it took."""
    read, write = os.pipe()
    begun = time.monotonic()
    traced = subprocess.Popen(
        ["valgrind", "--tool=lackey", "--trace-mem=yes", f"--log-fd={write}", *command],
        pass_fds=[write], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, env=ENVIRON,
    )
    os.close(write)
    found: set[tuple[str, int]] = set()
    rest, maps = b"", []
    with open(read, "rb", buffering=0) as text:
        while chunk := text.read(1 << 20):
            cut = chunk.rfind(b"\n") + 1
            pages = {int(word, 16) for word in set(REFERENCE.findall(rest + chunk[:cut]))}
            rest = chunk[cut:] if cut else rest + chunk
            with contextlib.suppress(OSError):  # its last words
                maps = file_pages(traced.pid) or maps
            for page in pages:  # addresses are used again for other files: look each time
                for start, stop, first, path in maps:
                    if start <= page < stop and "valgrind" not in path:
                        found.add((path, first + page - start))
    traced.wait()
    return found, time.monotonic() - begun


def recorded(command: tuple[str, ...]) -> tuple[set[tuple[str, int]], object]:
    """File pages that the recorder says are touched."""
    os.environ.update(ENVIRON)
    made = record([Command("A", command)])
    trace = made.trace
    pages = set().union(*pages_used(trace, TOUCHES, "file").values())
    return {(trace.objects[obj].path, page) for obj, page in pages}, made


def main(words: list[str]) -> int:
    if not shutil.which("valgrind"):
        print("valgrind is not installed (apt-get install valgrind)", file=sys.stderr)
        return 3
    command = tuple(words) or DEFAULT
    alone = []
    for _ in range(3):
        begun = time.monotonic()
        subprocess.run(command, stdout=subprocess.DEVNULL, env=ENVIRON)
        alone.append(time.monotonic() - begun)
    alone = min(alone)
    mine, made = recorded(command)
    again, _ = recorded(command)
    truth, slow = lackey(command)
    both = len(mine & truth)
    recall, precision = both / max(1, len(truth)), both / max(1, len(mine))
    print(f"{' '.join(command)}: file pages touched\n")
    print("| tracer | pages | recall | precision | seconds | slow-down |")
    print("| --- | ---: | ---: | ---: | ---: | ---: |")
    print(f"| none | | | | {alone:.2f} | 1 |")
    print(f"| lackey | {len(truth):,} | 1 | 1 | {slow:.1f} | {slow / alone:,.0f} |")
    print(f"| workbench record | {len(mine):,} | {recall:.4f} | {precision:.4f} | {made.wall:.2f} "
          f"| {made.wall / alone:.1f} (said: at least {made.slowdown:.1f}) |")
    print(f"\nrecorded again: {len(mine ^ again)} pages differ; fault-around {made.fault_around}; "
          f"{made.trace.header['provenance']['lost_events']} events lost")
    for name, pages in (("missed", truth - mine), ("too many", mine - truth)):
        print(f"{name}: {', '.join(f'{path}:{page}' for path, page in sorted(pages)[:20])}")
    return 0 if min(recall, precision) >= 0.99 else 1


if __name__ == "__main__":
    raise SystemExit(main(sys.argv[1:]))
