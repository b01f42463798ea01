"""The underlay as a graph of hosts and segments."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

from cnmsim.kernel.device import Device
from cnmsim.underlay.cable import Attachment
from cnmsim.underlay.segment import Segment
from cnmsim.underlay.trunk import Link, TrunkEnd
from cnmsim.underlay.vlans import PortVlans

if TYPE_CHECKING:
    import networkx as nx


def add_segments(graph: nx.Graph[str], segments: Iterable[Segment]) -> None:
    """Add each segment to the graph as a node, and each cable as an edge between the segment and a host.

    Nodes have the attributes `kind="segment"`, `latency_s`, `mtu` and `loss`; edges have `device`, the host's
    interface, and `kind="cable"`. A cable between two switches is an edge with `device="trunk"` and `kind="trunk"`, a
    cable between two hosts one with `devices` and `kind="link"`. Other options of segments and cables are attributes
    where they differ from their defaults.
    """
    for segment in segments:
        if isinstance(segment, Link):
            _add_link(graph, segment)
            continue
        graph.add_node(segment.name, **_segment_attributes(segment))
        for station in segment.stations:
            attachment = segment.attachment_of(station)
            if isinstance(station, TrunkEnd):
                far = station.other.link if station.other is not None else None
                if isinstance(far, Segment):
                    known = graph.get_edge_data(segment.name, far.name) or {}
                    options = {**known, **_cable_attributes(segment, attachment)}
                    graph.add_edge(segment.name, far.name, device="trunk", kind="trunk", **_without(options))
            elif isinstance(station, Device) and station.namespace is not None:
                options = _cable_attributes(segment, attachment)
                graph.add_edge(station.namespace.name, segment.name, device=station.name, kind="cable", **options)


def _without(options: dict[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in options.items() if name not in {"device", "kind"}}


def _segment_attributes(segment: Segment) -> dict[str, Any]:
    options = segment.options
    attributes: dict[str, Any] = {
        "kind": "segment", "latency_s": options.latency_s, "mtu": segment.mtu, "loss": options.loss,
    }  # fmt: skip
    if options.bandwidth_bps is not None:
        attributes["bandwidth_bps"] = options.bandwidth_bps
    if segment.is_hub:
        attributes["is_hub"] = True
    if segment.refuse_unknown_macs:
        attributes["refuse_unknown_macs"] = True
    return attributes


def _cable_attributes(segment: Segment, attachment: Attachment) -> dict[str, Any]:
    options, attributes = attachment.options, {}
    if options.latency_s:
        attributes["latency_s"] = options.latency_s
    if options.loss:
        attributes["loss"] = options.loss
    if options.bandwidth_bps is not None and options.bandwidth_bps != segment.options.bandwidth_bps:
        attributes["bandwidth_bps"] = options.bandwidth_bps
    if attachment.hairpin:
        attributes["hairpin"] = True
    if attachment.refuses_unknown_macs and not segment.refuse_unknown_macs:
        attributes["refuse_unknown_macs"] = True
    return attributes | _vlan_attributes(attachment.vlans)


def _vlan_attributes(vlans: PortVlans | None) -> dict[str, Any]:
    if vlans is None:
        return {}
    if not vlans.is_trunk:
        return {"access": vlans.native}
    return {"trunk": "all" if vlans.tagged is None else sorted(vlans.tagged), "native": vlans.native}


def _add_link(graph: nx.Graph[str], link: Link) -> None:
    ends = [station for station in link.stations if isinstance(station, Device) and station.namespace is not None]
    names = [end.namespace.name for end in ends if end.namespace is not None]
    if len(names) != 2:  # a cable of which one end is not connected
        return
    options = link.options
    attributes: dict[str, Any] = {"latency_s": options.latency_s, "loss": options.loss, "mtu": link.mtu}
    if options.bandwidth_bps is not None:
        attributes["bandwidth_bps"] = options.bandwidth_bps
    devices = dict(zip(names, (end.name for end in ends), strict=True))
    graph.add_edge(*names, devices=devices, kind="link", **attributes)
