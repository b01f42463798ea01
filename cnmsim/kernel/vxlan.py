"""VXLAN devices (RFC 7348): Ethernet frames in UDP, between hosts that know each other's addresses.

Source: drivers/net/vxlan/vxlan_core.c of Linux 6.1. The device may be moved to another namespace; its outer packets
are sent and received where it was made. Groups as destinations, several VNIs per device and the extensions (GBP, GPE) are
not modelled.
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
from cnmsim.kernel.interning import InternPool, intern_pool
from cnmsim.kernel.packet import build_ip
from cnmsim.kernel.pathmtu import UNKNOWN
from cnmsim.kernel.sockets import UdpSocket
from cnmsim.kernel.vxlan_fdb import VxlanFdb
from cnmsim.kernel.vxlan_header import VXLAN_LENGTH, source_port, vxlan_header
from cnmsim.kernel.vxlan_replies import is_question, proxy_answer, too_big

if TYPE_CHECKING:
    from cnmsim.kernel.clock import Clock
    from cnmsim.kernel.ip import RoutingDecision
    from cnmsim.kernel.namespace import NetworkNamespace
    from cnmsim.kernel.skbuff import Packet
    from cnmsim.kernel.vxlan_fdb import VxlanEntry

#: The port IANA gave to VXLAN; Linux's own default is 8472.
VXLAN_PORT = 4789
_OVERHEAD = {4: 50, 6: 70}
_LARGEST_VNI = (1 << 24) - 1
_UDP_HEADER = Struct("!HHHH")
_IPV4 = b"\x08\x00"
# How deep a tunnel may lead through itself before the packet is dropped (Linux: XMIT_RECURSION_LIMIT).
_DEPTH = 8


@frozen
class _Path:
    """The way to one VTEP, right while the namespace's `generation` lasts.

    `longest` is the longest frame that needs no fragments; `sum` what addresses, protocol, port and VXLAN header add to the
    UDP checksum; `low` and `high` bound the local ports; `header` is the VXLAN header.
    """

    generation: int
    vtep: Address
    decision: RoutingDecision
    longest: int
    sum: int
    low: int
    high: int
    header: bytes


class VxlanSocket(UdpSocket):
    """The kernel's own socket that receives for all VXLAN devices of one namespace, family and port."""

    __slots__ = ("devices",)

    needs_packets = True

    def __init__(self, namespace: NetworkNamespace, family: int) -> None:
        super().__init__(namespace, family)
        self.v6only = True
        self.devices: dict[int, Vxlan] = {}

    def deliver(self, packet: Packet, data: bytes) -> bool:
        """Take a datagram off the tunnel and give its frame to the device of its VNI (vxlan_rcv)."""
        namespace = self.namespace
        if len(data) < VXLAN_LENGTH + ETHERNET_HEADER or data[:4] != b"\x08\0\0\0" or data[7]:
            namespace.drop(packet, DropReason.MALFORMED, "no VXLAN header that is understood")
            return False
        vni = int.from_bytes(data[4:7])
        device = self.devices.get(vni)
        if device is None:
            namespace.drop(packet, DropReason.UNKNOWN_VNI, f"{DropReason.UNKNOWN_VNI.value}: {vni}")
            return False
        return device.decapsulate(packet, data[VXLAN_LENGTH:])


