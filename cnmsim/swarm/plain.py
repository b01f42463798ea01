"""Attrs values as what JSON can hold, and back, by their annotations.

Reading is strict: nothing is converted that is not of the annotated type, and no field is unknown. Fields at their default are
left out. Bytes are base64, an enumeration its value, and what is one of several classes says which.
"""

from __future__ import annotations

import math
from base64 import b64decode, b64encode
from collections.abc import Callable, Mapping
from enum import Enum
from functools import cache
from types import NoneType, UnionType
from typing import Any, Union, get_args, get_origin, get_type_hints

import attrs
from attrs import frozen


class Malformed(ValueError):
    """Plain data is not what it is read as; the text says where and why."""


@frozen
class _Form:
    """How values of one annotation are written and read; `read` is given where in the data it is."""

    write: Callable[[Any], Any]
    read: Callable[[Any, str], Any]


def to_plain(kind: Any, value: Any) -> Any:
    """Give a value of the annotation `kind` as plain data."""
    return _form(kind).write(value)


def from_plain(kind: Any, data: Any, place: str = "") -> Any:
    """Give the value that `to_plain` was given. Raises `Malformed`, which names the place in the data after `place`."""
    return _form(kind).read(data, place)


@cache
def _form(kind: Any) -> _Form:
    origin, arguments = get_origin(kind), get_args(kind)
    if origin in {Union, UnionType}:
        return _union(arguments)
    if origin is tuple:
        return _tuple(arguments)
    if isinstance(origin, type) and issubclass(origin, Mapping):
        return _mapping(arguments[1])
    if kind in {Any, object}:
        return _Form(_write_any, lambda data, _place: data)
    if kind is bytes:
        return _Form(lambda value: b64encode(value).decode(), _read_bytes)
    if kind is float:
        return _Form(_same, _read_float)
    if attrs.has(kind):
        return _object(kind)
    if issubclass(kind, Enum):
        return _enumeration(kind)
    return _Form(_same, lambda data, place: _expect(kind, data, place))


def _same(value: Any) -> Any:
    return value


def _expect(kind: type, data: Any, place: str) -> Any:
    if type(data) is not kind:
        raise Malformed(f"{place}: {kind.__name__} expected, not {type(data).__name__}")
    return data


def _read_float(data: Any, place: str) -> float:
    if type(data) not in {int, float} or not math.isfinite(data):
        raise Malformed(f"{place}: a number expected")
    return data  # type: ignore[no-any-return]


def _read_bytes(data: Any, place: str) -> bytes:
    try:
        return b64decode(_expect(str, data, place), validate=True)
    except ValueError:
        raise Malformed(f"{place}: base64 expected") from None


def _write_any(value: Any) -> Any:
    if isinstance(value, Mapping):
        return {str(key): _write_any(each) for key, each in value.items()}
    if isinstance(value, list | tuple):
        return [_write_any(each) for each in value]
    return value


def _enumeration(kind: type[Enum]) -> _Form:
    def read(data: Any, place: str) -> Enum:
        known = {each.value: each for each in kind}
        if type(data) not in {int, str} or data not in known:
            raise Malformed(f"{place}: {data!r} is no {kind.__name__}")
        return known[data]

    return _Form(lambda value: value.value, read)


def _mapping(kind: Any) -> _Form:
    inner = _form(kind)

    def read(data: Any, place: str) -> dict[str, Any]:
        return {key: inner.read(each, f"{place}.{key}") for key, each in _expect(dict, data, place).items()}

    return _Form(lambda value: {key: inner.write(each) for key, each in value.items()}, read)


def _tuple(kinds: tuple[Any, ...]) -> _Form:
    if kinds[-1] is Ellipsis:
        inner = _form(kinds[0])
        return _Form(
            lambda value: [inner.write(each) for each in value],
            lambda data, place: tuple(
                inner.read(each, f"{place}[{at}]") for at, each in enumerate(_expect(list, data, place))
            ),
        )
    forms = [_form(each) for each in kinds]

    def read(data: Any, place: str) -> tuple[Any, ...]:
        if len(_expect(list, data, place)) != len(forms):
            raise Malformed(f"{place}: {len(forms)} values expected")
        return tuple(
            form.read(each, f"{place}[{at}]") for at, (form, each) in enumerate(zip(forms, data, strict=True))
        )

    return _Form(lambda value: [form.write(each) for form, each in zip(forms, value, strict=True)], read)


def _union(kinds: tuple[Any, ...]) -> _Form:
    others = [each for each in kinds if each is not NoneType]
    if len(others) == 1:
        form = _form(others[0])
    elif all(attrs.has(each) for each in others):
        form = _tagged(others)
    else:
        form = _plain_union(others)
    if len(others) == len(kinds):
        return form
    return _Form(
        lambda value: None if value is None else form.write(value),
        lambda data, place: None if data is None else form.read(data, place),
    )


def _plain_union(kinds: list[type]) -> _Form:
    def read(data: Any, place: str) -> Any:
        if type(data) not in kinds:
            raise Malformed(f"{place}: {' or '.join(each.__name__ for each in kinds)} expected")
        return data

    return _Form(_same, read)


def _tagged(kinds: list[type]) -> _Form:
    by_name = {each.__name__: each for each in kinds}

    def read(data: Any, place: str) -> Any:
        if len(_expect(dict, data, place)) != 1 or next(iter(data)) not in by_name:
            raise Malformed(f"{place}: one of {', '.join(by_name)} expected")
        ((name, inner),) = data.items()
        return _form(by_name[name]).read(inner, f"{place}.{name}")

    def write(value: Any) -> dict[str, Any]:
        name = type(value).__name__
        return {name: _form(by_name[name]).write(value)}

    return _Form(write, read)


@cache
def _fields(kind: type) -> dict[str, tuple[Any, _Form]]:
    hints = get_type_hints(kind)
    return {each.name: (each, _form(hints[each.name])) for each in attrs.fields(kind) if each.init}


def _default(attribute: Any) -> Any:
    default = attribute.default
    return default.factory() if isinstance(default, attrs.Factory) else default  # type: ignore[arg-type]


def _object(kind: type) -> _Form:
    def write(value: Any) -> dict[str, Any]:
        return {
            name: form.write(getattr(value, name))
            for name, (attribute, form) in _fields(kind).items()
            if getattr(value, name) != _default(attribute)
        }

    def read(data: Any, place: str) -> Any:
        fields = _fields(kind)
        for name in _expect(dict, data, place):
            if name not in fields:
                raise Malformed(f"{place}.{name}: unknown")
        for name, (attribute, _) in fields.items():
            if name not in data and attribute.default is attrs.NOTHING:
                raise Malformed(f"{place}.{name}: missing")
        return kind(
            **{fields[name][0].alias: fields[name][1].read(each, f"{place}.{name}") for name, each in data.items()}
        )

    return _Form(write, read)
