"""Reconciliation of nodes' roles with their specs: promotion at once, demotion once Raft can do without the member.

Source: moby/swarmkit `manager/role_manager.go` (vendored by moby docker-v29.7.2).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

from attrs import define, evolve, field

from cnmsim.errors import EngineError
from cnmsim.kernel.clock import Timer
from cnmsim.swarm.manager.raft import Raft
from cnmsim.swarm.objects import Node, NodeRole
from cnmsim.swarm.store import Event, Store, Watch

_RETRY_S = 5.0


@define(eq=False)
class RoleManager:
    """The role manager. Runs on the leader."""

    store: Store = field(repr=False)
    raft: Raft = field(repr=False)
    remove_member: Callable[[str], None] = field(repr=False)
    _watch: Watch | None = field(default=None, init=False, repr=False)
    _retry: Timer | None = field(default=None, init=False, repr=False)

    def start(self) -> None:
        """Reconcile all nodes, then follow changes of nodes."""
        self._watch = self.store.watch(self._on_changes, Node)
        self._reconcile_all()

    def stop(self) -> None:
        """Stop following the store."""
        if self._watch is not None:
            self._watch.cancel()
        if self._retry is not None:
            self._retry.cancel()

    def _on_changes(self, events: Sequence[Event]) -> None:
        if any(event.object.spec.desired_role is not event.object.role for event in events):
            self._reconcile_all()

    def _reconcile_all(self) -> None:
        if not self.raft.is_leading:
            return
        for node in self.store.nodes:
            if node.spec.desired_role is not node.role:
                self._reconcile(node)
        for member in self.raft.membership.members:
            known = self.store.nodes.get(member.node_id)
            if known is None or known.role is NodeRole.WORKER:
                self._remove(member.node_id)

    def _reconcile(self, node: Node) -> None:
        if node.spec.desired_role is NodeRole.WORKER:
            if node.id == self.raft.me.node_id and len(self.raft.membership.members) > 1:
                # The leader itself is to be demoted: it transfers leadership, and the new leader demotes it.
                self.raft.transfer_leadership()
                return
            if not self._remove(node.id):
                return
        self.store.update(lambda tx: tx.replace(evolve(node, role=node.spec.desired_role)))

    def _remove(self, node_id: str) -> bool:
        try:
            self.remove_member(node_id)
        except EngineError:
            if self._retry is not None:
                self._retry.cancel()
            self._retry = self.store.clock.call_later(_RETRY_S, self._reconcile_all)
            return False
        return True
