"""One source, two ways to run: compiled and interpreted must give the same machine.

The last tests need neither numpy nor numba: a process in which importing either fails replays
every scheme from a zip file and must find the same numbers.
"""

import json
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest
from strategies import PROFILES, random_case
from test_twin import SCHEMES, as_knobs

from workbench import schemes
from workbench.kernel import Knobs, Machine, PlacementError, check, choose, find_truth, simulate
from workbench.kernel.engine import advance, prepare
from workbench.kernel.layout import COLUMNS, SCALARS
from workbench.kernel.names import FIFO, HEADS, LRU, PRESENT, ZERO
from workbench.kernel.state import GROWING
from workbench.trace import Trace, TraceBuilder

ROOT = Path(__file__).resolve().parents[1]
SEEDS = int(os.environ.get("WORKBENCH_SEEDS", "3"))
GONE = {  # what only one of the two uses, or which is left over
    "used_after_free", "prefetch", "addresses", "records",
}

numba = pytest.importorskip("numba", reason="the compiled engine needs numba")


def columns(k) -> dict:
    """Everything the machine remembers, as plain numbers."""
    found = {name: [int(x) for x in getattr(k, name)] for t in COLUMNS.values() for name in t}
    found["page_flags"] = [x & 0xFFFF for x in found["page_flags"]]  # a sign, to numpy
    return found | {name: int(getattr(k, name)) for name in SCALARS if name not in GONE}


def differences(one, two) -> list[str]:
    a, b = columns(one), columns(two)
    assert a.keys() == b.keys()
    return [name for name in a if a[name] != b[name]]


def both(trace, scheme, machine=None, knobs=None, **options):
    return [simulate(trace, schemes.get(scheme), machine, knobs, engine=engine, **options)
            for engine in ("interpreted", "compiled")]


@pytest.mark.parametrize("profile", PROFILES)
@pytest.mark.parametrize("scheme", SCHEMES)
def test_compiled_is_interpreted(scheme, profile):
    """Every column and scalar: usage, failcnt, css, outcomes, samples, kills, stats, lives."""
    for seed in range(100, 100 + SEEDS):
        case = random_case(seed, profile)
        try:
            plain, fast = both(case.trace, scheme, Machine(**case.machine), as_knobs(case.knobs),
                               sample_every=7, watch=1)
        except PlacementError:
            continue
        assert differences(plain, fast) == [], f"seed {seed}"
        check(plain), check(fast)


def shared_out(k, unit: int) -> list[list[int]]:
    """Distinct pages mapped, shared out, and unshared, per container: slowly."""
    found = [[0] * k.containers for _ in range(3)]
    users: dict[int, set] = {}
    for pte, word in enumerate(map(int, k.word)):
        if word & PRESENT and word >> 40 and not word & ZERO:
            page = int(k.pte_page[pte])
            users.setdefault(page, set()).add(int(k.mm_container[(word >> 40) - 1]))
    for holders in users.values():
        for c in holders:
            found[0][c] += 1
            found[1][c] += unit // len(holders)
            found[2][c] += len(holders) == 1
    return found


def test_truth_is_the_truth_in_both():
    for profile in PROFILES:
        case = random_case(100, profile)
        args = (case.trace, schemes.get("none"), Machine(**case.machine), as_knobs(case.knobs))
        for engine in ("interpreted", "compiled"):
            k = simulate(*args, engine=engine)
            expected = shared_out(k, 5040)
            find_truth(k, 5040)
            books = (k.true_rss, k.true_pss, k.true_uss)
            assert [[int(x) for x in column] for column in books] == expected


@pytest.mark.parametrize("engine", ["interpreted", "compiled"])
def test_every_table_grows(engine):
    """A machine that starts tiny grows every table, and ends as both ways say it must."""
    trace = growing_trace()
    first = None
    for scheme in SCHEMES:
        k = simulate(trace, schemes.get(scheme), Machine(frames=1 << 15), engine=engine)
        check(k)
        for scalar, table in GROWING.items():
            if table == "granule":
                continue  # zones of whole granules have it alone: tests/test_zones.py
            size = len(getattr(k, next(iter(COLUMNS[table]))))
            assert size == getattr(k, scalar), table
            small = 64 if table in ("vma", "handle", "file") else k.vpages + 256
            if table == "entry":
                small = HEADS * k.containers + 256
                if k.lists not in (FIFO, LRU):
                    continue  # no records at all
            assert size > small, f"{scheme}: {table} has not grown"
        assert k.hash_slots > 1024, "nor has the hash"
        outcomes = list(map(int, k.ev_outcome))
        if schemes.get(scheme).parts.placement == "partition":
            continue  # each machine reads its own copy of the file
        first = first or outcomes
        assert outcomes == first, f"{scheme}: no limit binds, so nothing may differ"


