"""Raw ICMP sockets as used by ping: send echo requests, receive replies and errors that quote the requests."""

from __future__ import annotations

import errno
from collections import deque
from typing import TYPE_CHECKING

from cnmsim.kernel.events import Step
from cnmsim.kernel.packet import build_ip, icmp_name
from cnmsim.kernel.skbuff import Packet
from cnmsim.kernel.sockets.base import Socket
from cnmsim.kernel.sockets.errors import IcmpErrorInfo, os_error
from cnmsim.kernel.transport import icmp_of_family

if TYPE_CHECKING:
    from cnmsim.kernel.namespace import NetworkNamespace
    from cnmsim.kernel.process import Process

#: The ICMP types of messages that quote the offending packet (RFC 792; RFC 4443 §2.1).
_ERROR_TYPES = {4: (3, 4, 5, 11, 12), 6: (1, 2, 3, 4)}
_QUEUE_LIMIT = 256


class IcmpSocket(Socket):
    """A raw ICMP (family 4) or ICMPv6 (family 6) socket, which receives the responses to its own echo requests."""

    __slots__ = ("_idents", "_queue", "dont_fragment")

    def __init__(self, namespace: NetworkNamespace, family: int = 4, owner: Process | None = None) -> None:
        super().__init__(namespace, family, owner)
        self.v6only = True
        self.dont_fragment = False
        self._idents: set[int] = set()
        self._queue: deque[Packet] = deque()
        namespace.sockets.icmp.append(self)

    @property
    def label(self) -> str:
        """The name of the socket in traces."""
        return f"socket: {self.owner_label} raw ICMP{'v6' if self.family == 6 else ''}"

    def bind(self, address: str | bytes) -> None:
        """Set the source address. Raises `OSError` (EADDRNOTAVAIL) if the namespace does not have `address`."""
        local = self._parse_address(address)
        if any(local) and not self.namespace.is_local(local):
            raise os_error(errno.EADDRNOTAVAIL)
        self.local = local

    def send_echo(self, dst: str | bytes, ident: int, seq: int, payload: bytes = b"", ttl: int | None = None) -> None:
        """Send an echo request with identifier `ident`, sequence number `seq` and `payload` to `dst`.

        `ttl` is the request's time to live (`None`: the socket's default). Raises `OSError`: EPERM if a packet filter
        drops the request in OUTPUT, EMSGSIZE for a request that is too large, or a routing error, e.g. ENETUNREACH.
        """
        self._check_open()
        namespace = self.namespace
        address = self._parse_address(dst)
        if (len(address) == 16) != (self.family == 6):
            raise os_error(errno.EAFNOSUPPORT)
        decision = self._route_to(address)
        rest = ident.to_bytes(2) + seq.to_bytes(2)
        self._idents.add(ident)
        echo = 128 if self.family == 6 else 8
        protocol, message = icmp_of_family(decision.src, address, echo, 0, rest, payload)
        ttl = self.ttl if ttl is None else ttl
        if namespace.clock.context is not None:
            packet = build_ip(protocol, decision.src, address, message, ttl=ttl, tos=self.tos)
            what = f"{self.owner_label} sends an echo request"
            namespace.report(Step.SENT, what, packet, decision=self.label)
        namespace.send(
            protocol, decision, address, message, ttl=ttl, tos=self.tos, may_fragment=not self.dont_fragment
        )

    async def recv(self, timeout: float | None = None) -> Packet:  # noqa: ASYNC109
        """Wait for an echo reply, or an ICMP error about an echo request of this socket.

        Raises `TimeoutError` after `timeout` seconds, EBADF if the socket is closed.
        """
        await self._changed.wait_until(lambda: bool(self._queue) or self.is_closed, timeout)
        return self.recv_nowait()

    def recv_nowait(self) -> Packet:
        """Return the next message that `recv` would return. Raises `BlockingIOError` if there is none."""
        self._check_open()
        if not self._queue:
            raise os_error(errno.EAGAIN)
        return self._queue.popleft()

    def close(self) -> None:
        """Close the socket."""
        if self.is_closed:
            return
        self.is_closed = True
        self.namespace.sockets.icmp.remove(self)
        self._disown()
        self._changed.notify()

    def deliver(self, packet: Packet) -> bool:
        """Queue a message that is for this socket. Return True if the message was queued."""
        if packet.family != self.family or (self.device_name and _device_name(packet) != self.device_name):
            return False
        if echo_ident(packet) not in self._idents:
            return False
        if len(self._queue) >= _QUEUE_LIMIT:
            return False
        if self.namespace.clock.context is not None:
            what = f"{self.owner_label} receives {icmp_name(packet.family, packet.icmp_type, packet.icmp_code)}"
            self.namespace.report(Step.DELIVERED, what, packet, decision=self.label)
        self._queue.append(packet)
        self.became_readable()
        return True


def _device_name(packet: Packet) -> str:
    return packet.indev.name if packet.indev is not None else ""


def echo_ident(packet: Packet) -> int | None:
    """Return the identifier of an echo reply, or of the echo request that an ICMP error quotes.

    Return `None` for other messages.
    """
    message = packet.payload
    if len(message) < 8:
        return None
    is_v6 = packet.family == 6
    if message[0] == (129 if is_v6 else 0):
        return int.from_bytes(message[4:6])
    if message[0] not in _ERROR_TYPES[packet.family]:
        return None
    quoted = message[8:]
    # An error may quote only 8 bytes after the IP header, so the quotation is not parsed as a whole packet.
    if is_v6:
        is_echo = len(quoted) >= 46 and quoted[6] == 58 and quoted[40] == 128
        return int.from_bytes(quoted[44:46]) if is_echo else None
    at = (quoted[0] & 0xF) * 4 if quoted else 0
    is_echo = len(quoted) >= at + 6 and at >= 20 and quoted[9] == 1 and quoted[at] == 8
    return int.from_bytes(quoted[at + 4 : at + 6]) if is_echo else None


def build_error_packet(error: IcmpErrorInfo) -> Packet:
    """Build an ICMP error packet from `error`, for callers that do not have the packet as it was received.

    The TTL of the built packet is the default TTL, not that of the received packet.
    """
    quoted = build_ip(error.protocol, error.src, error.dst, error.quoted)
    src, dst = error.reporter, error.src
    protocol, message = icmp_of_family(src, dst, error.icmp_type, error.code, error.info.to_bytes(4), quoted)
    return Packet(build_ip(protocol, src, dst, message))
