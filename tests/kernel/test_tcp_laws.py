"""Properties of TCP over any link: streams arrive intact, connections end, states follow the table."""

from __future__ import annotations

from random import Random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from support.fake_network import FakeNamespace, FakeNetwork

from cnmsim.kernel.address import parse_ip
from cnmsim.kernel.skbuff import Packet
from cnmsim.kernel.sockets import TcpSocket, TcpState
from cnmsim.kernel.sockets import tcp_connection as module
from cnmsim.kernel.sockets.tcp_buffer import WINDOW, ReceiveBuffer
from cnmsim.kernel.sockets.tcp_state import TRANSITIONS, TcpEvent, next_state
from cnmsim.kernel.task import Task
from cnmsim.kernel.transport import TcpSegment


def bad_link(seed: int, loss: float, duplication: float, jitter_s: float):  # type: ignore[no-untyped-def]
    random = Random(seed)

    def fate(packet: Packet) -> list[float]:
        copies = 1 + (random.random() < duplication)
        return [0.001 + random.random() * jitter_s for _ in range(copies) if random.random() >= loss]

    return fate


SIZES = st.integers(0, 100_000) | st.sampled_from([0, 1, 1460, 1461, 65535, 65536])


async def exchange(socket: TcpSocket, data: bytes, chunk: int) -> bytes:
    """Send all data, close the sending direction, and read to the end."""
    for at in range(0, len(data), chunk):
        socket.send(data[at : at + chunk])
    socket.shutdown_write()
    whole = b""
    while received := await socket.recv(chunk):
        whole += received
    return whole


@settings(max_examples=60, deadline=None)
@given(
    seed=st.integers(0, 10_000),
    sizes=st.tuples(SIZES, SIZES),
    loss=st.sampled_from([0, 0.02, 0.1, 0.25]),
    duplication=st.sampled_from([0, 0.1]),
    jitter_s=st.sampled_from([0, 0.01, 0.5]),
    chunk=st.sampled_from([1000, 5000, 100_000]),
)
def test_streams_arrive_intact_over_a_bad_link_and_both_ends_vanish(
    seed: int, sizes: tuple[int, int], loss: float, duplication: float, jitter_s: float, chunk: int
) -> None:
    forth, back = (Random(seed).randbytes(size) for size in sizes)
    network = FakeNetwork(fate=bad_link(seed, loss, duplication, jitter_s))
    a, b = network.add("a", "10.0.0.1"), network.add("b", "10.0.0.2")
    for namespace in (a, b):
        # A handshake has so few retries that bad luck alone could make it fail.
        namespace.sysctl.update({"net.ipv4.tcp_syn_retries": "20", "net.ipv4.tcp_synack_retries": "20"})
    listener, socket = TcpSocket(b), TcpSocket(a)
    listener.bind(("0.0.0.0", 80))
    listener.listen()

    accepted: list[TcpSocket] = []

    async def serve() -> bytes:
        accepted.append(await listener.accept())
        return await exchange(accepted[0], back, chunk)

    async def ask() -> bytes:
        await socket.connect(("10.0.0.2", 80))
        return await exchange(socket, forth, chunk)

    server, client = Task(network.clock, serve()), Task(network.clock, ask())
    network.clock.run(stop=lambda: server.is_done and client.is_done)
    assert server.result() == forth
    assert client.result() == back
    # Both streams have arrived; the connections then end by themselves.
    for end in (socket, *accepted):
        end.close()
    network.clock.run()
    assert a.sockets.connections() == b.sockets.connections() == []
    assert not a.sockets.tcp_ports.is_bound(bytes(4), client_port(network))


def client_port(network: FakeNetwork) -> int:
    return network.wire[0].sport


@pytest.mark.parametrize("seed", range(3))
def test_the_same_seed_gives_the_same_packets(seed: int) -> None:
    def run() -> list[bytes]:
        network = FakeNetwork(fate=bad_link(seed, 0.1, 0.1, 0.05))
        a, b = network.add("a", "10.0.0.1"), network.add("b", "10.0.0.2")
        listener = TcpSocket(b)
        listener.bind(("0.0.0.0", 80))
        listener.listen()
        listener.on_accept = lambda socket: setattr(socket, "on_readable", lambda s: s.recv_nowait())

        async def ask() -> None:
            socket = TcpSocket(a)
            await socket.connect(("10.0.0.2", 80))
            socket.send(bytes(20_000))
            await socket.drain()
            socket.close()

        Task(network.clock, ask())
        network.clock.run(100)
        return [packet.data for packet in network.wire]

    assert run() == run()


