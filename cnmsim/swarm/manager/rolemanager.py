"""Role changes of nodes: a node is promoted at once, and demoted when Raft keeps its quorum without it.

Source: moby/swarmkit `manager/role_manager.go` (vendored by moby docker-v29.7.2).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

from attrs import evolve

from cnmsim.errors import EngineError
from cnmsim.swarm.objects import Node, NodeRole
from cnmsim.swarm.raft import Raft
from cnmsim.swarm.store import Event, Store
from cnmsim.swarm.store.loop import StoreLoop

_RETRY_S = 5.0


class RoleManager(StoreLoop):
    """The role manager: sets each node's actual role to the role in its spec. Runs on the leader."""

    def __init__(self, store: Store, raft: Raft, remove_member: Callable[[str], None]) -> None:
        super().__init__(store)
        self._raft = raft
        self._remove_member = remove_member

    def start(self) -> None:
        """Check the roles of all nodes, then follow changes of nodes."""
        self._watch = self._store.watch(self._on_changes, Node)
        self._reconcile_all()

    def _on_changes(self, events: Sequence[Event]) -> None:
        if any(event.object.spec.desired_role is not event.object.role for event in events):
            self._reconcile_all()

    def _reconcile_all(self) -> None:
        if not self._raft.is_leading:
            return
        for node in self._store.nodes:
            if node.spec.desired_role is not node.role:
                self._reconcile(node)
        for member in self._raft.membership.members:
            known = self._store.nodes.get(member.node_id)
            if known is None or known.role is NodeRole.WORKER:
                self._remove(member.node_id)

    def _reconcile(self, node: Node) -> None:
        if node.spec.desired_role is NodeRole.WORKER:
            if node.id == self._raft.member.node_id and len(self._raft.membership.members) > 1:
                # The leader itself is to be demoted: it transfers leadership, and the new leader demotes it.
                self._raft.transfer_leadership()
                return
            if not self._remove(node.id):
                return
        self._store.update(lambda tx: tx.replace(evolve(node, role=node.spec.desired_role)))

    def _remove(self, node_id: str) -> bool:
        try:
            self._remove_member(node_id)
        except EngineError:
            if self._timer is not None:
                self._timer.cancel()
            self._timer = self._store.clock.call_later(_RETRY_S, self._reconcile_all)
            return False
        return True
