"""Conversion of the cluster from and to the Engine API's JSON (moby `daemon/cluster/convert/swarm.go`)."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from attrs import evolve

from cnmsim.gojson.fields import omit_empty
from cnmsim.swarm.convert.common import annotations_to_api, head_to_api
from cnmsim.swarm.convert.node import tls_info_to_api
from cnmsim.swarm.objects.base import Annotations
from cnmsim.swarm.objects.cluster import UNSET_CLUSTER_SPEC, Cluster, ClusterSpec


def cluster_to_api(cluster: Cluster) -> dict[str, Any]:
    """Return the cluster in the form of `docker info`, without join tokens."""
    spec, root = cluster.spec, cluster.root_ca
    issuer = root.rotation or root
    return {
        **head_to_api(cluster),
        "Spec": {
            **annotations_to_api(spec.annotations),
            "Orchestration": {"TaskHistoryRetentionLimit": spec.task_history_retention_limit},
            "Raft": {
                **omit_empty(("SnapshotInterval", spec.snapshot_interval)),
                "KeepOldSnapshots": spec.keep_old_snapshots,
                **omit_empty(("LogEntriesForSlowFollowers", spec.log_entries_for_slow_followers)),
                "ElectionTick": spec.election_tick,
                "HeartbeatTick": spec.heartbeat_tick,
            },
            "Dispatcher": omit_empty(("HeartbeatPeriod", spec.heartbeat_period_ns)),
            "CAConfig": omit_empty(
                ("NodeCertExpiry", spec.node_cert_expiry_ns),
                ("ExternalCAs", list(spec.external_cas)),
                ("ForceRotate", spec.force_rotate),
            ),
            "TaskDefaults": {},
            "EncryptionConfig": {"AutoLockManagers": spec.auto_lock_managers},
        },
        "TLSInfo": tls_info_to_api(root.ca_cert, issuer.issuer_subject, issuer.issuer_public_key),
        "RootRotationInProgress": root.rotation is not None,
        "DefaultAddrPool": list(cluster.default_address_pool or ()) or None,
        "SubnetSize": cluster.subnet_size,
        "DataPathPort": cluster.vxlan_udp_port,
    }


def swarm_to_api(cluster: Cluster) -> dict[str, Any]:
    """Return the cluster as `GET /swarm` does: the fields that `docker info` has, plus the join tokens."""
    tokens = {"Worker": cluster.root_ca.worker_token, "Manager": cluster.root_ca.manager_token}
    return {**cluster_to_api(cluster), "JoinTokens": tokens}


def cluster_spec_from_api(spec: Mapping[str, Any], base: ClusterSpec = UNSET_CLUSTER_SPEC) -> ClusterSpec:
    """Convert the JSON `Spec` of a swarm.

    Fields that the JSON leaves empty are copied from `base`, except `ForceRotate` and `AutoLockManagers`; external
    CAs are added to those of `base` (moby `MergeSwarmSpecToGRPC`).
    """
    raft, ca = spec["Raft"], spec["CAConfig"]
    history, snapshots = spec["Orchestration"]["TaskHistoryRetentionLimit"], raft["KeepOldSnapshots"]
    return evolve(
        base,
        annotations=Annotations(
            spec["Name"] or base.annotations.name or "default", dict(spec["Labels"] or base.annotations.labels)
        ),
        task_history_retention_limit=base.task_history_retention_limit if history is None else history,
        snapshot_interval=raft["SnapshotInterval"] or base.snapshot_interval,
        keep_old_snapshots=base.keep_old_snapshots if snapshots is None else snapshots,
        log_entries_for_slow_followers=raft["LogEntriesForSlowFollowers"] or base.log_entries_for_slow_followers,
        heartbeat_tick=raft["HeartbeatTick"] or base.heartbeat_tick,
        election_tick=raft["ElectionTick"] or base.election_tick,
        heartbeat_period_ns=spec["Dispatcher"]["HeartbeatPeriod"] or base.heartbeat_period_ns,
        node_cert_expiry_ns=ca["NodeCertExpiry"] or base.node_cert_expiry_ns,
        external_cas=(*base.external_cas, *(ca["ExternalCAs"] or ())),
        signing_ca_cert=ca["SigningCACert"] or base.signing_ca_cert,
        signing_ca_key=ca["SigningCAKey"] or base.signing_ca_key,
        force_rotate=ca["ForceRotate"],
        auto_lock_managers=spec["EncryptionConfig"]["AutoLockManagers"],
    )
