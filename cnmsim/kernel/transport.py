"""Transport messages as bytes: UDP (RFC 768), TCP (RFC 9293), ICMP (RFC 792), ICMPv6 (RFC 4443), ARP (RFC 826).

Each `…_message` function returns the bytes with the checksum filled in.
"""

from __future__ import annotations

from struct import Struct
from typing import NamedTuple

from cnmsim.kernel.address import Address, Mac
from cnmsim.kernel.checksum import checksum, transport_checksum
from cnmsim.kernel.packet import MalformedPacketError
from cnmsim.kernel.tcpoptions import read_options

_UDP = Struct("!HHHH")
_TCP = Struct("!HHIIBBHHH")
_ICMP = Struct("!BBH4s")
_ARP = Struct("!HHBBH6s4s6s4s")


def udp_message(src: Address, dst: Address, sport: int, dport: int, payload: bytes) -> bytes:
    """Build a UDP datagram from `src`:`sport` to `dst`:`dport`."""
    head = _UDP.pack(sport, dport, 8 + len(payload), 0)
    sum_ = transport_checksum(src, dst, 17, head + payload) or 0xFFFF
    return head[:6] + sum_.to_bytes(2) + payload


class TcpSegment(NamedTuple):
    """The fields of a TCP segment: sequence numbers and window as on the wire, options as raw bytes.

    One is created for every segment sent or received. It is a named tuple because creating one takes half as long as
    creating an object of a class with slots.
    """

    sport: int
    dport: int
    seq: int
    ack: int
    flags: int
    window: int
    options: bytes = b""
    payload: bytes = b""

    def to_wire(self, src: Address, dst: Address) -> bytes:
        """Return the segment as bytes, with the checksum for the addresses `src` and `dst`.

        Options are padded to a multiple of 4 bytes.
        """
        options = self.options + b"\0" * (-len(self.options) % 4)
        offset = (20 + len(options)) // 4 << 4
        head = _TCP.pack(self.sport, self.dport, self.seq, self.ack, offset, self.flags, self.window, 0, 0)
        message = head + options + self.payload
        sum_ = transport_checksum(src, dst, 6, message)
        return message[:16] + sum_.to_bytes(2) + message[18:]

    @classmethod
    def parse(cls, message: bytes) -> TcpSegment:
        """Parse a segment. Raises `MalformedPacketError` if it is truncated."""
        if len(message) < 20:
            raise MalformedPacketError("truncated TCP header")
        sport, dport, seq, ack, offset, flags, window, _, _ = _TCP.unpack_from(message)
        size = (offset >> 4) * 4
        if size < 20 or size > len(message):
            raise MalformedPacketError("TCP data offset does not fit the packet")
        return cls(sport, dport, seq, ack, flags, window, message[20:size], message[size:])

    @property
    def mss(self) -> int | None:
        """The value of the maximum segment size option, or `None` if the segment has no such option."""
        return read_options(self.options).mss


def icmp_message(icmp_type: int, code: int, rest: bytes = bytes(4), payload: bytes = b"") -> bytes:
    """Build an ICMP message; `rest` is the second word of its header (identifier and sequence, or an MTU)."""
    head = _ICMP.pack(icmp_type, code, 0, rest)
    return head[:2] + checksum(head + payload).to_bytes(2) + rest + payload


def icmpv6_message(
    src: Address, dst: Address, icmp_type: int, code: int, rest: bytes = bytes(4), payload: bytes = b""
) -> bytes:
    """Build an ICMPv6 message, with the checksum for the addresses `src` and `dst`.

    `rest` is the second word of its header (identifier and sequence, or an MTU).
    """
    head = _ICMP.pack(icmp_type, code, 0, rest)
    return head[:2] + transport_checksum(src, dst, 58, head + payload).to_bytes(2) + rest + payload


def icmp_of_family(
    src: Address, dst: Address, icmp_type: int, code: int, rest: bytes = bytes(4), payload: bytes = b""
) -> tuple[int, bytes]:
    """Build an ICMP message between IPv4 addresses, or an ICMPv6 message between IPv6 addresses.

    Return the protocol number (1 or 58) and the bytes of the message. `rest` is the second word of its header.
    """
    if len(dst) == 16:
        return 58, icmpv6_message(src, dst, icmp_type, code, rest, payload)
    return 1, icmp_message(icmp_type, code, rest, payload)


ARP_REQUEST, ARP_REPLY = 1, 2


class ArpMessage(NamedTuple):
    """An ARP message for IPv4 over Ethernet (RFC 826)."""

    operation: int
    sender_mac: Mac
    sender_ip: Address
    target_mac: Mac
    target_ip: Address

    def to_wire(self) -> bytes:
        """Return the 28 bytes of the message."""
        return _ARP.pack(
            1, 0x0800, 6, 4, self.operation, self.sender_mac, self.sender_ip, self.target_mac, self.target_ip
        )

    @classmethod
    def parse(cls, data: bytes) -> ArpMessage:
        """Parse a message. Raises `MalformedPacketError` if it is truncated or not for IPv4 over Ethernet."""
        if len(data) < 28:
            raise MalformedPacketError("truncated ARP message")
        hardware, protocol, hlen, plen, operation, *rest = _ARP.unpack_from(data)
        if (hardware, protocol, hlen, plen) != (1, 0x0800, 6, 4):
            raise MalformedPacketError("ARP for other than IPv4 over Ethernet")
        return cls(operation, *rest)
