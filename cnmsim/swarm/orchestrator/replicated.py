"""The orchestrator of replicated services (moby/swarmkit `manager/orchestrator/replicated`)."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from cnmsim.swarm.objects import Node, Replicated, Service, Task, TaskState
from cnmsim.swarm.orchestrator.base import ServiceOrchestrator
from cnmsim.swarm.orchestrator.task_init import check_tasks
from cnmsim.swarm.orchestrator.tasks import NewId, Slot, is_invalid_node, new_task, set_desired_state
from cnmsim.swarm.store import Event, EventKind, Store


class ReplicatedOrchestrator(ServiceOrchestrator):
    """Maintains the number of tasks that each replicated service's spec requests."""

    def __init__(self, store: Store, new_id: NewId) -> None:
        super().__init__(store, new_id)
        #: Ids of services to be reconciled.
        self._reconcile_queue: dict[str, None] = {}

    def start(self) -> None:
        """Reconcile all replicated services, then follow changes of the store."""
        check_tasks(self._store, self._restarts, is_replicated_service, self._queue_if_ended)
        self._reconcile_queue.update(
            (service.id, None) for service in self._store.services if is_replicated_service(service)
        )
        self._watch = self._store.watch(self._on_changes, Task, Service, Node)
        self._tick()

    @staticmethod
    def _owns(service: Service) -> bool:
        return is_replicated_service(service)

    def _on_service_changed(self, service: Service) -> None:
        self._reconcile_queue[service.id] = None

    def _forget_service(self, service_id: str) -> None:
        self._reconcile_queue.pop(service_id, None)

    def _on_node(self, event: Event) -> None:
        if event.kind is EventKind.DELETE or is_invalid_node(event.object):
            self._on_lost_node(event.object.id)

    def _on_task(self, event: Event) -> None:
        task: Task = event.object
        if event.kind is not EventKind.DELETE:
            self._queue_if_ended(task)
            return
        if task.desired_state <= TaskState.RUNNING:
            service = self._store.services.get(task.service_id)
            if service is not None and is_replicated_service(service):
                self._reconcile_queue[service.id] = None
        self._restarts.cancel(task.id)

    def _queue_if_ended(self, task: Task) -> None:
        """Queue a task for a restart if it has ended, or if its node is deleted, down or drained."""
        if task.desired_state > TaskState.RUNNING:
            return
        if task.state <= TaskState.RUNNING and (
            not task.node_id or not is_invalid_node(self._store.nodes.get(task.node_id))
        ):
            return
        service = self._store.services.get(task.service_id)
        if service is not None and is_replicated_service(service):
            self._restart_queue[task.id] = None

    def _on_lost_node(self, node_id: str) -> None:
        for task in self._store.tasks.by_node(node_id):
            if task.desired_state <= TaskState.RUNNING:
                service = self._store.services.get(task.service_id)
                if service is not None and is_replicated_service(service):
                    self._restart_queue[task.id] = None

    def _tick(self) -> None:
        if self._restart_queue:
            task_ids, self._restart_queue = self._restart_queue, {}
            self._store.update(lambda _: self._restart_tasks(task_ids))
        if self._reconcile_queue:
            service_ids, self._reconcile_queue = self._reconcile_queue, {}
            for service_id in service_ids:
                service = self._store.services.get(service_id)
                if service is not None:
                    self._reconcile_service(service)

    def _restart_tasks(self, task_ids: Iterable[str]) -> None:
        for task_id in task_ids:
            task = self._store.tasks.get(task_id)
            if task is None or task.desired_state > TaskState.RUNNING:
                continue
            service = self._store.services.get(task.service_id)
            if service is not None and is_replicated_service(service):
                self._restarts.restart(service, task)

    def _reconcile_service(self, service: Service) -> None:
        slots: dict[int, Slot] = {}
        for task in self._store.tasks.by_service(service.id):
            slots.setdefault(task.slot, []).append(task)
        running: dict[int, Slot] = {}
        dead: dict[int, Slot] = {}
        for number, slot in slots.items():
            updatable_tasks = self._restarts.updatable_tasks(slot, service)
            if updatable_tasks:
                running[number] = updatable_tasks
            else:
                dead[number] = slot
        assert isinstance(service.spec.mode, Replicated)
        replicas = service.spec.mode.replicas
        if replicas > len(running):
            self._updates.update(service, list(running.values()))
            self._store.update(lambda tx: self._scale_up(tx, service, running, dead, replicas))
        elif replicas < len(running):
            in_order = _by_keep_priority(running.values())
            self._updates.update(service, in_order[:replicas])
            surplus = [task for slot in in_order[replicas:] for task in slot]
            self._store.update(lambda tx: self._scale_down(tx, dead, surplus))
        else:
            if dead:
                self._store.update(lambda tx: _delete(tx, dead))
            self._updates.update(service, list(running.values()))

    def _scale_up(
        self, tx: Store, service: Service, running: dict[int, Slot], dead: dict[int, Slot], replicas: int
    ) -> None:
        number = 0
        for _ in range(replicas - len(running)):
            number += 1
            while number in running:
                number += 1
            dead.pop(number, None)
            tx.create(new_task(tx, self._new_id, service, number))
        _delete(tx, dead)

    @staticmethod
    def _scale_down(tx: Store, dead: dict[int, Slot], surplus: Sequence[Task]) -> None:
        _delete(tx, dead)
        set_desired_state(tx, surplus, TaskState.REMOVE)


def is_replicated_service(service: Service) -> bool:
    """Whether a service is replicated and not a job."""
    return isinstance(service.spec.mode, Replicated)


def _delete(tx: Store, slots: dict[int, Slot]) -> None:
    for slot in slots.values():
        for task in slot:
            if task.id in tx.tasks:
                tx.delete(Task, task.id)


def _by_keep_priority(slots: Iterable[Slot]) -> list[Slot]:
    """Sort slots by priority: a service that is scaled down keeps the first ones and removes the last ones.

    The slots on each node are numbered, those with a running task first, then by slot number. All slots are sorted by
    these numbers, so that the nodes with the most slots lose tasks first. Slots with several tasks or without a node
    come last.
    """
    by_running = sorted(
        slots, key=lambda slot: (all(task.state is not TaskState.RUNNING for task in slot), slot[0].slot)
    )
    copies: dict[str, int] = {}
    numbered: list[tuple[float, Slot]] = []
    for slot in by_running:
        node_id = slot[0].node_id if len(slot) == 1 else ""
        if node_id:
            copies[node_id] = copies.get(node_id, 0) + 1
        numbered.append((copies[node_id] if node_id else float("inf"), slot))
    numbered.sort(key=lambda pair: pair[0])
    return [slot for _, slot in numbered]
