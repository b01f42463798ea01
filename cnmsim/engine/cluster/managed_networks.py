"""A node's copies of the swarm's networks: created when a task needs one, deleted with its last task.

Source: moby `daemon/network.go` (CreateManagedNetwork, DeleteManagedNetwork, SetupIngress),
`daemon/cluster/executor/container/{adapter,container}.go`, `daemon/network/settings.go` (docker-v29.7.2).
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from attrs import define, field

from cnmsim.errors import EngineError, Forbidden, SystemFault
from cnmsim.kernel.address import parse_ip
from cnmsim.kernel.task import Signal
from cnmsim.libnetwork.network import Network
from cnmsim.libnetwork.options import IpamConfig, NetworkOptions

if TYPE_CHECKING:
    from cnmsim.engine.backend import Backend
    from cnmsim.swarm.objects import Network as SwarmNetwork

_OVERLAY = "overlay"
#: How long a task waits for this node's addresses from the manager, in seconds.
_ATTACHMENTS_TIMEOUT_S = 30.0
_PREDEFINED_LABEL = "com.docker.swarm.predefined"


@define(eq=False)
class ManagedNetworks:
    """One node's copies of the swarm's networks.

    `addresses` are the node's own addresses on them, such as `10.0.0.4/24`, by network id.
    """

    backend: Backend = field(repr=False)
    addresses: dict[str, str] = field(factory=dict)
    _changed: Signal = field(init=False, repr=False)
    _ingress: tuple[str, str] | None = field(default=None, init=False)

    def __attrs_post_init__(self) -> None:
        self._changed = Signal(self.backend.context.clock)

    def reset(self, addresses: dict[str, str]) -> None:
        """Replace the node's addresses on the swarm's networks by those that a manager has allocated."""
        self.addresses = addresses
        self._changed.notify()

    async def wait_for_addresses(self, networks: tuple[SwarmNetwork, ...]) -> None:
        """Wait until this node has an address on each overlay network in `networks`.

        Raises `SystemFault` if a manager does not allocate the addresses in time.
        """
        needed = [network.id for network in networks if driver_name(network) == _OVERLAY]
        try:
            await self._changed.wait_until(
                lambda: all(id_ in self.addresses for id_ in needed), _ATTACHMENTS_TIMEOUT_S
            )
        except TimeoutError:
            raise SystemFault("node is missing network attachments, ip addresses may be exhausted") from None

    def local(self, network_id: str) -> Network | None:
        """Return this node's copy of a network, or `None`."""
        return self.backend.context.controller.network_by_id(network_id)

    async def make(self, network: SwarmNetwork) -> None:
        """Create this node's copy of a network, and wait for the network's entries from the other nodes.

        The entries are the endpoints and services that NetworkDB distributes. If the copy exists already, return at
        once without waiting. Raises an `EngineError` if the network cannot be created.
        """
        if is_predefined(network) or self.local(network.id) is not None:
            return
        self.create(network)
        made, agent = self.local(network.id), self.backend.context.controller.agent
        if made is not None and agent is not None:
            await agent.wait_until_synced(made)

    def create(self, network: SwarmNetwork) -> None:
        """Create this node's copy of a network, if there is none. Raises an `EngineError` if that fails."""
        if is_predefined(network) or self.local(network.id) is not None:
            return
        stale = next(
            (candidate for candidate in self.backend.context.controller.networks if candidate.name == network.name),
            None,
        )
        if stale is not None and stale.is_dynamic:
            self.delete(stale.id)
        options = network_options(network)
        address = self.addresses.get(network.id, "")
        if address:
            options.load_balancer_ip = parse_ip(address.partition("/")[0])
        created = self.backend.context.controller.new_network(
            network.name, driver_name(network), id=network.id, options=options, is_dynamic=True
        )
        self.backend.networks.log(created, "create")

    def delete(self, network_id: str) -> None:
        """Delete this node's copy of a network if it is unused."""
        network = self.local(network_id)
        if network is None:
            return
        try:
            network.delete(force=network.ingress)
        except Forbidden:
            return  # has active endpoints
        self.backend.networks.log(network, "destroy")

    # --- ingress

    def set_up_ingress(self, network: SwarmNetwork, address: str) -> None:
        """Join this node to the routing mesh, with its own `address` on the ingress network, such as `10.0.0.2/24`.

        Raises an `EngineError` if the ingress network cannot be created here.
        """
        if self._ingress == (network.id, address) and self.local(network.id) is not None:
            return
        self.release_ingress()
        self.addresses = {**self.addresses, network.id: address}
        self.create(network)
        self._ingress = (network.id, address)

    def release_ingress(self) -> None:
        """Remove this node from the routing mesh."""
        present, self._ingress = self._ingress, None
        if present is not None:
            self.delete(present[0])

    def forget(self) -> None:
        """Delete this node's copies of the swarm's networks, except ingress, because the node leaves the swarm.

        Ordinary containers are disconnected from attachable networks (clearAttachableNetworks). Ingress is deleted
        later, when the agent has stopped, because published ports are released through it.
        """
        for network in [candidate for candidate in self.backend.context.controller.networks if candidate.attachable]:
            self._disconnect_all(network)
        for network in [
            candidate
            for candidate in self.backend.context.controller.networks
            if candidate.is_dynamic and not candidate.ingress
        ]:
            try:
                network.delete(force=True)
            except EngineError as error:
                self.backend.context.controller.log.append(f"network {network.name} remove failed: {error.message}")
                continue
            self.backend.networks.log(network, "destroy")
        self.addresses = {}

    def _disconnect_all(self, network: Network) -> None:
        for endpoint in list(network.endpoints.values()):
            container = (
                self.backend.context.containers.find(endpoint.sandbox.container_id)
                if endpoint.sandbox is not None
                else None
            )
            if container is None:
                continue
            try:
                self.backend.networking.disconnect(container, network.id, force=True)
            except EngineError as error:
                self.backend.context.controller.log.append(f"network {network.name} clear failed: {error.message}")


def driver_name(network: SwarmNetwork) -> str:
    """Return the name of the driver that the manager has allocated to a network."""
    driver = network.driver_state or network.spec.driver
    return driver.name if driver is not None and driver.name else _OVERLAY


def is_predefined(network: SwarmNetwork) -> bool:
    """Return True for a swarm network that represents the predefined `bridge` or `host` network of each node."""
    return network.spec.annotations.labels.get(_PREDEFINED_LABEL) == "true"


def network_options(network: SwarmNetwork) -> NetworkOptions:
    """Return the options of this node's copy of a network."""
    spec = network.spec
    ipam = network.ipam
    driver = network.driver_state
    configs = ipam.configs if ipam is not None else ()
    ipam_driver = ipam.driver if ipam is not None else None
    return NetworkOptions(
        driver_opts=dict((driver.options if driver is not None else None) or {}),
        labels=dict(spec.annotations.labels),
        ipam_driver=(ipam_driver.name if ipam_driver is not None else "") or "default",
        ipam_options=dict((ipam_driver.options if ipam_driver is not None else None) or {}),
        ipam_config=[
            IpamConfig(config.subnet, config.range, config.gateway, dict(config.reserved)) for config in configs
        ],
        enable_ipv6=spec.ipv6_enabled,
        internal=spec.internal,
        attachable=spec.attachable,
        ingress=network.is_ingress,
        scope="swarm",
        config_from=spec.config_from,
    )
