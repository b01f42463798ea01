"""The echo requests and replies of one run of ping, shared by the ping commands of busybox and iputils."""

from __future__ import annotations

from typing import TYPE_CHECKING

from attrs import define, field, frozen

if TYPE_CHECKING:
    from cnmsim.kernel.address import Address
    from cnmsim.kernel.process import Process
    from cnmsim.kernel.skbuff import Packet


def milliseconds(time_ns: int) -> str:
    """Format a round-trip time in nanoseconds as milliseconds, with busybox's number of digits."""
    micros = time_ns // 1000
    return f"{micros // 1000}.{micros % 1000:03d}"


def is_echo_reply(packet: Packet) -> bool:
    """Return True if a packet is an ICMP or ICMPv6 echo reply."""
    return packet.icmp_type == (129 if packet.family == 6 else 0)


def echo_sequence(packet: Packet) -> int:
    """Return the sequence number of an echo reply."""
    return int.from_bytes(packet.payload[6:8])


@frozen
class EchoReply:
    """A received echo reply. `time_ns` is the round-trip time. `is_repeated` is True for a duplicate."""

    sequence: int
    time_ns: int
    is_repeated: bool


@define(eq=False)
class EchoSession:
    """The echo requests sent to one address and the replies to them. Times are in nanoseconds.

    `sent_ns` maps the sequence numbers of requests to the times of sending. `times_ns` are the round-trip times;
    `repeated` counts duplicate replies.
    """

    process: Process
    name: str
    address: Address
    sent_ns: dict[int, int] = field(factory=dict, init=False)
    seen: set[int] = field(factory=set, init=False)
    times_ns: list[int] = field(factory=list, init=False)
    transmitted: int = field(default=0, init=False)
    repeated: int = field(default=0, init=False)

    def count_reply(self, packet: Packet) -> EchoReply | None:
        """Count an echo reply and return it. Return `None` if no request with its sequence number has been sent."""
        sequence = echo_sequence(packet)
        sent = self.sent_ns.get(sequence)
        if sent is None:
            return None
        reply = EchoReply(sequence, self.process.clock.now_ns - sent, sequence in self.seen)
        self.seen.add(sequence)
        if reply.is_repeated:
            self.repeated += 1
        else:
            self.times_ns.append(reply.time_ns)
        return reply
