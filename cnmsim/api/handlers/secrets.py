"""`/secrets` and `/configs`."""

from __future__ import annotations

from cnmsim.api.host import HostApi
from cnmsim.api.message import Answer, Request, Response
from cnmsim.api.router import operation


def _serve(kind: str) -> None:
    """Serve the five operations that secrets and configs have in common."""

    @operation("GET", f"/{kind}")
    async def list_objects(api: HostApi, request: Request) -> Answer:
        return Response.json(await api.complete(getattr(api.rest, kind).list(request.parameters)))

    @operation("POST", f"/{kind}/create")
    async def create(api: HostApi, request: Request) -> Answer:
        return Response.json(await api.complete(getattr(api.rest, kind).create(request.json())), 201)

    @operation("GET", f"/{kind}/{{id}}")
    async def inspect(api: HostApi, _request: Request, id: str) -> Answer:  # noqa: A002 - the parameter's name in Docker's API
        return Response.json(await api.complete(getattr(api.rest, kind).inspect(id)))

    @operation("POST", f"/{kind}/{{id}}/update")
    async def update(api: HostApi, request: Request, id: str) -> Answer:  # noqa: A002
        await api.complete(getattr(api.rest, kind).update(id, request.json(), request.parameters))
        return Response.empty(200)

    @operation("DELETE", f"/{kind}/{{id}}")
    async def remove(api: HostApi, _request: Request, id: str) -> Answer:  # noqa: A002
        await api.complete(getattr(api.rest, kind).remove(id))
        return Response.empty()


_serve("secrets")
_serve("configs")
