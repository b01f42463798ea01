"""Datagram paths: opaque datagrams pass from one UDP socket through all network stacks to another without a frame.

A datagram is opaque if no network stack reads its content, as with encrypted data. A path exists if the flow cache of
every namespace on the way has the flow, each link does nothing but delay frames, and nothing observes the datagram.
Then no decision depends on the bytes of a frame. What remains for each hop is to check that nothing has changed, to
increment the counters, and to let the time pass. If a check fails, the bytes of the frame are generated, and the
frame continues on the slow path from there. (Linux: the flow offload of nf_tables, which bypasses the stack
likewise.)

If no other event is scheduled before a datagram's arrival at a hop, the hop is processed immediately, with the
arrival time as the clock's time.

Invalidation: each hop checks its flow, its link path, taps and devices for every datagram; a datagram that must leave
the path invalidates it. Tests that results equal those of the slow path: tests/laws/test_sealed_datagrams.py,
test_swarm_on_known_flows.py. Benchmarks: bench/swarm_cluster.py (with 30 nodes, datagram paths save 15 % of all
function calls), bench/gossip_growth.py.

To remove it in one commit: this module, its tests, and the hooks `RouteCache.opaque`, `CachedRoute.lookup`,
`Link.path`, `Link.deliver` for a path's end, and `Clock.is_idle_until`; gossip then sends `payload.to_bytes(…)` by
`UdpSocket.sendto`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Protocol

from cnmsim.kernel.device import FRAME_OVERHEAD, Nic
from cnmsim.kernel.opaque_payload import endpoint_key

if TYPE_CHECKING:
    from collections.abc import Callable

    from cnmsim.kernel.address import Address
    from cnmsim.kernel.device import Link
    from cnmsim.kernel.offload.cached_route import CachedRoute
    from cnmsim.kernel.offload.flow_cache import Flow
    from cnmsim.kernel.sockets.base import SocketAddress
    from cnmsim.kernel.sockets.udp import UdpSocket

#: The length of the Ethernet, IPv4 and UDP headers together, and of the IPv4 and UDP headers, in bytes.
_FRAME_HEADERS = 42
_PACKET_HEADERS = 28
#: A path is looked up for the second datagram. After each failed lookup, twice as many datagrams take the slow path
#: before the next lookup.
_FIRST_LOOKUP = 2
_MAX_LOOKUP_INTERVAL = 64


class Payload(Protocol):
    """The payload of a datagram as an object, such as an `OpaquePayload`. Its bytes are generated only for a frame.

    `content` is the object that the receiver gets, `size` the length of the payload in bytes.
    """

    content: Any
    size: int

    def to_bytes(self, endpoint: int = 0) -> bytes:
        """Return the payload as bytes. `endpoint` is the number that `endpoint_key` returns for the destination.

        The bytes are different for each destination, as if each copy had been encrypted separately.
        """


class LinkPort(Protocol):
    """The end of a link to which an interface is attached."""

    @property
    def station(self) -> object:
        """The attached object: a `Nic`, or a device of the link layer such as a switch."""


class LastSeen(Protocol):
    """The entry of a MAC address in the address table of a switch.

    `heard_ns` is the virtual time of the last frame from this address, in nanoseconds.
    """

    heard_ns: int


class LinkPath(Protocol):
    """A path between two interfaces of a link, on which frames are delayed but not otherwise affected."""

    @property
    def here(self) -> LastSeen:
        """The sender's entry in the address table of the link; each frame that is sent refreshes the entry."""

    @property
    def port(self) -> LinkPort:
        """The receiver's end of the path."""

    @property
    def delay_ns(self) -> int:
        """The delay of a frame, in nanoseconds."""

    @property
    def is_valid(self) -> bool:
        """Whether the link is unchanged since the path was found. A frame in transit on a valid path arrives."""

    def carries(self, length: int, now_ns: int) -> bool:
        """Return True if a frame of `length` bytes that is sent at time `now_ns` takes this path."""


class OpaqueDatagrams:
    """Sends and receives opaque datagrams at one UDP socket.

    `receive(content, sender)` is called for a datagram that arrived by a path. If it returns `False`, the socket
    receives the datagram as bytes instead. `is_redundant(content)` returns True if receiving the content would change
    nothing. `is_passive` is True if `receive` only records the content and the time, and schedules no calls:
    `receive` may then be called before the arrival time, with the clock set to the arrival time.
    """

    __slots__ = ("is_passive", "is_redundant", "receive", "socket")

    def __init__(
        self,
        socket: UdpSocket,
        receive: Callable[[Any, tuple[Address, int]], bool],
        is_redundant: Callable[[Any], bool],
        *,
        is_passive: bool = False,
    ) -> None:
        self.socket = socket
        self.is_passive = is_passive
        self.receive = receive
        self.is_redundant = is_redundant
        socket.offload.opaque = self

    def send(self, payload: Payload, address: SocketAddress) -> None:
        """Send a datagram to `address`, along a datagram path if there is one.

        Raises the errors of `UdpSocket.sendto`.
        """
        route = self.socket.offload.routes.get(address)
        if route is not None:
            lookup = route.lookup
            if lookup is None:
                lookup = route.lookup = PathLookup(route)
            path = lookup.path or lookup.find()
            if path is not None:
                if path.is_valid and route.is_valid() and path.send(payload, is_redundant=False):
                    return
                lookup.invalidate()
        self.socket.sendto(
            payload.to_bytes(endpoint_key(self.socket._parse_address(address[0]), address[1])), address
        )

    def send_if_redundant(self, payload: Payload, address: SocketAddress) -> bool:
        """Send a datagram if a datagram path to `address` is known and the receiver already has the content.

        `is_redundant` of the receiver decides whether it has the content. Return True if the datagram was sent; if
        not, the caller sends it by `send`. The datagram may be received immediately, with the clock set to its
        arrival time, instead of by an event at that time.
        """
        route = self.socket.offload.routes.get(address)
        lookup = route.lookup if route is not None else None
        path = lookup.path if lookup is not None else None
        if route is None or lookup is None or path is None:
            return False
        if path.is_valid and route.is_valid():
            if not path.is_redundant(payload.content):
                return False
            if path.send(payload, is_redundant=True):
                return True
        lookup.invalidate()
        return False


