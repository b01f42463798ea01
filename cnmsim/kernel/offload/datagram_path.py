"""The fast path of sealed datagrams: from one UDP socket through every stack between to another, without a frame.

Where the flow cache of every namespace on the way knows the flow, each segment knows behind which cable the next station is,
and nobody looks, a frame's bytes decide nothing any more: what is left of a hop is to look whether all is still as it was,
to count, and to let the time pass. The frame itself is made where that is not so, and goes on from there as any other. (Linux
has the same idea in the flow offload of netfilter.)

Nor does a datagram wait for its time where nothing else happens before: it passes the next station at once, as of then.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from cnmsim.kernel.device import FRAME_OVERHEAD, Nic

if TYPE_CHECKING:
    from cnmsim.kernel.device import Link, LinkPath
    from cnmsim.kernel.offload.cached_route import CachedRoute
    from cnmsim.kernel.offload.flow_cache import Flow
    from cnmsim.kernel.opaque_payload import OpaquePayload

#: Ethernet, IPv4 and UDP headers, in bytes.
_FRAME_HEADERS = 42
_PACKET_HEADERS = 28


class _Hop:
    """Out of one namespace, by one link, to the station of the next. `ttl` is that of the packets on it.

    That a device is up, plugged in and in its namespace the flows say, which are none any more if one is not.
    """

    __slots__ = ("_device", "_flow", "_medium", "_next", "_station", "delay_ns", "next", "stations", "ttl", "way")

    def __init__(self, flow: Flow, link: Link, way: LinkPath, stations: bytes, ttl: int) -> None:
        device, station = flow.device, way.port.station
        assert isinstance(device, Nic) and isinstance(station, Nic)
        self.next: _Hop | None = None
        self._flow = flow
        self._device = device
        self._medium = link
        self.way = way
        self.delay_ns = way.delay_ns
        self._station = station
        self.stations = stations
        self._next = stations[:6]
        self.ttl = ttl

    def flow_at_end(self, key: bytes) -> Flow | None:
        """Give the flow in the namespace it leads to, if that is known and only passes or ends there."""
        station = self._station
        flow = station.namespace.flows.received.get((station, key)) if station.namespace is not None else None
        return flow if flow is not None and not flow.translates and flow.mac == station.mac else None

    def enter(self, size: int) -> bool:
        """Let a datagram of `size` bytes pass the hooks and go. `False`: nothing was done."""
        device, way = self._device, self.way
        length = size + _FRAME_HEADERS
        now_ns = device.clock.now_ns
        if (
            device.taps
            or not way.carries(length, now_ns)
            or not self._flow.pass_on(size + _PACKET_HEADERS, self._next)
        ):
            return False
        device.tx_packets += 1
        device.tx_bytes += length
        way.here.heard_ns = now_ns
        return True

    def pass_end(self, size: int, end: Flow) -> bool:
        """Let a datagram that has come to its end go on by the next leg, else end with its flow. `False`: nothing was done."""
        station, onward = self._station, self.next
        if (
            station.taps
            or station.master is not None
            or station.upper_devices is not None
            or size + _FRAME_HEADERS > station._mtu + FRAME_OVERHEAD
            or not self.way.is_right
            or not (end.pass_hooks(size + _PACKET_HEADERS) if onward is None else onward.enter(size))
        ):
            return False
        station.rx_packets += 1
        station.rx_bytes += size + _FRAME_HEADERS
        return True

    def deliver(self, frame: bytes) -> None:
        """Give the station at its end a frame."""
        self._medium.deliver(frame, self.way.port)


class DatagramPath:
    """A known path of a socket's datagrams to one peer's. `is_right` until a datagram had to leave it."""

    __slots__ = ("_clock", "_end", "_first", "_sender", "_way", "is_right")

    def __init__(self, way: CachedRoute, first: _Hop, end: Flow, sender: tuple[bytes, int]) -> None:
        self._way = way
        self._first = first
        self._end = end
        self._sender = sender
        self._clock = end.clock
        self.is_right = True

    def knows(self, content: object) -> bool:
        """Tell whether the socket at its end knows already all that such a content tells."""
        socket = self._end.datagram_socket()
        return socket is not None and socket.knows is not None and socket.knows(content)

    def send(self, sealed: OpaquePayload, *, is_known: bool) -> bool:
        """Let a datagram go. `False`: nothing was done.

        If its content `is_known` to the receiver, and nothing happens until it has arrived, then it may as well have arrived.
        """
        if not self._first.enter(sealed.size):
            return False
        self._go_on(sealed, self._first, is_known=is_known)
        return True

    def _go_on(self, sealed: OpaquePayload, leg: _Hop, *, is_known: bool) -> None:
        """Let a datagram that has just entered a leg come as far as nothing else happens before, and wait there."""
        clock, size = self._clock, sealed.size
        now_ns = when_ns = clock.now_ns
        try:
            while True:
                when_ns += leg.delay_ns
                onward = leg.next
                if (onward is None and not is_known) or not clock.is_idle_until(when_ns):
                    break
                clock.now_ns = when_ns
                if onward is None:
                    socket = self._end.datagram_socket()
                    if socket is not None and not socket.waiting and leg.pass_end(size, self._end):
                        return
                    break
                if not leg.pass_end(size, self._end):
                    break
                leg = onward
        finally:
            clock.now_ns = now_ns
        clock.post_at_ns(when_ns, self._arrive, sealed, leg)

    def _arrive(self, sealed: OpaquePayload, leg: _Hop) -> None:
        """Take a datagram that has come to the end of a leg."""
        size, onward = sealed.size, leg.next
        if onward is not None:
            if leg.pass_end(size, self._end):
                self._go_on(sealed, onward, is_known=False)
                return
        else:
            socket = self._end.datagram_socket()
            if socket is not None and not socket.waiting and leg.pass_end(size, self._end):
                if socket.on_sealed is None or not socket.on_sealed(sealed.content, self._sender):
                    socket.take(sealed.to_bytes(self._way.place), *self._sender)
                return
        self.is_right = False
        leg.deliver(self._way.frame(sealed.to_bytes(self._way.place), leg.stations, leg.ttl))


def _leg(flow: Flow, ttl: int) -> _Hop | None:
    """Give the way out of a namespace that a flow takes, if it is known where that leads."""
    device, hop = flow.device, flow.next_station()
    if not isinstance(device, Nic) or device.link is None or hop is None:
        return None
    stations = hop + device.mac
    way = device.link.way(stations, device, _FRAME_HEADERS)
    if way is None or not isinstance(way.port.station, Nic):
        return None
    return _Hop(flow, device.link, way, stations, ttl)


def find_path(way: CachedRoute, flow: Flow) -> DatagramPath | None:
    """Follow the flow of a way through every namespace. `None` if one does not know it, or it does not end at such a socket."""
    key = way.flow_key
    first: _Hop | None = None
    last: _Hop | None = None
    ttl = way.ttl
    while not flow.is_delivered:
        leg = _leg(flow, ttl)
        if leg is None:
            return None
        if last is None:
            first = leg
        else:
            last.next = leg
        last = leg
        following = leg.flow_at_end(key)
        if following is None:
            return None
        flow = following
        if not flow.is_delivered:
            ttl -= 1
            if ttl < 1:
                return None
    if first is None or flow.datagram_socket() is None:
        return None
    return DatagramPath(way, first, flow, (key[:4], int.from_bytes(key[8:10])))
