"""The loop that follows a command and its descendants, and writes down what they do with memory.

Every task stops at its system calls. Around those that change the mappings, at exec, fork and exit,
and every millisecond besides, the pages of the mm are compared with those of the last look.
"""

from __future__ import annotations

import contextlib
import errno
import os
import signal
import time
from collections.abc import Callable, Sequence

from . import ptrace
from .launch import Command, Start, launch
from .perf import Perf
from .space import ABSENT, ANON, COMMON, FILE, Files, Space

TICK = 0.001  # seconds between looks while nothing happens
GRACE = 1.0  # seconds to end by itself for a program that was interrupted
CLONE_VM, CLONE_THREAD = 0x100, 0x10000
MAP_PRIVATE, MAP_TYPE, MAP_FIXED, PROT_WRITE = 2, 3, 0x10, 2
# at whose entry pages can vanish; at whose exit mappings can have changed
VANISH = frozenset(("munmap", "mremap", "brk", "madvise", "mmap", "shmdt", "execve", "execveat"))
REMAP = frozenset(("munmap", "mremap", "brk", "mmap", "mprotect", "shmat", "shmdt"))
OPENS = frozenset(("open", "openat", "openat2", "creat"))
READS = frozenset(("read", "pread64", "readv", "preadv", "preadv2"))
WRITES = frozenset(("write", "pwrite64", "writev", "pwritev", "pwritev2"))
POSITIONED = frozenset(("pread64", "preadv", "preadv2", "pwrite64", "pwritev", "pwritev2"))
COPIES = {"sendfile": (1, 0), "copy_file_range": (0, 2)}  # arguments: from, to


class Task:
    """One traced task."""

    def __init__(self, pid: int, space: Space):
        self.pid, self.space = pid, space
        self.call, self.args = "", ()  # the system call it is in
        self.restore = 0  # flags of its mmap, if they were changed on the way
        self.born = False  # its first stop has been seen
        self.image = False  # in an exec whose new image is to be looked at
        self.dying = False

    def ready(self) -> bool:
        """Its mm is the one that is recorded (not one that an exec is taking apart)."""
        return self.born and not (self.image or self.dying or self.call.startswith("exec"))


