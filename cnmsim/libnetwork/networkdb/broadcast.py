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

    @property
    def place(self) -> _Place:
        """What sorts it among those that were transmitted as often."""
        return self.size, self.id, self


#: What goes first stands last: the longest, of those the newest. No two have the same number.
_Place = tuple[int, int, Broadcast]


@define(eq=False)
class BroadcastQueue:
    """Messages to be gossiped. `on_queued` is called when one came in."""

    count_nodes: Callable[[], int]
    on_queued: Callable[[], None]
    _tiers: dict[int, list[_Place]] = field(factory=dict, init=False)
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
        insort(self._tiers.setdefault(0, []), broadcast.place)
        self.on_queued()

    def take(self, overhead: int, limit: int) -> list[Any]:
        """Take the messages for one packet of at most `limit` bytes, of which each takes `overhead` more than its size."""
        if not self._tiers:
            return []
        most = self._limit()
        tiers = self._tiers
        free = limit - overhead
        taken: list[_Place] = []
        for transmits in sorted(tiers):
            tier = tiers[transmits]
            while tier and tier[0][0] <= free:
                # Entries of one network are alike in size: most often the longest one fits.
                place = tier.pop(-1 if tier[-1][0] <= free else bisect_left(tier, (free + 1,)) - 1)
                free -= overhead + place[0]
                taken.append(place)
            if not tier:
                del tiers[transmits]
        for place in taken:
            broadcast = place[2]
            broadcast.transmits += 1
            if broadcast.transmits < most:
                insort(tiers.setdefault(broadcast.transmits, []), place)
                continue
            if broadcast.name is not None and self._named.get(broadcast.name) is broadcast:
                del self._named[broadcast.name]
            _finish(broadcast)
        if not self._tiers:
            # A dict that was large stays so: after a storm a new one is smaller.
            self._named = {}
        return [place[2].message for place in taken]

    def _limit(self) -> int:
        nodes = self.count_nodes()
        if nodes != self._limited_for[0]:
            self._limited_for = (nodes, retransmit_limit(nodes))
        return self._limited_for[1]

    def _remove(self, broadcast: Broadcast) -> None:
        tier = self._tiers[broadcast.transmits]
        del tier[bisect_left(tier, broadcast.place)]
        if not tier:
            del self._tiers[broadcast.transmits]


def _finish(broadcast: Broadcast) -> None:
    if broadcast.on_finished is not None:
        broadcast.on_finished()


def take_from(queues: list[BroadcastQueue], overhead: int, limit: int) -> list[Any]:
    """Take the messages for one packet from several queues, the first one's first (moby `getBroadcasts`)."""
    taken: list[Any] = []
    for queue in queues:
        if not queue:
            continue
        messages = queue.take(overhead, limit)
        taken += messages
        if queue is not queues[-1]:
            limit -= sum(overhead + message.size for message in messages)
            if limit <= 0:
                break
    return taken
