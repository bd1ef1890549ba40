"""The benchmark's command: run sections, print tables, say which targets were met."""

from __future__ import annotations

import argparse
import json
import os
import re
import sys
import tempfile
import time
from dataclasses import asdict, is_dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
if __package__ in (None, ""):
    # started as a file: imports start at the root, not in this folder (its profile.py would hide
    # the standard library's)
    sys.path[0] = str(ROOT)
    __package__ = "tests.bench"
os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")  # idle BLAS threads spin on the second core
os.environ["PYTHONPATH"] = str(ROOT)

MARKS = ("<!-- speed -->", "<!-- /speed -->")


def main(arguments: list[str] | None = None) -> int:
    from .sections import SECTIONS, Bench

    parser = argparse.ArgumentParser(prog="python -m tests.bench", description=__doc__)
    parser.add_argument("--quick", action="store_true", help="shorter traces")
    parser.add_argument("--only", action="append", choices=list(SECTIONS), help="may be repeated")
    parser.add_argument("--runs", type=int, default=5, help="of everything; the median counts")
    parser.add_argument("--cold", action="store_true", help="also compile the engine from nothing")
    parser.add_argument("--readme", action="store_true", help="write the table into README.md")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write every number")
    chosen = parser.parse_args(arguments)

    from . import measure, peers

    begun = time.perf_counter()
    machine = measure.machine()
    print("\n".join(f"{name}: {value}" for name, value in machine.items()))
    print("CPU time of the thread; median (least..most) of at least "
          f"{chosen.runs} runs, one after the other in turns.")
    with tempfile.TemporaryDirectory(prefix="workbench-bench-") as folder:
        library = peers.build(Path(folder))
        if library is None:
            print("No C compiler: the C loop and everything measured by it are left out.")
        if not peers.has_libcachesim():
            print("libcachesim is not installed (pip install libcachesim): left out.")
        bench = Bench(chosen.quick, chosen.runs, chosen.cold, Path(folder), library)
        for name in chosen.only or SECTIONS:
            start = time.perf_counter()
            SECTIONS[name](bench)
            print(f"({name}: {time.perf_counter() - start:.0f} s)", flush=True)
    rows = [
        [t.what, f"{t.value:,.4g} {t.unit}".strip(), f"{'>=' if t.least else '<='} {t.bound:,g}",
         "met" if t.met else "NOT MET"]
        for t in bench.targets
    ]
    bench.show("targets", ["", "measured", "target", ""], rows)
    print(f"\n{sum(t.met for t in bench.targets)} of {len(bench.targets)} targets met; "
          f"{time.perf_counter() - begun:.0f} s in all.")
    if chosen.json:
        everything = {"machine": machine, "found": bench.found, "targets": bench.targets}
        replace_file(chosen.json, json.dumps(plain(everything), indent=1) + "\n")
    if chosen.readme:
        write_readme(ROOT / "README.md", readme_text(machine, bench.found))
    return 0


