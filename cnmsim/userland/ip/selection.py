"""The criteria of `ip … show` and `ip … flush`, and the links, addresses and routes that match them."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from fnmatch import fnmatchcase
from typing import TYPE_CHECKING, Any

from attrs import define, evolve, field

from cnmsim.digits import is_number
from cnmsim.kernel.address import Address, Prefix
from cnmsim.kernel.device import Device, InterfaceAddress
from cnmsim.kernel.fibrules import LOCAL, MAIN
from cnmsim.kernel.route import Route
from cnmsim.userland.ip.arguments import (
    IpCommandError,
    Words,
    find_device,
    parse_integer_argument,
    parse_ip_argument,
    parse_prefix_argument,
)

if TYPE_CHECKING:
    from cnmsim.kernel.namespace import NetworkNamespace
    from cnmsim.userland.ip.rules import IpRules


@define
class Selection:
    """The criteria of a `show` or `flush` command. A field with its default value matches everything."""

    device: str = ""
    to: Prefix | None = None
    exact: bool = False
    kind: str = ""
    master: str = ""
    scope: str = ""
    table: str = ""
    protocol: str = ""
    via: Address | None = None
    states: set[str] = field(factory=set)
    label: str = ""
    group: str = ""
    src: Address | None = None
    metric: int | None = None
    is_match: bool = False
    #: Keywords without a value, such as `secondary` or `down`.
    flags: set[str] = field(factory=set)
    is_up_only: bool = False
    rest: list[str] = field(factory=list)


#: The keywords that iproute2 accepts for each object: first those with a value, then those without.
_KEYWORDS = {
    "link": ("dev", "type", "master", "group", "vrf"),
    "address": ("dev", "type", "master", "group", "vrf", "to", "scope", "label"),
    "route": ("dev", "oif", "iif", "to", "root", "match", "exact", "scope", "table", "proto", "protocol", "via",
              "type", "src",
              "metric", "preference", "vrf"),
    "neighbour": ("dev", "to", "nud", "state", "master"),
}  # fmt: skip
_FLAGS = {
    "link": ("up", "down", "nomaster"),
    "address": ("up", "down", "nomaster", "permanent", "dynamic", "secondary", "temporary", "primary",
                "tentative", "-tentative",
                "deprecated", "-deprecated", "dadfailed", "-dadfailed", "nodad", "noprefixroute"),
    "route": ("cache",),
    "neighbour": ("proxy", "unused"),
}  # fmt: skip
_SCOPES = ("global", "link", "host", "site", "nowhere", "all")
_PROTOCOLS = (
    "kernel", "boot", "static", "dhcp", "ra", "redirect", "all", "zebra", "bird", "bgp", "ospf", "isis",
    "rip", "eigrp",
)  # fmt: skip
_ROUTE_TYPES = (
    "unicast", "local", "broadcast", "multicast", "throw", "unreachable", "prohibit", "blackhole", "nat",
    "anycast",
)  # fmt: skip
_MULTICAST6 = Prefix(b"\xff" + bytes(15), 8)
_NUD = ("permanent", "reachable", "noarp", "none", "stale", "incomplete", "delay", "probe", "failed", "all")


def parse_selection(words: Words, family: int, kind: str = "") -> Selection:
    """Parse the words after `show`, `list` or `flush`.

    `kind` is the object whose keywords are accepted, as in iproute2: `link`, `address`, `route` or `neighbour`. If it
    is "", all keywords are accepted, as in busybox. Raises `IpCommandError` for an invalid word.
    """
    chosen = Selection()
    while words:
        word = words.take()
        if kind and word not in _KEYWORDS[kind] and word not in _FLAGS[kind]:
            _add_operand(chosen, word, family, kind)
        elif kind and word in _FLAGS[kind]:
            chosen.flags.add(word)
            chosen.is_up_only = chosen.is_up_only or word == "up"
        else:
            _add_keyword(chosen, word, words, family, kind)
    return chosen


def _add_operand(chosen: Selection, word: str, family: int, kind: str) -> None:
    """Add `word`, which is not a keyword, to the selection `chosen`.

    The word names a device if the object `kind` is `link` or `address`; otherwise it is a prefix of the address
    family `family`. Raises `IpCommandError` for a second device or an invalid prefix.
    """
    if kind in ("link", "address"):
        if chosen.device:
            raise IpCommandError(f'Error: either "dev" is duplicate, or "{word}" is garbage.', 255)
        chosen.device = word
    else:
        chosen.to = parse_prefix_argument(word, family)
        chosen.exact = kind == "route"


def _add_keyword(chosen: Selection, word: str, words: Words, family: int, object_kind: str) -> None:
    is_lax = not object_kind
    if word in ("dev", "oif", "iif"):
        name = words.take()
        if chosen.device and not is_lax:
            raise IpCommandError(f'Error: either "dev" is duplicate, or "{name}" is garbage.', 255)
        chosen.device = name
    elif word in ("to", "root", "match", "exact"):
        how = word
        if word == "to" and words.first in ("root", "match", "exact"):
            how = words.take()
        chosen.exact, chosen.is_match = how == "exact", how == "match"
        chosen.to = parse_prefix_argument(words.take(), family)
    elif word == "type":
        chosen.kind = words.take()
        if object_kind == "route":
            _one_of(chosen.kind, _ROUTE_TYPES, "node type value is invalid\n")
    elif word in _PARSERS:
        setattr(chosen, {"proto": "protocol", "preference": "metric"}.get(word, word), _PARSERS[word](words.take()))
    elif word in ("nud", "state"):
        chosen.states.add(_one_of(words.take(), _NUD, "nud state is bad").upper())
    elif word == "up":
        chosen.is_up_only = True
    elif word == "vrf" and not is_lax:
        raise IpCommandError(f'argument "{words.take()}" is wrong: Invalid VRF\n', 255)
    else:
        chosen.rest.append(word)


def _one_of(text: str, names: tuple[str, ...], message: str, *, is_number_fine: bool = False) -> str:
    if text not in names and not (is_number_fine and is_number(text)):
        raise IpCommandError(f'argument "{text}" is wrong: {message}', 255)
    return text


#: Keywords that are also fields of the selection, with the parser of their value.
_PARSERS: dict[str, Callable[[str], Any]] = {
    "master": str,
    "scope": lambda text: _one_of(text, _SCOPES, 'invalid "scope"\n'),
    "table": str,
    "proto": lambda text: _one_of(text, _PROTOCOLS, 'invalid "protocol"\n'),
    "protocol": lambda text: _one_of(text, _PROTOCOLS, 'invalid "protocol"\n'),
    "via": parse_ip_argument,
    "label": str,
    "group": lambda text: _one_of(text, ("default", "0"), "Invalid group value", is_number_fine=True),
    "src": parse_ip_argument,
    "metric": parse_integer_argument,
    "preference": parse_integer_argument,
}


def select_links(namespace: NetworkNamespace, chosen: Selection) -> list[Device]:
    """Return the devices that match a selection, sorted by their index.

    Raises `NoDeviceError` if the selected device does not exist.
    """
    name = chosen.device or (chosen.rest[0] if chosen.rest else "")
    if name:
        devices = [find_device(namespace, name, is_change=False)]
    else:
        devices = sorted(namespace.devices.values(), key=lambda device: device.index)
    if chosen.kind:
        devices = [device for device in devices if device.kind == chosen.kind]
    if chosen.master:
        master = find_device(namespace, chosen.master, is_change=False)
        devices = [device for device in devices if device.master is master]
    if "nomaster" in chosen.flags:
        devices = [device for device in devices if device.master is None]
    if chosen.group not in ("", "default", "0"):
        return []
    if "down" in chosen.flags:
        return [device for device in devices if not device.is_up]
    return [device for device in devices if device.is_up] if chosen.is_up_only else devices


def select_addresses(device: Device, family: int, chosen: Selection) -> list[InterfaceAddress]:
    """Return a device's addresses that match a selection, IPv4 before IPv6, as the kernel dumps them."""
    addresses = [item for item in device.addresses if not family or item.family == family]
    if chosen.scope and chosen.scope != "all":
        addresses = [item for item in addresses if item.scope == chosen.scope]
    if chosen.to is not None:
        addresses = [item for item in addresses if item.address in chosen.to]
    if chosen.label:
        addresses = [item for item in addresses if fnmatchcase(device.name, chosen.label)]
    return [item for item in _sorted(addresses) if _has_flags(device, item, chosen.flags)]


