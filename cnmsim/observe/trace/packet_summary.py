"""What an engineer reads off the bytes of one frame or packet: a label, the addresses, and which walk it belongs to.

A *walk* is the way of one message from its sender to its end. Its key is made of what neither NAT, nor a router, nor
a tunnel changes, so that the hops of one message stay together however its addresses are rewritten.
"""

from __future__ import annotations

from collections.abc import Hashable
from functools import lru_cache

from attrs import frozen

from cnmsim.kernel.address import Address, format_ip, format_mac
from cnmsim.kernel.packet import MalformedPacketError, flag_text, icmp_name
from cnmsim.kernel.skbuff import Packet
from cnmsim.kernel.transport import ARP_REQUEST, ArpMessage

#: ICMPv6 types that only keep a link going: router and neighbour discovery (RFC 4861), MLD (RFC 2710, RFC 3810).
_LINK_ICMPV6 = frozenset({130, 131, 132, 133, 134, 135, 136, 143})
_ICMP4_ERRORS = frozenset({3, 4, 5, 11, 12})
_ICMP6_ERRORS = frozenset({1, 2, 3, 4})
_DNS_PORT = 53
_VXLAN_PORT = 4789
#: What a tunnel's frames carry: IPv4, ARP, IPv6, 802.1Q.
_INNER = frozenset({0x0800, 0x0806, 0x86DD, 0x8100})
_ESP = 50
_EMBEDDED_RESOLVER = bytes((127, 0, 0, 11))


@frozen
class PacketSummary:
    """One frame or packet as people read it.

    `label` names the message ("TCP SYN", "DNS A? db"), `addresses` who sends to whom as the bytes say at this point.
    `is_link` marks what only serves the link itself (ARP, neighbour discovery), `is_error` an ICMP error.
    """

    label: str
    addresses: str
    walk: Hashable
    protocol: str
    src: Address | None = None
    dst: Address | None = None
    sport: int = 0
    dport: int = 0
    is_link: bool = False
    is_error: bool = False
    src_mac: bytes = b""
    dst_mac: bytes = b""


@lru_cache(maxsize=4096)
def summarize(data: bytes, *, is_frame: bool) -> PacketSummary:
    """Read an Ethernet frame, or with `is_frame=False` an IP packet. Never fails: odd bytes are labelled so."""
    try:
        return _read_frame(data) if is_frame else _read_packet(data)
    except (MalformedPacketError, IndexError) as error:
        return PacketSummary(f"malformed ({error})", "", ("bytes", data), "malformed")


def _read_frame(data: bytes) -> PacketSummary:
    if len(data) < 14:
        raise MalformedPacketError("truncated Ethernet header")
    at, tags = 12, ""
    kind = int.from_bytes(data[12:14])
    while kind in (0x8100, 0x88A8) and len(data) >= at + 6:
        tags += f"VLAN {int.from_bytes(data[at + 2 : at + 4]) & 0xFFF} "
        at += 4
        kind = int.from_bytes(data[at : at + 2])
    body, macs = data[at + 2 :], (data[6:12], data[:6])
    if kind == 0x0806:
        inner = _read_arp(body)
    elif kind in (0x0800, 0x86DD):
        inner = _read_packet(body)
    else:
        text = f"{format_mac(macs[0])} > {format_mac(macs[1])}"
        inner = PacketSummary(f"Ethernet type 0x{kind:04x}", text, ("frame", body), "ethernet", is_link=True)
    return PacketSummary(
        tags + inner.label, inner.addresses, inner.walk, inner.protocol, inner.src, inner.dst, inner.sport,
        inner.dport, inner.is_link, inner.is_error, *macs,
    )  # fmt: skip


def _read_arp(body: bytes) -> PacketSummary:
    arp = ArpMessage.parse(body)
    sender, target = format_ip(arp.sender_ip), format_ip(arp.target_ip)
    if arp.operation == ARP_REQUEST:
        label = f"ARP who has {target}" if sender != target else f"ARP announces {sender}"
    else:
        label = f"ARP {sender} is at {format_mac(arp.sender_mac)}"
    walk = ("arp", arp.operation, arp.sender_ip, arp.target_ip)
    return PacketSummary(label, f"{sender} > {target}", walk, "arp", arp.sender_ip, arp.target_ip, is_link=True)


def _read_packet(data: bytes) -> PacketSummary:
    packet = Packet(data)
    src, dst = format_ip(packet.src), format_ip(packet.dst)
    if packet.fragment_offset:
        walk: Hashable = ("fragment", packet.identification, packet.fragment_offset, packet.payload)
        return PacketSummary(
            f"fragment at {packet.fragment_offset}", f"{src} > {dst}", walk, "ip", packet.src, packet.dst
        )
    if packet.protocol == 6:
        return _read_tcp(packet)
    if packet.protocol == 17:
        return _read_udp(packet)
    if packet.icmp_type >= 0:
        return _read_icmp(packet)
    if packet.protocol == _ESP and len(packet.payload) >= 8:
        spi, number = int.from_bytes(packet.payload[:4]), int.from_bytes(packet.payload[4:8])
        walk = ("esp", packet.dst, spi, number)
        return PacketSummary(
            f"ESP 0x{spi:08x} number {number}", f"{src} > {dst}", walk, "esp", packet.src, packet.dst
        )
    walk = ("ip", packet.protocol, packet.payload)
    return PacketSummary(f"IP protocol {packet.protocol}", f"{src} > {dst}", walk, "ip", packet.src, packet.dst)


