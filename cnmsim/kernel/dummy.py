"""The dummy device: always connected, and discards what it sends (Linux: drivers/net/dummy.c)."""

from __future__ import annotations

from cnmsim.kernel.device import Device
from cnmsim.kernel.events import DropReason


class Dummy(Device):
    """A dummy interface: it is always connected, and drops every frame that it transmits.

    Macvlan and ipvlan interfaces on it reach only each other.
    """

    __slots__ = ()
    kind = "dummy"
    min_mtu = max_mtu = 0

    @property
    def no_arp(self) -> bool:
        """The `NOARP` flag, always True: a dummy device has no neighbours."""
        return True

    def _put_on_wire(self, frame: bytes) -> None:
        self.drop(frame, DropReason.NO_CARRIER, f"{self.name} is a dummy device, which discards everything")
