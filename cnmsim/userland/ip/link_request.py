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
    """What `ip link add` specifies before `type KIND`, and the unparsed `words` after it.

    `mac` is the hardware address to use; `has_mac` is True if the command specified it. `lower` is the device after
    the keyword `link`.
    """

    process: Process
    namespace: NetworkNamespace
    name: str
    mac: bytes
    lower: Device | None
    words: Words
    has_mac: bool = False

    def name_or(self, stem: str) -> str:
        """Return the requested name, or else the first free name of `stem` and a number, e.g. `dummy0`."""
        return self.name or new_name(self.namespace, stem)


def new_mac(process: Process) -> bytes:
    """Return a random locally administered unicast MAC address."""
    octets = bytearray(process.machine.random.randbytes(6))
    octets[0] = octets[0] & 0xFC | 2
    return bytes(octets)


def new_name(namespace: NetworkNamespace, stem: str) -> str:
    """Return the first device name that is free in the namespace, of `veth0`, `veth1`, … for the stem `veth`."""
    return next(name for name in (f"{stem}{number}" for number in count()) if name not in namespace.devices)
