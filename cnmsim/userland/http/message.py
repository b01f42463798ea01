"""HTTP/1.1 (RFC 9112) over a simulated TCP socket, in the extent that wget, curl, httpd and health checks need."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from attrs import define, field, frozen

from cnmsim.digits import is_number
from cnmsim.kernel.address import Address, literal_address
from cnmsim.userland.deadline import remaining_s

if TYPE_CHECKING:
    from cnmsim.kernel.clock import Clock
    from cnmsim.kernel.sockets.tcp import TcpSocket
    from cnmsim.kernel.unix_stream import UnixStream

_MAX_HEAD = 65536
REASONS = {
    200: "OK", 206: "Partial Content", 301: "Moved Permanently", 302: "Found", 304: "Not Modified",
    400: "Bad Request", 401: "Unauthorized", 403: "Forbidden", 404: "Not Found", 405: "Method Not Allowed",
    500: "Internal Server Error", 501: "Not Implemented", 503: "Service Unavailable",
}  # fmt: skip


class HttpError(Exception):
    """The peer sent an invalid HTTP message."""


class UrlError(Exception):
    """The text is not a valid URL; the message gives the reason."""


class BadIpv6Error(UrlError):
    """The host of a URL is in brackets, but is no IPv6 address.

    `host` is the part of the URL from the host, including brackets and port, up to the next slash.
    """

    def __init__(self, host: str) -> None:
        super().__init__("Bad IPv6 address")
        self.host = host


@frozen
class Url:
    """An http or https URL.

    `host` has no brackets, `port` defaults to 80 (https: 443), and `target` is the path and query, e.g. `/a?b=c`.
    """

    scheme: str
    host: str
    port: int
    target: str
    has_port: bool

    @classmethod
    def parse(cls, text: str) -> Url:
        """Parse a URL; `http://` is assumed if there is no scheme. Raises `UrlError` for an invalid URL."""
        scheme, separator, rest = text.partition("://")
        try:
            parts = urlsplit(text if separator else f"http://{text}")
        except ValueError:
            raise BadIpv6Error((rest if separator else text).partition("/")[0]) from None
        try:
            port, host = parts.port, parts.hostname
        except ValueError:
            raise UrlError("Port number was not a decimal number between 0 and 65535") from None
        scheme = scheme.lower() if separator else "http"
        if not host:
            raise UrlError("No host part in the URL")
        target = parts.path or "/"
        if parts.query:
            target += f"?{parts.query}"
        return cls(scheme, host, port or (443 if scheme == "https" else 80), target, port is not None)

    def redirected(self, location: str) -> Url:
        """Return the URL to which a response redirects. `location` is the value of the response's `Location` header.

        `location` is an absolute URL, or a path on the server of this URL. Raises `UrlError` for an invalid URL.
        """
        return Url.parse(f"{self.scheme}://{self.host_header}{location}" if location.startswith("/") else location)

    @property
    def bracketed_host(self) -> str:
        """The host as it is written in a URL: an IPv6 address is enclosed in brackets."""
        return f"[{self.host}]" if ":" in self.host else self.host

    @property
    def host_header(self) -> str:
        """The value of the `Host` header of a request for this URL."""
        return f"{self.bracketed_host}:{self.port}" if self.has_port else self.bracketed_host

    @property
    def literal(self) -> Address | None:
        """The host as an IP address, or `None` if it is a name."""
        return literal_address(self.host)


@define
class Message:
    """A request or response: its first line (`start`), its headers in order, and its body."""

    start: str
    headers: list[tuple[str, str]] = field(factory=list)
    body: bytes = b""

    def header(self, name: str) -> str | None:
        """Return a header's value, or `None` if there is no such header. `name` is case-insensitive."""
        lower_name = name.lower()
        return next((value for key, value in self.headers if key.lower() == lower_name), None)

    @property
    def status(self) -> int:
        """The status code of a response. Raises `HttpError` if the first line contains none."""
        words = self.start.split(None, 2)
        if len(words) < 2 or not words[0].startswith("HTTP/") or not is_number(words[1]):
            raise HttpError("malformed status line")
        return int(words[1])

    @property
    def head_text(self) -> str:
        """The first line and the headers as they are sent, each line followed by CRLF."""
        return "".join(f"{line}\r\n" for line in [self.start, *(f"{key}: {value}" for key, value in self.headers)])


