"""The manager role of a node: its RPC server, its Raft member, and the subsystems that run while it leads.

A follower forwards the calls of agents and clients to the leader. Source: moby/swarmkit `manager/manager.go`,
`manager/state/raft/raft.go`, and the generated `RaftProxy` servers of `api/*.pb.go` (vendored by moby
docker-v29.7.2).
"""

from __future__ import annotations

from collections.abc import Callable, Coroutine
from random import Random
from typing import Any

from attrs import define, evolve, field, frozen

from cnmsim.errors import CnmsimError
from cnmsim.kernel.address import join_host_port
from cnmsim.kernel.clock import Clock
from cnmsim.kernel.process import Process
from cnmsim.libnetwork.profile import Profile
from cnmsim.swarm.ca.certificates import MANAGER_ROLE, WORKER_ROLE, Certificate, RootCa
from cnmsim.swarm.ca.root_rotation import RootRotationReconciler
from cnmsim.swarm.ca.server import CaServer
from cnmsim.swarm.connection_broker import ConnectionBroker
from cnmsim.swarm.dispatcher.messages import ManagerPeer
from cnmsim.swarm.errors import NotLeader, RpcFailedPrecondition, RpcNotFound, RpcUnavailable, RpcUnknown
from cnmsim.swarm.manager.logbroker import LogBroker
from cnmsim.swarm.manager.manager import Manager
from cnmsim.swarm.manager.rolemanager import RoleManager
from cnmsim.swarm.raft import Heartbeat, Member, Membership, Raft, Reply, TimeoutNow, VoteRequest
from cnmsim.swarm.rpc import Client, LocalClient, Peer, RpcError, RpcServer, RpcService, ServerStream, split_host_port
from cnmsim.swarm.store import Store

_RAFT_TIMEOUT_S = 2.0
_FORWARD_TIMEOUT_S = 20.0
NO_LEADER = (
    "The swarm does not have a leader. It's possible that too few managers are online. Make sure more than half of"
    " the managers are online."
)
_ANY_NODE = frozenset({WORKER_ROLE, MANAGER_ROLE})
_MANAGERS = frozenset({MANAGER_ROLE})


@frozen
class ForwardedCall:
    """A call that a follower forwards to the leader, together with the identity of the original caller."""

    peer: Peer
    method: str
    argument: Any


@frozen
class ControlCall:
    """A call of a control API operation by name."""

    name: str
    arguments: tuple[Any, ...] = ()
    options: tuple[tuple[str, Any], ...] = ()


@frozen
class JoinRequest:
    """A request to join the Raft group. `address` is the host and port of the new member's RPC server."""

    address: str


@frozen(eq=False)
class JoinResponse:
    """The response to a new Raft member: the entry of that member, all members, the log (a store), and the term.

    `removed_ids` are the Raft ids of the members that force-new-cluster removed.
    """

    member: Member
    membership: Membership
    store: Store
    term: int
    removed_ids: frozenset[int] = frozenset()


