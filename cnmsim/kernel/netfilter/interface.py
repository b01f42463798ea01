"""Interface names in rules: `eth0`, the prefix `veth+`, and what they match (xt ifname comparison)."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

from cnmsim.kernel.netfilter.errors import ParameterProblemError
from cnmsim.kernel.skbuff import Packet

if TYPE_CHECKING:
    from cnmsim.kernel.device import Device


def parse_interface_name(text: str) -> str:
    """Check an interface name or prefix. Raises `ParameterProblemError` if it can't be one."""
    if len(text) >= 16:
        raise ParameterProblemError(f"interface name `{text}' must be shorter than 16 characters")
    if not text:
        raise ParameterProblemError("Empty interface is likely to be undesired")
    return text


def interface_test(name: str, reads: Callable[[Packet], Device | None]) -> Callable[[Packet], bool]:
    """Give the test that the device `reads` finds has that name; where there is no device no name fits.

    `+` alone fits every device and also none.
    """
    if name == "+":
        return lambda packet: True
    if name.endswith("+"):
        prefix = name[:-1]

        def starts(packet: Packet) -> bool:
            device = reads(packet)
            return device is not None and device.name.startswith(prefix)

        return starts

    def equals(packet: Packet) -> bool:
        device = reads(packet)
        return device is not None and device.name == name

    return equals
