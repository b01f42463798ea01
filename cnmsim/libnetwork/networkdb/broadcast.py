"""The queue of what is still to be gossiped (memberlist `TransmitLimitedQueue`).

What was sent least goes first, of those the longest that fits, of those the newest. After a number of transmissions that
grows with the logarithm of the cluster's size a message is done.

Messages lie in the order of their sizes, those of one size in the order they came in, with a byte each that tells how often they
were transmitted: so those of a packet are found as a whole, and stay where they are.
"""

from __future__ import annotations

from array import array
from bisect import bisect_left, bisect_right
from collections.abc import Callable, Iterable
from math import ceil, log10
from operator import itemgetter
from typing import Any, Protocol

from attrs import define, field

RETRANSMIT_MULT = 4
#: What tells that a message was transmitted so often.
_BYTES = [bytes((transmits,)) for transmits in range(256)]


def retransmit_limit(nodes: int) -> int:
    """Return how often a message is transmitted in a cluster of so many nodes."""
    return RETRANSMIT_MULT * ceil(log10(nodes + 1))


class BroadcastIndex(Protocol):
    """What the messages in a queue are about: a newer message about the same takes an older one's place."""

    def register(self, message: Any, number: int) -> int:
        """Take note of a message's number; returns that of the older one about the same, 0 if there is none."""

    def unregister(self, message: Any, number: int) -> None:
        """Take note that a message is done."""

    def clear(self) -> None:
        """Take note that the queue is empty."""


class NameIndex:
    """Messages that are about something with a `name`."""

    __slots__ = ("_numbers",)

    def __init__(self) -> None:
        self._numbers: dict[str, int] = {}

    def register(self, message: Any, number: int) -> int:
        """Take note of a message's number; returns that of the older one about the same, 0 if there is none."""
        before = self._numbers.get(message.name, 0)
        self._numbers[message.name] = number
        return before

    def unregister(self, message: Any, number: int) -> None:
        """Take note that a message is done."""
        if self._numbers.get(message.name) == number:
            del self._numbers[message.name]

    def clear(self) -> None:
        """Take note that the queue is empty."""
        # A dict that was large stays so: after a storm a new one is smaller.
        self._numbers = {}


class SlotIndex:
    """Messages that are about versions of entries of one space: what a storm of a large swarm consists of."""

    __slots__ = ("_numbers",)

    def __init__(self) -> None:
        self._numbers = array("I")

    def register(self, message: Any, number: int) -> int:
        """Take note of a message's number; returns that of the older one about the same, 0 if there is none."""
        numbers, slot = self._numbers, message.version.slot.number
        if slot >= len(numbers):
            numbers.frombytes(bytes((slot + 1 - len(numbers)) * numbers.itemsize))
        before: int = numbers[slot]
        numbers[slot] = number
        return before

    def unregister(self, message: Any, number: int) -> None:
        """Take note that a message is done."""
        slot = message.version.slot.number
        if self._numbers[slot] == number:
            self._numbers[slot] = 0

    def clear(self) -> None:
        """Take note that the queue is empty."""
        self._numbers = array("I")


#: Messages of one size that lie side by side and go into a packet: how often they were transmitted before, and from and up to
#: which place they are.
_Piece = tuple[int, int, int]


