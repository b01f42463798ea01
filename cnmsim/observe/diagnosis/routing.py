"""Diagnose routing: an interface that is down, a netmask that is too narrow, a silent gateway, a routing loop."""

from __future__ import annotations

from typing import TYPE_CHECKING

from cnmsim.kernel.address import format_ip
from cnmsim.kernel.device import Nic
from cnmsim.kernel.events import NextHop, Step
from cnmsim.observe.diagnosis.causes.routes import (
    ConntrackFull,
    LinkDown,
    NarrowMask,
    NoAddress,
    RoutingLoop,
    SilentGateway,
)
from cnmsim.observe.diagnosis.diagnosis import Diagnosis, diagnosis
from cnmsim.observe.diagnosis.diagnosis_context import DiagnosisContext
from cnmsim.observe.fixes.changes import (
    AddAddress,
    Change,
    DeleteRoute,
    Manual,
    NetworkSetting,
    RecreateNetwork,
    ReplaceRoute,
    RestartContainer,
    SetLinkUp,
    SetSysctl,
)
from cnmsim.observe.fixes.tasks import Task
from cnmsim.observe.trace.hops import Hop

if TYPE_CHECKING:
    from cnmsim.kernel.address import Address
    from cnmsim.kernel.namespace import NetworkNamespace
    from cnmsim.kernel.route import Route
    from cnmsim.observe.location import Location

#: The size suggested for a full conntrack table: Linux's default with 4 GiB of memory or more.
_MANY_CONNECTIONS = 262144


def link_down(context: DiagnosisContext) -> Diagnosis | None:
    """Diagnose an interface of the source that is down, so that its routes are missing; `None` if there is none.

    Interfaces without an address of the destination's IP version are ignored.
    """
    source, address = context.source, context.outcome.address
    for device in source.namespace.devices.values():
        if device.is_up or device.kind == "loopback" or address is None:
            continue
        if any(own.family == (4 if len(address) == 4 else 6) for own in device.addresses):
            change: Change = SetLinkUp(source.name, device.name)
            if source.is_container:
                change = RestartContainer(source.host, source.name)
            return diagnosis(LinkDown(device.name, source.name), change)
    return None


def no_address(context: DiagnosisContext) -> Diagnosis | None:
    """Diagnose a source that is a host without any address; otherwise return `None`."""
    source = context.source
    if source.is_container or source.addresses:
        return None
    return diagnosis(NoAddress(source.name), Manual(Task.ASSIGN_ADDRESS, source.name))


def narrow_mask(context: DiagnosisContext) -> Diagnosis | None:
    """Diagnose a netmask of the source that excludes the destination though it is on the same link.

    Otherwise return `None`.
    """
    source, target, address = context.source, context.destination, context.outcome.address
    if target is None or address is None or source.is_container:
        return None
    for other in target.namespace.devices.values():
        theirs = next((own.prefix for own in other.addresses if own.address == address), None)
        if theirs is None:
            continue
        for device in source.namespace.devices.values():
            if not (isinstance(device, Nic) and isinstance(other, Nic) and device.link is other.link is not None):
                continue
            for own in device.addresses:
                if own.family != theirs.family or own.address not in theirs or address in own.prefix:
                    continue
                text = format_ip(own.address)
                cause = NarrowMask(
                    source.name, str(own.prefix), f"{text}/{own.prefix.length}", context.address_text, target.name,
                    str(theirs),
                )  # fmt: skip
                return diagnosis(cause, AddAddress(source.name, f"{text}/{theirs.length}", device.name))
        return None
    return None


def is_off(location: Location) -> bool:
    """Return True if a host is powered off or unplugged, that is, none of its interfaces has a link.

    Return False for a container, or a host without interfaces.
    """
    interfaces = [each for each in location.namespace.devices.values() if isinstance(each, Nic)]
    return not location.is_container and bool(interfaces) and all(each.link is None for each in interfaces)


def silent_gateway(context: DiagnosisContext, hop: Hop) -> Diagnosis | None:
    """Diagnose a route whose gateway does not answer; `None` if the silent next hop is the destination itself."""
    location = context.location_at(hop.place)
    if not isinstance(hop.detail, NextHop) or location is None or hop.destination is None:
        return None
    gateway = hop.detail.address
    route = _route(location.namespace, hop.destination, gateway) if gateway != hop.destination else None
    if route is None:
        return None
    text = format_ip(gateway)
    cause = SilentGateway(hop.place, hop.destination_text, str(route), text, context.replier(hop))
    router = _router(context, location, gateway)
    if location.is_container:
        network = next((item.network for item in location.attachments), "")
        value = format_ip(router) if router is not None else ""
        return diagnosis(cause, RecreateNetwork(location.host, network, NetworkSetting.GATEWAY, value))
    prefix = "default" if route.prefix.length == 0 else str(route.prefix)
    if router is not None:
        return diagnosis(cause, ReplaceRoute(hop.place, prefix, f"via {format_ip(router)}"))
    return diagnosis(cause, DeleteRoute(hop.place, f"{prefix} via {text}"))


def _route(namespace: NetworkNamespace, destination: Address, gateway: Address) -> Route | None:
    routes = namespace.routes(4 if len(destination) == 4 else 6).routes
    matches = [each for each in routes if each.gateway == gateway and destination in each.prefix]
    return max(matches, key=lambda each: each.prefix.length, default=None)


def _router(context: DiagnosisContext, location: Location, gateway: Address) -> Address | None:
    """Return an address of another host that can replace `gateway`; `None` if there is none.

    The host must forward packets and have no engine. The address must be in a subnet of `location` that contains the
    gateway.
    """
    subnets = [
        own.prefix
        for device in location.namespace.devices.values()
        for own in device.addresses
        if gateway in own.prefix
    ]
    for other in context.directory.locations:
        if other.is_container or other is location or other.namespace.sysctl_get("net.ipv4.ip_forward") != "1":
            continue
        for address in other.addresses:
            if any(address in subnet for subnet in subnets) and not other.has_engine:
                return address
    return None


def loop(context: DiagnosisContext, hop: Hop) -> Diagnosis | None:
    """Diagnose machines that forward the packet to each other until its TTL runs out; otherwise return `None`."""
    routed = [each for each in context.hops if each.message == hop.message and each.step is Step.ROUTED]
    places = [each.place for each in routed]
    repeated = tuple(dict.fromkeys(place for place in places if places.count(place) > 1))
    if len(repeated) < 2:
        return None
    routes = {each.place: each.decision for each in routed if each.place in repeated}
    return diagnosis(
        RoutingLoop(hop.place, tuple(routes.items())),
        Manual(Task.USE_ROUTER, hop.destination_text, " or ".join(repeated)),
    )


def conntrack_full(hop: Hop) -> Diagnosis | None:
    """Diagnose a full conntrack table (net/netfilter/nf_conntrack_core.c); otherwise return `None`."""
    if "nf_conntrack_max" not in hop.decision:
        return None
    cause = ConntrackFull(hop.place, hop.decision.partition(" ")[0])
    return diagnosis(cause, SetSysctl(hop.place, "net.netfilter.nf_conntrack_max", str(_MANY_CONNECTIONS)))
