"""A network interface of a host or container, as `lab.device` returns it."""

from __future__ import annotations

import difflib
from typing import TYPE_CHECKING

from attrs import frozen

from cnmsim.errors import NotFound
from cnmsim.kernel.address import format_mac
from cnmsim.libnetwork.place import Place

if TYPE_CHECKING:
    from cnmsim.kernel.device import Device
    from cnmsim.kernel.namespace import NetworkNamespace
    from cnmsim.observe.directory import Directory


@frozen(repr=False)
class Interface(Place):
    """A network interface. Packets sent by its `send` and `ask` leave by it, without a route lookup.

    `device` is the kernel's device.
    """

    device: Device

    def __repr__(self) -> str:
        state = "up" if self.device.is_up else "down"
        return f"<Interface {' '.join((self.name, self.mac, *self.addresses, state))}>"

    @property
    def name(self) -> str:
        """The network namespace and the device: `node1:eth0`."""
        namespace = self.device.namespace
        return f"{namespace.name}:{self.device.name}" if namespace is not None else self.device.name

    @property
    def mac(self) -> str:
        """The MAC address."""
        return format_mac(self.device.mac)

    @property
    def addresses(self) -> tuple[str, ...]:
        """The addresses with prefix lengths, such as `10.0.0.15/24`."""
        return tuple(str(address) for address in self.device.addresses)

    @property
    def mtu(self) -> int:
        """The MTU: the size of the largest IP packet, in bytes."""
        return self.device.mtu

    @property
    def is_up(self) -> bool:
        """Whether the device is up."""
        return self.device.is_up


def find_interface(directory: Directory, text: str) -> Interface:
    """Return the interface of a location, such as `node1:eth0` or `node1:web:eth0`.

    Raises `NotFound` for an unknown location or device, `Conflict` for an ambiguous location.
    """
    place, colon, device = text.rpartition(":")
    if not colon or not device:
        raise NotFound(f"no device {text!r}: write the place and the device, such as node1:eth0")
    return Interface(find_device(directory.find(place).namespace, device))


def find_device(namespace: NetworkNamespace, name: str) -> Device:
    """Return the device with a name. Raises `NotFound`, suggesting the closest name, if there is none."""
    device = namespace.devices.get(name)
    if device is not None:
        return device
    close = difflib.get_close_matches(name, namespace.devices, 1)
    meant = f", did you mean {close[0]}?" if close else f"; there are {', '.join(namespace.devices)}"
    raise NotFound(f"{namespace.name} has no device {name}{meant}")
