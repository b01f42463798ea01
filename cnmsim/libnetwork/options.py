"""The options of libnetwork's objects: requests for networks, endpoints and sandboxes.

Source: moby `daemon/libnetwork/{network,endpoint,sandbox}.go`, the option setters (docker-v29.7.2).
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import TypeVar

from attrs import define, field, frozen

from cnmsim.digits import is_number
from cnmsim.kernel.address import Address, Mac, bracketed, parse_ip
from cnmsim.kernel.files import File
from cnmsim.kernel.namespace import NetworkNamespace
from cnmsim.libnetwork.readable import to_addresses, to_optional_address, to_optional_mac, to_text_map, to_texts

_PROTOCOLS = ("tcp", "udp", "sctp")
_Port = TypeVar("_Port", "PortBinding", "TransportPort")


def _port_number(text: str, what: str) -> int:
    if not (is_number(text) and 0 < int(text) < 65536):
        raise ValueError(f"invalid port {text!r} in {what!r}: a number from 1 to 65535 is needed")
    return int(text)


def _split_protocol(text: str) -> tuple[str, str]:
    port, _, protocol = text.partition("/")
    if (protocol or "tcp") not in _PROTOCOLS:
        raise ValueError(f"invalid protocol {protocol!r} in {text!r}; there are {', '.join(_PROTOCOLS)}")
    return port, protocol or "tcp"


def to_port_bindings(values: Iterable[PortBinding | str]) -> list[PortBinding]:
    """Convert published ports to `PortBinding` objects. A value is one already, or text such as `8080:80/tcp`."""
    return _parsed(values, PortBinding)


def to_transport_ports(values: Iterable[TransportPort | str]) -> list[TransportPort]:
    """Convert exposed ports to `TransportPort` objects. A value is one already, or text such as `80/tcp`."""
    return _parsed(values, TransportPort)


def _parsed(values: Iterable[_Port | str], kind: type[_Port]) -> list[_Port]:
    if isinstance(values, str):
        raise TypeError(f"a list is needed: [{values!r}]")
    return [kind.parse(value) if isinstance(value, str) else _typed(value, kind) for value in values]


#: Go's text of a missing address, which 26.1 writes for `host-gateway` without a default bridge.
NIL_ADDRESS = "<nil>"


def to_extra_hosts(values: Mapping[str, str] | Iterable[tuple[str, str] | str]) -> list[tuple[str, str]]:
    """Convert extra lines of /etc/hosts to pairs (name, address).

    `values` are such pairs, texts such as `db:10.0.0.9`, or a mapping from names to addresses. Raises `ValueError`
    if an address is invalid and not `NIL_ADDRESS`.
    """
    if isinstance(values, str):
        raise TypeError(f"a list is needed: [{values!r}]")
    pairs: list[tuple[str, str]] = []
    for value in values.items() if isinstance(values, Mapping) else values:
        if isinstance(value, str):
            name, _, address = value.partition(":")
        else:
            name, address = value
        if address != NIL_ADDRESS:
            parse_ip(address)
        pairs.append((name, address))
    return pairs


def _typed(value: object, kind: type[_Port]) -> _Port:
    if not isinstance(value, kind):
        raise TypeError(f"{value!r} is not a {kind.__name__}")
    return value


@frozen
class IpamConfig:
    """One requested subnet, as text. If `subnet` is "", a subnet of the default pools is requested."""

    subnet: str = ""
    ip_range: str = ""
    gateway: str = ""
    aux_addresses: dict[str, str] = field(factory=dict, hash=False)


@define
class NetworkOptions:
    """The options of a new network. `scope` is "local", "swarm", "global" or "", which means the scope of the driver.

    `load_balancer_ip` is this node's own address on a swarm network. If it is set, the network gets a load-balancer
    sandbox on this node.
    """

    driver_opts: dict[str, str] = field(factory=dict, converter=to_text_map)
    labels: dict[str, str] = field(factory=dict, converter=to_text_map)
    ipam_driver: str = "default"
    ipam_options: dict[str, str] = field(factory=dict, converter=to_text_map)
    ipam_config: list[IpamConfig] = field(factory=list)
    enable_ipv4: bool = True
    enable_ipv6: bool = False
    internal: bool = False
    attachable: bool = False
    ingress: bool = False
    scope: str = ""
    config_only: bool = False
    config_from: str = ""
    load_balancer_ip: Address | None = field(default=None, converter=to_optional_address)


@frozen
class PortConfig:
    """A published port of a service (SwarmKit `PortConfig`). `publish_mode` is "ingress" or "host"."""

    name: str = ""
    protocol: str = "tcp"
    target_port: int = 0
    published_port: int = 0
    publish_mode: str = "ingress"


@frozen
class ServiceBinding:
    """The service to which an endpoint belongs as a task (moby `CreateOptionService`).

    `aliases` are further names of the service on that network. `virtual_ip` is the service's virtual address; if it
    is `None`, the service's names resolve to the tasks' own addresses (endpoint mode dnsrr). `ports` is used on the
    ingress network only.
    """

    id: str
    name: str
    aliases: tuple[str, ...] = ()
    virtual_ip: Address | None = field(default=None, converter=to_optional_address)
    ports: tuple[PortConfig, ...] = ()


@frozen
class PortBinding:
    """A container port, and the host address and port on which it is published.

    In a request, `host_ip` `None` means the default binding address. `host_port` 0 means an ephemeral port; with a
    higher `host_port_end`, the first free port of that range is requested. In a result all fields are set; a
    `host_port` of 0 then means that the port is open without NAT (gateway mode `routed`).
    """

    protocol: str
    container_port: int
    host_ip: Address | None = None
    host_port: int = 0
    host_port_end: int = 0
    container_ip: Address | None = None

    @classmethod
    def parse(cls, text: str) -> PortBinding:
        """Parse `80`, `8080:80/tcp`, `127.0.0.1:8080:80`, `[::1]:8080:80/udp` or `8080-8090:80`.

        Raises `ValueError` if the text has a different format.
        """
        spec, protocol = _split_protocol(text)
        head, colon, container = spec.rpartition(":")
        port = _port_number(container, text)
        if not colon:
            return cls(protocol, port)
        host_ip, _, ports = head.rpartition(":")
        first, dash, last = ports.partition("-")
        return cls(
            protocol,
            port,
            parse_ip(host_ip.removeprefix("[").removesuffix("]")) if host_ip else None,
            _port_number(first, text) if first else 0,
            _port_number(last, text) if dash else 0,
        )

    def __str__(self) -> str:
        host = _bracketed(self.host_ip)
        end = f"-{self.host_port_end}" if self.host_port_end > self.host_port else ""
        return f"{host}:{self.host_port}{end}:{_bracketed(self.container_ip)}:{self.container_port}/{self.protocol}"

    @property
    def last_host_port(self) -> int:
        """The last port of the requested range; `host_port` if there is no range."""
        return max(self.host_port, self.host_port_end)


@frozen
class TransportPort:
    """An exposed port of a container."""

    protocol: str
    port: int

    @classmethod
    def parse(cls, text: str) -> TransportPort:
        """Parse `80` or `80/udp`. Raises `ValueError` if the text has a different format."""
        port, protocol = _split_protocol(text)
        return cls(protocol, _port_number(port, text))

    def __str__(self) -> str:
        return f"{self.port}/{self.protocol}"


@define
class EndpointOptions:
    """The options of a new endpoint: requested addresses, names, and the ports of its container.

    A sandbox runs the embedded resolver if one of its endpoints requires it; with `disable_resolution` this endpoint
    does not. `is_load_balancer` marks the endpoint of a load-balancer sandbox. With `omits_ports` the request to a
    network plugin contains no port options at all, not even empty ones. If `namespace` is set, a driver may create
    the endpoint's interface there; otherwise it is created on the host and moved when the endpoint joins a sandbox.
    """

    ipv4: Address | None = field(default=None, converter=to_optional_address)
    ipv6: Address | None = field(default=None, converter=to_optional_address)
    link_local: list[Address] = field(factory=list, converter=to_addresses)
    mac: Mac | None = field(default=None, converter=to_optional_mac)
    aliases: list[str] = field(factory=list, converter=to_texts)
    dns_names: list[str] = field(factory=list, converter=to_texts)
    driver_opts: dict[str, str] = field(factory=dict, converter=to_text_map)
    exposed_ports: list[TransportPort] = field(factory=list, converter=to_transport_ports)
    port_bindings: list[PortBinding] = field(factory=list, converter=to_port_bindings)
    disable_resolution: bool = False
    disable_ipv6: bool = False
    is_load_balancer: bool = False
    service: ServiceBinding | None = None
    omits_ports: bool = False
    namespace: NetworkNamespace | None = field(default=None, repr=False)


@frozen
class LegacyLink:
    """A `--link` on the default bridge, from this container (the parent) to another container (the child)."""

    child_address: Address
    child_ports: tuple[TransportPort, ...] = ()


@define
class SandboxOptions:
    """The options of a new sandbox.

    `name` is the sandbox's name in traces. `extra_hosts` are extra lines of /etc/hosts, as pairs (name, address).
    With `use_external_key` the namespace is created later, by `Sandbox.set_key` (the engine 26.1 creates endpoints
    before the container's namespace exists).

    If this is the load-balancer sandbox of a network, `load_balancer_of` is the network's id, otherwise "".
    `is_ingress` is True if that network is the ingress network. `hosts_file` and `resolv_conf` are the files to
    write; `None` creates new ones. A container has the same files in each of its sandboxes, and containers that share
    its network read them.
    """

    name: str = ""
    hostname: str = ""
    domainname: str = ""
    extra_hosts: list[tuple[str, str]] = field(factory=list, converter=to_extra_hosts)
    dns: list[str] = field(factory=list, converter=to_texts)
    dns_search: list[str] = field(factory=list, converter=to_texts)
    dns_opts: list[str] = field(factory=list, converter=to_texts)
    use_host_namespace: bool = False
    use_external_key: bool = False
    exposed_ports: list[TransportPort] = field(factory=list, converter=to_transport_ports)
    port_bindings: list[PortBinding] = field(factory=list, converter=to_port_bindings)
    legacy_links: list[LegacyLink] = field(factory=list)
    sysctls: dict[str, str] = field(factory=dict, converter=to_text_map)
    load_balancer_of: str = ""
    is_ingress: bool = False
    hosts_file: File | None = None
    resolv_conf: File | None = None


def _bracketed(address: Address | None) -> str:
    return "" if address is None else bracketed(address)
