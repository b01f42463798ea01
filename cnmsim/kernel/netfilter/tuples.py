"""Conntrack's key of a flow in one direction: protocol, addresses and ports (nf_conntrack_tuple).

For ICMP, as in Linux, the identifier stands in place of the source port, and the type and the code stand in place
of the destination port.
"""

from __future__ import annotations

from cnmsim.kernel.address import Address
from cnmsim.kernel.skbuff import Packet

#: (protocol, source, destination, source port or ICMP id, destination port or ICMP type << 8 | code)
ConntrackTuple = tuple[int, Address, Address, int, int]

#: ICMP queries and their replies; only queries create a connection.
_REPLIES4 = {8: 0, 0: 8, 13: 14, 14: 13, 15: 16, 16: 15, 17: 18, 18: 17}
_REPLIES6 = {128: 129, 129: 128}
REQUESTS = {1: frozenset({8, 13, 15, 17}), 58: frozenset({128})}
ERRORS = {1: frozenset({3, 4, 5, 11, 12}), 58: frozenset({1, 2, 3, 4})}
#: Messages of ND and MLD are never tracked (nf_conntrack_proto_icmpv6.c).
UNTRACKED_TYPES = frozenset({130, 131, 132, 133, 134, 135, 136, 137, 143})


def invert(key: ConntrackTuple) -> ConntrackTuple:
    """Return the tuple of the opposite direction.

    Source and destination are exchanged, and an ICMP query becomes its reply or a reply its query.
    """
    protocol, src, dst, first, second = key
    if protocol == 1 or protocol == 58:  # noqa: PLR1714 - the hot path
        replies = _REPLIES4 if protocol == 1 else _REPLIES6
        icmp_type = second >> 8
        return protocol, dst, src, first, replies.get(icmp_type, icmp_type) << 8 | second & 0xFF
    return protocol, dst, src, second, first


def icmp_tuple(protocol: int, src: Address, dst: Address, message: bytes) -> ConntrackTuple | None:
    """Return the tuple of `message`, an ICMP query or reply from `src` to `dst`; None for any other message."""
    replies = _REPLIES4 if protocol == 1 else _REPLIES6
    if len(message) < 8 or message[0] not in replies:
        return None
    return protocol, src, dst, int.from_bytes(message[4:6]), message[0] << 8 | message[1]


def packet_tuple(packet: Packet) -> ConntrackTuple | None:
    """Return the tuple of a packet, or None if it has none.

    An ICMP message has a tuple only if it is a query or a reply, a fragment only if it is the first one.
    """
    if packet.fragment_offset:
        return None
    if packet.protocol in {1, 58}:
        return icmp_tuple(packet.protocol, packet.src, packet.dst, packet.payload)
    return packet.protocol, packet.src, packet.dst, packet.sport, packet.dport


def quoted_header(family: int, quoted: bytes) -> tuple[int, int, Address, Address] | None:
    """Parse the IP header of the packet that an ICMP error quotes.

    Return its protocol, the offset of its transport header, its source and its destination. Return None if the header
    is incomplete, or if the packet is a fragment other than the first.
    """
    if family == 4:
        if len(quoted) < 20 or quoted[0] >> 4 != 4:
            return None
        size = (quoted[0] & 0xF) * 4
        if size < 20 or len(quoted) < size or int.from_bytes(quoted[6:8]) & 0x1FFF:
            return None
        return quoted[9], size, quoted[12:16], quoted[16:20]
    if len(quoted) < 40 or quoted[0] >> 4 != 6:
        return None
    following, at = quoted[6], 40
    while following in {0, 43, 60, 44} and at + 8 <= len(quoted):
        size = 8 if following == 44 else 8 + quoted[at + 1] * 8
        if following == 44 and int.from_bytes(quoted[at + 2 : at + 4]) & 0xFFF8:
            return None
        following = quoted[at]
        at += size
    return (following, at, quoted[8:24], quoted[24:40]) if at <= len(quoted) else None


def quoted_tuple(packet: Packet) -> ConntrackTuple | None:
    """Return the tuple of the packet that an ICMP error quotes, or None if too little of it is quoted."""
    quoted = packet.data[packet.l4 + 8 :]
    header = quoted_header(packet.family, quoted)
    if header is None:
        return None
    protocol, at, src, dst = header
    if protocol in {1, 58}:
        return icmp_tuple(protocol, src, dst, quoted[at:])
    if protocol in {6, 17, 132, 33, 136}:
        if len(quoted) < at + 4:
            return None
        return protocol, src, dst, int.from_bytes(quoted[at : at + 2]), int.from_bytes(quoted[at + 2 : at + 4])
    return protocol, src, dst, 0, 0
