"""Operations on the cluster itself (moby/swarmkit `manager/controlapi/cluster.go`)."""

from __future__ import annotations

from attrs import evolve

from cnmsim.errors import NotSimulated
from cnmsim.swarm.ca.certificates import RootCa as Authority
from cnmsim.swarm.ca.join_token import join_token
from cnmsim.swarm.ca.server import root_to_store
from cnmsim.swarm.controlapi.common import Operations, grpc_errors
from cnmsim.swarm.errors import RpcInvalidArgument, RpcNotFound
from cnmsim.swarm.identity import new_unlock_key, unlock_key_text
from cnmsim.swarm.objects import Cluster, ClusterSpec, RootCa

_MIN_CERT_EXPIRY_NS = 3600 * 1_000_000_000
_DEFAULT_POOL = ("10.0.0.0/8",)
_DEFAULT_SUBNET_SIZE = 24
_DEFAULT_VXLAN_PORT = 4789


class ClusterOperations(Operations):
    """Read and change the cluster's settings and tokens."""

    def get_cluster(self) -> Cluster:
        """Return the cluster without its secret keys, with defaults filled in.

        Raises `RpcNotFound` if the cluster has not been created yet.
        """
        for cluster in self.store.clusters:
            return _redacted(cluster)
        raise RpcNotFound("cluster default not found")

    @grpc_errors
    def update_cluster(
        self,
        version: int,
        spec: ClusterSpec,
        *,
        rotate_worker_token: bool = False,
        rotate_manager_token: bool = False,
        rotate_manager_unlock_key: bool = False,
    ) -> Cluster:
        """Change the cluster's settings to `spec` and return the cluster.

        `rotate_worker_token`, `rotate_manager_token` and `rotate_manager_unlock_key` replace a join token or the
        unlock key by a new one. `version` is the version of the cluster that the caller read. Raises a `SwarmError`
        if `spec` is invalid, or if the cluster has changed since that version.
        """
        check_cluster_spec(spec)
        cluster = self.store.cluster
        root = self._root(cluster.root_ca, spec)
        if rotate_worker_token:
            root = evolve(root, worker_token=join_token(self.random, root.digest))
        if rotate_manager_token:
            root = evolve(root, manager_token=join_token(self.random, root.digest))
        unlock_key = cluster.unlock_key if spec.auto_lock_managers else b""
        if spec.auto_lock_managers and (rotate_manager_unlock_key or not unlock_key):
            unlock_key = new_unlock_key(self.random)
        changed = evolve(
            cluster, meta=evolve(cluster.meta, version=version), spec=spec, root_ca=root, unlock_key=unlock_key
        )
        return _redacted(self.store.update(lambda tx: tx.replace(changed)))

    def _root(self, root: RootCa, spec: ClusterSpec) -> RootCa:
        """Return the root authority to store when the cluster's settings change to `spec`; `root` is the present one.

        If `spec.force_rotate` has changed, the result is `root` with a new root rotation in progress, otherwise
        `root` itself. Raises `NotSimulated` if `spec` contains a root certificate or key of the user's own.
        """
        if spec.signing_ca_cert or spec.signing_ca_key:
            raise NotSimulated("user-supplied root certificates are not simulated")
        if spec.force_rotate == root.last_forced_rotation:
            return root
        new_root = Authority.create(self.random, self.store.clock.wall_s)
        return evolve(root, rotation=root_to_store(new_root), last_forced_rotation=spec.force_rotate)

    def get_unlock_key(self) -> str:
        """Return the key that unlocks managers, or "" if autolock is off."""
        return unlock_key_text(self.store.cluster.unlock_key)


def check_cluster_spec(spec: ClusterSpec) -> None:
    """Raise `RpcInvalidArgument` if the cluster's settings are invalid."""
    if spec.node_cert_expiry_ns and spec.node_cert_expiry_ns < _MIN_CERT_EXPIRY_NS:
        raise RpcInvalidArgument("minimum certificate expiry time is: 1h0m0s")
    if spec.heartbeat_period_ns < 0:
        raise RpcInvalidArgument("heartbeat time period cannot be a negative duration")
    if spec.annotations.name != "default":
        raise RpcInvalidArgument("modification of cluster name is not allowed")


def _redacted(cluster: Cluster) -> Cluster:
    has_no_pools = cluster.default_address_pool is None
    return evolve(
        cluster,
        spec=evolve(cluster.spec, signing_ca_cert="", signing_ca_key=""),
        root_ca=evolve(cluster.root_ca, seed=""),
        unlock_key=b"",
        network_bootstrap_keys=(),
        default_address_pool=_DEFAULT_POOL if has_no_pools else cluster.default_address_pool,
        subnet_size=_DEFAULT_SUBNET_SIZE if has_no_pools else cluster.subnet_size,
        vxlan_udp_port=cluster.vxlan_udp_port or _DEFAULT_VXLAN_PORT,
    )
