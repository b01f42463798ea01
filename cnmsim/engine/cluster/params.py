"""Reading the bodies and queries of the swarm's part of the API."""

from __future__ import annotations

from cnmsim.engine.wire.query import Query
from cnmsim.errors import InvalidParameter, SystemFault
from cnmsim.swarm.objects import Availability


def version_of(query: Query, kind: str) -> int:
    """Read the version of the object that an update is made from. Raises `InvalidParameter`."""
    text = str(query.get("version", ""))
    if not text.isdecimal():
        if kind in {"secret", "config"}:
            raise InvalidParameter(f"invalid {kind} version")
        raise InvalidParameter(
            f"invalid {kind} version '{text}': strconv.ParseUint: parsing \"{text}\": invalid syntax"
        )
    return int(text)


def availability_of(word: str) -> Availability:
    """Read a node's availability; "" is active. Raises `SystemFault` as the daemon does."""
    try:
        return Availability((word or "active").lower())
    except ValueError:
        raise SystemFault(f'invalid Availability: "{word}"') from None
