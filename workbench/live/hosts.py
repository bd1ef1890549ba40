"""Where a plan can run: this machine's kernel, User-Mode Linux, QEMU."""

from __future__ import annotations

import contextlib
import ctypes
import hashlib
import os
import secrets
import shutil
import signal
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

NATIVE = Path(__file__).parent / "native"
PREFIX = "workbench-live-"
SWAP = 4096  # pages of a swap area of our own: 16 MiB
COUNTING = " pids.max "  # a plan with this in it asks for groups that count tasks


class Unavailable(RuntimeError):
    """A host that cannot be used here; says what is missing."""


# ---- the native agent ----------------------------------------------------------------------------


def agent(static: bool = False) -> Path:
    """The compiled agent, from a cache keyed by its source. Raises Unavailable without a compiler.

    Cost: about a second, once. Static where the C library allows it; a guest needs it so.
    """
    sources = sorted(NATIVE.glob("*.[ch]"))
    key = hashlib.sha256(b"".join(p.read_bytes() for p in sources)).hexdigest()[:16]
    base = os.environ.get("XDG_CACHE_HOME") or os.path.expanduser("~/.cache")
    folder = Path(base) / "workbench"
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError:
        folder = Path(tempfile.gettempdir())
    done = folder / f"agent-{key}{'-static' * static}"
    if done.exists():
        return done
    compiler = shutil.which(os.environ.get("CC", "cc")) or shutil.which("gcc")
    if not compiler:
        raise Unavailable("no C compiler (cc) to make the agent with; on Debian: apt install gcc")
    handle, work = tempfile.mkstemp(prefix=f".{done.name}.", dir=folder)
    os.close(handle)
    command = [compiler, "-O1", "-o", work, *(str(p) for p in sources if p.suffix == ".c")]
    try:
        made = subprocess.run([*command, "-static"], capture_output=True, text=True)
        if made.returncode and not static:
            made = subprocess.run(command, capture_output=True, text=True)
        if made.returncode:
            raise Unavailable(f"the agent does not compile:\n{made.stderr[-2000:]}")
        os.chmod(work, 0o755)
        os.replace(work, done)
    finally:
        Path(work).unlink(missing_ok=True)
    return done


# ---- this machine --------------------------------------------------------------------------------


def memory_groups() -> tuple[Path, int]:
    """The memory control groups that this user may make groups in, and their version."""
    if sys.platform != "linux":
        raise Unavailable("control groups are Linux's; here, --host golden compares with captures")
    found = []
    with open("/proc/self/mounts") as mounts:
        for line in mounts:
            _, where, kind, options, *_ = line.split()
            if kind == "cgroup" and "memory" in options.split(","):
                found.append((Path(where), 1))
            elif kind == "cgroup2":
                with contextlib.suppress(OSError):
                    if "memory" in Path(where, "cgroup.subtree_control").read_text().split():
                        found.append((Path(where), 2))
    if not found:
        raise Unavailable("no memory control groups are mounted here")
    for where, version in found:
        if os.access(where, os.W_OK):
            return where, version
    raise Unavailable(f"making groups in {found[0][0]} needs root, or a delegated subtree")


def pids_groups() -> Path | None:
    """Where tasks are counted in groups of version 1; None: not here, or not for this user."""
    with open("/proc/self/mounts") as mounts:
        for line in mounts:
            _, where, kind, options, *_ = line.split()
            if kind == "cgroup" and "pids" in options.split(",") and os.access(where, os.W_OK):
                return Path(where)
    return None


def disk_folder() -> Path:
    """A folder on a real disk: pages of files in memory cannot be dropped."""
    in_memory = {"tmpfs", "ramfs", "devtmpfs"}
    with open("/proc/self/mounts") as mounts:
        kinds = {line.split()[1]: line.split()[2] for line in mounts}
    for folder in (os.environ.get("TMPDIR"), "/var/tmp", "/tmp", os.getcwd()):
        if folder and os.access(folder, os.W_OK):
            path = Path(folder).resolve()
            mount = next(str(p) for p in (path, *path.parents) if str(p) in kinds)
            if kinds[mount] not in in_memory:
                return path
    raise Unavailable("no writable folder on a disk; set TMPDIR to one")


