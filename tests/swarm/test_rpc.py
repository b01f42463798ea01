"""Calls between nodes travel as real TCP segments, and fail as the network fails."""

from __future__ import annotations

from typing import Any

import pytest

from cnmsim import Lab
from cnmsim.errors import NotFound
from cnmsim.kernel.clock import Clock
from cnmsim.kernel.process import Process
from cnmsim.kernel.task import run_until
from cnmsim.swarm.ca.certificates import MANAGER_ROLE, WORKER_ROLE, Certificate, RootCa, join_token_digest
from cnmsim.swarm.ca.join_token import join_token
from cnmsim.swarm.rpc import Peer, RpcError, RpcServer, RpcService, ServerStream, dial
from cnmsim.swarm.rpc.local import LocalClient


async def _daemon(process: Process) -> int:
    await process.exited
    return 0


class Pair:
    """A server on one host, and whoever calls it on another."""

    def __init__(self) -> None:
        self.lab = Lab()
        left = self.lab.add_host("left", "10.0.0.1/24")
        right = self.lab.add_host("right", "10.0.0.2/24")
        self.server_process = left.machine.spawn(_daemon, ["dockerd"])
        self.client_process = right.machine.spawn(_daemon, ["dockerd"])
        self.random = self.lab.clock.stream("test")
        self.root = RootCa.create(self.random)
        self.seen: list[Peer] = []
        self.streams: list[ServerStream] = []
        service = RpcService()
        service.unary["echo"] = self._echo
        service.unary["fail"] = self._fail
        service.unary["managers-only"] = self._echo
        service.roles["managers-only"] = frozenset({MANAGER_ROLE})
        service.streams["count"] = self._count
        self.server = RpcServer(
            self.server_process, service, lambda: self.certificate(MANAGER_ROLE), lambda: self.root
        )
        self.server.listen("0.0.0.0:2377")

    def certificate(self, role: str, root: RootCa | None = None) -> Certificate:
        return (root or self.root).issue(self.random, "node", role, "org", self.lab.clock.wall_s, 3600)

    async def _echo(self, peer: Peer, argument: Any) -> Any:
        self.seen.append(peer)
        return argument

    async def _fail(self, _peer: Peer, argument: Any) -> Any:
        raise NotFound(f"{argument} not found")

    def _count(self, _peer: Peer, argument: int, stream: ServerStream) -> None:
        self.streams.append(stream)
        for number in range(argument):
            stream.push(number)

    def run(self, coroutine: Any, timeout_s: float = 60) -> Any:
        return run_until(self.lab.clock, coroutine, timeout_s)

    def dial(self, certificate: Certificate | None) -> Any:
        return self.run(dial(self.client_process, "10.0.0.1:2377", certificate))


def test_a_call_is_answered_and_the_caller_is_known() -> None:
    pair = Pair()
    client = pair.dial(pair.certificate(WORKER_ROLE))
    assert pair.run(client.call("echo", {"a": 1})) == {"a": 1}
    assert pair.seen[0].address == "10.0.0.2"
    assert pair.seen[0].certificate is not None
    assert client.remote.is_manager


def test_an_error_of_the_other_side_is_raised_here() -> None:
    pair = Pair()
    client = pair.dial(pair.certificate(WORKER_ROLE))
    with pytest.raises(NotFound, match="web not found"):
        pair.run(client.call("fail", "web"))


def test_nothing_of_a_call_can_be_read_on_the_wire() -> None:
    pair = Pair()
    capture = pair.lab.capture("right:eth0")
    client = pair.dial(pair.certificate(WORKER_ROLE))
    pair.run(client.call("echo", "swordfish"))
    payloads = [bytes(packet["TCP"].payload) for packet in capture.packets if packet.haslayer("TCP")]
    assert any(payload.startswith(b"\x17\x03\x03") for payload in payloads)
    assert all(b"swordfish" not in payload for payload in payloads)


