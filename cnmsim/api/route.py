"""Routes of the Engine API.

A route is a row: method, path as in Docker's OpenAPI description, and operation. Most operations are methods of
`cnmsim.engine.rest`, which `json_route` and `empty_route` call with the parameters of the request. Operations that
stream or hijack the connection are handlers: `async def handler(api, request, …path parameters…) -> Answer`.
Operations of Docker's API that are not simulated answer 501 with a reason.
"""

from __future__ import annotations

import inspect
import re
from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING, Any

from attrs import field, frozen

from cnmsim.api.message import EMPTY_BODY, Answer, Request, Response
from cnmsim.errors import NotSimulated

if TYPE_CHECKING:
    from cnmsim.api.host import HostApi

Handler = Callable[..., Awaitable[Answer]]
Check = Callable[["HostApi", Request, dict[str, str]], object]

#: The attribute of `Rest` that holds the only instance of a class.
_PARTS = {
    "ContainerApi": "containers", "ExecApi": "execs", "ImageApi": "images", "NetworkApi": "networks",
    "NodeApi": "nodes", "ServiceApi": "services", "SwarmApi": "swarm", "SystemApi": "system",
    "TaskApi": "tasks", "VolumeApi": "volumes",
}  # fmt: skip


def _pattern(path: str) -> re.Pattern[str]:
    """Return the regular expression for a path such as `/containers/{id}/json`.

    As in moby, a parameter may contain slashes or be empty (`{name:.*}`), except in paths of swarm objects (`{id}`).
    """
    of_swarm = path.startswith(("/nodes/", "/services/", "/tasks/", "/secrets/", "/configs/"))
    inner = "[^/]+" if of_swarm else ".*"
    return re.compile(re.sub(r"\{(\w+)\}", rf"(?P<\1>{inner})", path) + r"\Z")


@frozen
class Route:
    """One row of the table of routes: a method, a path and the handler for them.

    `sentence` is the reason why the operation is not simulated; it is "" for a simulated one.
    """

    method: str
    path: str
    handler: Handler
    sentence: str = ""
    pattern: re.Pattern[str] = field(init=False, repr=False, eq=False)

    @pattern.default
    def _compile(self) -> re.Pattern[str]:
        return _pattern(self.path)

    @property
    def is_simulated(self) -> bool:
        """Whether the operation is simulated, as opposed to answered with 501."""
        return not self.sentence


def json_route(
    method: str,
    path: str,
    operation: Callable[..., Any],
    status: int = 200,
    *,
    part: str = "",
    requires_body: bool = False,
) -> Route:
    """Return a route whose answer is the result of `operation` as JSON, with this status.

    `operation` is a method of a class; the attribute of `Rest` that holds an object of this class provides the
    object. `part` names the attribute if several of them hold objects of the class. With `requires_body` a request
    with an empty body is refused.
    """
    call = _caller(operation, part, requires_body=requires_body)

    async def handler(api: HostApi, request: Request, **path_parameters: str) -> Answer:
        return Response.json(await call(api, request, path_parameters), status)

    return Route(method, path, handler)


def empty_route(method: str, path: str, operation: Callable[..., Any], status: int = 200, *, part: str = "") -> Route:
    """Return a route whose answer has no body; the status is 304 if `operation` returns False.

    The parameters are those of `json_route`.
    """
    call = _caller(operation, part)

    async def handler(api: HostApi, request: Request, **path_parameters: str) -> Answer:
        has_changed = await call(api, request, path_parameters) is not False
        return Response.empty(status if has_changed else 304)

    return Route(method, path, handler)


def _caller(
    operation: Callable[..., Any], part: str, *, requires_body: bool = False
) -> Callable[[HostApi, Request, dict[str, str]], Awaitable[Any]]:
    """Return a function that calls `operation`, a method of an attribute of `Rest`, for a request.

    It passes the path parameters to `operation`, and the body, the query and the API version of the request if
    `operation` has parameters named `body`, `query` and `api`. `part` and `requires_body` are as in `json_route`.
    """
    part = part or _PARTS[operation.__qualname__.partition(".")[0]]
    names = [name for name in inspect.signature(operation).parameters if name != "self"]

    async def call(api: HostApi, request: Request, path_parameters: dict[str, str]) -> Any:
        arguments: dict[str, Any] = dict(path_parameters)
        if "body" in names:
            eof_text = api.engine.profile.empty_create_text if requires_body else EMPTY_BODY
            arguments["body"] = request.json(required=requires_body, eof_text=eof_text)
        if "query" in names:
            arguments["query"] = request.parameters
        if "api" in names:
            arguments["api"] = api.version(request)
        result = getattr(getattr(api.rest, part), operation.__name__)(**arguments)
        return await api.complete(result) if inspect.iscoroutine(result) else result

    return call


def not_simulated(method: str, path: str, sentence: str, check: Check | None = None) -> Route:
    """Return a route that answers 501 with the reason `sentence`.

    `check` is called first. It raises the errors that a real engine would report before it runs the operation, for
    example for a container that does not exist.
    """

    async def handler(api: HostApi, request: Request, **path_parameters: str) -> Answer:
        if check is not None:
            check(api, request, path_parameters)
        raise NotSimulated(sentence)

    return Route(method, path, handler, sentence)
