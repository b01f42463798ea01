"""The handlers of container operations that stream, hijack the connection, or depend on the clock."""

from __future__ import annotations

import asyncio
import base64
import contextlib
from collections.abc import AsyncIterator, Callable
from http import HTTPStatus
from typing import Any

from attrs import frozen

from cnmsim.api.attach_stream import RAW_STREAM, StdinForwarder, forward_streams, stream_type
from cnmsim.api.host import HostApi
from cnmsim.api.message import Answer, Duplex, Hijack, Request, Response, Stream
from cnmsim.api.outbox import Outbox
from cnmsim.api.websocket import HandshakeError, WebSocketDuplex, handshake_response
from cnmsim.engine.containers.container import Container
from cnmsim.engine.containers.detach_keys import parse_detach_keys
from cnmsim.engine.logdrivers.message import LogLine
from cnmsim.engine.rest.containers import Attachment, LogReading
from cnmsim.errors import EngineError, InvalidParameter
from cnmsim.gojson.encode import encode
from cnmsim.kernel.clock import NS_PER_S
from cnmsim.kernel.task import Future, sleep

_STATS_PAUSE_S = 1.0
#: Seconds of real time that a wait must have lasted before the clock jumps for it. No request can replace
#: it: docker/cli (`container/run.go`, runContainer) sends the wait before the start, with and without -d. A client of
#: the API sends the same requests and does wait. Only the connection of `run -d` is closed, after the start's answer.
_PATIENCE_S, _SHORT_PATIENCE_S, _STARTING_PATIENCE_S = 1.0, 0.8, 2.0
#: Seconds of virtual time without output after which the clock stops jumping for the client that started a container
#: and reads its log.
_SILENCE_S = 60
#: Duration of the start of a container with an attached client, in seconds of real time; a real engine takes three
#: times that. No request tells that the client, which opens its event stream on another connection, is done with it.
_START_S = 0.1
_HEALTH_STEP_S = 0.5


async def inspect(api: HostApi, request: Request, id_: str) -> Answer:
    """Return the description of a container, as `docker inspect` prints it."""
    health = api.rest.containers.find(id_).health
    if api.clock_driver.jumps and health is not None and health.status == "starting":
        # A client that polls until the container is healthy must see time pass.
        await api.complete(sleep(api.engine.clock, _HEALTH_STEP_S))
    return Response.json(api.rest.containers.inspect(id_, request.parameters, api.version(request)))


async def start(api: HostApi, request: Request, id_: str) -> Answer:
    """Start a container. The status is 304 if it already runs."""
    container = api.rest.containers.find(id_)  # looked up first: a short one with --rm is gone by the end of the call
    if container.streams is not None and container.streams.is_watched and not container.is_running:
        # A client that attached first opens its event stream meanwhile: Compose waits for ever for an exit that it
        # has missed.
        await asyncio.sleep(_START_S)
    has_started = await api.complete(api.rest.containers.start(id_))
    if has_started:
        request.client.started = (container.id, api.engine.clock.now_ns)
    return Response.empty(204 if has_started else 304)


async def wait(api: HostApi, request: Request, id_: str) -> Answer:
    """Answer a request that waits for a container's exit.

    The response head is sent at once, as the sign that the wait has begun.
    """
    end = api.rest.containers.wait(id_, request.parameters)
    is_ahead = request.text("condition") in ("next-exit", "removed")
    patience_s = _PATIENCE_S if is_ahead else _SHORT_PATIENCE_S
    return Stream(_waited(api, api.rest.containers.find(id_), end, patience_s), end=end.give_up)


async def _waited(
    api: HostApi, container: Container, end: Future[dict[str, Any]], patience_s: float
) -> AsyncIterator[bytes]:
    """Wait until `end` is done, and yield its result as JSON.

    `docker run -d` also sends a wait request, which lasts until it has started the container; `docker attach` sends
    one before it attaches. The clock must not jump for these two. It therefore jumps to the next event only once the
    wait has lasted for `patience_s` of real time, or if the client is known to have started the container. A start
    may itself take real time, if it calls a plugin; when the container starts, the duration of the wait is therefore
    counted anew.
    """
    loop = asyncio.get_running_loop()
    was_running = container.is_running
    begins = loop.time() + patience_s
    waking = loop.call_at(begins, api.clock_driver.run_ready)

    def may_jump() -> bool:
        nonlocal was_running, begins, waking
        if container.is_running and not was_running:
            was_running, begins = True, loop.time() + _STARTING_PATIENCE_S
            waking.cancel()
            waking = loop.call_at(begins, api.clock_driver.run_ready)
        return api.attached_clients.should_advance(container, has_lasted=loop.time() >= begins)

    try:
        with api.attached_clients.waiting(container):
            answer = await api.clock_driver.wait(end, may_jump)
    finally:
        waking.cancel()
    yield encode(answer).encode() + b"\n"


