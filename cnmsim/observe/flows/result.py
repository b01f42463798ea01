"""The results of flows: measurements per flow and per link, as values, text, data frames, charts and HTML."""

from __future__ import annotations

import math
from bisect import bisect_right
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from importlib import import_module
from itertools import pairwise
from statistics import fmean, median
from typing import TYPE_CHECKING, Any, overload

from attrs import field, frozen

from cnmsim.errors import InvalidParameter
from cnmsim.kernel.clock import NS_PER_S
from cnmsim.observe.display import Displayable
from cnmsim.observe.flows.links import LinkResult

if TYPE_CHECKING:
    from cnmsim.observe.flows.meter import FlowRecord

#: The reason given for a message that neither arrived nor was dropped: it is in a queue, or in a paused program's
#: socket.
STILL_UNDER_WAY = "still under way at the end"
_FRAMES = ("flows", "links", "packets", "throughput")
#: The number of intervals of `throughput` if `step_s` is not given.
_INTERVALS = 50


@frozen
class Latency:
    """The distribution of one-way delays, in seconds; `p99_s` is the 99th percentile."""

    min_s: float
    median_s: float
    mean_s: float
    p99_s: float
    max_s: float

    @classmethod
    def of(cls, delays_ns: Sequence[int]) -> Latency | None:
        """Return the distribution of delays in nanoseconds; `None` if `delays_ns` is empty."""
        if not delays_ns:
            return None
        ordered = sorted(delays_ns)
        # The nearest-rank percentile: the smallest delay that at least 99 % do not exceed.
        p99 = ordered[-(-len(ordered) * 99 // 100) - 1]
        return cls(
            ordered[0] / NS_PER_S, median(ordered) / NS_PER_S, fmean(ordered) / NS_PER_S, p99 / NS_PER_S,
            ordered[-1] / NS_PER_S,
        )  # fmt: skip


@frozen
class Message:
    """One message of a flow: when it was sent and first received, in seconds since the flows began.

    If the message did not arrive, `received_s` is `None` and `lost` is the reason.
    """

    sequence: int
    sent_s: float
    received_s: float | None = None
    lost: str = ""

    @property
    def latency_s(self) -> float | None:
        """The time from sending to receiving, in seconds; `None` if the message did not arrive."""
        return None if self.received_s is None else self.received_s - self.sent_s


@frozen(repr=False)
class FlowResult:
    """The measurements of one flow. Times are in seconds, sizes in bytes of payload.

    `begun_s` is when the flow began, counted from the start of all flows; `duration_s` is the time until its last
    message was sent or received. A UDP flow's messages are its datagrams; a TCP flow's messages are the blocks that
    its program wrote. `sent` and `delivered` count messages; `lost` counts the messages that did not arrive, by
    reason. `duplicated` counts deliveries of a message after its first, and `reordered` the messages that arrived
    after a later one (RFC 4737). For TCP, `retransmitted` counts segments sent again, and `dropped` counts dropped
    segments by reason. `latency` is `None` if nothing arrived; `jitter_s` is the interarrival jitter of RFC 3550
    §6.4.1. `receivers` counts the delivered messages by receiving location. `error` is empty unless the flow could
    not be sent or completed.
    """

    name: str
    source: str
    destination: str
    protocol: str
    address: str
    size: int
    begun_s: float
    duration_s: float
    sent: int
    delivered: int
    lost: Mapping[str, int]
    duplicated: int = 0
    reordered: int = 0
    retransmitted: int = 0
    dropped: Mapping[str, int] = field(factory=dict)
    latency: Latency | None = None
    jitter_s: float = 0.0
    receivers: Mapping[str, int] = field(factory=dict)
    error: str = ""
    messages: Sequence[Message] = field(factory=tuple, eq=False)
    _arrivals_s: Sequence[float] = field(factory=tuple, eq=False)

    def __repr__(self) -> str:
        return f"<Flow {self.name}: {self.delivered} of {self.sent} delivered>"

    @property
    def lost_count(self) -> int:
        """The number of messages that did not arrive."""
        return self.sent - self.delivered

    @property
    def loss(self) -> float:
        """The fraction of messages that did not arrive."""
        return self.lost_count / self.sent if self.sent else 0.0

    @property
    def throughput_bps(self) -> float:
        """The delivered payload in bits per second, from the first message sent to the last received."""
        return self.delivered * self.size * 8 / self.duration_s if self.duration_s else 0.0

    @classmethod
    def of(cls, record: FlowRecord, source: str, names: Mapping[str, str], begun_ns: int) -> FlowResult:
        """Compute the result of a flow from its record.

        `source` is the name of the flow's source. `names` maps network namespaces to names of locations. `begun_ns`
        is the clock's time at which all flows began.
        """
        flow = record.flow
        sent_ns = record.sent_ns
        first_ns: dict[int, int] = {}
        reordered, highest = 0, -1
        for sequence, time_ns in zip(record.arrived, record.arrived_ns, strict=True):
            if sequence in first_ns:
                continue
            first_ns[sequence] = time_ns
            reordered += sequence < highest
            highest = max(highest, sequence)
        delays = [time_ns - sent_ns[sequence] for sequence, time_ns in first_ns.items()]
        lost = {
            sequence: record.reasons.get(sequence, STILL_UNDER_WAY)
            for sequence in range(len(sent_ns))
            if sequence not in first_ns
        }
        end_ns = max([record.begun_ns, *record.arrived_ns[-1:], *sent_ns[-1:]])
        receivers: Counter[str] = Counter()
        for place, count in record.receivers.items():
            receivers[names.get(place, place)] += count

        def seconds(time_ns: int) -> float:
            return (time_ns - begun_ns) / NS_PER_S

        return cls(
            flow.name or f"{source} → {flow.destination}",
            source,
            flow.destination,
            flow.protocol,
            record.address,
            flow.message_size,
            seconds(record.begun_ns),
            (end_ns - record.begun_ns) / NS_PER_S,
            len(sent_ns),
            len(first_ns),
            dict(Counter(lost.values()).most_common()),
            len(record.arrived) - len(first_ns),
            reordered,
            record.retransmitted,
            dict(record.segments.most_common()),
            Latency.of(delays),
            _jitter_ns(delays) / NS_PER_S,
            dict(receivers.most_common()),
            record.error,
            _Messages(record, first_ns, lost, begun_ns),
            [seconds(time_ns) for time_ns in first_ns.values()],
        )


class _Messages(Sequence[Message]):
    """The messages of a record as a sequence; each `Message` is created only when it is read."""

    def __init__(self, record: FlowRecord, first_ns: dict[int, int], lost: dict[int, str], begun_ns: int) -> None:
        self._sent_ns, self._first_ns, self._lost, self._begun_ns = record.sent_ns, first_ns, lost, begun_ns

    def __len__(self) -> int:
        return len(self._sent_ns)

    @overload
    def __getitem__(self, at: int) -> Message: ...
    @overload
    def __getitem__(self, at: slice) -> Sequence[Message]: ...
    def __getitem__(self, at: int | slice) -> Message | Sequence[Message]:
        if isinstance(at, slice):
            return [self[number] for number in range(*at.indices(len(self)))]
        sequence = range(len(self))[at]
        received_ns = self._first_ns.get(sequence)
        return Message(
            sequence,
            (self._sent_ns[sequence] - self._begun_ns) / NS_PER_S,
            None if received_ns is None else (received_ns - self._begun_ns) / NS_PER_S,
            self._lost.get(sequence, ""),
        )


@frozen(repr=False)
class FlowReport(Displayable, Sequence[FlowResult]):
    """The results of flows that ran together: a sequence of `FlowResult`, and the `links` that carried them.

    `sent`, `delivered`, `lost`, `latency` and so on are totals over all flows. A notebook shows tables and a chart;
    `print` shows the tables.
    """

    flows: tuple[FlowResult, ...]
    links: tuple[LinkResult, ...]

    def __len__(self) -> int:
        return len(self.flows)

    @overload
    def __getitem__(self, at: int) -> FlowResult: ...
    @overload
    def __getitem__(self, at: slice) -> tuple[FlowResult, ...]: ...
    def __getitem__(self, at: int | slice) -> FlowResult | tuple[FlowResult, ...]:
        return self.flows[at]

    def __iter__(self) -> Iterator[FlowResult]:
        return iter(self.flows)

    def __repr__(self) -> str:
        return f"<FlowReport {len(self.flows)} flows: {self.delivered} of {self.sent} messages delivered>"

    @property
    def sent(self) -> int:
        """The number of messages sent."""
        return sum(flow.sent for flow in self.flows)

    @property
    def delivered(self) -> int:
        """The number of messages delivered, each counted once."""
        return sum(flow.delivered for flow in self.flows)

    @property
    def lost(self) -> dict[str, int]:
        """The number of messages that did not arrive, for each reason; the most frequent reason comes first."""
        return dict(sum((Counter(flow.lost) for flow in self.flows), Counter[str]()).most_common())

    @property
    def loss(self) -> float:
        """The fraction of messages that did not arrive."""
        return (self.sent - self.delivered) / self.sent if self.sent else 0.0

    @property
    def duplicated(self) -> int:
        """The number of deliveries of messages that had been delivered before."""
        return sum(flow.duplicated for flow in self.flows)

    @property
    def reordered(self) -> int:
        """The number of messages that arrived after a later one of their flow."""
        return sum(flow.reordered for flow in self.flows)

    @property
    def retransmitted(self) -> int:
        """The number of TCP segments that were sent again."""
        return sum(flow.retransmitted for flow in self.flows)

    @property
    def latency(self) -> Latency | None:
        """The distribution of the latency of all delivered messages, `None` if there are none."""
        delays = [message.latency_s for flow in self.flows for message in flow.messages]
        return Latency.of([round(delay * NS_PER_S) for delay in delays if delay is not None])

    @property
    def jitter_s(self) -> float:
        """The mean of the interarrival jitter of the flows, in seconds."""
        return fmean(flow.jitter_s for flow in self.flows) if self.flows else 0.0

    @property
    def receivers(self) -> dict[str, int]:
        """The number of delivered messages by receiving location, the most frequent first."""
        return dict(sum((Counter(flow.receivers) for flow in self.flows), Counter[str]()).most_common())

    @property
    def duration_s(self) -> float:
        """The time from the start of the flows until the last message was sent or received, in seconds."""
        return max((flow.begun_s + flow.duration_s for flow in self.flows), default=0.0)

    @property
    def throughput_bps(self) -> float:
        """The delivered payload of all flows, in bits per second."""
        size = sum(flow.delivered * flow.size for flow in self.flows)
        return size * 8 / self.duration_s if self.duration_s else 0.0

    @property
    def errors(self) -> dict[str, str]:
        """The error of each flow that could not be sent or completed, by the name of the flow."""
        return {flow.name: flow.error for flow in self.flows if flow.error}

    def link(self, name: str) -> LinkResult:
        """Return the measurements of the link whose name is, or begins with, `name`, such as `"a:eth0 → lan"`.

        Raises `InvalidParameter` if no link matches, or several do.
        """
        matches = [link for link in self.links if link.name == name]
        matches = matches or [link for link in self.links if link.name.startswith(name)]
        if len(matches) == 1:
            return matches[0]
        known = ", ".join(link.name for link in matches or self.links) or "none"
        raise InvalidParameter(f"{'several links are' if matches else 'no link is'} called {name!r}: {known}")

    def throughput(self, step_s: float | None = None) -> list[tuple[float, dict[str, float]]]:
        """Return the delivered payload over time: for each interval, its end in seconds and the rate of each flow.

        The rates are in bits per second, by flow name. `step_s` is the length of an interval, by default a fiftieth
        of `duration_s`. Raises `InvalidParameter` if `step_s` is not positive.
        """
        step = self.duration_s / _INTERVALS if step_s is None else step_s
        if step_s is not None and not step_s > 0:
            raise InvalidParameter(f"step_s must be positive: {step_s!r}")
        if not step:
            return []
        steps = max(1, math.ceil(self.duration_s / step - 1e-9))
        ends = [step * (number + 1) for number in range(steps)]
        ends[-1] = max(ends[-1], self.duration_s)
        counts = {flow.name: _counts(sorted(flow._arrivals_s), ends) for flow in self.flows}
        sizes = {flow.name: flow.size for flow in self.flows}
        return [
            (end, {name: counts[name][at] * sizes[name] * 8 / step for name in counts}) for at, end in enumerate(ends)
        ]

    def to_frame(self, what: str = "flows") -> Any:
        """Return the results as a pandas data frame.

        `what` selects the rows: `"flows"` has a row for each flow, `"links"` for each link, `"packets"` for each
        message, and `"throughput"` for each interval, with a column for each flow. Raises `ImportError` if pandas is
        not installed, and `InvalidParameter` for another `what`.
        """
        if what not in _FRAMES:
            raise InvalidParameter(f"unknown frame {what!r}: {', '.join(_FRAMES)}")
        frame = import_module("pandas").DataFrame
        if what == "links":
            return frame([_link_row(link) for link in self.links])
        if what == "packets":
            return frame(
                [
                    {
                        "flow": flow.name, "sequence": message.sequence, "sent_s": message.sent_s,
                        "received_s": message.received_s, "latency_s": message.latency_s, "lost": message.lost,
                    }
                    for flow in self.flows
                    for message in flow.messages
                ]
            )  # fmt: skip
        if what == "throughput":
            rows = self.throughput()
            return frame([rates for _, rates in rows], index=[end for end, _ in rows])
        return frame([_flow_row(flow) for flow in self.flows])

    def plot(self, axes: Any = None) -> Any:
        """Draw throughput, latency and queues over time with matplotlib, and return the figure.

        `axes` are three matplotlib axes to draw on instead of those of a new figure. Raises `ImportError` if
        matplotlib is not installed, `InvalidParameter` if the number of axes is not three.
        """
        return import_module("cnmsim.observe.flows.plot").plot(self, axes)

    def __str__(self) -> str:
        text: str = import_module("cnmsim.observe.flows.text").text_of(self)
        return text


def _counts(ordered: Sequence[float], ends: Sequence[float]) -> list[int]:
    marks = [bisect_right(ordered, end) for end in ends]
    return [mark - before for mark, before in zip(marks, [0, *marks], strict=False)]


def _jitter_ns(delays: Sequence[int]) -> float:
    jitter = 0.0
    for before, after in pairwise(delays):
        jitter += (abs(after - before) - jitter) / 16
    return jitter


def _flow_row(flow: FlowResult) -> dict[str, Any]:
    latency = flow.latency
    return {
        "flow": flow.name, "source": flow.source, "destination": flow.destination, "protocol": flow.protocol,
        "sent": flow.sent, "delivered": flow.delivered, "lost": flow.lost_count, "lost_by_reason": dict(flow.lost),
        "duplicated": flow.duplicated, "reordered": flow.reordered, "retransmitted": flow.retransmitted,
        "latency_min_s": latency.min_s if latency else None,
        "latency_median_s": latency.median_s if latency else None,
        "latency_p99_s": latency.p99_s if latency else None, "jitter_s": flow.jitter_s,
        "throughput_bps": flow.throughput_bps, "begun_s": flow.begun_s, "duration_s": flow.duration_s,
        "receivers": dict(flow.receivers), "error": flow.error,
    }  # fmt: skip


def _link_row(link: LinkResult) -> dict[str, Any]:
    return {
        "link": link.name, "frames": link.frames, "bytes": link.bytes, "dropped": sum(link.dropped.values()),
        "dropped_by_reason": dict(link.dropped), "bandwidth_bps": link.bandwidth_bps,
        "utilisation": link.utilisation, "queue_max_bytes": link.queue_max_bytes, "queue_max_s": link.queue_max_s,
    }  # fmt: skip
