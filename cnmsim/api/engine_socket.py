"""The Engine API at /var/run/docker.sock inside a lab, for programs of the host and of containers that mount it.

The handlers are the same as for the sockets of a served lab, but here they run on the lab's clock, without asyncio.
"""

from __future__ import annotations

import contextlib
import re
from collections.abc import Callable, Coroutine, Iterator
from typing import TYPE_CHECKING, Any, TypeVar, cast

import h11

from cnmsim.api.connection import MAX_BODY, MAX_HEADERS
from cnmsim.api.durability import Durability
from cnmsim.api.host import HostApi
from cnmsim.api.http_request import RefusedRequest, build_request, refusal
from cnmsim.api.message import Answer, Hijack, Request, Response
from cnmsim.api.router import dispatch
from cnmsim.errors import CnmsimError
from cnmsim.kernel.clock import Clock
from cnmsim.kernel.task import Future, Gate, Signal, Task, sleep
from cnmsim.kernel.unix_stream import UnixStream

if TYPE_CHECKING:
    from cnmsim.api.clock_driver import ClockDriver
    from cnmsim.lab import Lab

T = TypeVar("T")
_WAIT = re.compile(r"^/containers/([^/]+)/wait$")


class LabEvent:
    """A flag on which tasks of a lab can wait, with the methods of `asyncio.Event`."""

    def __init__(self, clock: Clock) -> None:
        self._signal = Signal(clock)
        self._is_set = False

    def set(self) -> None:
        """Set the flag and wake the tasks that wait for it."""
        self._is_set = True
        self._signal.notify()

    def clear(self) -> None:
        """Reset the flag."""
        self._is_set = False

    async def wait(self) -> None:
        """Wait until the flag is set."""
        await self._signal.wait_until(lambda: self._is_set)


class LabClockDriver:
    """The clock driver for handlers that run inside the lab.

    It has the methods of `ClockDriver`, but does not drive a clock: it waits on the lab's own.
    """

    jumps = False

    def __init__(self, clock: Clock) -> None:
        self.clock = clock

    def event(self) -> LabEvent:
        """Return a new event for tasks of the lab."""
        return LabEvent(self.clock)

    async def sleep(self, seconds: float) -> None:
        """Wait in virtual time."""
        await sleep(self.clock, seconds)

    async def first_of(self, *waits: Coroutine[Any, Any, None]) -> None:
        """Run coroutines until one is done, and cancel the others.

        If the one that is done raised an error, raise that error.
        """
        first: Future[None] = Future(self.clock)

        async def run(wait: Coroutine[Any, Any, None]) -> None:
            try:
                await wait
            except Exception as error:  # noqa: BLE001 - the caller raises it
                if not first.is_done:
                    first.set_exception(error)
            else:
                if not first.is_done:
                    first.set_result(None)

        tasks = [Task(self.clock, run(wait)) for wait in waits]
        try:
            await first
        finally:
            for task in tasks:
                task.cancel()

    @property
    def client_time(self) -> LabClockDriver:
        """The converter of clients' times: this object itself, whose `convert` changes nothing."""
        return self

    def convert(self, parameters: dict[str, str], _is_lab_time: object = None) -> dict[str, str]:
        """Return query parameters unchanged, because clients inside the lab have the lab's time."""
        return parameters

    def run_ready(self) -> None:
        """Do nothing: the clock runs already."""

    async def wait(self, future: Future[T], _predicate: Callable[[], bool] = lambda: True) -> T:
        """Wait until a future of the lab is done. Return its result or raise its error."""
        return await future

    @contextlib.contextmanager
    def run_fast(self, _predicate: Callable[[], bool] = lambda: True) -> Iterator[None]:
        """Do nothing, for a `with` block: handlers inside the lab do not drive the lab's clock."""
        yield

    @contextlib.contextmanager
    def run_realtime(self, _predicate: Callable[[], bool]) -> Iterator[None]:
        """Do nothing, for a `with` block: handlers inside the lab do not drive the lab's clock."""
        yield


def connect(lab: Lab, name: str) -> UnixStream:
    """Open a connection to the engine of the host `name`. Return the client's end.

    Raises `ConnectionRefusedError` if the host's engine does not run.
    """
    try:
        engine = lab.host(name).docker
    except CnmsimError:
        raise ConnectionRefusedError(111, "Connection refused") from None
    api = HostApi(lab, name, engine, cast("ClockDriver", LabClockDriver(lab.clock)), Durability(None))
    client, server = UnixStream.pair(lab.clock)
    Task(lab.clock, _serve(api, server), Gate())
    return client


