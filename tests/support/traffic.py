"""Servers that tell a client its own address, and clients that ask: what these tests send through the rules."""

from __future__ import annotations

from support.docker_host import DockerHost

from cnmsim.kernel.address import format_ip, parse_ip
from cnmsim.kernel.device import Nic
from cnmsim.kernel.machine import Machine
from cnmsim.kernel.namespace import NetworkNamespace
from cnmsim.kernel.process import Process, Program
from cnmsim.underlay.segment import Segment

TIMEOUT, REFUSED, UNREACHABLE = "timeout", "refused", "unreachable"


def add_remote(host: DockerHost) -> Machine:
    """A second machine on the host's Ethernet segment, 10.0.0.50, with a route to all containers through the host."""
    from cnmsim.kernel.address import Prefix
    from cnmsim.kernel.route import Route

    segment = Segment("lan", host.clock)
    remote = Machine("remote", host.clock)
    remote.root.loopback.set_up()
    nic = Nic("eth0", b"\x02\x00\x00\x00\x00\x50", host.clock)
    remote.root.add_device(nic)
    remote.root.add_address(nic, "10.0.0.50/24")
    nic.set_up()
    segment.attach(nic)
    uplink = host.machine.root.devices["eth0"]
    assert isinstance(uplink, Nic)
    segment.attach(uplink)
    remote.root.add_route(Route(Prefix.parse("172.16.0.0/12"), nic, gateway=parse_ip("10.0.0.15")))
    return remote


def serve(host: DockerHost, name: str, port: int, *, udp: bool = False) -> None:
    namespace = host.sandboxes[name].namespace
    host.machine.spawn(_udp_server(port) if udp else _tcp_server(port), ["server"], namespace=namespace)
    host.clock.run_ready()


def _tcp_server(port: int) -> Program:
    async def serve_tcp(process: Process) -> int:
        listener = process.tcp(6)
        listener.bind(("::", port))
        listener.listen()
        while True:
            client = await listener.accept()
            client.send(format_ip(client.getpeername()[0]).encode())
            client.close()

    return serve_tcp


def _udp_server(port: int) -> Program:
    async def serve_udp(process: Process) -> int:
        socket = process.udp(6)
        socket.bind(("::", port))
        while True:
            _, client = await socket.recvfrom()
            socket.sendto(format_ip(client[0]).encode(), client)

    return serve_udp


def ask(host: DockerHost, address: str, port: int, *, source: str | NetworkNamespace = "", udp: bool = False) -> str:
    """The source address a server saw, or how the attempt failed. `source`: a container, or "" for the host."""
    namespace = source
    if isinstance(namespace, str):
        namespace = host.sandboxes[namespace].namespace if namespace else host.machine.root
    outcome: list[str] = []

    async def client(process: Process) -> int:
        family = 6 if ":" in address else 4
        try:
            if udp:
                datagrams = process.udp(family)
                datagrams.connect((address, port))
                datagrams.send(b"?")
                data, _ = await datagrams.recvfrom(timeout=2)
            else:
                stream = process.tcp(family)
                await stream.connect((address, port), timeout=2)
                data = await stream.recv(timeout=2)
            outcome.append(data.decode().removeprefix("::ffff:"))
        except TimeoutError:
            outcome.append(TIMEOUT)
        except ConnectionRefusedError:
            outcome.append(REFUSED)
        except OSError:
            outcome.append(UNREACHABLE)
        return 0

    assert namespace is not None
    assert namespace.machine is not None
    namespace.machine.spawn(client, ["client"], namespace=namespace)
    host.clock.run_for(5, stop=lambda: bool(outcome))
    return outcome[0]
