"""Suggestions in error messages: the known name that is closest to an unknown one."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterable
from functools import wraps
from typing import Any, TypeVar

_Class = TypeVar("_Class")
T = TypeVar("T")


def suggestion(name: str, known: Iterable[str]) -> str:
    """Return the end of an error message about `name`, which is not one of `known`.

    If one of `known` is similar, it is `, did you mean web?`; otherwise `; there are: web, db` (at most eight names),
    or "" if `known` is empty.
    """
    import difflib

    names = sorted({candidate for candidate in known if candidate})
    close = difflib.get_close_matches(name, names, 1)
    if close:
        return f", did you mean {close[0]}?"
    if not names:
        return ""
    return f"; there are: {', '.join(names[:8])}{', …' if len(names) > 8 else ''}"


def keyword_error(function: Callable[..., Any], error: TypeError) -> TypeError:
    """Return the error that a call of `function` is to raise instead of `error`.

    That is an error that suggests a parameter, if Python refused the call for an unknown keyword argument; else
    `error` itself. To be called where `function` was called.
    """
    was_called = error.__traceback__ is None or error.__traceback__.tb_next is not None
    text, quote, rest = str(error).partition("unexpected keyword argument '")
    if was_called or not quote:
        return error
    name = rest.partition("'")[0]
    known = [
        item.name for item in inspect.signature(function).parameters.values() if item.kind is not item.VAR_KEYWORD
    ]
    return TypeError(f"{text}{quote}{name}'{suggestion(name, [item for item in known if item != 'self'])}")


def suggests_attributes(cls: type[_Class]) -> type[_Class]:
    """Class decorator: the error for a misspelt attribute of an object suggests the right name.

    Changes `cls` in place, and returns it. Subclasses inherit the change. `cls` may have a method `_elsewhere`, which
    returns the end of the error if another object has the attribute, such as `; hosts have it`, else "".
    """

    def __getattr__(self: object, name: str) -> Any:  # noqa: N807 - it becomes the method of that name
        kind = type(self)
        if hasattr(kind, name):
            return object.__getattribute__(self, name)  # a property that failed: its own error
        hint = ""
        if not name.startswith("_"):
            close = suggestion(name, [known for known in dir(self) if not known.startswith("_")])
            hint = self._elsewhere(name) if hasattr(kind, "_elsewhere") else ""  # type: ignore[attr-defined]
            hint = hint or (close if close.startswith(",") else "")
        # Without `obj` Python itself makes no second suggestion.
        raise AttributeError(f"{kind.__name__!r} object has no attribute {name!r}{hint}", name=name)

    if not hasattr(cls, "__getattr__"):
        setattr(cls, "__getattr__", __getattr__)  # noqa: B010 - the type checkers must not see it
    return cls


class SuggestsClassAttributes(type):
    """Metaclass: the error for a misspelt attribute of the class suggests the right name.

    The class may have a static method `_class_elsewhere`, which takes the name and returns the end of the error if
    something else has the attribute, else "".
    """


def _class_attribute(cls: type, name: str) -> Any:
    hint = ""
    if not name.startswith("_"):
        hint = getattr(cls, "_class_elsewhere", lambda _name: "")(name)
        close = suggestion(name, [known for known in dir(cls) if not known.startswith("_")])
        hint = hint or (close if close.startswith(",") else "")
    raise AttributeError(f"type object {cls.__name__!r} has no attribute {name!r}{hint}", name=name)


setattr(SuggestsClassAttributes, "__getattr__", _class_attribute)  # noqa: B010 - the type checkers must not see it


def suggests_keywords(cls: type[_Class]) -> type[_Class]:
    """Class decorator: errors suggest the right name for a misspelt attribute or keyword argument of a public method.

    Changes `cls` in place, and returns it. If `cls` is a part of another class, its attribute `_shown_as` is the name
    of that class, which errors state.
    """
    for name, member in list(vars(cls).items()):
        function = member.__func__ if isinstance(member, classmethod) else member
        if inspect.isfunction(function) and (not name.startswith("_") or name == "__init__"):
            function.__qualname__ = f"{getattr(cls, '_shown_as', cls.__name__)}.{name}"
            suggesting = suggests_keyword(function)
            setattr(cls, name, classmethod(suggesting) if isinstance(member, classmethod) else suggesting)
    return suggests_attributes(cls)


def suggests_keyword(function: Callable[..., T]) -> Callable[..., T]:
    """Return `function` with an error that suggests the right name for a misspelt keyword argument."""

    @wraps(function)
    def call(*args: Any, **options: Any) -> T:
        try:
            return function(*args, **options)
        except TypeError as error:
            better = keyword_error(function, error)
            if better is error:
                raise
            raise better from None

    return call
