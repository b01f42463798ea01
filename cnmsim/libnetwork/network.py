"""A network: its options, its allocated pools, and its endpoints.

Source: moby `daemon/libnetwork/network.go` (docker-v29.7.2), `libnetwork/network.go` (v26.1.5, v28.5.2).
"""

from __future__ import annotations

from collections.abc import Callable
from contextlib import ExitStack
from ipaddress import IPv4Network, IPv6Network, ip_address, ip_network
from typing import TYPE_CHECKING, Any

from attrs import define, field

from cnmsim.errors import EngineError, Forbidden, InvalidParameter, NoSuchNetwork, NotFound, SystemFault
from cnmsim.kernel.address import Address, format_ip, format_mac, is_link_local
from cnmsim.libnetwork import lbsandbox, service_bindings
from cnmsim.libnetwork.driver import (
    GLOBAL_SCOPE,
    SWARM_SCOPE,
    Driver,
    EndpointInterface,
    IpamInfo,
    NetworkRequest,
    ipv6_releaser,
    is_special,
)
from cnmsim.libnetwork.drivers.bridge.device import random_mac
from cnmsim.libnetwork.drivers.bridge.labels import DEFAULT_BRIDGE
from cnmsim.libnetwork.endpoint import Endpoint
from cnmsim.libnetwork.ipam.errors import NoAvailableAddresses
from cnmsim.libnetwork.loadbalancer import LoadBalancerSandbox
from cnmsim.libnetwork.name_records import NameRecords
from cnmsim.libnetwork.networkipam import NetworkIpam
from cnmsim.libnetwork.options import EndpointOptions, IpamConfig, NetworkOptions, ServiceBinding
from cnmsim.libnetwork.readable import AddressLike, IpAddress, address_of
from cnmsim.libnetwork.renderer import html_of
from cnmsim.libnetwork.settings import endpoint_options

if TYPE_CHECKING:
    from cnmsim.libnetwork.agent import Agent, PeerInfo, ServiceInfo
    from cnmsim.libnetwork.controller import Controller
    from cnmsim.libnetwork.servicerecords import EndpointRecord

#: The option that carries an endpoint's MAC address to an IPAM driver.
MAC_ADDRESS = "com.docker.network.endpoint.macaddress"
_LINK_LOCAL_LENGTH = {4: 16, 6: 64}


