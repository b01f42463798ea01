"""The client's end of a connection between nodes."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from cnmsim.kernel.address import format_ip
from cnmsim.kernel.clock import Clock
from cnmsim.kernel.process import Process
from cnmsim.kernel.task import Future, wait_for
from cnmsim.swarm.ca.certificates import Certificate
from cnmsim.swarm.rpc.records import (
    CALL_LENGTH,
    CLIENT_FLIGHT,
    Answer,
    Call,
    End,
    Hello,
    Push,
    TlsRecords,
    split_host_port,
)
from cnmsim.swarm.rpc.service import CALL_TIMEOUT_S, Client, RpcError, Stream

#: Timeout for connecting, in seconds.
DIAL_TIMEOUT_S = 10.0


class Connection(Client):
    """The client's end of a connection. `remote` is the server's certificate."""

    def __init__(self, clock: Clock, records: TlsRecords, remote: Certificate) -> None:
        self._clock = clock
        self._records = records
        self.remote = remote
        self._next_id = 0
        self._calls: dict[int, Future[Any]] = {}
        self._streams: dict[int, tuple[Stream, Callable[[Any], None]]] = {}
        #: Whether calls can still be made.
        self.is_open = True

    @property
    def local_address(self) -> str:
        """The client's address."""
        return format_ip(self._records.socket.local)

    async def receive(self) -> None:
        """Receive messages and pass each to the call or stream to which it belongs, until the connection ends."""
        reason = "connection closed"
        try:
            while True:
                self._dispatch(await self._records.receive())
        except (EOFError, ValueError):
            pass
        except OSError as error:
            reason = str(error.strerror or error)
        self._fail(reason)

    def _dispatch(self, content: Any) -> None:
        if isinstance(content, Answer):
            answer = self._calls.pop(content.id, None)
            if answer is None:
                return
            if content.error is not None:
                answer.set_exception(content.error)
            else:
                answer.set_result(content.value)
        elif isinstance(content, Push) and content.id in self._streams:
            self._streams[content.id][1](content.message)
        elif isinstance(content, End) and content.id in self._streams:
            stream, _ = self._streams.pop(content.id)
            if not stream.ended.is_done:
                stream.ended.set_result(content.error)

    async def call(self, method: str, argument: Any = None, *, timeout_s: float = CALL_TIMEOUT_S) -> Any:
        """Call a method with one argument and return its result.

        Raises the error that the server returns, or `RpcError` if the connection breaks or the call times out.
        """
        call_id, answer = self._send(method, argument), Future[Any](self._clock)
        self._calls[call_id] = answer
        answer.add_done_callback(lambda _: None)
        try:
            return await wait_for(self._clock, answer, timeout_s)
        except TimeoutError:
            self._calls.pop(call_id, None)
            self.close()
            raise RpcError("rpc error: code = DeadlineExceeded desc = context deadline exceeded") from None

    def stream(self, method: str, argument: Any, on_message: Callable[[Any], None]) -> Stream:
        """Call a method whose reply is a stream of messages. `on_message` is called with each message."""
        call_id = self._send(method, argument, is_stream=True)

        def cancel() -> None:
            self._streams.pop(call_id, None)
            if self.is_open:
                self._write(End(call_id), CALL_LENGTH)

        stream = Stream(Future(self._clock), cancel)
        self._streams[call_id] = (stream, on_message)
        return stream

    def _send(self, method: str, argument: Any, *, is_stream: bool = False) -> int:
        if not self.is_open:
            raise RpcError("rpc error: code = Unavailable desc = connection closed")
        self._next_id += 1
        self._write(Call(self._next_id, method, argument, is_stream), CALL_LENGTH)
        return self._next_id

    def _write(self, content: object, length: int) -> None:
        try:
            self._records.send(content, length)
        except OSError as error:
            self._fail(str(error.strerror))
            raise RpcError(f"rpc error: code = Unavailable desc = {error.strerror}") from None

    def _fail(self, reason: str) -> None:
        if not self.is_open:
            return
        self.is_open = False
        self._records.socket.close()
        error = RpcError(f"rpc error: code = Unavailable desc = {reason}")
        calls, self._calls = self._calls, {}
        streams, self._streams = self._streams, {}
        for answer in calls.values():
            answer.set_exception(error)
        for stream, _ in streams.values():
            if not stream.ended.is_done:
                stream.ended.set_result(error)

    def close(self) -> None:
        """Close the connection."""
        if self.is_open:
            self._records.socket.abort()
            self._fail("connection closed")


async def dial(
    process: Process, remote: str, certificate: Certificate | None, *, timeout_s: float = DIAL_TIMEOUT_S
) -> Connection:
    """Connect to the server at `remote`, such as `172.31.1.5:2377`, and return the connection.

    `process` owns the socket; `certificate` is the client's certificate, `None` if it has none yet. Raises `RpcError`
    if the connection fails or the server refuses the certificate.
    """
    address, port = split_host_port(remote)
    socket = process.tcp(6 if len(address) == 16 else 4)
    records = TlsRecords(process.clock, socket)

    async def shake_hands() -> Certificate:
        await socket.connect((address, port))
        records.send(Hello(certificate), CLIENT_FLIGHT)
        answer = await records.receive()
        if not isinstance(answer, Hello) or answer.certificate is None:
            raise ValueError("no certificate")
        return answer.certificate

    prefix = "rpc error: code = Unavailable desc = connection error: desc = "
    try:
        remote_certificate = await wait_for(process.clock, process.task(shake_hands()), timeout_s)
    except TimeoutError:
        socket.abort()
        raise RpcError(
            f'{prefix}"transport: Error while dialing: dial tcp {remote}: connect: connection timed out"'
        ) from None
    except (EOFError, ValueError):
        socket.abort()
        raise RpcError(
            f'{prefix}"transport: authentication handshake failed: remote error: tls: bad certificate"'
        ) from None
    except OSError as error:
        socket.abort()
        text = str(error.strerror or error).lower()
        raise RpcError(f'{prefix}"transport: Error while dialing: dial tcp {remote}: connect: {text}"') from None
    connection = Connection(process.clock, records, remote_certificate)
    process.task(connection.receive())
    return connection
