"""Published ports of a simulated host are open for real clients, by real rules and real bytes."""

import contextlib
import http.client
import socket
import struct
import time

import pytest
from support.patience import PATIENCE_S, eventually

from cnmsim import InvalidParameter, Lab
from cnmsim.testing.snapshot import Snapshot

RELEASES = ("26.1.5", "28.5.2", "29.7.2")


def new_lab(engine="29.7.2", *addresses, **daemon):
    lab = Lab(engine=engine)
    lab.add_host("node1", *(addresses or ("10.0.0.15/24",)), docker=daemon or True)
    return lab


def free_port(kind=socket.SOCK_STREAM):
    with socket.socket(socket.AF_INET, kind) as one:
        one.bind(("127.0.0.1", 0))
        return one.getsockname()[1]


def run(sockets, lab, image="nginx", **options):
    return sockets.call(lambda: lab.host("node1").docker.containers.run(image, detach=True, **options))


def start_listener(sockets, lab, command, **options):
    """Run `command` and let it bind its port."""
    container = run(sockets, lab, "alpine", command=command, **options)
    sockets.call(lab.run, 0.1)
    return container


def get(port, path="/", host="127.0.0.1"):
    connection = http.client.HTTPConnection(host, port, timeout=PATIENCE_S)
    connection.request("GET", path)
    answer = connection.getresponse()
    content = answer.read()
    connection.close()
    return answer.status, content


def connected(port):
    sock = socket.create_connection(("127.0.0.1", port), PATIENCE_S)
    sock.settimeout(PATIENCE_S)
    return sock


def printed(sockets, container, text):
    """Wait until a container has printed `text`."""
    eventually(lambda: text in sockets.call(container.logs))


def refused(port):
    try:
        socket.create_connection(("127.0.0.1", port), 5).close()
    except ConnectionRefusedError:
        return True
    return False


@pytest.mark.parametrize("clock", ["real", "fast", "paused"])
@pytest.mark.parametrize("release", RELEASES)
def test_a_real_client_gets_the_page_by_the_number_the_engine_tells(release, clock):
    lab = new_lab(release)
    with lab.serve(clock=clock, expose_ports="") as sockets:
        web = run(sockets, lab, ports={"80/tcp": None})
        sockets.call(lab.run, 0.1)
        port = int(web.attrs["NetworkSettings"]["Ports"]["80/tcp"][0]["HostPort"])
        status, page = get(port)
        assert status == 200
        assert b"Welcome to nginx!" in page
        assert sockets.ports[f"{port}/tcp"] == ("127.0.0.1", port)


@pytest.mark.parametrize("daemon", [{}, {"userland-proxy": False}])
def test_the_hosts_rules_decide(daemon):
    lab = new_lab("29.7.2", **daemon)
    port = free_port()
    with lab.serve(expose_ports="node1") as sockets:
        run(sockets, lab, ports={"80/tcp": port})
        sockets.call(lab.run, 0.1)
        assert get(port)[0] == 200
        packets = sockets.call(lab.host("node1").iptables, "-t nat -vnL DOCKER")
        rule = next(line for line in packets.splitlines() if f"dpt:{port}" in line)
        assert int(rule.split()[0]) == 1
        sockets.call(lab.host("node1").iptables, "-I DOCKER-USER -p tcp -j REJECT --reject-with tcp-reset")
        with pytest.raises(ConnectionResetError), connected(port) as sock:
            sock.recv(1)


def test_the_container_sees_a_machine_outside():
    lab = new_lab()
    with lab.serve(expose_ports="") as sockets:
        port = free_port()
        start_listener(sockets, lab, ["nc", "-lk", "-p", "7", "-e", "cat"], ports={"7/tcp": port}, name="echo")
        with connected(port) as sock:
            sock.sendall(b"x")
            assert sock.recv(1) == b"x"
            seen = sockets.call(lab.host("node1").docker.containers.get("echo").exec_run, ["netstat", "-tn"])
            assert "10.0.0.254:" in seen.output.decode()
        assert "this-machine" in lab.hosts
    assert "this-machine" not in lab.hosts


@pytest.mark.parametrize("clock", ["real", "fast", "paused"])
def test_bytes_and_the_end_of_either_direction_come_through(clock):
    lab = new_lab()
    port = free_port()
    with lab.serve(clock=clock, expose_ports="") as sockets:
        start_listener(
            sockets, lab, ["nc", "-lk", "-p", "7", "-e", "sh", "-c", "cat; echo end"], ports={"7/tcp": port}
        )
        data = bytes(range(256)) * 1500
        with connected(port) as sock:
            got = b""
            for at in range(0, len(data), 30000):
                sock.sendall(data[at : at + 30000])
            sock.shutdown(socket.SHUT_WR)
            while part := sock.recv(65536):
                got += part
        assert got.startswith(data)
        assert got[len(data) :] in (b"end\n", b"")


