"""Query parameters, read as the engine reads them (moby `api/server/httputils/form.go`)."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from cnmsim.errors import InvalidParameter

#: The parameters of a request. `filters` may also be an object instead of its JSON text.
Query = Mapping[str, Any]
NO_QUERY: Query = {}
_UNTRUE = frozenset({"", "0", "no", "false", "none"})
_TRUE = frozenset({"1", "t", "T", "true", "True", "TRUE"})
_FALSE = frozenset({"", "0", "f", "F", "false", "False", "FALSE"})


def truth(query: Query, key: str, default: bool = False) -> bool:
    """Read a truth value: anything but "", 0, no, false and none is true."""
    return str(query[key]).strip().lower() not in _UNTRUE if key in query else default


def boolean(query: Query, key: str, *, tells_why: bool = False) -> bool:
    """Read what Go's `strconv.ParseBool` reads, "" as false. Raises `InvalidParameter`, whose text may name that function."""
    value = query.get(key, "")
    text = str(value)
    if text in _TRUE or text in _FALSE:
        return text in _TRUE
    why = f': strconv.ParseBool: parsing "{text}": invalid syntax' if tells_why else ""
    raise InvalidParameter(f"invalid value for {key}: {text}{why}")


def number(query: Query, key: str) -> int | None:
    """Read a whole number; `None` if it is not there. Raises `InvalidParameter`."""
    text = str(query.get(key, ""))
    if not text:
        return None
    try:
        return int(text)
    except ValueError:
        raise InvalidParameter(f'strconv.Atoi: parsing "{text}": invalid syntax') from None
