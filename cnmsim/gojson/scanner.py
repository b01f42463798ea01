"""JSON syntax: parsing of the first value in a text, with the syntax errors of Go's scanner.

Source: Go `encoding/json` (go1.24), `scanner.go`, `stream.go`.
"""

from __future__ import annotations

import re
from json.decoder import JSONDecodeError, JSONDecoder, scanstring  # type: ignore[attr-defined]  # not in typeshed
from typing import Any, NoReturn, Self

from attrs import define

_LITERALS = {"t": ("true", True), "f": ("false", False), "n": ("null", None)}
#: The depth to which values may be nested (`maxNestingDepth`).
_MOST_LEVELS = 10_000
_SPACE = re.compile("[ \t\r\n]*")
_DIGITS = re.compile("[0-9]*")
_STRING = re.compile(r'"(?:[^"\\\x00-\x1f]++|\\["\\/bfnrt]|\\u[0-9a-fA-F]{4})*')
_UNICODE_ESCAPE = re.compile(r"\\u[0-9a-fA-F]*")
_SURROGATE = re.compile("[\ud800-\udfff]")
#: Escapes of Go's `strconv.Quote` that Python writes in another way.
_ESCAPES = {"'": "\\'", '"': '"', "\\": "\\\\", "\a": "\\a", "\b": "\\b", "\f": "\\f", "\v": "\\v", "\xad": "\\u00ad"}


class _Number(float):
    """A number whose text the error messages quote."""

    def __new__(cls, text: str) -> Self:
        number = super().__new__(cls, text)
        number.text = text
        return number

    text: str


class GoJsonError(ValueError):
    """An error of Go's JSON decoder, with Go's message."""


class UnexpectedEnd(GoJsonError):
    """Error: the text ends before the value does."""

    def __init__(self) -> None:
        super().__init__("unexpected EOF")


def first_value(content: bytes) -> tuple[Any, str]:
    """Parse the first JSON value in `content`. Return the value, and the text after it.

    Raises `GoJsonError` if the JSON is invalid.
    """
    scanner = _Scanner(content.decode(errors="surrogateescape"))
    if not scanner.skip_space():
        raise GoJsonError("EOF")
    value = scanner.fast_value() if scanner.is_plain() else scanner.value()
    return value, _SURROGATE.sub("\ufffd", scanner.text[scanner.position :])


def whole_value(content: bytes) -> Any:
    """Parse `content`, which is one JSON value (`json.Unmarshal`). Raises `GoJsonError` if it is not."""
    scanner = _Scanner(content.decode(errors="surrogateescape"))
    try:
        value = scanner.value()
        if scanner.skip_space():
            scanner.refuse("after top-level value")
    except UnexpectedEnd:
        raise GoJsonError("unexpected end of JSON input") from None
    return value


