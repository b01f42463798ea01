"""UDP sockets (RFC 768, udp(7))."""

from __future__ import annotations

import errno
from typing import TYPE_CHECKING, ClassVar

from cnmsim.kernel.address import Address, format_endpoint
from cnmsim.kernel.events import DropReason, Step
from cnmsim.kernel.offload.cached_route import RouteCache
from cnmsim.kernel.packet import build_ip
from cnmsim.kernel.skbuff import Packet
from cnmsim.kernel.sockets.base import WILDCARDS, Socket, SocketAddress
from cnmsim.kernel.sockets.errors import IcmpErrorInfo, QueuedError, icmp_errno, os_error
from cnmsim.kernel.transport import udp_message

if TYPE_CHECKING:
    from cnmsim.kernel.namespace import NetworkNamespace
    from cnmsim.kernel.process import Process

#: net.core.rmem_default of Linux, in bytes.
_RECEIVE_BUFFER = 212_992
#: The bytes that Linux charges the receive buffer for one datagram in addition to its data (struct sk_buff).
_SKB_OVERHEAD = 768


class UdpSocket(Socket):
    """A UDP socket. An unbound socket is bound to an ephemeral port by its first datagram.

    `dont_fragment` (IP_MTU_DISCOVER) is `None` by default, as in Linux: DF is set unless the datagram must be
    fragmented. If it is `True`, a datagram larger than the path MTU raises EMSGSIZE; if it is `False`, DF is never
    set. If `recverr` (IP_RECVERR) is True, the next `recvfrom` raises every ICMP error as `QueuedError`. Otherwise
    only hard errors are raised, and only on connected sockets.

    `offload` holds the routes that the socket has cached, for kernel/offload.
    """

    __slots__ = (
        "_errors", "dont_fragment", "offload", "pending_bytes", "receive_queue", "recverr", "remote", "remote_port",
    )  # fmt: skip

    protocol = 17
    #: Whether `deliver` needs more of a packet than its sender and data; if so, datagrams cannot be offloaded.
    needs_packets: ClassVar[bool] = False

    def __init__(self, namespace: NetworkNamespace, family: int = 4, owner: Process | None = None) -> None:
        super().__init__(namespace, family, owner)
        self.remote: Address | None = None
        self.remote_port = 0
        self.dont_fragment: bool | None = None
        self.recverr = False
        #: Received datagrams that were not read yet: data, sender's address and port.
        self.receive_queue: list[tuple[bytes, Address, int]] = []
        #: The bytes of the receive buffer in use, as `ss` shows them in Recv-Q.
        self.pending_bytes = 0
        self._errors: list[OSError] = []
        self.offload = RouteCache(self)

    @property
    def label(self) -> str:
        """The name of the socket in traces."""
        where = format_endpoint(self.local, self.local_port)
        if self.remote is None:
            return f"socket: {self.owner_label} bound to {where}"
        return f"socket: {self.owner_label} {where} connected to {format_endpoint(self.remote, self.remote_port)}"

    def bind(self, address: SocketAddress) -> None:
        """Bind to a local address and port (port 0: an ephemeral one).

        Raises `OSError`: EADDRINUSE, EADDRNOTAVAIL if the namespace does not have the address, EINVAL if the socket
        is already bound.
        """
        self._bind_local(self.namespace.sockets.udp_ports, address)
        self.namespace.sockets.add_udp(self)

    def connect(self, address: SocketAddress) -> None:
        """Set the peer: the default destination, and the only sender whose datagrams are received.

        Raises `OSError` (ENETUNREACH, EHOSTUNREACH, EACCES) if there is no route.
        """
        self._check_open()
        remote, port = self._parse_address(address[0]), address[1]
        decision = self._route_to(remote)
        self._autobind()
        table = self.namespace.sockets
        table.remove_udp(self)
        self.remote, self.remote_port = remote, port
        if self.local in WILDCARDS:
            self.local = decision.src
        table.add_udp(self)

    def getpeername(self) -> tuple[Address, int]:
        """Return the address and port of the connected peer.

        Raises `OSError` (ENOTCONN) if the socket is not connected.
        """
        if self.remote is None:
            raise os_error(errno.ENOTCONN)
        return self._api_address(self.remote), self.remote_port

    def send(self, data: bytes) -> int:
        """Send to the connected peer and return the length.

        Raises the errors of `sendto`, and EDESTADDRREQ if the socket is not connected.
        """
        if self.remote is None:
            raise os_error(errno.EDESTADDRREQ)
        return self._transmit(data, self.remote, self.remote_port)

    def sendto(self, data: bytes, address: SocketAddress) -> int:
        """Send one datagram and return its length.

        Raises `OSError`: a routing error, EPERM if a packet filter drops the datagram in OUTPUT, EMSGSIZE if it is
        too large, or an ICMP error that an earlier datagram of a connected socket caused.
        """
        if self.offload.send(data, address):
            return len(data)
        return self._transmit(data, self._parse_address(address[0]), address[1])

    def _transmit(self, data: bytes, dst: Address, dport: int) -> int:
        self._check_open()
        if self._errors and not self.recverr:
            raise self._errors.pop(0)
        if len(data) > (65507 if len(dst) == 4 else 65527):
            raise os_error(errno.EMSGSIZE)
        namespace = self.namespace
        if self.offload.send(data, (dst, dport)):
            return len(data)
        self._autobind()
        decision = self._route_to(dst)
        message = udp_message(decision.src, dst, self.local_port, dport, data)
        dont_fragment = self.dont_fragment is not False
        if namespace.clock.context is not None:
            packet = build_ip(17, decision.src, dst, message, ttl=self.ttl, tos=self.tos, dont_fragment=dont_fragment)
            namespace.report(Step.SENT, f"{self.owner_label} sends {len(data)} bytes", packet, decision=self.label)
        namespace.send(
            17, decision, dst, message,
            ttl=self.ttl, tos=self.tos, dont_fragment=dont_fragment, may_fragment=self.dont_fragment is not True,
        )  # fmt: skip
        self.offload.add(decision, dst, dport)
        return len(data)

    def _autobind(self) -> None:
        if not self.local_port:
            self.local_port = self.namespace.sockets.udp_ports.claim(self, 0)
            self.namespace.sockets.add_udp(self)

    async def recvfrom(self, timeout: float | None = None) -> tuple[bytes, tuple[Address, int]]:  # noqa: ASYNC109
        """Wait for a datagram. Return its data, and the address and port of its sender.

        Raises `TimeoutError` after `timeout` seconds, an `OSError` for an ICMP error, EBADF if the socket is closed.
        """
        await self._changed.wait_until(lambda: bool(self.receive_queue or self._errors) or self.is_closed, timeout)
        return self.recvfrom_nowait()

    def recvfrom_nowait(self) -> tuple[bytes, tuple[Address, int]]:
        """Return the next datagram: its data, and the address and port of its sender.

        Raises `BlockingIOError` if there is none, otherwise the errors of `recvfrom`.
        """
        self._check_open()
        if self._errors:
            raise self._errors.pop(0)
        if not self.receive_queue:
            raise os_error(errno.EAGAIN)
        data, src, sport = self.receive_queue.pop(0)
        self.pending_bytes -= len(data) + _SKB_OVERHEAD
        return data, (self._api_address(src), sport)

    @property
    def pending(self) -> int:
        """The number of datagrams in the receive queue."""
        return len(self.receive_queue)

    def close(self) -> None:
        """Release the port and drop the receive queue."""
        if self.is_closed:
            return
        self.is_closed = True
        self.namespace.sockets.remove_udp(self)
        self.namespace.sockets.udp_ports.release(self, self.local_port)
        self._disown()
        self._changed.notify()

    def deliver(self, packet: Packet, data: bytes) -> bool:
        """Append `data`, the content of a UDP packet, to the receive queue. Return True if `data` was received.

        Return `False` if the receive buffer is full.
        """
        if self._is_full(len(data)) and self.namespace.clock.observes_drops:
            self.report_full(packet)
            return False
        if self.namespace.clock.context is not None:
            what = f"{self.owner_label} receives {len(data)} bytes"
            self.namespace.report(Step.DELIVERED, what, packet, decision=self.label)
        return self.enqueue(data, packet.src, packet.sport)

    def enqueue(self, data: bytes, src: Address, sport: int) -> bool:
        """Append a datagram from address `src` and port `sport` to the receive queue. Return True if it was received.

        Return False if the receive buffer is full. A datagram that `cnmsim.Flow` sent is only counted, not queued,
        and the result is True.
        """
        meter = self.namespace.clock.meter
        if meter is not None and meter.received_datagram(self, data):
            return True
        queued_bytes = self.pending_bytes + len(data) + _SKB_OVERHEAD
        if queued_bytes > _RECEIVE_BUFFER and self.receive_queue:
            return False
        self.receive_queue.append((data, src, sport))
        self.pending_bytes = queued_bytes
        self.became_readable()
        return True

    def report_full(self, packet: Packet) -> None:
        """Report a packet that was dropped because the receive buffer is full."""
        self._report_drop(packet, DropReason.SOCKET_BUFFER_FULL, self.label)

    def _is_full(self, length: int) -> bool:
        return bool(self.receive_queue) and self.pending_bytes + length + _SKB_OVERHEAD > _RECEIVE_BUFFER

    def fail(self, error: IcmpErrorInfo) -> None:
        """Queue an ICMP error that a datagram of this socket caused (__udp4_lib_err)."""
        meaning = icmp_errno(error.family, error.icmp_type, error.code)
        if meaning is None:
            return
        number, is_hard = meaning
        if self.recverr:
            self._errors.append(QueuedError(number, error))
        elif self.remote is not None and (is_hard or (number == errno.EMSGSIZE and self.dont_fragment)):
            # sk_err can hold only one error.
            self._errors.clear()
            self._errors.append(os_error(number))
        else:
            return
        self.became_readable()
