"""What `ip` does, whichever flavour prints it: reading the command line, changing addresses, links, routes, neighbours.

Errors of the kernel leave as `OSError`, those of the command line as `IpFault`; how they are worded is the flavours'
business.
"""

from __future__ import annotations

import errno
from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING

from attrs import define, evolve, field

from cnmsim.kernel.address import Address, Prefix, family_of, format_ip, parse_interface, parse_ip, parse_mac
from cnmsim.kernel.bridge import Bridge
from cnmsim.kernel.device import Device, InterfaceAddress
from cnmsim.kernel.route import Route
from cnmsim.userland.ip_children import change as change_child

if TYPE_CHECKING:
    from cnmsim.kernel.namespace import NetworkNamespace
    from cnmsim.kernel.neighbour import Neighbour
    from cnmsim.kernel.process import Process

_NAMESPACE_FOLDERS = ("/var/run/netns/", "/run/netns/", "/var/run/docker/netns/")
_KINDS_OF_ROUTE = ("unicast", "blackhole", "unreachable", "prohibit", "local", "broadcast", "throw")


class IpFault(Exception):
    """The command line makes no sense; `is_usage` if the program answers with its usage."""

    def __init__(self, message: str, status: int = 1, *, is_usage: bool = False) -> None:
        super().__init__(message)
        self.status = status
        self.is_usage = is_usage


class NoDeviceFault(Exception):
    """A device is named that is not there; `is_change` if it was to be changed, not shown."""

    def __init__(self, name: str, *, is_change: bool) -> None:
        super().__init__(name)
        self.name = name
        self.is_change = is_change


@define
class Words:
    """The words of a command that are yet to be read."""

    rest: list[str]

    def __bool__(self) -> bool:
        return bool(self.rest)

    @property
    def first(self) -> str:
        """The next word, "" if there is none."""
        return self.rest[0] if self.rest else ""

    def take(self) -> str:
        """Take the next word. Raises `IpFault` if the command ends too early."""
        if not self.rest:
            raise IpFault('Command line is not complete. Try option "help"', 255, is_usage=True)
        return self.rest.pop(0)

    def choose(self, names: Iterable[str]) -> str | None:
        """Read the next word as one of `names` or the beginning of one; `None` if it is none or there is none."""
        word = self.first
        if not word:
            return None
        return next((name for name in names if name == word), None) or next(
            (name for name in names if name.startswith(word)), None
        )


@define
class Selection:
    """What `show` and `flush` are about."""

    device: str = ""
    to: Prefix | None = None
    exact: bool = False
    kind: str = ""
    master: str = ""
    scope: str = ""
    table: str = ""
    protocol: str = ""
    via: Address | None = None
    state: str = ""
    is_up_only: bool = False
    rest: list[str] = field(factory=list)


def device_named(namespace: NetworkNamespace, name: str, *, is_change: bool = True) -> Device:
    """Give a device by name. Raises `NoDeviceFault`."""
    found = namespace.devices.get(name)
    if found is None:
        raise NoDeviceFault(name, is_change=is_change)
    return found


def read_selection(words: Words, family: int) -> Selection:
    """Read the words behind `show`, `list` or `flush`."""
    chosen = Selection()
    while words:
        word = words.take()
        if word in ("dev", "oif", "iif"):
            chosen.device = words.take()
        elif word in ("to", "root", "match", "exact"):
            chosen.exact = word == "exact"
            if word == "to" and words.first in ("root", "match", "exact"):
                chosen.exact = words.take() == "exact"
            chosen.to = read_prefix(words.take(), family)
        elif word == "type":
            chosen.kind = words.take()
        elif word == "master":
            chosen.master = words.take()
        elif word == "scope":
            chosen.scope = words.take()
        elif word == "table":
            chosen.table = words.take()
        elif word in ("proto", "protocol"):
            chosen.protocol = words.take()
        elif word == "via":
            chosen.via = parse_ip(words.take())
        elif word in ("nud", "state"):
            chosen.state = words.take().upper()
        elif word == "up":
            chosen.is_up_only = True
        else:
            chosen.rest.append(word)
    return chosen


def read_prefix(text: str, family: int) -> Prefix:
    """Read a prefix, `default` included. Raises `IpFault`."""
    if text in ("default", "any", "all", "0/0", "::/0"):
        return Prefix(bytes(16 if family == 6 or text == "::/0" else 4), 0)
    try:
        head, slash, length = text.partition("/")
        if "." in head and ":" not in head and head.count(".") < 3:
            head = ".".join([*head.split("."), "0", "0", "0"][:4])
        return Prefix.parse(head + slash + length, strict=False)
    except ValueError:
        kind = "inet6" if family == 6 else "inet"
        raise IpFault(
            f'any valid prefix is expected rather than "{text}".'
            if family != 4
            else f'{kind} prefix is expected rather than "{text}".'
        ) from None


