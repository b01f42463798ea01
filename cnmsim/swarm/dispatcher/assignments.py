"""The assignments of one node, and the changes since the last message (swarmkit `dispatcher/assignments.go`)."""

from __future__ import annotations

from typing import Literal, TypeAlias

from cnmsim.swarm.dispatcher.messages import AssignmentChange
from cnmsim.swarm.objects import Config, Secret, Task, TaskState
from cnmsim.swarm.store import Store

_Key: TypeAlias = tuple[Literal["secret", "config", "task"], str]


def is_stable(old: Task, new: Task) -> bool:
    """Return True if two versions of a task are the same for its node, apart from the status of the task."""
    return (
        old.desired_state is new.desired_state
        and old.node_id == new.node_id
        and old.spec == new.spec
        and old.spec_version == new.spec_version
        and old.networks is new.networks
        and old.endpoint == new.endpoint
        and old.annotations == new.annotations
        and old.service_annotations == new.service_annotations
        and old.job_iteration == new.job_iteration
    )


class AssignmentSet:
    """The tasks of one node, and the secrets and configs used by its tasks that have not ended."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self._tasks: dict[str, Task] = {}
        self._users: dict[_Key, set[str]] = {}
        self._changes: dict[_Key, AssignmentChange] = {}

    def put(self, task: Task) -> bool:
        """Record a created or changed task. Return True if an assignments message has to be sent to the node."""
        if task.state < TaskState.ASSIGNED:
            return False
        old = self._tasks.get(task.id)
        self._tasks[task.id] = task
        if old is None:
            if task.state <= TaskState.RUNNING:
                self._acquire(task)
        elif is_stable(old, task) and task.state > TaskState.ASSIGNED:
            # Only the status has changed, and the node itself reported it.
            return task.state > TaskState.RUNNING and self._release(task)
        self._changes["task", task.id] = ("update", task)
        return True

    def remove(self, task: Task) -> bool:
        """Record the deletion of a task. Return True if an assignments message has to be sent to the node."""
        if self._tasks.pop(task.id, None) is None:
            return False
        self._changes["task", task.id] = ("remove", task)
        self._release(task)
        return True

    def take_changes(self) -> tuple[AssignmentChange, ...]:
        """Return the changes recorded since the last call, and clear them.

        Secrets and configs come before the tasks that use them.
        """
        changes, self._changes = self._changes, {}
        dependencies = [change for key, change in changes.items() if key[0] != "task"]
        return (*dependencies, *(change for key, change in changes.items() if key[0] == "task"))

    @staticmethod
    def _dependencies(task: Task) -> list[_Key]:
        container = task.spec.container
        if container is None:
            return []
        keys: list[_Key] = [("secret", reference.secret_id) for reference in container.secrets]
        keys.extend(("config", config.config_id) for config in container.configs)
        return keys

    def _acquire(self, task: Task) -> None:
        for key in self._dependencies(task):
            users = self._users.setdefault(key, set())
            if not users:
                table = self._store.secrets if key[0] == "secret" else self._store.configs
                dependency: Secret | Config | None = table.get(key[1])
                if dependency is not None:
                    self._changes[key] = ("update", dependency)
            users.add(task.id)

    def _release(self, task: Task) -> bool:
        is_changed = False
        for key in self._dependencies(task):
            users = self._users.get(key)
            if users is None or task.id not in users:
                continue
            users.discard(task.id)
            if not users:
                del self._users[key]
                removed = Secret(key[1]) if key[0] == "secret" else Config(key[1])
                self._changes[key] = ("remove", removed)
                is_changed = True
        return is_changed
