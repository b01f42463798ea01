"""The swarm side of a daemon: initialise, join and leave a swarm, and call its managers.

Source: moby `daemon/cluster/{cluster,swarm,errors,noderunner}.go` (docker-v29.7.2).
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from attrs import define, field

from cnmsim.engine.cluster import addresses
from cnmsim.engine.cluster.addresses import Addresses
from cnmsim.engine.cluster.events import ClusterEvents
from cnmsim.engine.cluster.executor import EngineExecutor
from cnmsim.engine.cluster.node_files import remove_node_files, show_node_files
from cnmsim.errors import CnmsimError, Conflict, EngineError, InvalidParameter, SystemFault, Unavailable
from cnmsim.kernel.address import Address, Prefix, format_endpoint, format_ip, parse_ip
from cnmsim.kernel.task import wait_for
from cnmsim.libnetwork.agent import AgentConfig
from cnmsim.libnetwork.agent import EncryptionKey as AgentKey
from cnmsim.libnetwork.network_configuration import NOT_A_MANAGER
from cnmsim.swarm.controlapi.cluster import check_cluster_spec
from cnmsim.swarm.identity import parse_unlock_key
from cnmsim.swarm.manager.logbroker import LogMessage, LogRequest
from cnmsim.swarm.manager.manager_node import ManagerNode
from cnmsim.swarm.node import NodeConfig, SwarmNode, listen_error
from cnmsim.swarm.objects import Availability, ClusterSpec, EncryptionKey
from cnmsim.swarm.rpc import Stream
from cnmsim.swarm.store import Store

if TYPE_CHECKING:
    from cnmsim.engine.backend import Backend

_JOIN_TIMEOUT_S = 20.0
_SWARM_EXISTS = (
    'This node is already part of a swarm. Use "docker swarm leave" to leave this swarm and join another one.'
)
_NO_SWARM = "This node is not part of a swarm"
_WORKER = (
    "This node is not a swarm manager. Worker nodes can't be used to view or modify cluster state. Please run this"
    " command on a manager node or promote the current node to a manager."
)
_OBSTACLES = {
    "locked": (
        'Swarm is encrypted and needs to be unlocked before it can be used. Please use "docker swarm unlock" to '
        "unlock it."
    ),
    "expired": "Swarm certificates have expired. To replace them, leave the swarm and join again.",
}
_LOCKED_LEAVING = "Swarm is encrypted and locked. Please unlock it first or use `--force` to ignore this message."
_JOIN_TIMED_OUT = (
    "Timeout was reached before node joined. The attempt to join the swarm will continue in the background. Use the"
    ' "docker info" command to see the current swarm status of your node.'
)
_LEAVING = "You are attempting to leave the swarm on a node that is participating as a manager. "
_RESTORE = (
    "The only way to restore a swarm that has lost consensus is to reinitialize it with `--force-new-cluster`. Use"
    " `--force` to suppress this message."
)


def _fault_of(spec: ClusterSpec) -> str:
    try:
        check_cluster_spec(spec)
    except EngineError as error:
        return error.message
    return ""


@define(eq=False)
class Cluster:
    """One engine's membership in a swarm. `node` is its swarm node, `None` outside of a swarm.

    libnetwork uses this object as its cluster provider, that is, as its source of the node's addresses and keys.
    """

    backend: Backend = field(repr=False)
    node: SwarmNode | None = None
    executor: EngineExecutor = field(init=False, repr=False)
    #: Containers that are to start once the node has a session with a manager: their names, by id.
    waiting: dict[str, str] = field(factory=dict, init=False, repr=False)
    _addresses: Addresses | None = field(default=None, init=False)
    _keys: tuple[AgentKey, ...] = field(default=(), init=False, repr=False)
    _is_leaving: bool = field(default=False, init=False)
    _events: ClusterEvents = field(init=False, repr=False)

    def __attrs_post_init__(self) -> None:
        self._events = ClusterEvents(self.backend.context.events)
        self.executor = EngineExecutor(self.backend, self.ask, self._take_keys)

    # --- libnetwork's cluster provider

    @property
    def is_manager(self) -> bool:
        """Whether this node is a manager."""
        return self.manager_node is not None

    @property
    def is_agent(self) -> bool:
        """Whether this node is an active member of a swarm."""
        return self.state == "active"

    @property
    def state(self) -> str:
        """The state that `docker info` prints: inactive, pending, active, locked or error."""
        if self.node is None:
            return "inactive"
        if self.node.obstacle:
            return "locked" if self.node.obstacle == "locked" else "error"
        if not self.node.ready.is_done:
            return "pending"
        return "error" if self.node.ready.error is not None else "active"

    # --- init, join, leave

    async def init(
        self,
        *,
        listen: str,
        advertise: str = "",
        data_path: str = "",
        data_path_port: int = 0,
        pools: tuple[str, ...] | None = None,
        subnet_size: int = 0,
        spec: ClusterSpec,
        availability: Availability = Availability.ACTIVE,
        force_new_cluster: bool = False,
    ) -> str:
        """Create a swarm whose only manager is this node. Return the node's id.

        `pools` are the address pools of the swarm's networks as prefixes; `None` means the default pools. With
        `force_new_cluster`, a manager that is already in a swarm creates the new swarm from its copy of the old
        swarm's state. Raises an `EngineError`, such as `Unavailable` if the node is in a swarm and
        `force_new_cluster` is not set.
        """
        if self.node is not None:
            if not force_new_cluster:
                raise Unavailable(_SWARM_EXISTS)
            if self.manager_node is None:
                raise Unavailable(_WORKER)
        root, subnets = self.backend.context.machine.root, self._docker_subnets()
        listening = addresses.listen_address(root, listen)
        default = self.backend.context.config.swarm_default_advertise_addr
        advertised = addresses.advertise_address(root, advertise, listening.port, subnets, default)
        tunnels = addresses.data_path_address(root, data_path)
        local = addresses.local_address(root, listening, advertised, subnets)
        addresses.check_address_pools(pools or (), subnet_size)
        port = addresses.data_path_port(data_path_port)
        if self.node is not None:
            self._addresses = Addresses(local, advertised.host, tunnels)
            return await self._force_new_cluster(self.node, str(listening), str(advertised))
        fault = _fault_of(spec)  # the swarm is created with the default spec, which is then updated
        config = NodeConfig(
            str(listening),
            str(advertised),
            availability,
            spec=ClusterSpec(auto_lock_managers=spec.auto_lock_managers) if fault else spec,
            pools=pools,
            subnet_size=subnet_size or addresses.DEFAULT_SUBNET_SIZE,
            data_path_port=port,
        )
        node = self._start(config, Addresses(local, advertised.host, tunnels))
        try:
            node_id = await node.ready
        except CnmsimError:
            await self._end()
            raise
        if fault:
            raise SystemFault(f"error updating cluster settings: {fault}")
        return node_id

    async def _force_new_cluster(self, node: SwarmNode, listening: str, advertised: str) -> str:
        try:
            node.force_new_cluster(listening, advertised)
        except (OSError, ValueError) as error:
            raise listen_error(listening, error) from None
        return await node.ready

    def refuse_second(self) -> None:
        """Raise `Unavailable` if this node is in a swarm already."""
        if self.node is not None:
            raise Unavailable(_SWARM_EXISTS)

    async def join(
        self,
        *,
        remotes: list[str],
        token: str,
        listen: str,
        advertise: str = "",
        data_path: str = "",
        availability: Availability = Availability.ACTIVE,
    ) -> None:
        """Join a swarm through the manager at the first address in `remotes`, such as `192.168.0.2:2377`.

        Raises `Unavailable` if the node is in a swarm already, or if the manager does not respond within 20 seconds,
        and another `EngineError` for an invalid address or token.
        """
        self.refuse_second()
        root = self.backend.context.machine.root
        listening = addresses.listen_address(root, listen)
        advertised = ""
        if advertise:
            try:
                advertised = str(addresses.advertise_address(root, advertise, listening.port, ()))
            except EngineError:
                advertised = ""  # the manager uses the source address of this node's call
        tunnels = addresses.data_path_address(root, data_path)
        remote = addresses.remote_address(remotes[0])
        local = listening.host if any(parse_ip(listening.host)) else self._address_towards(*remote)
        host = advertised.rpartition(":")[0].strip("[]")
        config = NodeConfig(str(listening), advertised, availability, join_address=remotes[0], join_token=token)
        node = self._start(config, Addresses(local, host or local, tunnels))
        try:
            await wait_for(self.backend.context.clock, node.ready, _JOIN_TIMEOUT_S)
        except TimeoutError:
            raise Unavailable(_JOIN_TIMED_OUT) from None
        except CnmsimError:
            await self._end()
            raise

    def _start(self, config: NodeConfig, known: Addresses) -> SwarmNode:
        self.refuse_incompatible()
        node = self.make_node(config, known)
        node.start()
        return node

    def make_node(self, config: NodeConfig, known: Addresses) -> SwarmNode:
        """Create this daemon's swarm node with the configuration `config`, without starting it.

        `known` are the node's addresses.
        """
        context = self.backend.context
        random = context.clock.stream(f"{context.machine.name}/swarm/{context.random.random()}")
        self._addresses = known
        node = SwarmNode(
            context.clock, random, context.controller.daemon, context.profile, self.executor, config, self._on_change
        )
        self.node = node
        context.controller.cluster = self
        show_node_files(context.machine.files, self)
        return node

    def refuse_incompatible(self) -> None:
        """Raise `SystemFault` if the daemon's configuration does not allow swarm mode (Config.IsSwarmCompatible)."""
        config = self.backend.context.config
        if config.live_restore:
            raise SystemFault("--live-restore daemon configuration is incompatible with swarm mode")
        writes_nftables = config.uses_nftables(self.backend.context.profile.has_firewall_backend) and config.iptables
        if writes_nftables and not config.features.get("swarm-nftables"):
            raise SystemFault("--firewall-backend=nftables is incompatible with swarm mode")

    async def leave(self, *, force: bool) -> None:
        """Leave the swarm, and remove all containers of its services.

        Raises `Unavailable` if this node is in no swarm, and for a working or locked manager unless `force` is set.
        """
        node = self.node
        if node is None or self._is_leaving:
            raise Unavailable(_NO_SWARM)
        if node.obstacle == "locked" and not force:
            raise Unavailable(_LOCKED_LEAVING)
        if node.is_manager and not node.obstacle and not force:
            raise Unavailable(_LEAVING + self._consequence())
        self._is_leaving = True
        try:
            await self._end()
        finally:
            self._is_leaving = False

    def _consequence(self) -> str:
        manager_node = self.manager_node
        if manager_node is None:
            return _RESTORE
        if manager_node.raft.leader is None:
            return _RESTORE
        members = manager_node.members()
        reachable = (
            sum(manager_node.is_reachable(member) for member in members)
            if manager_node.raft.is_leading
            else len(members)
        )
        unreachable = len(members) - reachable
        if reachable - 2 > unreachable:
            return _RESTORE
        if reachable == 1 and unreachable == 0:
            return (
                "Removing the last manager erases all current state of the swarm. "
                "Use `--force` to ignore this message. "
            )
        return (
            f"Removing this node leaves {reachable - 1} managers out of {reachable + unreachable}. Without a Raft "
            f"quorum your swarm will be inaccessible. {_RESTORE}"
        )

    async def _end(self) -> None:
        node = self.node
        if node is None:
            return
        node_id = node.id if not node.obstacle else ""
        await node.stop()
        self.node = None
        context = self.backend.context
        if node_id:
            for container in list(context.containers):
                if (container.config["Labels"] or {}).get("com.docker.swarm.node.id") == node_id:
                    self.backend.lifecycle.remove(container, force=True)
        self._forget()

    def abandon(self) -> None:
        """Leave the swarm at once without notifying it: stop the node, and remove the containers of its tasks."""
        node, self.node = self.node, None
        if node is not None:
            node.halt()
            # Before the networks: ingress is not deleted while endpoints of tasks are on it.
            for container in self.backend.context.containers:
                if container.is_managed:
                    self.backend.lifecycle.remove(container, force=True, volumes=True)
            self._forget()

    def _forget(self) -> None:
        context = self.backend.context
        self._events.follow(None)
        self.executor.networks.forget()
        context.controller.agent_stop()
        self.executor.networks.release_ingress()
        context.controller.cluster = None
        self.executor = EngineExecutor(self.backend, self.ask, self._take_keys)
        self._addresses, self._keys = None, ()
        remove_node_files(context.machine.files)

    # --- addresses

    def _docker_subnets(self) -> list[Prefix]:
        return [
            info.pool
            for network in self.backend.context.controller.networks
            if network.scope == "local"
            for info in network.ipam_info
        ]

    def _address_towards(self, address: Address, port: int) -> str:
        socket = self.backend.context.controller.daemon().udp(6 if len(address) == 16 else 4)
        try:
            socket.connect((address, port))
            return format_ip(socket.local)
        except OSError as error:
            text = f"dial udp {format_endpoint(address, port)}: connect: {(error.strerror or '').lower()}"
            raise SystemFault(f"could not find local IP address: {text}") from None
        finally:
            socket.close()

    @property
    def addresses(self) -> Addresses | None:
        """The node's addresses; `None` outside of a swarm."""
        return self._addresses

    @property
    def advertise_host(self) -> str:
        """The address by which other nodes reach this one, "" outside of a swarm."""
        return self._addresses.advertise if self._addresses is not None else ""

    # --- the gossip agent

    def _take_keys(self, keys: tuple[EncryptionKey, ...]) -> None:
        self._keys = tuple(AgentKey(key.subsystem, key.algorithm, key.key, key.lamport_time) for key in keys)
        if self.backend.context.controller.agent is not None:
            self.backend.context.controller.set_keys(self._keys)

    def _on_change(self) -> None:
        """React to a change of the node: start gossip once the node has its id, encryption keys and addresses.

        The node calls this method.
        """
        manager_node = self.manager_node
        self._events.follow(manager_node.store if manager_node is not None else None)
        node, known = self.node, self._addresses
        if node is None or known is None:
            return
        if not self._keys or not node.id or self.backend.context.controller.agent is not None:
            return
        config = AgentConfig(
            bind_addr=parse_ip(known.local),
            advertise_addr=parse_ip(known.advertise),
            data_path_addr=parse_ip(known.data_path) if known.data_path else None,
            data_path_port=node.data_path_port,
            node_id=node.id,
            keys=self._keys,
            remotes=self._remote_addresses(),
        )
        self.backend.context.controller.agent_start(config)

    def _remote_addresses(self) -> list[Address]:
        assert self.node is not None
        others = [manager.addr for manager in self.node.managers if manager.node_id != self.node.id]
        return [parse_ip(address.rpartition(":")[0].strip("[]")) for address in others]

    # --- calls to managers

    @property
    def manager_node(self) -> ManagerNode | None:
        """The node's manager, or `None` if this node is not a manager."""
        return self.node.manager_node if self.node is not None and not self.node.obstacle else None

    def manager(self) -> ManagerNode:
        """Return the node's manager.

        Raises `Unavailable`, with the text that the daemon prints in this case, if this node is not a manager.
        """
        if self.obstacle:
            raise Unavailable(self.obstacle)
        manager_node = self.manager_node
        if manager_node is not None:
            return manager_node
        if self.node is None or not self.node.ready.is_done:
            raise Unavailable(NOT_A_MANAGER)
        raise Unavailable(_WORKER)

    @property
    def obstacle(self) -> str:
        """The daemon's error text if the node cannot use the state that it has saved on disk, else "".

        The reason is that the state is locked (autolock), or that the node's certificate has expired.
        """
        return _OBSTACLES.get(self.node.obstacle, "") if self.node is not None else ""

    async def unlock(self, key: str) -> None:
        """Unlock a manager that restarted with autolock, and wait until its node is ready.

        Raises `Conflict` if the manager is not locked, `InvalidParameter` for a malformed key, `Unauthorized` for a
        wrong one, and `Unavailable` if this node is not a manager.
        """
        node = self.node
        if node is None or node.obstacle != "locked":
            self.manager()
            raise Conflict("swarm is not locked")
        try:
            parsed = parse_unlock_key(key)
        except ValueError as error:
            raise InvalidParameter(str(error)) from None
        node.unlock(parsed)
        await node.ready

    async def control(self, name: str, *arguments: Any, **options: Any) -> Any:
        """Call the operation `name` of the swarm's control API.

        Raises `Unavailable` if this node is not a manager.
        """
        return await self.manager().control(name, *arguments, **options)

    async def attach_network(self, target: str, container_id: str, addresses: list[str]) -> dict[str, Any]:
        """Ask a manager to allocate addresses for a container on a network of the swarm, and wait for them.

        `target` is the network's name or id; `addresses` are the requested addresses. Return the settings of the
        endpoint that the caller must now create. Raises `SystemFault` if the manager refuses, or allocates nothing in
        time.
        """
        return await self.executor.attachers.attach(target, container_id, addresses)

    def detach_network(self, target: str, container_id: str) -> None:
        """Release the addresses that `attach_network` allocated for a container, if there are any."""
        self.executor.attachers.detach(target, container_id)

    async def ask(self, method: str, argument: Any) -> Any:
        """Call `method` at one of the swarm's managers, for example "resource.attach". Return its result.

        Raises an `EngineError` if this node is in no swarm, or if the call fails.
        """
        if self.node is None:
            raise SystemFault("invalid cluster node while attaching to network")
        return await self.node.call(method, argument)

    def subscribe_logs(self, request: LogRequest, on_message: Callable[[LogMessage], None]) -> Stream:
        """Subscribe to the logs of services or tasks: call `on_message` with each line that `request` selects.

        Return the stream on which a manager sends the lines; closing it ends the subscription. Raises `Unavailable`
        if this node is not a manager.
        """
        return self.manager().client().stream("logs.subscribe", request, on_message)

    def store(self) -> Store:
        """Return this manager's store of the swarm's objects. Raises `Unavailable` if this node is not a manager."""
        return self.manager().store


#: Returns the daemon's `Cluster`, which is created at its first use.
GetCluster = Callable[[], Cluster]
