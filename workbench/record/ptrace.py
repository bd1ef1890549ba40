"""The kernel's side of recording: ptrace(2), injected system calls, userfaultfd(2), pagemap scans.

Plain ctypes and ioctls; nothing to compile. x86-64 is tested; the arm64 table was written from the
kernel's headers and is untested. Numbers are from Linux's uapi headers (ptrace.h, userfaultfd.h,
fs.h, unistd.h).
"""

from __future__ import annotations

import contextlib
import ctypes
import errno
import os
import platform
import signal
import struct
import sys
from typing import NamedTuple

with contextlib.suppress(ImportError):  # Windows has none; `machine` says what is missing
    import fcntl

PAGE = 4096
SEIZE, INTERRUPT, LISTEN = 0x4206, 0x4207, 0x4208
CONT, DETACH, SYSCALL = 7, 17, 24
GETEVENTMSG, GETREGSET, SETREGSET = 0x4201, 0x4204, 0x4205
GETSIGMASK, SETSIGMASK, GET_SYSCALL_INFO = 0x420A, 0x420B, 0x420E
EVENT_FORK, EVENT_VFORK, EVENT_CLONE, EVENT_EXEC, EVENT_EXIT, EVENT_STOP = 1, 2, 3, 4, 6, 128
# TRACESYSGOOD, fork, vfork, clone, exec, exit, EXITKILL: with the recorder dies what it traces
OPTIONS = 1 | 1 << 1 | 1 << 2 | 1 << 3 | 1 << 4 | 1 << 6 | 1 << 20
ENTRY, EXIT = 1, 2  # in SyscallStop.op
SYSCALL_STOP = signal.SIGTRAP | 0x80 if hasattr(signal, "SIGTRAP") else 0
WALL = 0x40000000
PR_SET_THP_DISABLE = 41
O_CLOEXEC, O_NONBLOCK, USER_MODE_ONLY = 0o2000000, 0o4000, 1

UFFDIO_API, UFFDIO_REGISTER, REGISTER_WP = 0xC018AA3F, 0xC020AA00, 2
UFFD_API, FEATURES = 0xAA, 1 << 0 | 1 << 15  # PAGEFAULT_FLAG_WP, WP_ASYNC (Linux 6.7)
PAGEMAP_SCAN, PROTECT = 0xC0606610, 1
IS_PROTECTABLE, IS_WRITTEN, IS_FILE, IS_PRESENT, IS_SWAPPED, IS_ZERO = (1 << i for i in range(6))


class Machine(NamedTuple):
    """What differs between processors."""

    audit: int  # AUDIT_ARCH of native system calls
    words: int  # 64-bit words in its general registers
    number: int  # register: system call number
    result: int  # register: result
    args: tuple[int, ...]  # registers: arguments
    pc: int
    old: int | None  # register that says "in a system call" (orig_rax)
    insn: bytes  # the system call instruction
    pidfd_getfd: int
    calls: dict[int, str]


_X86 = {
    0: "read", 1: "write", 2: "open", 3: "close", 9: "mmap", 10: "mprotect", 11: "munmap",
    12: "brk", 17: "pread64", 18: "pwrite64", 19: "readv", 20: "writev", 25: "mremap",
    28: "madvise", 29: "shmat", 40: "sendfile", 56: "clone", 59: "execve", 67: "shmdt",
    85: "creat", 322: "execveat",
    257: "openat", 295: "preadv", 296: "pwritev", 323: "userfaultfd", 326: "copy_file_range",
    327: "preadv2", 328: "pwritev2", 435: "clone3", 437: "openat2",
}
_ARM64 = {
    63: "read", 64: "write", 57: "close", 222: "mmap", 226: "mprotect", 215: "munmap",
    214: "brk", 67: "pread64", 68: "pwrite64", 65: "readv", 66: "writev", 216: "mremap",
    233: "madvise", 196: "shmat", 71: "sendfile", 220: "clone", 221: "execve", 197: "shmdt",
    281: "execveat",
    56: "openat", 69: "preadv", 70: "pwritev", 282: "userfaultfd", 285: "copy_file_range",
    286: "preadv2", 287: "pwritev2", 435: "clone3", 437: "openat2",
}
MACHINES = {
    "x86_64": Machine(0xC000003E, 27, 10, 10, (14, 13, 12, 7), 16, 15, b"\x0f\x05", 438, _X86),
    "aarch64": Machine(0xC00000B7, 34, 8, 0, (0, 1, 2, 3), 32, None, b"\x01\0\0\xd4", 438, _ARM64),
}


class Missing(RuntimeError):
    """What this system lacks for recording, in one line."""


