"""Find the objects of a daemon that have changed since they were last saved.

While the daemon works, it records the objects that may have changed: containers that were looked up or whose
attributes were set, and the objects that its events name. Only these are converted to plain data when the state is
saved, so that the cost of saving does not depend on the number of all objects. The caller compares the data with the
data that it saved before.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable
from itertools import islice
from typing import TYPE_CHECKING, TypeAlias

from attrs import define, field, frozen

from cnmsim.engine.daemon.snapshot import (
    Data,
    container_data,
    images_data,
    is_saved_container,
    is_saved_network,
    is_saved_volume,
    network_data,
    volume_data,
)

if TYPE_CHECKING:
    from cnmsim.engine.containers.container import Container
    from cnmsim.engine.daemon.event_log import LoggedEvent
    from cnmsim.engine.engine import Engine
    from cnmsim.engine.logdrivers.message import LogLine

#: Number of containers that one sweep looks at.
_SWEPT = 20
#: Ids in order of creation or of change.
Ids: TypeAlias = dict[str, None]
Settle: TypeAlias = Callable[[bool], None]


@frozen
class Change:
    """An object that may have changed: its kind, id and data; the data is `None` if the object no longer exists."""

    kind: str
    id: str
    data: Data | None


@frozen
class NewLines:
    """Lines to append to a container's saved log, once its oldest `dropped` lines were removed."""

    container_id: str
    dropped: int
    lines: tuple[LogLine, ...]


@define
class _SavedLog:
    """What was last saved of a container's log: the number of lines and the last line."""

    length: int = 0
    last: LogLine | None = None


@define(eq=False)
class EngineChanges:
    """Collects the changes of one engine that are not saved yet.

    `starting()` returns the containers that are about to be started.
    """

    engine: Engine
    starting: Callable[[], Collection[Container]]
    _containers: dict[str, None] = field(init=False)
    _saved: dict[str, dict[str, None]] = field(init=False)
    _logs: dict[str, _SavedLog] = field(factory=dict, init=False)
    _next_swept: int = field(default=0, init=False)

    def __attrs_post_init__(self) -> None:
        self._containers = self.engine.store.record_changes()
        self._saved = {kind: {} for kind in ("container", "network", "volume", "image")}
        self.engine.event_log.unsaved = []

    @property
    def has_candidates(self) -> bool:
        """Whether any object was recorded as possibly changed since the last save."""
        return bool(self._containers or self.engine.event_log.unsaved)

    def sweep(self) -> None:
        """Mark as possibly changed all containers with new log lines, and a few other containers.

        The others are different ones at each call. They are checked because programs can change a container's files
        without an event.
        """
        store = self.engine.store
        for container in store:
            saved, lines = self._logs.get(container.id), container.log.lines
            if lines and (saved is None or lines[-1] is not saved.last):
                self._containers[container.id] = None
        start = self._next_swept if self._next_swept < len(store) else 0
        self._containers.update(dict.fromkeys(container.id for container in islice(store, start, start + _SWEPT)))
        self._next_swept = start + _SWEPT

    def collect(self, *, is_complete: bool) -> tuple[list[Change], list[NewLines], Settle]:
        """Return the objects that may have changed, the new lines of logs, and a function `settle`.

        The caller must call `settle` before the next `collect`: `settle(True)` if the changes are saved, else
        `settle(False)`, after which the next `collect` returns them again. With `is_complete`, return all objects,
        not only those that may have changed.
        """
        engine, saved = self.engine, self._saved
        events, engine.event_log.unsaved = engine.event_log.unsaved or [], []
        containers, networks, volumes, image_ids = self._candidates(events)
        if is_complete:
            containers = _all((container.id for container in engine.store), saved["container"])
            networks = _all((network.id for network in engine.controller.networks), saved["network"])
            volumes = _all((volume.name for volume in engine.volume_store.list()), saved["volume"])
        changes = [
            *(Change("network", identity, self._network_data(identity)) for identity in networks),
            *(Change("volume", name, self._volume_data(name)) for name in volumes),
        ]
        if is_complete or not image_ids <= saved["image"].keys() or any(event.type == "image" for event in events):
            images = images_data(engine)
            changes += [Change("image", identity, images.get(identity)) for identity in _all(images, saved["image"])]
        starting = self.starting()
        changes += [Change("container", id_, self._container_data(id_, starting)) for id_ in containers]
        changes = [change for change in changes if change.data is not None or change.id in saved[change.kind]]
        logs = {
            change.id: log
            for change in changes
            if change.kind == "container" and change.data is not None and (log := self._new_lines(change.id))
        }
        handled = dict(self._containers)
        self._containers.clear()

        def settle(is_saved: bool) -> None:
            if not is_saved:
                self._containers.update(handled)
                engine.event_log.unsaved = events + (engine.event_log.unsaved or [])
                return
            for change in changes:
                if change.data is not None:
                    saved[change.kind][change.id] = None
                else:
                    del saved[change.kind][change.id]
                    self._logs.pop(change.id, None)
            self._logs.update({identity: state for identity, (_, state) in logs.items()})

        return changes, [lines for lines, _ in logs.values()], settle

    def _candidates(self, events: list[LoggedEvent]) -> tuple[Ids, Ids, Ids, set[str]]:
        """Return the ids of the containers, networks and volumes that may have changed.

        The fourth item has the ids of these containers' images. `events` are the events since the last call.
        """
        containers: Ids = dict(self._containers)
        networks: Ids = {}
        volumes: Ids = {}
        for event in events:
            if event.type == "container":
                containers[event.actor] = None
            elif event.type == "network":
                networks[event.actor] = None
            elif event.type == "volume":
                volumes[event.actor] = None
            if "container" in event.attributes:
                containers[event.attributes["container"]] = None
        images = set()
        for identity in containers:
            container = self.engine.store.by_id(identity)
            if container is not None:
                images.add(container.image.id)
                # A container's programs change the volumes that it mounts.
                volumes.update(dict.fromkeys(mount.name for mount in container.mounts if mount.type == "volume"))
        return containers, networks, volumes, images

    def _network_data(self, identity: str) -> Data | None:
        network = self.engine.controller.network_by_id(identity)
        if network is None or not is_saved_network(network):
            return None
        return network_data(self.engine, network)

    def _volume_data(self, name: str) -> Data | None:
        volume = self.engine.volume_store.find(name)
        if volume is None or not is_saved_volume(self.engine, volume):
            return None
        return volume_data(self.engine, volume)

    def _container_data(self, identity: str, starting: Collection[Container]) -> Data | None:
        container = self.engine.store.by_id(identity)
        if container is None or not is_saved_container(container):
            return None
        return container_data(container, ran=container.is_running or container in starting)

    def _new_lines(self, identity: str) -> tuple[NewLines, _SavedLog] | None:
        container = self.engine.store.by_id(identity)
        assert container is not None, "its data is saved"
        saved, lines = self._logs.get(identity, _SavedLog()), container.log.lines
        if not lines and not saved.length:
            return None
        if lines and lines[-1] is saved.last and len(lines) == saved.length:
            return None
        # The log may have lost its oldest lines meanwhile.
        old = next((index + 1 for index in range(len(lines) - 1, -1, -1) if lines[index] is saved.last), 0)
        new = NewLines(identity, saved.length - old, tuple(lines[old:]))
        return new, _SavedLog(len(lines), lines[-1] if lines else None)


def _all(present: Iterable[str], saved: Ids) -> Ids:
    """Return the ids `present` of the objects that exist, followed by those in `saved` that no longer exist."""
    return {**dict.fromkeys(present), **saved}
