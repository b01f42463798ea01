"""What is known of a service besides its own configuration: statements of the user, and references by others."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping

from attrs import define, field

from cnmsim.engine.standins.knownport import KnownPort, PortSource, parse_listener


@define
class ServiceHints:
    """Knowledge about services and containers by name, which the engines of a lab share.

    A key is the name of a container, of a Compose or swarm service, or `PROJECT/SERVICE`. `stated` holds the ports
    that the user stated, `referenced` those that other services name. `completing` are the services whose program
    must end (another one waits for its completion), `configured` those whose server has a configuration of the user.
    """

    stated: dict[str, tuple[KnownPort, ...]] = field(factory=dict)
    referenced: dict[str, tuple[KnownPort, ...]] = field(factory=dict)
    completing: set[str] = field(factory=set)
    configured: set[str] = field(factory=set)

    def state(self, name: str, listens: Iterable[int | str], evidence: str = "x-cnmsim") -> None:
        """State the ports on which a service listens, such as `[8000, "53/udp"]`. Raises `ValueError`."""
        ports = [parse_listener(value) for value in listens]
        self.stated[name] = tuple(KnownPort(*port, PortSource.USER, evidence) for port in dict.fromkeys(ports))

    def stated_for(self, names: Iterable[str]) -> tuple[KnownPort, ...] | None:
        """Return the ports that the user stated for the first of these names that has any; `None` if none has."""
        return next((self.stated[name] for name in names if name in self.stated), None)

    def referenced_for(self, names: Iterable[str]) -> Iterator[KnownPort]:
        """Yield the ports that other services name for any of these names."""
        for name in names:
            yield from self.referenced.get(name, ())


#: Folders with the configuration of servers that are simulated with their default configuration only.
SERVER_CONFIGURATION = ("/etc/nginx", "/usr/local/apache2/conf", "/etc/apache2", "/usr/local/openresty")


def is_server_configuration(path: str) -> bool:
    """Return True if a mount at `path` replaces the configuration of a web server."""
    return path.startswith(SERVER_CONFIGURATION)


def names_of(container_name: str, labels: Mapping[str, str]) -> list[str]:
    """Return the names under which hints for a container may be kept, the most specific first."""
    names = [container_name]
    project, service = labels.get("com.docker.compose.project", ""), labels.get("com.docker.compose.service", "")
    if service:
        names += [f"{project}/{service}", service]
    stack, task_service = (
        labels.get("com.docker.stack.namespace", ""),
        labels.get("com.docker.swarm.service.name", ""),
    )
    if task_service:
        own = task_service.removeprefix(f"{stack}_")
        names += [task_service, f"{stack}/{own}", own]
    return names
