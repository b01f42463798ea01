"""Causes of a failed probe that no drop in the trace explains by itself."""

from __future__ import annotations

from attrs import frozen

from cnmsim.observe.diagnosis.causes.base import Cause


@frozen
class DroppedWithError(Cause):
    """A packet was dropped for `cause`, and the machine `reporter` sent the source of the probe an ICMP error."""

    cause: Cause
    reporter: str
    packet: str


@frozen
class IcmpErrorReceived(Cause):
    """The probe's source received an ICMP error from `reporter`, and the trace has no drop that explains it."""

    reporter: str
    packet: str


@frozen
class StackError(Cause):
    """The network stack of the probe's source returned an error to the program that made the probe."""

    source: str
    error: str


@frozen
class ReceivedWithoutReply(Cause):
    """The request of the probe was delivered on `place`, but no reply was sent."""

    place: str


@frozen
class NothingAnswered(Cause):
    """Nothing answered the probe, and no drop was recorded.

    `where` and `what` are the place and the event of the trace's last hop as text; both are "" if the trace has no
    hop.
    """

    endpoint: str
    where: str
    what: str


@frozen
class OtherMachinesAddress(Cause):
    """Another machine on the network of the probe's source has the target's address and answered in its place."""

    source: str
    address: str
    target: str
