"""Record, while a capture runs, whether each packet was delivered or dropped, and where."""

from __future__ import annotations

from collections.abc import Hashable
from typing import TYPE_CHECKING

from attrs import define, field

from cnmsim.kernel.events import Event, Step
from cnmsim.observe.trace.hops import Hop, hops_of
from cnmsim.observe.trace.packet_summary import summarize

if TYPE_CHECKING:
    from cnmsim.kernel.events import Observer


def delivery_text(hop: Hop) -> str:
    """Return the place and the receiver of a delivery, `hop`, as text: `web eth0, a new connection (httpd …)`."""
    return f"{hop.where}, {hop.what}" + (f" ({hop.decision})" if hop.decision else "")


def drop_text(hop: Hop) -> str:
    """Return the place and the reason of a drop, `hop`, as text.

    The text contains the rule or table entry that decided.
    """
    reason = hop.reason.value if hop.reason is not None else hop.what
    detail = hop.what if reason in hop.what else f"{hop.what}: {reason}" if hop.what else reason
    return f"dropped at {hop.where}: {detail}" + (f" ({hop.decision})" if hop.decision else "")


@define(eq=False)
class VerdictRecorder:
    """A kernel observer that records where packets are delivered or dropped.

    All events are also passed on to `outer`, another observer, unless `outer` is `None`.
    """

    outer: Observer | None = None
    _ends: dict[Hashable, list[tuple[int, Event]]] = field(factory=dict)

    def report(self, event: Event) -> None:
        """Record an event if it is a delivery or a drop. The kernel calls this for every event."""
        if event.step in {Step.DELIVERED, Step.DROPPED} and event.data:
            walk = summarize(event.data, is_frame=event.is_frame).walk
            self._ends.setdefault(walk, []).append((event.time_ns, event))
        if self.outer is not None:
            self.outer.report(event)

    def verdict(self, frame: bytes, time_ns: int) -> str:
        """Return what happened to the packet in `frame`, captured at `time_ns`: `delivered: …` or `dropped at …`.

        Return "" if neither a delivery nor a drop of that packet was recorded at or after `time_ns`.
        """
        walk = summarize(frame, is_frame=True).walk
        for _, event in (end for end in self._ends.get(walk, ()) if end[0] >= time_ns):
            hop = hops_of((event,))[0]
            if hop.step is Step.DELIVERED:
                return f"delivered: {delivery_text(hop)}"
            if hop.is_drop:
                return drop_text(hop)
        return ""
