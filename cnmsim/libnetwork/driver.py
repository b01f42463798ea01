"""The contract between libnetwork and a network driver.

A driver is called for networks, endpoints and joins, in this order, and changes the machine it was created for. Every
call succeeds or leaves the machine as it was. Optional abilities are protocols of their own. Source: moby
`daemon/libnetwork/driverapi/driverapi.go` (docker-v29.7.2).
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
    """The scope of a driver.

    `data_scope` says where its networks are defined, `connectivity_scope` where they connect containers: on one host
    ("local") or on every host of a cluster ("global").
    """

    data_scope: str = LOCAL_SCOPE
    connectivity_scope: str = LOCAL_SCOPE


@frozen
class IpamInfo:
    """One allocated pool of a network: its prefix, its gateway address (or `None`) and its reserved addresses.

    `space` is the address space that it belongs to.
    """

    pool_id: str
    pool: Prefix
    gateway: Address | None = None
    ip_range: Prefix | None = None
    aux_addresses: dict[str, Address] = field(factory=dict, hash=False)
    space: str = ""

    @property
    def gateway_interface(self) -> str:
        """The gateway as an interface address, such as `172.18.0.1/16`. Requires a gateway."""
        from cnmsim.kernel.address import format_ip

        assert self.gateway is not None
        return f"{format_ip(self.gateway)}/{self.pool.length}"


@frozen
class NetworkRequest:
    """A request to create a network."""

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
    """The addresses of an endpoint. A value that is set was requested; a driver may fill in those that are `None`."""

    mac: Mac | None = None
    ipv4: tuple[Address, int] | None = None
    ipv6: tuple[Address, int] | None = None
    link_local: list[tuple[Address, int]] = field(factory=list)


@frozen
class StaticRoute:
    """A route of a sandbox. Without `next_hop` the prefix is on-link."""

    prefix: Prefix
    next_hop: Address | None = None


@frozen
class TableEntry:
    """An entry of a cluster-wide table that a driver wants to exist while an endpoint is joined."""

    table: str
    key: str
    value: Any


@define
class JoinInfo:
    """A driver's result of a join: the device to move into the sandbox, its name there, and its gateways.

    `source_name` is the device's present name, in the host's namespace or, if `created_in_sandbox`, in the sandbox's.
    It is renamed to `destination_name`, or else to `destination_prefix` and a number.
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
    """A driver's view of the sandbox that an endpoint joins. `namespace` is `None` while it does not exist yet."""

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
        """Create a network. Raises an `EngineError`."""

    def delete_network(self, network_id: str) -> None:
        """Delete a network."""

    def create_endpoint(
        self, network_id: str, endpoint_id: str, interface: EndpointInterface, options: EndpointOptions
    ) -> None:
        """Create an endpoint, and fill in what `interface` lacks."""

    def delete_endpoint(self, network_id: str, endpoint_id: str) -> None:
        """Delete an endpoint."""

    def operational_info(self, network_id: str, endpoint_id: str) -> dict[str, Any]:
        """Return an endpoint's MAC address (`mac`), exposed ports (`exposed_ports`) and port map (`port_map`)."""

    def join(self, network_id: str, endpoint_id: str, sandbox: SandboxContext, info: JoinInfo) -> None:
        """Attach an endpoint to a sandbox, and fill in `info`."""

    def leave(self, network_id: str, endpoint_id: str) -> None:
        """Detach an endpoint from its sandbox."""


@runtime_checkable
class ExternalConnectivity(Protocol):
    """A driver that publishes ports."""

    def program_external_connectivity(
        self, network_id: str, endpoint_id: str, sandbox: SandboxContext, *, gateway4: str, gateway6: str
    ) -> None:
        """Publish the ports of the sandbox on this endpoint.

        `gateway4` and `gateway6` are the ids of the endpoints that are the sandbox's gateways, "" for none. Called
        again whenever those change, to add and remove the mappings that the change affects.
        """

    def revoke_external_connectivity(self, network_id: str, endpoint_id: str) -> None:
        """Unpublish all ports of this endpoint."""