class Tracer:
    """Runs commands to their end and logs what their tasks do. See `run`.

    `log` holds (time, what, ...) in the words of `Assembler`; `lost` counts looks that failed;
    `waited` is the time (s) for which a task stood still because the recorder was busy.
    """

    def __init__(
        self,
        commands: Sequence[Command],
        tick: float = TICK,
        limit: int | None = None,
        fault_around: bool = False,
        perf: bool = False,
        say: Callable[[str], None] = lambda text: None,
    ):
        self.arch = ptrace.machine()
        self.commands, self.tick, self.limit, self.say = commands, tick, limit, say
        self.files = Files()
        self.log: list[tuple] = []
        self.tasks: dict[int, Task] = {}
        self.early: dict[int, int] = {}  # children that stopped before their parent told of them
        self.starts: list[Start] = []
        self.heads: dict[int, int | None] = {}  # pid of a command -> its wait status
        self.uffd = not fault_around
        self.why_not = "switched off" if fault_around else ""  # why fault-around stays on
        self.scanner: ptrace.Scanner | None = ptrace.Scanner()
        self.lost = self.stops = self.looks = 0
        self.waited = self.wall = 0.0
        self.interrupted = self.full = self.released = False
        self.perf: Perf | None = None
        self.with_perf = perf
        self.deadline = 0.0

    # -- start and end -------------------------------------------------------------------------

    def run(self) -> None:
        """Record until the last task has ended (or was let go: `limit`, an interrupt).

        Raises Refused, ptrace.Missing. Whatever happens, no task is left stopped.
        """
        watched = {signal.SIGCHLD, signal.SIGINT, signal.SIGTERM, signal.SIGHUP}
        old = signal.pthread_sigmask(signal.SIG_BLOCK, watched)
        before = signal.signal(signal.SIGCHLD, signal.SIG_DFL)  # were it ignored, none would tell
        begun = time.monotonic()
        try:
            self.start(old)
            self.loop(watched)
        finally:
            self.end()
            self.wall = time.monotonic() - begun
            while signal.sigtimedwait(watched, 0):
                pass
            signal.signal(signal.SIGCHLD, before)
            signal.pthread_sigmask(signal.SIG_SETMASK, old)

    def start(self, mask: set) -> None:
        """Every command's process is there and seized before any of them goes on."""
        for command in self.commands:
            begun = launch(command, mask)
            self.starts.append(begun)
            self.heads[begun.pid] = None
            self.tasks[begun.pid] = Task(begun.pid, Space(begun.pid, self.files))
            self.note("begin", begun.pid, "", command.container)
        if self.with_perf:
            self.perf = Perf(self.heads)
        for begun in self.starts:
            begun.go()

    def end(self) -> None:
        """Nothing of ours stays behind, whatever happened."""
        for pid in [*self.tasks, *self.early]:
            with contextlib.suppress(OSError):
                os.kill(pid, signal.SIGKILL)
        deadline = time.monotonic() + 5
        while (self.tasks or self.early) and time.monotonic() < deadline:
            try:
                pid, status = os.waitpid(-1, ptrace.WALL | os.WNOHANG)
            except ChildProcessError:
                break
            if pid == 0:
                time.sleep(0.001)
            elif os.WIFSTOPPED(status):
                with contextlib.suppress(OSError):
                    ptrace.request(ptrace.CONT, pid)
            else:
                self.gone(pid, status)
        for space in {task.space for task in self.tasks.values()}:
            space.close()

    def loop(self, watched: set) -> None:
        """Wait, handle, look; until nobody is left."""
        due = time.monotonic() + self.tick
        while self.tasks:
            pid, status = os.waitpid(-1, ptrace.WALL | os.WNOHANG)
            now = time.monotonic()
            if pid:
                self.handle(pid, status)
                self.waited += time.monotonic() - now
            else:
                info = signal.sigtimedwait(watched, max(0.0, due - now))
                if info is not None and info.si_signo != signal.SIGCHLD:
                    self.interrupt(info)
            now = time.monotonic()
            if now >= due:
                for space in {task.space for task in self.tasks.values() if task.ready()}:
                    if space.foreign:
                        self.look(space)
                    self.scan(space)
                took = time.monotonic() - now
                due = now + took + max(self.tick, 2 * took)
            if self.deadline and now > self.deadline:
                for task in self.tasks.values():
                    with contextlib.suppress(OSError):
                        os.kill(task.pid, signal.SIGKILL)
                self.deadline = now + GRACE
            if self.limit is not None and len(self.log) >= self.limit and not self.full:
                self.full = True
                self.release()
        for begun in self.starts:
            begun.check()
        self.wait_for_heads(watched)

    def wait_for_heads(self, watched: set) -> None:
        """After a release: the commands go on by themselves; their exit codes are still ours."""
        while any(status is None for status in self.heads.values()):
            for pid in [pid for pid, status in self.heads.items() if status is None]:
                done, status = os.waitpid(pid, os.WNOHANG)
                if done and not os.WIFSTOPPED(status):
                    self.heads[pid] = status
            info = signal.sigtimedwait(watched, 0.05)
            if info is not None and info.si_signo != signal.SIGCHLD:
                self.interrupted = True
                self.signal_heads(signal.SIGTERM if self.deadline == 0 else signal.SIGKILL)
                self.deadline = time.monotonic() + GRACE

    def interrupt(self, info: signal.struct_siginfo) -> None:
        """Ctrl-C: the program has got it too (from a terminal) or gets it now; what still runs
        after a second is killed. A second Ctrl-C does not wait."""
        if info.si_code <= 0 and not self.interrupted:
            self.signal_heads(info.si_signo)
        self.deadline = time.monotonic() + (0 if self.interrupted else GRACE)
        self.interrupted = True

    def signal_heads(self, number: int) -> None:
        """To every command that still runs."""
        for pid in [pid for pid, status in self.heads.items() if status is None]:
            with contextlib.suppress(OSError):
                os.kill(pid, number)

    def release(self) -> None:
        """Let every task go on untraced; the trace ends here."""
        self.released = True
        for task in self.tasks.values():
            with contextlib.suppress(OSError):
                ptrace.request(ptrace.INTERRUPT, task.pid)

    # -- stops ---------------------------------------------------------------------------------

    def handle(self, pid: int, status: int) -> None:
        """One wait status. A task that vanishes meanwhile will be reported by another."""
        if not os.WIFSTOPPED(status):
            self.gone(pid, status)
            return
        self.stops += 1
        task = self.tasks.get(pid)
        if task is None:
            self.early[pid] = status
            return
        try:
            if self.released:
                self.let_go(task, status)
                return
            deliver = self.stopped(task, os.WSTOPSIG(status), status >> 16)
            if deliver >= 0:
                ptrace.request(ptrace.SYSCALL, pid, 0, deliver)
        except ptrace.Odd as odd:
            self.handle(pid, odd.args[0])
        except (ProcessLookupError, FileNotFoundError):
            pass

    def let_go(self, task: Task, status: int) -> None:
        sig, event = os.WSTOPSIG(status), status >> 16
        real = not event and sig not in (ptrace.SYSCALL_STOP, signal.SIGTRAP)
        if event in (ptrace.EVENT_FORK, ptrace.EVENT_VFORK, ptrace.EVENT_CLONE):
            self.adopt(task, ptrace.event_message(task.pid), event)
        ptrace.request(ptrace.DETACH, task.pid, 0, sig if real else 0)
        self.leave(task)

    def stopped(self, task: Task, sig: int, event: int) -> int:
        """What the stop means; returns the signal to deliver, -1 to leave the task as it is."""
        if sig == ptrace.SYSCALL_STOP:
            if not task.born:  # not yet the program
                return 0
            stop = ptrace.syscall_stop(task.pid)
            if stop.op == ptrace.ENTRY:
                self.enter(task, stop)
            elif stop.op == ptrace.EXIT:
                self.leave_call(task, stop.result)
            return 0
        if event in (ptrace.EVENT_FORK, ptrace.EVENT_VFORK, ptrace.EVENT_CLONE):
            self.adopt(task, ptrace.event_message(task.pid), event)
        elif event == ptrace.EVENT_EXEC:
            self.exec(task, ptrace.event_message(task.pid))
        elif event == ptrace.EVENT_EXIT:
            self.dying(task)
        elif event == ptrace.EVENT_STOP:
            if not task.born:
                self.first_stop(task)
            elif sig in ptrace.STOPPING:
                ptrace.request(ptrace.LISTEN, task.pid)
                return -1
        elif not event:
            return sig
        return 0

    def enter(self, task: Task, stop: ptrace.SyscallStop) -> None:
        if stop.arch != self.arch.audit:
            task.space.foreign, task.call = True, ""
            return
        task.call, task.args = self.arch.calls.get(stop.nr, ""), tuple(stop.args)
        if task.call == "mmap" and self.uffd:
            self.make_private(task)
        if task.call in VANISH and (task.call != "mmap" or task.args[3] & MAP_FIXED):
            self.scan(task.space)

    def make_private(self, task: Task) -> None:
        """A shared mapping of a file that is open for reading only cannot have its fault-around
        switched off; a private one shows the same pages and can."""
        _, _, prot, flags, fd, _ = task.args
        if flags & MAP_TYPE == MAP_PRIVATE or prot & PROT_WRITE or fd >> 31:
            return
        found = self.files.of_descriptor(task.pid, fd)
        if found and found[0].kind == "file":
            with open(f"/proc/{task.pid}/fdinfo/{fd}", "rb") as info:
                mode = next(int(line[6:], 8) for line in info if line.startswith(b"flags:"))
            if mode & os.O_ACCMODE == os.O_RDONLY:
                ptrace.set_argument(task.pid, self.arch, 3, flags & ~MAP_TYPE | MAP_PRIVATE)
                task.restore = flags

    def leave_call(self, task: Task, result: int) -> None:
        call, args = task.call, task.args
        task.call = ""
        if task.restore:
            ptrace.set_argument(task.pid, self.arch, 3, task.restore)
            task.restore = 0
        if task.image:
            task.image = False
            self.new_image(task)
        elif not call or result < 0:
            return
        elif call in REMAP:
            self.look(task.space)
            if call == "mmap":
                self.scan(task.space)  # MAP_POPULATE
        elif call in OPENS:
            found = self.files.of_descriptor(task.pid, result)
            if found:
                self.note("open", task.space.owner, result, *found)
        elif call == "close":
            self.note("close", task.space.owner, args[0])
        elif call in READS or call in WRITES:
            place = args[3] if call in POSITIONED else -1
            self.transfer(task, "read" if call in READS else "write", args[0], place, result)
        elif call in COPIES and result:
            source, target = COPIES[call]
            self.transfer(task, "read", args[source], -1, result)
            self.transfer(task, "write", args[target], -1, result)

    def transfer(self, task: Task, how: str, fd: int, place: int, size: int) -> None:
        """Bytes moved through a descriptor; `place` -1: where its position was."""
        found = size and self.files.of_descriptor(task.pid, fd & 0xFFFFFFFF)
        if not found:
            return
        if place < 0 or place >> 63:
            with open(f"/proc/{task.pid}/fdinfo/{fd & 0xFFFFFFFF}", "rb") as info:
                place = max(0, int(info.readline().split()[1]) - size)
        self.note("call", how, task.space.owner, *found, place, size)

    # -- tasks ---------------------------------------------------------------------------------

    def adopt(self, parent: Task, pid: int, event: int) -> None:
        """A child: of a vfork and of threads the space is the parent's."""
        flags = parent.args[0] if parent.call == "clone" else 0
        if parent.call == "clone3":
            with open(f"/proc/{parent.pid}/mem", "rb", buffering=0) as memory:
                flags = int.from_bytes(os.pread(memory.fileno(), 8, parent.args[0]), "little")
        thread = bool(flags & CLONE_THREAD)
        shares = thread or event == ptrace.EVENT_VFORK or bool(flags & CLONE_VM)
        self.scan(parent.space)  # what the parent has now the child inherits
        space = parent.space if shares else parent.space.copy(pid)
        space.users.add(pid)
        self.tasks[pid] = Task(pid, space)
        if not shares:
            with contextlib.suppress(OSError):
                parent.space.fork(self.scanner)
        if thread or (shares and event == ptrace.EVENT_CLONE):
            self.note("thread", ptrace.process_of(parent.pid), pid)
        else:
            self.note("fork", ptrace.process_of(parent.pid), pid)
        if pid in self.early:
            self.handle(pid, self.early.pop(pid))

    def first_stop(self, task: Task) -> None:
        """A new child before its first step: its mm is its own, and registered anew."""
        task.born = True
        if len(task.space.users) > 1:
            return
        self.watch(task)
        with contextlib.suppress(OSError):
            task.space.fork(self.scanner)

    def exec(self, task: Task, former: int) -> None:
        """A task's old mm is gone; a thread that execs takes its process's pid."""
        if former != task.pid and former in self.tasks:
            self.note("exit", former)
            self.forget(self.tasks.pop(former))
        self.forget(task)
        task.space, task.image = Space(task.pid, self.files), True
        task.born = True

    def new_image(self, task: Task) -> None:
        """At the end of an exec: the new program has not run yet."""
        program = os.readlink(f"/proc/{task.pid}/exe").removesuffix(" (deleted)")
        self.note("exec", task.pid, program)
        self.note("keep", task.pid, frozenset(map(int, os.listdir(f"/proc/{task.pid}/fd"))))
        task.space.gate = task.space.find_gate(self.arch.insn)
        self.look(task.space)
        self.watch(task)
        self.scan(task.space)

    def watch(self, task: Task) -> None:
        """Fault-around off in a new mm."""
        if not self.uffd:
            return
        try:
            if not task.space.gate:
                raise OSError(errno.ENOSYS, "no vdso to make system calls from")
            task.space.uffd = ptrace.make_userfaultfd(task.pid, self.arch, task.space.gate)
        except ProcessLookupError:
            raise
        except OSError as refused:
            self.uffd, self.why_not = False, refused.strerror or str(refused)
            self.say(f"fault-around stays on, pages around each touch are recorded as touched: "
                     f"{self.why_not}")
            return
        task.space.register(task.space.mappings)

    def dying(self, task: Task) -> None:
        """The last look: the mm is still there."""
        task.dying = True
        if task.born and not task.image:
            self.scan(task.space)
        task.space.users.discard(task.pid)
        self.hand_on(task)

    def hand_on(self, task: Task) -> None:
        """Another task's /proc is read from now on: a dead leader shows none."""
        if task.space.pid == task.pid and task.space.users:
            task.space.pid = min(task.space.users)

    def gone(self, pid: int, status: int) -> None:
        self.early.pop(pid, None)
        if pid in self.heads:
            self.heads[pid] = status
        task = self.tasks.get(pid)
        if task is not None:
            if not task.dying and task.born and len(task.space.users) == 1:
                self.lost += 1  # killed without a last look
            self.note("exit", pid)
            self.leave(task)

    def leave(self, task: Task) -> None:
        self.tasks.pop(task.pid, None)
        self.forget(task)

    def forget(self, task: Task) -> None:
        """A task leaves its space; with the last one it is closed."""
        task.space.users.discard(task.pid)
        self.hand_on(task)
        if not task.space.users:
            task.space.close()

    # -- looks ---------------------------------------------------------------------------------

    def note(self, what: str, *words: object) -> None:
        self.log.append((time.monotonic_ns(), what, *words))

    def look(self, space: Space) -> None:
        """Log what changed in the mappings."""
        try:
            changed = space.look()
        except OSError:
            self.lost += 1
            return
        if changed:
            self.note("remap", space.owner, changed)

    def scan(self, space: Space) -> None:
        """Log which pages came and went."""
        self.looks += 1
        try:
            found = space.scan(self.scanner)
            if not space.covers(found):  # a stack has grown
                self.look(space)
                found = space.scan(self.scanner)
        except OSError as refused:
            self.refused(space, refused)
            return
        for start, stop, before, after in found:
            if before != ABSENT and after in (ABSENT, FILE):
                self.note("touch", "discard", space.owner, start, stop - start)
            if after not in (ABSENT, COMMON):
                how = "touch_write" if after == ANON else "touch_read"
                self.note("touch", how, space.owner, start, stop - start)

    def refused(self, space: Space, refused: OSError) -> None:
        """A scan that failed: once by the ioctl itself (older kernel), or the process is going."""
        if refused.errno in (errno.ENOTTY, errno.EINVAL) and self.scanner is not None:
            self.scanner, self.tick = None, max(self.tick, 0.01)
            self.scan(space)
        elif refused.errno in (errno.EACCES, errno.EPERM) and not space.runs:
            raise ptrace.Missing(
                f"recording needs /proc/PID/pagemap, which is refused here ({refused.strerror})"
            ) from None
        elif refused.errno != errno.ESRCH:
            self.lost += 1
