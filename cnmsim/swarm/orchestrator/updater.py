"""Rolling updates: replace the tasks of a service that differ from its spec (moby/swarmkit `update/updater.go`)."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Coroutine, Sequence
from typing import Any

from attrs import evolve

from cnmsim.kernel.clock import NS_PER_S
from cnmsim.kernel.task import Cancelled, Future, Signal, sleep
from cnmsim.kernel.task import Task as Coro
from cnmsim.swarm.objects import (
    FailureAction,
    Service,
    Task,
    TaskState,
    UpdateConfig,
    UpdateOrder,
    UpdateState,
    UpdateStatus,
    defaults,
)
from cnmsim.swarm.orchestrator.restart import RestartSupervisor
from cnmsim.swarm.orchestrator.tasks import NewId, Slot, has_slot_per_node, is_dirty, new_task
from cnmsim.swarm.store import Event, Store

_PAUSED = frozenset({UpdateState.PAUSED, UpdateState.ROLLBACK_PAUSED})
_IN_PROGRESS = frozenset({UpdateState.UPDATING, UpdateState.ROLLBACK_STARTED})


class UpdateSupervisor:
    """The updates in progress of one orchestrator's services. Each service has at most one."""

    def __init__(self, store: Store, restarts: RestartSupervisor, new_id: NewId) -> None:
        self._store = store
        self._restarts = restarts
        self._new_id = new_id
        self._updates: dict[str, Updater] = {}

    def update(self, service: Service, slots: Sequence[Slot]) -> None:
        """Start an update that replaces those tasks in `slots` that differ from the service's spec.

        If an update to the same spec is in progress, it continues, and no new one is started. An update to another
        spec is cancelled first.
        """
        current = self._updates.get(service.id)
        if current is not None:
            if current.service.spec == service.spec:
                return
            current.cancel()
            del self._updates[service.id]
        updater = Updater(self._store, self._restarts, self._new_id, service, self._forget)
        if updater.start(slots):
            self._updates[service.id] = updater

    def _forget(self, updater: Updater) -> None:
        if self._updates.get(updater.service.id) is updater:
            del self._updates[updater.service.id]

    def on_event(self, event: Event) -> None:
        """Pass a change of a task to the update of the task's service, if there is one."""
        if isinstance(event.object, Task) and self._updates:
            updater = self._updates.get(event.object.service_id)
            if updater is not None:
                updater.on_task(event.object)

    def cancel(self, service_id: str) -> None:
        """Cancel the update of a service, if there is one."""
        updater = self._updates.pop(service_id, None)
        if updater is not None:
            updater.cancel()

    def cancel_all(self) -> None:
        """Cancel all updates."""
        for service_id in list(self._updates):
            self.cancel(service_id)


