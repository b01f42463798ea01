"""UDP sockets: binding, sending, errors."""

from __future__ import annotations

import errno

import pytest
from attrs import evolve
from support.fake_network import FakeNamespace, FakeNetwork, Recorder

from cnmsim.kernel.address import parse_ip
from cnmsim.kernel.events import DropReason, Step
from cnmsim.kernel.packet import build_ip
from cnmsim.kernel.skbuff import Packet
from cnmsim.kernel.sockets import IcmpErrorInfo, QueuedError, UdpSocket
from cnmsim.kernel.task import run_until


@pytest.fixture
def pair() -> tuple[FakeNamespace, FakeNamespace]:
    network = FakeNetwork()
    return network.add("a", "10.0.0.1", "fd00::1"), network.add("b", "10.0.0.2", "fd00::2")


def receive(socket: UdpSocket) -> tuple[bytes, tuple[bytes, int]]:
    return run_until(socket.namespace.clock, socket.recvfrom(timeout=1))


@pytest.mark.parametrize(("family", "address"), [(4, "10.0.0.2"), (6, "fd00::2")])
def test_a_datagram_arrives_with_its_sender_and_is_answered(
    pair: tuple[FakeNamespace, FakeNamespace], family: int, address: str
) -> None:
    a, b = pair
    server, client = UdpSocket(b, family), UdpSocket(a, family)
    server.bind((address, 53))
    client.sendto(b"query", (address, 53))
    data, peer = receive(server)
    server.sendto(data + b" answered", peer)
    assert receive(client) == (b"query answered", (parse_ip(address), 53))


def test_a_dual_stack_socket_sees_ipv4_peers_as_mapped(pair: tuple[FakeNamespace, FakeNamespace]) -> None:
    a, b = pair
    server, client = UdpSocket(b, 6), UdpSocket(a, 4)
    server.bind(("::", 53))
    client.sendto(b"x", ("10.0.0.2", 53))
    _, peer = receive(server)
    assert peer[0] == parse_ip("::ffff:10.0.0.1")
    server.sendto(b"y", peer)
    assert receive(client)[0] == b"y"


def test_a_v6only_socket_takes_no_ipv4(pair: tuple[FakeNamespace, FakeNamespace]) -> None:
    a, b = pair
    server, client = UdpSocket(b, 6), UdpSocket(a, 4)
    server.v6only = True
    server.bind(("::", 53))
    client.connect(("10.0.0.2", 53))
    client.send(b"x")
    with pytest.raises(ConnectionRefusedError):
        receive(client)


@pytest.mark.parametrize(
    ("held", "wanted", "clashes"),
    [
        ((4, "0.0.0.0"), (4, "127.0.0.1"), True),
        ((4, "127.0.0.1"), (4, "0.0.0.0"), True),
        ((4, "10.0.0.1"), (4, "127.0.0.1"), False),
        ((4, "10.0.0.1"), (4, "10.0.0.1"), True),
        ((6, "::"), (4, "0.0.0.0"), True),
        ((4, "0.0.0.0"), (6, "::"), True),
        ((6, "::"), (4, "10.0.0.1"), True),
        ((6, "fd00::1"), (4, "0.0.0.0"), False),
        ((6, "::1"), (6, "::"), True),
    ],
)
def test_binding_conflicts_are_linuxs(held: tuple[int, str], wanted: tuple[int, str], clashes: bool) -> None:
    namespace = FakeNetwork().add("a", "10.0.0.1", "fd00::1", "::1")
    first, second = UdpSocket(namespace, held[0]), UdpSocket(namespace, wanted[0])
    first.bind((held[1], 80))
    if clashes:
        with pytest.raises(OSError) as caught:
            second.bind((wanted[1], 80))
        assert caught.value.errno == errno.EADDRINUSE
        first.close()
    second.bind((wanted[1], 80))


def test_v6only_lets_both_families_have_the_port() -> None:
    namespace = FakeNetwork().add("a", "10.0.0.1", "fd00::1")
    first, second = UdpSocket(namespace, 4), UdpSocket(namespace, 6)
    second.v6only = True
    first.bind(("0.0.0.0", 80))
    second.bind(("::", 80))


def test_reuse_address_on_both_lets_them_share() -> None:
    namespace = FakeNetwork().add("a", "10.0.0.1")
    for _ in range(2):
        socket = UdpSocket(namespace)
        socket.reuse_address = True
        socket.bind(("0.0.0.0", 80))
    with pytest.raises(OSError):
        UdpSocket(namespace).bind(("0.0.0.0", 80))