@settings(max_examples=150, deadline=None)
@given(
    st.lists(
        st.tuples(
            st.integers(0, 63),
            st.integers(-3, 3),
            st.integers(-3, 3),
            st.sampled_from([b"", b"x", b"xyz"]),
            st.sampled_from([0, 1, 65535]),
        )
        | st.sampled_from(["close", "shutdown", "abort", "send", "wait", "read"]),
        max_size=12,
    ),
    st.booleans(),
)  # fmt: skip
def test_no_segment_and_no_call_leads_out_of_the_table(steps: list[object], is_client: bool) -> None:
    """Forged segments with nearby sequence numbers, mixed with calls: every transition is in the table."""
    network = FakeNetwork()
    a, b = network.add("a", "10.0.0.1"), network.add("b", "10.0.0.2")
    listener = TcpSocket(b)
    listener.bind(("0.0.0.0", 80))
    listener.listen()
    accepted: list[TcpSocket] = []
    listener.on_accept = accepted.append
    client = TcpSocket(a)
    client.start_connect(("10.0.0.2", 80))
    if not is_client:
        network.clock.run_for(0.1)
    subject = client if is_client else accepted[0]
    namespace: FakeNamespace = a if is_client else b
    connection = subject._connection
    assert connection is not None
    for step in steps:
        if isinstance(step, tuple):
            flags, seq, ack, payload, window = step
            segment = TcpSegment(
                connection.remote_port, connection.local_port,
                (connection._irs + connection._receive_buffer.next + seq) & 0xFFFFFFFF,
                (connection._iss + connection._snd_nxt + ack) & 0xFFFFFFFF, flags, window, b"", payload,
            )  # fmt: skip
            packet = Packet(build(connection.remote, connection.local, segment))
            if connection.state is not TcpState.CLOSED:
                namespace.sockets.deliver(packet)
        else:
            call(subject, str(step), network)
    subject.close()
    network.clock.run(5000)
    assert connection.state is TcpState.CLOSED


def build(src: bytes, dst: bytes, segment: TcpSegment) -> bytes:
    from cnmsim.kernel.packet import build_ip

    return build_ip(6, src, dst, segment.to_wire(src, dst))


def call(socket: TcpSocket, name: str, network: FakeNetwork) -> None:
    try:
        if name == "wait":
            network.clock.run_for(0.7)
        elif name == "send":
            socket.send(b"data")
        elif name == "read":
            socket.recv_nowait()
        else:
            {"close": socket.close, "shutdown": socket.shutdown_write, "abort": socket.abort}[name]()
    except OSError:
        # Errors of the socket API are outside this property.
        return


def test_the_table_leads_from_every_state_to_closed() -> None:
    reaches = {TcpState.CLOSED}
    for _ in TcpState:
        reaches |= {state for (state, _), following in TRANSITIONS.items() if following in reaches}
    assert reaches == set(TcpState)


def test_an_impossible_event_is_an_error() -> None:
    with pytest.raises(RuntimeError, match="FIN cannot happen in LISTEN"):
        next_state(TcpState.LISTEN, TcpEvent.FIN)


@given(st.integers(0, 2**32 - 1), st.integers(-(2**31), 2**31 - 1))
def test_sequence_numbers_wrap(reference: int, ahead: int) -> None:
    assert module._distance((reference + ahead) & 0xFFFFFFFF, reference) == ahead


@given(st.data(), st.binary(min_size=1, max_size=400))
def test_reassembly_gives_the_stream_whatever_the_order_and_overlap(data: st.DataObject, stream: bytes) -> None:
    pieces = data.draw(
        st.lists(st.tuples(st.integers(0, len(stream)), st.integers(0, len(stream))).map(sorted), max_size=20)
    )
    buffer = ReceiveBuffer()
    order = data.draw(st.permutations([*pieces, [0, len(stream) // 2], [len(stream) // 2, len(stream)]]))
    for start, end in order:
        before = buffer.next
        payload = stream[start:end]
        if 1 + end > buffer.next:
            skip = max(0, buffer.next - 1 - start)
            moved = buffer.insert(1 + start + skip, payload[skip:], has_fin=end == len(stream))
            assert moved == (buffer.next > before)
    assert buffer.read(1000) == stream
    assert buffer.fin_sequence == buffer.next


@given(st.lists(st.tuples(st.booleans(), st.integers(1, 30_000)), max_size=40))
def test_the_advertised_window_never_shrinks_and_never_exceeds_the_space(steps: list[tuple[bool, int]]) -> None:
    buffer = ReceiveBuffer()
    edge = buffer.next + buffer.window
    for is_arrival, size in steps:
        if is_arrival:
            buffer.insert(buffer.next, bytes(size), has_fin=False)
        else:
            buffer.read(size)
        window = buffer.advertise(1460)
        assert window + len(buffer.unread) <= WINDOW
        assert buffer.next + window >= edge
        edge = buffer.next + window


def test_initial_sequence_numbers_differ_between_connections() -> None:
    network = FakeNetwork()
    a = network.add("a", "10.0.0.1")
    for _ in range(5):
        TcpSocket(a).start_connect(("10.0.0.9", 80))
    assert len({TcpSegment.parse(packet.payload).seq for packet in network.wire}) == 5
    assert {packet.dst for packet in network.wire} == {parse_ip("10.0.0.9")}
