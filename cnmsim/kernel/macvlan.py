"""macvlan: additional Ethernet interfaces, each with its own MAC, on one lower device.

Children and their lower device cannot reach each other: a child's frames leave on the wire, which does not return
them. Source: drivers/net/macvlan.c of Linux 6.12. The mode `source` is not modelled.
"""

from __future__ import annotations

import errno
from enum import Enum

from cnmsim.kernel.address import Mac
from cnmsim.kernel.device import Device
from cnmsim.kernel.upper_devices import UpperDevice, deliver_to_child, require_free_port, upper_devices_of


class MacvlanMode(Enum):
    """How children of one lower device reach each other."""

    PRIVATE = "private"  # never, not even through a switch that reflects their frames
    VEPA = "vepa"  # only through a switch that reflects their frames
    BRIDGE = "bridge"  # directly
    PASSTHRU = "passthru"  # there is only one child, which has the lower device's MAC


_EVERY_MODE = frozenset(MacvlanMode)
_REFLECTED_MODES = frozenset({MacvlanMode.VEPA})
_VEPA_MODES = frozenset({MacvlanMode.VEPA, MacvlanMode.BRIDGE})
_BRIDGE_MODES = frozenset({MacvlanMode.BRIDGE})


class MacvlanPort:
    """The children of one lower device, and the distribution of received frames among them (struct macvlan_port)."""

    __slots__ = ("_active", "_own_mac", "children", "lower")

    def __init__(self, lower: Device) -> None:
        self.lower = lower
        self._own_mac = lower.mac
        #: The children in the order of their creation.
        self.children: list[Macvlan] = []
        self._active: dict[Mac, Macvlan] = {}

    @property
    def is_passthru(self) -> bool:
        """Whether the only child is in passthru mode."""
        return bool(self.children) and self.children[0].mode is MacvlanMode.PASSTHRU

    def child_with_mac(self, mac: Mac) -> Macvlan | None:
        """Return the child that is up and has this MAC, or `None` if there is none (macvlan_hash_lookup)."""
        return self._active.get(mac)

    def refresh_active(self) -> None:
        """Rebuild the MAC index after a child was added, removed, went up or down, or changed its MAC."""
        self._active = {child.mac: child for child in self.children if child.is_up}

    def is_mac_in_use(self, mac: Mac) -> bool:
        """Return True if the lower device or a child that is up has this MAC."""
        return mac == self.lower.mac or self.child_with_mac(mac) is not None

    def input(self, frame: bytes) -> bool:
        """Deliver a received frame to the children. Return True if only children receive it.

        Return False if the lower device must receive the frame, too: a group frame, or a frame to an address that no
        child has. Source: macvlan_handle_frame.
        """
        if not frame[0] & 1:
            child = self.children[0] if self.is_passthru else self.child_with_mac(frame[:6])
            if child is None:
                return False
            deliver_to_child(frame, child, child.mode)
            return True
        source = self.child_with_mac(frame[6:12])
        if source is None:
            self.broadcast(frame, None, _EVERY_MODE)
        elif source.mode is MacvlanMode.VEPA:
            self.broadcast(frame, source, _VEPA_MODES)
        elif source.mode is MacvlanMode.BRIDGE:  # children in bridge mode received the frame when it was sent
            self.broadcast(frame, source, _REFLECTED_MODES)
        else:
            deliver_to_child(frame, source, source.mode)
            return True
        return False

    def broadcast(self, frame: bytes, source: Macvlan | None, modes: frozenset[MacvlanMode]) -> None:
        """Deliver a group frame to every child whose mode is one of `modes`, except the one that sent it.

        `source` is the child that sent the frame, `None` if the lower device received it from elsewhere.
        """
        for child in self.children:
            if child is not source and child.mode in modes and child.is_up:
                deliver_to_child(frame, child, child.mode)

    def mac_changed(self) -> None:
        """Copy the lower device's new MAC to a passthru child."""
        self._own_mac = self.lower.mac
        if self.is_passthru:
            self.children[0]._take_mac(self.lower.mac)
            self.refresh_active()

    def set_lower_mac(self, mac: Mac) -> None:
        """Set the lower device's MAC to `mac`, the MAC of its passthru child, while the child exists."""
        own = self._own_mac
        self.lower.set_mac(mac)
        self._own_mac = own

    def close(self) -> None:
        """Remove the port and restore the lower device's own MAC (macvlan_port_destroy)."""
        upper_devices_of(self.lower).port = None
        if self.lower.mac != self._own_mac:
            self.lower.set_mac(self._own_mac)


