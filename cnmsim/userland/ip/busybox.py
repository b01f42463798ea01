"""busybox `ip`: addr, link, route, neigh and rule, printed as in busybox networking/libiproute."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

from cnmsim.kernel.address import format_ip, format_mac, parse_ip
from cnmsim.kernel.clock import NS_PER_S
from cnmsim.kernel.device import Device, InterfaceAddress
from cnmsim.kernel.errno_text import strerror
from cnmsim.kernel.fibrules import MAIN
from cnmsim.userland.busybox.applet import complain, show_usage
from cnmsim.userland.ip.arguments import IpCommandError, NoDeviceError, Words
from cnmsim.userland.ip.device import flags_of, link_name, qdisc_of
from cnmsim.userland.ip.selection import Selection, parse_selection, select_links, select_routes
from cnmsim.userland.ip.show import IpProgram

if TYPE_CHECKING:
    from cnmsim.kernel.process import Process
    from cnmsim.kernel.route import Route

_SYNOPSIS = (
    "[OPTIONS] address|route|link|tunnel|neigh|rule [ARGS]\n\nOPTIONS := -f[amily] inet|inet6|link | -o[neline]\n\n"
    "ip addr add|del IFADDR dev IFACE | show|flush [dev IFACE] [to PREFIX]\n"
    "ip route list|flush|add|del|change|append|replace|test ROUTE\n"
    "ip link set IFACE [up|down] [arp on|off] [multicast on|off]\n"
    "\t[promisc on|off] [mtu NUM] [name NAME] [qlen NUM] [address MAC]\n"
    "\t[master IFACE | nomaster] [netns PID] [type TYPE ARGS]\n"
    "ip tunnel add|change|del|show [NAME]\n"
    "\t[mode ipip|gre|sit] [remote ADDR] [local ADDR] [ttl TTL]\n"
    "ip neigh show|flush [to PREFIX] [dev DEV] [nud STATE]\n"
    "ip rule [list] | add|del SELECTOR ACTION"
)
_IOCTLS = {
    "mtu": "SIOCSIFMTU", "address": "SIOCSIFHWADDR", "name": "SIOCSIFNAME", "up": "SIOCSIFFLAGS",
    "down": "SIOCSIFFLAGS",
}  # fmt: skip
_OBJECTS = ("address", "route", "link", "neighbour", "rule", "tunnel")


async def main(process: Process) -> int:
    """Run `ip [-4|-6] [-o] OBJECT COMMAND …`."""
    words = Words(process.argv[1:])
    family, is_oneline = 0, False
    while words.first.startswith("-") and len(words.first) > 1:
        option = words.take().lstrip("-")
        if option in ("4", "6", "0"):
            family = int(option)
        elif option and "oneline".startswith(option):
            is_oneline = True
        elif option and "family".startswith(option):
            family = {"inet": 4, "inet6": 6}.get(words.take() if words else "", 0)
        else:
            return show_usage(process, _SYNOPSIS)
    name = words.match_keyword(_OBJECTS)
    if name is None:
        return show_usage(process, _SYNOPSIS)
    words.take()
    command = _Ip(process, process.namespace, family, is_oneline=is_oneline)
    try:
        return command.run(name, words)
    except NoDeviceError as error:
        if name == "link" and error.is_change:
            complain(process, "SIOCGIFFLAGS: No such device")
            return 2
        complain(process, f"can't find device '{error.name}'")
        return 2 if name == "link" else 1
    except IpCommandError as error:
        if error.is_usage:
            return show_usage(process, _SYNOPSIS)
        complain(process, _error_text(str(error)))
        return 2 if "RTNETLINK" in _error_text(str(error)) else 1
    except OSError as error:
        complain(process, f"{_request_name(name, process.argv)}: {strerror(error)}")
        return 2


def _request_name(name: str, argv: list[str]) -> str:
    """Return the text before the colon in busybox's error message for a failed kernel call.

    It is the name of an ioctl for settings such as `ip link set DEV up`, and `RTNETLINK answers` otherwise. `name` is
    the command's object, such as `link`, and `argv` the whole command line.
    """
    if name == "link" and "set" in argv:
        return next((call for word, call in _IOCTLS.items() if word in argv), "RTNETLINK answers")
    return "RTNETLINK answers"


class _Ip(IpProgram):
    def run(self, name: str, words: Words) -> int:
        changes = self.changes
        commands: dict[str, dict[str, Callable[[Words], None]]] = {
            "address": {
                "add": changes.address_add, "delete": changes.address_delete, "list": self.addresses,
                "show": self.addresses, "lst": self.addresses,
                "flush": lambda rest: changes.address_flush(parse_selection(rest, self.family)),
            },
            "link": {
                "set": changes.link_set, "add": changes.link_add, "delete": changes.link_delete,
                "show": self._links, "list": self._links, "lst": self._links,
            },
            "route": {
                "add": changes.route_add, "append": changes.route_append, "change": self._route_change,
                "delete": changes.route_delete, "get": self._route_get, "list": self._routes, "show": self._routes,
                "replace": changes.route_replace,
                "flush": lambda rest: changes.route_flush(parse_selection(rest, self.family)),
            },
            "neighbour": {
                "show": self._neighbours, "list": self._neighbours,
                "flush": lambda rest: changes.neighbour_flush(parse_selection(rest, self.family)),
                "add": changes.neighbour_set, "replace": changes.neighbour_set, "delete": changes.neighbour_delete,
            },
            "rule": {
                **dict.fromkeys(("list", "show"), lambda _: changes.rules.show(" ")),
                "add": changes.rules.add, "delete": changes.rules.delete,
            },
        }  # fmt: skip
        table = commands.get(name)
        if table is None:
            raise IpCommandError("", is_usage=True)
        chosen = words.match_keyword(table)
        if chosen is None:
            if words and name == "rule":
                raise IpCommandError("", is_usage=True)
            if words and words.first in ("help", "add"):
                raise IpCommandError("", is_usage=True)
            chosen = "show" if "show" in table else "list"
        else:
            words.take()
        table[chosen](words)
        return 0

    def _route_change(self, words: Words) -> None:
        self.changes.route_replace(words, must_exist=True)

    # --- links and addresses

    def _link_line(self, device: Device, *, is_inet6: bool = False) -> str:
        flags = flags_of(device, shows_peer=device.kind != "nic")
        name = link_name(device) if device.kind != "nic" else device.name
        # busybox shows a peer in another namespace as down.
        if "@if" in name:
            flags += ",M-DOWN"
        words = [f"{device.index}: {name}: <{flags}> mtu {device.mtu}"]
        if not is_inet6:
            words.append(f"qdisc {qdisc_of(device)}")
        if device.master is not None and not is_inet6:
            words.append(f"master {device.master.name}")
        length = device.txqueuelen
        words.append(f"qlen {length}" if length else "")
        return " ".join(words)

    def _links(self, words: Words) -> None:
        for device in select_links(self.namespace, parse_selection(words, self.family)):
            self.print_lines(self._link_line(device), self.hardware_line(device))

    def head_lines(self, device: Device, *, is_alone: bool) -> list[str]:
        del is_alone
        head = self._link_line(device, is_inet6=self.family == 6)
        return [head] if self.family else [head, self.hardware_line(device)]

    def address_line(self, device: Device, item: InterfaceAddress) -> str:
        kind = "inet" if item.family == 4 else "inet6"
        words = [f"    {kind} {item}"]
        if item.broadcast is not None and item.family == 4:
            words.append(f"brd {format_ip(item.broadcast)}")
        words.append(f"scope {item.scope}")
        if item.family == 6 and "nodad" in item.flags:
            words.append("flags 02")
        words.append(device.name if item.family == 4 else "")
        return " ".join(words)

    # --- routes

    def _routes(self, words: Words) -> None:
        chosen = parse_selection(words, self.family)
        families = (self.family,) if self.family else (4, 6) if chosen.table == "all" else (4,)
        for family in families:
            for number, route in self._selected(family, chosen):
                self.process.write(f"{self._route_line(number, route, chosen)}\n")

    def _selected(self, family: int, chosen: Selection) -> list[tuple[int, Route]]:
        try:
            return select_routes(self.namespace, family, chosen, self.changes.rules)
        except FileNotFoundError:  # busybox dumps all tables and filters by number: an unknown table is just empty
            return []

    def _route_line(self, number: int, route: Route, chosen: Selection) -> str:
        names = self.changes.rules.names()
        has_table = chosen.table == "all" and number != MAIN
        return route_text(route, chosen, names.get(number, str(number)) if has_table else "")

    def _route_get(self, words: Words) -> None:
        text = words.take()
        try:
            address = parse_ip(text.partition("/")[0])
        except ValueError:
            raise IpCommandError(f"inet address is expected rather than '{text}'") from None
        decision = self.namespace.route_output(address)
        is_local = self.namespace.is_local(address)
        fields = ["local"] if is_local else []
        fields.append(format_ip(address))
        fields += ["via", format_ip(decision.gateway)] if decision.gateway is not None else []
        source = f" src {format_ip(decision.src)}" if decision.src else ""
        self.process.write(f"{' '.join(fields)} dev {'lo' if is_local else decision.outdev.name} {source} \n")

    # --- neighbours

    def _neighbours(self, words: Words) -> None:
        now = self.process.clock.now_ns
        for entry in self.changes.select_neighbours(parse_selection(words, self.family)):
            if entry.state.value == "NOARP":
                continue
            fields = [f"{format_ip(entry.address)} dev {entry.device.name}"]
            fields += [f"lladdr {format_mac(entry.mac)}"] if entry.mac is not None else [""]
            age = (now - entry.confirmed_ns) // NS_PER_S
            fields.append(f"ref 1 used 0/0/{age} probes {entry.probes} {entry.state.value}")
            self.process.write(f"{' '.join(fields)}\n")


def _error_text(text: str) -> str:
    """Convert the text of a command-line error from iproute2's wording to busybox's."""
    if '"dev" argument' in text:
        return 'need "dev IFACE"'
    if text.startswith("any valid prefix"):
        return "RTNETLINK answers: Numerical result out of range"
    return text if text.startswith("RTNE") else text[0].lower() + text[1:]


def route_text(route: Route, chosen: Selection | None = None, table: str = "") -> str:
    """Format a route as busybox does, including its double spaces.

    `table` is the name of the routing table to print, "" to print none. `chosen` is the selection of `ip route show`:
    if it selects a device, the route's device is not printed.
    """
    words = [] if route.kind == "unicast" else [f"{route.kind} "]
    bits = 128 if route.prefix.family == 6 else 32
    if not route.prefix.length:
        words.append("default ")
    else:
        words.append(f"{format_ip(route.prefix.network) if route.prefix.length == bits else route.prefix} ")
    if route.gateway is not None:
        words.append(f"via {format_ip(route.gateway)} ")
    if route.device is not None and not (chosen is not None and chosen.device):
        words.append(f"dev {route.device.name} ")
    if table:
        words.append(f"table {table} ")
    if route.scope != "global" and route.prefix.family == 4:
        words.append(f"scope {route.scope} ")
    if route.src is not None:
        words.append(f" src {format_ip(route.src)} ")
    if route.metric or route.prefix.family == 6:
        words.append(f" metric {route.metric} ")
    if route.mtu is not None:
        words.append(f" mtu {route.mtu} ")
    return "".join(words)


__all__ = ["main", "route_text"]
