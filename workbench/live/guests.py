"""Kernels in a guest: User-Mode Linux, an ordinary process; QEMU, a whole machine with NUMA nodes.

Both boot an initramfs of one static program, the agent, and the plan; the log comes back by the
console. No root, no network, nothing mounted on the host.
"""

from __future__ import annotations

import contextlib
import os
import re
import shutil
import signal
import stat
import subprocess
import tempfile
from pathlib import Path

from .hosts import COUNTING, PREFIX, Unavailable, agent, clean, disk_folder

DISK_MIB = 128


def newc(entries: list[tuple[str, int, bytes]]) -> bytes:
    """A cpio archive (an initramfs) of (name, mode, content)."""
    out = bytearray()
    for number, (name, mode, data) in enumerate([*entries, ("TRAILER!!!", 0, b"")], 1):
        device = (5, 1) if stat.S_ISCHR(mode) else (0, 0)
        fields = (number, mode, 0, 0, 1, 0, len(data), 0, 0, *device, len(name) + 1, 0)
        out += b"070701" + b"".join(b"%08X" % f for f in fields) + name.encode() + b"\0"
        out += bytes(-len(out) % 4)
        out += data
        out += bytes(-len(out) % 4)
    return bytes(out)


class Guest:
    """What both have in common: files in a folder of their own, a console, a time limit."""

    name = "guest"
    version = 1
    nodes = 1
    whole_areas = False

    def __init__(self) -> None:
        self.agent = agent(static=True)
        if not shutil.which("mkfs.ext4", path=os.environ.get("PATH", "") + ":/usr/sbin:/sbin"):
            raise Unavailable("mkfs.ext4 is missing; on Debian: apt install e2fsprogs")

    def modules(self) -> list[Path]:
        return []

    def command(self, work: Path) -> list[str]:
        raise NotImplementedError

    def run(self, plan: str, timeout: float = 300, swap: bool = False) -> str:
        """Boot, run, power off; returns the runner's log. Raises Unavailable, TimeoutError."""
        if swap:
            raise Unavailable("a guest gets no swap: --host live")
        head = f"cgroup /groups {self.version}\nname workbench\nfiles /disk/work\ncpu 0\nstep 2\n"
        if self.nodes > 1:
            head += f"nodes {self.nodes}\n" + "sets /sets\n" * (self.version == 1)
        if COUNTING in plan:
            if self.version == 2:
                raise Unavailable("tasks are counted in groups of version 1 only: --host qemu")
            head += "pids /pids\n"
        folders = ("proc", "sys", "dev", "disk", "groups", "sets", "pids", "modules")
        entries = [(name, stat.S_IFDIR | 0o755, b"") for name in folders]
        entries += [
            ("dev/console", stat.S_IFCHR | 0o600, b""),
            ("init", stat.S_IFREG | 0o755, self.agent.read_bytes()),
            ("plan", stat.S_IFREG | 0o644, (head + plan).encode()),
        ]
        entries += [
            (f"modules/{i:02d}-{path.name}", stat.S_IFREG | 0o644, path.read_bytes())
            for i, path in enumerate(self.modules())
        ]
        clean()
        tag = f"{PREFIX}{os.getpid()}-"
        with tempfile.TemporaryDirectory(prefix=tag, dir=disk_folder()) as folder:
            work = Path(folder)
            (work / "initramfs").write_bytes(newc(entries))
            with open(work / "disk", "wb") as disk:
                disk.truncate(DISK_MIB << 20)
            subprocess.run(
                ["mkfs.ext4", "-q", "-F", str(work / "disk")], check=True, capture_output=True,
                env=os.environ | {"PATH": os.environ.get("PATH", "") + ":/usr/sbin:/sbin"},
            )
            text = self.console(work, timeout)
        _, begun, log = text.replace("\r", "").partition("guest begins\n")
        if not begun:
            raise Unavailable(f"the guest did not start its plan:\n{text[-1500:]}")
        words = r"(kernel|cgroup|step|at|died|missed|refused|share|nodes|pss|again|end|error)\b"
        return "\n".join(line for line in log.splitlines() if re.match(words, line))

    def console(self, work: Path, timeout: float) -> str:
        """All that the guest says. On its leash, it ends when this process does, however."""
        with open(work / "console", "w+b") as out:
            leash = subprocess.Popen(
                [str(self.agent), "leash", str(work), *self.command(work)], cwd=work,
                stdin=subprocess.DEVNULL, stdout=out, stderr=out, start_new_session=True,
                env=os.environ | {"TMPDIR": str(work)},
            )
            try:
                leash.wait(timeout)
            except subprocess.TimeoutExpired:
                raise TimeoutError(f"the guest took more than {timeout:.0f} s") from None
            finally:
                self.end(leash)
            out.seek(0)
            return out.read().decode(errors="replace")

    @staticmethod
    def end(leash: subprocess.Popen) -> None:
        """End the guest's session, then the leash."""
        if leash.poll() is None:
            with contextlib.suppress(OSError):
                guests = Path(f"/proc/{leash.pid}/task/{leash.pid}/children").read_text().split()
                for guest in map(int, guests):
                    os.killpg(guest, signal.SIGKILL)
            leash.kill()
        leash.wait()


