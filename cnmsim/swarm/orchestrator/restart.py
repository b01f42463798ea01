"""The restart supervisor: replaces ended tasks as the restart policy allows (moby/swarmkit `restart/restart.go`).

A replacement is created at once, but with the desired state READY. It is started (desired state RUNNING) when the
restart delay is over and the old task has stopped. If the old task does not stop within a minute, the replacement is
started nevertheless.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Sequence
from typing import TypeAlias

from attrs import define, evolve, field

from cnmsim.kernel.clock import NS_PER_S, Timer
from cnmsim.swarm.objects import (
    Availability,
    Node,
    NodeState,
    RestartCondition,
    RestartPolicy,
    Service,
    Task,
    TaskState,
    UpdateState,
)
from cnmsim.swarm.objects.defaults import restart_delay_ns
from cnmsim.swarm.orchestrator.tasks import NewId, Slot, has_slot_per_node, is_job, latest_task, new_task
from cnmsim.swarm.store import Event, EventKind, Store

_OLD_TASK_TIMEOUT_S = 60.0
#: A slot of a service, as (slot number, ""), or for global services as (0, node id).
SlotKey: TypeAlias = tuple[int, str]


@define
class _RestartHistory:
    """The number and times of a slot's restarts since the service's spec last changed."""

    spec_version: int | None = None
    total: int = 0
    timestamps: deque[int] = field(factory=deque)


@define(eq=False)
class _DelayedStart:
    """A replacement task that waits to be started.

    It is started when the delay is over (`is_delay_over`) and, if `waits_for_old`, the task `old_task_id` has
    stopped. Then the functions in `on_done` are called.
    """

    task_id: str
    old_task_id: str = ""
    old_node_id: str = ""
    is_delay_over: bool = False
    waits_for_old: bool = False
    timers: list[Timer] = field(factory=list)
    #: Set if the replacement itself ended before it was started: it is then replaced once the delay is over.
    restart_after: bool = False
    on_done: list[Callable[[], None]] = field(factory=list)


class RestartSupervisor:
    """Restarts the tasks of one orchestrator's services."""

    def __init__(self, store: Store, new_id: NewId) -> None:
        self._store = store
        self._new_id = new_id
        self._delays: dict[str, _DelayedStart] = {}
        self._by_old_task: dict[str, list[_DelayedStart]] = {}
        self._by_old_node: dict[str, list[_DelayedStart]] = {}
        self._history: dict[str, dict[SlotKey, _RestartHistory]] = {}

    def on_event(self, event: Event) -> None:
        """Process a change of a task or node.

        If a task has ended, or its node is deleted or down, the task's replacement no longer waits for the task to
        stop.
        """
        if isinstance(event.object, Task):
            if self._by_old_task and event.object.state > TaskState.RUNNING:
                self._old_stopped(self._by_old_task.get(event.object.id, ()))
        elif isinstance(event.object, Node) and (
            event.kind is EventKind.DELETE or event.object.status.state is NodeState.DOWN
        ):
            self._old_stopped(self._by_old_node.get(event.object.id, ()))

    def _old_stopped(self, delays: Sequence[_DelayedStart]) -> None:
        for delay in list(delays):
            delay.waits_for_old = False
            self._start_if_due(delay)

    # ---- restarting

    def restart(self, service: Service, task: Task) -> None:
        """Shut a task down and, if the restart policy allows, create a replacement. Call within a transaction."""
        delay = self._delays.get(task.id)
        if delay is not None:
            # `task` ended before it was started. Wait until its delay is over, so that a task that always fails does
            # not restart continuously.
            delay.restart_after = True
            return
        store = self._store
        old = store.replace(evolve(task, desired_state=TaskState.SHUTDOWN))
        if not self.should_restart(old, service):
            return
        slot, node_id = (0, task.node_id) if has_slot_per_node(service) else (task.slot, "")
        replacement = evolve(new_task(store, self._new_id, service, slot, node_id), desired_state=TaskState.READY)
        if is_job(service):
            replacement = evolve(
                replacement, job_iteration=service.job_status.job_iteration if service.job_status else 0
            )
        node = store.nodes.get(task.node_id)
        is_drained = node is not None and node.spec.availability is Availability.DRAIN
        delay_ns = 0 if is_drained else restart_delay_ns(task.spec)
        is_down = node is not None and node.status.state is NodeState.DOWN
        replacement = store.create(replacement)
        self.record_restart(replacement)
        self.delay_start(old, replacement.id, delay_ns, wait_stop=not is_down and old.state <= TaskState.RUNNING)

    def should_restart(self, task: Task, service: Service) -> bool:
        """Return True if the restart policy of an ended task allows replacing the task now."""
        policy = task.spec.restart or RestartPolicy()
        if policy.condition is RestartCondition.NONE:
            return False
        if task.state is TaskState.COMPLETE and (policy.condition is RestartCondition.ON_FAILURE or is_job(service)):
            return False
        if not policy.max_attempts:
            return True
        history = self._history.get(task.service_id, {}).get(_slot_key(task, by_node=has_slot_per_node(service)))
        if history is None or (task.spec_version is not None and task.spec_version != history.spec_version):
            return True
        if not policy.window_ns:
            return history.total < policy.max_attempts
        if not history.timestamps:
            return True
        moment = task.status.applied_ns or task.status.timestamp_ns
        while history.timestamps and history.timestamps[0] <= moment - policy.window_ns:
            history.timestamps.popleft()
        return sum(timestamp < moment for timestamp in history.timestamps) < policy.max_attempts

    def record_restart(self, replacement: Task) -> None:
        """Count `replacement` as a restart of its slot, if the restart policy limits the number of attempts."""
        policy = replacement.spec.restart
        if policy is None or not policy.max_attempts:
            return
        by_slot = self._history.setdefault(replacement.service_id, {})
        key = _slot_key(replacement, by_node=not replacement.slot)
        history = by_slot.get(key)
        if history is None or replacement.spec_version not in {None, history.spec_version}:
            history = by_slot[key] = _RestartHistory(replacement.spec_version)
        history.total += 1
        if policy.window_ns:
            history.timestamps.append(replacement.meta.created_ns or self._store.now_ns)

    def forget_service(self, service_id: str) -> None:
        """Discard the restart history of a removed service."""
        self._history.pop(service_id, None)

    def updatable_tasks(self, slot: Slot, service: Service) -> Slot:
        """Return the tasks of a slot that an update has to examine, or `[]` if there are none.

        These are the tasks whose desired state is RUNNING or earlier. If the slot has no such task, the result is its
        latest task, but only if the restart policy forbids a replacement of this task and no rollback is in progress:
        after a rollback all tasks shall run (swarmkit `UpdatableTasksInSlot`).
        """
        active = [task for task in slot if task.desired_state <= TaskState.RUNNING]
        if active or not slot:
            return active
        if service.update_status is not None and service.update_status.state is UpdateState.ROLLBACK_STARTED:
            return []
        last = latest_task(slot)
        return [] if self.should_restart(last, service) else [last]

    # ---- delayed starts

    def delay_start(
        self,
        old: Task | None,
        task_id: str,
        delay_ns: int,
        *,
        wait_stop: bool,
        on_done: Callable[[], None] | None = None,
    ) -> None:
        """Start the task `task_id` when `delay_ns` has passed and, with `wait_stop`, the task `old` has stopped.

        `on_done` is called after the start, or when the start is cancelled by `cancel`.
        """
        delay = _DelayedStart(task_id)
        previous = self._delays.get(task_id)
        if previous is not None:
            delay.restart_after = previous.restart_after
            self.cancel(task_id)
        if on_done is not None:
            delay.on_done.append(on_done)
        self._delays[task_id] = delay
        if wait_stop and old is not None and old.state <= TaskState.RUNNING:
            delay.waits_for_old, delay.old_task_id, delay.old_node_id = True, old.id, old.node_id
            self._by_old_task.setdefault(old.id, []).append(delay)
            self._by_old_node.setdefault(old.node_id, []).append(delay)
            delay.timers.append(self._store.call_later(_OLD_TASK_TIMEOUT_S, self._old_stopped, [delay]))
        delay.timers.append(self._store.call_later(delay_ns / NS_PER_S, self._delay_is_over, delay))

    def _delay_is_over(self, delay: _DelayedStart) -> None:
        delay.is_delay_over = True
        self._start_if_due(delay)

    def _start_if_due(self, delay: _DelayedStart) -> None:
        if self._delays.get(delay.task_id) is not delay or not delay.is_delay_over or delay.waits_for_old:
            return
        self._remove(delay)
        task = self._store.tasks.get(delay.task_id)
        if task is not None and task.desired_state < TaskState.RUNNING:
            self._store.update(lambda _: self.start_now(delay.task_id))
        for call in delay.on_done:
            call()
        if delay.restart_after:
            self._restart_after(delay.task_id)

    def _restart_after(self, task_id: str) -> None:
        task = self._store.tasks.get(task_id)
        service = self._store.services.get(task.service_id) if task is not None else None
        if task is not None and service is not None and task.desired_state <= TaskState.COMPLETE:
            self._store.update(lambda _: self.restart(service, task))

    def start_now(self, task_id: str) -> None:
        """Start a delayed task by setting its desired state. Call within a transaction."""
        task = self._store.tasks.get(task_id)
        if task is not None and task.desired_state < TaskState.RUNNING:
            state = TaskState.RUNNING if task.job_iteration is None else TaskState.COMPLETE
            self._store.replace(evolve(task, desired_state=state))

    def start_all(self, task_ids: Sequence[str]) -> None:
        """Start several delayed tasks. Call within a transaction."""
        for task_id in task_ids:
            self.start_now(task_id)

    def _remove(self, delay: _DelayedStart) -> None:
        self._delays.pop(delay.task_id, None)
        for timer in delay.timers:
            timer.cancel()
        for index, key in ((self._by_old_task, delay.old_task_id), (self._by_old_node, delay.old_node_id)):
            delayed = index.get(key)
            if delayed is not None and delay in delayed:
                delayed.remove(delay)
                if not delayed:
                    del index[key]

    def cancel(self, task_id: str) -> None:
        """Cancel a task's delayed start. Does nothing if there is none."""
        delay = self._delays.get(task_id)
        if delay is not None:
            self._remove(delay)
            for call in delay.on_done:
                call()

    def cancel_all(self) -> None:
        """Cancel all delayed starts."""
        for delay in list(self._delays.values()):
            self._remove(delay)


def _slot_key(task: Task, *, by_node: bool) -> SlotKey:
    """Return the key under which the restarts of the slot of `task` are counted.

    `by_node` is True for services with one slot on each node. The slot number does not show this: it is 0 in global
    services, but also for the first slot of a job.
    """
    return (0, task.node_id) if by_node else (task.slot, "")
