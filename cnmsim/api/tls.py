"""Mutual TLS for the API over TCP, as `dockerd --tlsverify`.

The standard library's TLS is used over memory buffers, because asyncio's transport has two faults here. It takes the
client's close_notify for the end of the connection, although the server of an attach or exec continues to send (RFC
8446 §6.1). And it sends no alert to a client that it refuses.
"""

from __future__ import annotations

import asyncio
import contextlib
import ssl
from pathlib import Path
from typing import Any, Protocol

from cnmsim.bounded_read import read_bytes

_CHUNK = 65536
_HANDSHAKE_TIMEOUT_S = 10.0
_ALERT, _HANDSHAKE = 21, 22
#: First bytes of an HTTP request, and the answer of Go's net/http to one (`server.go`, go1.24).
_LIKE_HTTP = frozenset({b"GET /", b"HEAD ", b"POST ", b"PUT /", b"OPTIO"})
_PLAIN_HTTP = b"HTTP/1.0 400 Bad Request\r\n\r\nClient sent an HTTP request to an HTTPS server.\n"


class Reader(Protocol):
    """The reading side of a connection: the part of `asyncio.StreamReader` that is used here."""

    async def read(self, n: int = -1, /) -> bytes:
        """Wait until data has arrived, and return at most `n` bytes of it.

        If `n` is negative, wait until the peer has closed the connection, and return all bytes. Return b"" at the
        end of the stream.
        """


class Writer(Protocol):
    """The writing side of a connection: the part of `asyncio.StreamWriter` that is used here."""

    def write(self, data: bytes, /) -> None:
        """Send `data`."""

    async def drain(self) -> None:
        """Wait until the client has read enough of what was written.

        Raises `ConnectionError` if the client has disconnected.
        """

    def close(self) -> None:
        """Close the connection once all data is sent."""

    def is_closing(self) -> bool:
        """Return True if the connection is closed or closing."""

    async def wait_closed(self) -> None:
        """Wait until the connection is closed."""

    def get_extra_info(self, name: str, /) -> Any:
        """Return asyncio's information on the connection: `name` is "socket" here."""


def mutual_tls(ca: Path, certificate: Path, key: Path) -> ssl.SSLContext:
    """Return the TLS context of `dockerd --tlsverify`: clients must present a certificate that `ca` signed.

    Raises `ssl.SSLError`, a subclass of `OSError`, if files are not certificates or do not belong together. Client
    certificates are verified as by Go's crypto/x509, independent of this Python's defaults: an Authority Key
    Identifier is not required (RFC 5280 §4.2.1.1 requires it; Python 3.13 checks it), and any certificate in `ca` is
    a trust anchor.
    """
    for file in (ca, certificate, key):
        read_bytes(file)  # OpenSSL would read a file without end for ever
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH, cafile=str(ca))
    context.load_cert_chain(certificate, key)
    context.verify_mode = ssl.CERT_REQUIRED
    context.verify_flags &= ~ssl.VERIFY_X509_STRICT
    context.verify_flags |= ssl.VERIFY_X509_PARTIAL_CHAIN
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    return context


class TlsConnection:
    """The server side of TLS over a plain connection.

    After `handshake` it can be used as a `Reader` and a `Writer`.
    """

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, context: ssl.SSLContext) -> None:
        self._reader = reader
        self._writer = writer
        self._incoming, self._outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
        self._tls = context.wrap_bio(self._incoming, self._outgoing, server_side=True)

    async def handshake(self) -> None:
        """Perform the handshake, and verify the client's certificate.

        Raises `ssl.SSLError` if the handshake fails, after sending an alert (if TLS has one for the case) to the
        client. A client that speaks plain HTTP is answered in plain HTTP instead. Raises `TimeoutError` after 10 s.
        """
        async with asyncio.timeout(_HANDSHAKE_TIMEOUT_S):
            await self._check_first_record()
            while True:
                try:
                    self._tls.do_handshake()
                except ssl.SSLWantReadError:
                    await self._flush()
                    await self._receive()
                except ssl.SSLError:
                    await self._flush()
                    raise
                else:
                    await self._flush()
                    return

    async def _check_first_record(self) -> None:
        """Check that the client's first record looks like TLS, as Go's crypto/tls does.

        Raises `ssl.SSLError` if it does not. Source: Go `crypto/tls/conn.go`, readRecordOrCCS.
        """
        head = b""
        while len(head) < 5:
            if not (data := await self._reader.read(_CHUNK)):
                raise ConnectionResetError("EOF")
            head += data
        if head[0] not in {_ALERT, _HANDSHAKE} or head[1] >= 0x10:
            if head[:5] in _LIKE_HTTP:
                self._writer.write(_PLAIN_HTTP)
                raise ssl.SSLError("client sent an HTTP request to an HTTPS server")
            raise ssl.SSLError("tls: first record does not look like a TLS handshake")
        self._incoming.write(head)

    async def read(self, n: int = _CHUNK, /) -> bytes:
        """Wait for data, and return up to `n` decrypted bytes; b"" at the end of the client's data."""
        while True:
            try:
                data = self._tls.read(n)
            except ssl.SSLWantReadError:
                await self._flush()
                await self._receive()
            except ssl.SSLZeroReturnError:
                return b""
            except ssl.SSLEOFError:
                return b""  # truncated; a reader that needs more notices
            except ssl.SSLError as error:
                raise ConnectionResetError(str(error)) from None
            else:
                return data

    async def _receive(self) -> None:
        data = await self._reader.read(_CHUNK)
        if data:
            self._incoming.write(data)
        else:
            self._incoming.write_eof()

    def write(self, data: bytes, /) -> None:
        """Encrypt and send `data`."""
        if data:
            self._tls.write(data)
            self._writer.write(self._outgoing.read())

    async def _flush(self) -> None:
        if self._outgoing.pending:
            self._writer.write(self._outgoing.read())
        await self._writer.drain()

    async def drain(self) -> None:
        """Wait until the client has read enough of what was written.

        Raises `ConnectionError` if the client has disconnected.
        """
        await self._writer.drain()

    def close(self) -> None:
        """Send close_notify, and close the connection once all data is sent."""
        if not self._writer.is_closing():
            with contextlib.suppress(ssl.SSLError):
                self._tls.unwrap()
            if self._outgoing.pending:
                self._writer.write(self._outgoing.read())
        self._writer.close()

    def is_closing(self) -> bool:
        """Return True if the connection is closed or closing."""
        return self._writer.is_closing()

    async def wait_closed(self) -> None:
        """Wait until the connection is closed."""
        await self._writer.wait_closed()

    def get_extra_info(self, name: str, /) -> Any:
        """Return asyncio's information on the connection: `name` is "socket" here."""
        return self._writer.get_extra_info(name)
