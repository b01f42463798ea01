"""The verdicts on a probe; there are no others.

*Refused* is a reply from a live host (RST or ICMP port unreachable), *unreachable* another ICMP error or an error of
the sender's own stack, *timeout* no reply at all. *Path open* is a refusal by a container whose program is not
simulated: the packets arrive, but it is not known on which ports the program listens. The verdict follows from what
the sender saw (`diagnose.verdict_of`); only *delivered*, and a refusal behind docker-proxy, are read from the trace.
"""

from __future__ import annotations

from enum import Enum

from cnmsim.kernel.events import DropReason

#: The drop reasons for which the kernel sends an RST or an ICMP error back.
REFUSALS = frozenset({DropReason.PORT_CLOSED, DropReason.NETFILTER_REJECT, DropReason.NO_DESTINATION})


class Verdict(Enum):
    """How the probe ended for its sender."""

    ANSWERED = "answered"  # a connection was established, a datagram or an echo request was answered
    DELIVERED = "delivered"  # a socket received the datagram and (as UDP programs may) sent nothing back
    REFUSED = "refused"  # RST or ICMP port unreachable: the path is open, no socket is bound
    UNREACHABLE = "unreachable"  # another ICMP error came back, or the sender's own stack had no route
    PATH_OPEN = "path open"  # the packets arrive at a program that is not simulated: its listeners are not known
    TIMEOUT = "timeout"  # nothing came back
    NAME_NOT_FOUND = "name not found"  # the name lookup returned no address, so nothing but DNS queries was sent

    @property
    def is_reachable(self) -> bool:
        """Whether the probe reached the destination: answered, delivered or path open."""
        return self in {Verdict.ANSWERED, Verdict.DELIVERED, Verdict.PATH_OPEN}
