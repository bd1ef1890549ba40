"""Running processes as a trace: our fractions are the kernel's PSS (Linux; our own processes)."""

import json
import os
import subprocess
import sys
import textwrap
from fractions import Fraction
from pathlib import Path

import pytest

from workbench import cli
from workbench.trace import Trace

pytestmark = [
    pytest.mark.linux,
    pytest.mark.skipif(sys.platform != "linux", reason="/proc/PID/pagemap"),
]
PYTHON = os.path.realpath(sys.executable)
# map pages first..last of a file and touch them; then fork: both touch 40 anonymous pages, the
# child writes 10 of them
SHARER = """
    import mmap, os, sys, time
    first, last = int(sys.argv[2]), int(sys.argv[3])
    file = open(sys.argv[1], "r+b")
    size = (last - first) * 4096
    memory = mmap.mmap(file.fileno(), size, flags=mmap.MAP_SHARED, offset=first * 4096)
    for page in range(last - first):
        memory[page * 4096] = 1
    own = mmap.mmap(-1, 40 * 4096, flags=mmap.MAP_PRIVATE)
    for page in range(40):
        own[page * 4096] = 1
    child = os.fork()
    if child == 0:
        for page in range(10):
            own[page * 4096] = 2
        memory.close()
        os.write(1, b"x")
        sys.stdin.read()
        os._exit(0)
    print(child, flush=True)
    sys.stdin.read()
"""


@pytest.fixture(scope="module")
def sharers(tmp_path_factory):
    """(path, [(pid, child), ...]) of two programs and their children, all asleep."""
    folder = tmp_path_factory.mktemp("snapshot")
    (folder / "sharer.py").write_text(textwrap.dedent(SHARER))
    (folder / "shared").write_bytes(bytes(64 * 4096))
    started = [
        subprocess.Popen(
            [PYTHON, "-S", folder / "sharer.py", folder / "shared", *ends],
            stdin=subprocess.PIPE, stdout=subprocess.PIPE,
        )
        for ends in (("0", "30"), ("20", "50"))
    ]
    pids = []
    for program in started:
        said = program.stdout.readline()
        while b"x" not in said:
            said += program.stdout.read1()
        pids.append((program.pid, int(said.replace(b"x", b""))))
    yield folder / "shared", pids
    for program in started:
        program.communicate()


def snapshot(pids, **how):
    from workbench.record import Missing
    from workbench.record.snapshot import snapshot

    try:
        return snapshot(pids, **how)
    except Missing as why:
        pytest.skip(str(why))


def pss_of_mapping(pid, path):
    """The kernel's Rss and Pss (KiB) of a process's mappings of a file."""
    sizes, inside = [0, 0], False
    for line in Path(f"/proc/{pid}/smaps").read_text().splitlines():
        if "-" in line.split(":")[0].split(" ")[0]:
            inside = line.endswith(str(path))
        for i, word in enumerate(("Rss:", "Pss:")):
            if inside and line.startswith(word):
                sizes[i] += int(line.split()[1])
    return sizes


def test_fractions_of_a_shared_file_are_the_kernels_pss(sharers):
    path, ((one, _), (two, _)) = sharers
    trace = snapshot([one, two], group_by="process").trace
    held = {}
    for e in trace.events():
        if e.op.name.startswith("touch") and e.target == str(path):
            held.setdefault(e.task, set()).update(range(e.page, e.page + e.count))
    assert [len(pages) for pages in held.values()] == [30, 30]
    for pid, mine in zip((one, two), held.values(), strict=True):
        exact = sum(Fraction(4, sum(p in pages for pages in held.values())) for p in mine)
        rss, pss = pss_of_mapping(pid, path)
        assert rss == 120 and 0 <= exact - pss < 1 and exact == 4 * 20 + 2 * 10


def test_every_process_of_the_machine(sharers):
    """Needs root: whoever else maps libc must be seen too."""
    if os.geteuid() != 0:
        pytest.skip("an ordinary user does not see the other processes")
    _, pids = sharers
    mine = {pid for pair in pids for pid in pair}
    for _ in range(3):  # others come and go while it is taken
        found = snapshot(None, group_by="process")
        exact = dict(zip((p.pid for p in found.processes), found.fractions(), strict=True))
        gaps = [abs(float(exact[p.pid]) - p.pss) for p in found.processes if p.pid in mine]
        if max(gaps) <= 8:
            break
    assert len(gaps) == 4 and max(gaps) <= 8, gaps
    assert found.exact


def test_anonymous_pages_shared_since_a_fork(sharers):
    _, ((parent, child), _) = sharers
    found = snapshot([parent, child])
    if not found.exact:
        pytest.skip("physical page numbers are for root")
    sizes = {o.name: o.pages for o in found.trace.objects}
    shared = sizes["shared since a fork"]
    assert shared >= 30
    own = [pages for name, pages in sizes.items() if name.endswith(":anon")]
    assert all(pages >= 10 for pages in own) and max(own) < shared + 300
    assert all(p.uss <= p.pss <= p.rss for p in found.processes)


def test_schemes_charge_what_is_there(sharers):
    from workbench.results import replay

    _, pids = sharers
    mine = [pid for pair in pids for pid in pair]
    trace = snapshot(mine, group_by="process").trace
    every = replay(trace, "every_mapping", engine="interpreted").usage_exact()
    rss = {f"{p.command}.{p.pid}": p.rss for p in snapshot(mine, group_by="process").processes}
    for box, kib in rss.items():
        assert kib - 12 <= 4 * every[box] <= kib  # vdso and vvar are nobody's
    fraction, first = (
        replay(trace, name, engine="interpreted").usage_exact()
        for name in ("fraction", "first_touch")
    )
    assert sum(fraction.values()) == sum(first.values()) < sum(every.values())


def test_the_command(sharers, tmp_path, capsys):
    _, (pair, _) = sharers
    words = [word for pid in pair for word in ("--pid", str(pid))]
    words += ["--scheme", "every_container", "--engine", "interpreted"]
    out = tmp_path / "now.zip"
    if cli.main(["snapshot", *words, "--group-by", "user", "-o", str(out)]) == 3:
        pytest.skip(capsys.readouterr().err)
    said = capsys.readouterr().out
    assert "user " in said and "every_container" in said and "RSS adds up to" in said
    assert Trace.load(out).header["provenance"]["grouped_by"] == "user"
    assert cli.main(["snapshot", *words, "--group-by", "process", "--json"]) == 0
    data = json.loads(capsys.readouterr().out)
    assert len(data["processes"]) == 2 and data["containers"][-1]["processes"] == 2


@pytest.mark.parametrize("words, said", [
    (["--group-by", "pod"], "one of cgroup, user, command, process"),
    (["--pid", "999999999"], "no process 999999999"),
    (["--scheme", "first_tuch"], "did you mean first_touch?"),
])
def test_mistakes(capsys, words, said):
    assert cli.main(["snapshot", *words]) == 2
    assert said in capsys.readouterr().err
