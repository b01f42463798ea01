"""Error numbers that sockets raise, and the error number that Linux assigns to each ICMP error."""

from __future__ import annotations

import errno

from attrs import field, frozen

from cnmsim.kernel.address import Address
from cnmsim.kernel.errno_text import message
from cnmsim.kernel.skbuff import Packet


def os_error(number: int) -> OSError:
    """Return the `OSError` for an error number, with Linux's error message.

    Python chooses the matching subclass, e.g. `ConnectionRefusedError` for ECONNREFUSED.
    """
    return OSError(number, message(number))


@frozen
class IcmpErrorInfo:
    """An ICMP or ICMPv6 error that quotes a packet sent from this namespace.

    `src`, `dst`, `sport` and `dport` are those of the quoted packet. `reporter` is the sender of the error, `info`
    its MTU field (0 if it has none). `quoted` is the quoted packet from its transport header on. `packet` is the
    packet that contains the error.
    """

    family: int
    protocol: int
    src: Address
    dst: Address
    sport: int
    dport: int
    icmp_type: int
    code: int
    reporter: Address
    info: int = 0
    quoted: bytes = b""
    packet: Packet | None = field(default=None, eq=False, repr=False)

    @property
    def is_packet_too_big(self) -> bool:
        """Whether the error reports that the packet exceeds the path MTU (RFC 1191, RFC 8201)."""
        return (self.family, self.icmp_type, self.code) == (4, 3, 4) or (self.family, self.icmp_type) == (6, 2)


class QueuedError(OSError):
    """Raised by sockets with `recverr` when they received an ICMP error (IP_RECVERR, ip(7)).

    `errno` is the corresponding error number, `info` describes the ICMP error.
    """

    def __init__(self, number: int, info: IcmpErrorInfo) -> None:
        super().__init__(number, message(number))
        self.info = info


# By ICMP code: (error number, whether the error is hard). Source: icmp_err_convert in net/ipv4/icmp.c,
# icmpv6_err_convert in net/ipv6/icmp.c. A soft error does not end a connection; it becomes the reason of a later
# timeout.
_UNREACHABLE4 = {
    0: (errno.ENETUNREACH, False), 1: (errno.EHOSTUNREACH, False), 2: (errno.ENOPROTOOPT, True),
    3: (errno.ECONNREFUSED, True), 4: (errno.EMSGSIZE, False), 5: (errno.EOPNOTSUPP, False),
    6: (errno.ENETUNREACH, True), 7: (errno.EHOSTDOWN, True), 8: (errno.ENONET, True),
    9: (errno.ENETUNREACH, True), 10: (errno.EHOSTUNREACH, True), 11: (errno.ENETUNREACH, False),
    12: (errno.EHOSTUNREACH, False), 13: (errno.EHOSTUNREACH, True), 14: (errno.EHOSTUNREACH, True),
    15: (errno.EHOSTUNREACH, True),
}  # fmt: skip
_UNREACHABLE6 = {
    0: (errno.ENETUNREACH, False), 1: (errno.EACCES, True), 2: (errno.EHOSTUNREACH, False),
    3: (errno.EHOSTUNREACH, False), 4: (errno.ECONNREFUSED, True), 5: (errno.EACCES, True), 6: (errno.EACCES, True),
}  # fmt: skip
_OTHERS4 = {11: (errno.EHOSTUNREACH, False), 12: (errno.EPROTO, True)}
_OTHERS6 = {2: (errno.EMSGSIZE, False), 3: (errno.EHOSTUNREACH, False), 4: (errno.EPROTO, True)}


def icmp_errno(family: int, icmp_type: int, code: int) -> tuple[int, bool] | None:
    """Return the error number that sockets raise for an ICMP error, and True if the error is hard.

    A hard error ends a connection. An error that is not hard does not; it becomes the reason of a later timeout.
    Return `None` if sockets ignore the ICMP error.
    """
    if family == 4:
        return _UNREACHABLE4.get(code) if icmp_type == 3 else _OTHERS4.get(icmp_type)
    return _UNREACHABLE6.get(code) if icmp_type == 1 else _OTHERS6.get(icmp_type)
