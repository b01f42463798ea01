"""The socket table of one network namespace: finds a packet's socket, and answers packets that have none."""

from __future__ import annotations

from collections.abc import Sequence
from hashlib import blake2s
from random import Random
from struct import Struct
from typing import TYPE_CHECKING, TypeVar

from attrs import frozen

from cnmsim.kernel.address import IPV4_ANY, IPV4_BROADCAST, IPV6_ANY, Address, is_multicast
from cnmsim.kernel.checksum import transport_checksum
from cnmsim.kernel.events import DropReason, Step
from cnmsim.kernel.packet import PORT_UNREACHABLE, TCP_ACK, TCP_FIN, TCP_RST, TCP_SYN, MalformedPacketError, build_ip
from cnmsim.kernel.skbuff import Packet
from cnmsim.kernel.sockets.base import Socket
from cnmsim.kernel.sockets.errors import IcmpErrorInfo
from cnmsim.kernel.sockets.icmp import IcmpSocket, build_error_packet
from cnmsim.kernel.sockets.ports import PortSpace
from cnmsim.kernel.sockets.tcp import TcpSocket
from cnmsim.kernel.sockets.tcp_connection import TcpConnection
from cnmsim.kernel.sockets.udp import UdpSocket
from cnmsim.kernel.transport import TcpSegment

if TYPE_CHECKING:
    from cnmsim.kernel.namespace import NetworkNamespace

_LENGTH_AND_SUM = Struct("!HH")
_Binding = tuple[Address, int]
_FourTuple = tuple[Address, int, Address, int]
#: Up to this many random numbers are repeated with a new generator, so that no generator has to be kept.
_MAX_REPEATED_DRAWS = 6


@frozen
class SocketInfo:
    """One line of `ss` or `netstat`.

    `protocol` is "tcp" or "udp", `state` the name that `ss` prints. `pid` is 0 for a socket of the kernel. `is_dual`
    is True for a socket that is bound to the wildcard of both families. `timer` is the running timer: its name, the
    virtual time in nanoseconds at which it expires, and the number of retries.
    """

    protocol: str
    family: int
    state: str
    recv_queue: int
    send_queue: int
    local: Address
    local_port: int
    remote: Address | None
    remote_port: int
    pid: int
    program: str
    is_dual: bool = False
    timer: tuple[str, int, int] | None = None


