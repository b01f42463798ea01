"""macvlan: further Ethernet stations, each with a MAC of its own, on one interface.

Children and their parent never reach each other: a child's frames leave by the parent's wire, which does not bring
them back. Source: drivers/net/macvlan.c of Linux 6.12. The mode `source` is not modelled.
"""

from __future__ import annotations

import errno
from enum import Enum

from cnmsim.kernel.address import Mac
from cnmsim.kernel.device import Device
from cnmsim.kernel.events import Step
from cnmsim.kernel.upper_devices import UpperDevice, require_free_port, upper_devices_of


class MacvlanMode(Enum):
    """How children of one parent deal with each other."""

    PRIVATE = "private"  # not at all, not even where the switch reflects their frames
    VEPA = "vepa"  # by way of a switch that reflects them
    BRIDGE = "bridge"  # directly
    PASSTHRU = "passthru"  # there is only one, with the parent's MAC


_EVERY_MODE = frozenset(MacvlanMode)
_REFLECTED_MODES = frozenset({MacvlanMode.VEPA})
_VEPA_MODES = frozenset({MacvlanMode.VEPA, MacvlanMode.BRIDGE})
_BRIDGE_MODES = frozenset({MacvlanMode.BRIDGE})


class MacvlanPort:
    """The children of one parent, and where a frame that the parent received goes among them."""

    __slots__ = ("_active", "_children", "_own_mac", "lower")

    def __init__(self, lower: Device) -> None:
        self.lower = lower
        self._own_mac = lower.mac
        self._children: list[Macvlan] = []
        self._active: dict[Mac, Macvlan] = {}

    @property
    def children(self) -> list[Macvlan]:
        """The children, oldest first."""
        return self._children

    @property
    def is_passthru(self) -> bool:
        """Whether its one child has taken the parent over."""
        return bool(self._children) and self._children[0].mode is MacvlanMode.PASSTHRU

    def active(self, mac: Mac) -> Macvlan | None:
        """Give the child that is up and has this MAC (macvlan_hash_lookup)."""
        return self._active.get(mac)

    def refresh_active(self) -> None:
        """Take note that a child came, went, went up or down, or has another MAC."""
        self._active = {child.mac: child for child in self._children if child.is_up}

    def is_mac_in_use(self, mac: Mac) -> bool:
        """Tell whether the parent or a child that is up has this MAC."""
        return mac == self.lower.mac or self.active(mac) is not None

    def input(self, frame: bytes) -> bool:
        """Take what a child is to have; group frames are for the parent, too (macvlan_handle_frame)."""
        if not frame[0] & 1:
            child = self._children[0] if self.is_passthru else self.active(frame[:6])
            if child is None:
                return False
            self._deliver(frame, child)
            return True
        source = self.active(frame[6:12])
        if source is None:
            self.broadcast(frame, None, _EVERY_MODE)
        elif source.mode is MacvlanMode.VEPA:
            self.broadcast(frame, source, _VEPA_MODES)
        elif source.mode is MacvlanMode.BRIDGE:  # the others have had it on its way out
            self.broadcast(frame, source, _REFLECTED_MODES)
        else:
            self._deliver(frame, source)
            return True
        return False

    def broadcast(self, frame: bytes, source: Macvlan | None, modes: frozenset[MacvlanMode]) -> None:
        """Give a group frame to every child of these modes but `source`."""
        for child in self._children:
            if child is not source and child.mode in modes and child.is_up:
                self._deliver(frame, child)

    def _deliver(self, frame: bytes, child: Macvlan) -> None:
        if self.lower.clock.context is not None:
            place = child.namespace.name if child.namespace is not None else ""
            self.lower._report(Step.BRIDGED, frame, f"macvlan ({child.mode.value}) → {place} {child.name}")
        self.lower.clock.call_soon(child.receive, frame)

    def mac_changed(self) -> None:
        """Let the child of a passthru port follow its parent's MAC."""
        self._own_mac = self.lower.mac
        if self.is_passthru:
            self._children[0]._take_mac(self.lower.mac)
            self.refresh_active()

    def set_lower_mac(self, mac: Mac) -> None:
        """Give the parent the MAC of its passthru child, for as long as there is one."""
        own = self._own_mac
        self.lower.set_mac(mac)
        self._own_mac = own

    def close(self) -> None:
        """Leave the parent without a port, and with its own MAC (macvlan_port_destroy)."""
        upper_devices_of(self.lower).port = None
        if self.lower.mac != self._own_mac:
            self.lower.set_mac(self._own_mac)


class Macvlan(UpperDevice):
    """A child of `lower`; on another macvlan it becomes that one's sibling.

    Raises `OSError`: EINVAL on a loopback, and beside or as a passthru child; EBUSY if a bridge or ipvlan has the parent.
    """

    __slots__ = ("_mode", "port")
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
        self._mode = mode
        self.port = port
        port.children.append(self)
        upper_devices_of(lower).port = port

    @property
    def mode(self) -> MacvlanMode:
        """How it deals with its siblings."""
        return self._mode

    def set_mode(self, mode: MacvlanMode) -> None:
        """Change the mode. Raises `OSError(EINVAL)` to or from passthru."""
        if mode is not self._mode and MacvlanMode.PASSTHRU in (mode, self._mode):
            raise OSError(errno.EINVAL, "Invalid argument")
        self._mode = mode

    def set_up(self) -> None:
        """Do as `ip link set DEV up`. Raises `OSError(EADDRINUSE)` if its MAC is the parent's or a sibling's."""
        if not self.is_up and self._mode is not MacvlanMode.PASSTHRU and self.port.is_mac_in_use(self.mac):
            raise OSError(errno.EADDRINUSE, "Address already in use")
        super().set_up()

    def set_mac(self, mac: Mac) -> None:
        """Set the Ethernet address: in passthru mode the parent's, too.

        Raises `OSError(EADDRINUSE)` if the address is the parent's or that of a sibling that is up.
        """
        if self._mode is MacvlanMode.PASSTHRU:
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
        """What the lower device is to listen for besides its own address."""
        if not self.is_up or self._mode is MacvlanMode.PASSTHRU:
            return frozenset()
        return frozenset({self.mac}) | (
            self.upper_devices.unicast_filter() if self.upper_devices is not None else frozenset()
        )

    @property
    def receives_all_frames(self) -> bool:
        """Whether it is to have whatever the lower device can take in."""
        return self.is_up and self._mode is MacvlanMode.PASSTHRU

    def _link_changed(self) -> None:
        self.port.refresh_active()
        super()._link_changed()

    def _put_on_wire(self, frame: bytes) -> None:
        if self._mode is MacvlanMode.BRIDGE:
            if frame[0] & 1:
                self.port.broadcast(frame, self, _BRIDGE_MODES)
            else:
                sibling = self.port.active(frame[:6])
                if sibling is not None and sibling.mode is MacvlanMode.BRIDGE:
                    # By way of the parent's receiving side, where its captures see it (dev_forward_skb).
                    self.clock.call_soon(self.lower.receive, frame)
                    return
        self.lower.transmit(frame)

    def detach(self) -> None:
        """Leave the parent, which has no port any more once the last child has left."""
        super().detach()
        self.port.children.remove(self)
        self.port.refresh_active()
        if not self.port.children:
            self.port.close()