def test_roles_decide_who_may_call_what() -> None:
    pair = Pair()
    worker = pair.dial(pair.certificate(WORKER_ROLE))
    with pytest.raises(RpcError, match="PermissionDenied"):
        pair.run(worker.call("managers-only", 1))
    manager = pair.dial(pair.certificate(MANAGER_ROLE))
    assert pair.run(manager.call("managers-only", 1)) == 1


@pytest.mark.parametrize("kind", ["foreign", "expired"])
def test_a_certificate_that_is_not_trusted_is_refused(kind: str) -> None:
    pair = Pair()
    if kind == "foreign":
        certificate = pair.certificate(WORKER_ROLE, RootCa.create(pair.random))
    else:
        certificate = pair.certificate(WORKER_ROLE)
        pair.lab.run(3601)
    with pytest.raises(RpcError, match="authentication handshake failed"):
        pair.dial(certificate)


def test_nobody_there_is_told_from_a_wire_that_is_cut() -> None:
    pair = Pair()
    pair.server.close()
    with pytest.raises(RpcError, match="connection refused"):
        pair.dial(None)
    pair.lab.segment("10.0.0.0/24").configure(loss=1.0)
    with pytest.raises(RpcError, match="timed out"):
        pair.dial(None)


def test_a_stream_brings_messages_until_one_side_ends_it() -> None:
    pair = Pair()
    client = pair.dial(pair.certificate(WORKER_ROLE))
    got: list[int] = []
    stream = client.stream("count", 3, got.append)
    pair.lab.run(1)
    assert got == [0, 1, 2]
    pair.streams[0].push(3)
    pair.streams[0].end(NotFound("over"))
    assert isinstance(pair.run(stream.ended), NotFound)
    assert got == [0, 1, 2, 3]
    closed: list[bool] = []
    second = client.stream("count", 0, got.append)
    pair.lab.run(1)
    pair.streams[1].on_close = lambda: closed.append(True)
    second.close()
    pair.lab.run(1)
    assert closed == [True]


def test_a_call_nobody_answers_takes_its_connection_with_it() -> None:
    pair = Pair()
    client = pair.dial(pair.certificate(WORKER_ROLE))
    segment = pair.lab.segment("10.0.0.0/24")
    segment.configure(loss=1.0)
    with pytest.raises(RpcError, match="DeadlineExceeded"):
        pair.run(client.call("echo", 1))
    assert not client.is_open
    segment.configure(loss=0.0)
    assert pair.run(pair.dial(pair.certificate(WORKER_ROLE)).call("echo", 2)) == 2


def test_join_tokens_name_their_authority() -> None:
    random = Lab().clock.stream("tokens")
    root = RootCa.create(random)
    token = join_token(random, root.digest)
    assert token.startswith("SWMTKN-1-")
    assert join_token_digest(token) == root.digest


def test_the_streams_and_calls_of_a_managers_own_agent_end_with_the_manager() -> None:
    clock = Clock()
    service, served, closed, received = RpcService(), list[ServerStream](), list[int](), list[Any]()

    def serve(_peer: Peer, _argument: Any, stream: ServerStream) -> None:
        stream.on_close = lambda: closed.append(len(served))
        served.append(stream)

    async def call() -> Any:
        return await client.call("echo", 7)

    async def echo(_peer: Peer, argument: Any) -> Any:
        return argument

    service.streams["watch"] = serve
    service.unary["echo"] = echo
    client = LocalClient(clock, service, Peer(None, "local"))
    stream = client.stream("watch", None, received.append)
    served[0].push("news")
    clock.run_ready()
    assert (received, stream.ended.is_done, run_until(clock, call(), 1)) == (["news"], False, 7)
    client.close()
    assert closed == [1]
    assert "the manager is stopped" in str(stream.ended.result())
    with pytest.raises(RpcError, match="the manager is stopped"):
        run_until(clock, call(), 1)
    served[0].push("late")
    clock.run_ready()
    assert received == ["news"]
    client.close()  # again: nothing is left to end
    assert closed == [1]
