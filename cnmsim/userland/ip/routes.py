"""`ip route show` and `ip route get`, as iproute2 6.15 prints them."""

from __future__ import annotations

import errno
from typing import TYPE_CHECKING

from attrs import define, field

from cnmsim.kernel.address import Address, format_ip, parse_ip
from cnmsim.kernel.fibrules import MAIN
from cnmsim.kernel.pathmtu import UNKNOWN
from cnmsim.userland.ip.arguments import IpFault, Words, device_named, read_integer, read_ip
from cnmsim.userland.ip.selection import has_linkdown, read_selection, select_routes

if TYPE_CHECKING:
    from cnmsim.kernel.device import Device
    from cnmsim.kernel.namespace import NetworkNamespace
    from cnmsim.kernel.process import Process
    from cnmsim.kernel.route import Route
    from cnmsim.userland.ip.rules import IpRules

_NO_WAY = {"prohibit": errno.EACCES, "blackhole": errno.EINVAL, "unreachable": errno.EHOSTUNREACH}


@define
class _Get:
    """What `ip route get` asks of besides the destination."""

    source: Address | None = None
    indev: Device | None = None
    outdev: Device | None = None
    mark: int = 0
    user: int = 0
    is_match_wanted: bool = False


def _read_get(namespace: NetworkNamespace, words: Words) -> _Get:
    given = _Get()
    while words:
        word = words.take()
        if word == "from":
            given.source = read_ip(words.take().partition("/")[0])
        elif word in ("oif", "dev"):
            given.outdev = device_named(namespace, words.take())
        elif word == "iif":
            given.indev = device_named(namespace, words.take())
        elif word == "mark":
            given.mark = _mark(words.take())
        elif word == "uid":
            given.user = read_integer(words.take())
        elif word == "fibmatch":
            given.is_match_wanted = True
        elif word in ("tos", "dsfield", "ipproto", "sport", "dport"):
            words.take()  # no rule here asks for these
        elif word == "vrf":
            raise IpFault(f'argument "{words.take()}" is wrong: Invalid VRF\n', 255)
        elif word not in ("notify", "connected"):
            raise IpFault(f'inet prefix is expected rather than "{word}".')
    return given


def _mark(text: str) -> int:
    try:
        return int(text, 0)
    except ValueError:
        raise IpFault(f'argument "{text}" is wrong: invalid mark\n', 255) from None


def _with_table(text: str, route: Route, table: str) -> str:
    """Write the table of a route where iproute2 does: behind the device."""
    if route.device is None:
        head, space, tail = text.partition(f" {route.prefix}" if route.prefix.length else " default")
        return f"{head}{space} table {table}{tail}" if space else f"{text} table {table}"
    device = f" dev {route.device.name}"
    return text.replace(device, f"{device} table {table}", 1)


def route_text(route: Route) -> str:
    """Write a route as iproute2 does, without the blank at its end."""
    text = str(route)
    if has_linkdown(route):
        text += " linkdown"
    if route.prefix.family == 6:
        text += " pref medium"
    return text


