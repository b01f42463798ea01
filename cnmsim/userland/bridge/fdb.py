"""`bridge fdb`: the forwarding tables of bridges and of VXLAN devices."""

from __future__ import annotations

import errno
from collections.abc import Callable

from cnmsim.kernel.address import MAC_ZERO, Mac, format_mac, parse_ip, parse_mac
from cnmsim.kernel.bridge import Bridge
from cnmsim.kernel.device import Device
from cnmsim.kernel.process import Process
from cnmsim.kernel.vxlan import Vxlan
from cnmsim.kernel.vxlan_fdb import FdbMode
from cnmsim.userland.ip.arguments import IpCommandError, Words, find_device, parse_integer_argument

#: For each `state STATE`: a predicate that selects lines of `bridge fdb show`, given the words of the line.
_STATES: dict[str, Callable[[list[str]], bool]] = {
    "permanent": lambda words: "permanent" in words,
    "static": lambda words: "static" in words or "permanent" in words,
    "dynamic": lambda words: "permanent" not in words,
    "stale": lambda words: "stale" in words,
    "all": lambda _: True,
}
#: Keywords for VXLAN devices whose effect is not modelled.
_VXLAN_KEYWORDS = ("vni", "src_vni", "port", "via", "vlan")
_MODES: dict[str, FdbMode] = {"add": "exclusive", "append": "append", "replace": "replace"}


def show_or_change(process: Process, words: Words, options: set[str]) -> int:
    """Run `bridge fdb [show|get|add|append|replace|del] …`. Return the exit status.

    `words` are the words after `fdb`, `options` the names of bridge's options, such as `statistics`. Raises
    `IpCommandError` for invalid words, `NoDeviceError` for an unknown device.
    """
    verb = (
        words.take() if words and words.first not in ("br", "brport", "dev", "vlan", "state", "dynamic") else "show"
    )
    if verb in ("add", "append", "del", "delete", "replace"):
        return _fdb_change(process, words, verb)
    if verb == "get":
        return _fdb_get(process, words)
    if verb not in ("show", "list", "lst"):
        process.error(f'Command "{verb}" is unknown, try "bridge fdb help".\n')
        return 255
    if "statistics" in options:  # the time since an entry was last used is not recorded
        process.error('Option "-statistics" is unknown, try "bridge help".\n')
        return 255
    bridge = dev = state = ""
    has_vlan = False
    while words:
        option = words.take()
        if option == "br":
            bridge = words.take()
        elif option in ("dev", "brport"):
            dev = words.take()
        elif option == "vlan":
            has_vlan = parse_integer_argument(words.take()) != 0
        elif option == "state":
            state = words.take()
            if state not in _STATES:
                raise IpCommandError(f'Error: argument "{state}" is wrong: invalid state', 255)
        elif option == "dynamic":
            state = "dynamic"
    if bridge and bridge not in process.namespace.devices:
        raise IpCommandError(f'Cannot find bridge device "{bridge}"', 255)
    if dev:
        find_device(process.namespace, dev)
    for device in process.namespace.devices.values():
        if dev and device.name != dev:
            continue
        if bridge and device.name != bridge and (device.master is None or device.master.name != bridge):
            continue
        for line in _fdb_lines(process, device):
            # Bridges here do not filter by VLAN, so no entry belongs to a VLAN.
            if not has_vlan and (not state or _STATES[state](line.split())):
                process.write(line.replace(f" dev {device.name}", "") if dev else line)
    return 0


def _fdb_get(process: Process, words: Words) -> int:
    """Run `bridge fdb get MAC br BRIDGE | dev DEV [master]`: print the entry of a MAC address.

    Raises `IpCommandError` for invalid words, or if there is no entry.
    """
    mac = _mac_of(words.take())
    name = ""
    while words:
        word = words.take()
        if word in ("br", "dev", "brport"):
            name = words.take()
        elif word not in ("master", "self"):
            raise IpCommandError(f'Error: either "to" is duplicate, or "{word}" is garbage.', 255)
    device = find_device(process.namespace, name)
    master = device if isinstance(device, Bridge) else device.master
    for port in master.ports if master is not None else ():
        for line in _fdb_lines(process, port):
            if line.startswith(format_mac(mac)) and " master " in line:
                process.write(line)
                return 0
    raise IpCommandError("Error: Fdb entry not found.", 254)


def _mac_of(text: str) -> Mac:
    try:
        return parse_mac(text)
    except ValueError:
        raise IpCommandError(f"Invalid mac address {text}", 255) from None


