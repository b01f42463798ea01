"""Allocation of local ports: ephemeral ports, conflicts, errors."""

from __future__ import annotations

import errno

import pytest
from hypothesis import given
from hypothesis import strategies as st
from support.fake_network import FakeNetwork

from cnmsim.kernel.address import IPV4_ANY, parse_ip
from cnmsim.kernel.sockets import UdpSocket

ADDRESSES = ("0.0.0.0", "10.0.0.1", "10.0.0.2", "127.0.0.1")


@given(st.lists(st.tuples(st.sampled_from(ADDRESSES), st.integers(0, 3)), max_size=40), st.integers(0, 9))
def test_an_ephemeral_port_is_never_one_in_use(steps: list[tuple[str, int]], seed: int) -> None:
    network = FakeNetwork()
    network.clock.seed = seed
    namespace = network.add("a", "10.0.0.1", "10.0.0.2")
    namespace.sysctl["net.ipv4.ip_local_port_range"] = "40000\t40007"
    live: list[UdpSocket] = []
    for address, action in steps:
        if action == 0 and live:
            live.pop(0).close()
            continue
        socket = UdpSocket(namespace)
        try:
            socket.bind((address, 0))
        except OSError as error:
            assert error.errno == errno.EADDRINUSE
            taken = {s.local_port for s in live if s.local in (parse_ip(address), IPV4_ANY) or address == "0.0.0.0"}
            assert taken == set(range(40000, 40008))
            continue
        assert 40000 <= socket.local_port <= 40007
        for other in live:
            overlap = other.local == socket.local or IPV4_ANY in (other.local, socket.local)
            assert not (overlap and other.local_port == socket.local_port)
        live.append(socket)


def test_the_same_seed_gives_the_same_ports() -> None:
    def ports() -> list[int]:
        namespace = FakeNetwork().add("a", "10.0.0.1")
        return [namespace.sockets.udp_ports.free_port((IPV4_ANY,)) for _ in range(5)]

    assert ports() == ports()


def test_bound_tells_of_overlapping_addresses() -> None:
    namespace = FakeNetwork().add("a", "10.0.0.1")
    UdpSocket(namespace).bind(("10.0.0.1", 53))
    assert namespace.sockets.udp_ports.is_bound(parse_ip("10.0.0.1"), 53)
    assert namespace.sockets.udp_ports.is_bound(IPV4_ANY, 53)
    assert not namespace.sockets.udp_ports.is_bound(parse_ip("127.0.0.1"), 53)
    assert not namespace.sockets.tcp_ports.is_bound(parse_ip("10.0.0.1"), 53)


def test_a_socket_is_bound_once() -> None:
    socket = UdpSocket(FakeNetwork().add("a", "10.0.0.1"))
    socket.bind(("0.0.0.0", 53))
    with pytest.raises(OSError) as caught:
        socket.bind(("0.0.0.0", 54))
    assert caught.value.errno == errno.EINVAL


def test_a_provisional_holder_loses_its_port_to_the_next_socket_only() -> None:
    namespace = FakeNetwork().add("a", "10.0.0.1")
    ports = namespace.sockets.udp_ports
    provisional, other, real = (UdpSocket(namespace) for _ in range(3))
    ports.claim_provisionally(provisional)
    provisional.bind(("0.0.0.0", 53))
    ports.claim_provisionally(other)
    with pytest.raises(OSError, match="Address already in use"):
        other.bind(("10.0.0.1", 53))
    assert not provisional.is_closed
    real.bind(("10.0.0.1", 53))
    assert provisional.is_closed
    with pytest.raises(OSError, match="Address already in use"):
        UdpSocket(namespace).bind(("0.0.0.0", 53))
    assert not real.is_closed
