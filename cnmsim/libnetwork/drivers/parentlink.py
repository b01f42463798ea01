"""Parent interfaces of macvlan and ipvlan networks: VLAN sub-interfaces and dummies that a driver creates.

Source: moby `daemon/libnetwork/drivers/{macvlan,ipvlan}/*_setup.go` (docker-v29.7.2).
"""

from __future__ import annotations

import re
from random import Random

from cnmsim.errors import EngineError, SystemFault
from cnmsim.kernel.dummy import Dummy
from cnmsim.kernel.errno_text import go_strerror
from cnmsim.kernel.namespace import NetworkNamespace
from cnmsim.kernel.vlan import Vlan
from cnmsim.libnetwork.drivers.bridge.device import random_mac

_ID_LENGTH = 12


def dummy_name(prefix: str, network_id: str) -> str:
    """Return the name of the dummy device that is the parent of a network for which no parent was requested.

    It is `prefix` (`dm` for macvlan, `di` for ipvlan), a hyphen, and the start of the network's id.
    """
    return f"{prefix}-{network_id[:_ID_LENGTH]}"


def create_dummy(host: NetworkNamespace, name: str, random: Random) -> None:
    """Create a dummy device, to be the parent interface of a network, and bring it up."""
    device = Dummy(name, random_mac(random), host.clock)
    device.txqueuelen = 0
    host.add_device(device)
    device.set_up()


def create_vlan(host: NetworkNamespace, name: str, driver: str) -> None:
    """Create the VLAN sub-interface that `name` describes, e.g. `eth0.10` on `eth0`, and bring it up.

    `driver` is the driver's name for error messages. Raises `SystemFault` if the name is invalid, the parent does not
    exist or the kernel refuses the device.
    """
    parent, vid = parse_vlan(host, name)
    if not 1 <= vid <= 4094:
        raise SystemFault(f"vlan id must be between 1-4094, received: {vid}")
    try:
        device = Vlan(name, host.devices[parent], vid)
    except OSError as error:
        raise SystemFault(f"failed to create {name} vlan link: {go_strerror(error)}") from None
    device.txqueuelen = 0
    try:
        host.add_device(device)
    except OSError as error:
        device.detach()
        raise SystemFault(f"failed to create {name} vlan link: {go_strerror(error)}") from None
    try:
        device.set_up()
    except OSError as error:
        host.remove_device(device)
        raise SystemFault(f"failed to enable {name} the {driver} parent link {go_strerror(error)}") from None


def parse_vlan(host: NetworkNamespace, name: str) -> tuple[str, int]:
    """Split the name of a VLAN sub-interface such as `eth0.10` into the parent's name and the VLAN id.

    Raises `SystemFault` if the name has a different format, or if the host has no interface of the parent's name.
    """
    if "." not in name:
        raise SystemFault(f"invalid subinterface vlan name {name}, example formatting is eth0.10")
    parent, *rest = name.split(".")
    if len(rest) != 1:
        text = "required interface name format is: name.vlan_id, ex. eth0.10 for vlan 10, instead received"
        raise SystemFault(f"{text} {name}")
    if not re.fullmatch(r"[+-]?[0-9]+", rest[0], re.ASCII):
        raise SystemFault(f"unable to parse a valid vlan id from: {rest[0]} (ex. eth0.10 for vlan 10)")
    if parent not in host.devices:
        raise SystemFault(f"-o parent interface was not found on the host: {parent}")
    return parent, int(rest[0])


def remove_created(host: NetworkNamespace, name: str) -> None:
    """Delete a sub-interface or dummy that a driver created. Other devices are left alone."""
    device = host.devices.get(name)
    if device is None:
        return
    if not isinstance(device, Dummy):
        try:
            parse_vlan(host, name)
        except EngineError:
            return  # moby only logs that the link was not deleted
    host.remove_device(device)
