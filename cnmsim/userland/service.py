"""`service NAME PORT[/udp]…`: a stand-in for the database, cache or queue of an image, which sends simple replies."""

from __future__ import annotations

from typing import TYPE_CHECKING

from cnmsim.kernel.errno_text import strerror
from cnmsim.userland.busybox.applet import complain

if TYPE_CHECKING:
    from cnmsim.kernel.process import Process
    from cnmsim.kernel.sockets.tcp import TcpSocket
    from cnmsim.kernel.sockets.udp import UdpSocket

_BANNERS = {
    "mysql": b"J\0\0\0\n8.4.0-cnmsim\0",
    "mariadb": b"J\0\0\0\n11.4.0-cnmsim\0",
    "sshd": b"SSH-2.0-cnmsim\r\n",
}
_HTTP_METHODS = (b"GET ", b"HEAD ", b"POST ", b"PUT ", b"DELETE ", b"OPTIONS ", b"PATCH ")


def banner(name: str) -> bytes:
    """Return what the service `name` sends when a client connects, or b"" if it sends nothing."""
    return next((text for key, text in _BANNERS.items() if name.startswith(key)), b"")


def reply(name: str, request: bytes) -> bytes:
    """Return the reply of the service `name` to the data that a client sent, or b"" for no reply."""
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
        return b"VERSION 1.6\r\n" if request.lower().startswith(b"version") else b"ERROR\r\n"
    if name.startswith("postgres"):
        # The server declines an SSLRequest (PostgreSQL protocol §55.7) by the single letter N.
        return b"N" if request[4:8] == b"\x04\xd2\x16\x2f" else b"R\0\0\0\x08\0\0\0\0Z\0\0\0\x05I"
    if name.startswith("rabbitmq"):
        return b"AMQP\0\0\x09\x01" if not request.startswith(b"AMQP") else b""
    return b""


async def _converse(connection: TcpSocket, name: str) -> None:
    try:
        greeting = banner(name)
        if greeting:
            connection.send(greeting)
        while chunk := await connection.recv():
            answer = reply(name, chunk)
            if answer:
                connection.send(answer)
    except OSError:
        pass  # the client reset the connection
    finally:
        connection.close()


async def _serve(process: Process, listener: TcpSocket, name: str) -> None:
    while True:
        process.task(_converse(await listener.accept(), name))


async def _echo(socket: UdpSocket) -> None:
    while True:
        data, peer = await socket.recvfrom()
        socket.sendto(data, peer)


async def main(process: Process) -> int:
    """Run `service NAME PORT[/udp]…`: serve each TCP port, and echo datagrams on `PORT/udp`, until killed."""
    if len(process.argv) < 2:
        return complain(process, "usage: service NAME PORT[/udp]...")
    name = process.argv[1]
    for text in process.argv[2:]:
        number, _, protocol = text.partition("/")
        if not number.isdigit() or not 0 < int(number) < 65536:
            return complain(process, f"bad port '{text}'")
        try:
            if protocol == "udp":
                socket = process.udp(6)
                socket.bind(("::", int(number)))
                process.task(_echo(socket))
                continue
            listener = process.tcp(6)
            listener.reuse_address = True
            listener.bind(("::", int(number)))
            listener.listen()
        except OSError as error:
            process.error(f"{name}: bind: {strerror(error)}\n")
            return 1
        process.task(_serve(process, listener, name))
    while True:
        await process.sleep(86400 * 365)
