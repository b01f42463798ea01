"""Query parameters, read as the engine reads them (moby `api/server/httputils/form.go`)."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from cnmsim.errors import InvalidParameter

#: The parameters of a request. `filters` may also be an object instead of its JSON text.
Query = Mapping[str, Any]
NO_QUERY: Query = {}
_UNTRUE = frozenset({"", "0", "no", "false", "none"})


def truth(query: Query, key: str, default: bool = False) -> bool:
    """Read a truth value: anything but "", 0, no, false and none is true."""
    return str(query[key]).strip().lower() not in _UNTRUE if key in query else default


def number(query: Query, key: str) -> int | None:
    """Read a whole number; `None` if it is not there. Raises `InvalidParameter`."""
    text = str(query.get(key, ""))
    if not text:
        return None
    try:
        return int(text)
    except ValueError:
        raise InvalidParameter(f'strconv.Atoi: parsing "{text}": invalid syntax') from None