def machine() -> Machine:
    """The table of this processor; raises Missing with the reason where nothing can be recorded."""
    if sys.platform != "linux":
        raise Missing(f"recording needs Linux (ptrace, /proc/PID/pagemap); this is {sys.platform}")
    if platform.machine() not in MACHINES:
        raise Missing(f"recording knows {' and '.join(MACHINES)}, not {platform.machine()}")
    if os.sysconf("SC_PAGE_SIZE") != PAGE:
        raise Missing(f"recording needs pages of {PAGE} bytes, not {os.sysconf('SC_PAGE_SIZE')}")
    return MACHINES[platform.machine()]


class SyscallStop(ctypes.Structure):
    """struct ptrace_syscall_info."""

    _fields_ = (
        ("op", ctypes.c_uint8), ("arch", ctypes.c_uint32), ("ip", ctypes.c_uint64),
        ("sp", ctypes.c_uint64), ("nr", ctypes.c_uint64), ("args", ctypes.c_uint64 * 6),
        ("more", ctypes.c_uint64),
    )

    @property
    def result(self) -> int:
        """At an exit: what the call returns, -errno for a failure."""
        return self.nr - (1 << 64) if self.nr >> 63 else self.nr


if sys.platform == "linux":
    _libc = ctypes.CDLL(None, use_errno=True)
    _ptrace = _libc.ptrace
    _ptrace.restype = ctypes.c_long
    _ptrace.argtypes = [ctypes.c_long, ctypes.c_long, ctypes.c_void_p, ctypes.c_void_p]
    _libc.syscall.restype = ctypes.c_long
_stop, _word = SyscallStop(), ctypes.c_ulong()
_stop_at, _word_at = ctypes.addressof(_stop), ctypes.addressof(_word)


def request(what: int, pid: int, addr: int = 0, data: int = 0) -> int:
    """ptrace(2); raises OSError (ProcessLookupError when the tracee is gone)."""
    result = _ptrace(what, pid, addr, data)
    if result == -1 and (code := ctypes.get_errno()):
        ctypes.set_errno(0)
        raise OSError(code, os.strerror(code))
    return result


def syscall_stop(pid: int) -> SyscallStop:
    """What a tracee's system-call stop is about; the same object every time."""
    try:
        request(GET_SYSCALL_INFO, pid, ctypes.sizeof(_stop), _stop_at)
    except OSError as refused:
        if refused.errno in (errno.EIO, errno.EINVAL):
            raise Missing("recording needs PTRACE_GET_SYSCALL_INFO (Linux 5.3)") from None
        raise
    return _stop


def event_message(pid: int) -> int:
    """The new task's pid, at a fork; the former pid, at an exec."""
    request(GETEVENTMSG, pid, 0, _word_at)
    return _word.value


class _Vector(ctypes.Structure):
    _fields_ = (("base", ctypes.c_void_p), ("length", ctypes.c_size_t))


class Odd(Exception):
    """A tracee stopped or ended in the middle of an injection: its wait status."""


def inject(pid: int, arch: Machine, at: int, nr: int, *args: int) -> int:
    """Let a stopped tracee make a system call of its own, and put everything back.

    `at` is the address of a system call instruction. Signals wait meanwhile. Returns the call's
    result (-errno); raises Odd with the status when the tracee is ending, OSError when it is gone.
    """
    saved, regs = (ctypes.c_ulonglong * arch.words)(), (ctypes.c_ulonglong * arch.words)()
    vector = _Vector(ctypes.addressof(saved), ctypes.sizeof(saved))
    mask, everything = ctypes.c_ulonglong(), ctypes.c_ulonglong(2**64 - 1)
    request(GETREGSET, pid, 1, ctypes.addressof(vector))
    request(GETSIGMASK, pid, 8, ctypes.addressof(mask))
    regs[:] = saved[:]
    for place, value in zip(arch.args, (*args, 0, 0, 0, 0), strict=False):
        regs[place] = value
    regs[arch.number], regs[arch.pc] = nr, at
    if arch.old is not None:
        regs[arch.old] = 2**64 - 1
    request(SETSIGMASK, pid, 8, ctypes.addressof(everything))
    vector.base = ctypes.addressof(regs)
    request(SETREGSET, pid, 1, ctypes.addressof(vector))
    later = 0
    for _ in range(2):  # to its entry, to its exit
        while True:
            request(SYSCALL, pid)
            _, status = os.waitpid(pid, WALL)
            if not os.WIFSTOPPED(status) or status >> 16 == EVENT_EXIT:
                raise Odd(status)
            if os.WSTOPSIG(status) == SYSCALL_STOP:
                break
            if os.WSTOPSIG(status) in STOPPING:  # cannot be masked: sent again afterwards
                later = os.WSTOPSIG(status)
    request(GETREGSET, pid, 1, ctypes.addressof(vector))
    result = regs[arch.result]
    vector.base = ctypes.addressof(saved)
    request(SETREGSET, pid, 1, ctypes.addressof(vector))
    request(SETSIGMASK, pid, 8, ctypes.addressof(mask))
    if later:
        os.kill(pid, later)
    return result - (1 << 64) if result >> 63 else result


