"""Network devices: their base class, loopback, veth pairs and physical NICs.

A device transfers Ethernet frames as bytes. `transmit` is called by the stack or bridge above the device, `receive`
by the other end of the link. A frame always crosses by way of the clock's queue, never by a direct call into the
other namespace.
"""

from __future__ import annotations

import errno
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, ClassVar, Protocol

from attrs import field, frozen

from cnmsim.kernel.address import MAC_ZERO, Address, Mac, Prefix, eui64_link_local, format_ip, is_multicast
from cnmsim.kernel.events import Detail, DropReason, Event, MtuLimit, Step

if TYPE_CHECKING:
    from cnmsim.kernel.bridge import Bridge
    from cnmsim.kernel.clock import Clock
    from cnmsim.kernel.interning import InternedMultiMap
    from cnmsim.kernel.namespace import NetworkNamespace
    from cnmsim.kernel.offload.datagram_path import LinkPath
    from cnmsim.kernel.upper_devices import UpperDevices

#: A capture callback, called with the virtual time in ns, "in" or "out" as seen from the device, and the frame.
Tap = Callable[[int, str, bytes], None]

ETHERNET_HEADER = 14
_IPV6_MIN_MTU = 1280
FRAME_OVERHEAD = ETHERNET_HEADER + 4  # a VLAN tag may come on top of the MTU


@frozen
class InterfaceAddress:
    """An address on a device, as `ip addr` lists it.

    `broadcast` is the address that `ip addr` shows after `brd`, or `None`. `scope` is `global`, `link` or `host`.
    `flags` may contain `nodad` and `noprefixroute`. `protocol` is the origin of an address that the kernel made
    (IFA_PROTO): `kernel_ll` or `kernel_lo`.
    """

    address: Address
    prefixlen: int
    scope: str = "global"
    broadcast: Address | None = None
    flags: frozenset[str] = frozenset()
    protocol: str = ""
    #: The connected network.
    prefix: Prefix = field(init=False, eq=False, repr=False)
    #: Destinations that are treated as broadcasts because of this address.
    broadcasts: tuple[Address, ...] = field(init=False, eq=False, repr=False)

    @prefix.default
    def _find_prefix(self) -> Prefix:
        return Prefix.of(self.address, self.prefixlen)

    @broadcasts.default
    def _find_broadcasts(self) -> tuple[Address, ...]:
        if self.family == 6 or self.prefixlen >= 31 or not self.can_be_source:
            return ()
        own = self.prefix.broadcast
        return (own,) if self.broadcast is None else (own, self.broadcast)

    @property
    def family(self) -> int:
        """The address family: 4 or 6."""
        return 6 if len(self.address) == 16 else 4

    @property
    def can_be_source(self) -> bool:
        """Whether the address can be the preferred source of a route, which the kernel needs for a connected route.

        A multicast address, 0.0.0.0 and 255.255.255.255 cannot (net/ipv4/fib_semantics.c, fib_valid_prefsrc).
        """
        return not is_multicast(self.address) and self.address not in (bytes(4), b"\xff" * 4)

    def __str__(self) -> str:
        return f"{format_ip(self.address)}/{self.prefixlen}"