def test_binding_to_a_foreign_address_fails(pair: tuple[FakeNamespace, FakeNamespace]) -> None:
    socket = UdpSocket(pair[0])
    with pytest.raises(OSError) as caught:
        socket.bind(("192.0.2.1", 80))
    assert caught.value.errno == errno.EADDRNOTAVAIL
    socket.bind(("10.0.0.1", 80))


def test_a_closed_port_refuses_a_connected_socket_once(pair: tuple[FakeNamespace, FakeNamespace]) -> None:
    client = UdpSocket(pair[0])
    client.connect(("10.0.0.2", 53))
    client.send(b"x")
    with pytest.raises(ConnectionRefusedError):
        receive(client)
    with pytest.raises(TimeoutError):
        receive(client)


def test_an_unconnected_socket_hears_nothing_of_a_closed_port(pair: tuple[FakeNamespace, FakeNamespace]) -> None:
    client = UdpSocket(pair[0])
    client.sendto(b"x", ("10.0.0.2", 53))
    with pytest.raises(TimeoutError):
        receive(client)


def test_recverr_tells_an_unconnected_socket_who_said_what(pair: tuple[FakeNamespace, FakeNamespace]) -> None:
    client = UdpSocket(pair[0])
    client.recverr = True
    client.sendto(b"x", ("10.0.0.2", 33434))
    with pytest.raises(QueuedError) as caught:
        receive(client)
    error = caught.value
    assert (error.errno, error.info.reporter, error.info.dport) == (errno.ECONNREFUSED, parse_ip("10.0.0.2"), 33434)


@pytest.mark.parametrize(
    ("icmp_type", "code", "number"),
    [(3, 1, None), (11, 0, None), (3, 3, errno.ECONNREFUSED), (3, 13, errno.EHOSTUNREACH), (3, 2, errno.ENOPROTOOPT)],
)
def test_only_hard_errors_reach_a_connected_socket(
    pair: tuple[FakeNamespace, FakeNamespace], icmp_type: int, code: int, number: int | None
) -> None:
    a, _ = pair
    client = UdpSocket(a)
    client.connect(("10.0.0.2", 53))
    error = IcmpErrorInfo(
        4,
        17,
        parse_ip("10.0.0.1"),
        parse_ip("10.0.0.2"),
        client.local_port,
        53,
        icmp_type,
        code,
        parse_ip("10.0.0.9"),
    )
    a.sockets.deliver_icmp_error(evolve(error, sport=client.local_port + 1))
    a.sockets.deliver_icmp_error(error)
    if number is None:
        with pytest.raises(BlockingIOError):
            client.recvfrom_nowait()
    else:
        with pytest.raises(OSError) as caught:
            client.recvfrom_nowait()
        assert caught.value.errno == number


def test_a_connected_socket_takes_datagrams_of_its_peer_only(pair: tuple[FakeNamespace, FakeNamespace]) -> None:
    a, b = pair
    client, peer, other = UdpSocket(a), UdpSocket(b), UdpSocket(b)
    peer.bind(("10.0.0.2", 53))
    client.connect(("10.0.0.2", 53))
    other.sendto(b"forged", client.getsockname())
    peer.sendto(b"right", client.getsockname())
    assert receive(client)[0] == b"right"
    with pytest.raises(TimeoutError):
        receive(client)


def test_a_wrong_checksum_is_dropped_with_that_reason(pair: tuple[FakeNamespace, FakeNamespace]) -> None:
    a, _ = pair
    socket = UdpSocket(a)
    socket.bind(("0.0.0.0", 53))
    recorder = a.clock.context = Recorder()
    message = b"\x00\x07\x00\x35\x00\x09\x12\x34x"
    a.input(build_ip(17, parse_ip("10.0.0.2"), parse_ip("10.0.0.1"), message))
    assert [event.reason for event in recorder.events] == [DropReason.CHECKSUM]
    assert socket.pending == 0


def test_over_ipv4_no_checksum_is_no_wrong_checksum(pair: tuple[FakeNamespace, FakeNamespace]) -> None:
    a, _ = pair
    socket = UdpSocket(a)
    socket.bind(("0.0.0.0", 53))
    a.input(build_ip(17, parse_ip("10.0.0.2"), parse_ip("10.0.0.1"), b"\x00\x07\x00\x35\x00\x09\x00\x00x"))
    assert socket.recvfrom_nowait()[0] == b"x"


def test_a_full_buffer_drops_and_says_so(pair: tuple[FakeNamespace, FakeNamespace]) -> None:
    a, b = pair
    server, client = UdpSocket(b), UdpSocket(a)
    server.bind(("0.0.0.0", 9))
    recorder = a.clock.context = Recorder()
    for _ in range(10):
        client.sendto(bytes(60000), ("10.0.0.2", 9))
    a.clock.run()
    assert server.pending == 3
    assert [e.reason for e in recorder.events if e.reason] == [DropReason.SOCKET_BUFFER_FULL] * 7


