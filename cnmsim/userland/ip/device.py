"""How `ip` tells of a device: its flags, its name, its state, its queue."""

from __future__ import annotations

from cnmsim.kernel.device import Device
from cnmsim.kernel.sysfs import operational_state


def flags_of(device: Device, *, shows_peer: bool = True) -> str:
    """Give the flags between angle brackets as both flavours list them."""
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
    """Give a device's name with what is behind its `@`: the other end, or what it stands on.

    A physical NIC shows one too, as do those of a host that is itself a machine of a lab.
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
    """Give the operational state as iproute2 names it."""
    return operational_state(device).upper()


def qdisc_of(device: Device) -> str:
    """Give the name of the queueing discipline a device has by default."""
    return "noqueue" if device.has_qdisc else "noop"
