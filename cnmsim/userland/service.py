"""Servers in place of programs that are not simulated: they listen on the program's ports and send simple replies.

A user starts one with `service NAME PORT[/udp]…`. The engine starts one for a container whose program is not
simulated (`cnmsim.engine.standins`).
"""

from __future__ import annotations

from contextlib import suppress
from errno import EADDRINUSE
from math import inf
from typing import TYPE_CHECKING

from cnmsim.engine.standins.knownport import VAGUE, KnownPort, PortSource, parse_listener
from cnmsim.engine.standins.standin import StandIn
from cnmsim.kernel.errno_text import strerror
from cnmsim.kernel.process import SIGINT, SIGTERM
from cnmsim.userland.busybox.applet import complain
from cnmsim.userland.servers.http_server import address_text
from cnmsim.userland.servers.start_lines import access_line, start_lines, taken_lines, version_line

if TYPE_CHECKING:
    from cnmsim.kernel.process import Process
    from cnmsim.kernel.sockets.tcp import TcpSocket
    from cnmsim.kernel.sockets.udp import UdpSocket

#: The texts that services send when a client connects, in which {} is the version.
_BANNERS = {"mysql": "J\0\0\0\n{}-cnmsim\0", "mariadb": "J\0\0\0\n{}-cnmsim\0", "sshd": "SSH-2.0-cnmsim\r\n"}
_HTTP_METHODS = (b"GET ", b"HEAD ", b"POST ", b"PUT ", b"DELETE ", b"OPTIONS ", b"PATCH ")


def banner(name: str, version: str) -> bytes:
    """Return the text that the service `name` sends when a client connects, or b"" if it sends nothing."""
    text = next((text for key, text in _BANNERS.items() if name.startswith(key)), "")
    return text.format(version).encode()


def reply(name: str, request: bytes, version: str = "") -> bytes:
    """Return the reply of the service `name` to `request`, the data that a client sent, or b"" for no reply."""
    if request.startswith(_HTTP_METHODS):
        body = f"{name}\n".encode()
        head = f"HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\nContent-Length: {len(body)}\r\n\r\n".encode()
        return head + (b"" if request.startswith(b"HEAD ") else body)
    if name.startswith(("redis", "valkey", "keydb")):
        commands = request.upper()
        if b"PING" in commands:
            return b"+PONG\r\n" * max(1, commands.count(b"PING"))
        return b"+OK\r\n" if request.strip() else b""
    if name.startswith("memcached"):
        return f"VERSION {version}\r\n".encode() if request.lower().startswith(b"version") else b"ERROR\r\n"
    if name.startswith("postgres"):
        # The server declines an SSLRequest (PostgreSQL protocol §55.7) by the single letter N.
        return b"N" if request[4:8] == b"\x04\xd2\x16\x2f" else b"R\0\0\0\x08\0\0\0\0Z\0\0\0\x05I"
    if name.startswith("rabbitmq"):
        return b"AMQP\0\0\x09\x01" if not request.startswith(b"AMQP") else b""
    return b""


async def _converse(process: Process, connection: TcpSocket, name: str, version: str) -> None:
    try:
        greeting = banner(name, version)
        if greeting:
            connection.send(greeting)
        while chunk := await connection.recv():
            answer = reply(name, chunk, version)
            if answer:
                connection.send(answer)
            if chunk.startswith(_HTTP_METHODS):
                address, port = connection.getpeername()
                size = len(answer.partition(b"\r\n\r\n")[2])
                process.write(access_line(process, name, chunk, address_text(address), port, size))
    except OSError:
        pass  # the client reset the connection
    finally:
        connection.close()


async def _serve(process: Process, listener: TcpSocket, name: str, version: str) -> None:
    with suppress(OSError):  # another program claimed the port
        while True:
            process.task(_converse(process, await listener.accept(), name, version))


async def _echo(socket: UdpSocket) -> None:
    while True:
        data, peer = await socket.recvfrom()
        socket.sendto(data, peer)


async def _discard(socket: UdpSocket) -> None:
    """Receive datagrams without responding, as many UDP servers do with data that they do not understand."""
    with suppress(OSError):  # another program claimed the port
        while True:
            await socket.recvfrom()


