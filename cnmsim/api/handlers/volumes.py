"""`/volumes/...`."""

from __future__ import annotations

from cnmsim.api.host import HostApi
from cnmsim.api.message import Answer, Request, Response
from cnmsim.api.router import operation


@operation("GET", "/volumes")
async def list_volumes(api: HostApi, request: Request) -> Answer:
    """List volumes."""
    return Response.json(api.rest.volumes.list(request.parameters))


@operation("POST", "/volumes/create")
async def create(api: HostApi, request: Request) -> Answer:
    """Make a volume, or give the one of that name."""
    return Response.json(api.rest.volumes.create(request.json()), 201)


@operation("POST", "/volumes/prune")
async def prune(api: HostApi, request: Request) -> Answer:
    """Remove what no container uses."""
    return Response.json(api.rest.volumes.prune(request.parameters))


@operation("GET", "/volumes/{name}")
async def inspect(api: HostApi, _request: Request, name: str) -> Answer:
    """Describe a volume."""
    return Response.json(api.rest.volumes.inspect(name))


@operation("DELETE", "/volumes/{name}")
async def remove(api: HostApi, request: Request, name: str) -> Answer:
    """Remove a volume."""
    api.rest.volumes.remove(name, request.parameters)
    return Response.empty()


@operation("PUT", "/volumes/{name}")
async def update(api: HostApi, request: Request, name: str) -> Answer:
    """Change a cluster volume."""
    api.rest.volumes.update(name, request.parameters)
    return Response.empty(200)
