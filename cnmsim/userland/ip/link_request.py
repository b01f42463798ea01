"""The parsed part of `ip link add`, and the default names and MAC addresses of new links."""

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
    """A parsed `ip link add` up to `type KIND`, and the unparsed `words` that follow.

    `mac` is the hardware address to use; `has_mac` is True if the command line contained it. `lower` is the device
    that follows the keyword `link`.
    """

    process: Process
    namespace: NetworkNamespace
    name: str
    mac: bytes
    lower: Device | None
    words: Words
    has_mac: bool = False

    def name_or(self, stem: str) -> str:
        """Return the requested name or, if there is none, the first free one of `STEM0`, `STEM1` and so on."""
        return self.name or new_name(self.namespace, stem)


def new_mac(process: Process) -> bytes:
    """Return a random locally administered unicast MAC address."""
    octets = bytearray(process.machine.random.randbytes(6))
    octets[0] = octets[0] & 0xFC | 2
    return bytes(octets)


def new_name(namespace: NetworkNamespace, stem: str) -> str:
    """Return the first of the names `STEM0`, `STEM1` and so on that no device in the namespace has."""
    return next(name for name in (f"{stem}{number}" for number in count()) if name not in namespace.devices)
