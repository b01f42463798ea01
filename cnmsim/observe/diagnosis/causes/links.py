"""Causes on links, in neighbours and MTUs."""

from __future__ import annotations

from attrs import frozen

from cnmsim.observe.diagnosis.causes.base import Cause


@frozen
class NeighbourSilent(Cause):
    """A packet was dropped because no station on the link answered ARP or neighbour discovery for its next hop.

    `is_known_address` is False if no running container or host of the lab has the address.
    """

    place: str
    address: str
    device: str
    is_known_address: bool = False


@frozen
class AddressHidden(Cause):
    """A packet was dropped because its sender looked for another machine's address on its own Docker network.

    The network's subnet contains the address, and its route is preferred to the one to the real owner.
    """

    place: str
    address: str
    owner: str
    network: str
    owner_name: str


@frozen
class HostOff(Cause):
    """A packet was dropped because the machine that has the address has no power or no cable."""

    place: str
    address: str
    device: str
    host: str


@frozen
class NextHopSilent(Cause):
    """A packet was dropped because the next hop to its destination did not answer."""

    place: str
    device: str
    address: str


@frozen
class FrameLost(Cause):
    """An ARP or neighbour discovery message was lost at `where`, so that the next hop could not be resolved."""

    packet: str
    where: str
    why: str


@frozen
class ParentAndChild(Cause):
    """A host and a container cannot reach each other: the container's device is a child of the host's interface.

    `kind` is `macvlan` or `ipvlan`: neither passes frames between a parent and its children.
    """

    guest: str
    kind: str
    host: str
    parent: str


@frozen
class SiblingsIsolated(Cause):
    """Two containers cannot reach each other: they are children of one interface, whose mode isolates them."""

    one: str
    other: str
    parent: str
    kind: str
    mode: str


@frozen
class IpvlanWithoutArp(Cause):
    """ARP requests for a container's address got no answer: a container on a routed ipvlan network answers none."""

    container: str
    mode: str
    host: str


@frozen
class IpvlanRouteMissing(Cause):
    """A router dropped the packet because it has no route to the subnet of a routed ipvlan network."""

    place: str
    subnet: str
    mode: str
    host: str
    is_reply: bool = False


@frozen
class DifferentVlans(Cause):
    """Two stations on one wire cannot reach each other because they are in different VLANs (0: untagged)."""

    one: str
    device: str
    vlan: int
    other: str
    other_device: str
    other_vlan: int


@frozen
class PortSecurity(Cause):
    """A switch port dropped a frame from `sender` because the source MAC address is not allowed on it."""

    device: str
    place: str
    sender: str
    why: str


@frozen
class VlanMissing(Cause):
    """A frame was dropped because the switch port or machine at `where` does not have the VLAN of the frame."""

    where: str
    why: str


@frozen
class ModeIsolates(Cause):
    """A frame was dropped because the mode of an ipvlan device forbids frames between its children."""

    where: str
    why: str
