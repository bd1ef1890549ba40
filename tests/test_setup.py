"""Set-up: what the bootstrap decides, what a fresh checkout has, what `import workbench` costs."""
import ast
import importlib.util
import json
import os
import re
import shutil
import subprocess
import sys
import time
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
RUN, TEST = "python3 -m workbench", "python3 -m workbench test"
AGREED = {"pyproject.toml", "workbench", "notebooks", "datasets", "tests", "README.md", "LICENSE"}
VERSION = f"{sys.version_info[0]}.{sys.version_info[1]}"


@pytest.fixture
def checkout(tmp_path):
    """A bare copy of what the bootstrap reads, and its module, whose ROOT is that copy."""
    (tmp_path / "workbench").mkdir()
    for name in ("pyproject.toml", "workbench/__init__.py", "workbench/__main__.py",
                 "workbench/constraints.txt"):
        shutil.copy(ROOT / name, tmp_path / name)
    spec = importlib.util.spec_from_file_location("bootstrap", tmp_path / "workbench/__main__.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def environment(boot, extras=("",), python=VERSION, key=None):
    """A .venv that runs this interpreter and carries a stamp."""
    boot.PYTHON.parent.mkdir(parents=True, exist_ok=True)
    boot.PYTHON.write_text(f'#!/bin/sh\nexec "{sys.executable}" "$@"\n')
    boot.PYTHON.chmod(0o755)
    if extras is not None:
        stamp = {"key": key or boot.key(), "python": python, "extras": list(extras)}
        boot.STAMP.write_text(json.dumps(stamp))


def bootstrap(boot, *arguments, **variables):
    """`python -m workbench` in the copy, by the real base interpreter, with nothing installed."""
    env = {k: v for k, v in os.environ.items() if not k.startswith(("PIP_", "WORKBENCH", "UV_"))}
    return subprocess.run([sys._base_executable, "-m", "workbench", *arguments], cwd=boot.ROOT,
                          capture_output=True, text=True, timeout=120, env=env | variables)


# --- what .venv needs ---

def test_nothing_there_means_make(checkout):
    assert checkout.plan("") == "make"


def test_a_finished_environment_is_ready_for_its_extras_only(checkout):
    environment(checkout, extras=["", "lab"])
    assert [checkout.plan(extra) for extra in ("", "lab", "test")] == ["ready", "ready", "add"]


def test_an_interrupted_set_up_starts_over(checkout):
    environment(checkout)
    checkout.UNFINISHED.touch()
    assert checkout.plan("") == "make" and not checkout.usable("")


@pytest.mark.parametrize("stamp", ["", "{", "{}"])
def test_a_damaged_stamp_is_no_stamp(checkout, stamp):
    environment(checkout)
    checkout.STAMP.write_text(stamp)
    assert checkout.plan("") == "add"


def test_a_python_that_does_not_run_means_make(checkout):
    environment(checkout)
    checkout.PYTHON.write_text("#!/bin/sh\nexit 1\n")
    assert checkout.plan("") == "make"
    checkout.PYTHON.unlink()
    assert checkout.plan("") == "make"


def test_another_python_version_means_make(checkout):
    environment(checkout, python="3.9")
    assert checkout.plan("") == "make"


def test_new_requirements_are_added_but_comments_change_nothing(checkout):
    environment(checkout)
    pyproject = checkout.ROOT / "pyproject.toml"
    text = pyproject.read_text()
    pyproject.write_text(text + "\n# a comment\n[tool.other]\nx = 1\n")
    assert checkout.plan("") == "ready"
    pyproject.write_text(text.replace('"tqdm>=4.66"', '"tqdm>=4.67"'))
    assert checkout.plan("") == "add"
    pyproject.write_text(text)
    checkout.LOCKED.write_text(checkout.LOCKED.read_text() + "one-more==1\n")
    assert checkout.plan("") == "add"


def test_an_environment_of_another_checkout_does_not_count(checkout):
    assert not checkout.complete("")


def test_this_environment_is_complete_for_the_tests():
    from workbench import __main__ as boot

    if Path(sys.prefix) != boot.VENV:
        pytest.skip("not run by: " + TEST)
    assert boot.usable("test")


# --- failures: one line, exit code 3, what was there stays usable ---

def test_a_failed_addition_leaves_the_environment_usable(checkout, monkeypatch):
    environment(checkout)

    def offline(extra):
        raise checkout.SetupError("offline")

    monkeypatch.setattr(checkout, "install", offline)
    with pytest.raises(checkout.SetupError):
        checkout.setup("test")
    assert checkout.plan("") == "ready"


def test_a_failed_creation_starts_over(checkout, monkeypatch):
    def offline(extra):
        raise checkout.SetupError("offline")

    monkeypatch.setattr(checkout, "install", offline)
    monkeypatch.setattr(checkout, "make", lambda: environment(checkout, extras=None))
    with pytest.raises(checkout.SetupError):
        checkout.setup("")
    assert checkout.plan("") == "make"


def test_an_addition_keeps_the_extras_that_were_there(checkout, monkeypatch):
    environment(checkout, extras=["", "lab"])
    monkeypatch.setattr(checkout, "install", lambda extra: None)
    checkout.setup("test")
    assert checkout.stamp()["extras"] == ["", "lab", "test"] and checkout.plan("test") == "ready"


@pytest.mark.parametrize("says, wanted", [
    ("WARNING: Retrying (Retry(total=1)) after connection broken", "offline?"),
    ("ERROR: No matching distribution found for numba==9", "No matching distribution"),
])
def test_what_the_installer_said_becomes_one_line(checkout, monkeypatch, says, wanted):
    environment(checkout)
    monkeypatch.setattr(checkout.shutil, "which", lambda name: None)
    checkout.PYTHON.write_text(f'#!/bin/sh\necho "{says}"\nexit 1\n')
    with pytest.raises(checkout.SetupError, match=re.escape(wanted)) as raised:
        checkout.install("")
    assert "\n" not in str(raised.value)


def test_no_ensurepip_names_the_package(checkout, monkeypatch):
    monkeypatch.setattr(checkout.shutil, "which", lambda name: None)
    monkeypatch.setitem(sys.modules, "ensurepip", None)
    with pytest.raises(checkout.SetupError, match="apt-get install python3-venv"):
        checkout.make()


def test_unreachable_index_ends_with_3(checkout):
    result = bootstrap(checkout, PIP_CONFIG_FILE=os.devnull, PIP_INDEX_URL="http://127.0.0.1:9/",
                       UV_INDEX_URL="http://127.0.0.1:9/", UV_NO_CACHE="1", PIP_NO_CACHE_DIR="1",
                       PYTHONPATH="/nowhere")
    assert result.returncode == 3, result.stderr
    assert "offline?" in result.stderr.splitlines()[-1] and "Traceback" not in result.stderr


@pytest.mark.skipif(os.name == "nt" or os.geteuid() == 0, reason="root may write anywhere")
def test_unwritable_checkout_says_so(checkout):
    checkout.ROOT.chmod(0o555)
    result = bootstrap(checkout)
    checkout.ROOT.chmod(0o755)
    assert result.returncode == 3 and str(checkout.ROOT) in result.stderr


def test_exit_codes_and_arguments_pass_through(checkout):
    environment(checkout, extras=["", "test"])
    checkout.PYTHON.write_text(
        f'#!/bin/sh\n[ "$1" = -Ic ] && exec "{sys.executable}" "$@"\necho "$@"; exit 42\n')
    assert (bootstrap(checkout, "test", "-k", "x y").stdout.strip()) == "-m pytest -k x y"
    result = bootstrap(checkout, "replay", "--json")
    assert (result.returncode, result.stdout.strip()) == (42, "-m workbench replay --json")


def test_a_second_set_up_waits(checkout):
    fcntl = pytest.importorskip("fcntl")
    environment(checkout)
    with open(checkout.ROOT / "pyproject.toml") as held:
        fcntl.flock(held, fcntl.LOCK_EX)
        second = subprocess.Popen([sys._base_executable, "-m", "workbench"], cwd=checkout.ROOT,
                                  stderr=subprocess.PIPE, text=True)
        assert "waiting" in second.stderr.readline()
        assert second.poll() is None
        second.kill()
        second.communicate()


def test_old_pythons_can_parse_the_bootstrap():
    for name in ("__init__.py", "__main__.py"):
        ast.parse((ROOT / "workbench" / name).read_text(), feature_version=(3, 6))


# --- the checkout ---

def test_top_level_is_the_agreed_one():
    if (ROOT / ".git").exists() and shutil.which("git"):
        listing = ["git", "ls-files", "--cached", "--others", "--exclude-standard"]
        files = subprocess.run(listing, cwd=ROOT, capture_output=True, text=True, check=True).stdout
        found = {line.split("/")[0] for line in files.splitlines()}
    else:
        found = set(os.listdir(ROOT)) - {"report", "__pycache__"}
    assert {name for name in found if not name.startswith(".")} == AGREED


def test_readme_has_the_two_commands_and_ci_runs_the_second():
    lines = [line.split("#")[0].strip() for line in (ROOT / "README.md").read_text().splitlines()]
    assert RUN in lines and TEST in lines
    assert f"'^{TEST}'" in (ROOT / ".ci/run").read_text()


def test_locked_versions_cover_the_requirements_and_name_no_host():
    import tomllib

    text = (ROOT / "workbench/constraints.txt").read_text()
    locked = {line.split("==")[0].lower() for line in text.splitlines() if "==" in line}
    assert "://" not in text and "@" not in text
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    for needs in [project["dependencies"], *project["optional-dependencies"].values()]:
        for requirement in needs:
            assert re.match(r"[\w.-]+", requirement)[0].lower() in locked


def test_installed_versions_are_the_locked_ones():
    """Stored notebook outputs belong to these."""
    from importlib.metadata import version

    text = (ROOT / "workbench/constraints.txt").read_text()
    for name in ("numpy", "numba", "pandas", "matplotlib", "nbval", "ipykernel"):
        assert f"\n{name}=={version(name)}\n" in text, f"{name} is {version(name)}"


# --- import workbench ---

HEAVY = {"numpy", "numba", "pandas", "matplotlib", "ipywidgets", "IPython", "typer", "tqdm"}


def test_import_is_light():
    code = ("import sys, time; before = set(sys.modules); t = time.perf_counter();"
            "import workbench; t = time.perf_counter() - t; dir(workbench);"
            "print(f'{t:.4f}', *sorted(set(sys.modules) - before))")
    out = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    seconds, *modules = out.stdout.split()
    assert not HEAVY & set(modules) and not [m for m in modules if m.startswith("workbench.")]
    print(f"import workbench: {seconds} s")


def test_every_noun_is_there():
    import workbench

    for name in [*workbench.NOUNS, *workbench.MODULES]:
        assert getattr(workbench, name) is not None and name in dir(workbench)


def test_an_unknown_name_lists_the_known_ones():
    import workbench

    with pytest.raises(AttributeError, match="TraceBuilder"):
        workbench.Tracebuilder  # noqa: B018
    with pytest.raises(ImportError):
        from workbench import nonsense  # noqa: F401


def test_starting_costs_little():
    """From the shell to the command in a finished environment: reported, not judged."""
    from workbench import __main__ as boot

    if not boot.usable("test"):
        pytest.skip("would make an environment: these tests do not run in the checkout's own")
    begun = time.perf_counter()
    subprocess.run([sys.executable, "-m", "workbench", "test", "--version"], check=True, cwd=ROOT)
    print(f"python3 -m workbench test --version: {time.perf_counter() - begun:.2f} s")
