"""ipvlan: children of one lower device that share its MAC and are distinguished by their IP addresses.

In mode l2 a child behaves like a separate host on the lower device's Ethernet. In l3 and l3s the lower device's
namespace routes for the children, without broadcast; in l3s received packets also pass that namespace's packet
filter. Source: drivers/net/ipvlan of Linux 6.12.
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
from cnmsim.kernel.upper_devices import UpperDevice, deliver_to_child, require_free_port, upper_devices_of

_IPV4, _IPV6, _ARP = b"\x08\x00", b"\x86\xdd", b"\x08\x06"
_ICMPV6, _NEIGHBOUR_SOLICITATION = 58, 135
_UNSPECIFIED = bytes(16)


class IpvlanMode(Enum):
    """The layer at which children communicate; all children of a lower device share one mode."""

    L2 = "l2"
    L3 = "l3"
    L3S = "l3s"


class IpvlanFlag(Enum):
    """How children of one lower device reach each other."""

    BRIDGE = "bridge"  # directly
    PRIVATE = "private"  # never
    VEPA = "vepa"  # only through the external switch or router


class IpvlanPort:
    """The children of one lower device, with their common mode and flag (struct ipvl_port)."""

    __slots__ = ("_next_device_id", "children", "flag", "lower", "mode")

    def __init__(self, lower: Device) -> None:
        self.lower = lower
        self.mode = IpvlanMode.L3
        self.flag = IpvlanFlag.BRIDGE
        #: The children in the order of their creation.
        self.children: list[Ipvlan] = []
        self._next_device_id = 1

    def set_mode(self, mode: IpvlanMode) -> None:
        """Set the mode of all children (ipvlan_set_port_mode)."""
        if mode is not self.mode:
            self.mode = mode
            for child in self.children:
                child._no_arp = mode is not IpvlanMode.L2

    def new_device_id(self) -> int:
        """Allocate the number of a new child, which becomes part of its link-local address."""
        self._next_device_id += 1
        return self._next_device_id - 1

    def child_with_address(self, address: Address) -> Ipvlan | None:
        """Return the child that is up and has this address, or `None` if there is none."""
        for child in self.children:
            if child.is_up and any(own.address == address for own in child.addresses):
                return child
        return None

    def input(self, frame: bytes) -> bool:
        """Deliver a received frame to the child that has its destination address.

        Return True if the frame was delivered. Return False if the lower device must process it, because no child has
        the address, or because it is a group frame in mode l2; that is also delivered to all children. Source:
        ipvlan_handle_frame.
        """
        if self.mode is IpvlanMode.L3S:
            return self._input_filtered(frame)
        if self.mode is IpvlanMode.L2 and frame[0] & 1:
            if self._is_external(frame):
                self.broadcast(frame, None)
            return False
        address = destination_of(frame)
        child = self.child_with_address(address) if address is not None else None
        if child is None:
            return False
        deliver_to_child(frame, child, self.mode)
        return True

    def _is_external(self, frame: bytes) -> bool:
        """Return False if `frame` is a child's own group frame that an external switch has sent back, else True."""
        if frame[6:12] != self.lower.mac:
            return True
        source = source_of(frame)
        return source is None or self.child_with_address(source) is None

    def broadcast(self, frame: bytes, source: Ipvlan | None) -> None:
        """Deliver a group frame to every child that is up, except to `source`, the child that sent it (or `None`)."""
        for child in self.children:
            if child is not source and child.is_up:
                deliver_to_child(frame, child, self.mode)

    def _input_filtered(self, frame: bytes) -> bool:
        """Run the lower device's PREROUTING and INPUT on a packet before its child receives it.

        Return True if the packet was delivered to the child or dropped, False if the lower device must process the
        frame. Source: ipvlan_l3_rcv, ipvlan_nf_input.
        """
        namespace = self.lower.namespace
        if namespace is None or frame[:6] != self.lower.mac or frame[12:14] not in (_IPV4, _IPV6):
            return False
        try:
            packet = Packet(frame[ETHERNET_HEADER:], self.lower)
        except MalformedPacketError:
            return False  # the namespace drops it with the reason
        whole = namespace.ip.defragment(packet)
        netfilter = namespace.netfilter
        if whole is None or (netfilter.is_active and not netfilter.run(Hook.PREROUTING, whole)):
            return True
        child = self.child_with_address(whole.dst)
        if child is None:
            namespace.ip.input(whole, prerouted=True)
        elif not netfilter.is_active or netfilter.run(Hook.INPUT, whole):
            self.lower.clock.call_soon(child.receive_filtered, frame[:ETHERNET_HEADER], whole.data)
        return True

    def send_routed(self, frame: bytes, child: Ipvlan) -> None:
        """Send a child's packet as if the lower device's namespace had generated it (ipvlan_process_outbound)."""
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
                # Without a route out of the given device, IPv4 assumes that the destination is on the link.
                route = link_route(packet.dst, lower)
            if route is None or route.kind != "unicast":
                namespace.drop(packet, DropReason.NO_ROUTE, f"{namespace.name} has no route to it via {lower.name}")
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
        """Copy the lower device's new MAC to the children."""
        for child in self.children:
            child._take_mac(self.lower.mac)


