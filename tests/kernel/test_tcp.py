"""TCP between two hosts: opening, carrying, losing, closing, refusing."""

from __future__ import annotations

import errno

import pytest
from support.fake_network import FakeNamespace, FakeNetwork, Recorder

from cnmsim.kernel.address import parse_ip
from cnmsim.kernel.events import DropReason, Step
from cnmsim.kernel.packet import TCP_FIN, TCP_RST, TCP_SYN, build_ip, flag_text
from cnmsim.kernel.skbuff import Packet
from cnmsim.kernel.sockets import IcmpErrorInfo, TcpSocket
from cnmsim.kernel.sockets.tcp_buffer import ReceiveBuffer
from cnmsim.kernel.task import Task, run_until
from cnmsim.kernel.tcpoptions import read_options
from cnmsim.kernel.transport import TcpSegment

Pair = tuple[FakeNamespace, FakeNamespace]


@pytest.fixture
def pair() -> Pair:
    network = FakeNetwork()
    return network.add("a", "10.0.0.1", "fd00::1"), network.add("b", "10.0.0.2", "fd00::2")


def listen(namespace: FakeNamespace, address: str = "0.0.0.0", port: int = 80, backlog: int = 128) -> TcpSocket:
    socket = TcpSocket(namespace, 6 if ":" in address else 4)
    socket.bind((address, port))
    socket.listen(backlog)
    return socket


def connect(namespace: FakeNamespace, address: str = "10.0.0.2", port: int = 80) -> TcpSocket:
    socket = TcpSocket(namespace, 6 if ":" in address else 4)
    run_until(namespace.clock, socket.connect((address, port)))
    return socket


def connected(pair: Pair) -> tuple[TcpSocket, TcpSocket]:
    listener = listen(pair[1])
    client = connect(pair[0])
    server = run_until(pair[0].clock, listener.accept())
    listener.close()
    return client, server


def flags_on(network: FakeNetwork) -> list[str]:
    return [f"{'ab'[packet.src != parse_ip('10.0.0.1')]} {flag_text(packet.tcp_flags)}" for packet in network.wire]


def everything(socket: TcpSocket) -> bytes:
    async def read() -> bytes:
        whole = b""
        while data := await socket.recv():
            whole += data
        return whole

    return run_until(socket.namespace.clock, read())


def test_a_connection_is_opened_used_and_closed_in_the_segments_of_the_rfc(pair: Pair) -> None:
    client, server = connected(pair)
    client.send(b"request")
    client.shutdown_write()
    assert everything(server) == b"request"
    server.send(b"response")
    server.close()
    assert everything(client) == b"response"
    client.close()
    pair[0].clock.run_for(1)
    assert flags_on(pair[0].network) == [
        "a S", "b S.", "a .", "a P.", "a F.", "b .", "b .", "b P.", "b F.", "a .", "a .",
    ]  # fmt: skip


@pytest.mark.parametrize(("listening", "address"), [("0.0.0.0", "10.0.0.2"), ("::", "fd00::2"), ("::", "10.0.0.2")])
def test_both_families_connect_and_dual_stack_takes_both(pair: Pair, listening: str, address: str) -> None:
    listener = listen(pair[1], listening)
    client = connect(pair[0], address)
    server = run_until(pair[0].clock, listener.accept())
    expected = "::ffff:10.0.0.1" if (listening, address) == ("::", "10.0.0.2") else address.replace("2", "1")
    assert server.getpeername() == (parse_ip(expected), client.local_port)
    client.send(b"x")
    assert run_until(pair[0].clock, server.recv()) == b"x"


def test_a_namespace_talks_to_itself(pair: Pair) -> None:
    listener = listen(pair[0], "127.0.0.1")
    client = connect(pair[0], "127.0.0.1")
    client.send(b"x")
    server = run_until(pair[0].clock, listener.accept())
    assert run_until(pair[0].clock, server.recv()) == b"x"


def test_a_closed_port_refuses_at_once(pair: Pair) -> None:
    with pytest.raises(ConnectionRefusedError):
        connect(pair[0])
    assert pair[0].clock.now == pytest.approx(0.002)


