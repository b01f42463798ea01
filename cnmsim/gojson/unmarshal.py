"""JSON values unmarshalled into Go structs, with the type errors of Go's decoder.

A `Struct` is a table of the struct's fields in their order. `Struct.read` returns a dict of all fields in that order,
so that a decoded body prints as the engine prints it; empty fields with `omitempty` are left out. Keys are compared
case-insensitively, unknown keys are ignored, and a field that is `null` has its zero value.

An error names the innermost struct and the path of fields from the top, including embedded structs. Source: Go
`encoding/json` (go1.24), `decode.go`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import Any, TypeAlias, TypeVar

from attrs import evolve, field, frozen

from cnmsim.gojson.base64 import CorruptBase64, decode_base64
from cnmsim.gojson.scanner import GoJsonError, first_value

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


class GoTextError(GoJsonError):
    """Error: a type that parses its own text or its own JSON, such as a time, has refused it.

    This error ends decoding at once. Of the errors of other types, the first is raised when everything was decoded.
    """


@frozen
class Place:
    """The position of a value in a document, for error messages.

    `struct` is the name of the innermost Go struct around the value, `path` the names of the fields from the top,
    joined by dots. Both are "" for the document itself. `is_typed` selects the second type of a field that has two
    (see `either`).
    """

    struct: str = ""
    path: str = ""
    is_typed: bool = False

    def below(self, struct: str, name: str) -> Place:
        """Return the position of a field of the struct at this position.

        `struct` is the Go name of that struct, such as `container.HostConfig`; `name` is the field.
        """
        path = f"{self.path}.{name}" if self.path else name
        return evolve(self, struct=struct.rpartition(".")[2], path=path)

    def refuse(self, value: Any, go_type: str, *, is_number: bool = False) -> GoJsonError:
        """Return the error for a value at this position that does not have the Go type `go_type`.

        If `is_number` is True (a numeric Go type) and `value` is a number, the message contains the value.
        """
        kind = next((name for types, name in _JSON_TYPES if isinstance(value, types)), "null")
        if kind == "number" and is_number:
            kind = f"number {getattr(value, 'text', value)}"
        where = f"struct field {self.struct}.{self.path}" if self.path else "value"
        return GoJsonError(f"json: cannot unmarshal {kind} into Go {where} of type {go_type}")


@frozen
class Type:
    """A Go type: its name, a function that converts JSON values, and a function that returns its zero value.

    `read` is called with a JSON value other than `null`, and with the value's position.
    """

    name: str
    read: Callable[[Any, Place], Any]
    zero: Callable[[], Any]


def convert(kind: Kind, value: Any, place: Place) -> Any:
    """Convert a JSON value to the Go type `kind`; `null` becomes its zero value.

    Raises `GoJsonError` if the value has another type. `place` is the value's position for the message.
    """
    return kind.zero() if value is None else kind.read(value, place)


def _convert_all(values: Iterable[tuple[_K, Kind, Any, Place]], key_kind: Kind | None = None) -> dict[_K, Any]:
    """Convert `values`, tuples of key, type, JSON value and position, in the order of the document.

    With `key_kind` each key is converted after its value. Raises the first `GoJsonError` when all were converted, but
    a `GoTextError` at once.
    """
    contents: dict[_K, Any] = {}
    first: GoJsonError | None = None
    for key, kind, value, place in values:
        try:
            contents[key] = convert(kind, value, place)
            if key_kind is not None:
                key_kind.read(key, place)
        except GoTextError:
            raise
        except GoJsonError as error:
            first = first or error
            if key_kind is not None:
                key_kind.read(key, place)
    if first is not None:
        raise first
    return contents


@frozen
class Field:
    """One field of a struct: its key in JSON, and its type.

    `empty` returns the field's value if the document does not contain it. If `omit_empty` is True, an empty value is
    left out of the result. `embedded` is the name of the embedded struct that declares the field, "" if there is
    none.
    """

    name: str
    kind: Kind
    empty: Callable[[], Any] = field(default=lambda: None)
    omit_empty: bool = False
    embedded: str = ""

    @property
    def path(self) -> str:
        """The field's name in Go's error messages, such as `Resources.Memory` for a field of an embedded struct."""
        return f"{self.embedded}.{self.name}" if self.embedded else self.name

    def is_omitted(self, content: Any) -> bool:
        """Return True if the field has `omitempty` and `content` is empty, so that the result omits the field.

        A pointer that is not nil is never empty, whatever its target is.
        """
        is_pointer = isinstance(self.kind, Struct) or (self.empty() is None and not isinstance(content, (list, dict)))
        return self.omit_empty and (content is None or not (content or is_pointer))


@frozen
class Struct:
    """A Go struct: its name including the package, and its fields in order."""

    name: str
    fields: tuple[Field, ...]
    _by_key: dict[str, Field] = field(init=False, eq=False, repr=False)

    def __attrs_post_init__(self) -> None:
        object.__setattr__(self, "_by_key", {one.name.lower(): one for one in self.fields})

    def read(self, value: Any, place: Place) -> dict[str, Any]:
        """Convert a JSON object to a dict of the struct's fields.

        `place` is the object's position for error messages. Raises `GoTextError` at the first text that a type
        refuses. Otherwise, raises `GoJsonError` for the first value of a wrong type, after all fields were read.
        """
        if not isinstance(value, Mapping):
            raise place.refuse(value, self.name)
        given = ((self._by_key.get(str(key).lower()), content) for key, content in value.items())
        return self._filled(
            _convert_all(
                (one.name, one.kind, content, place.below(self.name, one.path))
                for one, content in given
                if one is not None and content is not None
            )
        )

    def zero(self) -> dict[str, Any]:
        """Return the struct's zero value: a dict of its fields with their values for an empty document."""
        return self._filled({})

    def _filled(self, given: dict[str, Any]) -> dict[str, Any]:
        contents = ((one, given[one.name] if one.name in given else one.empty()) for one in self.fields)
        return {one.name: content for one, content in contents if not one.is_omitted(content)}


