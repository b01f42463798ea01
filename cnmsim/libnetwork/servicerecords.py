"""The table entry that nodes exchange for an endpoint: names, service, addresses (moby `libnetwork/agent.proto`)."""

from __future__ import annotations

from collections.abc import Hashable
from functools import lru_cache
from typing import TYPE_CHECKING

from attrs import frozen

from cnmsim.kernel.address import Address, format_ip
from cnmsim.libnetwork.networkdb.encoding import bytes_field, number_field, text_field
from cnmsim.libnetwork.options import PortConfig, ServiceBinding

if TYPE_CHECKING:
    from cnmsim.libnetwork.endpoint import Endpoint

ENDPOINT_TABLE = "endpoint_table"
_PROTOCOLS = ("tcp", "udp", "sctp")


def ingress_ports(service: ServiceBinding) -> tuple[PortConfig, ...]:
    """Return the ports that a service publishes in the routing mesh."""
    return tuple(port for port in service.ports if port.publish_mode == "ingress")


@frozen
class EndpointRecord:
    """The record that nodes exchange about an endpoint. `service_id` is "" if the endpoint's container is not a task.

    `name` is the endpoint's first name, `task_aliases` are its other names; `aliases` are further names of the
    service. If `is_disabled` is True, the endpoint gets no new connections of its service.
    """

    name: str
    service_name: str
    service_id: str
    virtual_ip: Address | None
    endpoint_ip: Address
    ports: tuple[PortConfig, ...] = ()
    aliases: tuple[str, ...] = ()
    task_aliases: tuple[str, ...] = ()
    is_disabled: bool = False

    def __len__(self) -> int:
        """Return the length in bytes of the record's protobuf encoding."""
        length = sum([text_field(len(text)) for text in (self.name, self.service_name, self.service_id)])
        length += sum([bytes_field(len(text)) for text in (*self.aliases, *self.task_aliases)])
        length += bytes_field(len(format_ip(self.endpoint_ip))) + sum(
            [bytes_field(_size_of(port)) for port in self.ports]
        )
        if self.virtual_ip is not None:
            length += bytes_field(len(format_ip(self.virtual_ip)))
        return length + number_field(self.is_disabled)

    @property
    def task_names(self) -> tuple[str, ...]:
        """The names that resolve to the addresses of all tasks of the service, e.g. `tasks.web`.

        If the service has no virtual address, the service's own names are included.
        """
        return _task_names(self.service_name, self.aliases, self.virtual_ip is not None)

    def is_equivalent(self, other: EndpointRecord) -> bool:
        """Return True if the records are equal, apart from `is_disabled` and the order of ports and aliases."""
        return (
            (self.name, self.service_name, self.service_id, self.virtual_ip, self.endpoint_ip)
            == (other.name, other.service_name, other.service_id, other.virtual_ip, other.endpoint_ip)
            and _are_alike(self.ports, other.ports)
            and _are_alike(self.aliases, other.aliases)
            and _are_alike(self.task_aliases, other.task_aliases)
        )


def endpoint_record(endpoint: Endpoint) -> EndpointRecord | None:
    """Return the record that other nodes get about an endpoint; `None` if it has no names or no IPv4 address.

    The record contains the published ports of the endpoint's service only if the network is the ingress network.
    """
    if not endpoint.dns_names or endpoint.ipv4 is None:
        return None
    service = endpoint.options.service
    name, *others = endpoint.dns_names
    if service is None:
        return EndpointRecord(name, "", "", None, endpoint.ipv4[0], task_aliases=tuple(others))
    ports = ingress_ports(service) if endpoint.network.ingress else ()
    return EndpointRecord(
        name,
        service.name,
        service.id,
        service.virtual_ip,
        endpoint.ipv4[0],
        ports,
        tuple(service.aliases),
        tuple(others),
    )


def _are_alike(some: tuple[Hashable, ...], others: tuple[Hashable, ...]) -> bool:
    return some == others or set(some) == set(others)


def _size_of(port: PortConfig) -> int:
    numbers = _PROTOCOLS.index(port.protocol), port.target_port, port.published_port
    return text_field(len(port.name)) + sum([number_field(number) for number in numbers])


@lru_cache(maxsize=1024)
def _task_names(service_name: str, aliases: tuple[str, ...], has_virtual_ip: bool) -> tuple[str, ...]:
    names = service_name, *aliases
    with_prefix = tuple(f"tasks.{name}" for name in names)
    return with_prefix if has_virtual_ip else with_prefix + names
