"""Fill the empty fields of a user's packet with values of the host or container that sends it.

When scapy builds a packet, it fills the fields that are `None`: lengths and checksums from the packet itself, but MAC
addresses and source addresses from the real machine on which Python runs. This module sets these before scapy does.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

from cnmsim.errors import InvalidParameter
from cnmsim.kernel.address import (
    IPV4_BROADCAST,
    MAC_BROADCAST,
    Address,
    Mac,
    format_ip,
    format_mac,
    is_multicast,
    multicast_mac,
    parse_ip,
)
from cnmsim.kernel.device import Veth

if TYPE_CHECKING:
    from scapy.packet import Packet

    from cnmsim.kernel.device import Device
    from cnmsim.kernel.namespace import NetworkNamespace
    from cnmsim.observe.packets.origin import Origin

#: The source MAC of a frame from the wire if the sender is not known: a locally administered address.
_UNKNOWN_STATION = bytes((2, 0, 0, 0, 0, 1))
#: The time in seconds that a neighbour has to answer: three requests, one second apart.
_RESOLVE_LIMIT_S = 4.0


def layers_of(packet: Packet) -> Iterator[Packet]:
    """Yield the layers of a packet, the outermost first."""
    layer: Any = packet
    while layer is not None and type(layer).__name__ != "NoPayload":
        yield layer
        layer = layer.payload


def destination_of(packet: Packet) -> Address | None:
    """Return the address to which a packet is routed, or that an ARP request asks for; `None` if there is none."""
    for layer in layers_of(packet):
        name = {"IP": "dst", "IPv6": "dst", "ARP": "pdst"}.get(type(layer).__name__)
        if name is not None:
            try:
                return parse_ip(str(layer.getfieldval(name)))
            except (ValueError, OSError):
                return None
    return None


def fill(packet: Packet, origin: Origin, device: Device, *, inbound: bool) -> None:
    """Set every empty field that scapy would otherwise fill with values of the real machine.

    An empty Ethernet destination is resolved by ARP or neighbour discovery on `device` of `origin`, which takes
    virtual time if the neighbour is unknown; if nobody answers, the broadcast address is used, as in scapy. `inbound`
    is True if the device receives the packet instead of sending it. Raises `InvalidParameter` for an inbound packet
    without a source.
    """
    layers = list(layers_of(packet))
    for layer in layers:
        for name, kind in _empty_fields(layer):
            layer.setfieldval(name, _value(packet, layer, kind, origin.namespace, device, inbound=inbound))


def _empty_fields(layer: Packet) -> Iterator[tuple[str, str]]:
    """Yield (field name, name of the field's scapy class) for each field of a layer to fill; addresses come first."""
    from scapy.fields import MultipleTypeField, SourceIP6Field, SourceIPField
    from scapy.layers.l2 import DestMACField, SourceMACField

    empty: list[tuple[str, str]] = []
    for field in layer.fields_desc:
        plain: Any = field
        while hasattr(plain, "fld"):
            is_one_of_several = isinstance(plain, MultipleTypeField)
            plain = plain._find_fld_pkt_val(layer, None)[0] if is_one_of_several else plain.fld
        if _raw_value(layer, field.name) is None:
            kinds = (SourceIPField, SourceIP6Field, SourceMACField, DestMACField)
            empty += [(field.name, kind.__name__) for kind in kinds if isinstance(plain, kind)]
    yield from sorted(empty, key=lambda item: "MAC" in item[1])


def _raw_value(layer: Any, name: str) -> Any:
    """Return the value of the field `name` of a layer as set by the user, or its default.

    Reading the attribute `layer.name` instead would make scapy query the real machine.
    """
    for values in (layer.fields, layer.overloaded_fields, layer.default_fields):
        if name in values:
            return values[name]
    return None


def _value(
    packet: Packet, layer: Packet, kind: str, namespace: NetworkNamespace, device: Device, *, inbound: bool
) -> str:
    if kind == "SourceMACField":
        return format_mac(_sender_mac(packet, namespace, device) if inbound else device.mac)
    if kind == "DestMACField":
        return format_mac(device.mac if inbound else _target_mac(layer, namespace, device))
    if inbound:
        name = type(layer).__name__
        raise InvalidParameter(f"a packet from the wire needs a source: write {name}({'p' * (name == 'ARP')}src=…)")
    return _source(layer, namespace, device, 6 if kind == "SourceIP6Field" else 4)


def _source(layer: Packet, namespace: NetworkNamespace, device: Device, family: int) -> str:
    """Return the source address that the kernel of `namespace` would choose for a packet sent by `device`, as text.

    `family` is 4 or 6. If there is none, return `0.0.0.0` or `::`.
    """
    unspecified = "0.0.0.0" if family == 4 else "::"  # noqa: S104 - no socket is bound
    target = destination_of(layer)
    if target is None or (len(target) == 4) != (family == 4):
        return unspecified
    try:
        return format_ip(namespace.ip.route_output(target).src)
    except OSError:
        source = namespace.select_source(target, device)
    return format_ip(source) if source is not None else unspecified


def _sender_mac(packet: Packet, namespace: NetworkNamespace, device: Device) -> Mac:
    """Return the source MAC address for a frame that `device` receives with this packet.

    If the neighbour table of `namespace` has the packet's source address, or the gateway towards it, return the MAC
    address found there. Otherwise return the MAC address of the veth device's other end or, for other devices, a
    fixed one.
    """
    for layer in layers_of(packet):
        source = layer.fields.get("src" if type(layer).__name__ in {"IP", "IPv6"} else "psrc")
        if source is None or type(layer).__name__ not in {"IP", "IPv6", "ARP"}:
            continue
        address = parse_ip(str(source))
        known = namespace.neighbours.known_mac(device, address)
        if known is None:
            route = namespace.find_route(address)
            if route is not None and route.gateway is not None:
                known = namespace.neighbours.known_mac(device, route.gateway)
        if known is not None:
            return known
        break
    return device.peer.mac if isinstance(device, Veth) and device.peer is not None else _UNKNOWN_STATION


def _target_mac(layer: Packet, namespace: NetworkNamespace, device: Device) -> Mac:
    """Return the destination MAC address for `layer`, an Ethernet header that is sent on `device` with its payload.

    It belongs to the next hop, whose address is resolved if necessary. If the next hop does not answer, return the
    broadcast address.
    """
    payload = layer.payload
    if type(payload).__name__ == "ARP":
        is_request = payload.getfieldval("op") in (1, "who-has")
        return MAC_BROADCAST if is_request else _mac_of(payload.getfieldval("hwdst"))
    target = destination_of(layer)
    if target is None or target == IPV4_BROADCAST or namespace.is_broadcast(target):
        return MAC_BROADCAST
    if is_multicast(target):
        return multicast_mac(target)
    if device.kind == "loopback" or device.no_arp:
        return device.mac
    route = namespace.find_route(target, device)
    hop = route.gateway if route is not None and route.gateway is not None else target
    entry = namespace.neighbours.resolve(device, hop)
    namespace.clock.run_for(_RESOLVE_LIMIT_S, stop=lambda: entry.mac is not None or entry.timer is None)
    return entry.mac or MAC_BROADCAST


def _mac_of(text: object) -> Mac:
    from cnmsim.kernel.address import parse_mac

    try:
        return parse_mac(str(text))
    except ValueError:
        return MAC_BROADCAST
