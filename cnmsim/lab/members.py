"""`LabMembers`: finds the hosts, segments, containers, sandboxes and interfaces of a lab by name."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import suppress
from typing import TYPE_CHECKING, Any

from cnmsim.errors import Conflict, InvalidParameter, NotFound
from cnmsim.suggestion import suggestion

if TYPE_CHECKING:
    from cnmsim.engine.client.containers import Container
    from cnmsim.engine.engine import Engine
    from cnmsim.kernel.clock import Clock
    from cnmsim.lab.cabling import Cabling
    from cnmsim.lab.compose.project import Project
    from cnmsim.lab.host import Host, Hosts
    from cnmsim.libnetwork.sandbox import Sandbox
    from cnmsim.observe.packets.interface import Interface
    from cnmsim.underlay import Link, Segment, Trunk


class LabMembers:
    """The part of a `Lab` that finds its members by name."""

    hosts: Hosts
    clock: Clock
    project: Project | None
    _cabling: Cabling

    @property
    def segments(self) -> dict[str, Segment]:
        """The Ethernet segments by name, including cables between two interfaces."""
        return self._cabling.segments

    @property
    def links(self) -> list[Trunk | Link]:
        """The cables between two switches or two interfaces, oldest first."""
        return self._cabling.links

    @property
    def latency_s(self) -> float:
        """The default latency of a segment, in seconds."""
        return self._cabling.latency_s

    def host(self, name: str) -> Host:
        """Return the host of that name. Raises `NotFound`, with the closest name, if there is none."""
        host = self.hosts.get(name)
        if host is None:
            raise NotFound(f"no host named {name}{suggestion(name, self.hosts)}")
        return host

    def segment(self, name: str) -> Segment:
        """Return a segment by its name, its subnet, or an address in its subnet.

        Raises `NotFound` if no segment matches.
        """
        return self._cabling.segment(name)

    def container(self, name: str) -> Container:
        """Return the container of that name, on any engine.

        In a Compose project or a swarm, the name of a service selects its first container. In a swarm, `service.2`
        selects the container of one task. Raises `NotFound` if no container matches, `Conflict` if containers of
        several engines match.
        """
        matches = [
            container
            for engine in self._engines()
            for container in engine.containers.list(all=True)
            if name in {container.name, container.id}
        ]
        if not matches and self.project is not None:
            matches = self.project.containers(name)[:1]
        if not matches:
            matches = self._tasks(name)
        if not matches:
            known = [container.name for engine in self._engines() for container in engine.containers.list(all=True)]
            raise NotFound(f"No such container: {name}{suggestion(name, known)}")
        if len(matches) > 1:
            raise Conflict(f"several hosts have a container {name}: use the engine of one host")
        return matches[0]

    def sandbox(self, name: str) -> Sandbox:
        """Return the sandbox, on any host, that has this name or id or belongs to the container with this name or id.

        Raises `NotFound` if no sandbox matches, `Conflict` if sandboxes of several hosts match.
        """
        matches = [
            sandbox
            for host in self.hosts.values()
            if host.controller is not None
            for sandbox in host.controller.sandboxes
            if name in {sandbox.name, sandbox.container_id, sandbox.id}
        ]
        if not matches:
            raise NotFound(f"No such sandbox: {name}")
        if len(matches) > 1:
            raise Conflict(f"several hosts have a sandbox {name}: use the controller of one host")
        return matches[0]

    def _tasks(self, name: str) -> list[Container]:
        """Return the containers of the swarm tasks that `name` selects.

        `web` selects the first task of the service `web`, `web.2` its second one.
        """
        from cnmsim.observe.trace.tracer import directory_of

        locations = [location for location in directory_of(self).matching(name) if location.task]
        return [self.hosts[location.host].docker.containers.get(location.id) for location in locations]

    def __getitem__(self, name: str) -> Host | Container:
        """Return the host or else the container of that name. Raises `NotFound` with the closest name."""
        if not isinstance(name, str):
            raise InvalidParameter(f"lab[{name!r}]: write the name of a host or a container, such as lab['web']")
        if name in self.hosts:
            return self.hosts[name]
        try:
            return self.container(name)
        except NotFound:
            hint = suggestion(name, [item.name for item in self._members()])
            with suppress(NotFound):
                hint = f"; lab.sandbox({self.sandbox(name).name!r}) is a sandbox"
            raise NotFound(f"no host and no container is named {name!r}{hint}") from None

    def _members(self) -> Iterator[Host | Container]:
        """Yield the hosts, and the containers of their engines."""
        yield from self.hosts.values()
        for engine in self._engines():
            yield from engine.containers.list(all=True)

    def _ipython_key_completions_(self) -> list[str]:
        return [item.name for item in self._members()]

    def __contains__(self, name: str) -> bool:
        try:
            self[name]
        except NotFound:
            return False
        return True

    def device(self, name: str) -> Interface:
        """Return the interface of a host or container by a name such as `"node1:eth0"`.

        Raises `NotFound` if there is no such interface.
        """
        from cnmsim.observe.packets.interface import find_interface
        from cnmsim.observe.trace.tracer import directory_of

        return find_interface(directory_of(self), name)

    def from_env(self, **options: Any) -> Engine:
        """Return the lab's only engine, in place of `docker.from_env()`; docker-py's `options` are ignored.

        `monkeypatch.setattr("docker.from_env", lab.from_env)` lets a program that uses docker-py work in the lab.
        Raises `InvalidParameter` if the lab has no engine or several.
        """
        del options
        return self._one_engine(None)

    def _engines(self) -> list[Engine]:
        return [host.docker for host in self.hosts.values() if host.has_docker]

    def _one_engine(self, name: str | None) -> Engine:
        if name is not None:
            return self.host(name).docker
        engines = self._engines()
        if len(engines) != 1:
            raise InvalidParameter(f"the lab has {len(engines)} Docker hosts: name one")
        return engines[0]