def test_a_reset_of_the_real_client_reaches_the_server():
    lab = new_lab()
    port = free_port()
    with lab.serve(expose_ports="") as sockets:
        start_listener(sockets, lab, ["nc", "-l", "-p", "7"], ports={"7/tcp": port}, name="one")
        sock = connected(port)
        sock.sendall(b"said\n")
        one = lab.host("node1").docker.containers.get("one")
        printed(sockets, one, b"said")
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        sock.close()
        printed(sockets, one, b"reset by peer")


def test_nobody_listens_in_the_container():
    lab = new_lab()
    port = free_port()
    with lab.serve(expose_ports="") as sockets:
        run(sockets, lab, "alpine", command=["sleep", "1d"], ports={"80/tcp": port})
        with pytest.raises(ConnectionResetError), connected(port) as sock:
            sock.recv(1)


def test_a_dropped_connection_is_given_up_without_real_waiting_when_fast():
    lab = new_lab()
    port = free_port()
    with lab.serve(expose_ports="") as sockets:
        run(sockets, lab, ports={"80/tcp": port})
        sockets.call(lab.host("node1").iptables, "-I DOCKER-USER -j DROP")
        with pytest.raises(ConnectionResetError), connected(port) as sock:
            sock.recv(1)


def test_the_listener_lives_as_long_as_the_publishing():
    lab = new_lab()
    port = free_port()
    with lab.serve(expose_ports="") as sockets:
        assert refused(port)
        web = run(sockets, lab, ports={"80/tcp": port})
        sockets.call(lab.run, 0.1)
        assert get(port)[0] == 200
        for again in (web.restart, web.start):
            sockets.call(again)
            sockets.call(lab.run, 0.1)
            assert get(port)[0] == 200
            sockets.call(web.stop)
            assert refused(port)
        assert sockets.ports == {}
    assert refused(port)


def test_a_connection_ends_with_its_container():
    lab = new_lab()
    port = free_port()
    with lab.serve(expose_ports="") as sockets:
        one = start_listener(sockets, lab, ["nc", "-l", "-p", "7"], ports={"7/tcp": port})
        with connected(port) as sock:
            sock.sendall(b"said\n")
            printed(sockets, one, b"said")
            sockets.call(one.kill)
            try:
                ended = sock.recv(1) == b""
            except ConnectionResetError:
                ended = True
            assert ended


def test_the_end_of_serving_closes_connections_and_leaves_nothing():
    lab = new_lab()
    before = Snapshot.of(lab.host("node1"))
    port = free_port()
    with lab.serve(expose_ports="") as sockets:
        one = start_listener(sockets, lab, ["nc", "-lk", "-p", "7"], ports={"7/tcp": port})
        sock = connected(port)
        sock.sendall(b"x")
        sockets.call(lab.run, 0.1)
    with sock:
        try:
            ended = sock.recv(1) == b""
        except ConnectionResetError:
            ended = True
    assert ended
    one.remove(force=True)
    assert before.difference(Snapshot.of(lab.host("node1"))) == []
    assert lab.host("node1").docker.controller.allocator.bound == []


def test_a_port_taken_on_this_machine_is_taken_there():
    lab = new_lab()
    with lab.serve(expose_ports="") as sockets, socket.socket() as holder:
        holder.bind(("127.0.0.1", 0))
        holder.listen()
        port = holder.getsockname()[1]
        docker = lab.host("node1").docker
        before = sockets.call(Snapshot.of, lab.host("node1"))
        body = {"Image": "nginx", "HostConfig": {"PortBindings": {"80/tcp": [{"HostPort": str(port)}]}}}
        made = sockets.call(docker.rest.containers.create, body, {"name": "web"})
        with pytest.raises(Exception, match=f"failed to bind host port 0.0.0.0:{port}/tcp: address already in use"):
            sockets.call(docker.complete, docker.rest.containers.start(made["Id"]))
        sockets.call(docker.rest.containers.remove, made["Id"], {})
        assert before.difference(sockets.call(Snapshot.of, lab.host("node1"))) == []


def test_an_ephemeral_port_is_one_that_is_free_for_real():
    lab = new_lab()
    with lab.serve(expose_ports="") as sockets, socket.socket() as holder:
        holder.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        with contextlib.suppress(OSError):  # if somebody else's holds it, it is as good
            holder.bind(("127.0.0.1", 32768))
            holder.listen()
        web = run(sockets, lab, ports={"80/tcp": None})
        sockets.call(lab.run, 0.1)
        port = int(web.attrs["NetworkSettings"]["Ports"]["80/tcp"][0]["HostPort"])
        assert port != 32768
        assert get(port)[0] == 200


