"""A machine: one Linux kernel, its network namespaces, and the state of its userland."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Mapping
from random import Random

from attrs import define, field

from cnmsim.kernel import procsys, sysfs
from cnmsim.kernel.clock import NS_PER_S, Clock
from cnmsim.kernel.credentials import ROOT, Credentials
from cnmsim.kernel.files import FileSystem, Pipe
from cnmsim.kernel.link_events import LinkEventLog
from cnmsim.kernel.namespace import NetworkNamespace
from cnmsim.kernel.process import Process, Program
from cnmsim.kernel.sysctl import INITIAL_NAMESPACE_ONLY

# The kernel's own threads come first on a real machine.
_FIRST_PID = 1000
_KEPT_LINES = 4096
_INHERITED = ("net.ipv4.ip_forward", "net.ipv4.conf.all.", "net.ipv4.conf.default.")


@define(eq=False)
class Machine:
    """One Linux machine. `name` is its host name, and the name of its root network namespace in traces.

    `namespaces` holds the named ones, by the path of the file that holds them open, `link_events` what went wrong on links, `kernel_log`
    the last lines of the kernel's log with the virtual times in nanoseconds (dmesg prints them).
    """

    name: str
    clock: Clock
    root: NetworkNamespace = field(init=False)
    files: FileSystem = field(factory=FileSystem, init=False)
    processes: dict[int, Process] = field(factory=dict, init=False, repr=False)
    namespaces: dict[str, NetworkNamespace] = field(factory=dict, init=False, repr=False)
    link_events: LinkEventLog = field(factory=LinkEventLog, init=False, repr=False)
    kernel_log: deque[tuple[int, str]] = field(factory=lambda: deque(maxlen=_KEPT_LINES), init=False, repr=False)
    random: Random = field(init=False, repr=False)
    #: How often the files are removed that held a namespace open, in seconds; 0 at once.
    namespace_sweep_s: float = field(default=0.0, init=False)
    _sweeps_since_ns: int = field(default=-1, init=False)
    _unpinned: dict[str, int] = field(factory=dict, init=False, repr=False)
    _next_pid: int = field(default=_FIRST_PID, init=False)

    def __attrs_post_init__(self) -> None:
        self.random = self.clock.stream(self.name)
        self.root = NetworkNamespace(self.name, self.clock, self)
        self.root.sysctl.declare(INITIAL_NAMESPACE_ONLY)
        procsys.mount(self.files, self.root)
        sysfs.mount(self.files, self.root)
        self.files.hold(self._namespace_paths)

    def pin_namespace(self, path: str, namespace: NetworkNamespace) -> None:
        """Have a file hold a namespace open."""
        if self._sweeps_since_ns < 0:
            self._sweeps_since_ns = self.clock.now_ns
        self._unpinned.pop(path, None)
        self.namespaces[path] = namespace

    def unpin_namespace(self, path: str) -> None:
        """Have a file hold its namespace open no more; it stays, of no use, until the next sweep."""
        if self.namespaces.pop(path, None) is None or not self.namespace_sweep_s:
            return
        period = int(self.namespace_sweep_s * NS_PER_S)
        begun = max(0, self._sweeps_since_ns)
        self._unpinned[path] = begun + ((self.clock.now_ns - begun) // period + 1) * period

    def is_unpinned(self, path: str) -> bool:
        """Tell whether a file is there that held a namespace open, and does no more."""
        gone_ns = self._unpinned.get(path, 0)
        if gone_ns <= self.clock.now_ns:
            self._unpinned.pop(path, None)
            return False
        return True

    def _namespace_paths(self) -> set[str]:
        """Give the paths that hold namespaces open, or lately did; /var/run is another name of /run."""
        paths = set(self.namespaces).union(filter(self.is_unpinned, tuple(self._unpinned)))
        return paths | {path.removeprefix("/var") for path in paths if path.startswith("/var/run/")}

    def new_namespace(self, name: str) -> NetworkNamespace:
        """Make a network namespace that traces call `name`; it has a loopback device that is down.

        It begins with the IPv4 settings of the machine's first one (net.core.devconf_inherit_init_net = 0).
        """
        made = NetworkNamespace(name, self.clock, self)
        for key, value in self.root.sysctl.items():
            if key.startswith(_INHERITED):
                made.sysctl_set(key, value)
        return made

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
    ) -> Process:
        """Start a process at this instant; what is not given is the machine's own.

        Without `stdin` it reads the end of file at once; without `stdout` and `stderr` it gets pipes of its own,
        which close when it ends. `on_exit` is called with it once it has ended.
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
        )
        self.processes[pid] = process
        if parent is not None:
            parent.children.append(process)
        process.begin(program)
        return process
