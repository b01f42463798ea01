"""Causes in overlay networks and their tunnels."""

from __future__ import annotations

from attrs import frozen

from cnmsim.observe.diagnosis.causes.base import Cause, Drop


@frozen
class TunnelPacket:
    """The outer packet of an overlay network's tunnel.

    `sender` and `receiver` are the nodes at the two ends of the tunnel, `network` is the overlay network whose packet
    is inside, and `port` is the UDP destination port before encryption. `is_reply` is True if the packet inside is a
    reply.
    """

    sender: str
    receiver: str
    network: str
    port: int
    is_encrypted: bool = False
    is_reply: bool = False


@frozen
class TunnelFiltered(Cause):
    """A packet filter dropped the outer packet of a tunnel."""

    packet: TunnelPacket
    drop: Drop


@frozen
class TunnelTooLong(Cause):
    """The outer packet of a tunnel was dropped because it is longer than the MTU of the device or link `where`.

    `mtu` is that MTU (0 if unknown); `header` is the number of bytes that the tunnel adds to the container's packet.
    """

    packet: TunnelPacket
    where: str
    mtu: int
    header: int


@frozen
class TunnelWithoutKeys(Cause):
    """The receiving node has no IPsec state for the outer packet of an encrypted network and dropped it."""

    packet: TunnelPacket
    drop: Drop


@frozen
class TunnelSourceUnexpected(Cause):
    """The receiving node dropped the outer packet of a tunnel because its source address is not the expected one.

    `expected` is the sender's data path address, `used` the source address of the packet. `peer` is the packet's
    destination address: the sender's route to this address selected the source address `used`.
    """

    packet: TunnelPacket
    receiver: str
    used: str
    expected: str
    peer: str


@frozen
class TunnelPortClosed(Cause):
    """The receiving node dropped the outer packet of a tunnel: none of its VXLAN devices uses that UDP port."""

    packet: TunnelPacket
    place: str


@frozen
class TunnelLost(Cause):
    """The outer packet of a tunnel was dropped on its path for a reason that has no class of its own; see `drop`."""

    packet: TunnelPacket
    drop: Drop


@frozen
class TunnelIntoSilence(Cause):
    """Outer packets of a tunnel left the node `host` and did not arrive at the node `end`.

    The trace does not show where they were dropped.
    """

    host: str
    end: str
    network: str


@frozen
class OverlayAddressUnknown(Cause):
    """A packet was dropped because the node has no neighbour or FDB entry for its destination address.

    No running container of the overlay network has that address.
    """

    host: str
    address: str
    device: str
    network: str


@frozen
class OverlayHoldsHostAddress(Cause):
    """A packet to the host `owner` was dropped because an overlay network's subnet contains the host's address.

    The node `host` therefore looks for the address in the tunnel instead of on the real network.
    """

    address: str
    owner: str
    network: str
    host: str
    device: str


@frozen
class VniTaken(Cause):
    """An overlay network cannot come up on a host because a VXLAN device of the host already uses its VNI."""

    host: str
    device: str
    vni: int
    network: str
