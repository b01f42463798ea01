"""Errors that a program can catch under docker-py's names, such as `except docker.errors.NotFound`.

For this, an error's class must be a subclass of docker-py's class. cnmsim's own error classes are not, because
docker-py's `APIError` is an `OSError`, and code inside the simulation would mistake it for an error of a simulated
kernel. Therefore an error is replaced by an instance of such a subclass when it leaves a method of the client. This
module uses docker-py's classes if the program has imported them, and never imports docker-py itself.
"""

from __future__ import annotations

import sys
from collections.abc import Callable
from functools import wraps
from typing import Any, TypeVar

from cnmsim.errors import CnmsimError, EngineError
from cnmsim.suggestion import suggests_attributes, suggests_keyword

T = TypeVar("T")
_MODULE = "docker.errors"
_COMBINED: dict[tuple[type, type], type[CnmsimError]] = {}


def raises_docker_errors(cls: type[T]) -> type[T]:
    """Decorate a class so that errors of its methods and properties can be caught under docker-py's names, too.

    Only public methods and properties are wrapped. An error that leaves one of them is an instance of docker-py's
    class and of its own class. `cls` is changed in place, and returned.
    """
    for name, member in list(vars(cls).items()):
        if name.startswith("_") and name != "__getitem__":
            continue
        if isinstance(member, property):
            setattr(cls, name, property(member.fget and _raising(member.fget), member.fset, doc=member.__doc__))
        elif callable(member) and not isinstance(member, type):
            setattr(cls, name, _raising(member))
    return suggests_attributes(cls)


def _raising(function: Callable[..., T]) -> Callable[..., T]:
    suggesting = suggests_keyword(function)

    @wraps(function)
    def call(*args: Any, **options: Any) -> T:
        try:
            return suggesting(*args, **options)
        except CnmsimError as error:
            converted = _converted(error)
            if converted is error:
                raise
            raise converted.with_traceback(error.__traceback__) from error.__cause__

    return call


def _converted(error: CnmsimError) -> CnmsimError:
    """Return a copy of the error that is also an instance of docker-py's class for it.

    Return the error itself if docker-py has no such class, or if the program has not imported docker-py.
    """
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
    """Return the class of docker-py that corresponds to an error; `None` if the error has no counterpart there.

    `module` is `docker.errors`.
    """
    base: type[Exception] | None = None
    if type(error).__name__ == "ContainerError":
        base = module.ContainerError
    elif isinstance(error, EngineError):
        is_image = error.message.lower().startswith("no such image")
        base = (module.ImageNotFound if is_image else module.NotFound) if error.status == 404 else module.APIError
    return base


def _combined(kind: type[CnmsimError], base: type[Exception]) -> type[CnmsimError]:
    """Return a subclass of both `kind` and `base`, with the name and the text of `kind`."""
    if (kind, base) in _COMBINED:
        return _COMBINED[kind, base]
    members: dict[str, Any] = {"__module__": kind.__module__, "__str__": CnmsimError.__str__}
    if hasattr(base, "status_code"):
        members["status_code"] = property(lambda self: self.status)
    combined = _COMBINED[kind, base] = type(kind.__name__, (kind, base), members)
    return combined
