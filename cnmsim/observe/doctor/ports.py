"""Faults of published ports: reachable from everywhere, without a listener, or with the client's address hidden."""

from __future__ import annotations

import re
from collections.abc import Iterator

from attrs import evolve

from cnmsim.engine.standins.knownport import PortSource, Provenance
from cnmsim.kernel.address import format_ip
from cnmsim.observe.diagnosis.diagnosis import leave_internal_network
from cnmsim.observe.doctor.fault import Fault, Severity
from cnmsim.observe.doctor.lab_snapshot import LabSnapshot
from cnmsim.observe.fixes.changes import (
    Change,
    NetworkSetting,
    PublishPort,
    RebindProgram,
    RecreateNetwork,
    UpdateService,
)
from cnmsim.observe.location import Listener, Location, Published
from cnmsim.observe.swarm_view import ports_of
from cnmsim.swarm.objects import Service

#: Ports of servers that should rarely be public, each with the server's name and a pattern. If the pattern is not
#: empty, the port counts only for images whose name matches, because other programs listen on it, too.
_PRIVATE = {
    2375: ("the Docker API", ""), 3306: ("MySQL", ""), 5432: ("PostgreSQL", ""), 6379: ("Redis", ""),
    9200: ("Elasticsearch", "elastic|opensearch|wazuh-indexer"), 11211: ("memcached", ""), 27017: ("MongoDB", ""),
    1433: ("SQL Server", ""), 5672: ("AMQP", "rabbit|activemq|artemis|lavinmq|qpid"),
    9042: ("Cassandra", "cassandra|scylla"), 8086: ("InfluxDB", "influx"), 5984: ("CouchDB", "couch"),
    7687: ("Neo4j", "neo4j|memgraph"), 8123: ("ClickHouse", "clickhouse"),
}  # fmt: skip
#: The HTTPS port: its clients speak TLS, so no other port can take its place.
_TLS_PORT = 443
#: Settings of a container that may state where its program listens.
_SETTINGS = frozenset({PortSource.COMMAND, PortSource.ENTRYPOINT, PortSource.ENVIRONMENT})
_INPUT = re.compile(r"-A (?:INPUT|ufw6?-\S*input)\b.*-j (?:DROP|REJECT|ufw\S*deny)")
_PORTS = re.compile(r"--dports? (\S+)")


def published(snapshot: LabSnapshot) -> Iterator[Fault]:
    """Find ports that are published on all addresses but probably should not be public.

    Some are ports that an INPUT rule or policy is meant to block: it has no effect, because packets to published
    ports traverse FORWARD. Others are ports of servers that are rarely meant to be public, such as databases.
    """
    for host in snapshot.docker_hosts:
        lines = host.namespace.netfilter.iptables(4).save("filter").splitlines()
        closed = ":INPUT DROP" in " ".join(line[:11] for line in lines)
        rules = [line for line in lines if _INPUT.match(line)]
        for container in snapshot.containers(host):
            for item in _open_ports(container):
                rule = next((line for line in rules if _closes(line, item)), ":INPUT DROP" if closed else "")
                place = f"{host.name}: container {container.name}"
                if rule:
                    yield Fault(
                        Severity.ERROR, "published-past-firewall", place,
                        f"port {item.host_port}/{item.protocol} is published on all addresses, "
                        f"and open though the firewall says {rule}: a published port goes through FORWARD, not INPUT",
                        f"publish it on 127.0.0.1 ({_option(container, item, '127.0.0.1:')}), "
                        "or filter it in DOCKER-USER",
                        snapshot.source(container, *_paths(item)), (_on_loopback(container, item),),
                    )  # fmt: skip
                elif server := _private(item.port, container.image):
                    yield Fault(
                        Severity.WARNING, "published-to-all", place,
                        f"port {item.host_port} ({server}) is published on all addresses of {host.name}",
                        f"publish it on 127.0.0.1 ({_option(container, item, '127.0.0.1:')}), or not at all: "
                        "containers of one network need no published ports",
                        snapshot.source(container, *_paths(item)), (_on_loopback(container, item),),
                    )  # fmt: skip


