"""The errors of the simulated engine: one tree, a class for each HTTP status, with Docker's messages.

Source: moby `errdefs` and `api/server/httpstatus` (docker-v29.7.2). A failure inside a simulated kernel is an
`OSError` with Linux's errno, as for a program on a real host.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Self


class CnmsimError(Exception):
    """Base class of cnmsim's errors. `message` is the text, `status` the HTTP status that the Engine API returns."""

    status = 500

    def __init__(self, message: str) -> None:
        super().__init__(message)
        self.message = message


class EngineError(CnmsimError):
    """The engine refused a call. The call changed nothing.

    `value` is the value in the request that the engine refused, as text: an address, a subnet, a port or the name of
    an object. It is "" if no single value is wrong.
    """

    value = ""

    def about(self, value: str) -> Self:
        """Set `value`, and return the error."""
        self.value = value
        return self


class SystemFault(EngineError):
    """Something failed inside the engine (500)."""

    status = 500


class NotFound(EngineError):
    """An object does not exist (404)."""

    status = 404


class NoSuchNetwork(NotFound):
    """The network does not exist on this host. An agent that starts a swarm task then creates it again.

    Source: moby libnetwork, ErrNoSuchNetwork.
    """


class Conflict(EngineError):
    """The call conflicts with an existing object (409)."""

    status = 409


class InvalidParameter(EngineError):
    """An argument is invalid (400)."""

    status = 400


class Unauthorized(EngineError):
    """The key or the credentials are wrong (401)."""

    status = 401


class Forbidden(EngineError):
    """The call is not permitted on this object (403)."""

    status = 403


class Unavailable(EngineError):
    """A resource is exhausted, or a component is not ready (503)."""

    status = 503


class NotSupported(EngineError):
    """The engine cannot do this with the object's configuration (501)."""

    status = 501


class NotSimulated(EngineError):
    """A real engine does this; cnmsim does not (501)."""

    status = 501


class FileError(CnmsimError):
    """A file that the user wrote is invalid.

    `path` is the file. `line` (from 1; `None` if unknown) and `key` (such as `services.web.ports[0]`, or "") are the
    position of the error in it. `keys` is the same path as single keys and `document` the content that it leads
    through, if they are known.
    """

    status = 400
    keys: tuple[str | int, ...] = ()
    document: Any = None
    #: Searches for the fix. It is set where a lab is built from files.
    search: Callable[[], Any] | None = None

    @property
    def fix(self) -> Any:
        """An edit of the file after which the lab can be built (`lab.edits.refusal.FileFix`), or `None`.

        It is searched for at each access: every candidate is tried by building a lab from the edited file.
        """
        return None if self.search is None else self.search()

    def __init__(self, message: str, *, path: str, line: int | None = None, key: str = "") -> None:
        self.path, self.line, self.key = path, line, key
        place = path if line is None else f"{path}:{line}"
        super().__init__(f"{place}: {key}: {message}" if key else f"{place}: {message}")


def refused_value(error: BaseException | None) -> str:
    """Return the `value` of an engine's error, or of the error that it wraps; "" if none has one."""
    while error is not None:
        if isinstance(error, EngineError) and error.value:
            return error.value
        error = error.__cause__ or error.__context__
    return ""
