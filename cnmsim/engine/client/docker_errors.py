"""Errors of docker-py's calls that are errors of docker-py, too, where a program has imported it.

`except docker.errors.NotFound` compares types, so that an error needs that class among its bases. docker-py's
`APIError` is an `OSError`, which inside the simulation is an error of a kernel: only an error that leaves a call of
the client gets these bases. docker-py itself is never imported here.
"""

from __future__ import annotations

import sys
from collections.abc import Callable
from functools import wraps
from typing import Any, TypeVar

from cnmsim.errors import CnmsimError, EngineError

T = TypeVar("T")
_MODULE = "docker.errors"
_COMBINED: dict[tuple[type, type], type[CnmsimError]] = {}


def raises_docker_errors(cls: type[T]) -> type[T]:
    """Let the public methods and properties of a class raise errors that are docker-py's, too. Return the class."""
    for name, member in list(vars(cls).items()):
        if name.startswith("_") and name != "__getitem__":
            continue
        if isinstance(member, property):
            setattr(cls, name, property(member.fget and _raising(member.fget), member.fset, doc=member.__doc__))
        elif callable(member) and not isinstance(member, type):
            setattr(cls, name, _raising(member))
    return cls


def _raising(function: Callable[..., T]) -> Callable[..., T]:
    @wraps(function)
    def call(*args: Any, **options: Any) -> T:
        try:
            return function(*args, **options)
        except CnmsimError as error:
            converted = _converted(error)
            if converted is error:
                raise
            raise converted.with_traceback(error.__traceback__) from error.__cause__

    return call


def _converted(error: CnmsimError) -> CnmsimError:
    """Return the error with a base class of docker-py, or the same error if there is none for it."""
    module = sys.modules.get(_MODULE)
    base = _base(module, error) if module is not None else None
    if base is None or isinstance(error, base):
        return error
    kind = _combined(type(error), base)
    converted: CnmsimError = kind.__new__(kind, *error.args)
    converted.args = error.args
    vars(converted).update(vars(error), response=None, explanation=getattr(error, "message", ""))
    return converted


def _base(module: Any, error: CnmsimError) -> type[Exception] | None:
    """Return the class that docker-py raises for an error of the Engine API; `None` for other errors."""
    base: type[Exception] | None = None
    if type(error).__name__ == "ContainerError":
        base = module.ContainerError
    elif isinstance(error, EngineError):
        is_image = error.message.lower().startswith("no such image")
        base = (module.ImageNotFound if is_image else module.NotFound) if error.status == 404 else module.APIError
    return base


def _combined(kind: type[CnmsimError], base: type[Exception]) -> type[CnmsimError]:
    """Return the class of both, with the name and the text of cnmsim's."""
    if (kind, base) in _COMBINED:
        return _COMBINED[kind, base]
    members: dict[str, Any] = {"__module__": kind.__module__, "__str__": CnmsimError.__str__}
    if hasattr(base, "status_code"):
        members["status_code"] = property(lambda self: self.status)
    combined = _COMBINED[kind, base] = type(kind.__name__, (kind, base), members)
    return combined
