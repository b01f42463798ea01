"""The dummy device: up without a cable, and what is sent into it is gone (Linux: drivers/net/dummy.c)."""

from __future__ import annotations

from cnmsim.kernel.device import Device
from cnmsim.kernel.events import DropReason


class Dummy(Device):
    """An Ethernet interface with nothing behind it; macvlan and ipvlan children on it reach each other only."""

    __slots__ = ()
    kind = "dummy"
    min_mtu = max_mtu = 0

    @property
    def no_arp(self) -> bool:
        """Always: there is nobody to ask."""
        return True

    def _put_on_wire(self, frame: bytes) -> None:
        self.drop(frame, DropReason.NO_CARRIER, f"{self.name} is a dummy: nothing is behind it")
