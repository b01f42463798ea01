"""The closed list of verdicts on a probe, and the finding: one verdict, one cause, one fix.

*Refused* is an answer from a live host (a reset, or a port unreachable), *unreachable* is an ICMP error or a stack
that knew no way, *timeout* is silence. They are told apart by what the sender saw, never by what the trace knows.
"""

from __future__ import annotations

from enum import Enum

from attrs import frozen

from cnmsim.observe.trace.hops import Hop


class Verdict(Enum):
    """What the sender of a probe saw in the end."""

    ANSWERED = "answered"  # a connection came about, a datagram or an echo request was answered
    DELIVERED = "delivered"  # a socket took the datagram and (as UDP programs may) said nothing
    REFUSED = "refused"  # RST or ICMP port unreachable: the way is open, nobody takes it at its end
    UNREACHABLE = "unreachable"  # another ICMP error came back, or the sender's own stack knew no way
    TIMEOUT = "timeout"  # silence
    NAME_NOT_FOUND = "name not found"  # nothing but the question for the name was ever sent

    @property
    def is_reachable(self) -> bool:
        """Whether the other end got what was sent to it."""
        return self in {Verdict.ANSWERED, Verdict.DELIVERED}


@frozen
class Finding:
    """A verdict with the one fact that decided it.

    `cause` is one sentence that names the hop and the rule or table; `fix` one thing to do, "" if all is well;
    `remarks` are further facts worth knowing (a firewall rule that was never visited); `hop` is where it was decided.
    """

    verdict: Verdict
    cause: str
    fix: str = ""
    remarks: tuple[str, ...] = ()
    hop: Hop | None = None

    def __str__(self) -> str:
        lines = [f"{self.verdict.value}: {self.cause}"]
        lines += [f"fix: {self.fix}"] if self.fix else []
        return "\n".join([*lines, *(f"note: {remark}" for remark in self.remarks)])
