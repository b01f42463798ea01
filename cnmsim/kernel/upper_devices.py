"""Devices on top of a device: 802.1Q sub-interfaces, and macvlan or ipvlan children.

A received frame is offered to the VLANs first, then to the macvlan or ipvlan port, and only then to a bridge or the
namespace. Source: net/core/dev.c (__netif_receive_skb_core, rx handlers) of Linux 6.12.
"""

from __future__ import annotations

import errno
from collections.abc import Sequence
from enum import Enum
from typing import TYPE_CHECKING, ClassVar, Protocol

from cnmsim.kernel.address import Mac
from cnmsim.kernel.device import Device
from cnmsim.kernel.events import Step

if TYPE_CHECKING:
    from cnmsim.kernel.vlan import Vlan

#: The EtherType of an 802.1Q tag.
VLAN_TAG = b"\x81\x00"


class ChildPort(Protocol):
    """The receive side of macvlan or ipvlan on one lower device (an rx_handler in Linux)."""

    @property
    def children(self) -> Sequence[UpperDevice]:
        """The children in the order of their creation."""

    def input(self, frame: bytes) -> bool:
        """Process a frame that the lower device received.

        Return False if the lower device's own stack must process the frame too, otherwise True.
        """

    def mac_changed(self) -> None:
        """Handle a change of the lower device's MAC."""


class UpperDevices:
    """The devices on top of one device.

    `vlans` maps VLAN ids to sub-interfaces. `port` holds the macvlan or ipvlan children; it is `None` if there are
    none.
    """

    __slots__ = ("_was_up", "lower", "port", "vlans")

    def __init__(self, lower: Device) -> None:
        self.lower = lower
        self.vlans: dict[int, Vlan] = {}
        self.port: ChildPort | None = None
        self._was_up = lower.is_up

    @property
    def all(self) -> list[UpperDevice]:
        """All VLANs and children on top of the device."""
        return [*self.vlans.values(), *(self.port.children if self.port is not None else ())]

    def unicast_filter(self) -> frozenset[Mac]:
        """Return the unicast addresses that the device must receive besides its own (dev_uc_add)."""
        return frozenset().union(*(upper.unicast_filter for upper in self.all))

    def promiscuity(self) -> int:
        """Return the number of requests for promiscuous mode of the lower device that its upper devices make.

        An upper device makes one while it is promiscuous itself, and one if it must receive all frames. One more is
        made if upper devices use additional unicast addresses and the lower device cannot filter these.
        """
        wishes = sum(upper.propagates_rx_flags and upper.promiscuity > 0 for upper in self.all if upper.is_up)
        wishes += sum(upper.receives_all_frames for upper in self.all)
        return wishes + (not self.lower.filters_unicast and bool(self.unicast_filter()))

    def all_multicast(self) -> int:
        """Return how many upper devices request that the lower device receive all multicast frames."""
        return sum(upper.propagates_rx_flags and upper.all_multicast > 0 for upper in self.all if upper.is_up)

    def input(self, frame: bytes) -> bool:
        """Offer a received frame to the upper devices. Return True if one of them consumed it."""
        if frame[12:14] == VLAN_TAG:
            vlan = self.vlans.get(int.from_bytes(frame[14:16]) & 0xFFF)
            if vlan is not None:
                self.lower.clock.call_soon(vlan.receive, frame[:12] + frame[16:])
                return True
        return self.port is not None and self.port.input(frame)

    def link_changed(self) -> None:
        """Set VLANs up or down together with the lower device, and update the carrier of all upper devices."""
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
        """Adjust the MTU of every upper device after the lower device's MTU changed."""
        for upper in self.all:
            upper.lower_mtu_changed()

    def mac_changed(self) -> None:
        """Propagate a new MAC of the lower device to the upper devices that share it."""
        for vlan in self.vlans.values():
            vlan.lower_mac_changed()
        if self.port is not None:
            self.port.mac_changed()

    def remove_all(self) -> None:
        """Delete all upper devices, even in other namespaces, because the lower device is deleted."""
        for upper in self.all:
            if upper.namespace is not None:
                upper.namespace.remove_device(upper)


def upper_devices_of(lower: Device) -> UpperDevices:
    """Return the `UpperDevices` of the device `lower`, creating the object on first use."""
    if lower.upper_devices is None:
        lower.upper_devices = UpperDevices(lower)
    return lower.upper_devices


def deliver_to_child(frame: bytes, child: UpperDevice, mode: Enum) -> None:
    """Deliver a frame that came from the lower device or from a sibling to `child`.

    `mode` is the macvlan or ipvlan mode, for the report to an observer.
    """
    lower = child.lower
    if lower.clock.context is not None:
        place = child.namespace.name if child.namespace is not None else ""
        lower._report(Step.BRIDGED, frame, f"{child.kind} ({mode.value}) → {place} {child.name}")
    lower.clock.call_soon(child.receive, frame)


def require_free_port(lower: Device) -> None:
    """Raise an error if a macvlan or ipvlan cannot be created on the device `lower`.

    Raises `OSError`: EINVAL for a loopback, EBUSY if the device is a bridge port or has children of the other kind.
    """
    if lower.kind == "loopback":
        raise OSError(errno.EINVAL, "Invalid argument")
    if lower.master is not None or (lower.upper_devices is not None and lower.upper_devices.port is not None):
        raise OSError(errno.EBUSY, "Device or resource busy")


class UpperDevice(Device):
    """A device on top of another one, its `lower`, which may be in another namespace.

    If `propagates_rx_flags` is true, the lower device is promiscuous while this device is.
    """

    __slots__ = ("lower",)
    propagates_rx_flags: ClassVar[bool] = True

    def __init__(self, name: str, mac: bytes, lower: Device) -> None:
        super().__init__(name, mac, lower.clock, lower.mtu)
        self.lower = lower

    @property
    def has_carrier(self) -> bool:
        """Whether the device is up and its lower device has a carrier.

        A dummy lower device has one even while it is down.
        """
        return self.is_up and (self.lower.has_carrier or self.lower.kind == "dummy")

    @property
    def unicast_filter(self) -> frozenset[Mac]:
        """The unicast addresses that the lower device must receive for this device."""
        return frozenset()

    @property
    def receives_all_frames(self) -> bool:
        """Whether the lower device must receive all frames for this device."""
        return False

    @property
    def peer_index(self) -> int | None:
        """The interface index of the lower device in the lower device's namespace."""
        return self.lower.index

    def lower_mtu_changed(self) -> None:
        """Reduce the MTU to that of the lower device if it is larger."""
        if self.mtu > self.lower.mtu:
            self.set_mtu(self.lower.mtu)

    def _put_on_wire(self, frame: bytes) -> None:
        self.lower.transmit(frame)
