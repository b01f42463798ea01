"""JSON syntax: parsing of the first value in a text, with the syntax errors of Go's scanner.

Source: Go `encoding/json` (go1.24), `scanner.go`.
"""

from __future__ import annotations

import json
import re
from typing import Any, NoReturn, Self

_LITERALS = {"t": "true", "f": "false", "n": "null"}


#: The depth to which values may be nested. Go accepts 10,000 levels, but no body of the API has more than ten.
_MOST_LEVELS = 200


_SURROGATE, _HALF = re.compile(r"\\u[dD][89a-fA-F]"), re.compile("[\ud800-\udfff]")


class _Number(float):
    """A number whose text the error messages quote."""

    def __new__(cls, text: str) -> Self:
        number = super().__new__(cls, text)
        number.text = text
        return number

    text: str


class GoJsonError(ValueError):
    """An error of Go's JSON decoder, with Go's message."""


def first_value(content: bytes) -> tuple[Any, str]:
    """Parse the first JSON value in `content`. Return the value, and the text after it.

    Raises `GoJsonError` if the JSON is invalid.
    """
    text = content.decode(errors="replace")
    start = len(text) - len(text.lstrip(" \t\r\n"))
    if start == len(text):
        raise GoJsonError("EOF")
    try:
        value, end = json.JSONDecoder(
            parse_constant=_refuse_constant, parse_int=_whole, parse_float=_Number
        ).raw_decode(text, start)
    except json.JSONDecodeError as error:
        raise GoJsonError(_syntax_error(text, error)) from None
    except _ConstantError as error:
        raise GoJsonError(_constant_error(str(error))) from None
    except RecursionError:
        raise GoJsonError("exceeded max depth") from None
    if text.count("[") + text.count("{") > _MOST_LEVELS and _is_deeper(value, _MOST_LEVELS):
        raise GoJsonError("exceeded max depth")
    if _SURROGATE.search(text):
        value = _without_surrogates(value)
    return value, text[end:]


def _without_surrogates(value: Any) -> Any:
    """Replace unpaired surrogates in all strings of a value by U+FFFD, as Go does."""
    if isinstance(value, str):
        return _HALF.sub("\ufffd", value)
    if isinstance(value, list):
        return [_without_surrogates(item) for item in value]
    if isinstance(value, dict):
        return {_HALF.sub("\ufffd", key): _without_surrogates(item) for key, item in value.items()}
    return value


def _is_deeper(value: Any, levels: int) -> bool:
    """Return True if a value is nested deeper than `levels`."""
    level = [value]
    for _ in range(levels):
        level = [
            item
            for container in level
            if isinstance(container, dict | list)
            for item in (container.values() if isinstance(container, dict) else container)
        ]
        if not level:
            return False
    return any(isinstance(item, dict | list) for item in level)


class _ConstantError(Exception):
    pass


def _refuse_constant(name: str) -> NoReturn:
    raise _ConstantError(name)


def _constant_error(name: str) -> str:
    if name.startswith("-"):
        return f"invalid character {_quoted(name[1])} in numeric literal"
    return f"invalid character {_quoted(name[0])} looking for beginning of value"


def _whole(digits: str) -> int | float:
    """Convert the digits of an integer to a number.

    An integer that is too large for every Go type becomes a float, which may lose its last digits.
    """
    return int(digits) if len(digits) < 400 else _Number(digits)


def _quoted(character: str) -> str:
    return {"'": "'\\''", '"': "'\"'"}.get(character, repr(character))


def _syntax_error(text: str, error: json.JSONDecodeError) -> str:
    """Return Go's message for `error`, a syntax error that Python found in `text`.

    Go's message quotes the invalid character. With few exceptions this is the character at the position in Python's
    error.
    """
    position, cause = error.pos, error.msg
    if cause.startswith("Unterminated string"):
        return "unexpected EOF"
    if cause.startswith("Invalid control character"):
        return f"invalid character {_quoted(text[position])} in string literal"
    if cause.startswith("Invalid \\"):
        where = "in \\u hexadecimal character escape" if "uXXXX" in cause else "in string escape code"
        return f"invalid character {_quoted(text[min(position + 1, len(text) - 1)])} {where}"
    while position < len(text) and text[position] in " \t\r\n":
        position += 1
    if position >= len(text):
        return "unexpected EOF"
    character = text[position]
    if cause.startswith("Expecting property name"):
        return f"invalid character {_quoted(character)} looking for beginning of object key string"
    if cause.startswith("Illegal trailing comma"):
        return f"invalid character {_quoted(_after_comma(text, position))} looking for beginning of object key string"
    if cause.startswith("Expecting ':'"):
        return f"invalid character {_quoted(character)} after object key"
    if cause.startswith("Expecting ','"):
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
        character = text[position + number]
        if character != expected:
            return f"invalid character {_quoted(character)} in literal {literal} (expecting {_quoted(expected)})"
    return f"invalid character {_quoted(text[position])} looking for beginning of value"


def _after_comma(text: str, position: int) -> str:
    rest = text[position + 1 :].lstrip()
    return rest[:1]


def _innermost(text: str) -> str:
    """Return the innermost bracket, `{` or `[`, that `text` opens but does not close; "" if there is none.

    `text` is the beginning of a well-formed JSON text.
    """
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
