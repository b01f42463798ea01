"""A copy of an endpoint's state, for reading (moby `daemon/libnetwork/endpoint_info.go`, docker-v29.7.2)."""

from __future__ import annotations

from typing import TYPE_CHECKING

from attrs import frozen

from cnmsim.kernel.address import format_ip
from cnmsim.libnetwork.readable import IpAddress, IpInterface, address_of, interface_of

if TYPE_CHECKING:
    from cnmsim.libnetwork.endpoint import Endpoint


@frozen
class EndpointInfo:
    """The state of an endpoint at the time when it was read.

    `interface` is the device's name in the sandbox, `sandbox` the sandbox's name; both are "" while it is not joined.
    `load_balancer` is True for the endpoint of a network's load-balancer sandbox. An element of `static_routes` is
    text such as `10.1.0.0/16 via 172.18.0.1`, one of `port_map` is `0.0.0.0:8080:172.18.0.2:80/tcp`.
    """

    name: str
    network: str
    address: IpInterface | None
    address6: IpInterface | None
    link_local_addresses: tuple[IpInterface, ...]
    mac_address: str | None
    interface: str
    gateway: IpAddress | None
    gateway6: IpAddress | None
    static_routes: tuple[str, ...]
    sandbox: str
    dns_names: tuple[str, ...]
    port_map: tuple[str, ...]
    load_balancer: bool

    @classmethod
    def of(cls, endpoint: Endpoint) -> EndpointInfo:
        """Return the present state of an endpoint."""
        sandbox, join_info = endpoint.sandbox, endpoint.join_info
        link_local = (interface_of(assigned) for assigned in endpoint.interface.link_local)
        return cls(
            endpoint.name,
            endpoint.network.name,
            endpoint.address,
            endpoint.address6,
            tuple(address for address in link_local if address is not None),
            endpoint.mac_address,
            endpoint.interface_name,
            address_of(endpoint.gateway),
            address_of(endpoint.gateway6),
            tuple(
                f"{route.prefix} via {format_ip(route.next_hop)}" if route.next_hop else f"{route.prefix}"
                for route in join_info.static_routes
            ),
            "" if sandbox is None else sandbox.name,
            tuple(endpoint.dns_names),
            () if endpoint.is_deleted else tuple(map(str, endpoint.port_map)),
            endpoint.options.is_load_balancer,
        )