class PathLookup:
    """The lookup of the datagram path for a cached route.

    If no path is found, the lookup is repeated after a number of datagrams, which doubles each time up to a limit.
    """

    __slots__ = ("_interval", "_route", "_until_lookup", "path")

    def __init__(self, route: CachedRoute) -> None:
        self._route = route
        self.path: DatagramPath | None = None
        self._until_lookup = self._interval = _FIRST_LOOKUP

    def find(self) -> DatagramPath | None:
        """Return the path, or `None` if none is known now. Called for each datagram while `path` is `None`.

        The path is looked up only at some of the calls.
        """
        self._until_lookup -= 1
        if self._until_lookup > 0:
            return None
        path = self.path = _find_path(self._route)
        if path is None:
            self._interval = min(self._interval * 2, _MAX_LOOKUP_INTERVAL)
            self._until_lookup = self._interval
        return path

    def invalidate(self) -> None:
        """Discard the path, so that it is looked up again."""
        self.path = None
        self._until_lookup = self._interval = _FIRST_LOOKUP


class _Hop:
    """One hop of a path: out of a namespace, over a link, to the interface of the next namespace.

    `ttl` is the TTL of packets on that link. The hop does not check that both devices are up, connected and in their
    namespaces, because any such change invalidates the flows.
    """

    __slots__ = (
        "_device", "_flow", "_link", "_next_mac", "_receiver", "delay_ns", "link_path", "macs", "next", "ttl",
    )  # fmt: skip

    def __init__(self, flow: Flow, link: Link, link_path: LinkPath, macs: bytes, ttl: int) -> None:
        device, receiver = flow.device, link_path.port.station
        assert isinstance(device, Nic) and isinstance(receiver, Nic)
        self.next: _Hop | None = None
        self._flow = flow
        self._device = device
        self._link = link
        self.link_path = link_path
        self.delay_ns = link_path.delay_ns
        self._receiver = receiver
        self.macs = macs
        self._next_mac = macs[:6]
        self.ttl = ttl

    def flow_at_end(self, key: bytes) -> Flow | None:
        """Return the cached flow with these addresses and ports (`key`) in the receiving namespace.

        Return `None` if the flow is not cached or is subject to NAT.
        """
        receiver = self._receiver
        flow = receiver.namespace.flows.received.get((receiver, key)) if receiver.namespace is not None else None
        return flow if flow is not None and not flow.translates and flow.mac == receiver.mac else None

    def enter(self, size: int) -> bool:
        """Send a datagram with `size` bytes of data over the link. Return True if it was sent.

        Return `False`, without any effect, if it must be sent as a frame.
        """
        device, link_path = self._device, self.link_path
        length = size + _FRAME_HEADERS
        now_ns = device.clock.now_ns
        if (
            device.taps
            or not link_path.carries(length, now_ns)
            or not self._flow.forward(size + _PACKET_HEADERS, self._next_mac)
        ):
            return False
        device.tx_packets += 1
        device.tx_bytes += length
        link_path.here.heard_ns = now_ns
        return True

    def arrive(self, size: int, end: Flow) -> bool:
        """Receive a datagram with `size` bytes of data at the end of the link. Return True if it was received.

        The datagram then enters the next hop; at the last hop it is counted in `end`, the flow of the receiver.
        Return `False`, without any effect, if it must be delivered as a frame.
        """
        receiver, next_hop = self._receiver, self.next
        if (
            receiver.taps
            or receiver.master is not None
            or receiver.upper_devices is not None
            or size + _FRAME_HEADERS > receiver._mtu + FRAME_OVERHEAD
            or not self.link_path.is_valid
            or not (end.account(size + _PACKET_HEADERS) if next_hop is None else next_hop.enter(size))
        ):
            return False
        receiver.rx_packets += 1
        receiver.rx_bytes += size + _FRAME_HEADERS
        return True

    def deliver(self, frame: bytes) -> None:
        """Deliver a frame to the interface at the end of the link."""
        self._link.deliver(frame, self.link_path.port)


