"""`/containers/{id}/exec` and `/exec/...`."""

from __future__ import annotations

from cnmsim.api.attach_stream import MULTIPLEXED_STREAM, RAW_STREAM, StdinForwarder, detach_keys, forward_streams
from cnmsim.api.host import HostApi
from cnmsim.api.message import Answer, Duplex, Hijack, Request, Response
from cnmsim.api.outbox import Outbox
from cnmsim.api.router import operation
from cnmsim.engine.containers.exec import Exec


@operation("POST", "/containers/{id}/exec")
async def create(api: HostApi, request: Request, id: str) -> Answer:  # noqa: A002 - the parameter's name in Docker's API
    """Prepare an exec."""
    return Response.json(api.rest.execs.create(id, request.json()), 201)


@operation("POST", "/exec/{id}/start")
async def start(api: HostApi, request: Request, id: str) -> Answer:  # noqa: A002
    """Run an exec, and unless it is detached take the connection over for its streams."""
    asked = api.rest.execs.asked_start(request.json())
    if asked["Detach"]:
        api.rest.execs.start(id, asked)
        return Response.empty(200)
    is_raw = asked["Tty"]
    outbox = Outbox(is_raw=is_raw)
    wanted: set[str] = set()
    execution = api.rest.execs.start(
        id, asked, lambda stream, data: outbox.put(stream, data) if stream in wanted or not wanted else None
    )
    config = execution.config
    wanted |= {name for name, key in (("stdout", "AttachStdout"), ("stderr", "AttachStderr")) if config[key]}
    wanted.add("")

    async def talk(duplex: Duplex) -> None:
        await _talk(api, execution, outbox, duplex)

    multiplexes = not is_raw and api.version(request).at_least("1.42")
    return Hijack(talk, MULTIPLEXED_STREAM if multiplexes else RAW_STREAM)


async def _talk(api: HostApi, execution: Exec, outbox: Outbox, duplex: Duplex) -> None:
    streams = execution.streams
    stdin_forwarder = (
        StdinForwarder(streams, detach_keys(execution.config["DetachKeys"])) if streams.has_stdin else None
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


@operation("GET", "/exec/{id}/json")
async def inspect(api: HostApi, _request: Request, id: str) -> Answer:  # noqa: A002
    """Describe an exec."""
    return Response.json(api.rest.execs.inspect(id))


@operation("POST", "/exec/{id}/resize")
async def resize(api: HostApi, request: Request, id: str) -> Answer:  # noqa: A002
    """Note the size of a terminal."""
    api.rest.execs.resize(id, request.parameters)
    return Response.empty(200)