def growing_trace() -> Trace:
    b = TraceBuilder()
    for n in range(4):
        b.container(f"C{n}")
    b.anon("a", 300)
    b.file("f", 50)
    b.task("T0", "C0")
    b.map("T0", "f", shared=True)
    b.touch_read("T0", "f")
    for page in range(0, 300, 3):
        b.touch_write("T0", "a", page, 1)  # a range for each
    for _ in range(100):
        b.open("T0", "f")
    for n in range(1, 6):
        b.fork("T0", f"T{n}")
        b.move(f"T{n}", f"C{n % 4}")
        b.map(f"T{n}", "f", shared=True)
        b.touch_read(f"T{n}", "f")
        b.touch_write(f"T{n}", "a", range(0, 300))
    b.exit("T5")
    b.reap("T5")
    b.fork("T0", "T6")
    b.touch_write("T6", "a")
    return b.build()


def test_growth_ends_the_same_in_both():
    trace = growing_trace()
    for scheme in SCHEMES:
        assert differences(*both(trace, scheme, Machine(frames=1 << 15))) == []


@pytest.mark.parametrize("engine", ["interpreted", "compiled"])
def test_a_copy_is_a_machine_of_its_own(engine):
    """Copied half way: both go on, growing their tables, and neither disturbs the other."""
    trace, scheme = growing_trace(), schemes.get("fraction")
    k, run, rehash = prepare(trace, scheme, None, None, engine, 1, 0, 0)
    half = len(trace) // 2
    advance(k, trace, run, rehash, 0, half)
    middle = columns(k)
    other = k.copy()
    advance(k, trace, run, rehash, half, len(trace))
    assert columns(other) == middle != columns(k)
    advance(other, trace, run, rehash, half, len(trace))
    assert columns(other) == columns(k)


@pytest.mark.parametrize("scheme", SCHEMES)
def test_event_by_event_is_all_at_once(scheme):
    """Stepping, stopping to sample and running through end in the same machine."""
    from workbench.kernel import stepped

    case = random_case(3, "sharing")
    for engine in ("interpreted", "compiled"):
        args = (case.trace, schemes.get(scheme), Machine(**case.machine), as_knobs(case.knobs))
        *_, last = stepped(*args, engine=engine)
        whole = simulate(*args, engine=engine)
        assert {d for d in differences(last, whole) if not d.startswith("sample")} == set()


def test_a_scheme_from_a_cell_runs_both_ways():
    """Hooks without a file of their own: compiled in memory, called by address."""
    from dataclasses import replace
    from types import SimpleNamespace

    scope: dict = {}
    exec("def price(k, page, c, _):\n    return 2\n"
         "def mapped(k, page, c, paid):\n    k.failcnt[c] += paid\n    return 0\n"
         "def unmapped(k, page, c, _):\n    k.usage[c] -= 2\n    return 0\n", scope)
    base = schemes.get("none")
    hooks = {name: scope[name] for name in ("price", "mapped", "unmapped")}
    own = replace(base, name="own", module=SimpleNamespace(**vars(base.module) | hooks))
    b = TraceBuilder()
    b.container("A"), b.task("P", "A"), b.anon("a", 5), b.touch_write("P", "a")
    b.unmap("P", "a", range(2))
    plain, fast = (simulate(b.build(), own, engine=e) for e in ("interpreted", "compiled"))
    assert list(plain.usage) == list(fast.usage) == [0, 6]
    assert list(plain.failcnt) == list(fast.failcnt) == [0, 10]
    assert differences(plain, fast) == []


def test_what_is_on_the_disk_is_not_compiled_again():
    """A new process takes the engine and a scheme's hooks from the cache, or says so."""
    both(TraceBuilder().build(), "first_touch")
    code = (
        "from workbench.kernel import compiled, linking\n"
        "from workbench.schemes import first_touch\n"
        "def compile(self, sig): raise SystemExit(f'{self.py_func.__name__} is compiled again')\n"
        "linking.Linked.compile = compile\n"
        "compiled.functions()\n"
        "for name in ('price', 'mapped', 'unmapped'):\n"
        "    compiled.hook_address(getattr(first_touch, name), name)\n"
    )
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert run.returncode == 0, run.stderr


