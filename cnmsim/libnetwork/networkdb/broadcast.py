"""The queue of what is still to be gossiped (memberlist `TransmitLimitedQueue`).

What was sent least goes first, of those the longest that fits, of those the newest. After a number of transmissions that
grows with the logarithm of the cluster's size a message is done.

Messages of one size that were sent equally often lie together, so that those of a packet are taken and put back as a whole.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Callable, Hashable
from math import ceil, log10
from operator import itemgetter
from typing import Any, NamedTuple

from attrs import define, field

RETRANSMIT_MULT = 4
_MOST = 1 << 30
_by_id = itemgetter(1)


def retransmit_limit(nodes: int) -> int:
    """Tell how often a message is transmitted in a cluster of so many nodes."""
    return RETRANSMIT_MULT * ceil(log10(nodes + 1))


class Broadcast(NamedTuple):
    """A message in the queue. `name` is what it is about: a newer message about the same takes its place.

    The higher its `id`, the newer it is. No two have the same.
    """

    size: int
    id: int
    message: Any
    name: Hashable = None
    on_finished: Callable[[], None] | None = None


@define(eq=False)
class BroadcastQueue:
    """Messages to be gossiped. `on_queued` is called when one came in."""

    count_nodes: Callable[[], int]
    on_queued: Callable[[], None]
    #: By how often they were transmitted and by size, the newest last.
    _tiers: dict[int, dict[int, list[Broadcast]]] = field(factory=dict, init=False)
    _named: dict[Hashable, Broadcast] = field(factory=dict, init=False)
    _last_id: int = field(default=0, init=False)
    _limited_for: tuple[int, int] = field(default=(-1, 0), init=False)
    #: No message in the queue is smaller.
    _least: int = field(default=_MOST, init=False)

    def __len__(self) -> int:
        return sum(len(alike) for tier in self._tiers.values() for alike in tier.values())

    def __bool__(self) -> bool:
        return bool(self._tiers)

    def queue(self, message: Any, name: Hashable = None, on_finished: Callable[[], None] | None = None) -> None:
        """Put a message in, in place of an older one about the same."""
        self._last_id += 1
        broadcast = Broadcast(message.size, self._last_id, message, name, on_finished)
        if name is not None:
            old = self._named.get(name)
            if old is not None:
                self._remove(old)
                _finish(old)
            self._named[name] = broadcast
        self._tiers.setdefault(0, {}).setdefault(broadcast.size, []).append(broadcast)
        self._least = min(self._least, broadcast.size)
        self.on_queued()

    def take(self, overhead: int, limit: int) -> list[Any]:
        """Take the messages for one packet of at most `limit` bytes, of which each takes `overhead` more than its size."""
        tiers, least = self._tiers, self._least
        free = limit - overhead
        taken: list[tuple[int, int, list[Broadcast]]] = []
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
                if count >= len(alike):
                    chosen = alike
                    del tier[size]
                else:
                    chosen = alike[-count:]
                    del alike[-count:]
                free -= len(chosen) * (size + overhead)
                messages += [broadcast[2] for broadcast in reversed(chosen)]
                taken.append((transmits + 1, size, chosen))
                if free < least:
                    break
            if not tier:
                del tiers[transmits]
        if taken:
            self._sent(taken)
        return messages

    def _sent(self, taken: list[tuple[int, int, list[Broadcast]]]) -> None:
        """Put back what is to be transmitted again, by how often it was."""
        most = self._limit()
        tiers = self._tiers
        for transmits, size, chosen in taken:
            if transmits < most:
                tier = tiers.setdefault(transmits, {})
                alike = tier.get(size)
                if alike is None:
                    tier[size] = chosen
                elif chosen[-1][1] < alike[0][1]:  # most often: the newest go first
                    alike[:0] = chosen
                else:
                    alike += chosen
                    alike.sort(key=_by_id)
                continue
            for broadcast in reversed(chosen):
                name = broadcast.name
                if name is not None and self._named.get(name) is broadcast:
                    del self._named[name]
                _finish(broadcast)
        if not tiers:
            # A dict that was large stays so: after a storm a new one is smaller.
            self._named = {}
            self._least = _MOST

    def _limit(self) -> int:
        nodes = self.count_nodes()
        if nodes != self._limited_for[0]:
            self._limited_for = (nodes, retransmit_limit(nodes))
        return self._limited_for[1]

    def _remove(self, broadcast: Broadcast) -> None:
        for transmits, tier in self._tiers.items():
            alike = tier.get(broadcast.size, [])
            place = bisect_left(alike, broadcast.id, key=_by_id)
            if place < len(alike) and alike[place] is broadcast:
                del alike[place]
                if not alike:
                    del tier[broadcast.size]
                if not tier:
                    del self._tiers[transmits]
                return


def _finish(broadcast: Broadcast) -> None:
    if broadcast.on_finished is not None:
        broadcast.on_finished()


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
