"""Parse query parameters as the engine does (moby `api/server/httputils/form.go`)."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from cnmsim.errors import InvalidParameter, SystemFault
from cnmsim.gostrconv import NumError, atoi, parse_bool

#: The parameters of a request. `filters` may be an object instead of its JSON text.
Query = Mapping[str, Any]
NO_QUERY: Query = {}
_UNTRUE = frozenset({"", "0", "no", "false", "none"})


def bool_value(query: Query, key: str, default: bool = False) -> bool:
    """Return a boolean parameter (moby `BoolValue`): "", 0, no, false and none are False, everything else is True.

    `default` is returned if the parameter is absent.
    """
    return str(query[key]).strip().lower() not in _UNTRUE if key in query else default


def strict_bool(query: Query, key: str, *, with_cause: bool = False) -> bool:
    """Parse a boolean parameter as Go's `strconv.ParseBool` does; False if it is absent or empty.

    Raises `InvalidParameter` for other words; `with_cause` adds Go's error to the text.
    """
    text = str(query.get(key, ""))
    try:
        return text != "" and parse_bool(text)
    except NumError as error:
        cause = f": {error}" if with_cause else ""
        raise InvalidParameter(f"invalid value for {key}: {text}{cause}") from None


def int_value(query: Query, key: str, *, is_checked: bool = True) -> int | None:
    """Return an integer parameter, `None` if it is absent or empty.

    Raises `InvalidParameter` for a text that is no integer; if `is_checked` is False, because the engine does not
    validate the parameter, raises `SystemFault` instead.
    """
    text = str(query.get(key, ""))
    try:
        return atoi(text) if text else None
    except NumError as error:
        raise (InvalidParameter if is_checked else SystemFault)(str(error)) from None


def check_terminal_size(query: Query, text: str) -> None:
    """Check that the parameters `h` and `w`, a terminal's size, are numbers.

    Raises `InvalidParameter` with the message `text` if not.
    """
    for key, side in (("h", "height"), ("w", "width")):
        value = str(query.get(key, ""))
        try:
            atoi(value)
        except NumError:
            raise InvalidParameter(text.format(side=side, value=value)) from None
