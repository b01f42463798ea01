"""The meter of a lab's running flows: records which messages were sent, arrived (where and when) or were dropped."""

from __future__ import annotations

from array import array
from collections import Counter
from typing import TYPE_CHECKING, Any

from attrs import define, field

from cnmsim.kernel.events import QUEUE_FULL, DropReason, Event, QueueFull, Step
from cnmsim.observe.flows.flow import TAG_LENGTH, Flow
from cnmsim.observe.flows.tag import MAGIC, find_tag, leading_tag

if TYPE_CHECKING:
    from cnmsim.kernel.clock import Clock
    from cnmsim.kernel.sockets.base import Socket
    from cnmsim.kernel.sockets.tcp_connection import TcpConnection
    from cnmsim.kernel.sockets.udp import UdpSocket

#: The program (docker-proxy) that relays the data it receives: a message that arrives at its socket goes on.
_RELAY = "docker-proxy"
_MAGIC_LENGTH = len(MAGIC)


@define(eq=False)
class FlowRecord:
    """The measurements of one flow, with times in virtual nanoseconds.

    `number` identifies the flow in its messages. `sent_ns` holds the sending time of each message, indexed by
    sequence number. `arrived` and `arrived_ns` hold the sequence number and the time of each delivery, in order of
    arrival. `reasons` maps the sequence number of a dropped datagram to the reason; `segments` counts dropped TCP
    segments by reason, `retransmitted` the segments sent again. `receivers` counts deliveries by the name of the
    network namespace. `address` is the destination's address, and `error` why the flow failed ("" if it did not).
    """

    number: int
    flow: Flow
    sent_ns: array[int] = field(factory=lambda: array("q"))
    arrived: array[int] = field(factory=lambda: array("L"))
    arrived_ns: array[int] = field(factory=lambda: array("q"))
    reasons: dict[int, str] = field(factory=dict)
    segments: Counter[str] = field(factory=Counter)
    receivers: Counter[str] = field(factory=Counter)
    retransmitted: int = 0
    address: str = ""
    error: str = ""
    begun_ns: int = 0
    ended_ns: int = 0
    is_done: bool = False

    def deliver(self, sequence: int, now_ns: int, place: str) -> None:
        """Record that the message `sequence` was delivered at `now_ns` in the network namespace `place`."""
        self.reasons.pop(sequence, None)
        self.arrived.append(sequence)
        self.arrived_ns.append(now_ns)
        self.receivers[place] += 1

    def dropped(self, sequence: int, reason: DropReason, text: str) -> None:
        """Record that a packet with (a part of) message `sequence` was dropped. `text` is the reason to show."""
        if self.flow.protocol == "tcp":
            if reason is not DropReason.NOT_FOR_US:
                self.segments[text] += 1
        elif self.reasons.get(sequence, DropReason.NOT_FOR_US.value) == DropReason.NOT_FOR_US.value:
            # That another machine ignores its copy of a flooded datagram does not say what became of the datagram.
            self.reasons[sequence] = text

    def refused(self, sequence: int, text: str) -> None:
        """Record that the sender's socket refused to send the datagram `sequence`. `text` is the reason to show."""
        self.reasons.setdefault(sequence, f"refused by the socket: {text}")

    @property
    def is_accounted(self) -> bool:
        """Whether the numbers of arrived and of dropped messages add up to at least the number of sent ones.

        A duplicate counts as an arrival, so the value may become True too early. For TCP it is always True.
        """
        is_stream = self.flow.protocol == "tcp"
        return is_stream or len(self.arrived) + len(self.reasons) >= len(self.sent_ns)


@define(eq=False)
class _Stream:
    """The receiving end of a flow's TCP connection. `offset` is the number of bytes that have arrived."""

    record: FlowRecord
    offset: int = 0


class PacketObserver:
    """Records the drops of the packets of one message, for labs in which tunnels encrypt.

    In such a lab the tag that identifies the message cannot be read from a dropped packet. Therefore, while the
    message is sent, the sender sets this object as `Clock.context`: every event that the message causes is then
    reported to it. The disadvantage is that no packet can take a fast path.
    """

    __slots__ = ("_record", "_sequence")

    def __init__(self, record: FlowRecord, sequence: int) -> None:
        self._record = record
        self._sequence = sequence

    def report(self, event: Event) -> None:
        """Count the event if it is a drop. The kernel calls this for every event."""
        if event.step is Step.DROPPED and event.reason is not None:
            self._record.dropped(self._sequence, event.reason, _text(event, event.reason))


