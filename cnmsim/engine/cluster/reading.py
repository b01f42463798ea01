"""Reading the bodies and queries of the swarm's part of the API."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from cnmsim.engine.query import Query
from cnmsim.errors import InvalidParameter, SystemFault
from cnmsim.swarm.objects import Availability


@contextmanager
def reading(name: str) -> Iterator[None]:
    """Turn what goes wrong with a value of the wrong kind, in a body that is a `name` in Go, into `InvalidParameter`."""
    try:
        yield
    except (TypeError, ValueError, AttributeError, KeyError, IndexError) as error:
        raise InvalidParameter(
            f"invalid JSON: a field of swarm.{name} has a value of the wrong type: {error}"
        ) from None


def version_of(query: Query, kind: str) -> int:
    """Read the version of the object that an update is made from. Raises `InvalidParameter`."""
    text = str(query.get("version", ""))
    if not text.isdecimal():
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
