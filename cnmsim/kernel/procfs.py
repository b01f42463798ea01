"""/proc: the processes of a PID namespace, and facts about the machine (proc(5))."""

from __future__ import annotations

import zlib
from collections.abc import Callable, Mapping
from functools import partial
from typing import TYPE_CHECKING

from cnmsim.digits import is_number
from cnmsim.kernel.clock import NS_PER_S
from cnmsim.kernel.inode import Directory, GeneratedDirectory, GeneratedFile, Inode, Symlink
from cnmsim.kernel.mount_table import proc_mounts
from cnmsim.kernel.process_listing import rss_kib, state, vsz_kib

if TYPE_CHECKING:
    from cnmsim.kernel.files import FileSystem
    from cnmsim.kernel.machine import Machine
    from cnmsim.kernel.pid_namespace import PidNamespace
    from cnmsim.kernel.process import Process

#: The name and release of the kernel, as uname(2) reports them, and the size of a machine.
KERNEL_RELEASE = "6.12.48+deb13-amd64"
KERNEL_VERSION = "#1 SMP PREEMPT_DYNAMIC Debian 6.12.48-1 (2025-09-20)"
CPUS, MEMORY_KIB = 4, 8 << 20
#: The soft and hard limits of open files without `--ulimit`.
DEFAULT_OPEN_FILES = (1048576, 1048576)
_FIRST_NAMESPACE_INODE = 4026531834


class _Proc(GeneratedDirectory):
    """The root of /proc: facts about the machine, and a directory for each process."""

    def __init__(self, files: FileSystem, machine: Machine, namespace: Callable[[], PidNamespace | None]) -> None:
        super().__init__(self._facts)
        self._files, self._machine, self._namespace = files, machine, namespace

    def _processes(self) -> Mapping[int, Process]:
        namespace = self._namespace()
        return {} if namespace is None else namespace.processes

    def _facts(self) -> dict[str, Callable[[], Inode]]:
        machine = self._machine
        first = min(self._processes(), default=1)
        last = max(self._processes(), default=1)
        return {
            "cpuinfo": _text(lambda: "".join(_cpu(number) for number in range(CPUS))),
            "filesystems": _text(lambda: "nodev\tproc\nnodev\ttmpfs\nnodev\toverlay\n\text4\n"),
            "loadavg": _text(lambda: f"0.00 0.00 0.00 1/{len(machine.processes)} {last}\n"),
            "meminfo": _text(lambda: f"MemTotal:     {MEMORY_KIB:10d} kB\nMemFree:      {MEMORY_KIB:10d} kB\n"
                             f"MemAvailable: {MEMORY_KIB:10d} kB\nSwapTotal:    {0:10d} kB\n"),
            "mounts": _text(lambda: proc_mounts(self._files)),
            "net": Directory, "sys": Directory,
            "self": lambda: Symlink(str(first)),
            "stat": _text(lambda: f"btime {machine.clock.epoch_s}\nprocesses {len(machine.processes)}\n"),
            "uptime": _text(lambda: f"{machine.clock.now_ns / NS_PER_S:.2f} {machine.clock.now_ns / NS_PER_S:.2f}\n"),
            "version": _text(lambda:
                f"Linux version {KERNEL_RELEASE} (debian-kernel@lists.debian.org) (x86_64-linux-gnu-gcc-14 (Debian "
                f"14.2.0-19) 14.2.0, GNU ld (GNU Binutils for Debian) 2.44) {KERNEL_VERSION}\n"
            ),
        }  # fmt: skip

    def get(self, name: str) -> Inode | None:
        """Return the entry of that name, or `None` if there is none."""
        process = self._processes().get(int(name)) if is_number(name) and name == str(int(name)) else None
        return super().get(name) if process is None else GeneratedDirectory(partial(_process_entries, process))

    def names(self) -> list[str]:
        """Return the names of all entries, sorted."""
        return sorted([*self._facts(), *map(str, self._processes())])


def _text(read: Callable[[], str]) -> Callable[[], Inode]:
    return lambda: GeneratedFile(read)


def mount(files: FileSystem, machine: Machine, namespace: Callable[[], PidNamespace | None]) -> None:
    """Mount /proc in `files`, with the processes of the PID namespace that `namespace()` returns.

    If it returns `None`, /proc shows no processes. `machine` provides the facts about the machine, such as its
    uptime.
    """
    root = _Proc(files, machine, namespace)
    files.mount("/proc", root, device="proc", kind="proc", options="rw,nosuid,nodev,noexec,relatime")


def _cpu(number: int) -> str:
    return f"processor\t: {number}\nmodel name\t: cnmsim\ncpu MHz\t\t: 1000.000\n\n"