def test_a_trace_names_sender_and_receiver(pair: tuple[FakeNamespace, FakeNamespace]) -> None:
    a, b = pair
    server, client = UdpSocket(b), UdpSocket(a)
    server.bind(("0.0.0.0", 9))
    recorder = a.clock.context = Recorder()
    client.sendto(b"x", ("10.0.0.2", 9))
    a.clock.run()
    assert [(e.place, e.step) for e in recorder.events] == [("a", Step.SENT), ("b", Step.DELIVERED)]
    assert recorder.events[1].decision == "socket: kernel bound to 0.0.0.0:9"


def test_a_closed_port_is_a_drop_with_its_reason(pair: tuple[FakeNamespace, FakeNamespace]) -> None:
    a, _ = pair
    recorder = a.clock.context = Recorder()
    UdpSocket(a).sendto(b"x", ("10.0.0.2", 9))
    a.clock.run()
    assert DropReason.PORT_CLOSED in [e.reason for e in recorder.events]


def test_the_newest_of_several_sockets_receives(pair: tuple[FakeNamespace, FakeNamespace]) -> None:
    a, b = pair
    sockets = [UdpSocket(b) for _ in range(2)]
    for socket in sockets:
        socket.reuse_address = True
        socket.bind(("0.0.0.0", 9))
    UdpSocket(a).sendto(b"x", ("10.0.0.2", 9))
    a.clock.run()
    assert [socket.pending for socket in sockets] == [0, 1]


def test_a_socket_bound_to_another_device_does_not_receive(pair: tuple[FakeNamespace, FakeNamespace]) -> None:
    _, b = pair
    socket = UdpSocket(b)
    socket.bind_device("eth0")
    socket.bind(("0.0.0.0", 9))
    message = b"\x00\x07\x00\x09\x00\x09\x00\x00x"
    packet = Packet(build_ip(17, parse_ip("10.0.0.1"), parse_ip("10.0.0.2"), message))
    b.sockets.deliver(packet)
    assert socket.pending == 0
    packet.indev = b.devices["eth0"]  # type: ignore[assignment]
    b.sockets.deliver(packet)
    assert socket.pending == 1


def test_binding_to_no_device_fails(pair: tuple[FakeNamespace, FakeNamespace]) -> None:
    with pytest.raises(OSError) as caught:
        UdpSocket(pair[0]).bind_device("eth7")
    assert caught.value.errno == errno.ENODEV


def test_a_callback_receives_without_a_task(pair: tuple[FakeNamespace, FakeNamespace]) -> None:
    a, b = pair
    server, seen = UdpSocket(b), []
    server.bind(("0.0.0.0", 9))
    server.on_readable = lambda socket: seen.append(socket.recvfrom_nowait()[0])
    UdpSocket(a).sendto(b"x", ("10.0.0.2", 9))
    a.clock.run()
    assert seen == [b"x"]


@pytest.mark.parametrize(("dont_fragment", "succeeds"), [(None, True), (False, True), (True, False)])
def test_only_dont_fragment_refuses_what_is_larger_than_the_mtu(
    pair: tuple[FakeNamespace, FakeNamespace], dont_fragment: bool | None, succeeds: bool
) -> None:
    socket = UdpSocket(pair[0])
    socket.dont_fragment = dont_fragment
    if succeeds:
        assert socket.sendto(bytes(3000), ("10.0.0.2", 9)) == 3000
    else:
        with pytest.raises(OSError) as caught:
            socket.sendto(bytes(3000), ("10.0.0.2", 9))
        assert caught.value.errno == errno.EMSGSIZE


def test_closing_wakes_the_receiver_and_frees_the_port(pair: tuple[FakeNamespace, FakeNamespace]) -> None:
    a, _ = pair
    socket = UdpSocket(a)
    socket.bind(("0.0.0.0", 9))
    a.clock.call_later(0.5, socket.close)
    with pytest.raises(OSError) as caught:
        receive(socket)
    assert caught.value.errno == errno.EBADF
    UdpSocket(a).bind(("0.0.0.0", 9))


def test_a_datagram_nobody_can_send_is_refused(pair: tuple[FakeNamespace, FakeNamespace]) -> None:
    with pytest.raises(OSError) as caught:
        UdpSocket(pair[0]).sendto(bytes(65508), ("10.0.0.2", 9))
    assert caught.value.errno == errno.EMSGSIZE
