"""Service discovery on one node: the DNS names of services and tasks, and the backends of load balancers.

A node that is attached to a network has the names of all endpoints on it, on all nodes. Source: moby
`daemon/libnetwork/{service,service_common}.go` (docker-v29.7.2), `libnetwork/` of v26.1.5 and v28.5.2.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING

from attrs import define, evolve, field

from cnmsim.errors import SystemFault
from cnmsim.kernel.address import Address
from cnmsim.kernel.interning import InternedMultiMap, intern_pool
from cnmsim.libnetwork.loadbalancer import LoadBalancer, LoadBalancerSandbox
from cnmsim.libnetwork.options import PortConfig
from cnmsim.libnetwork.servicerecords import EndpointRecord

if TYPE_CHECKING:
    from cnmsim.libnetwork.controller import Controller
    from cnmsim.libnetwork.network import Network

#: The first firewall mark that a daemon uses for load balancers (moby `fwMarkCtr`).
FIRST_MARK = 256


@define(eq=False)
class ServiceOnNetwork:
    """A service on one network, with its tasks as backends. Packets to the service get the firewall mark `mark`.

    `alias_counts` contains, for each alias of the service, the number of backends that have it.
    """

    service: Service
    virtual_ip: Address | None
    mark: int
    #: The gossiped record of each backend, by endpoint id.
    backends: InternedMultiMap[str, EndpointRecord]
    alias_counts: dict[str, int] = field(factory=dict, init=False)
    #: The load balancer in the network's sandbox; `None` if the service has no virtual address.
    load_balancer: LoadBalancer | None = field(init=False)

    @load_balancer.default
    def _load_balancer(self) -> LoadBalancer | None:
        vip = self.virtual_ip
        return None if vip is None else LoadBalancer(vip, self.mark, self.service.ports)


@define(eq=False)
class Service:
    """A service, with those of its tasks that this node knows.

    On the ingress network, tasks that publish different ports belong to separate `Service` objects.
    """

    id: str
    name: str
    ports: tuple[PortConfig, ...]
    endpoints_by_address: InternedMultiMap[Address, str]
    networks: dict[str, ServiceOnNetwork] = field(factory=dict, init=False)


@define(eq=False)
class ServiceDiscovery:
    """The services on one controller's networks."""

    controller: Controller = field(repr=False)
    services: dict[tuple[str, tuple[PortConfig, ...]], Service] = field(factory=dict, init=False)
    _next_mark: int = field(default=FIRST_MARK, init=False)

    def mark_of(self, service_id: str, network_id: str, ports: tuple[PortConfig, ...]) -> int:
        """Return the firewall mark of a service on a network (moby `LocalLBIndex`).

        Return 0 if the service has no tasks there. `ports` are the ports that it publishes on the ingress network.
        """
        service = self.services.get((service_id, ports))
        binding = service.networks.get(network_id) if service is not None else None
        return binding.mark if binding is not None else 0

    # --- endpoints

    def add(self, network: Network, endpoint_id: str, record: EndpointRecord) -> None:
        """Add the names in an endpoint's record to DNS, and the endpoint to its service's load balancer."""
        if record.service_id:
            self._add_binding(network, endpoint_id, record)
        else:
            _add_container_records(network, endpoint_id, record)

    def remove(self, network_id: str, endpoint_id: str, record: EndpointRecord, *, fully: bool) -> None:
        """Remove the names in an endpoint's record from DNS, and the endpoint from its service's load balancer.

        With `fully=False` the endpoint keeps serving its established connections. The network may be deleted already.
        """
        network = self.controller.network_by_id(network_id)
        if record.service_id:
            self._remove_binding(network_id, network, endpoint_id, record, fully=fully)
        elif network is not None:
            _remove_container_records(network, endpoint_id, record)

    def clear(self) -> None:
        """Remove every service and all names of swarm networks, because this node leaves the swarm."""
        for service in list(self.services.values()):
            for network_id, binding in list(service.networks.items()):
                for endpoint_id, backend in binding.backends.items():
                    record = EndpointRecord(
                        "",
                        service.name,
                        service.id,
                        binding.virtual_ip,
                        backend.endpoint_ip,
                        service.ports,
                        backend.aliases,
                    )
                    self.remove(network_id, endpoint_id, record, fully=True)
        for network in self.controller.networks:
            if network.is_gossiped:
                network.records.clear()

    # --- bindings

    def _add_binding(self, network: Network, endpoint_id: str, record: EndpointRecord) -> None:
        service = self.services.get((record.service_id, record.ports))
        if service is None:
            endpoints_by_address = InternedMultiMap[Address, str](
                intern_pool(self.controller.machine.clock, "endpoints at", record.service_id)
            )
            service = Service(record.service_id, record.service_name, record.ports, endpoints_by_address)
            self.services[record.service_id, record.ports] = service
        binding = service.networks.get(network.id)
        is_new = binding is None
        if binding is None:
            backends = InternedMultiMap[str, EndpointRecord](
                intern_pool(self.controller.machine.clock, "backends", service.id, network.id)
            )
            binding = ServiceOnNetwork(service, record.virtual_ip, self._next_mark, backends)
            self._next_mark += 1
            service.networks[network.id] = binding
        known: EndpointRecord | None = None
        if not binding.backends.add_key(endpoint_id, record):
            known = binding.backends.first(endpoint_id)
            binding.backends.set(endpoint_id, record)
        counts_aliases = self.controller.profile.alias_vip_reference_counted
        if counts_aliases and (record.aliases or known is not None):
            _count_aliases(network, binding, () if known is None else known.aliases, record.aliases)
        service.endpoints_by_address.add(record.endpoint_ip, endpoint_id)
        self._update_balancer(
            network, binding, lambda sandbox, balancer: sandbox.add_backend(balancer, record.endpoint_ip)
        )
        _add_container_records(network, endpoint_id, record)
        _add_records(network, record.task_names, record.endpoint_ip, record.service_id)
        if is_new and record.virtual_ip is not None:
            names = (record.service_name, *(() if counts_aliases else record.aliases))
            _add_records(network, names, record.virtual_ip, record.service_id)

    def _remove_binding(
        self, network_id: str, network: Network | None, endpoint_id: str, record: EndpointRecord, *, fully: bool
    ) -> None:
        service = self.services.get((record.service_id, record.ports))
        binding = service.networks.get(network_id) if service is not None else None
        backend = binding.backends.first(endpoint_id) if binding is not None else None
        if service is None or binding is None or backend is None:
            return
        if fully:
            if self.controller.profile.alias_vip_reference_counted:
                _count_aliases(network, binding, backend.aliases, ())
            binding.backends.pop(endpoint_id)
        else:
            is_same = record.endpoint_ip == backend.endpoint_ip and record.aliases == backend.aliases
            # All nodes share the record object of a gossip message.
            disabled = record if record.is_disabled and is_same else evolve(backend, is_disabled=True)
            binding.backends.set(endpoint_id, disabled)
        is_last = not binding.backends
        if is_last:
            del service.networks[network_id]
        service.endpoints_by_address.discard(record.endpoint_ip, endpoint_id)
        is_shared = record.endpoint_ip in service.endpoints_by_address
        if not is_shared:
            # While another endpoint has the same address, the load balancer's backend stays, for that endpoint.
            self._remove_from_balancer(network, binding, record.endpoint_ip, is_last=is_last, fully=fully)
        if network is not None:
            self._remove_all_records(network, endpoint_id, record, with_service=is_last, is_shared=is_shared)
        if not service.networks:
            self.services.pop((record.service_id, record.ports), None)

    def _remove_all_records(
        self, network: Network, endpoint_id: str, record: EndpointRecord, *, with_service: bool, is_shared: bool
    ) -> None:
        _remove_container_records(network, endpoint_id, record)
        if is_shared:
            return
        _remove_records(network, record.task_names, record.endpoint_ip, record.service_id)
        if with_service and record.virtual_ip is not None:
            counts_aliases = self.controller.profile.alias_vip_reference_counted
            names = (record.service_name, *(() if counts_aliases else record.aliases))
            _remove_records(network, names, record.virtual_ip, record.service_id)

    # --- load

    def _remove_from_balancer(
        self, network: Network | None, binding: ServiceOnNetwork, ip: Address, *, is_last: bool, fully: bool
    ) -> None:
        if network is None:
            return
        if fully:
            self._update_balancer(
                network, binding, lambda sandbox, balancer: sandbox.remove_backend(balancer, ip, is_last=is_last)
            )
        else:
            self._update_balancer(network, binding, lambda sandbox, balancer: sandbox.disable_backend(balancer, ip))

    def _update_balancer(
        self, network: Network, binding: ServiceOnNetwork, change: Callable[[LoadBalancerSandbox, LoadBalancer], None]
    ) -> None:
        """Call `change` with the network's load-balancer sandbox and the load balancer of the service there.

        Do nothing if the network has no such sandbox or the service no virtual address. Errors are only logged.
        """
        sandbox, balancer = network.balancer, binding.load_balancer
        if sandbox is None or balancer is None:
            return
        with self.controller.log.logging_errors(SystemFault):
            change(sandbox, balancer)


