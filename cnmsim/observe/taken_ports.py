"""Read from a container's log which port its program could not bind because another program has it."""

from __future__ import annotations

import re
from collections.abc import Iterable

#: What a server that is simulated exactly logs before it exits.
_REFUSED = re.compile(rb".*:(\d{1,5})\b.*\baddress already in use", re.IGNORECASE)
#: What a stand-in logs before it writes the program's own lines: the port, and how it is known.
_STAND_IN = re.compile(rb"cnmsim: .* cannot listen on (\d{1,5})/tcp \((.*)\)")
#: The number of lines that a program writes at most after it could not bind its port.
_LINES = 10


def taken_port(lines: Iterable[bytes]) -> tuple[int, bool]:
    """Return the port that the program of an exited container could not bind, and whether the port is assumed.

    It is assumed if only the image says that the program binds it. `lines` are the lines of the container's log.
    Return (0, False) if they name no such port.
    """
    last = list(lines)[-_LINES:]
    for line in reversed(last):
        if match := _STAND_IN.match(line):
            return int(match[1]), match[2].startswith(b"the image ")
    matches = filter(None, map(_REFUSED.search, reversed(last[-2:])))  # nginx adds that it gives up
    return next(((int(match[1]), False) for match in matches), (0, False))
