"""`/images/...` and `/build`."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator, Iterator
from typing import Any

from cnmsim.api.host import HostApi
from cnmsim.api.message import Answer, Request, Response, Stream
from cnmsim.api.router import not_simulated, operation


@operation("GET", "/images/json")
async def list_images(api: HostApi, request: Request) -> Answer:
    """List images."""
    return Response.json(api.rest.images.list(request.parameters))


@operation("POST", "/images/create")
async def create(api: HostApi, request: Request) -> Answer:
    """Pull an image, and tell the progress."""
    return Stream(_lines(api.rest.images.create(request.parameters)))


async def _lines(objects: Iterator[dict[str, Any]]) -> AsyncIterator[bytes]:
    for each in objects:
        yield json.dumps(each, separators=(",", ":")).encode() + b"\r\n"


@operation("POST", "/images/prune")
async def prune(api: HostApi, request: Request) -> Answer:
    """Remove what no container was made of."""
    return Response.json(api.rest.images.prune(request.parameters))


_BUILD = "building images is not simulated; an image's meaning comes from the catalogue"
_FILES = "images have no files to save, load or push; pull one by its name"


def _image_exists(api: HostApi, _request: Request, parameters: dict[str, str]) -> None:
    api.rest.images.inspect(parameters["name"])


def _images_exist(api: HostApi, request: Request, _parameters: dict[str, str]) -> None:
    for name in request.query.get("names", ()):
        api.rest.images.inspect(name)


def _container_exists(api: HostApi, request: Request, _parameters: dict[str, str]) -> None:
    api.rest.containers.find(request.text("container"))


not_simulated("GET", "/images/search", "registries are not simulated: there is nothing to search")
not_simulated("GET", "/images/get", _FILES, _images_exist)
not_simulated("GET", "/images/{name}/get", _FILES, _image_exists)
not_simulated("POST", "/images/load", _FILES)
not_simulated("POST", "/images/{name}/push", _FILES, _image_exists)
not_simulated("GET", "/images/{name}/attestations", _FILES)
not_simulated("POST", "/build", _BUILD)
not_simulated("POST", "/commit", _BUILD, _container_exists)


@operation("POST", "/build/prune")
async def prune_builds(_api: HostApi, _request: Request) -> Answer:
    """Empty the build cache, which is empty."""
    return Response.json({"CachesDeleted": None, "SpaceReclaimed": 0})


@operation("GET", "/images/{name}/json")
async def inspect(api: HostApi, _request: Request, name: str) -> Answer:
    """Describe an image."""
    return Response.json(api.rest.images.inspect(name))


@operation("GET", "/images/{name}/history")
async def history(api: HostApi, _request: Request, name: str) -> Answer:
    """Tell how an image was made."""
    return Response.json(api.rest.images.history(name))


@operation("POST", "/images/{name}/tag")
async def tag(api: HostApi, request: Request, name: str) -> Answer:
    """Give an image another name."""
    api.rest.images.tag(name, request.parameters)
    return Response.empty(201)


@operation("DELETE", "/images/{name}")
async def remove(api: HostApi, request: Request, name: str) -> Answer:
    """Take a name off an image, and delete it with its last name."""
    return Response.json(api.rest.images.remove(name, request.parameters))