@define(eq=False)
class BroadcastQueue:
    """Messages to be gossiped. `on_queued` is called when one came in.

    `index` tells which are about the same; without it no two are.
    """

    count_nodes: Callable[[], int]
    on_queued: Callable[[], None]
    index: BroadcastIndex | None = None
    #: How many messages were transmitted so often.
    _counts_by_transmits: dict[int, int] = field(factory=dict, init=False)
    #: The messages, the smallest first, of one size the newest last; not to be changed by others. With each its number (the higher,
    #: the newer) and how often it was transmitted.
    messages: list[Any] = field(factory=list, init=False)
    _numbers: array[int] = field(factory=lambda: array("I"), init=False)
    _transmits: bytearray = field(factory=bytearray, init=False)
    #: The sizes there are, and the place up to which each is.
    _sizes: list[int] = field(factory=list, init=False)
    _ends: list[int] = field(factory=list, init=False)
    #: What is to be called when a message is done, by its number.
    _on_finished: dict[int, Callable[[], None]] = field(factory=dict, init=False)
    _last: int = field(default=0, init=False)
    _limited_for: tuple[int, int] = field(default=(-1, 0), init=False)

    def __len__(self) -> int:
        return len(self.messages)

    def __bool__(self) -> bool:
        return bool(self.messages)

    def queue(self, message: Any, on_finished: Callable[[], None] | None = None) -> None:
        """Put a message in, in place of an older one about the same. `on_finished` is called when it is done."""
        self._last = number = self._last + 1
        if self.index is not None and (before := self.index.register(message, number)):
            self._remove(before)
            self._finish(before)
        if on_finished is not None:
            self._on_finished[number] = on_finished
        size, sizes, ends = message.size, self._sizes, self._ends
        place = bisect_left(sizes, size)
        if place == len(sizes) or sizes[place] != size:
            sizes.insert(place, size)
            ends.insert(place, ends[place - 1] if place else 0)
        end = ends[place]
        self._numbers.insert(end, number)
        self.messages.insert(end, message)
        self._transmits.insert(end, 0)
        for larger in range(place, len(ends)):
            ends[larger] += 1
        self._counts_by_transmits[0] = self._counts_by_transmits.get(0, 0) + 1
        self.on_queued()

    def get_broadcasts(self, overhead: int, limit: int) -> tuple[list[Any], int]:
        """Take the messages for one packet of at most `limit` bytes, of which each takes `overhead` more than its size.

        Gives them and the bytes they take with that.
        """
        sizes, ends, counts = self._sizes, self._ends, self._transmits
        free = limit - overhead
        pieces: list[_Piece] = []
        messages: list[Any] = []
        for transmits in sorted(self._counts_by_transmits):
            if free < sizes[0]:
                break
            end = len(counts) if free >= sizes[-1] else ends[bisect_right(sizes, free) - 1]
            while end := counts.rfind(transmits, 0, end) + 1:
                place = bisect_left(ends, end)
                size = sizes[place]
                first = ends[place - 1] if place else 0
                count = (free + overhead) // (size + overhead)
                start = end - count if count < end - first else first
                if counts.count(transmits, start, end) < end - start:
                    start += len(counts[start:end].rstrip(_BYTES[transmits]))
                batch = self.messages[start:end]
                batch.reverse()
                messages += batch
                pieces.append((transmits, start, end))
                free -= (end - start) * (size + overhead)
                end = start
                if free < size:
                    if free < sizes[0]:
                        break
                    end = ends[bisect_right(sizes, free) - 1]
        if pieces:
            self._sent(pieces)
        return messages, limit - overhead - free

    def _sent(self, pieces: list[_Piece]) -> None:
        """Count what was transmitted, and let go of what is not to be transmitted again."""
        most = self._limit()
        tiers = self._counts_by_transmits
        done: list[_Piece] = []
        for piece in pieces:
            transmits, start, end = piece
            count = end - start
            tiers[transmits] -= count
            if not tiers[transmits]:
                del tiers[transmits]
            transmits += 1
            if transmits < most:
                self._transmits[start:end] = _BYTES[transmits] * count
                tiers[transmits] = tiers.get(transmits, 0) + count
            else:
                done.append(piece)
        if done:
            self._done(done)

    def _done(self, pieces: list[_Piece]) -> None:
        finished = [
            (self._numbers[place], self.messages[place])
            for _, start, end in pieces
            for place in range(end - 1, start - 1, -1)
        ]
        # From the end on, so that the places of the others stay right.
        for _, start, end in sorted(pieces, key=itemgetter(1), reverse=True):
            self._drop(start, end)
        for number, message in finished:
            if self.index is not None:
                self.index.unregister(message, number)
            self._finish(number)
        if not self._counts_by_transmits and self.index is not None:
            self.index.clear()

    def _limit(self) -> int:
        nodes = self.count_nodes()
        if nodes != self._limited_for[0]:
            self._limited_for = (nodes, retransmit_limit(nodes))
        return self._limited_for[1]

    def _remove(self, number: int) -> None:
        numbers = self._numbers
        start = 0
        for end in self._ends:
            place = bisect_left(numbers, number, start, end)
            if place < end and numbers[place] == number:
                transmits = self._transmits[place]
                self._counts_by_transmits[transmits] -= 1
                if not self._counts_by_transmits[transmits]:
                    del self._counts_by_transmits[transmits]
                self._drop(place, place + 1)
                return
            start = end

    def _drop(self, start: int, end: int) -> None:
        """Remove messages of one size."""
        del self._numbers[start:end], self.messages[start:end], self._transmits[start:end]
        ends = self._ends
        place = bisect_left(ends, end)
        for larger in range(place, len(ends)):
            ends[larger] -= end - start
        if ends[place] == (ends[place - 1] if place else 0):
            del self._sizes[place], ends[place]

    def _finish(self, number: int) -> None:
        on_finished = self._on_finished.pop(number, None) if self._on_finished else None
        if on_finished is not None:
            on_finished()


def get_broadcasts(queues: Iterable[BroadcastQueue], overhead: int, limit: int) -> list[Any]:
    """Take the messages for one packet from several queues, the first one's first (moby `getBroadcasts`)."""
    collected: list[Any] = []
    for queue in queues:
        if queue.messages and limit > 0:
            messages, size = queue.get_broadcasts(overhead, limit)
            limit -= size
            collected = collected + messages if collected else messages
    return collected
