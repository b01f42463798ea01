"""Messages that are sent to a server with TCP: the drivers `syslog`, `gelf` and `fluentd`.

Source: moby `daemon/logger/{syslog,gelf,fluentd}`, RackSec/srslog `dialer.go`, Graylog2/go-gelf `tcpwriter.go`,
fluent/fluent-logger-golang `fluent.go`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

from attrs import define, field

from cnmsim.engine.logdrivers.message import LogLine
from cnmsim.kernel.address import parse_ip
from cnmsim.kernel.errno_text import strerror
from cnmsim.kernel.sockets.tcp import TcpSocket
from cnmsim.kernel.task import Task

if TYPE_CHECKING:
    from cnmsim.kernel.namespace import NetworkNamespace

_DIAL_TIMEOUT_S = 30.0


class Format(Protocol):
    """A class that encodes messages for a driver."""

    def format(self, line: LogLine) -> bytes:
        """Return the bytes to send for one message."""
        ...


@define(eq=False)
class TcpSender:
    """Sends messages over a TCP connection from the host's initial network namespace.

    `error` is the text of a failed connection, in which `{reason}` stands for Go's `dial tcp …`. `terminator` is sent
    after each message. With `is_lazy` (fluentd-async), `open` does not connect; the first message does. Messages wait
    while the connection is being opened; they are dropped if that fails.
    """

    namespace: NetworkNamespace = field(repr=False)
    host: str
    port: int
    formatter: Format
    error: str = "{reason}"
    terminator: bytes = b""
    is_lazy: bool = False
    _socket: TcpSocket | None = field(default=None, init=False, repr=False)
    _dialling: Task[None] | None = field(default=None, init=False, repr=False)
    _waiting: list[bytes] = field(factory=list, init=False, repr=False)
    _is_ending: bool = field(default=False, init=False)

    async def open(self) -> None:
        """Connect to the server, unless `is_lazy`. Raises `ConnectionError`, with the text `error`, if that fails."""
        if self.is_lazy or self._socket is not None:
            return
        try:
            await self._dial()
        except OSError as error:
            reason = f"dial tcp {self.host}:{self.port}: {_reason(error)}"
            raise ConnectionError(self.error.format(reason=reason)) from None

    async def _dial(self) -> None:
        address = parse_ip(self.host.strip("[]"))
        socket = TcpSocket(self.namespace, 6 if len(address) == 16 else 4)
        try:
            await socket.connect((address, self.port), _DIAL_TIMEOUT_S)
        except OSError:
            socket.close()
            raise
        self._socket = socket

    def send(self, line: LogLine) -> bool:
        """Send a message; if the connection was lost, keep it until the connection is open again. Return True."""
        data = self.formatter.format(line) + self.terminator
        if self._socket is not None:
            try:
                self._socket.send(data)
            except OSError:
                self._socket.close()
                self._socket = None
            else:
                return True
        self._waiting.append(data)
        if self._dialling is None:
            self._dialling = Task(self.namespace.clock, self._dial_and_send())
        return True

    async def _dial_and_send(self) -> None:
        try:
            await self._dial()
            assert self._socket is not None
            for data in self._waiting:
                self._socket.send(data)
        except OSError:
            pass  # the daemon logs the error; the messages are lost
        self._waiting.clear()
        self._dialling = None
        if self._is_ending:
            self.close()

    def close(self) -> None:
        """Close the connection, after messages that wait for it to open were sent."""
        self._is_ending = self._dialling is not None
        if self._socket is not None and not self._is_ending:
            self._socket.close()
            self._socket = None


def _reason(error: OSError) -> str:
    return "i/o timeout" if isinstance(error, TimeoutError) else f"connect: {strerror(error).lower()}"
