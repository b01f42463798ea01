"""The request of `ip link add`, and default names and MAC addresses of new links."""

from __future__ import annotations

from itertools import count
from typing import TYPE_CHECKING

from attrs import frozen

if TYPE_CHECKING:
    from cnmsim.kernel.device import Device
    from cnmsim.kernel.namespace import NetworkNamespace
    from cnmsim.kernel.process import Process
    from cnmsim.userland.ip.arguments import Words


@frozen
class LinkRequest:
    """The part of `ip link add` before `type KIND`, and the words that follow it.

    `mac` is the hardware address to use; `has_mac` is set if the command gave it. `lower` is the device of `link
    DEV`.
    """

    process: Process
    namespace: NetworkNamespace
    name: str
    mac: bytes
    lower: Device | None
    words: Words
    has_mac: bool = False

    def name_or(self, stem: str) -> str:
        """Return the requested name, or the first free one of `stem` and a number."""
        return self.name or new_name(self.namespace, stem)


def new_mac(process: Process) -> bytes:
    """Draw a locally administered unicast MAC address."""
    octets = bytearray(process.machine.random.randbytes(6))
    octets[0] = octets[0] & 0xFC | 2
    return bytes(octets)


def new_name(namespace: NetworkNamespace, stem: str) -> str:
    """Return the first device name of `stem` and a number that is free in the namespace."""
    return next(name for name in (f"{stem}{number}" for number in count()) if name not in namespace.devices)