class Meter:
    """Measures all flows that run on one clock. Each flow has a number, by which its messages refer to it.

    The meter is stored as `Clock.meter` while it measures any flow.
    """

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._records: dict[int, FlowRecord] = {}
        self._streams: dict[TcpConnection, _Stream] = {}
        self._last = 0

    @classmethod
    def of(cls, clock: Clock) -> Meter:
        """Return the meter of a clock; if the clock has none, a new one is installed."""
        meter = clock.meter
        if not isinstance(meter, cls):
            meter = clock.meter = cls(clock)
        return meter

    def add(self, flow: Flow) -> FlowRecord:
        """Add a flow and return its record."""
        self._last += 1
        record = self._records[self._last] = FlowRecord(self._last, flow)
        return record

    def remove(self, records: list[FlowRecord]) -> None:
        """Stop measuring these flows. If no flow is left, the meter is removed from the clock."""
        for record in records:
            self._records.pop(record.number, None)
        self._streams = {
            connection: stream
            for connection, stream in self._streams.items()
            if stream.record.number in self._records
        }
        if not self._records:
            self._clock.meter = None

    # ---- the kernel's calls (`kernel.events.FlowMeter`)

    def dropped(self, event: Event) -> None:
        """Record the drop of a packet, if the packet belongs to a measured flow."""
        if isinstance(self._clock.context, PacketObserver):
            return
        tag = find_tag(event.data)
        record = self._records.get(tag[0]) if tag is not None else None
        if tag is None or record is None or event.reason is None:
            return
        record.dropped(tag[1], event.reason, _text(event, event.reason))

    def received_datagram(self, socket: UdpSocket, data: bytes) -> bool:
        """Record a datagram that a socket received, if it is one of a measured flow, and return True.

        Return False for any other datagram, and if the socket's program is paused or is docker-proxy, which relays
        the datagram.
        """
        if data[:_MAGIC_LENGTH] != MAGIC or len(data) < TAG_LENGTH:
            return False
        if not _ends_at(socket):
            return False
        return self.received(leading_tag(data), socket)

    def received(self, content: tuple[int, int], socket: Socket) -> bool:
        """Record a datagram that `socket` received, and return True. `content` is its pair (flow, sequence number).

        Return False, without recording it, if the flow is not measured.
        """
        record = self._records.get(content[0])
        if record is None:
            return False
        record.deliver(content[1], self._clock.now_ns, socket.namespace.name)
        return True

    def received_stream(self, connection: TcpConnection) -> bool:
        """Read the data that a connection received and record it, if the connection belongs to a measured flow.

        Return True if the data was recorded. Return False if the connection belongs to no measured flow, or if the
        peer has closed it: the caller must then notify the program that uses the connection.
        """
        stream = self._streams.get(connection)
        if stream is None:
            stream = self._stream(connection)
            if stream is None:
                return False
            self._streams[connection] = stream
        record, size = stream.record, stream.record.flow.message_size
        before = stream.offset // size
        stream.offset += len(connection.read(1 << 30))
        for sequence in range(before, stream.offset // size):
            record.deliver(sequence, self._clock.now_ns, connection.namespace.name)
        return not connection.is_at_end

    def _stream(self, connection: TcpConnection) -> _Stream | None:
        unread = connection._receive_buffer.unread
        if len(unread) < TAG_LENGTH or unread[:_MAGIC_LENGTH] != MAGIC:
            return None
        socket = connection.socket or connection.namespace.sockets.listener_holding(connection)
        if socket is None or not _ends_at(socket):
            return None
        record = self._records.get(leading_tag(unread)[0])
        return None if record is None else _Stream(record)


def _text(event: Event, reason: DropReason) -> str:
    """Return the text of a drop's reason; a full queue has a text of its own."""
    return QUEUE_FULL if isinstance(event.detail, QueueFull) else reason.value


def _ends_at(socket: Socket) -> bool:
    """Return True if the program of the socket consumes the data: it is not paused, and not docker-proxy, a relay."""
    owner: Any = socket.owner
    return owner is None or (owner.name != _RELAY and not owner.is_paused)