def _fdb_lines(process: Process, device: Device) -> list[str]:
    lines: list[str] = []
    now = process.clock.now_ns
    if device.master is not None:
        master = device.master
        for mac, entry in master.fdb.items():
            if entry.port is None and mac != device.mac:
                continue
            if entry.port is not None and entry.port.device is not device:
                continue
            if not entry.is_permanent and now - entry.updated_ns > master.ageing_ns:
                continue
            mark = " permanent" if entry.is_permanent else ""
            lines.append(f"{format_mac(mac)} dev {device.name} master {master.name}{mark}\n")
    # A VXLAN device's own table: the VTEP of each MAC address, and the VTEPs that receive flooded frames.
    if isinstance(device, Vxlan):
        lines += _vxlan_lines(device)
    elif device.kind != "loopback":
        lines += [f"{group} dev {device.name} self permanent\n" for group in _groups(device)]
    return lines


def _groups(device: Device) -> list[str]:
    """Return the multicast MAC addresses that a device accepts, such as `33:33:00:00:00:01` (all IPv6 nodes).

    For a bridge they include the addresses of the all-snoopers groups (RFC 4286).
    """
    groups = ["33:33:00:00:00:01"]
    if device.is_up:
        groups += ["01:00:5e:00:00:6a", "33:33:00:00:00:6a"] if isinstance(device, Bridge) else []
        groups.append("01:00:5e:00:00:01")
    solicited = (item.address[-3:] for item in device.addresses if item.family == 6)
    return groups + [f"33:33:ff:{tail.hex(':')}" for tail in dict.fromkeys(solicited)]


def _vxlan_lines(device: Vxlan) -> list[str]:
    lines = []
    for entry in device.fdb:
        texts = str(entry).split("\n")
        if (
            entry.mac == MAC_ZERO and device.config.underlay is not None
        ):  # the default remote, set by the device's `remote` and `dev` options
            texts[0] = texts[0].replace(" self", f" via {device.config.underlay.name} self")
        lines += [f"{text}\n".replace(" dst ", f" dev {device.name} dst ", 1) for text in texts]
    return lines


def _fdb_change(process: Process, words: Words, verb: str) -> int:
    mac = _mac_of(words.take())
    name = target = ""
    flags: set[str] = set()
    while words:
        word = words.take()
        if word == "dev" and words:
            name = words.take()
        elif word in ("dst", "remote") and words:
            target = words.take()
        elif word in ("self", "master", "static", "dynamic", "permanent", "local", "router", "use", "sticky"):
            flags.add(word)
        elif word in _VXLAN_KEYWORDS and isinstance(process.namespace.devices.get(name), Vxlan):
            raise OSError(errno.EOPNOTSUPP, "Operation not supported")
        else:
            raise IpCommandError(f'Error: either "to" is duplicate, or "{word}" is garbage.', 255)
    device = find_device(process.namespace, name)
    if isinstance(device, Vxlan) and "master" not in flags:
        return _vxlan_change(process, device, verb, mac, target, flags)
    if device.master is None:
        process.error("RTNETLINK answers: Operation not supported\n")
        return 2
    if verb.startswith("del"):
        if device.master.fdb.pop(mac, None) is None:
            process.error("RTNETLINK answers: No such file or directory\n")
            return 2
        return 0
    if verb == "add" and mac in device.master.fdb:
        process.error("RTNETLINK answers: File exists\n")
        return 255
    if {"dynamic", "static"} & flags:  # static entries that are not permanent are not modelled
        process.error("RTNETLINK answers: Operation not supported\n")
        return 255
    device.master.add_fdb(mac, device)
    return 0


def _vxlan_change(process: Process, device: Vxlan, verb: str, mac: Mac, target: str, flags: set[str]) -> int:
    """Add, replace or delete an entry in a VXLAN device's own table. Return the exit status.

    `verb` is the command (`add`, `del` and so on), `target` the IP address of the remote VTEP ("" for none), and
    `flags` may contain `static` or `dynamic`. iproute2 changes this table if the command has neither `self` nor
    `master`.
    """
    try:
        vtep = parse_ip(target) if target else None
    except ValueError:
        process.error(f'Error: any valid address is expected rather than "{target}".\n')
        return 1
    try:
        if verb.startswith("del"):
            device.fdb.remove(mac, vtep)
        elif vtep is None:
            raise OSError(errno.EINVAL, "Invalid argument")
        else:
            state = "static" if "static" in flags else "" if "dynamic" in flags else "permanent"
            device.fdb.add(mac, vtep, mode=_MODES[verb], state=state)
    except OSError as error:
        is_explained = error.errno == errno.EOPNOTSUPP
        process.error(f"Error: {error.strerror}.\n" if is_explained else f"RTNETLINK answers: {error.strerror}\n")
        return 255
    return 0