def test_silence_ends_in_a_timeout_after_six_retries(pair: Pair) -> None:
    with pytest.raises(TimeoutError, match="Connection timed out"):
        connect(pair[0], "10.0.0.99")
    assert pair[0].clock.now == 127
    assert flags_on(pair[0].network) == ["a S"] * 7


def test_the_caller_may_give_up_earlier(pair: Pair) -> None:
    socket = TcpSocket(pair[0])
    with pytest.raises(TimeoutError):
        run_until(pair[0].clock, socket.connect(("10.0.0.99", 80), timeout=3))
    assert pair[0].clock.now == 3
    assert pair[0].sockets.connections() == []


def test_no_route_fails_before_anything_is_sent() -> None:
    namespace = FakeNetwork().add("a", "10.0.0.1")
    with pytest.raises(OSError) as caught:
        connect(namespace, "fd00::2")
    assert caught.value.errno == errno.ENETUNREACH
    assert namespace.network.wire == []


@pytest.mark.parametrize(
    ("code", "number"),
    [
        (1, errno.EHOSTUNREACH), (0, errno.ENETUNREACH), (3, errno.ECONNREFUSED), (2, errno.ENOPROTOOPT),
        (13, errno.EHOSTUNREACH), (10, errno.EHOSTUNREACH), (9, errno.ENETUNREACH),
    ],
)  # fmt: skip
def test_an_unreachable_ends_a_connect_with_linuxs_error(pair: Pair, code: int, number: int) -> None:
    a, b = pair
    b.input = lambda data: b.send_icmp_error(Packet(data), 3, code)  # type: ignore[method-assign]
    with pytest.raises(OSError) as caught:
        connect(a)
    assert caught.value.errno == number
    assert a.clock.now < 1


def icmp_about(socket: TcpSocket, code: int, *, info: int = 0, sequence: bytes | None = None) -> IcmpErrorInfo:
    wire = socket.namespace.network.wire  # type: ignore[attr-defined]
    last = next(p for p in reversed(wire) if p.sport == socket.local_port)
    body = last.payload if sequence is None else last.payload[:4] + sequence + last.payload[8:]
    return IcmpErrorInfo(4, 6, last.src, last.dst, last.sport, last.dport, 3, code, parse_ip("10.0.0.9"), info, body)


def test_an_established_connection_survives_an_unreachable(pair: Pair) -> None:
    client, server = connected(pair)
    client.send(b"x")
    pair[0].sockets.deliver_icmp_error(icmp_about(client, 1))
    assert run_until(pair[0].clock, server.recv()) == b"x"


def test_a_soft_error_explains_a_later_timeout(pair: Pair) -> None:
    client, _ = connected(pair)
    pair[0].network.fate = lambda packet: []
    client.send(b"x")
    pair[0].sockets.deliver_icmp_error(icmp_about(client, 1))
    with pytest.raises(OSError) as caught:
        run_until(pair[0].clock, client.recv())
    assert caught.value.errno == errno.EHOSTUNREACH


def test_an_icmp_error_with_a_foreign_sequence_number_is_ignored(pair: Pair) -> None:
    client, server = connected(pair)
    client.send(bytes(3000))
    pair[0].sockets.deliver_icmp_error(icmp_about(client, 4, info=600, sequence=b"\0\0\0\0"))
    run_until(pair[0].clock, server.recv())
    assert max(len(packet.data) for packet in pair[0].network.wire) == 1500
    assert client._connection is not None
    assert client._connection.mss == 1448


def test_a_smaller_path_mtu_makes_smaller_segments_at_once(pair: Pair) -> None:
    client, server = connected(pair)
    network = pair[0].network

    def narrow(packet: Packet) -> list[float]:
        if len(packet.data) > 1000:
            error = icmp_about(client, 4, info=1000)
            network.clock.call_soon(pair[0].sockets.deliver_icmp_error, error)
            return []
        return [0.001]

    network.fate = narrow
    client.send(bytes(5000))
    client.close()
    assert everything(server) == bytes(5000)
    assert pair[0].clock.now < 0.1, "it does not wait for the retransmission timer"


