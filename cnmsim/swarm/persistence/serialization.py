"""Strict conversion of attrs values to JSON-compatible data and back, according to their annotations (with cattrs).

A value whose type differs from the annotation is an error, and so is an unknown field. Fields that have their default
value are omitted. Bytes become base64, a member of an enumeration becomes its value, and a member of a union of
classes becomes an object whose only key is the class's name: `{"Replicated": {…}}`.
"""

from __future__ import annotations

import math
from base64 import b64decode, b64encode
from collections.abc import Callable, Mapping
from enum import Enum
from functools import cache
from types import NoneType, UnionType
from typing import TYPE_CHECKING, Any, Union, get_args, get_origin

import attrs

from cnmsim.swarm.ca.x509 import Serial

if TYPE_CHECKING:
    from cattrs import Converter

Read = Callable[[Any, Any], Any]
#: Numbers other than serials must be below this limit: they have 64 bits.
_END = 1 << 64


class MalformedData(ValueError):
    """Data that cannot be converted or is not valid. The message contains the position in the data and the reason."""


def to_plain(kind: Any, value: Any) -> Any:
    """Convert a value to JSON-compatible data. `kind` is the value's annotated type."""
    return _converter().unstructure(value, unstructure_as=kind)


def from_plain(kind: Any, data: Any, place: str = "") -> Any:
    """Convert JSON-compatible data to a value of the annotated type `kind`.

    Raises `MalformedData` if the data does not have this type; the message begins with `place`, the position of the
    data in the file.
    """
    from cattrs import BaseValidationError, transform_error

    try:
        return _converter().structure(data, kind)
    except (BaseValidationError, MalformedData) as error:
        reason, _, path = transform_error(error, place, _describe_error)[0].rpartition(" @ ")
        raise MalformedData(f"{path}: {reason}") from None


def _describe_error(error: BaseException, _kind: type | None) -> str:
    from cattrs.v import format_exception

    return str(error) if isinstance(error, ValueError) else format_exception(error, None)


@cache
def _converter() -> Converter:
    from cattrs import Converter
    from cattrs.cols import list_structure_factory
    from cattrs.gen import make_mapping_structure_fn

    converter = Converter(omit_if_default=True, forbid_extra_keys=True)
    read_tuple = converter.get_structure_hook(tuple)
    converter.register_structure_hook_func(lambda kind: kind == Serial, lambda data, _: _require_type(int)(data, int))
    for kind in (int, str, bool):
        converter.register_structure_hook(kind, _read_scalar)
    converter.register_structure_hook(float, _read_float)
    converter.register_structure_hook(bytes, _read_bytes)
    converter.register_unstructure_hook(bytes, lambda value: b64encode(value).decode())
    converter.register_structure_hook(Enum, _read_enum)
    converter.register_structure_hook_func(_has_origin(tuple), _require_type(list, read_tuple))
    converter.register_structure_hook_factory(
        _has_origin(list), lambda kind: _require_type(list, list_structure_factory(kind, converter))
    )
    converter.register_structure_hook_factory(
        _has_origin(Mapping), lambda kind: _require_type(dict, make_mapping_structure_fn(kind, converter))
    )
    converter.register_structure_hook_factory(
        attrs.has, lambda kind: _require_type(dict, converter.gen_structure_attrs_fromdict(kind))
    )
    converter.register_structure_hook_factory(_is_union, lambda kind: _union_reader(kind, converter))
    converter.register_unstructure_hook_factory(_is_union, lambda kind: _union_writer(kind, converter))
    return converter


def _require_type(kind: type, read: Read = lambda data, _: data) -> Read:
    """Return a reader that calls `read` for a value of the JSON type `kind`, and returns the result of `read`.

    For a value of another type, the reader raises `MalformedData`.
    """

    def read_it(data: Any, annotation: Any) -> Any:
        if type(data) is not kind:
            raise MalformedData(f"expected {kind.__name__}, not {type(data).__name__}")
        return read(data, annotation)

    return read_it


def _read_scalar(data: Any, kind: type) -> Any:
    # Enumerations of numbers are subclasses of int, so that cattrs calls this hook for them too.
    if issubclass(kind, Enum):
        return _read_enum(data, kind)
    if kind is int and type(data) is int and not -_END <= data < _END:
        raise MalformedData("expected a number of 64 bits")
    return _require_type(kind)(data, kind)


def _read_float(data: Any, _: Any) -> float:
    if type(data) not in {int, float} or not math.isfinite(data):
        raise MalformedData("expected a number")
    return data  # type: ignore[no-any-return]


def _read_bytes(data: Any, _: Any) -> bytes:
    try:
        return b64decode(_require_type(str)(data, str), validate=True)
    except ValueError:
        raise MalformedData("expected base64") from None


def _read_enum(data: Any, kind: type[Enum]) -> Enum:
    known = {member.value: member for member in kind}
    if type(data) not in {int, str} or data not in known:
        raise MalformedData(f"{repr(data)[:80]} is not a {kind.__name__}")
    return known[data]


def _has_origin(base: type) -> Callable[[Any], bool]:
    return lambda kind: isinstance(origin := get_origin(kind), type) and issubclass(origin, base)


def _is_union(kind: Any) -> bool:
    return get_origin(kind) in {Union, UnionType} and NoneType not in get_args(kind)


def _union_reader(kind: Any, converter: Converter) -> Read:
    """Return a reader for the union type `kind`.

    A member of a union of classes is read from an object whose only key is the class's name; a union of JSON types
    accepts any value of one of these types.
    """
    by_name = {member.__name__: member for member in get_args(kind)}

    def read_class(data: Any, _: Any) -> Any:
        if len(_require_type(dict)(data, kind)) != 1 or next(iter(data)) not in by_name:
            raise MalformedData(f"expected one of {', '.join(by_name)}")
        ((name, inner),) = data.items()
        return converter.structure(inner, by_name[name])

    def read_value(data: Any, _: Any) -> Any:
        if type(data) not in by_name.values():
            raise MalformedData(f"expected {' or '.join(by_name)}")
        return data

    return read_class if all(map(attrs.has, by_name.values())) else read_value


def _union_writer(kind: Any, converter: Converter) -> Callable[[Any], Any]:
    if not all(map(attrs.has, get_args(kind))):
        return lambda value: value
    return lambda value: {type(value).__name__: converter.unstructure(value)}
