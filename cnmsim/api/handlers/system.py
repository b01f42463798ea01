"""The handlers of `/_ping`, `/events` and managed plugins."""

from __future__ import annotations

from collections.abc import AsyncIterator

from cnmsim.api.host import HostApi
from cnmsim.api.message import Answer, Request, Response, Stream
from cnmsim.api.outbox import Outbox
from cnmsim.engine.daemon.event_log import LoggedEvent
from cnmsim.engine.rest.system import EventReading
from cnmsim.errors import NotFound
from cnmsim.gojson.encode import encode
from cnmsim.kernel.clock import NS_PER_S

#: An `until` further in the future is waited for in real time: it was meant as "never", or in milliseconds.
_LONGEST_JUMP_S = 30 * 86400.0


async def ping(api: HostApi, request: Request) -> Answer:
    """Answer a ping: the body is `OK`, the headers describe the engine."""
    headers = {**api.rest.system.ping_headers(), "Content-Type": "text/plain; charset=utf-8"}
    if request.method == "HEAD":
        return Response(200, b"", {**headers, "Content-Length": "0"})
    return Response(200, b"OK", headers)


async def events(api: HostApi, request: Request) -> Answer:
    """Stream events until the time in the query parameter `until`, or without end if there is none."""
    # The times of events, as `docker events` prints them, are the lab's.
    past = api.engine.event_log.past
    parameters = api.clock_driver.client_time.convert(
        request.parameters, lambda moment_ns: any(event.time_ns == moment_ns for event in past)
    )
    reading = api.rest.system.events(parameters, api.version(request))
    outbox = Outbox(api.clock_driver.event(), is_raw=True)

    def tell(event: LoggedEvent) -> None:
        line = encode(event.view(has_legacy_fields=reading.has_legacy_fields))
        outbox.put("stdout", line.encode() + b"\n")

    for event in reading.past:
        tell(event)
    stop = api.engine.event_log.subscribe(tell, reading.filters)
    return Stream(_events(api, reading, outbox), end=stop)


async def _events(api: HostApi, reading: EventReading, outbox: Outbox) -> AsyncIterator[bytes]:
    clock = api.engine.clock
    timer, jumps = None, False
    if reading.until_ns is not None:
        left_s = max(reading.until_ns - clock.unix_ns, 0) / NS_PER_S
        timer = clock.call_later(left_s, outbox.close)
        jumps = left_s <= _LONGEST_JUMP_S
    try:
        # Without an end nothing waits for an event: time then jumps only for other clients.
        with api.clock_driver.run_fast(lambda: jumps and outbox.wants_more):
            async for chunk in outbox.chunks():
                yield chunk
    finally:
        if timer is not None:
            timer.cancel()


async def plugins(_api: HostApi, _request: Request) -> Answer:
    """Return the list of managed plugins, which is always empty."""
    return Response.json([])


async def no_plugin(_api: HostApi, _request: Request, name: str) -> Answer:
    """Raise `NotFound`, because there are no managed plugins."""
    raise NotFound(f'plugin "{name}" not found')