@runtime_checkable
class GatewayAllocation(Protocol):
    """A driver whose networks may have no gateway address (moby `driverapi.GwAllocChecker`)."""

    def skip_gateway_allocation(self, request: NetworkRequest) -> tuple[bool, bool]:
        """Return, for IPv4 and IPv6, whether to allocate no gateway. `request` has no pools yet."""


@runtime_checkable
class IpamlessDriver(Protocol):
    """A driver whose networks have no addresses of their own: `host` and `null`."""

    is_special: bool


@runtime_checkable
class FailedJoinLeaver(Protocol):
    """A driver that may leave a failed join half done, and is therefore called to leave: one in another process."""

    leaves_failed_join: bool


@runtime_checkable
class Ipv6Releaser(Protocol):
    """A driver that holds state for an endpoint's IPv6 address (moby `driverapi.IPv6Releaser`)."""

    def release_ipv6(self, network_id: str, endpoint_id: str) -> None:
        """Release that state: a sysctl of the endpoint's interface has removed the address."""


@runtime_checkable
class NodeDiscovery(Protocol):
    """A driver that is notified of the nodes of the cluster."""

    def node_joined(self, address: Address, *, is_self: bool) -> None:
        """Handle a node that joined, or this host's own address."""

    def node_left(self, address: Address) -> None:
        """Handle a node that left."""


@runtime_checkable
class TableWatcher(Protocol):
    """A driver that shares a table with its instances on other nodes (moby `driverapi.TableWatcher`).

    `tables` are the names. Entries are created through `JoinInfo.table_entries`.
    """

    tables: tuple[str, ...]

    def table_changed(self, network_id: str, table: str, key: str, previous: Any, value: Any) -> None:
        """Handle an entry of another node: a new `value` in place of `previous`, each `None` where there is none."""

    def decode_table_entry(self, table: str, key: str, value: Any) -> tuple[str, dict[str, str]]:
        """Return the id of an entry's endpoint, and the entry as users see it."""


@runtime_checkable
class DataPath(Protocol):
    """A driver that carries traffic between hosts, and may encrypt it. A key is a pair of key and Lamport time."""

    def data_path_set(self, address: Address, bind: Address, port: int) -> None:
        """Set the address of this host's tunnels, the address that the swarm binds, and the tunnels' UDP port."""

    def keys_set(self, keys: Sequence[tuple[bytes, int]]) -> None:
        """Replace all keys. The first is the primary one, used to encrypt."""

    def keys_updated(
        self, new: tuple[bytes, int] | None, primary: tuple[bytes, int] | None, pruned: tuple[bytes, int] | None
    ) -> None:
        """Add a key, change the primary key, remove a key.

        Raises `InvalidParameter` if these do not match the present keys.
        """


# Cached by class: issubclass() of a protocol is slow, and this runs for every node and every endpoint.
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
    """Return the driver if it is notified of nodes, else `None`."""
    return cast(NodeDiscovery, driver) if _wants_nodes(type(driver)) else None


def publisher(driver: object) -> ExternalConnectivity | None:
    """Return the driver if it publishes ports, else `None`."""
    return cast(ExternalConnectivity, driver) if _publishes_ports(type(cast(Driver, driver))) else None


def table_watcher(driver: object) -> TableWatcher | None:
    """Return the driver if it shares a table with other nodes, else `None`."""
    return driver if isinstance(driver, TableWatcher) else None


def gateway_allocation(driver: object) -> GatewayAllocation | None:
    """Return the driver if it decides about gateway addresses, else `None`."""
    return cast(GatewayAllocation, driver) if _can_skip_gateways(type(cast(Driver, driver))) else None


def ipv6_releaser(driver: object) -> Ipv6Releaser | None:
    """Return the driver if it holds state for IPv6 addresses, else `None`."""
    return driver if isinstance(driver, Ipv6Releaser) else None


def is_special(driver: object) -> bool:
    """Return True if the driver's networks have no addresses of their own."""
    return bool(getattr(driver, "is_special", False))


def leaves_failed_join(driver: object) -> bool:
    """Return True if the driver is called to leave after a join that it failed."""
    return bool(getattr(driver, "leaves_failed_join", False))
