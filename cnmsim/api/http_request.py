"""Parse HTTP requests as Go's server and the engine's router do.

Source: Go `net/http/server.go`, `net/http/request.go` and `net/url/url.go` (go1.24), gorilla/mux `mux.go` (v1.8.1),
moby `daemon/server/server.go`.
"""

from __future__ import annotations

import posixpath
import re
from urllib.parse import quote, unquote

import h11
from attrs import frozen

from cnmsim.api.message import Client, Request

#: moby's versioned routes are `/v{version:[0-9.]+}/…`.
_VERSION = re.compile(r"^/v([0-9.]+)(?=/)")
_ABSOLUTE = re.compile(r"([A-Za-z][A-Za-z0-9+.-]*):(?://([^/?#]*))?(/[^?]*)?(\?.*)?", re.DOTALL)
_BAD_ESCAPE = re.compile(r"%(?![0-9A-Fa-f]{2}).{0,2}", re.DOTALL)
#: The bytes that Go admits in a Host header (golang.org/x/net/http/httpguts `validHostByte`).
_HOST = re.compile(r"[A-Za-z0-9!$%&'()*+,.:;=@\[\]_~-]*")


class RefusedRequest(Exception):
    """A request that Go's server refuses before a handler runs. `reason` is the text of the status line."""

    def __init__(self, reason: str = "400 Bad Request", text: str | None = None) -> None:
        super().__init__(reason)
        self.reason = reason
        self.text = reason if text is None else text

    @property
    def answer(self) -> bytes:
        """The complete response in bytes. The server closes the connection after sending it."""
        head = f"HTTP/1.1 {self.reason}\r\nContent-Type: text/plain; charset=utf-8\r\nConnection: close\r\n\r\n"
        return (head + self.text).encode()


def refusal(error: h11.RemoteProtocolError) -> RefusedRequest:
    """Return the refusal that Go's server sends for a request that h11 cannot parse."""
    match error.error_status_hint:
        case 431:
            return RefusedRequest("431 Request Header Fields Too Large")
        case 501:
            return RefusedRequest("501 Not Implemented", "Unsupported transfer encoding")
    if "Missing mandatory Host" in str(error):
        return RefusedRequest("400 Bad Request: missing required Host header")
    return RefusedRequest()


@frozen
class Target:
    """A parsed request target: path, API version and query.

    `redirect` is the value of the header Location if the path is not in its shortest form, else "".
    """

    path: str
    version: str = ""
    query: str = ""
    redirect: str = ""


def parse_target(text: str) -> Target:
    """Parse a request target in origin form, or in absolute form (RFC 9112 §3.2).

    Raises `RefusedRequest` for a target that Go's server refuses.
    """
    origin, rest = "", text
    if not text.startswith("/") and text != "*":
        match = _ABSOLUTE.fullmatch(text)
        if match is None or (match[2] is None and match[3] is None):
            raise RefusedRequest
        origin = f"{match[1]}://{match[2]}" if match[2] is not None else f"{match[1]}:"
        rest = (match[3] or "") + (match[4] or "")
    path, mark, query = rest.partition("?")
    if _BAD_ESCAPE.search(path):
        raise RefusedRequest
    path = unquote(path)
    clean = _clean(path)
    if clean != path:
        location = origin + quote(clean, safe="/$&+,:;=@~") + mark + query
        return Target(path, query=query, redirect=location)
    if match := _VERSION.match(path):
        return Target(path[match.end() :], match[1], query)
    return Target(path, query=query)


def _clean(path: str) -> str:
    """Return a path without empty elements, `.` and `..` (gorilla/mux `cleanPath`)."""
    clean = posixpath.normpath("/" + path.lstrip("/"))
    return clean + "/" if path.endswith("/") and clean != "/" else clean


def query_error(query: str) -> str:
    """Return Go's error text for an invalid query string (`url.ParseQuery`), "" for a valid one."""
    for part in query.split("&"):
        if ";" in part:
            return "invalid semicolon separator in query"
        if escape := _BAD_ESCAPE.search(part):
            return f'invalid URL escape "{escape[0]}"'
    return ""


def build_request(head: h11.Request, body: bytes, *, is_tcp: bool = False, client: Client | None = None) -> Request:
    """Create the request from its head and body. Raises `RefusedRequest` if Go's server would refuse it.

    `is_tcp` is True for a request over TCP. `client` is the state of the connection, which all its requests share.
    """
    if not head.http_version.startswith(b"1."):
        raise RefusedRequest("505 HTTP Version Not Supported: unsupported protocol version")
    target = parse_target(head.target.decode("latin-1"))
    headers = {name.decode("latin-1").lower(): value.decode("latin-1") for name, value in head.headers}
    if not _HOST.fullmatch(headers.get("host", "")):
        raise RefusedRequest("400 Bad Request: malformed Host header")
    return Request(
        head.method.decode("latin-1"),
        target.path,
        target.version,
        Request.query_of(target.query),
        headers,
        body,
        is_tcp,
        client or Client(),
        redirect=target.redirect,
        query_error=query_error(target.query),
    )
