"""Neighbour discovery: resolution of IPv6 addresses on the link (RFC 4861; Linux: net/ipv6/ndisc.c)."""

from __future__ import annotations

from typing import TYPE_CHECKING

from cnmsim.kernel.address import MAC_BROADCAST, Address, Mac, format_ip, format_mac, multicast_mac, solicited_node
from cnmsim.kernel.events import DropReason, Step
from cnmsim.kernel.link_events import report_duplicate_address
from cnmsim.kernel.netfilter.hooks import Hook
from cnmsim.kernel.packet import build_ip
from cnmsim.kernel.skbuff import CtState, Packet
from cnmsim.kernel.transport import icmpv6_message

if TYPE_CHECKING:
    from cnmsim.kernel.device import Device
    from cnmsim.kernel.namespace import NetworkNamespace

NEIGHBOUR_SOLICITATION, NEIGHBOUR_ADVERTISEMENT = 135, 136
_TYPE = b"\x86\xdd"
_ALL_NODES = b"\xff\x02" + bytes(13) + b"\x01"


def send_solicitation(
    namespace: NetworkNamespace, device: Device, target: Address, src: Address | None, to: Mac | None
) -> None:
    """Send a neighbour solicitation for `target` to the MAC `to` (ndisc_send_ns).

    If `to` is `None`, send it to the target's solicited-node multicast group. `src` is the source address; `None` is
    the unspecified address.
    """
    src = src or bytes(16)
    group = target if to else solicited_node(target)
    option = b"\x01\x01" + device.mac if any(src) else b""
    body = icmpv6_message(src, group, NEIGHBOUR_SOLICITATION, 0, bytes(4), target + option)
    _send(namespace, device, to or multicast_mac(group), src, group, body)


def announce(device: Device, address: Address) -> None:
    """Multicast an unsolicited advertisement for an address (RFC 4861 §7.2.6)."""
    flags, option = b"\x20\0\0\0", b"\x02\x01" + device.mac
    body = icmpv6_message(address, _ALL_NODES, NEIGHBOUR_ADVERTISEMENT, 0, flags, address + option)
    ethernet = multicast_mac(_ALL_NODES) + device.mac + _TYPE
    device.transmit(ethernet + build_ip(58, address, _ALL_NODES, body, ttl=255))


def receive_solicitation(namespace: NetworkNamespace, packet: Packet, device: Device) -> None:
    """Process a received solicitation (RFC 4861 §7.2.3; ndisc_recv_ns)."""
    table, message = namespace.neighbours, packet.payload
    if len(message) < 24 or packet.ttl != 255:
        namespace.drop(packet, DropReason.MALFORMED, "neighbour solicitation", device=device.name)
        return
    target = message[8:24]
    if not any(item.address == target for item in device.addresses):
        return
    mac = link_layer_option(message[24:], 1)
    src = packet.src
    if mac is not None and any(src):
        table.update_stale(table.get_or_create(device, src), mac)
    dst = src if any(src) else _ALL_NODES
    flags = b"\x60\0\0\0" if any(src) else b"\x20\0\0\0"
    body = icmpv6_message(target, dst, NEIGHBOUR_ADVERTISEMENT, 0, flags, target + b"\x02\x01" + device.mac)
    if namespace.clock.context is not None:
        what = f"{format_ip(target)} is at {format_mac(device.mac)}"
        namespace.report(Step.NEIGHBOUR, what, packet, device=device.name)
    to_mac = mac or (multicast_mac(dst) if dst[0] == 0xFF else table.known_mac(device, dst) or MAC_BROADCAST)
    _send(namespace, device, to_mac, target, dst, body)


def receive_advertisement(namespace: NetworkNamespace, packet: Packet, device: Device) -> None:
    """Process a received advertisement (RFC 4861 §7.2.5; ndisc_recv_na)."""
    table, message = namespace.neighbours, packet.payload
    if len(message) < 24 or packet.ttl != 255:
        namespace.drop(packet, DropReason.MALFORMED, "neighbour advertisement", device=device.name)
        return
    claimed = link_layer_option(message[24:], 2)
    if claimed is not None and namespace.has_address(message[8:24]):
        if not any(own.mac == claimed for own in namespace.devices.values()):
            head = device.mac + claimed + _TYPE
            report_duplicate_address(device, message[8:24], device.mac, claimed, head + packet.data)
        return
    entry = table.get(device, message[8:24])
    if entry is None or entry.is_permanent:
        return
    mac = link_layer_option(message[24:], 2) or entry.mac
    if mac is None:
        return
    if message[4] & 0x40:
        table.update_reachable(entry, mac)
    else:
        table.update_stale(entry, mac)


def _send(
    namespace: NetworkNamespace, device: Device, to_mac: Mac, src: Address, dst: Address, message: bytes
) -> None:
    """Send an ICMPv6 message to the MAC `to_mac`, through the OUTPUT and POSTROUTING hooks (ndisc_send_skb)."""
    data = build_ip(58, src, dst, message, ttl=255)
    netfilter = namespace.netfilter
    if netfilter.is_active:
        packet = Packet.outgoing(data, 58, src, dst, 255)
        packet.outdev, packet.nexthop, packet.ct_state = device, dst, CtState.UNTRACKED
        if not (netfilter.run(Hook.OUTPUT, packet) and netfilter.run(Hook.POSTROUTING, packet)):
            return
    device.transmit(to_mac + device.mac + _TYPE + data)


def link_layer_option(options: bytes, option_type: int) -> Mac | None:
    """Return the link-layer address in a message's option of type `option_type`, or `None` if it has no such option.

    Type 1 is the link-layer address of the source, type 2 is the link-layer address of the target.
    """
    at = 0
    while at + 8 <= len(options):
        kind, size = options[at], options[at + 1] * 8
        if not size:
            return None
        if kind == option_type:
            return options[at + 2 : at + 8]
        at += size
    return None
