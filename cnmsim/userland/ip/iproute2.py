"""iproute2 `ip` 6.15: address, link, route, neighbour, rule, netns and xfrm."""

from __future__ import annotations

import errno
from collections.abc import Callable
from typing import TYPE_CHECKING

from attrs import define

from cnmsim.kernel import procsys
from cnmsim.kernel.address import format_ip, format_mac
from cnmsim.kernel.device import Device, InterfaceAddress
from cnmsim.kernel.errno_text import errno_of, strerror
from cnmsim.kernel.ipvlan import Ipvlan
from cnmsim.kernel.vxlan import Vxlan
from cnmsim.userland.ip import xfrm
from cnmsim.userland.ip.arguments import (
    IpCommandError,
    NoDeviceError,
    Words,
    find_device,
    find_namespace,
    parse_ip_argument,
    wrong_argument,
)
from cnmsim.userland.ip.details import with_details
from cnmsim.userland.ip.device import flags_of, link_name, qdisc_of, state_of
from cnmsim.userland.ip.routes import RouteQueries
from cnmsim.userland.ip.rules import NO_TABLE
from cnmsim.userland.ip.selection import is_secondary, parse_selection, select_links
from cnmsim.userland.ip.show import IpProgram

if TYPE_CHECKING:
    from cnmsim.kernel.namespace import NetworkNamespace
    from cnmsim.kernel.process import Process

_WITHOUT_EFFECT = ("c", "color", "t", "timestamp", "ts", "tshort")
_OBJECTS = ("address", "link", "route", "neighbour", "neighbor", "rule", "netns", "xfrm", "help")
_FAMILIES = {"inet": 4, "inet6": 6, "any": 0, "all": 0, "unspec": 0}
_VERSION = "ip utility, iproute2-6.15.0, libbpf 1.5.0\n"
_USAGE = "Usage: ip [ OPTIONS ] OBJECT { COMMAND | help }\n       ip [ -force ] -batch filename\n"


#: The error texts that the kernel sends in an extended acknowledgement, by object and error number.
_ERRORS = {
    ("address", errno.EEXIST): "ipv4: Address already assigned",
    ("address", errno.EADDRINUSE): "Address already assigned to an ipvlan device",
    ("address", errno.EADDRNOTAVAIL): "ipv4: Address not found",
    ("address", errno.EACCES): "ipv6: IPv6 is disabled on this device",
    ("route", errno.ENETDOWN): "Device for nexthop is not up",
}


@define
class _Style:
    family: int = 0
    is_oneline: bool = False
    is_brief: bool = False
    has_statistics: bool = False
    has_errors: bool = False
    has_details: bool = False


async def main(process: Process) -> int:
    """Run `ip [-4|-6] [-o] [-br] [-s] [-n NETNS] OBJECT COMMAND …`."""
    words = Words(process.argv[1:])
    style = _Style()
    namespace = process.namespace
    try:
        while words.first.startswith("-") and len(words.first) > 1:
            option = words.take().lstrip("-")
            if option in ("V", "Version"):
                process.write(_VERSION)
                return 0
            if option in ("n", "netns"):
                namespace = find_namespace(process, words.take())
            elif not _set_option(style, option, words):
                process.error(f'Option "-{option}" is unknown, try "ip -help".\n')
                return 255
    except IpCommandError as error:
        process.error(f"{error}\n")
        return error.status
    if not words:
        process.error(_USAGE)
        return 255
    name = words.match_keyword(_OBJECTS)
    if name is None:
        process.error(f'Object "{words.first}" is unknown, try "ip help".\n')
        return 1
    words.take()
    if name == "help":
        process.error(_USAGE)
        return 255
    if name == "netns":
        return await _netns(process, words)
    return _Ip(process, namespace, style).guarded(name, words)


