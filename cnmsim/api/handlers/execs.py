"""The handler that starts an exec and hijacks the connection."""

from __future__ import annotations

from functools import partial

from cnmsim.api.attach_stream import StdinForwarder, forward_streams, stream_type
from cnmsim.api.host import HostApi
from cnmsim.api.message import Answer, Duplex, Hijack, Request, Response
from cnmsim.api.outbox import Outbox
from cnmsim.engine.containers.detach_keys import parse_detach_keys
from cnmsim.engine.containers.exec import Exec


async def start(api: HostApi, request: Request, id_: str) -> Answer:
    """Start an exec; unless it is detached, hijack the connection for its streams."""
    options = api.rest.execs.read_start(request.json())
    if options["Detach"]:
        api.rest.execs.start(id_, options)
        return Response.empty(200)
    is_raw = options["Tty"]
    outbox = Outbox(api.clock_driver.event(), is_raw=is_raw)
    streams: set[str] = set()
    execution = api.rest.execs.start(
        id_, options, lambda stream, data: outbox.put(stream, data) if stream in streams or not streams else None
    )
    config = execution.config
    streams |= {name for name, key in (("stdout", "AttachStdout"), ("stderr", "AttachStderr")) if config[key]}
    streams.add("")

    return Hijack(partial(_talk, api, execution, outbox), stream_type(api, request, is_raw=is_raw))


async def _talk(api: HostApi, execution: Exec, outbox: Outbox, duplex: Duplex) -> None:
    streams = execution.streams
    stdin_forwarder = (
        StdinForwarder(streams, parse_detach_keys(execution.config["DetachKeys"])) if streams.has_stdin else None
    )
    await forward_streams(
        api,
        duplex,
        streams,
        outbox,
        stdin_forwarder=stdin_forwarder,
        ends_input=stdin_forwarder is not None and not streams.is_terminal,
        is_running=lambda: execution.is_running,
        waits_for_end=True,
        stop_listening=outbox.close,
    )
