"""The underlay as a graph of hosts and segments."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING

from cnmsim.kernel.device import Device
from cnmsim.underlay.segment import Segment
from cnmsim.underlay.trunk import TrunkEnd

if TYPE_CHECKING:
    import networkx as nx


def add_segments(graph: nx.Graph[str], segments: Iterable[Segment]) -> None:
    """Add each segment as a node, and each cable as an edge to its host.

    Nodes have the attributes `kind="segment"`, `latency_s`, `mtu` and `loss`; edges have `device`, the host's
    interface, and `kind="cable"`. A cable between two switches is an edge with `device="trunk"` and `kind="trunk"`.
    """
    for segment in segments:
        options = segment.options
        graph.add_node(segment.name, kind="segment", latency_s=options.latency_s, mtu=segment.mtu, loss=options.loss)
        for station in segment.stations:
            if isinstance(station, TrunkEnd):
                far = station.other.link if station.other is not None else None
                if isinstance(far, Segment):
                    graph.add_edge(segment.name, far.name, device="trunk", kind="trunk")
            elif isinstance(station, Device) and station.namespace is not None:
                graph.add_edge(station.namespace.name, segment.name, device=station.name, kind="cable")