def _set_option(style: _Style, option: str, words: Words) -> bool:
    if option in ("4", "6"):
        style.family = int(option)
    elif option in ("o", "oneline"):
        style.is_oneline = True
    elif option in ("br", "brief"):
        style.is_brief = True
    elif option in ("s", "stats", "statistics"):
        style.has_errors = style.has_statistics
        style.has_statistics = True
    elif option in ("d", "details"):
        style.has_details = True
    elif option in ("f", "family"):
        name = words.take()
        if name not in _FAMILIES:
            raise wrong_argument(name, "invalid protocol family")
        style.family = _FAMILIES[name]
    else:
        return option in _WITHOUT_EFFECT or option.startswith(("c=", "color="))
    return True


async def _netns(process: Process, words: Words) -> int:
    verb = words.take() if words else "list"
    known = process.machine.namespaces
    if verb in ("list", "ls", "show"):
        for path in known:
            if path.startswith(("/var/run/netns/", "/run/netns/")):
                process.write(f"{path.rpartition('/')[2]}\n")
        return 0
    if not words:
        process.error("No netns name specified\n")
        return 255
    name = words.take()
    path = f"/var/run/netns/{name}"
    if verb == "add":
        if path in known:
            process.error(f'Cannot create namespace file "/run/netns/{name}": File exists\n')
            return 1
        process.machine.add_namespace(path, process.machine.new_namespace(name))
        return 0
    if verb in ("del", "delete"):
        if path not in known:
            process.error(f'Cannot remove namespace file "/run/netns/{name}": No such file or directory\n')
            return 1
        known.pop(path).destroy()
        return 0
    if verb != "exec":
        process.error(f'Command "{verb}" is unknown, try "ip netns help".\n')
        return 255
    try:
        namespace = find_namespace(process, name)
    except IpCommandError as error:
        process.error(f"{error}\n")
        return error.status
    if not words:
        process.error("No command specified\n")
        return 255
    program = process.programs.get(words.first)
    if program is None:
        process.error(f'exec of "{words.first}" failed: No such file or directory\n')
        return 1
    files = procsys.view_for_namespace(process.files, namespace)
    return await process.start(program, words.rest, namespace=namespace, files=files).exited


