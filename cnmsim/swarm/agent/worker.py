"""The worker of an agent: a task manager for each assigned task, and the secrets and configs granted to the tasks.

Source: moby/swarmkit `agent/worker.go` (vendored by moby docker-v29.7.2).
"""

from __future__ import annotations

from collections.abc import Callable, Iterable

from attrs import define, evolve, field

from cnmsim.kernel.clock import Clock
from cnmsim.kernel.task import Task as Coroutine
from cnmsim.swarm.agent.exec import Dependencies, Executor, TaskManager, resolve_controller
from cnmsim.swarm.dispatcher.messages import AssignmentsMessage
from cnmsim.swarm.objects import Config, Secret, Task, TaskStatus


@define(eq=False)
class Worker:
    """The tasks of one node. `report` is called with the id and new status of a task whenever it changes."""

    clock: Clock
    executor: Executor = field(repr=False)
    report: Callable[[str, TaskStatus], None] = field(repr=False)
    _tasks: dict[str, Task] = field(factory=dict, init=False, repr=False)
    _task_managers: dict[str, TaskManager] = field(factory=dict, init=False, repr=False)
    _secrets: dict[str, Secret] = field(factory=dict, init=False, repr=False)
    _configs: dict[str, Config] = field(factory=dict, init=False, repr=False)

    def apply(self, message: AssignmentsMessage) -> None:
        """Apply an assignments message, which contains either all assignments of the node or only changes."""
        assigned_ids: set[str] = set()
        removed: list[Task] = []
        updated: list[Task] = []
        for action, item in message.changes:
            if isinstance(item, Task):
                if action == "update":
                    assigned_ids.add(item.id)
                    updated.append(item)
                else:
                    removed.append(item)
            elif isinstance(item, Secret):
                _put(self._secrets, item, is_kept=action == "update")
            else:
                _put(self._configs, item, is_kept=action == "update")
        if message.kind == "complete":
            removed = [task for identity, task in self._tasks.items() if identity not in assigned_ids]
        for task in removed:
            self._remove(task.id)
        for task in updated:
            self._update(task)

    def statuses(self) -> list[tuple[str, TaskStatus]]:
        """Return (task id, status) for every task.

        A new session reports all of them, as earlier reports may be lost.
        """
        known = [(identity, manager.task.status) for identity, manager in self._task_managers.items()]
        return known + [(task.id, task.status) for task in self._tasks.values() if task.id not in self._task_managers]

    def tasks(self) -> list[Task]:
        """Return the tasks as the manager sent them, i.e. without this node's later status changes."""
        return list(self._tasks.values())

    def tasks_with_status(self) -> list[Task]:
        """Return the tasks, each with its latest status on this node.

        The agent's database stores them in this form.
        """
        return [
            self._task_managers[identity].task if identity in self._task_managers else task
            for identity, task in self._tasks.items()
        ]

    def restore(self, tasks: Iterable[Task], secrets: Iterable[Secret], configs: Iterable[Config]) -> None:
        """Load saved tasks (see `tasks_with_status`) and the secrets and configs granted to them.

        The tasks continue only when `restart` is called.
        """
        self._secrets = {secret.id: secret for secret in secrets}
        self._configs = {config.id: config for config in configs}
        for saved in tasks:
            controller, status = resolve_controller(self.clock, self.executor, saved, self._dependencies(saved))
            task = self._tasks[saved.id] = evolve(saved, status=status)
            if controller is not None:
                self._task_managers[task.id] = TaskManager(self.clock, task, controller, self.report)

    def _update(self, task: Task) -> None:
        manager = self._task_managers.get(task.id)
        if manager is not None:
            self._tasks[task.id] = task
            manager.update(task)
            return
        if task.id in self._tasks:
            return  # no controller could be created: the status is final
        self._tasks[task.id] = task
        controller, status = resolve_controller(self.clock, self.executor, task, self._dependencies(task))
        if status != task.status:
            task = self._tasks[task.id] = evolve(task, status=status)
            self.report(task.id, status)
        if controller is not None:
            manager = self._task_managers[task.id] = TaskManager(self.clock, task, controller, self.report)
            manager.start()

    def _dependencies(self, task: Task) -> Dependencies:
        container = task.spec.container
        if container is None:
            return Dependencies()
        secrets = [reference.secret_id for reference in container.secrets]
        configs = [config.config_id for config in container.configs]
        return Dependencies(
            {secret_id: self._secrets[secret_id] for secret_id in secrets if secret_id in self._secrets},
            {config_id: self._configs[config_id] for config_id in configs if config_id in self._configs},
        )

    def _remove(self, identity: str) -> None:
        self._tasks.pop(identity, None)
        manager = self._task_managers.pop(identity, None)
        if manager is not None:
            Coroutine(self.clock, _close_and_remove(manager))

    def restart(self) -> None:
        """Continue every task from its current state, as if no operation were in progress."""
        for manager in self._task_managers.values():
            manager.restart()

    def halt(self) -> None:
        """Cancel the operation in progress of every task, and leave the containers as they are."""
        for manager in self._task_managers.values():
            manager.halt()

    def leave(self) -> None:
        """Begin to shut down and remove every task, and drop the tasks from the worker without waiting.

        SwarmKit calls `Worker.Assign` with an empty set for this.
        """
        for identity in list(self._tasks):
            self._remove(identity)

    async def stop(self) -> None:
        """Shut down and remove every task, and wait until that is done."""
        managers, self._task_managers = list(self._task_managers.values()), {}
        self._tasks.clear()
        for manager in managers:
            await _close_and_remove(manager)


async def _close_and_remove(manager: TaskManager) -> None:
    await manager.close()
    await manager.controller.remove()


def _put(table: dict[str, Secret] | dict[str, Config], item: Secret | Config, *, is_kept: bool) -> None:
    if is_kept:
        table[item.id] = item  # type: ignore[assignment]
    else:
        table.pop(item.id, None)
