"""Validation of documents against a JSON Schema (draft 2020-12).

Only the first error is reported, in one sentence with its position.
"""

from __future__ import annotations

import difflib
import re
from collections.abc import Callable, Iterable, Mapping
from functools import cache
from typing import Any

from jsonschema import Draft202012Validator, ValidationError
from jsonschema.exceptions import relevance

from cnmsim.lab.yamlfile import Key, Tagged, wrong

Schema = dict[str, Any]

_TYPE_NAMES = {
    "array": "a list",
    "boolean": "true or false",
    "integer": "a whole number",
    "null": "empty",
    "number": "a number",
    "object": "a mapping",
    "string": "a string",
}


#: A function that describes a validation error: from the error and the path of keys to the value, it returns the path
#: to report and a sentence.
Sentence = Callable[[ValidationError, tuple[Key, ...]], tuple[tuple[Key, ...], str]]


def check(document: Any, schema: Schema, path: str, *, sentences: Mapping[str, Sentence] | None = None) -> None:
    """Validate a document that was read from `path`. Raises `FileError` for the first error.

    `sentences` maps a keyword of JSON Schema, such as `required`, to a function that describes violations of the
    keyword. Other keywords have a default function.
    """
    _refuse_tags(document, (), path)
    errors = sorted(
        _validator(id(schema), _Held(schema)).iter_errors(document), key=lambda each: list(map(str, each.path))
    )
    if not errors:
        return
    error = _deepest(errors[0])
    keys, message = _describe(error, {**_SENTENCES, **(sentences or {})})
    raise wrong(document, keys, message, path)


class _Held:
    """A JSON Schema wrapped for use as the argument of a cached function.

    Two wrappers are equal if they hold the same object. The cache keeps the schema alive, so that its id is not
    reused.
    """

    def __init__(self, schema: Schema) -> None:
        self.schema = schema

    def __eq__(self, other: object) -> bool:
        return isinstance(other, _Held) and other.schema is self.schema

    def __hash__(self) -> int:
        return id(self.schema)


@cache
def _validator(_identity: int, held: _Held) -> Draft202012Validator:
    return Draft202012Validator(held.schema)


def _refuse_tags(value: Any, keys: tuple[Key, ...], path: str, root: Any = None) -> None:
    root = value if root is None else root
    if isinstance(value, Tagged):
        raise wrong(root, keys, f"unknown tag {value.tag}", path)
    inner: Iterable[tuple[Key, Any]] = ()
    if isinstance(value, dict):
        inner = value.items()
    elif isinstance(value, list):
        inner = enumerate(value)
    for key, each in inner:
        _refuse_tags(each, (*keys, key), path, root)


def _deepest(error: ValidationError) -> ValidationError:
    """Return the error to report for a value that matches none of several alternatives of the schema.

    The alternatives whose type is that of the value are preferred, as the author probably meant one of them.
    """
    while error.context:
        by_branch: dict[Any, list[ValidationError]] = {}
        for each in error.context:
            by_branch.setdefault(each.schema_path[0], []).append(each)
        meant = [errors for errors in by_branch.values() if not any(_is_type_clash(each) for each in errors)]
        if not meant:
            return error
        error = min((each for errors in meant for each in errors), key=relevance)
    return error


def _is_type_clash(error: ValidationError) -> bool:
    return error.validator == "type" and not error.path


def _describe(error: ValidationError, sentences: Mapping[str, Sentence]) -> tuple[tuple[Key, ...], str]:
    """Return the path of keys to the invalid value, and a sentence that describes the error.

    `sentences` maps keywords of JSON Schema to functions, as in `check`.
    """
    keys = tuple(error.absolute_path)
    describe = sentences.get(str(error.validator))
    return describe(error, keys) if describe else (keys, error.message)


def _of(error: ValidationError) -> tuple[Schema, Any]:
    """Return the violated schema, and the value that violates it."""
    schema: Any = error.schema
    return schema, error.instance


def _wrong_type(error: ValidationError, keys: tuple[Key, ...]) -> tuple[tuple[Key, ...], str]:
    kinds: Any = error.validator_value
    return keys, f"must be {_alternatives([kinds] if isinstance(kinds, str) else kinds)}"


def _no_alternative(error: ValidationError, keys: tuple[Key, ...]) -> tuple[tuple[Key, ...], str]:
    kinds: list[str] = []
    for alternative in error.context or ():
        if _is_type_clash(alternative):
            named: Any = alternative.validator_value
            kinds += [named] if isinstance(named, str) else named
    return keys, f"must be {_alternatives(list(dict.fromkeys(kinds)))}" if kinds else error.message


def _alternatives(kinds: list[str]) -> str:
    return " or ".join(_TYPE_NAMES[kind] for kind in kinds)


#: The largest number of known keys that an error about an unknown one lists.
_MOST_LISTED = 6


def unknown_key(error: ValidationError, keys: tuple[Key, ...]) -> tuple[tuple[Key, ...], str]:
    """Return the path of an unknown key, and an error sentence that suggests the most similar known key.

    `keys` is the path of the mapping that contains the key.
    """
    schema, instance = _of(error)
    known = list(schema.get("properties", ()))
    patterns = schema.get("patternProperties", {})
    odd = next(key for key in instance if key not in known and not any(re.search(p, key) for p in patterns))
    near = difflib.get_close_matches(odd, known, 1)
    listed = f"; there are: {', '.join(known)}" if 0 < len(known) <= _MOST_LISTED else ""
    hint = f"; did you mean {near[0]}?" if near else listed
    return (*keys, odd), f"additional property {odd} is not allowed{hint}"


def _missing_key(error: ValidationError, keys: tuple[Key, ...]) -> tuple[tuple[Key, ...], str]:
    schema, instance = _of(error)
    missing = next(key for key in schema["required"] if key not in instance)
    return keys, f"{missing} is missing"


def _not_listed(error: ValidationError, keys: tuple[Key, ...]) -> tuple[tuple[Key, ...], str]:
    return keys, f"must be one of {', '.join(map(str, _of(error)[0]['enum']))}"


def _mismatch(error: ValidationError, keys: tuple[Key, ...]) -> tuple[tuple[Key, ...], str]:
    if "propertyNames" in error.absolute_schema_path:
        keys = (*keys, str(error.instance))
    return keys, f"{str(error.instance)[:80]!r} {_of(error)[0].get('description', 'is not of the right form')}"


def _repeated(_error: ValidationError, keys: tuple[Key, ...]) -> tuple[tuple[Key, ...], str]:
    return keys, "has the same item twice"


_SENTENCES: dict[str, Sentence] = {
    "type": _wrong_type,
    "anyOf": _no_alternative,
    "oneOf": _no_alternative,
    "additionalProperties": unknown_key,
    "required": _missing_key,
    "enum": _not_listed,
    "pattern": _mismatch,
    "uniqueItems": _repeated,
}
