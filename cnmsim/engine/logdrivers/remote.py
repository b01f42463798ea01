"""Messages that are sent to a server with UDP: the drivers `syslog` and `gelf`.

Source: moby `daemon/logger/{syslog,gelf}`, RackSec/srslog `formatter.go`, Graylog2/go-gelf `udpwriter.go`.
"""

from __future__ import annotations

import gzip
import zlib
from datetime import UTC, datetime
from hashlib import blake2b
from typing import TYPE_CHECKING, Any

from attrs import define, field, frozen

from cnmsim.engine.logdrivers.message import LogLine
from cnmsim.gojson.encode import encode
from cnmsim.gojson.fields import rfc3339
from cnmsim.kernel.clock import NS_PER_S
from cnmsim.kernel.journal import Journal, JournalEntry
from cnmsim.kernel.sockets.udp import UdpSocket

if TYPE_CHECKING:
    from cnmsim.kernel.namespace import NetworkNamespace

ERROR, INFO = 3, 6
#: GELF: bytes of a datagram, of the head of a chunk, and the most chunks of a message.
_CHUNK, _CHUNK_HEAD, _MOST_CHUNKS = 1420, 12, 128


def severity(line: LogLine) -> int:
    """Return the syslog severity (RFC 5424) of a message: error for stderr, informational for stdout."""
    return ERROR if line.stream == "stderr" else INFO


@frozen
class SyslogFormat:
    """Encodes messages for the driver `syslog`. `form` is the value of the option `syslog-format`."""

    form: str
    facility: int
    hostname: str
    tag: str
    pid: int

    def format(self, line: LogLine) -> bytes:
        """Return the datagram for one message."""
        priority = self.facility << 3 | severity(line)
        stamp = datetime.fromtimestamp(line.time_ns // NS_PER_S, UTC)
        short = f"{stamp:%b} {stamp.day:2d} {stamp:%H:%M:%S}"
        tag, host, pid = self.tag, self.hostname, self.pid
        if self.form == "rfc3164":
            head = f"<{priority}>{short} {host} {tag}[{pid}]: "
        elif self.form:
            digits = 6 if self.form == "rfc5424micro" else 0
            time = rfc3339(line.time_ns, digits=digits, keep_zeros=True)
            head = f"<{priority}>1 {time} {host} {tag} {pid} {tag} - "
        else:
            head = f"<{priority}>{short} {tag}[{pid}]: "
        return head.encode() + line.text.removesuffix(b"\n") + b"\n"


@frozen
class GelfFormat:
    """Encodes messages for the driver `gelf` as JSON. `extra` are the container's additional fields."""

    hostname: str
    extra: dict[str, Any]
    compression: str = "gzip"

    def format(self, line: LogLine) -> bytes:
        """Return the JSON of one message in bytes."""
        text = line.text.removesuffix(b"\n").decode(errors="replace")
        body = encode(
            {
                "version": "1.1",
                "host": self.hostname,
                "short_message": text,
                "timestamp": line.time_ns // 1_000_000 / 1000,
                "level": severity(line),
                **self.extra,
            },
        ).encode()
        if self.compression == "none":
            return body
        return zlib.compress(body) if self.compression == "zlib" else gzip.compress(body, mtime=0)


@frozen(eq=False)
class JournalSender:
    """Writes messages to the host's journal. Used by the driver `journald`, and by `syslog` without an address."""

    journal: Journal = field(repr=False)
    identifier: str
    pid: int
    fields: dict[str, str]

    def send(self, line: LogLine) -> bool:
        """Write a message to the journal. Return True."""
        text = line.text.removesuffix(b"\n").decode(errors="replace")
        self.journal.add(
            JournalEntry(line.time_ns, self.identifier, self.pid, text, severity(line), "docker.service", self.fields)
        )
        return True

    def close(self) -> None:
        """Do nothing: the journal has no connection."""


@define(eq=False)
class UdpSender:
    """Sends messages as UDP datagrams from the host's initial network namespace."""

    namespace: NetworkNamespace = field(repr=False)
    address: str
    port: int
    formatter: SyslogFormat | GelfFormat
    _socket: UdpSocket | None = field(default=None, init=False, repr=False)
    _number: int = field(default=0, init=False)

    def send(self, line: LogLine) -> bool:
        """Send a message. Return False if the socket reports an error, such as an earlier refusal by the server.

        An empty message is dropped, and True is returned, as in the driver.
        """
        if not line.text.removesuffix(b"\n"):
            return True
        try:
            if self._socket is None:
                self._socket = UdpSocket(self.namespace, 6 if ":" in self.address else 4)
                self._socket.connect((self.address, self.port))
            for datagram in self._datagrams(self.formatter.format(line)):
                self._socket.send(datagram)
        except (OSError, ValueError):
            return False
        return True

    def _datagrams(self, data: bytes) -> list[bytes]:
        """Return the datagrams for an encoded message. A GELF message of more than 1420 bytes is split into chunks.

        Raises `ValueError` if it would need too many chunks.
        """
        if len(data) <= _CHUNK or isinstance(self.formatter, SyslogFormat):
            return [data]
        parts = [data[at : at + _CHUNK - _CHUNK_HEAD] for at in range(0, len(data), _CHUNK - _CHUNK_HEAD)]
        if len(parts) > _MOST_CHUNKS:
            raise ValueError(f"msg too large, would need {len(parts)} chunks")
        self._number += 1
        message = blake2b(data, digest_size=8, salt=self._number.to_bytes(8, "big")).digest()
        head = b"\x1e\x0f" + message
        return [head + bytes([number, len(parts)]) + part for number, part in enumerate(parts)]

    def close(self) -> None:
        """Close the socket."""
        if self._socket is not None:
            self._socket.close()
            self._socket = None
