"""The event log of an engine (`docker events`), and its subscribers.

Source: moby `daemon/events/{events,filter}.go`, `daemon/events.go`, `api/types/events`.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Mapping
from typing import Any

from attrs import define, field, frozen

from cnmsim.engine.wire.filters import Filters
from cnmsim.kernel.clock import NS_PER_S, Clock

#: Number of events that an engine keeps.
_REMEMBERED = 256
_SUBJECTS = ("config", "daemon", "network", "node", "plugin", "secret", "service", "volume")


@frozen
class LoggedEvent:
    """One event.

    `type` is "container", "image", "network", "volume", …; `actor` is the id of the object concerned.
    """

    type: str
    action: str
    actor: str
    attributes: Mapping[str, str]
    time_ns: int
    scope: str = "local"

    def view(self, *, has_legacy_fields: bool) -> dict[str, Any]:
        """Return the event as the API prints it.

        `has_legacy_fields` repeats some fields at the top level, as for clients before API 1.52.
        """
        legacy: dict[str, Any] = {}
        if has_legacy_fields and self.type in {"container", "image"}:
            legacy = {"status": self.action, "id": self.actor}
            if self.type == "container":
                legacy["from"] = self.attributes.get("image", "")
        return legacy | {
            "Type": self.type,
            "Action": self.action,
            "Actor": {"ID": self.actor, "Attributes": dict(sorted(self.attributes.items()))},
            "scope": self.scope,
            "time": self.time_ns // NS_PER_S,
            "timeNano": self.time_ns,
        }


@define
class EventLog:
    """The events of one engine.

    `past` holds the last events, oldest first. `unsaved` holds those since a state file was last written, or is
    `None` if the lab has no state file.
    """

    clock: Clock
    past: deque[LoggedEvent] = field(factory=lambda: deque(maxlen=_REMEMBERED), init=False)
    #: The events since a state file was last written; `None` if there is no state file.
    unsaved: list[LoggedEvent] | None = field(default=None, init=False)
    _listeners: list[Callable[[LoggedEvent], None]] = field(factory=list, init=False)

    def log(
        self, type_: str, action: str, actor: str, attributes: Mapping[str, str], *, scope: str = "local"
    ) -> None:
        """Log an event with the present time, and call the subscribers. `actor` is the id of the object concerned.

        `scope` is "local", or "swarm" for an object of the swarm.
        """
        event = LoggedEvent(type_, action, actor, dict(attributes), self.clock.unix_ns, scope)
        self.past.append(event)
        if self.unsaved is not None:
            self.unsaved.append(event)
        for listener in tuple(self._listeners):
            listener(event)

    def subscribe(
        self, listener: Callable[[LoggedEvent], None], filters: Filters | None = None
    ) -> Callable[[], None]:
        """Call `listener` with every later event that passes the filters. Return a function that unsubscribes.

        As in the daemon, unknown filters are ignored.
        """
        accepted = filters or Filters()

        def tell(event: LoggedEvent) -> None:
            if passes(event, accepted):
                listener(event)

        self._listeners.append(tell)

        def end() -> None:
            if tell in self._listeners:
                self._listeners.remove(tell)

        return end

    def select(
        self, since_ns: int | None = None, until_ns: int | None = None, filters: Filters | None = None
    ) -> list[LoggedEvent]:
        """Return the logged events between two times, in nanoseconds since 1970, that pass the filters.

        `None` means no limit.
        """
        accepted = filters or Filters()
        return [
            event
            for event in self.past
            if (since_ns is None or event.time_ns >= since_ns)
            and (until_ns is None or event.time_ns <= until_ns)
            and passes(event, accepted)
        ]


def passes(event: LoggedEvent, filters: Filters) -> bool:
    """Return True if an event passes the filters of `docker events`."""
    return (
        filters.exact_match("type", event.type)
        and _passes_action(event, filters)
        and filters.exact_match("scope", event.scope)
        and filters.match_labels(event.attributes)
        and _passes_subject(event, filters, "container")
        and all(_passes_subject(event, filters, kind) for kind in _SUBJECTS)
        and _passes_image(event, filters)
    )


def _passes_action(event: LoggedEvent, filters: Filters) -> bool:
    action = event.action
    return filters.exact_match("event", action) or filters.exact_match("event", action.partition(":")[0])


def _passes_subject(event: LoggedEvent, filters: Filters, kind: str) -> bool:
    # The type of the event's object is not compared: `service=web` matches the containers web.1.… too
    # (fuzzyMatchName).
    name = event.attributes.get("name", "")
    return filters.fuzzy_match(kind, event.actor) or filters.fuzzy_match(kind, name)


def _passes_image(event: LoggedEvent, filters: Filters) -> bool:
    if "image" not in filters:
        return True
    key = "name" if event.type == "image" else "image"
    name = event.attributes.get(key, "")
    bare = name.rpartition(":")[0] or name
    return any(filters.exact_match("image", reference) for reference in (event.actor, name, bare))
