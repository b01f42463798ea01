"""Trunks, the cables between two switches, and links, the cables between two interfaces."""

from __future__ import annotations

from cnmsim.kernel.address import MAC_ZERO, Mac
from cnmsim.kernel.clock import Clock
from cnmsim.underlay.cable import Carrier, Station
from cnmsim.underlay.segment import Segment
from cnmsim.underlay.vlans import PortVlans


class TrunkEnd:
    """One end of a trunk. It is attached to a switch as a station.

    A frame that the switch at this end delivers to it is sent into the switch at the other end.
    """

    def __init__(self, name: str) -> None:
        self.name = name
        self.mac: Mac = MAC_ZERO
        self.link: Carrier | None = None
        self.other: TrunkEnd | None = None
        self.rx_packets = self.rx_bytes = 0
        self.tx_packets = self.tx_bytes = 0

    def plug(self, link: Carrier | None) -> None:
        """Attach this end to `link`, a switch; detach it if `link` is `None`."""
        self.link = link

    def receive(self, frame: bytes) -> None:
        """Pass a frame from the switch at this end on to the switch at the other end."""
        self.rx_packets += 1
        self.rx_bytes += len(frame)
        if self.other is not None and self.other.link is not None:
            self.other.tx_packets += 1
            self.other.tx_bytes += len(frame)
            self.other.link.carry(frame, self.other)


class Trunk:
    """A cable between two switches, with `latency_s`, `bandwidth_bps` and `loss` in both directions.

    `vlans` configures both ports; by default they carry all VLANs. Raises `ValueError` if the switches are already
    connected, directly or through others, because frames would then loop for ever.
    """

    def __init__(
        self,
        left: Segment,
        right: Segment,
        *,
        latency_s: float = 0.0,
        bandwidth_bps: float | None = None,
        loss: float = 0.0,
        vlans: PortVlans | None = None,
    ) -> None:
        if right in reachable(left):
            loop = _loop(left, right)
            raise ValueError(
                f"{left.name} and {right.name} are joined already: a second trunk would close a loop ({loop})"
            )
        if left.refuse_unknown_macs or right.refuse_unknown_macs:
            raise ValueError("a switch that refuses unknown MAC addresses can have no trunk")
        self.left, self.right = left, right
        self._ends = (TrunkEnd(f"trunk to {right.name}"), TrunkEnd(f"trunk to {left.name}"))
        self._ends[0].other, self._ends[1].other = self._ends[1], self._ends[0]
        left.attach(
            self._ends[0],
            latency_s=latency_s,
            bandwidth_bps=bandwidth_bps,
            loss=loss,
            vlans=vlans,
            leads_to_switch=True,
        )
        right.attach(self._ends[1], vlans=vlans, leads_to_switch=True)

    def unplug(self) -> None:
        """Remove the cable."""
        self.left.detach(self._ends[0])
        self.right.detach(self._ends[1])


def reachable(segment: Segment) -> set[Segment]:
    """Return all segments that trunks connect to `segment`, including `segment` itself."""
    segments, waiting = {segment}, [segment]
    while waiting:
        for station in waiting.pop().stations:
            link = station.other.link if isinstance(station, TrunkEnd) and station.other else None
            if isinstance(link, Segment) and link not in segments:
                segments.add(link)
                waiting.append(link)
    return segments


def _loop(left: Segment, right: Segment) -> str:
    """Return the loop that a trunk from `left` to `right` would close, as text such as `s1 - s2 - s3 - s1`.

    Trunks must already connect the two segments.
    """
    import networkx as nx

    graph: nx.Graph[str] = nx.Graph()
    for segment in reachable(left):
        graph.add_node(segment.name)
        for station in segment.stations:
            if (
                isinstance(station, TrunkEnd)
                and station.other is not None
                and isinstance(station.other.link, Segment)
            ):
                graph.add_edge(segment.name, station.other.link.name)
    return " - ".join([*nx.shortest_path(graph, left.name, right.name), left.name])


class Link(Segment):
    """A cable that connects two interfaces directly."""

    def __init__(
        self,
        name: str,
        clock: Clock,
        left: Station,
        right: Station,
        *,
        latency_s: float = 0.0001,
        bandwidth_bps: float | None = None,
        loss: float = 0.0,
        mtu: int = 1500,
    ) -> None:
        super().__init__(
            name, clock, latency_s=latency_s, bandwidth_bps=bandwidth_bps, loss=loss, mtu=mtu, is_hub=True
        )
        self.attach(left)
        self.attach(right)
