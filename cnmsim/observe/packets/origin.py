"""The network namespace and the device from which a user's packets are sent."""

from __future__ import annotations

from typing import TYPE_CHECKING

from attrs import frozen

from cnmsim.errors import InvalidParameter, Unavailable
from cnmsim.kernel.namespace import NetworkNamespace
from cnmsim.observe.packets.interface import Interface, find_device

if TYPE_CHECKING:
    from cnmsim.kernel.address import Address
    from cnmsim.kernel.device import Device


@frozen
class Origin:
    """Where packets are sent from: a network namespace, and the device that they use.

    If `device` is `None`, the route to the destination selects one.
    """

    namespace: NetworkNamespace
    device: Device | None = None

    @classmethod
    def of(cls, place: object, device: str = "") -> Origin:
        """Return the origin for a host, container, sandbox, location or interface.

        `device` is the name of the device to use; with "" the route selects one. Raises `InvalidParameter` for an
        object of another type, `NotFound` for an unknown device, and `Unavailable` if `place` is powered off or has
        no network namespace.
        """
        if isinstance(place, Interface):
            namespace = place.device.namespace
            if namespace is None:
                raise Unavailable(f"the device {place.name} no longer exists")
            if device and device != place.device.name:
                raise InvalidParameter(f"{place.name} is a device already: leave out device={device!r}")
            return cls(namespace, place.device)
        if getattr(place, "is_on", True) is False:
            raise Unavailable(f"{getattr(place, 'name', place)} has no power")
        namespace = getattr(place, "namespace", None)
        if not isinstance(namespace, NetworkNamespace):
            if hasattr(place, "namespace"):
                raise Unavailable(f"{place!r} has no network namespace yet")
            raise InvalidParameter(
                f"packets are sent from a host, a container, a sandbox or a device, not from {_short(place)}"
            )
        return cls(namespace, find_device(namespace, device) if device else None)

    @property
    def name(self) -> str:
        """The name of the network namespace; followed by the device, as in `node1:eth0`, if one is set."""
        return f"{self.namespace.name}:{self.device.name}" if self.device is not None else self.namespace.name

    def device_towards(self, destination: Address | None, *, is_routed: bool = False) -> Device:
        """Return the device on which to send a frame to `destination`.

        `destination` is `None` for a frame that is not to an IP address. If no route selects a device, return the
        only device besides loopback. If there are several, return the loopback device with `is_routed` (the kernel
        then reports that there is no route), else raise `InvalidParameter`. Raises `Unavailable` if there is no
        device besides loopback.
        """
        if self.device is not None:
            return self.device
        if destination is not None:
            try:
                return self.namespace.ip.route_output(destination).outdev
            except OSError:
                pass  # no route: there may still be only one device
        devices = [device for device in self.namespace.devices.values() if device.kind != "loopback"]
        if len(devices) == 1:
            return devices[0]
        if is_routed:
            return self.namespace.loopback
        if not devices:
            raise Unavailable(f"{self.name} has no device but lo")
        names = ", ".join(device.name for device in devices)
        raise InvalidParameter(f"{self.name} has several devices: choose one by device=…; there are {names}")


def _short(what: object) -> str:
    text = repr(what)
    return text if len(text) <= 60 else f"{text[:60]}…"
