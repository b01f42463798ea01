"""Convert frames to scapy packets."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from cnmsim.errors import InvalidParameter
from cnmsim.kernel.device import ETHERNET_HEADER

if TYPE_CHECKING:
    from scapy.packet import Packet

    from cnmsim.observe.trace.hops import Hop
    from cnmsim.observe.trace.trace import Trace


def dissect(data: bytes, *, is_frame: bool = True) -> Packet:
    """Parse bytes as a scapy packet: an Ethernet frame, or an IP packet if `is_frame` is False.

    The result is `Raw` for a frame shorter than its header, and for a packet that is neither IPv4 nor IPv6.
    """
    # scapy can parse a layer only after the layer's module was imported.
    import scapy.layers.dhcp
    import scapy.layers.dns
    import scapy.layers.ipsec
    import scapy.layers.vxlan  # noqa: F401
    from scapy.layers.inet import IP
    from scapy.layers.inet6 import IPv6
    from scapy.layers.l2 import Ether
    from scapy.packet import Raw

    if is_frame:
        return Ether(data) if len(data) >= ETHERNET_HEADER else Raw(data)
    version = data[0] >> 4 if data else 0
    layer: Any = {4: IP, 6: IPv6}.get(version, Raw)
    packet: Packet = layer(data)
    return packet


def at_hop(trace: Trace, hop: int | Hop, *, inner: bool) -> Packet:
    """Return the packet at a hop of a trace as a scapy packet. Parameters and errors are those of `Trace.packet`."""
    try:
        number = hop if isinstance(hop, int) else trace.hops.index(hop)
        event = trace.events[number]
    except (ValueError, IndexError):
        raise InvalidParameter(f"the trace has no such hop; it has {len(trace.hops)}, numbered from 0") from None
    if not event.data:
        raise InvalidParameter(f"hop {number} is a note without a packet: {event.what}")
    packet = dissect(event.data, is_frame=event.is_frame)
    if not inner:
        return packet
    if packet.haslayer("VXLAN"):
        inside: Packet = packet["VXLAN"].payload
        return inside
    if packet.haslayer("ESP"):
        hops = trace.hops
        for before in range(number % len(hops), -1, -1):
            known = dissect(trace.events[before].data, is_frame=trace.events[before].is_frame)
            if hops[before].message == hops[number].message and not known.haslayer("ESP"):
                return known["VXLAN"].payload if known.haslayer("VXLAN") else known
    return packet


def stamp(packet: Packet, time_s: float, where: str) -> Packet:
    """Set a packet's `time` (Unix time) and `sniffed_on` (a device, `node1:eth0`), and return the packet."""
    packet.time = time_s
    packet.sniffed_on = where
    return packet
