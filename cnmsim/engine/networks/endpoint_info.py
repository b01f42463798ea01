"""What of a container's networks is looked up or shown: subnets, an endpoint's names, the ports that inspect prints."""

from __future__ import annotations

from collections.abc import Iterable

from cnmsim.engine.containers.container import Container, PortMap
from cnmsim.engine.wire.ports import format_port
from cnmsim.errors import EngineError
from cnmsim.kernel.address import Prefix, format_ip
from cnmsim.libnetwork.endpointsettings import NetworkSubnets
from cnmsim.libnetwork.network import Network
from cnmsim.libnetwork.sandbox import Sandbox


def subnets_of(network: Network) -> NetworkSubnets:
    """Give the subnets of a network, as asked for and as allocated."""
    configured = [Prefix.parse(config.subnet, strict=False) for config in network.ipam_config if config.subnet]
    return NetworkSubnets(configured, [info.pool for info in network.ipam_info])


def dns_names(container: Container, aliases: Iterable[str]) -> list[str]:
    """Give the names of a container's endpoint, the one for reverse lookups first."""
    names = [container.name, *aliases, container.id[:12], container.hostname]
    return list(dict.fromkeys(name for name in names if name))


def port_map(sandbox: Sandbox) -> PortMap:
    """Give what is exposed and published on all endpoints of a sandbox, as inspect prints it."""
    ports: PortMap = {}
    for endpoint in sandbox.endpoints:
        try:
            info = endpoint.driver_info()
        except EngineError:
            continue  # a plugin that does not say has published nothing
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
