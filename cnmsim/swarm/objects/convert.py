"""Objects of a cluster as the Engine API prints them (moby `daemon/cluster/convert`), and the specs it reads.

Services are in `convert_service`, specs of tasks in `convert_task`; what stands here is made of them.
"""

from __future__ import annotations

from base64 import b64encode
from collections.abc import Mapping
from typing import Any

from attrs import evolve

from cnmsim.errors import InvalidParameter
from cnmsim.swarm.objects.base import Annotations, Availability, Driver, Membership, NodeRole
from cnmsim.swarm.objects.cluster import UNSET_CLUSTER_SPEC, Cluster, ClusterSpec
from cnmsim.swarm.objects.convert_service import (
    annotations_to_api,
    meta_to_api,
    port_to_api,
    service_spec_from_api,
    service_spec_to_api,
    service_to_api,
)
from cnmsim.swarm.objects.convert_task import (
    driver_from_api,
    driver_to_api,
    generic_to_api,
    platform_to_api,
    resources_to_api,
    task_spec_to_api,
)
from cnmsim.swarm.objects.json import mapping, moment, omit_empty, pointer
from cnmsim.swarm.objects.network import IpamConfig, IpamOptions, Network, NetworkAttachment, NetworkSpec
from cnmsim.swarm.objects.node import Node, NodeSpec
from cnmsim.swarm.objects.secret import Config, ConfigSpec, Secret, SecretSpec
from cnmsim.swarm.objects.task import Task, TaskStatus

__all__ = [
    "cluster_spec_from_api",
    "cluster_to_api",
    "config_spec_from_api",
    "config_to_api",
    "network_resource",
    "network_spec_from_api",
    "network_to_api",
    "node_spec_from_api",
    "node_to_api",
    "secret_spec_from_api",
    "secret_to_api",
    "service_spec_from_api",
    "service_spec_to_api",
    "service_to_api",
    "swarm_to_api",
    "task_to_api",
]


# ---- tasks


def task_to_api(task: Task) -> dict[str, Any]:
    """Print a task."""
    return {
        "ID": task.id,
        **meta_to_api(task.meta.version, task.meta.created_ns, task.meta.updated_ns),
        **annotations_to_api(task.annotations),
        "Spec": task_spec_to_api(task.spec),
        **omit_empty(("ServiceID", task.service_id), ("Slot", task.slot), ("NodeID", task.node_id)),
        "Status": _status_to_api(task.status),
        "DesiredState": task.desired_state.name.lower(),
        **omit_empty(
            ("NetworksAttachments", [_attachment_to_api(each) for each in task.networks]),
            ("GenericResources", [generic_to_api(each) for each in task.assigned_generic_resources]),
        ),
        **pointer("JobIteration", None if task.job_iteration is None else omit_empty(("Index", task.job_iteration))),
        "Volumes": None,
    }


def _status_to_api(status: TaskStatus) -> dict[str, Any]:
    container = status.container
    return {
        "Timestamp": moment(status.timestamp_ns),
        "State": status.state.name.lower(),
        **omit_empty(("Message", status.message), ("Err", status.err)),
        **pointer(
            "ContainerStatus",
            None
            if container is None
            else {"ContainerID": container.container_id, "PID": container.pid, "ExitCode": container.exit_code},
        ),
        "PortStatus": omit_empty(("Ports", [port_to_api(each) for each in status.port_status or ()])),
    }


def _attachment_to_api(attachment: NetworkAttachment) -> dict[str, Any]:
    return {
        "Network": network_to_api(attachment.network),
        **omit_empty(("Addresses", list(attachment.addresses))),
    }


# ---- networks


def network_to_api(network: Network) -> dict[str, Any]:
    """Print a network as it stands in tasks."""
    spec = network.spec
    return {
        "ID": network.id,
        **meta_to_api(network.meta.version, network.meta.created_ns, network.meta.updated_ns),
        "Spec": {
            **annotations_to_api(spec.annotations),
            **pointer("DriverConfiguration", None if spec.driver is None else driver_to_api(spec.driver)),
            **omit_empty(
                ("IPv6Enabled", spec.ipv6_enabled),
                ("Internal", spec.internal),
                ("Attachable", spec.attachable),
                ("Ingress", network.is_ingress),
            ),
            **pointer("IPAMOptions", None if spec.ipam is None else _ipam_to_api(spec.ipam)),
            **pointer("ConfigFrom", {"Network": spec.config_from} if spec.config_from else None),
            "Scope": "swarm",
        },
        "DriverState": {} if network.driver_state is None else driver_to_api(network.driver_state),
        **pointer("IPAMOptions", None if network.ipam is None else _ipam_to_api(network.ipam)),
    }


