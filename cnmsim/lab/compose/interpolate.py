"""Variables in Compose files: `$NAME`, `${NAME}`, `${NAME:-default}` and so on (compose-spec, 12-interpolation)."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from cnmsim.lab.yamlfile import Key, Map, Seq, Tagged, wrong

_NAME = re.compile(r"[_a-zA-Z][_a-zA-Z0-9]*")
_OPERATORS = (":-", ":?", ":+", "-", "?", "+")
_MOST_CHARACTERS = 1_000_000


class _Invalid(ValueError):
    """An invalid template, or a required variable without a value."""


class Variables:
    """The values for `${…}`, by name. `unset` collects the names of variables that were used but have no value."""

    def __init__(self, values: Mapping[str, str]) -> None:
        self.values = dict(values)
        self.unset: list[str] = []

    def substitute(self, template: str) -> str:
        """Return the text `template` with every variable replaced by its value.

        Raises `ValueError` for an invalid template or a missing required variable.
        """
        if "$" not in template:
            return template
        parts: list[str] = []
        position = 0
        while (dollar := template.find("$", position)) >= 0:
            parts.append(template[position:dollar])
            text, position = self._one(template, dollar + 1)
            parts.append(text)
            if sum(map(len, parts)) > _MOST_CHARACTERS:
                raise _Invalid("the value is too long")
        return "".join((*parts, template[position:]))

    def _one(self, template: str, at: int) -> tuple[str, int]:
        """Evaluate the variable reference in `template` whose dollar sign is just before the offset `at`.

        Return its value, and the offset at which the remaining text begins.
        """
        if template[at : at + 1] == "$":
            return "$", at + 1
        if template[at : at + 1] == "{":
            end = _closing_brace(template, at)
            return self._braced(template[at + 1 : end], template), end + 1
        match = _NAME.match(template, at)
        if match is None:  # as in `$(date)` or at the end of a regular expression: no variable is meant
            return "$", at
        return self._plain(match[0]), match.end()

    def _plain(self, name: str) -> str:
        if name not in self.values and name not in self.unset:
            self.unset.append(name)
        return self.values.get(name, "")

    def _braced(self, inside: str, template: str) -> str:
        found = _NAME.match(inside)
        if found is None:
            raise _Invalid(f"invalid interpolation format: {template!r}")
        name, rest = found[0], inside[found.end() :]
        if not rest:
            return self._plain(name)
        operator = next((each for each in _OPERATORS if rest.startswith(each)), None)
        if operator is None:
            raise _Invalid(f"invalid interpolation format: {template!r}")
        argument = rest[len(operator) :]
        value = self.values.get(name)
        counts = value is not None and (bool(value) or not operator.startswith(":"))
        if operator.endswith("+"):
            return self.substitute(argument) if counts else value or ""
        if counts:
            return value or ""
        if operator.endswith("-"):
            return self.substitute(argument)
        reason = self.substitute(argument)
        raise _Invalid(f"required variable {name} is missing a value" + (f": {reason}" if reason else ""))


def _closing_brace(template: str, at: int) -> int:
    depth = 0
    for position in range(at, len(template)):
        if template[position] == "{":
            depth += 1
        elif template[position] == "}":
            depth -= 1
            if depth == 0:
                return position
    raise _Invalid(f"invalid interpolation format: {template!r}")


def interpolate(document: Any, variables: Variables, path: str) -> Any:
    """Return the document with variables substituted in its values, but not in its keys.

    `path` is the file that errors name. Raises `FileError` for an invalid template or a missing required variable.
    """

    def walk(value: Any, keys: tuple[Key, ...]) -> Any:
        if isinstance(value, str):
            try:
                return variables.substitute(value)
            except ValueError as error:
                raise wrong(document, keys, str(error), path) from None
            except RecursionError:
                raise wrong(document, keys, "variables are nested too deeply", path) from None
        if isinstance(value, Tagged):
            return Tagged(value.tag, walk(value.value, keys))
        if isinstance(value, Map):
            mapping = Map(value.place)
            for key, each in value.items():
                mapping.put(key, walk(each, (*keys, key)), value.places[key])
            return mapping
        if isinstance(value, Seq):
            sequence = Seq(value.place)
            for number, each in enumerate(value):
                sequence.put(walk(each, (*keys, number)), value.places[number])
            return sequence
        return value

    return walk(document, ())
