"""A cluster of controllers without a swarm: NetworkDB agents, encryption keys, and networks that all members share.

In a swarm, managers allocate the values that all members must agree on: network ids, VXLAN ids, pools and addresses.
Here an IPAM driver named `cluster`, which all members share, allocates them. The rest works as in libnetwork: each
member runs an `Agent`, learns the others' endpoints by gossip, and its overlay driver creates the tunnels.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from contextlib import ExitStack
from itertools import count
from typing import TYPE_CHECKING, Any, NoReturn

from attrs import define, evolve, field

from cnmsim.errors import Conflict, Forbidden, InvalidParameter, NotFound, SystemFault, Unavailable
from cnmsim.kernel.address import Address, Prefix, format_ip
from cnmsim.libnetwork.agent import GOSSIP, IPSEC, KEYS_PER_SUBSYSTEM, AgentConfig, EncryptionKey
from cnmsim.libnetwork.driver import SWARM_SCOPE, IpamInfo
from cnmsim.libnetwork.drivers.overlay.driver import ENCRYPTED, VXLAN_ID_LIST
from cnmsim.libnetwork.gateway import gateway_network
from cnmsim.libnetwork.ipam.allocator import Ipam, Pool, PoolRequest
from cnmsim.libnetwork.networkdb.convergence import converge
from cnmsim.libnetwork.networkipam import NetworkIpam, excluded_prefixes
from cnmsim.libnetwork.options import IpamConfig, NetworkOptions
from cnmsim.libnetwork.readable import AddressLike, to_address
from cnmsim.libnetwork.settings import network_options

if TYPE_CHECKING:
    from cnmsim.libnetwork.controller import Controller
    from cnmsim.libnetwork.network import Network

IPAM_DRIVER = "cluster"
#: The first VXLAN id of networks; SwarmKit's first id, 4096, is the ingress network's.
_FIRST_VNI = 4097
_KEY_SIZE = 16


@define
class _SharedPool:
    """A pool of the cluster. `users` is the number of members that have the pool's network."""

    info: IpamInfo
    users: int = 0

    @property
    def fixed(self) -> set[Address]:
        """The pool's gateway and auxiliary addresses.

        Each member has a copy of the network and therefore requests these addresses again.
        """
        return {address for address in (self.info.gateway, *self.info.aux_addresses.values()) if address is not None}


