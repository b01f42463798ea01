"""`ip route show` and `ip route get`, as iproute2 6.15 prints them."""

from __future__ import annotations

import errno
from typing import TYPE_CHECKING

from attrs import define, field

from cnmsim.digits import parse_c_number
from cnmsim.kernel.address import Address, format_ip, parse_ip
from cnmsim.kernel.fibrules import MAIN
from cnmsim.kernel.pathmtu import UNKNOWN
from cnmsim.userland.ip.arguments import IpCommandError, Words, find_device, parse_integer_argument, parse_ip_argument
from cnmsim.userland.ip.selection import has_linkdown, parse_selection, select_routes

if TYPE_CHECKING:
    from cnmsim.kernel.device import Device
    from cnmsim.kernel.namespace import NetworkNamespace
    from cnmsim.kernel.process import Process
    from cnmsim.kernel.route import Route
    from cnmsim.userland.ip.rules import IpRules

_ROUTE_ERRORS = {"prohibit": errno.EACCES, "blackhole": errno.EINVAL, "unreachable": errno.EHOSTUNREACH}


@define
class _GetOptions:
    """The options of `ip route get` besides the destination."""

    source: Address | None = None
    indev: Device | None = None
    outdev: Device | None = None
    mark: int = 0
    user: int = 0
    shows_match: bool = False


def _read_get(namespace: NetworkNamespace, words: Words) -> _GetOptions:
    options = _GetOptions()
    while words:
        word = words.take()
        if word == "from":
            options.source = parse_ip_argument(words.take().partition("/")[0])
        elif word in ("oif", "dev"):
            options.outdev = find_device(namespace, words.take())
        elif word == "iif":
            options.indev = find_device(namespace, words.take())
        elif word == "mark":
            options.mark = _mark(words.take())
        elif word == "uid":
            options.user = parse_integer_argument(words.take())
        elif word == "fibmatch":
            options.shows_match = True
        elif word in ("tos", "dsfield", "ipproto", "sport", "dport"):
            words.take()  # no rule that is modelled depends on these
        elif word == "vrf":
            raise IpCommandError(f'argument "{words.take()}" is wrong: Invalid VRF\n', 255)
        elif word not in ("notify", "connected"):
            raise IpCommandError(f'inet prefix is expected rather than "{word}".')
    return options


def _mark(text: str) -> int:
    try:
        return parse_c_number(text)
    except ValueError:
        raise IpCommandError(f'argument "{text}" is wrong: invalid mark\n', 255) from None


def _with_table(text: str, route: Route, table: str) -> str:
    """Insert `table TABLE` into the text of a route: after the device, or after the prefix if there is no device."""
    if route.device is None:
        head, space, tail = text.partition(f" {route.prefix}" if route.prefix.length else " default")
        return f"{head}{space} table {table}{tail}" if space else f"{text} table {table}"
    device = f" dev {route.device.name}"
    return text.replace(device, f"{device} table {table}", 1)


def route_text(route: Route) -> str:
    """Format a route as iproute2 does, but without the trailing space."""
    text = str(route)
    if has_linkdown(route):
        text += " linkdown"
    if route.prefix.family == 6:
        text += " pref medium"
    return text


