"""The gossip queue (memberlist `TransmitLimitedQueue`).

Messages are sent in this order: those with the fewest transmissions first; of these the longest that fits into the
packet; of these the newest. A message is removed after a number of transmissions that grows with the logarithm of the
cluster's size.

Messages are stored sorted by size, and those of one size by age. A byte array holds, at the same indexes, how often
each was transmitted. The messages for a packet are taken as slices of the two, and no other message is moved.
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
#: For each number from 0 to 255 the bytes object with that one byte.
_BYTES = [bytes((transmits,)) for transmits in range(256)]


def retransmit_limit(nodes: int) -> int:
    """Return how many times each message is transmitted in a cluster of `nodes` nodes, e.g. 4 for 9 nodes."""
    return RETRANSMIT_MULT * ceil(log10(nodes + 1))


class BroadcastIndex(Protocol):
    """An index of the queued messages by subject, e.g. by the node to which a message refers.

    A new message replaces the queued message about the same subject (memberlist `NamedBroadcast`).
    """

    def register(self, message: Any, number: int) -> int:
        """Register a queued message. Return the number of the last one about the same subject, or 0 if there is none.

        The queue ignores the number of a message that has left it. `number` is the new message's sequence number in
        the queue, counted from 1.
        """

    def clear(self) -> None:
        """Remove all messages from the index, because the queue is empty."""


class NameIndex:
    """An index of messages in which the subject is the message's `name`."""

    __slots__ = ("_numbers",)

    def __init__(self) -> None:
        self._numbers: dict[str, int] = {}

    def register(self, message: Any, number: int) -> int:
        """Register a queued message. Return the number of the last message about the same subject, or 0."""
        before = self._numbers.get(message.name, 0)
        self._numbers[message.name] = number
        return before

    def clear(self) -> None:
        """Remove all messages from the index, because the queue is empty."""
        # A dict does not shrink. After many messages were queued, a new dict is smaller.
        self._numbers = {}


class SlotIndex:
    """An index of messages in which the subject is the table entry or attachment that a message is about.

    It is identified by its number in the pool (`EntrySlot.number`). Nearly all messages of a large swarm are of this
    kind.
    """

    __slots__ = ("_numbers",)

    def __init__(self) -> None:
        self._numbers = array("I")

    def register(self, message: Any, number: int) -> int:
        """Register a queued message. Return the number of the last message about the same subject, or 0."""
        numbers, slot = self._numbers, message.version.slot.number
        if slot >= len(numbers):
            numbers.frombytes(bytes((slot + 1 - len(numbers)) * numbers.itemsize))
        before: int = numbers[slot]
        numbers[slot] = number
        return before

    def clear(self) -> None:
        """Remove all messages from the index, because the queue is empty."""
        self._numbers = array("I")


#: A slice of the queue with messages of one size that go into one packet: how often they were transmitted before, the
#: start and the end of the slice.
_Piece = tuple[int, int, int]


@define(eq=False)
class BroadcastQueue:
    """A queue of messages to be gossiped.

    `count_nodes` returns the number of nodes in the cluster, on which the number of transmissions depends.
    `on_queued` is called whenever a message is queued. `index` finds an older message about the same subject; without
    an index no message replaces another.
    """

    count_nodes: Callable[[], int]
    on_queued: Callable[[], None]
    index: BroadcastIndex | None = None
    #: For each number of transmissions, how many messages were transmitted so often.
    _counts_by_transmits: dict[int, int] = field(factory=dict, init=False)
    #: The messages, sorted by size and then by age, the newest last; read-only for others. In parallel: their numbers
    #: (a newer message has a higher one) and their numbers of transmissions.
    messages: list[Any] = field(factory=list, init=False)
    _numbers: array[int] = field(factory=lambda: array("I"), init=False)
    _transmits: bytearray = field(factory=bytearray, init=False)
    #: The sizes of messages that occur, and where the slice of each size ends.
    _sizes: list[int] = field(factory=list, init=False)
    _ends: list[int] = field(factory=list, init=False)
    #: The callbacks to call when a message leaves the queue, by the message's number.
    _on_finished: dict[int, Callable[[], None]] = field(factory=dict, init=False)
    _last: int = field(default=0, init=False)
    _limited_for: tuple[int, int] = field(default=(-1, 0), init=False)

    def __len__(self) -> int:
        return len(self.messages)

    def __bool__(self) -> bool:
        return bool(self.messages)

    def queue(self, message: Any, on_finished: Callable[[], None] | None = None) -> None:
        """Queue a message, replacing an older message about the same subject.

        `on_finished` is called when the message leaves the queue: because it was transmitted often enough, or because
        it is replaced.
        """
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
        """Return messages for a packet with `limit` free bytes, and the number of bytes that they occupy.

        Each message occupies its size plus `overhead` bytes. The call counts as one transmission of each returned
        message.
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
        """Count one transmission of the messages in `pieces`, and remove those that were transmitted often enough.

        Each piece is a triple: the number of transmissions so far, and the start and end of a slice of the queue.
        """
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
        finished = [number for _, start, end in pieces for number in reversed(self._numbers[start:end])]
        # Start at the end, so that the indexes of the slices before it remain valid.
        for _, start, end in sorted(pieces, key=itemgetter(1), reverse=True):
            self._drop(start, end)
        for number in finished:
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
        """Remove the slice `start`..`end` (exclusive), whose messages all have the same size."""
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
    """Return messages for a packet of `limit` bytes, taken from the queues in order (moby `getBroadcasts`).

    Each message occupies its size plus `overhead` bytes.
    """
    collected: list[Any] = []
    for queue in queues:
        if queue.messages and limit > 0:
            messages, size = queue.get_broadcasts(overhead, limit)
            limit -= size
            collected = collected + messages if collected else messages
    return collected