class ClusterIpam:
    """The IPAM driver that all members of a cluster share, so that no address is assigned twice."""

    def __init__(self, ipam: Ipam, log: list[str]) -> None:
        self._ipam = ipam
        self._log = log
        self._pools: dict[str, _SharedPool] = {}

    def reserve(self, network: str, options: NetworkOptions, excluded: dict[int, list[Prefix]]) -> NetworkIpam:
        """Allocate the pools for a new network, and return the allocations.

        `network` is the network's name. `excluded` contains, by family (4, 6), prefixes that an automatically chosen
        subnet must not overlap. Raises an `EngineError` with IPAM's message if an allocation fails.
        """
        allocated = NetworkIpam(self._ipam, self._ipam.default_spaces()[1], options.ipam_options, self._log, network)
        allocated.allocate(
            options.ipam_config,
            enable_ipv4=options.enable_ipv4,
            enable_ipv6=options.enable_ipv6,
            skip_gateway=(False, False),
            excluded=excluded,
        )
        for info in (*allocated.pools4, *allocated.pools6):
            self._pools[info.pool_id] = _SharedPool(info)
        return allocated

    def pool_id(self, subnet: str) -> str:
        """Return the id of the pool whose subnet is `subnet`, e.g. `10.0.1.0/24`.

        Raises `NotFound` if there is none.
        """
        for pool_id, shared in self._pools.items():
            if str(shared.info.pool) == subnet:
                return pool_id
        raise NotFound(f"{subnet} is not a pool of the cluster")

    def release_unused(self) -> None:
        """Release the pools that no member uses."""
        for pool_id, shared in list(self._pools.items()):
            if not shared.users:
                self._release(pool_id, shared)

    def _release(self, pool_id: str, shared: _SharedPool) -> None:
        del self._pools[pool_id]
        for address in shared.fixed:
            self._ipam.release_address(pool_id, address)
        self._ipam.release_pool(pool_id)

    def default_spaces(self) -> tuple[str, str]:
        """Return the names of two address spaces: that of local networks, and that of global networks."""
        return self._ipam.default_spaces()

    def request_pool(self, request: PoolRequest) -> Pool:
        """Return the pool that `reserve` allocated for the requested subnet, and count one more member that uses it.

        The requested ip-range must be that of the pool. The other fields of the request have no effect. Raises
        `InvalidParameter` for a subnet that was not reserved.
        """
        pool, sub_pool = request.pool, request.sub_pool
        for shared in self._pools.values():
            info = shared.info
            if str(info.pool) == pool and (str(info.ip_range) if info.ip_range else "") == sub_pool:
                shared.users += 1
                return Pool(info.pool_id, info.pool, info.ip_range)
        raise InvalidParameter(f"{pool or 'a pool'} is not one of the cluster's: create its network for the cluster")

    def release_pool(self, pool_id: str) -> None:
        """Record that one member no longer uses a pool. Release the pool if no other member uses it."""
        shared = self._pools.get(pool_id)
        if shared is None:
            return
        shared.users -= 1
        if shared.users <= 0:
            self._release(pool_id, shared)

    def request_address(
        self, pool_id: str, address: Address | None = None, *, options: Mapping[str, str] | None = None
    ) -> tuple[Address, int] | None:
        """Allocate `address` in a pool, or any free address if it is `None`.

        Return it with the subnet's prefix length. A request for the pool's gateway or an auxiliary address succeeds
        for every member; it is marked by the option `RequestAddressType`. Raises `AddressInUse`, `AddressOutOfRange`
        or `NoAvailableAddresses`.
        """
        shared = self._pools.get(pool_id)
        if shared is not None and options and "RequestAddressType" in options and address in shared.fixed:
            return address, shared.info.pool.length
        return self._ipam.request_address(pool_id, address, options=options)

    def release_address(self, pool_id: str, address: Address) -> None:
        """Release an address. Gateway and auxiliary addresses are released with their pool only."""
        shared = self._pools.get(pool_id)
        if shared is None or address not in shared.fixed:
            self._ipam.release_address(pool_id, address)


@define(eq=False)
class _Provider:
    """The implementation of `network_configuration.Cluster` for one member of a `GossipCluster`.

    Such a cluster has no manager.
    """

    cluster: GossipCluster = field(repr=False)

    @property
    def is_manager(self) -> bool:
        """Always `False`: no member may create the cluster's networks, only `GossipCluster.new_network`."""
        return False

    @property
    def is_agent(self) -> bool:
        """Always `True`: this host is a member of the cluster."""
        return True

    async def attach_network(self, target: str, container_id: str, addresses: list[str]) -> dict[str, Any]:
        """Raise `Unavailable`: there is no manager that attaches containers."""
        self._refuse(target, container_id, addresses)

    def detach_network(self, target: str, container_id: str) -> None:
        """Do nothing, because `attach_network` never succeeds."""

    def _refuse(self, target: str, *_: object) -> NoReturn:
        raise Unavailable(f"no manager attaches containers to {target}: create and join an endpoint instead")


