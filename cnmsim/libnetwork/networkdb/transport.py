"""The gossip transport: encrypted datagrams and streams on port 7946, over sockets of the daemon's process.

A simulated packet contains opaque bytes of the right length; its content is kept in the lab's payload store. A
receiver that lacks the key drops the packet, as a real one could not decrypt it. Source: memberlist `net.go`,
`security.go` (v0.5.4).
"""

from __future__ import annotations

import errno
from collections.abc import Awaitable, Callable, Iterable
from typing import Any

from attrs import define, field

from cnmsim.kernel.address import Address
from cnmsim.kernel.offload.datagram_path import OpaqueDatagrams
from cnmsim.kernel.opaque_payload import OpaquePayload, PayloadStore, payload_store
from cnmsim.kernel.process import Process
from cnmsim.kernel.sockets.tcp import SOMAXCONN, TcpSocket
from cnmsim.kernel.sockets.udp import UdpSocket
from cnmsim.libnetwork.networkdb.messages import ENCRYPTION_OVERHEAD

#: Timeout of a stream in seconds (memberlist `TCPTimeout`).
TCP_TIMEOUT_S = 10.0
#: The most bytes that a message of a stream occupies on the wire. A longer message is delivered completely all the
#: same.
LONGEST_STREAM = 65_536
_VERSION = b"\x01"
_ENCRYPTED = b"\x0a"
_HEADER = 5
_STREAM_LIFETIME_S = 30

SocketAddress = tuple[Address, int]


@define
class Keyring:
    """The gossip keys of one node. The node encrypts with the first key, and can decrypt with any of them.

    If there are no keys, gossip is not encrypted.
    """

    keys: list[bytes] = field(factory=list)

    def add(self, key: bytes) -> None:
        """Add a key."""
        if key not in self.keys:
            self.keys.append(key)

    def use(self, key: bytes) -> None:
        """Make `key` the primary key, with which gossip is encrypted, if it is installed."""
        if key in self.keys:
            self.keys.remove(key)
            self.keys.insert(0, key)

    def remove(self, key: bytes) -> None:
        """Remove a key, unless it is the primary one."""
        if key in self.keys[1:]:
            self.keys.remove(key)

    @property
    def primary(self) -> bytes:
        """The key with which gossip is encrypted; b"" if there is none."""
        return self.keys[0] if self.keys else b""

    def accepts(self, key: bytes) -> bool:
        """Return True if this node can decrypt a message encrypted with `key`."""
        return key in self.keys if self.keys else not key


class Stream:
    """One TCP connection between two nodes."""

    __slots__ = ("_transport", "socket")

    def __init__(self, transport: Transport, socket: TcpSocket) -> None:
        self._transport = transport
        self.socket = socket

    def send(self, message: Any) -> None:
        """Send a message. Raises `OSError` if the connection is closed."""
        length = min(LONGEST_STREAM, message.size + ENCRYPTION_OVERHEAD)
        payload = self._transport.seal(message, length, lifetime_s=_STREAM_LIFETIME_S)
        self.socket.send(_ENCRYPTED + len(payload).to_bytes(4) + payload)

    async def recv(self, timeout_s: float = TCP_TIMEOUT_S) -> Any:
        """Receive a message.

        Raises `TimeoutError` if nothing arrives for `timeout_s` seconds, or another `OSError` if the connection is
        closed or the message cannot be decrypted (EBADMSG).
        """
        header = await self._read(_HEADER, timeout_s)
        return self._transport.open(await self._read(int.from_bytes(header[1:]), timeout_s))

    async def _read(self, count: int, timeout_s: float) -> bytes:
        data = b""
        while len(data) < count:
            piece = await self.socket.recv(count - len(data), timeout_s)
            if not piece:
                raise OSError(errno.ECONNRESET, "EOF")
            data += piece
        return data

    def close(self) -> None:
        """Close the connection."""
        self.socket.close()


