"""The way of a UDP socket's datagrams to one peer: what its next one needs, once the flow cache knows their flow.

Route, header and checksum of a datagram depend on the socket, the peer and the tables that its flow watches; only length and
content differ from one to the next. IPv4 only.
"""

from __future__ import annotations

from struct import Struct
from typing import TYPE_CHECKING

from cnmsim.kernel.checksum import modulo_65535
from cnmsim.kernel.offload.datagram_path import DatagramPath, find_path
from cnmsim.kernel.opaque_payload import endpoint_key

if TYPE_CHECKING:
    from cnmsim.kernel.offload.flow_cache import Flow
    from cnmsim.kernel.opaque_payload import OpaquePayload
    from cnmsim.kernel.sockets.udp import UdpSocket

#: Stations and type; IPv4 header without identification, which DF makes needless; UDP header.
_HEAD = Struct("!12s2sBBHIBBH8sHHHH")
_IPV4 = b"\x08\x00"
_FRAGMENT = 0x4000
_HEADERS = 28
#: A path is looked for with the second datagram; if there is none, after twice as many, and so on.
_FIRST_LOOK = 2
_MOST_BETWEEN_LOOKS = 64


class CachedRoute:
    """The way to one peer, right while its flow is and what of the socket its headers depend on."""

    __slots__ = (
        "_dport", "_flow", "_head_sum", "_looks", "_path", "_shape", "_sport", "_sum", "_tos", "_until_look", "addresses", "ttl",
    )  # fmt: skip

    def __init__(self, flow: Flow, socket: UdpSocket, dst: bytes, dport: int) -> None:
        #: What of a socket its datagrams' headers depend on.
        self._shape = socket.ttl, socket.tos, socket.dont_fragment, socket.local, socket.device_name
        self._flow = flow
        self.ttl, self._tos = socket.ttl, socket.tos
        self._sport, self._dport = socket.local_port, dport
        assert flow.decision is not None
        self.addresses = flow.decision.src + dst
        addresses = int.from_bytes(self.addresses)
        # What the sums of both headers have in common for all lengths, as numbers modulo 65535 (RFC 1071).
        self._head_sum = (0x4500 + socket.tos + _FRAGMENT + 17 + addresses) % 0xFFFF
        self._sum = (addresses + 17 + self._sport + dport) % 0xFFFF
        self._path: DatagramPath | None = None
        self._until_look = self._looks = _FIRST_LOOK

    @property
    def flow_key(self) -> bytes:
        """Addresses and ports as they follow each other in a packet."""
        return self.addresses + self._sport.to_bytes(2) + self._dport.to_bytes(2)

    @property
    def place(self) -> int:
        """The number of the place it leads to."""
        return endpoint_key(self.addresses[4:], self._dport)

    def _is_right_for(self, socket: UdpSocket) -> bool:
        namespace = socket.namespace
        return (
            namespace.clock.context is None
            and namespace.netfilter.replied_packet is None
            and (socket.ttl, socket.tos, socket.dont_fragment, socket.local, socket.device_name) == self._shape
        )

    def send(self, data: bytes, socket: UdpSocket) -> bool:
        """Send a datagram of its socket. `False`: nothing was done, it must take the full walk."""
        if not self._is_right_for(socket):
            return False
        flow = self._flow
        hop = flow.pass_out(_HEADERS + len(data))
        if hop is None:
            return False
        flow.device.transmit(self.frame(data, hop + flow.device.mac, self.ttl))
        return True

    def send_sealed(self, sealed: OpaquePayload, socket: UdpSocket, *, only_known: bool = False) -> bool:
        """Send a sealed datagram whose bytes nobody looks at on its way. `False`: nothing was done, it must go as bytes.

        With `only_known` it is also left undone if the receiver may learn something from it.
        """
        path = self._path
        if path is None:
            path = None if only_known else self._look_for_path()
            if path is None:
                return False
        if path.is_right and self._is_right_for(socket):
            if only_known and not path.knows(sealed.content):
                return False
            if path.send(sealed, is_known=only_known):
                return True
        self._path = None
        self._until_look = self._looks = _FIRST_LOOK
        return False

    def _look_for_path(self) -> DatagramPath | None:
        self._until_look -= 1
        if self._until_look > 0:
            return None
        path = self._path = find_path(self, self._flow)
        if path is None:
            self._looks = min(self._looks * 2, _MOST_BETWEEN_LOOKS)
            self._until_look = self._looks
        return path

    def frame(self, data: bytes, stations: bytes, ttl: int) -> bytes:
        """Give the frame of a datagram between two stations."""
        size = _HEADERS + len(data)
        length = size - 20
        body = int.from_bytes(data) << 8 if length & 1 else int.from_bytes(data)
        # The length stands in the pseudo header as well. With the protocol number in it no sum is zero.
        sum_ = 0xFFFF - (modulo_65535(self._sum + 2 * length + body) or 0xFFFF) or 0xFFFF
        head_sum = 0xFFFF - ((self._head_sum + (ttl << 8) + size) % 0xFFFF or 0xFFFF)
        return _HEAD.pack(
            stations, _IPV4, 0x45, self._tos, size, _FRAGMENT, ttl, 17, head_sum, self.addresses,
            self._sport, self._dport, length, sum_,
        ) + data  # fmt: skip
