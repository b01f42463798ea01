"""The Linux bridge: learning, ageing, flooding, hairpin, and netfilter for bridged IP packets (br_netfilter).

Source: net/bridge/br_{input,forward,fdb,netfilter_hooks}.c of Linux 6.1. Spanning tree, VLAN filtering and multicast
snooping are not modelled: every group frame is flooded.
"""

from __future__ import annotations

import errno
from heapq import heappop, heappush
from typing import TYPE_CHECKING

from attrs import define

from cnmsim.kernel.address import MAC_ZERO, Mac, format_mac
from cnmsim.kernel.clock import NS_PER_S
from cnmsim.kernel.device import ETHERNET_HEADER, Device
from cnmsim.kernel.events import DropReason, MtuLimit, Step
from cnmsim.kernel.netfilter import Hook
from cnmsim.kernel.packet import MalformedPacketError
from cnmsim.kernel.skbuff import Packet

if TYPE_CHECKING:
    from cnmsim.kernel.clock import Clock

#: Port numbers have ten bits, and 0 is invalid (BR_MAX_PORTS in net/bridge/br_private.h).
MAX_PORTS = 1023
#: Learnt addresses expire this long after their last frame (IEEE 802.1D table 7-5; BR_DEFAULT_AGEING_TIME in
#: br_device.c).
AGEING_NS = 300 * NS_PER_S
_IPV4, _IPV6 = b"\x08\x00", b"\x86\xdd"


@define(eq=False)
class BridgePort:
    """A device that is a port of a bridge, with the settings that `bridge -d link` lists.

    With `hairpin` a frame may leave through the port that received it. With `learning` the source addresses of
    received frames are stored. Unicast frames to an unknown destination are sent only through ports with `flood`
    (BR_FLOOD); broadcast and multicast frames have switches of their own in Linux, which are on here.
    """

    device: Device
    number: int
    hairpin: bool = False
    learning: bool = True
    flood: bool = True


@define(eq=False)
class FdbEntry:
    """An entry of the forwarding database (FDB): the port that leads to a MAC address.

    `port` is the port that last received a frame from the address, `None` for the bridge's own addresses.
    `updated_ns` is the virtual time of that frame, in nanoseconds.
    """

    mac: Mac
    port: BridgePort | None
    updated_ns: int
    is_permanent: bool = False


