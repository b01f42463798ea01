"""A node of a swarm: its credentials, its agent, and its manager while it has that role.

Source: moby/swarmkit `node/node.go` (vendored by moby docker-v29.7.2), moby `daemon/cluster/noderunner.go`.
"""

from __future__ import annotations

from collections.abc import Callable
from hmac import compare_digest
from random import Random
from typing import Any, Literal

from attrs import define, evolve, field, frozen

from cnmsim.errors import CnmsimError, SystemFault, Unauthorized
from cnmsim.kernel.clock import Clock
from cnmsim.kernel.process import Process
from cnmsim.kernel.task import Future, Gate, Task, sleep
from cnmsim.libnetwork.profile import Profile
from cnmsim.swarm.agent.agent import Agent
from cnmsim.swarm.agent.exec import Executor
from cnmsim.swarm.ca.certificates import MANAGER_ROLE, Certificate, RootCa, join_token_digest
from cnmsim.swarm.ca.credentials import Credentials
from cnmsim.swarm.ca.server import CaServer, IssueRequest
from cnmsim.swarm.connection_broker import ConnectionBroker
from cnmsim.swarm.dispatcher.messages import ManagerPeer, SessionMessage
from cnmsim.swarm.manager.bootstrap import bootstrap_cluster
from cnmsim.swarm.manager.manager_node import JoinRequest, JoinResponse, ManagerNode
from cnmsim.swarm.objects import Availability, ClusterSpec, NodeRole
from cnmsim.swarm.raft import Member
from cnmsim.swarm.rpc import Client, LocalClient, RpcError
from cnmsim.swarm.store import Store

_CALL_TIMEOUT_S = 20.0
_ROLE_RETRY_S = 1.0
#: Seconds that a manager waits for its new role after it was removed from Raft, and then once more before it asks to
#: rejoin.
_ROLE_CHANGE_TIMEOUT_S = 16.0
Obstacle = Literal["", "locked", "expired"]


@frozen
class NodeConfig:
    """The configuration with which a node starts.

    Addresses are strings such as `10.0.0.15:2377`; if `advertise` is "", the address is detected. With `join_address`
    and `join_token` the node joins a swarm. Without them it creates a swarm with `spec`, `pools`, `subnet_size` and
    `data_path_port`.
    """

    listen: str
    advertise: str = ""
    availability: Availability = Availability.ACTIVE
    join_address: str = ""
    join_token: str = ""
    spec: ClusterSpec = field(factory=ClusterSpec)
    pools: tuple[str, ...] | None = None
    subnet_size: int = 24
    data_path_port: int = 4789


def listen_error(address: str, error: OSError | ValueError) -> SystemFault:
    """Return the error to raise if a node cannot listen at `address` (host and port)."""
    if isinstance(error, OSError):
        detail = f" {address}: bind: {(error.strerror or str(error)).lower()}"
    else:
        detail = f": {error}"
    return SystemFault(f"manager stopped: failed to listen on remote API address: listen tcp{detail}")


