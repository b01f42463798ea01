"""The queue of what is still to be gossiped (memberlist `TransmitLimitedQueue`).

What was sent least goes first, of those the longest that fits, of those the newest. After a number of transmissions that
grows with the logarithm of the cluster's size a message is done.

Messages of one size that were sent equally often lie together, so that those of a packet are taken and put back as a whole.
"""

from __future__ import annotations

from array import array
from bisect import bisect_left
from collections.abc import Callable
from math import ceil, log10
from operator import itemgetter
from typing import Any, Protocol

from attrs import define, field

RETRANSMIT_MULT = 4
_MOST = 1 << 30


def retransmit_limit(nodes: int) -> int:
    """Tell how often a message is transmitted in a cluster of so many nodes."""
    return RETRANSMIT_MULT * ceil(log10(nodes + 1))


class Subjects(Protocol):
    """What the messages in a queue are about: a newer message about the same takes an older one's place."""

    def take_place(self, message: Any, number: int) -> int:
        """Take note of a message's number; gives that of the older one about the same, 0 if there is none."""

    def leave(self, message: Any, number: int) -> None:
        """Take note that a message is done."""

    def clear(self) -> None:
        """Take note that the queue is empty."""


class Names:
    """Messages that are about something with a `name`."""

    __slots__ = ("_numbers",)

    def __init__(self) -> None:
        self._numbers: dict[str, int] = {}

    def take_place(self, message: Any, number: int) -> int:
        """Take note of a message's number; gives that of the older one about the same, 0 if there is none."""
        before = self._numbers.get(message.name, 0)
        self._numbers[message.name] = number
        return before

    def leave(self, message: Any, number: int) -> None:
        """Take note that a message is done."""
        if self._numbers.get(message.name) == number:
            del self._numbers[message.name]

    def clear(self) -> None:
        """Take note that the queue is empty."""
        # A dict that was large stays so: after a storm a new one is smaller.
        self._numbers = {}


class Slots:
    """Messages that are about versions of entries of one space: what a storm of a large swarm consists of."""

    __slots__ = ("_numbers",)

    def __init__(self) -> None:
        self._numbers = array("I")

    def take_place(self, message: Any, number: int) -> int:
        """Take note of a message's number; gives that of the older one about the same, 0 if there is none."""
        numbers, slot = self._numbers, message.version.slot.number
        if slot >= len(numbers):
            numbers.frombytes(bytes((slot + 1 - len(numbers)) * numbers.itemsize))
        before: int = numbers[slot]
        numbers[slot] = number
        return before

    def leave(self, message: Any, number: int) -> None:
        """Take note that a message is done."""
        slot = message.version.slot.number
        if self._numbers[slot] == number:
            self._numbers[slot] = 0

    def clear(self) -> None:
        """Take note that the queue is empty."""
        self._numbers = array("I")


class _Alike:
    """Messages of one size that were transmitted equally often, with their numbers: the higher, the newer. The newest is last."""

    __slots__ = ("messages", "numbers")

    def __init__(self, numbers: array[int], messages: list[Any]) -> None:
        self.numbers = numbers
        self.messages = messages

    def take_newest(self, count: int) -> _Alike:
        """Take so many out."""
        taken = _Alike(self.numbers[-count:], self.messages[-count:])
        del self.numbers[-count:], self.messages[-count:]
        return taken

    def merge(self, others: _Alike) -> None:
        """Take others in."""
        if others.numbers[-1] < self.numbers[0]:  # most often: the newest go first
            self.numbers[:0] = others.numbers
            self.messages[:0] = others.messages
            return
        numbered = [
            *zip(self.numbers, self.messages, strict=True),
            *zip(others.numbers, others.messages, strict=True),
        ]
        numbered.sort(key=itemgetter(0))
        self.numbers = array("I", [number for number, _ in numbered])
        self.messages = [message for _, message in numbered]


