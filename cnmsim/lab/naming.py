"""Valid names of hosts and segments."""

from __future__ import annotations

import re

from cnmsim.errors import InvalidParameter
from cnmsim.kernel.address import Prefix

_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]*")


def require_name(name: str) -> None:
    """Raise `InvalidParameter` for an invalid name."""
    if not isinstance(name, str) or not _NAME.fullmatch(name):
        raise InvalidParameter(f"invalid name {name!r}: letters, digits, '_', '.' and '-' make a name")


def is_subnet(name: str) -> bool:
    """Return True if a segment's name is a subnet, such as `10.0.0.0/24`.

    Such a segment is for the hosts of this subnet.
    """
    try:
        return "/" in name and bool(Prefix.parse(name))
    except ValueError:
        return False