class UserMode(Guest):
    """User-Mode Linux (Debian package user-mode-linux): one CPU, no NUMA, runs as anybody."""

    name = "uml"

    def __init__(self) -> None:
        self.kernel = shutil.which("linux.uml") or shutil.which("linux")
        if not self.kernel:
            raise Unavailable("no User-Mode Linux; on Debian: apt install user-mode-linux")
        super().__init__()

    def command(self, work: Path) -> list[str]:
        return [
            self.kernel, "mem=384M", f"initrd={work}/initramfs", f"ubd0={work}/disk",
            f"uml_dir={work}", "rdinit=/init", "con0=fd:0,fd:1", "con=null", "quiet", "loglevel=0",
            "panic=-1", "cgroup.memory=nokmem",
        ]


class Machine(Guest):
    """QEMU without acceleration: a distribution's kernel, eight fake NUMA nodes; about 10 s.

    The kernel and its modules come from /boot and /lib/modules, or from below the folder in
    WORKBENCH_GUEST_KERNEL (a kernel package unpacked by `dpkg-deb -x`, for one).
    """

    name = "qemu"
    nodes = 8
    NEEDED = (
        "crc16", "crc32c_generic", "libcrc32c", "mbcache", "jbd2", "ext4", "virtio_ring", "virtio",
        "virtio_pci_legacy_dev", "virtio_pci_modern_dev", "virtio_pci", "virtio_blk",
    )

    def __init__(self) -> None:
        self.qemu = shutil.which("qemu-system-x86_64")
        if not self.qemu:
            raise Unavailable("no QEMU; on Debian: apt install qemu-system-x86")
        root = Path(os.environ.get("WORKBENCH_GUEST_KERNEL", "/"))
        kernels = sorted(p for p in root.glob("boot/vmlinuz-*") if os.access(p, os.R_OK))
        if not kernels:
            raise Unavailable(
                f"no kernel {root / 'boot'}/vmlinuz-*; on Debian: apt install linux-image-amd64, "
                "or unpack that package and name the folder in WORKBENCH_GUEST_KERNEL"
            )
        self.kernel = kernels[-1]
        self.library = root / "lib/modules" / self.kernel.name.removeprefix("vmlinuz-")
        super().__init__()

    def modules(self) -> list[Path]:
        """Those of ext4 on a virtio disk, in an order that works; built-in ones are no files."""
        found = {path.name.partition(".")[0]: path for path in self.library.rglob("*.ko*")}
        return [found[name] for name in self.NEEDED if name in found]

    def command(self, work: Path) -> list[str]:
        words = f"console=ttyS0 quiet loglevel=0 panic=-1 numa=fake={self.nodes}"
        return [
            self.qemu, "-accel", "tcg", "-cpu", "max", "-m", "1024", "-smp", "1", "-nographic",
            "-no-reboot", "-net", "none", "-kernel", str(self.kernel),
            "-initrd", f"{work}/initramfs", "-drive", f"file={work}/disk,format=raw,if=virtio",
            "-append", f"{words} cgroup.memory=nokmem",
        ]


class MachineV2(Machine):
    """The same with version 2 of the control groups."""

    name = "qemu-v2"
    version = 2
