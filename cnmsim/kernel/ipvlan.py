"""ipvlan: children of one interface that share its MAC and are told apart by their IP addresses.

In mode l2 a child is a station of the parent's Ethernet; in l3 and l3s the parent's namespace routes for it and there is
no broadcast; in l3s what comes in passes that namespace's packet filter as well. Source: drivers/net/ipvlan of Linux 6.12.
"""

from __future__ import annotations

import errno
from enum import Enum

from cnmsim.kernel.address import Address, Mac
from cnmsim.kernel.device import ETHERNET_HEADER, Device
from cnmsim.kernel.events import DropReason, Step
from cnmsim.kernel.netfilter import Hook
from cnmsim.kernel.packet import MalformedPacketError
from cnmsim.kernel.route import link_route
from cnmsim.kernel.skbuff import Packet
from cnmsim.kernel.upper_devices import UpperDevice, require_free_port, upper_devices_of

_IPV4, _IPV6, _ARP = b"\x08\x00", b"\x86\xdd", b"\x08\x06"
_ICMPV6, _NEIGHBOUR_SOLICITATION = 58, 135
_UNSPECIFIED = bytes(16)


class IpvlanMode(Enum):
    """At which layer children meet; all children of a parent are in one mode."""

    L2 = "l2"
    L3 = "l3"
    L3S = "l3s"


class IpvlanFlag(Enum):
    """How children of one parent deal with each other."""

    BRIDGE = "bridge"  # directly
    PRIVATE = "private"  # not at all
    VEPA = "vepa"  # by way of the switch or router outside


class IpvlanPort:
    """The children of one parent, with the mode and flag of them all."""

    __slots__ = ("_children", "_next_device_id", "flag", "lower", "mode")

    def __init__(self, lower: Device) -> None:
        self.lower = lower
        self.mode = IpvlanMode.L3
        self.flag = IpvlanFlag.BRIDGE
        self._children: list[Ipvlan] = []
        self._next_device_id = 1

    @property
    def children(self) -> list[Ipvlan]:
        """The children, oldest first."""
        return self._children

    def set_mode(self, mode: IpvlanMode) -> None:
        """Put all children into a mode (ipvlan_set_port_mode)."""
        if mode is not self.mode:
            self.mode = mode
            for child in self._children:
                child._no_arp = mode is not IpvlanMode.L2

    def new_device_id(self) -> int:
        """Give a child its number on the parent, which goes into its link-local address."""
        self._next_device_id += 1
        return self._next_device_id - 1

    def owner(self, address: Address) -> Ipvlan | None:
        """Give the child that is up and has this address."""
        for child in self._children:
            if child.is_up and any(own.address == address for own in child.addresses):
                return child
        return None

    def input(self, frame: bytes) -> bool:
        """Take what a child is to have; in mode l2 group frames are for the parent, too (ipvlan_handle_frame)."""
        if self.mode is IpvlanMode.L3S:
            return self._input_filtered(frame)
        if self.mode is IpvlanMode.L2 and frame[0] & 1:
            if self._is_external(frame):
                self.distribute(frame, None)
            return False
        address = destination_of(frame)
        child = self.owner(address) if address is not None else None
        if child is None:
            return False
        self.deliver(frame, child)
        return True

    def _is_external(self, frame: bytes) -> bool:
        """Tell whether a group frame is none that a child sent and the switch reflected."""
        if frame[6:12] != self.lower.mac:
            return True
        source = sender(frame)
        return source is None or self.owner(source) is None

    def distribute(self, frame: bytes, source: Ipvlan | None) -> None:
        """Give a group frame to every child that is up but `source`."""
        for child in self._children:
            if child is not source and child.is_up:
                self.deliver(frame, child)

    def deliver(self, frame: bytes, child: Ipvlan) -> None:
        """Let a child receive a frame."""
        if self.lower.clock.context is not None:
            place = child.namespace.name if child.namespace is not None else ""
            self.lower._report(Step.BRIDGED, frame, f"ipvlan ({self.mode.value}) → {place} {child.name}")
        self.lower.clock.call_soon(child.receive, frame)

    def _input_filtered(self, frame: bytes) -> bool:
        """Bring a packet past the parent's PREROUTING and INPUT to its child (ipvlan_l3_rcv, ipvlan_nf_input)."""
        namespace = self.lower.namespace
        if namespace is None or frame[:6] != self.lower.mac or frame[12:14] not in (_IPV4, _IPV6):
            return False
        try:
            packet = Packet(frame[ETHERNET_HEADER:], self.lower)
        except MalformedPacketError:
            return False  # the namespace drops it and says why
        whole = namespace.ip.defragment(packet)
        netfilter = namespace.netfilter
        if whole is None or (netfilter.is_active and not netfilter.run(Hook.PREROUTING, whole)):
            return True
        child = self.owner(whole.dst)
        if child is None:
            namespace.ip.input(whole, prerouted=True)
        elif not netfilter.is_active or netfilter.run(Hook.INPUT, whole):
            self.lower.clock.call_soon(child.receive_filtered, frame[:ETHERNET_HEADER], whole.data)
        return True

    def send_routed(self, frame: bytes, child: Ipvlan) -> None:
        """Send a child's packet as if the parent's namespace had made it (ipvlan_process_outbound)."""
        namespace, lower = self.lower.namespace, self.lower
        if frame[0] & 1 or frame[12:14] not in (_IPV4, _IPV6) or namespace is None:
            child.drop(frame, DropReason.LAYER_3_ONLY)
            return
        try:
            arrived = Packet(frame[ETHERNET_HEADER:])
        except MalformedPacketError as error:
            child.drop(frame, DropReason.MALFORMED, str(error))
            return
        packet = Packet.outgoing(arrived.data, arrived.protocol, arrived.src, arrived.dst, arrived.ttl)
        if any(own.address == packet.dst for own in lower.addresses):
            packet.outdev, packet.nexthop = namespace.loopback, packet.dst
        else:
            route = namespace.find_route(packet.dst, lower, src=packet.src)
            if route is None and packet.family == 4:
                # With a device given and no route out of it, IPv4 takes the destination to be on the link.
                route = link_route(packet.dst, lower)
            if route is None or route.kind != "unicast":
                namespace.drop(packet, DropReason.NO_ROUTE, f"{namespace.name} has no route for it by {lower.name}")
                return
            packet.outdev, packet.nexthop = lower, route.gateway or packet.dst
            if self.lower.clock.context is not None:
                what = f"ipvlan {self.mode.value}: sent by {lower.name}"
                namespace.report(Step.ROUTED, what, packet, device=lower.name, decision=str(route))
        netfilter = namespace.netfilter
        if netfilter.is_active and not (
            netfilter.run(Hook.OUTPUT, packet) and netfilter.run(Hook.POSTROUTING, packet)
        ):
            return
        namespace.ip.finish_output(packet)

    def mac_changed(self) -> None:
        """Let the children follow the parent's MAC."""
        for child in self._children:
            child._take_mac(self.lower.mac)