def test_the_mss_is_the_smaller_of_both_sides() -> None:
    network = FakeNetwork()
    pair = network.add("a", "10.0.0.1", mtu=9000), network.add("b", "10.0.0.2", mtu=1450)
    client, server = connected(pair)
    client.send(bytes(20000))
    client.close()
    assert everything(server) == bytes(20000)
    assert max(len(packet.data) for packet in network.wire) == 1450


def test_unread_data_makes_closing_a_reset(pair: Pair) -> None:
    client, server = connected(pair)
    client.send(b"never read")
    pair[0].clock.run_for(0.1)
    server.close()
    with pytest.raises(ConnectionResetError):
        run_until(pair[0].clock, client.recv())


def test_abort_resets_and_leaves_nothing(pair: Pair) -> None:
    client, server = connected(pair)
    client.abort()
    with pytest.raises(ConnectionResetError):
        run_until(pair[0].clock, server.recv())
    assert pair[0].sockets.connections() == pair[1].sockets.connections() == []


def test_data_before_a_reset_is_still_read(pair: Pair) -> None:
    client, server = connected(pair)
    client.send(b"last words")
    pair[0].clock.run_for(0.1)
    client.abort()
    pair[0].clock.run_for(0.1)
    assert server.recv_nowait() == b"last words"
    with pytest.raises(ConnectionResetError):
        server.recv_nowait()
    assert server.recv_nowait() == b""


def test_a_reset_after_the_end_is_told_to_the_sender_only(pair: Pair) -> None:
    client, server = connected(pair)
    server.shutdown_write()
    pair[0].clock.run_for(0.1)
    server.abort()
    pair[0].clock.run_for(0.1)
    assert client.recv_nowait() == b""
    with pytest.raises(BrokenPipeError):
        client.send(b"x")


def test_data_for_a_closed_socket_is_answered_by_a_reset(pair: Pair) -> None:
    client, server = connected(pair)
    server.close()
    pair[0].clock.run_for(0.1)
    client.send(b"too late")
    with pytest.raises((ConnectionResetError, BrokenPipeError)):
        run_until(pair[0].clock, client.drain())
        pair[0].clock.run_for(0.1)
        client.send(b"again")


def test_writing_after_shutdown_breaks_the_pipe(pair: Pair) -> None:
    client, _ = connected(pair)
    client.shutdown_write()
    with pytest.raises(BrokenPipeError):
        client.send(b"x")


def test_reading_goes_on_after_shutdown(pair: Pair) -> None:
    client, server = connected(pair)
    client.shutdown_write()
    assert everything(server) == b""
    server.send(b"still here")
    assert run_until(pair[0].clock, client.recv()) == b"still here"


def test_states_are_ss_names_through_a_close(pair: Pair) -> None:
    client, server = connected(pair)
    client.shutdown_write()
    assert client.state == "FIN-WAIT-1"
    pair[0].clock.run_for(0.1)
    assert (client.state, server.state) == ("FIN-WAIT-2", "CLOSE-WAIT")
    server.shutdown_write()
    assert server.state == "LAST-ACK"
    pair[0].clock.run_for(0.1)
    assert (client.state, server.state) == ("TIME-WAIT", "UNCONN")
    pair[0].clock.run_for(60)
    assert client.state == "UNCONN"


def test_both_sides_may_close_at_once(pair: Pair) -> None:
    client, server = connected(pair)
    client.close()
    server.shutdown_write()
    pair[0].clock.run_for(0.0015)
    assert server.state == "CLOSING"
    pair[0].clock.run_for(0.1)
    assert server.state == "TIME-WAIT"
    pair[0].clock.run()
    assert pair[0].sockets.connections() == pair[1].sockets.connections() == []


def test_both_sides_may_open_at_once(pair: Pair) -> None:
    a, b = pair
    first, second = TcpSocket(a), TcpSocket(b)
    first.bind(("10.0.0.1", 1000))
    second.bind(("10.0.0.2", 2000))
    first.start_connect(("10.0.0.2", 2000))
    second.start_connect(("10.0.0.1", 1000))
    a.clock.run_for(0.1)
    assert (first.state, second.state) == ("ESTAB", "ESTAB")
    first.send(b"x")
    assert run_until(a.clock, second.recv()) == b"x"


