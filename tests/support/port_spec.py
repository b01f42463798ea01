"""The syntax of `-p` and `--expose`: `[ip:][hostPort[-end]:]containerPort[-end][/proto]`, and its form in the API.

Parsing and error texts are the client's; `read_port_bindings` is the daemon's. Source: docker/go-connections
`nat/nat.go` and docker/cli `cli/command/container/opts.go` as vendored by v26.1.5, v28.5.2 and v29.7.2.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from attrs import frozen

from cnmsim.errors import InvalidParameter
from cnmsim.kernel.address import Address, parse_ip
from cnmsim.libnetwork.options import PortBinding, TransportPort
from cnmsim.libnetwork.profile import Profile

_PROTOCOLS = frozenset({"tcp", "udp", "sctp"})


@frozen
class PortSpec:
    """One container port and where it is to be published, as in the API.

    `host_port` is text: "" for any port, "8080", or "8000-8010" for the first free port of a range.
    """

    protocol: str
    container_port: int
    host_ip: str = ""
    host_port: str = ""

    @property
    def key(self) -> str:
        """Its key in a port map, such as `80/tcp`."""
        return f"{self.container_port}/{self.protocol}"


def parse_port_spec(text: str) -> list[PortSpec]:
    """Parse one `-p` argument. A range of container ports returns one entry per port.

    The long form `published=8080,target=80,protocol=tcp` is accepted too. Raises `InvalidParameter` in the words of
    clients before 28, which begin with a capital (later ones do not: see `lower_first`).
    """
    raw = _from_long_form(text) if "=" in text else text
    host_ip, host_port, container = _split_parts(raw)
    port_text, protocol = _split_protocol(container)
    host_ip = _checked_host_ip(host_ip)
    if not port_text:
        raise InvalidParameter(f"No port specified: {raw}<empty>")
    ports = _parse_range(port_text)
    if ports is None:
        raise InvalidParameter(f"Invalid containerPort: {port_text}")
    hosts = _parse_range(host_port) if host_port else (0, 0)
    if hosts is None:
        raise InvalidParameter(f"Invalid hostPort: {host_port}")
    (start, end), (host_start, host_end) = ports, hosts
    if host_port and end - start != host_end - host_start and start != end:
        raise InvalidParameter(f"Invalid ranges specified for container and host Ports: {port_text} and {host_port}")
    if protocol.lower() not in _PROTOCOLS:
        raise InvalidParameter(f"Invalid proto: {protocol}")
    if start == end and host_start != host_end:
        return [PortSpec(protocol.lower(), start, host_ip, f"{host_start}-{host_end}")]
    return [
        PortSpec(protocol.lower(), start + at, host_ip, str(host_start + at) if host_port else "")
        for at in range(end - start + 1)
    ]


def lower_first(text: str) -> str:
    """Return an error text as clients since 28 print it: with a lower-case first letter."""
    return text[:1].lower() + text[1:]


def parse_expose(text: str) -> list[TransportPort]:
    """Parse one `--expose` argument: `80`, `9000/udp` or `7000-7010`. Raises `InvalidParameter`."""
    if ":" in text:
        raise InvalidParameter(f"invalid port format for --expose: {text}")
    port_text, protocol = _split_protocol(text)
    ports = _parse_range(port_text)
    if ports is None:
        raise InvalidParameter(f"invalid range format for --expose: {text}")
    if protocol.lower() not in _PROTOCOLS:
        raise InvalidParameter(f"invalid proto: {protocol}")
    return [TransportPort(protocol.lower(), port) for port in range(ports[0], ports[1] + 1)]


def port_map(specs: Iterable[PortSpec]) -> dict[str, list[dict[str, str]]]:
    """Return the `HostConfig.PortBindings` of an API body, in the order of the arguments."""
    bindings: dict[str, list[dict[str, str]]] = {}
    for spec in specs:
        bindings.setdefault(spec.key, []).append({"HostIp": spec.host_ip, "HostPort": spec.host_port})
    return bindings


def read_port(profile: Profile, key: str) -> TransportPort:
    """Parse a port of an API body, such as `80/tcp`. Raises `InvalidParameter`."""
    text, protocol = _split_protocol(key)
    number = _parse_number(text)
    if number is None:
        raise InvalidParameter(f'invalid port specification: "{text}"')
    if protocol.lower() not in _PROTOCOLS:
        raise InvalidParameter(f"Invalid proto: {protocol}")
    return TransportPort(protocol.lower(), number)


def read_port_bindings(
    profile: Profile, bindings: Mapping[str, Sequence[Mapping[str, Any]] | None]
) -> list[PortBinding]:
    """Parse the `HostConfig.PortBindings` of an API body, in order. A port without an entry gets an ephemeral one.

    Raises `InvalidParameter` in the daemon's words.
    """
    settled = []
    for key, entries in bindings.items():
        port = read_port(profile, key)
        for entry in entries or ({},):
            host_port = str(entry.get("HostPort") or "")
            hosts = _parse_range(host_port) if host_port else (0, 0)
            if hosts is None:
                raise InvalidParameter(f'invalid port specification: "{host_port}"')
            host_ip = _host_address(str(entry.get("HostIp") or ""))
            settled.append(PortBinding(port.protocol, port.port, host_ip, *hosts))
    return settled


def _host_address(text: str) -> Address | None:
    if not text:
        return None
    try:
        return parse_ip(text)
    except ValueError:
        raise InvalidParameter(f"invalid host IP address: {text}") from None


def _from_long_form(text: str) -> str:
    fields = {"published": "", "target": "", "protocol": ""}
    for part in text.split(","):
        name, equals, value = part.partition("=")
        if not equals or not name:
            raise InvalidParameter(f"invalid publish opts format (should be name=value but got '{part}')")
        fields[name] = value
    return f"{fields['published']}:{fields['target']}/{fields['protocol']}"


def _split_parts(text: str) -> tuple[str, str, str]:
    """Split at the last two colons. The part before them is an address, which may contain colons."""
    parts = text.split(":")
    host_port = parts[-2] if len(parts) > 1 else ""
    return ":".join(parts[:-2]), host_port, parts[-1]


def _split_protocol(text: str) -> tuple[str, str]:
    port, slash, rest = text.partition("/")
    if not port:
        return "", ""
    protocol = rest.split("/", maxsplit=1)[0]
    return port, protocol if slash and protocol else "tcp"


def _checked_host_ip(text: str) -> str:
    if text.startswith("["):
        inner, bracket, rest = text[1:].partition("]")
        if not bracket:
            raise InvalidParameter(f"Invalid ip address {text}: address {text}:: missing ']' in address")
        if rest:
            raise InvalidParameter(f"Invalid ip address {text}: address {text}:: missing port in address")
        text = inner
    if text:
        try:
            parse_ip(text)
        except ValueError:
            raise InvalidParameter(f"Invalid ip address: {text}") from None
    return text


def _parse_number(text: str) -> int | None:
    if not text.isascii() or not text.isdigit():
        return None
    number = int(text)
    return number if number <= 0xFFFF else None


def _parse_range(text: str) -> tuple[int, int] | None:
    """Parse `80` or `80-90`; `None` for anything else."""
    first, dash, rest = text.partition("-")
    start = _parse_number(first)
    end = _parse_number(rest.split("-", maxsplit=1)[0]) if dash else start
    if start is None or end is None or end < start:
        return None
    return start, end
