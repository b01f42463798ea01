"""The result of sending a packet: every event that the packet caused, and the frames that came back."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from attrs import define, field, frozen

from cnmsim.kernel.clock import NS_PER_S
from cnmsim.kernel.events import DropReason, Step
from cnmsim.observe.capture.verdicts import delivery_text, drop_text
from cnmsim.observe.diagnosis.verdict import Verdict
from cnmsim.observe.packets.codec import dissect, stamp
from cnmsim.observe.trace.packet_summary import summarize
from cnmsim.observe.trace.trace import Trace

if TYPE_CHECKING:
    from scapy.packet import Packet

    from cnmsim.observe.trace.hops import Hop


@frozen
class ReceivedFrame:
    """A frame that the sending location received: the clock's time, the device (`node1:eth0`), and the bytes."""

    time_ns: int
    device: str
    data: bytes


@define(eq=False, repr=False)
class Walk(Trace):
    """The trace of one packet that was sent, with the frames that came back. It prints as a table.

    `data` is what was sent: an Ethernet frame if `is_frame`, else an IP packet. `epoch_s` is the Unix time at which
    the lab's clock started. `inbound` is True if a device received the packet as if from the wire. `error` is the
    text of the error that the sending socket returned, "" if there was none.
    """

    data: bytes = b""
    is_frame: bool = True
    epoch_s: int = 0
    inbound: bool = False
    error: str = ""
    #: The frames that the sending location received because of the packet, each once. For an inbound packet, the
    #: frames that left by its device.
    frames: list[ReceivedFrame] = field(factory=list)
    #: The number of events before the packet was sent, e.g. of neighbour resolution.
    sent_after: int = 0

    @property
    def sent(self) -> Packet:
        """The packet that was sent, as a scapy packet with all its fields."""
        return dissect(self.data, is_frame=self.is_frame)

    @property
    def received(self) -> list[Packet]:
        """The packets that the sending host or container received as a consequence of the sent one, oldest first.

        They are scapy packets. Like `sent`, they begin with an Ethernet header if a frame was sent, else with an IP
        header. Their attribute `time` is Unix time, and `sniffed_on` is the device on which they were received.
        """
        packets = []
        for frame in self.frames:
            packet = dissect(frame.data)
            if not self.is_frame:
                if type(packet.payload).__name__ not in {"IP", "IPv6"}:
                    continue
                packet = packet.payload
            packets.append(stamp(packet, self.epoch_s + frame.time_ns / NS_PER_S, frame.device))
        return packets

    @property
    def answers(self) -> list[Packet]:
        """The packets in `received` that scapy regards as answers to the sent packet (`Packet.answers`)."""
        sent = self.sent
        return [packet for packet in self.received if _answers(packet, sent)]

    @property
    def answer(self) -> Packet | None:
        """The first of `answers`, `None` if there is none."""
        return next(iter(self.answers), None)

    @property
    def own_hops(self) -> tuple[Hop, ...]:
        """The hops of the sent packet itself, without those of other packets that it caused."""
        hops = self.hops
        if len(hops) <= self.sent_after:
            return ()
        number = hops[self.sent_after].message
        return tuple(hop for hop in hops if hop.message == number)

    @property
    def drop(self) -> Hop | None:
        """The hop at which the packet was dropped; `None` if it was not dropped.

        It is `None`, too, if one copy of a flooded packet was dropped and another one was delivered.
        """
        if any(hop.step is Step.DELIVERED for hop in self.own_hops):
            return None
        return next((hop for hop in self.own_hops if hop.is_drop), None)

    @property
    def reason(self) -> DropReason | None:
        """The kernel's reason for the drop, `None` if the packet was not dropped."""
        return self.drop.reason if self.drop is not None else None

    @property
    def verdict(self) -> Verdict:
        """The verdict on the packet.

        It follows from what the sender received (an answer, a refusal or an ICMP error), or from the error of its
        socket. Without any of these it is `DELIVERED` if the packet was delivered, else `TIMEOUT`.
        """
        kinds = [_kind_of(packet) for packet in self.answers]
        for verdict in (Verdict.ANSWERED, Verdict.REFUSED, Verdict.UNREACHABLE):
            if verdict in kinds:
                return verdict
        if self.error:
            return Verdict.UNREACHABLE
        if any(hop.step is Step.DELIVERED for hop in self.own_hops):
            return Verdict.DELIVERED
        return Verdict.TIMEOUT

    @property
    def is_reachable(self) -> bool:
        """Whether the packet was delivered, or an answer received."""
        return self.verdict.is_reachable

    @property
    def is_settled(self) -> bool:
        """Whether the packet does not wait for the resolution of a neighbour's address."""
        own = self.own_hops
        return bool(own) and own[-1].step is not Step.NEIGHBOUR

    def __repr__(self) -> str:
        return f"<Walk {self.title}: {self.verdict.value}, {len(self.events)} events>"

    @property
    def conclusion(self) -> str:
        """The verdict in one sentence, with the place and the rule or reason that decided it."""
        verdict = self.verdict
        if verdict in {Verdict.ANSWERED, Verdict.REFUSED} or (verdict is Verdict.UNREACHABLE and self.answer):
            text = f"{verdict.value}: received {self.answer.summary() if self.answer is not None else ''}"
        elif verdict is Verdict.DELIVERED:
            at = next(hop for hop in self.own_hops if hop.step is Step.DELIVERED)
            return f"{verdict.value}: {delivery_text(at)}"
        elif self.error:
            text = f"{verdict.value}: the kernel of the sender says {self.error}"
        else:
            text = f"{verdict.value}: no answer"
        drop = self.drop
        return text if drop is None or verdict is Verdict.ANSWERED else f"{text}; {drop_text(drop)}"

    @property
    def deciding_hop(self) -> Hop | None:
        """The hop of the finding, which decided the verdict, or else the hop of the drop.

        It is `None` if there is neither.
        """
        return super().deciding_hop or self.drop

    def conclusion_lines(self) -> list[str]:
        """Return the conclusion, and the advice and remarks of the finding."""
        return [self.conclusion, *super().conclusion_lines()[1:]]

    def to_json(self) -> dict[str, Any]:
        """Return the result as plain values, in the format of a trace. `cause` is the text of `conclusion`."""
        return {
            **super().to_json(),
            "verdict": self.verdict.value,
            "reachable": self.is_reachable,
            "cause": self.conclusion,
        }


def _answers(packet: Any, sent: Any) -> bool:
    """Return True if `packet` answers `sent` according to scapy.

    An answer to a packet sent to a multicast or broadcast address counts too, although its source is another address.
    """
    if packet.answers(sent):
        return True
    for name in ("IP", "IPv6"):
        if packet.haslayer(name) and sent.haslayer(name) and _is_group(sent[name].dst):
            return bool(packet[name].payload.answers(sent[name].payload))
    return False


def _is_group(address: str) -> bool:
    from cnmsim.kernel.address import IPV4_BROADCAST, is_multicast, parse_ip

    value = parse_ip(address)
    return is_multicast(value) or value == IPV4_BROADCAST


def _kind_of(packet: Packet) -> Verdict:
    layer4 = summarize(bytes(packet), is_frame=type(packet).__name__ not in {"IP", "IPv6"}).layer4
    port_unreachable = {("icmp", 3, 3), ("icmp6", 1, 4)}
    if layer4.is_rst or (layer4.protocol, layer4.icmp_type, layer4.icmp_code) in port_unreachable:
        return Verdict.REFUSED
    return Verdict.UNREACHABLE if layer4.is_icmp_error else Verdict.ANSWERED