@define(eq=False)
class RouteQueries:
    """`ip route show` and `ip route get` in one namespace. `family` is 4, 6, or 0 for both."""

    process: Process = field(repr=False)
    namespace: NetworkNamespace
    family: int
    rules: IpRules = field(repr=False)

    def show(self, words: Words) -> None:
        """Run `ip route show`."""
        chosen = parse_selection(words, self.family, "route")
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
                # Lines that end with an IPv6 route preference have no trailing space.
                self.process.write(f"{text}\n" if text.endswith("pref medium") else f"{text} \n")

    def get(self, words: Words) -> None:
        """Run `ip route get`: print the route by which a packet to an address would be sent.

        Raises `IpCommandError` for invalid words, `OSError` if there is no route.
        """
        text = words.take()
        is_fibmatch = text == "fibmatch"
        text = words.take() if is_fibmatch else text
        text = words.take() if text == "to" else text
        try:
            address = parse_ip(text.partition("/")[0])
        except ValueError:
            raise IpCommandError(f'inet prefix is expected rather than "{text}".') from None
        options = _read_get(self.namespace, words)
        if is_fibmatch or options.shows_match:
            route = self.namespace.route_output(address, options.source, options.outdev, options.mark).route
            self.process.write(f"{route_text(route)} \n")
            return
        if options.indev is not None:
            self._forward_get(address, options)
            return
        decision = self.namespace.route_output(address, options.source, options.outdev, options.mark)
        is_local = self.namespace.is_local(address)
        fields = ["local"] if is_local else []
        fields.append(format_ip(address))
        if options.source is not None or len(address) == 16:
            fields += ["from", format_ip(options.source) if options.source is not None else "::"]
        fields += ["via", format_ip(decision.gateway)] if decision.gateway is not None else []
        fields += ["dev", "lo" if is_local else decision.outdev.name]
        if len(address) == 16:
            fields += ["table", "local", "proto", "kernel"] if is_local else self._table_words(address, options)
            fields += ["proto", "kernel"] if decision.route.protocol == "kernel" and not is_local else []
            fields += ["src", format_ip(decision.src)]
            self.process.write(f"{' '.join(fields)} metric {decision.route.metric} pref medium\n")
            return
        fields += [] if is_local else self._table_words(address, options)
        fields += ["src", format_ip(decision.src)] if options.source is None else []
        fields += ["mark", f"{options.mark:#x}" if options.mark > 9 else str(options.mark)] if options.mark else []
        learned = "" if is_local else self._learned(address)
        self.process.write(
            f"{' '.join(fields)} uid {options.user} \n    cache {'<local> ' if is_local else learned}\n"
        )

    def _learned(self, address: Address) -> str:
        """Return the learned path MTU as `expires 590sec mtu 1400 `, or "" if none is known for the address."""
        mtu = self.namespace.path_mtu.to(address)
        return f"expires {self.namespace.path_mtu.remaining_s(address)}sec mtu {mtu} " if mtu != UNKNOWN else ""

    def _forward_get(self, address: Address, options: _GetOptions) -> None:
        """Print how a packet to `address` that arrives on `options.indev` (`iif`) is forwarded or delivered.

        Raises `OSError` if the packet would be dropped.
        """
        space = self.namespace
        assert options.indev is not None
        source = options.source or bytes(len(address))
        fields = [format_ip(address), "from", format_ip(source)]
        if space.is_local(address):
            self.process.write(
                f"local {' '.join(fields)} dev lo table local \n    cache <local> iif {options.indev.name} \n"
            )
            return
        if not (space.forwards4 if len(address) == 4 else space.forwards6):
            raise OSError(errno.EHOSTUNREACH, "No route to host")
        route = space.find_route(address, src=options.source, indev=options.indev, mark=options.mark)
        if route is None or route.device is None:
            number = _ROUTE_ERRORS.get(route.kind if route is not None else "", errno.ENETUNREACH)
            raise OSError(number, "")
        fields += ["via", format_ip(route.gateway)] if route.gateway is not None else []
        fields += ["dev", route.device.name, *self._table_words(address, options)]
        fields += ["mark", f"{options.mark:#x}" if options.mark > 9 else str(options.mark)] if options.mark else []
        if len(address) == 16:
            fields += ["proto", "kernel"] if route.protocol == "kernel" else []
            self.process.write(f"{' '.join(fields)} metric {route.metric} pref medium\n")
            return
        back = space.find_route(source, src=address)
        is_detour = route.device is options.indev and back is not None and back.device is options.indev
        redirect = "<redirect> " if is_detour and back is not None and back.gateway is None else ""
        self.process.write(f"{' '.join(fields)} \n    cache {redirect}iif {options.indev.name} \n")

    def _table_words(self, address: Address, options: _GetOptions) -> list[str]:
        """Return `["table", NAME]` for the table in which the routing rules look up `address`.

        Return an empty list if that is the main table or no rule matches.
        """
        rules = self.namespace.rules4 if len(address) == 4 else self.namespace.rules6
        if rules is None:
            return []
        rule = rules.find(address, options.source, options.indev, options.outdev, options.mark)[1]
        if rule is None or rule.table == MAIN:
            return []
        return ["table", self.rules.names().get(rule.table, str(rule.table))]