def test_a_stale_cache_is_compiled_again_as_quickly(tmp_path):
    """Parts were optimised with all they call, each, when the disk had a file and numba refused
    it (another path, a newer date): that took ten minutes and gigabytes."""
    code = (
        "import os\n"
        "from workbench.kernel import compiled, linking\n"
        "from workbench.schemes import first_touch\n"
        "names = []\n"
        "def optimise(self): names.extend([self.name] * (self.name != 'nrt'))  # nrt: numba's own\n"
        "linking.Whole._optimize_final_module = optimise\n"
        "compiled.hook_address(first_touch.mapped, 'mapped')\n"
        "assert names == ['workbench_schemes_first_touch_mapped'], names\n"
        "for file in compiled.cache_folder('').rglob('*.nbi'): file.unlink()\n"
        "compiled.hook_address.cache_clear(), linking.linked.pop(first_touch.mapped)\n"
        "compiled.hook_address(first_touch.mapped, 'mapped')\n"
        "assert names == 2 * ['workbench_schemes_first_touch_mapped'], names\n"
    )
    environment = os.environ | {"XDG_CACHE_HOME": str(tmp_path)}
    run = subprocess.run(
        [sys.executable, "-c", code], env=environment, capture_output=True, text=True
    )
    assert run.returncode == 0, run.stderr


def test_choosing_an_engine():
    assert choose("interpreted") == "interpreted" and choose("auto") == "compiled"
    with pytest.raises(ValueError, match="auto, compiled, interpreted"):
        choose("jit")


# ---- the standard library alone ------------------------------------------------------------------

ALONE = """
import importlib.abc, json, sys

class Without(importlib.abc.MetaPathFinder):
    '''A finder that does not find what a machine with Python alone does not have.'''

    def __init__(self, finder):
        self.finder = finder

    def find_spec(self, name, path=None, target=None):
        return None if name.split(".")[0] in GONE else self.finder.find_spec(name, path, target)

GONE = {"numpy", "numba", "llvmlite", "pandas", "pyarrow", "matplotlib", "tqdm", "typer"}
sys.meta_path[:] = [Without(finder) for finder in sys.meta_path]
from workbench import schemes
from workbench.kernel import Knobs, Machine, choose, simulate
from workbench.schemes import contract
from workbench.trace import Trace

trace = Trace.load(sys.argv[1])
found = {"engine": choose("auto"), "events": len(trace)}
for name in json.loads(sys.argv[2]):
    k = simulate(trace, schemes.get(name), Machine(nodes=4, frames=4096), Knobs(cluster=4))
    found[name] = [[int(x) for x in getattr(k, c)] for c in
                   ("usage", "failcnt", "css", "held", "mapped", "ev_outcome", "stat", "sample")]
found["kept"] = [v.word for v in contract.check("first_touch", range(3))][0]
found["loaded"] = sorted(GONE & {name.split(".")[0] for name in sys.modules})
try:
    simulate(trace, schemes.get("none"), engine="compiled")
except (ImportError, ValueError) as error:
    found["compiled"] = str(error)
print(json.dumps(found))
"""


def busy_trace() -> Trace:
    """A random trace: forks, kills, swap, sharing."""
    return random_case(11, "fork", 200).trace


def alone(trace: Trace, tmp_path: Path) -> dict:
    file = tmp_path / "trace.zip"
    trace.save(file)
    done = subprocess.run(
        [sys.executable, "-c", ALONE, str(file), json.dumps(SCHEMES)],
        env=os.environ | {"PYTHONPATH": str(ROOT)}, capture_output=True, text=True, cwd=tmp_path,
    )
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


def test_the_standard_library_is_enough(tmp_path):
    trace = busy_trace()
    found = alone(trace, tmp_path)
    assert found["engine"] == "interpreted" and found["events"] == len(trace)
    assert found["loaded"] == [], "nothing heavy was imported on the way"
    assert "numba" in found["compiled"], "and compiled says what is missing"
    assert found["kept"] == "kept"
    for scheme in SCHEMES:
        k = simulate(trace, schemes.get(scheme), Machine(nodes=4, frames=4096), Knobs(cluster=4),
                     engine="compiled")
        books = (k.usage, k.failcnt, k.css, k.held, k.mapped, k.ev_outcome, k.stat, k.sample)
        assert found[scheme] == [[int(x) for x in column] for column in books], scheme
    assert len({json.dumps(found[scheme][0]) for scheme in SCHEMES}) > 4, "the schemes differ"


def test_what_is_called_rare_is_there():
    """A module or function that is renamed would silently be hot again."""
    from workbench.kernel.linking import RARE

    folder = ROOT / "workbench" / "kernel"
    words = set(re.findall(r"[a-z_]{3,}", RARE.pattern.partition("kernel")[2]))
    known = {path.stem for path in folder.glob("*.py")}
    for path in folder.glob("*.py"):
        known |= set(re.findall(r"^def (\w+)", path.read_text(encoding="utf-8"), re.MULTILINE))
    assert words and words <= known
    assert RARE.match("_ZN9workbench6kernel3oom9kill_taskB1") and not RARE.match(
        "_ZN9workbench6kernel6faults6accessB1")
