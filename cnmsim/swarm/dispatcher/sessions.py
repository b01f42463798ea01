"""Registered nodes, their sessions and heartbeat timers (moby/swarmkit `dispatcher/{nodes,period}.go`)."""

from __future__ import annotations

from collections.abc import Callable
from random import Random

from attrs import define, field

from cnmsim.kernel.clock import NS_PER_S, Timer
from cnmsim.swarm.dispatcher.messages import AssignmentsMessage, SessionMessage
from cnmsim.swarm.errors import InvalidSession, NodeNotRegistered, RpcUnavailable, SwarmError
from cnmsim.swarm.store import Store

_DEFAULT_PERIOD_S = 5.0
_EPSILON_S = 0.5
_GRACE = 3
_RATE_LIMIT_NS = 8 * NS_PER_S
_RATE_LIMIT_COUNT = 3


@define(eq=False)
class Stream:
    """One of the two streams of a session, at the dispatcher's end.

    `on_message` sends a message to the agent. When the stream ends, `on_closed` is called with the error, if there
    was one, and `on_end` in any case.
    """

    on_message: Callable[[SessionMessage], None] | Callable[[AssignmentsMessage], None]
    on_closed: Callable[[SwarmError], None] | None
    is_open: bool = True
    #: Called when the stream ends.
    on_end: Callable[[], None] | None = None

    def close(self) -> None:
        """End the stream without an error. The node's heartbeat timer keeps running."""
        if self.is_open:
            self.is_open = False
            if self.on_end is not None:
                self.on_end()

    def fail(self, error: SwarmError) -> None:
        """End the stream with an error, which the agent receives."""
        if self.is_open:
            self.close()
            if self.on_closed is not None:
                self.on_closed(error)


@define(eq=False)
class Session:
    """The session of a registered node.

    `id` is "" for a node in state UNKNOWN, i.e. a node that has not registered with this leader yet. `registered_ns`
    is the time of the last registration, `attempts` counts registrations in quick succession.
    """

    node_id: str
    id: str
    timer: Timer
    registered_ns: int
    attempts: int = 0
    streams: list[Stream] = field(factory=list)


class Sessions:
    """The sessions of all registered nodes."""

    def __init__(self, store: Store, random: Random, new_id: Callable[[], str]) -> None:
        self._store = store
        self._random = random
        self._new_id = new_id
        self._sessions: dict[str, Session] = {}
        self._base_s = _DEFAULT_PERIOD_S

    def _period_s(self) -> float:
        # If the cluster's spec does not set the heartbeat period, the last one that it did set stays in force.
        self._base_s = self._store.cluster.spec.heartbeat_period_ns / NS_PER_S or self._base_s
        return self._base_s + self._random.uniform(-_EPSILON_S, _EPSILON_S)

    def add_unknown(self, node_id: str, on_expired: Callable[[], None]) -> None:
        """Start a timer for a node that was registered with the former leader but has not yet registered here.

        `on_expired` is called if the node does not register within twice the time after which missing heartbeats
        count as a failure.
        """
        timer = self._store.call_later(self._period_s() * _GRACE * 2, on_expired)
        self._sessions[node_id] = Session(node_id, "", timer, 0)

    def add(self, node_id: str, on_expired: Callable[[], None]) -> Session:
        """Begin a session for a node, and end the node's earlier one.

        `on_expired` is called when the node's heartbeats fail to arrive. Raises `RpcUnavailable` if the node
        registers too often.
        """
        now = self._store.clock.now_ns
        old = self._sessions.get(node_id)
        attempts, registered_ns = 0, now
        if old is not None:
            attempts = old.attempts + 1 if now - old.registered_ns <= _RATE_LIMIT_NS else 1
            old.attempts = attempts
            if attempts > _RATE_LIMIT_COUNT:
                raise RpcUnavailable(f"node {node_id} exceeded rate limit count of registrations")
            self._end(old)
        timer = self._store.call_later(self._period_s() * _GRACE, on_expired)
        session = Session(node_id, self._new_id(), timer, registered_ns, attempts)
        self._sessions[node_id] = session
        return session

    def get(self, node_id: str, session_id: str) -> Session:
        """Return the node's session if its id is `session_id`.

        Raises `NodeNotRegistered` if the node has no session, `InvalidSession` if its session has another id.
        """
        session = self._sessions.get(node_id)
        if session is None:
            raise NodeNotRegistered
        if not session_id or session.id != session_id:
            raise InvalidSession
        return session

    def find(self, node_id: str) -> Session | None:
        """Return a node's session, or `None` if it has none."""
        return self._sessions.get(node_id)

    def heartbeat(self, node_id: str, session_id: str, on_expired: Callable[[], None]) -> float:
        """Restart a node's heartbeat timer. Return the seconds until the next heartbeat is due.

        `on_expired` is called when the timer expires. Raises the same errors as `get`.
        """
        session = self.get(node_id, session_id)
        period = self._period_s()
        session.timer.cancel()
        session.timer = self._store.call_later(period * _GRACE, on_expired)
        return period

    def remove(self, node_id: str) -> None:
        """End a node's session, if it has one. Its streams fail with `NodeNotRegistered`."""
        session = self._sessions.pop(node_id, None)
        if session is not None:
            self._end(session)

    @staticmethod
    def _end(session: Session) -> None:
        session.timer.cancel()
        for stream in list(session.streams):
            stream.fail(NodeNotRegistered())

    def clear(self, error: SwarmError) -> None:
        """End all sessions. Their streams fail with `error`."""
        sessions, self._sessions = self._sessions, {}
        for session in sessions.values():
            session.timer.cancel()
            for stream in list(session.streams):
                stream.fail(error)
