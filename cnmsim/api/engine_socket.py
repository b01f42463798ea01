"""The Engine API at /var/run/docker.sock inside a lab, for programs of the host and of containers that mount it.

The handlers are those of the sockets that the lab is served at. Here they run on the lab's clock, without asyncio:
operations whose answer lasts (attach, events, followed logs, statistics as a stream) return 501.
"""

from __future__ import annotations

import contextlib
import json
import re
from collections.abc import AsyncIterator, Callable, Iterator
from typing import TYPE_CHECKING, Any, TypeVar, cast

import h11

from cnmsim.api.connection import MAX_BODY, MAX_HEADERS
from cnmsim.api.durability import Durability
from cnmsim.api.host import HostApi
from cnmsim.api.http_request import RefusedRequest, build_request, refusal
from cnmsim.api.message import Answer, Hijack, Request, Response
from cnmsim.api.router import dispatch
from cnmsim.errors import CnmsimError, NotSimulated
from cnmsim.kernel.task import Future, Task
from cnmsim.kernel.unix_stream import UnixStream

if TYPE_CHECKING:
    from cnmsim.api.clock_driver import ClockDriver
    from cnmsim.lab import Lab

T = TypeVar("T")
_WAIT = re.compile(r"^/containers/([^/]+)/wait$")
_LASTING = re.compile(r"^/(events|containers/[^/]+/attach(/ws)?|services/[^/]+/logs|tasks/[^/]+/logs)$")
_UNAVAILABLE = (
    "answers that last are not simulated on a socket inside the lab: use the socket that the lab is served at"
)


class LabClockDriver:
    """Waits on the lab's own clock, for handlers that run inside the lab."""

    jumps = False

    @property
    def client_time(self) -> LabClockDriver:
        """The conversion of clients' times: clients inside the lab have the lab's time."""
        return self

    def convert(self, parameters: dict[str, str], _is_lab_time: object = None) -> dict[str, str]:
        """Return query parameters unchanged."""
        return parameters

    def run_ready(self) -> None:
        """Do nothing: the clock runs already."""

    async def wait(self, future: Future[T], _predicate: Callable[[], bool] = lambda: True) -> T:
        """Wait until the future is done. Return its result or raise its error."""
        return await future

    @contextlib.contextmanager
    def run_fast(self, _predicate: Callable[[], bool] = lambda: True) -> Iterator[None]:
        """Do nothing: the lab's clock is not driven from here."""
        yield

    @contextlib.contextmanager
    def run_realtime(self, _predicate: Callable[[], bool]) -> Iterator[None]:
        """Do nothing: the lab's clock is not driven from here."""
        yield


def connect(lab: Lab, name: str) -> UnixStream:
    """Open a connection to the engine of the host called `name`. Return the client's end.

    Raises `ConnectionRefusedError` if the host's engine does not run.
    """
    try:
        engine = lab.host(name).docker
    except CnmsimError:
        raise ConnectionRefusedError(111, "Connection refused") from None
    api = HostApi(lab, name, engine, cast("ClockDriver", LabClockDriver()), Durability(None))
    client, server = UnixStream.pair(lab.clock)
    Task(lab.clock, _serve(api, server))
    return client


async def _serve(api: HostApi, stream: UnixStream) -> None:
    """Answer requests one after the other, until the client closes the connection."""
    http = h11.Connection(h11.SERVER, max_incomplete_event_size=MAX_HEADERS)
    try:
        while (request := await _read(http, stream)) is not None:
            response = await _complete(await _answer(api, request))
            _send(http, stream, request, response, api.headers)
            if http.our_state is not h11.DONE or http.their_state is not h11.DONE:
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
    try:
        if request.method == "POST" and (match := _WAIT.match(request.path)):
            return Response.json(await api.rest.containers.wait(match[1], request.parameters))
        if _lasts(request):
            raise NotSimulated(_UNAVAILABLE)
    except CnmsimError as error:
        return Response.error(error.status, error.message)
    return await dispatch(api, request)


def _lasts(request: Request) -> bool:
    is_true = ("1", "true", "True")
    if request.path.endswith("/stats"):
        return request.text("stream", "true") in is_true
    if request.path.endswith("/logs") and request.path.startswith("/containers/"):
        return request.text("follow") in is_true
    if request.path.startswith("/exec/") and request.path.endswith("/start"):
        with contextlib.suppress(ValueError, AttributeError, RecursionError):
            return not (json.loads(request.body or b"{}") or {}).get("Detach")
    return _LASTING.match(request.path) is not None


async def _complete(answer: Answer) -> Response:
    """Return an answer with its whole body."""
    if isinstance(answer, Response):
        return answer
    try:
        if isinstance(answer, Hijack):
            return Response.error(501, _UNAVAILABLE)
        chunks: AsyncIterator[bytes] = answer.chunks
        body = b"".join([chunk async for chunk in chunks])
        return Response(answer.status, body, answer.headers)
    finally:
        answer.end()


def _send(
    http: h11.Connection, stream: UnixStream, request: Request | None, response: Response, headers: dict[str, Any]
) -> None:
    every = {**headers, **response.headers}
    if response.status != 204:
        every["Content-Length"] = str(len(response.body))
    data = http.send(h11.Response(status_code=response.status, headers=list(every.items()))) or b""
    if response.body and (request is None or request.method != "HEAD"):
        data += http.send(h11.Data(data=response.body)) or b""
    stream.send(data + (http.send(h11.EndOfMessage()) or b""))
