"""Settings for announcing a new interface's addresses, by gratuitous ARP or IPv6 neighbour advertisements.

Source: moby `daemon/libnetwork/{network,network_unix}.go`, `daemon/libnetwork/osl/interface_linux.go`
(docker-v29.7.2).
"""

from __future__ import annotations

import re
from collections.abc import Mapping

from attrs import frozen

from cnmsim.errors import SystemFault

COUNT_OPTION = "com.docker.network.advertise_addr_nmsgs"
PAUSE_OPTION = "com.docker.network.advertise_addr_ms"
_COUNTS = (0, 3)
_PAUSES_MS = (100, 2000)
#: The text of an integer that Go's strconv.Atoi accepts.
_INTEGER = re.compile(r"[+-]?[0-9]{1,18}")


@frozen
class GratuitousArpConfig:
    """How a new interface announces its addresses: `count` times, `pause_s` seconds apart.

    Source: RFC 5227 §2.3; for IPv6, RFC 4861 §7.2.6.
    """

    count: int = 3
    pause_s: float = 1.0

    @classmethod
    def parse(cls, options: Mapping[str, str]) -> GratuitousArpConfig:
        """Parse these settings from a network's driver options.

        Raises `SystemFault` with one line for each invalid option.
        """
        faults: list[str] = []
        count, pause_ms = 3, 1000
        if (text := options.get(COUNT_OPTION)) is not None:
            if not _INTEGER.fullmatch(text):
                faults.append(f'value for option {COUNT_OPTION} "{text}" must be an integer')
            elif not _COUNTS[0] <= (count := int(text)) <= _COUNTS[1]:
                faults.append(f"{COUNT_OPTION} must be in the range {_COUNTS[0]} to {_COUNTS[1]}")
        if (text := options.get(PAUSE_OPTION)) is not None:
            if not _INTEGER.fullmatch(text):
                faults.append(f'value for option {PAUSE_OPTION} "{text}" must be integer milliseconds')
            elif not _PAUSES_MS[0] <= (pause_ms := int(text)) <= _PAUSES_MS[1]:
                faults.append(f"{PAUSE_OPTION} must be in the range {_PAUSES_MS[0]} to {_PAUSES_MS[1]}")
        if faults:
            raise SystemFault("\n".join(faults))
        return cls(count, pause_ms / 1000)