@define(eq=False, repr=False)
class GossipCluster:
    """A group of controllers, formed by `join`, that share overlay networks."""

    controllers: list[Controller]
    ipam: ClusterIpam
    keys: list[EncryptionKey] = field(repr=False)
    _vnis: count[int] = field(factory=lambda: count(_FIRST_VNI), init=False)

    def __repr__(self) -> str:
        return f"<GossipCluster {', '.join(controller.machine.name for controller in self.controllers)}>"

    # --- members

    def add(self, controller: Controller, address: AddressLike | None = None) -> None:
        """Make a controller a member: start its agent, and create the cluster's networks on it.

        `address` is the controller's address towards the other members; `None` means the first address that it has.
        Raises `Forbidden` if the controller is a member of a cluster or swarm, `InvalidParameter` if it has no
        address or belongs to another lab. After an error it is not a member.
        """
        own = self._address_of(controller, address)
        if controller.is_swarm_node:
            raise Forbidden(f"{controller.machine.name} is a member of a cluster")
        if self.controllers and controller.machine.clock is not self.controllers[0].machine.clock:
            raise InvalidParameter(f"{controller.machine.name} belongs to another lab than {self}")
        agents = [member.agent for member in self.controllers]
        remotes = [agent.config.advertise_addr for agent in agents if agent is not None]
        with ExitStack() as undo:
            controller.cluster = _Provider(self)
            undo.callback(setattr, controller, "cluster", None)
            controller.ipams[IPAM_DRIVER] = self.ipam
            undo.callback(controller.ipams.pop, IPAM_DRIVER)
            controller.agent_start(AgentConfig(own, own, keys=self.keys, remotes=remotes))
            undo.callback(controller.agent_stop)
            for network in self.networks:
                self._create(controller, network.id, network.name, network.options, undo)
            undo.pop_all()
        self.controllers.append(controller)

    def remove(self, controller: Controller) -> None:
        """Remove a member: delete the cluster's networks on the controller, and stop its agent.

        Raises `NotFound` if the controller is not a member, `Forbidden` if the networks have endpoints on it. After
        an error nothing is changed.
        """
        if controller not in self.controllers:
            raise NotFound(f"{controller} is not a member of {self}")
        copies = [network for network in controller.networks if network.is_dynamic]
        self._require_unused(copies)
        for network in copies:
            network.delete()
        controller.agent_stop()
        controller.cluster = None
        controller.ipams.pop(IPAM_DRIVER)
        self.controllers.remove(controller)

    @staticmethod
    def _address_of(controller: Controller, address: AddressLike | None) -> Address:
        if address is not None:
            try:
                return to_address(address)
            except ValueError as error:
                raise InvalidParameter(str(error)) from None
        for device in controller.machine.root.devices.values():
            if device.kind == "nic":
                for assigned in device.addresses:
                    if assigned.scope == "global":
                        return assigned.address
        raise InvalidParameter(f"{controller.machine.name} has no address at which other hosts reach it")

    # --- networks

    @property
    def networks(self) -> list[Network]:
        """The first member's copies of the cluster's networks, in order of creation."""
        first = self.controllers[0] if self.controllers else None
        return [] if first is None else [network for network in first.networks if network.is_dynamic]

    def new_network(
        self,
        name: str,
        *,
        options: NetworkOptions | None = None,
        encrypted: bool = False,
        load_balancer: bool = False,
        **settings: Any,
    ) -> dict[str, Network]:
        """Create an overlay network on every member. Return each member's copy of the network, by host name.

        `settings` are those of `Controller.new_network`. `encrypted` turns on IPsec between the members. With
        `load_balancer` each copy has a load-balancer sandbox, which services with virtual addresses need. Raises an
        `EngineError` if the network cannot be created on one of the members; it is then removed from the others.
        """
        given = network_options(options, settings)
        given = evolve(given, scope=SWARM_SCOPE, ipam_driver=IPAM_DRIVER)
        if not self.controllers:
            raise InvalidParameter("the cluster has no members")
        if encrypted:
            given.driver_opts.setdefault(ENCRYPTED, "")
        first = self.controllers[0]
        for controller in self.controllers:
            if any(network.name == name for network in controller.networks):
                raise Conflict(f"network with name {name} already exists")
        with ExitStack() as undo:
            undo.callback(self.ipam.release_unused)
            pools = self.ipam.reserve(name, given, excluded_prefixes(first.machine))
            given.ipam_config = _as_configured(pools)
            vnis = ",".join(str(next(self._vnis)) for _ in pools.pools4)
            given.driver_opts.setdefault(VXLAN_ID_LIST, vnis)
            if load_balancer:
                given.load_balancer_ip = bytes(4)  # replaced by an address of each member
            identity = first.new_id()
            copies = {
                controller.machine.name: self._create(controller, identity, name, given, undo)
                for controller in self.controllers
            }
            undo.pop_all()
        return copies

    def _create(
        self, controller: Controller, identity: str, name: str, options: NetworkOptions, undo: ExitStack
    ) -> Network:
        own = evolve(options, driver_opts=dict(options.driver_opts))
        if own.load_balancer_ip is not None:
            # On a node of a swarm the ingress sandbox has created docker_gwbridge by now, which enables forwarding. A
            # load-balancer sandbox inherits that.
            gateway_network(controller)
            own.load_balancer_ip = self._free_address(options)
        network = controller.new_network(name, "overlay", id=identity, options=own, is_dynamic=True)
        undo.callback(network.delete)
        return network

    def _free_address(self, options: NetworkOptions) -> Address:
        """Return an address that is free at the moment in the network's first pool, without allocating it."""
        subnet = options.ipam_config[0].subnet
        pool_id = self.ipam.pool_id(subnet)
        assigned = self.ipam.request_address(pool_id)
        if assigned is None:
            raise SystemFault(f"no address is free in {subnet}")
        self.ipam.release_address(pool_id, assigned[0])
        return assigned[0]

    def remove_network(self, name: str) -> None:
        """Delete a network on every member.

        Raises `NotFound` if the cluster has no such network, or `Forbidden` if the network has endpoints on any
        member. After an error nothing is changed.
        """
        copies = [
            network
            for controller in self.controllers
            for network in controller.networks
            if network.is_dynamic and network.name == name
        ]
        if not copies:
            raise NotFound(f"network {name} not found")
        self._require_unused(copies)
        for network in copies:
            network.delete()

    @staticmethod
    def _require_unused(networks: Sequence[Network]) -> None:
        for network in networks:
            if any(not endpoint.options.is_load_balancer for endpoint in network.endpoints.values()):
                network.delete()  # raises in libnetwork's words

    # --- keys and time

    def rotate_keys(self) -> None:
        """Replace the oldest key of each subsystem by a new one, as SwarmKit does every twelve hours."""
        clock = max(key.lamport_time for key in self.keys) + 1
        kept: list[EncryptionKey] = []
        for subsystem in (GOSSIP, IPSEC):
            own = sorted((key for key in self.keys if key.subsystem == subsystem), key=lambda key: key.lamport_time)
            random = self.controllers[0].machine.random
            kept += [*own[1:], EncryptionKey(subsystem, 0, random.randbytes(_KEY_SIZE), clock)]
        self.keys = kept
        for controller in self.controllers:
            controller.set_keys(kept)

    def settle(self, limit_s: float = 120) -> float:
        """Advance virtual time until the databases of all members have the same entries.

        Return the seconds that passed. Raises `TimeoutError` if they still differ after `limit_s` virtual seconds.
        Its message describes one difference.
        """
        return converge(self.controllers[0].machine.clock, limit_s)