def test_time_wait_holds_the_port_against_a_listener_without_reuse_address(pair: Pair) -> None:
    client, server = connected(pair)
    server.close()
    client.close()
    pair[0].clock.run_for(1)
    again = TcpSocket(pair[1])
    with pytest.raises(OSError) as caught:
        again.bind(("0.0.0.0", 80))
    assert caught.value.errno == errno.EADDRINUSE
    pair[0].clock.run_for(60)
    again.bind(("0.0.0.0", 80))


def test_reuse_address_takes_the_port_out_of_time_wait(pair: Pair) -> None:
    listener = TcpSocket(pair[1])
    listener.reuse_address = True
    listener.bind(("0.0.0.0", 80))
    listener.listen()
    client = connect(pair[0])
    server = run_until(pair[0].clock, listener.accept())
    server.close()
    client.close()
    listener.close()
    pair[0].clock.run_for(1)
    again = TcpSocket(pair[1])
    again.reuse_address = True
    again.bind(("0.0.0.0", 80))
    again.listen()


def test_reuse_address_does_not_help_against_a_listener(pair: Pair) -> None:
    sockets = [TcpSocket(pair[0]) for _ in range(2)]
    for socket in sockets:
        socket.reuse_address = True
        socket.bind(("0.0.0.0", 80))
    sockets[0].listen()
    with pytest.raises(OSError) as caught:
        sockets[1].listen()
    assert caught.value.errno == errno.EADDRINUSE
    third = TcpSocket(pair[0])
    third.reuse_address = True
    with pytest.raises(OSError):
        third.bind(("127.0.0.1", 80))


def test_a_new_connection_may_take_the_place_of_one_in_time_wait(pair: Pair) -> None:
    a, b = pair
    listener = listen(b)
    for _ in range(8):  # a sequence number that began anywhere would be taken for an old one every other time
        client = TcpSocket(a)
        client.reuse_address = True
        client.bind(("10.0.0.1", 5555))
        asked_ns = a.clock.now_ns
        run_until(a.clock, client.connect(("10.0.0.2", 80)))
        assert a.clock.now_ns - asked_ns < 10_000_000
        server = run_until(a.clock, listener.accept())
        client.send(b"x")
        run_until(a.clock, server.recv())
        server.close()
        a.clock.run_for(0.01)
        client.close()
        a.clock.run_for(0.01)
    assert b.sockets.connections()[0].state == "TIME-WAIT"


def test_a_full_accept_queue_lets_further_clients_wait(pair: Pair) -> None:
    a, b = pair
    listener = listen(b, backlog=1)
    clients = [TcpSocket(a) for _ in range(3)]
    for client in clients:
        client.start_connect(("10.0.0.2", 80))
        a.clock.run_for(0.01)
    assert [client.state for client in clients] == ["ESTAB", "ESTAB", "SYN-SENT"]
    run_until(a.clock, listener.accept())
    a.clock.run_for(2)
    assert clients[2].state == "ESTAB"


def test_an_accept_queue_is_no_longer_than_somaxconn(pair: Pair) -> None:
    assert listen(pair[1], backlog=5000).accept_queue == (0, 4096)


def test_a_listener_that_closes_resets_what_it_did_not_accept(pair: Pair) -> None:
    listener = listen(pair[1])
    client = connect(pair[0])
    listener.close()
    with pytest.raises(ConnectionResetError):
        run_until(pair[0].clock, client.recv())


def test_a_callback_may_accept_and_serve(pair: Pair) -> None:
    listener = listen(pair[1])

    def serve(socket: TcpSocket) -> None:
        socket.on_readable = lambda readable: readable.send(readable.recv_nowait().upper())

    listener.on_accept = serve
    client = connect(pair[0])
    client.send(b"shout")
    assert run_until(pair[0].clock, client.recv()) == b"SHOUT"


def test_a_lost_segment_among_others_is_sent_again_without_waiting_for_the_timer(pair: Pair) -> None:
    client, server = connected(pair)
    network = pair[0].network
    lost: list[Packet] = []

    def lose_one(packet: Packet) -> list[float]:
        if len(packet.payload) > 1000 and not lost:
            lost.append(packet)
            return []
        return [0.001]

    network.fate = lose_one
    client.send(bytes(14600))
    client.close()
    assert everything(server) == bytes(14600)
    assert len(lost) == 1
    assert network.clock.now < 0.1


