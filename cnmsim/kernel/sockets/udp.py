"""UDP sockets (RFC 768, udp(7))."""

from __future__ import annotations

import errno
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, ClassVar

from cnmsim.kernel.address import Address
from cnmsim.kernel.events import DropReason, Step
from cnmsim.kernel.offload.cached_route import CachedRoute
from cnmsim.kernel.opaque_payload import endpoint_key
from cnmsim.kernel.packet import build_ip
from cnmsim.kernel.skbuff import Packet
from cnmsim.kernel.sockets.base import WILDCARDS, Socket, SocketAddress, address_text
from cnmsim.kernel.sockets.errors import IcmpErrorInfo, QueuedError, icmp_errno, os_error
from cnmsim.kernel.transport import udp_message

if TYPE_CHECKING:
    from cnmsim.kernel.namespace import NetworkNamespace
    from cnmsim.kernel.opaque_payload import OpaquePayload
    from cnmsim.kernel.process import Process

#: net.core.rmem_default of Linux, in bytes.
_RECEIVE_BUFFER = 212_992
#: What Linux charges the receive buffer for one datagram beside its data (an sk_buff), in bytes.
_OVERHEAD = 768
_MOST_WAYS = 256


class UdpSocket(Socket):
    """A UDP socket. Unbound it gets an ephemeral port with its first datagram.

    `dont_fragment` is `None` for Linux's default (DF unless the datagram must be fragmented), `True` to have
    datagrams larger than the path MTU refused with EMSGSIZE, `False` never to set DF. With `recverr` every ICMP
    error is raised by the next `recvfrom` as `QueuedError`; without it only hard errors, on connected sockets.
    """

    __slots__ = (
        "_errors", "_queued_bytes", "_ways", "dont_fragment", "knows", "on_sealed", "recverr", "remote", "remote_port", "waiting",
    )  # fmt: skip

    protocol = 17
    #: Whether `deliver` looks at more of a packet than its sender.
    needs_packets: ClassVar[bool] = False

    def __init__(self, namespace: NetworkNamespace, family: int = 4, owner: Process | None = None) -> None:
        super().__init__(namespace, family, owner)
        self.remote: Address | None = None
        self.remote_port = 0
        self.dont_fragment: bool | None = None
        self.recverr = False
        #: What waits to be received: data, sender's address and port.
        self.waiting: list[tuple[bytes, Address, int]] = []
        self._queued_bytes = 0
        self._errors: list[OSError] = []
        self._ways: dict[tuple[str | Address, int], CachedRoute] = {}
        #: Takes what is in a sealed datagram, and its sender; `False` if it is to be received as bytes.
        #: Tells whether taking what is in a sealed datagram would change nothing.
        self.knows: Callable[[Any], bool] | None = None
        self.on_sealed: Callable[[Any, tuple[Address, int]], bool] | None = None

    @property
    def label(self) -> str:
        """What traces call it."""
        where = address_text(self.local, self.local_port)
        if self.remote is None:
            return f"socket: {self.owner_label} bound to {where}"
        return f"socket: {self.owner_label} {where} connected to {address_text(self.remote, self.remote_port)}"

    def bind(self, address: SocketAddress) -> None:
        """Take a local address and port (port 0: an ephemeral one).

        Raises `OSError`: EADDRINUSE, EADDRNOTAVAIL if the namespace does not have the address, EINVAL if bound.
        """
        self._bind_local(self.namespace.sockets.udp_ports, address)
        self.namespace.sockets.add_udp(self)

    def connect(self, address: SocketAddress) -> None:
        """Fix the peer: datagrams go there by default, and only its datagrams are received.

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
        """Give the connected peer. Raises `OSError` (ENOTCONN)."""
        if self.remote is None:
            raise os_error(errno.ENOTCONN)
        return self._api_address(self.remote), self.remote_port

    def send(self, data: bytes) -> int:
        """Send to the connected peer. Raises as `sendto`, and EDESTADDRREQ without a peer."""
        if self.remote is None:
            raise os_error(errno.EDESTADDRREQ)
        return self._transmit(data, self.remote, self.remote_port)

    def sendto(self, data: bytes, address: SocketAddress) -> int:
        """Send one datagram and give its length.

        Raises `OSError`: what routing says, EPERM if a packet filter drops it in OUTPUT, EMSGSIZE, or an ICMP error
        that an earlier datagram of a connected socket met.
        """
        # The hot path: a peer whose way is known.
        way = self._ways.get(address)
        if way is not None and not self._errors and not self.is_closed and way.send(data, self):
            return len(data)
        return self._transmit(data, self._parse_address(address[0]), address[1])

    def send_sealed(self, sealed: OpaquePayload, address: SocketAddress) -> None:
        """Send one datagram of which only the receiver gets to see the content. Raises as `sendto`.

        A receiving socket that has `on_sealed` is given the content itself, where no more than time lies between the two.
        """
        way = self._ways.get(address)
        if way is None or self._errors or self.is_closed or not way.send_sealed(sealed, self):
            self.sendto(sealed.to_bytes(endpoint_key(self._parse_address(address[0]), address[1])), address)

    def send_known(self, sealed: OpaquePayload, address: SocketAddress) -> bool:
        """Send a sealed datagram if it tells its receiver nothing new. `False`: nothing was done, it is for `send_sealed`."""
        way = self._ways.get(address)
        return (
            way is not None
            and not self._errors
            and not self.is_closed
            and way.send_sealed(sealed, self, only_known=True)
        )

    def _transmit(self, data: bytes, dst: Address, dport: int) -> int:
        self._check_open()
        if self._errors and not self.recverr:
            raise self._errors.pop(0)
        if len(data) > (65507 if len(dst) == 4 else 65527):
            raise os_error(errno.EMSGSIZE)
        namespace = self.namespace
        way = self._ways.get((dst, dport))
        if way is not None and way.send(data, self):
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
        if dont_fragment and len(dst) == 4:
            flow = namespace.sent_flow(decision, dst, self.local_port, dport)
            if flow is not None:
                if len(self._ways) >= _MOST_WAYS:
                    self._ways.clear()
                self._ways[dst, dport] = CachedRoute(flow, self, dst, dport)
        return len(data)

    def _autobind(self) -> None:
        if not self.local_port:
            self.local_port = self.namespace.sockets.udp_ports.claim(self, 0)
            self.namespace.sockets.add_udp(self)

    async def recvfrom(self, timeout: float | None = None) -> tuple[bytes, tuple[Address, int]]:  # noqa: ASYNC109
        """Wait for a datagram and give it with its sender.

        Raises `TimeoutError` after `timeout` seconds, an ICMP error as `OSError`, EBADF if the socket is closed.
        """
        await self._changed.wait_until(lambda: bool(self.waiting or self._errors) or self.is_closed, timeout)
        return self.recvfrom_nowait()

    def recvfrom_nowait(self) -> tuple[bytes, tuple[Address, int]]:
        """Give the next datagram if there is one. Raises `BlockingIOError` if not, else as `recvfrom`."""
        self._check_open()
        if self._errors:
            raise self._errors.pop(0)
        if not self.waiting:
            raise os_error(errno.EAGAIN)
        data, src, sport = self.waiting.pop(0)
        self._queued_bytes -= len(data) + _OVERHEAD
        return data, (self._api_address(src), sport)

    @property
    def pending(self) -> int:
        """How many datagrams wait to be received."""
        return len(self.waiting)

    @property
    def pending_bytes(self) -> int:
        """How many bytes of the receive buffer they take, as `ss` shows in Recv-Q."""
        return self._queued_bytes

    def close(self) -> None:
        """Give up the port; what waits to be received is gone."""
        if self.is_closed:
            return
        self.is_closed = True
        self.namespace.sockets.remove_udp(self)
        self.namespace.sockets.udp_ports.release(self, self.local_port)
        self._disown()
        self._changed.notify()

    def deliver(self, packet: Packet, data: bytes) -> bool:
        """Take a datagram that was found to be for this socket. False if the receive buffer is full."""
        traced = self.namespace.clock.context is not None
        if traced and self._is_full(len(data)):
            self._report_drop(packet, DropReason.SOCKET_BUFFER_FULL, self.label)
            return False
        if traced:
            what = f"{self.owner_label} receives {len(data)} bytes"
            self.namespace.report(Step.DELIVERED, what, packet, decision=self.label)
        return self.take(data, packet.src, packet.sport)

    def take(self, data: bytes, src: Address, sport: int) -> bool:
        """Take a datagram of which nothing else is of interest. False if the receive buffer is full."""
        taken = self._queued_bytes + len(data) + _OVERHEAD
        if taken > _RECEIVE_BUFFER and self.waiting:
            return False
        self.waiting.append((data, src, sport))
        self._queued_bytes = taken
        self._became_readable()
        return True

    def _is_full(self, length: int) -> bool:
        return bool(self.waiting) and self._queued_bytes + length + _OVERHEAD > _RECEIVE_BUFFER

    def fail(self, error: IcmpErrorInfo) -> None:
        """Take note of an ICMP error about a datagram this socket sent."""
        found = icmp_errno(error.family, error.icmp_type, error.code)
        if found is None:
            return
        number, is_hard = found
        if self.recverr:
            self._errors.append(QueuedError(number, error))
        elif self.remote is not None and (is_hard or (number == errno.EMSGSIZE and self.dont_fragment)):
            # so_error holds one error only.
            self._errors.clear()
            self._errors.append(os_error(number))
        else:
            return
        self._became_readable()
