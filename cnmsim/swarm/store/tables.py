"""Tables of the store: objects by id in order of creation, with indices."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any, Generic, Protocol, TypeVar

from cnmsim.swarm.errors import NameConflict
from cnmsim.swarm.objects import Meta, Network, Service, Task, TaskSpec


class StoreObject(Protocol):
    """The attributes that every object in a table has."""

    @property
    def id(self) -> str:
        """The identifier."""
        ...

    @property
    def meta(self) -> Meta:
        """The version and the timestamps."""
        ...


O = TypeVar("O", bound=StoreObject)  # noqa: E741 - an object
Keys = Callable[[Any], tuple[object, ...]]


class Index(Generic[O]):
    """A secondary index: maps each key to the objects that have this key. An object may have several keys or none."""

    __slots__ = ("_entries", "_keys")

    def __init__(self, keys: Callable[[O], tuple[object, ...]]) -> None:
        self._keys = keys
        self._entries: dict[object, dict[str, O]] = {}

    def replace(self, old: O | None, new: O | None) -> None:
        """Update the index after a change of one object from `old` to `new`.

        `old` is `None` for a new object, `new` for a deleted one.
        """
        old_keys = () if old is None else self._keys(old)
        new_keys = () if new is None else self._keys(new)
        if old is not None:
            for key in old_keys:
                if key not in new_keys:
                    entries = self._entries[key]
                    del entries[old.id]
                    if not entries:
                        del self._entries[key]
        if new is not None:
            for key in new_keys:
                self._entries.setdefault(key, {})[new.id] = new

    def find(self, key: object) -> list[O]:
        """Return the objects that have the key, oldest first."""
        entries = self._entries.get(key)
        return list(entries.values()) if entries else []

    def count(self, key: object) -> int:
        """Return the number of objects that have the key."""
        return len(self._entries.get(key, ()))


class Table(Generic[O]):
    """All objects of one kind, by id.

    With `name_of`, a function that returns an object's name, names must be unique in the table.
    """

    def __init__(self, kind: type[O], name_of: Callable[[O], str] | None = None, **indices: Keys) -> None:
        self.kind = kind
        self._objects: dict[str, O] = {}
        self._name_of = name_of
        self._names: dict[str, str] = {}
        self._indices: dict[str, Index[O]] = {name: Index(keys) for name, keys in indices.items()}

    def __len__(self) -> int:
        return len(self._objects)

    def __iter__(self) -> Iterator[O]:
        return iter(list(self._objects.values()))

    def __contains__(self, object_id: object) -> bool:
        return object_id in self._objects

    def get(self, object_id: str) -> O | None:
        """Return the object with that id, or `None`."""
        return self._objects.get(object_id)

    def by_name(self, name: str) -> O | None:
        """Return the object with that name, ignoring case, or `None`."""
        object_id = self._names.get(name.lower())
        return None if object_id is None else self._objects[object_id]

    def find(self, index: str, key: object) -> list[O]:
        """Return the objects that have `key` in the index of that name, oldest first."""
        return self._indices[index].find(key)

    def count(self, index: str, key: object) -> int:
        """Return the number of objects that have `key` in the index of that name."""
        return self._indices[index].count(key)

    def replace(self, object_id: str, new: O | None) -> O | None:
        """Store `new` under its id, or delete the object if `new` is `None`. Return the former object.

        Raises `NameConflict` if another object has the same name.
        """
        old = self._objects.get(object_id)
        if self._name_of is not None:
            self._rename(
                None if old is None else self._name_of(old), None if new is None else self._name_of(new), new
            )
        if new is None:
            self._objects.pop(object_id, None)
        else:
            self._objects[object_id] = new
        for index in self._indices.values():
            index.replace(old, new)
        return old

    def _rename(self, before: str | None, after: str | None, new: O | None) -> None:
        if new is not None and after is not None:
            holder = self._names.get(after.lower())
            if holder is not None and holder != new.id:
                raise NameConflict
        if before is not None:
            self._names.pop(before.lower(), None)
        if new is not None and after is not None:
            self._names[after.lower()] = new.id


class TaskTable(Table[Task]):
    """The table of tasks, indexed by service, node, slot and references."""

    def __init__(self) -> None:
        super().__init__(
            Task,
            service=lambda task: (task.service_id,),
            node=lambda task: (task.node_id,),
            slot=lambda task: ((task.service_id, task.slot or task.node_id),),
            network=_task_networks,
            secret=lambda task: _secrets(task.spec),
            config=lambda task: _configs(task.spec),
        )

    def by_service(self, service_id: str) -> list[Task]:
        """Return a service's tasks, including ended ones, oldest first."""
        return self.find("service", service_id)

    def by_node(self, node_id: str) -> list[Task]:
        """Return the tasks assigned to a node."""
        return self.find("node", node_id)

    def by_slot(self, service_id: str, slot: int | str) -> list[Task]:
        """Return the tasks of one slot of a service. The slot is a number, or a node's id for a global service."""
        return self.find("slot", (service_id, slot))

    def by_network(self, network_id: str) -> list[Task]:
        """Return the tasks that request an attachment to the network with this id, or are attached to it."""
        return self.find("network", network_id)


def _task_networks(task: Task) -> tuple[object, ...]:
    requested = [attachment.target for attachment in task.spec.networks]
    return tuple(dict.fromkeys(requested + [attachment.network.id for attachment in task.networks]))


def service_table() -> Table[Service]:
    """Return an empty table of services."""
    return Table(
        Service,
        lambda service: service.name,
        network=lambda service: tuple(dict.fromkeys(attachment.target for attachment in service.networks)),
        secret=lambda service: _secrets(service.spec.task),
        config=lambda service: _configs(service.spec.task),
        # Services with published ports. Usually only a few services have them.
        published=_has_ports,
    )


def _has_ports(service: Service) -> tuple[object, ...]:
    requested = service.spec.endpoint is not None and service.spec.endpoint.ports
    allocated = service.endpoint is not None and service.endpoint.ports
    return (True,) if requested or allocated else ()


def _secrets(spec: TaskSpec) -> tuple[object, ...]:
    return () if spec.container is None else tuple(dict.fromkeys(each.secret_id for each in spec.container.secrets))


def _configs(spec: TaskSpec) -> tuple[object, ...]:
    return () if spec.container is None else tuple(dict.fromkeys(each.config_id for each in spec.container.configs))


def network_table() -> Table[Network]:
    """Return an empty table of networks."""
    return Table(Network, lambda network: network.name, ingress=lambda network: (True,) if network.is_ingress else ())
