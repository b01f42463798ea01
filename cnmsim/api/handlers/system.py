"""`/_ping`, `/version`, `/info`, `/events`, `/system/df` and what else concerns the engine as a whole."""

from __future__ import annotations

import json
import time
from collections.abc import AsyncIterator

from cnmsim.api.host import HostApi
from cnmsim.api.message import Answer, Request, Response, Stream
from cnmsim.api.outbox import Outbox
from cnmsim.engine.daemon.event_log import LoggedEvent
from cnmsim.engine.rest.system import EventReading
from cnmsim.engine.wire.timestamps import parse_timestamp, unix_ns
from cnmsim.errors import NotFound
from cnmsim.kernel.clock import NS_PER_S

#: An `until` this close to the machine's clock is meant as "now".
_NOW_NS = 2 * NS_PER_S


async def ping(api: HostApi, _request: Request) -> Answer:
    """Tell that the engine is there."""
    return Response(200, b"OK", {**api.rest.system.ping_headers(), "Content-Type": "text/plain; charset=utf-8"})


async def events(api: HostApi, request: Request) -> Answer:
    """Send events as they happen, until `until` or for ever."""
    reading = api.rest.system.events(_to_the_clock(api, request.parameters), api.version(request))
    outbox = Outbox(is_raw=True)

    def tell(event: LoggedEvent) -> None:
        line = json.dumps(event.view(has_legacy_fields=reading.has_legacy_fields), separators=(",", ":"))
        outbox.put_plain(line.encode() + b"\n")

    for event in reading.past:
        tell(event)
    stop = api.engine.events.subscribe(tell, reading.filters)
    return Stream(_events(api, reading, outbox), end=stop)


def _to_the_clock(api: HostApi, parameters: dict[str, str]) -> dict[str, str]:
    """Let an end that is the client's "now" be that of the lab, whose clock is ahead where time has jumped."""
    lab_ns, client_ns = unix_ns(api.engine.clock), time.time_ns()
    if not parameters.get("until"):
        return parameters
    until_ns = parse_timestamp(parameters["until"], lab_ns)
    if until_ns >= lab_ns or abs(until_ns - client_ns) > _NOW_NS:
        return parameters
    return {**parameters, "until": f"{lab_ns // NS_PER_S}.{lab_ns % NS_PER_S:09d}"}


async def _events(api: HostApi, reading: EventReading, outbox: Outbox) -> AsyncIterator[bytes]:
    clock = api.engine.clock
    timer = None
    if reading.until_ns is not None:
        left_s = max(reading.until_ns - unix_ns(clock), 0) / NS_PER_S
        timer = clock.call_later(left_s, outbox.close)
    try:
        # Without an end nobody waits for anything: a fast clock then moves only for others.
        with api.clock_driver.run_fast(lambda: timer is not None and outbox.wants_more):
            async for chunk in outbox.chunks():
                yield chunk
    finally:
        if timer is not None:
            timer.cancel()


async def plugins(_api: HostApi, _request: Request) -> Answer:
    """List managed plugins, of which there are none."""
    return Response.json([])


async def no_plugin(_api: HostApi, _request: Request, name: str) -> Answer:
    """Refuse: there are no managed plugins."""
    raise NotFound(f'plugin "{name}" not found')
