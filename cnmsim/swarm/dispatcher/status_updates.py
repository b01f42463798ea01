"""Agents' status reports, written to the store every tenth of a second (moby/swarmkit `dispatcher.go`)."""

from __future__ import annotations

from collections.abc import Callable, Iterable

from attrs import define, evolve, field, frozen

from cnmsim.kernel.clock import NS_PER_S, Timer
from cnmsim.swarm.objects import Node, NodeDescription, NodeState, Task, TaskStatus
from cnmsim.swarm.store import Store

_BATCH_NS = NS_PER_S // 10


@frozen
class NodeUpdate:
    """A node's new status, and its description if it was sent."""

    state: NodeState
    message: str = ""
    addr: str = ""
    description: NodeDescription | None = None


@define(eq=False)
class StatusUpdates:
    """The status reports that are not yet written to the store.

    `manager_id` is recorded in each task status as `applied_by`. `on_node_written` is called with the id of each node
    whose queued status has been written.
    """

    store: Store
    manager_id: str
    on_node_written: Callable[[str], None]
    _started_ns: int = field(default=0, init=False)
    _timer: Timer | None = field(default=None, init=False)
    _tasks: dict[str, TaskStatus] = field(factory=dict, init=False)
    _nodes: dict[str, NodeUpdate] = field(factory=dict, init=False)

    def start(self) -> None:
        """Start to write queued reports to the store every tenth of a second."""
        self._started_ns = self.store.clock.now_ns

    def stop(self) -> None:
        """Discard the reports that have not been written to the store."""
        if self._timer is not None:
            self._timer.cancel()
        self._timer = None
        self._tasks.clear()
        self._nodes.clear()

    def add_tasks(self, updates: Iterable[tuple[str, TaskStatus]]) -> None:
        """Queue task reports, each a pair of task id and status."""
        self._tasks.update(updates)
        self._arm()

    def add_node(self, node_id: str, update: NodeUpdate) -> None:
        """Queue a node's new status."""
        self._nodes[node_id] = update
        self._arm()

    def add_node_down(self, node_id: str, message: str) -> None:
        """Queue the state DOWN for a node, with `message`.

        A description of the node that is already queued remains queued.
        """
        before = self._nodes.get(node_id)
        self.add_node(node_id, NodeUpdate(NodeState.DOWN, message, "", before.description if before else None))

    def has_node(self, node_id: str) -> bool:
        """Return True if a report of the node is queued but not written yet."""
        return node_id in self._nodes

    def _arm(self) -> None:
        if self._timer is None or not self._timer.is_pending:
            since = (self.store.clock.now_ns - self._started_ns) % _BATCH_NS
            self._timer = self.store.call_later((_BATCH_NS - since) / NS_PER_S, self._write)

    def _write(self) -> None:
        tasks, self._tasks = self._tasks, {}
        nodes, self._nodes = self._nodes, {}
        changed_tasks = [task for entry in tasks.items() if (task := self._reported(*entry)) is not None]
        changed_nodes = [node for entry in nodes.items() if (node := self._updated(*entry)) is not None]
        if changed_tasks or changed_nodes:
            self.store.update(lambda tx: _replace_all(tx, changed_tasks, changed_nodes))
        for node_id in nodes:
            self.on_node_written(node_id)

    def _reported(self, task_id: str, status: TaskStatus) -> Task | None:
        task = self.store.tasks.get(task_id)
        if task is None or task.state > status.state:
            return None
        applied = evolve(status, applied_by=self.manager_id, applied_ns=self.store.now_ns)
        return evolve(task, status=applied)

    def _updated(self, node_id: str, update: NodeUpdate) -> Node | None:
        node = self.store.nodes.get(node_id)
        if node is None:
            return None
        status = evolve(node.status, state=update.state, message=update.message, addr=update.addr or node.status.addr)
        description = update.description or node.description
        if status == node.status and description == node.description:
            return None
        return evolve(node, status=status, description=description)


def _replace_all(tx: Store, tasks: Iterable[Task], nodes: Iterable[Node]) -> None:
    for task in tasks:
        tx.replace(task)
    for node in nodes:
        tx.replace(node)
