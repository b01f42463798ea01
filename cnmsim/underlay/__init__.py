"""The physical network below the engines: Ethernet segments and cables, plain hosts and routers, name servers."""

from cnmsim.underlay.cable import Attachment, CableOptions
from cnmsim.underlay.host import HostSpec, PlainHost
from cnmsim.underlay.nameserver import Zone, name_server
from cnmsim.underlay.segment import Segment
from cnmsim.underlay.trunk import Link, Trunk
from cnmsim.underlay.vlans import PortVlans

__all__ = [
    "Attachment",
    "CableOptions",
    "HostSpec",
    "Link",
    "PlainHost",
    "PortVlans",
    "Segment",
    "Trunk",
    "Zone",
    "name_server",
]
