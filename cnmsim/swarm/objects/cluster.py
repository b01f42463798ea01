"""The cluster object: settings, root certificate, join tokens, and the keys for gossip and IPsec."""

from __future__ import annotations

from attrs import field, frozen

from cnmsim.swarm.objects.base import Annotations, Driver, Meta

SECOND_NS = 1_000_000_000


@frozen
class EncryptionKey:
    """A key for one subsystem (`networking:gossip` or `networking:ipsec`). Keys are ordered by their Lamport time."""

    subsystem: str
    key: bytes
    lamport_time: int
    algorithm: int = 0


@frozen
class ClusterSpec:
    """A cluster's settings, with the defaults of `swarm init` (moby/swarmkit `manager.defaultClusterObject`)."""

    annotations: Annotations = field(factory=lambda: Annotations("default"))
    task_history_retention_limit: int = 5
    snapshot_interval: int = 10000
    keep_old_snapshots: int = 0
    log_entries_for_slow_followers: int = 500
    heartbeat_tick: int = 1
    election_tick: int = 10
    heartbeat_period_ns: int = 5 * SECOND_NS
    node_cert_expiry_ns: int = 90 * 24 * 3600 * SECOND_NS
    external_cas: tuple[dict[str, object], ...] = ()
    signing_ca_cert: str = ""
    signing_ca_key: str = ""
    force_rotate: int = 0
    auto_lock_managers: bool = False
    log_driver: Driver | None = None


#: The settings that an update starts from: all unset, because an update has to contain every setting (moby
#: `convert.SwarmSpecToGRPC`).
UNSET_CLUSTER_SPEC = ClusterSpec(
    task_history_retention_limit=0,
    snapshot_interval=0,
    log_entries_for_slow_followers=0,
    heartbeat_tick=0,
    election_tick=0,
    heartbeat_period_ns=0,
    node_cert_expiry_ns=0,
)


@frozen
class RootCa:
    """The root certificate (`ca_cert`, PEM) with its digest, and the join tokens.

    `digest` is the certificate's SHA-256 in hexadecimal; subject and public key are in DER. `seed` is the number in
    hexadecimal from which the private key is derived; only managers have it. `rotation` is the new root certificate
    during a root rotation, otherwise `None`.
    """

    ca_cert: str = ""
    digest: str = ""
    worker_token: str = ""
    manager_token: str = ""
    issuer_subject: bytes = b""
    issuer_public_key: bytes = b""
    rotation: RootCa | None = None
    last_forced_rotation: int = 0
    seed: str = field(default="", repr=False)


@frozen(eq=False)
class Cluster:
    """The cluster. A store has exactly one.

    `network_bootstrap_keys` are the keys for gossip and IPsec, and `encryption_key_lamport_clock` is the Lamport time
    of the newest. `unlock_key` unlocks managers (b"" without autolock). `vxlan_udp_port` is the data path port.
    """

    id: str
    spec: ClusterSpec = field(factory=ClusterSpec)
    meta: Meta = field(factory=Meta)
    root_ca: RootCa = field(factory=RootCa)
    network_bootstrap_keys: tuple[EncryptionKey, ...] = ()
    encryption_key_lamport_clock: int = 0
    unlock_key: bytes = b""
    #: `None` if `swarm init` was given no pools. An empty tuple means the same, but is printed differently.
    default_address_pool: tuple[str, ...] | None = None
    subnet_size: int = 0
    vxlan_udp_port: int = 0