class Ipvlan(UpperDevice):
    """An ipvlan child of `lower`. If `lower` is itself an ipvlan, the new device becomes its sibling.

    `mode` and `flag` apply to all children of the lower device. `permanent_mac` is the MAC that the lower device had
    when the child was created. `lost_carrier` is true once the lower device went down while the child was up; before
    that Linux reports the operational state `unknown`. Raises `OSError`: EINVAL on a loopback, EBUSY if a bridge or
    macvlan uses the lower device.
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
        """The mode of all children of the lower device."""
        return self.port.mode

    @property
    def flag(self) -> IpvlanFlag:
        """The flag of all children of the lower device."""
        return self.port.flag

    @property
    def no_arp(self) -> bool:
        """The `NOARP` flag: True if packets are sent without resolving link-layer addresses.

        Modes l3 and l3s set it when the device first goes up.
        """
        return self._no_arp

    def set_up(self) -> None:
        """Set the device up."""
        self._no_arp = self.port.mode is not IpvlanMode.L2
        super().set_up()

    def link_local_address(self) -> Address:
        """Return the fe80:: address built from the lower device's MAC and the child's number.

        Source: addrconf_ifid_eui48.
        """
        return b"\xfe\x80" + bytes(6) + self.mac[:3] + self._device_id.to_bytes(2) + self.mac[3:]

    def set_mac(self, mac: Mac) -> None:
        """Raise `OSError(EOPNOTSUPP)`: a child always has the lower device's MAC."""
        del mac
        raise OSError(errno.EOPNOTSUPP, "Operation not supported")

    def lower_mtu_changed(self) -> None:
        """Copy the lower device's MTU (ipvlan_adjust_mtu)."""
        self.set_mtu(self.lower.mtu)

    def refuse_address(self, address: Address) -> None:
        """Raise `OSError(EADDRINUSE)` if a sibling has this address."""
        for sibling in self.port.children:
            if sibling is not self and any(own.address == address for own in sibling.addresses):
                raise OSError(errno.EADDRINUSE, "Address already in use")

    def receive_filtered(self, head: bytes, data: bytes) -> None:
        """Deliver a packet to this child after it passed the lower device's packet filter (mode l3s).

        `head` is the packet's Ethernet header, `data` the packet from its IP header on. The packet goes directly to
        its protocol: the packet filter of the child's own namespace does not run.
        """
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
        if (
            not self.has_carrier
        ):  # without a carrier its queue is deactivated (dev_deactivate), also for frames to siblings
            self.drop(frame, DropReason.NO_CARRIER, f"its lower device {self.lower.name} is down")
        elif self.port.mode is IpvlanMode.L2:
            self._send_l2(frame)
        elif not self._reaches_sibling(frame):
            self.port.send_routed(frame, self)

    def _reaches_sibling(self, frame: bytes) -> bool:
        """Deliver a frame to the sibling that has its destination address. In private mode, drop it instead.

        Return True if the frame was delivered or dropped. Return False if no sibling has the address, or in mode
        vepa.
        """
        if self.port.flag is IpvlanFlag.VEPA:
            return False
        address = destination_of(frame)
        sibling = self.port.child_with_address(address) if address is not None else None
        if sibling is None:
            return False
        if self.port.flag is IpvlanFlag.PRIVATE:
            self.drop(frame, DropReason.KEPT_APART, f"ipvlan private mode: {sibling.name} has the same lower device")
        else:
            deliver_to_child(frame, sibling, self.mode)
        return True

    def _send_l2(self, frame: bytes) -> None:
        if self.port.flag is not IpvlanFlag.VEPA and frame[:6] == frame[6:12]:
            if not self._reaches_sibling(frame):
                self.clock.call_soon(self.lower.receive, frame)
            return
        if frame[0] & 1:
            self.port.broadcast(frame, self)
        self.lower.transmit(frame)

    def detach(self) -> None:
        """Leave the lower device. If no child is left there, remove the lower device's `IpvlanPort`."""
        super().detach()
        self.port.children.remove(self)
        if not self.port.children:
            upper_devices_of(self.lower).port = None


def destination_of(frame: bytes) -> Address | None:
    """Return the destination IP address of a frame, or `None` if it has none.

    For an ARP message or a duplicate address detection probe, return the target address.
    """
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


def source_of(frame: bytes) -> Address | None:
    """Return the source IP address of a frame, or `None` if it has none."""
    kind = frame[12:14]
    if kind == _IPV4:
        return frame[26:30]
    if kind == _ARP:
        return frame[28:32]
    return frame[22:38] if kind == _IPV6 else None
