"""Operations on nodes (moby/swarmkit `manager/controlapi/node.go`)."""

from __future__ import annotations

from attrs import evolve

from cnmsim.swarm.controlapi.common import (
    Filters,
    Operations,
    find_one,
    grpc_errors,
    has_labels,
    has_prefix,
    require_stored,
)
from cnmsim.swarm.errors import RpcFailedPrecondition, RpcNotFound
from cnmsim.swarm.objects import (
    ManagerStatus,
    Node,
    NodeRole,
    NodeSpec,
    NodeState,
    Reachability,
    TaskState,
    TaskStatus,
)
from cnmsim.swarm.store import Store

_DELETED = "Task belonged to a node that has been deleted"


class NodeOperations(Operations):
    """List, change and remove nodes."""

    def _with_status(self, node: Node) -> Node:
        """Return the node with its current manager status from Raft: address, leadership, reachability."""
        if self.raft is None:
            return node
        for member in self.raft.members():
            if member.node_id == node.id:
                is_reachable = self.raft.is_reachable(member)
                status = ManagerStatus(
                    member.raft_id,
                    member.address,
                    self.raft.is_leader(member),
                    Reachability.REACHABLE if is_reachable else Reachability.UNREACHABLE,
                )
                return evolve(node, manager_status=status)
        return evolve(node, manager_status=None)

    @grpc_errors
    def get_node(self, node_id: str) -> Node:
        """Return a node by id. Raises `RpcNotFound` if there is none with this id."""
        return self._with_status(require_stored("node", node_id, self.store.nodes))

    def find_node(self, reference: str) -> Node:
        """Return a node by id, host name or id prefix.

        Raises `NotFound` if no node matches, `InvalidParameter` if several do.
        """
        return self._with_status(find_one("node", reference, self.store.nodes.get(reference), self.list_nodes))

    def list_nodes(self, filters: Filters | None = None) -> list[Node]:
        """Return the nodes that pass the filters, in the order in which they joined; `None` means no filters."""
        chosen = filters or Filters()
        return [self._with_status(node) for node in self.store.nodes if _passes(chosen, node)]

    @grpc_errors
    def update_node(self, node_id: str, version: int, spec: NodeSpec) -> Node:
        """Change a node's spec to `spec` and return the node. `version` is the version that the caller read.

        Raises a `SwarmError` if the node has changed since that version, or if it would be demoted and no manager or
        no quorum would be left.
        """
        node = require_stored("node", node_id, self.store.nodes)
        if node.spec.desired_role is NodeRole.MANAGER and spec.desired_role is NodeRole.WORKER:
            managers = [node for node in self.store.nodes if node.role is NodeRole.MANAGER]
            if [manager.id for manager in managers] == [node_id]:
                raise RpcFailedPrecondition("attempting to demote the last manager of the swarm")
            if self.raft is not None:
                if all(member.node_id != node_id for member in self.raft.members()):
                    raise RpcNotFound("can't find manager in raft memberlist")
                self.raft.check_removal(node_id)
        changed = evolve(node, meta=evolve(node.meta, version=version), spec=spec)
        return self._with_status(self.store.update(lambda tx: tx.replace(changed)))

    @grpc_errors
    def remove_node(self, node_id: str, *, force: bool = False) -> None:
        """Remove a node and set its tasks to ORPHANED.

        Raises a `SwarmError` if the node is a manager, or if it is in state READY and `force` is False.
        """
        node = require_stored("node", node_id, self.store.nodes)
        if node.spec.desired_role is NodeRole.MANAGER and self._is_member(node):
            raise RpcFailedPrecondition(
                f"node {node_id} is a cluster manager and is a member of the raft cluster. It must be demoted to"
                " worker before removal"
            )
        if not force and node.status.state is NodeState.READY:
            raise RpcFailedPrecondition(f"node {node_id} is not down and can't be removed")
        self.store.update(lambda tx: _remove(tx, node_id))

    def _is_member(self, node: Node) -> bool:
        if self.raft is None:
            return node.role is NodeRole.MANAGER
        return any(member.node_id == node.id for member in self.raft.members())


def _passes(filters: Filters, node: Node) -> bool:
    engine_labels = node.description.engine.labels if node.description is not None else {}
    return (
        (not filters.names or node.hostname in filters.names)
        and has_prefix(node.hostname, filters.name_prefixes)
        and has_prefix(node.id, filters.id_prefixes)
        and has_labels(engine_labels, filters.labels)
        and has_labels(node.spec.annotations.labels, filters.node_labels)
        and (not filters.roles or node.role in filters.roles)
        and (not filters.memberships or node.spec.membership in filters.memberships)
    )


def _remove(tx: Store, node_id: str) -> None:
    for task in tx.tasks.by_node(node_id):
        if task.state < TaskState.COMPLETE:
            tx.replace(evolve(task, status=TaskStatus(TaskState.ORPHANED, tx.now_ns, _DELETED)))
    tx.delete(Node, node_id)
