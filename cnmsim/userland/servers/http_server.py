"""The part that all simulated web servers share: accept connections, read requests, respond, and log."""

from __future__ import annotations

import time
from collections.abc import Callable
from math import inf
from typing import TYPE_CHECKING

from attrs import define, field, frozen

from cnmsim.digits import is_number
from cnmsim.kernel.address import format_ip
from cnmsim.kernel.errno_text import strerror
from cnmsim.kernel.process import SIGINT, SIGTERM
from cnmsim.kernel.sockets.base import unmapped
from cnmsim.userland.http.message import REASONS, HttpError, Message, Stream, http_date

if TYPE_CHECKING:
    from cnmsim.kernel.process import Process
    from cnmsim.kernel.sockets.tcp import TcpSocket

_IDLE_S = 65
_SIGQUIT, _SIGUSR1, _SIGWINCH = 3, 10, 28


@frozen
class Request:
    """One request: its message, method and target, and the client's address and port."""

    message: Message
    method: str
    target: str
    client: str
    client_port: int

    @property
    def path(self) -> str:
        """The path of the requested URL: the target without the query."""
        return self.target.partition("?")[0]

    def header(self, name: str, default: str = "-") -> str:
        """Return the value of the header `name`, or `default` if the request does not have it."""
        return self.message.header(name) or default


@frozen
class Response:
    """A response: status code, header lines in order (without Content-Length), and body."""

    status: int
    headers: tuple[str, ...]
    body: bytes = b""


@define(eq=False)
class HttpServer:
    """A web server.

    `answer` returns the response to a request; `log` writes the log line for a request and its response.

    Connections stay open for further requests as in HTTP/1.1 (RFC 9112, section 9.3).
    """

    process: Process
    answer: Callable[[Request], Response]
    log: Callable[[Request, Response], None] = field(default=lambda _request, _response: None)

    def listen(self, port: int) -> str:
        """Listen on `port` of all addresses. Return "" on success, else the text of the error."""
        listener = self.process.tcp(6)
        listener.reuse_address = True
        try:
            listener.bind(("::", port))
            listener.listen()
        except OSError as error:
            return strerror(error)
        self.process.task(self._accept(listener))
        return ""

    async def _accept(self, listener: TcpSocket) -> None:
        while True:
            self.process.task(self._converse(await listener.accept()))

    async def _converse(self, connection: TcpSocket) -> None:
        stream = Stream(connection, self.process.clock)
        stream.idle_timeout_s = _IDLE_S
        try:
            while await self._serve_one(stream, connection):
                pass
        except HttpError:
            connection.send(b"HTTP/1.1 400 Bad Request\r\nConnection: close\r\n\r\n")
        except OSError:
            pass  # the client closed the connection
        finally:
            connection.close()

    async def _serve_one(self, stream: Stream, connection: TcpSocket) -> bool:
        """Read one request and respond to it. Return True if the connection stays open.

        Raises `HttpError` for a malformed request.
        """
        message = await stream.head()
        if message is None:
            return False
        words = message.start.split()
        if len(words) < 2:
            raise HttpError(message.start)
        length = message.header("Content-Length") or "0"
        if is_number(length) and int(length):
            message.body = await stream.body(message)
        address, port = connection.getpeername()
        request = Request(message, words[0], words[1], address_text(address), port)
        response = self.answer(request)
        is_last = (message.header("Connection") or "").lower() == "close" or not message.start.endswith("HTTP/1.1")
        head = [
            f"HTTP/1.1 {response.status} {REASONS[response.status]}", *response.headers,
            f"Content-Length: {len(response.body)}", f"Connection: {'close' if is_last else 'keep-alive'}", "", "",
        ]  # fmt: skip
        connection.send("\r\n".join(head).encode() + (b"" if request.method == "HEAD" else response.body))
        self.log(request, response)
        return not is_last


def address_text(address: bytes) -> str:
    """Format an address as servers print it. An IPv4 client of an IPv6 socket is printed as an IPv4 address."""
    return format_ip(unmapped(address))


async def until_signal(process: Process) -> int:
    """Wait for a signal that ends a server, such as SIGTERM or SIGINT. Return exit status 0."""
    for signal in (SIGINT, SIGTERM, _SIGQUIT, _SIGUSR1, _SIGWINCH):
        process.handlers[signal] = lambda: process.exit(0)
    await process.sleep(inf)
    return 0


def stamp(process: Process, form: str) -> str:
    """Return the current UTC time in `form`, a format of strftime(3)."""
    return time.strftime(form, time.gmtime(process.clock.unix_s))


def date_header(process: Process) -> str:
    """Return the `Date` header with the current time, as a header line."""
    return f"Date: {http_date(process.clock.unix_s)}"