def _with_ports(packet: Packet) -> str:
    src, dst = format_ip(packet.src), format_ip(packet.dst)
    if packet.family == 6:
        src, dst = f"[{src}]", f"[{dst}]"
    return f"{src}:{packet.sport} > {dst}:{packet.dport}"


def _read_tcp(packet: Packet) -> PacketSummary:
    body = packet.payload
    flags = packet.tcp_flags
    size = len(body) - (body[12] >> 4) * 4 if len(body) > 12 else 0
    names = {2: "SYN", 18: "SYN-ACK", 16: "ACK", 17: "FIN", 4: "RST", 20: "RST"}
    label = "TCP " + names.get(flags & 0x17, flag_text(flags)) + (f" with {size} bytes" if size > 0 else "")
    walk = ("tcp", body[4:12], flags, size)
    return _transport(packet, label, walk, "tcp")


def _transport(packet: Packet, label: str, walk: Hashable, protocol: str) -> PacketSummary:
    addresses = _with_ports(packet)
    return PacketSummary(label, addresses, walk, protocol, packet.src, packet.dst, packet.sport, packet.dport)


def is_vxlan(packet: Packet, payload: bytes) -> bool:
    """Whether a datagram is a tunnel's: by its port or, as a swarm's data path port may be another, by its looks (RFC 7348 §5)."""
    if len(payload) <= 22 or not payload[0] & 0x08:
        return False
    looks_so = payload[:4] == b"\x08\x00\x00\x00" and payload[7] == 0
    return packet.dport == _VXLAN_PORT or (looks_so and int.from_bytes(payload[20:22]) in _INNER)


def _read_udp(packet: Packet) -> PacketSummary:
    payload = packet.payload[8:]
    if is_vxlan(packet, payload):
        vni = int.from_bytes(payload[4:7])
        if packet.more_fragments:
            return _transport(packet, f"VXLAN {vni}, first fragment", ("vxlan", payload), "udp")
        inner = _read_frame(payload[8:])
        return _transport(packet, f"VXLAN {vni} | {inner.label}", inner.walk, inner.protocol)
    if _DNS_PORT in (packet.sport, packet.dport) or _EMBEDDED_RESOLVER in (packet.src, packet.dst):
        label = dns_label(payload)
        if label:
            return _transport(packet, label, ("dns", payload), "dns")
    return _transport(packet, f"UDP {len(payload)} bytes", ("udp", payload), "udp")


def _read_icmp(packet: Packet) -> PacketSummary:
    body = packet.payload
    label = icmp_name(packet.family, packet.icmp_type, packet.icmp_code)
    addresses = f"{format_ip(packet.src)} > {format_ip(packet.dst)}"
    is_v6 = packet.family == 6
    protocol = "icmp6" if is_v6 else "icmp"
    if packet.icmp_type in (_ICMP6_ERRORS if is_v6 else _ICMP4_ERRORS):
        quoted = body[8:]
        inner_l4 = 40 if is_v6 else (quoted[0] & 0xF) * 4 if quoted else 0
        # The first word behind the ports (a TCP sequence number, a UDP length) survives NAT.
        walk: Hashable = ("icmp-error", packet.icmp_type, packet.icmp_code, quoted[inner_l4 + 4 : inner_l4 + 8])
        return PacketSummary(label, addresses, walk, protocol, packet.src, packet.dst, is_error=True)
    if is_v6 and packet.icmp_type in _LINK_ICMPV6:
        walk = ("nd", packet.icmp_type, packet.src, body[8:24])
        if packet.icmp_type in (135, 136) and len(body) >= 24:
            label += f" {format_ip(body[8:24])}"
        return PacketSummary(label, addresses, walk, protocol, packet.src, packet.dst, is_link=True)
    # The identifier is left out: NAT may write another one.
    walk = (protocol, packet.icmp_type, packet.icmp_code, body[6:])
    return PacketSummary(label, addresses, walk, protocol, packet.src, packet.dst)


def dns_label(message: bytes) -> str:
    """Name a DNS message by its question, and its answer if it has one; "" if the bytes are no DNS message."""
    import dns.exception
    import dns.message
    import dns.rcode
    import dns.rdatatype

    try:
        parsed = dns.message.from_wire(message)
    except (dns.exception.DNSException, ValueError):
        return ""
    if not parsed.question:
        return ""
    question = parsed.question[0]
    name = question.name.to_text(omit_final_dot=True)
    asked = f"{dns.rdatatype.to_text(question.rdtype)} {name}"
    if not parsed.flags & 0x8000:
        return f"DNS {dns.rdatatype.to_text(question.rdtype)}? {name}"
    found = [item.to_text() for rrset in parsed.answer if rrset.rdtype == question.rdtype for item in rrset]
    if found:
        return f"DNS {asked} = {', '.join(found)}"
    code = parsed.rcode()
    return f"DNS {asked}: {'no such record' if code == 0 else dns.rcode.to_text(code)}"
