"""Root rotation: replacing the cluster's root certificate once every node has a certificate from the new one.

Source: moby/swarmkit `ca/reconciler.go`, `ca/server.go` (vendored by moby docker-v29.7.2).
"""

from __future__ import annotations

from collections.abc import Sequence
from random import Random

from attrs import evolve

from cnmsim.swarm.ca.join_token import join_token
from cnmsim.swarm.objects import Cluster, Node
from cnmsim.swarm.store import Event, Store
from cnmsim.swarm.store.loop import StoreLoop

_INTERVAL_S = 3.0


class RootRotationReconciler(StoreLoop):
    """Runs a root rotation on the leader: asks every node to renew its certificate.

    The rotation is complete when all nodes have a certificate from the new root.
    """

    def __init__(self, store: Store, random: Random) -> None:
        super().__init__(store)
        self._random = random

    def start(self) -> None:
        """Continue a rotation in progress, and watch the cluster for new ones."""
        self._watch = self._store.watch(self._on_changes, Cluster)
        self._start()

    def _on_changes(self, _events: Sequence[Event]) -> None:
        self._start()

    def _start(self) -> None:
        if self._timer is None and self._target_digest():
            self._reconcile()

    def _target_digest(self) -> str:
        """Return the digest of the new root certificate during a rotation, "" otherwise."""
        for cluster in self._store.clusters:
            if cluster.root_ca.rotation is not None:
                return cluster.root_ca.rotation.digest
        return ""

    def _reconcile(self) -> None:
        self._timer = None
        target = self._target_digest()
        if not target:
            return
        outdated = [node for node in self._store.nodes if _issuer(node) != target]
        if not outdated:
            self._finish()
            return
        to_rotate = [node for node in outdated if node.certificate.state == "issued"]
        self._timer = self._store.call_later(_INTERVAL_S, self._reconcile)
        if to_rotate:
            self._store.update(
                lambda tx: [
                    tx.replace(evolve(node, certificate=evolve(node.certificate, state="rotate")))
                    for node in to_rotate
                ]
            )

    def _finish(self) -> None:
        cluster = self._store.cluster
        root = cluster.root_ca
        assert root.rotation is not None
        new = evolve(
            root.rotation,
            worker_token=join_token(self._random, root.rotation.digest),
            manager_token=join_token(self._random, root.rotation.digest),
            last_forced_rotation=root.last_forced_rotation,
        )
        self._store.update(lambda tx: tx.replace(evolve(cluster, root_ca=new)))


def _issuer(node: Node) -> str:
    info = node.description.tls_info if node.description is not None else None
    return info.issuer_digest if info is not None else ""
