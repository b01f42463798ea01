"""Summarize a frame or packet.

A summary has the label, the addresses and the kind of a packet, and a key (`walk`) for its whole path. The key
consists of bytes that NAT, routers and tunnels do not change. All hops of one packet, from the sender to the place
where it ends, therefore have the same key.
"""

from __future__ import annotations

from collections.abc import Hashable
from functools import lru_cache

from attrs import evolve, frozen

from cnmsim.kernel.address import Address, format_endpoint, format_ip, format_mac
from cnmsim.kernel.packet import MalformedPacketError, flag_text, icmp_name
from cnmsim.kernel.skbuff import Packet
from cnmsim.kernel.transport import ARP_REQUEST, ArpMessage

#: ICMPv6 types of router and neighbour discovery (RFC 4861) and MLD (RFC 2710, RFC 3810).
_LINK_ICMPV6 = frozenset({130, 131, 132, 133, 134, 135, 136, 143})
_ICMP4_ERRORS = frozenset({3, 4, 5, 11, 12})
_ICMP6_ERRORS = frozenset({1, 2, 3, 4})
_DNS_PORT = 53
_VXLAN_PORT = 4789
#: The Ethernet types of frames in a tunnel: IPv4, ARP, IPv6, 802.1Q.
_INNER = frozenset({0x0800, 0x0806, 0x86DD, 0x8100})
_ESP = 50
_EMBEDDED_RESOLVER = bytes((127, 0, 0, 11))


@frozen
class Layer4:
    """The kind of a packet, from its transport header.

    `protocol` is `tcp`, `udp`, `icmp`, `icmp6`, `arp`, `esp`, `ip` (any other), `ethernet`, `malformed`, or `note`
    for an event without a packet. `payload_bytes` is the number of bytes after a TCP or UDP header. `icmp_type` and
    `icmp_code` are -1 without an ICMP header. `is_link` is True for packets that serve the link only: ARP, neighbour
    and router discovery, MLD.
    """

    protocol: str
    tcp_flags: int = 0
    icmp_type: int = -1
    icmp_code: int = -1
    is_dns: bool = False
    is_dns_reply: bool = False
    payload_bytes: int = 0
    is_link: bool = False

    @property
    def is_syn(self) -> bool:
        """Whether the message is a TCP SYN."""
        return self.protocol == "tcp" and self.tcp_flags & 0x17 == 0x02

    @property
    def is_syn_ack(self) -> bool:
        """Whether the message is a TCP SYN-ACK."""
        return self.protocol == "tcp" and self.tcp_flags & 0x17 == 0x12

    @property
    def is_rst(self) -> bool:
        """Whether the message is a TCP RST."""
        return self.protocol == "tcp" and bool(self.tcp_flags & 0x04)

    @property
    def is_echo_request(self) -> bool:
        """Whether the message is an ICMP echo request (ping), for IPv4 or IPv6."""
        return (self.protocol, self.icmp_type) in {("icmp", 8), ("icmp6", 128)}

    @property
    def is_echo_reply(self) -> bool:
        """Whether the message is an ICMP echo reply, for IPv4 or IPv6."""
        return (self.protocol, self.icmp_type) in {("icmp", 0), ("icmp6", 129)}

    @property
    def is_icmp_error(self) -> bool:
        """Whether the message is an ICMP error about another packet."""
        return self.icmp_type in {"icmp": _ICMP4_ERRORS, "icmp6": _ICMP6_ERRORS}.get(self.protocol, ())

    @property
    def is_unreachable(self) -> bool:
        """Whether the message is an ICMP destination unreachable, with any code."""
        return (self.protocol, self.icmp_type) in {("icmp", 3), ("icmp6", 1)}


@frozen
class PacketSummary:
    """The summary of one frame or packet.

    `label` names the packet (`TCP SYN`, `DNS A? db`), `addresses` is its source and destination as text. `walk` is a
    key that is the same at every hop of the packet. For a packet in a VXLAN tunnel, the addresses are those of the
    outer header, and `layer4` describes the inner packet.
    """

    label: str
    addresses: str
    walk: Hashable
    layer4: Layer4
    src: Address | None = None
    dst: Address | None = None
    sport: int = 0
    dport: int = 0
    src_mac: bytes = b""
    dst_mac: bytes = b""


@lru_cache(maxsize=4096)
def summarize(data: bytes, *, is_frame: bool) -> PacketSummary:
    """Summarize an Ethernet frame, or an IP packet if `is_frame` is False.

    For malformed bytes, the label says that they are malformed.
    """
    try:
        return _read_frame(data) if is_frame else _read_packet(data)
    except (MalformedPacketError, IndexError) as error:
        return PacketSummary(f"malformed ({error})", "", ("bytes", data), Layer4("malformed"))


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
        inner = PacketSummary(f"Ethernet type 0x{kind:04x}", text, ("frame", body), Layer4("ethernet", is_link=True))
    return PacketSummary(
        tags + inner.label, inner.addresses, inner.walk, inner.layer4, inner.src, inner.dst, inner.sport,
        inner.dport, *macs,
    )  # fmt: skip


def _read_arp(body: bytes) -> PacketSummary:
    arp = ArpMessage.parse(body)
    sender, target = format_ip(arp.sender_ip), format_ip(arp.target_ip)
    if arp.operation == ARP_REQUEST:
        label = f"ARP who has {target}" if sender != target else f"ARP announces {sender}"
    else:
        label = f"ARP {sender} is at {format_mac(arp.sender_mac)}"
    walk = ("arp", arp.operation, arp.sender_ip, arp.target_ip)
    return PacketSummary(
        label, f"{sender} > {target}", walk, Layer4("arp", is_link=True), arp.sender_ip, arp.target_ip
    )


