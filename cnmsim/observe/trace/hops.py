"""Convert the kernel's events to hops: number the messages, and mark the hops that the short view omits.

A *message* is one packet on its whole path, also where NAT rewrites it and inside a tunnel; a retransmission is the
same message. The kernel reports every device, hook and table on its path. A *plain* hop adds nothing to the hops next
to it: a frame on a veth whose other end is the next hop, a chain without a matching rule, or the later segments of a
connection along a path already shown. The short view omits plain hops.
"""

from __future__ import annotations

from collections.abc import Hashable, Sequence

from attrs import define, frozen

from cnmsim.kernel.address import Address, format_ip
from cnmsim.kernel.clock import NS_PER_S
from cnmsim.kernel.events import Detail, DropReason, Event, MtuLimit, Reporter, Step, UpstreamSkipped
from cnmsim.observe.display import Displayable
from cnmsim.observe.trace.packet_summary import Layer4, PacketSummary, summarize
from cnmsim.observe.trace.rule_decision import RuleDecision

#: Reasons for which a machine ignores a flooded or promiscuous frame, as it should. Such a hop does not count as a
#: drop.
_HARMLESS = frozenset({DropReason.NOT_FOR_US, DropReason.NO_BRIDGE_PORT, DropReason.PROXY_UNANSWERED})
_BY_CONNTRACK = "conntrack: known connection"
_CARRYING = frozenset({Step.TRANSMITTED, Step.RECEIVED})


@frozen
class Hop(Displayable):
    """One event on the path of one message (packet), in the network namespace `place`, at `device` ("": at none).

    `time_ns` counts from the start of the trace. `step` is the kind of event and `what` its description; `reason` is
    the kernel's reason for a drop. `message` is the number of the message in the trace, from 1; `packet` is its label
    (`TCP SYN`) and `layer4` its kind. `source`, `destination` and their ports (0 for none) are those in the packet at
    this hop, so that they change with NAT and inside a tunnel; `addresses` is their text for display. `decision` is
    the rule, route or table entry that decided, as its own program prints it; `detail` is further data on the event.
    `is_repeated` marks a retransmission, `is_plain` a hop that the short view omits.
    """

    time_ns: int
    place: str
    device: str
    step: Step
    what: str
    decision: str
    packet: str
    message: int
    layer4: Layer4
    source: Address | None = None
    source_port: int = 0
    destination: Address | None = None
    destination_port: int = 0
    addresses: str = ""
    reason: DropReason | None = None
    detail: Detail | None = None
    is_repeated: bool = False
    is_plain: bool = False

    def __repr__(self) -> str:
        return f"<Hop {self}>"

    def __str__(self) -> str:
        from cnmsim.observe.trace.table import what_of

        decided = f" ({self.decision})" if self.decision else ""
        return f"{self.time_ns / NS_PER_S * 1000:.3f} ms {self.where}: {what_of(self)}{decided}"

    @property
    def is_drop(self) -> bool:
        """Whether the packet was dropped here. A machine that ignores a frame addressed to another drops nothing."""
        return _is_drop(self)

    @property
    def where(self) -> str:
        """The network namespace and the device: `node1 eth0`."""
        return f"{self.place} {self.device}".strip()

    @property
    def is_ipv6(self) -> bool:
        """Whether the packet is IPv6 at this point."""
        return self.destination is not None and len(self.destination) == 16

    @property
    def source_text(self) -> str:
        """The source address as text, without the port; "" if there is none."""
        return format_ip(self.source) if self.source is not None else ""

    @property
    def destination_text(self) -> str:
        """The destination address as text, without the port; "" if there is none."""
        return format_ip(self.destination) if self.destination is not None else ""

    @property
    def rule(self) -> RuleDecision | None:
        """The packet filter rule or policy that decided; `None` if something else decided, e.g. a route."""
        return RuleDecision.parse(self.decision)

    @property
    def size_limit(self) -> int:
        """The MTU that a dropped packet exceeds, in bytes; 0 if the hop is no drop for that reason."""
        return self.detail.mtu if isinstance(self.detail, MtuLimit) else 0


@define
class _Message:
    """A message (packet) whose events are being collected.

    `indexes` are the positions of its events in the list of all events. `sendings` counts how often it was sent.
    """

    number: int
    summary: PacketSummary
    indexes: list[int]
    sendings: int = 0


def hops_of(events: Sequence[Event], start_ns: int = 0) -> tuple[Hop, ...]:
    """Return one hop for each of `events`, in the same order.

    `start_ns` is the clock's time at the start of the trace; the times of hops count from it.
    """
    summaries = [_summary(index, event) for index, event in enumerate(events)]
    messages: dict[Hashable, _Message] = {}
    everything: list[_Message] = []
    number_of: list[int] = []
    again: set[int] = set()
    count = 0
    for index, (event, summary) in enumerate(zip(events, summaries, strict=True)):
        if event.step is Step.ENCAPSULATED and index and summary.walk not in messages:
            # A packet that a tunnel encapsulates remains the same message, even if encryption (ESP) hides that.
            messages[summary.walk] = everything[number_of[-1] - 1]
        message = messages.get(summary.walk)
        if message is None or _is_passed_on(events, message, event):
            count += 1
            message = messages[summary.walk] = _Message(count, summary, [])
            everything.append(message)
        message.indexes.append(index)
        number_of.append(message.number)
        if event.step is Step.SENT:
            if message.sendings:
                again.add(index)
            message.sendings += 1
    by_number = {message.number: message.summary for message in everything}
    plain = _plain_indexes(events, summaries, everything)
    rules = _translating_rules(events, everything)
    decisions = [event.decision for event in events]
    for index, at in rules.items():
        decisions[index] = _BY_CONNTRACK if at is None else events[at].decision
    plain |= {at for at in rules.values() if at is not None}
    return tuple(
        Hop(
            event.time_ns - start_ns, event.place, event.device, event.step,
            f"{event.what} again" if index in again else event.what, decisions[index],
            by_number[number].label, number, by_number[number].layer4,
            summary.src, summary.sport, summary.dst, summary.dport, summary.addresses, event.reason, event.detail,
            index in again, index in plain,
        )
        for index, (event, summary, number) in enumerate(zip(events, summaries, number_of, strict=True))
    )  # fmt: skip


