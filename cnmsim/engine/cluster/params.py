"""Parse the parameters `version` and `availability` of requests to swarm operations."""

from __future__ import annotations

from typing import TYPE_CHECKING

from cnmsim.engine.wire.query import Query
from cnmsim.errors import InvalidParameter, SystemFault
from cnmsim.gostrconv import NumError, parse_uint

if TYPE_CHECKING:
    from cnmsim.swarm.objects import Availability


def version_of(query: Query, kind: str) -> int:
    """Return the query parameter `version`, which states the version of the object that an update is based on.

    Raises `InvalidParameter` if the parameter is missing or not a number; `kind`, such as "service", names the object
    in the text.
    """
    text = str(query.get("version", ""))
    try:
        return parse_uint(text)
    except NumError as error:
        cause = "" if kind in {"secret", "config"} else f" '{text}': {error}"
        raise InvalidParameter(f"invalid {kind} version{cause}") from None


def availability_of(word: str) -> Availability:
    """Convert a word such as "drain" to a node's availability; "" means active.

    Raises `SystemFault` for an unknown word.
    """
    from cnmsim.swarm.objects import Availability

    try:
        return Availability((word or "active").lower())
    except ValueError:
        raise SystemFault(f'invalid Availability: "{word}"') from None