class SocketTable:
    """All sockets of a namespace.

    `udp_generation` is incremented by every change after which a datagram may be received by another socket than
    before.
    """

    __slots__ = (
        "_connections", "_draws", "_features", "_features_generation", "_listeners", "_namespace", "_random",
        "_secret", "_timestamp_offsets", "_udp", "_udp_connected", "icmp", "tcp_ports", "udp_generation", "udp_ports",
    )  # fmt: skip

    def __init__(self, namespace: NetworkNamespace) -> None:
        self._namespace = namespace
        self._random: Random | None = None
        self._draws: tuple[int, ...] = ()
        self._secret = b""
        self._timestamp_offsets: dict[tuple[Address, Address], int] = {}
        self._features = (True, True, True)
        self._features_generation = -1
        self.udp_ports = PortSpace(namespace)
        self.tcp_ports = PortSpace(namespace)
        self.udp_generation = 0
        self._udp: dict[_Binding, list[UdpSocket]] = {}
        self._udp_connected: dict[_FourTuple, UdpSocket] = {}
        self._listeners: dict[_Binding, list[TcpSocket]] = {}
        self._connections: dict[_FourTuple, TcpConnection] = {}
        self.icmp: list[IcmpSocket] = []

    def random_below(self, count: int) -> int:
        """Return a random number from 0 to `count` - 1. Used to choose an ephemeral port."""
        random = self._random
        if random is None:
            # A generator takes two kilobytes, and most namespaces draw only a few numbers: the first draws are
            # repeated with a new one.
            random = self._namespace.clock.stream(f"{self._namespace.name}/sockets")
            for before in self._draws:
                random.randrange(before)
            if len(self._draws) < _MAX_REPEATED_DRAWS:
                self._draws = (*self._draws, count)
            else:
                self._random, self._draws = random, ()
        return random.randrange(count)

    def initial_sequence(self, local: Address, local_port: int, remote: Address, remote_port: int) -> int:
        """Return the initial sequence number of a connection (RFC 6528; net/core/secure_seq.c).

        It is a keyed hash of the endpoints plus a clock of 64 ns ticks, so that a peer in TIME-WAIT can distinguish a
        new connection between the same ports from an old segment.
        """
        ends = local + remote + local_port.to_bytes(2) + remote_port.to_bytes(2)
        offset = int.from_bytes(blake2s(ends, key=self._hash_secret(), digest_size=4).digest())
        return (offset + (self._namespace.clock.now_ns >> 6)) & 0xFFFFFFFF

    def timestamp_offset(self, local: Address, remote: Address) -> int:
        """Return the value at which the timestamps of TCP connections from `local` to `remote` start.

        Source: secure_tcp_ts_off.
        """
        key = (local, remote)
        offset = self._timestamp_offsets.get(key)
        if offset is None:
            digest = blake2s(local + remote, key=self._hash_secret(), digest_size=4).digest()
            offset = self._timestamp_offsets[key] = int.from_bytes(digest)
        return offset

    def tcp_features(self) -> tuple[bool, bool, bool]:
        """Return three flags: whether connections offer selective acknowledgements, timestamps, and window scaling.

        The sysctls tcp_sack, tcp_timestamps and tcp_window_scaling decide.
        """
        namespace = self._namespace
        if self._features_generation != namespace.generation:
            self._features_generation = namespace.generation
            self._features = (
                namespace.sysctl_get("net.ipv4.tcp_sack") == "1",
                namespace.sysctl_get("net.ipv4.tcp_timestamps") != "0",
                namespace.sysctl_get("net.ipv4.tcp_window_scaling") == "1",
            )
        return self._features

    def _hash_secret(self) -> bytes:
        if not self._secret:
            self._secret = self._namespace.clock.stream(f"{self._namespace.name}/sequence").randbytes(16)
        return self._secret

    # --- input ---

    def deliver(self, packet: Packet) -> bool:
        """Deliver a packet for this namespace to its socket. Return True if a socket received the packet.

        If there is no socket, a UDP datagram is answered with an ICMP error, a TCP segment with a reset.
        """
        if packet.protocol == 17:
            return self._deliver_udp(packet)
        if packet.protocol == 6:
            return self._deliver_tcp(packet)
        return self._deliver_icmp(packet)

    def _deliver_udp(self, packet: Packet) -> bool:
        data, l4 = packet.data, packet.l4
        if len(data) < l4 + 8:
            return self._drop(packet, DropReason.MALFORMED, "truncated UDP header")
        length, sum_ = _LENGTH_AND_SUM.unpack_from(data, l4 + 4)
        if not 8 <= length <= len(data) - l4:
            return self._drop(packet, DropReason.MALFORMED, "UDP length field does not fit the packet")
        src, dst = packet.src, packet.dst
        # Only IPv4 permits a datagram without checksum (RFC 768, RFC 8200 §8.1).
        if (sum_ or len(dst) == 16) and (not sum_ or transport_checksum(src, dst, 17, data[l4 : l4 + length])):
            return self._drop(packet, DropReason.CHECKSUM, "UDP checksum")
        if dst == IPV4_BROADCAST or is_multicast(dst):
            sockets = self._udp_bound(packet)
            if len(sockets) > 1 and (dst, packet.dport, src, packet.sport) not in self._udp_connected:
                taken_by = [one.deliver(packet, data[l4 + 8 : l4 + length]) for one in tuple(sockets)]
                return any(taken_by)
        socket = self.udp_receiver(packet)
        if socket is None:
            return self._reject_udp(packet)
        return socket.deliver(packet, data[l4 + 8 : l4 + length])

    def _udp_bound(self, packet: Packet) -> Sequence[UdpSocket]:
        dst, dport = packet.dst, packet.dport
        bound = self._udp.get((dst, dport)) or self._udp.get((IPV6_ANY if len(dst) == 16 else IPV4_ANY, dport))
        return bound or ()

    def udp_receiver(self, packet: Packet) -> UdpSocket | None:
        """Return the socket that receives a unicast datagram, or `None` if there is none."""
        if self._udp_connected:
            connected = self._udp_connected.get((packet.dst, packet.dport, packet.src, packet.sport))
            if connected is not None:
                return connected
        return _best_for_device(self._udp_bound(packet), packet)

    def _reject_udp(self, packet: Packet) -> bool:
        self._drop(packet, DropReason.PORT_CLOSED, "")
        self._namespace.send_icmp_error(packet, *PORT_UNREACHABLE[packet.family])
        return False

    def _deliver_tcp(self, packet: Packet) -> bool:
        message = packet.payload
        src, dst = packet.src, packet.dst
        try:
            segment = TcpSegment.parse(message)
        except MalformedPacketError as error:
            return self._drop(packet, DropReason.MALFORMED, str(error))
        if transport_checksum(src, dst, 6, message):
            return self._drop(packet, DropReason.CHECKSUM, "TCP checksum")
        connection = self._connections.get((dst, segment.dport, src, segment.sport))
        is_syn = segment.flags & (TCP_SYN | TCP_ACK | TCP_RST | TCP_FIN) == TCP_SYN
        if connection is not None and is_syn and connection.may_reuse_time_wait(segment):
            connection.expire()
            connection = None
        if connection is not None:
            connection.receive(packet, segment)
            return True
        listener = self._listener(packet) if is_syn else None
        if listener is None:
            return self._reject_tcp(packet, segment)
        return self._open_passive(packet, segment, listener)

    def _open_passive(self, packet: Packet, segment: TcpSegment, listener: TcpSocket) -> bool:
        namespace = self._namespace
        try:
            mtu = namespace.route_output(packet.src, packet.dst).mtu
        except OSError as error:
            return self._drop(packet, DropReason.NO_ROUTE, f"no route back for the SYN/ACK: {error.strerror}")
        connection = TcpConnection(
            namespace, packet.dst, segment.dport, packet.src, segment.sport, mtu=mtu, socket=listener,
            listener=listener,
        )  # fmt: skip
        listener.accept_syn(packet, segment, connection)
        return True

    def _listener(self, packet: Packet) -> TcpSocket | None:
        dst, dport = packet.dst, packet.dport
        for address in (dst, IPV6_ANY if len(dst) == 16 else IPV4_ANY):
            listener = _best_for_device(self._listeners.get((address, dport), ()), packet)
            if listener is not None:
                return listener
        return None

    def _reject_tcp(self, packet: Packet, segment: TcpSegment) -> bool:
        is_syn = segment.flags & (TCP_SYN | TCP_ACK | TCP_RST) == TCP_SYN
        self._drop(packet, DropReason.PORT_CLOSED if is_syn else DropReason.STRAY_SEGMENT, "")
        if not segment.flags & TCP_RST:
            self.reset(packet, segment)
        return False

    def reset(self, packet: Packet, segment: TcpSegment) -> None:
        """Answer a segment with a reset (RFC 9293 §3.10.7.1). `packet` is the packet that contains the segment."""
        if segment.flags & TCP_ACK:
            sequence, ack, flags = segment.ack, 0, TCP_RST
        else:
            length = len(segment.payload) + bool(segment.flags & TCP_SYN) + bool(segment.flags & TCP_FIN)
            sequence, ack, flags = 0, (segment.seq + length) & 0xFFFFFFFF, TCP_RST | TCP_ACK
        namespace = self._namespace
        src, dst = packet.dst, packet.src
        message = TcpSegment(segment.dport, segment.sport, sequence, ack, flags, 0).to_wire(src, dst)
        try:
            decision = namespace.route_output(dst, src)
            if namespace.clock.context is not None:
                sent = build_ip(6, src, dst, message)
                namespace.report(Step.SENT, "the kernel resets the connection", sent)
            namespace.send(6, decision, dst, message, may_fragment=False)
        except OSError as error:
            if namespace.clock.context is not None:
                namespace.report(Step.NOTE, "the reset could not be sent", packet, decision=str(error.strerror))

    def _deliver_icmp(self, packet: Packet) -> bool:
        taken_by = [socket.deliver(packet) for socket in tuple(self.icmp)]
        return any(taken_by) or self._drop(packet, DropReason.NO_PROTOCOL, "no socket receives it")

    def deliver_icmp_error(self, error: IcmpErrorInfo) -> None:
        """Deliver an ICMP error to the socket that sent the quoted packet."""
        if self.icmp and error.protocol in (1, 58):
            message = error.packet or build_error_packet(error)
            for icmp in tuple(self.icmp):
                icmp.deliver(message)
        pair = (error.src, error.sport, error.dst, error.dport)
        if error.protocol == 6:
            connection = self._connections.get(pair)
            if connection is not None:
                connection.fail(error)
        elif error.protocol == 17:
            self._fail_udp(pair, error)

    def _fail_udp(self, pair: _FourTuple, error: IcmpErrorInfo) -> None:
        connected = self._udp_connected.get(pair)
        if connected is not None:
            connected.fail(error)
            return
        wildcard = IPV6_ANY if error.family == 6 else IPV4_ANY
        sockets = self._udp.get((error.src, error.sport)) or self._udp.get((wildcard, error.sport), [])
        for socket in tuple(sockets):
            socket.fail(error)

    def _drop(self, packet: Packet, reason: DropReason, decision: str) -> bool:
        if self._namespace.clock.observes_drops:
            self._namespace.report(Step.DROPPED, reason.value, packet, decision=decision, reason=reason)
        return False

    # --- registration ---

    def add_udp(self, socket: UdpSocket) -> None:
        """Register a bound UDP socket for delivery."""
        self.udp_generation += 1
        if socket.remote is not None:
            self._udp_connected[socket.local, socket.local_port, socket.remote, socket.remote_port] = socket
            return
        for address in socket.local_addresses:
            self._udp.setdefault((address, socket.local_port), []).append(socket)

    def remove_udp(self, socket: UdpSocket) -> None:
        """Remove a UDP socket from delivery; a socket that is not registered is ignored."""
        self.udp_generation += 1
        if socket.remote is not None:
            self._udp_connected.pop((socket.local, socket.local_port, socket.remote, socket.remote_port), None)
        for address in socket.local_addresses:
            _remove(self._udp, (address, socket.local_port), socket)

    def add_listener(self, socket: TcpSocket) -> None:
        """Register a listening TCP socket."""
        for address in socket.local_addresses:
            self._listeners.setdefault((address, socket.local_port), []).append(socket)

    def listener_holding(self, connection: TcpConnection) -> TcpSocket | None:
        """Return the listener whose accept queue contains a connection, `None` if there is none."""
        sockets = (socket for bound in self._listeners.values() for socket in bound)
        return next((socket for socket in sockets if socket.is_queued(connection)), None)

    def remove_listener(self, socket: TcpSocket) -> None:
        """Remove a listening TCP socket."""
        for address in socket.local_addresses:
            _remove(self._listeners, (address, socket.local_port), socket)

    def add_connection(self, connection: TcpConnection) -> None:
        """Register a connection for delivery, and as a holder of its local port.

        It shares the port with the socket that opened or accepted it.
        """
        self._connections[connection.key] = connection
        self.tcp_ports.share(connection, connection.local_port)

    def remove_connection(self, connection: TcpConnection) -> None:
        """Remove a closed connection and release its port."""
        if self._connections.get(connection.key) is connection:
            del self._connections[connection.key]
        self.tcp_ports.release(connection, connection.local_port)

    def connection(self, local: Address, local_port: int, remote: Address, remote_port: int) -> TcpConnection | None:
        """Return the connection between two endpoints, or `None` if there is none."""
        return self._connections.get((local, local_port, remote, remote_port))

    def listeners(self) -> list[SocketInfo]:
        """Return the listening sockets: unconnected UDP, then listening TCP, each sorted by port and address."""
        udp = {id(socket): socket for group in self._udp.values() for socket in group}
        tcp = {id(socket): socket for group in self._listeners.values() for socket in group}
        lines = [
            _info("udp", socket, "UNCONN", socket.pending_bytes, 0) for socket in sorted(udp.values(), key=_binding)
        ]
        for listener in sorted(tcp.values(), key=_binding):
            waiting, backlog = listener.accept_queue
            lines.append(_info("tcp", listener, "LISTEN", waiting, backlog))
        return lines

    def connections(self) -> list[SocketInfo]:
        """Return the connected UDP sockets and the TCP connections in the order of their creation."""
        lines = [
            _info("udp", socket, "ESTAB", socket.pending_bytes, 0, socket.remote, socket.remote_port)
            for socket in self._udp_connected.values()
        ]
        lines.extend(_connection_info(socket) for socket in self._connections.values())
        return lines

    def close_all(self) -> None:
        """Close every socket without sending anything, because the namespace is destroyed."""
        for udp in {id(s): s for group in self._udp.values() for s in group}.values():
            udp.close()
        for udp in tuple(self._udp_connected.values()):
            udp.close()
        for icmp in tuple(self.icmp):
            icmp.close()
        for connection in tuple(self._connections.values()):
            connection.close_silently()
        for listener in {id(s): s for group in self._listeners.values() for s in group}.values():
            listener.close()


