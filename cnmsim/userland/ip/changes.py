"""The commands of `ip` that change addresses, links, routes or neighbours, shared by iproute2 and busybox.

Errors of the kernel are raised as `OSError`, errors in the command line as `IpCommandError`. iproute2 and busybox,
the callers, convert them to error texts of their own.
"""

from __future__ import annotations

import errno
from collections.abc import Callable
from typing import TYPE_CHECKING

from cnmsim.kernel.address import Address, Prefix, family_of, format_ip
from cnmsim.kernel.bridge import Bridge
from cnmsim.kernel.device import Device
from cnmsim.kernel.fibrules import LOCAL
from cnmsim.kernel.route import Route, RoutingTable
from cnmsim.userland.ip.arguments import (
    IpCommandError,
    Words,
    find_device,
    find_namespace,
    parse_integer_argument,
    parse_interface_argument,
    parse_ip_argument,
    parse_mac_argument,
    parse_prefix_argument,
)
from cnmsim.userland.ip.child_links import change as change_child
from cnmsim.userland.ip.link_kinds import LINK_KINDS
from cnmsim.userland.ip.link_request import LinkRequest, new_mac
from cnmsim.userland.ip.rules import IpRules
from cnmsim.userland.ip.selection import Selection, select_addresses, select_routes

if TYPE_CHECKING:
    from cnmsim.kernel.namespace import NetworkNamespace
    from cnmsim.kernel.neighbour import Neighbour
    from cnmsim.kernel.process import Process

_KINDS_OF_ROUTE = ("unicast", "blackhole", "unreachable", "prohibit", "throw")
_ROUTE_KEYWORDS = (
    "via", "dev", "metric", "src", "proto", "protocol", "scope", "mtu", "table", "preference", "priority",
)  # fmt: skip
_NUD_STATES = (
    "permanent", "noarp", "reachable", "stale", "delay", "probe", "failed", "incomplete", "none",
)  # fmt: skip
_OTHER_KINDS = ("local", "broadcast", "anycast", "multicast", "nat")