def _process_entries(process: Process) -> dict[str, Callable[[], Inode]]:
    return {
        "cgroup": _text(lambda: "0::/\n"),
        "cmdline": _text(lambda: "".join(f"{word}\0" for word in process.argv)),
        "comm": _text(lambda: f"{process.name[:15]}\n"),
        "cwd": lambda: Symlink(process.env.get("PWD", "/")),
        "environ": _text(lambda: "".join(f"{name}={value}\0" for name, value in process.env.items())),
        "fd": lambda: GeneratedDirectory(partial(_descriptors, process)),
        "limits": _text(lambda: _limits(process)),
        "mounts": _text(lambda: proc_mounts(process.files)),
        "ns": lambda: GeneratedDirectory(partial(_namespaces, process)),
        "root": lambda: Symlink("/"),
        "stat": _text(lambda: _stat(process)),
        "status": _text(lambda: _status(process)),
    }  # fmt: skip


def _descriptors(process: Process) -> dict[str, Callable[[], Inode]]:
    streams: dict[str, Inode] = {str(fd): Symlink(f"pipe:[{fd}]") for fd in range(3)}
    files: dict[str, Inode] = {str(fd): file for fd, file in process.machine.open_files.items()}
    return {name: partial(_same, inode) for name, inode in {**streams, **files}.items()}


def _same(inode: Inode) -> Inode:
    return inode


def _namespaces(process: Process) -> dict[str, Callable[[], Inode]]:
    machine = process.machine
    own_pid = 2 if process.pid_namespace is machine.pids else 1000 + id(process.pid_namespace) % 10**6
    own_net = 6 if process.namespace is machine.root else 1000 + zlib.crc32(process.namespace.name.encode()) % 10**6
    is_host = process.files.base is machine.files
    own = 0 if is_host else 1000 + id(process.files.base) % 10**6
    numbers = {
        "cgroup": 1 + own, "ipc": 5 + own, "mnt": 7 + own, "net": own_net, "pid": own_pid,
        "pid_for_children": own_pid, "time": 0, "time_for_children": 0, "user": 3, "uts": 4 + own,
    }  # fmt: skip
    return {name: _namespace_link(name, number) for name, number in numbers.items()}


def _namespace_link(name: str, number: int) -> Callable[[], Inode]:
    kind = name.removesuffix("_for_children")
    return lambda: Symlink(f"{kind}:[{_FIRST_NAMESPACE_INODE + number}]")


def _limits(process: Process) -> str:
    soft, hard = process.rlimits.get("NOFILE", DEFAULT_OPEN_FILES)
    rows = [
        ("Max cpu time", "unlimited", "unlimited", "seconds"),
        ("Max processes", "unlimited", "unlimited", "processes"),
        ("Max open files", str(soft), str(hard), "files"),
    ]  # fmt: skip
    head = f"{'Limit':<25} {'Soft Limit':<20} {'Hard Limit':<20} {'Units':<10}\n"
    return head + "".join(f"{name:<25} {first:<20} {second:<20} {unit:<10}\n" for name, first, second, unit in rows)


def _stat(process: Process) -> str:
    parent = process.pid_namespace.id_of(process.parent)
    ticks = process.started_ns * 100 // NS_PER_S
    return (
        f"{process.local_pid} ({process.name[:15]}) {state(process)} {parent} {process.local_pid} "
        f"{process.local_pid} 0 -1 4194560 0 0 0 0 0 0 0 0 20 0 1 0 {ticks} "
        f"{vsz_kib(process) * 1024} {rss_kib(process) // 4}\n"
    )


def _status(process: Process) -> str:
    user = process.credentials
    word = {"S": "S (sleeping)", "T": "T (stopped)"}[state(process)]
    caught = sum(1 << (number - 1) for number in process.handlers)
    ignored = sum(1 << (number - 1) for number in process.ignored_signals)
    rows = [
        ("Name", process.name[:15]), ("Umask", f"{process.umask:04o}"), ("State", word), ("Tgid", process.local_pid),
        ("Ngid", 0), ("Pid", process.local_pid), ("PPid", process.pid_namespace.id_of(process.parent)),
        ("TracerPid", 0), ("Uid", "\t".join([str(user.uid)] * 4)), ("Gid", "\t".join([str(user.gid)] * 4)),
        ("FDSize", 64), ("Groups", "".join(f"{gid} " for gid in user.groups)),
        ("VmSize", f"{vsz_kib(process):8d} kB"), ("VmRSS", f"{rss_kib(process):8d} kB"), ("Threads", 1),
        ("SigPnd", f"{0:016x}"), ("SigBlk", f"{0:016x}"), ("SigIgn", f"{ignored:016x}"),
        ("SigCgt", f"{caught:016x}"), ("CapInh", f"{0:016x}"), ("CapPrm", f"{user.capabilities:016x}"),
        ("CapEff", f"{user.capabilities:016x}"), ("CapBnd", f"{user.bounding:016x}"), ("CapAmb", f"{0:016x}"),
        ("NoNewPrivs", 0), ("Seccomp", 2 if process.pid_namespace is not process.machine.pids else 0),
    ]  # fmt: skip
    return "".join(f"{name}:\t{value}\n" for name, value in rows)
