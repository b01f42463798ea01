"""Operations on networks.

Source: moby/swarmkit `manager/controlapi/network.go`, moby `libnetwork/cnmallocator/provider.go`.
"""

from __future__ import annotations

from cnmsim.kernel.address import Prefix, parse_ip
from cnmsim.libnetwork.plugins.store import IPAM_DRIVER, NETWORK_DRIVER
from cnmsim.swarm.allocator import is_ingress_needed
from cnmsim.swarm.allocator.networks import GLOBAL_DRIVERS, LOCAL_DRIVERS
from cnmsim.swarm.controlapi.common import (
    Filters,
    Operations,
    check_annotations,
    find_one,
    grpc_errors,
    require_stored,
)
from cnmsim.swarm.errors import (
    RpcAlreadyExists,
    RpcFailedPrecondition,
    RpcInvalidArgument,
    RpcPermissionDenied,
    RpcUnimplemented,
)
from cnmsim.swarm.objects import Driver, IpamConfig, Network, NetworkSpec, TaskState

PREDEFINED_LABEL = "com.docker.swarm.predefined"


class NetworkOperations(Operations):
    """Create, list and remove networks."""

    @grpc_errors
    def create_network(self, spec: NetworkSpec) -> Network:
        """Create a network; the allocator then allocates its subnets.

        Raises a `SwarmError` if the spec is invalid, the name is in use, or a second ingress network is requested.
        """
        self._check(spec)
        network = Network(self.new_id(), spec)
        if spec.ingress:
            for present in self.store.networks.find("ingress", True):
                raise RpcAlreadyExists(f"ingress network ({present.id}) is already present")
        return self.store.update(lambda tx: tx.create(network))

    @grpc_errors
    def get_network(self, network_id: str) -> Network:
        """Return a network by id. Raises `RpcNotFound` if there is none with this id."""
        return require_stored("network", network_id, self.store.networks)

    def find_network(self, reference: str) -> Network:
        """Return a network by id, name or id prefix.

        Raises `NotFound` if no network matches, `InvalidParameter` if several do.
        """
        return find_one("network", reference, self.store.networks.get(reference), self.list_networks)

    def list_networks(self, filters: Filters | None = None) -> list[Network]:
        """Return the networks that pass the filters, in order of creation; `None` means no filters."""
        chosen = filters or Filters()
        return [
            network
            for network in self.store.networks
            if chosen.passes(network.id, network.name, network.spec.annotations.labels)
        ]

    @grpc_errors
    def remove_network(self, network_id: str) -> None:
        """Remove an unused network.

        Raises a `SwarmError` if the network does not exist, is used or is predefined.
        """
        network = self.get_network(network_id)
        if network.spec.annotations.labels.get(PREDEFINED_LABEL) == "true":
            raise RpcFailedPrecondition(
                f"network {network_id} ({network.name}) is a swarm predefined network and cannot be removed"
            )
        if network.is_ingress:
            self._check_ingress_is_unused()
        else:
            self._check_is_unused(network_id)
        self.store.update(lambda tx: tx.delete(Network, network_id))

    def _check_is_unused(self, network_id: str) -> None:
        for service in self.store.services.find("network", network_id):
            raise RpcFailedPrecondition(f"network {network_id} is in use by service {service.id}")
        for task in self.store.tasks.by_network(network_id):
            if task.desired_state <= TaskState.RUNNING and task.state <= TaskState.RUNNING:
                raise RpcFailedPrecondition(f"network {network_id} is in use by task {task.id}")

    def _check_ingress_is_unused(self) -> None:
        for service in self.store.services:
            if is_ingress_needed(service):
                raise RpcFailedPrecondition(
                    f"ingress network cannot be removed because service {service.id} depends on it"
                )

    def _check(self, spec: NetworkSpec) -> None:
        if spec.attachable and spec.ingress:
            raise RpcInvalidArgument("ingress network cannot be attachable")
        check_annotations(spec.annotations)
        if PREDEFINED_LABEL in spec.annotations.labels:
            raise RpcPermissionDenied(
                f"label {PREDEFINED_LABEL} is for internally created predefined networks and cannot be applied by"
                " users"
            )
        if spec.ingress and spec.driver is not None and spec.driver.name != "overlay":
            raise RpcUnimplemented("only overlay driver is currently supported for ingress network")
        self._check_driver(spec.driver, LOCAL_DRIVERS | GLOBAL_DRIVERS, NETWORK_DRIVER)
        if spec.ipam is not None:
            self._check_driver(spec.ipam.driver, frozenset({"default"}), IPAM_DRIVER)
            for config in spec.ipam.configs:
                _check_ipam_config(config)

    def _check_driver(self, driver: Driver | None, known: frozenset[str], kind: str) -> None:
        """Raise `RpcInvalidArgument` if `driver` has no name, or is not one of `known`, the built-in drivers.

        Other drivers are plugins, which a swarm supports only if they are managed; there are no managed plugins.
        `kind` is the kind of plugin, for error messages.
        """
        if driver is None:
            return
        if not driver.name:
            raise RpcInvalidArgument("driver name: if driver is specified name is required")
        if driver.name.lower() in known:
            return
        if self.has_plugin is None or not self.has_plugin(driver.name, kind):
            raise RpcInvalidArgument(f"error during lookup of plugin {driver.name}")
        raise RpcInvalidArgument(f"legacy plugin {driver.name} of type {kind} is not supported in swarm mode")


def _check_ipam_config(config: IpamConfig) -> None:
    try:
        subnet = _parse_prefix(config.subnet)
    except ValueError:
        raise RpcInvalidArgument(f"ipam configuration: invalid subnet {config.subnet}") from None
    if config.range:
        try:
            _parse_prefix(config.range)
        except ValueError:
            raise RpcInvalidArgument(f"ipam configuration: invalid range {config.range}") from None
        if parse_ip(config.range.partition("/")[0]) not in subnet:
            raise RpcInvalidArgument(
                f"ipam configuration: subnet {config.subnet} does not contain range {config.range}"
            )
    if config.gateway:
        try:
            gateway = parse_ip(config.gateway)
        except ValueError:
            raise RpcInvalidArgument(f"ipam configuration: invalid gateway {config.gateway}") from None
        if gateway not in subnet:
            raise RpcInvalidArgument(
                f"ipam configuration: subnet {config.subnet} does not contain gateway {config.gateway}"
            )


def _parse_prefix(text: str) -> Prefix:
    if "/" not in text:
        raise ValueError(text)
    return Prefix.parse(text, strict=False)
