"""Typed reading of JSON bodies, the way Go's `encoding/json` fills a struct.

A struct is a table of fields in their order; reading gives a plain dict in that order in which every field has a
value, so that what was read prints again as the engine prints it. Keys match without regard to case, unknown ones
are ignored, `null` leaves a field as it is, and a value of the wrong type is refused in Go's words.

Source: Go `encoding/json` (go1.24), `decode.go`: the error names the innermost struct, and the whole path of fields
with the embedded structs among them.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, TypeAlias

from attrs import field, frozen

from cnmsim.engine.wire.gobase64 import CorruptBase64, decode_base64
from cnmsim.errors import InvalidParameter

_JSON_TYPES = ((bool, "bool"), (str, "string"), ((int, float), "number"), (list, "array"), (Mapping, "object"))
_BITS = {
    "int": 64,
    "int64": 64,
    "time.Duration": 64,
    "uint": 64,
    "uint64": 64,
    "uint32": 32,
    "uint16": 16,
    "uint8": 8,
}
_BITS["fs.FileMode"] = 32


@frozen
class Place:
    """Where in a body a value stands: the innermost Go struct around it, and the path of fields from the top."""

    struct: str = ""
    path: str = ""

    def below(self, struct: str, name: str) -> Place:
        """Give the place of a field of `struct`."""
        return Place(struct.rpartition(".")[2], f"{self.path}.{name}" if self.path else name)

    def refuse(self, value: Any, go_type: str, *, is_number: bool = False) -> InvalidParameter:
        """Make the error for a value of the wrong type; where a number was wanted (`is_number`) it tells which it was."""
        kind = next((name for types, name in _JSON_TYPES if isinstance(value, types)), "null")
        if kind == "number" and is_number:
            kind = f"number {value}"
        where = f"struct field {self.struct}.{self.path}" if self.path else "value"
        return InvalidParameter(f"invalid JSON: json: cannot unmarshal {kind} into Go {where} of type {go_type}")


@frozen
class Type:
    """A Go type: its name, how a value is read (never `null`), and what it is before anything is read."""

    name: str
    read: Callable[[Any, Place], Any]
    zero: Callable[[], Any]


def take(kind: Kind, value: Any, place: Place) -> Any:
    """Read a value, or give the zero value for `null`. Raises `InvalidParameter`."""
    return kind.zero() if value is None else kind.read(value, place)


@frozen
class Field:
    """One field of a struct: its key, its type, what it is when absent, and whether it then does not print.

    `embedded` is the embedded struct it belongs to.
    """

    name: str
    kind: Kind
    empty: Callable[[], Any] = field(default=lambda: None)
    omit_empty: bool = False
    embedded: str = ""

    @property
    def path(self) -> str:
        """The field as Go's error names it."""
        return f"{self.embedded}.{self.name}" if self.embedded else self.name

    def is_omitted(self, content: Any) -> bool:
        """Tell whether it does not print: what a pointer points to prints however empty it is."""
        is_pointer = isinstance(self.kind, Struct) or (self.empty() is None and not isinstance(content, (list, dict)))
        return self.omit_empty and (content is None or not (content or is_pointer))


@frozen
class Struct:
    """A Go struct: its name with the package it is of, and its fields in order."""

    name: str
    fields: tuple[Field, ...]
    _by_key: dict[str, Field] = field(init=False, eq=False, repr=False)

    def __attrs_post_init__(self) -> None:
        object.__setattr__(self, "_by_key", {one.name.lower(): one for one in self.fields})

    def read(self, value: Any, place: Place) -> dict[str, Any]:
        """Read an object. Raises `InvalidParameter` for the first value in it that does not fit."""
        if not isinstance(value, Mapping):
            raise place.refuse(value, self.name)
        given: dict[str, Any] = {}
        for key, content in value.items():
            one = self._by_key.get(str(key).lower())
            if one is not None and content is not None:
                given[one.name] = one.kind.read(content, place.below(self.name, one.path))
        return self._filled(given)

    def zero(self) -> dict[str, Any]:
        """Give the struct before anything is read into it."""
        return self._filled({})

    def _filled(self, given: dict[str, Any]) -> dict[str, Any]:
        contents = ((one, given[one.name] if one.name in given else one.empty()) for one in self.fields)
        return {one.name: content for one, content in contents if not one.is_omitted(content)}


Kind: TypeAlias = Type | Struct


def string(name: str = "string") -> Type:
    """Make a type of texts."""

    def read(value: Any, place: Place) -> str:
        if not isinstance(value, str):
            raise place.refuse(value, name)
        return value

    return Type(name, read, str)


def integer(name: str = "int64") -> Type:
    """Make a type of whole numbers, as wide as Go's type of that name is."""
    bits, is_unsigned = _BITS[name], name.startswith(("uint", "fs"))
    least, beyond = (0, 1 << bits) if is_unsigned else (-1 << (bits - 1), 1 << (bits - 1))

    def read(value: Any, place: Place) -> int:
        if isinstance(value, bool) or not isinstance(value, int) or not least <= value < beyond:
            raise place.refuse(value, name, is_number=True)
        return value

    return Type(name, read, int)


