"""The flow cache of one namespace: the decisions about one packet of a flow, reused for the next.

Every decision between two devices, or between a device and a socket, is a function of a packet's headers and of
tables whose changes are counted. A `FlowRecorder` records the slow path of a packet, and the result is stored as a
`Flow`. As long as no table has changed, the next packet with the same addresses and ports increments the same
counters, refreshes the same conntrack entry, gets the same header rewrite and leaves by the same hop. (Linux:
nf_flow_table; Open vSwitch's datapath. Unlike there, rule counters are still incremented.)

Everything out of the ordinary takes the slow path: observed packets, fragments, IP options, an expiring TTL, a size
over the MTU, TCP flags that change the connection's state, neighbours that must be resolved. So do flows that were
subject to a match or hook step that depends on more than the flow (`Dependency.ANYTHING`), or to a target that acts
on packets.

Invalidation: a flow stores the sum of `NetworkNamespace.generation` (routes, addresses, links, sysctls) and
`PacketFilter.generation` (rules, sets); a change of either invalidates every flow. Conntrack entries and neighbours
are checked for each packet, the socket table by its `udp_generation`.

Only TCP and UDP flows are cached. Tests: tests/laws/test_flow_cache.py. Benchmark: bench/crossing_bridge.py.
"""

from __future__ import annotations

from struct import Struct
from typing import TYPE_CHECKING, Any
from zlib import crc32

from cnmsim.kernel.checksum import modulo_65535
from cnmsim.kernel.netfilter.conntrack import STREAM_AFTER_NS
from cnmsim.kernel.netfilter.tcpstate import ACK, FLAG_KIND, TcpState
from cnmsim.kernel.skbuff import CtState, Packet

if TYPE_CHECKING:
    from cnmsim.kernel.address import Address, Mac
    from cnmsim.kernel.device import Device
    from cnmsim.kernel.namespace import NetworkNamespace
    from cnmsim.kernel.neighbour import Neighbour
    from cnmsim.kernel.netfilter.traversal import PacketCounter, TraversalResult
    from cnmsim.kernel.output_routing import RoutingDecision
    from cnmsim.kernel.sockets.udp import UdpSocket

#: The maximum number of flows in each direction; the cache is emptied when it is full.
_MAX_FLOWS = 16384
#: The number of slots of the admission filter.
_FILTER_SLOTS = 1024
#: The lowest first octet of multicast addresses. Higher octets are multicast, reserved, or the broadcast address.
_FIRST_MULTICAST_OCTET = 224
#: Destination MAC, EtherType with version and header length, total length, flags and offset, TTL, protocol, checksum.
_FRAME = Struct("!6s6x3sxHxxHBBH")
#: Destination MAC, EtherType, version and half of the class, payload length, next header, hop limit.
_FRAME6 = Struct("!6s6x2sB3xHBB")
#: Length and checksum of a UDP header.
_LENGTH_AND_SUM = Struct("!HH")
_PORTS = Struct("!HH")
_TTL = Struct("!BBH")
_IPV4_WITHOUT_OPTIONS = b"\x08\x00\x45"
_IPV4, _IPV6 = b"\x08\x00", b"\x86\xdd"
#: The minimum length of each protocol's header, in bytes.
_MIN_HEADER = {17: 8, 6: 20}
#: By protocol: the number of packets of a flow that take the slow path before one is recorded.
ADMITTED_AFTER = {17: 1, 6: 5}
#: By family: the length of an IP header without options, and the slice of the packet that contains addresses and
#: ports.
_HEADER = {4: 20, 6: 40}
_TUPLE = {4: slice(12, 24), 6: slice(8, 44)}
_ESTABLISHED = CtState.ESTABLISHED
_TCP_ESTABLISHED = TcpState.ESTABLISHED.value
_NEW = CtState.NEW

#: The key of a received flow: its input device, and the packet's bytes with addresses and ports.
ReceivedKey = tuple["Device", bytes]
#: The key of a sent flow: protocol, source, destination, and the packet's bytes with the ports.
SentKey = tuple[int, "Address", "Address", bytes]


