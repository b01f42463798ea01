"""Causes on links: no answer from neighbours, VLANs, macvlan and ipvlan, port security."""

from __future__ import annotations

from attrs import frozen

from cnmsim.observe.diagnosis.causes.base import Cause


@frozen
class NeighbourSilent(Cause):
    """A packet was dropped because nothing on the link answered ARP or neighbour discovery for its next hop.

    The machine `place` sent the requests for `address`, the next hop, on `device`. `is_known_address` is False if no
    running container or host of the lab has that address.
    """

    place: str
    address: str
    device: str
    is_known_address: bool = False


@frozen
class AddressHidden(Cause):
    """A packet to another machine, `owner`, was dropped because the subnet of a Docker network contains its address.

    The machine `place` has a route to the Docker network `network`. It therefore sent the ARP request for the address
    to this network, where `owner` does not receive it.
    """

    place: str
    address: str
    owner: str
    network: str
    owner_name: str


@frozen
class HostOff(Cause):
    """A packet to the machine `host` (`address`) was dropped because the machine is powered off or has no cable.

    The machine `place` dropped the packet: its ARP requests or neighbour solicitations on `device` got no answer.
    """

    place: str
    address: str
    device: str
    host: str


@frozen
class NextHopSilent(Cause):
    """A packet to `address` was dropped because its next hop did not answer the requests of the machine `place`."""

    place: str
    device: str
    address: str


@frozen
class FrameLost(Cause):
    """An ARP or neighbour discovery packet was lost at `where`, so that the next hop could not be resolved.

    `packet` is the label of that packet, e.g. `ARP request`; `why` is the reason for the loss as text.
    """

    packet: str
    where: str
    why: str


@frozen
class ParentAndChild(Cause):
    """A host and a container cannot reach each other: the container's device is a child of the host's interface.

    The container is `guest`, the interface of `host` is `parent`. `kind` is `macvlan` or `ipvlan`: neither passes
    frames between a parent and its children.
    """

    guest: str
    kind: str
    host: str
    parent: str


@frozen
class SiblingsIsolated(Cause):
    """Two containers, `one` and `other`, cannot reach each other: the mode of their devices isolates them.

    Both devices are children of the interface `parent`. `kind` is `macvlan` or `ipvlan`, `mode` is e.g. `private`.
    """

    one: str
    other: str
    parent: str
    kind: str
    mode: str


@frozen
class IpvlanWithoutArp(Cause):
    """ARP requests for a container's address got no answer, because ipvlan in an L3 mode does not answer ARP.

    `mode` is that mode, `l3` or `l3s`.
    """

    container: str
    mode: str
    host: str


@frozen
class IpvlanRouteMissing(Cause):
    """The router `place` dropped a packet because it has no route to the subnet of a routed ipvlan network.

    The network is on `host`, in the ipvlan mode `mode` (`l3` or `l3s`). `is_reply` is True if the packet was a reply.
    """

    place: str
    subnet: str
    mode: str
    host: str
    is_reply: bool = False


@frozen
class DifferentVlans(Cause):
    """Two machines or containers on one link cannot reach each other: they are in different VLANs (0: untagged)."""

    one: str
    device: str
    vlan: int
    other: str
    other_device: str
    other_vlan: int


@frozen
class PortSecurity(Cause):
    """A switch port dropped a frame from `sender` because the port does not allow the frame's source MAC address.

    The switch port is that of `device` on the machine `place`; `why` is the switch's reason as text.
    """

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
    """A frame was dropped because the mode of an ipvlan device forbids frames between its children.

    `where` is the place and device of the drop, `why` the reason as text.
    """

    where: str
    why: str