class Ipvlan(UpperDevice):
    """A child of `lower`; on another ipvlan child it becomes that one's sibling.

    `mode` and `flag` become those of all children of the parent. `permanent_mac` is the MAC that the parent had when the child
    was made, `lost_carrier` whether the parent went down while the child was up: only then does Linux know its state. Raises `OSError`: EINVAL on a loopback, EBUSY if a bridge
    or macvlan has the parent.
    """

    __slots__ = ("_device_id", "_no_arp", "lost_carrier", "permanent_mac", "port")
    kind = "ipvlan"
    filters_unicast = True
    propagates_rx_flags = False

    def __init__(
        self, name: str, lower: Device, mode: IpvlanMode = IpvlanMode.L3, flag: IpvlanFlag = IpvlanFlag.BRIDGE
    ) -> None:
        if isinstance(lower, Ipvlan):
            lower = lower.lower
        uppers = lower.upper_devices
        port = uppers.port if uppers is not None else None
        if not isinstance(port, IpvlanPort):
            require_free_port(lower)
            port = IpvlanPort(lower)
        super().__init__(name, lower.mac, lower)
        self._device_id = port.new_device_id()
        self._no_arp = self.lost_carrier = False
        self.permanent_mac = lower.mac
        self.port = port
        port.set_mode(mode)
        port.flag = flag
        port.children.append(self)
        upper_devices_of(lower).port = port

    @property
    def mode(self) -> IpvlanMode:
        """The mode of all children of the parent."""
        return self.port.mode

    @property
    def flag(self) -> IpvlanFlag:
        """The flag of all children of the parent."""
        return self.port.flag

    @property
    def no_arp(self) -> bool:
        """Whether neighbours have no link-layer addresses to be asked for: in the modes l3 and l3s, once it was up."""
        return self._no_arp

    def set_up(self) -> None:
        """Do as `ip link set DEV up`."""
        self._no_arp = self.port.mode is not IpvlanMode.L2
        super().set_up()

    def link_local_address(self) -> Address:
        """Give the fe80:: address of the parent's MAC and the child's number (addrconf_ifid_eui48)."""
        return b"\xfe\x80" + bytes(6) + self.mac[:3] + self._device_id.to_bytes(2) + self.mac[3:]

    def set_mac(self, mac: Mac) -> None:
        """Raise `OSError(EOPNOTSUPP)`: a child has no address of its own."""
        del mac
        raise OSError(errno.EOPNOTSUPP, "Operation not supported")

    def lower_mtu_changed(self) -> None:
        """Have the parent's MTU, whatever it was before (ipvlan_adjust_mtu)."""
        self.set_mtu(self.lower.mtu)

    def refuse_address(self, address: Address) -> None:
        """Raise `OSError(EADDRINUSE)` if a sibling has this address."""
        for sibling in self.port.children:
            if sibling is not self and any(own.address == address for own in sibling.addresses):
                raise OSError(errno.EADDRINUSE, "Address already in use")

    def receive_filtered(self, head: bytes, data: bytes) -> None:
        """Take a packet that the parent's packet filter let through; the child's own does not see it."""
        frame = head + data
        if not self.is_up or self.namespace is None:
            self.drop(frame, DropReason.LINK_DOWN)
            return
        self.rx_packets += 1
        self.rx_bytes += len(frame)
        for tap in self.taps:
            tap(self.clock.now_ns, "in", frame)
        if self.clock.context is not None:
            self._report(Step.RECEIVED, frame)
        self.namespace.ip.deliver_to_protocol(Packet(data, self))

    def _link_changed(self) -> None:
        self.lost_carrier = self.lost_carrier or (self.is_up and not self.has_carrier)
        super()._link_changed()

    def _put_on_wire(self, frame: bytes) -> None:
        if not self.has_carrier:  # its queue takes nothing then (dev_deactivate), not for its siblings either
            self.drop(frame, DropReason.NO_CARRIER, f"{self.lower.name}, which it stands on, is down")
        elif self.port.mode is IpvlanMode.L2:
            self._send_l2(frame)
        elif not self._reaches_sibling(frame):
            self.port.send_routed(frame, self)

    def _reaches_sibling(self, frame: bytes) -> bool:
        """Give a frame to the sibling it is for, or drop it where that is forbidden; `False` if there is none."""
        if self.port.flag is IpvlanFlag.VEPA:
            return False
        address = destination_of(frame)
        sibling = self.port.owner(address) if address is not None else None
        if sibling is None:
            return False
        if self.port.flag is IpvlanFlag.PRIVATE:
            self.drop(frame, DropReason.KEPT_APART, f"ipvlan private: not to {sibling.name} on the same parent")
        else:
            self.port.deliver(frame, sibling)
        return True

    def _send_l2(self, frame: bytes) -> None:
        if self.port.flag is not IpvlanFlag.VEPA and frame[:6] == frame[6:12]:
            if not self._reaches_sibling(frame):
                self.clock.call_soon(self.lower.receive, frame)
            return
        if frame[0] & 1:
            self.port.distribute(frame, self)
        self.lower.transmit(frame)

    def detach(self) -> None:
        """Leave the parent, which has no port any more once the last child has left."""
        super().detach()
        self.port.children.remove(self)
        if not self.port.children:
            upper_devices_of(self.lower).port = None


def destination_of(frame: bytes) -> Address | None:
    """Give the IP address a frame is for: that of its packet, or the one its ARP or DAD asks about."""
    kind = frame[12:14]
    if kind == _IPV4:
        return frame[30:34]
    if kind == _ARP:
        return frame[38:42]
    if kind != _IPV6:
        return None
    if frame[22:38] == _UNSPECIFIED and frame[20] == _ICMPV6:
        return frame[62:78] if frame[54:55] == bytes((_NEIGHBOUR_SOLICITATION,)) else None
    return frame[38:54]


def sender(frame: bytes) -> Address | None:
    """Give the IP address a frame comes from."""
    kind = frame[12:14]
    if kind == _IPV4:
        return frame[26:30]
    if kind == _ARP:
        return frame[28:32]
    return frame[22:38] if kind == _IPV6 else None
