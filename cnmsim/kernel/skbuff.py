"""An IP packet on its way through one network stack: wire bytes and the metadata of Linux's `struct sk_buff`.

`data` is immutable and always holds exactly the bytes on the wire; the header attributes are parsed from it once. A
change (TTL, NAT) creates new bytes with incrementally updated checksums. A `Packet` belongs to one traversal of one
stack; only its bytes cross a device.
"""

from __future__ import annotations

from enum import Enum
from struct import Struct
from typing import TYPE_CHECKING

from cnmsim.kernel.address import Address, format_ip
from cnmsim.kernel.checksum import update
from cnmsim.kernel.packet import MalformedPacketError, Protocol, flag_text, icmp_name

if TYPE_CHECKING:
    from cnmsim.kernel.device import Device
    from cnmsim.kernel.netfilter.connection import Connection
    from cnmsim.kernel.offload.flow_cache import FlowRecorder
    from cnmsim.kernel.xfrm.state import XfrmState

_IPV4 = Struct("!BBHHHBBH4s4s")
_IPV6 = Struct("!IHBB16s16s")
_PORTS = Struct("!HH")
_PLAIN = Struct("!8xBB2x4s4sHH")
_TTL = Struct("!BBH")
_CHECKSUM_AT = {Protocol.TCP: 16, Protocol.UDP: 6, Protocol.ICMPV6: 2}
_IPV6_EXTENSIONS = (0, 43, 60)


class CtState(Enum):
    """The conntrack state of a packet, with the names of iptables' `--ctstate`."""

    NEW = "NEW"
    ESTABLISHED = "ESTABLISHED"
    RELATED = "RELATED"
    INVALID = "INVALID"
    UNTRACKED = "UNTRACKED"