def select_links(namespace: NetworkNamespace, chosen: Selection) -> list[Device]:
    """Give the devices that a selection is about, in index order. Raises `NoDeviceFault`."""
    name = chosen.device or (chosen.rest[0] if chosen.rest else "")
    if name:
        return [device_named(namespace, name, is_change=False)]
    devices = sorted(namespace.devices.values(), key=lambda device: device.index)
    if chosen.kind:
        devices = [device for device in devices if device.kind == chosen.kind]
    if chosen.master:
        master = device_named(namespace, chosen.master, is_change=False)
        devices = [device for device in devices if device.master is master]
    return [device for device in devices if device.is_up] if chosen.is_up_only else devices


def select_addresses(device: Device, family: int, chosen: Selection) -> list[InterfaceAddress]:
    """Give the addresses of a device that a selection is about: IPv4 first, as the kernel lists them."""
    found = [item for item in device.addresses if not family or item.family == family]
    if chosen.scope and chosen.scope != "all":
        found = [item for item in found if item.scope == chosen.scope]
    if chosen.to is not None:
        found = [item for item in found if item.address in chosen.to]
    return sorted(found, key=lambda item: item.family)


def is_secondary(device: Device, item: InterfaceAddress) -> bool:
    """Tell whether an IPv4 address shares its subnet with one that was there before."""
    if item.family == 6:
        return False
    earlier = device.addresses[: device.addresses.index(item)]
    return any(other.family == 4 and other.prefix == item.prefix for other in earlier)


def flags_of(device: Device, *, shows_peer: bool = True) -> str:
    """Give the flags between angle brackets as both flavours list them."""
    flags: list[str] = []
    if device.is_up and not device.has_carrier:
        flags.append("NO-CARRIER")
    flags += ["LOOPBACK"] if device.kind == "loopback" else ["BROADCAST", "MULTICAST"]
    if device.no_arp:
        flags = [flag for flag in flags if flag != "MULTICAST" or device.kind != "dummy"] + ["NOARP"]
    if device.is_up:
        flags.append("UP")
        flags += ["LOWER_UP"] if device.has_carrier else []
    if shows_peer and _has_down_peer(device):
        flags.append("M-DOWN")
    return ",".join(flags)


def _has_down_peer(device: Device) -> bool:
    peer = getattr(device, "peer", None) or getattr(device, "lower", None)
    return isinstance(peer, Device) and peer.namespace is device.namespace and not peer.is_up


def link_name(device: Device) -> str:
    """Give a device's name with what is behind its `@`: the other end, or what it stands on.

    A physical NIC shows one too, as do those of a host that is itself a machine of a lab.
    """
    lower = getattr(device, "peer", None) or getattr(device, "lower", None) or getattr(device, "parent", None)
    if isinstance(lower, Device):
        if lower.namespace is device.namespace:
            return f"{device.name}@{lower.name}"
        return f"{device.name}@if{lower.index}"
    if device.peer_index is not None:
        return f"{device.name}@if{device.peer_index}"
    return f"{device.name}@if{device.index + 1}" if device.kind == "nic" else device.name


def state_of(device: Device) -> str:
    """Give the operational state as iproute2 names it."""
    if device.kind in ("loopback", "vxlan", "dummy"):
        return "UNKNOWN" if device.is_up else "DOWN"
    if device.kind == "ipvlan" and device.has_carrier:
        return "UNKNOWN"
    if not device.is_up:
        return "DOWN"
    if device.has_carrier:
        return "UP"
    return "LOWERLAYERDOWN" if device.kind in ("veth", "vlan", "macvlan", "ipvlan") else "DOWN"


def qdisc_of(device: Device) -> str:
    """Give the name of the queueing discipline a device has by default."""
    return "noqueue" if device.is_up or device.kind == "loopback" else "noop"


def queue_length(device: Device) -> int:
    """Give the transmit queue length that is printed, 0 for none. Bridges and overlays have none."""
    return 0 if device.kind in ("bridge", "vxlan") else device.txqueuelen