class Macvlan(UpperDevice):
    """A macvlan child of `lower`. If `lower` is itself a macvlan, the new device becomes its sibling.

    Raises `OSError`: EINVAL if `lower` is a loopback, or if there would be another child beside a passthru child;
    EBUSY if a bridge or ipvlan uses the lower device.
    """

    __slots__ = ("mode", "port")
    kind = "macvlan"
    filters_unicast = True

    def __init__(self, name: str, mac: Mac, lower: Device, mode: MacvlanMode = MacvlanMode.VEPA) -> None:
        if isinstance(lower, Macvlan):
            lower = lower.lower
        uppers = lower.upper_devices
        port = uppers.port if uppers is not None else None
        if not isinstance(port, MacvlanPort):
            require_free_port(lower)
            port = MacvlanPort(lower)
        if port.is_passthru or (mode is MacvlanMode.PASSTHRU and port.children):
            raise OSError(errno.EINVAL, "Invalid argument")
        super().__init__(name, lower.mac if mode is MacvlanMode.PASSTHRU else mac, lower)
        #: The mode, which decides how the device reaches its siblings.
        self.mode = mode
        self.port = port
        port.children.append(self)
        upper_devices_of(lower).port = port

    def set_mode(self, mode: MacvlanMode) -> None:
        """Change the mode. Raises `OSError(EINVAL)` for a change to or from passthru."""
        if mode is not self.mode and MacvlanMode.PASSTHRU in (mode, self.mode):
            raise OSError(errno.EINVAL, "Invalid argument")
        self.mode = mode

    def set_up(self) -> None:
        """Set the device up. Raises `OSError(EADDRINUSE)` if the lower device or a sibling has its MAC."""
        if not self.is_up and self.mode is not MacvlanMode.PASSTHRU and self.port.is_mac_in_use(self.mac):
            raise OSError(errno.EADDRINUSE, "Address already in use")
        super().set_up()

    def set_mac(self, mac: Mac) -> None:
        """Set the MAC address; in passthru mode also that of the lower device.

        Raises `OSError(EADDRINUSE)` if the lower device or a sibling that is up has the address already.
        """
        if self.mode is MacvlanMode.PASSTHRU:
            self.port.set_lower_mac(mac)
            return
        if mac != self.mac and self.port.is_mac_in_use(mac):
            raise OSError(errno.EADDRINUSE, "Address already in use")
        super().set_mac(mac)
        self.port.refresh_active()

    def set_mtu(self, mtu: int) -> None:
        """Set the MTU in bytes. Raises `OSError(EINVAL)` if it is larger than the lower device's."""
        if mtu > self.lower.mtu:
            raise OSError(errno.EINVAL, "Invalid argument")
        super().set_mtu(mtu)

    @property
    def unicast_filter(self) -> frozenset[Mac]:
        """The unicast addresses whose frames the lower device must receive for this device.

        These are its own address and those of its upper devices. Empty while the device is down, and in passthru
        mode.
        """
        if not self.is_up or self.mode is MacvlanMode.PASSTHRU:
            return frozenset()
        return frozenset({self.mac}) | (
            self.upper_devices.unicast_filter() if self.upper_devices is not None else frozenset()
        )

    @property
    def receives_all_frames(self) -> bool:
        """Whether the lower device must receive all frames for this device."""
        return self.is_up and self.mode is MacvlanMode.PASSTHRU

    def _link_changed(self) -> None:
        self.port.refresh_active()
        super()._link_changed()

    def _put_on_wire(self, frame: bytes) -> None:
        if self.mode is MacvlanMode.BRIDGE:
            if frame[0] & 1:
                self.port.broadcast(frame, self, _BRIDGE_MODES)
            else:
                sibling = self.port.child_with_mac(frame[:6])
                if sibling is not None and sibling.mode is MacvlanMode.BRIDGE:
                    # Through the lower device's receive path, where its captures see the frame (dev_forward_skb).
                    self.clock.call_soon(self.lower.receive, frame)
                    return
        self.lower.transmit(frame)

    def detach(self) -> None:
        """Leave the lower device. If no child is left there, remove the lower device's `MacvlanPort`."""
        super().detach()
        self.port.children.remove(self)
        self.port.refresh_active()
        if not self.port.children:
            self.port.close()