class _Ip(IpProgram):
    select_as = "address"

    def __init__(self, process: Process, namespace: NetworkNamespace, style: _Style) -> None:
        super().__init__(process, namespace, style.family, is_oneline=style.is_oneline)
        self.style = style
        self.routes = RouteQueries(process, namespace, style.family, self.changes.rules)

    def guarded(self, name: str, words: Words) -> int:
        """Run a command of the object `name`, e.g. `link`, and print errors as iproute2 does.

        Return the exit status.
        """
        process = self.process
        try:
            return self.run(name, words)
        except NoDeviceError as error:
            known = (
                f'Cannot find device "{error.name}"' if error.is_change else f'Device "{error.name}" does not exist.'
            )
            process.error(f"{known}\n")
            return 1
        except IpCommandError as error:
            text = str(error)
            is_error = any(part in text for part in ("expected rather", "garbage", "is wrong:"))
            is_error = is_error and not text.startswith("Error:")
            process.error(f"{'Error: ' if is_error else ''}{text}\n")
            return error.status
        except OSError as error:
            process.error(f"{_error_text(name, error)}\n")
            return 2

    def run(self, name: str, words: Words) -> int:
        """Run a command of the object `name`, e.g. `link`. Return the exit status.

        The first of `words` is the command, possibly abbreviated; the others are its arguments.
        """
        if name == "xfrm":
            return xfrm.run(self.process, self.namespace, words)
        changes = self.changes
        commands: dict[str, dict[str, Callable[[Words], None]]] = {
            "address": {
                "add": changes.address_add, "change": changes.address_add, "replace": self._address_replace,
                "delete": changes.address_delete, "show": self.addresses, "list": self.addresses,
                "lst": self.addresses,
                "flush": lambda rest: changes.address_flush(parse_selection(rest, self.family, "address")),
            },
            "link": {
                "set": changes.link_set, "add": changes.link_add, "delete": changes.link_delete,
                "show": self._links, "list": self._links, "lst": self._links,
            },
            "route": {
                "add": changes.route_add, "append": changes.route_append, "replace": changes.route_replace,
                "change": lambda rest: changes.route_replace(rest, must_exist=True),
                "delete": changes.route_delete, "get": self.routes.get, "show": self.routes.show,
                "list": self.routes.show,
                "lst": self.routes.show,
                "flush": lambda rest: changes.route_flush(parse_selection(rest, self.family, "route")),
            },
            "neighbour": {
                "show": self._neighbours, "list": self._neighbours, "add": changes.neighbour_set,
                "replace": changes.neighbour_set, "change": changes.neighbour_set, "delete": changes.neighbour_delete,
                "get": self._neighbour_get,
                "flush": lambda rest: changes.neighbour_flush(parse_selection(rest, self.family, "neighbour")),
            },
            "rule": {
                **dict.fromkeys(("show", "list", "lst"), lambda rest: changes.rules.show(words=rest)),
                "add": changes.rules.add, "delete": changes.rules.delete, "flush": lambda _: changes.rules.flush(),
            },
        }  # fmt: skip
        table = commands["neighbour" if name == "neighbor" else name]
        chosen = words.match_keyword(table) if words else "show"
        if chosen is None:
            self.process.error(f'Command "{words.first}" is unknown, try "ip {name} help".\n')
            return 255
        if words:
            words.take()
        table[chosen](words)
        return 0

    def _address_replace(self, words: Words) -> None:
        try:
            self.changes.address_add(words)
        except FileExistsError:
            return

    # --- links

    def _link_line(self, device: Device, *, has_mode: bool) -> str:
        words = [
            f"{device.index}: {link_name(device)}: <{flags_of(device)}> mtu {device.mtu} qdisc {qdisc_of(device)}"
        ]
        if device.master is not None:
            words.append(f"master {device.master.name}")
        words.append(f"state {state_of(device)}")
        words += ["mode DEFAULT"] if has_mode else []
        words.append("group default")
        length = device.txqueuelen
        words.append(f"qlen {length}" if length else "")
        return " ".join(words)

    def hardware_line(self, device: Device) -> str:
        line = super().hardware_line(device)
        peer = getattr(device, "peer", None)
        home = peer.namespace if isinstance(peer, Device) else None
        if isinstance(device, Vxlan):
            home = device.link_namespace
        if home is not None and home is not device.namespace:
            line += f" link-netnsid {self._netns_id(home)}"
        if isinstance(device, Ipvlan) and device.permanent_mac != device.mac:
            line += f" permaddr {format_mac(device.permanent_mac)}"
        return line

    def _netns_id(self, namespace: NetworkNamespace) -> int:
        known = list(self.process.machine.namespaces.values())
        return known.index(namespace) if namespace in known else 0

    def _statistics_lines(self, device: Device) -> list[str]:
        none = "0      0       0       0       0 "
        lines = [
            "    RX:  bytes packets errors dropped  missed   mcast           ",
            f"    {device.rx_bytes:>10} {device.rx_packets:>7}      0 {device.rx_dropped:>7}       0       0 ",
            "    TX:  bytes packets errors dropped carrier collsns           ",
            f"    {device.tx_bytes:>10} {device.tx_packets:>7}      0 {device.tx_dropped:>7}       0       0 ",
        ]
        if self.style.has_errors:
            lines[2:2] = ["    RX errors:  length    crc   frame    fifo overrun", f"{'':21}{none}"]
            lines += ["    TX errors: aborted   fifo  window heartbt transns", f"{'':21}{none}"]
        return lines

    def _links(self, words: Words) -> None:
        for device in select_links(self.namespace, parse_selection(words, self.family, "link")):
            if self.style.is_brief:
                self.process.write(
                    f"{link_name(device):<16} {state_of(device):<14} {format_mac(device.mac)} <{flags_of(device)}> \n"
                )
                continue
            hardware = [self.hardware_line(device)]
            if self.style.has_details:
                hardware = with_details(device, hardware[0], has_mode=True)
            lines = [self._link_line(device, has_mode=True), *hardware]
            self.print_lines(*lines, *(self._statistics_lines(device) if self.style.has_statistics else ()))

    # --- addresses

    def show_addresses(self, device: Device, addresses: list[InterfaceAddress], *, is_alone: bool) -> None:
        if self.style.is_brief:
            shown = "".join(f"{item} " for item in addresses)
            self.process.write(f"{link_name(device):<16} {state_of(device):<14} {shown}\n")
            return
        super().show_addresses(device, addresses, is_alone=is_alone)
        if self.style.has_statistics and not self.is_oneline:
            self.print_lines(*self._statistics_lines(device))

    def head_lines(self, device: Device, *, is_alone: bool) -> list[str]:
        if (
            self.family == 6 and not is_alone
        ):  # `ip -6 addr` gets its list of links from the IPv6 stack, which reports fewer fields
            length = f" qlen {device.txqueuelen}" if device.txqueuelen else ""
            head = (
                f"{device.index}: {link_name(device)}: <{flags_of(device)}> mtu {device.mtu} state {state_of(device)}"
            )
            hardware = self.hardware_line(device).partition(" brd ")[0]
            return [head + length, *([hardware] if self.style.has_details else [])]
        head = self._link_line(device, has_mode=False)
        if self.style.has_details:
            return [head, *with_details(device, self.hardware_line(device), has_mode=False)]
        return [head] if self.family else [head, self.hardware_line(device)]

    def address_line(self, device: Device, item: InterfaceAddress) -> str:
        words = [f"    {'inet' if item.family == 4 else 'inet6'} {item}"]
        if item.broadcast is not None and item.family == 4:
            words.append(f"brd {format_ip(item.broadcast)}")
        words.append(f"scope {item.scope}")
        if is_secondary(device, item):
            words.append("secondary")
        if item.family == 6:
            words += ["nodad"] if "nodad" in item.flags else []
        words += ["noprefixroute"] if "noprefixroute" in item.flags else []
        if item.protocol:
            words.append(f"proto {item.protocol}")
        words.append(device.name if item.family == 4 else "")
        return " ".join(words)

    # --- neighbours

    def _neighbour_get(self, words: Words) -> None:
        address, name = None, ""
        while words:
            word = words.take()
            if word == "dev":
                name = words.take()
            else:
                address = parse_ip_argument(words.take() if word == "to" else word)
        if address is None or not name:
            raise IpCommandError("Device and address are required arguments.")
        device = find_device(self.namespace, name, is_change=False)
        for entry in self.namespace.neighbours.entries():
            if entry.device is device and entry.address == address:
                self.process.write(f"{entry} \n")
                return
        raise IpCommandError("Error: Neighbour entry not found.", 2)

    def _neighbours(self, words: Words) -> None:
        chosen = parse_selection(words, self.family, "neighbour")
        for entry in self.changes.select_neighbours(chosen):
            text = str(entry)
            if chosen.device:
                text = text.replace(f" dev {entry.device.name}", "", 1)
            self.process.write(f"{text} \n")


def _error_text(name: str, error: OSError) -> str:
    number = errno_of(error)
    if (name, number) in _ERRORS:
        return f"Error: {_ERRORS[name, number]}."
    if error.strerror == NO_TABLE:
        return f"Error: ipv4: {NO_TABLE}.\nDump terminated" if number == errno.ENOENT else f"Error: {NO_TABLE}."
    if name == "route" and "invalid gateway" in str(error):
        return "Error: Nexthop has invalid gateway."
    is_explained = name == "link" and ("VXLAN" in str(error) or (error.strerror or "").startswith("mtu "))
    if is_explained or (name == "xfrm" and number == errno.ENOSYS):
        return f"Error: {error.strerror}."
    return f"RTNETLINK answers: {strerror(error)}"
