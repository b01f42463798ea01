"""WebSocket connections (RFC 6455): the handshake, and messages as a stream of bytes.

Source: golang.org/x/net/websocket `hybi.go`, `server.go`, as moby's `wsContainersAttach` uses them.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from attrs import define, field

from cnmsim.api.message import Duplex, Request

if TYPE_CHECKING:
    from wsproto.connection import Connection

_VERSION = "13"


class HandshakeError(ValueError):
    """Raised for a request without a valid opening handshake. `response` contains the bytes to send to the client."""

    def __init__(self, cause: str, header: str = "") -> None:
        self.response = f"HTTP/1.1 400 Bad Request\r\n{header}\r\n{cause}".encode()
        super().__init__(cause)


def handshake_response(request: Request) -> bytes:
    """Return the head of the response that accepts a WebSocket.

    Raises `HandshakeError` if the request is not a valid opening handshake.
    """
    from wsproto.utilities import generate_accept_token

    headers = request.headers
    if headers.get("upgrade", "").lower() != "websocket" or "upgrade" not in headers.get("connection", "").lower():
        raise HandshakeError("not websocket protocol")
    key = headers.get("sec-websocket-key", "")
    if not key:
        raise HandshakeError("mismatch challenge/response")
    if headers.get("sec-websocket-version") != _VERSION:
        raise HandshakeError("missing or bad WebSocket Version", f"Sec-WebSocket-Version: {_VERSION}\r\n")
    protocol = headers.get("sec-websocket-protocol", "").strip()
    lines = (
        "HTTP/1.1 101 Switching Protocols",
        "Upgrade: websocket",
        "Connection: Upgrade",
        f"Sec-WebSocket-Accept: {generate_accept_token(key.encode()).decode()}",
        *((f"Sec-WebSocket-Protocol: {protocol}",) if protocol else ()),
    )
    return ("\r\n".join(lines) + "\r\n\r\n").encode()


def _server() -> Connection:
    from wsproto.connection import Connection, ConnectionType

    return Connection(ConnectionType.SERVER)


@define
class WebSocketDuplex:
    """A `Duplex` whose bytes are the data of a WebSocket's messages.

    Written data is sent in binary messages, or in text messages if `is_text`.
    """

    _duplex: Duplex
    _is_text: bool = False
    _connection: Connection = field(factory=_server, init=False)
    _is_closed: bool = field(default=False, init=False)

    async def read(self) -> bytes:
        """Return the data of the next message, or b"" once the client has closed the WebSocket or disconnected."""
        from wsproto.connection import ConnectionState
        from wsproto.events import CloseConnection, Message, Ping

        while not self._is_closed:
            for event in self._connection.events():
                if isinstance(event, Ping):
                    await self._duplex.write(self._connection.send(event.response()))
                elif isinstance(event, CloseConnection):
                    self._is_closed = True
                    if self._connection.state is ConnectionState.OPEN:  # an invalid frame
                        await self._duplex.write(self._connection.send(CloseConnection(event.code)))
                elif isinstance(event, Message) and event.data:
                    return event.data.encode() if isinstance(event.data, str) else bytes(event.data)
            data = b"" if self._is_closed else await self._duplex.read()
            if not data:
                break
            self._connection.receive_data(data)
        return b""

    async def write(self, data: bytes) -> None:
        """Send `data` as one message. Raises `ConnectionError` if the client has closed the WebSocket."""
        from wsproto.events import BytesMessage, TextMessage

        if self._is_closed:
            raise ConnectionResetError("the WebSocket is closed")
        message = TextMessage(data.decode(errors="replace")) if self._is_text else BytesMessage(data)
        await self._duplex.write(self._connection.send(message))

    async def gone(self) -> None:
        """Wait until the client disconnects; return at once if it has closed the WebSocket."""
        if not self._is_closed:
            await self._duplex.gone()

    async def close(self) -> None:
        """Send the closing message for a normal end (status 1000), unless a closing message was sent already."""
        from wsproto.connection import ConnectionState
        from wsproto.events import CloseConnection
        from wsproto.frame_protocol import CloseReason

        if self._connection.state in (ConnectionState.OPEN, ConnectionState.REMOTE_CLOSING):
            await self._duplex.write(self._connection.send(CloseConnection(CloseReason.NORMAL_CLOSURE)))
