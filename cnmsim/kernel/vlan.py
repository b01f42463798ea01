"""802.1Q sub-interfaces: one VLAN of a trunk as a device (Linux: net/8021q)."""

from __future__ import annotations

import errno

from cnmsim.kernel.address import Mac
from cnmsim.kernel.device import Device
from cnmsim.kernel.upper_devices import VLAN_TAG, UpperDevice, upper_devices_of


class Vlan(UpperDevice):
    """A sub-interface such as `eth0.10`: it sends and receives the frames of `lower` with the tag of VLAN `vid`.

    Without `mac` it has the lower device's MAC and follows its changes. Raises `OSError`: ERANGE for a `vid` outside
    0 to 4094, EOPNOTSUPP for a loopback, EEXIST if the lower device has a sub-interface for that VLAN.
    """

    __slots__ = ("_has_own_mac", "_tag", "vid")
    kind = "vlan"
    min_mtu = 0
    filters_unicast = True

    def __init__(self, name: str, lower: Device, vid: int, mac: Mac | None = None) -> None:
        if not 0 <= vid < 4095:
            raise OSError(errno.ERANGE, "Numerical result out of range")
        if lower.kind == "loopback":
            raise OSError(errno.EOPNOTSUPP, "Operation not supported")
        uppers = upper_devices_of(lower)
        if vid in uppers.vlans:
            raise OSError(errno.EEXIST, "File exists")
        super().__init__(name, mac or lower.mac, lower)
        self.vid = vid
        self._tag = VLAN_TAG + vid.to_bytes(2)
        self._has_own_mac = mac is not None
        uppers.vlans[vid] = self

    def set_up(self) -> None:
        """Set the device up. Raises `OSError(ENETDOWN)` if the lower device is down."""
        if not self.lower.is_up:
            raise OSError(errno.ENETDOWN, "Network is down")
        if not self.is_up and not self._has_own_mac and self.mac != self.lower.mac:
            self._take_mac(self.lower.mac)
        super().set_up()

    def set_mtu(self, mtu: int) -> None:
        """Set the MTU in bytes. Raises `OSError(ERANGE)` if it is larger than the lower device's."""
        if mtu > self.lower.mtu:
            raise OSError(errno.ERANGE, "Numerical result out of range")
        super().set_mtu(mtu)

    def set_mac(self, mac: Mac) -> None:
        """Set a MAC address of its own: changes of the lower device's MAC no longer affect it."""
        super().set_mac(mac)
        self._has_own_mac = True

    def lower_mac_changed(self) -> None:
        """Copy the lower device's new MAC.

        If this device is down, copy it only when it goes up (vlan_sync_address).
        """
        if self.is_up and not self._has_own_mac:
            self._take_mac(self.lower.mac)

    @property
    def no_arp(self) -> bool:
        """The `NOARP` flag, the same as that of the lower device."""
        return self.lower.no_arp

    @property
    def unicast_filter(self) -> frozenset[Mac]:
        """The unicast addresses that the lower device must receive for this device."""
        if not self.is_up:
            return frozenset()
        own = {self.mac} - {self.lower.mac}
        return frozenset(own) | (
            self.upper_devices.unicast_filter() if self.upper_devices is not None else frozenset()
        )

    def _put_on_wire(self, frame: bytes) -> None:
        self.lower.transmit(frame[:12] + self._tag + frame[12:])

    def detach(self) -> None:
        """Remove the device from its lower device."""
        super().detach()
        upper_devices_of(self.lower).vlans.pop(self.vid, None)