def select_routes(namespace: NetworkNamespace, family: int, chosen: Selection) -> list[Route]:
    """Give the routes of one family that a selection is about. Raises `NoDeviceFault`."""
    if chosen.table in ("local", "255"):
        routes = local_routes(namespace, family)
    elif chosen.table in ("all", "0"):
        routes = namespace.routes(family).routes + local_routes(namespace, family)
    else:
        routes = namespace.routes(family).routes
    if chosen.device:
        device = device_named(namespace, chosen.device, is_change=False)
        routes = [route for route in routes if route.device is device]
    prefix = chosen.to
    if prefix is None and chosen.rest:
        prefix = read_prefix(chosen.rest[0], family)
        chosen.exact = True
    if prefix is not None:
        routes = [
            route for route in routes if (route.prefix == prefix if chosen.exact else route.prefix.network in prefix)
        ]
    if chosen.scope:
        routes = [route for route in routes if route.scope == chosen.scope]
    if chosen.protocol:
        routes = [route for route in routes if route.protocol == chosen.protocol]
    if chosen.via is not None:
        routes = [route for route in routes if route.gateway == chosen.via]
    return routes


def local_routes(namespace: NetworkNamespace, family: int) -> list[Route]:
    """Give what the local table holds for the namespace's own addresses."""
    found: list[Route] = []
    for device in namespace.devices.values():
        for item in device.addresses if device.is_up else ():
            if item.family != family:
                continue
            bits = len(item.address) * 8
            own = Route(
                Prefix(item.address, bits), device, scope="host", src=item.address, protocol="kernel", kind="local"
            )
            if family == 6:
                found.append(evolve(own, src=None))
                continue
            found.append(own)
            if item.address[0] == 127:
                found.append(evolve(own, prefix=item.prefix))
            if item.prefixlen < 31:
                last = Prefix(item.prefix.broadcast, 32)
                found.append(Route(last, device, scope="link", src=item.address, protocol="kernel", kind="broadcast"))
    return sorted(found, key=lambda route: (route.prefix.network, route.prefix.length))


def has_linkdown(route: Route) -> bool:
    """Tell whether a route's link has lost its carrier."""
    return route.device is not None and route.device.is_up and not route.device.has_carrier


