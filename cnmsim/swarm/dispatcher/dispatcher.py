"""The leader's dispatcher: registers nodes, sends them their assignments, and receives their status reports.

Assignments are sent a tenth of a second after the last change of a node's tasks. A node that misses three heartbeats
is marked down; after a day its tasks are orphaned. Source: moby/swarmkit `manager/dispatcher/dispatcher.go`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from random import Random
from typing import TypeVar

from attrs import define, evolve, field

from cnmsim.kernel.clock import Timer
from cnmsim.swarm.dispatcher.assignments import AssignmentSet
from cnmsim.swarm.dispatcher.messages import AssignmentsMessage, ManagerPeer, SessionMessage
from cnmsim.swarm.dispatcher.sessions import Session, Sessions, Stream
from cnmsim.swarm.dispatcher.status_updates import NodeUpdate, StatusUpdates
from cnmsim.swarm.errors import NodeNotRegistered, RpcAborted, RpcPermissionDenied, RpcUnknown, SwarmError
from cnmsim.swarm.objects import Cluster, Node, NodeDescription, NodeState, Task, TaskState, TaskStatus
from cnmsim.swarm.store import Event, EventKind, Store, Watch

_BATCH_S = 0.1
_BATCH_LIMIT = 100
_ORPHAN_S = 24 * 3600.0
_UNKNOWN_MESSAGE = 'Node moved to "unknown" state due to leadership change in cluster'

OnClosed = Callable[[SwarmError], None]


@define(eq=False)
class _AssignmentStream:
    """The stream by which the dispatcher sends assignments to one node: all of them at first, then the changes.

    `timer` expires when the next message is due (`None`: no message is due); `modifications` counts the changes that
    the message will contain.
    """

    node_id: str
    set: AssignmentSet
    stream: Stream
    send: Callable[[AssignmentsMessage], None]
    sequence: int = 0
    modifications: int = 0
    timer: Timer | None = None

    def cancel(self) -> None:
        """Cancel the timer of the message that would be sent next."""
        if self.timer is not None:
            self.timer.cancel()


@define(eq=False)
class _SessionStream:
    """The stream by which the dispatcher sends session messages (the state of the cluster) to one node.

    Its first message is delayed until the node's registration is written to the store.
    """

    session: Session
    stream: Stream
    send: Callable[[SessionMessage], None]
    is_waiting: bool

    def cancel(self) -> None:
        """Do nothing: no message of this stream is ever waiting for a timer."""


_Opened = TypeVar("_Opened", _AssignmentStream, _SessionStream)


@define(eq=False)
class Dispatcher:
    """The dispatcher of the leader.

    `manager_id`, the leader's node id, is recorded in each task status as `applied_by`.
    """

    store: Store
    random: Random
    new_id: Callable[[], str]
    manager_id: str = ""
    _sessions: Sessions = field(init=False)
    _status_updates: StatusUpdates = field(init=False)
    _is_running: bool = field(default=False, init=False)
    _watch: Watch | None = field(default=None, init=False)
    _down_nodes: dict[str, Timer] = field(factory=dict, init=False)
    _assignment_streams: dict[str, _AssignmentStream] = field(factory=dict, init=False)
    _session_streams: dict[str, _SessionStream] = field(factory=dict, init=False)
    _managers: tuple[ManagerPeer, ...] | None = field(default=None, init=False)

    def __attrs_post_init__(self) -> None:
        self._sessions = Sessions(self.store, self.random, self.new_id)
        self._status_updates = StatusUpdates(self.store, self.manager_id, self._on_node_written)

    # ---- leading

    def start(self) -> None:
        """Start to serve agents. Every node that is not DOWN gets the state UNKNOWN until it registers."""
        self._is_running = True
        self._status_updates.start()
        unknown: list[Node] = []
        for node in self.store.nodes:
            if node.status.state is NodeState.DOWN:
                self._mark_down_since(node.id)
                continue
            self._sessions.add_unknown(
                node.id, self._expiry_callback(node.id, 'heartbeat failure for node in "unknown" state')
            )
            unknown.append(node)
        if unknown:
            self.store.update(lambda tx: [tx.replace(_with_unknown_state(node)) for node in unknown])
        self._watch = self.store.watch(self._on_changes, Task, Node, Cluster)

    def stop(self) -> None:
        """End all sessions; the agents then open new ones with the new leader."""
        if not self._is_running:
            return
        self._is_running = False
        if self._watch is not None:
            self._watch.cancel()
        self._status_updates.stop()
        for timer in self._down_nodes.values():
            timer.cancel()
        self._down_nodes.clear()
        self._sessions.clear(RpcAborted("node must disconnect"))

    def set_managers(self, managers: Iterable[ManagerPeer]) -> None:
        """Set the list of managers and send it to all agents.

        Until the first call, the list is taken from the nodes in the store.
        """
        self._managers = tuple(managers)
        self._notify_all_sessions()

    @property
    def managers(self) -> tuple[ManagerPeer, ...]:
        """The managers to which agents can connect, as sent in session messages."""
        if self._managers is not None:
            return self._managers
        return tuple(
            ManagerPeer(node.id, node.manager_status.addr)
            for node in self.store.nodes
            if node.manager_status is not None
        )

    def _check_running(self) -> None:
        if not self._is_running:
            raise RpcAborted("dispatcher is stopped")

    # ---- methods called by agents

    def register(self, node_id: str, description: NodeDescription, address: str) -> str:
        """Begin a session for a node whose agent calls from `address` (without port), and mark the node ready.

        `description` is stored in the node object. Return the session's id. Raises `RpcAborted` on a manager that is
        not the leader, `RpcUnknown` if the node is not a member, and `RpcUnavailable` if the node registers too
        often.
        """
        self._check_running()
        if node_id not in self.store.nodes:
            raise RpcUnknown("node not found")
        session = self._sessions.add(node_id, self._expiry_callback(node_id, "heartbeat failure"))
        timer = self._down_nodes.pop(node_id, None)
        if timer is not None:
            timer.cancel()
        self._status_updates.add_node(node_id, NodeUpdate(NodeState.READY, "", address, description))
        return session.id

    def heartbeat(self, node_id: str, session_id: str) -> float:
        """Record a heartbeat of a node in its session `session_id`. Return the seconds until the next one is due.

        Raises `RpcAborted` on a manager that is not the leader, `NodeNotRegistered` if the node has no session, or
        `InvalidSession` if its session has another id.
        """
        self._check_running()
        return self._sessions.heartbeat(node_id, session_id, self._expiry_callback(node_id, "heartbeat failure"))

    def open_session(
        self,
        node_id: str,
        session_id: str,
        on_message: Callable[[SessionMessage], None],
        on_closed: OnClosed | None = None,
    ) -> Stream:
        """Open the session stream of a node and return it.

        `on_message` is called with a message once the node is marked ready, and after every change of the cluster's
        state. `on_closed` is called when the stream ends. Raises the same errors as `heartbeat`.
        """
        self._check_running()
        session = self._sessions.get(node_id, session_id)
        entry = _SessionStream(
            session, Stream(on_message, on_closed), on_message, is_waiting=self._status_updates.has_node(node_id)
        )
        self._attach_stream(session, entry.stream, self._session_streams, entry)
        if not entry.is_waiting:
            self._send_session_message(entry)
        return entry.stream

    def open_assignments(
        self,
        node_id: str,
        session_id: str,
        on_message: Callable[[AssignmentsMessage], None],
        on_closed: OnClosed | None = None,
    ) -> Stream:
        """Open the assignment stream of a node and return it.

        `on_message` is called at once with all assignments, later with each change. `on_closed` is called when the
        stream ends. Raises the same errors as `heartbeat`.
        """
        self._check_running()
        session = self._sessions.get(node_id, session_id)
        assignments = _AssignmentStream(node_id, AssignmentSet(self.store), Stream(on_message, on_closed), on_message)
        for task in self.store.tasks.by_node(node_id):
            assignments.set.put(task)
        self._attach_stream(session, assignments.stream, self._assignment_streams, assignments)
        self._send_assignments(assignments, is_complete=True)
        return assignments.stream

    def update_task_status(self, node_id: str, session_id: str, updates: Sequence[tuple[str, TaskStatus]]) -> None:
        """Record the status reports of a node for its tasks; `updates` are pairs of task id and status.

        Raises the same errors as `heartbeat`, and `RpcPermissionDenied` for a task of another node.
        """
        self._check_running()
        self._sessions.get(node_id, session_id)
        known = [(task, status) for task_id, status in updates if (task := self.store.tasks.get(task_id)) is not None]
        if any(task.node_id != node_id for task, _ in known):
            raise RpcPermissionDenied("cannot update a task not assigned this node")
        if known:
            self._status_updates.add_tasks((task.id, status) for task, status in known)

    def close_streams(self, node_id: str, session_id: str) -> None:
        """Close the streams of a session whose connection broke.

        The node is marked down only when its heartbeat timer expires.
        """
        session = self._sessions.find(node_id)
        if session is not None and session.id == session_id:
            for stream in list(session.streams):
                stream.close()

    @staticmethod
    def _attach_stream(session: Session, stream: Stream, streams: dict[str, _Opened], entry: _Opened) -> None:
        """Add an open stream to its session, and put `entry`, the dispatcher's record of it, into `streams`.

        `streams` is the table of all streams of the same kind, by node. An earlier stream of the node in it is
        replaced.
        """

        def end() -> None:
            if stream in session.streams:
                session.streams.remove(stream)
            if streams.get(session.node_id) is entry:
                del streams[session.node_id]
            entry.cancel()

        stream.on_end = end
        session.streams.append(stream)
        streams[session.node_id] = entry

    # ---- nodes that are down

    def _expiry_callback(self, node_id: str, message: str) -> Callable[[], None]:
        return lambda: self._mark_down(node_id, message)

    def _mark_down(self, node_id: str, message: str) -> None:
        if node_id in self.store.nodes:
            self._mark_down_since(node_id)
            self._status_updates.add_node_down(node_id, message)
        self._sessions.remove(node_id)

    def _mark_down_since(self, node_id: str) -> None:
        old = self._down_nodes.get(node_id)
        if old is not None:
            old.cancel()
        self._down_nodes[node_id] = self.store.call_later(_ORPHAN_S, self._orphan_tasks, node_id)

    def _orphan_tasks(self, node_id: str) -> None:
        self._down_nodes.pop(node_id, None)
        orphans = [
            evolve(task, status=evolve(task.status, state=TaskState.ORPHANED))
            for task in self.store.tasks.by_node(node_id)
            if TaskState.ASSIGNED <= task.state <= TaskState.RUNNING
        ]
        if orphans:
            self.store.update(lambda tx: [tx.replace(task) for task in orphans])

    # ---- messages to agents

    def _on_changes(self, events: Sequence[Event]) -> None:
        managers_changed = False
        for event in events:
            match event.object:
                case Task():
                    self._on_task(event)
                case Node():
                    managers_changed |= self._on_node(event)
                case Cluster():
                    managers_changed |= (
                        event.old is None
                        or event.object.network_bootstrap_keys != event.old.network_bootstrap_keys
                        or event.object.root_ca.digest != event.old.root_ca.digest
                    )
        if managers_changed:
            self._notify_all_sessions()

    def _on_node(self, event: Event) -> bool:
        """Process a change of a node. Return True if the list of managers has changed as a result."""
        node: Node = event.object
        if event.kind is EventKind.DELETE:
            self._sessions.remove(node.id)
            timer = self._down_nodes.pop(node.id, None)
            if timer is not None:
                timer.cancel()
        elif event.kind is EventKind.UPDATE:
            session = self._session_streams.get(node.id)
            if session is not None and not session.is_waiting:
                self._send_session_message(session)
        if self._managers is not None:
            return False
        old_addr = event.old.manager_status.addr if event.old is not None and event.old.manager_status else ""
        new_addr = node.manager_status.addr if node.manager_status and event.kind is not EventKind.DELETE else ""
        return old_addr != new_addr

    def _on_task(self, event: Event) -> None:
        task: Task = event.object
        assignments = self._assignment_streams.get(task.node_id)
        if assignments is None or event.kind is EventKind.CREATE:
            return
        is_modified = assignments.set.remove(task) if event.kind is EventKind.DELETE else assignments.set.put(task)
        if not is_modified:
            return
        assignments.modifications += 1
        if assignments.timer is not None:
            assignments.timer.cancel()
        if assignments.modifications >= _BATCH_LIMIT:
            self._send_assignments(assignments)
        else:
            assignments.timer = self.store.call_later(_BATCH_S, self._send_assignments, assignments)

    def _send_assignments(self, assignments: _AssignmentStream, *, is_complete: bool = False) -> None:
        assignments.modifications = 0
        assignments.timer = None
        applies_to = str(assignments.sequence) if assignments.sequence else ""
        assignments.sequence += 1
        assignments.send(
            AssignmentsMessage(
                "complete" if is_complete else "incremental",
                applies_to,
                str(assignments.sequence),
                assignments.set.take_changes(),
            )
        )

    def _on_node_written(self, node_id: str) -> None:
        session = self._session_streams.get(node_id)
        if session is not None and session.is_waiting:
            session.is_waiting = False
            self._send_session_message(session)

    def _notify_all_sessions(self) -> None:
        for session in list(self._session_streams.values()):
            if not session.is_waiting:
                self._send_session_message(session)

    def _send_session_message(self, stream: _SessionStream) -> None:
        node = self.store.nodes.get(stream.session.node_id)
        if node is None:
            stream.stream.fail(NodeNotRegistered())
            return
        cluster = self.store.cluster
        stream.send(
            SessionMessage(stream.session.id, node, self.managers, cluster.network_bootstrap_keys, cluster.root_ca)
        )


def _with_unknown_state(node: Node) -> Node:
    return evolve(node, status=evolve(node.status, state=NodeState.UNKNOWN, message=_UNKNOWN_MESSAGE))
