"""Interface names in rules: `eth0` or the prefix `veth+`, and their comparison with devices (ifname_compare)."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

from cnmsim.kernel.netfilter.errors import ParameterProblemError
from cnmsim.kernel.skbuff import Packet

if TYPE_CHECKING:
    from cnmsim.kernel.device import Device


def parse_interface_name(text: str) -> str:
    """Return an interface name or prefix. Raises `ParameterProblemError` if it is not valid."""
    if len(text) >= 16:
        raise ParameterProblemError(f"interface name `{text}' must be shorter than 16 characters")
    if not text:
        raise ParameterProblemError("Empty interface is likely to be undesired")
    return text


def interface_test(name: str, reads: Callable[[Packet], Device | None]) -> Callable[[Packet], bool]:
    """Return a function that tests whether a packet's device has the name `name`.

    `reads` returns the device of a packet (input or output), or None; a packet without the device fails the test. A
    name that ends in `+` is a prefix; `+` alone matches every packet, also one without a device.
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