def test_the_timer_doubles_while_nothing_is_acknowledged(pair: Pair) -> None:
    client, _ = connected(pair)
    network = pair[0].network
    network.fate = lambda packet: []
    start, sent = network.clock.now_ns, []
    network.fate = lambda packet: sent.append((network.clock.now_ns - start) / 1e9) or []  # type: ignore[func-returns-value]
    client.send(b"x")
    network.clock.run_for(7)
    assert sent == pytest.approx([0, 0.202, 0.606, 1.414, 3.03, 6.262], abs=0.03)


def test_data_that_is_never_acknowledged_times_out(pair: Pair) -> None:
    client, _ = connected(pair)
    pair[0].network.fate = lambda packet: []
    client.send(b"x")
    with pytest.raises(TimeoutError, match="Connection timed out"):
        run_until(pair[0].clock, client.recv())
    assert 900 < pair[0].clock.now < 1000


def test_a_shut_window_stops_the_sender_until_it_is_read_from(pair: Pair) -> None:
    client, server = connected(pair)
    client.send(bytes(200_000))
    client.shutdown_write()
    pair[0].clock.run_for(10)
    assert server.recv_queue == 65160
    assert everything(server) == bytes(200_000)


def test_a_lost_window_update_is_found_by_probing(pair: Pair) -> None:
    client, server = connected(pair)
    network = pair[0].network
    client.send(bytes(80_000))
    client.shutdown_write()
    network.clock.run_for(10)
    network.fate = lambda packet: []
    first = server.recv_nowait()
    network.fate = lambda packet: [0.001]
    assert first + everything(server) == bytes(80_000)


def test_small_writes_are_gathered_while_data_is_in_flight(pair: Pair) -> None:
    client, server = connected(pair)
    for _ in range(5):
        client.send(b"x")
    network = pair[0].network
    before = len(network.wire)
    assert run_until(network.clock, server.recv()) == b"x"
    assert run_until(network.clock, server.recv()) == b"xxxx"
    data = [len(TcpSegment.parse(p.payload).payload) for p in network.wire[before - 1 :]]
    assert [size for size in data if size] == [1, 4]


def test_no_delay_sends_each_write_at_once(pair: Pair) -> None:
    client, _ = connected(pair)
    client.no_delay = True
    network = pair[0].network
    before = len(network.wire)
    for _ in range(3):
        client.send(b"x")
    assert len(network.wire) == before + 3


def test_a_filtered_syn_is_a_lost_syn(pair: Pair) -> None:
    pair[0].refuses = lambda message: True
    with pytest.raises(TimeoutError):
        connect(pair[0])


def test_a_wrong_checksum_is_dropped_with_that_reason(pair: Pair) -> None:
    b = pair[1]
    listen(b)
    recorder = b.clock.context = Recorder()
    message = bytearray(
        TcpSegment(1000, 80, 0, 0, TCP_SYN, 65535).to_wire(parse_ip("10.0.0.1"), parse_ip("10.0.0.2"))
    )
    message[16] ^= 1
    b.input(build_ip(6, parse_ip("10.0.0.1"), parse_ip("10.0.0.2"), bytes(message)))
    assert [event.reason for event in recorder.events] == [DropReason.CHECKSUM]


@pytest.mark.parametrize(
    ("flags", "reason"), [(TCP_SYN, DropReason.PORT_CLOSED), (TCP_FIN, DropReason.STRAY_SEGMENT)]
)
def test_what_no_socket_takes_is_dropped_and_reset(pair: Pair, flags: int, reason: DropReason) -> None:
    a, b = pair
    recorder = b.clock.context = Recorder()
    segment = TcpSegment(1000, 80, 7, 0, flags, 65535).to_wire(parse_ip("10.0.0.1"), parse_ip("10.0.0.2"))
    b.input(build_ip(6, parse_ip("10.0.0.1"), parse_ip("10.0.0.2"), segment))
    assert [event.reason for event in recorder.events] == [reason, None]
    answer = TcpSegment.parse(a.network.wire[0].payload)
    assert (answer.flags, answer.ack) == (20, 8)


