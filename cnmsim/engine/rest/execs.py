"""The endpoints `/containers/{id}/exec` and `/exec/…` of the Engine API.

Source: moby `daemon/server/router/container/exec.go`.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from attrs import define

from cnmsim.engine.containers.exec import Exec
from cnmsim.engine.containers.execs import check_active, create_exec, find_exec, start_exec
from cnmsim.engine.containers.streams import Listener
from cnmsim.engine.context import EngineContext
from cnmsim.engine.wire import schemas as bodies
from cnmsim.engine.wire.query import NO_QUERY, Query, check_terminal_size
from cnmsim.errors import EngineError


@define
class ExecApi:
    """Operations on execs (`docker exec`).

    `id_` is a container's id or name for `create`, an exec's id for the others.
    """

    context: EngineContext

    def create(self, id_: str, body: Mapping[str, Any]) -> dict[str, Any]:
        """Create an exec, and return its id (POST /containers/{id}/exec)."""
        config = bodies.read_body("exec_create", self.context.profile, body)
        return {"Id": create_exec(self.context, self.context.containers.get(id_), config).id}

    def read_start(self, body: Any) -> dict[str, Any]:
        """Decode the body of a request to start an exec (POST /exec/{id}/start).

        Raises `InvalidParameter` if the body is invalid.
        """
        return bodies.read_body("exec_start", self.context.profile, body)

    def start(self, id_: str, body: Mapping[str, Any], on_output: Listener | None = None) -> Exec:
        """Start an exec (POST /exec/{id}/start). `on_output(stream, data)` is called with all its output.

        Write input to `Exec.streams`; the future `Exec.streams.ended` is done when the exec has ended. Raises an
        `EngineError` for an invalid request. If the command cannot be started, the error is raised only with
        `Detach`; otherwise its text is passed to `on_output`, as in Docker, where the connection already carries the
        output.
        """
        options = self.read_start(body)
        execution = find_exec(self.context, id_)
        check_active(execution.container)
        if options["Detach"]:
            start_exec(self.context, execution)
            return execution
        if on_output is not None:
            execution.streams.listen(on_output)
        try:
            start_exec(self.context, execution)
        except EngineError as error:
            if on_output is not None:
                on_output("stdout", f"{error.message}\r\n".encode())
        return execution

    def inspect(self, id_: str) -> dict[str, Any]:
        """Return the description of an exec (GET /exec/{id}/json)."""
        return find_exec(self.context, id_).view()

    def resize(self, id_: str, query: Query = NO_QUERY) -> None:
        """Set the size of an exec's terminal (POST /exec/{id}/resize).

        This only validates the parameters, because no simulated program uses the size.
        """
        check_terminal_size(query, self.context.profile.invalid_size_text)
        find_exec(self.context, id_)
