"""Service logs.

A client subscribes with the log broker on the leader, and agents send the log lines of their tasks to it.

Source: moby/swarmkit `manager/logbroker/{broker,subscription}.go`, `agent/session.go` (vendored by moby
docker-v29.7.2).
"""

from __future__ import annotations

from collections.abc import Sequence
from random import Random

from attrs import define, field, frozen

from cnmsim.swarm.errors import RpcInvalidArgument
from cnmsim.swarm.identity import new_id
from cnmsim.swarm.objects import Task, TaskState
from cnmsim.swarm.rpc import Peer, ServerStream
from cnmsim.swarm.store import Store


@frozen
class LogOptions:
    """Options that select log lines.

    `tail` is the number of last lines to send, or `None` for all. Lines older than `since_ns` (nanoseconds since
    1970) are left out. If `is_followed` is set, lines written later are sent too.
    """

    streams: frozenset[str] = frozenset({"stdout", "stderr"})
    tail: int | None = None
    since_ns: int | None = None
    is_followed: bool = False


@frozen
class LogRequest:
    """A request for the logs of services or of tasks, by their ids."""

    service_ids: tuple[str, ...] = ()
    task_ids: tuple[str, ...] = ()
    options: LogOptions = field(factory=LogOptions)


@frozen
class LogSubscription:
    """The request to an agent to send the logs of its tasks or, if `is_closed` is set, to stop sending them."""

    id: str
    request: LogRequest
    is_closed: bool = False

    def selects(self, task: Task) -> bool:
        """Return True if the subscription requests the log of `task`, by the id of the task or of its service."""
        return task.service_id in self.request.service_ids or task.id in self.request.task_ids


@frozen
class LogMessage:
    """One line of a task's log, with its newline if it had one. `stream` is "stdout" or "stderr"."""

    node_id: str
    service_id: str
    task_id: str
    stream: str
    time_ns: int
    data: bytes


@frozen
class Publication:
    """Log lines that an agent sends for a subscription. `is_last` is set if the agent will send no more for it."""

    subscription_id: str
    messages: tuple[LogMessage, ...] = ()
    is_last: bool = False


@define(eq=False)
class _Subscriber:
    subscription: LogSubscription
    stream: ServerStream
    pending_nodes: set[str]


@define(eq=False)
class LogBroker:
    """The log broker, which forwards log lines from agents to clients. Runs on the leader."""

    store: Store = field(repr=False)
    random: Random = field(repr=False)
    _listeners: dict[str, ServerStream] = field(factory=dict, init=False, repr=False)
    _subscribers: dict[str, _Subscriber] = field(factory=dict, init=False, repr=False)

    def listen(self, peer: Peer, _argument: object, stream: ServerStream) -> None:
        """Register `stream` as the one on which the agent of the calling node `peer` receives log subscriptions."""
        node_id = peer.node_id
        self._listeners[node_id] = stream

        def closed() -> None:
            if self._listeners.get(node_id) is stream:
                del self._listeners[node_id]
                for subscriber in list(self._subscribers.values()):
                    self._mark_done(subscriber, node_id)

        stream.on_close = closed
        for subscriber in self._subscribers.values():
            if node_id in self._matching_nodes(subscriber.subscription):
                stream.push(subscriber.subscription)

    def subscribe(self, _peer: Peer, request: LogRequest, stream: ServerStream) -> None:
        """Send the log lines that `request` selects to `stream`.

        The stream ends after the last line, unless later lines are to be followed. Raises `RpcInvalidArgument` if the
        request names neither a service nor a task.
        """
        if not request.service_ids and not request.task_ids:
            raise RpcInvalidArgument("log selector must not be empty")
        subscription = LogSubscription(new_id(self.random), request)
        nodes = {node_id for node_id in self._matching_nodes(subscription) if node_id in self._listeners}
        subscriber = self._subscribers[subscription.id] = _Subscriber(subscription, stream, nodes)

        def closed() -> None:
            self._subscribers.pop(subscription.id, None)
            if request.options.is_followed:
                end = LogSubscription(subscription.id, request, is_closed=True)
                for listener in self._listeners.values():
                    listener.push(end)

        stream.on_close = closed
        for node_id in sorted(nodes):
            self._listeners[node_id].push(subscription)
        self._end_if_done(subscriber)

    def publish(self, peer: Peer, publication: Publication) -> None:
        """Forward log lines from the agent of `peer` to the client that subscribed to them."""
        subscriber = self._subscribers.get(publication.subscription_id)
        if subscriber is None:
            return
        for message in publication.messages:
            subscriber.stream.push(message)
        if publication.is_last:
            self._mark_done(subscriber, peer.node_id)

    def _mark_done(self, subscriber: _Subscriber, node_id: str) -> None:
        subscriber.pending_nodes.discard(node_id)
        self._end_if_done(subscriber)

    def _end_if_done(self, subscriber: _Subscriber) -> None:
        if not subscriber.pending_nodes and not subscriber.subscription.request.options.is_followed:
            self.store.clock.call_soon(subscriber.stream.end)  # so that it follows the lines already pushed

    def _matching_nodes(self, subscription: LogSubscription) -> set[str]:
        return {
            task.node_id
            for task in self._matching_tasks(subscription.request)
            if task.node_id and task.state >= TaskState.ASSIGNED and subscription.selects(task)
        }

    def _matching_tasks(self, request: LogRequest) -> Sequence[Task]:
        of_services = [task for service_id in request.service_ids for task in self.store.tasks.by_service(service_id)]
        of_tasks = [task for task in map(self.store.tasks.get, request.task_ids) if task is not None]
        return [*of_services, *of_tasks]