async def main(process: Process) -> int:
    """Listen on ports and send simple replies until a signal ends the process.

    The command is `service NAME PORT[/udp]…`, or the command line of a program in whose place the service runs.
    """
    stand_in = process.program
    if isinstance(stand_in, StandIn):
        return await _run_stand_in(process, stand_in)
    if len(process.argv) < 2:
        return complain(process, "usage: service NAME PORT[/udp]...")
    name = process.argv[1]
    try:
        ports = [KnownPort(*parse_listener(text), PortSource.COMMAND) for text in process.argv[2:]]
    except ValueError as error:
        return complain(process, str(error))
    for port in ports:
        problem = _open(process, name, port, answers_udp=True)
        if problem:
            process.error(f"{name}: bind: {problem}\n")
            return 1
    return await _until_signal(process)


async def _run_stand_in(process: Process, stand_in: StandIn) -> int:
    version = version_line(stand_in.program, process.argv[1:] or process.argv, stand_in.version)
    if version:
        process.write(version)
        return 0
    if stand_in.ends:
        process.error(f"cnmsim: {stand_in.program} is not simulated: nothing was done, as if it had succeeded\n")
        return 0
    problems = [
        _open(process, stand_in.server, port, answers_udp=False, version=stand_in.version) for port in stand_in.ports
    ]
    first = stand_in.ports[0].number if stand_in.ports else 0
    port = stand_in.ports[0] if first else None
    # A program that may not listen on the port (it is only exposed, published, or named by another service) goes on.
    is_taken = port is not None and port.protocol == "tcp" and port.source not in VAGUE
    if port is not None and is_taken and problems[0] == strerror(OSError(EADDRINUSE, "")):
        reason = f"cannot listen on {port} ({because(port)})"
        process.write(f"cnmsim: {stand_in.program} is not simulated; its stand-in {reason}\n")
        process.error(taken_lines(process, stand_in.server, first))
        return 1
    listed = ", ".join(
        f"{port} ({because(port)}){f': {problem}' if problem else ''}"
        for port, problem in zip(stand_in.ports, problems, strict=True)
    )
    what = f"a stand-in listens on {listed}" if listed else "a stand-in runs, which listens on no known port"
    process.write(f"cnmsim: {stand_in.program} is not simulated; {what}\n")
    process.write(start_lines(process, stand_in.server, first, stand_in.version))
    return await _until_signal(process)


def because(port: KnownPort) -> str:
    """Return the source from which a port is known as text, e.g. `the image redis` or `exposed`."""
    return _BECAUSE[port.source].format(port.evidence)


_BECAUSE = {
    PortSource.USER: "stated by {}",
    PortSource.COMMAND: "{} in its command",
    PortSource.ENTRYPOINT: "{} in its entrypoint",
    PortSource.ENVIRONMENT: "{} in its environment",
    PortSource.HEALTH_CHECK: "{} in its health check",
    PortSource.EXPOSE: "exposed",
    PortSource.PORTS: "published",
    PortSource.REFERENCE: "{} names it",
    PortSource.CATALOGUE: "the image {}",
}


def _open(process: Process, name: str, port: KnownPort, *, answers_udp: bool, version: str = "") -> str:
    """Bind a port and start to serve it. Return "" on success, else the text of the error.

    `name` selects the replies. With `answers_udp`, received datagrams are sent back; otherwise they are ignored.
    """
    address = port.address or "::"
    family = 6 if ":" in address else 4
    sockets = process.namespace.sockets
    is_provisional = isinstance(process.program, StandIn) and port.source in VAGUE
    try:
        if port.protocol == "udp":
            socket = process.udp(family)
            if is_provisional:
                sockets.udp_ports.claim_provisionally(socket)
            socket.bind((address, port.number))
            process.task(_echo(socket) if answers_udp else _discard(socket))
            return ""
        listener = process.tcp(family)
        listener.reuse_address = True
        if is_provisional:
            sockets.tcp_ports.claim_provisionally(listener)
        listener.bind((address, port.number))
        listener.listen()
    except OSError as error:
        return strerror(error)
    process.task(_serve(process, listener, name, version))
    return ""


async def _until_signal(process: Process) -> int:
    for signal in (SIGINT, SIGTERM):
        process.handlers[signal] = lambda: process.exit(0)
    await process.sleep(inf)
    return 0
