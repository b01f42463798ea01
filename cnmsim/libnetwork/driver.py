"""The contract between libnetwork and a network driver.

A driver is told of networks, endpoints and joins, in that order, and does its work on the machine it was made for.
Every call either succeeds or leaves the machine as it was. What only some drivers can do stands in protocols of its
own, which the controller asks for by `isinstance`. Source: moby `daemon/libnetwork/driverapi/driverapi.go`
(docker-v29.7.2).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import cache
from typing import Any, Protocol, cast, runtime_checkable

from attrs import define, field, frozen

from cnmsim.kernel.address import Address, Mac, Prefix
from cnmsim.kernel.namespace import NetworkNamespace
from cnmsim.libnetwork.options import EndpointOptions, LegacyLink, PortBinding, TransportPort

LOCAL_SCOPE = "local"
GLOBAL_SCOPE = "global"
SWARM_SCOPE = "swarm"


@frozen
class Capability:
    """How far a driver reaches.

    Its networks are known (`data_scope`), and connect containers (`connectivity_scope`), on one host, "local", or on
    every host of a cluster, "global".
    """

    data_scope: str = LOCAL_SCOPE
    connectivity_scope: str = LOCAL_SCOPE


@frozen
class IpamInfo:
    """One allocated pool of a network: its prefix, its gateway address if it has one, and reserved addresses.

    `space` is the address space it is of.
    """

    pool_id: str
    pool: Prefix
    gateway: Address | None = None
    ip_range: Prefix | None = None
    aux_addresses: dict[str, Address] = field(factory=dict, hash=False)
    space: str = ""

    @property
    def gateway_interface(self) -> str:
        """The gateway as an interface address, such as `172.18.0.1/16`. Asked only where there is a gateway."""
        from cnmsim.kernel.address import format_ip

        assert self.gateway is not None
        return f"{format_ip(self.gateway)}/{self.pool.length}"


@frozen
class NetworkRequest:
    """A network a driver is asked to make."""

    id: str
    name: str
    options: Mapping[str, str]
    ipv4: Sequence[IpamInfo]
    ipv6: Sequence[IpamInfo]
    enable_ipv4: bool = True
    enable_ipv6: bool = False
    internal: bool = False
    ingress: bool = False


@define
class EndpointInterface:
    """The address side of an endpoint. A driver may fill in what is `None`; what is set was asked for."""

    mac: Mac | None = None
    ipv4: tuple[Address, int] | None = None
    ipv6: tuple[Address, int] | None = None
    link_local: list[tuple[Address, int]] = field(factory=list)


@frozen
class StaticRoute:
    """A route of a sandbox. Without `next_hop` the prefix is on the endpoint's link."""

    prefix: Prefix
    next_hop: Address | None = None


@frozen
class TableEntry:
    """An entry of a cluster-wide table that a driver wants to be made while an endpoint is joined."""

    table: str
    key: str
    value: Any


@define
class JoinInfo:
    """What a driver answers to a join: which device to move into the sandbox, its name there, and its gateways.

    `source_name` is the device's name now: in the host's namespace, or already in the sandbox's if
    `created_in_sandbox`. It becomes `destination_name`, or else `destination_prefix` and a number.
    """

    source_name: str = ""
    created_in_sandbox: bool = False
    destination_prefix: str = "eth"
    destination_name: str = ""
    gateway4: Address | None = None
    gateway6: Address | None = None
    static_routes: list[StaticRoute] = field(factory=list)
    disable_gateway_service: bool = False
    force_gateway4: bool = False
    force_gateway6: bool = False
    table_entries: list[TableEntry] = field(factory=list)


@define
class SandboxContext:
    """What a driver may know of the sandbox an endpoint joins. `namespace` is `None` while there is none yet."""

    sandbox_id: str
    key: str
    namespace: NetworkNamespace | None
    exposed_ports: list[TransportPort] = field(factory=list)
    port_bindings: list[PortBinding] = field(factory=list)
    legacy_links: list[LegacyLink] = field(factory=list)


@runtime_checkable
class Driver(Protocol):
    """A network driver on one machine."""

    name: str
    capability: Capability

    def create_network(self, request: NetworkRequest) -> None:
        """Make a network. Raises an `EngineError` if it cannot."""

    def delete_network(self, network_id: str) -> None:
        """Unmake it."""

    def create_endpoint(
        self, network_id: str, endpoint_id: str, interface: EndpointInterface, options: EndpointOptions
    ) -> None:
        """Make an endpoint; fills in what `interface` lacks."""

    def delete_endpoint(self, network_id: str, endpoint_id: str) -> None:
        """Unmake it."""

    def operational_info(self, network_id: str, endpoint_id: str) -> dict[str, Any]:
        """Tell the MAC address (`mac`), exposed ports (`exposed_ports`) and port map (`port_map`) of an endpoint."""

    def join(self, network_id: str, endpoint_id: str, sandbox: SandboxContext, info: JoinInfo) -> None:
        """Plug an endpoint into a sandbox; fills in `info`."""

    def leave(self, network_id: str, endpoint_id: str) -> None:
        """Unplug it."""


