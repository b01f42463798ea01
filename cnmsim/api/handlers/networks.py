"""`/networks/...`."""

from __future__ import annotations

from cnmsim.api.host import HostApi
from cnmsim.api.message import Answer, Request, Response
from cnmsim.api.router import operation


@operation("GET", "/networks")
async def list_networks(api: HostApi, request: Request) -> Answer:
    """List networks."""
    return Response.json(api.rest.networks.list(request.parameters, api.version(request)))


@operation("POST", "/networks/create")
async def create(api: HostApi, request: Request) -> Answer:
    """Make a network."""
    body = request.json()
    return Response.json(await api.complete(api.rest.networks.create_anywhere(body, api.version(request))), 201)


@operation("POST", "/networks/prune")
async def prune(api: HostApi, request: Request) -> Answer:
    """Remove what no container uses."""
    return Response.json(await api.complete(api.rest.networks.prune_anywhere(request.parameters)))


@operation("GET", "/networks/{id}")
async def inspect(api: HostApi, request: Request, id: str) -> Answer:  # noqa: A002 - the parameter's name in Docker's API
    """Describe a network."""
    return Response.json(api.rest.networks.inspect(id, request.parameters, api.version(request)))


@operation("DELETE", "/networks/{id}")
async def remove(api: HostApi, _request: Request, id: str) -> Answer:  # noqa: A002
    """Remove a network."""
    await api.complete(api.rest.networks.remove_anywhere(id))
    return Response.empty()


@operation("POST", "/networks/{id}/connect")
async def connect(api: HostApi, request: Request, id: str) -> Answer:  # noqa: A002
    """Connect a container."""
    await api.complete(api.rest.networks.connect_attached(id, request.json(), api.version(request)))
    return Response.empty(200)


@operation("POST", "/networks/{id}/disconnect")
async def disconnect(api: HostApi, request: Request, id: str) -> Answer:  # noqa: A002
    """Disconnect a container."""
    api.rest.networks.disconnect(id, request.json())
    return Response.empty(200)
