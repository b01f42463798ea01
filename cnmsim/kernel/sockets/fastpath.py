"""The fast path of sealed datagrams: from one UDP socket through every stack between to another, without a frame.

Where the flow cache of every namespace on the way knows the flow, each segment knows behind which cable the next station is,
and nobody looks, a frame's bytes decide nothing any more: what is left of a hop is to look whether all is still as it was,
to count, and to let the time pass. The frame itself is made where that is not so, and goes on from there as any other. (Linux
has the same idea in the flow offload of netfilter.)
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from cnmsim.kernel.device import Nic

if TYPE_CHECKING:
    from cnmsim.kernel.device import Medium, MediumWay, Port
    from cnmsim.kernel.flow import Flow
    from cnmsim.kernel.sealed import Sealed
    from cnmsim.kernel.sockets.way import Way

#: Ethernet, IPv4 and UDP headers, in bytes.
_FRAME_HEADERS = 42
_PACKET_HEADERS = 28


class _Exit:
    """Out of a namespace: what a datagram leaves through, and the station it comes to."""

    __slots__ = ("_next", "arrival", "device", "flow", "medium", "stations", "way")

    def __init__(self, flow: Flow, device: Nic, medium: Medium, way: MediumWay, arrival: _Arrival) -> None:
        self.flow = flow
        self.device = device
        self.medium = medium
        self.way = way
        self.stations = arrival.stations
        self._next = arrival.stations[:6]
        self.arrival = arrival

    def leave(self, sealed: Sealed) -> bool:
        """Let a datagram pass the hooks and go to the next station. `False`: nothing was done."""
        device, medium, size = self.device, self.medium, sealed.size
        length = size + _FRAME_HEADERS
        way = self.way
        if (
            not device.is_up
            or device.taps
            or device.medium is not medium
            or medium.way(self.stations, device, length) is not way
            or self.flow.pass_out(size + _PACKET_HEADERS, only_to=self._next) is None
        ):
            return False
        device.tx_packets += 1
        device.tx_bytes += length
        clock = device.clock
        now_ns = clock.now_ns
        way.here.heard_ns = now_ns
        clock.post_at_ns(now_ns + way.delay_ns, self.arrival.arrive, sealed)
        return True


class _Arrival:
    """At a station: what a datagram comes in by, and where it goes from there: out again, or to a socket."""

    __slots__ = ("_end", "_medium", "_namespace", "_path", "_port", "_sender", "_ttl", "exit", "station", "stations")

    def __init__(self, path: FastPath, medium: Medium, port: Port, station: Nic, stations: bytes, ttl: int) -> None:
        self._path = path
        self._medium = medium
        self._port = port
        self.station = station
        self._namespace = station.namespace
        self.stations = stations
        self._ttl = ttl
        self.exit: _Exit | None = None
        self._end: Flow | None = None

    def end_at(self, flow: Flow, sender: tuple[bytes, int]) -> None:
        """Have a datagram be given to the socket its flow ends at."""
        self._end, self._sender = flow, sender

    def arrive(self, sealed: Sealed) -> None:
        """Take a datagram that has come to the end of a cable."""
        station = self.station
        if (
            station.is_up
            and not station.taps
            and station.namespace is self._namespace
            and station.stack is None
            and station.master is None
            and self._medium.delivers_to(self._port)
        ):
            length = sealed.size + _FRAME_HEADERS
            if self.exit is not None:
                if self.exit.leave(sealed):
                    station.rx_packets += 1
                    station.rx_bytes += length
                    return
            else:
                flow = self._end
                assert flow is not None
                socket = flow.datagram_socket()
                if socket is not None and not socket.waiting and flow.pass_hooks(sealed.size + _PACKET_HEADERS):
                    station.rx_packets += 1
                    station.rx_bytes += length
                    socket.take_sealed(sealed, self._sender)
                    return
        self._path.is_right = False
        self._medium.deliver(self._path.way.frame(sealed.to_bytes(), self.stations, self._ttl), self._port)


class FastPath:
    """A known path of a socket's datagrams to one peer's, by its `first` exit. `is_right` until a datagram had to leave it."""

    __slots__ = ("first", "is_right", "way")

    def __init__(self, way: Way) -> None:
        self.way = way
        self.is_right = True
        self.first: _Exit


def _exit(path: FastPath, flow: Flow, ttl: int) -> _Exit | None:
    """Give the way out of a namespace that a flow takes, if it is known where that leads."""
    device, hop = flow.device, flow.next_station()
    if not isinstance(device, Nic) or device.medium is None or hop is None:
        return None
    stations = hop + device.mac
    way = device.medium.way(stations, device, _FRAME_HEADERS)
    station = way.port.station if way is not None else None
    if way is None or not isinstance(station, Nic):
        return None
    return _Exit(flow, device, device.medium, way, _Arrival(path, device.medium, way.port, station, stations, ttl))


def find_path(way: Way, flow: Flow) -> FastPath | None:
    """Follow the flow of a way through every namespace. `None` if one does not know it, or it does not end at such a socket."""
    path = FastPath(way)
    key = way.flow_key
    before: _Arrival | None = None
    ttl = way.ttl
    while not flow.is_delivered:
        link = _exit(path, flow, ttl)
        if link is None:
            return None
        if before is None:
            path.first = link
        else:
            before.exit = link
        before = link.arrival
        station = before.station
        found = station.namespace.flows.received.get((station, key)) if station.namespace is not None else None
        if found is None or found.translates or found.mac != station.mac:
            return None
        flow = found
        if not flow.is_delivered:
            ttl -= 1
            if ttl < 1:
                return None
    if before is None or flow.datagram_socket() is None:
        return None
    before.end_at(flow, (key[:4], int.from_bytes(key[8:10])))
    return path