def _ipam_to_api(ipam: IpamOptions) -> dict[str, Any]:
    return {
        "Driver": {} if ipam.driver is None else driver_to_api(ipam.driver),
        **omit_empty(
            (
                "Configs",
                [
                    omit_empty(("Subnet", each.subnet), ("Range", each.range), ("Gateway", each.gateway))
                    for each in ipam.configs
                ],
            )
        ),
    }


def network_resource(network: Network, *, shows_enable_ipv4: bool = True) -> dict[str, Any]:
    """Print a network as `network ls` and `network inspect` have it, without what a node knows of it."""
    spec, ipam = network.spec, network.ipam
    ipam_driver = ipam.driver if ipam is not None else None
    configs: list[dict[str, Any]] | None = None
    if ipam is not None:
        configs = [
            omit_empty(
                ("Subnet", each.subnet),
                ("IPRange", each.range),
                ("Gateway", each.gateway),
                ("AuxiliaryAddresses", mapping(each.reserved)),
            )
            for each in ipam.configs
        ]
    state = network.driver_state
    return {
        "Name": network.name,
        "Id": network.id,
        "Created": moment(network.meta.created_ns),
        "Scope": "swarm",
        "Driver": state.name if state is not None else "",
        **({"EnableIPv4": True} if shows_enable_ipv4 else {}),
        "EnableIPv6": spec.ipv6_enabled,
        "IPAM": {
            "Driver": ipam_driver.name if ipam_driver is not None else "",
            "Options": dict(ipam_driver.options) if ipam_driver is not None and ipam_driver.options else None,
            "Config": configs,
        },
        "Internal": spec.internal,
        "Attachable": spec.attachable,
        "Ingress": network.is_ingress,
        "ConfigFrom": {"Network": spec.config_from},
        "ConfigOnly": False,
        "Containers": None,
        "Options": dict(state.options) if state is not None and state.options is not None else None,
        "Labels": dict(spec.annotations.labels) or None,
    }


def network_spec_from_api(create: Mapping[str, Any]) -> NetworkSpec:
    """Read the decoded body of `POST /networks/create` for a network of the cluster."""
    ipam, config_from = create["IPAM"], create["ConfigFrom"]
    return NetworkSpec(
        annotations=_annotations(create),
        driver=Driver(create["Driver"], create["Options"]),
        ipv6_enabled=bool(create["EnableIPv6"]),
        internal=create["Internal"],
        attachable=create["Attachable"],
        ingress=create["Ingress"],
        ipam=None if ipam is None else _ipam_from_api(ipam),
        config_from="" if config_from is None else config_from["Network"],
    )


def _annotations(spec: Mapping[str, Any]) -> Annotations:
    return Annotations(spec["Name"], dict(spec["Labels"] or {}))


def _ipam_from_api(ipam: Mapping[str, Any]) -> IpamOptions:
    return IpamOptions(
        Driver(ipam["Driver"] or "default", ipam["Options"]),
        tuple(IpamConfig(each["Subnet"], each["IPRange"], each["Gateway"]) for each in ipam["Config"]),
    )


# ---- nodes


def node_to_api(node: Node) -> dict[str, Any]:
    """Print a node."""
    manager = node.manager_status
    return {
        "ID": node.id,
        **meta_to_api(node.meta.version, node.meta.created_ns, node.meta.updated_ns),
        "Spec": {
            **annotations_to_api(node.spec.annotations),
            "Role": node.spec.desired_role.value,
            "Availability": node.spec.availability.value,
        },
        "Description": _description_to_api(node),
        "Status": {
            "State": node.status.state.value,
            **omit_empty(("Message", node.status.message), ("Addr", node.status.addr)),
        },
        **pointer(
            "ManagerStatus",
            None
            if manager is None
            else omit_empty(
                ("Leader", manager.leader), ("Reachability", manager.reachability.value), ("Addr", manager.addr)
            ),
        ),
    }


