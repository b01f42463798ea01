"""`/services` and `/tasks`."""

from __future__ import annotations

from cnmsim.api.host import HostApi
from cnmsim.api.message import Answer, Request, Response
from cnmsim.api.router import not_simulated, operation


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


for _path in ("/services/{id}/logs", "/tasks/{id}/logs"):
    not_simulated(
        "GET", _path, "logs of services are not gathered: ask for the logs of a task's container on its node"
    )