@define(eq=False)
class BroadcastQueue:
    """Messages to be gossiped. `on_queued` is called when one came in.

    `subjects` tells which are about the same; without it no two are.
    """

    count_nodes: Callable[[], int]
    on_queued: Callable[[], None]
    subjects: Subjects | None = None
    #: By how often they were transmitted and by size.
    _tiers: dict[int, dict[int, _Alike]] = field(factory=dict, init=False)
    #: What is to be called when a message is done, by its number.
    _on_finished: dict[int, Callable[[], None]] = field(factory=dict, init=False)
    _last: int = field(default=0, init=False)
    _limited_for: tuple[int, int] = field(default=(-1, 0), init=False)
    #: No message in the queue is smaller.
    _least: int = field(default=_MOST, init=False)

    def __len__(self) -> int:
        return sum(len(alike.messages) for tier in self._tiers.values() for alike in tier.values())

    def __bool__(self) -> bool:
        return bool(self._tiers)

    def queue(self, message: Any, on_finished: Callable[[], None] | None = None) -> None:
        """Put a message in, in place of an older one about the same. `on_finished` is called when it is done."""
        self._last = number = self._last + 1
        if self.subjects is not None and (before := self.subjects.take_place(message, number)):
            self._remove(before)
            self._finish(before)
        if on_finished is not None:
            self._on_finished[number] = on_finished
        size = message.size
        alike = self._tiers.setdefault(0, {}).get(size)
        if alike is None:
            self._tiers[0][size] = _Alike(array("I", [number]), [message])
        else:
            alike.numbers.append(number)
            alike.messages.append(message)
        self._least = min(self._least, size)
        self.on_queued()

    def take(self, overhead: int, limit: int) -> list[Any]:
        """Take the messages for one packet of at most `limit` bytes, of which each takes `overhead` more than its size."""
        tiers, least = self._tiers, self._least
        free = limit - overhead
        taken: list[tuple[int, int, _Alike]] = []
        messages: list[Any] = []
        for transmits in sorted(tiers):
            if free < least:
                break
            tier = tiers[transmits]
            for size in sorted(tier, reverse=True) if len(tier) > 1 else tuple(tier):
                if size > free:
                    continue
                alike = tier[size]
                count = (free + overhead) // (size + overhead)
                if count >= len(alike.messages):
                    chosen = alike
                    del tier[size]
                else:
                    chosen = alike.take_newest(count)
                free -= len(chosen.messages) * (size + overhead)
                messages += reversed(chosen.messages)
                taken.append((transmits + 1, size, chosen))
                if free < least:
                    break
            if not tier:
                del tiers[transmits]
        if taken:
            self._sent(taken)
        return messages

    def _sent(self, taken: list[tuple[int, int, _Alike]]) -> None:
        """Put back what is to be transmitted again, by how often it was."""
        most = self._limit()
        tiers = self._tiers
        for transmits, size, chosen in taken:
            if transmits < most:
                tier = tiers.setdefault(transmits, {})
                alike = tier.get(size)
                if alike is None:
                    tier[size] = chosen
                else:
                    alike.merge(chosen)
                continue
            for number, message in zip(reversed(chosen.numbers), reversed(chosen.messages), strict=True):
                if self.subjects is not None:
                    self.subjects.leave(message, number)
                self._finish(number)
        if not tiers:
            if self.subjects is not None:
                self.subjects.clear()
            self._least = _MOST

    def _limit(self) -> int:
        nodes = self.count_nodes()
        if nodes != self._limited_for[0]:
            self._limited_for = (nodes, retransmit_limit(nodes))
        return self._limited_for[1]

    def _remove(self, number: int) -> None:
        for transmits, tier in self._tiers.items():
            for size, alike in tier.items():
                place = bisect_left(alike.numbers, number)
                if place < len(alike.numbers) and alike.numbers[place] == number:
                    del alike.numbers[place], alike.messages[place]
                    if not alike.messages:
                        del tier[size]
                    if not tier:
                        del self._tiers[transmits]
                    return

    def _finish(self, number: int) -> None:
        on_finished = self._on_finished.pop(number, None) if self._on_finished else None
        if on_finished is not None:
            on_finished()


def take_from(queues: list[BroadcastQueue], overhead: int, limit: int) -> list[Any]:
    """Take the messages for one packet from several queues, the first one's first (moby `getBroadcasts`)."""
    taken: list[Any] = []
    for queue in queues:
        if not queue:
            continue
        if taken:
            left = limit - sum([overhead + message.size for message in taken])
            if left <= 0:
                break
            taken += queue.take(overhead, left)
        else:
            taken = queue.take(overhead, limit)
    return taken
