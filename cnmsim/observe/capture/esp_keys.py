"""The keys of encrypted overlay networks in Wireshark's format.

Source of the format: Wireshark `epan/dissectors/packet-ipsec.c` (uat `esp_sa`). The file is `esp_sa` in the profile's
folder.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING

from cnmsim.kernel.address import format_ip

if TYPE_CHECKING:
    from cnmsim.kernel.namespace import NetworkNamespace
    from cnmsim.kernel.xfrm.state import XfrmState


def esp_keys(namespaces: Iterable[NetworkNamespace]) -> str:
    """Return a line of Wireshark's file `esp_sa` for each IPsec state of these network stacks.

    On tshark's command line a line is passed as `-o "uat:esp_sa:LINE"`, with `-o esp.enable_encryption_decode:TRUE`.
    Keys are rotated every 12 hours; these are the present ones.
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
