"""The routing decisions for packets of a namespace's own sockets (ip_route_output_key_hash_rcu)."""

from __future__ import annotations

import errno
from typing import TYPE_CHECKING

from attrs import frozen

from cnmsim.kernel.address import IPV4_BROADCAST, Address, is_link_local, is_loopback, is_multicast
from cnmsim.kernel.device import Device
from cnmsim.kernel.fibrules import FibRule
from cnmsim.kernel.pathmtu import UNKNOWN
from cnmsim.kernel.route import Route, link_route, local_route
from cnmsim.kernel.source_address import first_link_local_device

if TYPE_CHECKING:
    from cnmsim.kernel.namespace import NetworkNamespace

_MAX_RECENT_DECISIONS = 8
_ROUTE_ERRORS = {
    "unreachable": (errno.EHOSTUNREACH, "No route to host"),
    "prohibit": (errno.EACCES, "Permission denied"),
    "blackhole": (errno.EINVAL, "Invalid argument"),
}


@frozen
class RoutingDecision:
    """The result of routing a locally generated packet: device, gateway, source address, MTU in bytes.

    `gateway` is `None` for destinations on the link. `rule` is the policy rule that selected the routing table,
    `None` if it is one of the default rules.
    """

    outdev: Device
    gateway: Address | None
    src: Address
    route: Route
    mtu: int
    rule: FibRule | None = None


class OutputRouting:
    """The routing of one namespace's own packets. Decisions are cached until the namespace's tables change."""

    __slots__ = ("_decisions", "_generation", "_namespace", "_recent")

    def __init__(self, namespace: NetworkNamespace) -> None:
        self._namespace = namespace
        self._decisions: dict[tuple[Address, Address | None, Device | None, int], RoutingDecision] = {}
        self._generation = -1
        self._recent: tuple[RoutingDecision, ...] = ()

    def route(
        self, dst: Address, src: Address | None = None, outdev: Device | None = None, mark: int = 0
    ) -> RoutingDecision:
        """Route a locally generated packet to `dst`: choose device, next hop and source address.

        `src` and `outdev`, if given, are the source and the device that the sender requires; `mark` is the packet's
        mark. Raises `OSError`: ENETUNREACH if there is no route or no source address; EHOSTUNREACH, EACCES or EINVAL
        for an unreachable, prohibit or blackhole route; EADDRNOTAVAIL for a source that this namespace does not have.
        """
        namespace = self._namespace
        generation = namespace.generation
        if generation != self._generation:
            self._decisions.clear()
            self._recent = ()
            self._generation = generation
        key = (dst, src, outdev, mark)
        decision = self._decisions.get(key)
        if decision is None:
            decision = self._decide(dst, src, outdev, mark)
            if namespace.path_mtu.to(dst) == UNKNOWN:  # a learnt path MTU expires, so such a decision is not cached
                self._decisions[key] = decision
        return decision

    def _decide(self, dst: Address, src: Address | None, outdev: Device | None, mark: int) -> RoutingDecision:
        namespace = self._namespace
        family = 6 if len(dst) == 16 else 4
        if src is not None and not namespace.has_address(src) and not is_loopback(src):
            raise OSError(errno.EADDRNOTAVAIL, "Cannot assign requested address")
        if namespace.is_local(dst):
            lo = namespace.loopback
            if not lo.is_up:
                raise OSError(errno.ENETUNREACH, "Network is unreachable")
            return RoutingDecision(lo, None, src or dst, local_route(dst, lo), lo.mtu)
        if is_multicast(dst) or dst == IPV4_BROADCAST:
            route = namespace.find_route(dst, outdev, src=src, mark=mark)
            device = outdev or (route.device if route is not None else None)
            if device is None:
                raise OSError(errno.ENETUNREACH, "Network is unreachable")
            source = src or namespace.select_source(dst, device)
            if source is None:
                raise OSError(errno.ENETUNREACH, "Network is unreachable")
            return RoutingDecision(device, None, source, route or link_route(dst, device), device.mtu)
        if is_link_local(dst) and family == 6 and outdev is None:
            outdev = first_link_local_device(namespace.devices.values())
        route = namespace.find_route(dst, outdev, src=src, mark=mark)
        if route is None:
            raise OSError(errno.ENETUNREACH, "Network is unreachable")
        if route.kind != "unicast":
            number, text = _ROUTE_ERRORS[route.kind]
            raise OSError(number, text)
        device = route.device
        assert device is not None
        source = src or route.src or namespace.select_source(route.gateway or dst, device, dst)
        if source is None:
            number = errno.ENETUNREACH if family == 4 else errno.EADDRNOTAVAIL
            raise OSError(number, "Network is unreachable" if family == 4 else "Cannot assign requested address")
        mtu = min(device.mtu, route.mtu or 65535, namespace.path_mtu.to(dst))
        rule = namespace.route_rule(dst, outdev, src=src, mark=mark)
        return self._intern(device, route, source, mtu, rule)

    def _intern(self, device: Device, route: Route, src: Address, mtu: int, rule: FibRule | None) -> RoutingDecision:
        """Return the routing decision with these values: a recent object with equal values, or a new one.

        Reusing the object saves memory for a sender to a thousand hosts.
        """
        for recent in self._recent:
            if recent.route is route and recent.src == src and recent.mtu == mtu and recent.rule is rule:
                return recent
        decision = RoutingDecision(device, route.gateway, src, route, mtu, rule)
        self._recent = (decision, *self._recent[: _MAX_RECENT_DECISIONS - 1])
        return decision
