"""The flow cache of one namespace: what the stack did to one packet of a flow, done again to the next.

Every decision between a device and a device (or a socket) is a function of a packet's headers and of tables that count
their changes. The full walk of a packet that came through is written down as a `FlowRecorder` and kept as a `Flow`; the next
packet with the same addresses and ports, as long as no table has changed, has the same counters bumped, its connection
refreshed and its header rewritten, and goes the same way. Whatever is out of the ordinary takes the full walk: packets
that somebody observes, fragments, IP options, a TTL that runs out, what does not fit the MTU, flags that move a TCP
connection, neighbours that must be asked for; likewise flows for which a rule reads more than the headers or does more
than decide. (Linux has the same idea in nf_flow_table and in Open vSwitch; here even the rules' counters go on.)

Only TCP and UDP are remembered.
"""

from __future__ import annotations

from struct import Struct
from typing import TYPE_CHECKING
from zlib import crc32

from cnmsim.kernel.checksum import modulo_65535
from cnmsim.kernel.netfilter.conntrack import STREAM_AFTER_NS
from cnmsim.kernel.netfilter.tcpstate import ACK, FLAG_KIND, TcpState
from cnmsim.kernel.skbuff import CtState, Packet

if TYPE_CHECKING:
    from cnmsim.kernel.address import Address, Mac
    from cnmsim.kernel.device import Device
    from cnmsim.kernel.ip import RoutingDecision
    from cnmsim.kernel.namespace import NetworkNamespace
    from cnmsim.kernel.neighbour import Neighbour
    from cnmsim.kernel.netfilter.traversal import Counts
    from cnmsim.kernel.sockets.udp import UdpSocket

_MOST = 16384
_MOST_SHARED = 256
_PLACES = 1024
#: Addresses that start with this or more are those of groups, and the broadcast address.
_FIRST_GROUP = 224
#: Station, Ethernet type with version and header length, total length, flags and offset, TTL, protocol, checksum.
_FRAME = Struct("!6s6x3sxHxxHBBH")
#: Station, Ethernet type, version and half of the class, payload length, next header, hop limit.
_FRAME6 = Struct("!6s6x2sB3xHBB")
#: Length and checksum of a UDP datagram over IPv4 without options.
_LENGTH_AND_SUM = Struct("!HH")
_PORTS = Struct("!HH")
_TTL = Struct("!BBH")
_PLAIN_IPV4 = b"\x08\x00\x45"
_IPV4, _IPV6 = b"\x08\x00", b"\x86\xdd"
#: How long the transport header of a protocol is at least.
_LEAST = {17: 8, 6: 20}
#: After how many packets the next one's way is written down.
LASTING = {17: 1, 6: 5}
#: Where the header of a family without options ends, and where addresses and ports lie in the packet.
_HEADER = {4: 20, 6: 40}
_ENDS = {4: slice(12, 24), 6: slice(8, 44)}
_ESTABLISHED = CtState.ESTABLISHED
_TCP_ESTABLISHED = TcpState.ESTABLISHED.value
_NEW = CtState.NEW

Counters = tuple["Counts", ...]
Received = tuple["Device", bytes]
Sent = tuple[int, "Address", "Address", bytes]


class FlowRecorder:
    """What the full walk of one packet has met so far; whatever can't be repeated takes it off the packet.

    `counters` are those of the rules and policies it passed; `kind` is what must not change on the way (protocol and
    length), `ends` what may: the addresses and ports.
    """

    __slots__ = ("counters", "decision", "ends", "kind", "mac", "received", "sent")

    def __init__(
        self,
        packet: Packet,
        received: Received | None = None,
        mac: Mac = b"",
        sent: Sent | None = None,
        decision: RoutingDecision | None = None,
    ) -> None:
        self.received = received
        self.mac = mac
        self.sent = sent
        self.decision = decision
        self.counters: list[Counts] = []
        self.kind = packet.protocol, len(packet.data)
        self.ends = packet.data[_ENDS[packet.family]]


def received_key(frame: bytes, device: Device) -> Received:
    """Give the key of a frame's flow among those received: device, addresses and ports where they usually are."""
    return device, frame[26:38] if frame[12] == 8 else frame[22:58]


