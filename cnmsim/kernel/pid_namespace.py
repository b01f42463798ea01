"""PID namespaces: the process ids that a container's processes see (pid_namespaces(7))."""

from __future__ import annotations

from typing import TYPE_CHECKING

from attrs import define, field

if TYPE_CHECKING:
    from cnmsim.kernel.process import Process


@define(eq=False)
class PidNamespace:
    """A PID namespace: `processes` maps the ids in this namespace to the processes of a container. The first id is 1.

    The machine's initial namespace, whose `parent` is `None`, has an id for every process of the machine;
    `Machine.processes` is its mapping.
    """

    parent: PidNamespace | None = None
    processes: dict[int, Process] = field(factory=dict, repr=False)
    _next_id: int = 1

    @property
    def init(self) -> Process | None:
        """The first process of a container; `None` in the initial namespace, and after the first process has ended.

        This process becomes the parent of orphans and ignores the signals for which it has no handler. When it ends,
        the kernel kills the other processes of the namespace.
        """
        first = self.processes.get(1)
        return first if first is not None and first.is_init else None

    def add(self, process: Process) -> int:
        """Assign the next free id to a process and return the id."""
        number, self._next_id = self._next_id, self._next_id + 1
        self.processes[number] = process
        return number

    def skip(self, count: int) -> None:
        """Leave the next `count` ids unused. Do nothing in the initial namespace."""
        if self.parent is not None:
            self._next_id += count

    def id_of(self, process: Process | None) -> int:
        """Return the id of a process in this namespace.

        0 for `None` and for a process that is not in the namespace.
        """
        if process is None or not process.is_running:
            return 0
        if process.pid_namespace is self:
            return process.local_pid
        return process.pid if self.parent is None else 0
