"""What a node tells the others of an endpoint: its names, its service, its address (moby `libnetwork/agent.proto`)."""

from __future__ import annotations

from attrs import frozen

from cnmsim.kernel.address import Address, format_ip
from cnmsim.libnetwork.options import PortConfig, ServiceBinding

ENDPOINT_TABLE = "endpoint_table"


def ingress_ports(service: ServiceBinding) -> tuple[PortConfig, ...]:
    """Give the ports a service publishes by the routing mesh."""
    return tuple(port for port in service.ports if port.publish_mode == "ingress")


@frozen
class EndpointRecord:
    """An endpoint of the swarm. One without `service_id` is of a container that was only attached.

    `name` is its first name, `task_aliases` the others; `aliases` are names of the service. `is_disabled` says that it
    takes no new connections of its service any more.
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
        """Tell how many bytes its protobuf encoding takes."""
        texts = [self.name, self.service_name, self.service_id, format_ip(self.endpoint_ip), *self.aliases]
        if self.virtual_ip is not None:
            texts.append(format_ip(self.virtual_ip))
        texts += self.task_aliases
        return sum(2 + len(text) for text in texts) + sum(12 + len(port.name) for port in self.ports) + 2

    def is_equivalent(self, other: EndpointRecord) -> bool:
        """Tell whether the two differ in nothing but `is_disabled`."""
        return (
            (self.name, self.service_name, self.service_id, self.virtual_ip, self.endpoint_ip)
            == (other.name, other.service_name, other.service_id, other.virtual_ip, other.endpoint_ip)
            and set(self.ports) == set(other.ports)
            and set(self.aliases) == set(other.aliases)
            and set(self.task_aliases) == set(other.task_aliases)
        )
