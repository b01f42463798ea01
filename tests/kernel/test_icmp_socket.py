"""ICMP sockets: echo requests, replies and errors."""

from __future__ import annotations

import errno

import pytest
from support.fake_network import FakeNamespace, FakeNetwork, Recorder

from cnmsim.kernel.address import parse_ip
from cnmsim.kernel.events import DropReason
from cnmsim.kernel.packet import build_ip
from cnmsim.kernel.skbuff import Packet
from cnmsim.kernel.sockets import IcmpSocket
from cnmsim.kernel.sockets.icmp import echo_ident
from cnmsim.kernel.task import run_until
from cnmsim.kernel.transport import icmp_message, icmpv6_message

A, B = parse_ip("10.0.0.1"), parse_ip("10.0.0.2")


@pytest.fixture
def namespace() -> FakeNamespace:
    return FakeNetwork().add("a", "10.0.0.1", "fd00::1")


def reply(ident: int, payload: bytes = b"data") -> bytes:
    return build_ip(1, B, A, icmp_message(0, 0, ident.to_bytes(2) + b"\0\1", payload))


def test_an_echo_request_is_on_the_wire_as_asked(namespace: FakeNamespace) -> None:
    IcmpSocket(namespace).send_echo("10.0.0.2", 77, 3, b"payload", ttl=5)
    packet = namespace.network.wire[0]
    assert (packet.icmp_type, packet.ttl, packet.payload[4:]) == (8, 5, b"\0\x4d\0\x03payload")


def test_an_ipv6_echo_request_is_icmpv6(namespace: FakeNamespace) -> None:
    IcmpSocket(namespace, 6).send_echo("fd00::2", 77, 3)
    assert (namespace.network.wire[0].protocol, namespace.network.wire[0].icmp_type) == (58, 128)


def test_only_replies_to_its_own_requests_are_received(namespace: FakeNamespace) -> None:
    mine, other = IcmpSocket(namespace), IcmpSocket(namespace)
    mine.send_echo("10.0.0.2", 1, 1)
    other.send_echo("10.0.0.2", 2, 1)
    namespace.input(reply(1))
    assert run_until(namespace.clock, mine.recv(timeout=1)).icmp_type == 0
    with pytest.raises(BlockingIOError):
        other.recv_nowait()


def test_an_error_that_quotes_its_request_is_received(namespace: FakeNamespace) -> None:
    socket = IcmpSocket(namespace)
    socket.send_echo("10.0.0.2", 1, 1)
    request = namespace.network.wire[0]
    error = build_ip(1, parse_ip("10.0.0.9"), A, icmp_message(3, 1, bytes(4), request.data[:28]))
    namespace.input(error)
    packet = socket.recv_nowait()
    assert (packet.src, packet.icmp_type, packet.icmp_code) == (parse_ip("10.0.0.9"), 3, 1)


def test_a_reply_nobody_waits_for_is_dropped_with_a_reason(namespace: FakeNamespace) -> None:
    recorder = namespace.clock.context = Recorder()
    namespace.input(reply(9))
    assert [event.reason for event in recorder.events] == [DropReason.NO_PROTOCOL]


def test_a_closed_socket_receives_no_more(namespace: FakeNamespace) -> None:
    socket = IcmpSocket(namespace)
    socket.send_echo("10.0.0.2", 1, 1)
    socket.close()
    namespace.input(reply(1))
    with pytest.raises(OSError) as caught:
        socket.recv_nowait()
    assert caught.value.errno == errno.EBADF


def test_the_source_may_be_chosen_among_the_own_addresses(namespace: FakeNamespace) -> None:
    socket = IcmpSocket(namespace)
    with pytest.raises(OSError) as caught:
        socket.bind("192.0.2.1")
    assert caught.value.errno == errno.EADDRNOTAVAIL
    socket.bind("127.0.0.1")
    socket.send_echo("10.0.0.2", 1, 1)
    assert namespace.network.wire[0].src == parse_ip("127.0.0.1")


_REQUEST6 = build_ip(58, bytes(16), bytes(16), icmpv6_message(bytes(16), bytes(16), 128, 0, b"\0\5\0\1"))


@pytest.mark.parametrize(
    ("data", "ident"),
    [
        (reply(7), 7),
        (build_ip(1, B, A, icmp_message(8, 0, b"\0\7\0\1")), None),
        (build_ip(1, B, A, icmp_message(11, 0, bytes(4), build_ip(1, A, B, icmp_message(8, 0, b"\0\5\0\1")))), 5),
        (build_ip(1, B, A, icmp_message(11, 0, bytes(4), build_ip(17, A, B, bytes(8)))), None),
        (build_ip(1, B, A, icmp_message(11, 0, bytes(4), b"\x45")), None),
        (build_ip(1, B, A, icmp_message(11, 0)), None),
        (build_ip(58, bytes(16), bytes(16), icmpv6_message(bytes(16), bytes(16), 1, 0, bytes(4), _REQUEST6)), 5),
    ],
)
def test_the_identifier_is_found_in_replies_and_quotations(data: bytes, ident: int | None) -> None:
    assert echo_ident(Packet(data)) == ident