def set_argument(pid: int, arch: Machine, index: int, value: int) -> None:
    """Change an argument register of a tracee that is stopped at a system call."""
    regs = (ctypes.c_ulonglong * arch.words)()
    vector = _Vector(ctypes.addressof(regs), ctypes.sizeof(regs))
    request(GETREGSET, pid, 1, ctypes.addressof(vector))
    regs[arch.args[index]] = value
    request(SETREGSET, pid, 1, ctypes.addressof(vector))


STOPPING = tuple(
    getattr(signal, name) for name in ("SIGSTOP", "SIGTSTP", "SIGTTIN", "SIGTTOU")
    if hasattr(signal, name)
)


def without_huge_pages() -> None:
    """In the child before exec: no transparent huge pages, so that a touch maps one page."""
    _libc.prctl(PR_SET_THP_DISABLE, 1, 0, 0, 0)


def make_userfaultfd(pid: int, arch: Machine, at: int) -> int:
    """A userfaultfd for a stopped tracee's mm, held by this process alone; raises OSError.

    The tracee opens it, this process takes it over (pidfd_getfd, Linux 5.6), the tracee closes it.
    Asynchronous write protection (Linux 6.7) needs no handler; a mapping registered with it has no
    fault-around, which is all that it is for.
    """
    numbers = {name: nr for nr, name in arch.calls.items()}
    theirs = inject(pid, arch, at, numbers["userfaultfd"], O_CLOEXEC | O_NONBLOCK | USER_MODE_ONLY)
    if theirs < 0:
        raise OSError(-theirs, f"userfaultfd: {os.strerror(-theirs)}")
    try:
        pidfd = os.pidfd_open(process_of(pid))
        try:
            fd = _libc.syscall(arch.pidfd_getfd, pidfd, theirs, 0)
        finally:
            os.close(pidfd)
        code = ctypes.get_errno()
    finally:
        inject(pid, arch, at, numbers["close"], theirs)
    if fd < 0:
        raise OSError(code, f"pidfd_getfd: {os.strerror(code)}")
    try:
        fcntl.ioctl(fd, UFFDIO_API, struct.pack("=3Q", UFFD_API, FEATURES, 0))
    except OSError as refused:
        os.close(fd)
        why = "Linux 6.7 or newer" if refused.errno == errno.EINVAL else os.strerror(refused.errno)
        raise OSError(refused.errno, f"write-protecting userfaultfd: {why}") from None
    return fd


def register(uffd: int, start: int, stop: int) -> None:
    """No fault-around in a range of bytes; raises OSError (shared and read-only: EPERM)."""
    fcntl.ioctl(uffd, UFFDIO_REGISTER, struct.pack("=4Q", start, stop - start, REGISTER_WP, 0))


def process_of(pid: int) -> int:
    """The thread group of a task; raises OSError when it is gone."""
    with open(f"/proc/{pid}/status", "rb") as file:
        for line in file:
            if line.startswith(b"Tgid:"):
                return int(line[5:])
    return pid


class Scanner:
    """PAGEMAP_SCAN (Linux 6.7): present pages of an mm as runs, without reading every entry."""

    def __init__(self) -> None:
        self.size = 4096
        self.out = bytearray(24 * self.size)

    def __call__(
        self, pagemap: int, at: int, end: int, protect: bool = False, written: bool = False
    ) -> list[tuple[int, int, int]]:
        """(first address, end, categories) of runs of present or swapped pages between two
        addresses; raises OSError.

        protect: write-protect what is anonymous there (and registered), so that `written`, a
        further category, tells from now on which pages were written."""
        tell = IS_FILE | IS_ZERO | (IS_PROTECTABLE | IS_WRITTEN if written else 0)
        wanted = (IS_FILE, IS_FILE, IS_PRESENT) if protect else (0, 0, IS_PRESENT | IS_SWAPPED)
        found: list[tuple[int, int, int]] = []
        while at < end:
            here = (ctypes.c_char * len(self.out)).from_buffer(self.out)
            arg = bytearray(struct.pack(
                "=12Q", 96, PROTECT * protect, at, end, 0, ctypes.addressof(here), self.size, 0,
                *wanted, tell,
            ))
            n = fcntl.ioctl(pagemap, PAGEMAP_SCAN, arg, True)
            found += struct.iter_unpack("=3Q", memoryview(self.out)[: 24 * n])
            at = struct.unpack_from("=Q", arg, 32)[0]
        return found