async def logs(api: HostApi, request: Request, id_: str) -> Answer:
    """Return the log of a container. With the query parameter `follow`, further output is sent later."""
    # The times of messages, as `docker logs -t` prints them, are the lab's.
    container = api.engine.store.find(id_)
    lines = container.log.lines if container is not None else []
    parameters = api.clock_driver.client_time.convert(
        request.parameters, lambda moment_ns: any(line.time_ns == moment_ns for line in lines)
    )
    reading = api.rest.containers.logs(id_, parameters)
    outbox = Outbox(api.clock_driver.event(), is_raw=reading.is_raw)
    for stream, data in reading.chunks():
        outbox.put(stream, data)
    headers = {"Content-Type": stream_type(api, request, is_raw=reading.is_raw)}
    # docker-py's `run` starts a container and then follows its log to the end: it waits, rather than watches.
    is_runner = request.client.started == (reading.container.id, api.engine.clock.now_ns)
    if not reading.is_followed:
        outbox.close()
        return Stream(outbox.chunks(), headers=headers)
    follower = Follower(api, reading, outbox, waits_for_end=is_runner)
    return Stream(follower.chunks(), headers=headers, end=follower.end)


class Follower:
    """Sends further log lines of a container to a client's `outbox`, until `end` is called.

    `waits_for_end` is True if the client waits until the container ends; a fast or paused clock may then jump to the
    next event.
    """

    def __init__(self, api: HostApi, reading: LogReading, outbox: Outbox, *, waits_for_end: bool) -> None:
        self._api, self._reading, self._outbox = api, reading, outbox
        self._waits_for_end = waits_for_end
        self._clock = api.engine.clock
        self._heard_ns = self._clock.now_ns
        container = reading.container
        self._stop_following = container.log.follow(self._take)
        self._stopped = container.when("not-running")
        self._stopped.add_done_callback(outbox.close)

    def end(self) -> None:
        """Unsubscribe from the container's log."""
        self._stop_following()
        self._reading.container.forget(self._stopped)

    async def chunks(self) -> AsyncIterator[bytes]:
        """Yield further output until the container stops.

        During this time a paused clock keeps step with real time.
        """
        clock_driver, container = self._api.clock_driver, self._reading.container
        with clock_driver.run_fast(self._may_jump), clock_driver.run_realtime(lambda: container.is_running):
            clock_driver.run_ready()
            async for chunk in self._outbox.chunks():
                yield chunk

    def _take(self, line: LogLine) -> None:
        self._heard_ns = self._clock.now_ns
        reading = self._reading
        if reading.is_over(line):
            self._stop_following()
            self._outbox.close()
        elif line.stream in reading.streams and line.time_ns >= (reading.since_ns or 0):
            self._outbox.put(line.stream, reading.rendered(line))

    def _may_jump(self) -> bool:
        due_ns = self._clock.next_event_ns() or self._clock.now_ns
        return self._waits_for_end and self._outbox.wants_more and due_ns <= self._heard_ns + _SILENCE_S * NS_PER_S


async def attach(api: HostApi, request: Request, id_: str) -> Answer:
    """Return an answer that hijacks the connection for the streams of a container's first process.

    Errors are sent as plain text on the hijacked connection (moby `postContainersAttach`).
    """
    try:
        attached = _Attached.open(api, request, id_, request.parameters, may_multiplex=True)
    except EngineError as error:
        head = f"HTTP/1.1 {error.status} {HTTPStatus(error.status).phrase}\r\nContent-Type: {RAW_STREAM}\r\n\r\n"
        return Hijack(_no_talk, head=f"{head}{error.message}\r\n".encode())
    content_type = stream_type(api, request, is_raw=attached.attachment.is_raw)
    return Hijack(attached.talk, content_type, end=attached.stop_listening)


async def attach_websocket(api: HostApi, request: Request, id_: str) -> Answer:
    """Pass the streams of a container's first process through a WebSocket; stdout and stderr are not distinguished.

    Before API version 1.42 stdin, stdout and stderr are passed even if the client requests only some of them. Before
    1.28 they are sent in text messages, later in binary messages.
    """
    version = api.version(request)
    streams = {} if version.at_least("1.42") else dict.fromkeys(("stdin", "stdout", "stderr"), "1")
    attached = _Attached.open(api, request, id_, {**request.parameters, **streams}, may_multiplex=False)
    try:
        head = handshake_response(request)
    except HandshakeError as error:
        attached.stop_listening()
        return Hijack(_no_talk, head=error.response)

    async def talk(duplex: Duplex) -> None:
        websocket = WebSocketDuplex(duplex, is_text=not version.at_least("1.28"))
        await attached.talk(websocket)
        with contextlib.suppress(ConnectionError):
            await websocket.close()

    return Hijack(talk, end=attached.stop_listening, head=head)


