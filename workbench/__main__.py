"""`python3 -m workbench`: make the environment in .venv once, then run the command in it.

    python3 -m workbench            the main job          (needs the core packages)
    python3 -m workbench test ...   pytest, every test    (adds the extra `test`)
    python3 -m workbench lab ...    JupyterLab            (adds the extra `lab`)
    python3 -m workbench app ...    the explorer alone    (adds the extra `lab`)

Every other command goes to `workbench.cli`. Exit codes: the command's own; 3 when set-up failed,
after one line on stderr that says why; 130 when set-up was interrupted.

Standard library only: nothing else is there yet. The file parses on old Pythons, so that they can
be told that they are too old. Two files in .venv are ours: `unfinished`, there while packages are
being installed (found at the start, all is made anew), and `workbench.json`, written last, which
says for which requirements, locked versions and Python the environment was made.
"""
import sys

if sys.version_info < (3, 11):
    sys.stderr.write("[workbench] needs Python 3.11+, this is %d.%d\n" % sys.version_info[:2])
    sys.exit(3)

import contextlib
import hashlib
import json
import os
import re
import shutil
import subprocess
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
VENV = ROOT / ".venv"
PYTHON = VENV / ("Scripts/python.exe" if os.name == "nt" else "bin/python")
UNFINISHED, STAMP = VENV / "unfinished", VENV / "workbench.json"
LOCKED = ROOT / "workbench" / "constraints.txt"
EXTRAS = {"test": "test", "lab": "lab", "app": "lab"}  # other commands need the core alone
MODULES = {"test": "pytest", "lab": "jupyterlab", "app": "workbench.lab.app"}
DEFAULTS = {  # without arguments: every test, on all cores; the tour
    "test": ["-n", "logical", "--dist", "loadfile"], "lab": ["notebooks/00_tour.ipynb"], "app": [],
}
OFFLINE = r"Retrying \(|Failed to fetch|error sending request|unreachable"


class SetupError(Exception):
    """Set-up cannot go on; the message is for the person at the keyboard."""


def say(text: str) -> None:
    print(f"[workbench] {text}", file=sys.stderr, flush=True)


def project() -> dict:
    import tomllib

    return tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))


def key() -> str:
    """Hash of what an environment depends on; comments and tool settings do not count."""
    tables = {name: project()[name] for name in ("build-system", "project")}
    text = json.dumps(tables, sort_keys=True).encode() + LOCKED.read_bytes()
    return hashlib.sha256(text).hexdigest()[:16]


def stamp() -> dict:
    try:
        return json.loads(STAMP.read_text())
    except (OSError, ValueError):
        return {}


def fits(extra: str, version: str) -> bool:
    """Whether .venv was finished for these requirements, this Python ("3.11") and this extra."""
    made = stamp()
    return (not UNFINISHED.exists() and made.get("key") == key()
            and made["python"] == version and extra in made["extras"])


def complete(extra: str) -> bool:
    """Whether the running interpreter has this very checkout installed, and all the extra needs."""
    from importlib import metadata
    from urllib.parse import unquote, urlparse

    about = project()["project"]
    needed = about["dependencies"] + (about["optional-dependencies"][extra] if extra else [])
    try:
        origin = json.loads(metadata.distribution("workbench").read_text("direct_url.json") or "{}")
        for requirement in needed:
            metadata.version(re.match(r"[\w.-]+", requirement)[0])
    except metadata.PackageNotFoundError:
        return False
    return unquote(urlparse(origin.get("url", "")).path).rstrip("/").endswith(ROOT.as_posix())


def usable(extra: str) -> bool:
    """Whether the command can run in the interpreter that runs this."""
    if Path(sys.prefix) == VENV and (stamp() or UNFINISHED.exists()):
        return fits(extra, "%d.%d" % sys.version_info[:2])
    return complete(extra)


def probe() -> tuple[str, bool]:
    """Python version of .venv and whether it has pip; ("", False) when it does not run."""
    code = ("import sys, importlib.util as u;"
            "print('%d.%d' % sys.version_info[:2], bool(u.find_spec('pip')))")
    try:
        out = subprocess.check_output([PYTHON, "-Ic", code], stderr=subprocess.DEVNULL, text=True)
        return out.split()[0], out.split()[1] == "True"
    except (OSError, subprocess.CalledProcessError, IndexError):
        return "", False


def plan(extra: str) -> str:
    """What .venv needs: nothing ("ready"), more packages ("add"), or all of it ("make")."""
    version, has_pip = probe()
    if fits(extra, version):
        return "ready"
    same = version and version == stamp().get("python", version) and not UNFINISHED.exists()
    return "add" if same and (has_pip or shutil.which("uv")) else "make"