async def _serve(api: HostApi, stream: UnixStream) -> None:
    """Answer the requests of a connection one after the other, until the client closes it."""
    http = h11.Connection(h11.SERVER, max_incomplete_event_size=MAX_HEADERS)
    try:
        while (request := await _read(http, stream)) is not None:
            answer = await _answer(api, request)
            is_http = False

            async def send(request: Request = request, answer: Answer = answer) -> None:
                nonlocal is_http
                is_http = await _send_answer(http, stream, request, answer, api.headers)

            # A client that disconnects ends an answer that has nothing to send at the moment.
            await api.clock_driver.first_of(send(), stream.peer_closed())
            if not is_http or http.our_state is not h11.DONE or http.their_state is not h11.DONE:
                break
            http.start_next_cycle()
    except (h11.RemoteProtocolError, RefusedRequest) as error:
        if http.our_state in (h11.IDLE, h11.SEND_RESPONSE, h11.ERROR):
            refused = error if isinstance(error, RefusedRequest) else refusal(error)
            with contextlib.suppress(BrokenPipeError):
                stream.send(refused.answer)
    except BrokenPipeError:
        pass  # the client has disconnected
    finally:
        stream.close()


async def _read(http: h11.Connection, stream: UnixStream) -> Request | None:
    head: h11.Request | None = None
    body = bytearray()
    while True:
        event = http.next_event()
        if event is h11.NEED_DATA:
            if http.they_are_waiting_for_100_continue:
                stream.send(http.send(h11.InformationalResponse(status_code=100, headers=[])) or b"")
            http.receive_data(await stream.recv())
        elif isinstance(event, h11.Request):
            head = event
        elif isinstance(event, h11.Data):
            body += event.data
            if len(body) > MAX_BODY:
                raise RefusedRequest("413 Request Entity Too Large")
        elif isinstance(event, h11.EndOfMessage) and head is not None:
            return build_request(head, bytes(body))
        else:
            return None


async def _answer(api: HostApi, request: Request) -> Answer:
    if request.method == "POST" and (match := _WAIT.match(request.path)):
        try:
            return Response.json(await api.rest.containers.wait(match[1], request.parameters))
        except CnmsimError as error:
            return Response.error(error.status, error.message)
    return await dispatch(api, request)


async def _send_answer(
    http: h11.Connection, stream: UnixStream, request: Request, answer: Answer, headers: dict[str, str]
) -> bool:
    """Send an answer. Return False if it has ended HTTP on the connection (a hijack), else True.

    `headers` are sent with every answer except a hijack.
    """
    if isinstance(answer, Response):
        _send_response(http, stream, request, answer, headers)
        return True
    try:
        if isinstance(answer, Hijack):
            upgrades = "upgrade" in request.headers
            lines = [
                "HTTP/1.1 101 UPGRADED" if upgrades else "HTTP/1.1 200 OK",
                f"Content-Type: {answer.content_type}",
            ]
            lines += ["Connection: Upgrade", "Upgrade: tcp"] if upgrades else []
            stream.send(("\r\n".join(lines) + "\r\n\r\n").encode())
            await answer.talk(_RawStream(stream, http.trailing_data[0]))
            return False
        every = {**headers, **answer.headers, "Transfer-Encoding": "chunked"}
        stream.send(http.send(h11.Response(status_code=answer.status, headers=list(every.items()))) or b"")
        async for chunk in answer.chunks:
            stream.send(http.send(h11.Data(data=chunk)) or b"")
        stream.send(http.send(h11.EndOfMessage()) or b"")
        return True
    finally:
        answer.end()


def _send_response(
    http: h11.Connection, stream: UnixStream, request: Request, response: Response, headers: dict[str, str]
) -> None:
    every = {**headers, **response.headers}
    if response.status != 204:
        every["Content-Length"] = str(len(response.body))
    data = http.send(h11.Response(status_code=response.status, headers=list(every.items()))) or b""
    if response.body and request.method != "HEAD":
        data += http.send(h11.Data(data=response.body)) or b""
    stream.send(data + (http.send(h11.EndOfMessage()) or b""))


class _RawStream:
    """A hijacked connection: a `Duplex` over a stream of the lab."""

    def __init__(self, stream: UnixStream, early: bytes) -> None:
        self._stream = stream
        self._early = early

    async def read(self) -> bytes:
        """Return the next data from the client, or b"" once it has closed its sending side."""
        early, self._early = self._early, b""
        return early or await self._stream.recv()

    async def write(self, data: bytes) -> None:
        """Send bytes. Raises `BrokenPipeError` if the client has disconnected."""
        self._stream.send(data)

    async def gone(self) -> None:
        """Wait until a client that has closed its sending side disconnects completely."""
        await self._stream.peer_closed()
