"""From events to hops: which message each belongs to, and which of them a reader can do without.

The kernel reports every device, hook and table on the way. `hops_of` numbers the messages and marks as *plain* what
repeats or only carries: a frame on a veth that the next hop tells of again, a chain that let everything pass, the
second and third message over a way already shown.
"""

from __future__ import annotations

import re
from collections.abc import Hashable, Sequence

from attrs import define, frozen

from cnmsim.kernel.events import DropReason, Event, Step
from cnmsim.observe.trace.packet_summary import PacketSummary, summarize

#: A flooded or promiscuous frame that a station rightly ignores is no loss.
_HARMLESS = frozenset({DropReason.NOT_FOR_US, DropReason.NO_BRIDGE_PORT, DropReason.PROXY_UNANSWERED})
_TRANSLATES = re.compile(r"-j (DNAT|SNAT|MASQUERADE|REDIRECT)\b")
_NFT_TRANSLATES = re.compile(r": .*\b(dnat|snat|masquerade|redirect)\b")
_BY_CONNTRACK = "conntrack: known connection"
_CARRYING = frozenset({Step.TRANSMITTED, Step.RECEIVED})


@frozen
class Hop:
    """One thing that happened to one message at one place.

    `time_ns` counts from the start of the trace. `message` is its number in the trace (from 1) and `packet` its
    label; `addresses` are as the bytes say at this point. `is_plain` marks what the short view leaves out.
    """

    time_ns: int
    place: str
    device: str
    step: Step
    what: str
    decision: str
    addresses: str
    packet: str
    message: int
    reason: DropReason | None = None
    is_plain: bool = False

    @property
    def is_loss(self) -> bool:
        """Whether a message ended here that was meant to go on."""
        return self.step is Step.DROPPED and self.reason not in _HARMLESS

    @property
    def where(self) -> str:
        """The place with the device: `node1 eth0`."""
        return f"{self.place} {self.device}".strip()


@define
class _Message:
    """A message while its hops are gathered."""

    number: int
    summary: PacketSummary
    indexes: list[int]
    sendings: int = 0


def hops_of(events: Sequence[Event], start_ns: int = 0) -> tuple[Hop, ...]:
    """Give the hops that `events` tell of, in their order."""
    summaries = [_summary(index, event) for index, event in enumerate(events)]
    messages: dict[Hashable, _Message] = {}
    everything: list[_Message] = []
    number_of: list[int] = []
    again: set[int] = set()
    count = 0
    for index, (event, summary) in enumerate(zip(events, summaries, strict=True)):
        if event.step is Step.ENCAPSULATED and index and summary.walk not in messages:
            # What a tunnel makes of a message is still that message, even if its bytes do not tell (ESP).
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
    labels = {message.number: message.summary.label for message in everything}
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
            summary.addresses, labels[number], number, event.reason, index in plain,
        )
        for index, (event, summary, number) in enumerate(zip(events, summaries, number_of, strict=True))
    )  # fmt: skip


def _is_passed_on(events: Sequence[Event], message: _Message, event: Event) -> bool:
    """Tell whether a program elsewhere sends the same bytes on (a DNS forwarder): a message of its own."""
    return event.step is Step.SENT and event.place != events[message.indexes[0]].place


def _translating_rules(events: Sequence[Event], messages: list[_Message]) -> dict[int, int | None]:
    """Find for each translation the hop of the nat rule that ordered it, just before it at the same place.

    `None` stands for the later packets of a connection: conntrack translates them without asking the table.
    """
    found: dict[int, int | None] = {}
    for message in messages:
        rule: int | None = None
        for index in message.indexes:
            event = events[index]
            if event.step is Step.TRANSLATED:
                is_ordered = rule is not None and events[rule].place == event.place
                found[index], rule = (rule if is_ordered else None), None
            elif event.step is Step.HOOK and event.decision.startswith(("nat ", "iptables-legacy nat ")):
                rule = index if _TRANSLATES.search(event.decision) else None
            elif (
                event.step is Step.HOOK
                and event.decision.startswith("nft ")
                and _NFT_TRANSLATES.search(event.decision)
            ):
                rule = index
    return found


def _summary(index: int, event: Event) -> PacketSummary:
    if event.data:
        return summarize(event.data, is_frame=event.is_frame)
    # A note about no packet in particular, such as that of a proxy: its own message.
    return PacketSummary(event.what.partition(": ")[0], "", ("note", index), "note")


def _plain_indexes(events: Sequence[Event], summaries: Sequence[PacketSummary], messages: list[_Message]) -> set[int]:
    plain: set[int] = set()
    for message in messages:
        plain |= _plain_in_message(events, message)
        plain |= _repeats_in_message(events, message)
    plain |= _later_messages_of_a_connection(events, messages)
    plain |= {
        index
        for index, event in enumerate(events)
        # Who asks for a neighbour says so at the packet that waits for it; the exchange itself is the link's business.
        if (summaries[index].is_link and not _is_telling(event) and not _is_loss(event))
        or (event.step is Step.DROPPED and event.reason in _HARMLESS)
    }
    return plain


def _is_telling(event: Event) -> bool:
    """Tell whether something of a question for a neighbour is part of the way: what a tunnel device answers by its own table."""
    return event.step is Step.NOTE or (event.step is Step.NEIGHBOUR and event.is_frame and bool(event.decision))


def _is_loss(event: Event) -> bool:
    return event.step is Step.DROPPED and event.reason not in _HARMLESS


def _plain_in_message(events: Sequence[Event], message: _Message) -> set[int]:
    """Find the hops that the following hop of the same message tells of again, and the chains without a rule."""
    plain = set()
    for index, following in zip(message.indexes, [*message.indexes[1:], None], strict=True):
        event = events[index]
        if (event.step in _CARRYING and following is not None) or (
            event.step is Step.HOOK and not _names_a_rule(event.decision)
        ):
            plain.add(index)
    return plain


def _names_a_rule(decision: str) -> bool:
    return "-A " in decision or "-j " in decision or (decision.startswith("nft ") and ": policy " not in decision)


def _repeats_in_message(events: Sequence[Event], message: _Message) -> set[int]:
    """Find the hops of a message sent again (TCP's retransmission) that went the way of the first sending."""
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
    """Find what a TCP connection says after its handshake went both ways, unless it is lost, reset or noted."""
    plain: set[int] = set()
    for message in messages:
        summary = message.summary
        if summary.protocol != "tcp" or summary.label in {"TCP SYN", "TCP SYN-ACK", "TCP RST"}:
            continue
        if not any(_is_loss(events[index]) for index in message.indexes):
            plain |= {index for index in message.indexes if events[index].step is not Step.NOTE}
    return plain