@runtime_checkable
class ExternalConnectivity(Protocol):
    """A driver that publishes ports."""

    def program_external_connectivity(
        self, network_id: str, endpoint_id: str, sandbox: SandboxContext, *, gateway4: str, gateway6: str
    ) -> None:
        """Publish the ports of the sandbox on this endpoint.

        `gateway4` and `gateway6` are the ids of the endpoints that are the sandbox's gateways, "" for none. Called
        again whenever those change; it adds and withdraws what that changes.
        """

    def revoke_external_connectivity(self, network_id: str, endpoint_id: str) -> None:
        """Withdraw every published port of this endpoint."""


@runtime_checkable
class GatewayAllocation(Protocol):
    """A driver that can do without a gateway address (moby `driverapi.GwAllocChecker`)."""

    def skip_gateway_allocation(self, request: NetworkRequest) -> tuple[bool, bool]:
        """Tell for IPv4 and IPv6 whether to allocate none. `request` has no pools yet."""


@runtime_checkable
class IpamlessDriver(Protocol):
    """A driver whose networks have no addresses of their own: `host` and `null`."""

    is_special: bool


@runtime_checkable
class FailedJoinLeaver(Protocol):
    """A driver that may have done part of a join it fails, and is told to leave then: one of another process."""

    leaves_failed_join: bool


@runtime_checkable
class Ipv6Releaser(Protocol):
    """A driver that keeps something for an endpoint's IPv6 address (moby `driverapi.IPv6Releaser`)."""

    def release_ipv6(self, network_id: str, endpoint_id: str) -> None:
        """Drop the IPv6 address of an endpoint: a sysctl of its interface has removed it."""


@runtime_checkable
class NodeDiscovery(Protocol):
    """A driver that wants to know the nodes of the cluster."""

    def node_joined(self, address: Address, *, is_self: bool) -> None:
        """Take note of a node, or of this host's own address."""

    def node_left(self, address: Address) -> None:
        """Take note that it is gone."""


@runtime_checkable
class TableWatcher(Protocol):
    """A driver that keeps a table with its like on other nodes (moby `driverapi.TableWatcher`).

    `tables` are their names. Entries are put by way of `JoinInfo.table_entries`.
    """

    tables: tuple[str, ...]

    def table_changed(self, network_id: str, table: str, key: str, previous: Any, value: Any) -> None:
        """Take note of an entry of another node: a new `value`, in place of `previous`; `None` where there is none."""

    def decode_table_entry(self, table: str, key: str, value: Any) -> tuple[str, dict[str, str]]:
        """Give the id of the endpoint an entry is about, and what of it is shown to users."""


@runtime_checkable
class DataPath(Protocol):
    """A driver that carries traffic between hosts, and may encrypt it. Keys come as pairs of key and Lamport time."""

    def data_path_set(self, address: Address, bind: Address, port: int) -> None:
        """Take note of the address of this host's tunnels, of the one the swarm binds, and of the tunnels' UDP port."""

    def keys_set(self, keys: Sequence[tuple[bytes, int]]) -> None:
        """Take these keys and no others; the first is the one to encrypt with."""

    def keys_updated(
        self, new: tuple[bytes, int] | None, primary: tuple[bytes, int] | None, pruned: tuple[bytes, int] | None
    ) -> None:
        """Take a key in, encrypt with another, give one up.

        Raises `InvalidParameter` if these do not fit what there is.
        """


# Whether a class has what a protocol asks for is seen once: Python looks long, and that is asked for every node and endpoint.
@cache
def _wants_nodes(kind: type) -> bool:
    return issubclass(kind, NodeDiscovery)


@cache
def _publishes_ports(kind: type) -> bool:
    return issubclass(kind, ExternalConnectivity)


@cache
def _can_skip_gateways(kind: type) -> bool:
    return issubclass(kind, GatewayAllocation)


def node_discovery(driver: Driver) -> NodeDiscovery | None:
    """Give the driver if it wants to know the nodes, else `None`."""
    return cast(NodeDiscovery, driver) if _wants_nodes(type(driver)) else None


def publisher(driver: object) -> ExternalConnectivity | None:
    """Give the driver if it publishes ports, else `None`."""
    return cast(ExternalConnectivity, driver) if _publishes_ports(type(cast(Driver, driver))) else None


def table_watcher(driver: object) -> TableWatcher | None:
    """Give the driver if it keeps a table with its like on other nodes, else `None`."""
    return driver if isinstance(driver, TableWatcher) else None


def gateway_allocation(driver: object) -> GatewayAllocation | None:
    """Give the driver if it has a say about gateway addresses, else `None`."""
    return cast(GatewayAllocation, driver) if _can_skip_gateways(type(cast(Driver, driver))) else None


def ipv6_releaser(driver: object) -> Ipv6Releaser | None:
    """Return the driver if it keeps something for IPv6 addresses, else `None`."""
    return driver if isinstance(driver, Ipv6Releaser) else None


def is_special(driver: object) -> bool:
    """Tell whether the driver's networks have no addresses of their own."""
    return bool(getattr(driver, "is_special", False))


def leaves_failed_join(driver: object) -> bool:
    """Tell whether the driver is told to leave what it failed to join."""
    return bool(getattr(driver, "leaves_failed_join", False))
