"""Functions on tasks that all orchestrators use (moby/swarmkit `orchestrator/task.go`)."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import TypeAlias

from attrs import evolve

from cnmsim.swarm.constraint import Constraint
from cnmsim.swarm.objects import (
    Availability,
    Endpoint,
    Global,
    GlobalJob,
    Node,
    NodeState,
    ReplicatedJob,
    Service,
    Task,
    TaskSpec,
    TaskState,
    TaskStatus,
)
from cnmsim.swarm.store import Store

#: A function that returns the id for a new object.
NewId: TypeAlias = Callable[[], str]
#: The tasks of one slot of a service, oldest first.
Slot: TypeAlias = list[Task]


def has_slot_per_node(service: Service) -> bool:
    """Whether a service, job or not, has one slot on each node."""
    return isinstance(service.spec.mode, Global | GlobalJob)


def is_job(service: Service) -> bool:
    """Whether a service is a job, i.e. its tasks run until they complete."""
    return isinstance(service.spec.mode, ReplicatedJob | GlobalJob)


def new_task(store: Store, new_id: NewId, service: Service, slot: int, node_id: str = "") -> Task:
    """Return a new task of a service; the caller adds it to the store.

    For a service with one slot on each node, `slot` is 0 and `node_id` is set; otherwise `node_id` is "".
    """
    return Task(
        id=new_id(),
        spec=service.spec.task,
        spec_version=service.spec_version,
        service_id=service.id,
        slot=slot,
        node_id=node_id,
        service_annotations=service.spec.annotations,
        status=TaskStatus(TaskState.NEW, store.now_ns, "created"),
        desired_state=TaskState.RUNNING,
        endpoint=Endpoint(service.spec.endpoint),
        log_driver=service.spec.task.log_driver or store.cluster.spec.log_driver,
    )


def is_invalid_node(node: Node | None) -> bool:
    """Return True if a node is deleted (`None`), down or drained, so that tasks cannot stay on it."""
    return node is None or node.status.state is NodeState.DOWN or node.spec.availability is Availability.DRAIN


def is_dirty(service: Service, task: Task, node: Node | None) -> bool:
    """Return True if a task differs from its service's spec, so that an update has to replace it.

    A change of the constraints alone does not count if the task's node meets the new ones.
    """
    if task.spec_version is not None and task.spec_version == service.spec_version:
        return False
    spec = service.spec.task
    if _differs_in_placement_only(spec, task.spec) and node is not None:
        constraints = Constraint.parse_all(spec.placement.constraints if spec.placement else ())
        if all(constraint.matches(node) for constraint in constraints):
            return False
    return spec != task.spec or (task.endpoint is not None and service.spec.endpoint != task.endpoint.spec)


def _differs_in_placement_only(new: TaskSpec, old: TaskSpec) -> bool:
    return new.placement != old.placement and evolve(new, placement=old.placement) == old


def task_timestamp(task: Task) -> int:
    """Return the time (nanoseconds since 1970) at which a manager recorded a task's status.

    If no manager has recorded it, return the time at which the status was reported.
    """
    return task.status.applied_ns or task.status.timestamp_ns


def latest_task(slot: Iterable[Task]) -> Task:
    """Return the task of a slot whose status is the most recent."""
    return max(slot, key=task_timestamp)


def set_desired_state(store: Store, tasks: Iterable[Task], state: TaskState) -> None:
    """Set the desired state of tasks to `state`, except for tasks whose desired state is later already.

    Call within a transaction.
    """
    for task in tasks:
        current = store.tasks.get(task.id)
        if current is not None and current.desired_state < state:
            store.replace(evolve(current, desired_state=state))


def remove_service_tasks(store: Store, service: Service) -> None:
    """Set the desired state of all tasks of a removed service to REMOVE."""
    tasks = store.tasks.by_service(service.id)
    if tasks:
        store.update(lambda tx: set_desired_state(tx, tasks, TaskState.REMOVE))