class FlowCache:
    """The flows of one namespace. With `is_enabled` off every packet takes the full walk, to the same end.

    A flow is remembered from its second packet on, one of TCP from its sixth: many have fewer, and remembering costs more than it
    saves them.
    """

    __slots__ = ("_namespace", "_seen", "_shared", "is_enabled", "received", "sent")

    def __init__(self, namespace: NetworkNamespace) -> None:
        self._namespace = namespace
        self.is_enabled = True
        self.received: dict[Received, Flow] = {}
        self.sent: dict[Sent, Flow] = {}
        self._shared: dict[Counters, Counters] = {}
        #: For each of some places, as keys are spread over them, five bits of the key that was seen last, and three of how often.
        self._seen: bytearray | None = None

    def disable(self) -> None:
        """Take the full walk with every packet from now on."""
        self.is_enabled = False
        self._namespace.generation += 1
        self.received.clear()
        self.sent.clear()

    def record_received(self, frame: bytes, packet: Packet, device: Device) -> None:
        """Write down what becomes of a packet that came in, if it is of a kind that can be repeated."""
        if (
            self.is_enabled
            and packet.protocol in _LEAST
            and packet.l4 == _HEADER[packet.family]
            and not packet.fragment_offset
            and not packet.more_fragments
            and len(packet.data) >= packet.l4 + _LEAST[packet.protocol]
            and device.kind != "loopback"
        ):
            key = received_key(frame, device)
            if self._lasts(crc32(key[1], device.index), packet.protocol):
                packet.recording = FlowRecorder(packet, received=key, mac=frame[:6])

    def record_sent(self, packet: Packet, key: Sent, decision: RoutingDecision) -> None:
        """Write down what becomes of a packet that starts here."""
        protocol = packet.protocol
        if self.is_enabled and protocol in _LEAST and self._lasts(crc32(b"".join(key[1:]), key[0]), protocol):
            packet.recording = FlowRecorder(packet, sent=key, decision=decision)

    def sent_flow(self, decision: RoutingDecision, dst: Address, sport: int, dport: int) -> Flow | None:
        """Give the flow of the datagrams between two ports that start here, if it is known and they go as decided."""
        flow = self.sent.get((17, decision.src, dst, _PORTS.pack(sport, dport)))
        return flow if flow is not None and flow.decision is decision else None

    def _lasts(self, number: int, protocol: int) -> bool:
        """Tell whether the key with that number was seen often enough; now and then that is said of one that was not.

        The number must be the same in every run, so that a lab is as fast in one as in the other.
        """
        seen = self._seen
        if seen is None:
            seen = self._seen = bytearray(_PLACES)
        place, mark = number % _PLACES, ((number >> 10) % 31 + 1) << 3
        known = seen[place]
        if known & 0xF8 != mark:
            seen[place] = mark
            return False
        if known & 7 < 7:
            known = seen[place] = known + 1
        return known & 7 >= LASTING[protocol]

    def share(self, counters: Counters) -> Counters:
        """Give a tuple that equals `counters`: most flows meet the same rules, and keep them as one object."""
        if len(self._shared) >= _MOST_SHARED:
            self._shared.clear()
        return self._shared.setdefault(counters, counters)

    def keep(self, packet: Packet) -> None:
        """Remember what was recorded of a packet that came through: up to its next hop, or to the sockets here."""
        recording, packet.recording = packet.recording, None
        if recording is None or packet.frag_max_size:
            return
        if recording.kind != (packet.protocol, len(packet.data)):
            return
        connection = packet.connection
        if connection is None:
            if packet.ct_state is not None:
                return
        elif packet.ct_state not in (_NEW, _ESTABLISHED) or (packet.protocol == 6 and not connection.seen_reply):
            return
        flow = (Flow if packet.family == 4 else Flow6)(self._namespace, packet, recording)
        if flow.translates and (flow.is_delivered or recording.sent is not None):
            return
        if recording.received is not None:
            if len(self.received) >= _MOST:
                self.received.clear()
            self.received[recording.received] = flow
        elif recording.sent is not None:
            if len(self.sent) >= _MOST:
                self.sent.clear()
            self.sent[recording.sent] = flow