@contextlib.contextmanager
def alone():
    """Let one set-up of this checkout run at a time (not on Windows, which has no flock)."""
    with open(ROOT / "pyproject.toml") as held:
        try:
            import fcntl

            fcntl.flock(held, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            say("another set-up of this checkout is running; waiting for it")
            fcntl.flock(held, fcntl.LOCK_EX)
        except (ImportError, OSError):
            pass  # Windows, or a file system without locks
        yield


def make() -> None:
    """Make .venv anew, empty but for pip (uv needs none)."""
    import importlib.util
    import venv

    uv = shutil.which("uv")
    if not uv and importlib.util.find_spec("ensurepip") is None:
        raise SetupError("this Python cannot make environments: ensurepip is missing; "
                         "on Debian or Ubuntu: apt-get install python3-venv")
    if VENV.is_dir() and not VENV.is_symlink():
        shutil.rmtree(VENV)
    VENV.unlink(missing_ok=True)
    VENV.mkdir()
    UNFINISHED.touch()
    venv.create(VENV, with_pip=not uv, symlinks=os.name != "nt")


def install(extra: str) -> None:
    """Install this checkout, editable, and what the extra needs, at the locked versions."""
    command = [str(PYTHON), "-m", "pip", "install", "--disable-pip-version-check", "--retries=2"]
    command += ["--only-binary=:all:"]  # a Python without wheels: say so, compile nothing
    if shutil.which("uv"):
        command = ["uv", "pip", "install", "--python", str(PYTHON)]
    command += ["-c", str(LOCKED), "-e", f"{ROOT}[{extra}]" if extra else str(ROOT)]
    log, terminal = [], sys.stderr.isatty()
    with subprocess.Popen(command, env={**os.environ, "PIP_USER": "0"}, stdin=subprocess.DEVNULL,
                          stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
                          errors="replace") as run:
        for line in map(str.strip, run.stdout):
            log.append(line)
            if terminal and line.startswith(("Collecting", "Installing", "Resolved", "Prepared")):
                print(f"\r\033[K  {line[:70]}", end="", file=sys.stderr, flush=True)
    if terminal:
        print("\r\033[K", end="", file=sys.stderr, flush=True)
    (VENV / "setup.log").write_text("\n".join(log), encoding="utf-8")
    if run.returncode == 0:
        return
    if re.search(OFFLINE, "\n".join(log)):
        raise SetupError("the package index cannot be reached: is this machine offline?")
    why = next((line for line in reversed(log) if line.lower().startswith("error")), log[-1])
    raise SetupError(f"packages could not be installed: {why} (more in {VENV / 'setup.log'})")


def setup(extra: str) -> None:
    """Bring .venv to "ready"; an addition that fails leaves what was there usable."""
    begun, todo = time.monotonic(), plan(extra)
    if todo == "ready":
        return
    say(("making" if todo == "make" else "adding packages to")
        + f" {VENV} (once; 100 to 200 MB from the package index, about a minute)")
    if todo == "make":
        make()
    before = stamp()
    UNFINISHED.touch()
    try:
        install(extra)
    except SetupError:
        if todo == "add":
            UNFINISHED.unlink()  # pip changes nothing until it has everything
        raise
    extras = before["extras"] if before.get("key") == key() else []
    after = {"key": key(), "python": probe()[0], "extras": sorted({*extras, extra, ""})}
    STAMP.write_text(json.dumps(after))
    UNFINISHED.unlink()
    say(f"ready after {time.monotonic() - begun:.0f} s")


def start(python: Path, arguments: list[str]) -> None:
    """Become that command: its exit code, its signals. Never returns."""
    if os.name == "nt":
        sys.exit(subprocess.call([python, *arguments]))
    os.execv(python, [str(python), *arguments])


def main() -> None:
    try:
        run_command(sys.argv[1:])
    except KeyboardInterrupt:
        say("interrupted")
        sys.exit(130)


def run_command(arguments: list[str]) -> None:
    command = arguments[0] if arguments else ""
    extra, python, here = EXTRAS.get(command, ""), Path(sys.executable), True
    if not (ROOT / "pyproject.toml").exists():
        if command == "test":
            say("the tests are part of the source tree, not of an installed copy")
            sys.exit(3)
    elif not usable(extra):
        if os.environ.pop("WORKBENCH_SET_UP", ""):  # set-up has just ended well
            say(f"{VENV} is broken; delete it and run the command again")
            sys.exit(3)
        for name in ("PYTHONPATH", "PYTHONHOME"):
            os.environ.pop(name, None)
        try:
            with alone():
                setup(extra)
        except PermissionError as problem:
            say(f"cannot write to {problem.filename}: use a copy of the checkout that is yours")
            sys.exit(3)
        except (SetupError, OSError, subprocess.CalledProcessError) as problem:
            say(f"set-up failed: {problem}")
            sys.exit(3)
        except KeyboardInterrupt:
            say("set-up interrupted; the next run starts it again")
            sys.exit(130)
        python, here = PYTHON, False
    if command in MODULES:
        os.chdir(ROOT)
        start(python, ["-m", MODULES[command], *(arguments[1:] or DEFAULTS[command])])
    if not here:
        os.environ["WORKBENCH_SET_UP"] = "done"
        start(python, ["-m", "workbench", *arguments])
    os.environ.pop("WORKBENCH_SET_UP", None)
    from workbench.cli import main as run

    sys.exit(run(arguments))


if __name__ == "__main__":
    main()
