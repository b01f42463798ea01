"""The queue of what is still to be gossiped (memberlist `TransmitLimitedQueue`).

What was sent least goes first, of those the longest that fits, of those the newest. After a number of transmissions that
grows with the logarithm of the cluster's size a message is done.

Messages of one size lie together, in the order they came in, with a byte each that tells how often they were transmitted: so
those of a packet are found as a whole, and stay where they are.
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
#: What tells that a message was transmitted so often.
_BYTES = [bytes((transmits,)) for transmits in range(256)]


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
    """Messages of one size, the newest last, each with its number (the higher, the newer) and how often it was transmitted.

    `lowest`: none was transmitted less often.
    """

    __slots__ = ("lowest", "messages", "numbers", "transmits")

    def __init__(self) -> None:
        self.numbers = array("I")
        self.messages: list[Any] = []
        self.transmits = bytearray()
        self.lowest = 0

    def add(self, number: int, message: Any) -> None:
        """Add a message, the newest of all, which was never transmitted."""
        self.numbers.append(number)
        self.messages.append(message)
        self.transmits.append(0)
        self.lowest = 0

    def find(self, number: int) -> int | None:
        """Give the place of the message with that number, or `None`."""
        place = bisect_left(self.numbers, number)
        return place if place < len(self.numbers) and self.numbers[place] == number else None


#: Messages of one size that lie side by side and go into a packet: how often they were transmitted before, their size, those
#: they are among, and the places from and up to which they are.
_Piece = tuple[int, int, _Alike, int, int]


@define(eq=False)
class BroadcastQueue:
    """Messages to be gossiped. `on_queued` is called when one came in.

    `subjects` tells which are about the same; without it no two are.
    """

    count_nodes: Callable[[], int]
    on_queued: Callable[[], None]
    subjects: Subjects | None = None
    #: By size, the largest first.
    _alikes: dict[int, _Alike] = field(factory=dict, init=False)
    #: How many messages were transmitted so often.
    _tiers: dict[int, int] = field(factory=dict, init=False)
    #: What is to be called when a message is done, by its number.
    _on_finished: dict[int, Callable[[], None]] = field(factory=dict, init=False)
    _last: int = field(default=0, init=False)
    _limited_for: tuple[int, int] = field(default=(-1, 0), init=False)
    #: No message in the queue is smaller.
    _least: int = field(default=_MOST, init=False)

    def __len__(self) -> int:
        return sum(self._tiers.values())

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
        alike = self._alikes.get(size)
        if alike is None:
            alike = _Alike()
            self._alikes = dict(sorted([*self._alikes.items(), (size, alike)], key=itemgetter(0), reverse=True))
            self._least = min(self._least, size)
        alike.add(number, message)
        self._tiers[0] = self._tiers.get(0, 0) + 1
        self.on_queued()

    def take(self, overhead: int, limit: int) -> tuple[list[Any], int]:
        """Take the messages for one packet of at most `limit` bytes, of which each takes `overhead` more than its size.

        Gives them and the bytes they take with that.
        """
        tiers, least = self._tiers, self._least
        free = limit - overhead
        pieces: list[_Piece] = []
        messages: list[Any] = []
        for transmits in sorted(tiers) if len(tiers) > 1 else tuple(tiers):
            if free < least:
                break
            for size, alike in self._alikes.items():
                if alike.lowest > transmits or size > free:
                    continue
                counts = alike.transmits
                end = counts.rfind(transmits) + 1
                if not end and not pieces:
                    alike.lowest = transmits + 1
                while end:
                    count = (free + overhead) // (size + overhead)
                    start = end - count if count < end else 0
                    if counts.count(transmits, start, end) < end - start:
                        start += len(counts[start:end].rstrip(_BYTES[transmits]))
                    found = alike.messages[start:end]
                    found.reverse()
                    messages += found
                    pieces.append((transmits, size, alike, start, end))
                    free -= (end - start) * (size + overhead)
                    if size > free:
                        break
                    end = counts.rfind(transmits, 0, start) + 1
                if free < least:
                    break
        if pieces:
            self._sent(pieces)
        return messages, limit - overhead - free

    def _sent(self, pieces: list[_Piece]) -> None:
        """Count what was transmitted, and let go of what is not to be transmitted again."""
        most = self._limit()
        tiers = self._tiers
        done: list[_Piece] = []
        for piece in pieces:
            transmits, _, alike, start, end = piece
            count = end - start
            tiers[transmits] -= count
            if not tiers[transmits]:
                del tiers[transmits]
            transmits += 1
            if transmits < most:
                alike.transmits[start:end] = _BYTES[transmits] * count
                tiers[transmits] = tiers.get(transmits, 0) + count
            else:
                done.append(piece)
        if done:
            self._done(done)

    def _done(self, pieces: list[_Piece]) -> None:
        finished = [
            (alike.numbers[place], alike.messages[place])
            for _, _, alike, start, end in pieces
            for place in range(end - 1, start - 1, -1)
        ]
        # From the end on, so that the places of the others stay right.
        for _, size, alike, start, end in sorted(pieces, key=itemgetter(3), reverse=True):
            self._drop(size, alike, start, end)
        for number, message in finished:
            if self.subjects is not None:
                self.subjects.leave(message, number)
            self._finish(number)
        if not self._tiers and self.subjects is not None:
            self.subjects.clear()

    def _limit(self) -> int:
        nodes = self.count_nodes()
        if nodes != self._limited_for[0]:
            self._limited_for = (nodes, retransmit_limit(nodes))
        return self._limited_for[1]

    def _remove(self, number: int) -> None:
        for size, alike in self._alikes.items():
            place = alike.find(number)
            if place is not None:
                transmits = alike.transmits[place]
                self._tiers[transmits] -= 1
                if not self._tiers[transmits]:
                    del self._tiers[transmits]
                self._drop(size, alike, place, place + 1)
                return

    def _drop(self, size: int, alike: _Alike, start: int, end: int) -> None:
        del alike.numbers[start:end], alike.messages[start:end], alike.transmits[start:end]
        if not alike.messages:
            del self._alikes[size]
            self._least = min(self._alikes, default=_MOST)

    def _finish(self, number: int) -> None:
        on_finished = self._on_finished.pop(number, None) if self._on_finished else None
        if on_finished is not None:
            on_finished()


def take_from(queues: list[BroadcastQueue], overhead: int, limit: int) -> list[Any]:
    """Take the messages for one packet from several queues, the first one's first (moby `getBroadcasts`)."""
    taken: list[Any] = []
    for queue in queues:
        if queue and limit > 0:
            messages, size = queue.take(overhead, limit)
            limit -= size
            taken = taken + messages if taken else messages
    return taken
