"""Requests and responses of the Engine API, as handlers see them: no sockets, no HTTP grammar."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any, Protocol
from urllib.parse import parse_qs

from attrs import define, field, frozen

from cnmsim.errors import InvalidParameter
from cnmsim.gojson.scanner import GoJsonError, first_value


@define(eq=False)
class Client:
    """Who sent a request: one connection. `started` is the container it started last, and when (virtual time)."""

    started: tuple[str, int] | None = None


@frozen
class Request:
    """One request whose body has been read.

    `path` is decoded and without the version prefix, `version` that prefix (`1.45`) or "". Header names are lower
    case.
    """

    method: str
    path: str
    version: str
    query: dict[str, list[str]]
    headers: dict[str, str]
    body: bytes = field(repr=False)
    is_tcp: bool = False
    client: Client = field(factory=Client, repr=False)

    @classmethod
    def query_of(cls, text: str) -> dict[str, list[str]]:
        """Read a query string; of a repeated key the first value counts, as in Go's FormValue."""
        return parse_qs(text, keep_blank_values=True)

    def text(self, key: str, default: str = "") -> str:
        """Give a query parameter."""
        values = self.query.get(key)
        return values[0] if values else default

    def flag(self, key: str, *, default: bool = False) -> bool:
        """Read a boolean as the engine does: anything but "", 0, no, false and none is true."""
        values = self.query.get(key)
        if not values:
            return default
        return values[0].strip().lower() not in ("", "0", "no", "false", "none")

    @property
    def parameters(self) -> dict[str, str]:
        """The query, one value a key."""
        return {key: values[0] for key, values in self.query.items()}

    def json(self, *, required: bool = False) -> Any:
        """Read the body as JSON; `None` for no body, as for `null`, unless one is `required`.

        Raises `InvalidParameter` in the engine's words for a missing, broken or trailing body, or another content type.
        Source: moby `daemon/server/httputils/httputils.go` `ReadJSON`.
        """
        kind = self.headers.get("content-type", "").split(";")[0].strip().lower()
        if kind not in ("application/json", ""):
            raise InvalidParameter(f"unsupported Content-Type header ({kind}): must be 'application/json'")
        if not self.body and not required:
            return None
        try:
            value, rest = first_value(self.body)
        except GoJsonError as error:
            text = "got EOF while reading request body" if str(error) == "EOF" else error
            raise InvalidParameter(f"invalid JSON: {text}") from None
        if rest.strip(" \t\r\n"):
            raise InvalidParameter("unexpected content after JSON")
        return value


@define
class Response:
    """A complete response. `body` is sent as it is."""

    status: int = 200
    body: bytes = b""
    headers: dict[str, str] = field(factory=dict)

    @classmethod
    def json(cls, value: Any, status: int = 200) -> Response:
        """Give a JSON response, with the engine's final newline."""
        body = json.dumps(value, ensure_ascii=False, separators=(",", ":")).encode("utf-8", "surrogatepass") + b"\n"
        return cls(status, body, {"Content-Type": "application/json"})

    @classmethod
    def error(cls, status: int, message: str) -> Response:
        """Give an error in the engine's form."""
        return cls.json({"message": message}, status)

    @classmethod
    def empty(cls, status: int = 204) -> Response:
        """Give a response without a body."""
        return cls(status)


def _nothing() -> None:
    """Let go of nothing."""


@define
class Stream:
    """A response whose body comes bit by bit; the headers go out at once.

    `end` is called once it is over, also where it never began: it lets go of what the handler took hold of.
    """

    chunks: AsyncIterator[bytes]
    status: int = 200
    headers: dict[str, str] = field(factory=lambda: {"Content-Type": "application/json"})
    end: Callable[[], object] = _nothing


class Duplex(Protocol):
    """A hijacked connection: raw bytes both ways."""

    async def read(self) -> bytes:
        """Give what the client sent next; b"" once it has half-closed or gone."""

    async def write(self, data: bytes) -> None:
        """Send bytes. Raises `ConnectionError` if the client is gone."""

    async def gone(self) -> None:
        """Wait until the client, which sends no more, reads no more either."""


@define
class Hijack:
    """Take the connection over: `talk` runs on it, and when it returns the connection is closed; `end` as of `Stream`."""

    talk: Callable[[Duplex], Awaitable[None]]
    content_type: str = "application/vnd.docker.raw-stream"
    end: Callable[[], object] = _nothing


Answer = Response | Stream | Hijack
