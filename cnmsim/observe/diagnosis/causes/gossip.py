"""Causes where a swarm node lacks an entry that other nodes announce by gossip."""

from __future__ import annotations

from attrs import frozen

from cnmsim.observe.diagnosis.causes.base import Cause


@frozen
class ServiceUnknown(Cause):
    """A node cannot resolve a service name because gossip has not brought the entries of the service's tasks.

    The tasks run on the other `nodes`, which announce these entries.
    """

    host: str
    service: str
    network: str
    nodes: tuple[str, ...]


@frozen
class PortMissingInMesh(Cause):
    """A node refused the probe because its routing mesh does not have the published port of a service.

    The tasks of the service run on the other `nodes`, which announce the port by gossip.
    """

    host: str
    port: int
    service: str
    nodes: tuple[str, ...]


@frozen
class OverlayNeighbourUnknown(Cause):
    """A packet to a container on another node was dropped at the VXLAN device.

    The device has no neighbour or FDB entry for the container's address. `owner` is that container, on `owner_host`.
    """

    host: str
    address: str
    device: str
    network: str
    owner: str
    owner_host: str


@frozen
class NotLearnt(Cause):
    """A node lacks an entry that the swarm announces by gossip.

    `unknown` is the cause that names the missing entry. `reason` is the cause for which gossip did not deliver the
    entry.
    """

    unknown: Cause
    reason: Cause


@frozen
class MemberHalted(Cause):
    """A node of a swarm runs but does not take part in the swarm; `obstacle` says why, e.g. a locked manager."""

    host: str
    obstacle: str


@frozen
class ClosedPort(Cause):
    """A packet filter rule or policy on `host` drops packets to `port`. `protocols` is `TCP`, `UDP`, or both."""

    rule: str
    host: str
    protocols: str
    port: int


@frozen
class GossipFiltered(Cause):
    """Packet filters drop gossip (port 7946), so that nodes lack each other's entries. Gossip needs TCP and UDP."""

    closed: tuple[ClosedPort, ...]


@frozen
class HeartbeatsFiltered(Cause):
    """Packet filters drop the heartbeats of `node` to the managers (TCP port 2377).

    The managers therefore regard `node` as down.
    """

    node: str
    closed: tuple[ClosedPort, ...]


@frozen
class GossipSilent(Cause):
    """`host` receives no gossip from the node `other`, so it lacks the entries that `other` announces."""

    host: str
    other: str
