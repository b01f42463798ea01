"""/sys/class/net: the devices of a network namespace as read-only files (Linux: net/core/net-sysfs.c)."""

from __future__ import annotations

import errno
from collections.abc import Callable
from typing import TYPE_CHECKING

from cnmsim.kernel.address import format_mac
from cnmsim.kernel.inode import Directory, File, GeneratedFile, Inode
from cnmsim.kernel.ipvlan import Ipvlan

if TYPE_CHECKING:
    from cnmsim.kernel.device import Device
    from cnmsim.kernel.files import FileSystem
    from cnmsim.kernel.namespace import NetworkNamespace

ROOT = "/sys/class/net"


def operational_state(device: Device) -> str:
    """Return the operational state (RFC 2863) with Linux's name, such as `lowerlayerdown`."""
    if device.kind in ("loopback", "vxlan", "dummy"):
        return "unknown" if device.is_up else "down"
    if isinstance(device, Ipvlan) and device.has_carrier and not device.lost_carrier:
        return "unknown"
    if not device.is_up:
        return "down"
    if device.has_carrier:
        return "up"
    return "lowerlayerdown" if device.kind in ("veth", "vlan", "macvlan", "ipvlan") else "down"


def _carrier(device: Device) -> str:
    if not device.is_up:
        raise OSError(errno.EINVAL, "Invalid argument")
    return str(int(device.has_carrier))


_ATTRIBUTES: dict[str, Callable[[Device], str]] = {
    "address": lambda device: format_mac(device.mac),
    "addr_len": lambda device: str(len(device.mac)),
    "carrier": _carrier,
    "ifindex": lambda device: str(device.index),
    "iflink": lambda device: str(device.peer_index or device.index),
    "mtu": lambda device: str(device.mtu),
    "operstate": operational_state,
    "tx_queue_len": lambda device: str(device.txqueuelen),
    "type": lambda device: "772" if device.kind == "loopback" else "1",  # ARPHRD_LOOPBACK, ARPHRD_ETHER
    **{
        f"statistics/{name}": lambda device, name=name: str(getattr(device, name))  # type: ignore[misc]
        for name in ("rx_bytes", "rx_dropped", "rx_packets", "tx_bytes", "tx_dropped", "tx_packets")
    },
}


def mount(files: FileSystem, namespace: NetworkNamespace) -> None:
    """Mount the devices of `namespace` at /sys/class/net."""

    def find(path: str) -> File | None:
        name, _, attribute = path.partition("/")
        device, read = namespace.devices.get(name), _ATTRIBUTES.get(attribute)
        if device is None or read is None:
            return None
        return GeneratedFile(lambda: f"{read(device)}\n", errno.EROFS)

    if not any(mount.path == "/sys" for mount in files.mounts()):
        mount_points: dict[str, Inode | None] = {
            "class": Directory(entries={"net": Directory()}), "fs": Directory(entries={"cgroup": Directory()}),
        }  # fmt: skip
        root = Directory(0o555, entries=mount_points)
        files.mount("/sys", root, device="sysfs", kind="sysfs", options="nosuid,nodev,noexec,relatime")
    files.mount(ROOT, find, device="sysfs", kind="sysfs")