class IpChanges:
    """The changing commands of `ip`, run by `process` in one namespace. `family` is 4, 6, or 0 for both.

    Each of them raises `IpCommandError` for invalid words, `NoDeviceError` for an unknown device, and `OSError` if
    the kernel refuses the change.
    """

    def __init__(self, process: Process, namespace: NetworkNamespace, family: int) -> None:
        self.process = process
        self.namespace = namespace
        self.family = family
        self.rules = IpRules(process, namespace, family)

    def _require_net_admin(self) -> None:
        self.process.credentials.require("NET_ADMIN")

    # --- addresses

    def address_add(self, words: Words) -> None:
        """Run `addr add PREFIX dev DEV [brd X] [scope S] [nodad] [noprefixroute]`."""
        self._require_net_admin()
        text, name, options = self._address_words(words)
        device = find_device(self.namespace, name)
        address, length = parse_interface_argument(text)
        broadcast = None
        if options.get("brd") == "+":
            broadcast = Prefix.of(address, length).broadcast
        elif "brd" in options:
            broadcast = parse_ip_argument(options["brd"])
        self.namespace.add_address(
            device,
            f"{format_ip(address)}/{length}",
            scope=options.get("scope", "host" if address[0] == 127 and len(address) == 4 else "global"),
            broadcast=broadcast,
            nodad="nodad" in options,
            noprefixroute="noprefixroute" in options,
        )

    def address_delete(self, words: Words) -> None:
        """Run `addr del PREFIX dev DEV`."""
        self._require_net_admin()
        text, name, _ = self._address_words(words)
        device = find_device(self.namespace, name)
        address, length = parse_interface_argument(text)
        self.namespace.remove_address(device, f"{format_ip(address)}/{length}")

    def address_flush(self, chosen: Selection) -> None:
        """Run `addr flush dev DEV`: delete the addresses that match `chosen`."""
        self._require_net_admin()
        name = chosen.device or (chosen.rest[0] if chosen.rest else "")
        if not name:
            raise IpCommandError("Flush requires arguments.")
        device = find_device(self.namespace, name)
        for item in select_addresses(device, self.family, chosen):
            self.namespace.remove_address(device, str(item))

    def _address_words(self, words: Words) -> tuple[str, str, dict[str, str]]:
        text = name = ""
        options: dict[str, str] = {}
        while words:
            word = words.take()
            if word == "dev":
                name = words.take()
            elif word in ("brd", "broadcast"):
                options["brd"] = words.take()
            elif word in ("scope", "label", "valid_lft", "preferred_lft", "metric", "proto"):
                options[word] = words.take()
            elif word in ("nodad", "noprefixroute", "home", "mngtmpaddr"):
                options[word] = ""
            elif word in ("local", "peer", "remote"):
                text = words.take()
            else:
                text = word
        if not name:
            raise IpCommandError('Not enough information: "dev" argument is required.')
        if not text:
            raise IpCommandError("Command line is not complete.", 255)
        return text, name, options

    # --- links

    def link_set(self, words: Words) -> None:
        """Run `link set [dev] DEV up|down|mtu N|name N|address MAC|master BRIDGE|nomaster|txqueuelen N|netns N …`."""
        self._require_net_admin()
        word = words.take()
        name = words.take() if word == "dev" else word
        device = find_device(self.namespace, name)
        changes: dict[str, Callable[[], None]] = {
            "up": device.set_up,
            "down": device.set_down,
            "mtu": lambda: device.set_mtu(parse_integer_argument(words.take())),
            "name": lambda: self.namespace.rename_device(device, words.take()),
            "address": lambda: device.set_mac(parse_mac_argument(words.take())),
            "master": lambda: self._enslave(device, words.take()),
            "nomaster": lambda: self._release(device),
            "netns": lambda: self.namespace.move_device(device, find_namespace(self.process, words.take())),
        }
        while words:
            word = words.take()
            if word in changes:
                changes[word]()
            elif word in ("txqueuelen", "qlen", "txqlen"):
                device.txqueuelen = parse_integer_argument(words.take())
            elif word == "type":
                change_child(device, words.take(), words)
            elif word == "promisc":
                device.is_promiscuous = _is_on(word, words.take())
            elif word == "allmulticast":
                device.is_all_multicast = _is_on(word, words.take())
            elif word in ("arp", "multicast", "alias", "group", "hairpin"):
                words.take()
            else:
                raise IpCommandError(f'either "dev" is duplicate, or "{word}" is a garbage.', 255)

    def _enslave(self, device: Device, name: str) -> None:
        master = find_device(self.namespace, name)
        if not isinstance(master, Bridge):
            raise OSError(errno.EOPNOTSUPP, "Operation not supported")
        if device.master is not None:
            device.master.remove_port(device)
        master.add_port(device)

    def _release(self, device: Device) -> None:
        if device.master is not None:
            device.master.remove_port(device)

    def link_add(self, words: Words) -> None:
        """Run `link add [link DEV] [name] NAME … type KIND …` for the kinds in `LINK_KINDS`."""
        self._require_net_admin()
        name = kind = parent = ""
        mac: bytes | None = None
        mtu = 0
        while words:
            word = words.take()
            if word == "type":
                kind = words.take()
                break
            if word in ("name", "dev"):
                name = words.take()
            elif word == "link":
                parent = words.take()
            elif word == "address":
                mac = parse_mac_argument(words.take())
            elif word == "mtu":
                mtu = parse_integer_argument(words.take())
            elif word in ("txqueuelen", "numtxqueues", "numrxqueues", "index"):
                words.take()
            else:
                name = word
        if not kind:
            raise IpCommandError('Not enough information: "type" argument is required.', 255)
        maker = LINK_KINDS.get(kind)
        if maker is None:
            raise IpCommandError("Error: Unknown device type.", 2)
        lower = find_device(self.namespace, parent) if parent else None
        link = maker(
            LinkRequest(
                self.process,
                self.namespace,
                name,
                mac or new_mac(self.process),
                lower,
                words,
                has_mac=mac is not None,
            )
        )
        if mtu:
            link.set_mtu(mtu)

    def link_delete(self, words: Words) -> None:
        """Run `link del [dev] NAME`."""
        self._require_net_admin()
        word = words.take()
        name = words.take() if word == "dev" else word
        self.namespace.remove_device(find_device(self.namespace, name))

    # --- routes

    def read_route(self, words: Words) -> tuple[Route, str]:
        """Parse a route: `[TYPE] PREFIX [via X] [dev D] [metric N] [src X] [proto P] [scope S] [mtu N] [table T]`.

        Return the route, and its table as the user typed it ("" if no table is given). Raises `IpCommandError` for an
        invalid route, and `OSError(EOPNOTSUPP)` for a type of route that is not modelled.
        """
        if words.first in _OTHER_KINDS:
            raise OSError(errno.EOPNOTSUPP, "Operation not supported")
        kind = words.take() if words.first in _KINDS_OF_ROUTE else "unicast"
        target: str | None = None
        values: dict[str, str] = {}
        while words:
            word = words.take()
            if word in _ROUTE_KEYWORDS:
                value = words.take()
                if word == "via" and value in ("inet", "inet6"):
                    value = words.take()
                if word == "mtu" and value == "lock":
                    value = words.take()
                values[{"protocol": "proto", "preference": "metric", "priority": "metric"}.get(word, word)] = value
            elif word in ("onlink", "pervasive"):
                continue
            elif word == "to" or word in ("advmss", "window", "hoplimit", "initcwnd", "pref"):
                if word == "to":
                    target = words.take()
                else:
                    words.take()
            elif target is None:
                target = word
            else:
                raise IpCommandError(f'either "to" is duplicate, or "{word}" is a garbage.', 255)
        gateway = parse_ip_argument(values["via"]) if "via" in values else None
        source = parse_ip_argument(values["src"]) if "src" in values else None
        family = self.family or (family_of(gateway or source or b"") if gateway or source else 4)
        prefix = parse_prefix_argument(target or "default", family)
        device = find_device(self.namespace, values["dev"]) if "dev" in values else None
        scope = values.get("scope") or (
            "link" if kind == "unicast" and gateway is None and prefix.family == 4 else "global"
        )
        route = Route(
            prefix, device, gateway, parse_integer_argument(values.get("metric", "0")), scope, source,
            values.get("proto", "boot"), kind, parse_integer_argument(values["mtu"]) if "mtu" in values else None,
        )  # fmt: skip
        return route, values.get("table", "")

    def _route_and_table(self, words: Words) -> tuple[Route, RoutingTable]:
        self._require_net_admin()
        route, table = self.read_route(words)
        return route, self.rules.table(table, route.prefix.family, create=True)

    def route_add(self, words: Words) -> None:
        """Run `route add ROUTE`."""
        self.namespace.add_route(*self._route_and_table(words))

    def route_append(self, words: Words) -> None:
        """Run `route append ROUTE`."""
        route, table = self._route_and_table(words)
        try:
            self.namespace.add_route(route, table)
        except FileExistsError:
            table.add(route, append=True)

    def route_delete(self, words: Words) -> None:
        """Run `route del ROUTE`: delete the first route that matches. Raises `OSError(ESRCH)` if none matches."""
        self._require_net_admin()
        pattern, name = self.read_route(words)
        try:
            table = self.rules.table(name, pattern.prefix.family)
        except FileNotFoundError as absent:
            raise OSError(errno.ESRCH, absent.strerror) from None
        self.namespace.remove_route(self._find(pattern, table), table)

    def _find(self, pattern: Route, table: RoutingTable) -> Route:
        for route in table.routes:
            if (
                route.prefix == pattern.prefix
                and (pattern.device is None or route.device is pattern.device)
                and (pattern.gateway is None or route.gateway == pattern.gateway)
                and (not pattern.metric or route.metric == pattern.metric)
                and (pattern.kind in ("unicast", route.kind))
            ):
                return route
        raise OSError(errno.ESRCH, "No such process")

    def route_replace(self, words: Words, *, must_exist: bool = False) -> None:
        """Run `route replace ROUTE`, or `route change ROUTE` if `must_exist` is set.

        Raises `OSError(ENOENT)` if `must_exist` is set and there is no route with that prefix and metric.
        """
        route, table = self._route_and_table(words)
        metric = route.metric or (1024 if route.prefix.family == 6 else 0)
        old = next((other for other in table.routes if other.prefix == route.prefix and other.metric == metric), None)
        if old is None and must_exist:
            raise OSError(errno.ENOENT, "No such file or directory")
        if old is not None:
            self.namespace.remove_route(old, table)
        try:
            self.namespace.add_route(route, table)
        except OSError:
            if old is not None:
                table.add(old)
            raise

    def route_flush(self, chosen: Selection) -> None:
        """Run `route flush …`: delete the routes that match `chosen`. `route flush cache` does nothing."""
        self._require_net_admin()
        if chosen.table == "cache" or "cache" in chosen.flags or chosen.rest[:1] == ["cache"]:
            return
        for family in (self.family,) if self.family else (4, 6):
            for number, route in select_routes(self.namespace, family, chosen, self.rules):
                if number != LOCAL:
                    self.namespace.remove_route(route, self.rules.table(str(number), family))

    # --- neighbours

    def neighbour_set(self, words: Words) -> None:
        """Run `neigh add|replace ADDRESS lladdr MAC dev DEV [nud permanent]`."""
        self._require_net_admin()
        address, name, mac = self._neighbour_words(words)
        if mac is None:
            raise IpCommandError("Error: No link layer address given.", 2)
        self.namespace.neighbours.set_permanent(find_device(self.namespace, name), address, mac)

    def neighbour_delete(self, words: Words) -> None:
        """Run `neigh del ADDRESS dev DEV`."""
        self._require_net_admin()
        address, name, _ = self._neighbour_words(words)
        self.namespace.neighbours.remove(find_device(self.namespace, name), address)

    def neighbour_flush(self, chosen: Selection) -> None:
        """Run `neigh flush [dev DEV] [ADDRESS]`: delete the entries that match `chosen`.

        Permanent entries are kept unless `chosen` selects the state PERMANENT.
        """
        self._require_net_admin()
        for entry in self.select_neighbours(chosen):
            if entry.state.value != "PERMANENT" or "PERMANENT" in chosen.states:
                self.namespace.neighbours.remove(entry.device, entry.address)

    def select_neighbours(self, chosen: Selection) -> list[Neighbour]:
        """Return the neighbour entries that match a selection."""
        if chosen.device:
            find_device(self.namespace, chosen.device, is_change=False)
        prefix = chosen.to or (parse_prefix_argument(chosen.rest[0], self.family) if chosen.rest else None)
        master = find_device(self.namespace, chosen.master) if chosen.master else None
        return [
            entry
            for entry in self.namespace.neighbours.entries()
            if (not self.family or family_of(entry.address) == self.family)
            and (not chosen.device or entry.device.name == chosen.device)
            and (prefix is None or entry.address in prefix)
            and (not chosen.states or "ALL" in chosen.states or entry.state.value in chosen.states)
            and (master is None or entry.device.master is master)
            and not chosen.flags & {"proxy"}
        ]

    def _neighbour_words(self, words: Words) -> tuple[Address, str, bytes | None]:
        address: Address | None = None
        name = ""
        mac: bytes | None = None
        while words:
            word = words.take()
            if word == "dev":
                name = words.take()
            elif word == "lladdr":
                mac = parse_mac_argument(words.take())
            elif word in ("nud", "state"):
                state = words.take()
                if state not in _NUD_STATES:
                    raise IpCommandError(f'argument "{state}" is wrong: nud state is bad', 255)
                if state != "permanent":  # other states cannot be set by the user
                    raise OSError(errno.EOPNOTSUPP, "Operation not supported")
            else:
                address = parse_ip_argument(words.take() if word == "to" else word)
        if address is None or not name:
            raise IpCommandError("Device and destination are required arguments.", 255)
        return address, name, mac


def _is_on(option: str, text: str) -> bool:
    if text not in ("on", "off"):
        raise IpCommandError(f'Error: argument of "{option}" must be "on" or "off", not "{text}"', 255)
    return text == "on"
