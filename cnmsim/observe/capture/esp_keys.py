"""The keys of encrypted overlay networks, in the format that Wireshark reads.

The file is named `esp_sa` and is in the folder of a Wireshark profile. Source of the format: Wireshark
`epan/dissectors/packet-ipsec.c` (uat `esp_sa`).
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING

from cnmsim.kernel.address import format_ip

if TYPE_CHECKING:
    from cnmsim.kernel.namespace import NetworkNamespace
    from cnmsim.kernel.xfrm.state import XfrmState


def esp_keys(namespaces: Iterable[NetworkNamespace]) -> str:
    """Return a line of Wireshark's file `esp_sa` for each IPsec state of these network namespaces.

    For tshark pass each line as `-o "uat:esp_sa:LINE"`, and add `-o esp.enable_encryption_decode:TRUE`. The lines
    hold only the present keys; Swarm replaces the keys every 12 hours.
    """
    states = (state for space in namespaces if space.xfrm is not None for state in space.xfrm.states)
    return "".join(f"{line}\n" for line in dict.fromkeys(_line(state) for state in states))


def _line(state: XfrmState) -> str:
    family = "IPv4" if len(state.dst) == 4 else "IPv6"
    method = f"AES-GCM with {state.icv_bits // 8} octet ICV [RFC4106]"
    fields = (
        family,
        format_ip(state.src),
        format_ip(state.dst),
        f"0x{state.spi:08x}",
        method,
        f"0x{state.key.hex()}",
    )
    return ",".join(f'"{value}"' for value in (*fields, "NULL", ""))
