"""The `filters` parameter of listings, prunes and events.

Source: moby `api/types/filters/parse.go` (26.1.5), `daemon/internal/filters` (docker-v29.7.2).
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterable, Mapping
from typing import Any

from attrs import define, field

from cnmsim.engine.wire.timestamps import parse_timestamp
from cnmsim.errors import InvalidParameter

_INVALID = "invalid filter"
_TRUE, _FALSE = frozenset({"1", "true"}), frozenset({"0", "false"})


@define
class Filters:
    """The filters of a request: a list of values for each key.

    An object passes if, for each key, one of the values matches; of the key `label`, all values must match.
    """

    values: dict[str, list[str]] = field(factory=dict)

    @classmethod
    def parse(cls, raw: str | Mapping[str, Any] | None) -> Filters:
        """Parse the JSON text of the query parameter `filters`, or an object of the same form.

        Both formats are accepted: `{"label": ["a"]}` and `{"label": {"a": true}}`. Raises `InvalidParameter` for any
        other.
        """
        if raw is None or raw == "":
            return cls()
        if isinstance(raw, str):
            try:
                raw = json.loads(raw)
            except (ValueError, RecursionError):
                raise InvalidParameter(_INVALID) from None
        if not isinstance(raw, Mapping):
            raise InvalidParameter(_INVALID)
        return cls({str(key): _values(value) for key, value in raw.items()})

    def validate(self, accepted: Iterable[str]) -> None:
        """Raise `InvalidParameter` if a key is not one of `accepted`."""
        known = set(accepted)
        for key in self.values:
            if key not in known:
                raise InvalidParameter(f"invalid filter '{key}'")

    def get(self, key: str) -> list[str]:
        """Return the values of a key, an empty list if the key is absent."""
        return self.values.get(key, [])

    def __contains__(self, key: str) -> bool:
        return key in self.values

    def match(self, key: str, text: str) -> bool:
        """Return True if a value of `key` equals `text` or matches it as a regular expression.

        Return True also if `key` has no value.
        """
        return self._any(key, lambda pattern: pattern == text or _search(pattern, text))

    def exact_match(self, key: str, text: str) -> bool:
        """Return True if one of the values of `key` equals `text`, or if `key` has no value."""
        return self._any(key, lambda value: value == text)

    def fuzzy_match(self, key: str, text: str) -> bool:
        """Return True if `text` starts with one of the values of `key`, or if `key` has no value."""
        return self._any(key, text.startswith)

    def match_labels(self, labels: Mapping[str, str] | None, key: str = "label") -> bool:
        """Return True if the labels satisfy every value of the filter `key`; a value is `name` or `name=value`."""
        return all(_has_label(labels or {}, label) for label in self.get(key))

    def prunes(self, labels: Mapping[str, str] | None) -> bool:
        """Return True if an object with these labels passes the filters `label` and `label!` of a prune."""
        return self.match_labels(labels) and not ("label!" in self and self.match_labels(labels, "label!"))

    def boolean(self, key: str, default: bool) -> bool:
        """Return the boolean value of a key, `default` if the key is absent.

        Raises `InvalidParameter` for conflicting values, and for a value that is not a boolean.
        """
        values = self.get(key)
        if not values:
            return default
        is_true, is_false = not _TRUE.isdisjoint(values), not _FALSE.isdisjoint(values)
        if is_true == is_false:
            listed = " ".join(values)
            raise InvalidParameter(f"invalid filter '{key}=[{listed}]'")
        return is_true

    def until(self, now_ns: int, invalid_text: str) -> int | None:
        """Return the time of a prune's filter `until`, in nanoseconds since 1970; `None` without this filter.

        The value is a time, or a duration such as `24h`, which is subtracted from `now_ns`. Raises `InvalidParameter`
        for another value, with the message `invalid_text`, and if there are several values.
        """
        values = self.get("until")
        if len(values) > 1:
            raise InvalidParameter("more than one until filter specified")
        return parse_timestamp(values[0], now_ns, invalid_text) if values else None

    def _any(self, key: str, holds: Callable[[str], bool]) -> bool:
        values = self.get(key)
        return not values or any(holds(value) for value in values)


def _values(value: Any) -> list[str]:
    if isinstance(value, Mapping):
        return [str(item) for item in value]
    if isinstance(value, list) and all(isinstance(item, str) for item in value):
        return list(value)
    raise InvalidParameter(_INVALID)


def _search(pattern: str, text: str) -> bool:
    try:
        return re.search(pattern, text) is not None
    except re.error:
        return False


def _has_label(labels: Mapping[str, str], label: str) -> bool:
    name, has_value, value = label.partition("=")
    return name in labels and (not has_value or labels[name] == value)