async def _no_talk(_duplex: Duplex) -> None:
    pass


@frozen
class _Attached:
    """A client's attachment to a container: `talk` copies the streams, `stop_listening` ends its subscription."""

    api: HostApi
    container: Container
    attachment: Attachment
    outbox: Outbox
    stdin_forwarder: StdinForwarder | None
    stop_listening: Callable[[], None]

    @classmethod
    def open(
        cls, api: HostApi, request: Request, id_: str, parameters: dict[str, str], *, may_multiplex: bool
    ) -> _Attached:
        """Attach to the container `id_` with the streams that `parameters` select.

        With `may_multiplex`, each piece of output gets a header that names its stream, unless the container has a
        terminal.
        """
        try:
            keys = parse_detach_keys(request.text("detachKeys"))
        except ValueError:
            raise InvalidParameter(f"Invalid detach keys ({request.text('detachKeys')}) provided") from None
        attachment = api.rest.containers.attach(id_, parameters)
        outbox = Outbox(api.clock_driver.event(), is_raw=attachment.is_raw or not may_multiplex)
        for stream, data in attachment.past:
            outbox.put(stream, data)

        def take(stream: str, data: bytes) -> None:
            if stream in attachment.outputs:
                outbox.put(stream, data)

        is_live = request.flag("stream")
        stop_listening = attachment.streams.listen(take) if is_live else outbox.close
        if not is_live:
            outbox.close()
        stdin_forwarder = StdinForwarder(attachment.streams, keys) if attachment.stdin else None
        return cls(api, api.rest.containers.find(id_), attachment, outbox, stdin_forwarder, stop_listening)

    async def talk(self, duplex: Duplex) -> None:
        """Copy the streams until the process ends, or the client detaches or disconnects."""
        attachment, container = self.attachment, self.container
        with self.api.attached_clients.attached(container, lambda: self.outbox.wants_more):
            await forward_streams(
                self.api,
                duplex,
                attachment.streams,
                self.outbox,
                stdin_forwarder=self.stdin_forwarder,
                ends_input=attachment.stdin and container.config["StdinOnce"] and not attachment.is_raw,
                is_running=lambda: container.is_running,
                waits_for_end=False,
                stop_listening=self.stop_listening,
            )


async def stats(api: HostApi, request: Request, id_: str) -> Answer:
    """Return a container's statistics: one set for every second, or a single one with `stream=false`."""
    is_stream = request.flag("stream", default=True)
    # Of a stream the first set, and a set that was asked for alone, has no previous one to compare with.
    first = api.rest.containers.stats(id_, has_previous=not (is_stream or request.flag("one-shot")))
    if not is_stream:
        return Response.json(first)
    return Stream(_stats(api, id_, first))


async def _stats(api: HostApi, id_: str, reading: dict[str, Any]) -> AsyncIterator[bytes]:
    container = api.rest.containers.find(id_)
    with api.clock_driver.run_realtime(lambda: container.is_running):
        while True:
            yield encode(reading).encode() + b"\n"
            await api.clock_driver.sleep(_STATS_PAUSE_S)
            if not container.is_running:
                return
            reading = api.rest.containers.stats(container.id)


def _stat_header(api: HostApi, id_: str, path: str) -> dict[str, str]:
    stat = encode(api.rest.containers.archive_stat(id_, path))
    return {"X-Docker-Container-Path-Stat": base64.b64encode(stat.encode()).decode()}


async def archive_stat(api: HostApi, request: Request, id_: str) -> Answer:
    """Return the description of a file in a container. It is sent in a response header, without a body."""
    return Response(200, b"", _stat_header(api, id_, request.text("path")))


async def archive_get(api: HostApi, request: Request, id_: str) -> Answer:
    """Return a file or directory of a container as a tar archive."""
    path = request.text("path")
    headers = _stat_header(api, id_, path)
    return Response(200, api.rest.containers.archive_get(id_, path), {**headers, "Content-Type": "application/x-tar"})


async def export(api: HostApi, _request: Request, id_: str) -> Answer:
    """Return the files of a container as a tar archive."""
    return Response(200, api.rest.containers.export(id_), {"Content-Type": "application/octet-stream"})


async def archive_put(api: HostApi, request: Request, id_: str) -> Answer:
    """Unpack a tar archive into a directory of a container."""
    api.rest.containers.archive_put(id_, request.text("path"), request.body)
    return Response.empty(200)
