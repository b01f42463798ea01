"""One client connection: HTTP/1.1 by h11 over an asyncio stream, and raw bytes after an attach or exec.

Limits: 64 KiB of headers, a body of `MAX_BODY`, 60 s from the first to the last byte of a request, and 64 KiB of
further requests sent before the answer to the present one has ended. A connection may be idle between requests
without limit.
"""

from __future__ import annotations

import asyncio
import contextlib
import fcntl
import select
import sys
import termios
from collections.abc import Awaitable, Callable
from http import HTTPStatus
from urllib.parse import quote

import h11

from cnmsim.api.http_request import RefusedRequest, build_request, refusal
from cnmsim.api.message import Answer, Client, Hijack, Request, Response, Stream
from cnmsim.api.tls import Reader, Writer

MAX_HEADERS = 64 * 1024
MAX_BODY = 64 * 1024 * 1024
REQUEST_TIMEOUT_S = 60.0
_READ = 65536
#: Bytes that are read while an answer is sent; the rest waits in the socket.
_MOST_EARLY = 65536
_GONE_POLL_S = 0.5
_HEAD_POLL_S, _HEAD_POLLS = 0.0005, 200

#: Go's server sends a longer body in chunks, because it exceeds its buffer.
_MOST_BUFFERED = 2048
_ASCII = bytes(range(128))

_REASONS = {status.value: status.phrase for status in HTTPStatus}

Dispatch = Callable[[Request], Awaitable[Answer]]


class _TooLarge(Exception):
    """The request exceeds a limit; `args[0]` is the text for the client."""