@define
class _Scanner:
    """The state of a scan: the text and the position in it.

    Bytes that are not UTF-8 are unpaired surrogates in `text`, and U+FFFD in the strings of values.
    """

    text: str
    position: int = 0

    def is_plain(self) -> bool:
        """Return True if Python's decoder can read the value: shallow, in UTF-8, without Unicode escapes."""
        if self.text[self.position] not in "{[":
            return False
        if self.text.count("[") + self.text.count("{") > _MOST_LEVELS or "\\u" in self.text:
            return False
        return self.text.isascii() or not _SURROGATE.search(self.text)

    def fast_value(self) -> Any:
        """Return the value at the position by Python's decoder, by `value` if that decoder fails; move behind it."""
        decoder = JSONDecoder(parse_constant=_refuse_constant, parse_int=_whole, parse_float=_Number)
        try:
            value, self.position = decoder.raw_decode(self.text, self.position)
        except (ValueError, RecursionError):
            return self.value()
        return value

    def value(self) -> Any:
        """Return the value at the position, and move behind it. Values are nested without recursion."""
        opened: list[dict[str, Any] | list[Any]] = []
        keys: list[str] = []
        while True:
            value: Any
            character = self._next()
            if character in ("{", "["):
                if len(opened) == _MOST_LEVELS:
                    self.refuse("exceeded max depth")
                value = {} if character == "{" else []
                self.position += 1
                if self._next() != ("}" if character == "{" else "]"):
                    opened.append(value)
                    if character == "{":
                        keys.append(self._key())
                    continue
                self.position += 1
            else:
                value = self._string() if character == '"' else self._literal(character)
            while opened:
                around = opened[-1]
                is_object = isinstance(around, dict)
                if isinstance(around, dict):
                    around[keys.pop()] = value
                else:
                    around.append(value)
                character = self._next()
                if character == ",":
                    self.position += 1
                    if is_object:
                        keys.append(self._key())
                    break
                if character != ("}" if is_object else "]"):
                    self.refuse("after object key:value pair" if is_object else "after array element")
                self.position += 1
                value = opened.pop()
            else:
                return value

    def skip_space(self) -> str:
        """Move behind white space. Return the character there, "" at the end."""
        if self.text[self.position : self.position + 1] <= " ":
            self.position = _end(_SPACE, self.text, self.position)
        return self.text[self.position : self.position + 1]

    def _next(self) -> str:
        """Move behind white space. Return the character there; raise if there is none."""
        character = self.skip_space()
        if not character:
            raise UnexpectedEnd
        return character

    def refuse(self, context: str) -> NoReturn:
        """Raise the error for the byte at the position: of a character that is not ASCII Go quotes the first byte."""
        if self.position >= len(self.text):
            raise UnexpectedEnd
        byte = chr(self.text[self.position].encode(errors="surrogateescape")[0])
        quoted = _ESCAPES.get(byte) or repr(byte)[1:-1]
        if byte > "\x7f":
            quoted = quoted.replace("\\x", "\\u00")
        raise GoJsonError(f"invalid character '{quoted}' {context}")

    def _key(self) -> str:
        if self._next() != '"':
            self.refuse("looking for beginning of object key string")
        key = self._string()
        if self._next() != ":":
            self.refuse("after object key")
        self.position += 1
        return key

    def _string(self) -> str:
        try:
            value, self.position = scanstring(self.text, self.position + 1)
        except JSONDecodeError:
            self._refuse_string()
        return _SURROGATE.sub("\ufffd", value)

    def _refuse_string(self) -> NoReturn:
        self.position = _end(_STRING, self.text, self.position)
        character = self.text[self.position : self.position + 1]
        if character == "\\":
            escape = _UNICODE_ESCAPE.match(self.text, self.position)
            self.position = escape.end() if escape else self.position + 1
            self.refuse("in \\u hexadecimal character escape" if escape else "in string escape code")
        self.refuse("in string literal")

    def _literal(self, character: str) -> Any:
        if character == "-" or "0" <= character <= "9":
            return self._number()
        if character not in _LITERALS:
            self.refuse("looking for beginning of value")
        literal, value = _LITERALS[character]
        for expected in literal:
            if self.text[self.position : self.position + 1] != expected:
                self.refuse(f"in literal {literal} (expecting {expected!r})")
            self.position += 1
        return value

    def _number(self) -> int | float:
        start = self.position
        if self.text[start] == "-":
            self.position += 1
        if self.text[self.position : self.position + 1] == "0":
            self.position += 1
        else:
            self._digits("in numeric literal")
        whole_end = self.position
        if self.text[self.position : self.position + 1] == ".":
            self.position += 1
            self._digits("after decimal point in numeric literal")
        if self.text[self.position : self.position + 1] in ("e", "E"):
            self.position += 1
            if self.text[self.position : self.position + 1] in ("+", "-"):
                self.position += 1
            self._digits("in exponent of numeric literal")
        number = self.text[start : self.position]
        return _whole(number) if self.position == whole_end else _Number(number)

    def _digits(self, context: str) -> None:
        end = _end(_DIGITS, self.text, self.position)
        if end == self.position:
            self.refuse(context)
        self.position = end


def _refuse_constant(name: str) -> NoReturn:
    raise ValueError(name)


def _whole(digits: str) -> int | float:
    """Convert the digits of an integer to a number.

    An integer that is too large for every Go type becomes a float, which may lose its last digits.
    """
    return int(digits) if len(digits) < 400 else _Number(digits)


def _end(pattern: re.Pattern[str], text: str, position: int) -> int:
    """Return the end of the match of `pattern`, which always matches, at a position."""
    match = pattern.match(text, position)
    assert match is not None
    return match.end()
