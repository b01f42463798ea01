"""Frames with which a VXLAN device itself answers: proxied ARP and neighbour discovery, and "packet too big" errors.

Source: drivers/net/vxlan/vxlan_core.c (arp_reduce, neigh_reduce, vxlan_na_create) and net/ipv4/ip_tunnel_core.c
(iptunnel_pmtud_build_icmp, iptunnel_pmtud_build_icmpv6) of Linux 6.1.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from attrs import frozen

from cnmsim.kernel.address import (
    IPV4_ANY,
    IPV4_BROADCAST,
    IPV6_ANY,
    Address,
    format_ip,
    format_mac,
    is_loopback,
    is_multicast,
)
from cnmsim.kernel.ndisc import NEIGHBOUR_ADVERTISEMENT, NEIGHBOUR_SOLICITATION, link_layer_option
from cnmsim.kernel.neighbour import NeighbourState
from cnmsim.kernel.packet import TOO_BIG, MalformedPacketError, build_ip
from cnmsim.kernel.skbuff import Packet
from cnmsim.kernel.transport import ARP_REPLY, ARP_REQUEST, ArpMessage, icmp_of_family, icmpv6_message

if TYPE_CHECKING:
    from collections.abc import Callable

    from cnmsim.kernel.neighbour import Neighbour

_ARP, _IPV6 = b"\x08\x06", b"\x86\xdd"
#: Neighbour states in which the MAC address is valid (Linux: NUD_CONNECTED).
_CONNECTED = (NeighbourState.PERMANENT, NeighbourState.REACHABLE)
_MIN_MTU = {4: 576, 6: 1280}
_MAX_ERROR_LENGTH = {4: 576, 6: 1280}
_ICMP4_ERRORS = (3, 4, 5, 11, 12)


@frozen
class ProxyAnswer:
    """The answer to a request that the device handles as a proxy.

    `reply` is the answering frame, or `None` if the request is dropped. `what` is the text for traces. `entry` is the
    neighbour entry from which the answer was made, `None` without one.
    """

    reply: bytes | None
    what: str
    entry: Neighbour | None = None


def is_proxied(frame: bytes) -> bool:
    """Return True if the proxy handles the frame: an ARP message or a neighbour solicitation."""
    kind = frame[12:14]
    if kind == _ARP:
        return True
    return (
        kind == _IPV6 and len(frame) >= 78 and frame[20] == 58
        and frame[54] == NEIGHBOUR_SOLICITATION and not frame[55]
    )  # fmt: skip


def proxy_answer(frame: bytes, find: Callable[[Address], Neighbour | None]) -> ProxyAnswer:
    """Return the answer to a frame for which `is_proxied` is True.

    `find(address)` returns the neighbour entry of an address on the device, or `None` if there is none.
    """
    return _arp_answer(frame, find) if frame[12:14] == _ARP else _nd_answer(frame, find)


def _known(target: Address, find: Callable[[Address], Neighbour | None]) -> tuple[Neighbour | None, str]:
    entry = find(target)
    if entry is None:
        return None, f"no neighbour entry for {format_ip(target)}"
    if entry.mac is None or entry.state not in _CONNECTED:
        return None, f"the neighbour entry is {entry.state.value}"
    return entry, f"{format_ip(target)} is at {format_mac(entry.mac)}"


def _arp_answer(frame: bytes, find: Callable[[Address], Neighbour | None]) -> ProxyAnswer:
    try:
        message = ArpMessage.parse(frame[14:])
    except MalformedPacketError as error:
        return ProxyAnswer(None, str(error))
    target = message.target_ip
    if message.operation != ARP_REQUEST or is_loopback(target) or is_multicast(target):
        return ProxyAnswer(None, "an ARP request for an unknown address ends at the tunnel")
    entry, what = _known(target, find)
    if entry is None or entry.mac is None:
        return ProxyAnswer(None, what)
    requester = message.sender_mac
    reply = ArpMessage(ARP_REPLY, entry.mac, target, requester, message.sender_ip)
    return ProxyAnswer(requester + entry.mac + _ARP + reply.to_wire(), what, entry)


def _nd_answer(frame: bytes, find: Callable[[Address], Neighbour | None]) -> ProxyAnswer:
    source, target = frame[22:38], frame[62:78]
    if is_loopback(frame[38:54]) or is_multicast(target):
        return ProxyAnswer(None, "a solicitation for a group or the loopback ends at the tunnel")
    entry, what = _known(target, find)
    if entry is None or entry.mac is None:
        return ProxyAnswer(None, what)
    requester = link_layer_option(frame[78:], 1) or frame[6:12]
    # Override and solicited (RFC 4861 section 4.4).
    body = icmpv6_message(target, source, NEIGHBOUR_ADVERTISEMENT, 0, b"\x60\0\0\0", target + b"\x02\x01" + entry.mac)
    return ProxyAnswer(requester + entry.mac + _IPV6 + build_ip(58, target, source, body, ttl=255), what, entry)


def too_big(frame: bytes, mtu: int) -> bytes | None:
    """Return the ICMP error that reports the tunnel's MTU, `mtu` bytes, to the sender of a bridged frame.

    Return `None` in the cases in which Linux sends none: IPv4 without DF, ICMP errors, multicast, an MTU below the
    family's minimum.
    """
    try:
        packet = Packet(frame[14:])
    except MalformedPacketError:
        return None
    family, src, dst = packet.family, packet.src, packet.dst
    if mtu < _MIN_MTU[family] or src in (IPV4_ANY, IPV6_ANY) or is_loopback(src) or is_multicast(src):
        return None
    if is_multicast(dst) or IPV4_BROADCAST in (src, dst):
        return None
    room = _MAX_ERROR_LENGTH[family]
    if family == 4 and (frame[20:22] != b"\x40\x00" or (packet.protocol == 1 and packet.icmp_type in _ICMP4_ERRORS)):
        return None
    if family == 6 and packet.protocol == 58 and packet.icmp_type < 128:
        return None
    quoted = packet.data[: room - (28 if family == 4 else 48)]
    protocol, body = icmp_of_family(dst, src, *TOO_BIG[family], mtu.to_bytes(4), quoted)
    error = build_ip(protocol, dst, src, body, ttl=packet.ttl)
    return frame[6:12] + frame[:6] + frame[12:14] + error
