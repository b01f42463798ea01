"""The interface between libnetwork and a network driver.

libnetwork first calls a driver to create a network, then to create endpoints on it, then to join these to sandboxes.
The driver changes the machine that it was created for. Every call succeeds or leaves the machine unchanged. Optional
abilities are separate protocols. Source: moby `daemon/libnetwork/driverapi/driverapi.go` (docker-v29.7.2).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import cache
from typing import Any, Protocol, cast, runtime_checkable

from attrs import define, field, frozen

from cnmsim.kernel.address import Address, Mac, Prefix
from cnmsim.libnetwork.options import EndpointOptions, LegacyLink, PortBinding, TransportPort

LOCAL_SCOPE = "local"
GLOBAL_SCOPE = "global"
SWARM_SCOPE = "swarm"


@frozen
class Capability:
    """The scopes of a driver, each "local" (one host) or "global" (all hosts of a cluster).

    `data_scope` says where the driver's networks are defined. `connectivity_scope` says which containers they
    connect: those of one host or of all hosts.
    """

    data_scope: str = LOCAL_SCOPE
    connectivity_scope: str = LOCAL_SCOPE


@frozen
class IpamInfo:
    """One allocated pool of a network: its prefix, its gateway address and its reserved addresses.

    `gateway` is `None` if the pool has no gateway. `space` is the pool's IPAM address space.
    """

    pool_id: str
    pool: Prefix
    gateway: Address | None = None
    ip_range: Prefix | None = None
    aux_addresses: dict[str, Address] = field(factory=dict, hash=False)
    space: str = ""

    @property
    def gateway_interface(self) -> str:
        """The gateway with the pool's prefix length, e.g. `172.18.0.1/16`. The pool must have a gateway."""
        from cnmsim.kernel.address import format_ip

        assert self.gateway is not None
        return f"{format_ip(self.gateway)}/{self.pool.length}"


@frozen
class NetworkRequest:
    """A request to a driver to create a network. `ipv4` and `ipv6` are its pools, `options` its driver options."""

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
    """The MAC address and the IP addresses of an endpoint, passed to a driver and completed by it.

    Each IP address is a pair of address and prefix length. A value that is set was requested. A value that is `None`
    may be filled in by the driver. `link_local` are the requested additional link-local addresses.
    """

    mac: Mac | None = None
    ipv4: tuple[Address, int] | None = None
    ipv6: tuple[Address, int] | None = None
    link_local: list[tuple[Address, int]] = field(factory=list)


@frozen
class StaticRoute:
    """A route that a driver adds to a sandbox. Without `next_hop` the prefix is on-link."""

    prefix: Prefix
    next_hop: Address | None = None


@frozen
class TableEntry:
    """An entry of a gossiped table, which a driver requests at a join. It exists while the endpoint is joined."""

    table: str
    key: str
    value: Any


@define
class JoinInfo:
    """The result of a driver's join: the device to move into the sandbox, its name there, and its gateways.

    `source_name` is the device's present name. If `created_in_sandbox` is True, the device is in the sandbox's
    namespace already, otherwise in the host's. The device is renamed to `destination_name` or, if that is empty, to
    `destination_prefix` and a number (`eth0`).

    `force_gateway4` and `force_gateway6` mean that the default route leads through this device without a gateway
    address. `disable_gateway_service` means that this endpoint does not need docker_gwbridge.
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
    """The properties of a sandbox that a driver receives when an endpoint joins the sandbox.

    `key` is the path of the file that keeps the sandbox's namespace open. `legacy_links` are
    the links (`--link`) of the sandbox's container.
    """

    sandbox_id: str
    key: str
    exposed_ports: list[TransportPort] = field(factory=list)
    port_bindings: list[PortBinding] = field(factory=list)
    legacy_links: list[LegacyLink] = field(factory=list)


@runtime_checkable
class Driver(Protocol):
    """A network driver on one machine."""

    name: str
    capability: Capability

    def create_network(self, request: NetworkRequest) -> None:
        """Create a network. Raises an `EngineError` on failure."""

    def delete_network(self, network_id: str) -> None:
        """Delete a network."""

    def create_endpoint(
        self, network_id: str, endpoint_id: str, interface: EndpointInterface, options: EndpointOptions
    ) -> None:
        """Create an endpoint. Fill in the addresses in `interface` that are `None`, if the driver assigns any."""

    def delete_endpoint(self, network_id: str, endpoint_id: str) -> None:
        """Delete an endpoint."""

    def operational_info(self, network_id: str, endpoint_id: str) -> dict[str, Any]:
        """Return the driver's data about an endpoint, in the bridge driver `mac`, `exposed_ports` and `port_map`."""

    def join(self, network_id: str, endpoint_id: str, sandbox: SandboxContext, info: JoinInfo) -> None:
        """Attach an endpoint to a sandbox. Store in `info` the device to move and the gateways."""

    def leave(self, network_id: str, endpoint_id: str) -> None:
        """Detach an endpoint from its sandbox."""


def missing_members(driver: object) -> list[str]:
    """Return the names of the members of `Driver` that an object lacks; [] if it has all of them."""
    members = ("name", "capability", *(name for name in vars(Driver) if not name.startswith("_")))
    return [name for name in members if not hasattr(driver, name)]