@define(eq=False, repr=False)
class Network:
    """A network of one controller, created by `Controller.new_network`.

    `options` are the requested options. `scope` is "local", "swarm" or "global". `created_ns` is the virtual time of
    its creation. `driver` is `None` if the network only holds configuration, `ipam` is `None` if it has no addresses.
    `records` are the DNS records of its endpoints; `balancer` is its load-balancer sandbox on this node. `is_dynamic`
    marks a network that the swarm's manager pushed to this host.
    """

    controller: Controller = field(repr=False)
    id: str
    name: str
    driver_name: str
    scope: str
    options: NetworkOptions
    created_ns: int
    driver: Driver | None = field(default=None, repr=False)
    ipam: NetworkIpam | None = field(default=None, repr=False)
    endpoints: dict[str, Endpoint] = field(factory=dict, init=False, repr=False)
    records: NameRecords = field(init=False, repr=False)
    balancer: LoadBalancerSandbox | None = field(default=None, init=False, repr=False)
    is_dynamic: bool = False
    #: The bindings that `add_service_binding` added, by endpoint id.
    bindings: dict[str, EndpointRecord] = field(factory=dict, init=False, repr=False)
    #: The addresses that `reserve_address` allocated, with their pools.
    reserved: dict[Address, str] = field(factory=dict, init=False, repr=False)

    @records.default
    def _no_records(self) -> NameRecords:
        return NameRecords.of_network(self.controller.machine.clock, self.id)

    def __repr__(self) -> str:
        subnets = "".join(f" {info.pool}" for info in self.ipam_info)
        return f"<Network {self.name} {self.driver_name}{subnets}>"

    def _repr_html_(self) -> str | None:
        return html_of(self)

    # --- properties

    @property
    def subnets(self) -> list[IPv4Network | IPv6Network]:
        """The allocated subnets, IPv4 first."""
        return [ip_network(str(info.pool)) for info in self.ipam_info]

    @property
    def gateways(self) -> list[IpAddress]:
        """The allocated gateway addresses, IPv4 first."""
        return [address for info in self.ipam_info if (address := address_of(info.gateway)) is not None]

    @property
    def is_deleted(self) -> bool:
        """Whether the network was removed from its controller."""
        return self.controller.network_by_id(self.id) is not self

    @property
    def labels(self) -> dict[str, str]:
        """The labels that the user set."""
        return self.options.labels

    @property
    def driver_opts(self) -> dict[str, str]:
        """The driver options."""
        return self.options.driver_opts

    @property
    def ipam_config(self) -> list[IpamConfig]:
        """The requested subnets."""
        return self.options.ipam_config

    @property
    def ipam_info(self) -> list[IpamInfo]:
        """The allocated pools, IPv4 first."""
        return self.ipam_pools(4) + self.ipam_pools(6)

    def ipam_pools(self, family: int) -> list[IpamInfo]:
        """Return the allocated pools of family 4 or 6."""
        if self.ipam is None:
            return []
        return self.ipam.pools6 if family == 6 else self.ipam.pools4

    @property
    def enable_ipv4(self) -> bool:
        """Whether the network's endpoints have IPv4 addresses."""
        return self.options.enable_ipv4

    @property
    def enable_ipv6(self) -> bool:
        """Whether the network's endpoints have IPv6 addresses."""
        return self.options.enable_ipv6

    @property
    def internal(self) -> bool:
        """Whether the network is isolated from the outside (`--internal`)."""
        return self.options.internal

    @property
    def attachable(self) -> bool:
        """Whether containers that are not tasks may be attached to this swarm network."""
        return self.options.attachable

    @property
    def ingress(self) -> bool:
        """Whether this is the swarm's ingress network."""
        return self.options.ingress

    @property
    def config_only(self) -> bool:
        """Whether the network only holds configuration for other networks."""
        return self.options.config_only

    @property
    def config_from(self) -> str:
        """The name of the configuration network whose options this network uses; "" for none."""
        return self.options.config_from

    @property
    def is_special(self) -> bool:
        """Whether the network has no addresses: its driver is `host` or `null`, or it only holds configuration."""
        return self.config_only or is_special(self.driver)

    @property
    def has_load_balancer(self) -> bool:
        """Whether the network has a load-balancer sandbox on this node: True if `load_balancer_ip` was requested."""
        return self.options.load_balancer_ip is not None

    @property
    def is_gossiped(self) -> bool:
        """Whether records of the network's endpoints are distributed in the swarm by gossip."""
        if self.scope != SWARM_SCOPE or not self.controller.is_swarm_node or self.driver is None:
            return False
        return self.driver.capability.connectivity_scope == GLOBAL_SCOPE

    @property
    def cluster_agent(self) -> Agent | None:
        """The agent that gossips this network's entries; `None` if the network is not gossiped."""
        return self.controller.agent if self.is_gossiped else None

    def request(self) -> NetworkRequest:
        """Return the request with which the driver is called to create this network."""
        return NetworkRequest(
            id=self.id,
            name=self.name,
            options=self.driver_opts,
            ipv4=self.ipam_pools(4),
            ipv6=self.ipam_pools(6),
            enable_ipv4=self.enable_ipv4,
            enable_ipv6=self.enable_ipv6,
            internal=self.internal,
            ingress=self.ingress,
        )

    def peers(self) -> list[PeerInfo]:
        """Return the swarm's nodes that are attached to this network.

        The list is empty if the network is not gossiped.
        """
        agent = self.cluster_agent
        return [] if agent is None else agent.peers(self)

    def services(self) -> dict[str, ServiceInfo]:
        """Return the network's services with their tasks on all nodes, by service name, for `inspect --verbose`.

        Containers that are not tasks are listed under the service name "".
        """
        agent = self.cluster_agent
        return {} if agent is None else agent.services(self)

    def endpoint_by_name(self, name: str) -> Endpoint | None:
        """Return the endpoint of that name, or `None` if there is none."""
        return next((endpoint for endpoint in self.endpoints.values() if endpoint.name == name), None)

    # --- endpoints

    def create_endpoint(self, name: str, *, options: EndpointOptions | None = None, **settings: Any) -> Endpoint:
        """Create an endpoint, with its addresses and its driver's state. It is not joined yet.

        Each of `settings` sets one field of `options`: `mac="02:42:ac:12:00:09"`, `aliases=["db"]`,
        `port_bindings=["8080:80/tcp"]`, `driver_opts={…}`; `address` is an IPv4 or IPv6 address. Names are resolved
        only if `aliases` or `dns_names` contain them. Raises an `EngineError` with libnetwork's message if a step
        fails; then nothing has changed.
        """
        options = endpoint_options(options, settings)
        profile = self.controller.profile
        if self.is_deleted:
            raise NoSuchNetwork(f"network {self.id} not found")
        if not isinstance(name, str):
            raise InvalidParameter(f"create_endpoint needs a name, not {name!r}")
        if not name.strip():
            raise InvalidParameter(profile.blank_name_text.format(name=name))
        if self.config_only:
            raise Forbidden("cannot create endpoint on configuration-only network")
        if self.endpoint_by_name(name) is not None:
            raise Forbidden(f"endpoint with name {name} already exists in network {self.name}")
        endpoint = Endpoint(self, self.controller.new_id(), name, options, EndpointInterface(mac=options.mac))
        interface = endpoint.interface
        for address in options.link_local:
            if not is_link_local(address):
                raise InvalidParameter(f"invalid link local IP address: {format_ip(address)}")
            interface.link_local.append((address, _LINK_LOCAL_LENGTH[6 if len(address) == 16 else 4]))
        with ExitStack() as undo:
            if not self.is_special:
                undo.callback(self._release_addresses, endpoint)
                self._assign_addresses(endpoint)
            self._create_with_driver(endpoint)
            undo.pop_all()
        self.endpoints[endpoint.id] = endpoint
        if profile.dns_records_at == "create":
            self.add_records(endpoint)
        self.controller.events.emit("endpoint", "create", endpoint.id, name, network=self.name)
        return endpoint

    def _assign_addresses(self, endpoint: Endpoint) -> None:
        options, interface = endpoint.options, endpoint.interface
        if self.enable_ipv4:
            interface.ipv4 = self._allocate(endpoint, 4, options.ipv4)
        if self.enable_ipv6 and not options.disable_ipv6 and not self._ipv6_follows_mac(options):
            interface.ipv6 = self._allocate(endpoint, 6, options.ipv6)

    def _ipv6_follows_mac(self, options: EndpointOptions) -> bool:
        """Return True if the driver derives the endpoint's IPv6 address from its MAC address.

        Only the default bridge of 26.1 does so, if no IPv6 address was requested and the prefix has at most 80 bits.
        """
        if not self.controller.profile.default_bridge_ipv6_from_mac or options.ipv6 is not None:
            return False
        return DEFAULT_BRIDGE in self.driver_opts and any(info.pool.length <= 80 for info in self.ipam_pools(6))

    def _allocate(self, endpoint: Endpoint, family: int, requested: Address | None) -> tuple[Address, int]:
        infos = self.ipam_pools(family)
        assert self.ipam is not None
        if not infos and self.controller.profile.can_disable_ipv4:
            raise SystemFault(f"no IPv{family} information available for endpoint {endpoint.name}")
        for info in infos:
            if requested is not None and requested not in info.pool:
                continue
            try:
                address = self.ipam.allocator.request_address(
                    info.pool_id, requested, options=self._mac_option(endpoint)
                )
            except NoAvailableAddresses:
                if requested is not None:
                    raise
                continue
            if address is None:
                continue
            endpoint.pool_ids[family] = info.pool_id
            return address
        if requested is not None:
            text = f"invalid address {format_ip(requested)}: It does not belong to any of this network's subnets"
            raise InvalidParameter(text).about(format_ip(requested))
        raise SystemFault(
            f"no available IPv{family} addresses on this network's address pools: {self.name} ({self.id})"
        ).about(str(infos[0].pool) if infos else "")

    def _mac_option(self, endpoint: Endpoint) -> dict[str, str] | None:
        """Return the IPAM option with the endpoint's MAC address; `None` if the IPAM driver does not require it.

        An endpoint without a MAC address first gets a random one.
        """
        assert self.ipam is not None
        if not getattr(self.ipam.allocator, "requires_mac", False):
            return None
        if endpoint.interface.mac is None:
            endpoint.interface.mac = random_mac(self.controller.machine.random)
        return {MAC_ADDRESS: format_mac(endpoint.interface.mac)}

    def _create_with_driver(self, endpoint: Endpoint) -> None:
        assert self.driver is not None
        follows_mac = endpoint.interface.ipv6 is None and self._ipv6_follows_mac(endpoint.options)
        try:
            self.driver.create_endpoint(self.id, endpoint.id, endpoint.interface, endpoint.options)
        except EngineError as error:
            raise SystemFault(
                f"failed to create endpoint {endpoint.name} on network {self.name}: {error.message}"
            ) from error
        if endpoint.interface.ipv6 is None or not follows_mac or self.ipam is None:
            return
        try:
            self._allocate(endpoint, 6, endpoint.interface.ipv6[0])
        except EngineError:
            endpoint.interface.ipv6 = None
            self.driver.delete_endpoint(self.id, endpoint.id)
            raise

    def _release_addresses(self, endpoint: Endpoint) -> None:
        if self.ipam is None:
            return
        for family, assigned in ((4, endpoint.interface.ipv4), (6, endpoint.interface.ipv6)):
            pool_id = endpoint.pool_ids.pop(family, None)
            if assigned is not None and pool_id is not None:
                self._call_logging_errors(self.ipam.allocator.release_address, pool_id, assigned[0])

    def release_ipv6(self, endpoint: Endpoint) -> None:
        """Release an endpoint's IPv6 address in IPAM and in the driver. `Endpoint.release_ipv6` calls this."""
        assigned, pool_id = endpoint.interface.ipv6, endpoint.pool_ids.pop(6, None)
        if self.ipam is not None and assigned is not None and pool_id is not None:
            self.ipam.allocator.release_address(pool_id, assigned[0])
        releaser = ipv6_releaser(self.driver)
        if releaser is not None:
            releaser.release_ipv6(self.id, endpoint.id)

    def _call_logging_errors(self, call: Callable[..., None], *arguments: object) -> None:
        """Call the driver's function `call`, which deletes or releases something, with `arguments`.

        Errors are only logged, except `Forbidden`, which is raised.
        """
        try:
            call(*arguments)
        except Forbidden:
            raise
        except EngineError as error:
            self.controller.log.append(error.message)

    def leave_driver(self, endpoint_id: str) -> None:
        """Call the driver to detach an endpoint. Errors are only logged."""
        assert self.driver is not None
        self._call_logging_errors(self.driver.leave, self.id, endpoint_id)

    def delete_from_driver(self) -> None:
        """Call the driver to delete the network. Errors are only logged, except `Forbidden`."""
        if self.driver is not None:
            self._call_logging_errors(self.driver.delete_network, self.id)

    def forget_endpoint(self, endpoint: Endpoint) -> None:
        """Remove an endpoint from the network, with its names, its state in the driver and its addresses.

        `Endpoint.delete` calls this.
        """
        if endpoint.id in self.bindings:
            service_bindings.remove(self, endpoint)
        self.remove_records(endpoint)
        del self.endpoints[endpoint.id]
        if self.driver is not None:
            self._call_logging_errors(self.driver.delete_endpoint, self.id, endpoint.id)
        self._release_addresses(endpoint)
        self.controller.events.emit("endpoint", "delete", endpoint.id, endpoint.name, network=self.name)

    # --- services

    def reserve_address(self, address: AddressLike | None = None) -> IpAddress:
        """Allocate `address`, or any IPv4 address if it is `None`, for use without an endpoint.

        Such an address can be the virtual address of a service. It is released by `release_address`, or with the
        network. Raises an `EngineError` with IPAM's message if the address is not available, `InvalidParameter` if it
        is in no subnet of the network.
        """
        return ip_address(service_bindings.reserve_address(self, address))

    def release_address(self, address: AddressLike) -> None:
        """Release an address that `reserve_address` allocated. Raises `NotFound` for any other address."""
        service_bindings.release_address(self, address)

    def add_service_binding(self, service: ServiceBinding | str, endpoint: Endpoint, **settings: Any) -> None:
        """Make an endpoint a task of a service: add its DNS names, and add it to the service's load balancer.

        `service` is the service, or its name; with a name, `settings` are the fields of `ServiceBinding`, such as
        `virtual_ip="172.18.0.100"` or `aliases=["web"]`. Without a virtual address the service's name resolves to the
        addresses of its tasks. A virtual address needs a load-balancer sandbox (`load_balancer_ip`) on the network,
        and cannot be reached from that sandbox itself.

        On a cluster's network all members receive the binding, and `Sandbox.enable_service` is not needed for this
        endpoint. Raises `InvalidParameter` if the endpoint is on another network, has no IPv4 address or is not
        joined, `Conflict` if the endpoint is a task already (moby `addServiceBinding`).
        """
        service_bindings.add(self, service, endpoint, settings)

    def remove_service_binding(self, endpoint: Endpoint) -> None:
        """Remove an endpoint from its service (moby `rmServiceBinding`).

        Raises `NotFound` if the endpoint is a task of no service.
        """
        service_bindings.remove(self, endpoint)

    # --- names

    def add_records(self, endpoint: Endpoint) -> None:
        """Add the DNS records of an endpoint: its names, with its addresses.

        Do nothing for the ingress network, which has no records, and for gossiped networks, whose records are added
        when the agent processes the endpoint's table entry.
        """
        if self.ingress or self.is_gossiped:
            return
        self.records.add_endpoint(endpoint)

    def remove_records(self, endpoint: Endpoint) -> None:
        """Remove the DNS records of an endpoint."""
        if self.is_gossiped:
            return
        self.records.remove_owner(endpoint.id)

    # --- deletion

    def delete(self, *, force: bool = False, remove_load_balancer: bool = False) -> None:
        """Delete the network. Raises `Forbidden` if it has endpoints, or if other networks use its configuration.

        The endpoint of its load-balancer sandbox does not count. Deleting the ingress network requires `force` or
        `remove_load_balancer`. Raises `NotFound` if the network is deleted already.
        """
        if self.is_deleted:
            raise NotFound(f"unknown network {self.name} id {self.id}")
        if self.config_only and self.controller.networks_configured_from(self.name):
            raise Forbidden(f'configuration network "{self.name}" is in use')
        others = [endpoint for endpoint in self.endpoints.values() if not endpoint.options.is_load_balancer]
        if others or (self.ingress and not (force or remove_load_balancer)):
            raise Forbidden(self._active_endpoints_text())
        if self.has_load_balancer:
            lbsandbox.delete(self)
        agent = self.cluster_agent
        if agent is not None:
            agent.leave_network(self)
            self.records.clear()
        for address in list(self.reserved):
            service_bindings.release_address(self, address)
        if self.ipam is not None:
            self.ipam.release()
        if not self.config_only:
            self.delete_from_driver()
        self.controller.forget_network(self)
        self.controller.events.emit("network", "delete", self.id, self.name, driver=self.driver_name)

    def _active_endpoints_text(self) -> str:
        if not self.controller.profile.active_endpoints_lists_endpoints:
            return f"network {self.name} id {self.id} has active endpoints"
        listed = ", ".join(f'name:"{e.name}" id:"{e.id[:12]}"' for e in self.endpoints.values())
        return f"network {self.name} has active endpoints ({listed})"