def published_services(snapshot: LabSnapshot) -> Iterator[Fault]:
    """Find swarm services with a published port that is rarely meant to be public: every node opens it."""
    for swarm in snapshot.directory.swarms:
        for service in swarm.store.services:
            for item in ports_of(service):
                if server := _private(item.target_port, _image_of(service)):
                    yield Fault(
                        Severity.WARNING, "published-to-all", f"service {service.name}",
                        f"port {item.published_port} ({server}) is published "
                        "on all addresses of every node",
                        "leave it unpublished: services of one network need no published ports",
                        snapshot.service_source(swarm, service.name, ("ports", str(item.published_port)), ("ports",)),
                        (UpdateService(swarm.members[0], service.name, "--publish-rm", str(item.target_port)),),
                    )  # fmt: skip


def unanswered(snapshot: LabSnapshot) -> Iterator[Fault]:
    """Find published ports for which nothing listens in the container, or only on its loopback address."""
    for host in snapshot.docker_hosts:
        for container in snapshot.containers(host):
            for item in dict.fromkeys(evolve(port, host_ip="") for port in container.published):
                if container.is_open_to(item.protocol, item.port):
                    continue  # nothing is known about the port
                listeners = container.listening_on(item.protocol, item.port)
                if any(not socket.is_loopback_only for socket in listeners):
                    continue
                others = sorted(
                    {
                        str(socket.port)
                        for socket in container.services
                        if socket.protocol == item.protocol and not socket.is_loopback_only
                    }
                )
                # It is only an assumption that a program that is not simulated listens, unless the file says where.
                is_known = any(
                    socket.provenance is not Provenance.ASSUMED or _is_stated_loopback(socket)
                    for socket in container.services
                )
                changes: tuple[Change, ...] = ()
                if listeners:
                    address = format_ip(listeners[0].address)
                    changes = (RebindProgram(host.name, container.name, address),)
                    why, advice = (
                        f"it listens on {listeners[0]} only",
                        f"configure its program to listen on 0.0.0.0:{item.port}",
                    )
                elif len(others) == 1 and item.port != _TLS_PORT:
                    other = evolve(item, port=int(others[0]))
                    changes = (PublishPort(host.name, container.name, other.port, item.host_port, item.protocol),)
                    why, advice = f"it listens on {others[0]}", f"publish that port ({_option(container, other)})"
                elif others:
                    why, advice = (
                        f"it listens on {', '.join(others)}",
                        f"configure its program to listen on {item.port}/{item.protocol}, or publish another port",
                    )
                else:
                    why, advice = (
                        "it listens on no port",
                        f"start a program in it that listens on {item.port}/{item.protocol}",
                    )
                yield Fault(
                    Severity.WARNING if is_known else Severity.NOTE,
                    "nobody-listens",
                    f"{host.name}: container {container.name}",
                    f"port {item.host_port}/{item.protocol} of {host.name} is mapped to its port {item.port}, "
                    f"on which nothing listens ({why}{'' if is_known else _basis(container)})",
                    advice,
                    snapshot.source(container, *_paths(item)),
                    changes,
                )  # fmt: skip


def internal(snapshot: LabSnapshot) -> Iterator[Fault]:
    """Find containers whose ports Docker does not publish because all their networks are internal."""
    for host in snapshot.docker_hosts:
        for container in snapshot.containers(host):
            ports = sorted({item.host_port for item in container.requested})
            if not ports or not container.is_internal_only:
                continue
            networks = ", ".join(item.network for item in container.attachments)
            yield Fault(
                Severity.WARNING, "published-on-internal", f"{host.name}: container {container.name}",
                f"port {', '.join(map(str, ports))} is not published: {container.name} is on internal networks only "
                f"({networks}), on which Docker publishes no ports",
                "attach it to a network that is not internal, too",
                snapshot.source(container, ("ports", str(ports[0])), ("ports",)),
                (leave_internal_network(snapshot.directory, container),),
            )  # fmt: skip


def _is_stated_loopback(socket: Listener) -> bool:
    """Return True if the container's settings themselves contain the loopback address that a program binds."""
    return socket.is_loopback_only and socket.known is not None and socket.known.address in socket.known.evidence


