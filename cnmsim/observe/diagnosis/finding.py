"""The closed list of verdicts on a probe, and the finding: one verdict, one cause, and the changes that may help.

*Refused* is a reply from a live host (a reset, or port unreachable), *unreachable* an ICMP error or a stack without a
route, *timeout* silence. The verdict follows from what the sender saw alone, never from what only the trace shows.
"""

from __future__ import annotations

from enum import Enum

from attrs import frozen

from cnmsim.observe.diagnosis.causes import Cause, Remark
from cnmsim.observe.diagnosis.sentences import advice, sentence
from cnmsim.observe.fixes.changes import Change
from cnmsim.observe.trace.hops import Hop


class Verdict(Enum):
    """What the sender of a probe saw in the end."""

    ANSWERED = "answered"  # a connection was established, a datagram or an echo request was answered
    DELIVERED = "delivered"  # a socket received the datagram and (as UDP programs may) sent nothing back
    REFUSED = "refused"  # RST or ICMP port unreachable: the path is open, no socket is bound
    UNREACHABLE = "unreachable"  # another ICMP error came back, or the sender's own stack had no route
    TIMEOUT = "timeout"  # silence
    NAME_NOT_FOUND = "name not found"  # only queries for the name were ever sent

    @property
    def is_reachable(self) -> bool:
        """Whether the destination received what was sent to it."""
        return self in {Verdict.ANSWERED, Verdict.DELIVERED}


@frozen
class Finding:
    """A verdict with the one fact that decided it.

    `changes` are alternatives that may help, the best first; `remarks` further facts; `hop` is where it was decided.
    `str(finding)` renders all of them.
    """

    verdict: Verdict
    cause: Cause
    changes: tuple[Change, ...] = ()
    remarks: tuple[Remark, ...] = ()
    hop: Hop | None = None

    @property
    def cause_text(self) -> str:
        """The cause as a sentence."""
        return sentence(self.cause)

    @property
    def fix(self) -> str:
        """The first changes as a sentence, "" if all is well."""
        return advice(self.changes)

    @property
    def remark_texts(self) -> tuple[str, ...]:
        """The remarks as sentences."""
        return tuple(sentence(remark) for remark in self.remarks)

    def __str__(self) -> str:
        lines = [f"{self.verdict.value}: {self.cause_text}"]
        lines += [f"fix: {self.fix}"] if self.changes else []
        return "\n".join([*lines, *(f"note: {remark}" for remark in self.remark_texts)])