@define(eq=False)
class ManagerNode:
    """The manager role of one node.

    `certificate` returns the node's certificate; `process` returns the process that owns the sockets. `on_removed` is
    called when the member has been removed from Raft.
    """

    clock: Clock = field(repr=False)
    random: Random = field(repr=False)
    process: Callable[[], Process] = field(repr=False)
    profile: Profile = field(repr=False)
    store: Store = field(repr=False)
    member: Member
    certificate: Callable[[], Certificate] = field(repr=False)
    broker: ConnectionBroker = field(repr=False)
    on_removed: Callable[[], None] = field(repr=False)
    advertise_host: str = ""
    manager: Manager = field(init=False, repr=False)
    raft: Raft = field(init=False, repr=False)
    service: RpcService = field(init=False, repr=False)
    ca: CaServer = field(init=False, repr=False)
    logs: LogBroker = field(init=False, repr=False)
    _server: RpcServer = field(init=False, repr=False)
    _roles: RoleManager = field(init=False, repr=False)
    _rotation: RootRotationReconciler = field(init=False, repr=False)
    _clients: dict[str, Client] = field(factory=dict, init=False, repr=False)
    _local: LocalClient | None = field(default=None, init=False, repr=False)
    _leader_streams: list[ServerStream] = field(factory=list, init=False, repr=False)
    #: Raft ids of the members that force-new-cluster removed. If such a member sends a message, it receives an error
    #: that says so.
    _removed_ids: frozenset[int] = field(default=frozenset(), init=False, repr=False)

    def __attrs_post_init__(self) -> None:
        self.manager = Manager(self.clock, self.random, self.store, self.profile, self.member.node_id)
        self.manager.control.raft = self
        self.raft = Raft(
            self.clock,
            self.random,
            self.member,
            Membership((self.member,)),
            self._send_raft_message,
            lambda: self.store.index,
            self._become_leader,
            self._become_follower,
            self.on_removed,
            lambda: self.process().gate,
        )
        self.ca = CaServer(self.clock, self.random, self.store)
        self._roles = RoleManager(self.store, self.raft, self.remove_member)
        self.logs = LogBroker(self.store, self.random)
        self.service = self._make_service()
        self._rotation = RootRotationReconciler(self.store, self.random)
        self._server = RpcServer(self.process(), self.service, self.certificate, lambda: self.ca.root)

    # --- life cycle

    def start(self, listen_address: str, response: JoinResponse | None = None) -> None:
        """Listen at `listen_address` and start Raft. Raises `OSError` if the port is in use.

        `response` is the leader's response if the node joins an existing group; `None` for the first member.
        """
        self._server.listen(listen_address)
        if response is not None:
            self.raft.membership = response.membership
            self.raft.term = response.term
            self.raft.applied = self.store.index
            self._removed_ids = response.removed_ids
        self.raft.start()

    def start_as_only_member(self, listen_address: str, former: ManagerNode) -> None:
        """Start as the only remaining member of a cluster (force-new-cluster).

        `former` is the `ManagerNode` that this one replaces; all other members of its Raft group count as removed.
        Raises `OSError` if the port is in use.
        """
        others = {member.raft_id for member in former.members()} - {self.member.raft_id}
        self._removed_ids = former._removed_ids | others
        self.raft.term = former.raft.term
        self.raft.membership = evolve(self.raft.membership, version=former.raft.membership.version + 1)
        self.start(listen_address)

    def stop(self) -> None:
        """Stop Raft, and close the server and all connections."""
        self.raft.stop()
        self._server.close()
        for client in self._clients.values():
            client.close()
        self._clients.clear()
        if self._local is not None:
            self._local.close()
            self._local = None

    def restart_after_fork(self) -> None:
        """Listen again in a copy of the lab, where no connection exists any more."""
        clients, self._clients = self._clients, {}
        for client in clients.values():
            client.close()
        self._server.restart_after_fork()

    def client(self) -> LocalClient:
        """Return the client for calls from this node to its own manager."""
        if self._local is None or not self._local.is_open:
            self._local = LocalClient(self.clock, self.service, Peer(self.certificate(), self.advertise_host))
        return self._local

    def _become_leader(self) -> None:
        self.store.propose = self._propose
        self.manager.become_leader()
        self._members_changed()
        self._roles.start()
        self._rotation.start()

    def _propose(self, _changes: object) -> None:
        if not self.raft.has_quorum():
            raise NotLeader

    def _become_follower(self) -> None:
        self._rotation.stop()
        self._roles.stop()
        self.manager.become_follower()
        streams, self._leader_streams = self._leader_streams, []
        for stream in streams:
            stream.end(RpcError("rpc error: code = Unavailable desc = the manager is no longer the leader"))

    # --- RPC service

    def _make_service(self) -> RpcService:
        dispatcher = self.manager.dispatcher
        leader_methods: dict[str, Callable[[Peer, Any], Any]] = {
            "ca.issue": self.ca.issue,
            "dispatcher.heartbeat": lambda peer, session: dispatcher.heartbeat(peer.node_id, session),
            "dispatcher.update_task_status": lambda peer, argument: dispatcher.update_task_status(
                peer.node_id, argument[0], argument[1]
            ),
            "resource.attach": lambda peer, argument: self.manager.control.attach_network(
                peer.node_id, argument[1], argument[0], argument[2]
            ),
            "resource.detach": lambda peer, task_id: self.manager.control.detach_network(peer.node_id, task_id),
            "control": self._handle_control,
            "raft.join": self._handle_join,
        }
        leader_methods["logs.publish"] = self.logs.publish
        service = RpcService()
        for method, handler in leader_methods.items():
            service.unary[method] = self._leader_method(method, handler)
            service.roles[method] = _ANY_NODE
        for method, stream in (
            ("dispatcher.session", self._session),
            ("dispatcher.assignments", self._assignments),
            ("logs.listen", self.logs.listen),
            ("logs.subscribe", self.logs.subscribe),
        ):
            service.streams[method] = self._leader_stream(method, stream)
            service.roles[method] = _ANY_NODE
        service.roles.pop("ca.issue")
        service.unary["ca.root"] = self._root_certificate
        service.unary["raft.message"] = self._handle_raft_message
        service.unary["forward"] = self._handle_forwarded
        service.streams["forward"] = self._handle_forwarded_stream
        for method in ("raft.message", "raft.join", "forward", "control", "logs.subscribe"):
            service.roles[method] = _MANAGERS
        return service

    def _leader_method(
        self, method: str, handler: Callable[[Peer, Any], Any]
    ) -> Callable[[Peer, Any], Coroutine[Any, Any, Any]]:
        async def answer(peer: Peer, argument: Any) -> Any:
            if self.raft.is_leading:
                return handler(peer, argument)
            client = await self._leader_client()
            return await client.call("forward", ForwardedCall(peer, method, argument), timeout_s=_FORWARD_TIMEOUT_S)

        return answer

    def _leader_stream(
        self, method: str, handler: Callable[[Peer, Any, ServerStream], None]
    ) -> Callable[[Peer, Any, ServerStream], None]:
        def answer(peer: Peer, argument: Any, stream: ServerStream) -> None:
            if self.raft.is_leading:
                self._leader_streams = [open_stream for open_stream in self._leader_streams if open_stream.is_open]
                self._leader_streams.append(stream)
                handler(peer, argument, stream)
            else:
                self.process().task(self._relay(ForwardedCall(peer, method, argument), stream))

        return answer

    async def _relay(self, call: ForwardedCall, stream: ServerStream) -> None:
        try:
            client = await self._leader_client()
            relayed = client.stream("forward", call, stream.push)
        except CnmsimError as error:
            stream.end(error)
            return
        stream.on_close = relayed.close
        stream.end(await relayed.ended)

    async def _handle_forwarded(self, _peer: Peer, call: ForwardedCall) -> Any:
        if not self.raft.is_leading:
            raise RpcUnavailable(NO_LEADER)
        return await self.service.unary[call.method](call.peer, call.argument)

    def _handle_forwarded_stream(self, _peer: Peer, call: ForwardedCall, stream: ServerStream) -> None:
        if not self.raft.is_leading:
            raise RpcUnavailable(NO_LEADER)
        self.service.streams[call.method](call.peer, call.argument, stream)

    async def _leader_client(self) -> Client:
        leader = self.raft.leader
        if leader is None:
            raise RpcUnknown(NO_LEADER)
        if leader.raft_id == self.member.raft_id:
            return self.client()
        return await self._client_of(leader.address)

    async def _client_of(self, address: str) -> Client:
        client = self._clients.get(address)
        if client is None or not client.is_open:
            client = self._clients[address] = await self.broker.dial(address)
        return client

    async def _root_certificate(self, _peer: Peer, _argument: Any) -> RootCa:
        return evolve(self.ca.root, seed="")

    # --- agents

    def _session(self, peer: Peer, description: Any, stream: ServerStream) -> None:
        dispatcher, node_id = self.manager.dispatcher, peer.node_id
        session_id = dispatcher.register(node_id, description, peer.address)
        dispatcher.open_session(node_id, session_id, stream.push, stream.end)
        stream.on_close = lambda: dispatcher.close_streams(node_id, session_id)

    def _assignments(self, peer: Peer, session_id: str, stream: ServerStream) -> None:
        self.manager.dispatcher.open_assignments(peer.node_id, session_id, stream.push, stream.end)

    # --- the control API

    def _handle_control(self, _peer: Peer, call: ControlCall) -> Any:
        self.require_quorum()
        return getattr(self.manager.control, call.name)(*call.arguments, **dict(call.options))

    async def control(self, name: str, *arguments: Any, **options: Any) -> Any:
        """Call the operation `name` of the control API, on this manager or, by a forwarded call, on the leader.

        Return the operation's result or raise its error.
        """
        call = ControlCall(name, arguments, tuple(options.items()))
        return await self.service.unary["control"](Peer(self.certificate(), self.advertise_host), call)

    def require_quorum(self) -> None:
        """Raise `RpcUnknown` unless this manager is the leader and has a quorum."""
        if not self.raft.has_quorum():
            raise RpcUnknown(NO_LEADER)

    # --- Raft

    async def _send_raft_message(self, member: Member, message: object) -> Reply:
        client = await self._client_of(member.address)
        try:
            reply = await client.call("raft.message", message, timeout_s=_RAFT_TIMEOUT_S)
        except RpcNotFound:
            self.on_removed()
            raise
        assert isinstance(reply, Reply)
        return reply

    async def _handle_raft_message(self, _peer: Peer, message: Heartbeat | VoteRequest | TimeoutNow) -> Reply:
        sender = message.leader if isinstance(message, Heartbeat) else getattr(message, "candidate", None)
        if sender in self._removed_ids:
            raise RpcNotFound("raft: member was removed")
        if isinstance(message, Heartbeat):
            return self.raft.on_heartbeat(message)
        if isinstance(message, TimeoutNow):
            return self.raft.on_timeout_now(message)
        return self.raft.on_vote_request(message)

    def _handle_join(self, peer: Peer, request: JoinRequest) -> JoinResponse:
        self.require_quorum()
        node_id = peer.node_id
        host, port = split_host_port(request.address)
        address = request.address if any(host) else join_host_port(peer.address, port)
        present = next((member for member in self.raft.membership.members if member.node_id == node_id), None)
        member = (
            evolve(present, address=address) if present else Member(self.random.getrandbits(63), node_id, address)
        )
        self.raft.set_membership(self.raft.membership.with_member(member))
        self._members_changed()
        return JoinResponse(member, self.raft.membership, self.store, self.raft.term, self._removed_ids)

    # --- view of Raft for the control API

    def members(self) -> tuple[Member, ...]:
        """Return the members of the Raft group."""
        return self.raft.membership.members

    def is_leader(self, member: Member) -> bool:
        """Return True if `member` is the leader."""
        return self.raft.leader_id == member.raft_id

    def is_reachable(self, member: Member) -> bool:
        """Return True if `member` has recently replied to this manager, which must be the leader."""
        return self.raft.is_reachable(member.raft_id)

    def check_removal(self, node_id: str) -> None:
        """Raise `RpcFailedPrecondition` if removing a node would leave no manager or no quorum."""
        member = next((member for member in self.members() if member.node_id == node_id), None)
        if member is None:
            return
        if len(self.members()) == 1:
            raise RpcFailedPrecondition("attempting to demote the last manager of the swarm")
        if not self.raft.can_remove(member.raft_id):
            raise RpcFailedPrecondition("can't remove member from the raft: this would result in a loss of quorum")

    def remove_member(self, node_id: str) -> None:
        """Remove a node from the Raft members, and inform the node. Raises the same error as `check_removal`."""
        self.check_removal(node_id)
        for member in self.members():
            if member.node_id == node_id:
                # Later heartbeats go to the remaining members only, so this one is sent separately.
                membership = self.raft.membership.without(member.raft_id)
                message = Heartbeat(self.raft.term, self.member.raft_id, self.store.index, membership)
                self.process().task(self._notify_removed(member, message))
                self.raft.set_membership(membership)
                self._members_changed()

    def _members_changed(self) -> None:
        self.raft.send_heartbeats()
        self.manager.dispatcher.set_managers(ManagerPeer(member.node_id, member.address) for member in self.members())

    async def _notify_removed(self, member: Member, message: Heartbeat) -> None:
        if member.raft_id == self.member.raft_id:
            return
        try:
            await self._send_raft_message(member, message)
        except CnmsimError:
            return  # the member is unreachable; when it sends its next message, the reply says that it was removed
