"""The handlers that send the logs of services and tasks."""

from __future__ import annotations

from collections.abc import AsyncIterator

from cnmsim.api.attach_stream import stream_type
from cnmsim.api.host import HostApi
from cnmsim.api.message import Answer, Request, Stream
from cnmsim.api.outbox import Outbox
from cnmsim.engine.rest.service_logs import ServiceLogReading


async def service_logs(api: HostApi, request: Request, id_: str) -> Answer:
    """Return the logs of a service's tasks. With the query parameter `follow`, further output is sent later."""
    reading = await api.complete(
        api.rest.service_logs.of_service(id_, api.clock_driver.client_time.convert(request.parameters))
    )
    return await _logs(api, request, reading)


async def task_logs(api: HostApi, request: Request, id_: str) -> Answer:
    """Return the log of a task. With the query parameter `follow`, further output is sent later."""
    reading = await api.complete(
        api.rest.service_logs.of_task(id_, api.clock_driver.client_time.convert(request.parameters))
    )
    return await _logs(api, request, reading)


async def _logs(api: HostApi, request: Request, reading: ServiceLogReading) -> Answer:
    outbox = Outbox(api.clock_driver.event(), is_raw=reading.is_raw)
    headers = {"Content-Type": stream_type(api, request, is_raw=reading.is_raw)}
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
