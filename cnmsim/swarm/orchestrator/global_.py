"""The orchestrator of global services (moby/swarmkit `manager/orchestrator/global`)."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from cnmsim.swarm.constraint import Constraint, node_matches
from cnmsim.swarm.objects import Availability, Global, Node, Service, Task, TaskState
from cnmsim.swarm.orchestrator.base import ServiceOrchestrator
from cnmsim.swarm.orchestrator.task_init import check_tasks
from cnmsim.swarm.orchestrator.tasks import NewId, Slot, is_dirty, is_invalid_node, new_task, set_desired_state
from cnmsim.swarm.store import Event, EventKind, Store


class GlobalOrchestrator(ServiceOrchestrator):
    """Maintains one task of each global service on every eligible node."""

    def __init__(self, store: Store, new_id: NewId) -> None:
        super().__init__(store, new_id)
        self._services: dict[str, tuple[Constraint, ...]] = {}
        #: Ids of the nodes that may have tasks, i.e. that are neither drained nor down.
        self._nodes: dict[str, None] = {}

    def start(self) -> None:
        """Reconcile all global services, then follow changes of the store."""
        for node in self._store.nodes:
            self._update_node(node)
        for service in self._store.services:
            if is_global_service(service):
                self._update_service(service)
        check_tasks(self._store, self._restarts, is_global_service, self._fix_task)
        self._watch = self._store.watch(self._on_changes, Task, Service, Node)
        self._tick()
        for service_id in list(self._services):
            self._reconcile_service(service_id)

    @staticmethod
    def _owns(service: Service) -> bool:
        return is_global_service(service)

    def _on_service_changed(self, service: Service) -> None:
        self._update_service(service)
        self._reconcile_service(service.id)

    def _forget_service(self, service_id: str) -> None:
        self._services.pop(service_id, None)

    def _on_task(self, event: Event) -> None:
        if event.kind is EventKind.DELETE:
            self._restarts.cancel(event.object.id)
        else:
            self._queue_if_ended(event.object)

    def _update_node(self, node: Node) -> None:
        if is_invalid_node(node):
            self._nodes.pop(node.id, None)
        else:
            self._nodes[node.id] = None

    def _update_service(self, service: Service) -> None:
        placement = service.spec.task.placement
        self._services[service.id] = Constraint.parse_all(placement.constraints if placement else ())

    def _on_node(self, event: Event) -> None:
        node: Node = event.object
        if event.kind is EventKind.DELETE:
            self._nodes.pop(node.id, None)
            doomed = [task for task in self._store.tasks.by_node(node.id) if task.service_id in self._services]
            if doomed:
                self._store.update(lambda tx: tx.delete_all(Task, [task.id for task in doomed]))
            return
        self._update_node(node)
        if self._services and _is_relevant_change(event.old, node):
            self._reconcile_node(node)

    def _fix_task(self, task: Task) -> None:
        if task.desired_state > TaskState.RUNNING:
            return
        if not task.node_id or task.node_id not in self._nodes:
            self._shut_down([task])
        elif task.state > TaskState.RUNNING:
            self._restart_queue[task.id] = None

    def _queue_if_ended(self, task: Task) -> None:
        if (
            task.state > TaskState.RUNNING
            and task.desired_state <= TaskState.RUNNING
            and task.service_id in self._services
        ):
            self._restart_queue[task.id] = None

    def _tick(self) -> None:
        if self._restart_queue:
            task_ids, self._restart_queue = self._restart_queue, {}
            self._store.update(lambda tx: self._restart_tasks(tx, task_ids))

    def _restart_tasks(self, tx: Store, task_ids: Iterable[str]) -> None:
        for task_id in task_ids:
            task = tx.tasks.get(task_id)
            if task is None or task.desired_state > TaskState.RUNNING:
                continue
            service, node = tx.services.get(task.service_id), tx.nodes.get(task.node_id)
            if service is None or node is None or node.id not in self._nodes or service.id not in self._services:
                continue
            is_paused = node.spec.availability is Availability.PAUSE
            if is_paused or not node_matches(self._services[service.id], node):
                set_desired_state(tx, [task], TaskState.SHUTDOWN)
            else:
                self._restarts.restart(service, task)

    def _shut_down(self, tasks: Sequence[Task]) -> None:
        if any(task.desired_state < TaskState.SHUTDOWN for task in tasks):
            self._store.update(lambda tx: set_desired_state(tx, tasks, TaskState.SHUTDOWN))

    def _updatable_by_node(self, service: Service) -> dict[str, Slot]:
        slots: dict[str, Slot] = {}
        for task in self._store.tasks.by_service(service.id):
            slots.setdefault(task.node_id, []).append(task)
        updatable_tasks = {node_id: self._restarts.updatable_tasks(slot, service) for node_id, slot in slots.items()}
        return {node_id: slot for node_id, slot in updatable_tasks.items() if slot}

    def _reconcile_service(self, service_id: str) -> None:
        service = self._store.services.get(service_id)
        if service is None:
            return
        slots = self._updatable_by_node(service)
        update: list[Slot] = []
        add: list[str] = []
        end: Slot = []
        for node_id in self._nodes:
            node = self._store.nodes.get(node_id)
            slot = slots.pop(node_id, [])
            if node is None or not node_matches(self._services[service_id], node):
                end.extend(slot)
            elif node.spec.availability is Availability.PAUSE:
                continue
            elif slot:
                update.append(slot)
            else:
                add.append(node_id)
        for slot in slots.values():
            end.extend(slot)
        self._change(service, add, end)
        if update:
            self._updates.update(service, update)

    def _change(self, service: Service, add: Sequence[str], end: Sequence[Task]) -> None:
        """Create a task of `service` on each node of `add` (node ids), and shut down the tasks `end`.

        Both are done in one transaction.
        """

        def change(tx: Store) -> None:
            for node_id in add:
                tx.create(new_task(tx, self._new_id, service, 0, node_id))
            set_desired_state(tx, end, TaskState.SHUTDOWN)

        if add or any(task.desired_state < TaskState.SHUTDOWN for task in end):
            self._store.update(change)

    def _reconcile_node(self, node: Node) -> None:
        """Reconcile the tasks of all global services on one node.

        Outdated tasks are replaced at once, not by a rolling update.
        """
        on_node: dict[str, Slot] = {}
        for task in self._store.tasks.by_node(node.id):
            if task.service_id in self._services:
                on_node.setdefault(task.service_id, []).append(task)
        if is_invalid_node(node):
            self._shut_down([task for slot in on_node.values() for task in slot])
            return
        if node.spec.availability is Availability.PAUSE:
            return
        for service_id, constraints in self._services.items():
            service = self._store.services.get(service_id)
            if service is None or not node_matches(constraints, node):
                continue
            updatable_tasks = self._restarts.updatable_tasks(on_node.get(service_id, []), service)
            dirty = [task for task in updatable_tasks if is_dirty(service, task, node)]
            clean = [task for task in updatable_tasks if task not in dirty]
            self._change(service, [] if clean else [node.id], [*dirty, *clean[1:]])


def is_global_service(service: Service) -> bool:
    """Whether a service is global and not a job."""
    return isinstance(service.spec.mode, Global)


def _is_relevant_change(old: Node | None, new: Node) -> bool:
    """Return True if a change of a node can affect global tasks. `old` is `None` for a new node."""
    return (
        old is None
        or old.spec != new.spec
        or old.status.state is not new.status.state
        or old.status.addr != new.status.addr
        or old.role is not new.role
        or old.description != new.description
    )