class Bridge(Device):
    """A bridge device: a switch between its ports and the network stack of its own namespace.

    `has_fixed_mac` is False if no MAC address was configured; the bridge then has the lowest MAC address of its
    ports. Learnt addresses expire after `ageing_ns` nanoseconds.
    """

    __slots__ = ("_fixed_mtu", "_free_numbers", "ageing_ns", "fdb", "has_fixed_mac", "ports")
    kind = "bridge"

    def __init__(self, name: str, mac: Mac, clock: Clock, mtu: int = 1500, *, has_fixed_mac: bool = True) -> None:
        super().__init__(name, mac, clock, mtu)
        self.ports: dict[Device, BridgePort] = {}
        self.fdb: dict[Mac, FdbEntry] = {}
        self.ageing_ns = AGEING_NS
        self._fixed_mtu = False
        self._free_numbers: list[int] = []
        self.has_fixed_mac = has_fixed_mac

    @property
    def has_carrier(self) -> bool:
        """Whether the bridge is up and at least one port has a carrier. Without ports it is False (NO-CARRIER)."""
        return self.is_up and any(device.has_carrier for device in self.ports)

    def set_mtu(self, mtu: int) -> None:
        """Set the MTU. From now on the bridge's MTU no longer follows the smallest MTU of its ports."""
        self._fixed_mtu = True
        super().set_mtu(mtu)

    def set_mac(self, mac: Mac) -> None:
        """Set the MAC address. From now on the bridge's MAC no longer follows the lowest MAC address of its ports."""
        super().set_mac(mac)
        self.has_fixed_mac = True

    def _choose_mac(self) -> None:
        """Set the bridge's MAC address to the lowest MAC address of its ports, or to zero if it has no ports.

        Source: br_stp_recalculate_bridge_id.
        """
        if self.has_fixed_mac:
            return
        lowest = min((device.mac for device in self.ports), default=MAC_ZERO)
        if lowest != self.mac:
            self._take_mac(lowest)

    def add_port(self, device: Device, *, hairpin: bool = False) -> BridgePort:
        """Enslave a device and return its port. With `hairpin` a frame may leave through the port that received it.

        Raises `OSError(EBUSY)` if the device has a master or macvlan or ipvlan children, `OSError(ELOOP)` if it is a
        bridge, and `OSError(EXFULL)` if all port numbers are in use.
        """
        if device.master is not None or (device.upper_devices is not None and device.upper_devices.port is not None):
            raise OSError(16, "Device or resource busy")
        if isinstance(device, Bridge):
            raise OSError(40, "Too many levels of symbolic links")
        if len(self.ports) >= MAX_PORTS:
            raise OSError(errno.EXFULL, "Exchange full")
        number = heappop(self._free_numbers) if self._free_numbers else len(self.ports) + 1
        port = BridgePort(device, number, hairpin)
        self.ports[device] = port
        device.master = self
        self.fdb[device.mac] = FdbEntry(device.mac, None, self.clock.now_ns, is_permanent=True)
        if not self.has_fixed_mac and (len(self.ports) == 1 or device.mac < self.mac):
            self._take_mac(device.mac)
        self.port_changed()
        return port

    def remove_port(self, device: Device) -> None:
        """Remove the port `device` and the forwarding entries learnt from it.

        Raises `OSError(EINVAL)` if the device is not a port of this bridge.
        """
        port = self.ports.pop(device, None)
        if port is None:
            raise OSError(22, "Invalid argument")
        device.master = None
        heappush(self._free_numbers, port.number)
        self.fdb = {mac: entry for mac, entry in self.fdb.items() if entry.port is not port and mac != device.mac}
        if device.mac == self.mac:
            self._choose_mac()
        self.port_changed()

    def port_changed(self) -> None:
        """Update the bridge's MTU and link state after a port was added or removed or its link changed."""
        if self.ports and not self._fixed_mtu:
            least = min(device.mtu for device in self.ports)
            if least != self.mtu:
                self._take_mtu(least)
        if self.namespace is not None:
            self.namespace.link_changed(self)

    def port_mac_changed(self, device: Device, old: Mac) -> None:
        """Update the forwarding entries after the MAC address of the port `device` changed from `old`.

        Source: br_fdb_changeaddr.
        """
        entry = self.fdb.get(old)
        if entry is not None and entry.port is None and all(port.mac != old for port in self.ports):
            del self.fdb[old]
        self.fdb[device.mac] = FdbEntry(device.mac, None, self.clock.now_ns, is_permanent=True)
        self._choose_mac()

    def add_fdb(self, mac: Mac, device: Device) -> None:
        """Add a permanent entry for `mac` at the port `device`, as `bridge fdb add MAC dev PORT master` does."""
        self.fdb[mac] = FdbEntry(mac, self.ports[device], self.clock.now_ns, is_permanent=True)

    def detach(self) -> None:
        """Remove every port from the bridge."""
        super().detach()
        for device in list(self.ports):
            self.remove_port(device)

    def _lookup(self, mac: Mac) -> FdbEntry | None:
        entry = self.fdb.get(mac)
        if entry is None or entry.is_permanent:
            return entry
        if self.clock.now_ns - entry.updated_ns > self.ageing_ns:
            del self.fdb[mac]
            return None
        return entry

    def _learn(self, mac: Mac, port: BridgePort) -> None:
        entry = self.fdb.get(mac)
        if entry is None:
            self.fdb[mac] = FdbEntry(mac, port, self.clock.now_ns)
        elif not entry.is_permanent:
            entry.port = port
            entry.updated_ns = self.clock.now_ns

    def _put_on_wire(self, frame: bytes) -> None:
        """Send a frame of the namespace's own stack through the port that leads to its destination.

        A frame for a group or for an unknown destination is sent through all ports; a frame to one of the bridge's
        own addresses is dropped.
        """
        entry = None if frame[0] & 1 else self._lookup(frame[:6])
        if entry is None:
            self._flood(frame, None)
        elif entry.port is None:
            self.drop(frame, DropReason.NO_BRIDGE_PORT, f"{format_mac(frame[:6])} is the bridge's own address")
        else:
            self._send_to(entry.port, frame)

    def port_input(self, frame: bytes, device: Device) -> None:
        """Process a frame that the port `device` received.

        Forward, flood, drop it, or deliver it to the namespace.
        """
        if not self.is_up:
            self.drop(frame, DropReason.LINK_DOWN)
            return
        port = self.ports[device]
        src = frame[6:12]
        if port.learning and not src[0] & 1:
            self._learn(src, port)
        packet = None
        namespace = self.namespace
        if namespace is not None and namespace.bridges_through_netfilter and self._calls_netfilter(frame):
            packet, frame = self._prerouting(frame, device)
            if packet is None:
                return
        dst = frame[:6]
        if dst[0] & 1:
            self._flood(frame, port, packet)
            self._pass_up(frame, packet)
            return
        if dst == self.mac:
            self._pass_up(frame, packet)
            return
        entry = self._lookup(dst)
        if (
            self.upper_devices is not None
            and self.upper_devices.port is not None
            and (entry is None or entry.port is not None)
        ):
            # macvlan or ipvlan children on the bridge make it promiscuous (__dev_set_rx_mode).
            self._pass_up(frame, packet.copy() if packet is not None else None)
        if entry is None:
            self._flood(frame, port, packet)
        elif entry.port is None:
            self._pass_up(frame, packet, is_for_us=dst == device.mac)
        elif entry.port is port and not port.hairpin:
            self.drop(
                frame, DropReason.NO_BRIDGE_PORT, f"{format_mac(dst)} is behind the port that received the frame"
            )
        else:
            self._forward(frame, port, entry.port, packet)

    def _pass_up(self, frame: bytes, packet: Packet | None, *, is_for_us: bool = False) -> None:
        """Deliver a frame to the network stack of the bridge's namespace.

        `packet` is the IP packet in the frame if PREROUTING has run on it, else `None`. If `is_for_us` is True, the
        destination MAC is replaced by the bridge's MAC: the stack would otherwise ignore a frame that is addressed to
        the MAC of a port (eth_type_trans).
        """
        self.rx_packets += 1
        self.rx_bytes += len(frame)
        if self.taps:
            for tap in self.taps:
                tap(self.clock.now_ns, "in", frame)
        if self.upper_devices is not None and self.upper_devices.input(frame):
            return
        if self.namespace is not None:
            self.namespace.input(self.mac + frame[6:] if is_for_us else frame, self, packet)

    def _flood(self, frame: bytes, source: BridgePort | None, packet: Packet | None = None) -> None:
        is_group = frame[0] & 1
        targets = [
            port
            for device, port in self.ports.items()
            if (port is not source or port.hairpin) and (port.flood or is_group) and device.has_carrier
        ]
        if not targets and source is None:
            self.drop(frame, DropReason.NO_BRIDGE_PORT, "the bridge has no port with a carrier")
        for port in targets:
            if source is None:
                self._send_to(port, frame)
            else:
                self._forward(frame, source, port, packet.copy() if packet is not None else None)

    def _forward(self, frame: bytes, source: BridgePort, target: BridgePort, packet: Packet | None) -> None:
        if packet is not None and self.namespace is not None:
            packet.outdev = self
            packet.physoutdev = target.device
            netfilter = self.namespace.netfilter
            if not netfilter.run(Hook.FORWARD, packet) or not netfilter.run(Hook.POSTROUTING, packet):
                return
            head = frame[:ETHERNET_HEADER]
            if packet.frag_max_size and len(packet.data) > target.device.mtu:
                # A packet that was reassembled for conntrack is fragmented again (br_nf_dev_queue_xmit).
                for piece in self.namespace.ip.fragments(packet, target.device):
                    self._send_to(target, head + piece)
                return
            frame = head + packet.data
        if self.clock.context is not None:
            self._report(Step.BRIDGED, frame, f"{source.device.name} → {target.device.name}")
        self._send_to(target, frame)

    def _send_to(self, port: BridgePort, frame: bytes) -> None:
        device = port.device
        if len(frame) > device._mtu + ETHERNET_HEADER + 4:
            self.drop(
                frame,
                DropReason.MTU_EXCEEDED,
                f"{len(frame) - 14} bytes, MTU of {device.name} is {device._mtu}",
                MtuLimit(device._mtu),
            )
            return
        device.transmit(frame)

    def _calls_netfilter(self, frame: bytes) -> bool:
        namespace = self.namespace
        assert namespace is not None
        ethertype = frame[12:14]
        if ethertype == _IPV4:
            return namespace.sysctl_get("net.bridge.bridge-nf-call-iptables") == "1"
        return ethertype == _IPV6 and namespace.sysctl_get("net.bridge.bridge-nf-call-ip6tables") == "1"

    def _prerouting(self, frame: bytes, device: Device) -> tuple[Packet | None, bytes]:
        """Run PREROUTING on the IP packet in a bridged frame. Return the packet and the frame that contains it now.

        The packet is `None` if it was dropped, or if fragments of it are still missing. If DNAT changed the
        destination, the frame has a new destination MAC address (br_nf_pre_routing_finish).
        """
        namespace = self.namespace
        assert namespace is not None
        try:
            packet = Packet(frame[ETHERNET_HEADER:], self)
        except MalformedPacketError as error:
            self.drop(frame, DropReason.MALFORMED, str(error))
            return None, frame
        packet.physindev = device
        whole = namespace.ip.defragment(packet)
        if whole is None:
            return None, frame
        packet = whole
        dst = packet.dst
        if not namespace.netfilter.run(Hook.PREROUTING, packet):
            return None, frame
        head = frame[:ETHERNET_HEADER]
        if packet.dst != dst:
            head = self._redirect_mac(packet) + head[6:]
        return packet, head + packet.data

    def _redirect_mac(self, packet: Packet) -> Mac:
        """Return the new destination MAC for a bridged packet whose destination address DNAT has changed.

        If the packet stays on this bridge, it is the MAC of the next hop; otherwise, or if that MAC is unknown, it is
        the bridge's own, so that the namespace routes the packet.
        """
        namespace = self.namespace
        assert namespace is not None
        route = namespace.find_route(packet.dst, src=packet.src, indev=self, mark=packet.mark)
        if route is not None and route.device is self and not namespace.is_local(packet.dst):
            neighbour_mac = namespace.neighbours.known_mac(self, route.gateway or packet.dst)
            if neighbour_mac is not None:
                return neighbour_mac
        return self.mac
