"""Parse the target of a probe, such as `db:5432` or `http://web:8080/`.

Other forms are `web:53/udp`, `[fd00::2]:80`, and `10.0.0.50` (a ping).
"""

from __future__ import annotations

from urllib.parse import urlsplit

from attrs import field, frozen

from cnmsim.digits import is_number
from cnmsim.errors import InvalidParameter
from cnmsim.kernel.address import join_host_port, parse_ip
from cnmsim.kernel.netfilter.netdb import SERVICES

PROTOCOLS = ("tcp", "udp", "icmp")
#: The default port of a URL, by its scheme.
SCHEME_PORTS = {
    "http": 80, "https": 443, "ws": 80, "wss": 443, "ftp": 21, "ssh": 22, "ldap": 389, "redis": 6379,
    "postgres": 5432, "postgresql": 5432, "mysql": 3306, "mariadb": 3306, "mongodb": 27017, "amqp": 5672,
    "mqtt": 1883, "nats": 4222, "smtp": 25, "dns": 53, "tcp": 0, "udp": 0,
}  # fmt: skip
_NEVER_IN_A_NAME = frozenset("/ \t\r\n")


@frozen
class Target:
    """The target of a probe: a name or address, a port (0 for `icmp`), and a protocol (`tcp`, `udp` or `icmp`)."""

    host: str
    port: int = 0
    protocol: str = field(default="tcp")

    def __attrs_post_init__(self) -> None:
        if not self.host:
            raise InvalidParameter("a destination needs a name or an address")
        if set(self.host) & _NEVER_IN_A_NAME or (":" in self.host and not _is_address(self.host)):
            raise InvalidParameter(
                f"{self.host!r} is no name and no address: write db:5432, web:53/udp, [fd00::2]:80 or a URL"
            )
        if self.protocol not in PROTOCOLS:
            raise InvalidParameter(f"unknown protocol {self.protocol!r}: write tcp, udp or icmp")
        if self.protocol != "icmp" and not 0 < self.port < 65536:
            raise InvalidParameter(f"{self.host}: {self.protocol} needs a port from 1 to 65535")

    def __str__(self) -> str:
        host = f"[{self.host}]" if ":" in self.host and self.port else self.host
        if self.protocol == "icmp":
            return host
        return f"{host}:{self.port}" + ("" if self.protocol == "tcp" else f"/{self.protocol}")

    @property
    def title(self) -> str:
        """The target as text, with its protocol in one of two forms: `db:5432 (tcp)`, `dns:53/udp`."""
        return str(self) if self.protocol == "udp" else f"{self} ({self.protocol})"

    @classmethod
    def parse(cls, text: str, protocol: str | None = None) -> Target:
        """Parse a target such as `db:5432`. Without a port and without `protocol` it is the target of a ping.

        Raises `InvalidParameter` if the text is not a target.
        """
        protocol = protocol.lower() if isinstance(protocol, str) else protocol
        if "://" in text:
            return cls._of_url(text, protocol)
        rest, slash, suffix = text.rpartition("/")
        if slash and suffix.lower() in PROTOCOLS:
            text, protocol = rest, protocol or suffix.lower()
        host, port_text = _split_port(text)
        if not port_text:
            return cls(host, 0, protocol or "icmp")
        if protocol == "icmp":
            return cls(host, 0, "icmp")
        return cls(host, _port(port_text, text), protocol or "tcp")

    @classmethod
    def _of_url(cls, text: str, protocol: str | None) -> Target:
        parts = urlsplit(text)
        try:
            port = parts.port or SCHEME_PORTS.get(parts.scheme, 0)
        except ValueError:
            raise InvalidParameter(f"invalid port in {text!r}") from None
        if protocol == "icmp":
            return cls(parts.hostname or "", 0, "icmp")
        return cls(parts.hostname or "", port, protocol or ("udp" if parts.scheme in {"udp", "dns"} else "tcp"))

    @property
    def service(self) -> str:
        """The service without the host: `tcp/80` or `icmp`."""
        return "icmp" if self.protocol == "icmp" else f"{self.protocol}/{self.port}"

    @classmethod
    def of_service(cls, host: str, service: str | int) -> Target:
        """Return the target for a host and a service: `tcp/80`, `80/tcp`, `80` or `icmp`.

        Raises `InvalidParameter` if the service is not one of these forms.
        """
        first, slash, second = str(service).lower().partition("/")
        if not slash:
            if is_number(first) or first in SERVICES:
                return cls(host, _port(first, str(service)))
            if first in {"icmp", "ping"}:
                return cls(host, 0, "icmp")
        elif first in PROTOCOLS and (is_number(second) or second in SERVICES):
            return cls(host, _port(second, str(service)), first)
        elif second in PROTOCOLS and (is_number(first) or first in SERVICES):
            return cls(host, _port(first, str(service)), second)
        raise InvalidParameter(f"invalid service {service!r}: write tcp/80, udp/53 or icmp")


