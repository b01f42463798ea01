"""The base class of docker-py's objects, and the conversion of their methods' arguments to the API's formats."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from attrs import define, field

from cnmsim.errors import InvalidParameter
from cnmsim.libnetwork.renderer import html_of

if TYPE_CHECKING:
    from cnmsim.engine.client.session import Session


@define(eq=False)
class Model:
    """Base class of containers, networks and so on: one object of an engine, identified by its id."""

    _engine: Session = field(repr=False)
    id: str

    def __eq__(self, other: object) -> bool:
        return type(other) is type(self) and getattr(other, "id", None) == self.id

    def __hash__(self) -> int:
        return hash((type(self).__name__, self.id))

    @property
    def engine(self) -> Session:
        """The engine to which the object belongs."""
        return self._engine

    def _repr_html_(self) -> str | None:
        return html_of(self)

    @property
    def short_id(self) -> str:
        """The first twelve digits of the id."""
        return self.id[:12]

    def reload(self) -> None:
        """Do nothing: attributes are always up to date."""


def query_of(**parameters: Any) -> dict[str, Any]:
    """Convert keyword arguments to query parameters: `None` and "" are omitted, booleans become 1 and 0."""
    shown: dict[str, Any] = {}
    for key, value in parameters.items():
        if value is None or value == "":
            continue
        if key == "filters":
            shown[key] = value
        else:
            shown[key] = str(_plain(value))
    return shown


def _plain(value: Any) -> Any:
    """Convert a boolean to 1 or 0, and a `datetime` to seconds since 1970; other values are returned unchanged.

    A `datetime` without a time zone is UTC, as in docker-py.
    """
    if isinstance(value, datetime):
        return value.timestamp() if value.tzinfo else value.replace(tzinfo=UTC).timestamp()
    return int(value) if isinstance(value, bool) else value


def filters_of(filters: Mapping[str, Any] | None) -> dict[str, list[str]] | None:
    """Convert docker-py's filters to the API's format: `{"label": "a"}` becomes `{"label": ["a"]}`.

    Every value becomes a list of strings. Return `None` for no filters.
    """
    if not filters:
        return None
    given: object = filters
    if not isinstance(given, Mapping):
        name, _, value = str(given).partition("=")
        raise InvalidParameter(f"filters={filters!r} is invalid: write filters={{{name!r}: {value!r}}}")
    shown: dict[str, list[str]] = {}
    for key, value in filters.items():
        values = value if isinstance(value, (list, tuple, set)) else [value]
        shown[key] = [str(item).lower() if isinstance(item, bool) else str(item) for item in values]
    return shown