@define(eq=False)
class RouteQueries:
    """What `ip route` tells of a namespace, for both families or one (4 or 6)."""

    process: Process = field(repr=False)
    namespace: NetworkNamespace
    family: int
    rules: IpRules = field(repr=False)

    def show(self, words: Words) -> None:
        """Run `ip route show`."""
        chosen = read_selection(words, self.family, "route")
        families = (self.family,) if self.family else (4, 6) if chosen.table in ("all", "0") else (4,)
        for family in families:
            names = self.rules.names()
            for number, route in select_routes(self.namespace, family, chosen, self.rules):
                text = route_text(route)
                if chosen.table in ("all", "0") and number != MAIN:
                    text = _with_table(text, route, names.get(number, str(number)))
                if chosen.device and route.device is not None:
                    text = text.replace(f" dev {route.device.name}", "", 1)
                for name, value in (("proto", chosen.protocol), ("scope", chosen.scope)):
                    text = text.replace(f" {name} {value}", "", 1) if value else text
                if chosen.metric is not None:
                    text = text.replace(f" metric {chosen.metric}", "", 1)
                for name, address in (("via", chosen.via), ("src", chosen.src)):
                    text = text.replace(f" {name} {format_ip(address)}", "", 1) if address is not None else text
                # What IPv6 says of preference is followed by no blank.
                self.process.write(f"{text}\n" if text.endswith("pref medium") else f"{text} \n")

    def get(self, words: Words) -> None:
        """Run `ip route get`. Raises `IpFault`, and `OSError` where there is no way."""
        text = words.take()
        is_wanted = text == "fibmatch"
        text = words.take() if is_wanted else text
        text = words.take() if text == "to" else text
        try:
            address = parse_ip(text.partition("/")[0])
        except ValueError:
            raise IpFault(f'inet prefix is expected rather than "{text}".') from None
        given = _read_get(self.namespace, words)
        if is_wanted or given.is_match_wanted:
            route = self.namespace.route_output(address, given.source, given.outdev, given.mark).route
            self.process.write(f"{route_text(route)} \n")
            return
        if given.indev is not None:
            self._forward_get(address, given)
            return
        decision = self.namespace.route_output(address, given.source, given.outdev, given.mark)
        is_local = self.namespace.is_local(address)
        found = ["local"] if is_local else []
        found.append(format_ip(address))
        if given.source is not None or len(address) == 16:
            found += ["from", format_ip(given.source) if given.source is not None else "::"]
        found += ["via", format_ip(decision.gateway)] if decision.gateway is not None else []
        found += ["dev", "lo" if is_local else decision.outdev.name]
        if len(address) == 16:
            found += ["table", "local", "proto", "kernel"] if is_local else self._table_words(address, given)
            found += ["proto", "kernel"] if decision.route.protocol == "kernel" and not is_local else []
            found += ["src", format_ip(decision.src)]
            self.process.write(f"{' '.join(found)} metric {decision.route.metric} pref medium\n")
            return
        found += [] if is_local else self._table_words(address, given)
        found += ["src", format_ip(decision.src)] if given.source is None else []
        found += ["mark", f"{given.mark:#x}" if given.mark > 9 else str(given.mark)] if given.mark else []
        learned = "" if is_local else self._learned(address)
        self.process.write(f"{' '.join(found)} uid {given.user} \n    cache {'<local> ' if is_local else learned}\n")

    def _learned(self, address: Address) -> str:
        """Say what is known of the way's MTU, and for how long that counts."""
        mtu = self.namespace.path_mtu.to(address)
        return f"expires {self.namespace.path_mtu.remaining_s(address)}sec mtu {mtu} " if mtu != UNKNOWN else ""

    def _forward_get(self, address: Address, given: _Get) -> None:
        """Answer what becomes of a packet that comes in (`iif`)."""
        space = self.namespace
        assert given.indev is not None
        source = given.source or bytes(len(address))
        found = [format_ip(address), "from", format_ip(source)]
        if space.is_local(address):
            self.process.write(
                f"local {' '.join(found)} dev lo table local \n    cache <local> iif {given.indev.name} \n"
            )
            return
        if not (space.forwards4 if len(address) == 4 else space.forwards6):
            raise OSError(errno.EHOSTUNREACH, "No route to host")
        route = space.find_route(address, src=given.source, indev=given.indev, mark=given.mark)
        if route is None or route.device is None:
            number = _NO_WAY.get(route.kind if route is not None else "", errno.ENETUNREACH)
            raise OSError(number, "")
        found += ["via", format_ip(route.gateway)] if route.gateway is not None else []
        found += ["dev", route.device.name, *self._table_words(address, given)]
        found += ["mark", f"{given.mark:#x}" if given.mark > 9 else str(given.mark)] if given.mark else []
        if len(address) == 16:
            found += ["proto", "kernel"] if route.protocol == "kernel" else []
            self.process.write(f"{' '.join(found)} metric {route.metric} pref medium\n")
            return
        back = space.find_route(source, src=address)
        is_detour = route.device is given.indev and back is not None and back.device is given.indev
        redirect = "<redirect> " if is_detour and back is not None and back.gateway is None else ""
        self.process.write(f"{' '.join(found)} \n    cache {redirect}iif {given.indev.name} \n")

    def _table_words(self, address: Address, given: _Get) -> list[str]:
        """Say from which table a route came, if it is not the main one."""
        rules = self.namespace.rules4 if len(address) == 4 else self.namespace.rules6
        if rules is None:
            return []
        rule = rules.find(address, given.source, given.indev, given.outdev, given.mark)[1]
        if rule is None or rule.table == MAIN:
            return []
        return ["table", self.rules.names().get(rule.table, str(rule.table))]
