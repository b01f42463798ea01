"""socat: relays data between two addresses, in the extent that alpine/socat is used for forwarding.

Addresses: TCP-LISTEN, TCP (and TCP4, TCP6), UNIX-CONNECT, STDIO. Source: socat 1.7.4.3 `doc/socat.yo`.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

from attrs import frozen

from cnmsim.digits import is_number
from cnmsim.kernel.address import family_of
from cnmsim.kernel.errno_text import strerror
from cnmsim.kernel.task import Signal
from cnmsim.userland.http.unix_socket import connect_unix
from cnmsim.userland.libc.resolver import ResolveError, Resolver
from cnmsim.userland.servers.http_server import stamp

if TYPE_CHECKING:
    from cnmsim.kernel.process import Process
    from cnmsim.kernel.sockets.tcp import TcpSocket
    from cnmsim.kernel.unix_stream import UnixStream

#: How long data in one direction is still relayed after the end of the other (option -t).
_LINGER_S = 0.5
_CONNECT = {"TCP": 0, "TCP-CONNECT": 0, "TCP4": 4, "TCP4-CONNECT": 4, "TCP6": 6, "TCP6-CONNECT": 6}
_LISTEN = {"TCP-LISTEN": 4, "TCP-L": 4, "TCP4-LISTEN": 4, "TCP4-L": 4, "TCP6-LISTEN": 6, "TCP6-L": 6}


class _SocatError(Exception):
    """An error for which socat prints this message and ends with exit status 1."""


class _Stdio:
    """Standard input and output of a process as a stream."""

    def __init__(self, process: Process) -> None:
        self._process = process

    async def recv(self, n: int = 65536, timeout_s: float | None = None) -> bytes:
        """Return data from standard input, b"" at its end. Raises `TimeoutError` after `timeout_s` seconds."""
        return await self._process.stdin.read(n, timeout_s)

    def send(self, data: bytes) -> None:
        """Write data to standard output."""
        self._process.write(data)

    def shutdown_write(self) -> None:
        """Do nothing: standard output ends with the process."""

    def close(self) -> None:
        """Do nothing: the streams end with the process."""


if TYPE_CHECKING:
    _Channel = TcpSocket | UnixStream | _Stdio


@frozen
class _Address:
    kind: str
    operand: str
    options: frozenset[str]

    @classmethod
    def parse(cls, text: str) -> _Address:
        head, *options = text.split(",")
        kind, _, operand = head.partition(":")
        kind = "STDIO" if head == "-" else kind.upper()
        if kind not in {*_CONNECT, *_LISTEN, "UNIX-CONNECT", "UNIX", "STDIO"}:
            raise _SocatError(f'unknown device/address "{head.partition(":")[0]}"')
        if kind in _LISTEN and not is_number(operand):
            raise _SocatError(
                f'getaddrinfo("NULL", "{operand}", {{1,2,1,6}}, {{}}): Servname not supported for ai_socktype'
            )
        return cls(kind, operand, frozenset(option.lower() for option in options))

    async def open(self, process: Process) -> _Channel:
        """Connect to the address and return the connection. Raises `_SocatError` if that fails."""
        if self.kind == "STDIO":
            return _Stdio(process)
        try:
            if self.kind in ("UNIX-CONNECT", "UNIX"):
                return connect_unix(process, self.operand)
            host, _, port = self.operand.rpartition(":")
            host = host.strip("[]")
            addresses = await Resolver(process).addresses(host, _CONNECT[self.kind])
            socket = process.tcp(family_of(addresses[0]))
            await socket.connect((addresses[0], int(port) if is_number(port) else 0))
        except ResolveError:
            raise _SocatError(f'getaddrinfo("{host}", "NULL", {{1,0,1,6}}, {{}}): Name does not resolve') from None
        except OSError as error:
            raise _SocatError(f"connect(5, {self.operand}): {strerror(error)}") from None
        return socket


async def _pump(source: _Channel, target: _Channel) -> None:
    try:
        while chunk := await source.recv():
            target.send(chunk)
        target.shutdown_write()
    except OSError:
        target.close()  # a reset ends both directions


async def _relay(process: Process, first: _Channel, second: _Channel) -> None:
    """Relay data between two channels in both directions, then close them.

    This ends when both directions have ended, or `_LINGER_S` seconds after one of them has.
    """
    ended = Signal(process.clock)
    pumps = [process.task(_pump(first, second)), process.task(_pump(second, first))]
    for pump in pumps:
        pump.add_done_callback(lambda _: ended.notify())
    await ended.wait_until(lambda: any(pump.is_done for pump in pumps))
    try:
        await ended.wait_until(lambda: all(pump.is_done for pump in pumps), _LINGER_S)
    except TimeoutError:
        for pump in pumps:
            if not pump.is_done:
                pump.cancel()
    first.close()
    second.close()


async def main(process: Process) -> int:
    """Run `socat ADDRESS ADDRESS`."""
    texts = [word for word in process.argv[1:] if word == "-" or not word.startswith("-")]

    def complain(text: str) -> int:
        process.error(f"{stamp(process, '%Y/%m/%d %H:%M:%S')} socat[{process.local_pid}] E {text}\n")
        return 1

    if len(texts) != 2:
        return complain(f'exactly 2 addresses required (there are {len(texts)}); use option "-h" for help')
    try:
        first, second = (_Address.parse(text) for text in texts)
        if second.kind in _LISTEN:
            raise _SocatError(f"{second.kind} as the second address is not simulated; state it first")
        if first.kind not in _LISTEN:
            await _relay(process, await first.open(process), await second.open(process))
            return 0
        await _serve(process, first, second, complain)
    except _SocatError as error:
        return complain(str(error))
    return 0


async def _serve(process: Process, address: _Address, target: _Address, complain: Callable[[str], int]) -> None:
    family = _LISTEN[address.kind]
    listener = process.tcp(family)
    listener.reuse_address = any(option.startswith("reuseaddr") for option in address.options)
    try:
        listener.bind(("0.0.0.0" if family == 4 else "::", int(address.operand)))  # noqa: S104
        listener.listen()
    except OSError as error:
        raise _SocatError(
            f"bind(5, {{AF={2 if family == 4 else 10} 0.0.0.0:{address.operand}}}, 16): {strerror(error)}"
        ) from None

    async def forward(connection: TcpSocket) -> None:
        try:
            await _relay(process, connection, await target.open(process))
        except _SocatError as error:
            complain(str(error))
            connection.close()

    while True:
        connection = await listener.accept()
        if "fork" not in address.options:
            listener.close()
            await forward(connection)
            return
        process.task(forward(connection))