class DatagramPath:
    """The path from a socket to its peer's socket.

    `is_valid` becomes False when a datagram on the path has to continue as a frame.
    """

    __slots__ = ("_clock", "_end", "_first", "_route", "_sender", "is_valid")

    def __init__(self, route: CachedRoute, first: _Hop, end: Flow) -> None:
        self._route = route
        self._first = first
        self._end = end
        key = route.flow_key
        self._sender = key[:4], int.from_bytes(key[8:10])
        self._clock = end.clock
        self.is_valid = True

    def is_redundant(self, content: object) -> bool:
        """Return True if receiving the content would change nothing at the peer."""
        socket = self._end.datagram_socket()
        return (
            socket is not None and socket.offload.opaque is not None and socket.offload.opaque.is_redundant(content)
        )

    def send(self, payload: Payload, *, is_redundant: bool) -> bool:
        """Send a datagram. Return `False`, without any effect, if it must be sent as a frame.

        `is_redundant` is True if the content of the datagram would change nothing at the receiver. If no other event
        is scheduled before the arrival of such a datagram, it is received immediately, with the clock set to the
        arrival time. The same holds for any datagram to a receiver with `OpaqueDatagrams.is_passive`.
        """
        if not self._first.enter(payload.size):
            return False
        self._advance(payload, self._first, is_redundant=is_redundant)
        return True

    def _advance(self, payload: Payload, hop: _Hop, *, is_redundant: bool) -> None:
        """Move a datagram, which has entered `hop`, along the path until the next scheduled event.

        If the datagram has not arrived by then, schedule the rest of its path. `is_redundant` has the same meaning as
        for `send`.
        """
        clock, size = self._clock, payload.size
        now_ns = when_ns = clock.now_ns
        try:
            while True:
                when_ns += hop.delay_ns
                next_hop = hop.next
                if not clock.is_idle_until(when_ns):
                    break
                if next_hop is None:
                    socket = self._end.datagram_socket()
                    opaque = socket.offload.opaque if socket is not None else None
                    if socket is None or not (is_redundant or (opaque is not None and opaque.is_passive)):
                        break
                    clock.now_ns = when_ns
                    if socket.receive_queue or not hop.arrive(size, self._end):
                        break
                    if not is_redundant:
                        self._receive(payload, socket)
                    return
                clock.now_ns = when_ns
                if not hop.arrive(size, self._end):
                    break
                hop = next_hop
        finally:
            clock.now_ns = now_ns
        clock.post_at_ns(when_ns, self._arrive, payload, hop)

    def _arrive(self, payload: Payload, hop: _Hop) -> None:
        """Process a datagram that has reached the end of a hop, at its arrival time.

        If a check of the hop fails, build the frame and deliver it there.
        """
        size, next_hop = payload.size, hop.next
        if next_hop is not None:
            if hop.arrive(size, self._end):
                self._advance(payload, next_hop, is_redundant=False)
                return
        else:
            socket = self._end.datagram_socket()
            if socket is not None and not socket.receive_queue and hop.arrive(size, self._end):
                self._receive(payload, socket)
                return
        self.is_valid = False
        data = payload.to_bytes(endpoint_key(*self._route.destination))
        hop.deliver(self._route.frame(data, hop.macs, hop.ttl))

    def _receive(self, payload: Payload, socket: UdpSocket) -> None:
        opaque = socket.offload.opaque
        if opaque is None or not opaque.receive(payload.content, self._sender):
            socket.enqueue(payload.to_bytes(endpoint_key(*self._route.destination)), *self._sender)


def _find_hop(flow: Flow, ttl: int) -> _Hop | None:
    """Return the hop by which a flow leaves its namespace.

    Return `None` if there is no such hop: the flow ends there, its link does more than delay frames, or the next MAC
    is unknown. `ttl` is the TTL of the flow's packets on the link.
    """
    device, hop_mac = flow.device, flow.next_hop_mac()
    if not isinstance(device, Nic) or device.link is None or hop_mac is None:
        return None
    macs = hop_mac + device.mac
    link_path = device.link.path(macs, device, _FRAME_HEADERS)
    if link_path is None or not isinstance(link_path.port.station, Nic):
        return None
    return _Hop(flow, device.link, link_path, macs, ttl)


def _find_path(route: CachedRoute) -> DatagramPath | None:
    """Return the datagram path along the flow of `route` through every namespace.

    Return `None` if a namespace has not cached the flow, or if the flow does not end at a socket that can receive
    opaque datagrams.
    """
    key, flow, ttl = route.flow_key, route.flow, route.ttl
    first: _Hop | None = None
    last: _Hop | None = None
    while not flow.is_delivered:
        hop = _find_hop(flow, ttl)
        if hop is None:
            return None
        if last is None:
            first = hop
        else:
            last.next = hop
        last = hop
        next_flow = hop.flow_at_end(key)
        if next_flow is None:
            return None
        flow = next_flow
        if not flow.is_delivered:
            ttl -= 1
            if ttl < 1:
                return None
    if first is None or flow.datagram_socket() is None:
        return None
    return DatagramPath(route, first, flow)
