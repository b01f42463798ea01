"""Sockets over the real stack: a host with a bridge, containers on it, a router beyond."""

from __future__ import annotations

import errno

import pytest
from support.wiring import Net

from cnmsim.kernel.address import parse_ip
from cnmsim.kernel.events import DropReason, Step
from cnmsim.kernel.namespace import NetworkNamespace
from cnmsim.kernel.sockets import IcmpSocket, TcpSocket, UdpSocket
from cnmsim.kernel.task import Task, run_until


def listen(namespace: NetworkNamespace, address: str, port: int = 80) -> TcpSocket:
    socket = TcpSocket(namespace, 6 if ":" in address else 4)
    socket.bind((address, port))
    socket.listen()
    return socket


def connect(namespace: NetworkNamespace, address: str, port: int = 80) -> TcpSocket:
    socket = TcpSocket(namespace, 6 if ":" in address else 4)
    run_until(namespace.clock, socket.connect((address, port)))
    return socket


@pytest.mark.parametrize("address", ["10.1.0.3", "fd01::3"])
def test_containers_on_a_bridge_exchange_a_stream(address: str) -> None:
    net = Net()
    one, two = net.container(2), net.container(3)
    listener = listen(two, "::")

    async def serve() -> bytes:
        socket = await listener.accept()
        whole = b""
        while data := await socket.recv():
            whole += data
        socket.send(b"thanks")
        socket.close()
        return whole

    task = Task(net.clock, serve())
    client = connect(one, address)
    client.send(bytes(100_000))
    client.shutdown_write()
    assert run_until(net.clock, client.recv()) == b"thanks"
    assert task.result() == bytes(100_000)


def test_a_neighbour_that_does_not_answer_is_no_route_to_host() -> None:
    net = Net()
    one = net.container(2)
    with pytest.raises(OSError) as caught:
        connect(one, "10.1.0.77")
    assert caught.value.errno == errno.EHOSTUNREACH
    assert net.clock.now < 10


@pytest.mark.parametrize("pause", [0.0, 0.5, 2.0])
@pytest.mark.parametrize("address", ["10.1.0.77", "fd01::77"])
def test_every_try_at_a_dead_host_beyond_a_router_takes_as_long(address: str, pause: float) -> None:
    net = Net()
    for key in ("net.ipv4.ip_forward", "net.ipv6.conf.all.forwarding"):
        net.host.sysctl_set(key, "1")
    link, length = ("fd09::", 64) if ":" in address else ("10.9.0.", 24)
    outside = net.neighbour_host("outside", f"{link}2/{length}", f"{link}1", f"{link}1/{length}")
    took = []
    for _ in range(4):
        begun = net.clock.now_ns
        with pytest.raises(OSError, match="No route to host"):
            connect(outside, address)
        took.append((net.clock.now_ns - begun) / 1e9)
        net.clock.run_for(pause)
    # The SYN of the third second is among the packets that wait for the neighbour in vain, so it starts no further
    # resolution.
    assert took == [3.072] * 4


def test_a_closed_port_is_refused_over_tcp_and_udp() -> None:
    net = Net()
    one, _ = net.container(2), net.container(3)
    with pytest.raises(ConnectionRefusedError):
        connect(one, "10.1.0.3", 81)
    for family, address in ((4, "10.1.0.3"), (6, "fd01::3")):
        socket = UdpSocket(one, family)
        socket.connect((address, 53))
        socket.send(b"x")
        with pytest.raises(ConnectionRefusedError):
            run_until(net.clock, socket.recvfrom(timeout=5))


def test_a_large_datagram_is_fragmented_and_put_together() -> None:
    net = Net()
    one, two = net.container(2), net.container(3)
    receiver, sender = UdpSocket(two), UdpSocket(one)
    receiver.bind(("0.0.0.0", 9))
    sender.sendto(bytes(range(250)) * 40, ("10.1.0.3", 9))
    assert run_until(net.clock, receiver.recvfrom(timeout=5))[0] == bytes(range(250)) * 40


@pytest.mark.parametrize(("address", "expected"), [("10.1.0.77", (3, 1)), ("fd01::77", (1, 3))])
def test_ping_hears_that_a_host_is_unreachable(address: str, expected: tuple[int, int]) -> None:
    net = Net()
    one = net.container(2)
    socket = IcmpSocket(one, 6 if ":" in address else 4)
    socket.send_echo(address, 1, 1)
    packet = run_until(net.clock, socket.recv(timeout=10))
    assert (packet.icmp_type, packet.icmp_code) == expected


@pytest.mark.parametrize("address", ["10.1.0.3", "fd01::3", "127.0.0.1", "::1", "10.1.0.2"])
def test_ping_hears_the_reply(address: str) -> None:
    net = Net()
    one, _ = net.container(2), net.container(3)
    socket = IcmpSocket(one, 6 if ":" in address else 4)
    socket.send_echo(address, 1, 7, b"payload")
    packet = run_until(net.clock, socket.recv(timeout=10))
    assert (packet.src, packet.payload[4:]) == (parse_ip(address), b"\0\1\0\x07payload")


def test_traceroute_hears_the_router_and_then_the_host() -> None:
    net = Net()
    net.host.sysctl_set("net.ipv4.ip_forward", "1")
    one = net.container(2)
    net.neighbour_host("far", "192.168.1.2/24", "192.168.1.1", "192.168.1.1/24")
    reporters = []
    for ttl in (1, 2):
        socket = UdpSocket(one)
        socket.recverr = True
        socket.ttl = ttl
        socket.sendto(b"probe", ("192.168.1.2", 33434))
        with pytest.raises(OSError) as caught:
            run_until(net.clock, socket.recvfrom(timeout=5))
        reporters.append((caught.value.info.reporter, caught.value.errno))  # type: ignore[attr-defined]
    assert reporters == [
        (parse_ip("10.1.0.1"), errno.EHOSTUNREACH), (parse_ip("192.168.1.2"), errno.ECONNREFUSED),
    ]  # fmt: skip


