"""Causes of outcomes without a drop."""

from __future__ import annotations

from attrs import frozen

from cnmsim.observe.diagnosis.causes.base import Cause


@frozen
class DroppedWithError(Cause):
    """The packet was dropped for `cause`, and `reporter` reported that to the source with an ICMP error."""

    cause: Cause
    reporter: str
    packet: str


@frozen
class IcmpErrorReceived(Cause):
    """The source received an ICMP error from `reporter`, and the trace has no drop that explains it."""

    reporter: str
    packet: str


@frozen
class StackError(Cause):
    """The source's own network stack returned an error to the probe's program."""

    source: str
    error: str


@frozen
class ReceivedWithoutReply(Cause):
    """The request was delivered on `place`, but no reply was sent."""

    place: str


@frozen
class NothingAnswered(Cause):
    """Nothing answered the probe, and no drop was recorded.

    `where` and `what` are the place and the event of the last hop, "" if there was none.
    """

    endpoint: str
    where: str
    what: str


@frozen
class OtherMachinesAddress(Cause):
    """The intended target received nothing: on the source's network another machine has the address, and answered."""

    source: str
    address: str
    target: str