class Device:
    """The base class of all network devices (Linux: struct net_device).

    `index` is the interface index in its namespace, 0 while it is in none. `master` is the bridge that the device is
    a port of. `upper_devices` holds its VLANs and its macvlan or ipvlan children. `taps` are the callbacks of packet
    captures, which are called for every frame that the device sends or receives.
    """

    __slots__ = (
        "_mtu", "addresses", "clock", "has_qdisc", "index", "interned_neighbours", "is_all_multicast",
        "is_promiscuous", "is_up", "mac", "master",
        "name", "namespace", "rx_bytes", "rx_dropped", "rx_packets", "taps", "tx_bytes", "tx_dropped", "tx_packets",
        "txqueuelen", "upper_devices",
    )  # fmt: skip

    kind: ClassVar[str] = "device"
    #: The limits of the MTU in bytes; a `max_mtu` of 0 means no limit.
    min_mtu: ClassVar[int] = 68
    max_mtu: ClassVar[int] = 65535
    #: Whether the device can receive additional unicast addresses without receiving all frames (IFF_UNICAST_FLT).
    filters_unicast: ClassVar[bool] = False

    def __init__(self, name: str, mac: Mac, clock: Clock, mtu: int = 1500) -> None:
        self.name = name
        self.mac = mac
        self.clock = clock
        self._mtu = mtu
        self.index = 0
        self.is_up = False
        self.is_promiscuous = self.is_all_multicast = False
        #: Whether the device has been up in its present namespace, and so has a queueing discipline.
        self.has_qdisc = False
        self.namespace: NetworkNamespace | None = None
        self.master: Bridge | None = None
        self.upper_devices: UpperDevices | None = None
        self.addresses: list[InterfaceAddress] = []
        #: Permanent neighbour entries in storage shared with devices of other nodes: see `NeighbourTable`.
        self.interned_neighbours: InternedMultiMap[Address, Mac] | None = None
        self.taps: tuple[Tap, ...] = ()
        self.txqueuelen = 1000
        self.rx_packets = self.rx_bytes = self.rx_dropped = 0
        self.tx_packets = self.tx_bytes = self.tx_dropped = 0

    def __repr__(self) -> str:
        place = self.namespace.name if self.namespace else "?"
        return f"<{type(self).__name__} {place}:{self.name}>"

    @property
    def mtu(self) -> int:
        """The size of the largest IP packet, in bytes."""
        return self._mtu

    @property
    def has_carrier(self) -> bool:
        """Whether the link has a carrier (`LOWER_UP`)."""
        return self.is_up

    @property
    def peer_index(self) -> int | None:
        """The interface index that `ip link` shows after `@if`, e.g. 7 for `eth0@if7`.

        `None` if the device has no peer.
        """
        return None

    @property
    def no_arp(self) -> bool:
        """The `NOARP` flag: True if packets are sent without resolving link-layer addresses."""
        return False

    @property
    def promiscuity(self) -> int:
        """The number of requests for promiscuous mode: from the user, the bridge and upper devices. 0 means off."""
        wishes = self.is_promiscuous + (self.master is not None)
        return wishes + (self.upper_devices.promiscuity() if self.upper_devices is not None else 0)

    @property
    def all_multicast(self) -> int:
        """The number of requests to receive all multicast frames (`allmulti`). 0 means off."""
        wishes = self.is_all_multicast + (self.master is not None)
        return wishes + (self.upper_devices.all_multicast() if self.upper_devices is not None else 0)

    def link_local_address(self) -> Address:
        """Return the fe80:: address that IPv6 autoconfiguration derives from the MAC (RFC 4291 appendix A)."""
        return eui64_link_local(self.mac)

    def refuse_address(self, address: Address) -> None:
        """Raise `OSError` if a device of this kind cannot have `address`. The base class accepts every address."""

    def set_up(self) -> None:
        """Set the device up, as `ip link set DEV up` does."""
        if not self.is_up:
            self.is_up = self.has_qdisc = True
            self._link_changed()

    def set_down(self) -> None:
        """Set the device down, as `ip link set DEV down` does. Its routes are removed."""
        if self.is_up:
            self.is_up = False
            self._link_changed()

    def set_mtu(self, mtu: int) -> None:
        """Set the MTU in bytes.

        Raises `OSError(EINVAL)` if it is below `min_mtu` or above `max_mtu` (dev_validate_mtu).
        """
        if mtu < self.min_mtu:
            raise OSError(errno.EINVAL, "mtu less than device minimum")
        if self.max_mtu and mtu > self.max_mtu:
            raise OSError(errno.EINVAL, "mtu greater than device maximum")
        self._take_mtu(mtu)

    def _take_mtu(self, mtu: int) -> None:
        had_ipv6, self._mtu = self.carries_ipv6, mtu
        if self.namespace is not None:
            if self.carries_ipv6 is not had_ipv6:
                self.namespace.ipv6_support_changed(self)
            self.namespace.topology_changed()
        if self.upper_devices is not None:
            self.upper_devices.mtu_changed()

    @property
    def carries_ipv6(self) -> bool:
        """Whether the MTU is large enough for IPv6 (RFC 8200 §5).

        If it is not, Linux disables IPv6 on the device entirely (addrconf_notify).
        """
        return self._mtu >= _IPV6_MIN_MTU

    def set_mac(self, mac: Mac) -> None:
        """Set the MAC address.

        Raises `OSError(EADDRNOTAVAIL)` for a multicast or all-zero address (is_valid_ether_addr).
        """
        if mac[0] & 1 or not any(mac):
            raise OSError(errno.EADDRNOTAVAIL, "Cannot assign requested address")
        self._take_mac(mac)

    def _take_mac(self, mac: Mac) -> None:
        old, self.mac = self.mac, mac
        if self.namespace is not None:
            self.namespace.topology_changed()
        if self.master is not None:
            self.master.port_mac_changed(self, old)
        if self.upper_devices is not None:
            self.upper_devices.mac_changed()

    def _link_changed(self) -> None:
        if self.namespace is not None:
            self.namespace.link_changed(self)
        if self.master is not None:
            self.master.port_changed()
        if self.upper_devices is not None:
            self.upper_devices.link_changed()

    def transmit(self, frame: bytes) -> None:
        """Send a frame out of the device."""
        if not self.is_up:
            self.drop(frame, DropReason.LINK_DOWN)
            return
        self.tx_packets += 1
        self.tx_bytes += len(frame)
        if self.taps and self.kind != "loopback":  # libpcap shows a frame on lo only once, as incoming
            for tap in self.taps:
                tap(self.clock.now_ns, "out", frame)
        if self.clock.context is not None:
            self._report(Step.TRANSMITTED, frame)
        self._put_on_wire(frame)

    def _put_on_wire(self, frame: bytes) -> None:
        self.drop(frame, DropReason.NO_CARRIER)

    def receive(self, frame: bytes) -> None:
        """Process a frame received from the link: pass it to upper devices, the bridge or the namespace."""
        if not self.is_up:
            self.drop(frame, DropReason.LINK_DOWN)
            return
        self.rx_packets += 1
        self.rx_bytes += len(frame)
        if self.taps:
            for tap in self.taps:
                tap(self.clock.now_ns, "in", frame)
        if len(frame) < ETHERNET_HEADER:
            self.drop(frame, DropReason.MALFORMED, "shorter than an Ethernet header")
            return
        if self.clock.context is not None:
            self._report(Step.RECEIVED, frame)
        if self.upper_devices is not None and self.upper_devices.input(frame):
            return
        if self.master is not None:
            self.master.port_input(frame, self)
        elif self.namespace is not None:
            self.namespace.input(frame, self)

    def detach(self) -> None:
        """Leave the bridge and delete the upper devices, because the device is being removed."""
        if self.master is not None:
            self.master.remove_port(self)
        if self.upper_devices is not None:
            self.upper_devices.remove_all()

    def drop(self, frame: bytes, reason: DropReason, what: str = "", detail: Detail | None = None) -> None:
        """Drop a frame: count it in `tx_dropped`, and report `reason` to the observer.

        `what` is the text of the report; "" means the text of `reason`. `detail` is an object with data about the
        cause, such as the `MtuLimit` that the frame exceeds.
        """
        self.tx_dropped += 1
        if self.clock.observes_drops:
            self._report(Step.DROPPED, frame, what or reason.value, reason, detail)

    def _report(
        self, step: Step, frame: bytes, what: str = "", reason: DropReason | None = None, detail: Detail | None = None
    ) -> None:
        observer, meter = self.clock.context, self.clock.meter if step is Step.DROPPED else None
        if observer is None and meter is None:
            return
        place = self.namespace.name if self.namespace else ""
        event = Event(self.clock.now_ns, place, self.name, step, what or step.value, "", frame, True, reason, detail)
        if observer is not None:
            observer.report(event)
        if meter is not None:
            meter.dropped(event)


