"""`/services` and `/tasks`."""

from __future__ import annotations

from collections.abc import AsyncIterator

from cnmsim.api.attach_stream import MULTIPLEXED_STREAM, RAW_STREAM
from cnmsim.api.host import HostApi
from cnmsim.api.message import Answer, Request, Response, Stream
from cnmsim.api.outbox import Outbox
from cnmsim.api.router import operation
from cnmsim.engine.rest.service_logs import ServiceLogReading


@operation("GET", "/services")
async def list_services(api: HostApi, request: Request) -> Answer:
    """List services."""
    return Response.json(await api.complete(api.rest.services.list(request.parameters, api.version(request))))


@operation("POST", "/services/create")
async def create(api: HostApi, request: Request) -> Answer:
    """Make a service."""
    return Response.json(await api.complete(api.rest.services.create(request.json())), 201)


@operation("GET", "/services/{id}")
async def inspect(api: HostApi, request: Request, id: str) -> Answer:  # noqa: A002 - the parameter's name in Docker's API
    """Describe a service."""
    return Response.json(await api.complete(api.rest.services.inspect(id, request.parameters)))


@operation("POST", "/services/{id}/update")
async def update(api: HostApi, request: Request, id: str) -> Answer:  # noqa: A002
    """Change a service."""
    answer = await api.complete(api.rest.services.update(id, request.json(), request.parameters))
    return Response.json(answer)


@operation("DELETE", "/services/{id}")
async def remove(api: HostApi, _request: Request, id: str) -> Answer:  # noqa: A002
    """Remove a service."""
    await api.complete(api.rest.services.remove(id))
    return Response.empty(200)


@operation("GET", "/tasks")
async def list_tasks(api: HostApi, request: Request) -> Answer:
    """List tasks."""
    return Response.json(await api.complete(api.rest.tasks.list(request.parameters)))


@operation("GET", "/tasks/{id}")
async def inspect_task(api: HostApi, _request: Request, id: str) -> Answer:  # noqa: A002
    """Describe a task."""
    return Response.json(await api.complete(api.rest.tasks.inspect(id)))


@operation("GET", "/services/{id}/logs")
async def service_logs(api: HostApi, request: Request, id: str) -> Answer:  # noqa: A002
    """Give what a service's tasks printed, and with `follow` what they go on to print."""
    reading = await api.complete(api.rest.service_logs.of_service(id, request.parameters))
    return await _logs(api, request, reading)


@operation("GET", "/tasks/{id}/logs")
async def task_logs(api: HostApi, request: Request, id: str) -> Answer:  # noqa: A002
    """Give what a task printed, and with `follow` what it goes on to print."""
    reading = await api.complete(api.rest.service_logs.of_task(id, request.parameters))
    return await _logs(api, request, reading)


async def _logs(api: HostApi, request: Request, reading: ServiceLogReading) -> Answer:
    outbox = Outbox(is_raw=reading.is_raw)
    multiplexes = not reading.is_raw and api.version(request).at_least("1.42")
    headers = {"Content-Type": MULTIPLEXED_STREAM if multiplexes else RAW_STREAM}
    stream = api.engine.cluster.subscribe_logs(
        reading.request, lambda message: outbox.put(message.stream, reading.rendered(message))
    )
    if not reading.is_followed:
        error = await api.clock_driver.wait(stream.ended)
        outbox.close()
        if error is not None:
            raise error
        return Stream(outbox.chunks(), headers=headers)
    stream.ended.add_done_callback(outbox.close)

    async def chunks() -> AsyncIterator[bytes]:
        with api.clock_driver.run_realtime(lambda: not stream.ended.is_done):
            api.clock_driver.run_ready()
            async for chunk in outbox.chunks():
                yield chunk

    return Stream(chunks(), headers=headers, end=stream.close)