class Connection:
    """Serves one client until the client or the server ends the connection. `headers` are added to every response."""

    def __init__(
        self,
        reader: Reader,
        writer: Writer,
        dispatch: Dispatch,
        headers: dict[str, str],
        *,
        is_tcp: bool = False,
        is_tls: bool = False,
    ) -> None:
        self._reader = reader
        self._writer = writer
        self._dispatch = dispatch
        self._headers = headers
        self._client = Client()
        self._is_tcp = is_tcp
        self._is_tls = is_tls
        self._http = h11.Connection(h11.SERVER, max_incomplete_event_size=MAX_HEADERS)
        self._client_is_gone = False
        self._is_http10 = False

    async def serve(self) -> None:
        """Answer the client's requests one after the other, until the connection ends."""
        try:
            while await self._serve_one():
                self._http.start_next_cycle()
        except (ConnectionError, TimeoutError, asyncio.IncompleteReadError):
            pass  # the client disconnected, or did not complete its request: there is nobody to answer
        finally:
            self._writer.close()
            with contextlib.suppress(ConnectionError, OSError):
                await self._writer.wait_closed()

    async def _serve_one(self) -> bool:
        try:
            request = await self._read_request()
        except h11.RemoteProtocolError as error:
            await self._refuse(refusal(error))
            return False
        except RefusedRequest as refused:
            await self._refuse(refused)
            return False
        except _TooLarge as error:
            response = Response.error(413, str(error))
            response.headers["Connection"] = "close"
            await self._send_head(response, len(response.body))
            await self._send(h11.Data(data=response.body), h11.EndOfMessage())
            return False
        if request is None:
            return False
        answer = await self._answer_unless_gone(request)
        if answer is None:
            return False
        if isinstance(answer, Response):
            await self._send_response(request, answer)
        else:
            try:
                if isinstance(answer, Hijack):
                    await self._hijack(request, answer)
                    return False
                await self._send_stream(request, answer)
            finally:
                answer.end()
        return self._http.our_state is h11.DONE and self._http.their_state is h11.DONE

    async def _refuse(self, refused: RefusedRequest) -> None:
        if self._http.our_state in (h11.IDLE, h11.SEND_RESPONSE, h11.ERROR):
            self._writer.write(refused.answer)
            await self._writer.drain()

    # --- reading

    def _receive(self, data: bytes) -> None:
        """Parse data from the client. Bytes above 127 in a request line are escaped, because h11 refuses them."""
        if self._http.their_state is h11.IDLE:
            line, newline, rest = data.partition(b"\n")
            data = quote(line, safe=_ASCII).encode() + newline + rest
        self._http.receive_data(data)

    async def _next_event(self, deadline_s: float) -> h11.Event | type[h11.NEED_DATA | h11.PAUSED]:
        while True:
            event = self._http.next_event()
            if event is h11.NEED_DATA:
                if self._http.they_are_waiting_for_100_continue:
                    await self._send(h11.InformationalResponse(status_code=100, headers=[]))
                async with asyncio.timeout_at(deadline_s):
                    self._receive(await self._reader.read(_READ))
                continue
            return event

    async def _read_request(self) -> Request | None:
        idle = not self._http.trailing_data[0]
        if idle:
            first = await self._reader.read(_READ)
            self._receive(first)
            if not first:
                return None
        deadline_s = asyncio.get_running_loop().time() + REQUEST_TIMEOUT_S
        event = await self._next_event(deadline_s)
        if isinstance(event, h11.ConnectionClosed) or not isinstance(event, h11.Request):
            return None
        body = bytearray()
        while True:
            part = await self._next_event(deadline_s)
            if isinstance(part, h11.Data):
                body += part.data
                if len(body) > MAX_BODY:
                    raise _TooLarge(f"request body larger than {MAX_BODY} bytes")
            elif isinstance(part, h11.EndOfMessage):
                self._is_http10 = event.http_version == b"1.0"
                return build_request(event, bytes(body), is_tcp=self._is_tcp, client=self._client)
            else:
                return None

    # --- answering

    async def _answer_unless_gone(self, request: Request) -> Answer | None:
        """Run the handler of a request and return its answer.

        If the client disconnects before the handler has ended, cancel the handler and return `None`.
        """
        work = asyncio.ensure_future(self._dispatch(request))
        watch = asyncio.ensure_future(self._watch())
        try:
            await asyncio.wait({work, watch}, return_when=asyncio.FIRST_COMPLETED)
            if not work.done():
                work.cancel()
                with contextlib.suppress(asyncio.CancelledError):
                    await work
                return None
            return work.result()
        finally:
            await self._stop(watch)
            if not work.done():
                work.cancel()

    async def _watch(self) -> None:
        """Return when the client has disconnected.

        Data that arrives before the answer is sent belongs to the next request; up to `_MOST_EARLY` bytes are
        buffered.

        A client that has closed only its sending side still gets the answer over a Unix socket. Over TCP this looks
        like a disconnect (moby treats it as one in both cases).
        """
        while len(self._http.trailing_data[0]) < _MOST_EARLY:
            data = await self._reader.read(_READ)
            if not data:
                break
            self._http.receive_data(data)
        else:
            await _hung_up(self._writer, select.POLLRDHUP if self._is_tcp else 0)
        self._client_is_gone = True
        if not self._is_tcp:
            await _hung_up(self._writer, 0)

    async def _stop(self, watch: asyncio.Future[None]) -> None:
        watch.cancel()
        with contextlib.suppress(asyncio.CancelledError, ConnectionError, h11.RemoteProtocolError):
            await watch

    async def _send(self, *events: h11.Event) -> None:
        for event in events:
            data = self._http.send(event)
            if data and self._is_http10 and isinstance(event, h11.Response):
                data = data.replace(b"HTTP/1.1", b"HTTP/1.0", 1).replace(b"\r\nConnection: close\r\n", b"\r\n", 1)
            if data:
                self._writer.write(data)
        await self._writer.drain()

    async def _send_head(self, answer: Response | Stream, length: int | None) -> None:
        has_engine_headers = isinstance(answer, Stream) or answer.has_engine_headers
        headers = sorted({**(self._headers if has_engine_headers else {}), **answer.headers}.items())
        if length is not None and answer.status not in (204, 304) and "Content-Length" not in answer.headers:
            headers.append(("Content-Length", str(length)))
        reason = _REASONS.get(answer.status, "")
        await self._send(h11.Response(status_code=answer.status, reason=reason, headers=headers))

    async def _send_response(self, request: Request, response: Response) -> None:
        length = len(response.body)
        await self._send_head(response, length if length <= _MOST_BUFFERED else None)
        if response.body and request.method != "HEAD":
            await self._send(h11.Data(data=response.body))
        await self._send(h11.EndOfMessage())

    async def _send_stream(self, request: Request, stream: Stream) -> None:
        await self._send_head(stream, None)
        watch = asyncio.ensure_future(self._watch())
        work = asyncio.ensure_future(self._pump(request, stream))
        try:
            await asyncio.wait({work, watch}, return_when=asyncio.FIRST_COMPLETED)
            if not work.done():
                raise ConnectionResetError("client is gone")
            work.result()
        finally:
            await self._stop(watch)
            work.cancel()
            with contextlib.suppress(asyncio.CancelledError, ConnectionError):
                await work
        await self._send(h11.EndOfMessage())

    async def _pump(self, request: Request, stream: Stream) -> None:
        async for chunk in stream.chunks:
            if chunk and request.method != "HEAD":
                await self._send(h11.Data(data=chunk))

    # --- hijack

    async def _hijack(self, request: Request, hijack: Hijack) -> None:
        """Turn the connection into a raw stream, and run `hijack.talk` on that stream.

        The status of the response is 101 for a client that asked to upgrade, else 200.
        """
        upgrades = "upgrade" in request.headers
        lines = ["HTTP/1.1 101 UPGRADED" if upgrades else "HTTP/1.1 200 OK", f"Content-Type: {hijack.content_type}"]
        if upgrades:
            lines += ["Connection: Upgrade", "Upgrade: tcp"]
        self._writer.write(hijack.head or ("\r\n".join(lines) + "\r\n\r\n").encode())
        await self._writer.drain()
        await self._head_is_read()
        early, ended = self._http.trailing_data
        is_ended = ended or self._client_is_gone
        duplex = _RawStream(self._reader, self._writer, early, is_ended=is_ended, is_tls=self._is_tls)
        await hijack.talk(duplex)

    async def _head_is_read(self) -> None:
        """Wait briefly until the client has read the response head.

        docker-py reads the head through a buffer, but the stream directly from the socket. Data that arrives together
        with the head would be lost in that buffer. A real engine takes longer until its first output.
        """
        channel = self._writer.get_extra_info("socket")
        unread = bytearray(4)
        for _ in range(_HEAD_POLLS):
            try:
                fcntl.ioctl(channel.fileno(), termios.TIOCOUTQ, unread)
            except (OSError, ValueError):
                return  # the socket is closed and has no descriptor; the copying will notice
            if not int.from_bytes(unread, sys.byteorder):
                return
            await asyncio.sleep(_HEAD_POLL_S)


