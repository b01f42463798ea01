"""The queue of what is still to be gossiped (memberlist `TransmitLimitedQueue`).

What was sent least goes first, of those the longest that fits, of those the newest. After a number of transmissions that
grows with the logarithm of the cluster's size a message is done.
"""

from __future__ import annotations

from bisect import bisect_left, insort
from collections.abc import Callable, Hashable
from math import ceil, log10
from typing import Any

from attrs import define, field

RETRANSMIT_MULT = 4


def retransmit_limit(nodes: int) -> int:
    """Tell how often a message is transmitted in a cluster of so many nodes."""
    return RETRANSMIT_MULT * ceil(log10(nodes + 1))


@define(eq=False)
class Broadcast:
    """A message in the queue. `name` is what it is about: a newer message about the same takes its place."""

    message: Any
    size: int
    name: Hashable = None
    on_finished: Callable[[], None] | None = None
    transmits: int = 0
    id: int = 0

    def __lt__(self, other: Broadcast) -> bool:
        """Tell whether it goes before another that was transmitted as often."""
        return self.size > other.size or (self.size == other.size and self.id > other.id)


@define(eq=False)
class BroadcastQueue:
    """Messages to be gossiped. `on_queued` is called when one came in."""

    count_nodes: Callable[[], int]
    on_queued: Callable[[], None]
    _tiers: dict[int, list[Broadcast]] = field(factory=dict, init=False)
    _named: dict[Hashable, Broadcast] = field(factory=dict, init=False)
    _last_id: int = field(default=0, init=False)
    _limited_for: tuple[int, int] = field(default=(-1, 0), init=False)

    def __len__(self) -> int:
        return sum(len(tier) for tier in self._tiers.values())

    def __bool__(self) -> bool:
        return bool(self._tiers)

    def queue(self, message: Any, name: Hashable = None, on_finished: Callable[[], None] | None = None) -> None:
        """Put a message in, in place of an older one about the same."""
        self._last_id += 1
        broadcast = Broadcast(message, message.size, name, on_finished, 0, self._last_id)
        if name is not None:
            old = self._named.get(name)
            if old is not None:
                self._remove(old)
                _finish(old)
            self._named[name] = broadcast
        self._insert(broadcast)
        self.on_queued()

    def take(self, overhead: int, limit: int) -> list[Any]:
        """Take the messages for one packet of at most `limit` bytes, of which each takes `overhead` more than its size."""
        if not self._tiers:
            return []
        most = self._limit()
        used = 0
        taken: list[Broadcast] = []
        for transmits in sorted(self._tiers):
            while (tier := self._tiers.get(transmits)) and (free := limit - used - overhead) > 0:
                # Entries of one network are alike in size: most often the first one fits.
                at = 0 if tier[0].size <= free else bisect_left(tier, -free, key=_negative_size)
                if at == len(tier):
                    break
                broadcast = tier.pop(at)
                if not tier:
                    del self._tiers[transmits]
                used += overhead + broadcast.size
                taken.append(broadcast)
        for broadcast in taken:
            broadcast.transmits += 1
            if broadcast.transmits < most:
                self._insert(broadcast)
                continue
            if broadcast.name is not None and self._named.get(broadcast.name) is broadcast:
                del self._named[broadcast.name]
            _finish(broadcast)
        if not self._tiers:
            # A dict that was large stays so: after a storm a new one is smaller.
            self._named = {}
        return [broadcast.message for broadcast in taken]

    def _limit(self) -> int:
        nodes = self.count_nodes()
        if nodes != self._limited_for[0]:
            self._limited_for = (nodes, retransmit_limit(nodes))
        return self._limited_for[1]

    def _insert(self, broadcast: Broadcast) -> None:
        insort(self._tiers.setdefault(broadcast.transmits, []), broadcast)

    def _remove(self, broadcast: Broadcast) -> None:
        tier = self._tiers[broadcast.transmits]
        tier.remove(broadcast)
        if not tier:
            del self._tiers[broadcast.transmits]


def _negative_size(broadcast: Broadcast) -> int:
    return -broadcast.size


def _finish(broadcast: Broadcast) -> None:
    if broadcast.on_finished is not None:
        broadcast.on_finished()


def take_from(queues: list[BroadcastQueue], overhead: int, limit: int) -> list[Any]:
    """Take the messages for one packet from several queues, the first one's first (moby `getBroadcasts`)."""
    taken: list[Any] = []
    for queue in queues:
        for message in queue.take(overhead, limit):
            limit -= overhead + message.size
            taken.append(message)
        if limit <= 0:
            break
    return taken
