"""The handler that pulls images, and checks that run before an operation is refused as not simulated."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator
from typing import Any

from cnmsim.api.host import HostApi
from cnmsim.api.message import Answer, Request, Response, Stream
from cnmsim.errors import InvalidParameter, SystemFault
from cnmsim.gojson.encode import encode
from cnmsim.gojson.scanner import GoJsonError, first_value
from cnmsim.gojson.unmarshal import Place, Str, Struct, convert

_AUTH_CONFIG = Struct(
    "registry.AuthConfig",
    tuple(
        Str(name, omit=True)
        for name in ("username", "password", "auth", "serveraddress", "identitytoken", "registrytoken")
    ),
)


async def create(api: HostApi, request: Request) -> Answer:
    """Pull an image, and stream its progress messages."""
    return Stream(_lines(api.rest.images.create(request.parameters)))


async def _lines(messages: Iterator[dict[str, Any]]) -> AsyncIterator[bytes]:
    for message in messages:
        yield encode(message).encode() + b"\r\n"


async def prune_builds(_api: HostApi, _request: Request) -> Answer:
    """Return the report of pruning an empty build cache."""
    return Response.json({"CachesDeleted": None, "SpaceReclaimed": 0})


def check_image(api: HostApi, _request: Request, path_parameters: dict[str, str]) -> None:
    """Raise `NotFound` if the image in the path does not exist."""
    api.rest.images.inspect(path_parameters["name"])


def check_images(api: HostApi, request: Request, _path_parameters: dict[str, str]) -> None:
    """Raise `NotFound` if one of the images in the query does not exist."""
    for name in request.query.get("names", ()):
        api.rest.images.inspect(name)


def check_container(api: HostApi, request: Request, path_parameters: dict[str, str]) -> None:
    """Raise `NotFound` if the container in the path or the query does not exist."""
    api.rest.containers.find(path_parameters.get("id_") or request.text("container"))


def check_login(api: HostApi, request: Request, _path_parameters: dict[str, str]) -> None:
    """Raise the engine's error if the request body is not a JSON object with the data of a login."""
    prefix = api.engine.profile.login_body_prefix
    try:
        value, rest = first_value(request.body)
        convert(_AUTH_CONFIG, value, Place())
    except GoJsonError as error:
        if not prefix:
            raise SystemFault(str(error)) from None
        raise InvalidParameter(f"{prefix}invalid JSON: {error}") from None
    if prefix and rest.strip(" \t\r\n")[:1] not in {"", "]", "}"}:
        raise InvalidParameter(f"{prefix}multiple JSON documents not allowed")
