"""Requests and responses of the Engine API as Python objects, independent of sockets and HTTP syntax."""

from __future__ import annotations

import re
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any, Protocol
from urllib.parse import parse_qs

from attrs import define, field, frozen

from cnmsim.engine.wire.query import bool_value
from cnmsim.errors import InvalidParameter
from cnmsim.gojson.encode import encode
from cnmsim.gojson.scanner import GoJsonError, first_value

#: The cause in the error for a body of white space.
EMPTY_BODY = "got EOF while reading request body"


@define(eq=False)
class Client:
    """The state of a connection that its requests share.

    `started` is (id, time): the container that the client started last, and the virtual time in nanoseconds of that
    start. It is `None` if the client has started none.
    """

    started: tuple[str, int] | None = None


@frozen
class Request:
    """One complete request.

    `path` is decoded and without the version prefix; `version` is that prefix (`1.45`) or "". Header names are in
    lower case. `redirect` is the path to which the client is to be redirected, or ""; `query_error` is Go's error for
    an invalid query, or "".
    """

    method: str
    path: str
    version: str
    query: dict[str, list[str]]
    headers: dict[str, str]
    body: bytes = field(repr=False)
    is_tcp: bool = False
    client: Client = field(factory=Client, repr=False)
    redirect: str = ""
    query_error: str = ""

    @classmethod
    def query_of(cls, text: str) -> dict[str, list[str]]:
        """Parse a query string into a mapping from each name to the list of its values.

        The methods of `Request` use the first value of a repeated name, as Go does.
        """
        return parse_qs(text, keep_blank_values=True)

    def text(self, key: str, default: str = "") -> str:
        """Return the query parameter `key`, or `default` if it is absent."""
        values = self.query.get(key)
        return values[0] if values else default

    def flag(self, key: str, *, default: bool = False) -> bool:
        """Return a boolean query parameter: "", 0, no, false and none mean False, everything else means True.

        `default` is returned if the parameter is absent.
        """
        return bool_value(self.parameters, key, default)

    @property
    def parameters(self) -> dict[str, str]:
        """The query as a dict with one value for each key."""
        return {key: values[0] for key, values in self.query.items()}

    def json(self, *, required: bool = False, eof_text: str = EMPTY_BODY) -> Any:
        """Decode the body as JSON. The body `null` becomes `None`, and so does an empty body if it is not `required`.

        Raises `InvalidParameter` with the engine's text if a required body is missing, the JSON is invalid or
        followed by other data, or the content type is wrong. `eof_text` is the cause that this text states if a
        required body is missing or consists of white space. Source: moby `daemon/server/httputils/httputils.go`
        `ReadJSON`.
        """
        text = self.headers.get("content-type", "")
        if text or self.body:
            try:
                kind = media_type(text)
            except ValueError as error:
                raise InvalidParameter(f"malformed Content-Type header ({text}): {error}") from None
            if kind != "application/json":
                raise InvalidParameter(f"unsupported Content-Type header ({text}): must be 'application/json'")
        if not self.body and not required:
            return None
        try:
            value, rest = first_value(self.body)
        except GoJsonError as error:
            cause = eof_text if str(error) == "EOF" else error
            raise InvalidParameter(f"invalid JSON: {cause}") from None
        if rest.strip(" \t\r\n"):
            raise InvalidParameter("unexpected content after JSON")
        return value


_WORD = r"[!#$%&'*+\-.^_`|~0-9A-Za-z]+"
_PARAMETER = re.compile(rf'\s*;\s*{_WORD}\s*=\s*(?:{_WORD}|"(?:[^"\\]|\\.)*")')


def media_type(text: str) -> str:
    """Return the media type in a Content-Type header, such as `application/json`.

    Raises `ValueError` for an invalid header, as Go's `mime.ParseMediaType` does.
    """
    base = text.partition(";")[0].strip().lower()
    kind = re.fullmatch(rf"({_WORD})?(?:(/)({_WORD})?)?(.*)", base, re.DOTALL)
    assert kind is not None
    if not kind[1]:
        raise ValueError("mime: no media type")
    if kind[2] is None and kind[4]:
        raise ValueError("mime: expected slash after first token")
    if kind[2] and not kind[3]:
        raise ValueError("mime: expected token after slash")
    if kind[4]:
        raise ValueError("mime: unexpected content after media subtype")
    rest = text[len(text.partition(";")[0]) :]
    while rest.strip():
        parameter = _PARAMETER.match(rest)
        if parameter is None:
            if rest.strip() == ";":  # a trailing semicolon is accepted
                break
            raise ValueError("mime: invalid media parameter")
        rest = rest[parameter.end() :]
    return base


@define
class Response:
    """A response whose whole body is known.

    If `has_engine_headers` is False, the headers that describe the engine are left out.
    """

    status: int = 200
    body: bytes = b""
    headers: dict[str, str] = field(factory=dict)
    has_engine_headers: bool = field(default=True, kw_only=True)

    @classmethod
    def json(cls, value: Any, status: int = 200) -> Response:
        """Return a JSON response. Like the engine's, it ends with a newline."""
        body = encode(value, escape_html=False).encode() + b"\n"
        return cls(status, body, {"Content-Type": "application/json"})

    @classmethod
    def error(cls, status: int, message: str) -> Response:
        """Return an error response in the engine's format, `{"message": …}`."""
        return cls.json({"message": message}, status)

    @classmethod
    def empty(cls, status: int = 204) -> Response:
        """Return a response without a body."""
        return cls(status)


def _nothing() -> None:
    """Do nothing. The default value of `end`, for answers that hold no resources."""


@define
class Stream:
    """A response whose body is produced over time, while its head is sent at once.

    `chunks` yields the body. `end` releases the handler's resources; it is called when the response is over, even if
    nothing was sent.
    """

    chunks: AsyncIterator[bytes]
    status: int = 200
    headers: dict[str, str] = field(factory=lambda: {"Content-Type": "application/json"})
    end: Callable[[], object] = _nothing


class Duplex(Protocol):
    """A hijacked connection: after the response head, client and server send raw bytes in both directions."""

    async def read(self) -> bytes:
        """Return the next data from the client, or b"" once it has closed its sending side or disconnected."""

    async def write(self, data: bytes) -> None:
        """Send bytes. Raises `ConnectionError` if the client has disconnected."""

    async def gone(self) -> None:
        """Wait until a client that has closed its sending side disconnects completely."""


@define
class Hijack:
    """An answer that hijacks the connection: `talk` is run on the connection, which is closed when `talk` returns.

    `end` then releases the handler's resources, as for `Stream`. The response head is that of a stream with the
    content type `content_type`, unless `head` contains the bytes of another one.
    """

    talk: Callable[[Duplex], Awaitable[None]]
    content_type: str = "application/vnd.docker.raw-stream"
    end: Callable[[], object] = _nothing
    head: bytes = b""


Answer = Response | Stream | Hijack
