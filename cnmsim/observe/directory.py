"""The directory of a lab: all its locations, and lookups by name and address.

Everything is read from the simulation when it is needed, from inspect results and network namespaces. A `Directory`
is a snapshot; a new one reads everything again.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, Any

from attrs import define, field

from cnmsim.errors import Conflict, NotFound
from cnmsim.kernel.address import Address
from cnmsim.observe.lab_locations import (
    container_location,
    host_location,
    is_internal,
    sandbox_location,
    share_attachments,
    stopped_container,
)
from cnmsim.observe.location import Location, StoppedContainer
from cnmsim.suggestion import suggestion

if TYPE_CHECKING:
    from cnmsim.observe.swarm_view import SwarmView
    from cnmsim.observe.trace.hops import Hop

#: The minimum length of a name that is accepted as the start of an image's name (`mongo` for `mongodb`).
_SHORTEST = 4


@define(eq=False)
class Directory:
    """All locations of a lab, with lookups by name and address; a snapshot.

    `stopped` maps the names of containers that are not running, and of their services, to the status of the
    container. `stopped_containers` describes these containers, `swarms` the swarms of the lab. `inactive` maps each
    Compose service that was not started, because its profiles are not active, to these profiles. With `is_offline`,
    no public names and addresses answer, as the user chose.
    """

    locations: tuple[Location, ...]
    stopped: Mapping[str, str] = field(factory=dict)
    stopped_containers: tuple[StoppedContainer, ...] = ()
    swarms: tuple[SwarmView, ...] = ()
    inactive: Mapping[str, tuple[str, ...]] = field(factory=dict)
    is_offline: bool = False
    #: By source, destination, protocol and port: where a packet between swarm nodes was dropped (`swarm_ports`).
    port_drops: dict[tuple[str, str, str, int], Hop | None] = field(factory=dict, init=False, repr=False)

    @classmethod
    def of(
        cls, hosts: Iterable[Any], inactive: Mapping[str, tuple[str, ...]] | None = None, *, is_offline: bool = False
    ) -> Directory:
        """Build the directory of a lab from its hosts, which are objects like `cnmsim.Host`.

        `inactive` and `is_offline` become the fields of these names; `None` means an empty mapping.
        """
        from cnmsim.observe.swarm_view import swarms_of

        found: list[Location] = []
        engines = []
        stopped: dict[str, str] = {}
        stopped_containers: list[StoppedContainer] = []
        for host in hosts:
            engine = host.docker if host.has_docker else None
            networks = (
                {network.name: network.attrs for network in engine.networks.list()} if engine is not None else {}
            )
            controller = getattr(host, "controller", None)
            found.append(host_location(host, engine, networks, controller))
            if engine is not None:
                engines.append(engine)
                # The engine lists the newest container first; the directory lists the oldest first.
                for container in reversed(engine.containers.list(all=True)):
                    if container.status in {"running", "paused"}:
                        found.append(container_location(host.name, host.machine, container, networks))
                    else:
                        item = stopped_container(host.name, container)
                        stopped |= {item.name: item.status, item.service or item.name: item.status}
                        stopped_containers.append(item)
            if controller is not None:
                known = {item.id for item in found if item.is_container}
                found += [
                    sandbox_location(sandbox)
                    for sandbox in controller.sandboxes
                    if sandbox.container_id not in known
                    and not is_internal(sandbox)
                    and sandbox.namespace is not None
                ]
        share_attachments(found)
        return cls(tuple(found), stopped, tuple(stopped_containers), swarms_of(engines), inactive or {}, is_offline)

    def find(self, text: str) -> Location:
        """Return the location with a name.

        The name may be that of a container or host, `host:container`, a service (its first replica), a replica
        (`web-2`), a task (`web.2`), an alias, or the start of a container id. `localhost` and `host` mean the lab's
        only Docker host. Raises `NotFound`, with the closest name, if nothing matches; `Conflict` if several
        locations match or the container is not running.
        """
        found = self.matching(text) or self._docker_host(text)
        if len(found) == 1:
            return found[0]
        if found:
            raise Conflict(f"{text} is ambiguous: {', '.join(item.label for item in found)}")
        if text in self.stopped:
            raise Conflict(f"{text} is not running: its container has {self.stopped[text]}")
        if text in self.inactive:
            profile = self.inactive[text][0]
            raise NotFound(
                f"service {text} is not started: its profile {profile} is not active (--profile {profile})"
            )
        if (reason := self._without_tasks(text)) is not None:
            raise Conflict(f"service {text} has no running task{reason}")
        close, image = self.similar(text)
        hint = (
            f", did you mean {close}{f' (image {image})' if image else ''}?"
            if close
            else suggestion(text, self._names)
        )
        raise NotFound(f"no running container, service or host is called {text!r}{hint}")

    @property
    def _names(self) -> set[str]:
        """The names of all locations and services, without those that Compose and swarms generate: `shop-web-1`."""
        generated = {f"{item.project}-{item.service}-{item.replica}" for item in self.locations}
        generated |= {item.name for item in self.locations if item.task}
        services = {item.service_names[-1] for item in self.locations}
        return ({item.name for item in self.locations} - generated | services) - {""}

    def _without_tasks(self, text: str) -> str | None:
        """Return why a swarm service has no running task, "" if that is not known; `None` if no service has the name.

        `text` is the service's name, with or without the name of its stack.
        """
        from cnmsim.observe.swarm_view import short_name

        for swarm in self.swarms:
            for service in swarm.store.services:
                if text in {service.name, short_name(service)}:
                    tasks = sorted(swarm.store.tasks.by_service(service.id), key=lambda task: -task.meta.created_ns)
                    errors = (f": {task.state.name.lower()}: {task.status.err}" for task in tasks if task.status.err)
                    return next(errors, "" if tasks else ": it is scaled to 0")
        return None

    def similar(self, text: str, besides: Location | None = None) -> tuple[str, str]:
        """Return (name, image) of the location that an unknown name `text` probably means.

        These are tried in order: a container whose image is called `text` (`db` for `postgres`), the name or alias
        closest to `text` (the image is then ""), and a container whose image's name starts like `text`. Return ("",
        "") if nothing is similar. `besides` is a location to leave out.
        """
        import difflib

        others = [item for item in self.locations if item is not besides]
        named = {item.service or item.name: _image_name(item.image) for item in others if item.is_container}
        for name, image in named.items():
            if image == text:
                return name, image
        aliases = {alias for item in others for alias in item.aliases if not item.id.startswith(alias)}
        left_out = {besides.name, besides.service} if besides is not None else set()
        if "." in text:  # a machine on the LAN or beyond is meant, not one that only surrounds a Compose project
            left_out |= {item.name for item in others if not item.is_container and item.stands_for_internet}
        close = difflib.get_close_matches(text, sorted((self._names | aliases) - left_out), 1)
        if close:
            return close[0], ""
        for name, image in named.items():
            if min(len(image), len(text)) >= _SHORTEST and (image.startswith(text) or text.startswith(image)):
                return name, image
        return "", ""

    def _docker_host(self, text: str) -> tuple[Location, ...]:
        """Return the lab's only Docker host, in a tuple, if `text` is `localhost` or `host`.

        The tuple is empty for any other text, or if the lab has several Docker hosts.
        """
        hosts = tuple(item for item in self.locations if item.has_engine)
        return hosts if text in {"localhost", "host"} and len(hosts) == 1 else ()

    def matching(self, text: str) -> tuple[Location, ...]:
        """Return the locations that have the name `text`; empty if there are none.

        The kinds of names are compared in this order: location, service, replica, alias, beginning of the id (4
        characters or more). All matches of the first kind with a match are returned; but of a service only its first
        replica, and no host if a container has the same name.
        """
        host, colon, name = text.partition(":")
        inside = [item for item in self.locations if not colon or (item.host == host and item.is_container)]
        name = name if colon else host
        by_name = tuple(item for item in inside if item.name == name)
        if by_name:
            containers = tuple(item for item in by_name if item.is_container)
            return containers if len(by_name) > 1 and containers else by_name
        by_service = tuple(item for item in inside if item.service and name in item.service_names)
        if by_service:
            return (min(by_service, key=lambda item: item.replica),)
        by_replica = tuple(item for item in inside if item.service and name in item.replica_names)
        if by_replica:
            return by_replica
        by_alias = tuple(item for item in inside if name in item.aliases)
        if by_alias:
            return by_alias
        return tuple(item for item in inside if len(name) >= 4 and item.id.startswith(name))

    def owner(self, address: Address) -> Location | None:
        """Return the location that has an address, `None` if there is none.

        If several locations share the network namespace with that address, return the one to which the namespace
        belongs.
        """
        return _owner_of_stack(item for item in self.locations if address in item.addresses)

    def at(self, place: str) -> Location | None:
        """Return the location whose network namespace has the name `place`, as in hops; `None` if there is none."""
        return _owner_of_stack(item for item in self.locations if item.namespace.name == place)

    def names(self) -> dict[Address, tuple[str, ...]]:
        """Return a mapping from each address to the names of the locations that have it, e.g. for capture files."""
        found: dict[Address, list[str]] = {}
        for location in self.locations:
            for address in location.addresses:
                known = found.setdefault(address, [])
                if location.name not in known:
                    known.append(location.name)
        return {address: tuple(names) for address, names in found.items()}


def _image_name(image: str) -> str:
    """Return the last part of an image's name: `postgres` for `docker.io/library/postgres:17`."""
    return image.partition("@")[0].rpartition("/")[2].partition(":")[0]


def _owner_of_stack(locations: Iterable[Location]) -> Location | None:
    found = list(locations)
    return next((item for item in found if item.namespace.name == item.name), found[0] if found else None)


def stack_owner(location: Location, directory: Directory) -> Location | None:
    """Return the location whose network namespace the container `location` shares; `None` if it has its own.

    A container shares a namespace with `network_mode: host` or `container:X`.
    """
    others = [item for item in directory.locations if item.namespace is location.namespace and item is not location]
    if location.network_mode == "host":
        return next((item for item in others if not item.is_container), None)
    if location.network_mode.startswith("container:"):
        return next((item for item in others if not item.network_mode.startswith("container:")), None)
    return None
