"""Schedulers, which choose the destination of a new connection (ip_vs_rr.c, ip_vs_wrr.c, ip_vs_lc.c, ip_vs_wlc.c).

Each service has its own scheduler: the round-robin position belongs to the service in one namespace.
"""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from typing import TYPE_CHECKING, ClassVar

if TYPE_CHECKING:
    from cnmsim.kernel.ipvs.service import Destination


class Scheduler(ABC):
    """The base class of schedulers. The argument `destinations` is always the service's list, newest first."""

    __slots__ = ()
    name: ClassVar[str]
    #: Whether the scheduler implements `changed`.
    tracks_changes: ClassVar[bool] = False

    @abstractmethod
    def choose(self, destinations: list[Destination]) -> Destination | None:
        """Return the destination for the next connection, or `None` if there is none with a weight above 0."""

    def changed(self, destinations: list[Destination]) -> None:  # noqa: B027 - few schedulers care
        """Handle the addition of a destination or a change of a weight."""

    def removed(self, destinations: list[Destination], destination: Destination, at: int) -> None:  # noqa: B027
        """Handle the removal of `destination`, which was at index `at` of the list."""


class RoundRobin(Scheduler):
    """`rr`: each destination in turn; a weight of 0 excludes one, other weights have no effect."""

    __slots__ = ("_last",)
    name = "rr"

    def __init__(self) -> None:
        self._last: Destination | None = None

    def choose(self, destinations: list[Destination]) -> Destination | None:
        """Return the destination after the last chosen one, skipping those with weight 0.

        Return `None` if all have weight 0.
        """
        start = 0 if self._last is None else destinations.index(self._last) + 1
        for destination in (*destinations[start:], *destinations[:start]):
            if destination.weight > 0:
                self._last = destination
                return destination
        return None

    def removed(self, destinations: list[Destination], destination: Destination, at: int) -> None:
        """Handle the removal of `destination`. If it was the last chosen one, its successor is chosen next."""
        if self._last is destination:
            self._last = destinations[at - 1] if at else None


class WeightedRoundRobin(Scheduler):
    """`wrr`: each round chooses the destinations whose weight reaches a threshold, which is lowered after each round.

    The threshold starts at the highest weight and falls by the greatest common divisor of the weights.
    """

    __slots__ = ("_highest", "_last", "_step", "_threshold")
    name = "wrr"
    tracks_changes = True

    def __init__(self) -> None:
        self._last: Destination | None = None
        self._threshold = self._highest = 0
        self._step = 1

    def choose(self, destinations: list[Destination]) -> Destination | None:
        """Return the next destination whose weight reaches the threshold, or `None` if no weight is above 0."""
        if not self._highest:
            return None
        start = 0 if self._last is None else destinations.index(self._last) + 1
        while True:
            for destination in destinations[start:]:
                if destination.weight >= self._threshold:
                    self._last = destination
                    return destination
            start = 0
            self._threshold -= self._step
            if self._threshold <= 0:
                self._threshold = self._highest

    def changed(self, destinations: list[Destination]) -> None:
        """Start a new round, because destinations or weights changed.

        The threshold is kept, but reduced to the new highest weight if it is greater.
        """
        self._last = None
        self._measure(destinations)

    def removed(self, destinations: list[Destination], destination: Destination, at: int) -> None:  # noqa: ARG002
        """Start a new round, as after a change of weights."""
        self.changed(destinations)

    def _measure(self, destinations: list[Destination]) -> None:
        weights = [destination.weight for destination in destinations if destination.weight > 0]
        self._step = math.gcd(*weights) if weights else 1
        self._highest = max(weights) - (self._step - 1) if weights else 0
        if self._threshold > self._highest or not self._threshold:
            self._threshold = self._highest
        elif self._step > 1:
            self._threshold = self._threshold // self._step * self._step + 1


class LeastConnection(Scheduler):
    """`lc`: the destination with the fewest connections."""

    __slots__ = ()
    name = "lc"

    def choose(self, destinations: list[Destination]) -> Destination | None:
        """Return the destination with the least load and a weight above 0, or `None` if there is none.

        If several have the same load, return the newest.
        """
        able = [destination for destination in destinations if destination.weight > 0]
        return min(able, key=lambda destination: destination.overhead, default=None)


class WeightedLeastConnection(Scheduler):
    """`wlc`: the destination with the fewest connections in proportion to its weight; the default of ipvsadm."""

    __slots__ = ()
    name = "wlc"

    def choose(self, destinations: list[Destination]) -> Destination | None:
        """Return the destination with the least load in proportion to its weight, or `None` if no weight is above 0.

        If several are equal, return the newest.
        """
        least: Destination | None = None
        for destination in destinations:
            if destination.weight > 0 and (
                least is None or least.overhead * destination.weight > destination.overhead * least.weight
            ):
                least = destination
        return least


#: The schedulers by name.
SCHEDULERS: dict[str, type[Scheduler]] = {
    kind.name: kind for kind in (RoundRobin, WeightedRoundRobin, LeastConnection, WeightedLeastConnection)
}
