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
        values = {COUNT_OPTION: 3, PAUSE_OPTION: 1000}
        for option, unit, (low, high) in (
            (COUNT_OPTION, "an integer", _COUNTS), (PAUSE_OPTION, "integer milliseconds", _PAUSES_MS)
        ):  # fmt: skip
            if (text := options.get(option)) is None:
                continue
            if not _INTEGER.fullmatch(text):
                faults.append(f'value for option {option} "{text}" must be {unit}')
            elif not low <= int(text) <= high:
                faults.append(f"{option} must be in the range {low} to {high}")
            else:
                values[option] = int(text)
        if faults:
            raise SystemFault("\n".join(faults))
        return cls(values[COUNT_OPTION], values[PAUSE_OPTION] / 1000)