def split_service(service: str | int, port: int | str | None) -> tuple[int | None, str]:
    """Return the port (`None` for a ping) and the protocol of a service such as `tcp/80` or `icmp`.

    Raises `InvalidParameter` for any other service, and if `port` states a port, too.
    """
    if port is not None:
        raise InvalidParameter(f"service={service!r} and port={port!r} both state a port: leave out one of them")
    target = Target.of_service("service", service)
    return target.port or None, target.protocol


def split_pair(destination: object, port: int | str | None) -> tuple[object, int | str | None]:
    """Split a pair such as `("db", 5432)` into the destination and its port.

    A destination that is not a pair is returned unchanged, together with `port`. Raises `InvalidParameter` if
    `destination` is a pair and `port` is given too, and for a value that cannot be a destination.
    """
    if isinstance(destination, (tuple, list)):
        if len(destination) != 2 or port is not None:
            raise InvalidParameter(f'{destination!r} is no destination: write "db:5432" or ("db", 5432)')
        destination, port = destination
    if isinstance(destination, int):
        raise InvalidParameter(
            f'{destination} is a port, not a destination: name the host, too, such as "node1:{destination}"'
        )
    if not isinstance(destination, str) and not hasattr(destination, "name") and not hasattr(destination, "id"):
        raise InvalidParameter(
            f'{_short(destination)} is no destination: write "db:5432", or pass a host or a container'
        )
    return destination, port


def destination_text(name: str, port: int | str | None = None) -> str:
    """Return the destination text for a name or address and a port, such as `db:5432`; `name` itself without a port.

    `port` is a number from 1 to 65535, its digits, or a service name such as `http`. Raises `InvalidParameter` for
    any other value, and if `name` already contains a different port.
    """
    if port is None:
        return name
    number = port_number(port)
    host, stated = ("", "") if "://" in name else _split_port(name)
    if stated or "://" in name:
        if Target.parse(name).port != number:
            raise InvalidParameter(f"{name!r} states a port, and port={port!r} another one: leave out one of them")
        return name
    return join_host_port(host, number)


def port_number(port: object) -> int:
    """Return the number of a port that is given as a number, as digits, or by a service name (`http`).

    Raises `InvalidParameter` for a value that is none of these.
    """
    if isinstance(port, str) and port in SERVICES:
        return SERVICES[port]
    if isinstance(port, str) and is_number(port):
        port = int(port)
    if isinstance(port, int) and not isinstance(port, bool) and 0 < port < 65536:
        return port
    raise InvalidParameter(f"invalid port {port!r}: write a number from 1 to 65535 or a service such as http")


def _short(value: object) -> str:
    text = repr(value)
    return text if len(text) <= 60 else f"{text[:57]}…"


def _is_address(text: str) -> bool:
    try:
        parse_ip(text)
    except ValueError:
        return False
    return True


def _split_port(text: str) -> tuple[str, str]:
    if text.startswith("["):
        host, _, rest = text[1:].partition("]")
        return host, rest.removeprefix(":")
    host, colon, port = text.rpartition(":")
    # Text with more than one colon and no brackets is an IPv6 address.
    if not colon or ":" in host or not (is_number(port) or port in SERVICES):
        return text, ""
    return host, port


def _port(text: str, whole: str) -> int:
    if text in SERVICES:
        return SERVICES[text]
    if not (is_number(text) and 0 < int(text) < 65536):
        raise InvalidParameter(f"invalid port in {whole!r}: write a number from 1 to 65535 or a service such as http")
    return int(text)