def join(
    controllers: Iterable[Controller], *, addresses: Iterable[AddressLike] = (), settle: bool = True
) -> GossipCluster:
    """Make controllers of one lab a cluster, and advance virtual time until their databases have the same entries.

    `addresses` are the controllers' addresses towards each other, one for each; by default the first address of each
    host. With `settle=False` virtual time is not advanced. Raises `InvalidParameter` if there is no controller or the
    number of addresses differs, `Forbidden` if a controller is a member of a cluster or swarm; then no controller is
    a member.
    """
    members = list(controllers)
    given: list[AddressLike | None] = [*addresses] or [None] * len(members)
    if not members or len(given) != len(members):
        raise InvalidParameter("join needs controllers, and an address for each or for none")
    first = members[0]
    keys = [
        EncryptionKey(subsystem, 0, first.machine.random.randbytes(_KEY_SIZE), time)
        for subsystem in (GOSSIP, IPSEC)
        for time in range(1, KEYS_PER_SUBSYSTEM + 1)
    ]
    cluster = GossipCluster([], ClusterIpam(Ipam(first.profile), first.log), keys)
    with ExitStack() as undo:
        for controller, address in zip(members, given, strict=True):
            cluster.add(controller, address)
            undo.callback(cluster.remove, controller)
        undo.pop_all()
    if settle:
        cluster.settle()
    return cluster


def _as_configured(pools: NetworkIpam) -> list[IpamConfig]:
    """Return IPAM configuration that requests exactly the allocated `pools`, for use by every member."""
    return [
        IpamConfig(
            str(info.pool),
            str(info.ip_range) if info.ip_range is not None else "",
            format_ip(info.gateway) if info.gateway is not None else "",
        )
        for info in (*pools.pools4, *pools.pools6)
    ]
