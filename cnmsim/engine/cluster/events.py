"""The events of a swarm's objects, which every manager's engine logs (moby `daemon/events.go`, docker-v29.7.2)."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from attrs import define, field

from cnmsim.engine.daemon.event_log import EventLog
from cnmsim.swarm.objects import Config, Network, Node, Replicated, Secret, Service
from cnmsim.swarm.store import Event, EventKind, Store, Watch

_ACTIONS = {EventKind.CREATE: "create", EventKind.UPDATE: "update", EventKind.DELETE: "remove"}
_TYPES: dict[type, str] = {
    Node: "node",
    Service: "service",
    Network: "network",
    Secret: "secret",
    Config: "config",
}


@define(eq=False)
class ClusterEvents:
    """Logs the changes of the objects in a manager's store as events of its engine."""

    log: EventLog = field(repr=False)
    _store: Store | None = field(default=None, init=False, repr=False)
    _watch: Watch | None = field(default=None, init=False, repr=False)

    def follow(self, store: Store | None) -> None:
        """Log every further change of the objects in `store`. Stop logging the changes of the store given before.

        With `None`, only stop logging.
        """
        if store is self._store:
            return
        if self._watch is not None:
            self._watch.cancel()
        self._store = store
        self._watch = store.watch(self._take, *_TYPES) if store is not None else None

    def _take(self, events: Sequence[Event]) -> None:
        for event in events:
            attributes = {"name": _name(event.object)}
            if event.kind is EventKind.UPDATE and event.old is not None:
                attributes |= _changes(event.old, event.object)
            kind = _TYPES[type(event.object)]
            self.log.log(kind, _ACTIONS[event.kind], event.object.id, attributes, scope="swarm")


def _name(present: Any) -> str:
    if isinstance(present, Node):
        return present.spec.annotations.name or present.hostname
    return str(present.spec.annotations.name)


def _changes(old: Any, new: Any) -> dict[str, str]:
    if isinstance(new, Node):
        return _node_changes(old, new)
    if isinstance(new, Service):
        return _service_changes(old, new)
    return {}


def _pair(name: str, old: str, new: str) -> dict[str, str]:
    return {f"{name}.old": old, f"{name}.new": new} if old != new else {}


def _node_changes(old: Node, new: Node) -> dict[str, str]:
    changes = {
        **_pair("state", old.status.state.value, new.status.state.value),
        **_pair("role", old.role.value, new.role.value),
        **_pair("availability", old.spec.availability.value, new.spec.availability.value),
    }
    before, now = old.manager_status, new.manager_status
    if before is not None and now is not None:
        changes |= _pair("leader", str(before.leader).lower(), str(now.leader).lower())
        changes |= _pair("reachability", before.reachability.value, now.reachability.value)
    return changes


def _service_changes(old: Service, new: Service) -> dict[str, str]:
    changes: dict[str, str] = {}
    before, now = old.spec.task.container, new.spec.task.container
    if before is not None and now is not None:
        changes |= _pair("image", before.image, now.image)
    if isinstance(old.spec.mode, Replicated) and isinstance(new.spec.mode, Replicated):
        changes |= _pair("replicas", str(old.spec.mode.replicas), str(new.spec.mode.replicas))
    if new.update_status is not None:
        state = new.update_status.state.value
        if old.update_status is None:
            changes["updatestate.new"] = state
        else:
            changes |= _pair("updatestate", old.update_status.state.value, state)
    return changes
