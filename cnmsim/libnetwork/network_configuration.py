"""The configuration of a new network: its validation, its scope, and the options copied from another network.

Source: moby `daemon/libnetwork/controller.go` (NewNetwork), docker-v29.7.2; `libnetwork/` of v26.1.5 and v28.5.2.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Protocol

from attrs import evolve

from cnmsim.errors import EngineError, Forbidden, InvalidParameter, NotFound
from cnmsim.libnetwork.driver import GLOBAL_SCOPE, LOCAL_SCOPE, SWARM_SCOPE, Driver
from cnmsim.libnetwork.gratuitous_arp import GratuitousArpConfig
from cnmsim.libnetwork.options import NetworkOptions
from cnmsim.libnetwork.profile import Profile

if TYPE_CHECKING:
    from cnmsim.libnetwork.controller import Controller

PREDEFINED_NETWORKS = ("bridge", "host", "none")
NOT_A_MANAGER = (
    'This node is not a swarm manager. Use "docker swarm init" or "docker swarm join" to connect this node to swarm'
    " and try again."
)


class ManagerRedirect(EngineError):
    """Error: the network is cluster-wide, so a swarm manager has to create it."""

    def __init__(self) -> None:
        super().__init__("Redirect the request to the manager")


class Cluster(Protocol):
    """The cluster provider: the interface to the swarm that this host may be in (moby `cluster.Provider`)."""

    @property
    def is_manager(self) -> bool:
        """Whether this host is a manager of a swarm."""

    @property
    def is_agent(self) -> bool:
        """Whether this host is a member of a swarm."""

    async def attach_network(self, target: str, container_id: str, addresses: list[str]) -> dict[str, Any]:
        """Request addresses from a manager for a container on the swarm network `target`.

        Return the settings for the container's endpoint.
        """

    def detach_network(self, target: str, container_id: str) -> None:
        """Release the addresses that `attach_network` obtained for a container. Do nothing if there are none."""


def validate(options: NetworkOptions, profile: Profile) -> None:
    """Check the options of a new network.

    Raises `Forbidden`, with the message of the release `profile`, for an option that a configuration network
    (`config_only`), or a network that uses one (`config_from`), may not have. Raises `SystemFault` for invalid
    gratuitous ARP settings, unless `config_from` is set.
    """
    if options.config_only and (options.internal or options.attachable or options.ingress or options.scope):
        raise Forbidden(
            "configuration network can only contain network specific fields. Network operator fields like "
            "[ ingress | internal | attachable | scope ] are not supported."
        )
    if not options.config_from:
        if profile.announces_addresses:
            GratuitousArpConfig.parse(options.driver_opts)
        return
    if options.config_only:
        raise Forbidden("a configuration network cannot depend on another configuration network")
    has_ipam = options.ipam_config or options.ipam_options or options.ipam_driver not in {"", "default"}
    if has_ipam or options.labels or options.enable_ipv6 or not options.enable_ipv4:
        raise Forbidden(profile.config_from_options_text)
    if options.driver_opts:
        raise Forbidden("network driver options are not supported if the network depends on a configuration network")


def scope_of(controller: Controller, driver: Driver, options: NetworkOptions, *, is_dynamic: bool) -> str:
    """Return the scope of a new network: "local", "swarm" or "global".

    `is_dynamic` marks a network that the swarm's manager pushed to this host. Raises `ManagerRedirect` if this host
    is a manager, which has to create the network, and another `EngineError` if the network cannot be created on this
    host.
    """
    data_scope = driver.capability.data_scope
    if options.scope == LOCAL_SCOPE and data_scope == GLOBAL_SCOPE:
        raise Forbidden(f"cannot downgrade network scope for {driver.name} networks")
    if options.ingress and data_scope != GLOBAL_SCOPE:
        raise Forbidden("Ingress network can only be global scope network")
    scope = SWARM_SCOPE if is_dynamic else options.scope or data_scope
    if is_dynamic or scope == LOCAL_SCOPE:
        return scope
    cluster = controller.cluster
    if cluster is not None and cluster.is_manager:
        if controller.profile.swarm_ipv4_is_required and not options.enable_ipv4:
            raise InvalidParameter("IPv4 cannot be disabled in a Swarm scoped network")
        raise ManagerRedirect
    if cluster is not None and cluster.is_agent:
        raise Forbidden(
            "Cannot create a multi-host network from a worker node. Please create the network from a manager node."
        )
    if scope == SWARM_SCOPE:
        raise Forbidden("cannot create a swarm scoped network when swarm is not active")
    return scope


def configured(controller: Controller, name: str, driver: str, options: NetworkOptions) -> NetworkOptions:
    """Return `options` with missing values filled in from the network that `config_from` names.

    Without `config_from`, missing driver options are the daemon's defaults for `driver` (`default-network-opts`),
    unless `name` is that of a predefined network. Raises `NotFound` if the configuration network does not exist.
    """
    if options.config_from:
        return _from_configuration(controller, options)
    defaults = controller.config.default_network_opts.get(driver, {})
    if defaults and name not in PREDEFINED_NETWORKS:
        return evolve(options, driver_opts={**defaults, **options.driver_opts})
    return options


def _from_configuration(controller: Controller, options: NetworkOptions) -> NetworkOptions:
    source = next((n for n in controller.networks if n.config_only and n.name == options.config_from), None)
    if source is None:
        raise NotFound(f'configuration network "{options.config_from}" does not exist')
    configured = source.options
    return evolve(
        options,
        driver_opts=dict(configured.driver_opts),
        labels={**configured.labels},
        ipam_driver=configured.ipam_driver,
        ipam_options=dict(configured.ipam_options),
        ipam_config=list(configured.ipam_config),
        enable_ipv4=configured.enable_ipv4,
        enable_ipv6=configured.enable_ipv6,
    )
