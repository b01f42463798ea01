"""The way of a UDP socket's datagrams to one peer: what its next one needs, once the flow cache knows their flow.

Route, header and checksum of a datagram depend on the socket, the peer and the tables that its flow watches; only length and
content differ from one to the next. IPv4 only.
"""

from __future__ import annotations

from struct import Struct
from typing import TYPE_CHECKING

from cnmsim.kernel.checksum import modulo_65535

if TYPE_CHECKING:
    from cnmsim.kernel.flow import Flow
    from cnmsim.kernel.sockets.udp import UdpSocket

#: Station, own address and type; IPv4 header without identification, which DF makes needless; UDP header.
_HEAD = Struct("!6s8sBBHIBBH8sHHHH")
_FRAGMENT = 0x4000
_HEADERS = 28


def _shape(socket: UdpSocket) -> tuple[object, ...]:
    """Give what of a socket its datagrams' headers depend on."""
    return socket.ttl, socket.tos, socket.dont_fragment, socket.local, socket.device_name


class Way:
    """The way to one peer, right while its flow is and what of the socket its headers depend on."""

    __slots__ = ("_addresses", "_dport", "_flow", "_head_sum", "_shape", "_sport", "_sum", "_tos", "_ttl")

    def __init__(self, flow: Flow, socket: UdpSocket, dst: bytes, dport: int) -> None:
        self._shape = _shape(socket)
        self._flow = flow
        self._ttl, self._tos = socket.ttl, socket.tos
        self._sport, self._dport = socket.local_port, dport
        assert flow.decision is not None
        self._addresses = flow.decision.src + dst
        addresses = int.from_bytes(self._addresses)
        # What the sums of both headers have in common for all lengths, as numbers modulo 65535 (RFC 1071).
        self._head_sum = (0x4500 + socket.tos + _FRAGMENT + (socket.ttl << 8) + 17 + addresses) % 0xFFFF
        self._sum = (addresses + 17 + self._sport + dport) % 0xFFFF

    def send(self, data: bytes, socket: UdpSocket) -> bool:
        """Send a datagram of its socket. `False`: nothing was done, it must take the full walk."""
        namespace = socket.namespace
        if namespace.clock.context is not None or namespace.netfilter.answered is not None:
            return False
        if _shape(socket) != self._shape:
            return False
        flow = self._flow
        size = _HEADERS + len(data)
        hop = flow.pass_out(size)
        if hop is None:
            return False
        length = size - 20
        body = int.from_bytes(data) << 8 if length & 1 else int.from_bytes(data)
        # The length stands in the pseudo header as well. With the protocol number in it no sum is zero.
        sum_ = 0xFFFF - (modulo_65535(self._sum + 2 * length + body) or 0xFFFF) or 0xFFFF
        head_sum = 0xFFFF - ((self._head_sum + size) % 0xFFFF or 0xFFFF)
        flow.device.transmit(
            _HEAD.pack(
                hop, flow.link, 0x45, self._tos, size, _FRAGMENT, self._ttl, 17, head_sum, self._addresses,
                self._sport, self._dport, length, sum_,
            ) + data
        )  # fmt: skip
        return True
