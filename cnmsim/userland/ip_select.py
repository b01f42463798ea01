"""What `ip … show` and `ip … flush` are about: reading the selection, and finding links, addresses and routes."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

from attrs import define, evolve, field

from cnmsim.kernel.address import Address, Prefix, parse_ip
from cnmsim.kernel.device import Device, InterfaceAddress
from cnmsim.kernel.fibrules import LOCAL, MAIN
from cnmsim.kernel.route import Route
from cnmsim.userland.ip_words import Words, device_named, read_prefix

if TYPE_CHECKING:
    from cnmsim.kernel.namespace import NetworkNamespace
    from cnmsim.userland.ip_rule import IpRules


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


def select_routes(
    namespace: NetworkNamespace, family: int, chosen: Selection, rules: IpRules
) -> list[tuple[int, Route]]:
    """Give the routes of one family that a selection is about, each with the number of its table.

    Raises `NoDeviceFault`, and `OSError(ENOENT)` for a table that was never filled.
    """
    found: list[tuple[int, Route]] = []
    for number, routes in _tables(namespace, family, chosen, rules):
        found += [(number, route) for route in _chosen_of(routes, namespace, family, chosen)]
    return found


def _tables(
    namespace: NetworkNamespace, family: int, chosen: Selection, rules: IpRules
) -> Iterator[tuple[int, list[Route]]]:
    if chosen.table in ("all", "0"):
        known = namespace.rules4 if family == 4 else namespace.rules6
        for number in known.numbers() if known is not None else ():
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
