"""Messages for schema violations, as the docker command prints them.

Source: docker/cli `schema.go`, xeipuuv/gojsonschema `locales.go`.
"""

from __future__ import annotations

from itertools import combinations
from typing import Any

from jsonschema import ValidationError

from cnmsim.lab.schema import Sentence, unknown_key
from cnmsim.lab.yamlfile import Key

Violation = tuple[tuple[Key, ...], str]
_KINDS = {"object": "mapping", "array": "list"}


def _expected_and_actual(error: ValidationError) -> tuple[Any, Any]:
    """Return what the schema requires, such as the name of a type, and the invalid value."""
    return error.validator_value, error.instance


def _wrong_type(error: ValidationError, keys: tuple[Key, ...]) -> Violation:
    expected, _ = _expected_and_actual(error)
    names = [_KINDS.get(kind, kind) for kind in ([expected] if isinstance(expected, str) else expected)]
    listed = names[0] if len(names) == 1 else f"{', '.join(names[:-1])} or {names[-1]}"
    return keys, f"must be a {listed}"


def _unknown_key(error: ValidationError, keys: tuple[Key, ...]) -> Violation:
    place, text = unknown_key(error, keys)
    return place, text[:1].upper() + text[1:]


def _missing_key(error: ValidationError, keys: tuple[Key, ...]) -> Violation:
    required, actual = _expected_and_actual(error)
    missing = next(key for key in required if key not in actual)
    return keys, f"{missing} is required"


def _not_listed(error: ValidationError, keys: tuple[Key, ...]) -> Violation:
    listed = ", ".join(f'"{value}"' for value in _expected_and_actual(error)[0])
    return keys, f"must be one of the following: {listed}"


def _repeated(error: ValidationError, keys: tuple[Key, ...]) -> Violation:
    _, items = _expected_and_actual(error)
    first, second = next((a, b) for a, b in combinations(range(len(items)), 2) if items[a] == items[b])
    return (*keys, second), f"array items[{first},{second}] must be unique"


SENTENCES: dict[str, Sentence] = {
    "type": _wrong_type,
    "additionalProperties": _unknown_key,
    "required": _missing_key,
    "enum": _not_listed,
    "uniqueItems": _repeated,
}