def _basis(container: Location) -> str:
    """Return a text that says what a container's listening ports were derived from: `; assumed from its command`.

    It names the settings of the container, or the image if no port was derived from a setting.
    """
    sources = {socket.known.source for socket in container.services if socket.known is not None}
    named = [source.value for source in PortSource if source in sources and source in _SETTINGS]
    return f"; assumed from its {' and '.join(named) or 'image'}"


def _image_of(service: Service) -> str:
    container = service.spec.task.container
    return container.image if container is not None else ""


def _private(port: int, image: str) -> str:
    """Return the name of the server that uses `port`, if such a server is rarely meant to be public; else "".

    `image` is the container's image.
    """
    name, images = _PRIVATE.get(port, ("", ""))
    return name if not images or re.search(images, image) else ""


def _option(container: Location, item: Published, address: str = "") -> str:
    """Return the setting that publishes a port: an item of `ports` in a Compose file, otherwise a `-p` option.

    `item` is the published port. `address`, such as `127.0.0.1:`, is put in front of the host port.
    """
    text = f"{address}{item.host_port}:{item.port}" + ("" if item.protocol == "tcp" else f"/{item.protocol}")
    return f'ports: "{text}"' if container.project else f"-p {text}"


def _paths(item: Published) -> tuple[tuple[str, ...], ...]:
    """Return the paths of keys, in a service, to the line that publishes a port."""
    return ("ports", str(item.host_port)), ("ports",)


def _on_loopback(container: Location, item: Published) -> PublishPort:
    return PublishPort(container.host, container.name, item.port, item.host_port, item.protocol, "127.0.0.1")


def _open_ports(container: Location) -> Iterator[Published]:
    seen = set()
    for item in container.published:
        is_open = item.host_ip in {"", "0.0.0.0", "::"}  # noqa: S104 - compared, not bound
        if is_open and (item.host_port, item.protocol) not in seen:
            seen.add((item.host_port, item.protocol))
            yield item


def _closes(rule: str, item: Published) -> bool:
    if f"-p {item.protocol} " not in rule and " -p " in rule:
        return False
    match = _PORTS.search(rule)
    if match is None:
        return not re.search(r" -(s|i|m) ", rule)
    for part in match.group(1).split(","):
        low, _, high = part.partition(":")
        if int(low) <= item.host_port <= int(high or low):
            return True
    return False


def proxied(snapshot: LabSnapshot) -> Iterator[Fault]:
    """Find published ports that docker-proxy relays, so that containers see the gateway as the client's address."""
    for host in snapshot.docker_hosts:
        config = snapshot.engines[host.name].config
        if not config.userland_proxy:
            continue
        for container in snapshot.containers(host):
            ports = sorted({item.host_port for item in _open_ports(container)})
            if not ports:
                continue
            listed = ", ".join(map(str, ports))
            place = f"{host.name}: container {container.name}"
            if not config.iptables:
                yield Fault(
                    Severity.WARNING, "proxy-hides-source", place,
                    f"the daemon makes no iptables rules, so docker-proxy carries every connection to port {listed}: "
                    f"{container.name} sees the gateway as the client of all",
                    'set "iptables": true in daemon.json, or use network_mode host',
                    snapshot.host_source(host.name, path=("docker", "iptables")),
                )  # fmt: skip
            elif _has_ipv6(host) and not any(len(address) == 16 for address in container.addresses):
                yield Fault(
                    Severity.NOTE, "proxy-hides-source", place,
                    f"{host.name} has IPv6 and {container.name} has not: docker-proxy carries IPv6 clients "
                    f"of port {listed}, and {container.name} sees its gateway in their place",
                    "create its network with --ipv6, or publish on 0.0.0.0 only",
                    snapshot.source(container, ("ports", str(ports[0])), ("ports",)),
                    tuple(
                        RecreateNetwork(host.name, net.network, NetworkSetting.IPV6)
                        for net in container.attachments
                    ),
                )  # fmt: skip


def _has_ipv6(host: Location) -> bool:
    return any(len(address) == 16 for address in host.addresses)