# --- names


def _add_container_records(network: Network, endpoint_id: str, record: EndpointRecord) -> None:
    if not network.options.ingress:
        add, address = network.records.add, record.endpoint_ip
        add(record.name, address, endpoint_id, reverse=True)
        for alias in record.task_aliases:
            add(alias, address, endpoint_id)


def _remove_container_records(network: Network, endpoint_id: str, record: EndpointRecord) -> None:
    _remove_records(network, (record.name, *record.task_aliases), record.endpoint_ip, endpoint_id)


def _count_aliases(
    network: Network | None, binding: ServiceOnNetwork, before: tuple[str, ...], aliases: tuple[str, ...]
) -> None:
    """Replace one backend's aliases `before` by `aliases`, and update the names of the service's virtual address.

    `binding` counts, for each alias, the backends that have it. An alias resolves to the virtual address as long as
    its count is not 0. If `network` is `None`, because it was deleted, only the counts are changed.
    """
    vip = binding.virtual_ip
    if vip is None:
        return
    counts = binding.alias_counts
    for alias in aliases:
        if alias not in before:
            counts[alias] = counts.get(alias, 0) + 1
            if counts[alias] == 1 and network is not None:
                _add_records(network, (alias,), vip, binding.service.id)
    for alias in before:
        if alias not in aliases:
            counts[alias] -= 1
            if not counts[alias]:
                del counts[alias]
                if network is not None:
                    _remove_records(network, (alias,), vip, binding.service.id)


def _add_records(network: Network, names: Iterable[str], address: Address, owner: str) -> None:
    """Add names to a network's records, except on ingress."""
    if not network.options.ingress:
        add = network.records.add
        for name in names:
            add(name, address, owner)


def _remove_records(network: Network, names: Iterable[str], address: Address, owner: str) -> None:
    if not network.options.ingress:
        for name in names:
            network.records.remove(name, address, owner)