def _has_flags(device: Device, item: InterfaceAddress, flags: set[str]) -> bool:
    # Simulated addresses have no lifetime and no duplicate address detection.
    if flags & {"dynamic", "tentative", "deprecated", "dadfailed"}:
        return False
    if flags & {"secondary", "temporary"} and not is_secondary(device, item):
        return False
    if "primary" in flags and is_secondary(device, item):
        return False
    return all(flag not in flags or flag in item.flags for flag in ("nodad", "noprefixroute"))


def _sorted(addresses: list[InterfaceAddress]) -> list[InterfaceAddress]:
    return sorted(addresses, key=lambda item: item.family)


def is_secondary(device: Device, item: InterfaceAddress) -> bool:
    """Return True if `item` is secondary, i.e. the device has an earlier IPv4 address in the same subnet."""
    if item.family == 6:
        return False
    earlier = device.addresses[: device.addresses.index(item)]
    return any(other.family == 4 and other.prefix == item.prefix for other in earlier)


def select_routes(
    namespace: NetworkNamespace, family: int, chosen: Selection, rules: IpRules
) -> list[tuple[int, Route]]:
    """Return the routes of one address family that match a selection, as (table number, route).

    `rules` finds routing tables by name or number. Raises `NoDeviceError` if the selected device does not exist, and
    `OSError(ENOENT)` if the table does not.
    """
    selected: list[tuple[int, Route]] = []
    for number, routes in _tables(namespace, family, chosen, rules):
        selected += [(number, route) for route in _chosen_of(routes, namespace, family, chosen)]
    return selected