def test_what_was_published_before_is_open_and_announced_if_elsewhere(caplog):
    lab = new_lab()
    with socket.socket() as holder:
        holder.bind(("127.0.0.1", 0))
        holder.listen()
        port, other = holder.getsockname()[1], free_port()
        lab.host("node1").docker.containers.run("nginx", detach=True, ports={"80/tcp": [port, other]})
        lab.run(0.1)
        with lab.serve(expose_ports="") as sockets:
            where = sockets.ports
            assert where[f"{other}/tcp"][1] == other
            assert where[f"{port}/tcp"][1] not in (port, other)
            assert get(where[f"{port}/tcp"][1])[0] == get(other)[0] == 200
        assert f"port {port}/tcp is reached at 127.0.0.1:{where[f'{port}/tcp'][1]}" in caplog.text


def test_a_port_of_the_hosts_loopback_is_reached_from_the_host_itself():
    lab = new_lab()
    port = free_port()
    with lab.serve(expose_ports="") as sockets:
        run(sockets, lab, ports={"80/tcp": ("127.0.0.1", port)})
        sockets.call(lab.run, 0.1)
        assert get(port)[0] == 200


@pytest.mark.parametrize("addresses", [("10.0.0.15/24",), ("10.0.0.15/24", "fd00:9::15/64")])
def test_ipv6_is_open_where_the_real_machine_has_it(addresses):
    try:
        with socket.socket(socket.AF_INET6) as one:
            one.bind(("::1", 0))
    except OSError as error:
        pytest.skip(reason=f"no IPv6 loopback here: {error}")
    lab = new_lab("29.7.2", *addresses)
    port = free_port()
    with lab.serve(expose_ports="") as sockets:
        run(sockets, lab, ports={"80/tcp": port})
        sockets.call(lab.run, 3)
        assert get(port, host="::1")[0] == 200


async def udp_echo(process):
    sock = process.udp()
    sock.bind(("0.0.0.0", 7))
    while True:
        data, sender = await sock.recvfrom()
        sock.sendto(data.upper(), sender)


def test_datagrams_go_and_come_back_to_their_senders():
    lab = Lab(programs={"udp-echo": udp_echo})
    lab.add_host("node1", "10.0.0.15/24", docker=True)
    port = free_port(socket.SOCK_DGRAM)
    with lab.serve(expose_ports="") as sockets:
        start_listener(sockets, lab, ["udp-echo"], ports={"7/udp": port})
        with contextlib.ExitStack() as stack:
            clients = [stack.enter_context(socket.socket(socket.AF_INET, socket.SOCK_DGRAM)) for _ in range(5)]
            for _ in range(3):
                for number, one in enumerate(clients):
                    one.settimeout(PATIENCE_S)
                    one.sendto(b"from %d" % number, ("127.0.0.1", port))
                assert [one.recv(100) for one in clients] == [b"FROM %d" % number for number in range(5)]
        assert sockets.ports == {f"{port}/udp": ("127.0.0.1", port)}


def test_an_idle_connection_pulls_no_fast_clock_ahead():
    lab = new_lab()
    port = free_port()
    with lab.serve(expose_ports="") as sockets:
        start_listener(sockets, lab, ["nc", "-lk", "-p", "7"], ports={"7/tcp": port})
        with connected(port) as sock:
            sock.sendall(b"x")
            began, now = time.monotonic(), sockets.call(lambda: lab.now)
            eventually(lambda: sockets.call(lambda: lab.now) > now + 0.5)
            assert sockets.call(lambda: lab.now) - now < time.monotonic() - began + 1


def test_many_real_clients_at_once():
    lab = new_lab()
    port = free_port()
    with lab.serve(expose_ports="") as sockets:
        start_listener(sockets, lab, ["nc", "-lk", "-p", "7", "-e", "cat"], ports={"7/tcp": port})
        many = [connected(port) for _ in range(60)]
        for number, sock in enumerate(many):
            sock.sendall(b"%d" % number)
        assert [sock.recv(9) for sock in many] == [b"%d" % number for number in range(60)]
        for sock in many:
            sock.close()


@pytest.mark.parametrize(
    ("hosts", "asked", "text"),
    [
        (("node1", "node2"), "", "name the Docker host whose ports are to be exposed; there are: node1, node2"),
        (("node1",), "nosuch", "no Docker host named nosuch"),
    ],
)
def test_the_host_must_be_clear(hosts, asked, text):
    lab = Lab()
    for number, name in enumerate(hosts, 15):
        lab.add_host(name, f"10.0.0.{number}/24", docker=True)
    with pytest.raises(InvalidParameter, match=text), lab.serve(expose_ports=asked):
        pass
    assert list(lab.hosts) == list(hosts)
