"""VXLAN devices (RFC 7348): Ethernet frames in UDP between tunnel endpoints (VTEPs).

Source: drivers/net/vxlan/vxlan_core.c of Linux 6.1. Multicast destinations, several VNIs per device and the
extensions (GBP, GPE) are not modelled.
"""

from __future__ import annotations

import errno
from struct import Struct
from typing import TYPE_CHECKING

from attrs import frozen

from cnmsim.kernel.address import IPV4_LOOPBACK, IPV6_LOOPBACK, MAC_ZERO, Address, Mac, format_ip, format_mac
from cnmsim.kernel.device import ETHERNET_HEADER, Device
from cnmsim.kernel.ecn import decapsulated, outer_ecn
from cnmsim.kernel.events import DropReason, Event, MtuLimit, Step
from cnmsim.kernel.interning import InternedMultiMap, intern_pool
from cnmsim.kernel.packet import build_ip
from cnmsim.kernel.pathmtu import UNKNOWN
from cnmsim.kernel.sockets import UdpSocket
from cnmsim.kernel.vxlan_fdb import DEFAULT_AGEING_S, VxlanFdb
from cnmsim.kernel.vxlan_header import VXLAN_LENGTH, source_port, vxlan_header
from cnmsim.kernel.vxlan_replies import is_proxied, proxy_answer, too_big

if TYPE_CHECKING:
    from cnmsim.kernel.namespace import NetworkNamespace
    from cnmsim.kernel.output_routing import RoutingDecision
    from cnmsim.kernel.skbuff import Packet
    from cnmsim.kernel.vxlan_fdb import VxlanEntry

#: The port that IANA assigned to VXLAN; Linux's own default is 8472.
VXLAN_PORT = 4789
_OVERHEAD = {4: 50, 6: 70}
_MAX_VNI = (1 << 24) - 1
_UDP_HEADER = Struct("!HHHH")
_IPV4 = b"\x08\x00"
# How often the same device may encapsulate a packet before it is dropped (XMIT_RECURSION_LIMIT).
_MAX_DEPTH = 8


@frozen
class _Path:
    """The cached route to one VTEP, valid while the namespace's `generation` is unchanged.

    `max_frame` is the length in bytes of the longest frame that needs no fragmentation. `sum` is the part of the UDP
    checksum that is the same for all frames: addresses, protocol, port and VXLAN header. `low` and `high` are the
    limits of the UDP source port; `header` is the VXLAN header.
    """

    generation: int
    vtep: Address
    decision: RoutingDecision
    max_frame: int
    sum: int
    low: int
    high: int
    header: bytes


class VxlanSocket(UdpSocket):
    """The kernel's socket that receives for all VXLAN devices of one namespace, family and port."""

    __slots__ = ("devices",)

    needs_packets = True

    def __init__(self, namespace: NetworkNamespace, family: int) -> None:
        super().__init__(namespace, family)
        self.v6only = True
        self.devices: dict[int, Vxlan] = {}

    def deliver(self, packet: Packet, data: bytes) -> bool:
        """Decapsulate a datagram and pass its frame to the device of its VNI (vxlan_rcv).

        Return False if the datagram was dropped.
        """
        namespace = self.namespace
        if len(data) < VXLAN_LENGTH + ETHERNET_HEADER or data[:4] != b"\x08\0\0\0" or data[7]:
            namespace.drop(packet, DropReason.MALFORMED, "no valid VXLAN header")
            return False
        vni = int.from_bytes(data[4:7])
        device = self.devices.get(vni)
        if device is None:
            namespace.drop(packet, DropReason.UNKNOWN_VNI, f"{DropReason.UNKNOWN_VNI.value}: {vni}")
            return False
        return device.decapsulate(packet, data[VXLAN_LENGTH:])


@frozen
class VxlanConfig:
    """The parameters of a VXLAN device, as `ip link add … type vxlan` sets them.

    `local` is the outer source and `underlay` the outgoing device; if `None`, routing chooses them. `remote` becomes
    the default FDB entry. `ttl` 0 is the system default. `family` is the address family of the VTEPs (4 or 6) if
    neither `local` nor `remote` determines it.

    If `proxy` is True, the device answers ARP requests and neighbour solicitations from its permanent neighbours, and
    sends none through the tunnel. `l2miss` and `l3miss` request notifications of userland about FDB and neighbour
    misses; no simulated program receives them.
    """

    vni: int
    port: int = VXLAN_PORT
    learning: bool = True
    proxy: bool = False
    l2miss: bool = False
    l3miss: bool = False
    local: Address | None = None
    remote: Address | None = None
    underlay: Device | None = None
    ttl: int = 0
    family: int = 4
    udp_checksum: bool = True
    ageing_s: float = DEFAULT_AGEING_S

    @property
    def underlay_family(self) -> int:
        """The address family of the outer packets, 4 or 6."""
        outer = self.local or self.remote
        return self.family if outer is None else 6 if len(outer) == 16 else 4