def test_a_reset_for_no_connection_is_not_answered(pair: Pair) -> None:
    segment = TcpSegment(1000, 80, 7, 0, TCP_RST, 0).to_wire(parse_ip("10.0.0.1"), parse_ip("10.0.0.2"))
    pair[1].input(build_ip(6, parse_ip("10.0.0.1"), parse_ip("10.0.0.2"), segment))
    assert pair[1].network.wire == []


def test_a_reset_that_is_not_exact_gets_a_challenge(pair: Pair) -> None:
    client, _ = connected(pair)
    network = pair[0].network
    assert client._connection is not None
    wrong = (client._connection._irs + 500) & 0xFFFFFFFF
    segment = TcpSegment(80, client.local_port, wrong, 0, TCP_RST, 0).to_wire(
        parse_ip("10.0.0.2"), parse_ip("10.0.0.1")
    )
    before = len(network.wire)
    pair[0].input(build_ip(6, parse_ip("10.0.0.2"), parse_ip("10.0.0.1"), segment))
    assert client.state == "ESTAB"
    assert flags_on(network)[before:] == ["a ."]


def test_a_trace_tells_who_listens(pair: Pair) -> None:
    listen(pair[1])
    recorder = pair[0].clock.context = Recorder()
    TcpSocket(pair[0]).start_connect(("10.0.0.2", 80))
    pair[0].clock.run_for(0.01)
    pair[0].clock.context = None
    delivered = [event.decision for event in recorder.events if event.step is Step.DELIVERED]
    assert delivered[0] == "socket: kernel listening on 0.0.0.0:80"


def test_the_table_lists_sockets_as_ss_does(pair: Pair) -> None:
    listen(pair[1], backlog=5)
    client = connect(pair[0])
    pair[0].clock.run_for(0.01)
    (listener,), (connection,) = pair[1].sockets.listeners(), pair[1].sockets.connections()
    assert (listener.protocol, listener.state, listener.send_queue, listener.local_port) == ("tcp", "LISTEN", 5, 80)
    assert (connection.state, connection.remote_port) == ("ESTAB", client.local_port)


def test_close_all_is_silent(pair: Pair) -> None:
    client, _ = connected(pair)
    listen(pair[0], port=81)
    before = len(pair[0].network.wire)
    pair[0].sockets.close_all()
    assert pair[0].sockets.listeners() == pair[0].sockets.connections() == []
    assert len(pair[0].network.wire) == before
    assert client.state == "UNCONN"


def test_waiting_tasks_learn_that_the_socket_was_closed(pair: Pair) -> None:
    client, _ = connected(pair)
    task = Task(pair[0].clock, client.recv())
    task.add_done_callback(lambda _: None)
    pair[0].clock.run_for(1)
    client.close()
    pair[0].clock.run_for(1)
    assert isinstance(task.error, OSError)
    assert task.error.errno == errno.EBADF


@pytest.mark.parametrize(
    ("action", "number"),
    [
        (lambda s: s.send(b"x"), errno.ENOTCONN),
        (lambda s: s.recv_nowait(), errno.ENOTCONN),
        (lambda s: s.getpeername(), errno.ENOTCONN),
        (lambda s: s.accept_nowait(), errno.EINVAL),
        (lambda s: s.bind(("192.0.2.1", 80)), errno.EADDRNOTAVAIL),
        (lambda s: s.bind(("::1", 80)), errno.EAFNOSUPPORT),
    ],
)
def test_misuse_fails_as_on_linux(pair: Pair, action, number: int) -> None:  # type: ignore[no-untyped-def]
    with pytest.raises(OSError) as caught:
        action(TcpSocket(pair[0]))
    assert caught.value.errno == number


# --- options ---


def handshake(pair: Pair) -> list[TcpSegment]:
    connected(pair)
    return [TcpSegment.parse(packet.payload) for packet in pair[0].network.wire[:3]]


