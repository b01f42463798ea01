"""Ports in the API's formats: `80/tcp`, port sets, port bindings with ranges.

Source: docker/go-connections `nat`, moby `api/types/network/port.go`, `daemon/container_operations.go`.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any, TypeVar

from cnmsim.digits import is_number
from cnmsim.errors import InvalidParameter
from cnmsim.kernel.address import parse_ip
from cnmsim.libnetwork.options import PortBinding, TransportPort
from cnmsim.libnetwork.profile import Profile

_T = TypeVar("_T")
_PROTOCOLS = ("tcp", "udp", "sctp")


def parse_port(text: str) -> TransportPort:
    """Parse `80/tcp` or `80` into port and protocol. Raises `InvalidParameter` for a number that is no port."""
    number, _, protocol = text.partition("/")
    if not is_number(number) or int(number) > 65535:
        raise _invalid_port(number)
    return TransportPort((protocol or "tcp").lower(), int(number))


def exposed_port(text: str) -> TransportPort:
    """Convert an exposed port to port and protocol; a text that is no port has the number 0, as in Docker.

    An unknown protocol becomes "0". Source: go-connections `nat/nat.go` (Port.Int, Port.Proto).
    """
    number, _, protocol = text.partition("/")
    if not number:
        return TransportPort("0", 0)
    protocol = (protocol or "tcp").lower()
    port = int(number) if is_number(number) and int(number) <= 65535 else 0
    return TransportPort(protocol if protocol in (*_PROTOCOLS, "icmp") else "0", port)


def normalised_ports(ports: Mapping[str, _T] | None) -> dict[str, _T] | None:
    """Return `ports` with keys such as `80` and `80/TCP` replaced by `80/tcp`, as decoded into moby's `network.Port`.

    `None` and the key "" stay. Raises `InvalidParameter` for a number that is no port.
    """
    if ports is None:
        return None
    return {format_port(parse_port(key)) if key else key: value for key, value in sorted(ports.items())}


def format_port(port: TransportPort) -> str:
    """Format a port and its protocol as `80/tcp`."""
    return f"{port.port}/{port.protocol}"


def parse_host_range(text: str) -> tuple[int, int]:
    """Parse the host port of a binding, `8080`, `8080-8090` or "", into the first and last port. "" becomes (0, 0).

    Raises `InvalidParameter` for another text, and for a range whose end is less than its start.
    """
    if not text:
        return 0, 0
    first, dash, last = text.partition("-")
    parts = (first, last) if dash else (first, first)
    if not all(is_number(part) and int(part) <= 65535 for part in parts):
        raise _invalid_port(text)
    low, high = int(parts[0]), int(parts[1])
    if high < low:
        raise _invalid_port(text)
    return low, high


def check_bindings(profile: Profile, bindings: Mapping[str, Any] | None) -> None:
    """Check the ports and host ports of PortBindings. Raises `InvalidParameter`.

    Releases whose API has typed fields also refuse the port 0. No release checks protocols.
    """
    ports = {key: parse_port(key) for key in bindings or ()}
    for key, entries in (bindings or {}).items():
        if profile.ipam_config_is_typed and (ports[key].port == 0):
            raise _invalid_port(key)
        for entry in entries or ():
            parse_host_range(entry["HostPort"])


def _invalid_port(text: str) -> InvalidParameter:
    return InvalidParameter(f'invalid port specification: "{text}"')


def requested_ports(
    profile: Profile, host_config: Mapping[str, Any], exposed: Iterable[str]
) -> tuple[list[TransportPort], list[PortBinding]]:
    """Return the ports that a container exposes, and the port bindings that it requests.

    `exposed` are the ports in the container's Config. Published ports count as exposed, except in releases that
    publish only ports in `exposed`. With `PublishAllPorts`, an exposed port without bindings gets an ephemeral host
    port. Raises `InvalidParameter` for an invalid host port.
    """
    bindings: dict[str, Any] = host_config["PortBindings"] or {}
    entries = dict.fromkeys(exposed)
    entries.update(
        (key, value) for key, value in bindings.items() if key in entries or not profile.publishes_exposed_only
    )
    ports: list[TransportPort] = []
    requested: list[PortBinding] = []
    for key, port_bindings in sorted(entries.items()):
        port = exposed_port(key)
        ports.append(port)
        requested += [_binding(port, entry) for entry in port_bindings or ()]
        if not port_bindings and (host_config["PublishAllPorts"] or (profile.binds_empty_lists and key in bindings)):
            requested.append(PortBinding(port.protocol, port.port))
    return ports, requested


def _binding(port: TransportPort, entry: Mapping[str, str]) -> PortBinding:
    low, high = parse_host_range(entry["HostPort"])
    address = None
    if entry["HostIp"]:
        try:
            address = parse_ip(entry["HostIp"].strip("[]"))
        except ValueError:
            address = None  # 26.1 and 28.5 ignore a malformed address
    return PortBinding(port.protocol, port.port, address, low, high)
