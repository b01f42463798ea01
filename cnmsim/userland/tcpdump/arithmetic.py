"""Arithmetic in filter expressions (pcap-filter(7)), such as `tcp[tcpflags] & tcp-syn != 0` or `len > 100`."""

from __future__ import annotations

import operator
from collections.abc import Callable
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from cnmsim.userland.tcpdump.primitives import CapturedFrame

#: A function that computes a number from a frame. It returns `None` if the frame does not contain the protocol.
Value = Callable[["CapturedFrame"], int | None]
Binary = Callable[[int, int], int]

CONSTANTS = {
    "tcpflags": 13, "tcp-fin": 1, "tcp-syn": 2, "tcp-rst": 4, "tcp-push": 8, "tcp-ack": 16, "tcp-urg": 32,
    "tcp-ece": 64, "tcp-cwr": 128, "icmptype": 0, "icmpcode": 1, "icmp-echoreply": 0, "icmp-unreach": 3,
    "icmp-sourcequench": 4, "icmp-redirect": 5, "icmp-echo": 8, "icmp-routeradvert": 9, "icmp-routersolicit": 10,
    "icmp-timxceed": 11, "icmp-paramprob": 12, "icmp-tstamp": 13, "icmp-tstampreply": 14, "icmp6type": 0,
    "icmp6code": 1, "icmp6-destinationunreach": 1, "icmp6-packettoobig": 2, "icmp6-timeexceeded": 3,
    "icmp6-parameterproblem": 4, "icmp6-echo": 128, "icmp6-echoreply": 129, "icmp6-multicastlistenerquery": 130,
    "icmp6-multicastlistenerreportv1": 131, "icmp6-multicastlistenerdone": 132, "icmp6-routersolicit": 133,
    "icmp6-routeradvert": 134, "icmp6-neighborsolicit": 135, "icmp6-neighboradvert": 136, "icmp6-redirect": 137,
    "icmp6-multicastlistenerreportv2": 143,
}  # fmt: skip
#: The protocols whose bytes an expression may index, and the IP protocol number of those that run over IP.
INDEXED = {
    "ether": None, "link": None, "ip": None, "ip6": None, "arp": None, "tcp": 6, "udp": 17, "icmp": 1, "icmp6": 58,
    "sctp": 132, "igmp": 2, "esp": 50, "ah": 51,
}  # fmt: skip
RELATIONS: dict[str, Callable[[int, int], bool]] = {
    "=": operator.eq, "==": operator.eq, "!=": operator.ne, ">": operator.gt, "<": operator.lt, ">=": operator.ge,
    "<=": operator.le,
}  # fmt: skip
_ETHERTYPES = {"ip": 0x0800, "ip6": 0x86DD, "arp": 0x0806}


class BeyondEndError(Exception):
    """A filter reads a byte beyond the end of a frame, or divides by 0.

    As in libpcap, the frame does not match then.
    """


def _quotient(one: int, other: int) -> int:
    if not other:
        raise BeyondEndError
    return one // other


def _remainder(one: int, other: int) -> int:
    if not other:
        raise BeyondEndError
    return one % other


#: The operators, in rows of equal precedence from the weakest to the strongest.
OPERATORS: tuple[dict[str, Binary], ...] = (
    {"|": operator.or_, "^": operator.xor},
    {"&": operator.and_},
    {"<<": lambda one, other: one << other & 0xFFFFFFFF if other < 32 else 0, ">>": operator.rshift},
    {"+": lambda one, other: one + other & 0xFFFFFFFF, "-": lambda one, other: one - other & 0xFFFFFFFF},
    {"*": lambda one, other: one * other & 0xFFFFFFFF, "/": _quotient, "%": _remainder},
)


def combined(one: Value, other: Value, combine: Binary) -> Value:
    """Return the function that applies `combine` to what the functions `one` and `other` return for the same frame.

    It returns `None` for a frame for which `one` or `other` returns `None`.
    """

    def value(captured: CapturedFrame) -> int | None:
        first, second = one(captured), other(captured)
        return None if first is None or second is None else combine(first, second)

    return value


def constant(number: int) -> Value:
    """Return a `Value` that has the value `number` for every frame."""
    return lambda _: number


def _part(captured: CapturedFrame, protocol: str) -> bytes | None:
    """Return the bytes of the frame that `PROTOCOL[OFFSET]` indexes, from the header of the protocol on.

    Return `None` if the frame does not contain the protocol.
    """
    if protocol in ("ether", "link"):
        return captured.frame
    if protocol in _ETHERTYPES:
        return captured.payload if captured.ethertype == _ETHERTYPES[protocol] else None
    packet, number = captured.packet, INDEXED[protocol]
    if packet is None or packet.protocol != number or packet.fragment_offset:
        return None
    # For IPv6 the filter language supports only `icmp6[…]`.
    if (packet.family == 6) != (protocol == "icmp6"):
        return None
    return packet.payload


def load(protocol: str, offset: Value, size: int) -> Value:
    """Return a `Value` for `protocol[offset:size]`: `size` bytes of a frame, read as a number.

    It raises `BeyondEndError` for a frame that is too short, and is `None` for one without the protocol.
    """

    def value(captured: CapturedFrame) -> int | None:
        at, part = offset(captured), _part(captured, protocol)
        if at is None or part is None:
            return None
        if at + size > len(part):
            raise BeyondEndError
        return int.from_bytes(part[at : at + size])

    return value
