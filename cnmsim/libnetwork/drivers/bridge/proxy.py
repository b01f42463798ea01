"""docker-proxy: serves those connections to a published port of the host that NAT does not translate.

The proxy accepts a TCP connection before it connects to the container, so for a closed container port the client's
connection is closed rather than refused. For UDP each client gets a socket of its own towards the container, closed
after 90 idle seconds. Source: moby `cmd/docker-proxy/{tcp_proxy,udp_proxy}_linux.go` (docker-v29.7.2).
"""

from __future__ import annotations

from cnmsim.kernel.address import Address, format_ip
from cnmsim.kernel.clock import Timer
from cnmsim.kernel.events import Reporter, Step
from cnmsim.kernel.machine import Machine
from cnmsim.kernel.process import Process, Program
from cnmsim.kernel.sockets.tcp import SOMAXCONN, TcpSocket
from cnmsim.kernel.sockets.udp import UdpSocket
from cnmsim.libnetwork.options import PortBinding
from cnmsim.libnetwork.profile import Profile

UDP_IDLE_S = 90.0
_CHUNK = 65536
# TCP keepalive as Go's net package sets it on every connection (net/tcpsockopt, defaultTCPKeepAliveIdle).
_KEEPALIVE_S, _KEEPALIVE_PROBES = 15, 9


def start_proxy(machine: Machine, binding: PortBinding, profile: Profile) -> Process:
    """Bind the host side of `binding`, and start the proxy process that serves it. Return the process.

    All fields of `binding` must be set. Raises `OSError` (EADDRINUSE, EADDRNOTAVAIL) if the address cannot be bound;
    then no process is left.
    """
    container, host = binding.container_ip, binding.host_ip
    assert container is not None
    assert host is not None
    argv = [
        "/usr/bin/docker-proxy",
        *("-proto", binding.protocol),
        *("-host-ip", format_ip(host), "-host-port", str(binding.host_port)),
        *("-container-ip", format_ip(container), "-container-port", str(binding.container_port)),
        *(["-use-listen-fd"] if profile.proxy_gets_listener else []),
    ]
    holder: list[TcpSocket | UdpSocket] = []
    process = machine.spawn(_program(holder, container, binding.container_port), argv)
    try:
        holder.append(listen_on_host(process, binding, profile))
    except OSError:
        process.kill()
        raise
    return process


def listen_on_host(process: Process, binding: PortBinding, profile: Profile) -> TcpSocket | UdpSocket:
    """Create a socket of `process`, bind it to the host side of `binding`, and listen if it is TCP.

    Raises `OSError` if the address or port cannot be bound.
    """
    host = binding.host_ip
    assert host is not None
    family = 6 if len(host) == 16 else 4
    if binding.protocol == "udp":
        udp = process.udp(family)
        udp.v6only = True
        udp.reuse_address = profile.udp_reuses_address
        try:
            udp.bind((host, binding.host_port))
        except OSError:
            udp.close()
            raise
        return udp
    tcp = process.tcp(family)
    tcp.v6only = True
    _keep_alive(tcp)
    tcp.reuse_address = True  # as every listener of Go's net package: connections in TIME_WAIT do not block the port
    try:
        tcp.bind((host, binding.host_port))
        tcp.listen(SOMAXCONN)
    except OSError:
        tcp.close()
        raise
    return tcp


def _program(holder: list[TcpSocket | UdpSocket], address: Address, port: int) -> Program:
    async def docker_proxy(process: Process) -> int:
        socket = holder[0]
        if isinstance(socket, TcpSocket):
            await _serve_tcp(process, socket, address, port)
        else:
            await _serve_udp(process, socket, address, port)
        return 0

    return docker_proxy


def _note(process: Process, address: Address, port: int) -> None:
    namespace = process.namespace
    if namespace.clock.context is not None:
        namespace.report(
            Step.NOTE, f"docker-proxy: new connection to {format_ip(address)} port {port}", b"", detail=Reporter.PROXY
        )


async def _serve_tcp(process: Process, listener: TcpSocket, address: Address, port: int) -> None:
    while True:
        client = await listener.accept()
        process.task(_serve_connection(process, client, address, port))


async def _serve_connection(process: Process, client: TcpSocket, address: Address, port: int) -> None:
    _note(process, address, port)
    backend = process.tcp(6 if len(address) == 16 else 4)
    _keep_alive(backend)
    try:
        await backend.connect((address, port))
    except OSError:
        backend.close()
        client.close()
        return
    back = process.task(_copy(backend, client))
    await _copy(client, backend)
    await back
    backend.close()
    client.close()


def _keep_alive(socket: TcpSocket) -> None:
    socket.set_keepalive(idle_s=_KEEPALIVE_S, interval_s=_KEEPALIVE_S, probes=_KEEPALIVE_PROBES)


async def _copy(source: TcpSocket, sink: TcpSocket) -> None:
    """Copy data from `source` to `sink` until end of file, then shut down sending on `sink`."""
    try:
        while data := await source.recv(_CHUNK):
            sink.send(data)
            await sink.drain()
        sink.shutdown_write()
    except OSError:
        source.close()
        sink.close()


async def _serve_udp(process: Process, listener: UdpSocket, address: Address, port: int) -> None:
    backends: dict[tuple[Address, int], UdpSocket] = {}
    timers: dict[tuple[Address, int], Timer] = {}

    def forget(client: tuple[Address, int]) -> None:
        timers.pop(client).cancel()
        backends.pop(client).close()

    def touch(client: tuple[Address, int]) -> None:
        if client in timers:
            timers[client].cancel()
        timers[client] = process.clock.call_later(UDP_IDLE_S, forget, client)

    async def answer(client: tuple[Address, int], backend: UdpSocket) -> None:
        while backends.get(client) is backend:
            try:
                data, _ = await backend.recvfrom()
            except OSError:
                # ECONNREFUSED from a closed container port: the proxy continues to wait for packets.
                continue
            try:
                listener.sendto(data, client)
            except OSError:  # dropped by a packet filter, or no route back: the proxy drops the client
                forget(client)
                return
            touch(client)

    while True:
        data, client = await listener.recvfrom()
        backend = backends.get(client)
        if backend is None:
            _note(process, address, port)
            backend = process.udp(6 if len(address) == 16 else 4)
            try:
                backend.connect((address, port))
            except OSError:
                backend.close()
                continue
            backends[client] = backend
            process.task(answer(client, backend))
        touch(client)
        try:
            backend.send(data)
        except OSError:
            forget(client)
