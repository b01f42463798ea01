"""JSON read as Go's `encoding/json` reads it into a struct, with its words for what is wrong.

Fields are matched without regard to case, `null` leaves a field as it was, what a struct does not know is passed over, and what
follows the first value is not read. Source: Go `encoding/json` (go1.24), `scanner.go` and `decode.go`.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any, NoReturn, TypeAlias

from attrs import field, frozen

#: What a field holds: "string", "bool", "int", "map", "strings" (a map of strings), "list" (of strings), a struct, or a
#: list of one.
Kind: TypeAlias = "str | Shape | tuple[Shape]"

_GO_TYPES = {"string": "string", "bool": "bool", "int": "int", "map": "map[string]interface {}"}
_LITERALS = {"t": "true", "f": "false", "n": "null"}


class GoJsonError(ValueError):
    """What Go's decoder says."""


@frozen
class Shape:
    """A Go struct: its name, its fields, and the package it is of. `embedded` are the fields of an embedded `Response`."""

    name: str
    fields: Mapping[str, Kind] = field(hash=False)
    package: str = "api"
    embedded: Mapping[str, Kind] = field(factory=dict, hash=False)


def decode(content: bytes, shape: Shape) -> dict[str, Any]:
    """Read the first value of `content` as the struct `shape`; fields that are missing are missing.

    Raises `GoJsonError`, for a syntax error before any other.
    """
    value, _ = first_value(content)
    if value is None:
        return {}
    if not isinstance(value, dict):
        raise GoJsonError(f"json: cannot unmarshal {_kind(value)} into Go value of type {shape.package}.{shape.name}")
    return _struct(value, shape, "")


def first_value(content: bytes) -> tuple[Any, str]:
    """Read the first JSON value of `content`; gives it and the text after it. Raises `GoJsonError`."""
    text = content.decode(errors="replace")
    start = len(text) - len(text.lstrip(" \t\r\n"))
    if start == len(text):
        raise GoJsonError("EOF")
    try:
        value, end = json.JSONDecoder(parse_constant=_refuse_constant, parse_int=_whole).raw_decode(text, start)
    except json.JSONDecodeError as error:
        raise GoJsonError(_syntax_error(text, error)) from None
    except _ConstantError as error:
        raise GoJsonError(_constant_error(str(error))) from None
    except RecursionError:
        raise GoJsonError("exceeded max depth") from None
    return value, text[end:]


class _ConstantError(Exception):
    pass


def _refuse_constant(name: str) -> NoReturn:
    raise _ConstantError(name)


def _constant_error(name: str) -> str:
    if name.startswith("-"):
        return f"invalid character {_quoted(name[1])} in numeric literal"
    return f"invalid character {_quoted(name[0])} looking for beginning of value"


def _whole(digits: str) -> int | float:
    """Read a whole number; one that no type of Go holds may lose its last digits."""
    return int(digits) if len(digits) < 400 else float(digits)


def _struct(value: dict[str, Any], shape: Shape, path: str) -> dict[str, Any]:
    found: dict[str, Any] = {}
    known = {name.lower(): (name, kind, "") for name, kind in shape.fields.items()}
    known |= {name.lower(): (name, kind, "Response.") for name, kind in shape.embedded.items()}
    for key, content in value.items():
        entry = known.get(key.lower())
        if entry is None or content is None:
            continue
        name, kind, prefix = entry
        found[name] = _field(content, kind, shape, f"{path}{prefix}{name}")
    return found


