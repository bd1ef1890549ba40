"""nbval compares: with one digit of each stored VERDICT changed, exactly those cells fail."""
import json
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
NOTEBOOKS = sorted((ROOT / "notebooks").glob("*.ipynb"))


def bumped(match: re.Match) -> str:
    return match[1] + str((int(match[2]) + 1) % 10)


def mutate(book: dict) -> set[int]:
    """Change the first digit of every cell's first VERDICT; returns those code cells' numbers."""
    changed = set()
    for number, cell in enumerate(c for c in book["cells"] if c["cell_type"] == "code"):
        for output in cell["outputs"]:
            text = "".join(output.get("text", ""))
            new = re.sub(r"(VERDICT \D*)(\d)", bumped, text, count=1)
            if new != text:
                output["text"] = new
                changed.add(number)
    return changed


def failing_cells(path: Path) -> set[int]:
    """The code cells (from 0) that nbval finds different, with this project's own settings."""
    run = subprocess.run(
        [sys.executable, "-m", "pytest", "-c", str(ROOT / "pyproject.toml"), "--rootdir", str(ROOT),
         "-q", "--color=no", "--tb=no", "-rf", "-p", "no:cacheprovider", str(path)],
        capture_output=True, text=True, cwd=ROOT,
    )
    assert run.returncode in (0, 1), run.stdout + run.stderr
    return {int(number) for number in re.findall(r"FAILED \S*::Cell (\d+)", run.stdout)}


@pytest.mark.slow
@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.name)
def test_a_wrong_verdict_fails_its_cell_and_no_other(path, tmp_path):
    copy = tmp_path / path.name
    shutil.copy(path, copy)
    book = json.loads(path.read_text(encoding="utf-8"))
    changed = mutate(book)
    assert changed, "no VERDICT with a digit"
    copy.write_text(json.dumps(book), encoding="utf-8")
    assert failing_cells(copy) == changed
