"""Keepalives: which connections they keep open, when they end one, and their segments on the wire."""

from __future__ import annotations

import errno

import pytest
from hypothesis import given
from hypothesis import strategies as st
from support.fake_network import FakeNetwork

from cnmsim.kernel.packet import flag_text
from cnmsim.kernel.sockets import TcpSocket
from cnmsim.kernel.task import run_until


def ends(*, is_server_silent=False, **settings):
    """Return the two ends of a connection; by default only the first sends keepalives."""
    network = FakeNetwork()
    a, b = network.add("a", "10.0.0.1"), network.add("b", "10.0.0.2")
    listener, client = TcpSocket(b, 4), TcpSocket(a, 4)
    listener.bind(("0.0.0.0", 80))
    listener.listen()
    (listener if is_server_silent else client).set_keepalive(**settings)
    run_until(network.clock, client.connect(("10.0.0.2", 80)))
    server = run_until(network.clock, listener.accept())
    listener.close()
    return network, client, server


def lose_all(network):
    network.fate = lambda packet: []


def sent(network: FakeNetwork, begin: int = 0) -> list[str]:
    return [flag_text(packet.tcp_flags) for packet in network.wire[begin:]]


def test_a_probe_is_an_old_sequence_number_and_its_answer_keeps_the_connection():
    network, client, server = ends(idle_s=60, interval_s=5, probes=2)
    begin = len(network.wire)
    last = network.wire[-1]
    network.clock.run_for(601)
    probes = network.wire[begin::2]
    assert sent(network, begin) == ["."] * 20
    assert {packet.src for packet in probes} == {b"\x0a\0\0\1"}
    assert all(int.from_bytes(packet.data[24:28]) == int.from_bytes(last.data[24:28]) - 1 for packet in probes)
    assert (client.state, server.state) == ("ESTAB", "ESTAB")


def test_without_them_a_dead_peer_is_never_missed():
    network, client, _ = ends(is_on=False)
    begin = len(network.wire)
    lose_all(network)
    network.clock.run_for(86400)
    assert (client.state, sent(network, begin)) == ("ESTAB", [])


def test_a_dead_peer_is_given_up_after_as_many_probes_as_the_sysctls_say():
    network, client, _ = ends()
    begin, begun = len(network.wire), network.clock.now
    lose_all(network)
    network.clock.run_for(7200 + 9 * 75 - 1)
    assert (client.state, sent(network, begin)) == ("ESTAB", ["."] * 9)
    with pytest.raises(TimeoutError) as raised:
        run_until(network.clock, client.recv(1))
    assert raised.value.errno == errno.ETIMEDOUT
    assert sent(network, begin)[9:] == ["R."]
    assert network.clock.now - begun == pytest.approx(7200 + 9 * 75, abs=0.01)


def test_an_accepted_connection_does_as_its_listener():
    network, client, server = ends(is_server_silent=True, idle_s=10, interval_s=1, probes=1)
    lose_all(network)
    network.clock.run_for(12)
    assert (client.state, server.state) == ("ESTAB", "UNCONN")


def test_they_can_be_switched_on_and_off_while_connected():
    network, client, _ = ends(is_on=False)
    begin = len(network.wire)
    client.set_keepalive(idle_s=10)
    network.clock.run_for(19)
    assert sent(network, begin) == ["."] * 2
    client.set_keepalive(False)
    network.clock.run_for(3600)
    assert sent(network, begin) == ["."] * 2


def test_a_sysctl_counts_when_the_probe_is_due():
    network, client, _ = ends()
    begin = len(network.wire)
    client.namespace.sysctl["net.ipv4.tcp_keepalive_time"] = "600"
    client.set_keepalive()
    network.clock.run_for(601)
    assert sent(network, begin) == [".", "."]


def test_data_that_waits_for_an_acknowledgement_is_no_silence():
    network, client, _ = ends(idle_s=10, interval_s=1, probes=1)
    lose_all(network)
    client.send(b"x")
    network.clock.run_for(60)
    # Unacknowledged data is covered by the retransmission timer, which gives up later.
    assert client.state == "ESTAB"


def test_a_closed_connection_sends_none():
    network, client, server = ends(idle_s=10)
    for socket in (client, server):
        socket.close()
    network.clock.run_for(1)
    begin = len(network.wire)
    network.clock.run_for(3600)
    assert (sent(network, begin), client.state, server.state) == ([], "UNCONN", "UNCONN")


@pytest.mark.parametrize(
    "settings",
    [{"idle_s": 0}, {"idle_s": 32768}, {"interval_s": 0}, {"interval_s": 32768}, {"probes": 0}, {"probes": 128}],
)
def test_what_linux_refuses(settings):
    network = FakeNetwork()
    socket = TcpSocket(network.add("a", "10.0.0.1"), 4)
    with pytest.raises(OSError) as raised:
        socket.set_keepalive(**settings)
    assert (raised.value.errno, socket.keepalive) == (errno.EINVAL, None)


@given(
    more_s=st.integers(0, 1000),
    interval_s=st.integers(1, 100),
    probes=st.integers(1, 20),
    talks=st.lists(st.integers(0, 1500), max_size=5),
)
def test_the_end_comes_idle_time_and_all_probes_after_the_last_acknowledgement(more_s, interval_s, probes, talks):
    # If the interval exceeds the idle time, the timer of the last probe expires next.
    idle_s = interval_s + more_s
    network, client, server = ends(idle_s=idle_s, interval_s=interval_s, probes=probes)
    # The handshake is over on both sides when the client has its answer; the ACK of the accepting end came last.
    arrivals = [network.clock.now - 0.001]

    def fate(packet):
        if packet.dst in client.namespace.addresses:
            arrivals.append(network.clock.now + 0.001)
        return [0.001]

    network.fate = fate
    for pause in talks:
        network.clock.run_for(pause)
        server.send(b"x")
        network.clock.run_for(0.5)
    lose_all(network)
    with pytest.raises(TimeoutError):
        run_until(network.clock, _to_the_end(client))
    assert network.clock.now == pytest.approx(max(arrivals) + idle_s + probes * interval_s, abs=1e-6)


async def _to_the_end(socket):
    while await socket.recv():
        pass
