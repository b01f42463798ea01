"""A device's flags, name, state and queueing discipline, as `ip` prints them."""

from __future__ import annotations

from cnmsim.kernel.device import Device
from cnmsim.kernel.sysfs import operational_state


def flags_of(device: Device, *, shows_peer: bool = True) -> str:
    """Return the flags that `ip` prints in angle brackets, e.g. `BROADCAST,MULTICAST,UP,LOWER_UP`.

    With `shows_peer`, they include M-DOWN if the peer or the lower device is down.
    """
    flags: list[str] = []
    if device.is_up and not device.has_carrier:
        flags.append("NO-CARRIER")
    flags += ["LOOPBACK"] if device.kind == "loopback" else ["BROADCAST", "MULTICAST"]
    if device.no_arp:
        flags = [flag for flag in flags if flag != "MULTICAST" or device.kind not in ("dummy", "vlan")] + ["NOARP"]
    flags += ["ALLMULTI"] if device.is_all_multicast else []
    flags += ["PROMISC"] if device.is_promiscuous else []
    if device.is_up:
        flags.append("UP")
        flags += ["LOWER_UP"] if device.has_carrier else []
    if shows_peer and _has_down_peer(device):
        flags.append("M-DOWN")
    return ",".join(flags)


def _has_down_peer(device: Device) -> bool:
    peer = getattr(device, "peer", None) or getattr(device, "lower", None)
    return isinstance(peer, Device) and peer.namespace is device.namespace and not peer.is_up


def link_name(device: Device) -> str:
    """Return a device's name as `ip` prints it, such as `eth0@if7` or `eth0.5@eth0`.

    The part after `@` is the device's peer, or the device on which it is stacked. A host's physical NIC has a peer as
    well, because the hosts of a lab look like virtual machines.
    """
    lower = getattr(device, "peer", None) or getattr(device, "lower", None) or getattr(device, "parent", None)
    if isinstance(lower, Device):
        if lower.namespace is device.namespace:
            return f"{device.name}@{lower.name}"
        return f"{device.name}@if{lower.index}"
    if device.peer_index is not None:
        return f"{device.name}@if{device.peer_index}"
    return f"{device.name}@if{device.index + 1}" if device.kind == "nic" else device.name


def state_of(device: Device) -> str:
    """Return the device's operational state in iproute2's spelling, e.g. `UP`, `DOWN` or `UNKNOWN`."""
    return operational_state(device).upper()


def qdisc_of(device: Device) -> str:
    """Return the name of a device's default queueing discipline."""
    return "noqueue" if device.has_qdisc else "noop"