def _description_to_api(node: Node) -> dict[str, Any]:
    description = node.description
    if description is None:
        return {"Platform": {}, "Resources": {}, "Engine": {}, "TLSInfo": {}}
    engine, tls = description.engine, description.tls_info
    return {
        **omit_empty(("Hostname", description.hostname)),
        "Platform": platform_to_api(description.platform),
        "Resources": resources_to_api(description.resources),
        "Engine": omit_empty(
            ("EngineVersion", engine.engine_version),
            ("Labels", mapping(engine.labels)),
            ("Plugins", [omit_empty(("Type", kind), ("Name", name)) for kind, name in engine.plugins]),
        ),
        "TLSInfo": {} if tls is None else _tls_to_api(tls.trust_root, tls.issuer_subject, tls.issuer_public_key),
    }


def _tls_to_api(trust_root: str, subject: bytes, public_key: bytes) -> dict[str, Any]:
    return omit_empty(
        ("TrustRoot", trust_root),
        ("CertIssuerSubject", b64encode(subject).decode()),
        ("CertIssuerPublicKey", b64encode(public_key).decode()),
    )


def node_spec_from_api(spec: Mapping[str, Any]) -> NodeSpec:
    """Read a node's decoded spec. Raises `InvalidParameter` in the daemon's words."""
    role, availability = spec["Role"], spec["Availability"]
    try:
        desired_role = NodeRole(role.lower())
    except ValueError:
        raise InvalidParameter(f'invalid Role: "{role}"') from None
    try:
        chosen = Availability(availability.lower())
    except ValueError:
        raise InvalidParameter(f'invalid Availability: "{availability}"') from None
    # The API knows nothing of membership: a node whose spec somebody has written is listed as pending from then on.
    return NodeSpec(_annotations(spec), desired_role, Membership.PENDING, chosen)


# ---- secrets and configs


def secret_to_api(secret: Secret) -> dict[str, Any]:
    """Print a secret; the content is only there if the object has it."""
    spec = secret.spec
    return {
        "ID": secret.id,
        **meta_to_api(secret.meta.version, secret.meta.created_ns, secret.meta.updated_ns),
        "Spec": {
            **annotations_to_api(spec.annotations),
            **omit_empty(("Data", b64encode(spec.data).decode())),
            **pointer("Driver", None if spec.driver is None else driver_to_api(spec.driver)),
            **pointer("Templating", None if spec.templating is None else driver_to_api(spec.templating)),
        },
    }


def config_to_api(config: Config) -> dict[str, Any]:
    """Print a config."""
    spec = config.spec
    return {
        "ID": config.id,
        **meta_to_api(config.meta.version, config.meta.created_ns, config.meta.updated_ns),
        "Spec": {
            **annotations_to_api(spec.annotations),
            **omit_empty(("Data", b64encode(spec.data).decode())),
            **pointer("Templating", None if spec.templating is None else driver_to_api(spec.templating)),
        },
    }


def secret_spec_from_api(spec: Mapping[str, Any]) -> SecretSpec:
    """Read a secret's decoded spec, with its content in bytes."""
    driver, templating = driver_from_api(spec["Driver"]), driver_from_api(spec["Templating"])
    return SecretSpec(_annotations(spec), spec["Data"], driver, templating)


def config_spec_from_api(spec: Mapping[str, Any]) -> ConfigSpec:
    """Read a config's decoded spec, with its content in bytes."""
    return ConfigSpec(_annotations(spec), spec["Data"], driver_from_api(spec["Templating"]))


# ---- the cluster


def cluster_to_api(cluster: Cluster) -> dict[str, Any]:
    """Print the cluster as `docker info` has it."""
    spec, root = cluster.spec, cluster.root_ca
    issuer = root.rotation or root
    return {
        "ID": cluster.id,
        **meta_to_api(cluster.meta.version, cluster.meta.created_ns, cluster.meta.updated_ns),
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
        "TLSInfo": _tls_to_api(root.ca_cert, issuer.issuer_subject, issuer.issuer_public_key),
        "RootRotationInProgress": root.rotation is not None,
        "DefaultAddrPool": list(cluster.default_address_pool or ()) or None,
        "SubnetSize": cluster.subnet_size,
        "DataPathPort": cluster.vxlan_udp_port,
    }


def swarm_to_api(cluster: Cluster) -> dict[str, Any]:
    """Print the cluster as `GET /swarm` has it, with its join tokens."""
    tokens = {"Worker": cluster.root_ca.worker_token, "Manager": cluster.root_ca.manager_token}
    return {**cluster_to_api(cluster), "JoinTokens": tokens}


def cluster_spec_from_api(spec: Mapping[str, Any], base: ClusterSpec = UNSET_CLUSTER_SPEC) -> ClusterSpec:
    """Read a cluster's decoded settings; what is empty is as in `base` (MergeSwarmSpecToGRPC)."""
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
