"""Nodes: the engines that are members of a cluster."""

from __future__ import annotations

from attrs import field, frozen

from cnmsim.swarm.objects.base import (
    Annotations,
    Availability,
    Labels,
    Membership,
    Meta,
    NodeRole,
    NodeState,
    Reachability,
)
from cnmsim.swarm.objects.network import NetworkAttachment
from cnmsim.swarm.objects.service import Platform, Resources


@frozen
class EngineDescription:
    """The engine of a node. `labels` are from its daemon.json; `plugins` are pairs of type and name."""

    engine_version: str = ""
    labels: Labels = field(factory=dict)
    plugins: tuple[tuple[str, str], ...] = ()


@frozen
class TlsInfo:
    """The root certificate that a node trusts (PEM), and the issuer of its own certificate.

    The issuer is identified by its subject and public key (DER) and by the digest of its certificate's PEM text.
    """

    trust_root: str = ""
    issuer_subject: bytes = b""
    issuer_public_key: bytes = b""
    issuer_digest: str = ""


@frozen
class NodeDescription:
    """The description of a node, which its agent sends to the dispatcher."""

    hostname: str = ""
    platform: Platform = field(factory=Platform)
    resources: Resources = field(factory=Resources)
    engine: EngineDescription = field(factory=EngineDescription)
    tls_info: TlsInfo | None = None


@frozen
class NodeStatus:
    """A node's state as recorded by the dispatcher, with the reason (`message`) and its agent's address (`addr`)."""

    state: NodeState = NodeState.UNKNOWN
    message: str = ""
    addr: str = ""


@frozen
class ManagerStatus:
    """A manager's status as a Raft member. `addr` is `host:port`."""

    raft_id: int = 0
    addr: str = ""
    leader: bool = False
    reachability: Reachability = Reachability.UNKNOWN


@frozen
class NodeSpec:
    """The spec of a node, set by administrators."""

    annotations: Annotations = field(factory=Annotations)
    desired_role: NodeRole = NodeRole.WORKER
    membership: Membership = Membership.ACCEPTED
    availability: Availability = Availability.ACTIVE


@frozen
class Certificate:
    """Status of a node's certificate. `state` is one of `pending`, `issued`, `renew`, `rotate` and `failed`."""

    role: NodeRole = NodeRole.WORKER
    cn: str = ""
    state: str = "issued"
    pem: str = ""


@frozen(eq=False)
class Node:
    """A node. `role` is its actual role (the desired one is in the spec).

    `attachments` are the addresses of the node's load balancer: one on each network on which the balancer needs an
    address.
    """

    id: str
    spec: NodeSpec = field(factory=NodeSpec)
    meta: Meta = field(factory=Meta)
    description: NodeDescription | None = None
    status: NodeStatus = field(factory=NodeStatus)
    manager_status: ManagerStatus | None = None
    attachments: tuple[NetworkAttachment, ...] = ()
    certificate: Certificate = field(factory=Certificate)
    role: NodeRole = NodeRole.WORKER
    vxlan_udp_port: int = 0

    @property
    def hostname(self) -> str:
        """The node's host name, or "" before its agent has sent it."""
        return self.description.hostname if self.description else ""
