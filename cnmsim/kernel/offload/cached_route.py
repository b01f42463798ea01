"""The routes that a UDP socket has cached, one for each peer whose flow is in the flow cache.

Linux: sk->sk_dst_cache.

Route, headers and checksum of a datagram depend on the socket, the peer and the tables on which its flow depends;
only length and data differ from one datagram to the next. IPv4 only.

Invalidation: a route is used as long as its flow is valid (see `flow_cache.py`) and the socket's options and local
address are unchanged. Tests: tests/laws/test_datagram_ways.py. Benchmark: bench/crossing_bridge.py.
"""

from __future__ import annotations

from struct import Struct
from typing import TYPE_CHECKING

from cnmsim.kernel.checksum import modulo_65535

if TYPE_CHECKING:
    from cnmsim.kernel.address import Address
    from cnmsim.kernel.offload.datagram_path import OpaqueDatagrams, PathLookup
    from cnmsim.kernel.offload.flow_cache import Flow
    from cnmsim.kernel.output_routing import RoutingDecision
    from cnmsim.kernel.sockets.udp import UdpSocket

#: Formats: MAC addresses and EtherType; IPv4 header without identification, which is not needed with DF; UDP header.
_HEADERS = Struct("!12s2sBBHIBBH8sHHHH")
_ETHERTYPE_IPV4 = b"\x08\x00"
_DONT_FRAGMENT = 0x4000
#: The length of the IPv4 and UDP headers together, in bytes.
_IP_HEADERS = 28
#: The maximum number of routes of a socket; the cache is emptied when it is full.
_MAX_ROUTES = 256


class RouteCache:
    """The cached routes of one UDP socket, by destination address and port.

    `opaque` is the `OpaqueDatagrams` of this socket: it receives the datagrams that arrive by a datagram path. `None`
    if the socket has none.
    """

    __slots__ = ("_socket", "opaque", "routes")

    def __init__(self, socket: UdpSocket) -> None:
        self._socket = socket
        self.routes: dict[tuple[str | Address, int], CachedRoute] = {}
        self.opaque: OpaqueDatagrams | None = None

    def send(self, data: bytes, address: tuple[str | Address, int]) -> bool:
        """Send a datagram with the content `data` by a cached route. Return True if it was sent.

        Return `False`, without any effect, if no route to `address` is cached or the datagram must take the slow
        path.
        """
        route = self.routes.get(address)
        return route is not None and route.send(data)

    def add(self, decision: RoutingDecision, dst: Address, dport: int) -> None:
        """Cache the route to a peer, if the flow cache has the flow to it.

        Called after a datagram took the slow path. `decision` is the routing decision for that datagram, `dst` and
        `dport` are the peer's address and port.
        """
        socket = self._socket
        if len(dst) == 4 and socket.dont_fragment is not False:
            flow = socket.namespace.sent_flow(decision, dst, socket.local_port, dport)
            if flow is not None:
                if len(self.routes) >= _MAX_ROUTES:
                    self.routes.clear()
                self.routes[dst, dport] = CachedRoute(flow, socket, dst, dport)


class CachedRoute:
    """The route and the prepared headers of one UDP socket's datagrams to one peer.

    `lookup` finds the datagram path to the peer (see `datagram_path.py`); it is `None` until it is first needed.
    """

    __slots__ = (
        "_dport", "_ip_sum", "_options", "_socket", "_sport", "_tos", "_udp_sum", "addresses", "flow", "lookup",
        "ttl",
    )  # fmt: skip

    def __init__(self, flow: Flow, socket: UdpSocket, dst: Address, dport: int) -> None:
        self._socket = socket
        #: The attributes of the socket that the headers depend on.
        self._options = socket.ttl, socket.tos, socket.dont_fragment, socket.local, socket.device_name
        #: The flow of the datagrams in the socket's namespace.
        self.flow = flow
        self.ttl, self._tos = socket.ttl, socket.tos
        self._sport, self._dport = socket.local_port, dport
        assert flow.decision is not None
        self.addresses = flow.decision.src + dst
        addresses = int.from_bytes(self.addresses)
        # The part of both checksums that is the same for all lengths, modulo 65535 (RFC 1071).
        self._ip_sum = (0x4500 + socket.tos + _DONT_FRAGMENT + 17 + addresses) % 0xFFFF
        self._udp_sum = (addresses + 17 + self._sport + dport) % 0xFFFF
        self.lookup: PathLookup | None = None

    @property
    def flow_key(self) -> bytes:
        """The addresses and ports of the datagrams as bytes, in the same order as in a packet."""
        return self.addresses + self._sport.to_bytes(2) + self._dport.to_bytes(2)

    @property
    def destination(self) -> tuple[Address, int]:
        """The peer's address and port."""
        return self.addresses[4:], self._dport

    def is_valid(self) -> bool:
        """Return True if the route can be used now.

        This requires that no observer is active, and that the socket is open, unchanged since the route was cached,
        and has no pending error.
        """
        socket = self._socket
        namespace = socket.namespace
        return (
            not socket._errors
            and not socket.is_closed
            and namespace.clock.context is None
            and namespace.netfilter.replied_packet is None
            and (socket.ttl, socket.tos, socket.dont_fragment, socket.local, socket.device_name) == self._options
        )

    def send(self, data: bytes) -> bool:
        """Send a datagram with the content `data`. Return True if it was sent.

        Return `False`, without any effect, if it must take the slow path.
        """
        if not self.is_valid():
            return False
        flow = self.flow
        hop = flow.output(_IP_HEADERS + len(data))
        if hop is None:
            return False
        flow.device.transmit(self.frame(data, hop + flow.device.mac, self.ttl))
        return True

    def frame(self, data: bytes, macs: bytes, ttl: int) -> bytes:
        """Return the Ethernet frame of a datagram with the content `data`.

        `macs` is the destination MAC followed by the source MAC, `ttl` the TTL of the packet.
        """
        size = _IP_HEADERS + len(data)
        length = size - 20
        body = int.from_bytes(data) << 8 if length & 1 else int.from_bytes(data)
        # The length counts twice, because the pseudo header contains it, too. The sum cannot be zero, because it
        # includes the protocol number.
        udp_sum = 0xFFFF - (modulo_65535(self._udp_sum + 2 * length + body) or 0xFFFF) or 0xFFFF
        ip_sum = 0xFFFF - ((self._ip_sum + (ttl << 8) + size) % 0xFFFF or 0xFFFF)
        return _HEADERS.pack(
            macs, _ETHERTYPE_IPV4, 0x45, self._tos, size, _DONT_FRAGMENT, ttl, 17, ip_sum, self.addresses,
            self._sport, self._dport, length, udp_sum,
        ) + data  # fmt: skip
