"""IP packets as bytes: protocol numbers, the names of messages, and the builder of IPv4 and IPv6 packets.

`skbuff.Packet` is a packet on its way through a network stack.
"""

from __future__ import annotations

from enum import IntEnum
from struct import Struct

from cnmsim.kernel.address import Address
from cnmsim.kernel.checksum import checksum


class Protocol(IntEnum):
    """IP protocol numbers that the simulated kernel handles or names."""

    ICMP = 1
    TCP = 6
    UDP = 17
    ESP = 50
    ICMPV6 = 58
    SCTP = 132


class MalformedPacketError(ValueError):
    """Error: bytes are not a valid packet of their protocol. The message contains the reason."""


TCP_FIN, TCP_SYN, TCP_RST, TCP_PSH, TCP_ACK, TCP_URG = 1, 2, 4, 8, 16, 32
#: The ICMP type and code of each error that routers and hosts send, by family.
NO_ROUTE = {4: (3, 0), 6: (1, 0)}
ADDRESS_UNREACHABLE = {4: (3, 1), 6: (1, 3)}
PORT_UNREACHABLE = {4: (3, 3), 6: (1, 4)}
PROHIBITED = {4: (3, 13), 6: (1, 1)}
TOO_BIG = {4: (3, 4), 6: (2, 0)}
HOP_LIMIT_EXCEEDED = {4: (11, 0), 6: (3, 0)}
REASSEMBLY_EXCEEDED = {4: (11, 1), 6: (3, 1)}

_IPV4 = Struct("!BBHHHBBH4s4s")
_IPV6 = Struct("!IHBB16s16s")


def flag_text(flags: int) -> str:
    """Format TCP flags as tcpdump does: `S` for a SYN, `S.` for SYN and ACK, and so on."""
    letters = "".join(
        letter for bit, letter in ((2, "S"), (1, "F"), (4, "R"), (8, "P"), (32, "U"), (16, ".")) if flags & bit
    )
    return letters or "none"


_ICMP4_NAMES = {
    (0, None): "ICMP echo reply", (8, None): "ICMP echo request", (5, None): "ICMP redirect",
    (3, 0): "ICMP network unreachable", (3, 1): "ICMP host unreachable", (3, 2): "ICMP protocol unreachable",
    (3, 3): "ICMP port unreachable", (3, 4): "ICMP fragmentation needed", (3, 9): "ICMP network prohibited",
    (3, 10): "ICMP host prohibited", (3, 13): "ICMP administratively prohibited",
    (11, 0): "ICMP time exceeded", (11, 1): "ICMP reassembly time exceeded",
}  # fmt: skip
_ICMP6_NAMES = {
    (128, None): "ICMPv6 echo request", (129, None): "ICMPv6 echo reply", (133, None): "ICMPv6 router solicitation",
    (134, None): "ICMPv6 router advertisement", (135, None): "ICMPv6 neighbour solicitation",
    (136, None): "ICMPv6 neighbour advertisement", (1, 0): "ICMPv6 no route", (1, 1): "ICMPv6 prohibited",
    (1, 3): "ICMPv6 address unreachable", (1, 4): "ICMPv6 port unreachable", (2, 0): "ICMPv6 packet too big",
    (3, 0): "ICMPv6 time exceeded",
}  # fmt: skip


def icmp_name(family: int, icmp_type: int, code: int) -> str:
    """Return the name of an ICMP or ICMPv6 message, or its type and code as numbers if it has no common name."""
    names = _ICMP6_NAMES if family == 6 else _ICMP4_NAMES
    name = names.get((icmp_type, code)) or names.get((icmp_type, None))
    return name or f"ICMP{'v6' if family == 6 else ''} type {icmp_type} code {code}"


def build_ip(
    protocol: int,
    src: Address,
    dst: Address,
    payload: bytes,
    *,
    ttl: int = 64,
    tos: int = 0,
    identification: int = 0,
    dont_fragment: bool = True,
) -> bytes:
    """Build an IP packet around the transport message `payload`. The length of the addresses selects IPv4 or IPv6.

    `ttl` is the hop limit in IPv6. `identification` and `dont_fragment` are used only in IPv4. Raises `ValueError` if
    the packet would be longer than 65,535 bytes.
    """
    if len(src) == 16:
        if len(payload) > 65535:
            raise ValueError("packet longer than 65535 bytes")
        return _IPV6.pack(0x60000000 | tos << 20, len(payload), protocol, ttl, src, dst) + payload
    total = 20 + len(payload)
    if total > 65535:
        raise ValueError("packet longer than 65535 bytes")
    flags = 0x4000 if dont_fragment else 0
    head = _IPV4.pack(0x45, tos, total, identification, flags, ttl, protocol, 0, src, dst)
    return head[:10] + checksum(head).to_bytes(2) + head[12:] + payload
