"""Find the route for a request, and call its operation."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING

from attrs import evolve

from cnmsim.api.message import Answer, Request, Response
from cnmsim.api.route import Route
from cnmsim.api.routes import ROUTES
from cnmsim.engine.wire.api_version import ApiVersion
from cnmsim.errors import CnmsimError, InvalidParameter
from cnmsim.kernel.clock import EndlessInstantError

if TYPE_CHECKING:
    from cnmsim.api.host import HostApi

_log = logging.getLogger(__name__)


def find(method: str, path: str) -> tuple[Route, dict[str, str]] | None:
    """Return (route, path parameters) for a method and path; the parameter `{id}` has the key `id_`.

    Return `None` if no route matches.
    """
    for route in ROUTES:
        if route.method == method and (match := route.pattern.match(path)):
            return route, {"id_" if name == "id" else name: value for name, value in match.groupdict().items()}
    return None


async def dispatch(api: HostApi, request: Request) -> Answer:
    """Run the operation for a request, and return its answer.

    An error becomes a response with the engine's error body.
    """
    if request.redirect:
        return Response(301, headers={"Location": request.redirect}, has_engine_headers=False)
    if request.method == "OPTIONS":
        return Response()
    try:
        match = find(request.method, request.path)
        if match is None:
            return evolve(Response.error(404, "page not found"), has_engine_headers=False)
        api.version(request)
        route, path_parameters = match
        if request.query_error:
            raise InvalidParameter(request.query_error)
        api.engine.controller.log.write("debug", f"Calling {request.method} {_versioned(request)}")
        await api.durability.require_writable(request)
        await api.let_time_pass(request)
        try:
            answer = await route.handler(api, request, **path_parameters)
        finally:
            # What the operation scheduled for this instant runs now, also if the operation failed.
            api.clock_driver.run_ready()
        answer = await api.durability.answered(api.engine, api.name, request, answer)
    except CnmsimError as error:
        if error.status >= 500:
            text = f"Handler for {request.method} {_versioned(request)} returned error: {error.message}"
            api.engine.controller.log.write("error", text)
        profile = api.engine.profile
        if profile.old_versions_get_text and ApiVersion.parse(request.version or "1.24") < ApiVersion.parse("1.24"):
            headers = {"Content-Type": "text/plain; charset=utf-8", "X-Content-Type-Options": "nosniff"}
            return Response(error.status, f"{error.message}\n".encode(), headers)
        return Response.error(error.status, error.message)
    except EndlessInstantError as error:
        _log.exception("%s %s", request.method, request.path)
        return Response.error(500, str(error))
    except Exception:  # noqa: BLE001 - an error of ours must not end the other clients' connections; it is logged
        _log.exception("%s %s", request.method, request.path)
        return Response.error(500, "internal error of the simulator; its log has the traceback")
    return answer


def _versioned(request: Request) -> str:
    return f"/v{request.version}{request.path}" if request.version else request.path