def test_tcp_finds_a_narrow_link_on_its_way() -> None:
    net = Net()
    net.host.sysctl_set("net.ipv4.ip_forward", "1")
    one = net.container(2)
    far = net.neighbour_host("far", "192.168.1.2/24", "192.168.1.1", "192.168.1.1/24")
    net.host.devices["to-far"].set_mtu(1300)
    listener = listen(far, "0.0.0.0")
    client = connect(one, "192.168.1.2")
    client.send(bytes(20_000))
    client.shutdown_write()
    server = run_until(net.clock, listener.accept())

    async def read() -> bytes:
        whole = b""
        while data := await server.recv():
            whole += data
        return whole

    assert run_until(net.clock, read(), timeout_s=5) == bytes(20_000)
    assert client._connection is not None
    assert client._connection.mss == 1248


def test_a_trace_follows_a_request_into_the_server_and_back() -> None:
    net = Net()
    one, two = net.container(2), net.container(3)
    listener = listen(two, "0.0.0.0")

    async def serve() -> None:
        socket = await listener.accept()
        socket.send((await socket.recv()).upper())
        socket.close()

    Task(net.clock, serve())
    net.clock.run()
    net.clock.context = net.witness
    client = TcpSocket(one)

    async def ask() -> bytes:
        await client.connect(("10.1.0.3", 80))
        client.send(b"request")
        return await client.recv()

    task = Task(net.clock, ask())
    net.clock.context = None
    assert run_until(net.clock, task) == b"REQUEST"
    assert "TCP sends [P.] with 7 bytes" in [e.what for e in net.witness.events if e.place == "c3"]
    assert net.witness.steps("c3").count(Step.DELIVERED) >= 3
    assert net.witness.drops == []


def test_a_device_that_vanishes_ends_a_connect_at_its_timeout() -> None:
    net = Net()
    one, two = net.container(2), net.container(3)
    listen(two, "0.0.0.0")
    client = connect(one, "10.1.0.3")
    one.remove_device(one.devices["eth0"])
    client.send(b"x")
    with pytest.raises(OSError) as caught:
        run_until(net.clock, client.recv())
    assert caught.value.errno in (errno.ENETUNREACH, errno.EADDRNOTAVAIL)


def test_binding_to_an_address_of_another_namespace_fails() -> None:
    net = Net()
    one = net.container(2)
    with pytest.raises(OSError) as caught:
        TcpSocket(one).bind(("10.1.0.3", 80))
    assert caught.value.errno == errno.EADDRNOTAVAIL


def test_a_refused_connection_names_the_reason() -> None:
    net = Net()
    one, _ = net.container(2), net.container(3)
    net.clock.context = net.witness
    TcpSocket(one).start_connect(("10.1.0.3", 81))
    net.clock.context = None
    net.clock.run()
    assert ("c3", DropReason.PORT_CLOSED) in net.witness.drops


@pytest.mark.parametrize("is_watched", [False, True])
def test_a_neighbour_through_which_tcp_gets_is_not_asked_again(*, is_watched: bool) -> None:
    net = Net()
    one, two = net.container(2), net.container(3)
    listener = listen(two, "::")
    neighbour = parse_ip("10.1.0.3")

    async def echo() -> None:
        socket = await listener.accept()
        while data := await socket.recv():
            socket.send(data)

    Task(net.clock, echo())
    if is_watched:  # the full packet path, without cached flows
        net.clock.context = net.witness
    client = connect(one, "10.1.0.3")
    asked = []
    one.devices["eth0"].taps += (
        lambda _time, _direction, frame: asked.append(frame) if frame[12:14] == b"\x08\x06" else None,
    )
    states = set()
    for _ in range(60):
        client.send(b"x")
        run_until(net.clock, client.recv())
        states.add(next(str(entry).split()[-1] for entry in one.neighbours.entries() if entry.address == neighbour))
        net.clock.run_for(2.0)
    assert states == {"REACHABLE"}
    assert not [frame for frame in asked if frame[22:28] == one.devices["eth0"].mac]
    # After a pause the neighbour entry is in DELAY; an acknowledgement then confirms it.
    net.clock.run_for(60)
    entry = one.neighbours.get(one.devices["eth0"], neighbour)
    assert entry is not None
    assert str(entry).endswith("STALE")
    client.send(b"x")
    assert str(entry).endswith("DELAY")
    net.clock.run_for(2)
    client.send(b"x")
    net.clock.run_for(4)
    assert str(entry).endswith("REACHABLE")
    assert not [frame for frame in asked if frame[22:28] == one.devices["eth0"].mac]


def test_a_neighbour_with_which_udp_is_exchanged_is_asked_again() -> None:
    net = Net()
    one, two = net.container(2), net.container(3)
    ends = [UdpSocket(namespace, 4) for namespace in (one, two)]
    for end in ends:
        end.bind(("0.0.0.0", 5000))
    asked = []
    one.devices["eth0"].taps += (
        lambda _time, _direction, frame: asked.append(frame) if frame[12:14] == b"\x08\x06" else None,
    )
    for _ in range(60):
        ends[0].sendto(b"x", ("10.1.0.3", 5000))
        ends[1].sendto(b"x", ("10.1.0.2", 5000))
        net.clock.run_for(2.0)
    assert len([frame for frame in asked if frame[22:28] == one.devices["eth0"].mac and frame[21] == 1]) == 4
