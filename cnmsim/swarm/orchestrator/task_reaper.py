"""The task reaper: deletes old tasks beyond the history limit (moby/swarmkit `manager/orchestrator/taskreaper`)."""

from __future__ import annotations

from collections.abc import Sequence

from cnmsim.swarm.objects import Global, Replicated, Service, Task, TaskState
from cnmsim.swarm.orchestrator.tasks import task_timestamp
from cnmsim.swarm.store import Event, EventKind, Store
from cnmsim.swarm.store.loop import StoreLoop

_BATCH_S = 0.25
_MAX_PENDING = 1000


class TaskReaper(StoreLoop):
    """Deletes tasks that are not needed any more.

    These are the oldest tasks of a slot beyond the history limit, orphaned tasks without a service, and those tasks
    with the desired state REMOVE that have ended or were never assigned to a node.
    """

    def __init__(self, store: Store) -> None:
        super().__init__(store)
        self._dirty: dict[tuple[str, int, str], None] = {}
        self._to_delete: dict[str, None] = {}

    def start(self) -> None:
        """Delete the tasks that a former leader had not deleted yet, then follow changes of tasks."""
        for task in self._store.tasks:
            if (task.state is TaskState.ORPHANED and not task.service_id) or _is_removable(task):
                self._to_delete[task.id] = None
        self._tick()
        self._watch = self._store.watch(self._on_changes, Task)

    def _on_changes(self, events: Sequence[Event]) -> None:
        for event in events:
            task: Task = event.object
            if event.kind is EventKind.CREATE:
                self._dirty[task.service_id, task.slot, task.node_id] = None
            elif event.kind is EventKind.UPDATE and (
                (task.state is TaskState.ORPHANED and not task.service_id) or _is_removable(task)
            ):
                self._to_delete[task.id] = None
        if len(self._dirty) + len(self._to_delete) > _MAX_PENDING:
            self._tick()
        elif (self._dirty or self._to_delete) and (self._timer is None or not self._timer.is_pending):
            self._timer = self._store.call_later(_BATCH_S, self._tick)

    def _tick(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
        to_delete, self._to_delete = self._to_delete, {}
        for slot in list(self._dirty):
            if not self._reap_slot(slot, to_delete):
                del self._dirty[slot]
        existing = [task_id for task_id in to_delete if task_id in self._store.tasks]
        if existing:
            self._store.update(lambda tx: tx.delete_all(Task, existing))

    def _reap_slot(self, slot: tuple[str, int, str], to_delete: dict[str, None]) -> bool:
        """Add the ids of a slot's ended tasks that exceed the history limit to `to_delete`, oldest first.

        `slot` is (service id, slot number, node id). Return True if the slot has to be checked again later, because
        several of its tasks have not ended yet.
        """
        service = self._store.services.get(slot[0])
        if service is None:
            return False
        limit = self._limit(service)
        if limit < 0:
            return False
        historic = self._tasks_of(service, slot)
        if len(historic) <= limit:
            return False
        surplus = len(historic) - limit
        running = 0
        for task in sorted(historic, key=task_timestamp):
            will_never_run = task.state < TaskState.ASSIGNED and task.desired_state > TaskState.RUNNING
            if task.state > TaskState.RUNNING or will_never_run:
                to_delete[task.id] = None
                surplus -= 1
                if surplus <= 0:
                    break
            else:
                running += 1
        return running > 1

    def _limit(self, service: Service) -> int:
        restart = service.spec.task.restart
        if restart is not None and restart.max_attempts:
            # A new leader counts restarts from the tasks that are kept.
            return restart.max_attempts + 1
        return self._store.cluster.spec.task_history_retention_limit

    def _tasks_of(self, service: Service, slot: tuple[str, int, str]) -> list[Task]:
        service_id, number, node_id = slot
        if isinstance(service.spec.mode, Replicated):
            return self._store.tasks.by_slot(service_id, number)
        if isinstance(service.spec.mode, Global):
            return self._store.tasks.by_slot(service_id, node_id)
        return []


def _is_removable(task: Task) -> bool:
    return task.desired_state is TaskState.REMOVE and (
        task.state < TaskState.ASSIGNED or task.state >= TaskState.COMPLETE
    )
