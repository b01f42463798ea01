"""Find `localhost` where another container is meant: in environments, commands, labels and health checks.

In a container `localhost` is the container itself. A text is reported only if nothing in the container listens on the
port that it names, and another container of the project does. Texts about the container's own ports are therefore not
reported.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping

from attrs import frozen

from cnmsim.digits import is_number
from cnmsim.engine.standins.environment import SCHEME_PORTS
from cnmsim.engine.standins.knownport import PortSource
from cnmsim.observe.doctor.fault import Fault, Severity
from cnmsim.observe.doctor.lab_snapshot import LabSnapshot
from cnmsim.observe.fixes.changes import Change, ReplaceInSetting
from cnmsim.observe.location import Location, shared_networks

_LOCAL = r"(localhost|127\.0\.0\.1|\[::1\])"
_URL = re.compile(
    rf"\b(?:([a-z][a-z0-9]*)(?:\+[a-z0-9]+)*:/{{2,3}}(?:[^\s/@,]*@)?|(?<![\w.:/@-]))"
    rf"{_LOCAL}(?::([0-9]{{1,5}}))?(?![\w.:])"
)
#: Variables that name a server's host, such as DB_HOST, and the ports of such servers.
_HOST = re.compile(
    r"(?:\w*_)?(DB|DATABASE|POSTGRES|POSTGRESQL|PG|MYSQL|MARIADB|REDIS|MONGO|MONGODB|RABBITMQ|AMQP|"
    r"ELASTICSEARCH|MEMCACHED)_?"
    r"(?:HOST|HOSTNAME|SERVER|ADDR|ADDRESS)"
)
_SERVER_PORTS = {
    "DB": (5432, 3306), "DATABASE": (5432, 3306), "POSTGRES": (5432,), "POSTGRESQL": (5432,), "PG": (5432,),
    "MYSQL": (3306,), "MARIADB": (3306,), "REDIS": (6379,), "MONGO": (27017,), "MONGODB": (27017,),
    "RABBITMQ": (5672,), "AMQP": (5672,), "ELASTICSEARCH": (9200,), "MEMCACHED": (11211,),
}  # fmt: skip
_WEB = frozenset({"http", "https", "ws", "wss"})
#: Names of settings for a browser or another client outside, for which `localhost` is the user's own machine.
_FOR_OTHERS = re.compile(
    r"PUBLIC|EXTERNAL|ORIGIN|CORS|REDIRECT|CALLBACK|FRONT|BROWSER|ADVERTISE|LISTEN|BIND|ALLOWED|"
    r"REACT_APP|VITE|VUE_APP|"
    r"ROOT_URL|SITE|DOMAIN|ISSUER|HREF|HOSTNAME_URL|LINK|WEB_?URL|APP_URL|NO_PROXY",
    re.IGNORECASE,
)
#: Labels with an address to which the program that reads the label connects.
_TARGET_LABEL = re.compile(r"(?:loadbalancer\.server|widget)\.url", re.IGNORECASE)


@frozen
class _Reference:
    """A text that names a port of `localhost`.

    `keys` lead to the setting of the Compose service that contains the text, and `name` is the name of that setting.
    `scheme` is the URL scheme before `localhost` ("" if none); `ports` are the ports in the text.
    """

    keys: tuple[str, ...]
    name: str
    text: str
    scheme: str
    ports: tuple[int, ...]


def localhost(snapshot: LabSnapshot) -> Iterator[Fault]:
    """Find containers whose configuration names `localhost` for a port on which only another container listens."""
    for host in snapshot.docker_hosts:
        containers = list(snapshot.containers(host))
        for container in containers:
            if container.network_mode == "host" or container.task:
                continue
            record = snapshot.engines[host.name].store.find(container.id)
            others = [other for other in containers if _is_other(container, other)]
            for reference in _references(record.config if record is not None else {}):
                yield from _fault(snapshot, container, others, reference)


def _is_other(container: Location, other: Location) -> bool:
    return (
        other.project == container.project and other.namespace is not container.namespace and bool(other.attachments)
    )


def _references(config: Mapping[str, object]) -> Iterator[_Reference]:
    env = dict(item.partition("=")[::2] for item in _strings(config.get("Env")))
    for name, value in env.items():
        if _FOR_OTHERS.search(name):
            continue
        yield from _in_text(("environment", name), name, value)
        match = _HOST.fullmatch(name)
        if match is not None and value in {"localhost", "127.0.0.1", "::1"}:
            prefix = re.sub(r"_?(?:HOST|HOSTNAME|SERVER|ADDR|ADDRESS)$", "", name)
            number = env.get(f"{prefix}_PORT", "")
            ports = (int(number),) if is_number(number) else _SERVER_PORTS[match[1]]
            yield _Reference(("environment", name), name, value, "", ports)
    for key, field in (("command", "Cmd"), ("entrypoint", "Entrypoint")):
        for word in _strings(config.get(field)):
            if not _FOR_OTHERS.search(word):
                yield from _in_text((key,), f"its {key}", word)
    labels = config.get("Labels")
    for name, value in labels.items() if isinstance(labels, dict) else ():
        if _TARGET_LABEL.search(name):
            yield from _in_text(("labels", name), f"label {name}", str(value))
    check = config.get("Healthcheck")
    for word in _strings(check.get("Test")) if isinstance(check, dict) else ():
        yield from _in_text(("healthcheck", "test"), "its health check", word)


def _strings(value: object) -> list[str]:
    return [str(item) for item in value] if isinstance(value, list) else []


def _in_text(keys: tuple[str, ...], name: str, text: str) -> Iterator[_Reference]:
    for match in _URL.finditer(text):
        scheme, address, number = match.groups()
        port = int(number) if number else SCHEME_PORTS.get(scheme or "", 0)
        if 0 < port < 65536:
            yield _Reference(keys, name, f"{address}:{port}", scheme or "", (port,))


def _fault(
    snapshot: LabSnapshot, container: Location, others: list[Location], reference: _Reference
) -> Iterator[Fault]:
    is_check = reference.keys[0] == "healthcheck"
    for port in reference.ports:
        server = next((other for other in others if _serves(other, port)), None)
        if server is None or _may_serve_itself(container, port, reference, is_check=is_check):
            continue
        published = [item.port for item in server.published if item.host_port == port]
        if published and reference.keys[0] == "environment" and reference.scheme in _WEB:
            continue  # the URL may be meant for a browser on the Docker host
        name = container.name
        inner = port if not published or any(item.port == port for item in server.services) else published[0]
        yield Fault(
            Severity.WARNING,
            "localhost-is-itself",
            f"{container.host}: container {name}",
            f"{reference.name} names {reference.text}: inside {name} that is {name} itself, where nothing listens on "
            f"port {port}; {server.name} has that port",
            f"name the service: {server.service or server.name}:{inner}",
            snapshot.source(container, reference.keys, reference.keys[:1]),
            _changes(container, server, reference, inner),
        )
        return


def _changes(container: Location, server: Location, reference: _Reference, port: int) -> tuple[Change, ...]:
    """Return the change that names the service in place of `localhost`; none if the two share no network."""
    if not shared_networks(container, server):
        return ()
    name = server.service or server.name
    new = name if ":" not in reference.text else f"{name}:{port}"
    return (ReplaceInSetting(container.host, container.name, reference.keys, reference.text, new),)


def _may_serve_itself(container: Location, port: int, reference: _Reference, *, is_check: bool) -> bool:
    """Return True if a text that names `localhost` may really mean the container itself.

    This is the case if the container listens on `port`, or if it is unknown whether it does. An unknown port does not
    count if the URL scheme in `reference` belongs to a server other than a web server, such as `redis`. `is_check` is
    True if the text is the container's health check: ports that are known only from health checks then do not count
    as listening.
    """
    own = container.listening_on("tcp", port)
    if is_check:
        # A port known only from a health check is no evidence if other sources say where the program listens.
        by_check = [item for item in container.services if item.known is not None and _from_check(item.known)]
        own = tuple(item for item in own if item not in by_check)
        return bool(own) or len(by_check) == len(container.services)
    is_server = reference.scheme in SCHEME_PORTS and reference.scheme not in _WEB
    return bool(own) or (not is_server and container.is_open_to("tcp", port))


def _from_check(known: object) -> bool:
    return getattr(known, "source", None) is PortSource.HEALTH_CHECK


def _serves(other: Location, port: int) -> bool:
    """Return True if other containers can connect to `port`: `other` listens there or publishes that host port."""
    return any(
        item.protocol == "tcp" and item.port == port and not item.is_loopback_only for item in other.services
    ) or any(item.protocol == "tcp" and item.host_port == port for item in other.published)