def stale(folder: Path) -> Iterator[Path]:
    """What a run has left whose processes were all killed: its number is in the name."""
    for path in folder.glob(f"{PREFIX}*"):
        owner = path.name.removeprefix(PREFIX).partition("-")[0]
        if owner.isdigit() and not Path("/proc", owner).exists():
            yield path


def remove_group(top: Path) -> None:
    """End the tasks of a group of ours and remove it, deepest first; waits up to five seconds."""
    import time

    for _ in range(500):
        below = sorted((p for p in top.rglob("*") if p.is_dir()), reverse=True)
        for path in [*below, top]:
            with contextlib.suppress(OSError):
                for pid in (path / "cgroup.procs").read_text().split():
                    os.kill(int(pid), signal.SIGKILL)
            with contextlib.suppress(OSError):
                path.rmdir()
        if not top.exists():
            return
        time.sleep(0.01)


def swap_off(area: Path) -> None:
    """Stop swapping to a file of ours, if anybody does."""
    if any(line.split()[0] == str(area) for line in Path("/proc/swaps").read_text().splitlines()):
        ctypes.CDLL(None).swapoff(os.fsencode(area))


def clean() -> list[str]:
    """Remove what earlier runs of ours, killed with all their helpers, have left; returns names."""
    found = []
    with contextlib.suppress(Unavailable):
        for groups in filter(None, (memory_groups()[0], pids_groups())):
            for path in stale(groups):
                remove_group(path)
                found.append(str(path))
    with contextlib.suppress(Unavailable):
        for path in stale(disk_folder()):
            swap_off(path / "swap")
            shutil.rmtree(path, ignore_errors=True)
            found.append(str(path))
    return found


class Live:
    """The kernel this machine runs, in groups of our own below the root of its hierarchy."""

    name = "live"

    def __init__(self) -> None:
        self.groups, self.version = memory_groups()
        self.pids = pids_groups()
        self.agent = agent()
        # whether a mapping may be one area, as programs make them: else every page is an area of
        # its own, so that no fault maps around itself, and a fork copies area by area
        self.whole_areas = subprocess.run([str(self.agent), "probe"]).returncode == 0

    def run(self, plan: str, timeout: float = 600, swap: bool = False) -> str:
        """The runner's log. Raises Unavailable, TimeoutError; leaves nothing behind either way.

        swap: with a swap area of its own, the whole machine's as long as it is there.
        """
        clean()
        tag = f"{PREFIX}{os.getpid()}-{secrets.token_hex(3)}"
        files = disk_folder() / tag
        head = (
            f"cgroup {self.groups} {self.version}\nname {tag}\nfiles {files}\n"
            f"cpu {min(os.sched_getaffinity(0))}\n"
        )
        if COUNTING in plan:
            if self.pids is None or self.version == 2:
                raise Unavailable("no groups of version 1 that count tasks (pids) may be made here")
            head += f"pids {self.pids}\n"
        if swap:
            if self.version == 2 or not (self.groups / "memory.memsw.usage_in_bytes").exists():
                raise Unavailable("groups here do not count swap beside memory (version 1 does)")
            head += f"swap {SWAP}\n"
        with tempfile.TemporaryDirectory(prefix="workbench-") as work:
            script, log = Path(work, "plan"), Path(work, "log")
            script.write_text(head + plan)
            runner = subprocess.Popen(
                [str(self.agent), str(script), str(log)], stdin=subprocess.DEVNULL,
                stderr=subprocess.PIPE, text=True,
            )
            try:
                _, said = runner.communicate(timeout=timeout)
            except subprocess.TimeoutExpired:
                raise TimeoutError(f"the plan took more than {timeout:.0f} s") from None
            finally:
                if runner.poll() is None:
                    runner.kill()
                    runner.communicate()
                self.swept(tag, files)
            text = log.read_text() if log.exists() else ""
        if runner.returncode and not text:
            raise Unavailable(f"the runner ended with {runner.returncode}: {said.strip()}")
        return text

    def swept(self, tag: str, files: Path) -> None:
        """Wait for the sweeper; do its work where it could not."""
        import time

        tops = [groups / tag for groups in (self.groups, self.pids) if groups]
        for _ in range(500):
            if not files.exists() and not any(top.exists() for top in tops):
                return
            time.sleep(0.01)
        for top in tops:
            remove_group(top)
        swap_off(files / "swap")
        shutil.rmtree(files, ignore_errors=True)