class Vxlan(Device):
    """A tunnel device. Make one with `Vxlan.create`.

    `link_namespace` is where it was made, `local` the fixed outer source (`None`: what routing selects), `underlay` the
    device outer packets leave by (`None`: what routing selects), `ttl` 0 the system's default. With `proxy` ARP and
    neighbour solicitations are answered from the device's permanent neighbours and never cross the tunnel;
    `l2miss` and `l3miss` only ask the kernel to tell userland of misses, to which nobody listens here.
    """

    __slots__ = (
        "_depth", "_paths", "_socket", "fdb", "l2miss", "l3miss", "learning",
        "link_namespace", "local", "port", "proxy", "ttl", "udp_checksum", "underlay", "underlay_family", "vni",
    )  # fmt: skip

    kind = "vxlan"

    def __init__(
        self,
        name: str,
        mac: Mac,
        clock: Clock,
        link_namespace: NetworkNamespace,
        vni: int,
        *,
        port: int = VXLAN_PORT,
        learning: bool = True,
        proxy: bool = False,
        l2miss: bool = False,
        l3miss: bool = False,
        local: Address | None = None,
        remote: Address | None = None,
        underlay: Device | None = None,
        ttl: int = 0,
        family: int = 4,
    ) -> None:
        outer = local or remote
        self.underlay_family = family if outer is None else 6 if len(outer) == 16 else 4
        mtu = 1500 if underlay is None else underlay.mtu - _OVERHEAD[self.underlay_family]
        super().__init__(name, mac, clock, mtu)
        self.link_namespace = link_namespace
        self.vni = vni
        self.port = port
        self.learning = learning
        self.proxy = proxy
        self.l2miss = l2miss
        self.l3miss = l3miss
        self.local = local
        self.underlay = underlay
        self.ttl = ttl
        self.udp_checksum = True
        self.fdb = VxlanFdb(clock, self.underlay_family, intern_pool(clock, "fdb", vni))
        if remote is not None:
            self.fdb.add(MAC_ZERO, remote)
        self._socket: VxlanSocket | None = None
        self._paths: dict[Address, _Path] = {}
        self._depth = 0

    @classmethod
    def create(
        cls,
        namespace: NetworkNamespace,
        name: str,
        mac: Mac,
        vni: int,
        *,
        port: int = VXLAN_PORT,
        learning: bool = True,
        proxy: bool = False,
        l2miss: bool = False,
        l3miss: bool = False,
        local: Address | None = None,
        remote: Address | None = None,
        underlay: Device | None = None,
        ttl: int = 0,
        family: int = 4,
    ) -> Vxlan:
        """Make a device in `namespace`, which stays the namespace of its outer packets.

        `family` (4 or 6) is that of the tunnel endpoints where neither `local` nor `remote` tells it.
        Raises `OSError`: EEXIST if the name is taken or another device made there has the same VNI, port and family,
        ERANGE for a VNI over 24 bits or a bad name, EINVAL if `local` and `remote` are of two families.
        """
        if not 0 <= vni <= _LARGEST_VNI:
            raise OSError(errno.ERANGE, "Numerical result out of range")
        if local is not None and remote is not None and len(local) != len(remote):
            raise OSError(errno.EINVAL, "Invalid argument")
        device = cls(
            name, mac, namespace.clock, namespace, vni, port=port, learning=learning, proxy=proxy, l2miss=l2miss,
            l3miss=l3miss, local=local, remote=remote, underlay=underlay, ttl=ttl, family=family,
        )  # fmt: skip
        for other in namespace.tunnels:
            if isinstance(other, Vxlan) and other.identity == device.identity:
                raise OSError(errno.EEXIST, "A VXLAN device with the specified VNI already exists")
        namespace.add_device(device)
        namespace.tunnels.append(device)
        return device

    @property
    def identity(self) -> tuple[int, int, int]:
        """What must be unique in the namespace of the outer packets: VNI, port and family."""
        return self.vni, self.port, self.underlay_family

    @property
    def remotes(self) -> dict[Mac, Address]:
        """The VTEP of each MAC address (the first, where the default entry has several)."""
        return {entry.mac: entry.remotes[0] for entry in self.fdb}

    @property
    def peer_index(self) -> int | None:
        """Its own index, which Linux shows behind `@if` once it is away from where it was made."""
        return self.index if self.namespace is not self.link_namespace else None

    # --- up and down ---------------------------------------------------------------------------------------------

    def set_up(self) -> None:
        """Open the tunnel's UDP port, then go up. Raises `OSError(EADDRINUSE)` if another program holds the port."""
        if self.is_up:
            return
        self._open()
        super().set_up()

    def set_down(self) -> None:
        """Go down, forget what was learnt and give up the UDP port if no other device needs it."""
        if not self.is_up:
            return
        super().set_down()
        self.fdb.flush_learnt()
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
        """Leave the bridge, and the namespace of the outer packets."""
        super().detach()
        if self in self.link_namespace.tunnels:
            self.link_namespace.tunnels.remove(self)
        self.fdb.clear()

    def shared_neighbours(self) -> InternPool[Address, Mac]:
        """Give the permanent neighbours that devices of this VNI have anywhere."""
        return intern_pool(self.clock, "neighbours", self.vni)

    # --- out -----------------------------------------------------------------------------------------------------

    def _put_on_wire(self, frame: bytes) -> None:
        if self.proxy and frame[12:14] != _IPV4 and is_question(frame):
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
            if len(frame) > path.longest and self._tells_mtu(frame, path):
                continue
            self._send(frame, path, entry)

    def _answer(self, frame: bytes) -> None:
        namespace = self.namespace
        assert namespace is not None
        answer = proxy_answer(frame, lambda address: namespace.neighbours.get(self, address))
        if answer.reply is None:
            if self.clock.context is not None:
                # Not counted among the dropped: the kernel consumes it.
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
        """Route to a VTEP; `None` if the frame goes no further, or has been taken in again (vxlan_xmit_one)."""
        namespace = self.link_namespace
        if not any(vtep):
            self.drop(frame, DropReason.NO_TUNNEL_ENDPOINT, f"no outer packet can go to {format_ip(vtep)}")
            return None
        try:
            decision = namespace.ip.route_output(vtep, self.local, self.underlay)
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
        if namespace.path_mtu.to(vtep) == UNKNOWN:  # what was learnt expires without a change of generation
            self._paths[vtep] = path
        return path

    def _send(self, frame: bytes, path: _Path, entry: VxlanEntry) -> None:
        if self._depth >= _DEPTH:
            self.drop(frame, DropReason.TUNNEL_LOOP)
            return
        length = len(frame)
        size = 16 + length
        port = source_port(frame, path.low, path.high)
        sum_ = 0
        if self.udp_checksum:
            # As transport_checksum has it; what is the same for every frame of the path is summed already.
            body = int.from_bytes(frame) << 8 if length & 1 else int.from_bytes(frame)
            sum_ = 0xFFFF - ((path.sum + port + 2 * size + body) % 0xFFFF or 0xFFFF) or 0xFFFF
        message = _UDP_HEADER.pack(port, self.port, size, sum_) + path.header + frame
        ecn = outer_ecn(frame)
        decision, vtep, ttl = path.decision, path.vtep, self.ttl or 64
        if self.clock.context is not None:
            what = f"into VNI {self.vni}, to {format_ip(vtep)}"
            outer = build_ip(17, decision.src, vtep, message, ttl=ttl, tos=ecn, dont_fragment=False)
            self._tell(Step.ENCAPSULATED, what, str(entry), outer, is_frame=False)
        self._depth += 1
        try:
            # Of IPv6 the kernel fragments only what a socket sent, not what a tunnel did.
            self.link_namespace.ip.send(
                17, decision, vtep, message, ttl=ttl, tos=ecn, dont_fragment=False, may_fragment=len(vtep) == 4
            )
        except OSError as error:
            if error.errno == errno.EPERM:  # a packet filter tells of its drops itself
                self.tx_dropped += 1
            else:
                what = f"{len(frame) - 14} bytes, the tunnel's path takes {path.longest - 14}"
                self.drop(frame, DropReason.MTU_EXCEEDED, what, MtuLimit(path.longest - 14))
        finally:
            self._depth -= 1

    def _bypass(self, frame: bytes) -> None:
        """Take a frame whose VTEP is this host straight in, without a header (encap_bypass_if_local)."""
        mine = IPV4_LOOPBACK if self.underlay_family == 4 else IPV6_LOOPBACK
        if self.learning:
            self.fdb.learn(frame[6:12], mine)
        self.clock.call_soon(self.receive, frame)

    def _tells_mtu(self, frame: bytes, path: _Path) -> bool:
        """Tell a sender behind the bridge that the outer packet would not fit; `False` if it is to be sent all the same.

        What the namespace itself sends or routes is not answered: the kernel only does so for bridged frames.
        """
        if self.master is None or frame[6:12] == self.master.mac:
            return False
        mtu = path.longest - ETHERNET_HEADER
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

    # --- in ------------------------------------------------------------------------------------------------------

    def decapsulate(self, packet: Packet, frame: bytes) -> bool:
        """Take an inner frame that came in `packet`; `False` if it is dropped (vxlan_set_mac, vxlan_snoop)."""
        source = frame[6:12]
        if source == self.mac:
            return self._drop_inner(frame, DropReason.TUNNEL_LOOP, "the frame has this device's own source MAC")
        if source[0] & 1 or source == MAC_ZERO:
            return self._drop_inner(frame, DropReason.MALFORMED, "a group's or no source MAC")
        if self.learning and not self.fdb.learn(source, packet.src):
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
            self._tell(Step.DECAPSULATED, what, f"VNI {self.vni} is {self.name}", frame, is_frame=True)
        self.receive(frame)
        return True

    def _drop_inner(self, frame: bytes, reason: DropReason, what: str, decision: str = "") -> bool:
        self.rx_dropped += 1
        if self.clock.context is not None:
            self._tell(Step.DROPPED, what, decision, frame, is_frame=True, reason=reason)
        return False

    def _tell(
        self, step: Step, what: str, decision: str, data: bytes, *, is_frame: bool, reason: DropReason | None = None
    ) -> None:
        observer = self.clock.context
        if observer is not None:
            place = self.namespace.name if self.namespace else ""
            observer.report(Event(self.clock.now_ns, place, self.name, step, what, decision, data, is_frame, reason))
