"""A process of a simulated machine: one program with its pipes, files and sockets.

A program is an `async def` that takes the process and returns the exit status. An exception that escapes it is a bug
of the program, not an outcome of the simulation, and propagates out of `Clock.run`.
"""

from __future__ import annotations

import posixpath
from collections.abc import Callable, Coroutine, Mapping
from typing import TYPE_CHECKING, Any, TypeVar

from cnmsim.kernel.cgroup import ControlGroup, ForkRefusedError
from cnmsim.kernel.clock import Clock
from cnmsim.kernel.credentials import ROOT, Credentials
from cnmsim.kernel.files import FileSystem, Pipe
from cnmsim.kernel.footprint import resident_kib
from cnmsim.kernel.permissions import ProcessFiles
from cnmsim.kernel.sockets.base import Socket
from cnmsim.kernel.sockets.icmp import IcmpSocket
from cnmsim.kernel.sockets.tcp import TcpSocket
from cnmsim.kernel.sockets.udp import UdpSocket
from cnmsim.kernel.task import Future, Gate, Task, sleep, sleep_ns

if TYPE_CHECKING:
    from cnmsim.kernel.machine import Machine
    from cnmsim.kernel.namespace import NetworkNamespace
    from cnmsim.kernel.pid_namespace import PidNamespace

T = TypeVar("T")
SIGHUP, SIGINT, SIGQUIT, SIGKILL, SIGPIPE, SIGTERM, SIGCHLD, SIGCONT, SIGSTOP = 1, 2, 3, 9, 13, 15, 17, 18, 19
SIGTSTP, SIGTTIN, SIGTTOU, SIGURG, SIGWINCH = 20, 21, 22, 23, 28
_IGNORED_BY_DEFAULT = (SIGCHLD, SIGCONT, SIGURG, SIGWINCH)
_STOPPING = (SIGSTOP, SIGTSTP, SIGTTIN, SIGTTOU)


