"""Routing tables with longest-prefix match, then metric (Linux: fib_trie, ip6_fib)."""

from __future__ import annotations

import errno
from bisect import insort
from collections.abc import Callable
from typing import TYPE_CHECKING

from attrs import evolve, frozen

from cnmsim.kernel.address import Address, Prefix, format_ip

if TYPE_CHECKING:
    from cnmsim.kernel.device import Device
    from cnmsim.kernel.namespace import NetworkNamespace


@frozen
class Route:
    """One route.

    `gateway` is `None` for destinations on the link; `device` is `None` for blackhole, unreachable, prohibit and
    throw.

    `kind` is `unicast`, `blackhole` (packets are dropped silently), `unreachable` (ICMP host unreachable), `prohibit`
    (ICMP administratively prohibited) or `throw` (the lookup in this table ends). `protocol` is the origin of the
    route (`kernel`, `boot`, `static`). `mtu` is in bytes, `None` for the device's MTU.
    """

    prefix: Prefix
    device: Device | None = None
    gateway: Address | None = None
    metric: int = 0
    scope: str = "global"
    src: Address | None = None
    protocol: str = "boot"
    kind: str = "unicast"
    mtu: int | None = None

    def __str__(self) -> str:
        """Format the route as `ip route` does."""
        words = [] if self.kind == "unicast" else [self.kind]
        words.append("default" if self.prefix.length == 0 else self._prefix_text())
        if self.gateway is not None:
            words += ["via", format_ip(self.gateway)]
        if self.device is not None:
            words += ["dev", self.device.name]
        if self.protocol not in ("boot", ""):
            words += ["proto", self.protocol]
        if self.scope != "global" and self.prefix.family == 4:
            words += ["scope", self.scope]
        if self.src is not None:
            words += ["src", format_ip(self.src)]
        if self.metric or self.prefix.family == 6:
            words += ["metric", str(self.metric)]
        if self.mtu is not None:
            words += ["mtu", str(self.mtu)]
        return " ".join(words)

    def _prefix_text(self) -> str:
        bits = 128 if self.prefix.family == 6 else 32
        return format_ip(self.prefix.network) if self.prefix.length == bits else str(self.prefix)


def local_route(dst: Address, loopback: Device) -> Route:
    """Return the route that the kernel's local table has for `dst`, one of the namespace's own addresses.

    `loopback` is the namespace's device `lo`.
    """
    return Route(Prefix.of(dst, len(dst) * 8), loopback, scope="host", kind="local", protocol="kernel")


def link_route(dst: Address, device: Device) -> Route:
    """Return a route to `dst` directly over `device`, without a routing table, e.g. for a multicast group."""
    return Route(Prefix.of(dst, len(dst) * 8), device, scope="link", protocol="kernel")


def with_nexthop(route: Route, namespace: NetworkNamespace) -> Route:
    """Return `route` with its device.

    If it has none, that is the device by which its gateway is reached (fib_check_nh). Raises `OSError`: ENODEV if the
    route has neither device nor gateway, ENETUNREACH if the gateway is not on a link, ENETDOWN if the device is down,
    EINVAL if the gateway is an address of the namespace.
    """
    if route.device is None:
        if route.gateway is None:
            raise OSError(errno.ENODEV, "No such device")
        via = namespace.find_route(route.gateway)
        if via is None or via.device is None or via.gateway is not None:
            raise OSError(errno.ENETUNREACH, "Nexthop has invalid gateway")
        route = evolve(route, device=via.device)
    assert route.device is not None
    if not route.device.is_up:
        raise OSError(errno.ENETDOWN, "Network is down")
    if route.gateway is not None and namespace.is_local(route.gateway):
        raise OSError(errno.EINVAL, "Nexthop has invalid gateway")
    return route


def _preference(route: Route) -> tuple[int, int]:
    return -route.prefix.length, route.metric


class RoutingTable:
    """One routing table of one family. `on_change` is called after every change."""

    __slots__ = ("_by_device", "_by_length", "_cache", "_on_change", "_routes", "family")

    def __init__(self, family: int, on_change: Callable[[], None] = lambda: None) -> None:
        self.family = family
        self._on_change = on_change
        self._routes: list[Route] = []
        self._by_length: list[Route] = []
        self._by_device: dict[Device | None, list[Route]] = {}
        self._cache: dict[tuple[Address, Device | None], Route | None] = {}

    @property
    def routes(self) -> list[Route]:
        """All routes in the order of `ip route`."""
        if self.family == 6:
            return sorted(
                self._routes, key=lambda r: (r.prefix.length == 0, r.prefix.network, -r.prefix.length, r.metric)
            )
        return sorted(
            self._routes, key=lambda r: (r.prefix.network, -r.prefix.length if r.prefix.length else -33, r.metric)
        )

    def __len__(self) -> int:
        return len(self._routes)

    def add(self, route: Route, *, append: bool = False) -> None:
        """Add a route.

        Raises `OSError(EEXIST)` if a route has the same prefix and metric, unless `append` is true.
        """
        if not append and any(r.prefix == route.prefix and r.metric == route.metric for r in self._routes):
            raise OSError(errno.EEXIST, "File exists")
        self._routes.append(route)
        insort(self._by_length, route, key=_preference)
        self._by_device.setdefault(route.device, []).append(route)
        self.invalidate()

    def has_connected(self, device: Device, prefix: Prefix) -> bool:
        """Return True if there is a route to `prefix` out of `device` that the kernel created."""
        return any(r.prefix == prefix and r.protocol == "kernel" for r in self._by_device.get(device, ()))

    def remove(self, route: Route) -> None:
        """Remove the route that is equal to `route` in all fields. Raises `OSError(ESRCH)` if it does not exist."""
        try:
            self._routes.remove(route)
            self._by_length.remove(route)
            self._by_device[route.device].remove(route)
        except ValueError:
            raise OSError(errno.ESRCH, "No such process") from None
        self.invalidate()

    def remove_device(self, device: Device) -> None:
        """Remove every route out of a device."""
        if self._by_device.pop(device, None):
            self._routes = [route for route in self._routes if route.device is not device]
            self._by_length = [route for route in self._by_length if route.device is not device]
            self.invalidate()

    def invalidate(self) -> None:
        """Clear the cached lookups, because a device, link or address has changed."""
        self._on_change()
        self._cache.clear()

    def lookup(self, dst: Address, outdev: Device | None = None) -> Route | None:
        """Return the route to a destination, or `None` if there is none.

        `outdev` restricts the lookup to one device.
        """
        key = (dst, outdev)
        try:
            return self._cache[key]
        except KeyError:
            pass
        match = None
        for route in self._by_length:
            if dst in route.prefix and (outdev is None or route.device is outdev or route.kind == "throw"):
                match = route if route.kind != "throw" else None
                break
        if len(self._cache) > 4096:
            self._cache.clear()
        self._cache[key] = match
        return match
