"""A machine: one Linux kernel, its network namespaces, and the state of its userland.

The userland state is the file system, the processes, the systemd units and the logs.
"""

from __future__ import annotations

import posixpath
from collections import deque
from collections.abc import Callable, Mapping
from random import Random

from attrs import define, field

from cnmsim.kernel import devices, procfs, procsys, sysfs
from cnmsim.kernel.cgroup import ControlGroup
from cnmsim.kernel.clock import NS_PER_S, Clock
from cnmsim.kernel.credentials import ROOT, Credentials
from cnmsim.kernel.files import FileSystem, Pipe
from cnmsim.kernel.inode import File, GeneratedFile
from cnmsim.kernel.journal import Journal
from cnmsim.kernel.link_events import LinkEventLog
from cnmsim.kernel.namei import Handles
from cnmsim.kernel.namespace import NetworkNamespace
from cnmsim.kernel.pid_namespace import PidNamespace
from cnmsim.kernel.process import Process, Program
from cnmsim.kernel.sysctl import INITIAL_NAMESPACE_ONLY
from cnmsim.kernel.unit import Unit

# On a real machine kernel threads have the lower process ids.
_FIRST_PID = 1000
_KERNEL_LOG_LINES = 4096
_INHERITED = ("net.ipv4.ip_forward", "net.ipv4.conf.all.", "net.ipv4.conf.default.")