class Stream:
    """A buffered reader of a TCP or Unix stream socket.

    A read times out at the virtual time `until_ns`, or when no data has arrived for `idle_timeout_s`. `None` disables
    the respective timeout.
    """

    def __init__(self, socket: TcpSocket | UnixStream, clock: Clock) -> None:
        self.socket = socket
        self.clock = clock
        self.buffer = b""
        self.until_ns: int | None = None
        self.idle_timeout_s: float | None = None
        self.received = 0

    async def fill(self) -> bool:
        """Wait for more data and append it to the buffer. Return False if the peer has closed the connection instead.

        Raises the errors of `TcpSocket.recv`, among them `TimeoutError`.
        """
        limit = self.idle_timeout_s
        if self.until_ns is not None:
            left = remaining_s(self.clock, self.until_ns)
            limit = left if limit is None else min(left, limit)
        chunk = await self.socket.recv(65536, limit)
        self.buffer += chunk
        self.received += len(chunk)
        return bool(chunk)

    def take(self, n: int) -> bytes:
        """Remove up to `n` bytes from the buffer and return them."""
        data, self.buffer = self.buffer[:n], self.buffer[n:]
        return data

    async def head(self) -> Message | None:
        """Read the first line and the headers of a message, without its body.

        Return `None` if the connection ends before the first byte. Raises `HttpError` if the headers are too long or
        malformed.
        """
        while b"\n\r\n" not in self.buffer and b"\n\n" not in self.buffer:
            if len(self.buffer) > _MAX_HEAD:
                raise HttpError("header too long")
            if not await self.fill():
                if not self.buffer:
                    return None
                if not self.buffer.startswith(b"HTTP/"):
                    raise HttpError("no header")
                break
        ends = [(self.buffer.find(mark), len(mark)) for mark in (b"\n\r\n", b"\n\n")]
        end = min((at + size for at, size in ends if at >= 0), default=len(self.buffer))
        lines = self.take(end).decode("latin-1").splitlines()
        headers = [
            (key.strip(), value.strip()) for key, _, value in (line.partition(":") for line in lines[1:] if line)
        ]
        return Message(lines[0], headers)

    async def body(
        self, message: Message, *, has_none: bool = False, on_data: Callable[[bytes], None] | None = None
    ) -> bytes:
        """Read and return the body that follows the headers `message`.

        The chunked coding, Content-Length or the end of the connection determines where the body ends. With
        `has_none` nothing is read, because there is no body, as in a response to HEAD. If `on_data` is given, it is
        called with each piece of a body without Content-Length, and these pieces are not part of the result. Raises
        `HttpError` if the body is incomplete.
        """
        if has_none:
            return b""
        if (message.header("Transfer-Encoding") or "").lower().endswith("chunked"):
            return await self._chunks(on_data)
        length = message.header("Content-Length")
        if length is not None and is_number(length):
            while len(self.buffer) < int(length):
                if not await self.fill():
                    raise HttpError("body is cut short")
            return self.take(int(length))
        while True:
            if on_data is not None and self.buffer:
                on_data(self.take(len(self.buffer)))
            if not await self.fill():
                return self.take(len(self.buffer))

    async def _chunks(self, on_data: Callable[[bytes], None] | None) -> bytes:
        chunks: list[bytes] = []
        store = chunks.append if on_data is None else on_data
        while True:
            while b"\n" not in self.buffer:
                if not await self.fill():
                    raise HttpError("body is cut short")
            line = self.take(self.buffer.index(b"\n") + 1)
            try:
                size = int(line.split(b";")[0], 16)
            except ValueError:
                raise HttpError("bad chunk") from None
            while len(self.buffer) < size + 2:
                if not await self.fill():
                    raise HttpError("body is cut short")
            store(self.take(size))
            self.take(2)
            if not size:
                return b"".join(chunks)


def http_date(seconds: int) -> str:
    """Format seconds since 1970 as an HTTP date (RFC 9110 §5.6.7)."""
    return time.strftime("%a, %d %b %Y %H:%M:%S GMT", time.gmtime(seconds))