class IpChanges:
    """The commands that change something, for one process."""

    def __init__(self, process: Process, namespace: NetworkNamespace, family: int) -> None:
        self.process = process
        self.namespace = namespace
        self.family = family

    # --- addresses -----------------------------------------------------------------------------------------------

    def address_add(self, words: Words) -> None:
        """`addr add PREFIX dev DEV [brd X] [scope S] [nodad] [noprefixroute]`."""
        text, name, options = self._address_words(words)
        device = device_named(self.namespace, name)
        address, length = self._read_interface(text)
        broadcast = None
        if options.get("brd") == "+":
            broadcast = Prefix.of(address, length).broadcast
        elif "brd" in options:
            broadcast = parse_ip(options["brd"])
        self.namespace.add_address(
            device,
            f"{format_ip(address)}/{length}",
            scope=options.get("scope", "host" if address[0] == 127 and len(address) == 4 else "global"),
            broadcast=broadcast,
            nodad="nodad" in options,
            noprefixroute="noprefixroute" in options,
        )

    def address_delete(self, words: Words) -> None:
        """`addr del PREFIX dev DEV`."""
        text, name, _ = self._address_words(words)
        device = device_named(self.namespace, name)
        address, length = self._read_interface(text)
        self.namespace.remove_address(device, f"{format_ip(address)}/{length}")

    def address_flush(self, chosen: Selection) -> None:
        """`addr flush dev DEV`."""
        name = chosen.device or (chosen.rest[0] if chosen.rest else "")
        if not name:
            raise IpFault("Flush requires arguments.")
        device = device_named(self.namespace, name)
        for item in select_addresses(device, self.family, chosen):
            self.namespace.remove_address(device, str(item))

    def _read_interface(self, text: str) -> tuple[Address, int]:
        try:
            return parse_interface(text)
        except ValueError:
            raise IpFault(f'any valid prefix is expected rather than "{text}".') from None

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
            raise IpFault('Not enough information: "dev" argument is required.')
        if not text:
            raise IpFault("Command line is not complete.", 255)
        return text, name, options

    # --- links ---------------------------------------------------------------------------------------------------

    def link_set(self, words: Words) -> None:
        """`link set [dev] DEV up|down|mtu N|name N|address MAC|master BRIDGE|nomaster|txqueuelen N|netns N …`."""
        word = words.take()
        name = words.take() if word == "dev" else word
        device = device_named(self.namespace, name)
        changes: dict[str, Callable[[], None]] = {
            "up": device.set_up,
            "down": device.set_down,
            "mtu": lambda: device.set_mtu(self._integer(words.take())),
            "name": lambda: self.namespace.rename_device(device, words.take()),
            "address": lambda: device.set_mac(self._mac(words.take())),
            "master": lambda: self._enslave(device, words.take()),
            "nomaster": lambda: self._release(device),
            "netns": lambda: self.namespace.move_device(device, self.find_namespace(words.take())),
        }
        while words:
            word = words.take()
            if word in changes:
                changes[word]()
            elif word in ("txqueuelen", "qlen", "txqlen"):
                device.txqueuelen = self._integer(words.take())
            elif word == "type":
                change_child(device, words.take(), words)
            elif word in ("arp", "multicast", "promisc", "allmulticast", "alias", "group", "hairpin"):
                words.take()
            else:
                raise IpFault(f'either "dev" is duplicate, or "{word}" is a garbage.', 255)

    def _enslave(self, device: Device, name: str) -> None:
        master = device_named(self.namespace, name)
        if not isinstance(master, Bridge):
            raise OSError(errno.EOPNOTSUPP, "Operation not supported")
        if device.master is not None:
            device.master.remove_port(device)
        master.add_port(device)

    def _release(self, device: Device) -> None:
        if device.master is not None:
            device.master.remove_port(device)

    def find_namespace(self, name: str) -> NetworkNamespace:
        """Give a namespace by path, or by name below the folders where they are kept. Raises `IpFault`."""
        known = self.process.machine.namespaces
        if name in ("1", str(self.process.machine.name)):
            return self.process.machine.root
        for path in (name, *(folder + name for folder in _NAMESPACE_FOLDERS)):
            if path in known:
                return known[path]
        raise IpFault(
            f'Invalid "netns" value "{name}"'
            if "/" in name
            else f'Cannot open network namespace "{name}": No such file or directory',
            255,
        )

    def link_add(self, words: Words) -> None:
        """`link add [name] NAME type veth peer [name] NAME`, `link add NAME type bridge`, and kinds others bring."""
        from cnmsim.userland.ip_kinds import LINK_KINDS, LinkRequest

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
                mac = self._mac(words.take())
            elif word == "mtu":
                mtu = self._integer(words.take())
            elif word in ("txqueuelen", "numtxqueues", "numrxqueues", "index"):
                words.take()
            else:
                name = word
        if not kind:
            raise IpFault('Not enough information: "type" argument is required.', 255)
        maker = LINK_KINDS.get(kind)
        if maker is None:
            raise IpFault("Error: Unknown device type.", 2)
        lower = device_named(self.namespace, parent) if parent else None
        made = maker(self, LinkRequest(name, mac or self.new_mac(), lower, words, has_mac=mac is not None))
        if mtu:
            made.set_mtu(mtu)

    def new_mac(self) -> bytes:
        """Draw a locally administered unicast address."""
        octets = bytearray(self.process.machine.random.randbytes(6))
        octets[0] = octets[0] & 0xFC | 2
        return bytes(octets)

    def link_delete(self, words: Words) -> None:
        """`link del [dev] NAME`."""
        word = words.take()
        name = words.take() if word == "dev" else word
        self.namespace.remove_device(device_named(self.namespace, name))

    # --- routes --------------------------------------------------------------------------------------------------

    def read_route(self, words: Words) -> Route:
        """Read `[KIND] PREFIX [via X] [dev D] [metric N] [src X] [proto P] [scope S] [mtu N]`. Raises `IpFault`."""
        kind = words.take() if words.first in _KINDS_OF_ROUTE else "unicast"
        target: str | None = None
        values: dict[str, str] = {}
        while words:
            word = words.take()
            if word in (
                "via",
                "dev",
                "metric",
                "src",
                "proto",
                "protocol",
                "scope",
                "mtu",
                "table",
                "preference",
                "priority",
            ):
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
                raise IpFault(f'either "to" is duplicate, or "{word}" is a garbage.', 255)
        gateway = self._read_ip(values["via"]) if "via" in values else None
        source = self._read_ip(values["src"]) if "src" in values else None
        family = self.family or (family_of(gateway or source or b"") if gateway or source else 4)
        prefix = read_prefix(target or "default", family)
        device = device_named(self.namespace, values["dev"]) if "dev" in values else None
        scope = values.get("scope") or (
            "link" if kind == "unicast" and gateway is None and prefix.family == 4 else "global"
        )
        return Route(
            prefix, device, gateway, self._integer(values.get("metric", "0")), scope, source,
            values.get("proto", "boot"), kind, self._integer(values["mtu"]) if "mtu" in values else None,
        )  # fmt: skip

    def route_add(self, words: Words) -> None:
        """`route add ROUTE`."""
        self.namespace.add_route(self.read_route(words))

    def route_append(self, words: Words) -> None:
        """`route append ROUTE`."""
        route = self.read_route(words)
        try:
            self.namespace.add_route(route)
        except FileExistsError:
            self.namespace.routes(route.prefix.family).add(route, append=True)

    def route_delete(self, words: Words) -> None:
        """`route del ROUTE`: the first that fits what is given. Raises `OSError(ESRCH)`."""
        self.namespace.remove_route(self._find(self.read_route(words)))

    def _find(self, wanted: Route) -> Route:
        for route in self.namespace.routes(wanted.prefix.family).routes:
            if (
                route.prefix == wanted.prefix
                and (wanted.device is None or route.device is wanted.device)
                and (wanted.gateway is None or route.gateway == wanted.gateway)
                and (not wanted.metric or route.metric == wanted.metric)
                and (wanted.kind in ("unicast", route.kind))
            ):
                return route
        raise OSError(errno.ESRCH, "No such process")

    def route_replace(self, words: Words, *, must_exist: bool = False) -> None:
        """`route replace ROUTE`, or `route change ROUTE` with `must_exist`."""
        route = self.read_route(words)
        metric = route.metric or (1024 if route.prefix.family == 6 else 0)
        table = self.namespace.routes(route.prefix.family)
        old = next((other for other in table.routes if other.prefix == route.prefix and other.metric == metric), None)
        if old is None and must_exist:
            raise OSError(errno.ENOENT, "No such file or directory")
        if old is not None:
            self.namespace.remove_route(old)
        try:
            self.namespace.add_route(route)
        except OSError:
            if old is not None:
                table.add(old)
            raise

    def route_flush(self, chosen: Selection) -> None:
        """`route flush …`; the cache alone is no loss."""
        if chosen.table == "cache" or chosen.rest[:1] == ["cache"]:
            return
        for family in (self.family,) if self.family else (4, 6):
            for route in select_routes(self.namespace, family, chosen):
                self.namespace.remove_route(route)

    # --- neighbours ----------------------------------------------------------------------------------------------

    def neighbour_set(self, words: Words) -> None:
        """`neigh add|replace ADDRESS lladdr MAC dev DEV [nud permanent]`."""
        address, name, mac = self._neighbour_words(words)
        if mac is None:
            raise IpFault("Error: No link layer address given.", 2)
        self.namespace.neighbours.set_permanent(device_named(self.namespace, name), address, mac)

    def neighbour_delete(self, words: Words) -> None:
        """`neigh del ADDRESS dev DEV`."""
        address, name, _ = self._neighbour_words(words)
        self.namespace.neighbours.remove(device_named(self.namespace, name), address)

    def neighbour_flush(self, chosen: Selection) -> None:
        """`neigh flush [dev DEV] [ADDRESS]`: all but the permanent ones."""
        for entry in self.select_neighbours(chosen):
            if entry.state.value != "PERMANENT" or chosen.state == "PERMANENT":
                self.namespace.neighbours.remove(entry.device, entry.address)

    def select_neighbours(self, chosen: Selection) -> list[Neighbour]:
        """Give the entries that a selection is about."""
        if chosen.device:
            device_named(self.namespace, chosen.device, is_change=False)
        prefix = chosen.to or (read_prefix(chosen.rest[0], self.family) if chosen.rest else None)
        return [
            entry
            for entry in self.namespace.neighbours.entries()
            if (not self.family or family_of(entry.address) == self.family)
            and (not chosen.device or entry.device.name == chosen.device)
            and (prefix is None or entry.address in prefix)
            and (not chosen.state or chosen.state in ("ALL", entry.state.value))
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
                mac = self._mac(words.take())
            elif word in ("nud", "state"):
                words.take()
            else:
                address = self._read_ip(words.take() if word == "to" else word)
        if address is None or not name:
            raise IpFault("Device and destination are required arguments.", 255)
        return address, name, mac

    # --- values --------------------------------------------------------------------------------------------------

    def _read_ip(self, text: str) -> Address:
        try:
            return parse_ip(text)
        except ValueError:
            raise IpFault(f'inet address is expected rather than "{text}".') from None

    def _integer(self, text: str) -> int:
        if not text.isdigit():
            raise IpFault(f'argument "{text}" is wrong: Invalid value', 255)
        return int(text)

    def _mac(self, text: str) -> bytes:
        try:
            return parse_mac(text)
        except ValueError:
            raise IpFault(f'"{text}" is invalid lladdr.', 255) from None
