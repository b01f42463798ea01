"""The base of docker-py's objects, and the conversion of their arguments."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from attrs import define, field

from cnmsim.libnetwork.renderer import html_of

if TYPE_CHECKING:
    from cnmsim.engine.client.session import Session


@define(eq=False)
class Model:
    """An object of an engine, identified by its id."""

    _engine: Session = field(repr=False)
    id: str

    def __eq__(self, other: object) -> bool:
        return type(other) is type(self) and getattr(other, "id", None) == self.id

    def __hash__(self) -> int:
        return hash((type(self).__name__, self.id))

    @property
    def engine(self) -> Session:
        """The engine of the object."""
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
    """Convert arguments to query parameters: `None` and "" are omitted, booleans become 1 and 0."""
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
    """Convert a boolean to 1 or 0, and a time to seconds since 1970; without a zone it is UTC, as in docker-py."""
    if isinstance(value, datetime):
        return value.timestamp() if value.tzinfo else value.replace(tzinfo=UTC).timestamp()
    return int(value) if isinstance(value, bool) else value


def filters_of(filters: Mapping[str, Any] | None) -> dict[str, list[str]] | None:
    """Convert docker-py's filters to the API's: a single value becomes a list, and every item a string."""
    if not filters:
        return None
    shown: dict[str, list[str]] = {}
    for key, value in filters.items():
        values = value if isinstance(value, (list, tuple, set)) else [value]
        shown[key] = [str(item).lower() if isinstance(item, bool) else str(item) for item in values]
    return shown