_S = TypeVar("_S", bound=Socket)


def _best_for_device(sockets: Sequence[_S], packet: Packet) -> _S | None:
    """Return the newest of `sockets` that may receive from the packet's input device, or `None` if there is none.

    Sockets that are bound to the device take precedence.
    """
    best: _S | None = None
    for socket in sockets:
        if not socket.device_name:
            best = best if best is not None and best.device_name else socket
        elif packet.indev is not None and packet.indev.name == socket.device_name:
            best = socket
    return best


def _remove(table: dict[_Binding, list[_S]], key: _Binding, socket: _S) -> None:
    group = table.get(key)
    if group and socket in group:
        group.remove(socket)
        if not group:
            del table[key]


def _binding(socket: Socket) -> tuple[int, int, Address]:
    return socket.local_port, socket.family, socket.local


def _info(
    protocol: str,
    socket: Socket,
    state: str,
    recv_queue: int,
    send_queue: int,
    remote: Address | None = None,
    remote_port: int = 0,
) -> SocketInfo:
    owner = socket.owner
    return SocketInfo(
        protocol, socket.family, state, recv_queue, send_queue, socket.local, socket.local_port, remote, remote_port,
        0 if owner is None else owner.pid, "" if owner is None else owner.name, socket.is_dual_stack,
    )  # fmt: skip


def _shown_family(connection: TcpConnection) -> int:
    """Return the address family of a connection's socket: 6 for an IPv4 connection of a dual-stack IPv6 socket.

    Such a socket shows IPv4 peers as v4-mapped addresses.
    """
    user = connection.socket or connection.listener
    return connection.family if user is None else user.family


def _connection_info(connection: TcpConnection) -> SocketInfo:
    owner = connection.socket.owner if connection.socket is not None else None
    return SocketInfo(
        "tcp", _shown_family(connection), connection.state.value, connection.unread, connection.unacknowledged,
        connection.local, connection.local_port, connection.remote, connection.remote_port,
        0 if owner is None else owner.pid, "" if owner is None else owner.name, timer=connection.timer,
    )  # fmt: skip
