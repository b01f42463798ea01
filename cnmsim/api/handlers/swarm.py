"""`/swarm` and `/nodes`."""

from __future__ import annotations

from cnmsim.api.host import HostApi
from cnmsim.api.message import Answer, Request, Response
from cnmsim.api.router import operation


@operation("POST", "/swarm/init")
async def init(api: HostApi, request: Request) -> Answer:
    """Make a swarm."""
    return Response.json(await api.complete(api.rest.swarm.init(request.json())))


@operation("POST", "/swarm/join")
async def join(api: HostApi, request: Request) -> Answer:
    """Join a swarm."""
    await api.complete(api.rest.swarm.join(request.json()))
    return Response.empty(200)


@operation("POST", "/swarm/leave")
async def leave(api: HostApi, request: Request) -> Answer:
    """Leave the swarm."""
    await api.complete(api.rest.swarm.leave(request.parameters))
    return Response.empty(200)


@operation("GET", "/swarm")
async def inspect(api: HostApi, _request: Request) -> Answer:
    """Describe the swarm."""
    return Response.json(await api.complete(api.rest.swarm.inspect()))


@operation("POST", "/swarm/update")
async def update(api: HostApi, request: Request) -> Answer:
    """Change the swarm's settings, or its tokens."""
    await api.complete(api.rest.swarm.update(request.json(), request.parameters))
    return Response.empty(200)


@operation("GET", "/swarm/unlockkey")
async def unlock_key(api: HostApi, _request: Request) -> Answer:
    """Tell the key that locked managers need."""
    return Response.json(await api.complete(api.rest.swarm.unlock_key()))


@operation("POST", "/swarm/unlock")
async def unlock(api: HostApi, request: Request) -> Answer:
    """Unlock a manager."""
    await api.complete(api.rest.swarm.unlock(request.json()))
    return Response.empty(200)


@operation("GET", "/nodes")
async def list_nodes(api: HostApi, request: Request) -> Answer:
    """List nodes."""
    return Response.json(await api.complete(api.rest.nodes.list(request.parameters)))


@operation("GET", "/nodes/{id}")
async def inspect_node(api: HostApi, _request: Request, id: str) -> Answer:  # noqa: A002 - the parameter's name in Docker's API
    """Describe a node."""
    return Response.json(await api.complete(api.rest.nodes.inspect(id)))


@operation("POST", "/nodes/{id}/update")
async def update_node(api: HostApi, request: Request, id: str) -> Answer:  # noqa: A002
    """Change a node's role, availability or labels."""
    await api.complete(api.rest.nodes.update(id, request.json(), request.parameters))
    return Response.empty(200)


@operation("DELETE", "/nodes/{id}")
async def remove_node(api: HostApi, request: Request, id: str) -> Answer:  # noqa: A002
    """Take a node out of the swarm."""
    await api.complete(api.rest.nodes.remove(id, request.parameters))
    return Response.empty(200)