class Loopback(Device):
    """The `lo` device, which receives every frame that it transmits."""

    __slots__ = ()
    kind = "loopback"
    min_mtu = max_mtu = 0

    def __init__(self, clock: Clock) -> None:
        super().__init__("lo", MAC_ZERO, clock, mtu=65536)

    def _put_on_wire(self, frame: bytes) -> None:
        self.clock.call_soon(self.receive, frame)


class Veth(Device):
    """One end of a virtual Ethernet cable (Linux: drivers/net/veth.c)."""

    __slots__ = ("peer",)
    kind = "veth"

    def __init__(self, name: str, mac: Mac, clock: Clock, mtu: int = 1500) -> None:
        super().__init__(name, mac, clock, mtu)
        self.peer: Veth | None = None

    @classmethod
    def pair(cls, clock: Clock, name: str, peer_name: str, mac: Mac, peer_mac: Mac) -> tuple[Veth, Veth]:
        """Create both ends of a cable and return them: the end named `name` and the end named `peer_name`.

        They are down and not yet in a namespace.
        """
        one, two = cls(name, mac, clock), cls(peer_name, peer_mac, clock)
        one.peer, two.peer = two, one
        return one, two

    @property
    def has_carrier(self) -> bool:
        """Whether both ends are up."""
        return self.is_up and self.peer is not None and self.peer.is_up

    @property
    def peer_index(self) -> int | None:
        """The interface index of the peer in the peer's own namespace, `None` if this end has no peer."""
        return self.peer.index if self.peer is not None else None

    def _link_changed(self) -> None:
        super()._link_changed()
        peer = self.peer
        if peer is not None and peer.is_up:
            Device._link_changed(peer)

    def transmit(self, frame: bytes) -> None:
        """Send a frame to the other end."""
        peer = self.peer
        if self.taps or self.clock.context is not None or not self.is_up or peer is None or not peer.is_up:
            super().transmit(frame)
        elif len(frame) > peer._mtu + FRAME_OVERHEAD:
            self._too_long(frame, peer)
        else:  # the hot path: not observed, and no fault
            self.tx_packets += 1
            self.tx_bytes += len(frame)
            self.clock._ready.append((peer.receive, (frame,), None))

    def _too_long(self, frame: bytes, peer: Veth) -> None:
        self.drop(
            frame,
            DropReason.MTU_EXCEEDED,
            f"{len(frame) - 14} bytes, MTU of {peer.name} is {peer._mtu}",
            MtuLimit(peer._mtu),
        )

    def _put_on_wire(self, frame: bytes) -> None:
        peer = self.peer
        if peer is None or not peer.is_up:
            self.drop(frame, DropReason.NO_CARRIER)
        elif len(frame) > peer._mtu + FRAME_OVERHEAD:
            self._too_long(frame, peer)
        else:
            self.clock.call_soon(peer.receive, frame)

    def detach(self) -> None:
        """Disconnect this end from its peer."""
        super().detach()
        if self.peer is not None:
            peer, self.peer = self.peer, None
            peer.peer = None
            Device._link_changed(peer)


