"""Reading the bodies and queries of the swarm's part of the API."""

from __future__ import annotations

from cnmsim.engine.wire.query import Query
from cnmsim.errors import InvalidParameter, SystemFault
from cnmsim.gostrconv import NumError, parse_uint
from cnmsim.swarm.objects import Availability


def version_of(query: Query, kind: str) -> int:
    """Read the version of the object that an update is made from. Raises `InvalidParameter`."""
    text = str(query.get("version", ""))
    try:
        return parse_uint(text)
    except NumError as error:
        cause = "" if kind in {"secret", "config"} else f" '{text}': {error}"
        raise InvalidParameter(f"invalid {kind} version{cause}") from None


def availability_of(word: str) -> Availability:
    """Read a node's availability; "" is active. Raises `SystemFault` as the daemon does."""
    try:
        return Availability((word or "active").lower())
    except ValueError:
        raise SystemFault(f'invalid Availability: "{word}"') from None
