"""Services on a network without SwarmKit: endpoints that are tasks of a service, and allocation of virtual addresses.

Source: moby `daemon/libnetwork/service_common.go` (addServiceBinding, rmServiceBinding), docker-v29.7.2.
"""

from __future__ import annotations

import difflib
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from attrs import fields

from cnmsim.errors import Conflict, InvalidParameter, NotFound
from cnmsim.kernel.address import Address, format_ip
from cnmsim.libnetwork.options import ServiceBinding
from cnmsim.libnetwork.readable import AddressLike, to_address, to_optional_address
from cnmsim.libnetwork.servicerecords import endpoint_record

if TYPE_CHECKING:
    from cnmsim.libnetwork.endpoint import Endpoint
    from cnmsim.libnetwork.network import Network


def add(network: Network, service: ServiceBinding | str, endpoint: Endpoint, settings: Mapping[str, Any]) -> None:
    """Make an endpoint a task of a service; see `Network.add_service_binding`."""
    binding = _binding(service, settings)
    if endpoint.network is not network or endpoint.is_deleted:
        raise InvalidParameter(f"{endpoint} is no endpoint of {network}")
    if endpoint.sandbox is None:
        raise InvalidParameter(f"{endpoint} has joined no sandbox")
    if endpoint.ipv4 is None:
        raise InvalidParameter(f"{endpoint} has no IPv4 address")
    if endpoint.options.service is not None:
        raise Conflict(f"{endpoint} is a task of the service {endpoint.options.service.name}")
    agent = network.cluster_agent
    if agent is not None and endpoint.is_service_enabled:
        # NetworkDB remembers a deleted entry for half an hour, during which its key cannot be created again.
        raise Conflict(f"the names of {endpoint} are published: bind it to a service before enable_service()")
    endpoint.dns_names = endpoint.dns_names or [endpoint.name]
    endpoint.options.service = binding
    record = endpoint_record(endpoint)
    assert record is not None
    if agent is None:
        network.controller.discovery.add(network, endpoint.id, record)
    else:
        agent.add_service_info(endpoint)
        endpoint.is_service_enabled = True
    network.bindings[endpoint.id] = record


def remove(network: Network, endpoint: Endpoint) -> None:
    """Remove an endpoint from its service; see `Network.remove_service_binding`."""
    record = network.bindings.pop(endpoint.id, None)
    if record is None:
        raise NotFound(f"{endpoint} is a task of no service")
    agent = network.cluster_agent
    if agent is None:
        network.controller.discovery.remove(network.id, endpoint.id, record, fully=True)
    elif endpoint.is_service_enabled:
        agent.delete_service_info(endpoint, fully=True)
        endpoint.is_service_enabled = False
    endpoint.options.service = None


def _binding(service: ServiceBinding | str, settings: Mapping[str, Any]) -> ServiceBinding:
    if isinstance(service, ServiceBinding):
        if settings:
            raise InvalidParameter(f"{', '.join(settings)}: set in the ServiceBinding, or pass the service's name")
        return service
    if not isinstance(service, str) or not service.strip():
        raise InvalidParameter(f"a service's name is needed, not {service!r}")
    known = [field.name for field in fields(ServiceBinding) if field.name != "name"]
    for name in settings:
        if name not in known:
            close = difflib.get_close_matches(name, known, 1)
            meant = f", did you mean {close[0]}?" if close else f"; there are {', '.join(known)}"
            raise InvalidParameter(f"add_service_binding has no option {name!r}{meant}")
    given = {"id": service, **settings}
    try:
        return ServiceBinding(
            given["id"],
            service,
            tuple(given.get("aliases", ())),
            to_optional_address(given.get("virtual_ip")),
            tuple(given.get("ports", ())),
        )
    except (ValueError, TypeError) as error:
        raise InvalidParameter(f"add_service_binding: {error}") from None


def reserve_address(network: Network, requested: AddressLike | None) -> Address:
    """Allocate an address on a network; see `Network.reserve_address`."""
    try:
        address = None if requested is None else to_address(requested)
    except ValueError as error:
        raise InvalidParameter(str(error)) from None
    family = 6 if address is not None and len(address) == 16 else 4
    pools = [info for info in network.ipam_pools(family) if address is None or address in info.pool]
    if not pools or network.ipam is None:
        asked = format_ip(address) if address is not None else f"IPv{family}"
        raise InvalidParameter(
            f"invalid address {asked}: It does not belong to any of this network's subnets"
            if address is not None
            else f"network {network.name} has no {asked} subnet"
        )
    assigned = network.ipam.allocator.request_address(pools[0].pool_id, address)
    if assigned is None:
        raise InvalidParameter(f"the IPAM driver of {network.name} assigns no addresses")
    network.reserved[assigned[0]] = pools[0].pool_id
    return assigned[0]


def release_address(network: Network, address: AddressLike) -> None:
    """Release an address; see `Network.release_address`."""
    try:
        known = to_address(address)
    except ValueError as error:
        raise InvalidParameter(str(error)) from None
    pool_id = network.reserved.pop(known, None)
    if pool_id is None or network.ipam is None:
        raise NotFound(f"{format_ip(known)} is not reserved on {network.name}")
    network.ipam.allocator.release_address(pool_id, known)
