"""The table of the API's operations, and the way from a request to its handler.

A handler is `async def handler(api, request, …path parameters…) -> Answer`, registered with `@operation`. What is in
Docker's API but not simulated is registered with a sentence that says so, and answers 501.
"""

from __future__ import annotations

import logging
import re
from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING, Any

from attrs import frozen

from cnmsim.api.message import Answer, Request, Response
from cnmsim.errors import CnmsimError, InvalidParameter, NotSimulated

if TYPE_CHECKING:
    from cnmsim.api.host import HostApi

_log = logging.getLogger(__name__)
Handler = Callable[..., Awaitable[Answer]]


@frozen
class Operation:
    """One row of the table. `path` is as Docker's OpenAPI description writes it: `/containers/{id}/json`.

    `sentence` says why it is not simulated, if it is not.
    """

    method: str
    path: str
    handler: Handler
    pattern: re.Pattern[str]
    is_simulated: bool = True
    sentence: str = ""


OPERATIONS: list[Operation] = []


def _pattern(path: str) -> re.Pattern[str]:
    """Turn `{name}` into a group; the names of images and plugins may hold slashes."""
    wide = path.startswith(("/images/", "/plugins/", "/distribution/"))
    inner = ".+" if wide else "[^/]+"
    return re.compile(re.sub(r"\{(\w+)\}", rf"(?P<\1>{inner})", path) + r"\Z")


def operation(method: str, path: str) -> Callable[[Handler], Handler]:
    """Register a handler for an operation."""

    def register(handler: Handler) -> Handler:
        OPERATIONS.append(Operation(method, path, handler, _pattern(path)))
        return handler

    return register


def not_simulated(
    method: str, path: str, sentence: str, check: Callable[[HostApi, Request, dict[str, str]], object] | None = None
) -> None:
    """Register an operation that answers 501 and says why.

    `check` raises for what the engine would refuse before: a container or image that does not exist.
    """

    async def handler(api: HostApi, request: Request, **parameters: str) -> Answer:
        if check is not None:
            check(api, request, parameters)
        raise NotSimulated(sentence)

    OPERATIONS.append(Operation(method, path, handler, _pattern(path), is_simulated=False, sentence=sentence))


def find(method: str, path: str) -> tuple[Operation, dict[str, str]] | None:
    """Find the operation for a request; HEAD is served as GET where it has no row of its own."""
    for candidate in OPERATIONS:
        if candidate.method == method and (found := candidate.pattern.match(path)):
            return candidate, found.groupdict()
    return find("GET", path) if method == "HEAD" else None


def _version_tuple(text: str) -> tuple[int, ...]:
    return tuple(int(part) for part in text.split("."))


def check_version(api: HostApi, request: Request) -> None:
    """Refuse an API version the engine does not speak (moby api/server/middleware/version.go)."""
    if not request.version:
        return
    asked = _version_tuple(request.version)
    newest, oldest = api.api_version, api.min_api_version
    if asked > _version_tuple(newest):
        raise InvalidParameter(
            f"client version {request.version} is too new. Maximum supported API version is {newest}"
        )
    if asked < _version_tuple(oldest):
        raise InvalidParameter(
            f"client version {request.version} is too old. Minimum supported API version is {oldest}, "
            "please upgrade your client to a newer version"
        )


async def dispatch(api: HostApi, request: Request) -> Answer:
    """Answer a request; whatever is refused becomes the engine's error body."""
    try:
        check_version(api, request)
        found = find(request.method, request.path)
        if found is None:
            return Response.error(404, "page not found")
        row, parameters = found
        await api.let_time_pass(request)
        try:
            answer = await row.handler(api, request, **parameters)
        finally:
            # What it set going begins at once, also where it failed.
            api.clock_driver.run_ready()
    except CnmsimError as error:
        return Response.error(error.status, error.message)
    except Exception:  # noqa: BLE001 - an error of ours must not end the other clients' connections; it is logged
        _log.exception("%s %s", request.method, request.path)
        return Response.error(500, "internal error of the simulator; its log has the traceback")
    return answer


def table() -> list[dict[str, Any]]:
    """List what is served, for the coverage page."""
    return [{"method": row.method, "path": row.path, "simulated": row.is_simulated} for row in OPERATIONS]
