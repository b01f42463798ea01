"""The headers of a frame or packet, outermost first, each with its main fields.

In a tunnel packet the outer headers precede the inner ones, in wire order (RFC 7348 §5).
"""

from __future__ import annotations

from attrs import frozen

from cnmsim.kernel.address import format_ip, format_mac
from cnmsim.kernel.packet import MalformedPacketError, flag_text, icmp_name
from cnmsim.kernel.skbuff import Packet
from cnmsim.kernel.transport import ARP_REQUEST, ArpMessage
from cnmsim.observe.trace.packet_summary import dns_label, is_vxlan

_ETHERTYPES = {0x0800: "IPv4", 0x86DD: "IPv6", 0x0806: "ARP", 0x8100: "802.1Q", 0x88A8: "802.1ad"}
_PROTOCOLS = {1: "ICMP", 6: "TCP", 17: "UDP", 50: "ESP", 58: "ICMPv6"}
_PREVIEW = 60


@frozen
class Header:
    """One header: its protocol, its fields as (name, value) pairs, and its tunnel depth (0 is outermost)."""

    protocol: str
    fields: tuple[tuple[str, str], ...]
    depth: int = 0


def headers_of(data: bytes, *, is_frame: bool) -> tuple[Header, ...]:
    """Parse the headers of a frame, or of an IP packet if `is_frame` is False.

    If the bytes are malformed, the last header is `malformed`, with the reason and the first bytes.
    """
    headers: list[Header] = []
    try:
        if is_frame:
            _frame(data, headers, 0)
        else:
            _packet(data, headers, 0)
    except (MalformedPacketError, IndexError, ValueError) as error:
        headers.append(Header("malformed", (("why", str(error)), ("bytes", data[:_PREVIEW].hex(" ")))))
    return tuple(headers)


def _frame(data: bytes, headers: list[Header], depth: int) -> None:
    if len(data) < 14:
        raise MalformedPacketError("truncated Ethernet header")
    kind, body = int.from_bytes(data[12:14]), data[14:]
    headers.append(
        Header(
            "Ethernet",
            (
                ("source", format_mac(data[6:12])), ("destination", format_mac(data[:6])),
                ("type", _ETHERTYPES.get(kind, f"0x{kind:04x}")), ("length", f"{len(data)} bytes"),
            ),
            depth,
        )
    )  # fmt: skip
    while kind in (0x8100, 0x88A8) and len(body) >= 4:
        tag, name = int.from_bytes(body[:2]), _ETHERTYPES[kind]
        kind, body = int.from_bytes(body[2:4]), body[4:]
        fields = (
            ("VLAN", str(tag & 0xFFF)),
            ("priority", str(tag >> 13)),
            ("type", _ETHERTYPES.get(kind, f"0x{kind:04x}")),
        )
        headers.append(Header(name, fields, depth))
    if kind == 0x0806:
        _arp(body, headers, depth)
    elif kind in (0x0800, 0x86DD):
        _packet(body, headers, depth)


def _arp(body: bytes, headers: list[Header], depth: int) -> None:
    arp = ArpMessage.parse(body)
    headers.append(
        Header(
            "ARP",
            (
                ("operation", "request" if arp.operation == ARP_REQUEST else "reply"),
                ("sender", f"{format_ip(arp.sender_ip)} is at {format_mac(arp.sender_mac)}"),
                ("target", format_ip(arp.target_ip)),
            ),
            depth,
        )
    )  # fmt: skip