def _tables(
    namespace: NetworkNamespace, family: int, chosen: Selection, rules: IpRules
) -> Iterator[tuple[int, list[Route]]]:
    if chosen.table in ("all", "0"):
        known = namespace.rules4 if family == 4 else namespace.rules6
        for number in known.table_numbers() if known is not None else ():
            if number != MAIN:
                yield number, rules.table(str(number), family).routes
        yield MAIN, namespace.routes(family).routes
        yield LOCAL, local_routes(namespace, family)
        return
    number = rules.number(chosen.table) if chosen.table else MAIN
    if number == LOCAL:
        yield LOCAL, local_routes(namespace, family)
    else:
        yield number, rules.table(str(number), family).routes


def _chosen_of(routes: list[Route], namespace: NetworkNamespace, family: int, chosen: Selection) -> list[Route]:
    if chosen.device:
        device = find_device(namespace, chosen.device, is_change=False)
        routes = [route for route in routes if route.device is device]
    prefix = chosen.to
    if prefix is None and chosen.rest:
        prefix = parse_prefix_argument(chosen.rest[0], family)
        chosen.exact = True
    if prefix is not None:
        routes = [
            route
            for route in routes
            if (
                route.prefix == prefix
                if chosen.exact
                else prefix.network in route.prefix and route.prefix.length <= prefix.length
                if chosen.is_match
                else route.prefix.network in prefix and route.prefix.length >= prefix.length
            )
        ]
    if "cache" in chosen.flags:
        return []
    return [
        route
        for route in routes
        if chosen.scope in ("", "all", route.scope)
        and chosen.protocol in ("", "all", route.protocol)
        and chosen.kind in ("", route.kind)
        and chosen.src in (None, route.src)
        and chosen.metric in (None, route.metric)
        and chosen.via in (None, route.gateway)
    ]


def local_routes(namespace: NetworkNamespace, family: int) -> list[Route]:
    """Return the routes of the local table for one address family, derived from the addresses in the namespace."""
    devices = namespace.devices.values()
    routes = [route for device in devices for route in (_local4(device) if family == 4 else _local6(device))]
    return sorted(routes, key=lambda route: (route.prefix.network, route.prefix.length))


def _local4(device: Device) -> Iterator[Route]:
    for item in device.addresses if device.is_up else ():
        if item.family == 6:
            continue
        own = Route(Prefix(item.address, 32), device, scope="host", src=item.address, protocol="kernel", kind="local")
        yield own
        if item.address[0] == 127:
            yield evolve(own, prefix=item.prefix)
        for broadcast in dict.fromkeys(item.broadcasts):
            yield evolve(own, prefix=Prefix(broadcast, 32), scope="link", kind="broadcast")


def _local6(device: Device) -> Iterator[Route]:
    """Yield a device's routes for its own addresses, for the subnet-router anycast addresses and for multicast.

    A device that forwards has an anycast address for each of its subnets (Linux `addrconf_join_anycast`). A device
    gets the multicast route with its first address (`addrconf_add_mroute`).
    """
    own = [item.address for item in device.addresses if item.family == 6]
    kinds = {Prefix(address, 128): "local" for address in own}
    namespace = device.namespace
    if own and namespace is not None and namespace.sysctl.device(6, device.name, "forwarding") == "1":
        for item in device.addresses:
            if item.family == 6 and item.prefixlen < 127 and any(item.prefix.network):
                kinds.setdefault(Prefix(item.prefix.network, 128), "anycast")
    for prefix, kind in kinds.items():
        yield Route(prefix, device, protocol="kernel", kind=kind)
    if own and device.is_up and device.kind != "loopback":
        yield Route(_MULTICAST6, device, metric=256, protocol="kernel", kind="multicast")


def has_linkdown(route: Route) -> bool:
    """Return True if a route's device is up but has no carrier, for which iproute2 prints `linkdown`.

    Local and anycast addresses are reachable without a carrier.
    """
    return (
        route.kind not in ("local", "anycast")
        and route.device is not None
        and route.device.is_up
        and not route.device.has_carrier
    )