Kind: TypeAlias = Type | Struct
_K = TypeVar("_K")


def unmarshal(content: bytes, struct: Struct) -> dict[str, Any]:
    """Parse the first JSON value in `content` and convert it to a dict of the fields of `struct`.

    Raises `GoJsonError` for a syntax error, else for a value of a wrong type.
    """
    value, _ = first_value(content)
    result: dict[str, Any] = convert(struct, value, Place())
    return result


def string(name: str = "string") -> Type:
    """Return a Go string type that error messages call `name`."""

    def read(value: Any, place: Place) -> str:
        if not isinstance(value, str):
            raise place.refuse(value, name)
        return value

    return Type(name, read, str)


def parsed_text(name: str, fault_of: Callable[[str], str]) -> Type:
    """Return a Go type whose JSON form is a string that the type itself parses (`encoding.TextUnmarshaler`).

    `name` is its name in error messages. `fault_of` returns the error for a string, "" if the string is valid. The
    empty string is the type's zero value.
    """

    def read(value: Any, place: Place) -> str:
        text: str = string(name).read(value, place)
        if text and (fault := fault_of(text)):
            raise GoTextError(fault)
        return text

    return Type(name, read, str)


def integer(name: str = "int64") -> Type:
    """Return the Go integer type `name`, such as `uint16`. A value outside the range of the type is an error."""
    bits, is_unsigned = _BITS[name], name.startswith(("uint", "fs"))
    least, beyond = (0, 1 << bits) if is_unsigned else (-1 << (bits - 1), 1 << (bits - 1))

    def read(value: Any, place: Place) -> int:
        if isinstance(value, bool) or not isinstance(value, int) or not least <= value < beyond:
            raise place.refuse(value, name, is_number=True)
        return value

    return Type(name, read, int)


def _read_bool(value: Any, place: Place) -> bool:
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
            raise GoJsonError(str(error)) from None
    if not isinstance(value, list):
        raise place.refuse(value, "[]uint8")
    return bytes(_elements(_OCTET, value, place))


def _read_object(value: Any, place: Place) -> dict[str, Any]:
    if not isinstance(value, Mapping):
        raise place.refuse(value, "struct {}")
    return {}


def _elements(kind: Kind, values: Iterable[Any], place: Place) -> list[Any]:
    return list(_convert_all((number, kind, value, place) for number, value in enumerate(values)).values())


def list_of(kind: Kind, name: str | None = None) -> Type:
    """Return the Go type of slices of `kind`, by default named `[]KIND`. `null` elements become zero values."""
    full_name = name or f"[]{kind.name}"

    def read(value: Any, place: Place) -> list[Any]:
        if not isinstance(value, list):
            raise place.refuse(value, full_name)
        return _elements(kind, value, place)

    return Type(full_name, read, lambda: None)