class Vxlan(Device):
    """A tunnel device. Create one with `Vxlan.create`.

    `link_namespace` is the namespace it was created in: the outer packets are sent and received there even after the
    device moved to another namespace.
    """

    __slots__ = ("_depth", "_paths", "_socket", "config", "fdb", "link_namespace", "port", "underlay_family", "vni")

    kind = "vxlan"

    def __init__(self, link_namespace: NetworkNamespace, name: str, mac: Mac, config: VxlanConfig) -> None:
        clock = link_namespace.clock
        family = config.underlay_family
        mtu = 1500 if config.underlay is None else config.underlay.mtu - _OVERHEAD[family]
        super().__init__(name, mac, clock, mtu)
        self.link_namespace = link_namespace
        self.config = config
        self.vni, self.port, self.underlay_family = config.vni, config.port, family
        self.interned_neighbours = InternedMultiMap(intern_pool(clock, "neighbours", config.vni))
        self.fdb = VxlanFdb(clock, family, intern_pool(clock, "fdb", config.vni), ageing_s=config.ageing_s)
        if config.remote is not None:
            self.fdb.add(MAC_ZERO, config.remote)
        self._socket: VxlanSocket | None = None
        self._paths: dict[Address, _Path] = {}
        self._depth = 0

    @classmethod
    def create(cls, namespace: NetworkNamespace, name: str, mac: Mac, config: VxlanConfig) -> Vxlan:
        """Create a device in `namespace`, which stays the namespace of its outer packets.

        Raises `OSError`: EEXIST if the name is taken or another device created there has the same VNI, port and
        family, ERANGE for a VNI over 24 bits or a bad name, EINVAL if `local` and `remote` are of two families.
        """
        if not 0 <= config.vni <= _MAX_VNI:
            raise OSError(errno.ERANGE, "Numerical result out of range")
        if config.local is not None and config.remote is not None and len(config.local) != len(config.remote):
            raise OSError(errno.EINVAL, "Invalid argument")
        device = cls(namespace, name, mac, config)
        for other in namespace.tunnels:
            if isinstance(other, Vxlan) and other.identity == device.identity:
                raise OSError(errno.EEXIST, "A VXLAN device with the specified VNI already exists")
        namespace.add_device(device)
        namespace.tunnels.append(device)
        return device

    @property
    def identity(self) -> tuple[int, int, int]:
        """The VNI, UDP port and address family.

        The combination is unique among the devices of one `link_namespace`.
        """
        return self.vni, self.port, self.underlay_family

    @property
    def remotes(self) -> dict[Mac, Address]:
        """The VTEP of each MAC address in the FDB. If an entry has several VTEPs, the first one."""
        return {entry.mac: entry.remotes[0] for entry in self.fdb}

    @property
    def peer_index(self) -> int | None:
        """The device's own interface index, which Linux shows after `@if`, e.g. 7 for `vxlan0@if7`.

        `None` while the device is in its `link_namespace`, where Linux shows no `@if`.
        """
        return self.index if self.namespace is not self.link_namespace else None

    # --- up and down

    def set_up(self) -> None:
        """Open the UDP port, then set the device up.

        Raises `OSError(EADDRINUSE)` if another program has bound the port.
        """
        if self.is_up:
            return
        self._open()
        super().set_up()

    def set_down(self) -> None:
        """Set the device down, flush learnt entries, and close the UDP port if no other device uses it."""
        if not self.is_up:
            return
        super().set_down()
        self.fdb.flush_learned()
        socket, self._socket = self._socket, None
        if socket is not None:
            del socket.devices[self.vni]
            if not socket.devices:
                socket.close()

    def _open(self) -> None:
        namespace = self.link_namespace
        for other in namespace.tunnels:
            if isinstance(other, Vxlan) and other._socket is not None and other.identity[1:] == self.identity[1:]:
                self._socket = other._socket
                break
        else:
            socket = VxlanSocket(namespace, self.underlay_family)
            socket.bind((bytes(16 if self.underlay_family == 6 else 4), self.port))
            self._socket = socket
        self._socket.devices[self.vni] = self

    def detach(self) -> None:
        """Leave the bridge, and stop receiving in the `link_namespace`, because the device is being removed."""
        super().detach()
        if self in self.link_namespace.tunnels:
            self.link_namespace.tunnels.remove(self)
        self.fdb.clear()

    # --- out

    def _put_on_wire(self, frame: bytes) -> None:
        if self.config.proxy and frame[12:14] != _IPV4 and is_proxied(frame):
            self._answer(frame)
            return
        entry = self.fdb.find(frame[:6]) or self.fdb.find(MAC_ZERO)
        if entry is None:
            reason = DropReason.NO_TUNNEL_ENDPOINT
            self.drop(frame, reason, f"no entry for {format_mac(frame[:6])}, and no default")
            return
        generation = self.link_namespace.generation
        for vtep in entry.remotes:
            path = self._paths.get(vtep)
            if path is None or path.generation != generation:
                path = self._find_path(frame, vtep)
                if path is None:
                    continue
            if len(frame) > path.max_frame and self._reply_too_big(frame, path):
                continue
            self._send(frame, path, entry)

    def _answer(self, frame: bytes) -> None:
        namespace = self.namespace
        assert namespace is not None
        answer = proxy_answer(frame, lambda address: namespace.neighbours.get(self, address))
        if answer.reply is None:
            if self.clock.observes_drops:
                # Not counted as dropped: the kernel consumes it.
                self._report(Step.DROPPED, frame, f"{self.name} keeps it: {answer.what}", DropReason.PROXY_UNANSWERED)
            return
        if self.clock.context is not None:
            decision = str(answer.entry)
            namespace.report(
                Step.NEIGHBOUR, f"{self.name} answers: {answer.what}", frame,
                device=self.name, decision=decision, is_frame=True,
            )  # fmt: skip
        self.clock.call_soon(self.receive, answer.reply)

    def _find_path(self, frame: bytes, vtep: Address) -> _Path | None:
        """Return the route for `frame` to the VTEP `vtep` (vxlan_xmit_one), and cache it.

        Return `None` if the frame was dropped, or if it was delivered without a tunnel because `vtep` is this host.
        """
        namespace = self.link_namespace
        if not any(vtep):
            self.drop(frame, DropReason.NO_TUNNEL_ENDPOINT, f"no outer packet can go to {format_ip(vtep)}")
            return None
        try:
            decision = namespace.ip.route_output(vtep, self.config.local, self.config.underlay)
        except OSError as error:
            what = f"no way to the tunnel endpoint {format_ip(vtep)}: {(error.strerror or str(error)).lower()}"
            self.drop(frame, DropReason.NO_ROUTE, what)
            return None
        if decision.outdev is self:
            self.drop(frame, DropReason.TUNNEL_LOOP)
            return None
        if decision.route.kind == "local":
            self._bypass(frame)
            return None
        low, high = namespace.sysctl_get("net.ipv4.ip_local_port_range").split()
        header = vxlan_header(self.vni)
        path = _Path(
            namespace.generation, vtep, decision, ETHERNET_HEADER + decision.mtu - _OVERHEAD[self.underlay_family],
            int.from_bytes(decision.src + vtep + header) % 0xFFFF + 17 + self.port, int(low), int(high), header,
        )  # fmt: skip
        if namespace.path_mtu.to(vtep) == UNKNOWN:  # a learned path MTU expires without a change of generation
            self._paths[vtep] = path
        return path

    def _send(self, frame: bytes, path: _Path, entry: VxlanEntry) -> None:
        if self._depth >= _MAX_DEPTH:
            self.drop(frame, DropReason.TUNNEL_LOOP)
            return
        length = len(frame)
        size = 16 + length
        port = source_port(frame, path.low, path.high)
        sum_ = 0
        if self.config.udp_checksum:
            # As transport_checksum does it; path.sum is the part that all frames of the path share.
            body = int.from_bytes(frame) << 8 if length & 1 else int.from_bytes(frame)
            sum_ = 0xFFFF - ((path.sum + port + 2 * size + body) % 0xFFFF or 0xFFFF) or 0xFFFF
        message = _UDP_HEADER.pack(port, self.port, size, sum_) + path.header + frame
        ecn = outer_ecn(frame)
        decision, vtep, ttl = path.decision, path.vtep, self.config.ttl or 64
        if self.clock.context is not None:
            what = f"into VNI {self.vni}, to {format_ip(vtep)}"
            outer = build_ip(17, decision.src, vtep, message, ttl=ttl, tos=ecn, dont_fragment=False)
            self._report_inner(Step.ENCAPSULATED, what, str(entry), outer, is_frame=False)
        self._depth += 1
        try:
            # Over IPv6 the kernel fragments what a socket sent, not what a tunnel sent.
            self.link_namespace.ip.send(
                17, decision, vtep, message, ttl=ttl, tos=ecn, dont_fragment=False, may_fragment=len(vtep) == 4
            )
        except OSError as error:
            if error.errno == errno.EPERM:  # the packet filter has reported the drop
                self.tx_dropped += 1
            else:
                what = f"{len(frame) - 14} bytes, the tunnel's path takes {path.max_frame - 14}"
                self.drop(frame, DropReason.MTU_EXCEEDED, what, MtuLimit(path.max_frame - 14))
        finally:
            self._depth -= 1

    def _bypass(self, frame: bytes) -> None:
        """Receive a frame without encapsulating it, because its VTEP is this host (encap_bypass_if_local)."""
        mine = IPV4_LOOPBACK if self.underlay_family == 4 else IPV6_LOOPBACK
        if self.config.learning:
            self.fdb.learn(frame[6:12], mine)
        self.clock.call_soon(self.receive, frame)

    def _reply_too_big(self, frame: bytes, path: _Path) -> bool:
        """Answer a bridged frame whose outer packet exceeds the path MTU with an ICMP error (skb_tunnel_check_pmtu).

        Return True if the frame was answered and dropped. Return `False` if no error can be sent, so that the caller
        sends the frame, for example because the namespace itself sent or routed it.
        """
        if self.master is None or frame[6:12] == self.master.mac:
            return False
        mtu = path.max_frame - ETHERNET_HEADER
        error = too_big(frame, mtu)
        if error is None:
            return False
        self.drop(
            frame,
            DropReason.FRAGMENTATION_NEEDED,
            f"{len(frame) - 14} bytes, the tunnel's path takes {mtu}",
            MtuLimit(mtu),
        )
        self.clock.call_soon(self.receive, error)
        return True

    # --- in

    def decapsulate(self, packet: Packet, frame: bytes) -> bool:
        """Receive the inner frame of `packet` (vxlan_set_mac, vxlan_snoop).

        Return `False` if the frame was dropped.
        """
        source = frame[6:12]
        if source == self.mac:
            return self._drop_inner(frame, DropReason.TUNNEL_LOOP, "the frame has this device's own source MAC")
        if source[0] & 1 or source == MAC_ZERO:
            return self._drop_inner(frame, DropReason.MALFORMED, "a multicast or zero source MAC")
        if self.config.learning and not self.fdb.learn(source, packet.src):
            known = self.fdb.peek(source)
            what = f"{format_mac(source)} came from {format_ip(packet.src)}"
            return self._drop_inner(frame, DropReason.TUNNEL_ENDPOINT_MISMATCH, what, str(known))
        if packet.data[1] & (3 if packet.family == 4 else 0x30):
            marked = decapsulated(frame, packet.data)
            if marked is None:
                return self._drop_inner(frame, DropReason.CONGESTION, DropReason.CONGESTION.value)
            frame = marked
        if self.clock.context is not None:
            what = f"out of VNI {self.vni}, from {format_ip(packet.src)}"
            self._report_inner(Step.DECAPSULATED, what, f"VNI {self.vni} is {self.name}", frame, is_frame=True)
        self.receive(frame)
        return True

    def _drop_inner(self, frame: bytes, reason: DropReason, what: str, decision: str = "") -> bool:
        self.rx_dropped += 1
        if self.clock.observes_drops:
            self._report_inner(Step.DROPPED, what, decision, frame, is_frame=True, reason=reason)
        return False

    def _report_inner(
        self, step: Step, what: str, decision: str, data: bytes, *, is_frame: bool, reason: DropReason | None = None
    ) -> None:
        place = self.namespace.name if self.namespace else ""
        event = Event(self.clock.now_ns, place, self.name, step, what, decision, data, is_frame, reason)
        if self.clock.context is not None:
            self.clock.context.report(event)
        if self.clock.meter is not None and step is Step.DROPPED:
            self.clock.meter.dropped(event)