def _read_truth(value: Any, place: Place) -> bool:
    if not isinstance(value, bool):
        raise place.refuse(value, "bool")
    return value


def _read_float(value: Any, place: Place) -> float:
    if isinstance(value, bool) or not isinstance(value, (int, float)) or not abs(value) < _FLOAT32_END:
        raise place.refuse(value, "float32", is_number=True)
    return float(value)


def _read_bytes(value: Any, place: Place) -> bytes:
    if isinstance(value, str):
        try:
            return decode_base64(value)
        except CorruptBase64 as error:
            raise InvalidParameter(f"invalid JSON: {error}") from None
    if not isinstance(value, list):
        raise place.refuse(value, "[]uint8")
    return bytes(take(_OCTET, each, place) for each in value)


def _read_object(value: Any, place: Place) -> dict[str, Any]:
    if not isinstance(value, Mapping):
        raise place.refuse(value, "struct {}")
    return {}


def list_of(kind: Kind, name: str | None = None) -> Type:
    """Make a type of arrays; elements that are `null` have the zero value."""
    full_name = name or f"[]{kind.name}"

    def read(value: Any, place: Place) -> list[Any]:
        if not isinstance(value, list):
            raise place.refuse(value, full_name)
        return [take(kind, each, place) for each in value]

    return Type(full_name, read, lambda: None)


def pair_of(kind: Kind) -> Type:
    """Make a type of arrays of two: what is beyond is dropped, what is missing has the zero value."""

    def read(value: Any, place: Place) -> list[Any]:
        if not isinstance(value, list):
            raise place.refuse(value, f"[2]{kind.name}")
        return [take(kind, each, place) for each in [*value, None, None][:2]]

    return Type(f"[2]{kind.name}", read, lambda: [kind.zero(), kind.zero()])


def map_of(kind: Kind, name: str | None = None) -> Type:
    """Make a type of objects with keys of the user's own; values that are `null` have the zero value."""
    full_name = name or f"map[string]{kind.name}"

    def read(value: Any, place: Place) -> dict[str, Any]:
        if not isinstance(value, Mapping):
            raise place.refuse(value, full_name)
        # Read in the order of the body, for the first wrong value; kept in the order in which Go prints a map.
        contents = {key: take(kind, each, place) for key, each in value.items()}
        return dict(sorted(contents.items()))

    return Type(full_name, read, lambda: None)


def _read_words(value: Any, place: Place) -> list[str]:
    if isinstance(value, list) and all(each is None or isinstance(each, str) for each in value):
        return [each or "" for each in value]
    return [STRING.read(value, place)]


_FLOAT32_END = 3.4028235677973366e38
_OCTET = integer("uint8")
STRING = string()
BOOL = Type("bool", _read_truth, bool)
INT = integer("int")
INT64 = integer()
FLOAT32 = Type("float32", _read_float, float)
#: Content, which JSON has in base64.
BYTES = Type("[]uint8", _read_bytes, bytes)
STRINGS = list_of(STRING)
STRING_MAP = map_of(STRING)
#: Docker's StrSlice: an array of strings, or one string.
WORDS = Type("strslice.StrSlice", _read_words, lambda: None)
#: What is not looked into.
ANYTHING = Type("interface {}", lambda value, _place: value, lambda: None)
#: A set of keys: `map[string]struct{}`.
NOTHING = Type("struct {}", _read_object, dict)


def S(name: str, go: str = "string", *, omit: bool = False) -> Field:  # noqa: N802 - letters read better in the tables
    """Describe a field of a type of strings."""
    return Field(name, STRING if go == "string" else string(go), str, omit)


def B(name: str, *, omit: bool = False) -> Field:  # noqa: N802
    """Describe a field of type bool."""
    return Field(name, BOOL, bool, omit)


def I(name: str, go: str = "int64", *, omit: bool = False) -> Field:  # noqa: N802, E743
    """Describe a field of a whole-number type."""
    return Field(name, integer(go), int, omit)


def L(name: str, kind: Kind = STRINGS, *, omit: bool = False) -> Field:  # noqa: N802
    """Describe a field that is `null` when absent: a slice, map or pointer."""
    return Field(name, kind, lambda: None, omit)


def V(name: str, kind: Kind, *, omit: bool = False) -> Field:  # noqa: N802
    """Describe a field that has the zero value of its type when absent: a struct that is no pointer."""
    return Field(name, kind, kind.zero, omit)


def embedded(name: str, *fields: Field) -> tuple[Field, ...]:
    """Give the fields of an embedded struct."""
    return tuple(Field(one.name, one.kind, one.empty, one.omit_empty, name) for one in fields)
