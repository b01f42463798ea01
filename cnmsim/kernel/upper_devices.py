"""What stands on a device: 802.1Q sub-interfaces, and macvlan or ipvlan children.

A frame a device receives is offered to its VLANs first, then to its macvlan or ipvlan port, and only then to a bridge or
to the namespace. Source: net/core/dev.c (__netif_receive_skb_core, rx handlers) of Linux 6.12.
"""

from __future__ import annotations

import errno
from collections.abc import Sequence
from typing import TYPE_CHECKING, ClassVar, Protocol

from cnmsim.kernel.address import Mac
from cnmsim.kernel.device import Device

if TYPE_CHECKING:
    from cnmsim.kernel.vlan import Vlan

#: The EtherType of an 802.1Q tag.
VLAN_TAG = b"\x81\x00"


class ChildPort(Protocol):
    """The receiving side of macvlan or ipvlan on one lower device."""

    @property
    def children(self) -> Sequence[UpperDevice]:
        """The devices made on it, oldest first."""

    def input(self, frame: bytes) -> bool:
        """Take a frame the lower device received; `False` leaves it to the lower device's own stack."""

    def mac_changed(self) -> None:
        """Take note that the lower device has another MAC."""


class UpperDevices:
    """What stands on one device. `vlans` are by VLAN id; a device has at most one `port`, of one kind."""

    __slots__ = ("_was_up", "lower", "port", "vlans")

    def __init__(self, lower: Device) -> None:
        self.lower = lower
        self.vlans: dict[int, Vlan] = {}
        self.port: ChildPort | None = None
        self._was_up = lower.is_up

    @property
    def all(self) -> list[UpperDevice]:
        """Everything that stands on the device."""
        return [*self.vlans.values(), *(self.port.children if self.port is not None else ())]

    def unicast_filter(self) -> frozenset[Mac]:
        """Give the unicast addresses that the device is to listen for besides its own (dev_uc_add)."""
        return frozenset().union(*(upper.unicast_filter for upper in self.all))

    def promiscuity(self) -> int:
        """Tell how often the device is asked to take in every frame, by one of its uppers or for want of a filter."""
        wishes = sum(upper.propagates_rx_flags and upper.promiscuity > 0 for upper in self.all if upper.is_up)
        wishes += sum(upper.receives_all_frames for upper in self.all)
        return wishes + (not self.lower.filters_unicast and bool(self.unicast_filter()))

    def all_multicast(self) -> int:
        """Tell how often the device is asked to take in every group frame."""
        return sum(upper.propagates_rx_flags and upper.all_multicast > 0 for upper in self.all if upper.is_up)

    def input(self, frame: bytes) -> bool:
        """Offer a received frame to what stands on the device; `False` if nobody took it."""
        if frame[12:14] == VLAN_TAG:
            vlan = self.vlans.get(int.from_bytes(frame[14:16]) & 0xFFF)
            if vlan is not None:
                self.lower.clock.call_soon(vlan.receive, frame[:12] + frame[16:])
                return True
        return self.port is not None and self.port.input(frame)

    def link_changed(self) -> None:
        """Let VLANs go up and down with the device, and the others show its carrier."""
        is_up, was_up = self.lower.is_up, self._was_up
        self._was_up = is_up
        if is_up is not was_up:
            for vlan in self.vlans.values():
                if is_up:
                    vlan.set_up()
                else:
                    vlan.set_down()
        for upper in self.all:
            upper._link_changed()

    def mtu_changed(self) -> None:
        """Let what stands on the device follow its MTU as far as each kind does."""
        for upper in self.all:
            upper.lower_mtu_changed()

    def mac_changed(self) -> None:
        """Pass a changed MAC on to those that share it."""
        for vlan in self.vlans.values():
            vlan.lower_mac_changed()
        if self.port is not None:
            self.port.mac_changed()

    def remove_all(self) -> None:
        """Delete everything on the device, wherever it was moved to, because the device itself goes."""
        for upper in self.all:
            if upper.namespace is not None:
                upper.namespace.remove_device(upper)


def upper_devices_of(lower: Device) -> UpperDevices:
    """Give the stack of a device, made if it had none."""
    if lower.upper_devices is None:
        lower.upper_devices = UpperDevices(lower)
    return lower.upper_devices


def require_free_port(lower: Device) -> None:
    """Refuse a device that can have no macvlan or ipvlan port.

    Raises `OSError`: EINVAL for a loopback, EBUSY if a bridge or a port of another kind has it.
    """
    if lower.kind == "loopback":
        raise OSError(errno.EINVAL, "Invalid argument")
    if lower.master is not None or (lower.upper_devices is not None and lower.upper_devices.port is not None):
        raise OSError(errno.EBUSY, "Device or resource busy")


class UpperDevice(Device):
    """A device that stands on another, its `lower`, which may be in another namespace.

    With `propagates_rx_flags` the lower device is promiscuous when this one is.
    """

    __slots__ = ("lower",)
    propagates_rx_flags: ClassVar[bool] = True

    def __init__(self, name: str, mac: bytes, lower: Device) -> None:
        super().__init__(name, mac, lower.clock, lower.mtu)
        self.lower = lower

    @property
    def has_carrier(self) -> bool:
        """Whether it is up and the device it stands on has one; a dummy that is down has it still."""
        return self.is_up and (self.lower.has_carrier or self.lower.kind == "dummy")

    @property
    def unicast_filter(self) -> frozenset[Mac]:
        """What the lower device is to listen for besides its own address."""
        return frozenset()

    @property
    def receives_all_frames(self) -> bool:
        """Whether it is to have whatever the lower device can take in."""
        return False

    @property
    def peer_index(self) -> int | None:
        """The lower device's index."""
        return self.lower.index

    def lower_mtu_changed(self) -> None:
        """Take care that the MTU is not larger than the lower device's."""
        if self.mtu > self.lower.mtu:
            self.set_mtu(self.lower.mtu)

    def _put_on_wire(self, frame: bytes) -> None:
        self.lower.transmit(frame)
