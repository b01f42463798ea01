"""Control groups, version 2: limits of a container's processes, and the processor time and memory that they use.

Programs are simulated, so these figures are assumed, not measured. Starting a program costs `START_NS` of processor
time, a packet `PACKET_NS`, and a loop of a shell the virtual time that it takes. A process uses the memory that
`footprint.resident_kib` returns for its program, and what it allocates in addition (Linux
`Documentation/admin-guide/cgroup-v2.rst`).
"""

from __future__ import annotations

import errno
from collections import deque
from typing import TYPE_CHECKING

from attrs import define, field

from cnmsim.kernel.clock import NS_PER_S, Clock
from cnmsim.kernel.errno_text import message

if TYPE_CHECKING:
    from cnmsim.kernel.files import FileSystem
    from cnmsim.kernel.process import Process

#: The processor time of starting a program, and of sending or receiving a packet.
START_NS, PACKET_NS = 1_000_000, 5_000
#: The interval in which charges are added up, and the time for which the sums are stored.
_BUCKET_NS, _KEPT_NS = 10_000_000, 2 * NS_PER_S
_PERIOD_NS = 100_000_000
#: The largest part of a memory limit that programs use without allocating, so that a program always fits when it
#: starts.
_BASE_SHARE = 0.75
_SIGKILL = 9


class ForkRefusedError(BlockingIOError):
    """Error (EAGAIN): a process cannot be started, because its control group has the maximum number (`pids.max`)."""

    def __init__(self) -> None:
        super().__init__(errno.EAGAIN, message(errno.EAGAIN))


@define(eq=False)
class ControlGroup:
    """The processes of one container, with their limits and counters. A limit of 0 means unlimited.

    Memory is in bytes. `cpu_ns` is the processor time used, `throttled_ns` the time that processes waited because of
    `cpu_limit`, both in nanoseconds. `pids_refused` counts the processes that were not started because of
    `pids_limit`. `pids_peak` and `memory_peak` are the highest values so far.
    """

    clock: Clock
    pids_limit: int = 0
    memory_limit: int = 0
    #: The processors that the group may use at a time, such as 0.5.
    cpu_limit: float = 0.0
    #: The file system whose tmpfs mounts count as memory of the group.
    files: FileSystem | None = field(default=None, repr=False)
    processes: list[Process] = field(factory=list, init=False, repr=False)
    cpu_ns: int = field(default=0, init=False)
    throttled_ns: int = field(default=0, init=False)
    pids_refused: int = field(default=0, init=False)
    pids_peak: int = field(default=0, init=False)
    memory_peak: int = field(default=0, init=False)
    oom_kills: int = field(default=0, init=False)
    _buckets: deque[tuple[int, int]] = field(factory=deque, init=False, repr=False)

    def add(self, process: Process, *, is_fork: bool) -> None:
        """Add a process. `is_fork` is True if it was started by another process of the group.

        Raises `ForkRefusedError` if `is_fork` is True and the group already has `pids_limit` processes.
        """
        if is_fork and self.pids_limit and len(self.processes) >= self.pids_limit:
            self.pids_refused += 1
            raise ForkRefusedError
        self.processes.append(process)
        self.pids_peak = max(self.pids_peak, len(self.processes))
        self.charge(START_NS)
        self.memory_peak = max(self.memory_peak, self.memory)

    def charge(self, used_ns: int) -> None:
        """Add `used_ns` nanoseconds to the processor time that the group has used."""
        bucket = self.clock.now_ns // _BUCKET_NS
        if not self._buckets or self._buckets[-1][0] != bucket:
            self._buckets.append((bucket, self.cpu_ns))
            oldest = bucket - _KEPT_NS // _BUCKET_NS
            while len(self._buckets) > 1 and self._buckets[1][0] <= oldest:
                self._buckets.popleft()
        self.cpu_ns += used_ns

    def cpu_ns_at(self, when_ns: int) -> int:
        """Return the processor time that the group had used at the virtual time `when_ns`, both in nanoseconds.

        `when_ns` may be at most two seconds ago.
        """
        bucket = when_ns // _BUCKET_NS
        return next((used for start, used in self._buckets if start > bucket), self.cpu_ns)

    def wall_ns(self, work_ns: int) -> int:
        """Return the virtual time, in nanoseconds, that passes while a process uses `work_ns` of processor time.

        The result is greater than `work_ns` only if `cpu_limit` is less than 1. The difference is added to
        `throttled_ns`.
        """
        if not 0 < self.cpu_limit < 1:
            return work_ns
        taken_ns = round(work_ns / self.cpu_limit)
        self.throttled_ns += taken_ns - work_ns
        return taken_ns

    @property
    def throttled_periods(self) -> int:
        """The number of 100 ms periods in which the group was throttled."""
        return -(-self.throttled_ns // _PERIOD_NS)

    @property
    def periods(self) -> int:
        """The number of 100 ms periods in which processes of the group were running; 0 without a processor limit."""
        return -(-(self.cpu_ns + self.throttled_ns) // _PERIOD_NS) if self.cpu_limit else 0

    @property
    def anonymous(self) -> int:
        """The memory that the programs themselves use, in bytes, without files in tmpfs mounts."""
        base = sum(process.resident_kib for process in self.processes) << 10
        if self.memory_limit:
            base = min(base, int(self.memory_limit * _BASE_SHARE))
        return base + sum(process.allocated for process in self.processes)

    @property
    def shared(self) -> int:
        """The size of the files in the group's tmpfs mounts, in bytes."""
        return 0 if self.files is None else self.files.tmpfs_size()

    @property
    def memory(self) -> int:
        """The memory that the group uses, in bytes (`memory.current`)."""
        return self.anonymous + self.shared

    def check_memory(self, machine_bytes: int) -> None:
        """Kill the largest process of the group if the group uses more memory than its limit (OOM killer).

        If the group has no limit, the limit is `machine_bytes`, the memory of the machine.
        """
        used = self.memory
        limit = self.memory_limit or machine_bytes
        self.memory_peak = max(self.memory_peak, min(used, limit))
        if used <= limit or not self.processes:
            return
        victim = max(self.processes, key=lambda process: (process.allocated, process.resident_kib))
        self.oom_kills += 1
        machine = victim.machine
        total_kib = victim.resident_kib + (victim.allocated >> 10)
        line = (
            f"Memory cgroup out of memory: Killed process {victim.pid} ({victim.name}) total-vm:{total_kib}kB, "
            f"anon-rss:{total_kib}kB, file-rss:0kB, shmem-rss:0kB, UID:{victim.credentials.uid}"
        )
        machine.kernel_log.append((self.clock.now_ns, line))
        victim.kill(_SIGKILL)
