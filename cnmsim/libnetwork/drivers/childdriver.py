"""The common part of the macvlan and ipvlan drivers, whose endpoints are child devices of a parent interface.

The drivers differ in how networks share a parent, in the kind of child device, and in the default routes. Source:
moby `daemon/libnetwork/drivers/{macvlan,ipvlan}` (docker-v29.7.2), `libnetwork/drivers/` of v26.1.5 and v28.5.2.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable
from typing import Any, Generic, Protocol, TypeVar

from attrs import define, field

from cnmsim.errors import EngineError, InvalidParameter, SystemFault
from cnmsim.kernel.address import Address
from cnmsim.kernel.device import Device
from cnmsim.kernel.errno_text import go_strerror
from cnmsim.kernel.machine import Machine
from cnmsim.libnetwork.driver import (
    GLOBAL_SCOPE,
    LOCAL_SCOPE,
    Capability,
    EndpointInterface,
    IpamInfo,
    JoinInfo,
    NetworkRequest,
    SandboxContext,
)
from cnmsim.libnetwork.drivers.bridge.device import veth_name
from cnmsim.libnetwork.drivers.bridge.labels import ENDPOINT_IFNAME
from cnmsim.libnetwork.drivers.parentlink import create_dummy, create_vlan, dummy_name, remove_created
from cnmsim.libnetwork.options import EndpointOptions
from cnmsim.libnetwork.profile import Profile


class ChildOptions(Protocol):
    """The parsed driver options of a macvlan or ipvlan network."""

    @property
    def parent(self) -> str:
        """The name of the host's interface that the network uses, "" if the options do not name one."""


OptionsT = TypeVar("OptionsT", bound=ChildOptions)


@define
class ChildEndpoint:
    """One endpoint.

    `source_name` is the name of the endpoint's device on the host before the device is moved into the sandbox, ""
    before the first join.
    """

    id: str
    ipv4: tuple[Address, int] | None
    ipv6: tuple[Address, int] | None
    options: EndpointOptions
    source_name: str = ""
    device: Device | None = None


@define
class ChildNetwork(Generic[OptionsT]):
    """One network.

    `parent` is the name of its parent interface, which the driver created if `created_parent` is set.
    """

    request: NetworkRequest
    options: OptionsT
    parent: str
    internal: bool
    created_parent: bool = False
    endpoints: dict[str, ChildEndpoint] = field(factory=dict)


