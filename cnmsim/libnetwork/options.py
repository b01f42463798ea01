"""The options of libnetwork's objects: what a caller asks for when it makes a network, an endpoint or a sandbox.

Source: moby `daemon/libnetwork/{network,endpoint,sandbox}.go`, the option setters (docker-v29.7.2).
"""

from __future__ import annotations

from attrs import define, evolve, field, frozen

from cnmsim.kernel.address import Address, Mac, format_ip


@frozen
class IpamConfig:
    """One subnet a user asked for, as text. An empty `subnet` asks for one of the default pools."""

    subnet: str = ""
    ip_range: str = ""
    gateway: str = ""
    aux_addresses: dict[str, str] = field(factory=dict, hash=False)


@define
class NetworkOptions:
    """What a new network is to be. `scope` is "" (the driver's own), "local", "swarm" or "global".

    `load_balancer_ip` is this node's own address on a network of the swarm: with it the network gets a sandbox that
    balances the load of its services.
    """

    driver_opts: dict[str, str] = field(factory=dict)
    labels: dict[str, str] = field(factory=dict)
    ipam_driver: str = "default"
    ipam_options: dict[str, str] = field(factory=dict)
    ipam_config: list[IpamConfig] = field(factory=list)
    enable_ipv4: bool = True
    enable_ipv6: bool = False
    internal: bool = False
    attachable: bool = False
    ingress: bool = False
    scope: str = ""
    config_only: bool = False
    config_from: str = ""
    load_balancer_ip: Address | None = None


@frozen
class PortConfig:
    """A port a service publishes (SwarmKit `PortConfig`). `publish_mode` is "ingress" or "host"."""

    name: str = ""
    protocol: str = "tcp"
    target_port: int = 0
    published_port: int = 0
    publish_mode: str = "ingress"


@frozen
class ServiceBinding:
    """The service whose task an endpoint belongs to (moby `CreateOptionService`).

    `aliases` are the service's names on that network beside its own, `virtual_ip` is `None` where its names stand for the
    tasks themselves (endpoint mode dnsrr). `ports` counts on the ingress network alone.
    """

    id: str
    name: str
    aliases: tuple[str, ...] = ()
    virtual_ip: Address | None = None
    ports: tuple[PortConfig, ...] = ()


@frozen
class PortBinding:
    """A container port and where on the host it is published.

    As a request, `host_ip` `None` means the default binding address, `host_port` 0 any ephemeral port, and
    `host_port_end` above `host_port` the first free one of that range. As a result all of it is settled; a `host_port`
    of 0 then means that the port is open without translation (gateway mode `routed`).
    """

    protocol: str
    container_port: int
    host_ip: Address | None = None
    host_port: int = 0
    host_port_end: int = 0
    container_ip: Address | None = None

    def __str__(self) -> str:
        host = _bracketed(self.host_ip)
        end = f"-{self.host_port_end}" if self.host_port_end > self.host_port else ""
        return f"{host}:{self.host_port}{end}:{_bracketed(self.container_ip)}:{self.container_port}/{self.protocol}"

    @property
    def last_host_port(self) -> int:
        """The end of the asked range; the host port itself if no range was asked for."""
        return max(self.host_port, self.host_port_end)

    def with_container(self, address: Address) -> PortBinding:
        """Give the same binding for the container address `address`."""
        return evolve(self, container_ip=address)


@frozen
class TransportPort:
    """A port a container exposes."""

    protocol: str
    port: int


@define
class EndpointOptions:
    """What a new endpoint is to be: wanted addresses, names others find it by, ports of its container.

    With `omits_ports` its driver is told nothing of ports, not even that there are none.
    """

    ipv4: Address | None = None
    ipv6: Address | None = None
    link_local: list[Address] = field(factory=list)
    mac: Mac | None = None
    aliases: list[str] = field(factory=list)
    dns_names: list[str] = field(factory=list)
    driver_opts: dict[str, str] = field(factory=dict)
    exposed_ports: list[TransportPort] = field(factory=list)
    port_bindings: list[PortBinding] = field(factory=list)
    disable_resolution: bool = False
    disable_ipv6: bool = False
    is_load_balancer: bool = False
    service: ServiceBinding | None = None
    omits_ports: bool = False


@frozen
class LegacyLink:
    """A `--link` on the default bridge, from this container (the parent) to the endpoint of another (the child)."""

    child_address: Address
    child_ports: tuple[TransportPort, ...] = ()


@define
class SandboxOptions:
    """What a new sandbox is to be.

    `extra_hosts` are further lines of /etc/hosts, as (names, address). `name` is what traces call its namespace. With
    `use_external_key` the namespace is given later, by `Sandbox.set_key` (the engine 26.1 creates endpoints before the
    container's namespace exists). `load_balancer_of` is the id of the network whose load the sandbox balances, `is_ingress`
    marks the one of the ingress network.
    """

    name: str = ""
    hostname: str = ""
    domainname: str = ""
    extra_hosts: list[tuple[str, str]] = field(factory=list)
    dns: list[str] = field(factory=list)
    dns_search: list[str] = field(factory=list)
    dns_opts: list[str] = field(factory=list)
    use_host_namespace: bool = False
    use_external_key: bool = False
    exposed_ports: list[TransportPort] = field(factory=list)
    port_bindings: list[PortBinding] = field(factory=list)
    legacy_links: list[LegacyLink] = field(factory=list)
    sysctls: dict[str, str] = field(factory=dict)
    load_balancer_of: str = ""
    is_ingress: bool = False


def _bracketed(address: Address | None) -> str:
    if address is None:
        return ""
    return f"[{format_ip(address)}]" if len(address) == 16 else format_ip(address)
