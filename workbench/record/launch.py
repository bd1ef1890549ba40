"""Starting commands so that nothing of them is missed: forked, seized, then let go all at once."""

from __future__ import annotations

import os
import shutil
import signal
import stat
from collections.abc import Sequence
from typing import NamedTuple

from . import ptrace


class Command(NamedTuple):
    """What to run, in which container."""

    container: str
    argv: Sequence[str]


class Refused(RuntimeError):
    """A command that cannot be recorded, or not run at all; says why."""


class Start(NamedTuple):
    """A process that waits to become its command."""

    command: Command
    pid: int
    gate: int  # to write to: go
    failure: int  # to read from: the errno of an exec that failed, or nothing

    def go(self) -> None:
        os.write(self.gate, b"g")
        os.close(self.gate)

    def check(self) -> None:
        """Raise Refused where the program could not be run. Waits for the exec."""
        reason = os.read(self.failure, 16)
        os.close(self.failure)
        if reason:
            raise Refused(f"cannot run {self.command.argv[0]}: {os.strerror(int(reason))}")


def launch(command: Command, mask: set) -> Start:
    """Fork a command's process and seize it. Raises Refused, ptrace.Missing.

    mask: the signals that are blocked in the program, as they were before.
    """
    program = runnable(command.argv)
    gate_read, gate = os.pipe()
    failure, failure_write = os.pipe()
    pid = os.fork()
    if pid == 0:
        os.close(gate)
        become(program, command.argv, gate_read, failure_write, mask)
    os.close(gate_read)
    os.close(failure_write)
    try:
        ptrace.request(ptrace.SEIZE, pid, 0, ptrace.OPTIONS)
    except OSError as refused:
        os.close(gate)
        raise ptrace.Missing(
            f"recording needs ptrace, which is refused here ({refused.strerror}): "
            "allow it (kernel.yama.ptrace_scope below 3; a container needs the system "
            "call ptrace in its seccomp profile)"
        ) from None
    return Start(command, pid, gate, failure)


def runnable(argv: Sequence[str]) -> str:
    """The program's path; raises Refused when there is none, or ptrace would change what it is."""
    program = shutil.which(argv[0])
    if program is None:
        why = "no such file" if os.sep in argv[0] else "not found in PATH"
        if os.sep in argv[0] and os.path.exists(argv[0]):
            why = "a folder" if os.path.isdir(argv[0]) else "not executable"
        raise Refused(f"cannot run {argv[0]}: {why}")
    mode = os.stat(program)
    set_uid = mode.st_mode & stat.S_ISUID and mode.st_uid != os.geteuid()
    set_gid = mode.st_mode & stat.S_ISGID and mode.st_gid != os.getegid()
    if os.geteuid() and (set_uid or set_gid):
        raise Refused(
            f"cannot record {argv[0]}: it is set-uid or set-gid, and Linux takes that away from "
            "programs that an ordinary user traces; record it as root"
        )
    return program


def become(program: str, argv: Sequence[str], gate: int, failure: int, mask: set) -> None:
    """In the new process: wait to be let go, then become the program. Never returns."""
    try:
        if os.read(gate, 1) != b"g":
            os._exit(127)
        signal.pthread_sigmask(signal.SIG_SETMASK, mask)
        for name in ("SIGPIPE", "SIGXFSZ"):  # Python ignores them; a program expects them
            signal.signal(getattr(signal, name), signal.SIG_DFL)
        ptrace.without_huge_pages()
        os.execv(program, list(argv))
    except OSError as problem:
        os.write(failure, str(problem.errno).encode())
    finally:
        os._exit(127)
