"""The options of libnetwork's sandboxes and endpoints that follow from a container's settings.

Source: moby `daemon/{container_operations,container_operations_unix,network}.go` (v26.1.5, v28.5.2, docker-v29.7.2).
"""

from __future__ import annotations

from cnmsim.engine.containers.container import Container, EndpointSettings
from cnmsim.engine.context import EngineContext
from cnmsim.engine.networks.endpoint_info import port_map
from cnmsim.engine.networks.extra_hosts import extra_hosts
from cnmsim.engine.networks.legacy_links import hosts_entries, sandbox_links
from cnmsim.engine.wire.ports import requested_ports
from cnmsim.kernel.address import parse_ip, parse_mac
from cnmsim.libnetwork.endpointsettings import is_user_defined
from cnmsim.libnetwork.network import Network
from cnmsim.libnetwork.options import EndpointOptions, SandboxOptions
from cnmsim.libnetwork.profile import Profile
from cnmsim.libnetwork.sandbox import Sandbox

#: Sysctls of every container with a network namespace of its own (`daemon/oci_linux.go`).
_SYSCTLS = {"net.ipv4.ping_group_range": "0 2147483647", "net.ipv4.ip_unprivileged_port_start": "0"}


def sandbox_options(context: EngineContext, container: Container, default_bridge: Network | None) -> SandboxOptions:
    """Return the options of a container's sandbox.

    `default_bridge` is the network `bridge`, or `None` if there is none. Raises an `EngineError`, with the daemon's
    text, for an invalid port, or for a link or extra host that has no address.
    """
    host, config = container.host_config, context.config
    exposed, published = requested_ports(context.profile, host, container.config.get("ExposedPorts") or {})
    links = hosts_entries(context.containers, container, checks_networks=context.profile.allocates_before_task)
    extra = extra_hosts(context, host["ExtraHosts"] or (), default_bridge)
    return SandboxOptions(
        name=container.name,
        hostname=container.hostname,
        domainname=container.config["Domainname"],
        extra_hosts=[*extra, *links],
        dns=list(host["Dns"] or config.dns),
        dns_search=list(host["DnsSearch"] or config.dns_search),
        dns_opts=list(host["DnsOptions"] or config.dns_opts),
        use_host_namespace=container.is_host_network,
        use_external_key=context.profile.start_plugs_in_gateway_order and not container.is_host_network,
        exposed_ports=exposed,
        port_bindings=published,
        legacy_links=sandbox_links(context.profile, context.containers, container),
        sysctls=({} if container.is_host_network else _SYSCTLS) | dict(host.get("Sysctls") or {}),
        hosts_file=container.hosts_file,
        resolv_conf=container.resolv_conf,
    )


def endpoint_options(
    profile: Profile, container: Container, sandbox: Sandbox, network: Network, settings: EndpointSettings
) -> EndpointOptions:
    """Return the options of a container's endpoint on `network`.

    `settings` are the container's settings on this network.
    """
    ipv4, ipv6 = settings.static_address(4), settings.static_address(6)
    link_local = (settings.ipam_config or {}).get("LinkLocalIPs") or ()
    host = container.host_config
    exposed, published = requested_ports(profile, host, container.config.get("ExposedPorts") or {})
    return EndpointOptions(
        ipv4=parse_ip(ipv4) if ipv4 else None,
        ipv6=parse_ip(ipv6) if ipv6 else None,
        link_local=[parse_ip(address) for address in link_local],
        mac=parse_mac(settings.wanted_mac) if settings.wanted_mac else None,
        dns_names=list(settings.dns_names or ()),
        driver_opts=dict(settings.driver_opts or {}),
        exposed_ports=[] if network.internal else exposed,
        port_bindings=[] if network.internal else published,
        disable_resolution=not is_user_defined(network.name),
        service=container.service_bindings.get(network.id),
        # Ports are published on the first network that accepts any.
        omits_ports=network.internal or bool(port_map(sandbox)),
        namespace=sandbox.namespace,
    )
