"""Timeouts of suspicions that a member is dead, and the health score of the node itself.

Source: memberlist `suspicion.go`, `awareness.go`, `util.go` (v0.5.4); Dadgar, Phillips, Currey: "Lifeguard", 2017.
"""

from __future__ import annotations

from collections.abc import Callable
from math import ceil, floor, log, log2, log10

from attrs import define, field

from cnmsim.kernel.clock import Clock, Timer

PROBE_INTERVAL_S = 1.0
PROBE_TIMEOUT_S = 0.5
INDIRECT_CHECKS = 3
SUSPICION_MULT = 4
SUSPICION_MAX_MULT = 6
PUSH_PULL_INTERVAL_S = 30.0
_PUSH_PULL_THRESHOLD = 32
_WORST_HEALTH = 7


def suspicion_timeout_s(nodes: int) -> float:
    """Return the shortest duration of a suspicion, in seconds, in a cluster of `nodes` nodes."""
    return SUSPICION_MULT * floor(max(1.0, log10(max(1.0, nodes))) * 1000) / 1000 * PROBE_INTERVAL_S


def push_pull_interval_s(nodes: int) -> float:
    """Return the seconds between a node's push/pulls in a cluster of `nodes` nodes."""
    if nodes <= _PUSH_PULL_THRESHOLD:
        return PUSH_PULL_INTERVAL_S
    return (ceil(log2(nodes) - log2(_PUSH_PULL_THRESHOLD)) + 1) * PUSH_PULL_INTERVAL_S


@define(eq=False)
class Suspicion:
    """The suspicion that one member is dead. `sender` is the name of the node that suspected the member first.

    Without confirmation the suspicion lasts `longest_s` seconds. Each confirmation by another node shortens it; after
    `needed` confirmations (which may be 0) it lasts `shortest_s` seconds. `expired` is called at the end.
    """

    clock: Clock
    sender: str
    needed: int
    shortest_s: float
    longest_s: float
    expired: Callable[[], None]
    _confirmed: set[str] = field(init=False)
    _count: int = field(default=0, init=False)
    _start_s: float = field(init=False)
    _timer: Timer = field(init=False)

    def __attrs_post_init__(self) -> None:
        self._confirmed = {self.sender}
        self._start_s = self.clock.now
        first = self.longest_s if self.needed > 0 else self.shortest_s
        self._timer = self.clock.call_later(first, self.expired)

    def confirm(self, sender: str) -> bool:
        """Count a confirmation by the node `sender`, and shorten the suspicion timeout.

        Return `False` if it does not count: `sender` has confirmed before, or enough nodes have.
        """
        if self._count >= self.needed or sender in self._confirmed:
            return False
        self._confirmed.add(sender)
        self._count += 1
        share = log(self._count + 1) / log(self.needed + 1)
        total = floor(1000 * (self.longest_s - share * (self.longest_s - self.shortest_s))) / 1000
        left = max(total, self.shortest_s) - (self.clock.now - self._start_s)
        self._timer.cancel()
        self._timer = self.clock.call_later(max(0.0, left), self.expired)
        return True

    def cancel(self) -> None:
        """Cancel the suspicion: `expired` is not called."""
        self._timer.cancel()


@define
class Awareness:
    """A node's own health score; 0 is best. A node with a bad score probes more slowly, see `scale`."""

    score: int = 0

    def apply(self, delta: int) -> None:
        """Add `delta` points to the score, within the limits 0 and 7. A positive `delta` makes the score worse."""
        self.score = min(_WORST_HEALTH, max(0, self.score + delta))

    def scale(self, seconds: float) -> float:
        """Return `seconds` multiplied by the score plus 1."""
        return seconds * (self.score + 1)
