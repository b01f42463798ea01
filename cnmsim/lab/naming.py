"""Valid names of hosts and segments."""

from __future__ import annotations

import re

from cnmsim.errors import InvalidParameter
from cnmsim.kernel.address import Prefix

#: The files in a served lab's folder beside the folders of its hosts, see `cnmsim.api.socket_folder`.
CONTROL_SOCKET, READY = "control.sock", "ready"
#: The name of the lab's own control socket if the file above is the control socket for plugins.
INNER_CONTROL_SOCKET = "control-inner.sock"
RESERVED_NAMES = frozenset({CONTROL_SOCKET, INNER_CONTROL_SOCKET, READY})

_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]*")


def require_name(name: str) -> None:
    """Raise `InvalidParameter` if `name` is not a valid name of a host or segment."""
    if not isinstance(name, str) or not _NAME.fullmatch(name):
        raise InvalidParameter(f"invalid name {name!r}: letters, digits, '_', '.' and '-' make a name")


def require_host_name(name: str) -> None:
    """Raise `InvalidParameter` if `name` is not a valid host name.

    The names of files in the folder of a served lab, such as `ready`, are not valid either: the folder of a host is
    beside them.
    """
    require_name(name)
    if name in RESERVED_NAMES:
        raise InvalidParameter(
            f"invalid name {name!r} of a host: a served lab has a file of this name beside the folders of its hosts;"
            f" choose another, such as {name.partition('.')[0] + '1'!r}"
        )


def is_subnet(name: str) -> bool:
    """Return True if a segment's name is a subnet, such as `10.0.0.0/24`.

    Such a segment is for the hosts of this subnet.
    """
    try:
        return "/" in name and bool(Prefix.parse(name))
    except ValueError:
        return False
