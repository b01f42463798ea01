"""Ports on which services listen, read from a Compose file, for services whose programs are not simulated."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from cnmsim.engine.standins.environment import references
from cnmsim.engine.standins.hints import ServiceHints, is_server_configuration
from cnmsim.engine.standins.knownport import KnownPort, PortSource, parse_listener
from cnmsim.lab.compose.model import ComposeProject, Service

EXTENSION = "x-cnmsim"


def add_hints(project: ComposeProject, hints: ServiceHints) -> None:
    """Add facts about the programs of a project's services to `hints`, as the Compose file states or implies them.

    These are the ports on which a service listens, whether it mounts a server's configuration, and whether another
    service waits for its completion. A port is implied if another service refers to it, e.g. by a URL in its
    environment. Raises `FileError` for an invalid `x-cnmsim` key.
    """
    names = _names(project)
    for service in project.services.values():
        key = f"{project.name}/{service.name}"
        stated = stated_listeners(project, service)
        if stated is not None and key not in hints.stated:
            hints.state(key, stated)
    referenced: dict[str, list[KnownPort]] = {}
    for service in project.services.values():
        for name, port in _references(service, names):
            if name != service.name:
                known = KnownPort(
                    port.number, port.protocol, PortSource.REFERENCE, f"{service.name}: {port.evidence}"
                )
                referenced.setdefault(name, []).append(known)
    for name, ports in referenced.items():
        hints.referenced[f"{project.name}/{name}"] = tuple(dict.fromkeys(ports))
    hints.configured |= {
        f"{project.name}/{name}"
        for name in project.services
        if any(map(is_server_configuration, _mount_targets(project.document["services"][name])))
    }
    hints.completing |= {
        f"{project.name}/{dependency.service}"
        for service in project.services.values()
        for dependency in service.depends_on
        if dependency.condition == "service_completed_successfully"
    }


def _mount_targets(declaration: Mapping[str, Any]) -> Iterator[str]:
    """Yield the paths in the container at which a service mounts volumes and configs.

    `declaration` is the service in the document.
    """
    for section in ("volumes", "configs"):
        for item in declaration.get(section) or ():
            if isinstance(item, Mapping):
                yield str(item.get("target") or "")
            elif isinstance(item, str) and section == "volumes":
                parts = item.split(":")
                yield parts[1] if len(parts) > 1 else parts[0]


def stated_listeners(project: ComposeProject, service: Service) -> list[int | str] | None:
    """Return the ports that a service lists in `x-cnmsim: {listens: [8000, "53/udp"]}`; `None` without a list.

    Raises `FileError` for invalid content of this key.
    """
    given = (project.document["services"][service.name] or {}).get(EXTENSION)
    if given is None:
        return None
    return check_extension(given, lambda message, *keys: project.error(message, "services", service.name, *keys))


def check_extension(given: Any, error: Any) -> list[int | str] | None:
    """Return the ports that `given`, the value of an `x-cnmsim` key, lists under `listens`; `None` without this key.

    If the value is invalid, the exception that `error(message, *keys)` returns is raised.
    """
    if not isinstance(given, Mapping):
        raise error("must be a mapping, such as {listens: [8000, 53/udp]}", EXTENSION)
    for key in given:
        if key != "listens":
            raise error(f"has no key {key!r}: there is listens", EXTENSION, key)
    listens = given.get("listens")
    if listens is None:
        return None
    if not isinstance(listens, list):
        raise error("must be a list of ports, such as [8000, 53/udp]", EXTENSION, "listens")
    for number, value in enumerate(listens):
        try:
            parse_listener(value)
        except ValueError as fault:
            raise error(str(fault), EXTENSION, "listens", number) from None
    return list(listens)


def _names(project: ComposeProject) -> dict[str, str]:
    """Return a mapping from every name under which a service can be reached to the service's own name.

    Such names are its aliases, its host name and the name of its container.
    """
    names: dict[str, str] = {}
    for service in project.services.values():
        own = [service.name, service.container_name, service.hostname]
        own += [alias for use in service.networks for alias in use.aliases]
        own += [f"{project.name}-{service.name}-1"]
        for name in own:
            if name:
                names.setdefault(name, service.name)
        for link in service.links:
            target, _, alias = link.partition(":")
            names.setdefault(alias or target, target)
    return names


def _references(service: Service, names: Mapping[str, str]) -> Any:
    environment = {name: value for name, value in service.environment.items() if value}
    yield from references(environment, names)
    words = {f"its command ({word[:40]})": word for word in (*(service.entrypoint or ()), *(service.command or ()))}
    yield from references(words, names, is_environment=False)
    yield from references(service.labels, names, is_environment=False)
