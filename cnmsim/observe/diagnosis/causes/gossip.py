"""Causes in what a node has not learnt by gossip."""

from __future__ import annotations

from attrs import frozen

from cnmsim.observe.diagnosis.causes.base import Cause


@frozen
class ServiceUnknown(Cause):
    """A node does not resolve a service because it lacks the entries of its tasks, which run on the other `nodes`."""

    host: str
    service: str
    network: str
    nodes: tuple[str, ...]


@frozen
class PortMissingInMesh(Cause):
    """A node refused the packet because its routing mesh lacks the port of a service.

    The tasks of the service run on the other `nodes`.
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
    """A node lacks an entry of the swarm (`unknown`), and `reason` says why gossip has not brought it."""

    unknown: Cause
    reason: Cause


@frozen
class MemberHalted(Cause):
    """A member of the swarm was started but does not take part in it; `obstacle` says why, e.g. a locked manager."""

    host: str
    obstacle: str


@frozen
class GossipFiltered(Cause):
    """A packet filter rule on `host` drops gossip (port 7946), so that nodes lack each other's entries."""

    rule: str
    host: str


@frozen
class GossipSilent(Cause):
    """`host` receives no gossip from `other`, and so lacks the entries that `other` announces."""

    host: str
    other: str