def _read_packet(data: bytes) -> PacketSummary:
    packet = Packet(data)
    src, dst = format_ip(packet.src), format_ip(packet.dst)
    if packet.fragment_offset:
        walk: Hashable = ("fragment", packet.identification, packet.fragment_offset, packet.payload)
        return PacketSummary(
            f"fragment at {packet.fragment_offset}", f"{src} > {dst}", walk, Layer4("ip"), packet.src, packet.dst
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
            f"ESP 0x{spi:08x} number {number}", f"{src} > {dst}", walk, Layer4("esp"), packet.src, packet.dst
        )
    walk = ("ip", packet.protocol, packet.payload)
    return PacketSummary(
        f"IP protocol {packet.protocol}", f"{src} > {dst}", walk, Layer4("ip"), packet.src, packet.dst
    )


def endpoint_text(address: Address, port: int) -> str:
    """Format an address and a port, e.g. `10.0.0.2:80` or `[fd00::2]:80`; a port of 0 is omitted (`10.0.0.2`)."""
    return format_endpoint(address, port) if port else format_ip(address)


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
    return _transport(packet, label, walk, Layer4("tcp", flags, payload_bytes=size))


def _transport(packet: Packet, label: str, walk: Hashable, layer4: Layer4) -> PacketSummary:
    addresses = _with_ports(packet)
    return PacketSummary(label, addresses, walk, layer4, packet.src, packet.dst, packet.sport, packet.dport)


def is_vxlan(packet: Packet, payload: bytes) -> bool:
    """Return True if a UDP datagram is VXLAN; `payload` is the content of the datagram.

    VXLAN is recognised by the port or, because a swarm may use another port, by its header. Source: RFC 7348 section
    5.
    """
    if len(payload) <= 22 or not payload[0] & 0x08:
        return False
    looks_so = payload[:4] == b"\x08\x00\x00\x00" and payload[7] == 0
    return packet.dport == _VXLAN_PORT or (looks_so and int.from_bytes(payload[20:22]) in _INNER)


def _read_udp(packet: Packet) -> PacketSummary:
    payload = packet.payload[8:]
    if is_vxlan(packet, payload):
        vni = int.from_bytes(payload[4:7])
        if packet.more_fragments:
            return _transport(packet, f"VXLAN {vni}, first fragment", ("vxlan", payload), Layer4("udp"))
        inner = _read_frame(payload[8:])
        return _transport(packet, f"VXLAN {vni} | {inner.label}", inner.walk, inner.layer4)
    if _DNS_PORT in (packet.sport, packet.dport) or _EMBEDDED_RESOLVER in (packet.src, packet.dst):
        label = dns_label(payload)
        if label:
            is_reply = bool(payload[2] & 0x80)
            return _transport(
                packet,
                label,
                ("dns", payload),
                Layer4("udp", is_dns=True, is_dns_reply=is_reply, payload_bytes=len(payload)),
            )
    return _transport(
        packet, f"UDP {len(payload)} bytes", ("udp", payload), Layer4("udp", payload_bytes=len(payload))
    )


def _read_icmp(packet: Packet) -> PacketSummary:
    body = packet.payload
    label = icmp_name(packet.family, packet.icmp_type, packet.icmp_code)
    addresses = f"{format_ip(packet.src)} > {format_ip(packet.dst)}"
    is_v6 = packet.family == 6
    protocol = "icmp6" if is_v6 else "icmp"
    layer4 = Layer4(protocol, icmp_type=packet.icmp_type, icmp_code=packet.icmp_code)
    if packet.icmp_type in (_ICMP6_ERRORS if is_v6 else _ICMP4_ERRORS):
        quoted = body[8:]
        inner_l4 = 40 if is_v6 else (quoted[0] & 0xF) * 4 if quoted else 0
        # The four bytes after the ports (a TCP sequence number, or a UDP length and checksum) identify the packet
        # that the error quotes.
        walk: Hashable = ("icmp-error", packet.icmp_type, packet.icmp_code, quoted[inner_l4 + 4 : inner_l4 + 8])
        return PacketSummary(label, addresses, walk, layer4, packet.src, packet.dst)
    if is_v6 and packet.icmp_type in _LINK_ICMPV6:
        walk = ("nd", packet.icmp_type, packet.src, body[8:24])
        if packet.icmp_type in (135, 136) and len(body) >= 24:
            label += f" {format_ip(body[8:24])}"
        return PacketSummary(label, addresses, walk, evolve(layer4, is_link=True), packet.src, packet.dst)
    # The identifier is not part of the key: NAT may change it.
    walk = (protocol, packet.icmp_type, packet.icmp_code, body[6:])
    return PacketSummary(label, addresses, walk, layer4, packet.src, packet.dst)


def dns_label(message: bytes) -> str:
    """Return a label for a DNS message, e.g. `DNS A? db` or `DNS A db = 10.0.0.2`; "" if it is not a DNS message."""
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
    text = f"{dns.rdatatype.to_text(question.rdtype)} {name}"
    if not parsed.flags & 0x8000:
        return f"DNS {dns.rdatatype.to_text(question.rdtype)}? {name}"
    records = [item.to_text() for rrset in parsed.answer if rrset.rdtype == question.rdtype for item in rrset]
    if records:
        return f"DNS {text} = {', '.join(records)}"
    code = parsed.rcode()
    return f"DNS {text}: {'no such record' if code == 0 else dns.rcode.to_text(code)}"