@define(eq=False)
class ChildDriver(ABC, Generic[OptionsT]):
    """A driver whose endpoints are child devices of a parent interface of the host. It publishes no ports.

    `log` is called with each log line of the daemon. If a network names no parent, the driver creates a dummy device
    as the parent, whose name begins with `dummy_prefix`.
    """

    machine: Machine
    profile: Profile
    log: Callable[[str], None]
    name: str = field(default="", init=False)
    dummy_prefix: str = field(default="", init=False)
    capability: Capability = field(default=Capability(LOCAL_SCOPE, GLOBAL_SCOPE), init=False)
    _networks: dict[str, ChildNetwork[OptionsT]] = field(factory=dict, init=False)

    # --- implemented by the two drivers

    @abstractmethod
    def _read(self, options: dict[str, str]) -> OptionsT:
        """Parse the network's options. Raises `SystemFault` with the driver's message if an option is invalid."""

    @abstractmethod
    def _check_parent(self, network_id: str, parent: str, options: OptionsT) -> None:
        """Raise `SystemFault` if the parent is not available because another network uses it."""

    @abstractmethod
    def _make_child(self, name: str, parent: Device, options: OptionsT) -> Device:
        """Create the child device of an endpoint on the interface `parent`.

        Raises `OSError` if the kernel refuses.
        """

    @abstractmethod
    def _choose_mac(self, interface: EndpointInterface) -> None:
        """Choose the endpoint's MAC address, and store it in `interface`. ipvlan endpoints get none.

        Raises an `EngineError` if the driver does not support the requested address.
        """

    @abstractmethod
    def _set_gateways(self, network: ChildNetwork[OptionsT], endpoint: ChildEndpoint, info: JoinInfo) -> None:
        """Store the gateways of an endpoint in `info`. Not called for internal networks."""

    # --- networks

    def _settings(self, request: NetworkRequest) -> tuple[OptionsT, bool]:
        """Parse a network's options. Return them, and True if the network is internal.

        A network is internal if that was requested, or if it has no parent interface.
        """
        options = self._read(dict(request.options))
        if options.parent == "lo":
            raise SystemFault(f"loopback interface is not a valid {self.name} parent link")
        return options, request.internal or not options.parent

    def create_network(self, request: NetworkRequest) -> None:
        """Create a network, and its parent interface if that is missing.

        Raises an `EngineError` with the driver's message if the request is invalid, the parent is not available, or
        it cannot be created.
        """
        self._check_pools(request)
        options, internal = self._settings(request)
        parent = options.parent or dummy_name(self.dummy_prefix, request.id)
        self._check_parent(request.id, parent, options)
        network = ChildNetwork(request, options, parent, internal)
        host = self.machine.root
        if parent in host.devices:
            network.created_parent = self._is_created_parent(parent)
        elif not options.parent:
            create_dummy(host, parent, self.machine.random)
            network.created_parent = True
        else:
            create_vlan(host, parent, self.name)
            network.created_parent = True
        self._networks[request.id] = network

    def _check_pools(self, request: NetworkRequest) -> None:
        wants4 = request.enable_ipv4 or not self.profile.can_disable_ipv4
        families = [(4, wants4, request.ipv4)]
        if self.profile.can_disable_ipv4:
            families.append((6, request.enable_ipv6, request.ipv6))
        for family, is_enabled, infos in families:
            if is_enabled and (not infos or not infos[0].pool.length):
                kind = InvalidParameter if self.profile.can_disable_ipv4 else SystemFault
                raise kind(f"ipv{family} pool is empty")

    def _is_created_parent(self, parent: str) -> bool:
        """Return True if the driver created the interface `parent` for another of its networks."""
        return any(other.parent == parent and other.created_parent for other in self._networks.values())

    def delete_network(self, network_id: str) -> None:
        """Delete a network.

        If the driver created its parent interface and no other network uses it, delete that too.
        """
        network = self._network(network_id)
        for endpoint in list(network.endpoints.values()):
            self._drop(network, endpoint)
        del self._networks[network_id]
        if network.created_parent and not any(other.parent == network.parent for other in self._networks.values()):
            remove_created(self.machine.root, network.parent)

    def _network(self, network_id: str) -> ChildNetwork[OptionsT]:
        try:
            return self._networks[network_id]
        except KeyError:
            raise SystemFault(f"network id {network_id} not found") from None

    # --- endpoints

    def create_endpoint(
        self, network_id: str, endpoint_id: str, interface: EndpointInterface, options: EndpointOptions
    ) -> None:
        """Register an endpoint. Published and exposed ports are not supported: they are logged and ignored."""
        network = self._network(network_id)
        self._choose_mac(interface)
        endpoint = ChildEndpoint(endpoint_id, interface.ipv4, interface.ipv6, options)
        if options.port_bindings:
            self.log(f"{self.name} driver does not support port mappings")
        if options.exposed_ports:
            self.log(f"{self.name} driver does not support port exposures")
        network.endpoints[endpoint_id] = endpoint

    def delete_endpoint(self, network_id: str, endpoint_id: str) -> None:
        """Delete the endpoint and its device, in whichever namespace the device is."""
        network = self._network(network_id)
        self._drop(network, self._endpoint(network, endpoint_id))

    def _drop(self, network: ChildNetwork[OptionsT], endpoint: ChildEndpoint) -> None:
        device = endpoint.device
        if device is not None and device.namespace is not None:
            device.namespace.remove_device(device)
        del network.endpoints[endpoint.id]

    @staticmethod
    def _endpoint(network: ChildNetwork[OptionsT], endpoint_id: str) -> ChildEndpoint:
        try:
            return network.endpoints[endpoint_id]
        except KeyError:
            raise SystemFault(f"could not find endpoint with id {endpoint_id}") from None

    def operational_info(self, network_id: str, endpoint_id: str) -> dict[str, Any]:
        """Return an empty dict: the driver has no data about an endpoint."""
        self._endpoint(self._network(network_id), endpoint_id)
        return {}

    # --- joining

    def join(self, network_id: str, endpoint_id: str, sandbox: SandboxContext, info: JoinInfo) -> None:
        """Create the child device on the host; libnetwork then moves it into the sandbox.

        Raises `SystemFault` with the driver's message if the parent does not exist or the kernel refuses the device.
        """
        del sandbox
        network = self._network(network_id)
        endpoint = self._endpoint(network, endpoint_id)
        host = self.machine.root
        name = veth_name(self.machine.random, host)
        parent = host.devices.get(network.parent)
        if parent is None:
            raise SystemFault(f"the requested parent interface {network.parent} was not found on the Docker host")
        try:
            device = self._make_child(name, parent, network.options)
        except OSError as error:
            cause = go_strerror(error)
            raise SystemFault(f"failed to create the {self.name} port: {cause}") from None
        device.txqueuelen = 0
        host.add_device(device)
        try:
            if network.internal:
                info.disable_gateway_service = True
            else:
                self._set_gateways(network, endpoint, info)
        except EngineError:
            host.remove_device(device)
            raise
        endpoint.device, endpoint.source_name = device, name
        info.source_name = name
        if self.profile.has_endpoint_ifname:
            info.destination_name = endpoint.options.driver_opts.get(ENDPOINT_IFNAME, "")

    def leave(self, network_id: str, endpoint_id: str) -> None:
        """Delete the endpoint's device. libnetwork has moved the device back to the host before it calls this."""
        network = self._network(network_id)
        endpoint = self._endpoint(network, endpoint_id)
        device = endpoint.device
        if device is not None and device.namespace is not None:
            device.namespace.remove_device(device)
        endpoint.device, endpoint.source_name = None, ""

    @staticmethod
    def _use_gateways(network: ChildNetwork[OptionsT], endpoint: ChildEndpoint, info: JoinInfo) -> None:
        """Store in `info` the gateways of the subnets that contain the endpoint's addresses.

        If such a subnet has no gateway, set `force_gateway4` or `force_gateway6` in `info`: the default route is then
        on-link.
        """
        for family, own, pools in (
            (4, endpoint.ipv4, network.request.ipv4),
            (6, endpoint.ipv6, network.request.ipv6),
        ):
            if own is None or not pools:
                continue
            gateway = _pool_of(own, pools, family, endpoint.id).gateway
            if family == 4:
                info.gateway4, info.force_gateway4 = gateway, gateway is None
            else:
                info.gateway6, info.force_gateway6 = gateway, gateway is None


def _pool_of(own: tuple[Address, int], pools: Any, family: int, endpoint_id: str) -> IpamInfo:
    for info in pools:
        if info.pool.length == own[1] and own[0] in info.pool:
            match: IpamInfo = info
            return match
    raise SystemFault(f"could not find a valid ipv{family} subnet for endpoint {endpoint_id}")