@define(eq=False)
class SwarmNode:
    """One node of a swarm.

    `ready` is a future: its result is the node's id once the node has joined, its error the reason why joining
    failed. `on_change` is called when the node's managers, role or data path port have changed.
    """

    clock: Clock = field(repr=False)
    random: Random = field(repr=False)
    process: Callable[[], Process] = field(repr=False)
    profile: Profile = field(repr=False)
    executor: Executor = field(repr=False)
    config: NodeConfig
    on_change: Callable[[], None] = field(repr=False)
    managers: tuple[ManagerPeer, ...] = ()
    data_path_port: int = 0
    manager_node: ManagerNode | None = None
    #: The reason why the node has not resumed from disk: "locked", "expired" (its certificate), or "" if it has
    #: resumed.
    obstacle: Obstacle = ""
    agent: Agent = field(init=False, repr=False)
    ready: Future[str] = field(init=False, repr=False)
    credentials: Credentials = field(init=False, repr=False)
    _broker: ConnectionBroker = field(init=False, repr=False)
    _tasks: list[Task[Any]] = field(factory=list, init=False, repr=False)
    _role: NodeRole = field(default=NodeRole.WORKER, init=False)
    _role_change: Task[None] | None = field(default=None, init=False, repr=False)
    _is_stopped: bool = field(default=False, init=False)
    _was_removed: bool = field(default=False, init=False)
    _assigned_role: NodeRole = field(default=NodeRole.WORKER, init=False)
    #: The key that encrypts the manager's data on disk while the node is off; b"" on workers and in a swarm without
    #: autolock.
    _lock_key: bytes = field(default=b"", init=False, repr=False)

    def __attrs_post_init__(self) -> None:
        self.ready = Future(self.clock)
        self._broker = ConnectionBroker(
            self.process, self.random, lambda: self.certificate, lambda: self.credentials.root, self._local_client
        )
        connect = self._broker.connect
        self.credentials = Credentials(self.clock, self.random, connect, self._record_error)
        self.agent = Agent(
            self.clock,
            self.random,
            self.executor,
            connect,
            self._on_session_message,
            self.credentials.tls_info,
            self._gate,
        )

    # --- state

    @property
    def certificate(self) -> Certificate | None:
        """The node's certificate; `None` before it has joined."""
        return self.credentials.certificate

    @property
    def id(self) -> str:
        """The node's id; "" before it has joined."""
        return self.certificate.node_id if self.certificate is not None else ""

    @property
    def lock_key(self) -> bytes:
        """The key that encrypts a manager's private key on disk; b"" on workers and in a swarm without autolock."""
        return self._lock_key if self.obstacle or self.manager_node is None else self._cluster_key()

    def _cluster_key(self) -> bytes:
        assert self.manager_node is not None
        clusters = tuple(self.manager_node.store.clusters)
        return clusters[0].unlock_key if clusters else b""

    @property
    def is_manager(self) -> bool:
        """Whether the node currently runs a manager."""
        return self.manager_node is not None

    @property
    def error(self) -> str:
        """The reason why the node has no session with a manager, or ""."""
        return self.agent.error

    def _record_error(self, error: str) -> None:
        self.agent.error = error

    async def call(self, method: str, argument: Any) -> Any:
        """Wait for a session, then call a method of a manager and return its result.

        Raises the method's error, or `RpcError` if there is no session in time or the connection fails.
        """
        try:
            await self.agent.wait_for_session(_CALL_TIMEOUT_S)
        except TimeoutError:
            raise RpcError("context deadline exceeded") from None
        client = await self._broker.connect()
        try:
            return await client.call(method, argument, timeout_s=_CALL_TIMEOUT_S)
        finally:
            if not isinstance(client, LocalClient):
                client.close()

    def _local_client(self) -> LocalClient | None:
        return self.manager_node.client() if self.manager_node is not None else None

    # --- life cycle

    def start(self) -> None:
        """Create or join a swarm."""
        self._spawn(self._create_or_join())

    def restart_after_fork(self) -> None:
        """Reconnect and restart the coroutines in a copy of the lab, which has neither connections nor coroutines."""
        self._tasks = []
        self._role_change = None
        self.credentials.is_rotating = False
        if self.ready.is_done and self.ready.error is None and not self._is_stopped and not self.obstacle:
            if self.manager_node is not None:
                self.manager_node.restart_after_fork()
            self.agent.restart()
            self._spawn(self.credentials.renew_periodically())

    def halt(self) -> None:
        """Stop without cleaning up, as if the machine lost power. `resume` starts the node again."""
        tasks, self._tasks, self._role_change = self._tasks, [], None
        for task in tasks:
            task.cancel()
        self.agent.halt()
        if self.manager_node is not None and not self.obstacle:
            self._lock_key = self.manager_node.store.cluster.unlock_key
            self.manager_node.stop()

    def resume(self) -> None:
        """Start again from the state on disk: the certificate, the known managers, and (for a manager) the Raft log.

        A locked manager waits for `unlock`. A node whose certificate has expired does not start.
        """
        if self.certificate is None:
            self.start()
        elif self._lock_key:
            self.obstacle = "locked"
        elif self.credentials.is_expired():
            self.obstacle = "expired"
        else:
            self._resume_components()

    def unlock(self, key: bytes) -> None:
        """Resume a locked manager with its unlock key.

        Sets `ready` to a new future, which completes when the node has a session. Raises `Unauthorized` for a wrong
        key.
        """
        if not compare_digest(key, self._lock_key):
            raise Unauthorized("swarm could not be unlocked: invalid key provided")
        self.obstacle, self._lock_key = "", b""
        self.ready = Future(self.clock)
        self._resume_components()

    def _resume_components(self) -> None:
        # A role change that was interrupted starts again when a manager sends the node's role.
        self._role = NodeRole.WORKER if self.manager_node is None else NodeRole.MANAGER
        if self.manager_node is not None:
            self.manager_node.start(self.config.listen)
        self.agent.restart()
        self._spawn(self.credentials.renew_periodically())

    def _gate(self) -> Gate:
        return self.process().gate

    def _spawn(self, coroutine: Any) -> None:
        self._tasks = [task for task in self._tasks if not task.is_done]
        self._tasks.append(Task(self.clock, coroutine, self._gate()))

    async def _create_or_join(self) -> None:
        try:
            if self.config.join_address:
                await self._join()
            else:
                self._create_swarm()
        except CnmsimError as error:
            self._fail(error)
            return
        except (OSError, ValueError) as error:
            self._fail(listen_error(self.config.listen, error))
            return
        self.agent.start()
        self._spawn(self.credentials.renew_periodically())

    def _fail(self, error: CnmsimError) -> None:
        self.agent.error = error.message
        if self.manager_node is not None:
            self.manager_node.stop()
            self.manager_node = None
        if not self.ready.is_done:
            self.ready.set_exception(error)
        self.on_change()

    async def stop(self) -> None:
        """Leave the swarm: shut down all tasks and the manager."""
        self._is_stopped = True
        for task in self._tasks:
            task.cancel()
        await self.agent.stop()
        if self.manager_node is not None and not self.obstacle:
            if self.manager_node.raft.is_leading:
                self.manager_node.raft.transfer_leadership()
            self.manager_node.stop()
        self.manager_node = None

    # --- force-new-cluster

    def force_new_cluster(self, listen: str, advertise: str) -> None:
        """Turn this manager and its copy of the store into a cluster of one manager. Sets `ready` to a new future.

        `listen` and `advertise` are the manager's new addresses, as in `NodeConfig`. Raises `OSError` if the port is
        in use. The other managers are no longer members; each of them learns this from the reply to its next Raft
        message (moby/swarmkit `manager/state/raft/raft.go`, ForceNewCluster). This node's tasks are shut down; the
        new cluster creates new ones.
        """
        former = self.manager_node
        assert former is not None
        self.agent.leave()
        self.halt()
        self._lock_key = b""
        self.config = evolve(self.config, listen=listen, advertise=advertise)
        self.ready = Future(self.clock)
        self._make_manager(former.store.copy(), evolve(former.member, address=advertise)).start_as_only_member(
            listen, former
        )
        self.agent.restart()
        self._spawn(self.credentials.renew_periodically())

    # --- creating a swarm

    def _create_swarm(self) -> None:
        config, random = self.config, self.random
        root = RootCa.create(random, self.clock.wall_s)
        self.credentials.root = evolve(root, seed="")
        store = Store(self.clock)
        node_id = bootstrap_cluster(
            store,
            random,
            root,
            config.spec,
            pools=config.pools,
            subnet_size=config.subnet_size,
            data_path_port=config.data_path_port,
            availability=config.availability,
        )
        ca = CaServer(self.clock, random, store)
        self.credentials.certificate = ca.sign(node_id, NodeRole.MANAGER)
        self._role = NodeRole.MANAGER
        self.data_path_port = config.data_path_port
        member = Member(random.getrandbits(63), node_id, config.advertise)
        self._start_manager(store, member, None)

    def _start_manager(self, store: Store, member: Member, response: JoinResponse | None) -> None:
        self._make_manager(store, member).start(self.config.listen, response)
        self.on_change()

    def _make_manager(self, store: Store, member: Member) -> ManagerNode:
        self.manager_node = ManagerNode(
            self.clock,
            self.random,
            self.process,
            self.profile,
            store,
            member,
            self.credentials.require_certificate,
            self._broker,
            self._on_removed_from_raft,
            advertise_host=member.address.rpartition(":")[0].strip("[]"),
        )
        self.manager_node.manager.control.has_plugin = self.executor.has_plugin
        return self.manager_node

    # --- joining a swarm

    async def _join(self) -> None:
        config = self.config
        digest = join_token_digest(config.join_token) if config.join_token else ""
        self._broker.set_managers([config.join_address])
        root = await self.credentials.fetch_root(lambda: self._broker.dial(config.join_address), digest)
        client = await self._broker.dial(config.join_address)
        try:
            request = IssueRequest(config.join_token, config.availability)
            self.credentials.certificate = await client.call("ca.issue", request)
        finally:
            client.close()
        self.credentials.root = root
        if self.credentials.require_certificate().role == MANAGER_ROLE:
            self._role = NodeRole.MANAGER
            await self._join_raft(config.join_address)

    async def _join_raft(self, remote: str = "") -> None:
        client: Client = await (self._broker.dial(remote) if remote else self._broker.connect())
        try:
            advertise = self.config.advertise or f"0.0.0.0:{self.config.listen.rpartition(':')[2]}"
            response = await client.call("raft.join", JoinRequest(advertise), timeout_s=20.0)
        finally:
            client.close()
        assert isinstance(response, JoinResponse)
        self._start_manager(response.store, response.member, response)

    # --- session messages

    def _on_session_message(self, message: SessionMessage) -> None:
        self.managers = message.managers
        self._broker.set_managers([manager.addr for manager in message.managers])
        node = message.node
        if self.credentials.trust_root(message.root_ca):
            self.clock.call_soon(self.agent.close_session)
        if node is not None:
            if node.certificate.state == "rotate" and not self.credentials.is_rotating:
                self._spawn(self._rotate())
            if node.vxlan_udp_port:
                self.data_path_port = node.vxlan_udp_port
            self._assigned_role = node.role
            if node.role is NodeRole.WORKER:
                self._was_removed = False
            # A member that was removed from Raft receives its new role a moment later. Until then, session messages
            # still contain its old role.
            if node.role is not self._role and not self._was_removed:
                self._role = node.role
                self._start_role_change()
        if not self.ready.is_done:
            self.ready.set_result(self.id)
        self.on_change()

    def _start_role_change(self) -> None:
        if self._role_change is None or self._role_change.is_done:
            self._role_change = Task(self.clock, self._apply_role_change(), self._gate())
            self._tasks.append(self._role_change)

    async def _apply_role_change(self) -> None:
        """Obtain a certificate for the new role, then start or stop the manager."""
        while not self._is_stopped:
            role = self._role
            try:
                if self.credentials.require_certificate().is_manager is not (role is NodeRole.MANAGER):
                    await self.credentials.renew()
                if role is NodeRole.MANAGER and self.manager_node is None:
                    await self._join_raft()
                elif role is NodeRole.WORKER and self.manager_node is not None:
                    self._stop_manager()
            except CnmsimError as error:
                self.agent.error = error.message
                await sleep(self.clock, _ROLE_RETRY_S)
                continue
            if role is self._role:
                self.agent.close_session()
                self.on_change()
                return

    def _on_removed_from_raft(self) -> None:
        """Stop the manager, because another manager replied that this one is no longer a member of the Raft group."""
        self.clock.call_soon(self._stop_manager)

    def _stop_manager(self) -> None:
        manager_node, self.manager_node = self.manager_node, None
        if manager_node is None:
            return
        own_id = manager_node.member.raft_id
        others = [member.address for member in manager_node.members() if member.raft_id != own_id]
        if others:
            self._broker.set_managers(others)
        manager_node.stop()
        self._role, self._was_removed = NodeRole.WORKER, True
        self._start_role_change()
        self.clock.call_later(2 * _ROLE_CHANGE_TIMEOUT_S, self._rejoin)
        self.on_change()

    def _rejoin(self) -> None:
        """Join Raft again after a removal from Raft, if the role assigned to this node is still manager.

        In this case another manager has removed the node by force-new-cluster. A demotion would have changed the role
        to worker.
        """
        if (
            self._was_removed
            and not self._is_stopped
            and not self.obstacle
            and self._assigned_role is NodeRole.MANAGER
        ):
            self._was_removed, self._role = False, NodeRole.MANAGER
            self._start_role_change()

    # --- certificate

    async def renew_certificate(self) -> Certificate:
        """Request a new certificate at once and return it. Raises an `EngineError` if the request fails."""
        await self.credentials.renew()
        return self.credentials.require_certificate()

    async def _rotate(self) -> None:
        await self.credentials.rotate()
        self.agent.close_session()