class Packet:
    """One IPv4 or IPv6 packet and its metadata.

    Headers: `l4` is the offset of the transport header in `data`. `sport` and `dport` are 0 for protocols without
    ports and for fragments other than the first; for ICMP, `icmp_type` and `icmp_code` apply instead.

    Metadata: `nexthop` is the address of the next hop, a gateway or the destination itself. `secpath` lists the IPsec
    states that decrypted the packet. `is_ipvs` is True once IPVS has processed the packet. If `frag_max_size` is not
    0, it limits the size of the packet's fragments in bytes, regardless of DF: to the path MTU, or to the longest
    fragment of which the packet was reassembled.

    `recording` collects the decisions about the packet for the flow cache. A decision that depends on more than
    headers and versioned tables, or that has a side effect, sets it to `None`.
    """

    __slots__ = (
        "connection", "ct_reply", "ct_state", "data", "dport", "dst", "family", "frag_max_size",
        "fragment_offset", "indev", "is_ipvs", "l4", "mark", "more_fragments", "nexthop", "outdev",
        "physindev", "physoutdev", "protocol", "recording", "secpath", "sport", "src", "ttl",
    )  # fmt: skip

    data: bytes
    family: int
    protocol: int
    src: Address
    dst: Address
    ttl: int
    l4: int
    sport: int
    dport: int
    fragment_offset: int
    more_fragments: bool
    frag_max_size: int
    indev: Device | None
    outdev: Device | None
    nexthop: Address | None
    physindev: Device | None
    physoutdev: Device | None
    mark: int
    is_ipvs: bool
    connection: Connection | None
    ct_state: CtState | None
    ct_reply: bool
    recording: FlowRecorder | None
    secpath: tuple[XfrmState, ...]

    def __init__(self, data: bytes, indev: Device | None = None) -> None:
        """Parse the headers of `data`, which begins at the IP header, and cut off link-layer padding.

        `indev` is the device that received the packet, `None` for a packet of this host. Raises
        `MalformedPacketError` if lengths, version or the IPv4 header checksum are wrong.
        """
        self.indev = indev
        self.outdev = self.nexthop = self.physindev = self.physoutdev = None
        self.mark = self.frag_max_size = 0
        self.connection = None
        self.secpath = ()
        self.ct_state = self.recording = None
        self.ct_reply = self.is_ipvs = False
        if not data:
            raise MalformedPacketError("empty packet")
        version = data[0] >> 4
        if version == 4:
            self._read_ipv4(data)
        elif version == 6:
            self._read_ipv6(data)
        else:
            raise MalformedPacketError(f"IP version {version}")
        self._read_ports()

    @classmethod
    def outgoing(cls, data: bytes, protocol: int, src: Address, dst: Address, ttl: int) -> Packet:
        """Create a packet from `data`, the bytes that `build_ip` has just built, without parsing them again.

        The other arguments are those with which `build_ip` was called.
        """
        packet = object.__new__(cls)
        packet.data = data
        packet.protocol = protocol
        packet.src = src
        packet.dst = dst
        packet.ttl = ttl
        packet.family, packet.l4 = (4, 20) if len(src) == 4 else (6, 40)
        packet.fragment_offset = 0
        packet.more_fragments = False
        packet.indev = packet.outdev = packet.nexthop = packet.physindev = packet.physoutdev = None
        packet.mark = packet.frag_max_size = 0
        packet.connection = None
        packet.secpath = ()
        packet.ct_state = packet.recording = None
        packet.ct_reply = packet.is_ipvs = False
        packet._read_ports()
        return packet

    @classmethod
    def plain(cls, data: bytes, indev: Device) -> Packet:
        """Create a packet that the device `indev` received, without checking its bytes.

        `data` must be a valid unfragmented TCP or UDP packet over IPv4 without IP options.
        """
        packet = object.__new__(cls)
        packet.data = data
        packet.indev = indev
        packet.ttl, packet.protocol, packet.src, packet.dst, packet.sport, packet.dport = _PLAIN.unpack_from(data)
        packet.family, packet.l4 = 4, 20
        packet.outdev = packet.nexthop = packet.physindev = packet.physoutdev = None
        packet.mark = packet.frag_max_size = packet.fragment_offset = 0
        packet.connection = packet.ct_state = packet.recording = None
        packet.secpath = ()
        packet.more_fragments = packet.ct_reply = packet.is_ipvs = False
        return packet

    def _read_ipv4(self, data: bytes) -> None:
        if len(data) < 20:
            raise MalformedPacketError("truncated IPv4 header")
        first, _, total, _, fragment, self.ttl, self.protocol, _, self.src, self.dst = _IPV4.unpack_from(data)
        header = (first & 0xF) * 4
        if header < 20 or total < header or total > len(data):
            raise MalformedPacketError("IPv4 length field does not fit the packet")
        # The words of a valid header, its checksum included, sum to a multiple of 65535.
        if int.from_bytes(data[:header]) % 0xFFFF:
            raise MalformedPacketError("IPv4 header checksum is wrong")
        self.family = 4
        self.l4 = header
        self.fragment_offset = (fragment & 0x1FFF) * 8
        self.more_fragments = bool(fragment & 0x2000)
        self.data = data if total == len(data) else data[:total]

    def _read_ipv6(self, data: bytes) -> None:
        if len(data) < 40:
            raise MalformedPacketError("truncated IPv6 header")
        _, length, following, self.ttl, self.src, self.dst = _IPV6.unpack_from(data)
        total = 40 + length
        if total > len(data):
            raise MalformedPacketError("IPv6 length field does not fit the packet")
        self.family = 6
        self.fragment_offset = 0
        self.more_fragments = False
        self.data = data if total == len(data) else data[:total]
        at = 40
        while following in _IPV6_EXTENSIONS or following == 44:
            if at + 8 > total:
                raise MalformedPacketError("truncated IPv6 extension header")
            if following == 44:
                word = int.from_bytes(data[at + 2 : at + 4])
                self.fragment_offset = word & 0xFFF8
                self.more_fragments = bool(word & 1)
                size = 8
            else:
                size = 8 + data[at + 1] * 8
            following = data[at]
            at += size
            if self.fragment_offset:
                break
        if at > total:
            raise MalformedPacketError("truncated IPv6 extension header")
        self.protocol = following
        self.l4 = at

    def _read_ports(self) -> None:
        self.sport = self.dport = 0
        if self.protocol in (6, 17, 132) and not self.fragment_offset and len(self.data) >= self.l4 + 4:
            self.sport, self.dport = _PORTS.unpack_from(self.data, self.l4)

    def __repr__(self) -> str:
        return f"<Packet {self.summary()}>"

    @property
    def payload(self) -> bytes:
        """The transport message: everything after the IP headers."""
        return self.data[self.l4 :]

    @property
    def is_fragment(self) -> bool:
        """Whether the packet is a fragment of a larger packet."""
        return self.more_fragments or self.fragment_offset > 0

    @property
    def dont_fragment(self) -> bool:
        """Whether routers must not fragment the packet: the DF flag in IPv4, always in IPv6."""
        return self.family == 6 or bool(self.data[6] & 0x40)

    @property
    def identification(self) -> int:
        """The IPv4 identification field (0 in IPv6)."""
        return int.from_bytes(self.data[4:6]) if self.family == 4 else 0

    @property
    def icmp_type(self) -> int:
        """The ICMP or ICMPv6 type, -1 if the packet is not ICMP or is a fragment other than the first."""
        if self.protocol not in (1, 58) or self.fragment_offset or len(self.data) < self.l4 + 8:
            return -1
        return self.data[self.l4]

    @property
    def icmp_code(self) -> int:
        """The ICMP or ICMPv6 code, -1 if the packet is not ICMP or is a fragment other than the first."""
        return self.data[self.l4 + 1] if self.icmp_type >= 0 else -1

    @property
    def tcp_flags(self) -> int:
        """The TCP flag bits, 0 if the packet is not TCP."""
        if self.protocol != 6 or self.fragment_offset or len(self.data) < self.l4 + 14:
            return 0
        return self.data[self.l4 + 13]

    def copy(self) -> Packet:
        """Return a copy with the same bytes and metadata, without the recording."""
        twin = object.__new__(Packet)
        for name in Packet.__slots__:
            setattr(twin, name, getattr(self, name))
        twin.recording = None
        return twin

    def set_ttl(self, ttl: int) -> None:
        """Set the TTL or hop limit, and update the header checksum."""
        data = self.data
        if self.family == 6:
            self.data = data[:7] + bytes((ttl,)) + data[8:]
        else:
            # RFC 1624 equation 3 for the one byte that changes, the high one of its word.
            sum_ = ((data[10] << 8 | data[11]) + (data[8] - ttl << 8)) % 0xFFFF
            self.data = data[:8] + _TTL.pack(ttl, data[9], sum_) + data[12:]
        self.ttl = ttl

    def translate(
        self,
        src: Address | None = None,
        dst: Address | None = None,
        sport: int | None = None,
        dport: int | None = None,
    ) -> None:
        """Replace addresses or ports, as NAT does, and update the header and transport checksums.

        A port is ignored for protocols without ports and for fragments other than the first. A UDP checksum of zero
        over IPv4, which means that none was sent, stays zero.
        """
        data = self.data
        new_src, new_dst = src or self.src, dst or self.dst
        old_addresses, new_addresses = self.src + self.dst, new_src + new_dst
        l4 = self.l4
        if self.family == 4:
            sum_ = update(int.from_bytes(data[10:12]), old_addresses, new_addresses)
            head = data[:10] + sum_.to_bytes(2) + new_addresses + data[20:l4]
        else:
            head = data[:8] + new_addresses + data[40:l4]
        body = data[l4:]
        if not self.fragment_offset:
            body = self._translate_transport(body, old_addresses, new_addresses, sport, dport)
        self.data = head + body
        self.src, self.dst = new_src, new_dst
        self._read_ports()

    def _translate_transport(
        self, body: bytes, old_addresses: bytes, new_addresses: bytes, sport: int | None, dport: int | None
    ) -> bytes:
        old_ports = new_ports = b""
        if self.protocol in (6, 17, 132) and len(body) >= 4:
            old_ports = body[:4]
            new_ports = _PORTS.pack(self.sport if sport is None else sport, self.dport if dport is None else dport)
            body = new_ports + body[4:]
        at = _CHECKSUM_AT.get(self.protocol)  # type: ignore[call-overload]
        if at is None or len(body) < at + 2:
            return body
        old_sum = int.from_bytes(body[at : at + 2])
        if self.protocol == 17 and not old_sum and self.family == 4:
            return body
        new_sum = update(old_sum, old_addresses + old_ports, new_addresses + new_ports)
        if self.protocol == 17 and not new_sum:
            new_sum = 0xFFFF
        return body[:at] + new_sum.to_bytes(2) + body[at + 2 :]

    def replace_payload(self, payload: bytes) -> None:
        """Replace the transport message, and update the length and header checksum.

        The checksum of `payload` itself must be valid already.
        """
        data = self.data
        if self.family == 4:
            total = (self.l4 + len(payload)).to_bytes(2)
            sum_ = update(int.from_bytes(data[10:12]), data[2:4], total)
            self.data = data[:2] + total + data[4:10] + sum_.to_bytes(2) + data[12 : self.l4] + payload
        else:
            length = (self.l4 - 40 + len(payload)).to_bytes(2)
            self.data = data[:4] + length + data[6 : self.l4] + payload
        self._read_ports()

    def summary(self) -> str:
        """Return a one-line description in the style of tcpdump, such as `TCP 10.0.0.1:80 > 10.0.0.2:1025 [S.]`."""
        src, dst = format_ip(self.src), format_ip(self.dst)
        if self.protocol in (6, 17, 132) and not self.fragment_offset:
            name = Protocol(self.protocol).name
            if self.family == 6:
                src, dst = f"[{src}]", f"[{dst}]"
            flags = f" [{flag_text(self.tcp_flags)}]" if self.protocol == 6 else ""
            return f"{name} {src}:{self.sport} > {dst}:{self.dport}{flags}"
        if self.icmp_type >= 0:
            return f"{icmp_name(self.family, self.icmp_type, self.icmp_code)} {src} > {dst}"
        kind = f"fragment at {self.fragment_offset}" if self.fragment_offset else f"proto {self.protocol}"
        return f"{kind} {src} > {dst}"