class Flow:
    """The way of one flow in one direction through one namespace.

    `decision` is the route an outgoing flow was recorded for; `translates` tells that addresses or ports are rewritten. Where
    it leaves, `device` is where and `link` what follows the next hop's address in a frame's header; where it ends, `socket` is what
    takes its datagrams, if the sockets are as they were at `sockets_at`. `mac` is the station its frames come in for.
    """

    __slots__ = (
        "_addresses", "_connection", "_counters", "_entry", "_flags_at", "_hop", "_is_reply", "_is_two_way", "_least", "_long_ns",
        "_most", "_namespace", "_neighbours", "_netfilter", "_outdev", "_ports_end", "_protocol", "_short_ns", "_stamp", "_sum_at", "_sum_shift",
        "_transport_shift", "clock", "decision", "device", "is_delivered", "link", "mac", "socket", "sockets_at", "translates",
    )  # fmt: skip

    def __init__(self, namespace: NetworkNamespace, packet: Packet, recording: FlowRecorder) -> None:
        self._namespace = namespace
        self._netfilter = namespace.netfilter
        self.clock = namespace.clock
        self._stamp = namespace.generation + namespace.netfilter.generation
        self._counters = namespace.flows.share(tuple(recording.counters))
        self._protocol = packet.protocol
        self.mac = recording.mac
        header = _HEADER[packet.family]
        self._least = header + _LEAST[packet.protocol]
        self._flags_at = header + 13 if packet.protocol == 6 else 0
        self._ports_end = 14 + header + 4
        self._sum_at = 14 + header + (6 if packet.protocol == 17 else 16)
        self.decision = recording.decision
        self._note_connection(packet)
        self._note_way(packet)
        before, after = recording.ends, packet.data[_ENDS[packet.family]]
        self.translates = before != after
        self._addresses = after
        # How far rewriting moves the checksums, which are numbers modulo 65535 (RFC 1624); the TTL counts 256.
        self._transport_shift = (int.from_bytes(before) - int.from_bytes(after)) % 0xFFFF
        self._sum_shift = (int.from_bytes(before[:8]) - int.from_bytes(after[:8]) + 256) % 0xFFFF

    def _note_connection(self, packet: Packet) -> None:
        connection = self._connection = packet.connection
        self._is_reply = packet.ct_reply
        self._is_two_way = connection is not None and connection.seen_reply
        if connection is not None:
            self._short_ns, self._long_ns = self._namespace.netfilter.conntrack.flow_timeouts(packet.protocol)

    def _note_way(self, packet: Packet) -> None:
        outdev = self._outdev = packet.outdev
        self.is_delivered = outdev is None
        self.socket: UdpSocket | None = None
        self.sockets_at = 0
        self._most = 65535
        if outdev is None:
            return
        self._neighbours = self._namespace.neighbours
        route = self._namespace.find_route(packet.dst, src=packet.src, indev=packet.indev, mark=packet.mark)
        self._most = min(outdev.mtu, (route.mtu if route is not None else 0) or 65535)
        self.device = outdev
        self._hop = (outdev, packet.nexthop or packet.dst)
        self._entry: Neighbour | None = None
        self.link = outdev.mac + (_IPV4 if packet.family == 4 else _IPV6)

    def receive(self, frame: bytes, device: Device) -> bool:
        """Do with a frame what was done with the first. `False`: nothing was done, it must take the full walk."""
        mac, kind, total, fragment, ttl, protocol, sum_ = _FRAME.unpack_from(frame)
        if (
            kind != _PLAIN_IPV4
            or mac != self.mac
            or protocol != self._protocol
            or fragment & 0x3FFF
            or total != len(frame) - 14
            or not self._least <= total <= self._most
            or int.from_bytes(frame[14:34]) % 0xFFFF
        ):
            return False
        outdev = self._outdev
        if outdev is None:
            return self._deliver(frame, device)
        hop = self.next_station() if ttl > 1 else None
        if hop is None or not self.pass_hooks(total, frame[14 + self._flags_at]):
            return False
        head = frame[14:22] + _TTL.pack(ttl - 1, protocol, (sum_ + self._sum_shift) % 0xFFFF)
        if self.translates:
            outdev.transmit(hop + self.link + head + self._addresses + self._translated(frame))
        else:
            outdev.transmit(hop + self.link + head + frame[26:])
        return True

    def _translated(self, frame: bytes) -> bytes:
        """Give what follows the ports, with the right checksum."""
        at = self._sum_at
        sum_ = int.from_bytes(frame[at : at + 2])
        if self._protocol == 6:
            sum_ = (sum_ + self._transport_shift) % 0xFFFF
        elif sum_ or self._ports_end > 38:  # 0: the sender made none, which only IPv4 allows
            sum_ = (sum_ + self._transport_shift) % 0xFFFF or 0xFFFF
        return frame[self._ports_end : at] + sum_.to_bytes(2) + frame[at + 2 :]

    def _packet(self, data: bytes, device: Device) -> Packet:
        return Packet.plain(data, device)

    def _deliver(self, frame: bytes, device: Device) -> bool:
        if not self.pass_hooks(len(frame) - 14, frame[14 + self._flags_at]):
            return False
        sockets = self._namespace.sockets
        socket = self.socket
        if socket is not None and self.sockets_at == sockets.udp_generation and self._is_whole(frame):
            if socket.needs_packets:
                socket.deliver(self._as_tracked(frame, device), frame[42:])
            else:
                addresses = self._addresses
                socket.take(frame[42:], addresses[:4], int.from_bytes(addresses[8:10]))
            return True
        packet = self._as_tracked(frame, device)
        if self._protocol == 17 and packet.family == 4 and packet.dst[0] < _FIRST_GROUP:
            self.socket, self.sockets_at = sockets.udp_receiver(packet), sockets.udp_generation
        self._namespace.ip.deliver_to_protocol(packet)
        return True

    def _is_whole(self, frame: bytes) -> bool:
        """Tell whether a UDP datagram fills its packet, and has the right checksum or none."""
        length, sum_ = _LENGTH_AND_SUM.unpack_from(frame, 38)
        if length != len(frame) - 34:
            return False
        if not sum_:
            return True
        body = int.from_bytes(frame[34:]) << 8 if length & 1 else int.from_bytes(frame[34:])
        return not modulo_65535(int.from_bytes(self._addresses[:8]) + 17 + length + body)

    def _as_tracked(self, frame: bytes, device: Device) -> Packet:
        packet = self._packet(frame[14:], device)
        connection = packet.connection = self._connection
        if connection is not None:
            packet.ct_reply = self._is_reply
            packet.ct_state = _ESTABLISHED if self._is_two_way else _NEW
        return packet

    def send(self, data: bytes) -> bool:
        """Send a packet that starts here the way the first went. `False`: nothing was done."""
        size = len(data)
        hop = self.pass_out(size, data[self._flags_at]) if size >= self._least else None
        if hop is None:
            return False
        neighbours = self._neighbours
        if neighbours.pending_confirm:
            neighbours.pending_confirm = False
            if self._entry is not None:
                self._entry.confirm(self.clock.now_ns)
        self.device.transmit(hop + self.link + data)
        return True

    def pass_out(self, size: int, flags: int = 0) -> Mac | None:
        """Let a packet of `size` bytes that starts here pass the hooks, and give its next hop. `None`: it must be looked at anew."""
        if size > self._most:
            return None
        hop = self.next_station()
        return hop if hop is not None and self.pass_hooks(size, flags) else None

    def pass_on(self, size: int, station: Mac) -> bool:
        """Let a packet of `size` bytes pass the hooks if its next hop is that station. `False`: it must be looked at anew."""
        return self.next_station() == station and size <= self._most and self.pass_hooks(size)

    def datagram_socket(self) -> UdpSocket | None:
        """Give the socket that takes its datagrams without looking at more than sender and content, if that is known."""
        socket = self.socket
        if socket is None or socket.needs_packets or self.sockets_at != self._namespace.sockets.udp_generation:
            return None
        return socket

    def next_station(self) -> Mac | None:
        """Give the MAC of the next hop, if it can be sent to with nothing else to do."""
        entry, now_ns = self._entry, self.clock.now_ns
        mac = entry.usable_mac(now_ns) if entry is not None else None
        if mac is None:
            entry = self._entry = self._neighbours.get(*self._hop)
            mac = entry.usable_mac(now_ns) if entry is not None else None
        return mac

    def pass_hooks(self, size: int, flags: int = 0) -> bool:
        """Count and track a packet of `size` bytes as the hooks did. `False`: it must be looked at anew."""
        if self._stamp != self._namespace.generation + self._netfilter.generation:
            return False
        connection = self._connection
        if connection is not None:
            now = self.clock.now_ns
            is_two_way = self._is_two_way
            if connection.is_dying or connection.expires_ns <= now or connection.seen_reply is not is_two_way:
                return False
            if self._protocol == 6:
                if connection.tcp_state != _TCP_ESTABLISHED or FLAG_KIND[flags] != ACK:
                    return False
                connection.expires_ns = now + self._long_ns
            elif is_two_way and now - connection.began_ns > STREAM_AFTER_NS:
                if not connection.is_assured:
                    return False
                connection.expires_ns = now + self._long_ns
            else:
                connection.expires_ns = now + self._short_ns
        for counter in self._counters:
            counter.packets += 1
            counter.bytes += size
        return True


class Flow6(Flow):
    """The way of one flow over IPv6, in packets without extension headers."""

    __slots__ = ()

    def receive(self, frame: bytes, device: Device) -> bool:
        """Do with a frame what was done with the first. `False`: nothing was done, it must take the full walk."""
        mac, kind, first, length, protocol, hops = _FRAME6.unpack_from(frame)
        total = length + 40
        if (
            kind != _IPV6
            or first >> 4 != 6
            or mac != self.mac
            or protocol != self._protocol
            or total != len(frame) - 14
            or not self._least <= total <= self._most
        ):
            return False
        outdev = self._outdev
        if outdev is None:
            return self._deliver(frame, device)
        hop = self.next_station() if hops > 1 else None
        if hop is None or not self.pass_hooks(total, frame[14 + self._flags_at]):
            return False
        head = hop + self.link + frame[14:21] + (hops - 1).to_bytes(1)
        if self.translates:
            outdev.transmit(head + self._addresses + self._translated(frame))
        else:
            outdev.transmit(head + frame[22:])
        return True

    def _packet(self, data: bytes, device: Device) -> Packet:
        return Packet(data, device)
