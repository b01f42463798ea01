"""Choosing a destination for a new connection (ip_vs_rr.c, ip_vs_wrr.c, ip_vs_lc.c, ip_vs_wlc.c).

Each service has a scheduler of its own: the round-robin position belongs to the service, in one namespace.
"""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from typing import TYPE_CHECKING, ClassVar

if TYPE_CHECKING:
    from cnmsim.kernel.ipvs.service import Destination


class Scheduler(ABC):
    """What all schedulers have; the list they are given is the service's, newest destination first."""

    __slots__ = ()
    name: ClassVar[str]
    #: Whether `changed` does anything.
    tracks_changes: ClassVar[bool] = False

    @abstractmethod
    def choose(self, destinations: list[Destination]) -> Destination | None:
        """Give the destination of the next connection, `None` if none has a weight."""

    def changed(self, destinations: list[Destination]) -> None:  # noqa: B027 - few schedulers care
        """Take note that a destination came or has another weight."""

    def removed(self, destinations: list[Destination], gone: Destination, at: int) -> None:  # noqa: B027
        """Take note that `gone` was taken out of the list, where it stood at index `at`."""


class RoundRobin(Scheduler):
    """`rr`: one after the other, weights only tell zero from not zero."""

    __slots__ = ("_last",)
    name = "rr"

    def __init__(self) -> None:
        self._last: Destination | None = None

    def choose(self, destinations: list[Destination]) -> Destination | None:
        """Give the first with a weight after the last chosen, going round once."""
        start = 0 if self._last is None else destinations.index(self._last) + 1
        for destination in (*destinations[start:], *destinations[:start]):
            if destination.weight > 0:
                self._last = destination
                return destination
        return None

    def removed(self, destinations: list[Destination], gone: Destination, at: int) -> None:
        """Step back to the one before, so that the one after comes next."""
        if self._last is gone:
            self._last = destinations[at - 1] if at else None


class WeightedRoundRobin(Scheduler):
    """`wrr`: rounds in which the bar falls from the highest weight, by the weights' common divisor."""

    __slots__ = ("_bar", "_highest", "_last", "_step")
    name = "wrr"
    tracks_changes = True

    def __init__(self) -> None:
        self._last: Destination | None = None
        self._bar = self._highest = 0
        self._step = 1

    def choose(self, destinations: list[Destination]) -> Destination | None:
        """Give the next destination whose weight reaches the bar, lowering the bar after each round."""
        if not self._highest:
            return None
        start = 0 if self._last is None else destinations.index(self._last) + 1
        while True:
            for destination in destinations[start:]:
                if destination.weight >= self._bar:
                    self._last = destination
                    return destination
            start = 0
            self._bar -= self._step
            if self._bar <= 0:
                self._bar = self._highest

    def changed(self, destinations: list[Destination]) -> None:
        """Begin a new round, with the bar where it was if the weights allow it."""
        self._last = None
        self._measure(destinations)

    def removed(self, destinations: list[Destination], gone: Destination, at: int) -> None:  # noqa: ARG002
        """Do the same for a destination that went."""
        self.changed(destinations)

    def _measure(self, destinations: list[Destination]) -> None:
        weights = [destination.weight for destination in destinations if destination.weight > 0]
        self._step = math.gcd(*weights) if weights else 1
        self._highest = max(weights) - (self._step - 1) if weights else 0
        if self._bar > self._highest or not self._bar:
            self._bar = self._highest
        elif self._step > 1:
            self._bar = self._bar // self._step * self._step + 1


class LeastConnection(Scheduler):
    """`lc`: the one with the fewest connections."""

    __slots__ = ()
    name = "lc"

    def choose(self, destinations: list[Destination]) -> Destination | None:
        """Give the least loaded with a weight, the newest of equals."""
        able = [destination for destination in destinations if destination.weight > 0]
        return min(able, key=lambda destination: destination.overhead, default=None)


class WeightedLeastConnection(Scheduler):
    """`wlc`: the one with the fewest connections for its weight. ipvsadm's default."""

    __slots__ = ()
    name = "wlc"

    def choose(self, destinations: list[Destination]) -> Destination | None:
        """Give the least loaded for its weight, the newest of equals."""
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
