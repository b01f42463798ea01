"""Causes in routing: missing routes, refusing routes, forwarding, gateways."""

from __future__ import annotations

from attrs import frozen

from cnmsim.observe.diagnosis.causes.base import Cause, Drop


@frozen
class NoRoute(Cause):
    """A machine dropped a packet because it has no route to the destination of the packet."""

    place: str
    address: str
    is_ipv6: bool = False


@frozen
class NoIpv6Route(Cause):
    """A container has no route to an IPv6 address because none of its networks has IPv6."""

    container: str
    address: str


@frozen
class ReplyHasNoRoute(Cause):
    """A router dropped a reply of the destination because it has no route back to the container's address.

    The request had left the container's `host` without masquerading, so with the container's own source address.
    """

    place: str
    address: str
    host: str
    container: str


@frozen
class NotAttached(Cause):
    """A container has no route to the destination because it is attached to no network."""

    container: str
    address: str


@frozen
class ContainerNetworkUnknown(Cause):
    """The probe's source has no route to a container's address, because only the container's own host has one."""

    source: str
    address: str
    host: str
    container: str


@frozen
class InternalNetworksOnly(Cause):
    """A container has no default route because all its networks, `networks`, are internal."""

    container: str
    networks: tuple[str, ...]


@frozen
class Dropped(Cause):
    """A packet was dropped for a kernel reason that needs no further explanation and has no class of its own."""

    drop: Drop


@frozen
class RouteRefuses(Cause):
    """A packet was dropped by a route or routing rule whose type is unreachable, blackhole or prohibit.

    `is_rule` is True for a routing rule (`ip rule`).
    """

    drop: Drop
    is_rule: bool


@frozen
class ForwardingOff(Cause):
    """A machine dropped a packet addressed to another machine because IP forwarding is off: sysctl `key` is 0.

    `is_reply` is True if the packet was a reply.
    """

    place: str
    key: str
    is_reply: bool


@frozen
class RoutingLoop(Cause):
    """Machines forwarded a packet to each other in a loop until its TTL ran out on the machine `place`.

    `routes` are pairs of a machine and the route by which it forwarded the packet.
    """

    place: str
    routes: tuple[tuple[str, str], ...]


@frozen
class LinkDown(Cause):
    """The probe's source has no route to the destination because an interface is down, which removed its routes."""

    device: str
    source: str


@frozen
class NoAddress(Cause):
    """The probe's source is a host without any address, so it cannot send any packet."""

    source: str


@frozen
class NarrowMask(Cause):
    """The probe's source has no route to a machine on the same link, because its netmask is too narrow.

    `subnet` is the source's subnet and `own` its address with prefix length. `neighbour` is the other machine, with
    `address` in `neighbour_subnet`.
    """

    source: str
    subnet: str
    own: str
    address: str
    neighbour: str
    neighbour_subnet: str


@frozen
class SilentGateway(Cause):
    """A packet was dropped on `place` because the gateway of its route did not answer ARP or neighbour discovery.

    `replier` is the sender of the packet if it was a reply, else "".
    """

    place: str
    address: str
    route: str
    gateway: str
    replier: str = ""


@frozen
class ConntrackFull(Cause):
    """A machine dropped the first packet of a connection because its conntrack table already has `limit` entries."""

    place: str
    limit: str


@frozen
class MulticastNotForwarded(Cause):
    """A packet to a multicast group was sent, but no router or tunnel forwards it to other networks.

    `source` sent it on `device` by `route`; it went no further than the machine `place`.
    """

    address: str
    source: str
    device: str
    route: str
    place: str