def plain(value):
    """Dataclasses and odd keys made fit for JSON."""
    if is_dataclass(value):
        return plain(asdict(value))
    if isinstance(value, dict):
        return {str(key): plain(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [plain(item) for item in value]
    return None if value != value else value


def replace_file(path: Path, text: str) -> None:
    """All of the new text or all of the old."""
    with tempfile.NamedTemporaryFile("w", encoding="utf-8", dir=path.parent, delete=False) as new:
        new.write(text)
    if path.exists():
        os.chmod(new.name, path.stat().st_mode)
    else:
        os.chmod(new.name, 0o644)
    os.replace(new.name, path)


def write_readme(path: Path, text: str) -> None:
    first, last = MARKS
    old = path.read_text(encoding="utf-8")
    pattern = re.compile(rf"^{first}\n.*?^{last}$", re.M | re.S)
    if len(pattern.findall(old)) != 1:
        raise SystemExit(f"{path}: exactly one {first} ... {last} is expected")
    replace_file(path, pattern.sub(lambda _: f"{first}\n{text}{last}", old))
    print(f"{path}: table written")


def readme_text(machine: dict[str, str], found: dict) -> str:
    """The few numbers a reader of README.md wants."""
    from .measure import table
    from .sections import PAIRS

    def one(key: str, name: str) -> str:
        return f"{found[key]['times'][name].median:.3g}" if has(key, name) else "-"

    def has(key: str, name: str) -> bool:
        return key in found and name in found[key]["times"]

    def spread(key: str) -> str:
        if key not in found:
            return "-"
        values = [t.median for name, t in found[key]["times"].items()
                  if name not in ("C loop", PAIRS, "libcachesim LRU")]
        return f"{min(values):.3g} to {max(values):.3g}"

    def net(key: str) -> str:
        value = found.get(key, {}).get("libcachesim net")
        return f"{value.median:.3g}" if value else "-"

    lines = [
        ("one container, no limit", "hits {}"), ("one container, limit at half", "half {}"),
        ("100 containers, hits", "hits, all pages shared {}"),
        ("100 containers, mapping and unmapping", "churn, 4 sharers a page {}"),
    ]
    rows = []
    for label, key in lines:
        for pages in (10_000, 1_000_000):
            at = key.format(pages)
            rows.append([f"{label}, {pages:,} pages", one(at, "first_touch"), spread(at), net(at),
                         one(at, "C loop"), one(at, PAIRS)])
    text = [
        f"{machine['CPU'].partition(', load')[0]}; Python {machine['Python']}, numba "
        f"{machine['numba']}, libcachesim {machine['libcachesim']}. CPU nanoseconds per event, "
        "Zipf(1.0) page numbers,\nmedians of five interleaved runs (`python -m tests.bench`):\n",
        table(["compiled engine", "`first_touch`", "all schemes", "libcachesim LRU", "bare C loop",
               "by pairs"], rows),
        "",
        "libcachesim replays the same pages with the same capacity; reading its file is not "
        "counted. The C loop\nchanges eight bytes at random per event, which is what memory "
        "allows: of its page, or of its pair of page\nand container.",
    ]
    own = [key for key in found if key.startswith("own ")]
    if own:
        rows = []
        for key in own:
            name = key.split()[-1]
            built_in, users = (found[key]["times"][n].median for n in (name, f"own_{name}"))
            case = key.removeprefix("own ").removesuffix(name).strip()
            case = case.replace("churn", "mapping and unmapping")
            rows.append([f"{case}, `{name}`", f"{built_in:.3g}", f"{users:.3g}",
                         f"{found[key]['speed']:.2f}"])
        head = ["10,000 pages", "built in", "the same hooks, a user's", "speed"]
        text += ["", "A scheme of your own has every index and number looked at:", "",
                 table(head, rows)]
    sentences = []
    if "20,000 events" in found:
        t = found["20,000 events"]["recorded, first_touch, results.replay"]
        sentences.append(f"20,000 recorded events replay in {t.median:.0f} ms")
    if "new process" in found:
        t = found["new process"]["first result, whole process"]
        sentences.append(f"a new process has its first result after {t.median:.1f} s")
    if "interpreted" in found:
        rates = found["interpreted"].values()
        low, high = min(rates) / 1000, max(rates) / 1000
        sentences.append(f"interpreted, {low:,.0f},000 to {high:,.0f},000 events pass per second")
    in_c = [found[key]["times"]["in C"] for key in ("same half 10000", "same churn 10000")
            if key in found]
    if len(in_c) == 2:
        half, churn = (f"{t.median:.2g}" for t in in_c)
        sentences.append(f"C written by hand for one case alone decides the same in {half} ns an "
                         f"event (limit at half) and {churn} (mapping and unmapping), 10,000 pages")
    if sentences:
        first, *others = sentences
        text += ["", "; ".join([first, *others]) + "."]
    return "\n".join(text) + "\n"


if __name__ == "__main__":
    raise SystemExit(main())