class FlowRecorder:
    """A record of the decisions about one packet while it takes the slow path.

    If a step cannot be replayed, it ends the recording by setting `Packet.recording` to `None`. `counters` are the
    counters of the rules and policies that matched the packet. `shape` (protocol and length) must not change on the
    path; `tuple_before` (addresses and ports) may be changed by NAT.
    """

    __slots__ = ("counters", "decision", "mac", "received", "sent", "shape", "tuple_before")

    def __init__(
        self,
        packet: Packet,
        received: ReceivedKey | None = None,
        mac: Mac = b"",
        sent: SentKey | None = None,
        decision: RoutingDecision | None = None,
    ) -> None:
        self.received = received
        self.mac = mac
        self.sent = sent
        self.decision = decision
        self.counters: list[PacketCounter] = []
        self.shape = packet.protocol, len(packet.data)
        self.tuple_before = packet.data[_TUPLE[packet.family]]

    def add_traversal(self, packet: Packet, result: TraversalResult[Any]) -> None:
        """Record the traversal of a chain, or stop recording if its result may differ for the next packet."""
        connection = packet.connection
        if result.is_cacheable and (connection is None or connection.is_confirmed):
            self.counters += result.counters
        else:
            packet.recording = None


def received_key(frame: bytes, device: Device) -> ReceivedKey:
    """Return the key of the flow of a frame that `device` received. Its IP header is assumed to have no options."""
    return device, frame[26:38] if frame[12] == 8 else frame[22:58]


class FlowCache:
    """The cached flows of one namespace.

    If `is_enabled` is False, every packet takes the slow path, with the same result.

    A UDP flow is recorded from its second packet on, a TCP flow from its sixth: most flows have fewer packets, and
    recording them would cost more time than it saves.
    """

    __slots__ = ("_filter", "_namespace", "is_enabled", "received", "sent")

    def __init__(self, namespace: NetworkNamespace) -> None:
        self._namespace = namespace
        self.is_enabled = True
        self.received: dict[ReceivedKey, Flow] = {}
        self.sent: dict[SentKey, Flow] = {}
        #: The admission filter, one byte per slot; a key's hash selects the slot. Five bits identify the last key
        #: that used the slot, three bits count how often it was seen.
        self._filter: bytearray | None = None

    def disable(self) -> None:
        """Switch the cache off: every packet takes the slow path from now on."""
        self.is_enabled = False
        self._namespace.generation += 1
        self.received.clear()
        self.sent.clear()

    def record_received(self, frame: bytes, packet: Packet, device: Device) -> None:
        """Start recording a packet that `device` received in `frame`, if enough packets of its flow were seen.

        Do nothing if the packet cannot be cached, such as a fragment.
        """
        if (
            self.is_enabled
            and packet.protocol in _MIN_HEADER
            and packet.l4 == _HEADER[packet.family]
            and not packet.fragment_offset
            and not packet.more_fragments
            and len(packet.data) >= packet.l4 + _MIN_HEADER[packet.protocol]
            and device.kind != "loopback"
        ):
            key = received_key(frame, device)
            if self._admit(crc32(key[1], device.index), packet.protocol):
                packet.recording = FlowRecorder(packet, received=key, mac=frame[:6])

    def record_sent(self, packet: Packet, key: SentKey, decision: RoutingDecision) -> None:
        """Start recording a packet that this namespace sends, if enough packets of its flow were seen.

        `key` is the key of the packet's flow, `decision` the routing decision for the packet.
        """
        protocol = packet.protocol
        if self.is_enabled and protocol in _MIN_HEADER and self._admit(crc32(b"".join(key[1:]), key[0]), protocol):
            packet.recording = FlowRecorder(packet, sent=key, decision=decision)

    def sent_flow(self, decision: RoutingDecision, dst: Address, sport: int, dport: int) -> Flow | None:
        """Return the cached flow of UDP datagrams sent by the namespace from `sport` to `dst` and `dport`.

        Return `None` if no flow was cached for the routing decision `decision`.
        """
        flow = self.sent.get((17, decision.src, dst, _PORTS.pack(sport, dport)))
        return flow if flow is not None and flow.decision is decision else None

    def _admit(self, key_hash: int, protocol: int) -> bool:
        """Count a packet by the hash of its flow's key. Return True if enough were counted to record the flow.

        `protocol` decides how many are enough. If hashes collide, a flow may be recorded too early. The hash must be
        the same in every run, so that every run of a lab takes the same computing time.
        """
        slots = self._filter
        if slots is None:
            slots = self._filter = bytearray(_FILTER_SLOTS)
        slot, mark = key_hash % _FILTER_SLOTS, ((key_hash >> 10) % 31 + 1) << 3
        value = slots[slot]
        if value & 0xF8 != mark:
            slots[slot] = mark
            return False
        if value & 7 < 7:
            value = slots[slot] = value + 1
        return value & 7 >= ADMITTED_AFTER[protocol]

    def keep(self, packet: Packet) -> None:
        """Cache the flow of a packet whose recording is complete.

        A recording is complete when the packet reaches its next hop or a socket of this namespace.
        """
        recording, packet.recording = packet.recording, None
        if recording is None or packet.frag_max_size:
            return
        if recording.shape != (packet.protocol, len(packet.data)):
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
            if len(self.received) >= _MAX_FLOWS:
                self.received.clear()
            self.received[recording.received] = flow
        elif recording.sent is not None:
            if len(self.sent) >= _MAX_FLOWS:
                self.sent.clear()
            self.sent[recording.sent] = flow


