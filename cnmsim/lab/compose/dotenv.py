"""Files of variables: `.env`, `--env-file` and a service's `env_file` (compose-go `dotenv`)."""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path

from cnmsim.errors import FileError
from cnmsim.lab.compose.interpolate import Variables
from cnmsim.lab.yamlfile import read_text

_ASSIGNMENT = re.compile(r"\s*(?:export\s+)?([A-Za-z_][A-Za-z0-9_.\-]*)\s*(?:[=:]\s*(.*))?")
_ESCAPES = {"n": "\n", "r": "\r", "t": "\t", "\\": "\\", '"': '"', "$": "$$"}


def read_env_file(path: Path, outer: Mapping[str, str]) -> dict[str, str]:
    """Parse the `NAME=value` lines of a file and return the variables.

    Values may refer to variables of `outer` and of earlier lines, except in single quotes. A line with only a name
    takes the value from `outer`. Raises `FileError` with the number of the invalid line.
    """
    lines = read_text(path).splitlines()
    values: dict[str, str] = {}
    number = 0
    while number < len(lines):
        first = number
        line = lines[number].strip()
        number += 1
        if not line or line.startswith("#"):
            continue
        match = _ASSIGNMENT.fullmatch(line)
        if match is None:
            raise FileError(
                f"unexpected text {line[:40]!r} where NAME=value should be", path=str(path), line=first + 1
            )
        name, raw = match[1], match[2]
        if raw is None:
            if name in outer:
                values[name] = outer[name]
            continue
        quote = raw[:1]
        if quote in {"'", '"'}:
            while _end_of_quote(raw, quote) < 0 and number < len(lines):
                raw += "\n" + lines[number]
                number += 1
        try:
            values[name] = _value(raw, {**outer, **values})
        except ValueError as error:
            raise FileError(str(error), path=str(path), line=first + 1, key=name) from None
    return values


def _end_of_quote(raw: str, quote: str) -> int:
    position = 1
    while position < len(raw):
        if raw[position] == "\\" and quote == '"':
            position += 1
        elif raw[position] == quote:
            return position
        position += 1
    return -1


def _value(raw: str, variables: Mapping[str, str]) -> str:
    quote = raw[:1]
    if quote not in {"'", '"'}:
        return Variables(variables).substitute(re.split(r"\s+#", raw, maxsplit=1)[0].strip())
    end = _end_of_quote(raw, quote)
    if end < 0:
        raise ValueError(f"unterminated quoted value {raw[:40]}")
    inside = raw[1:end]
    if quote == "'":
        return inside
    unescaped = re.sub(r"\\(.)", lambda each: _ESCAPES.get(each[1], each[0]), inside)
    return Variables(variables).substitute(unescaped)
