"""Record the datasets anew (Linux): `python -m datasets.record FOLDER [NAME...]`

The programs are made here, the same every time; what a recording finds depends on the kernel and
the versions of the programs, which its header names. Working directories appear as `src/`.
"""

from __future__ import annotations

import os
import random
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

from workbench.record import Command, Missing, record

PYTHON = os.path.realpath(shutil.which("python3", path="/usr/bin:/bin") or sys.executable)
HEADERS = ("stdio", "stdlib", "string", "errno", "stdint", "math", "unistd", "sys/stat")
FUNCTION = """
struct s{n} {{ int a[{m}]; double d; struct s{n} *next; }};
int f{n}(struct s{n} *v, unsigned seed)
{{
    int sum = {m};
    for (struct s{n} *p = v; p; p = p->next) {{
        for (int i = 0; i < {m}; i++) {{
            seed = seed * {odd}u + {n}u;
            if (p->a[i] > (int)(seed >> {shift}))
                sum += p->a[i] ^ (int)seed;
            else
                p->d += (double)sum / (1 + i);
        }}
    }}
    return sum;
}}
"""
SERVER = """
import os, sys, threading, urllib.request
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
class Quiet(SimpleHTTPRequestHandler):
    def log_message(self, *words):
        pass
os.chdir(sys.argv[1])
with ThreadingHTTPServer(("127.0.0.1", 0), Quiet) as server:
    threading.Thread(target=server.serve_forever).start()
    for i in range(20):
        with urllib.request.urlopen(f"http://127.0.0.1:{server.server_port}/{i % 5}.bin") as answer:
            answer.read()
    server.shutdown()
"""


def c_source(functions: int, seed: int) -> str:
    """A C file of about 20 lines a function."""
    draw = random.Random(seed)
    text = "".join(f"#include <{name}.h>\n" for name in HEADERS)
    for n in range(functions):
        text += FUNCTION.format(
            n=f"{seed}_{n}".replace("_", "0"), m=draw.randint(3, 12),
            odd=draw.randrange(3, 1 << 16) | 1, shift=draw.randint(3, 20),
        )
    return text


def make_sources(folder: Path) -> None:
    """Two files of 1,000 lines, a project of nine small ones, five files to serve."""
    for seed, name in enumerate(("big.c", "big2.c"), 1):
        (folder / name).write_text(c_source(50, seed))
    project, served = folder / "project", folder / "served"
    project.mkdir()
    served.mkdir()
    for i in range(8):
        (project / f"part{i}.c").write_text(c_source(6, 10 + i))
    (project / "main.c").write_text("int main(void) { return 0; }\n")
    parts = " ".join(["main.o", *(f"part{i}.o" for i in range(8))])
    (project / "Makefile").write_text(f"program: {parts}\n\tgcc -o $@ $^ -lm\n%.o: %.c\n"
                                      "\tgcc -O2 -c -o $@ $<\n")
    for i in range(5):
        (served / f"{i}.bin").write_bytes(bytes(16384 * (i + 1)))
    (folder / "server.py").write_text(SERVER)


def programs(folder: Path) -> dict[str, tuple[list[str], bool]]:
    """Name -> command, whether each of its children is a container."""
    two = "gcc -O2 -c big.c -o 1.o & gcc -O2 -c big2.c -o 2.o & wait"
    return {
        "gcc1": (["gcc", "-O2", "-c", "big.c", "-o", "big.o"], False),
        "gcc2": (["/bin/sh", "-c", two], True),
        "make": (["make", "-s", "-j2", "-C", str(folder / "project")], False),
        "pyjson": ([PYTHON, "-c", "import json"], False),
        "web": ([PYTHON, str(folder / "server.py"), str(folder / "served")], False),
    }


def main(target: Path, wanted: list[str]) -> int:
    target.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix="workbench-") as work:
        folder = Path(work)
        make_sources(folder)
        os.chdir(folder)
        known = programs(folder)
        for name in wanted or known:
            if name not in known:
                print(f"no program {name}: {', '.join(known)}", file=sys.stderr)
                return 2
            command, subtrees = known[name]
            if shutil.which(command[0]) is None or (name == "make" and not shutil.which("gcc")):
                print(f"{name}: not recorded, there is no {command[0]}", file=sys.stderr)
                continue
            subprocess.run(command, check=True, stdout=subprocess.DEVNULL,
                           stderr=subprocess.DEVNULL)  # into the page cache
            for made in folder.rglob("*.o"):
                made.unlink()
            (folder / "project/program").unlink(missing_ok=True)
            made = record([Command("A", command)], subtrees=subtrees,
                          rename=lambda path: path.replace(f"{work}/", "src/"))
            if any(made.codes):
                print(f"{name}: ended with {made.codes}", file=sys.stderr)
                return 1
            made.trace.save(target / f"{name}.zip")
            print(f"{name}: {made.trace!r}, {made.wall:.2f} s, "
                  f"{made.trace.header['provenance']['lost_events']} lost")
    return 0


if __name__ == "__main__":
    if len(sys.argv) < 2 or sys.argv[1].startswith("-"):
        sys.exit(__doc__)
    try:
        sys.exit(main(Path(sys.argv[1]).absolute(), sys.argv[2:]))
    except Missing as problem:
        sys.exit(str(problem))
