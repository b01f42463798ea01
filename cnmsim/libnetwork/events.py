"""The events of a controller, such as the creation of a network or the join of an endpoint.

An event is a call of libnetwork that succeeded. The engine's own events (`docker events`) are derived from commands,
and are in `cnmsim.engine.daemon.event_log`.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterator, Mapping

from attrs import define, field, frozen

from cnmsim.kernel.clock import NS_PER_S, Clock

#: The number of events that are kept. dockerd keeps as many of its own events.
KEPT = 256


@frozen
class CnmEvent:
    """One event at the virtual time `time_ns`, in nanoseconds.

    `kind` is `network`, `endpoint` or `sandbox`; `action` is `create`, `join`, `leave` or `delete`. `attributes`
    contains the `driver` of a network, the `network` of an endpoint and, for `join` and `leave`, the `sandbox`.
    """

    time_ns: int
    kind: str
    action: str
    id: str
    name: str
    attributes: Mapping[str, str] = field(factory=dict, hash=False)

    def __str__(self) -> str:
        details = ", ".join(f"{key}={value}" for key, value in self.attributes.items())
        return f"{self.time_ns / NS_PER_S:.6f} {self.kind} {self.action} {self.name}" + (
            f" ({details})" if details else ""
        )


@define(eq=False)
class EventLog:
    """The last 256 events of a controller, oldest first."""

    clock: Clock = field(repr=False)
    _kept: deque[CnmEvent] = field(factory=lambda: deque(maxlen=KEPT), init=False)
    _subscribers: list[Callable[[CnmEvent], None]] = field(factory=list, init=False, repr=False)

    def emit(self, kind: str, action: str, id: str, name: str, **attributes: str) -> None:  # noqa: A002
        """Append an event and pass it to every subscriber."""
        event = CnmEvent(self.clock.now_ns, kind, action, id, name, attributes)
        self._kept.append(event)
        for subscriber in tuple(self._subscribers):
            subscriber(event)

    def subscribe(self, callback: Callable[[CnmEvent], None]) -> Callable[[], None]:
        """Call `callback` with every later event. Return a function that unsubscribes it."""
        self._subscribers.append(callback)

        def unsubscribe() -> None:
            if callback in self._subscribers:
                self._subscribers.remove(callback)

        return unsubscribe

    def __iter__(self) -> Iterator[CnmEvent]:
        return iter(tuple(self._kept))

    def __len__(self) -> int:
        return len(self._kept)

    def __getitem__(self, position: int) -> CnmEvent:
        return self._kept[position]

    def __str__(self) -> str:
        return "\n".join(map(str, self._kept))