def pair_of(kind: Kind) -> Type:
    """Return the Go type of arrays of two elements of type `kind`.

    Further elements are dropped, missing ones become zero values.
    """

    def read(value: Any, place: Place) -> list[Any]:
        if not isinstance(value, list):
            raise place.refuse(value, f"[2]{kind.name}")
        return _elements(kind, [*value, None, None][:2], place)

    return Type(f"[2]{kind.name}", read, lambda: [kind.zero(), kind.zero()])


def map_of(kind: Kind, name: str | None = None, *, key: Kind | None = None) -> Type:
    """Return the Go type of maps from `key`, by default a string, to `kind`; its default name is `map[KEY]KIND`.

    `null` values become the zero value of `kind`. The keys of the result are texts, whatever the type `key`.
    """
    full_name = name or f"map[{key.name if key else 'string'}]{kind.name}"

    def read(value: Any, place: Place) -> dict[str, Any]:
        if not isinstance(value, Mapping):
            raise place.refuse(value, full_name)
        contents = _convert_all(((name, kind, element, place) for name, element in value.items()), key)
        return dict(sorted(contents.items()))  # as Go prints maps

    return Type(full_name, read, lambda: None)


def _read_words(value: Any, place: Place) -> list[str]:
    if isinstance(value, list) and all(element is None or isinstance(element, str) for element in value):
        return [element or "" for element in value]
    try:
        return [STRING.read(value, place)]
    except GoJsonError as error:
        raise GoTextError(str(error)) from None


def either(old: Kind, typed: Kind) -> Type:
    """Return a type that is `old`, or `typed` at positions whose `is_typed` is set. Both have the same zero value."""

    def read(value: Any, place: Place) -> Any:
        return (typed if place.is_typed else old).read(value, place)

    return Type(old.name, read, old.zero)


def ignored_if_typed(kind: Kind) -> Type:
    """Return a type that is `kind`, or ignores the value at positions whose `is_typed` is set."""
    return either(kind, Type(kind.name, lambda _value, _place: kind.zero(), kind.zero))


_FLOAT32_END = 3.4028235677973366e38
_OCTET = integer("uint8")
STRING = string()
BOOL = Type("bool", _read_bool, bool)
INT = integer("int")
INT64 = integer()
FLOAT32 = Type("float32", _read_float, float)
#: Bytes, base64 in JSON.
BYTES = Type("[]uint8", _read_bytes, bytes)
STRINGS = list_of(STRING)
STRING_MAP = map_of(STRING)
#: Docker's StrSlice: an array of strings, or one string.
WORDS = Type("strslice.StrSlice", _read_words, lambda: None)
#: Any value, kept as it is.
ANYTHING = Type("interface {}", lambda value, _place: value, lambda: None)
#: The values of a Go map that serves as a set: `map[string]struct{}`.
NOTHING = Type("struct {}", _read_object, dict)


def Str(name: str, go: str = "string", *, omit: bool = False) -> Field:  # noqa: N802 - read as types in the tables
    """Return a string field with the key `name`. `go` is the name of its Go type; `omit` is `omitempty`."""
    return Field(name, STRING if go == "string" else string(go), str, omit)


def Bool(name: str, *, omit: bool = False) -> Field:  # noqa: N802
    """Return a boolean field with the key `name`. `omit` is `omitempty`."""
    return Field(name, BOOL, bool, omit)


def Int(name: str, go: str = "int64", *, omit: bool = False) -> Field:  # noqa: N802
    """Return an integer field with the key `name`. `go` is the name of its Go type; `omit` is `omitempty`."""
    return Field(name, integer(go), int, omit)


def Nullable(name: str, kind: Kind = STRINGS, *, omit: bool = False) -> Field:  # noqa: N802
    """Return a field of type `kind` that is `null` when absent, as a slice, map or pointer is in Go.

    `name` is its key; `omit` is `omitempty`.
    """
    return Field(name, kind, lambda: None, omit)


def Value(name: str, kind: Kind, *, omit: bool = False) -> Field:  # noqa: N802
    """Return a field of type `kind` that has the zero value when absent, as a struct has in Go.

    `name` is its key; `omit` is `omitempty`.
    """
    return Field(name, kind, kind.zero, omit)


def embedded(name: str, *fields: Field) -> tuple[Field, ...]:
    """Return copies of `fields` as the fields of an embedded Go struct, whose name is `name`.

    In error messages their path then begins with `name`, e.g. `Resources.Memory`.
    """
    return tuple(evolve(one, embedded=f"{name}.{one.embedded}" if one.embedded else name) for one in fields)
