"""The containers of one engine, found by id, name or unique id prefix.

Source: moby `daemon/container.go` (`GetContainer`), `daemon/container/view.go`, `daemon/names.go`.
"""

from __future__ import annotations

from collections.abc import Iterator
from random import Random

from attrs import define, field

from cnmsim.engine.containers.container import Container
from cnmsim.engine.containers.names import check_name, free_random_name, name_in_use
from cnmsim.errors import InvalidParameter, NotFound, SystemFault
from cnmsim.stringid import hex_id


@define
class ContainerStore:
    """The containers of one engine, in order of creation."""

    random: Random
    _containers: dict[str, Container] = field(factory=dict, init=False)
    _ids_by_name: dict[str, str] = field(factory=dict, init=False)
    #: Removed containers to which others still have legacy links: these cannot be started (linkIndex.delete).
    _linked: dict[str, Container] = field(factory=dict, init=False)
    _changed_ids: dict[str, None] | None = field(default=None, init=False)

    def record_changes(self) -> dict[str, None]:
        """Return a mapping to which the ids of containers that may have changed are added from now on, as keys.

        A container may have changed if it was added or removed, if one of its attributes was set, or if it was looked
        up.
        """
        changed_ids: dict[str, None] = {}
        self._changed_ids = changed_ids
        for container in self._containers.values():
            container.changed_ids = changed_ids
        return changed_ids

    def __len__(self) -> int:
        return len(self._containers)

    def __iter__(self) -> Iterator[Container]:
        return iter(tuple(self._containers.values()))

    def newest_first(self) -> list[Container]:
        """Return all containers, newest first."""
        return list(self._containers.values())[::-1]

    def new_id(self) -> str:
        """Return a random id for a new container."""
        return hex_id(self.random)

    def free_name(self, requested: str, container_id: str) -> str:
        """Return the name for the container with the id: `requested` if it is free, or a random name for "".

        Raises `InvalidParameter` for an invalid name, `Conflict` for a name in use.
        """
        if not requested:
            return free_random_name(self.random, self._ids_by_name.__contains__, container_id)
        check_name(requested)
        name = requested.removeprefix("/")
        if name in self._ids_by_name:
            raise name_in_use(name, self._ids_by_name[name])
        return name

    def add(self, container: Container) -> None:
        """Add a new container."""
        container.changed_ids = self._changed_ids
        self._note(container)
        self._containers[container.id] = container
        self._ids_by_name[container.name] = container.id

    def rename(self, container: Container, name: str) -> None:
        """Rename a container. The new name must be a result of `free_name`."""
        del self._ids_by_name[container.name]
        container.name = name
        self._ids_by_name[name] = container.id

    def remove(self, container: Container) -> None:
        """Remove a container."""
        self._note(container)
        if self.parents(container):
            self._linked[container.id] = container
        self._containers.pop(container.id, None)
        self._ids_by_name.pop(container.name, None)
        for child in {*container.links.values()} & self._linked.keys():
            if not self.parents(self._linked[child]):
                del self._linked[child]

    def find(self, term: str) -> Container | None:
        """Return the container with this id, name or unique id prefix, `None` if there is none.

        Raises `InvalidParameter` for an ambiguous prefix.
        """
        try:
            return self.get(term)
        except NotFound:
            return None

    def get(self, term: str) -> Container:
        """Return the container with this id, name, link name or unique id prefix.

        If `web` has a legacy link to a container with the alias `db`, then `web/db` is a link name of that container.
        Raises `NotFound` if there is none, and `InvalidParameter` for an ambiguous prefix.
        """
        container = self._get(term)
        self._note(container)
        return container

    def by_id(self, identity: str) -> Container | None:
        """Return the container with this full id, or `None`.

        The call does not mark the container as possibly changed.
        """
        return self._containers.get(identity)

    def _note(self, container: Container) -> None:
        if self._changed_ids is not None:
            self._changed_ids[container.id] = None

    def _get(self, term: str) -> Container:
        if not term:
            raise InvalidParameter('invalid name or ID supplied: ""')
        if term in self._containers:
            return self._containers[term]
        named = self._ids_by_name.get(term.removeprefix("/"))
        if named is not None:
            return self._containers[named]
        parent, _, alias = term.removeprefix("/").rpartition("/")
        if parent in self._ids_by_name:
            child = self._containers[self._ids_by_name[parent]].links.get(alias)
            if child in self._containers:
                return self._containers[child]
        matches = [container for container in self._containers.values() if container.id.startswith(term)]
        if len(matches) > 1:
            raise InvalidParameter(f"Multiple IDs found with provided prefix: {term}")
        if not matches:
            raise NotFound(f"No such container: {term}")
        return matches[0]

    def children(self, parent: Container) -> dict[str, Container]:
        """Return the containers to which `parent` has legacy links, as a mapping from alias to container."""
        known = self._containers | self._linked
        return {alias: known[child] for alias, child in sorted(parent.links.items()) if child in known}

    def unlink(self, name: str) -> Container:
        """Remove the legacy link whose link name is `name`, such as `web/db`.

        Return the container that had the link (`web`). Raises `SystemFault` if `name` is a container's own name.
        """
        parent, _, alias = name.removeprefix("/").rpartition("/")
        if not parent:
            raise SystemFault("Conflict, cannot remove the default link name of the container")
        container = self.get(parent)
        container.links = {key: child for key, child in container.links.items() if key != alias}
        return container

    def parents(self, child: Container) -> list[tuple[str, Container]]:
        """Return (alias, container) for every legacy link to `child`; `container` is the one that has the link."""
        return [
            (alias, container)
            for container in self._containers.values()
            if container.links
            for alias, linked in sorted(container.links.items())
            if linked == child.id
        ]

    def names_of(self, container: Container) -> list[str]:
        """Return a container's own name and its link names, sorted, as `docker ps --no-trunc` prints them."""
        linked = [f"/{parent.name}/{alias}" for alias, parent in self.parents(container)]
        return sorted([f"/{container.name}", *linked])
