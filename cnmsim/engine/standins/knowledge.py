"""Determine the ports on which a container's program listens, from all sources."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, Any

from attrs import frozen

from cnmsim.digits import is_number
from cnmsim.engine.standins.commandline import CommandPort, command_ports, replaced_ports
from cnmsim.engine.standins.environment import environment_ports, health_check_ports
from cnmsim.engine.standins.hints import ServiceHints, names_of
from cnmsim.engine.standins.knownport import KnownPort, PortSource, parse_listener

if TYPE_CHECKING:
    from cnmsim.engine.images.catalogue import ImageMeaning


@frozen
class PortKnowledge:
    """The ports on which a container's program listens, as far as they are known.

    If `is_complete`, the program is assumed to listen on no other ports; else it may listen on others, too.
    """

    ports: tuple[KnownPort, ...] = ()
    is_complete: bool = False


class _Ports:
    """Collects ports in the order in which they are found. If a port is found twice, the first source is kept."""

    def __init__(self) -> None:
        self.found: dict[tuple[int, str], KnownPort] = {}

    def add(self, ports: Iterable[KnownPort]) -> None:
        for port in ports:
            self.found.setdefault((port.number, port.protocol), port)

    def has(self, protocol: str) -> bool:
        return any(key[1] == protocol for key in self.found)


def port_knowledge(
    argv: list[str],
    env: Mapping[str, str],
    *,
    name: str,
    config: Mapping[str, Any],
    host_config: Mapping[str, Any],
    meaning: ImageMeaning,
    hints: ServiceHints,
) -> PortKnowledge:
    """Return the ports on which a container's program probably listens, with the source of each.

    `argv` and `env` are the program's arguments and environment; `name` is the container's name; `config` and
    `host_config` are the API's objects. Statements of the user in `hints` or `meaning` replace everything else. A
    port in the command line replaces the one port of the image. Published and exposed ports and references of other
    services are added, unless the image's server is known to listen on its own ports only.
    """
    labels = config.get("Labels") or {}
    names = names_of(name, labels)
    stated = hints.stated_for(names)
    if stated is None and meaning.is_stated:
        stated = _of_texts(meaning.exposed, PortSource.USER, "images.add")
    if stated is not None and (stated or not meaning.is_stated):
        return PortKnowledge(stated, True)
    ports = _Ports()
    entrypoint = config.get("Entrypoint") or ()
    own = _of_texts(meaning.listens, PortSource.CATALOGUE, meaning.title)
    has_one_port = sum(port.protocol == "tcp" for port in own) == 1
    replaced = replaced_ports(argv, env)
    own = tuple(port for port in own if port.protocol == "udp" or port.number not in replaced)
    for port in command_ports(argv, env):
        if port.is_default and own:
            continue
        words = " ".join(entrypoint)
        is_entrypoint = bool(entrypoint) and port.evidence in words
        ports.add([_known(port, PortSource.ENTRYPOINT if is_entrypoint else PortSource.COMMAND)])
    ports.add(_known(port, PortSource.ENVIRONMENT) for port in environment_ports(env, labels))
    is_explicit = bool(ports.found)
    if not (ports.has("tcp") and has_one_port):
        ports.add(own)
    is_known_image = bool(own)
    test = (config.get("Healthcheck") or {}).get("Test")
    ports.add(_known(port, PortSource.HEALTH_CHECK) for port in health_check_ports(test))
    if meaning.is_fixed and own:
        return PortKnowledge(tuple(ports.found.values()), True)
    bindings = host_config.get("PortBindings") or {}
    exposed = [port for port in config.get("ExposedPorts") or {} if port not in meaning.exposed]
    ports.add(_of_texts(bindings, PortSource.PORTS))
    ports.add(_of_texts(exposed, PortSource.EXPOSE))
    mistaken = _host_ports(bindings) - set(ports.found)
    referenced = list(hints.referenced_for(names))
    ports.add(port for port in referenced if (port.number, port.protocol) not in mistaken)
    return PortKnowledge(tuple(ports.found.values()), is_known_image or is_explicit)


def _known(port: CommandPort, source: PortSource) -> KnownPort:
    return KnownPort(port.number, port.protocol, source, port.evidence, port.address)


def _of_texts(texts: Iterable[str], source: PortSource, evidence: str = "") -> tuple[KnownPort, ...]:
    """Convert texts such as `80/tcp` to ports with this source and evidence.

    Protocols other than TCP and UDP are omitted.
    """
    known: list[KnownPort] = []
    for text in texts:
        try:
            known.append(KnownPort(*parse_listener(text), source, evidence))
        except ValueError:  # sctp
            continue
    return tuple(known)


def _host_ports(bindings: Mapping[str, Any]) -> set[tuple[int, str]]:
    """Return (port, protocol) of every host port in the API's PortBindings."""
    found: set[tuple[int, str]] = set()
    for target, items in bindings.items():
        _, _, protocol = target.partition("/")
        for item in items or ():
            number = str(item.get("HostPort") or "")
            if is_number(number):
                found.add((int(number), protocol))
    return found
