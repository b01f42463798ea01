"""Find the ports that a container's variables, labels and health check name, its own and those of other services."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence

from cnmsim.digits import is_number
from cnmsim.engine.standins.commandline import CommandPort

#: Variables that hold the port on which the program itself listens.
_PORT_VARIABLE = re.compile(
    r"(?:PORT|(?:[A-Z0-9]+_)*?(?:HTTP|HTTPS|GRPC|SERVER|LISTEN|LISTENING|APP|WEB|WEBUI|UI|API|SERVICE|WEBSERVER|RUN|BIND|"
    r"UVICORN|ROCKET|NODE|CONTAINER|VIRTUAL|ADMIN|METRICS)_PORTS?|ASPNETCORE_HTTPS?_PORTS)"
)
#: Variables that hold the address on which the program itself listens.
_ADDRESS_VARIABLE = re.compile(
    r"(?:ASPNETCORE_URLS|(?:[A-Z0-9]+_)*?(?:LISTEN|LISTEN_ADDR|LISTEN_ADDRESS|BIND|BIND_ADDR|BIND_ADDRESS|HTTP_ADDR|"
    r"ADDR|HTTP_ADDRESS|BIND_TO))"
)
_CLIENT_VARIABLE = re.compile(
    r"(?:DB|DATABASE|REDIS|MYSQL|MARIADB|POSTGRES|POSTGRESQL|PG|MONGO|MONGODB|SMTP|MAIL|PROXY|RABBITMQ|AMQP|KAFKA|"
    r"ELASTIC|ELASTICSEARCH|LDAP|MQTT|INFLUXDB|REMOTE|UPSTREAM|EXTERNAL|PUBLIC|ADVERTISED|IMAP|VAULT|CONSUL|NATS|"
    r"SENTRY|JAEGER|STATSD|GRAPHITE|SYSLOG|LOGSTASH|MEMCACHED|CACHE)_"
)
_BOUND_PORT = re.compile(r"(?:[a-z]+://)?(?:\[[0-9a-fA-F:]*\]|[\w.*+-]*):([0-9]{2,5})")
_PORT_LABEL = re.compile(r"traefik\.(?:http|tcp|udp)\.services\.[^.]+\.loadbalancer\.server\.port|traefik\.port")
_LOCAL_URL = re.compile(r"(?:localhost|127\.0\.0\.1|0\.0\.0\.0|\[::1\]):([0-9]{2,5})\b")
_LOCAL_CONNECT = re.compile(
    r"\bnc\b[^|;&]*?(?:localhost|127\.0\.0\.1|0\.0\.0\.0)\s+([0-9]{2,5})\b"
    r"|/dev/tcp/(?:localhost|127\.0\.0\.1)/([0-9]{2,5})"
)
#: The ports of URLs without one.
SCHEME_PORTS = {
    "amqp": 5672, "amqps": 5671, "http": 80, "https": 443, "mongodb": 27017, "mysql": 3306, "mysql2": 3306,
    "mariadb": 3306, "nats": 4222, "postgres": 5432, "postgresql": 5432, "redis": 6379, "mqtt": 1883, "ldap": 389,
    "bolt": 7687, "neo4j": 7687, "clickhouse": 9000,
}  # fmt: skip
_URL = re.compile(r"\b([a-z][a-z0-9]*)(?:\+[a-z0-9]+)*://(?:[^\s/@,]*@)?([A-Za-z0-9][\w.-]*)(?::([0-9]{1,5}))?")
_PAIR = re.compile(r"(?<![\w.:/@-])([A-Za-z0-9][\w.-]*):([0-9]{2,5})(?![\w.:])")
_HOST_VARIABLE = re.compile(r"(.*?)_?(?:HOST|HOSTNAME|SERVER|ADDRESS|ADDR)")


def environment_ports(env: Mapping[str, str], labels: Mapping[str, str]) -> Iterator[CommandPort]:
    """Yield the ports on which a container listens according to its variables (`PORT=3000`) and traefik labels."""
    for name, value in env.items():
        if _CLIENT_VARIABLE.search(name) and not name.startswith("VIRTUAL_"):
            continue
        if _PORT_VARIABLE.fullmatch(name):
            for number in re.split(r"[,;\s]+", value):
                if is_number(number) and 0 < int(number) < 65536:
                    yield CommandPort(int(number), "tcp", f"{name}={value}")
        elif _ADDRESS_VARIABLE.fullmatch(name):
            for part in re.split(r"[,;\s]+", value):
                match = _BOUND_PORT.fullmatch(part.rstrip("/"))
                if match and 0 < int(match[1]) < 65536:
                    yield CommandPort(int(match[1]), "tcp", f"{name}={value}")
    for name, value in labels.items():
        if _PORT_LABEL.fullmatch(name) and is_number(value) and 0 < int(value) < 65536:
            protocol = "udp" if name.startswith("traefik.udp") else "tcp"
            yield CommandPort(int(value), protocol, f"{name}={value}")


def health_check_ports(test: Sequence[str] | None) -> Iterator[CommandPort]:
    """Yield the ports on localhost to which a health check connects.

    `test` is the check in the API's form (`["CMD", …]`).
    """
    text = " ".join(test or ())
    for pattern in (_LOCAL_URL, _LOCAL_CONNECT):
        for match in pattern.finditer(text):
            number = next(group for group in match.groups() if group)
            if 0 < int(number) < 65536:
                yield CommandPort(int(number), "tcp", match[0])


def references(
    texts: Mapping[str, str], names: Mapping[str, str], *, is_environment: bool = True
) -> Iterator[tuple[str, CommandPort]]:
    """Yield (service, port) for each port of another service that a text names, as in `postgres://db:5432`.

    `texts` maps the name of a variable, label or option to its value. `names` maps each name by which a service can
    be addressed to the service. `is_environment` also finds pairs of variables such as `DB_HOST` and `DB_PORT`.
    """
    for name, value in texts.items():
        found: set[tuple[str, int]] = set()
        for scheme, host, number in _URL.findall(value):
            port = int(number) if number else SCHEME_PORTS.get(scheme, 0)
            if host in names and 0 < port < 65536:
                found.add((host, port))
        found |= {(host, int(number)) for host, number in _PAIR.findall(value) if host in names}
        for host, port in sorted(found):
            yield names[host], CommandPort(port, "tcp", name)
    if is_environment:
        yield from _host_and_port(texts, names)


def _host_and_port(env: Mapping[str, str], names: Mapping[str, str]) -> Iterator[tuple[str, CommandPort]]:
    """Yield (service, port) for each pair of variables such as `DB_HOST=db` and `DB_PORT=5432`."""
    for name, value in env.items():
        match = _HOST_VARIABLE.fullmatch(name)
        if match is None or value not in names:
            continue
        prefix = match[1]
        number = env.get(f"{prefix}_PORT") or env.get(f"{prefix}PORT") or env.get(f"{name}_PORT") or ""
        if is_number(number) and 0 < int(number) < 65536:
            yield names[value], CommandPort(int(number), "tcp", name)
