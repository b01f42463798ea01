"""Hints about services from outside their own configuration: what the user states, and what other services name."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping

from attrs import define, field

from cnmsim.engine.standins.knownport import KnownPort, PortSource, parse_listener


@define
class ServiceHints:
    """Hints about services and containers by name, which all engines of a lab share.

    A key is the name of a container, of a Compose or swarm service, or `PROJECT/SERVICE`. `stated` has the ports that
    the user stated, `referenced` the ports that other services name. `completing` are services whose program must
    end, because another service starts only after its end. `configured` are services whose server has a configuration
    file of the user.
    """

    stated: dict[str, tuple[KnownPort, ...]] = field(factory=dict)
    referenced: dict[str, tuple[KnownPort, ...]] = field(factory=dict)
    completing: set[str] = field(factory=set)
    configured: set[str] = field(factory=set)

    def state(self, name: str, listens: Iterable[int | str], evidence: str = "x-cnmsim") -> None:
        """Record the user's statement that a service listens on these ports, such as `[8000, "53/udp"]`.

        `evidence` names the place of the statement. Raises `ValueError` for an invalid port.
        """
        ports = [parse_listener(value) for value in listens]
        self.stated[name] = tuple(KnownPort(*port, PortSource.USER, evidence) for port in dict.fromkeys(ports))

    def stated_for(self, names: Iterable[str]) -> tuple[KnownPort, ...] | None:
        """Return the ports that the user stated for a service. `names` are the keys under which they may be recorded.

        The first key with a statement is used. Return `None` if no key has one.
        """
        return next((self.stated[name] for name in names if name in self.stated), None)

    def referenced_for(self, names: Iterable[str]) -> Iterator[KnownPort]:
        """Yield the ports that other services name when they refer to one of these names."""
        for name in names:
            yield from self.referenced.get(name, ())


#: Folders with the configuration of servers that are simulated with their default configuration only.
SERVER_CONFIGURATION = ("/etc/nginx", "/usr/local/apache2/conf", "/etc/apache2", "/usr/local/openresty")


def is_server_configuration(path: str) -> bool:
    """Return True if a mount at `path` replaces the configuration files of a web server."""
    return path.startswith(SERVER_CONFIGURATION)


def names_of(container_name: str, labels: Mapping[str, str]) -> list[str]:
    """Return the keys under which a `ServiceHints` may have hints for a container, the most specific first."""
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
