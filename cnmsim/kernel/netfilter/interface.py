"""Interface names in rules: `eth0` or the prefix `veth+`, and their comparison with devices (ifname_compare)."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

from cnmsim.kernel.netfilter.errors import ParameterProblemError
from cnmsim.kernel.skbuff import Packet

if TYPE_CHECKING:
    from cnmsim.kernel.device import Device


def parse_interface_name(text: str) -> str:
    """Check an interface name or prefix and return it.

    Raises `ParameterProblemError` if it is empty or has more than 15 characters.
    """
    if len(text) >= 16:
        raise ParameterProblemError(f"interface name `{text}' must be shorter than 16 characters")
    if not text:
        raise ParameterProblemError("Empty interface is likely to be undesired")
    return text


def interface_test(name: str, reads: Callable[[Packet], Device | None]) -> Callable[[Packet], bool]:
    """Return a function that tests whether a packet's device has the name `name`.

    `reads` returns the packet's input or output device, or None if it has none; such a packet fails the test. A name
    that ends in `+` is a prefix; `+` alone matches every packet, even one without a device.
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