class Updater:
    """One update of one service: replaces the tasks of its slots, a few at a time."""

    def __init__(
        self,
        store: Store,
        restarts: RestartSupervisor,
        new_id: NewId,
        service: Service,
        on_end: Callable[[Updater], None],
    ) -> None:
        self.service = service
        self._store = store
        self._restarts = restarts
        self._new_id = new_id
        self._changed = Signal(store.clock)
        self._queue: deque[Slot] = deque()
        self._dirty_count = 0
        #: The tasks that this update created: id, and the time at which the task started to run (`None` before that).
        self._new_tasks: dict[str, int | None] = {}
        self._start_waiters: dict[str, Future[None]] = {}
        self._ended_tasks: deque[Task] = deque()
        self._failed: set[str] = set()
        #: True if the update ended early because of a failure.
        self._is_stopped = False
        self._running: list[Coro[Any]] = []
        self._on_end = on_end

    @property
    def _is_rollback(self) -> bool:
        status = self.service.update_status
        return status is not None and status.state is UpdateState.ROLLBACK_STARTED

    @property
    def _config(self) -> UpdateConfig:
        spec = self.service.spec
        return (spec.rollback if self._is_rollback else spec.update) or defaults.UPDATE

    def start(self, slots: Sequence[Slot]) -> bool:
        """Start the update of `slots`. Return True if it was started.

        Return False if no slot needs an update, or if a former update of the service is paused.
        """
        status = self.service.update_status
        if status is not None and status.state in _PAUSED:
            return False
        dirty = [slot for slot in slots if len(slot) > 1 or (slot and self._is_dirty(slot[0]))]
        if not dirty:
            if status is not None and status.state in _IN_PROGRESS:
                self._complete()
            return False
        if status is None:
            self._set_status(
                None, lambda _: UpdateStatus(UpdateState.UPDATING, self._store.now_ns, None, "update in progress")
            )
        self._queue.extend(dirty)
        self._dirty_count = len(dirty)
        self._spawn(self._run())
        return True

    def _spawn(self, coroutine: Coroutine[Any, Any, None]) -> Coro[None]:
        task = Coro(self._store.clock, coroutine)
        task.add_done_callback(self._store.guarded(_raise_unless_cancelled))
        self._running.append(task)
        return task

    def cancel(self) -> None:
        """Cancel the update: no further slot is updated. Tasks that the update has created are still started."""
        self._queue.clear()
        for task in self._running:
            task.cancel()

    def on_task(self, task: Task) -> None:
        """Process a change of one of the service's tasks."""
        if task.state > TaskState.RUNNING and self._config.failure_action is not FailureAction.CONTINUE:
            # Queue the task before the worker is woken, so that the worker finds a failure before it updates the next
            # slot.
            self._ended_tasks.append(task)
            self._changed.notify()
        if task.id in self._new_tasks and self._new_tasks[task.id] is None and task.state >= TaskState.RUNNING:
            self._new_tasks[task.id] = self._store.clock.now_ns
            waiter = self._start_waiters.pop(task.id, None)
            if waiter is not None:
                waiter.set_result(None)

    async def _run(self) -> None:
        config = self._config
        monitor_ns = defaults.MONITOR_NS if config.monitor_ns is None else config.monitor_ns
        is_proceeding = True
        parallelism = min(config.parallelism or self._dirty_count, self._dirty_count)
        workers = [self._spawn(self._run_worker(config)) for _ in range(parallelism)]
        while self._queue and is_proceeding:
            await self._changed.wait_until(lambda: not self._queue or bool(self._ended_tasks))
            is_proceeding = not self._check_failures(config, monitor_ns)
            if not is_proceeding:
                self._queue.clear()
        for worker in workers:
            await worker
        if not self._is_stopped:
            if config.delay_ns >= monitor_ns:
                monitor_ns = config.delay_ns + NS_PER_S
            await self._monitor(config, monitor_ns)
        if not self._is_stopped:
            self._complete()
        # End this update before watchers receive the new status. If they then find slots to update, they start a new
        # update.
        self._on_end(self)

    async def _monitor(self, config: UpdateConfig, monitor_ns: int) -> None:
        """Check for failed tasks for `monitor_ns` nanoseconds; return earlier if more failed than `config` allows."""
        until_ns = self._store.clock.now_ns + monitor_ns
        while not self._check_failures(config, monitor_ns):
            left_s = (until_ns - self._store.clock.now_ns) / NS_PER_S
            try:
                await self._changed.wait_until(lambda: bool(self._ended_tasks), left_s)
            except TimeoutError:
                return

    def _check_failures(self, config: UpdateConfig, monitor_ns: int) -> bool:
        """Count the new tasks that have failed. Return True if there are too many.

        A task counts as failed if it ended before it ran, or within `monitor_ns` after it started to run. If too many
        have failed, the update is paused or rolled back, depending on the failure action in `config`.
        """
        while self._ended_tasks:
            if self._counts_as_failure(self._ended_tasks[0], monitor_ns):
                task = self._ended_tasks.popleft()
                self._failed.add(task.id)
                if len(self._failed) / self._dirty_count > config.max_failure_ratio:
                    self._act_on_failure(config, task)
                    return True
            else:
                self._ended_tasks.popleft()
        return False

    def _counts_as_failure(self, task: Task, monitor_ns: int) -> bool:
        if task.id in self._failed or task.id not in self._new_tasks:
            return False
        started_ns = self._new_tasks[task.id]
        return started_ns is None or self._store.clock.now_ns - started_ns <= monitor_ns

    def _act_on_failure(self, config: UpdateConfig, task: Task) -> None:
        # A failing rollback whose failure action is "rollback" gets the status "paused" and, at its end, that of a
        # completed update.
        self._is_stopped = config.failure_action is FailureAction.PAUSE or not self._is_rollback
        because = f"due to failure or early termination of task {task.id}"
        if config.failure_action is FailureAction.PAUSE:
            self._pause(f"update paused {because}")
        elif self._is_rollback:
            self._pause(f"rollback paused {because}")
        else:
            self._roll_back(f"update rolled back {because}")

    # ---- replacing slots

    async def _run_worker(self, config: UpdateConfig) -> None:
        while self._queue:
            slot = self._queue.popleft()
            self._changed.notify()
            clean = [task for task in slot if not self._is_dirty(task)]
            existing = next((task for task in clean if task.desired_state is TaskState.RUNNING), None) or next(
                (task for task in reversed(clean) if task.desired_state < TaskState.RUNNING), None
            )
            if existing is not None:
                await self._use_existing(slot, existing)
            else:
                await self._replace(slot, config.order)
            if config.delay_ns:
                await sleep(self._store.clock, config.delay_ns / NS_PER_S)

    async def _replace(self, slot: Slot, order: UpdateOrder) -> None:
        store = self._store
        if self.service.id not in store.services:
            return
        node_id = slot[0].node_id if has_slot_per_node(self.service) else ""
        new = evolve(
            new_task(store, self._new_id, self.service, slot[0].slot, node_id), desired_state=TaskState.READY
        )
        self._new_tasks[new.id] = None
        self._start_waiters[new.id] = is_up = Future[None](store.clock)
        released: Future[None] = Future(store.clock)
        start_first = order is UpdateOrder.START_FIRST

        def start(tx: Store) -> None:
            tx.create(new)
            old = None if start_first else self._remove_old_tasks(slot)
            self._restarts.delay_start(
                old, new.id, 0, wait_stop=not start_first, on_done=lambda: released.set_result(None)
            )

        store.update(start)
        await released
        await is_up
        current = store.tasks.get(new.id)
        if start_first and current is not None and current.state is TaskState.RUNNING:
            store.update(lambda _: self._remove_old_tasks(slot))

    async def _use_existing(self, slot: Slot, existing: Task) -> None:
        others = [task for task in slot if task is not existing]
        if not others and existing.desired_state is TaskState.RUNNING:
            return
        released: Future[None] = Future(self._store.clock)
        is_held = existing.desired_state is not TaskState.RUNNING

        def start(_: Store) -> None:
            old = self._remove_old_tasks(others)
            if is_held:
                self._restarts.delay_start(
                    old, existing.id, 0, wait_stop=True, on_done=lambda: released.set_result(None)
                )

        self._store.update(start)
        if is_held:
            await released

    def _remove_old_tasks(self, tasks: Slot) -> Task | None:
        """Set the desired state of tasks to SHUTDOWN, unless a task's desired state is already later than RUNNING.

        Return the last task that was changed, or `None` if none was. Call within a transaction.
        """
        removed = None
        for old in tasks:
            task = self._store.tasks.get(old.id)
            if task is not None and task.desired_state <= TaskState.RUNNING:
                removed = self._store.replace(evolve(task, desired_state=TaskState.SHUTDOWN))
        return removed

    def _is_dirty(self, task: Task) -> bool:
        return is_dirty(self.service, task, self._store.nodes.get(task.node_id))

    # ---- update status

    def _set_status(self, before: object, change: Any) -> None:
        """Replace the service's update status by `change(status)`.

        If `before` is `None`, this is done only if the service has no update status yet; with any other value of
        `before` only if it has one. Does nothing if the service is deleted.
        """
        service = self._store.services.get(self.service.id)
        if service is None or (service.update_status is None) != (before is None):
            return
        status = change(service.update_status)
        self._store.update(lambda tx: tx.replace(evolve(service, update_status=status)))

    def _pause(self, message: str) -> None:
        def paused(status: UpdateStatus) -> UpdateStatus:
            is_rollback = status.state is UpdateState.ROLLBACK_STARTED
            state = UpdateState.ROLLBACK_PAUSED if is_rollback else UpdateState.PAUSED
            return evolve(status, state=state, message=message)

        self._set_status(True, paused)

    def _complete(self) -> None:
        def completed(status: UpdateStatus) -> UpdateStatus:
            is_rollback = status.state is UpdateState.ROLLBACK_STARTED
            return evolve(
                status,
                state=UpdateState.ROLLBACK_COMPLETED if is_rollback else UpdateState.COMPLETED,
                message="rollback completed" if is_rollback else "update completed",
                completed_ns=self._store.now_ns,
            )

        self._set_status(True, completed)

    def _roll_back(self, message: str) -> None:
        service = self._store.services.get(self.service.id)
        if service is None or service.update_status is None or service.previous_spec is None:
            return
        status = evolve(service.update_status, state=UpdateState.ROLLBACK_STARTED, message=message)
        rolled_back = evolve(
            service,
            update_status=status,
            spec=service.previous_spec,
            spec_version=service.previous_spec_version,
            previous_spec=None,
            previous_spec_version=None,
        )
        self._store.update(lambda tx: tx.replace(rolled_back))


def _raise_unless_cancelled(future: Future[Any]) -> None:
    if future.error is not None and not isinstance(future.error, Cancelled):
        raise future.error