class Process:
    """One running program, created by `Machine.spawn` or by another process's `start`.

    `exit_status` is `None` while the process runs, then the program's return value, or 128 plus the number of the
    signal that ended it. `is_init` marks the first process of a PID namespace, which ignores every signal without a
    handler except SIGKILL and SIGSTOP (pid_namespaces(7)).
    """

    __slots__ = (
        "_inherited_sockets", "_own_pipes", "_tasks", "allocated", "argv", "cgroup", "children", "clock", "cpu_ns",
        "creator", "credentials", "env", "exit_status", "exited", "files", "gate", "handlers", "hostname",
        "ignored_signals", "in_background", "is_init", "local_pid", "machine", "namespace", "on_exit", "parent",
        "pid", "pid_namespace", "program", "programs", "rlimits", "sockets", "started_ns", "stderr", "stdin",
        "stdout", "term_signal", "umask",
    )  # fmt: skip

    def __init__(
        self,
        machine: Machine,
        pid: int,
        argv: list[str],
        *,
        namespace: NetworkNamespace,
        files: FileSystem,
        hostname: str,
        env: dict[str, str],
        programs: Mapping[str, Program],
        credentials: Credentials = ROOT,
        stdin: Pipe | None = None,
        stdout: Pipe | None = None,
        stderr: Pipe | None = None,
        parent: Process | None = None,
        on_exit: Callable[[Process], None] | None = None,
        is_init: bool = False,
        pid_namespace: PidNamespace | None = None,
        ignored_signals: frozenset[int] = frozenset(),
        cgroup: ControlGroup | None = None,
    ) -> None:
        self.machine = machine
        #: The program that runs in the process; `None` before `begin`.
        self.program: Program | None = None
        #: The memory in bytes that the program has allocated in addition to its size at the start; its processor
        #: time.
        self.allocated = self.cpu_ns = 0
        self.cgroup = cgroup
        self.argv = argv
        if cgroup is not None:
            cgroup.add(self, is_fork=parent is not None)
        self.clock: Clock = machine.clock
        #: The process id in the machine's initial PID namespace.
        self.pid = pid
        self.pid_namespace = pid_namespace or machine.pids
        #: The process id in the process's own PID namespace, as `getpid` returns it.
        self.local_pid = pid if self.pid_namespace is machine.pids else self.pid_namespace.add(self)
        self.started_ns = machine.clock.now_ns
        self.namespace = namespace
        #: The files, with the permissions of the process.
        self.files: FileSystem = ProcessFiles(files.base, self)
        self.hostname = hostname
        self.env = env
        self.credentials = credentials
        self.programs = programs
        self.parent = parent
        #: The process that started this one, even after it was reparented.
        self.creator = parent
        self.children: list[Process] = []
        self.on_exit = on_exit
        self.is_init = is_init
        #: Whether a shell started it with `&`, so that it gets no input and no Ctrl-C from the terminal.
        self.in_background = False
        #: The permission bits that new files do not get (umask(2)).
        self.umask: int = 0o022 if parent is None else parent.umask
        #: The soft and hard limits of resources by the names of setrlimit(2), such as `NOFILE`; -1 is none.
        self.rlimits: dict[str, tuple[int, int]] = {} if parent is None else parent.rlimits
        self.exit_status: int | None = None
        #: The signal that ended the process, 0 if it exited or still runs (WTERMSIG).
        self.term_signal = 0
        self.exited: Future[int] = Future(self.clock)
        self.handlers: dict[int, Callable[[], None]] = {}
        #: The signals set to SIG_IGN. Children and programs started with `exec` inherit them.
        self.ignored_signals = ignored_signals
        self.sockets: list[Socket] = []
        #: The gate that stops all tasks of the process while it is paused.
        self.gate = Gate(self)
        self._tasks: list[Task[Any]] = []
        self._own_pipes: list[Pipe] = []
        self._inherited_sockets: tuple[Socket, ...] = ()
        self.stdin = stdin or self._empty_input()
        self.stdout = stdout or self._own_pipe()
        self.stderr = stderr or self._own_pipe()

    def __repr__(self) -> str:
        return f"<Process {self.label}>"

    @property
    def name(self) -> str:
        """The program's name, as `ps` shows it (`/proc/PID/comm`).

        A program that replaced the one on the command line, as the last command of a script with `exec` does, has the
        attribute `comm`.
        """
        comm: str = getattr(self.program, "comm", "")
        if comm:
            return comm
        return posixpath.basename(self.argv[0]) if self.argv else "?"

    @property
    def resident_kib(self) -> int:
        """The memory of the program just after its start, in KiB."""
        return resident_kib(self.name)

    def allocate(self, size: int) -> None:
        """Set the memory that the program has allocated to `size` bytes.

        If the control group then exceeds its memory limit, the OOM killer ends one of its processes.
        """
        self.allocated = size
        if self.cgroup is not None:
            self.cgroup.check_memory(self.machine.memory_bytes)

    def use_cpu(self, used_ns: int) -> None:
        """Add `used_ns` nanoseconds to the processor time of the process and of its control group."""
        self.cpu_ns += used_ns
        if self.cgroup is not None:
            self.cgroup.charge(used_ns)

    async def compute(self, work_ns: int) -> None:
        """Use `work_ns` nanoseconds of processor time, and wait until they have passed.

        The wait is longer if the control group limits the process to less than one processor.
        """
        self.use_cpu(work_ns)
        await sleep_ns(self.clock, work_ns if self.cgroup is None else self.cgroup.wall_ns(work_ns))

    @property
    def label(self) -> str:
        """The name of the process in traces, such as `httpd (pid 7)`."""
        return f"{self.name} (pid {self.pid})"

    @property
    def description(self) -> str:
        """The program with its arguments, the process and the machine, for error messages."""
        return f"program {self.argv} of {self.label} on {self.machine.name}"

    @property
    def is_paused(self) -> bool:
        """Whether the process is stopped (SIGSTOP): its tasks do not run, but the kernel still serves its sockets."""
        return self.gate.is_shut

    @property
    def is_running(self) -> bool:
        """Whether the process has not ended."""
        return self.exit_status is None

    def _empty_input(self) -> Pipe:
        pipe = Pipe(self.clock)
        pipe.close()
        return pipe

    def _own_pipe(self) -> Pipe:
        pipe = Pipe(self.clock)
        self._own_pipes.append(pipe)
        return pipe

    def begin(self, program: Program) -> None:
        """Start `program` in this process, at the current instant."""
        # The coroutine is created only when it starts, so that a discarded lab leaves no coroutine that was never
        # awaited.
        self.program = program
        self.clock.call_soon(self._begin, program)

    def _begin(self, program: Program) -> None:
        if self.is_running:
            self._inherited_sockets = tuple(self.sockets)
            self.task(self._main(program))

    def restart_after_fork(self) -> None:
        """Restart the program from its beginning, because this process is part of a copy (fork) of a lab.

        The program's threads are not restarted. Inherited sockets, and sockets whose data a callback receives, are
        kept; the others are closed without sending anything.
        """
        assert self.program is not None, "a process that runs has a program"
        for socket in tuple(self.sockets):
            if socket not in self._inherited_sockets and not socket.has_callback:
                socket.close_silently()
        self._tasks = []
        self.gate = Gate(self)
        self.handlers = {}
        self.begin(self.program)

    def close_silently(self) -> None:
        """End the process without side effects: no signal, nothing sent to peers, no exit callback."""
        self.exit_status = 128 + SIGKILL
        for socket in tuple(self.sockets):
            socket.close_silently()
        self._forget()
        if self.parent is not None and self in self.parent.children:
            self.parent.children.remove(self)

    async def _main(self, program: Program) -> None:
        try:
            status = await program(self)
        except ForkRefusedError as error:
            self.error(f"{self.name}: vfork: {error.strerror}\n")
            status = 1
        except Exception as error:
            error.add_note(f"in {self.description}")
            self._end(1)
            raise
        if self.is_running:  # it may have ended itself with a signal
            self._end(status)

    def task(self, coroutine: Coroutine[Any, Any, T]) -> Task[T]:
        """Run a coroutine as a thread of this process. It is paused with the process and ends with it."""
        task = Task(self.clock, coroutine, self.gate)
        self._tasks = [other for other in self._tasks if not other.is_done]
        self._tasks.append(task)
        return task

    def start(self, program: Program, argv: list[str], **options: Any) -> Process:
        """Start a child process that runs `program`. Raises `ForkRefusedError` at the limit of the control group.

        `options` are those of `Machine.spawn`; the child inherits everything that they do not replace.
        """
        inherited = {
            "namespace": self.namespace, "files": self.files, "hostname": self.hostname, "env": dict(self.env),
            "programs": self.programs, "credentials": self.credentials, "stdin": self.stdin,
            "stdout": self.stdout, "stderr": self.stderr, "pid_namespace": self.pid_namespace,
            "ignored_signals": self.ignored_signals, "cgroup": self.cgroup,
        }  # fmt: skip
        return self.machine.spawn(program, argv, parent=self, **{**inherited, **options})

    def daemonise(self, program: Program, *sockets: Socket) -> Process:
        """Continue with `program` in a child process in the background (daemon(3)). Return the child.

        The child has no streams. `sockets` are moved to it.
        """
        child = self.start(program, list(self.argv), stdin=None, stdout=None, stderr=None)
        for socket in sockets:
            self.sockets.remove(socket)
            socket.owner = child
            child.sockets.append(socket)
        return child

    async def sleep(self, seconds: float) -> None:
        """Wait for `seconds` of virtual time, which may be infinite."""
        await sleep(self.clock, seconds)

    def write(self, data: str | bytes) -> None:
        """Write to stdout.

        If the pipe is closed, the process ends with SIGPIPE. A process that has ended writes nothing.
        """
        self._print(self.stdout, data)

    def error(self, data: str | bytes) -> None:
        """Write to stderr."""
        self._print(self.stderr, data)

    def _print(self, pipe: Pipe, data: str | bytes) -> None:
        if not self.is_running:
            # The `finally` blocks of a killed program run, but must not produce output.
            return
        if pipe.is_closed or pipe.is_reader_closed:
            self.kill(SIGPIPE)
            return
        try:
            pipe.write(data.encode(errors="surrogateescape") if isinstance(data, str) else data)
        except OSError as error:  # stdout may be redirected to a file that rejects the data, such as a sysctl
            if pipe is not self.stderr:
                self.error(f"{self.name}: write error: {error.strerror}\n")
            self.exit(1)

    def udp(self, family: int = 4) -> UdpSocket:
        """Open a UDP socket of family 4 or 6."""
        return UdpSocket(self.namespace, family, owner=self)

    def tcp(self, family: int = 4) -> TcpSocket:
        """Open a TCP socket of family 4 or 6."""
        return TcpSocket(self.namespace, family, owner=self)

    def icmp(self, family: int = 4, *, is_datagram: bool = False) -> IcmpSocket:
        """Open an ICMP socket of family 4 or 6: a raw one or, with `is_datagram`, one for echo requests only.

        Raises `PermissionError` (EPERM) without CAP_NET_RAW, unless `is_datagram` is set and
        `net.ipv4.ping_group_range` includes a group of the process (icmp(7)).
        """
        low, high = map(int, self.namespace.sysctl_get("net.ipv4.ping_group_range").split())
        groups = (self.credentials.gid, *self.credentials.groups)
        if not (is_datagram and any(low <= gid <= high for gid in groups)):
            self.credentials.require("NET_RAW")
        return IcmpSocket(self.namespace, family, owner=self)

    def may_signal(self, target: Process) -> bool:
        """Return True if this process may send signals to `target`.

        Both must have the same user, or this one CAP_KILL (kill(2)).
        """
        return self.credentials.uid == target.credentials.uid or self.credentials.has("KILL")

    def kill(self, signal: int = SIGKILL, sender: Process | None = None) -> None:
        """Send a signal to this process: run its handler, or apply Linux's default action.

        `sender` is the process that sends the signal, `None` for the kernel and the engine. The first process of a
        PID namespace ignores SIGKILL and SIGSTOP from a `sender` in the same namespace. A fatal signal ends the
        process at once; a process that sends a fatal signal to itself ends after its current step. Do nothing if the
        process has ended.
        """
        if not self.is_running or signal == 0:
            return
        is_from_inside = sender is not None and sender.pid_namespace is self.pid_namespace
        if self.is_init and is_from_inside and signal in (SIGKILL, SIGSTOP):
            return
        if signal == SIGCONT:
            self.unpause()
        handler = self.handlers.get(signal)
        if signal == SIGKILL:
            self._terminate(signal)
        elif signal == SIGSTOP:
            self.pause()
        elif signal in self.ignored_signals:
            pass
        elif handler is not None:
            handler()
        elif self.is_init or signal in _IGNORED_BY_DEFAULT:
            pass
        elif signal in _STOPPING:
            self.pause()
        else:
            self._terminate(signal)

    def _terminate(self, signal: int) -> None:
        self.term_signal = signal
        self._end(128 + signal)

    def interrupt(self) -> None:
        """Send SIGINT to the process and its foreground children, as a terminal does for Ctrl-C."""
        for child in tuple(self.children):
            if not child.in_background:
                child.interrupt()
        self.kill(SIGINT)

    async def exec(
        self, program: Program, argv: list[str], env: dict[str, str], streams: tuple[Pipe, Pipe, Pipe]
    ) -> int:
        """Replace the running program by `program`, as execve(2) does. Return the exit status of the new program.

        The process keeps its id, its children and the signals that it ignores. `argv` are its arguments, `env` its
        environment and `streams` its standard input, output and error from now on.
        """
        self.argv, self.env, self.handlers, self.program = argv, env, {}, program
        self.stdin, self.stdout, self.stderr = streams
        return await program(self)

    def exit(self, status: int) -> None:
        """End the process with the exit status `status`. Called by signal handlers and by threads of the process."""
        if self.is_running:
            self._end(status)

    def pause(self) -> None:
        """Stop all tasks of the process until `unpause`."""
        self.gate.shut()

    def unpause(self) -> None:
        """Resume the tasks."""
        if self.gate.is_shut:
            self.gate.open()

    def _end(self, status: int) -> None:
        self.exit_status = status
        for task in self._tasks:
            task.cancel()
        for socket in tuple(self.sockets):
            socket.close()
        for pipe in self._own_pipes:
            pipe.close()
        self._forget()
        if self.parent is not None:
            self.parent.children.remove(self)
        self._orphan_children()
        self.exited.set_result(status)
        if self.on_exit is not None:
            self.on_exit(self)
        if self.is_init:
            # The kernel kills what is left in the namespace (zap_pid_ns_processes).
            for other in tuple(self.pid_namespace.processes.values()):
                other.kill(SIGKILL)

    def _forget(self) -> None:
        if self.cgroup is not None and self in self.cgroup.processes:
            self.cgroup.processes.remove(self)
        self.machine.processes.pop(self.pid, None)
        if self.pid_namespace is not self.machine.pids:
            self.pid_namespace.processes.pop(self.local_pid, None)

    def _orphan_children(self) -> None:
        """Reparent the children to the first process of the PID namespace, if there is one (find_new_reaper)."""
        init = self.pid_namespace.init
        for child in self.children:
            child.parent = init
            if init is not None:
                init.children.append(child)


Program = Callable[[Process], Coroutine[Any, Any, int]]
