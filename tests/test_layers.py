"""The import rule: arrows point one way (contracts in pyproject.toml), and the rule can fail."""
import ast
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
LINT = "import sys, importlinter.cli as cli; sys.exit(cli.lint_imports(no_cache=True))"
PARTS = {"__init__", "contract", "matrix", "own", "parts", "template"}  # no schemes themselves


def lint(root: Path) -> subprocess.CompletedProcess:
    """import-linter over the package in `root`, in a process whose `workbench` is that one."""
    return subprocess.run([sys.executable, "-c", LINT], cwd=root, capture_output=True, text=True)


def test_imports_point_one_way():
    result = lint(ROOT)
    assert result.returncode == 0, result.stdout + result.stderr


@pytest.mark.parametrize("module, line, contract", [
    ("trace/extra.py", "import workbench.kernel", "trace, kernel <- schemes"),
    ("kernel/extra.py", "def lazily():\n    import pandas", "standard library alone"),
    ("counters/extra.py", "import numpy", "standard library alone"),
    ("results/extra.py", "from workbench import counters", "trace, kernel <- schemes"),
    ("schemes/extra.py", "import numpy", "standard library alone"),
    ("kernel/extra.py", "from workbench import schemes", "trace, kernel <- schemes"),
    ("stray.py", "", "stray"),
])
def test_a_wrong_import_is_found(tmp_path, module, line, contract):
    shutil.copy(ROOT / "pyproject.toml", tmp_path)
    shutil.copytree(ROOT / "workbench", tmp_path / "workbench",
                    ignore=shutil.ignore_patterns("__pycache__"))
    (tmp_path / "workbench" / module).write_text(line + "\n")
    result = lint(tmp_path)
    broken = [text for text in result.stdout.splitlines() if text.endswith("BROKEN")]
    said = result.stdout + result.stderr
    assert result.returncode == 1 and (any(contract in text for text in broken) or contract in said)


def imported(path: Path) -> set[str]:
    """Every module a file names in an import statement, wherever it stands."""
    names = set()
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            base = "." * node.level + (node.module or "")
            names |= {f"{base.rstrip('.')}.{alias.name}" if node.module else f"{base}{alias.name}"
                      for alias in node.names} | {base}
    return names


def test_schemes_do_not_import_each_other():
    folder = ROOT / "workbench/schemes"
    schemes = {path.stem for path in folder.glob("*.py")} - PARTS
    for scheme in schemes:
        others = {f"{start}.{name}" for name in schemes - {scheme}
                  for start in ("", "workbench.schemes")}
        wrong = others & imported(folder / f"{scheme}.py")
        assert not wrong, f"{scheme}.py imports {wrong}"


def test_bootstrap_needs_nothing_but_the_standard_library():
    for name in ("__init__.py", "__main__.py"):
        for module in imported(ROOT / "workbench" / name):
            top = module.split(".")[0]
            assert top in sys.stdlib_module_names or top == "workbench", f"{name} imports {module}"
