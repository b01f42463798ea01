"""Typed reading of JSON bodies, the way Go's `encoding/json` fills a struct.

A struct is a table of fields in their order; reading gives a plain dict in that order in which every field has a
value, so that what was read prints again as the engine prints it. Keys match without regard to case, unknown ones
are ignored, and a value of the wrong type is refused in Go's words.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from attrs import field, frozen

from cnmsim.errors import InvalidParameter

_JSON_TYPES = ((bool, "bool"), (str, "string"), ((int, float), "number"), (list, "array"), (Mapping, "object"))


@frozen
class Place:
    """Where in a body a value stands: the Go struct, and the path of fields below it."""

    struct: str
    path: str = ""

    def below(self, name: str) -> Place:
        """Give the place of a field."""
        return Place(self.struct, f"{self.path}.{name}" if self.path else name)

    def refuse(self, value: Any, go_type: str) -> InvalidParameter:
        """Make the error for a value of the wrong type."""
        kind = next((name for types, name in _JSON_TYPES if isinstance(value, types)), "null")
        if kind == "number" and go_type.startswith(("int", "uint")):
            kind = f"number {value}"
        return InvalidParameter(
            f"invalid JSON: json: cannot unmarshal {kind} into Go struct field {self.struct}.{self.path}"
            f" of type {go_type}"
        )


#: Reads one value; `null` never reaches it.
Reader = Callable[[Any, Place], Any]


@frozen
class Field:
    """One field of a struct: its key, how it is read, what it is when absent, and whether it then does not print."""

    name: str
    read: Reader
    empty: Callable[[], Any] = field(default=lambda: None)
    omit_empty: bool = False


@frozen
class Struct:
    """A Go struct: its fields in order."""

    fields: tuple[Field, ...]

    def __call__(self, value: Any, place: Place) -> dict[str, Any]:
        """Read an object. Raises `InvalidParameter`."""
        if not isinstance(value, Mapping):
            raise place.refuse(value, "struct")
        given = {str(key).lower(): each for key, each in value.items()}
        read: dict[str, Any] = {}
        for one in self.fields:
            raw = given.get(one.name.lower())
            content = one.empty() if raw is None else one.read(raw, place.below(one.name))
            if not (one.omit_empty and not content):
                read[one.name] = content
        return read


def _scalar(types: type | tuple[type, ...], go_type: str) -> Reader:
    def read(value: Any, place: Place) -> Any:
        if not isinstance(value, types) or (isinstance(value, bool) and go_type != "bool"):
            raise place.refuse(value, go_type)
        return value

    return read


text = _scalar(str, "string")
truth = _scalar(bool, "bool")
whole = _scalar(int, "int64")


def anything(value: Any, _place: Place) -> Any:
    """Keep what is not looked into."""
    return value


def list_of(read: Reader, go_type: str = "[]string") -> Reader:
    """Make a reader of arrays."""

    def read_list(value: Any, place: Place) -> list[Any]:
        if not isinstance(value, list):
            raise place.refuse(value, go_type)
        return [read(each, place) for each in value]

    return read_list


def map_of(read: Reader, go_type: str = "map[string]string") -> Reader:
    """Make a reader of objects with keys of the user's own; `null` stays."""

    def read_map(value: Any, place: Place) -> dict[str, Any]:
        if not isinstance(value, Mapping):
            raise place.refuse(value, go_type)
        return {key: None if each is None else read(each, place) for key, each in sorted(value.items())}

    return read_map


strings = list_of(text)
string_map = map_of(text)


def words(value: Any, place: Place) -> list[str]:
    """Read Docker's StrSlice: an array of strings, or one string."""
    found: list[str] = [value] if isinstance(value, str) else strings(value, place)
    return found


def S(name: str, *, omit: bool = False) -> Field:  # noqa: N802 - a column of letters reads better in the tables
    """Describe a field of type string."""
    return Field(name, text, str, omit)


def B(name: str, *, omit: bool = False) -> Field:  # noqa: N802
    """Describe a field of type bool."""
    return Field(name, truth, bool, omit)


def I(name: str, *, omit: bool = False) -> Field:  # noqa: N802, E743
    """Describe a field of a whole-number type."""
    return Field(name, whole, int, omit)


def L(name: str, read: Reader = strings, *, omit: bool = False) -> Field:  # noqa: N802
    """Describe a field that is `null` when absent: a slice, map or pointer."""
    return Field(name, read, lambda: None, omit)