@define(eq=False)
class Machine:
    """One Linux machine. `name` is its host name, and the name of its initial network namespace in traces.

    `namespaces` maps the path of a file, e.g. below /run/docker/netns, to the namespace that the file keeps alive.
    `link_events` logs faults detected on links. `kernel_log` holds the last lines of the kernel log (dmesg) with
    their virtual times in nanoseconds. `journal` holds the messages of services.
    """

    name: str
    clock: Clock
    root: NetworkNamespace = field(init=False)
    #: The main memory in bytes.
    memory_bytes: int = field(default=procfs.MEMORY_KIB << 10, init=False)
    files: FileSystem = field(factory=FileSystem, init=False)
    processes: dict[int, Process] = field(factory=dict, init=False, repr=False)
    #: The initial PID namespace.
    pids: PidNamespace = field(init=False, repr=False)
    namespaces: dict[str, NetworkNamespace] = field(factory=dict, init=False, repr=False)
    journal: Journal = field(init=False, repr=False)
    #: The services of the host, by name.
    units: dict[str, Unit] = field(factory=dict, init=False, repr=False)
    #: Files without a path, by the file descriptor number under which /proc/PID/fd shows them.
    open_files: dict[int, File] = field(factory=dict, init=False, repr=False)
    link_events: LinkEventLog = field(factory=LinkEventLog, init=False, repr=False)
    kernel_log: deque[tuple[int, str]] = field(
        factory=lambda: deque(maxlen=_KERNEL_LOG_LINES), init=False, repr=False
    )
    random: Random = field(init=False, repr=False)
    #: The interval in seconds at which the files of unpinned namespaces are deleted; 0 deletes them immediately.
    namespace_sweep_s: float = field(default=0.0, init=False)
    _sweeps_since_ns: int = field(default=-1, init=False)
    _unpinned: dict[str, int] = field(factory=dict, init=False, repr=False)
    #: The directories in which namespaces were ever pinned, with all their parents.
    _namespace_directories: set[str] = field(factory=set, init=False, repr=False)
    _next_pid: int = field(default=_FIRST_PID, init=False)

    def __attrs_post_init__(self) -> None:
        self.random = self.clock.stream(self.name)
        self.pids = PidNamespace(processes=self.processes)
        self.root = NetworkNamespace(self.name, self.clock, self)
        self.files.clock = self.clock
        for path in ("/var/lib", "/var/log"):
            self.files.makedirs(path)
        self.root.sysctl.declare(INITIAL_NAMESPACE_ONLY)
        devices.mount(self.files, self.clock)
        devices.add_host_devices(self.files)
        procfs.mount(self.files, self, lambda: self.pids)
        procsys.mount(self.files, self.root)
        sysfs.mount(self.files, self.root)
        self.journal = Journal(self.name)
        self.files.add("/var/log/syslog", GeneratedFile(self.journal.syslog))
        self.files.show_handles(Handles(self._namespace_paths, self._namespace_directories))

    def add_namespace(self, path: str, namespace: NetworkNamespace) -> None:
        """Keep a namespace alive by bind-mounting it at `path`, as `ip netns add` does."""
        self.namespaces[path] = namespace
        for name in _names_of(path):
            directory = posixpath.dirname(name)
            while directory not in self._namespace_directories:
                self._namespace_directories.add(directory)
                directory = posixpath.dirname(directory)

    def pin_namespace(self, path: str, namespace: NetworkNamespace) -> None:
        """Keep a sandbox's namespace alive by bind-mounting it at `path`.

        The first call also starts the periodic cleanups, which remove the files of unpinned namespaces.
        """
        if self._sweeps_since_ns < 0:
            self._sweeps_since_ns = self.clock.now_ns
        self._unpinned.pop(path, None)
        self.add_namespace(path, namespace)

    def unpin_namespace(self, path: str) -> None:
        """Remove the bind mount at `path`. The file remains, without a namespace, until the next cleanup."""
        if self.namespaces.pop(path, None) is None or not self.namespace_sweep_s:
            return
        period_ns = round(self.namespace_sweep_s * NS_PER_S)
        first_ns = max(0, self._sweeps_since_ns)
        self._unpinned[path] = first_ns + ((self.clock.now_ns - first_ns) // period_ns + 1) * period_ns

    def is_unpinned(self, path: str) -> bool:
        """Return True if the file at `path` still exists without a namespace.

        This is so from the time at which the namespace was unpinned to the next cleanup.
        """
        gone_ns = self._unpinned.get(path, 0)
        if gone_ns <= self.clock.now_ns:
            self._unpinned.pop(path, None)
            return False
        return True

    def _namespace_paths(self) -> set[str]:
        """Return the paths of all namespace files, including unpinned ones that no cleanup has removed yet."""
        paths = set(self.namespaces).union(filter(self.is_unpinned, tuple(self._unpinned)))
        return {name for path in paths for name in _names_of(path)}

    def new_namespace(self, name: str) -> NetworkNamespace:
        """Create a network namespace named `name` in traces, with a loopback device that is down.

        It inherits the IPv4 settings of the machine's initial namespace (net.core.devconf_inherit_init_net = 0).
        """
        namespace = NetworkNamespace(name, self.clock, self)
        for key, value in self.root.sysctl.items():
            if key.startswith(_INHERITED):
                namespace.sysctl_set(key, value)
        return namespace

    def spawn(
        self,
        program: Program,
        argv: list[str],
        *,
        namespace: NetworkNamespace | None = None,
        files: FileSystem | None = None,
        hostname: str | None = None,
        env: dict[str, str] | None = None,
        credentials: Credentials = ROOT,
        stdin: Pipe | None = None,
        stdout: Pipe | None = None,
        stderr: Pipe | None = None,
        programs: Mapping[str, Program] | None = None,
        parent: Process | None = None,
        on_exit: Callable[[Process], None] | None = None,
        is_init: bool = False,
        pid_namespace: PidNamespace | None = None,
        ignored_signals: frozenset[int] = frozenset(),
        cgroup: ControlGroup | None = None,
    ) -> Process:
        """Start a process at the current instant of virtual time, and return it.

        By default it has the initial namespace, the files and the host name of the machine, an empty environment, and
        root's credentials. If `stdin` is omitted, the process reads the end of file at once. If `stdout` or `stderr`
        is omitted, it gets a new pipe, which is closed when the process ends.

        `on_exit` is called with the process after it ended. `is_init` makes it the first process of a new PID
        namespace; `pid_namespace` is an existing one to start it in. `programs` are the commands that it can start,
        by name. Raises `ForkRefusedError` if `parent` starts more processes than the control group may have.
        """
        pid = self._next_pid
        self._next_pid += 1
        process = Process(
            self,
            pid,
            argv,
            namespace=self.root if namespace is None else namespace,
            files=self.files if files is None else files,
            hostname=self.name if hostname is None else hostname,
            env={} if env is None else env,
            credentials=credentials,
            programs={} if programs is None else programs,
            stdin=stdin,
            stdout=stdout,
            stderr=stderr,
            parent=parent,
            on_exit=on_exit,
            is_init=is_init,
            pid_namespace=PidNamespace(self.pids) if is_init and pid_namespace is None else pid_namespace,
            ignored_signals=ignored_signals,
            cgroup=cgroup,
        )
        self.processes[pid] = process
        if parent is not None:
            parent.children.append(process)
        process.begin(program)
        return process


def _names_of(path: str) -> tuple[str, ...]:
    """Return all paths of the file `path`: for one below /var/run, also the path below /run, the same directory."""
    return (path, path.removeprefix("/var")) if path.startswith("/var/run/") else (path,)