def _is_passed_on(events: Sequence[Event], message: _Message, event: Event) -> bool:
    """Return True if `event` starts a new message although its bytes equal those of `message`.

    That is so if a program at another place sends the bytes on, as a DNS forwarder does.
    """
    return event.step is Step.SENT and event.place != events[message.indexes[0]].place


def _translating_rules(events: Sequence[Event], messages: list[_Message]) -> dict[int, int | None]:
    """Return a mapping from the index of each NAT event to the index of the rule event that caused it.

    The rule event is that of table nat just before the NAT event at the same place. The value is `None` for a later
    packet of a connection, which conntrack translates without traversing the table.
    """
    rule_of: dict[int, int | None] = {}
    for message in messages:
        rule: int | None = None
        for index in message.indexes:
            event = events[index]
            if event.step is Step.TRANSLATED:
                is_ordered = rule is not None and events[rule].place == event.place
                rule_of[index], rule = (rule if is_ordered else None), None
            elif event.step is Step.HOOK:
                decision = RuleDecision.parse(event.decision)
                if decision is not None and decision.translates:
                    rule = index
                elif decision is not None and decision.table == "nat":
                    rule = None
    return rule_of


def _summary(index: int, event: Event) -> PacketSummary:
    if event.data:
        return summarize(event.data, is_frame=event.is_frame)
    # A note is not about a packet, so it is numbered as a message of its own.
    if isinstance(event.detail, Reporter):
        label = event.detail.value
    elif isinstance(event.detail, UpstreamSkipped):
        label = Reporter.RESOLVER.value
    else:
        label = event.reason.value if event.reason is not None else event.what
    return PacketSummary(label, "", ("note", index), Layer4("note"))


def _plain_indexes(events: Sequence[Event], summaries: Sequence[PacketSummary], messages: list[_Message]) -> set[int]:
    plain: set[int] = set()
    for message in messages:
        plain |= _plain_in_message(events, message)
        plain |= _repeats_in_message(events, message)
    plain |= _later_messages_of_a_connection(events, messages)
    plain |= {
        index
        for index, event in enumerate(events)
        # The packet that waits for a neighbour has a hop that says so; the hops of the ARP exchange are therefore
        # plain.
        if (summaries[index].layer4.is_link and not _is_telling(event) and not _is_drop(event))
        or (event.step is Step.DROPPED and event.reason in _HARMLESS)
    }
    return plain


def _is_telling(event: Event) -> bool:
    """Return True if the short view shows `event`, an event of neighbour resolution.

    It shows two kinds of such events: notes, and answers that a VXLAN device sends itself.
    """
    return event.step is Step.NOTE or (event.step is Step.NEIGHBOUR and event.is_frame and bool(event.decision))


def _is_drop(event: Event | Hop) -> bool:
    return event.step is Step.DROPPED and event.reason not in _HARMLESS


def _plain_in_message(events: Sequence[Event], message: _Message) -> set[int]:
    """Return the indices of the plain events of one message (see the module).

    These are frames on a link that are followed by a further event, and chains without a matching rule.
    """
    plain = set()
    for index, following in zip(message.indexes, [*message.indexes[1:], None], strict=True):
        event = events[index]
        if (event.step in _CARRYING and following is not None) or (
            event.step is Step.HOOK and not _names_a_rule(event.decision)
        ):
            plain.add(index)
    return plain


def _names_a_rule(decision: str) -> bool:
    rule = RuleDecision.parse(decision)
    return rule is not None and bool(rule.rule)


def _repeats_in_message(events: Sequence[Event], message: _Message) -> set[int]:
    """Return the indices of events of one message that repeat an earlier one because of a retransmission."""
    plain: set[int] = set()
    seen: set[tuple[str, str, Step, str]] = set()
    for index in message.indexes:
        event = events[index]
        key = (event.place, event.device, event.step, event.decision)
        if key in seen and event.step is not Step.SENT:
            plain.add(index)
        seen.add(key)
    return plain


def _later_messages_of_a_connection(events: Sequence[Event], messages: list[_Message]) -> set[int]:
    """Return the indices of the events of TCP segments after the handshake, which the short view omits.

    Notes, resets, and segments that were dropped are excluded, so they remain visible.
    """
    plain: set[int] = set()
    for message in messages:
        layer4 = message.summary.layer4
        if layer4.protocol != "tcp" or layer4.is_syn or layer4.is_syn_ack or layer4.is_rst:
            continue
        if not any(_is_drop(events[index]) for index in message.indexes):
            plain |= {index for index in message.indexes if events[index].step is not Step.NOTE}
    return plain