def _field(value: Any, kind: Kind, shape: Shape, path: str) -> Any:
    if isinstance(kind, Shape):
        if not isinstance(value, dict):
            _mismatch(value, f"{kind.package}.{kind.name}", shape, path)
        return _struct(value, kind, f"{path}.")
    if isinstance(kind, tuple):
        inner = kind[0]
        if not isinstance(value, list):
            _mismatch(value, f"[]{inner.package}.{inner.name}", shape, path)
        # A null in a list is a struct without fields.
        return [_field({} if each is None else each, inner, shape, path) for each in value]
    if kind == "list":
        if not isinstance(value, list):
            _mismatch(value, "[]string", shape, path)
        return [_field("" if each is None else each, "string", shape, path) for each in value]
    if kind == "strings":
        if not isinstance(value, dict):
            _mismatch(value, "map[string]string", shape, path)
        return {key: _field("" if each is None else each, "string", shape, path) for key, each in value.items()}
    fits = {
        "string": isinstance(value, str),
        "bool": isinstance(value, bool),
        "int": isinstance(value, int) and not isinstance(value, bool),
        "map": isinstance(value, dict),
    }[kind]
    if not fits:
        _mismatch(value, _GO_TYPES[kind], shape, path)
    return value


def _mismatch(value: Any, go_type: str, shape: Shape, path: str) -> NoReturn:
    what = f"number {value}" if isinstance(value, float) and go_type == "int" else _kind(value)
    raise GoJsonError(f"json: cannot unmarshal {what} into Go struct field {shape.name}.{path} of type {go_type}")


def _kind(value: Any) -> str:
    if isinstance(value, bool):
        return "bool"
    if isinstance(value, str):
        return "string"
    if isinstance(value, list):
        return "array"
    return "object" if isinstance(value, dict) else "number"


def _quoted(character: str) -> str:
    return {"'": "'\\''", '"': "'\"'"}.get(character, repr(character))


def _syntax_error(text: str, error: json.JSONDecodeError) -> str:
    """Say it in Go's words. Python stops at the same character, with few exceptions."""
    position, said = error.pos, error.msg
    if said.startswith("Unterminated string"):
        return "unexpected EOF"
    if said.startswith("Invalid control character"):
        return f"invalid character {_quoted(text[position])} in string literal"
    if said.startswith("Invalid \\"):
        where = "in \\u hexadecimal character escape" if "uXXXX" in said else "in string escape code"
        return f"invalid character {_quoted(text[min(position + 1, len(text) - 1)])} {where}"
    while position < len(text) and text[position] in " \t\r\n":
        position += 1
    if position >= len(text):
        return "unexpected EOF"
    character = text[position]
    if said.startswith("Expecting property name"):
        return f"invalid character {_quoted(character)} looking for beginning of object key string"
    if said.startswith("Illegal trailing comma"):
        return f"invalid character {_quoted(_after_comma(text, position))} looking for beginning of object key string"
    if said.startswith("Expecting ':'"):
        return f"invalid character {_quoted(character)} after object key"
    if said.startswith("Expecting ','"):
        after = "object key:value pair" if _innermost(text[:position]) == "{" else "array element"
        return f"invalid character {_quoted(character)} after {after}"
    literal = _LITERALS.get(character)
    if literal is not None:
        return _literal_error(text, position, literal)
    if character == "-":
        rest = text[position + 1 : position + 2]
        return f"invalid character {_quoted(rest)} in numeric literal" if rest else "unexpected EOF"
    return f"invalid character {_quoted(character)} looking for beginning of value"


def _literal_error(text: str, position: int, literal: str) -> str:
    for number, expected in enumerate(literal):
        if position + number >= len(text):
            return "unexpected EOF"
        found = text[position + number]
        if found != expected:
            return f"invalid character {_quoted(found)} in literal {literal} (expecting {_quoted(expected)})"
    return f"invalid character {_quoted(text[position])} looking for beginning of value"


def _after_comma(text: str, position: int) -> str:
    rest = text[position + 1 :].lstrip()
    return rest[:1]


def _innermost(text: str) -> str:
    """Give the bracket that is open at the end of a piece of well-formed JSON."""
    stack: list[str] = []
    in_string = escaped = False
    for character in text:
        if in_string:
            if escaped or character == "\\":
                escaped = not escaped
            elif character == '"':
                in_string = False
        elif character == '"':
            in_string = True
        elif character in "{[":
            stack.append(character)
        elif character in "}]" and stack:
            stack.pop()
    return stack[-1] if stack else ""
