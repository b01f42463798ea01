"""Views of a container's endpoints: DNS names, subnets, assigned addresses, and the port map of inspect."""

from __future__ import annotations

from collections.abc import Iterable

from cnmsim.engine.containers.container import Container, EndpointSettings, PortMap
from cnmsim.engine.wire.ports import format_port
from cnmsim.errors import EngineError
from cnmsim.kernel.address import Prefix, format_ip, format_mac
from cnmsim.libnetwork.endpoint import Endpoint
from cnmsim.libnetwork.endpointsettings import NetworkSubnets
from cnmsim.libnetwork.network import Network
from cnmsim.libnetwork.sandbox import Sandbox


def dns_names(container: Container, aliases: Iterable[str]) -> list[str]:
    """Return the DNS names of a container's endpoint.

    They are the container's name, `aliases`, the short id and the host name. Reverse lookups return the first one.
    """
    names = [container.name, *aliases, container.id[:12], container.hostname]
    return list(dict.fromkeys(name for name in names if name))


def subnets_of(network: Network) -> NetworkSubnets:
    """Return the subnets of a network: those that the user configured, and those that were allocated."""
    configured = [Prefix.parse(config.subnet, strict=False) for config in network.ipam_config if config.subnet]
    return NetworkSubnets(configured, [info.pool for info in network.ipam_info])


def record_endpoint(settings: EndpointSettings, endpoint: Endpoint) -> None:
    """Copy the ids and addresses of an endpoint to the container's settings for its network."""
    settings.network_id = endpoint.network.id
    settings.endpoint_id = endpoint.id
    settings.mac_address = format_mac(endpoint.mac) if endpoint.mac else ""
    settings.ip_address, settings.ip_prefix_len = _split(endpoint.ipv4)
    settings.global_ipv6_address, settings.global_ipv6_prefix_len = _split(endpoint.ipv6)


def _split(assigned: tuple[bytes, int] | None) -> tuple[str, int]:
    return (format_ip(assigned[0]), assigned[1]) if assigned else ("", 0)


def port_map(sandbox: Sandbox) -> PortMap:
    """Return the exposed and published ports of all endpoints of a sandbox, as inspect prints them."""
    ports: PortMap = {}
    for endpoint in sandbox.endpoints:
        try:
            info = endpoint.driver_info()
        except EngineError:
            continue  # a plugin without endpoint info has published nothing
        for port in info.get("exposed_ports", ()):
            ports.setdefault(format_port(port), None)
        for binding in info.get("port_map", ()):
            key = f"{binding.container_port}/{binding.protocol}"
            host = {
                "HostIp": format_ip(binding.host_ip) if binding.host_ip is not None else "",
                "HostPort": str(binding.host_port) if binding.host_port else "",
            }
            ports[key] = [*(ports.get(key) or ()), host]
    return dict(sorted(ports.items()))