class _RawStream:
    """A hijacked connection: a `Duplex` over the client's streams."""

    def __init__(self, reader: Reader, writer: Writer, early: bytes, *, is_ended: bool, is_tls: bool) -> None:
        self._reader = reader
        self._writer = writer
        self._early = early
        self._is_ended = is_ended
        self._is_tls = is_tls

    async def read(self) -> bytes:
        if self._early:
            early, self._early = self._early, b""
            return early
        if self._is_ended:
            return b""
        return await self._reader.read(_READ)

    async def write(self, data: bytes) -> None:
        self._writer.write(data)
        await self._writer.drain()

    async def gone(self) -> None:
        # TLS closes one direction by a message, the connection below it only as a whole.
        await _hung_up(self._writer, select.POLLRDHUP if self._is_tls else 0)


def is_hung_up(writer: Writer, mask: int = 0) -> bool:
    """Return True if both directions of a connection are closed (POLLHUP), or if the server has closed it.

    `mask` are further events of poll(2) that count as a disconnect.
    """
    # A half-closed socket reports the rest only when polled.
    descriptor = writer.get_extra_info("socket").fileno()
    if descriptor < 0 or writer.is_closing():
        return True
    poll = select.poll()
    poll.register(descriptor, mask)
    return bool(poll.poll(0))


async def _hung_up(writer: Writer, mask: int) -> None:
    """Wait until the client has disconnected, i.e. `is_hung_up(writer, mask)` returns True."""
    while not is_hung_up(writer, mask):  # noqa: ASYNC110 - the kernel sends no event
        await asyncio.sleep(_GONE_POLL_S)
