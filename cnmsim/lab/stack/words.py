"""What is wrong in a stack file, in the docker command's words (docker/cli `schema.go`, xeipuuv/gojsonschema `locales.go`)."""

from __future__ import annotations

from itertools import combinations
from typing import Any

from jsonschema import ValidationError

from cnmsim.lab.schema import Sentence, unknown_key
from cnmsim.lab.yamlfile import Key

Said = tuple[tuple[Key, ...], str]
_KINDS = {"object": "mapping", "array": "list"}


def _parts(error: ValidationError) -> tuple[Any, Any]:
    """Give what the schema asks for, and the value that is not it."""
    return error.validator_value, error.instance


def _wrong_type(error: ValidationError, keys: tuple[Key, ...]) -> Said:
    wanted, _ = _parts(error)
    names = [_KINDS.get(kind, kind) for kind in ([wanted] if isinstance(wanted, str) else wanted)]
    listed = names[0] if len(names) == 1 else f"{', '.join(names[:-1])} or {names[-1]}"
    return keys, f"must be a {listed}"


def _unknown_key(error: ValidationError, keys: tuple[Key, ...]) -> Said:
    place, text = unknown_key(error, keys)
    return place, text[:1].upper() + text[1:]


def _missing_key(error: ValidationError, keys: tuple[Key, ...]) -> Said:
    wanted, given = _parts(error)
    missing = next(key for key in wanted if key not in given)
    return keys, f"{missing} is required"


def _not_listed(error: ValidationError, keys: tuple[Key, ...]) -> Said:
    listed = ", ".join(f'"{each}"' for each in _parts(error)[0])
    return keys, f"must be one of the following: {listed}"


def _repeated(error: ValidationError, keys: tuple[Key, ...]) -> Said:
    _, items = _parts(error)
    first, second = next((a, b) for a, b in combinations(range(len(items)), 2) if items[a] == items[b])
    return (*keys, second), f"array items[{first},{second}] must be unique"


SENTENCES: dict[str, Sentence] = {
    "type": _wrong_type,
    "additionalProperties": _unknown_key,
    "required": _missing_key,
    "enum": _not_listed,
    "uniqueItems": _repeated,
}
