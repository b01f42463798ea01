"""The log broker: which agents are asked for lines, where the lines go, and when a client's stream ends.

Source: moby/swarmkit manager/logbroker (vendored by moby docker-v29.7.2).
"""

from __future__ import annotations

from collections.abc import Callable
from random import Random
from types import SimpleNamespace
from typing import Any

import pytest
from attrs import define, field

from cnmsim.kernel.clock import Clock
from cnmsim.swarm.errors import RpcInvalidArgument
from cnmsim.swarm.manager.logbroker import (
    LogBroker,
    LogMessage,
    LogOptions,
    LogRequest,
    LogSubscription,
    Publication,
)
from cnmsim.swarm.objects import Task, TaskState, TaskStatus
from cnmsim.swarm.store import Store


@define(eq=False)
class FakeStream:
    """The server's end of a stream."""

    pushed: list[Any] = field(factory=list)
    has_ended: bool = False
    on_close: Callable[[], None] | None = None

    def push(self, message: Any) -> None:
        self.pushed.append(message)

    def end(self) -> None:
        self.has_ended = True

    def close(self) -> None:
        assert self.on_close is not None
        self.on_close()


def peer(node_id: str) -> Any:
    return SimpleNamespace(node_id=node_id)


class World:
    """A broker with a task of service `s` on n1, one on n2, a pending one on n3, and agents on the nodes `agents`."""

    def __init__(self, *agents: str) -> None:
        self.store = Store(Clock())
        for number, state in enumerate((TaskState.RUNNING, TaskState.ASSIGNED, TaskState.PENDING), 1):
            task = Task(f"t{number}", service_id="s", node_id=f"n{number}", status=TaskStatus(state))
            self.store.update(lambda tx, task=task: tx.create(task))
        self.broker = LogBroker(self.store, Random(1))
        self.agents = {name: self.agent(name) for name in agents}

    def agent(self, name: str) -> FakeStream:
        stream = FakeStream()
        self.broker.listen(peer(name), None, stream)  # type: ignore[arg-type]
        return stream

    def subscribe(self, **options: Any) -> FakeStream:
        stream = FakeStream()
        request = LogRequest(options.pop("services", ("s",)), options.pop("tasks", ()), LogOptions(**options))
        self.broker.subscribe(peer("client"), request, stream)  # type: ignore[arg-type]
        self.store.clock.run_ready()
        return stream

    def publish(self, name: str, *lines: bytes, is_last: bool = False) -> None:
        (subscription, *_) = self.agents[name].pushed
        messages = tuple(LogMessage(name, "s", "t", "stdout", 0, line) for line in lines)
        self.broker.publish(peer(name), Publication(subscription.id, messages, is_last))
        self.store.clock.run_ready()

    def asked(self) -> list[str]:
        return [name for name, stream in self.agents.items() if stream.pushed]


def lines(stream: FakeStream) -> list[bytes]:
    return [message.data for message in stream.pushed]


def test_agents_of_assigned_tasks_are_asked_and_the_stream_ends_after_the_last_of_them() -> None:
    world = World("n1", "n2", "n3", "n4")
    client = world.subscribe()
    assert world.asked() == ["n1", "n2"]
    world.publish("n1", b"one\n", is_last=True)
    assert (lines(client), client.has_ended) == ([b"one\n"], False)
    world.publish("n2", b"two\n")
    assert not client.has_ended
    world.publish("n2", b"three\n", is_last=True)
    assert (lines(client), client.has_ended) == ([b"one\n", b"two\n", b"three\n"], True)


def test_a_task_alone_is_asked_for_at_its_node() -> None:
    world = World("n1", "n2")
    world.subscribe(services=(), tasks=("t2", "nosuch"))
    assert world.asked() == ["n2"]


def test_a_request_for_nothing_is_refused() -> None:
    with pytest.raises(RpcInvalidArgument, match="log selector must not be empty"):
        World("n1").subscribe(services=())


def test_a_stream_without_agents_ends_at_once_unless_it_follows() -> None:
    assert World().subscribe().has_ended
    assert not World().subscribe(is_followed=True).has_ended


def test_an_agent_that_is_lost_is_not_waited_for() -> None:
    world = World("n1", "n2")
    client = world.subscribe()
    world.publish("n1", is_last=True)
    world.agents["n2"].close()
    world.store.clock.run_ready()
    assert client.has_ended


def test_an_agent_that_comes_later_is_asked_while_the_client_follows() -> None:
    world = World("n1")
    client = world.subscribe(is_followed=True)
    world.publish("n1", is_last=True)
    assert not client.has_ended
    late, other = world.agent("n2"), world.agent("n4")
    assert [subscription.is_closed for subscription in late.pushed] == [False]
    assert other.pushed == []


def test_agents_stop_when_a_client_that_follows_goes() -> None:
    world = World("n1", "n2")
    client = world.subscribe(is_followed=True)
    client.close()
    for stream in world.agents.values():
        first, last = stream.pushed
        assert last == LogSubscription(first.id, first.request, is_closed=True)
    world.publish("n1", b"late\n")
    assert client.pushed == []


def test_agents_are_not_told_of_a_client_that_went_with_what_was_there() -> None:
    world = World("n1")
    world.subscribe().close()
    assert len(world.agents["n1"].pushed) == 1


def test_an_agents_new_stream_takes_the_place_of_the_old() -> None:
    world = World("n1")
    old, world.agents["n1"] = world.agents["n1"], world.agent("n1")
    old.close()  # the old stream's end is noticed later
    world.subscribe()
    assert world.asked() == ["n1"] and old.pushed == []