@define(eq=False)
class Transport:
    """The gossip sockets of one node.

    `on_packet` is called with each received message and its sender's address. `on_stream` is run for each accepted
    connection. `is_known` returns True if a message contains nothing new for this node. `bind` and `port` are the
    address and port that the sockets bind.
    """

    process: Process
    bind: Address
    port: int
    keyring: Keyring
    on_packet: Callable[[Any, SocketAddress], None]
    on_stream: Callable[[Stream], Awaitable[None]]
    is_known: Callable[[Any], bool]
    _udp: UdpSocket = field(init=False)
    _listener: TcpSocket = field(init=False)
    _datagrams: OpaqueDatagrams = field(init=False)
    _payloads: PayloadStore = field(init=False)

    def __attrs_post_init__(self) -> None:
        self._payloads = payload_store(self.process.clock)
        family = 6 if len(self.bind) == 16 else 4
        self._listener = self.process.tcp(family)
        self._listener.reuse_address = True
        self._udp = self.process.udp(family)
        try:
            self._listener.bind((self.bind, self.port))
            self._listener.listen(SOMAXCONN)
            self._udp.bind((self.bind, self.port))
        except OSError:
            self.close()
            raise
        self._listener.on_accept = self._accepted
        self._udp.on_readable = self._readable
        self._datagrams = OpaqueDatagrams(self._udp, self._receive_content, self._is_redundant)

    def seal(self, message: Any, length: int, *, lifetime_s: int) -> bytes:
        """Store a message in the lab's payload store. Return the `length` opaque bytes that represent it in a packet.

        The message stays in the store for `lifetime_s` seconds of virtual time.
        """
        return self._payloads.encrypt((self.keyring.primary, message), length, lifetime_s=lifetime_s)

    def open(self, payload: bytes) -> Any:
        """Return the message that the opaque bytes `payload` represent.

        Raises `OSError` (EBADMSG) for unknown bytes, or if the key of the message is not installed on this node.
        """
        try:
            key, message = self._payloads.decrypt(payload)
        except ValueError as error:
            raise OSError(errno.EBADMSG, str(error)) from None
        if not self.keyring.accepts(key):
            raise OSError(errno.EBADMSG, "no installed keys could decrypt the message")
        return message

    def send(self, message: Any, to: SocketAddress) -> None:
        """Send a message in a datagram. Raises `OSError` if the datagram cannot leave this host."""
        content = self.keyring.primary, message
        self._datagrams.send(self._payloads.payload(content, message.size + ENCRYPTION_OVERHEAD - 1, _VERSION), to)

    def gossip(self, messages: Iterable[tuple[Any, SocketAddress]]) -> None:
        """Send messages in datagrams, each to one address. A datagram that cannot leave this host is dropped.

        Messages that are redundant for their receivers are delivered at once, before the others are sent.
        """
        key, datagrams = self.keyring.primary, self._datagrams
        news: list[tuple[OpaquePayload, SocketAddress]] = []
        before: Any = None
        payload: OpaquePayload
        for message, place in messages:
            if message is not before:
                before = message
                payload = self._payloads.payload((key, message), message.size + ENCRYPTION_OVERHEAD - 1, _VERSION)
            if not datagrams.send_if_redundant(payload, place):
                news.append((payload, place))
        for payload, place in news:
            try:
                datagrams.send(payload, place)
            except OSError:
                continue

    async def dial(self, to: SocketAddress, timeout_s: float = TCP_TIMEOUT_S) -> Stream:
        """Connect to a node over TCP.

        Raises `OSError` if it refuses, or does not respond within `timeout_s` seconds.
        """
        socket = self.process.tcp(6 if len(to[0]) == 16 else 4)
        try:
            await socket.connect(to, timeout_s)
        except OSError:
            socket.close()
            raise
        return Stream(self, socket)

    def close(self) -> None:
        """Close the listening sockets."""
        self._udp.close()
        self._listener.close()

    def _readable(self, _: object) -> None:
        if not self.process.is_paused:
            self.read_datagrams()

    def _receive_content(self, content: tuple[bytes, Any], sender: SocketAddress) -> bool:
        if self.process.is_paused:
            return False
        key, message = content
        if self.keyring.accepts(key):
            self.on_packet(message, sender)
        return True

    def _is_redundant(self, content: tuple[bytes, Any]) -> bool:
        if self.process.is_paused:
            return False
        key, message = content
        return not self.keyring.accepts(key) or self.is_known(message)

    def read_datagrams(self) -> None:
        """Handle all pending datagrams."""
        udp = self._udp
        while udp.pending:
            try:
                payload, sender = udp.recvfrom_nowait()
                message = self.open(payload[1:])
            except OSError:
                # A datagram that cannot be decrypted is dropped, and memberlist ignores ICMP errors.
                continue
            self.on_packet(message, sender)

    def _accepted(self, socket: TcpSocket) -> None:
        self.process.task(self._converse(socket))

    async def _converse(self, socket: TcpSocket) -> None:
        stream = Stream(self, socket)
        try:
            await self.on_stream(stream)
        except OSError:
            pass  # the other side retries
        finally:
            stream.close()