@runtime_checkable
class ExternalConnectivity(Protocol):
    """A driver that publishes ports."""

    def program_external_connectivity(
        self, network_id: str, endpoint_id: str, sandbox: SandboxContext, *, gateway4: str, gateway6: str
    ) -> None:
        """Publish the sandbox's ports on this endpoint, for each address family in which the endpoint is the gateway.

        `gateway4` and `gateway6` are the ids of the sandbox's IPv4 and IPv6 gateway endpoints, "" for none.
        libnetwork calls this again whenever one of these ids changes; the driver then adds and removes the affected
        mappings.
        """

    def revoke_external_connectivity(self, network_id: str, endpoint_id: str) -> None:
        """Unpublish all ports of this endpoint."""


@runtime_checkable
class GatewayAllocation(Protocol):
    """A driver that decides whether a network needs a gateway address (moby `driverapi.GwAllocChecker`)."""

    def skip_gateway_allocation(self, request: NetworkRequest) -> tuple[bool, bool]:
        """Return a pair of flags (IPv4, IPv6). True: allocate a gateway address only if the user requested one.

        `request` contains no pools yet.
        """


@runtime_checkable
class IpamlessDriver(Protocol):
    """A driver whose networks have no addresses: the drivers `host` and `null`."""

    is_special: bool


@runtime_checkable
class FailedJoinLeaver(Protocol):
    """A driver that may have to undo a failed join itself, e.g. a plugin that responded with an error.

    The plugin may have done part of the work before. If `leaves_failed_join` is True, libnetwork calls `leave` after
    a failed join.
    """

    leaves_failed_join: bool


@runtime_checkable
class Ipv6Releaser(Protocol):
    """A driver that stores state for an endpoint's IPv6 address (moby `driverapi.IPv6Releaser`)."""

    def release_ipv6(self, network_id: str, endpoint_id: str) -> None:
        """Release the driver's state for an endpoint's IPv6 address.

        libnetwork calls this if the sysctls of the endpoint's interface have removed the address from it (29.x).
        """


@runtime_checkable
class NodeDiscovery(Protocol):
    """A driver that is notified when nodes join or leave the cluster."""

    def node_joined(self, address: Address, *, is_self: bool) -> None:
        """Handle a node that joined. `is_self` is True if the node is this host."""

    def node_left(self, address: Address) -> None:
        """Handle a node that left."""


@runtime_checkable
class TableWatcher(Protocol):
    """A driver whose instances on all nodes share tables (moby `driverapi.TableWatcher`).

    `tables` are the names of the tables. A driver creates entries through `JoinInfo.table_entries`.
    """

    tables: tuple[str, ...]

    def table_changed(self, network_id: str, table: str, key: str, previous: Any, value: Any) -> None:
        """Handle a change of another node's table entry.

        `previous` is the old value, `None` if the entry was created. `value` is the new one, `None` if it was
        deleted.
        """

    def decode_table_entry(self, table: str, key: str, value: Any) -> tuple[str, dict[str, str]]:
        """Return the id of a table entry's endpoint, and its data for `network inspect --verbose`."""


@runtime_checkable
class DataPath(Protocol):
    """A driver that transports traffic between hosts, and may encrypt it.

    Each key is a pair: the key's bytes and its Lamport time.
    """

    def data_path_set(self, address: Address, bind: Address, port: int) -> None:
        """Set the source address (`address`) and the UDP port of this host's tunnels.

        `bind` is this host's own address in the swarm, which IPsec uses.
        """

    def keys_set(self, keys: Sequence[tuple[bytes, int]]) -> None:
        """Replace all keys. The first key is the primary one, with which packets are encrypted."""

    def keys_updated(
        self, new: tuple[bytes, int] | None, primary: tuple[bytes, int] | None, pruned: tuple[bytes, int] | None
    ) -> None:
        """Rotate the keys: add the key `new`, make `primary` the primary key, and remove the key `pruned`.

        An argument that is `None` skips its step. Raises `InvalidParameter` if the arguments do not match the present
        keys.
        """


# Cached by class: issubclass() of a protocol is slow, and this runs for every node and every endpoint.
@cache
def _implements(kind: Any, protocol: Any) -> bool:
    return issubclass(kind, protocol)


def node_discovery(driver: Driver) -> NodeDiscovery | None:
    """Return the driver as a `NodeDiscovery`, or `None` if it is not one."""
    return cast(NodeDiscovery, driver) if _implements(cast(Any, type(driver)), NodeDiscovery) else None


def publisher(driver: object) -> ExternalConnectivity | None:
    """Return the driver if it can publish ports, else `None`."""
    return cast(ExternalConnectivity, driver) if _implements(cast(Any, type(driver)), ExternalConnectivity) else None


def table_watcher(driver: object) -> TableWatcher | None:
    """Return the driver if it shares a table with other nodes, else `None`."""
    return driver if isinstance(driver, TableWatcher) else None


def gateway_allocation(driver: object) -> GatewayAllocation | None:
    """Return the driver if it can skip gateway addresses, else `None`."""
    return cast(GatewayAllocation, driver) if _implements(cast(Any, type(driver)), GatewayAllocation) else None


def ipv6_releaser(driver: object) -> Ipv6Releaser | None:
    """Return the driver if it holds state for IPv6 addresses, else `None`."""
    return driver if isinstance(driver, Ipv6Releaser) else None


def is_special(driver: object) -> bool:
    """Return True if the driver is that of `host` or `null`, whose networks have no addresses."""
    return bool(getattr(driver, "is_special", False))


def leaves_failed_join(driver: object) -> bool:
    """Return True if the driver's `leave` must be called after a failed join."""
    return bool(getattr(driver, "leaves_failed_join", False))
