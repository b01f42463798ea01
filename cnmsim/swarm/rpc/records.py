"""TLS records and the messages that they contain."""

from __future__ import annotations

from typing import Any

from attrs import frozen

from cnmsim.kernel.address import Address, parse_ip
from cnmsim.kernel.clock import Clock
from cnmsim.kernel.opaque_payload import payload_store
from cnmsim.kernel.sockets.tcp import TcpSocket
from cnmsim.swarm.ca.certificates import Certificate

#: Lengths of records in bytes: the handshake messages of the client and of the server; a call or its answer; one
#: message of a stream.
CLIENT_FLIGHT, SERVER_FLIGHT = 1460, 1832
CALL_LENGTH, PUSH_LENGTH = 180, 640

_APPLICATION_DATA = b"\x17\x03\x03"
_HEADER_LENGTH = 5
#: Encrypted contents are kept for this many seconds, which is longer than TCP retransmits a segment.
_LIFETIME_S = 1200


@frozen
class Hello:
    """The handshake message of one end of a connection, with the certificate of that end.

    `certificate` is `None` for a client that has no certificate yet.
    """

    certificate: Certificate | None


@frozen
class Call:
    """A call of a method. `id` is unique on its connection. With `is_stream` the reply is a stream of messages."""

    id: int
    method: str
    argument: Any
    is_stream: bool = False


@frozen
class Answer:
    """The answer to the unary call with the same id: a value or an error."""

    id: int
    value: Any = None
    error: Exception | None = None


@frozen
class Push:
    """One message of a stream. `id` is the id of the call that opened the stream."""

    id: int
    message: Any


@frozen
class End:
    """The end of a stream, sent by either end. `error` is the reason, or `None` if the stream ended normally."""

    id: int
    error: Exception | None = None


class TlsRecords:
    """TLS records over one TCP connection."""

    __slots__ = ("_buffer", "clock", "socket")

    def __init__(self, clock: Clock, socket: TcpSocket) -> None:
        self.clock = clock
        self.socket = socket
        self._buffer = b""

    def send(self, content: object, length: int) -> None:
        """Send `content`, a Python object, as one encrypted record. Raises `OSError` if the connection is broken.

        `length` is the number of bytes that the content would have in reality; it determines the length of the
        record.
        """
        payload = payload_store(self.clock).encrypt(content, length, lifetime_s=_LIFETIME_S)
        self.socket.send(_APPLICATION_DATA + len(payload).to_bytes(2, "big") + payload)

    async def receive(self) -> Any:
        """Wait for the next record and return its content.

        Raises `EOFError` at the end of the connection, `OSError` if it breaks, and `ValueError` if the data is not a
        record.
        """
        while True:
            length = int.from_bytes(self._buffer[3:5], "big")
            if len(self._buffer) >= _HEADER_LENGTH + length and len(self._buffer) >= _HEADER_LENGTH:
                break
            data = await self.socket.recv()
            if not data:
                raise EOFError
            self._buffer += data
            if not self._buffer.startswith(_APPLICATION_DATA[: len(self._buffer)]):
                raise ValueError("first record does not look like a TLS handshake")
        record, self._buffer = self._buffer[: _HEADER_LENGTH + length], self._buffer[_HEADER_LENGTH + length :]
        return payload_store(self.clock).decrypt(record[_HEADER_LENGTH:])


def split_host_port(text: str) -> tuple[Address, int]:
    """Split `172.31.1.5:2377` or `[fd00::5]:2377` into the address and the port.

    Raises `ValueError` if the text has another form.
    """
    host, _, port = text.rpartition(":")
    return parse_ip(host.strip("[]")), int(port)
