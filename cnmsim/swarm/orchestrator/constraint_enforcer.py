"""The constraint enforcer: rejects tasks whose node no longer meets their constraints or resource reservations.

Source: moby/swarmkit `manager/orchestrator/constraintenforcer`.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from attrs import evolve

from cnmsim.libnetwork.profile import Profile
from cnmsim.swarm.constraint import Constraint, node_matches
from cnmsim.swarm.objects import Availability, Node, Resources, Task, TaskState
from cnmsim.swarm.store import Event, EventKind, Store
from cnmsim.swarm.store.loop import StoreLoop

_MESSAGE = "task rejected by constraint enforcer"
_ERROR = "assigned node no longer meets constraints"


class ConstraintEnforcer(StoreLoop):
    """Checks the constraints of a node's tasks whenever the node changes."""

    def __init__(self, store: Store, profile: Profile) -> None:
        super().__init__(store)
        self._counts_completed = profile.enforcer_counts_completed_tasks

    def start(self) -> None:
        """Check all nodes, then follow changes of nodes."""
        for node in self._store.nodes:
            self._enforce(node)
        self._watch = self._store.watch(self._on_changes, Node)

    def _on_changes(self, events: Sequence[Event]) -> None:
        for event in events:
            if event.kind is EventKind.UPDATE and _is_relevant_change(event.old, event.object):
                self._enforce(event.object)

    def _enforce(self, node: Node) -> None:
        if node.spec.availability is not Availability.ACTIVE:
            return
        rejected = list(self._misplaced(node))
        if rejected:
            self._store.update(lambda tx: _reject(tx, rejected))

    def _misplaced(self, node: Node) -> Iterable[Task]:
        resources = node.description.resources if node.description is not None else Resources()
        memory, cpus = resources.memory_bytes, resources.nano_cpus
        for task in self._store.tasks.by_node(node.id):
            if not TaskState.ASSIGNED <= task.desired_state <= TaskState.COMPLETE:
                continue
            if task.state >= TaskState.COMPLETE and not self._counts_completed:
                continue
            service = self._store.services.get(task.service_id)
            # Use the service's current constraints: a change of constraints alone does not replace the tasks, so the
            # tasks' specs still contain the former constraints.
            placement = service.spec.task.placement if service is not None else task.spec.placement
            if placement is not None and not node_matches(Constraint.parse_all(placement.constraints), node):
                yield task
                continue
            reserved = task.spec.resources.reservations if task.spec.resources is not None else None
            if reserved is not None:
                if reserved.memory_bytes > memory or reserved.nano_cpus > cpus:
                    yield task
                    continue
                memory -= reserved.memory_bytes
                cpus -= reserved.nano_cpus


def _is_relevant_change(old: Node, new: Node) -> bool:
    return (
        old.spec != new.spec
        or old.description != new.description
        or old.role is not new.role
        or old.status.addr != new.status.addr
    )


def _reject(tx: Store, tasks: Iterable[Task]) -> None:
    for rejected in tasks:
        task = tx.tasks.get(rejected.id)
        if task is not None and task.desired_state <= TaskState.COMPLETE:
            status = evolve(
                task.status, state=TaskState.REJECTED, message=_MESSAGE, err=_ERROR, timestamp_ns=tx.now_ns
            )
            tx.replace(evolve(task, status=status))