def test_the_handshake_offers_what_linux_offers(pair: Pair) -> None:
    syn, syn_ack, ack = handshake(pair)
    offered = read_options(syn.options)
    assert (offered.mss, offered.is_sack_permitted, offered.window_scale) == (1460, True, 7)
    assert syn.options.hex()[:12] == "020405b40402"
    assert (len(syn.options), len(syn_ack.options), len(ack.options)) == (20, 20, 12)
    assert (syn.window, syn_ack.window, ack.window) == (64240, 65160, 502)
    stamps = [read_options(each.options).timestamp for each in (syn, syn_ack, ack)]
    assert stamps[0] is not None
    assert stamps[1] is not None
    assert stamps[2] is not None
    assert (stamps[0][1], stamps[1][1], stamps[2][1]) == (0, stamps[0][0], stamps[1][0])


@pytest.mark.parametrize(
    ("sysctl", "size", "scale"),
    [("tcp_timestamps", 8, 7), ("tcp_sack", 20, 7), ("tcp_window_scaling", 16, None)],
)
def test_what_one_side_does_not_offer_is_not_used(pair: Pair, sysctl: str, size: int, scale: int | None) -> None:
    pair[1].sysctl[f"net.ipv4.{sysctl}"] = "0"
    _, syn_ack, ack = handshake(pair)
    assert read_options(syn_ack.options).window_scale == scale
    assert len(syn_ack.options) == {8: 12, 20: 20, 16: 16}[size]
    assert len(ack.options) == (0 if sysctl == "tcp_timestamps" else 12)
    assert ack.window == (64240 if scale is None else 502)


def test_what_arrives_behind_a_gap_is_told_and_not_sent_again(pair: Pair) -> None:
    client, server = connected(pair)
    network = pair[0].network
    lost: list[int] = []

    def lose_two(packet: Packet) -> list[float]:
        segment = TcpSegment.parse(packet.payload)
        if segment.payload:
            lost.append(segment.seq)
            if len(lost) in (1, 3):
                return []
        return [0.001]

    network.fate = lose_two
    client.send(bytes(1448 * 4))
    client.close()
    assert everything(server) == bytes(1448 * 4)
    assert len(lost) == 6, "the two that were lost are sent again, and nothing else"
    blocks = [read_options(TcpSegment.parse(packet.payload).options).sack for packet in network.wire]
    first = lost[0]
    assert ((first + 1448, first + 2896),) in blocks
    assert ((first + 4344, first + 5792), (first + 1448, first + 2896)) in blocks


def test_the_congestion_window_grows_only_while_it_limits_the_sender(pair: Pair) -> None:
    """As in Linux 6: 10 segments after a hundred small writes, more after a large one, 10 after some idle time."""
    client, server = connected(pair)
    assert client._connection is not None
    clock, window = pair[0].clock, client._connection._cwnd
    for _ in range(100):
        client.send(b"x" * 1000)
        clock.run_for(0.02)
        server.recv_nowait(1 << 20)
    assert window.size == 10 * window.mss
    client.send(b"y" * 600_000)
    received = 0
    while received < 600_000:
        clock.run_for(0.0001)
        received += server.recv_queue
        if server.recv_queue:
            server.recv_nowait(1 << 20)
    assert window.size > 20 * window.mss
    clock.run_for(60)
    client.send(b"z")
    assert window.size == 10 * window.mss


@pytest.mark.parametrize(
    ("window", "unread", "is_due"),
    [(1000, 2000, True), (6000, 2000, False), (500, 8600, False), (4000, 2000, True), (4001, 2000, False),
     (400, 8600, True), (401, 8600, False)],
)  # fmt: skip
def test_a_window_update_is_sent_if_the_window_grows_by_a_segment_and_doubles(
    window: int, unread: int, is_due: bool
) -> None:
    buffer = ReceiveBuffer(10_000)
    buffer.unread += bytes(unread)
    buffer._right_edge = buffer.next + window
    assert buffer.should_send_window_update(1000) is is_due  # tcp_cleanup_rbuf, net/ipv4/tcp.c


def test_a_connection_that_was_not_accepted_yet_is_held_by_its_listener(pair: Pair) -> None:
    a, b = pair
    other, listener = listen(b, port=81), listen(b)
    connect(a)
    a.clock.run_for(0.01)
    table = b.sockets
    (waiting,) = listener._accept_queue
    assert table.listener_holding(waiting) is listener
    run_until(a.clock, listener.accept())
    assert table.listener_holding(waiting) is None
    assert other.accept_queue == listener.accept_queue == (0, 128)
