"""`bridge link`: the ports of bridges and their settings."""

from __future__ import annotations

from cnmsim.kernel.device import Device
from cnmsim.kernel.process import Process
from cnmsim.kernel.vxlan import Vxlan
from cnmsim.userland.ip.arguments import IpCommandError, Words, find_device
from cnmsim.userland.ip.bridge import path_cost, port_state, switches
from cnmsim.userland.ip.device import flags_of, link_name

#: The on/off settings of a port and their defaults. Only hairpin, learning and flood can be changed.
_SWITCHES = {
    "hairpin": "off", "learning": "on", "flood": "on", "guard": "off", "root_block": "off", "fastleave": "off",
    "mcast_flood": "on", "bcast_flood": "on", "mcast_to_unicast": "off", "neigh_suppress": "off",
    "neigh_vlan_suppress": "off", "vlan_tunnel": "off", "isolated": "off", "locked": "off", "mab": "off",
    "learning_sync": "off",
}  # fmt: skip
_SETTINGS = {"cost": "2", "priority": "32", "state": "3", "mcast_router": "1"}
_SET_USAGE = "Usage: bridge link set dev DEV [ cost COST ] [ priority PRIO ] [ state STATE ]"


def show_or_set(process: Process, words: Words, *, has_details: bool) -> int:
    """Run `bridge link [show] [dev DEV] [master BRIDGE]` or `bridge link set dev DEV …`. Return the exit status.

    `words` are the words after `link`. `has_details` also prints the settings of each port (-d).
    """
    verb = words.take() if words and words.first not in ("dev", "master") else "show"
    if verb == "set":
        return _link_set(process, words)
    if verb not in ("show", "list", "lst"):
        process.error(f'Command "{verb}" is unknown, try "bridge link help".\n')
        return 255
    device_name = master = ""
    while words:
        # Unknown words are ignored, as bridge does (brlink_show).
        word = words.take()
        if word == "dev":
            device_name = words.take()
        elif word == "master":
            master = words.take()
    for name in filter(None, (device_name, master)):
        find_device(process.namespace, name, is_change=False)
    for device in process.namespace.devices.values():
        if (
            device.master is None
            or (device_name and device.name != device_name)
            or (master and device.master.name != master)
        ):
            continue
        # As in `ip link`, a VXLAN device's name has no `@…` part if the device it was created on is in another
        # namespace.
        name = device.name if isinstance(device, Vxlan) and device.config.underlay is None else _link_name(device)
        process.write(
            f"{device.index}: {name}: <{flags_of(device)}> mtu {device.mtu} master {device.master.name} "
            f"state {port_state(device)} priority 32 cost {path_cost(device)} \n"
        )
        if has_details:
            process.write(
                f"    {switches(device.master.ports[device])}mcast_flood on bcast_flood on mcast_router 1 "
                "mcast_to_unicast off neigh_suppress off neigh_vlan_suppress off vlan_tunnel off isolated off locked "
                "off "
                "mab off mcast_n_groups 0 mcast_max_groups 0 \n"
            )
    return 0


def _link_name(device: Device) -> str:
    """Return a port's name as `bridge link` prints it.

    `bridge link` looks the peer's interface index up in its own namespace, even if the peer is in another one. So it
    prints the name of whatever device has that index there (iproute2 `bridge/link.c`). `ip link` does not.
    """
    name, has_index, index = link_name(device).partition("@if")
    if has_index and device.namespace is not None:
        for other in device.namespace.devices.values():
            if str(other.index) == index:
                return f"{name}@{other.name}"
    return f"{name}{has_index}{index}"


def _link_set(process: Process, words: Words) -> int:
    if words.first == "dev":
        words.take()
    device = find_device(process.namespace, words.take())
    if device.master is None:
        process.error("RTNETLINK answers: Operation not supported\n")
        return 2
    port = device.master.ports[device]
    settings: dict[str, bool] = {}
    while words:
        option = words.take()
        if option in ("self", "master"):
            continue
        if option not in _SWITCHES and option not in _SETTINGS:
            raise IpCommandError(_SET_USAGE, 255)
        value = words.take()
        if option in _SWITCHES and value not in ("on", "off"):
            raise IpCommandError(f'Error: argument of "{option}" must be one of "off", "on", not "{value}"', 234)
        if option not in ("hairpin", "learning", "flood") and value != _SETTINGS.get(option, _SWITCHES.get(option)):
            raise IpCommandError("RTNETLINK answers: Operation not supported", 2)
        if option in ("hairpin", "learning", "flood"):
            settings[option] = value == "on"
    for option, is_on in settings.items():
        setattr(port, option, is_on)
    return 0