class Flow:
    """A cached flow: what the slow path decided about the packets of one flow, in one direction, in one namespace.

    A flow that the namespace sends belongs to the routing decision `decision`; one that it receives has frames with
    the destination MAC `mac`. `translates` is True if NAT rewrites addresses or ports.

    If packets leave the namespace, `device` is the device, and `l2_suffix` (source MAC and EtherType) follows the
    next hop's MAC in their frames. If `is_delivered` is True, packets are delivered to `socket` instead; that socket
    is valid as long as the generation of the socket table is `sockets_at`.
    """

    __slots__ = (
        "_addresses", "_connection", "_counters", "_flags_at", "_hop", "_is_reply", "_is_two_way", "_long_ns",
        "_max_size", "_min_size", "_namespace", "_neighbour", "_neighbours", "_netfilter", "_outdev", "_ports_end",
        "_protocol", "_short_ns", "_stamp", "_sum_at", "_sum_shift", "_transport_shift", "clock", "decision",
        "device", "is_delivered", "l2_suffix", "mac", "socket", "sockets_at", "translates",
    )  # fmt: skip

    def __init__(self, namespace: NetworkNamespace, packet: Packet, recording: FlowRecorder) -> None:
        self._namespace = namespace
        self._netfilter = namespace.netfilter
        self.clock = namespace.clock
        self._stamp = namespace.generation + namespace.netfilter.generation
        self._counters = tuple(recording.counters)
        self._protocol = packet.protocol
        self.mac = recording.mac
        header = _HEADER[packet.family]
        self._min_size = header + _MIN_HEADER[packet.protocol]
        self._flags_at = header + 13 if packet.protocol == 6 else 0
        self._ports_end = 14 + header + 4
        self._sum_at = 14 + header + (6 if packet.protocol == 17 else 16)
        self.decision = recording.decision
        self._set_connection(packet)
        self._set_output(packet)
        before, after = recording.tuple_before, packet.data[_TUPLE[packet.family]]
        self.translates = before != after
        self._addresses = after
        # The differences that the rewrite makes to the checksums, modulo 65535 (RFC 1624). Decrementing the TTL
        # counts 256.
        self._transport_shift = (int.from_bytes(before) - int.from_bytes(after)) % 0xFFFF
        self._sum_shift = (int.from_bytes(before[:8]) - int.from_bytes(after[:8]) + 256) % 0xFFFF

    def _set_connection(self, packet: Packet) -> None:
        connection = self._connection = packet.connection
        self._is_reply = packet.ct_reply
        self._is_two_way = connection is not None and connection.seen_reply
        if connection is not None:
            self._short_ns, self._long_ns = self._namespace.netfilter.conntrack.flow_timeouts(packet.protocol)

    def _set_output(self, packet: Packet) -> None:
        outdev = self._outdev = packet.outdev
        self.is_delivered = outdev is None
        self.socket: UdpSocket | None = None
        self.sockets_at = 0
        self._max_size = 65535
        if outdev is None:
            return
        self._neighbours = self._namespace.neighbours
        route = self._namespace.find_route(packet.dst, src=packet.src, indev=packet.indev, mark=packet.mark)
        self._max_size = min(outdev.mtu, (route.mtu if route is not None else 0) or 65535)
        self.device = outdev
        self._hop = (outdev, packet.nexthop or packet.dst)
        self._neighbour: Neighbour | None = None
        self.l2_suffix = outdev.mac + (_IPV4 if packet.family == 4 else _IPV6)

    def receive(self, frame: bytes, device: Device) -> bool:
        """Replay the flow for a frame that `device` received. Return True if the packet was delivered or forwarded.

        Return `False`, without any effect, if the packet must take the slow path.
        """
        mac, type_and_version, total, fragment, ttl, protocol, sum_ = _FRAME.unpack_from(frame)
        if (
            type_and_version != _IPV4_WITHOUT_OPTIONS
            or mac != self.mac
            or protocol != self._protocol
            or fragment & 0x3FFF
            or total != len(frame) - 14
            or not self._min_size <= total <= self._max_size
            or int.from_bytes(frame[14:34]) % 0xFFFF
        ):
            return False
        outdev = self._outdev
        if outdev is None:
            return self._deliver(frame, device)
        hop = self.next_hop_mac() if ttl > 1 else None
        if hop is None or not self.account(total, frame[14 + self._flags_at]):
            return False
        head = frame[14:22] + _TTL.pack(ttl - 1, protocol, (sum_ + self._sum_shift) % 0xFFFF)
        if self.translates:
            outdev.transmit(hop + self.l2_suffix + head + self._addresses + self._translated(frame))
        else:
            outdev.transmit(hop + self.l2_suffix + head + frame[26:])
        return True

    def _translated(self, frame: bytes) -> bytes:
        """Return the rest of the packet in `frame`, after the port fields, with its checksum updated for NAT."""
        at = self._sum_at
        sum_ = int.from_bytes(frame[at : at + 2])
        if self._protocol == 6:
            sum_ = (sum_ + self._transport_shift) % 0xFFFF
        elif sum_ or self._ports_end > 38:  # 0: no checksum, which only IPv4 allows
            sum_ = (sum_ + self._transport_shift) % 0xFFFF or 0xFFFF
        return frame[self._ports_end : at] + sum_.to_bytes(2) + frame[at + 2 :]

    def _packet(self, data: bytes, device: Device) -> Packet:
        return Packet.plain(data, device)

    def _deliver(self, frame: bytes, device: Device) -> bool:
        if not self.account(len(frame) - 14, frame[14 + self._flags_at]):
            return False
        sockets = self._namespace.sockets
        socket = self.socket
        if socket is not None and self.sockets_at == sockets.udp_generation and self._is_whole(frame):
            if socket.needs_packets:
                socket.deliver(self._as_tracked(frame, device), frame[42:])
            else:
                addresses = self._addresses
                taken = socket.enqueue(frame[42:], addresses[:4], int.from_bytes(addresses[8:10]))
                if not taken and self.clock.meter is not None:
                    socket.report_full(self._as_tracked(frame, device))
            return True
        packet = self._as_tracked(frame, device)
        if self._protocol == 17 and packet.family == 4 and packet.dst[0] < _FIRST_MULTICAST_OCTET:
            self.socket, self.sockets_at = sockets.udp_receiver(packet), sockets.udp_generation
        self._namespace.ip.deliver_to_protocol(packet)
        return True

    def _is_whole(self, frame: bytes) -> bool:
        """Return True if the UDP datagram in `frame` fills its packet and has a correct checksum or none."""
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
        """Replay the flow for a packet that the flow's namespace sends. `data` starts with the IP header.

        Return True if it was sent. Return `False`, without any effect, if the packet must take the slow path.
        """
        size = len(data)
        hop = self.output(size, data[self._flags_at]) if size >= self._min_size else None
        if hop is None:
            return False
        neighbours = self._neighbours
        if neighbours.pending_confirm:
            neighbours.pending_confirm = False
            if self._neighbour is not None:
                self._neighbour.confirm(self.clock.now_ns)
        self.device.transmit(hop + self.l2_suffix + data)
        return True

    def output(self, size: int, flags: int = 0) -> Mac | None:
        """Count an outgoing packet of `size` bytes and return its next hop's MAC.

        `flags` are its TCP flags. Return `None`, without any effect, if the packet must take the slow path.
        """
        if size > self._max_size:
            return None
        hop = self.next_hop_mac()
        return hop if hop is not None and self.account(size, flags) else None

    def forward(self, size: int, mac: Mac) -> bool:
        """Count a packet of `size` bytes and return True, provided that its next hop still has the MAC `mac`.

        Return `False`, without any effect, if the packet must take the slow path.
        """
        return self.next_hop_mac() == mac and size <= self._max_size and self.account(size)

    def datagram_socket(self) -> UdpSocket | None:
        """Return the socket that receives the flow's datagrams, or `None` if there is none.

        Also return `None` if the socket table has changed, so that another socket might receive them now, or if the
        socket requires whole packets (`needs_packets`).
        """
        socket = self.socket
        if socket is None or socket.needs_packets or self.sockets_at != self._namespace.sockets.udp_generation:
            return None
        return socket

    def next_hop_mac(self) -> Mac | None:
        """Return the MAC of the next hop, or `None` if it must be resolved or probed first."""
        entry, now_ns = self._neighbour, self.clock.now_ns
        mac = entry.usable_mac(now_ns) if entry is not None else None
        if mac is None:
            entry = self._neighbour = self._neighbours.get(*self._hop)
            mac = entry.usable_mac(now_ns) if entry is not None else None
        return mac

    def account(self, size: int, flags: int = 0) -> bool:
        """Count a packet of `size` bytes in the flow's counters, and refresh its conntrack entry. Return True.

        `flags` are the TCP flags of the packet. Return `False`, without any effect, if the packet must take the slow
        path.
        """
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
    """A flow over IPv6, of packets without extension headers."""

    __slots__ = ()

    def receive(self, frame: bytes, device: Device) -> bool:
        """Replay the flow for a frame that `device` received. Return True if the packet was delivered or forwarded.

        Return `False`, without any effect, if it must take the slow path.
        """
        mac, type_and_version, first, length, protocol, hops = _FRAME6.unpack_from(frame)
        total = length + 40
        if (
            type_and_version != _IPV6
            or first >> 4 != 6
            or mac != self.mac
            or protocol != self._protocol
            or total != len(frame) - 14
            or not self._min_size <= total <= self._max_size
        ):
            return False
        outdev = self._outdev
        if outdev is None:
            return self._deliver(frame, device)
        hop = self.next_hop_mac() if hops > 1 else None
        if hop is None or not self.account(total, frame[14 + self._flags_at]):
            return False
        head = hop + self.l2_suffix + frame[14:21] + (hops - 1).to_bytes(1)
        if self.translates:
            outdev.transmit(head + self._addresses + self._translated(frame))
        else:
            outdev.transmit(head + frame[22:])
        return True

    def _packet(self, data: bytes, device: Device) -> Packet:
        return Packet(data, device)
