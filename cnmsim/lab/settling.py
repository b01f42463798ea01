"""Whether what was set going in a lab has come to rest: its swarms' tasks, and what its nodes tell each other.

Source for what a task is waiting for: moby/swarmkit `api/types.proto` (TaskState).
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING

from cnmsim.swarm.objects import NodeState, Task, TaskState, UpdateState

if TYPE_CHECKING:
    from cnmsim.engine.engine import Engine
    from cnmsim.swarm.store import Store

_MOVING = frozenset({UpdateState.UPDATING, UpdateState.ROLLBACK_STARTED})


def what_is_unsettled(engines: Iterable[Engine]) -> str:
    """Say what is still on its way in the swarms of these engines, or "" if nothing is."""
    members = [engine for engine in engines if engine.controller.cluster is not None]
    if not members:
        return ""
    for engine in members:
        if engine.cluster.state == "pending":
            return f"{engine.machine.name} is joining a swarm"
    lost: set[str] = set()
    for engine in members:
        managing = engine.cluster.managing
        if managing is not None and managing.raft.is_leading:
            found = _unsettled_in(managing.store)
            if found:
                return found
            lost |= {node.id for node in managing.store.nodes if node.status.state is NodeState.DOWN}
    return _unsettled_gossip(members, frozenset(lost))


def _unsettled_gossip(members: list[Engine], lost: frozenset[str]) -> str:
    """Say what nodes have still to tell each other; nobody waits for those that are `lost`, the ids of nodes that are down."""
    from cnmsim.libnetwork.networkdb.convergence import agree, first_difference
    from cnmsim.libnetwork.networkdb.store import store_of

    down = {each.machine for each in members if each.cluster.node is not None and each.cluster.node.id in lost}
    databases = [db for db in store_of(members[0].clock).databases if db.process.machine not in down]
    if agree(databases):
        return ""
    return first_difference(databases) or "nodes have something left to tell each other"


def _unsettled_in(store: Store) -> str:
    for service in store.services:
        if service.update_status is not None and service.update_status.state in _MOVING:
            return f"service {service.name} is being updated"
    for node in store.nodes:
        if node.status.state is NodeState.UNKNOWN:
            return f"node {node.hostname or node.id} has not registered"
    for task in store.tasks:
        if not _is_settled(store, task):
            return f"task {task.name} is {task.state.name.lower()}, to be {task.desired_state.name.lower()}"
    return ""


def _is_settled(store: Store, task: Task) -> bool:
    node = store.nodes.get(task.node_id)
    if node is not None and node.status.state is NodeState.DOWN:
        return True  # nothing more will be heard of it
    match task.desired_state:
        case TaskState.RUNNING | TaskState.COMPLETE:
            if task.state is TaskState.PENDING:
                return bool(task.status.err)  # no node suits it: it waits for the cluster to change
            return task.state >= TaskState.RUNNING
        case TaskState.READY:
            return False
        case TaskState.NEW:
            return False
    return task.state >= TaskState.COMPLETE or not task.node_id
