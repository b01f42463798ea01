"""Root rotation: replacing the cluster's root certificate once every node has a certificate from the new one.

Source: moby/swarmkit `ca/reconciler.go`, `ca/server.go` (vendored by moby docker-v29.7.2).
"""

from __future__ import annotations

from collections.abc import Sequence
from random import Random

from attrs import define, evolve, field

from cnmsim.kernel.clock import Timer
from cnmsim.swarm.identity import join_token
from cnmsim.swarm.objects import Cluster, Node
from cnmsim.swarm.store import Event, Store, Watch

_INTERVAL_S = 3.0


@define(eq=False)
class RootRotationReconciler:
    """Drives a root rotation on the leader: asks nodes to rotate, and completes the rotation when all have."""

    store: Store = field(repr=False)
    random: Random = field(repr=False)
    _watch: Watch | None = field(default=None, init=False, repr=False)
    _timer: Timer | None = field(default=None, init=False, repr=False)

    def start(self) -> None:
        """Continue a rotation in progress, and watch the cluster for new ones."""
        self._watch = self.store.watch(self._on_changes, Cluster)
        self._start()

    def stop(self) -> None:
        """Stop following the store."""
        if self._watch is not None:
            self._watch.cancel()
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _on_changes(self, _events: Sequence[Event]) -> None:
        self._start()

    def _start(self) -> None:
        if self._timer is None and self._target_digest():
            self._reconcile()

    def _target_digest(self) -> str:
        """Return the digest of the new root certificate during a rotation, "" otherwise."""
        for cluster in self.store.clusters:
            if cluster.root_ca.rotation is not None:
                return cluster.root_ca.rotation.digest
        return ""

    def _reconcile(self) -> None:
        self._timer = None
        target = self._target_digest()
        if not target:
            return
        behind = [node for node in self.store.nodes if _issuer(node) != target]
        if not behind:
            self._finish()
            return
        due = [node for node in behind if node.certificate.state == "issued"]
        self._timer = self.store.call_later(_INTERVAL_S, self._reconcile)
        if due:
            self.store.update(
                lambda tx: [
                    tx.replace(evolve(node, certificate=evolve(node.certificate, state="rotate"))) for node in due
                ]
            )

    def _finish(self) -> None:
        cluster = self.store.cluster
        root = cluster.root_ca
        assert root.rotation is not None
        new = evolve(
            root.rotation,
            worker_token=join_token(self.random, root.rotation.digest),
            manager_token=join_token(self.random, root.rotation.digest),
            last_forced_rotation=root.last_forced_rotation,
        )
        self.store.update(lambda tx: tx.replace(evolve(cluster, root_ca=new)))


def _issuer(node: Node) -> str:
    info = node.description.tls_info if node.description is not None else None
    return info.issuer_digest if info is not None else ""
