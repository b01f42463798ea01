"""The details that `ip -d link` adds: MTU limits, settings of the link kind and the bridge port, queue limits."""

from __future__ import annotations

from typing import TYPE_CHECKING

from cnmsim.kernel.bridge import Bridge
from cnmsim.kernel.ipvlan import Ipvlan
from cnmsim.kernel.macvlan import Macvlan
from cnmsim.kernel.vlan import Vlan
from cnmsim.kernel.vxlan import Vxlan
from cnmsim.userland.ip.bridge import bridge_text, slave_text
from cnmsim.userland.ip.vxlan import vxlan_text

if TYPE_CHECKING:
    from cnmsim.kernel.device import Device

_SMALL_SEGMENTS = ("bridge", "vxlan")


def mtu_limits(device: Device) -> str:
    """Format a device's `minmtu` and `maxmtu` for `ip -d link`. 0 means no limit."""
    # A macvlan device has its parent's maximum.
    bound = device.lower if isinstance(device, Macvlan) else device
    return f"minmtu {device.min_mtu} maxmtu {bound.max_mtu}"


def details(device: Device) -> list[str]:
    """Return the lines of `ip -d link` with the settings of the device kind and, if any, of the bridge port."""
    lines = [] if device.kind in ("loopback", "nic") else [_kind_text(device)]
    return lines if device.master is None else [*lines, slave_text(device)]


def _kind_text(device: Device) -> str:
    if isinstance(device, Macvlan):
        return f"macvlan mode {device.mode.value} bcqueuelen 1000 usedbcqueuelen 1000 "
    if isinstance(device, Ipvlan):
        return f"ipvlan  mode {device.mode.value} {device.flag.value} "
    if isinstance(device, Vlan):
        return f"vlan protocol 802.1Q id {device.vid} <REORDER_HDR> "
    if isinstance(device, Vxlan):
        return f"{vxlan_text(device)} "
    return bridge_text(device) if isinstance(device, Bridge) else f"{device.kind} "


def with_details(device: Device, hardware: str, *, has_mode: bool) -> list[str]:
    """Return the lines of `ip -d link` or `ip -d addr` from the hardware address up to the queue limits.

    `hardware` is the formatted hardware address. `has_mode` adds the IPv6 address generation mode, which only `link`
    prints.
    """
    counters = f"promiscuity {device.promiscuity} allmulti {device.all_multicast}"
    lines = [f"{hardware} {counters} {mtu_limits(device)} ", *(f"    {part}" for part in details(device))]
    lines[-1] += ("addrgenmode eui64 " if has_mode else "") + queues(device)
    return lines


def queues(device: Device) -> str:
    """Format the queue and offload limits that end the detail lines of every device."""
    segments = 65536 if device.kind in _SMALL_SEGMENTS else 524280
    return (
        f"numtxqueues 1 gso_max_size 65536 gso_max_segs 65535 tso_max_size {segments} tso_max_segs 65535 "
        "gro_max_size 65536 gso_ipv4_max_size 65536 gro_ipv4_max_size 65536 "
    )