def _packet(data: bytes, headers: list[Header], depth: int) -> None:
    packet = Packet(data)
    fields = [("source", format_ip(packet.src)), ("destination", format_ip(packet.dst))]
    if packet.family == 4:
        word = int.from_bytes(data[6:8])
        flags = " ".join(name for bit, name in ((0x4000, "DF"), (0x2000, "MF")) if word & bit)
        fields += [
            ("TTL", str(data[8])), ("protocol", _PROTOCOLS.get(packet.protocol, str(packet.protocol))),
            ("identification", str(int.from_bytes(data[4:6]))), ("flags", flags),
            ("total length", f"{int.from_bytes(data[2:4])} bytes"),
        ]  # fmt: skip
    else:
        fields += [
            ("hop limit", str(data[7])), ("next header", _PROTOCOLS.get(packet.protocol, str(packet.protocol))),
            ("payload length", f"{int.from_bytes(data[4:6])} bytes"),
        ]  # fmt: skip
    if packet.fragment_offset:
        fields.append(("fragment offset", str(packet.fragment_offset)))
    headers.append(Header(f"IPv{packet.family}", tuple(pair for pair in fields if pair[1]), depth))
    body = packet.payload
    if packet.fragment_offset:
        headers.append(Header("fragment", (("length", f"{len(body)} bytes"),), depth))
    elif packet.protocol == 6:
        _tcp(packet, body, headers, depth)
    elif packet.protocol == 17:
        _udp(packet, body, headers, depth)
    elif packet.protocol == 50 and len(body) >= 8:
        numbers = (("SPI", f"0x{body[:4].hex()}"), ("sequence", str(int.from_bytes(body[4:8]))))
        headers.append(Header("ESP", (*numbers, ("encrypted", f"{len(body) - 8} bytes")), depth))
    elif packet.icmp_type >= 0:
        _icmp(packet, body, headers, depth)


def _tcp(packet: Packet, body: bytes, headers: list[Header], depth: int) -> None:
    size = len(body) - (body[12] >> 4) * 4
    fields = [
        ("source port", str(packet.sport)), ("destination port", str(packet.dport)),
        ("flags", flag_text(packet.tcp_flags)), ("sequence", str(int.from_bytes(body[4:8]))),
        ("acknowledges", str(int.from_bytes(body[8:12])) if packet.tcp_flags & 0x10 else ""),
        ("window", str(int.from_bytes(body[14:16]))),
    ]  # fmt: skip
    headers.append(Header("TCP", tuple(pair for pair in fields if pair[1]), depth))
    _payload(body[len(body) - size :] if size > 0 else b"", headers, depth)


def _udp(packet: Packet, body: bytes, headers: list[Header], depth: int) -> None:
    payload = body[8:]
    ports = (("source port", str(packet.sport)), ("destination port", str(packet.dport)))
    headers.append(Header("UDP", (*ports, ("length", f"{int.from_bytes(body[4:6])} bytes")), depth))
    if is_vxlan(packet, payload) and not packet.more_fragments:
        headers.append(
            Header("VXLAN", (("VNI", str(int.from_bytes(payload[4:7]))), ("flags", "I (the VNI is valid)")), depth)
        )
        _frame(payload[8:], headers, depth + 1)
        return
    label = (
        dns_label(payload)
        if 53 in (packet.sport, packet.dport) or packet.dst[:1] == b"\x7f" or packet.src[:1] == b"\x7f"
        else ""
    )
    if label:
        headers.append(Header("DNS", (("message", label.removeprefix("DNS ")),), depth))
    else:
        _payload(payload, headers, depth)


def _icmp(packet: Packet, body: bytes, headers: list[Header], depth: int) -> None:
    fields = [("type", icmp_name(packet.family, packet.icmp_type, packet.icmp_code))]
    if (packet.family, packet.icmp_type) in {(4, 0), (4, 8), (6, 128), (6, 129)}:
        fields += [("identifier", str(int.from_bytes(body[4:6]))), ("sequence", str(int.from_bytes(body[6:8])))]
    headers.append(Header("ICMPv6" if packet.family == 6 else "ICMP", tuple(fields), depth))


def _payload(data: bytes, headers: list[Header], depth: int) -> None:
    if data:
        text = data[:_PREVIEW].decode("ascii", "replace")
        shown = "".join(letter if letter.isprintable() else "·" for letter in text)
        more = "…" if len(data) > _PREVIEW else ""
        headers.append(Header("data", (("length", f"{len(data)} bytes"), ("text", shown + more)), depth))