class Link(Protocol):
    """The medium that a physical interface is connected to: a segment, a point-to-point link or a switch port.

    Its other attached interfaces receive the frames that one of them sends.
    """

    def carry(self, frame: bytes, sender: Nic) -> None:
        """Deliver a frame that `sender` transmitted to the other interfaces on the link, after its latency."""

    def deliver(self, frame: bytes, receiver: Any) -> None:
        """Deliver a frame that has crossed the link to `receiver`, the interface or device at the end of its path."""

    def path(self, macs: bytes, sender: Nic, length: int) -> LinkPath | None:
        """Return the path of a frame across the link, or `None` if the link may drop, change or queue the frame.

        `macs` is the frame's destination MAC followed by its source MAC, `length` its length in bytes, and `sender`
        the interface that transmits it. Used by kernel/offload.
        """


class Nic(Device):
    """A physical Ethernet interface.

    `link` is the medium to which its cable leads, `None` if no cable is plugged in.
    """

    __slots__ = ("link",)
    kind = "nic"

    def __init__(self, name: str, mac: Mac, clock: Clock, mtu: int = 1500) -> None:
        super().__init__(name, mac, clock, mtu)
        self.link: Link | None = None

    @property
    def has_carrier(self) -> bool:
        """Whether the interface is up and a cable is plugged in."""
        return self.is_up and self.link is not None

    def receive(self, frame: bytes) -> None:
        """Process a frame received from the cable. A frame that is too long for the MTU is dropped."""
        if len(frame) > self._mtu + FRAME_OVERHEAD:
            self.drop(
                frame,
                DropReason.MTU_EXCEEDED,
                f"{len(frame) - ETHERNET_HEADER} bytes, its MTU is {self._mtu}",
                MtuLimit(self._mtu),
            )
        else:
            Device.receive(self, frame)

    def plug(self, link: Link | None) -> None:
        """Connect the interface to `link`, or unplug its cable if `link` is `None`."""
        self.link = link
        self._link_changed()

    def transmit(self, frame: bytes) -> None:
        """Send a frame out of the interface."""
        link = self.link
        if self.taps or self.clock.context is not None or not self.is_up or link is None:
            super().transmit(frame)
        else:  # the hot path: not observed, and the link is up
            self.tx_packets += 1
            self.tx_bytes += len(frame)
            link.carry(frame, self)

    def _put_on_wire(self, frame: bytes) -> None:
        if self.link is None:
            self.drop(frame, DropReason.NO_CARRIER)
        else:
            self.link.carry(frame, self)
