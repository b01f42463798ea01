"""The syntax of published ports, such as `127.0.0.1:8080:80/udp`: the `ports` and `expose` of a service.

Source: compose-spec, 05-services; docker/go-connections `nat`.
"""

from __future__ import annotations

import re
from typing import Any

from attrs import frozen

from cnmsim.digits import is_number
from cnmsim.kernel.address import parse_ip

_PROTOCOLS = ("tcp", "udp", "sctp")
_RANGE = re.compile(r"([0-9]+)(?:-([0-9]+))?")


@frozen
class PortMapping:
    """A container port (`target`) and the host port at which it is published.

    `published` is a port or a range of ports on the host, or "" if the engine chooses the port. `host_ip` is the host
    address, "" for all.
    """

    target: int
    published: str = ""
    host_ip: str = ""
    protocol: str = "tcp"

    @property
    def key(self) -> str:
        """The port as the engine's API names it: `80/tcp`."""
        return f"{self.target}/{self.protocol}"


def parse_port(value: int | str | dict[str, Any]) -> list[PortMapping]:
    """Parse one item of `ports` into one mapping for each container port.

    The item has the short form `"127.0.0.1:8080-8081:80-81/tcp"`, or the long form, a mapping. Raises `ValueError`
    for an invalid item.
    """
    if isinstance(value, dict):
        return [_long(value)]
    return _short(str(value))


def _long(value: dict[str, Any]) -> PortMapping:
    target = _port(str(value["target"]), "target")
    published = str(value.get("published", ""))
    if published:
        _range(published, "published")
    host_ip = value.get("host_ip", "")
    return PortMapping(target, published, _host_ip(host_ip), _protocol(value.get("protocol", "tcp")))


def _short(text: str) -> list[PortMapping]:
    ports, slash, protocol = text.partition("/")
    protocol = _protocol(protocol) if slash else "tcp"
    host_ip, published, target = _split(ports)
    if not target:
        raise ValueError(f"No port specified: {text}<empty>")
    first, last = _range(target, "containerPort")
    if not published:
        return [PortMapping(port, "", _host_ip(host_ip), protocol) for port in range(first, last + 1)]
    host_first, host_last = _range(published, "hostPort")
    address = _host_ip(host_ip)
    if last == first:
        return [PortMapping(first, published, address, protocol)]
    if host_last - host_first != last - first:
        raise ValueError(f"Invalid ranges specified for container and host Ports: {target} and {published}")
    return [PortMapping(first + step, str(host_first + step), address, protocol) for step in range(last - first + 1)]


def _split(text: str) -> tuple[str, str, str]:
    """Split `[host_ip:][published:]target` into these three parts, "" for a missing one.

    An IPv6 address may be in brackets.
    """
    head, _, target = text.rpartition(":")
    if not head:
        return "", "", target
    host, colon, published = head.rpartition(":")
    if not colon:
        return "", head, target
    return host, published, target


def _range(text: str, what: str) -> tuple[int, int]:
    match = _RANGE.fullmatch(text)
    if match is None:
        raise ValueError(f"Invalid {what}: {text}")
    first = _port(match[1], what)
    last = _port(match[2], what) if match[2] else first
    if last < first:
        raise ValueError(f"Invalid range specified for port: {text}")
    return first, last


def _port(text: str, what: str) -> int:
    if not is_number(text) or len(text) > 5 or int(text) > 65535:
        raise ValueError(f"Invalid {what}: {text[:80]}")
    return int(text)


def _protocol(text: str) -> str:
    if text.lower() not in _PROTOCOLS:
        raise ValueError(f"Invalid proto: {text[:80]}")
    return text.lower()


def _host_ip(text: str) -> str:
    bare = text[1:-1] if text.startswith("[") and text.endswith("]") else text
    if bare:
        try:
            parse_ip(bare)
        except ValueError:
            raise ValueError(f"Invalid ip address: {text[:80]}") from None
    return bare


def parse_exposed(value: str | float) -> list[str]:
    """Parse one item of `expose` (a port or a range of ports) into a list of ports such as `80/tcp`.

    Raises `ValueError` for an invalid item.
    """
    ports, slash, protocol = str(value).partition("/")
    first, last = _range(ports, "expose")
    suffix = _protocol(protocol) if slash else "tcp"
    return [f"{port}/{suffix}" for port in range(first, last + 1)]
