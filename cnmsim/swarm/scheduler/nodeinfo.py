"""The scheduler's record of a node: its tasks, available resources, used ports and recent failures."""

from __future__ import annotations

from collections.abc import Iterable

from cnmsim.kernel.clock import NS_PER_S
from cnmsim.swarm.objects import Node, PublishMode, Resources, Task, TaskState
from cnmsim.swarm.scheduler.generic_resources import Generic, GenericResources

MAX_FAILURES = 5
_MONITOR_FAILURES_NS = 300 * NS_PER_S
_NO_RESOURCES = Resources()


def reservations(task: Task) -> Resources:
    """Return the resources reserved for a task."""
    resources = task.spec.resources
    return resources.reservations or _NO_RESOURCES if resources is not None else _NO_RESOURCES


def host_ports(task: Task) -> tuple[tuple[str, int], ...]:
    """Return the host-mode ports of a task as (protocol, port)."""
    if task.endpoint is None or not task.endpoint.ports:
        return ()
    return tuple(
        (port.protocol, port.published_port)
        for port in task.endpoint.ports
        if port.publish_mode is PublishMode.HOST and port.published_port
    )


class NodeInfo:
    """The scheduler's record of a node.

    `active_count` is the number of tasks whose desired state is COMPLETE or earlier.
    """

    def __init__(self, node: Node, tasks: Iterable[Task] = ()) -> None:
        self.tasks: dict[str, Task] = {}
        self.active_count = 0
        self.active_by_service: dict[str, int] = {}
        self.ports: set[tuple[str, int]] = set()
        self._assigned_generic: dict[str, tuple[Generic, ...]] = {}
        self._failures: dict[tuple[str, int | None], list[int]] = {}
        self.set_node(node)
        for task in tasks:
            self.add(task)

    def set_node(self, node: Node) -> None:
        """Replace the node and recompute its available resources."""
        self.node = node
        resources = node.description.resources if node.description is not None else _NO_RESOURCES
        self.cpus, self.memory = resources.nano_cpus, resources.memory_bytes
        self.generic = GenericResources(resources.generic)
        for task in self.tasks.values():
            self._reserve(task)
            self.generic.remove(self._assigned_generic[task.id])

    def _reserve(self, task: Task) -> None:
        reserved = reservations(task)
        self.cpus -= reserved.nano_cpus
        self.memory -= reserved.memory_bytes

    def add(self, task: Task) -> None:
        """Add a task. If the task is known, only update whether it counts as active (see `active_count`)."""
        old = self.tasks.get(task.id)
        is_active = task.desired_state <= TaskState.COMPLETE
        if old is not None:
            if is_active != (old.desired_state <= TaskState.COMPLETE):
                self.tasks[task.id] = task
                self._count(task.service_id, 1 if is_active else -1)
            return
        self.tasks[task.id] = task
        self._reserve(task)
        self._assigned_generic[task.id] = self.generic.claim(reservations(task).generic)
        self.ports.update(host_ports(task))
        if is_active:
            self._count(task.service_id, 1)

    def remove(self, task: Task) -> bool:
        """Remove a task. Return True if it was removed, False if the task is not on this node."""
        old = self.tasks.pop(task.id, None)
        if old is None:
            return False
        if old.desired_state <= TaskState.COMPLETE:
            self._count(old.service_id, -1)
        self.ports.difference_update(host_ports(old))
        reserved = reservations(old)
        self.cpus += reserved.nano_cpus
        self.memory += reserved.memory_bytes
        self.generic.add(self._assigned_generic.pop(task.id, ()))
        return True

    def assigned_generic(self, task_id: str) -> tuple[Generic, ...]:
        """Return the generic resources that the task has claimed on this node; empty for a task that is not on it."""
        return self._assigned_generic.get(task_id, ())

    def _count(self, service_id: str, change: int) -> None:
        self.active_count += change
        self.active_by_service[service_id] = self.active_by_service.get(service_id, 0) + change

    def record_failure(self, task: Task, now_ns: int) -> None:
        """Record that a task failed on this node at the time `now_ns`."""
        key = (task.service_id, task.spec_version)
        recent = [failed_ns for failed_ns in self._failures.get(key, ()) if now_ns - failed_ns < _MONITOR_FAILURES_NS]
        self._failures[key] = [*recent, now_ns]

    def count_recent_failures(self, task: Task, now_ns: int) -> int:
        """Return the number of recent failures on this node of tasks with the service and spec version of `task`."""
        if not self._failures:
            return 0
        failures = self._failures.get((task.service_id, task.spec_version), ())
        return sum(now_ns - failed_ns <= _MONITOR_FAILURES_NS for failed_ns in failures)

    def rank(self, task: Task, now_ns: int) -> tuple[int, int, int]:
        """Return a sort key for the choice of a node for `task`. The node with the lowest key is the best.

        The key is (recent failures if there are many, else 0; active tasks of the same service; all active tasks).
        """
        failures = self.count_recent_failures(task, now_ns)
        return (
            failures if failures >= MAX_FAILURES else 0,
            self.active_by_service.get(task.service_id, 0),
            self.active_count,
        )
